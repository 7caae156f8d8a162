"""Insist on room on a disk before something large is written there."""

from __future__ import annotations

import os
from collections.abc import Mapping

from torc_migrations.errors import MigrationError
from torc_migrations.index_report import size_text


class NotEnoughSpace(MigrationError):
    """Something would need more disk than there is; nothing was done.

    Attributes:
        folder: where the space is missing. needed, free: bytes.
    """

    exit_code = 6

    def __init__(self, purpose: str, folder: str, *, needed: int, free: int, hint: str) -> None:
        self.folder = folder
        self.needed = needed
        self.free = free
        super().__init__(
            f"{purpose} may need {size_text(needed)} in {folder}, where {size_text(free)} are free", hint=hint
        )


def refuse_without_room(purpose: str, needs: Mapping[str, int], *, hint: str) -> None:
    """Insist on the room that something may need, in bytes by folder; `purpose` begins the error's sentence.

    Raises:
        NotEnoughSpace: one of the folders has less.
    """
    import shutil

    for folder, needed in needs.items():
        free = shutil.disk_usage(folder).free
        if free < needed:
            raise NotEnoughSpace(purpose, folder, needed=needed, free=free, hint=hint)


def sync(path: str) -> None:
    """Have the system write a file, or the names in a folder, to the disk; Windows does that only for files."""
    flags = os.O_RDONLY if os.name != "nt" else os.O_RDWR
    if os.name == "nt" and os.path.isdir(path):
        return
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
