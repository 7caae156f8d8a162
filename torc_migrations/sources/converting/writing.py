"""Write new files into a directory; no file is overwritten."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from typing import TYPE_CHECKING

from torc_migrations.errors import SourceError
from torc_migrations.formatting import reason_of

if TYPE_CHECKING:
    from collections.abc import Mapping


def write_files(directory: str, texts: Mapping[str, bytes]) -> tuple[str, ...]:
    """Write new files into a directory, which is created if it is missing: all of them, or none.

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
        for path, text in texts.items():
            _write_new(path, text, written)
    except BaseException:
        for path in written:
            with suppress(OSError):
                os.unlink(path)
        raise
    return tuple(texts)


def write_directory(directory: str, texts: Mapping[str, bytes]) -> tuple[str, ...]:
    """Write files into a directory that is new or empty. A new one is made under another name, and renamed at the end.

    So it is there as a whole, or, where the process was killed, not at all.

    Args:
        directory, texts: as for `write_files`.

    Raises:
        SourceError: as for `write_files`.
    """
    if os.path.lexists(directory):
        return write_files(directory, texts)
    made = f"{directory.rstrip(os.sep)}.{os.getpid()}.new"
    try:
        write_files(made, {os.path.join(made, os.path.relpath(path, directory)): text for path, text in texts.items()})
        os.rename(made, directory)
    except SourceError as error:
        raise SourceError(
            error.source.replace(made, directory), str(error).replace(made, directory)
        ) from error.__cause__
    except OSError as error:
        raise SourceError(directory, f"cannot create the directory {directory!r}: {reason_of(error)}") from error
    finally:
        with suppress(ValueError):  # Python 3.13 raises it for a path that no file can have
            shutil.rmtree(made, ignore_errors=True)
    return tuple(texts)


def _write_new(path: str, text: bytes, written: list[str]) -> None:
    try:
        with open(path, "xb") as file:
            written.append(path)
            file.write(text)
    except (OSError, ValueError) as error:
        raise SourceError(path, f"cannot write {path!r}: {reason_of(error)}") from error
