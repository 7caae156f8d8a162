"""List and read the files of a source: a folder, a package's resources, or the shipped schema."""

from __future__ import annotations

import os
from codecs import utf_8_decode
from operator import itemgetter

from torc_migrations.errors import SourceError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from importlib.resources.abc import Traversable
    from typing import TypeAlias

# Where a file is: its path on the disk, or a resource that reads itself. A file is its name, and where it is.
Location: TypeAlias = "str | Traversable"
File: TypeAlias = "tuple[str, Location]"

SHIPPED = "the torc schema that ships with this package"

_TO_READ = os.O_RDONLY | getattr(os, "O_BINARY", 0)  # Windows would mend line endings
_SMALL = _PIECE = 65_536
_name = itemgetter(0)


def list_files(source: str | os.PathLike[str] | Traversable | None) -> tuple[str, list[File]]:
    """Return a source's name for messages, and its files by name; sub-folders are left out.

    Raises:
        SourceError: there is no such folder or package, or it cannot be read.
    """
    if source is None:
        return SHIPPED, _shipped_files()
    if isinstance(source, str) and source.startswith("package:"):
        return source, _resource_files(source, _package_folder(source))
    if isinstance(source, (str, os.PathLike)):
        return os.fspath(source), _folder_files(os.fspath(source))
    return str(source), _resource_files(str(source), source)


def _shipped_files() -> list[File]:
    """Find the shipped SQL: inside the installed package, or beside it in a clone that is installed editable."""
    here = os.path.dirname(os.path.abspath(__file__))
    for folder in (os.path.join(here, "sql"), os.path.join(os.path.dirname(here), "sql")):
        if os.path.isdir(folder):
            return _folder_files(folder)
    from importlib.resources import files  # a zipped package; costs more than all else on the way here

    return _resource_files(SHIPPED, files("torc_migrations") / "sql")


def _package_folder(source: str) -> Traversable:
    from importlib.resources import files

    name, _, folder = source.removeprefix("package:").partition(":")
    try:
        found = files(name).joinpath(folder) if folder else files(name)
    except (ModuleNotFoundError, ValueError, TypeError) as error:
        raise SourceError(source, f"there is no package {name!r}", hint="say package:NAME:FOLDER") from error
    if name == __package__ and not found.is_dir():
        return files(name).joinpath("..", folder)  # a clone that is installed editable has its SQL beside the package
    return found


def _folder_files(folder: str) -> list[File]:
    try:
        with os.scandir(folder) as entries:
            files: list[File] = [
                (entry.name if entry.name.isascii() else _readable(entry.name), entry.path)
                for entry in entries
                if entry.is_file(follow_symlinks=False) or _leads_to_file(entry)
            ]
    except FileNotFoundError as error:
        raise SourceError(folder, f"there is no folder {folder!r}", hint="name it with --source") from error
    except NotADirectoryError as error:
        raise SourceError(folder, f"{folder!r} is a file, not a folder", hint="name the folder it is in") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error  # a NUL in the name is a ValueError
        raise SourceError(folder, f"cannot read the folder {folder!r}: {reason}") from error
    files.sort(key=_name)
    return files


def _leads_to_file(entry: os.DirEntry[str]) -> bool:
    """Count a link that leads nowhere, or in a circle, as a file, so that its migration is missed aloud."""
    try:
        return entry.is_symlink() and not entry.is_dir()
    except OSError:
        return True


def _readable(name: str) -> str:
    """Return a name as sqlx reads it, with a mark for each byte that is not UTF-8."""
    return os.fsencode(name).decode(errors="replace")


def _resource_files(name: str, folder: Traversable) -> list[File]:
    if not folder.is_dir():
        raise SourceError(name, f"there is no folder {str(folder)!r}", hint="say package:NAME:FOLDER")
    return sorted(((file.name, file) for file in folder.iterdir() if file.is_file()), key=_name)


def read_bytes(path: str) -> bytes:
    """Read a file whole; a small one in half the time that open() and its file would take."""
    file = os.open(path, _TO_READ)
    try:
        sql = os.read(file, _SMALL)
        if not os.read(file, 1):
            return sql
    finally:
        os.close(file)
    with open(path, "rb", buffering=0) as big:
        return big.read()


def read_once(path: str) -> bytes:
    """Read a small file with one call; cut short at worst, by a signal, so for those who compare it with a checksum."""
    file = os.open(path, _TO_READ)
    try:
        sql = os.read(file, _SMALL)
    finally:
        os.close(file)
    return sql if len(sql) < _SMALL else read_bytes(path)


def find_bad_byte(sql: bytes) -> int | None:
    """Return the offset of a NUL, or of the first byte that is not UTF-8; that a file is ASCII is seen fastest."""
    if 0 in sql:
        return sql.index(0)
    begin = len(sql) if sql.isascii() else 0
    while begin < len(sql):  # piece by piece, because as text a letter may take four times its bytes
        piece = sql[begin : begin + _PIECE]
        try:
            begin += utf_8_decode(piece, "strict", begin + len(piece) == len(sql))[1]
        except UnicodeDecodeError as error:
            return begin + error.start
    return None
