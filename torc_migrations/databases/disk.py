"""Check the free space of a disk, and flush files to it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress

from torc_migrations.errors import NotEnoughSpace

_LEAST_SPACE = 65_536  # bytes; the index of a WAL begins with 32 KiB


def check_free_space(purpose: str, needs: Mapping[str, int], *, hint: str) -> None:
    """Refuse to begin where a disk has less free space than needed, in bytes by directory.

    `purpose` begins the error's sentence.

    Raises:
        NotEnoughSpace: one of the directories has less.
    """
    import shutil

    for directory, needed in needs.items():
        free = shutil.disk_usage(directory).free
        if free < needed:
            raise NotEnoughSpace(purpose, directory, needed=needed, free=free, hint=hint)


def is_full(path: str) -> bool:
    """Return whether the disk of a file has almost no free space."""
    import shutil

    with suppress(OSError):
        return shutil.disk_usage(os.path.dirname(os.path.abspath(path))).free < _LEAST_SPACE
    return False


def sync(path: str) -> None:
    """Flush a file, or the names in a directory, to the disk; Windows can do that for files only."""
    flags = os.O_RDONLY if os.name != "nt" else os.O_RDWR
    if os.name == "nt" and os.path.isdir(path):
        return
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
