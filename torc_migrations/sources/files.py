"""List and read the files of a source: a directory, a package's resources, or the torc schema."""

from __future__ import annotations

import os
import stat
from codecs import utf_8_decode
from contextlib import suppress
from operator import attrgetter, itemgetter
from typing import TYPE_CHECKING

from torc_migrations.errors import SourceError
from torc_migrations.formatting import reason_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from importlib.resources.abc import Traversable
    from typing import TypeAlias

# Where a file is: its path on the disk, or a resource that reads itself. A file is its name, and where it is.
Location: TypeAlias = "str | Traversable"
File: TypeAlias = "tuple[str, Location]"

SHIPPED = "the torc schema that ships with this package"

_BINARY = getattr(os, "O_BINARY", 0)  # without it Windows would change line endings
_PIECE = 65_536
_FEW = 3
_LEVELS = 3
_SQLITE_HEADER = b"SQLite format 3\0"  # https://sqlite.org/fileformat.html#magic_header_string
_KINDS = {
    stat.S_IFDIR: "a directory",
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFBLK: "a device",
    stat.S_IFCHR: "a device",
}
_name = itemgetter(0)


def list_files(source: str | os.PathLike[str] | Traversable | None) -> tuple[str, list[File]]:
    """Return a source's name for messages, and its files in the order of their names, without subdirectories.

    Raises:
        SourceError: there is no such directory or package, or it cannot be read.
    """
    if source is None:
        return SHIPPED, _shipped_files()
    if isinstance(source, str) and source.startswith("package:"):
        return source, _resource_files(source, _package_directory(source))
    if isinstance(source, (str, os.PathLike)):
        return os.fspath(source), _directory_files(os.fspath(source))
    return str(source), _resource_files(str(source), source)


def _shipped_files() -> list[File]:
    """Find the shipped SQL: inside the installed package, or next to it in a clone that is installed editable."""
    package = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    for directory in (os.path.join(package, "sql"), os.path.join(os.path.dirname(package), "sql")):
        if os.path.isdir(directory):
            return _directory_files(directory)
    from importlib.resources import files  # for a zipped package; slow to import

    return _resource_files(SHIPPED, files("torc_migrations") / "sql")


def _package_directory(source: str) -> Traversable:
    """Find the directory of a package without importing the package, whose code must not run to list its files."""
    name, _, directory = source.removeprefix("package:").partition(":")
    top, *inner = name.split(".")
    found = _files_of(top) if all(part.isidentifier() for part in (top, *inner)) else None
    if found is not None and inner:
        found = found.joinpath(*inner)
        found = found if found.is_dir() else None
    if found is None:
        raise SourceError(source, f"there is no package {name!r}", hint="write package:NAME:DIRECTORY")
    if name == "torc_migrations" and not found.joinpath(directory).is_dir():
        return found.joinpath("..", directory)  # a clone that is installed editable has its SQL next to it
    return found.joinpath(directory) if directory else found


def _files_of(package: str) -> Traversable | None:
    """Return the files of a package of the top level; its finder is asked, and only inner packages import others."""
    from importlib.resources.abc import TraversableResources
    from importlib.util import find_spec
    from pathlib import Path

    try:
        spec = find_spec(package)
    except (ImportError, ValueError):
        return None
    if spec is None or spec.submodule_search_locations is None:
        return None
    reader = getattr(spec.loader, "get_resource_reader", lambda _: None)(package)
    if isinstance(reader, TraversableResources):
        return reader.files()
    return next((Path(each) for each in spec.submodule_search_locations if os.path.isdir(each)), None)


def _directory_files(directory: str) -> list[File]:
    try:
        with os.scandir(directory) as entries:
            files: list[File] = [
                (name if (name := entry.name).isascii() else _readable(name), entry.path)
                for entry in entries
                if entry.is_file(follow_symlinks=False) or _is_link_to_file(entry)
            ]
    except FileNotFoundError as error:
        raise SourceError(
            directory,
            f"there is no directory {directory!r}",
            hint="name an existing one with source=",
            command_hint="name an existing one with --source",
        ) from error
    except NotADirectoryError as error:
        raise _not_a_directory(directory) from error
    except (OSError, ValueError) as error:
        raise SourceError(directory, f"cannot read the directory {directory!r}: {reason_of(error)}") from error
    files.sort(key=_name)
    return files


