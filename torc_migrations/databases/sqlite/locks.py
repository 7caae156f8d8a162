"""Describe the processes that hold the locks of an SQLite file, and read yoyo's lock."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

from torc_migrations.databases.processes import YoyoHolder, describe_process, lock_owners, running_since
from torc_migrations.databases.sqlite.ledger_sql import SELECT_YOYO_LOCK

# Where SQLite locks bytes of its file: https://sqlite.org/src/file/src/os.h, and of its -shm file in WAL mode.
_RESERVED_BYTE = 0x40000001
_SHARED_FIRST, _SHARED_LAST = _RESERVED_BYTE + 1, _RESERVED_BYTE + 510
_WAL_WRITE_BYTE = 120


def lock_holder(path: str | None) -> str:
    """Describe who holds the lock of an SQLite file, as far as the system reports it."""
    if path is None:
        return "another connection"
    return lock_writer(path) or _described(_others(path, _RESERVED_BYTE, _SHARED_LAST)) or "another process"


def lock_writer(path: str) -> str:
    """Describe who writes to an SQLite file, or is about to; empty where nobody is known to."""
    writers = lock_owners(path, _RESERVED_BYTE, _RESERVED_BYTE)
    return _described(writers + lock_owners(f"{path}-shm", _WAL_WRITE_BYTE, _WAL_WRITE_BYTE))


def lock_readers(path: str | None) -> str:
    """Describe who reads an SQLite file, and so keeps a transaction from committing."""
    readers = _others(path, _SHARED_FIRST, _SHARED_LAST) if path is not None else []
    return _described(readers) or "another connection"


def _others(path: str, first: int, last: int) -> list[int]:
    return [pid for pid in lock_owners(path, first, last) if pid != os.getpid()]


def _described(owners: list[int]) -> str:
    return " and ".join(dict.fromkeys(describe_process(pid) + running_since(pid) for pid in owners))


def read_yoyo_lock(rows_or_none: Callable[[str], Sequence[tuple[object, ...]] | None]) -> YoyoHolder | None:
    """Return who holds yoyo's lock, as the query for it says; None if there is no row, or one that yoyo did not write.

    yoyo writes numbers only.
    """
    row = next(iter(rows_or_none(SELECT_YOYO_LOCK) or ()), None)
    return YoyoHolder(row[0], str(row[1])) if row and isinstance(row[0], int) else None
