"""Overwrite a file as a whole: after a full disk or a kill it is as it was before."""

from __future__ import annotations

import os
from contextlib import suppress

from torc_migrations.errors import SourceError
from torc_migrations.formatting import reason_of
from torc_migrations.sources.files import is_sqlite


def overwrite(path: str, content: bytes) -> None:
    """Write a file, which may exist, under another name next to it, and rename that.

    A link stays, and what it points to is overwritten. The permissions of the file stay too. What is no regular file,
    and a file in a directory that cannot be written, is written in place.

    Raises:
        SourceError: it cannot be written, or is a SQLite database.
    """
    try:
        if os.path.isfile(path) and is_sqlite(path):
            raise SourceError(path, f"{path!r} is a SQLite database; it is left as it is", hint="name a new file")
        _overwrite(path, content)
    except (OSError, ValueError) as error:
        raise SourceError(path, f"cannot write {path!r}: {reason_of(error)}") from error


def _overwrite(path: str, content: bytes) -> None:
    end = os.path.realpath(path)
    if os.path.exists(path) and not (os.path.isfile(path) and os.access(os.path.dirname(end), os.W_OK)):
        with open(path, "wb") as file:
            file.write(content)
        return
    made = f"{end}.{os.getpid()}.new"
    with suppress(FileNotFoundError):
        os.unlink(made)  # of a process with the same number that was killed, as in a container
    try:
        with open(made, "xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if os.path.exists(end):
            os.chmod(made, os.stat(end).st_mode & 0o7777)
        os.replace(made, end)
    except BaseException:
        with suppress(OSError, ValueError):
            os.unlink(made)
        raise