def _not_a_directory(path: str) -> SourceError:
    sentence = f"{path!r} is not a directory"
    with suppress(OSError):
        if is_sqlite(path):
            return SourceError(
                path,
                f"{sentence}, but a SQLite database",
                hint="name the directory of migrations as the source",
                command_hint="name a database with --database, and the directory of migrations with --source",
            )
    return SourceError(path, sentence, hint="name the directory that it is in")


def is_sqlite(path: str) -> bool:
    """Return whether a file begins as every SQLite database does."""
    with open(path, "rb") as file:
        return file.read(len(_SQLITE_HEADER)) == _SQLITE_HEADER


def directories_with_sql(directory: str | os.PathLike[str]) -> list[str]:
    """Return directories below a directory that have SQL in them: three at most, and down to the third level."""
    found: list[str] = []
    top = os.fspath(directory)
    for path, directories, files in os.walk(top):
        level = path.removeprefix(top).count(os.sep)
        directories[:] = sorted(directories) if level < _LEVELS else []
        if path != top and any(file.endswith(".sql") for file in files):
            found.append(path)
            if len(found) == _FEW:
                break
    return found


def has_directory_each(directories: Iterable[str]) -> bool:
    """Return whether files in subdirectories are named as Diesel and Prisma name them, for which no version is read."""
    return any(os.path.isfile(os.path.join(each, name)) for each in directories for name in ("up.sql", "migration.sql"))


def _is_link_to_file(entry: os.DirEntry[str]) -> bool:
    """Return whether an entry is a link to a file; a broken link counts, so that it is reported as missing."""
    try:
        return entry.is_symlink() and stat.S_ISREG(entry.stat().st_mode)
    except OSError:  # broken, or links in a circle
        return True


def find_no_files(source: object) -> Iterator[tuple[str, str]]:
    """Yield what is named like a script and is no file, which sqlx ignores too: its path, and what it is.

    What is deleted meanwhile is left out.
    """
    if not isinstance(source, (str, os.PathLike)) or not os.path.isdir(source):
        return
    with suppress(OSError), os.scandir(str(os.fspath(source))) as entries:
        for entry in sorted((entry for entry in entries if entry.name.endswith(".sql")), key=attrgetter("name")):
            with suppress(OSError):
                if not (entry.is_file(follow_symlinks=False) or _is_link_to_file(entry)):
                    yield entry.path, _KINDS.get(stat.S_IFMT(entry.stat().st_mode), "no file")


def _readable(name: str) -> str:
    """Return a name as sqlx reads it, with a replacement character for each byte that is not UTF-8."""
    return os.fsencode(name).decode(errors="replace")


def _resource_files(name: str, directory: Traversable) -> list[File]:
    if not directory.is_dir():
        raise SourceError(name, f"there is no directory {str(directory)!r}", hint="write package:NAME:DIRECTORY")
    return sorted(((file.name, file) for file in directory.iterdir() if file.is_file()), key=_name)


def read_bytes(location: Location) -> bytes:
    """Read a file whole.

    A start with nothing to do reads every up script, and `open()` takes four times as long as these calls: 10 us
    against 2.3 us for a small file, which is a third of the time of such a start.

    Raises:
        OSError: it cannot be read.
    """
    if not isinstance(location, str):
        return location.read_bytes()
    file = os.open(location, os.O_RDONLY | _BINARY)
    try:
        sql = os.read(file, _PIECE)
        if not os.read(file, 1):
            return sql
    finally:
        os.close(file)
    with open(location, "rb") as big:
        return big.read()


def read_to_compare(location: Location) -> bytes:
    """Read a file for a comparison with its checksum: a small one with one call, which a signal may cut short.

    Raises:
        OSError: it cannot be read.
    """
    if not isinstance(location, str):
        return location.read_bytes()
    file = os.open(location, os.O_RDONLY | _BINARY)
    try:
        sql = os.read(file, _PIECE)
    finally:
        os.close(file)
    return sql if len(sql) < _PIECE else read_bytes(location)


def find_bad_byte(sql: bytes) -> int | None:
    """Return the offset of a NUL, or of the first byte that is not UTF-8, or None."""
    if 0 in sql:
        return sql.index(0)
    begin = len(sql) if sql.isascii() else 0
    while begin < len(sql):  # in pieces, because a text may need four times the memory of its bytes
        piece = sql[begin : begin + _PIECE]
        try:
            begin += utf_8_decode(piece, "strict", begin + len(piece) == len(sql))[1]
        except UnicodeDecodeError as error:
            return begin + error.start
    return None
