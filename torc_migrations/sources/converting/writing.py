"""Write new files into a directory; no file is overwritten."""

from __future__ import annotations

import os
import shutil
import stat
from contextlib import suppress
from typing import TYPE_CHECKING

from torc_migrations.errors import SourceError
from torc_migrations.formatting import reason_of

if TYPE_CHECKING:
    from collections.abc import Mapping


def write_files(directory: str, texts: Mapping[str, bytes]) -> tuple[str, ...]:
    """Write new files into a directory, which is created if it is missing: all of them, or none.

    The last one is written first: a down script, which is nothing without its up script, before it.

    Args:
        directory: where the files are.
        texts: the bytes of each file, by its path.

    Raises:
        SourceError: the directory or a file cannot be written, or a file exists.
    """
    try:
        os.makedirs(directory, exist_ok=True)
    except (OSError, ValueError) as error:
        raise SourceError(directory, f"cannot create the directory {directory!r}: {reason_of(error)}") from error
    written: list[str] = []
    try:
        for path, text in reversed(list(texts.items())):
            _write_new(path, text, written)
    except BaseException:
        for path in written:
            with suppress(OSError):
                os.unlink(path)
        raise
    return tuple(texts)


def write_directory(directory: str, texts: Mapping[str, bytes]) -> tuple[str, ...]:
    """Write files into a directory that is new or empty. They are written to another one, which is renamed at the end.

    So they are there as a whole, or, where the process was killed, not at all. The current directory, a mount point,
    and a directory whose owner cannot be given to another one, get the files one by one.

    Args:
        directory, texts: as for `write_files`.

    Raises:
        SourceError: as for `write_files`.
    """
    try:
        end = os.path.realpath(directory)
    except ValueError as error:  # a path that no file can have
        raise SourceError(directory, f"cannot create the directory {directory!r}: {reason_of(error)}") from error
    made = f"{end}.{os.getpid()}.new"
    _remove(made)  # of a process with the same number, as in a container
    try:
        write_files(made, {os.path.join(made, os.path.relpath(path, directory)): text for path, text in texts.items()})
        if os.path.isdir(end) and not _may_take_place_of(made, end):
            return write_files(directory, texts)
        os.rename(made, end)
    except SourceError as error:
        raise SourceError(
            error.source.replace(made, directory), str(error).replace(made, directory)
        ) from error.__cause__
    except OSError as error:
        raise SourceError(directory, f"cannot create the directory {directory!r}: {reason_of(error)}") from error
    finally:
        _remove(made)
    return tuple(texts)


def _may_take_place_of(made: str, end: str) -> bool:
    """Give a directory owner and permissions of an empty one that it is to replace, and return whether it may."""
    if os.name != "posix" or os.path.ismount(end) or os.path.samefile(end, os.curdir):
        return False
    found = os.stat(end)
    try:
        os.chown(made, found.st_uid, found.st_gid)
    except PermissionError:
        return False
    os.chmod(made, stat.S_IMODE(found.st_mode))
    return True


def _remove(directory: str) -> None:
    shutil.rmtree(directory, ignore_errors=True)


def _write_new(path: str, text: bytes, written: list[str]) -> None:
    try:
        with open(path, "xb") as file:
            written.append(path)
            file.write(text)
    except (OSError, ValueError) as error:
        raise SourceError(path, f"cannot write {path!r}: {reason_of(error)}") from error
