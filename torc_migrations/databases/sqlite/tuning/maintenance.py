"""Refresh the statistics of the query planner, and rebuild the file without free pages."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator
from time import perf_counter_ns
from typing import TYPE_CHECKING

from torc_migrations.databases.disk import check_free_space
from torc_migrations.databases.results.maintenance import Maintenance, Measure, Sizes
from torc_migrations.databases.sqlite.connection import translate

if TYPE_CHECKING:
    from torc_migrations.databases.sqlite.transactions import SQLiteConnection

COUNT_STATISTICS = """
    SELECT COUNT(*)
    FROM sqlite_stat1
"""

# Where SQLite creates temporary files, in this order: https://sqlite.org/tempfiles.html
_TEMPORARY_VARIABLES = ("SQLITE_TMPDIR", "TMPDIR")
_TEMPORARY_DIRECTORIES = ("/var/tmp", "/usr/tmp", "/tmp", ".")  # noqa: S108  # SQLite's own list; only its free space is read here
_IN_MEMORY = 2


def optimize(database: SQLiteConnection, *, vacuum: bool) -> Maintenance:
    """Refresh the planner's statistics (ANALYZE, PRAGMA optimize), and with `vacuum` rebuild the file (VACUUM).

    ANALYZE reads every index once. VACUUM rewrites the whole database. Both lock out other writers while they run;
    without WAL, VACUUM locks out readers too.

    Raises:
        NotEnoughSpace: there is not enough free disk space for VACUUM; nothing was done.
        DatabaseFailed: the database failed, such as on a full disk.
    """
    try:
        before = _sizes(database)
        if vacuum:
            refuse_without_space(database)
        return Maintenance(before, tuple(_measures(database, vacuum=vacuum)))
    except sqlite3.DatabaseError as error:
        raise translate(error, database.address) from error


def _measures(database: SQLiteConnection, *, vacuum: bool) -> Iterator[Measure]:
    yield _measured(database, "ANALYZE", _in_transaction)
    yield _measured(database, "PRAGMA optimize", _in_transaction)
    if vacuum:
        yield _measured(database, "VACUUM", _alone)


def _measured(database: SQLiteConnection, sql: str, run: Callable[[SQLiteConnection, str], int]) -> Measure:
    return Measure(sql, run(database, sql), _sizes(database))


def _in_transaction(database: SQLiteConnection, sql: str) -> int:
    with database.transaction():
        started = perf_counter_ns()
        database.execute(sql).fetchall()
    return perf_counter_ns() - started


def _alone(database: SQLiteConnection, sql: str) -> int:
    """Run a statement that cannot be in a transaction; it is tried again until SQLite gets the lock."""
    started = 0

    def run() -> None:
        nonlocal started
        started = perf_counter_ns()
        database.execute(sql)

    database.retry_while_locked(run)
    return perf_counter_ns() - started


def _sizes(database: SQLiteConnection) -> Sizes:
    with database.reading():
        page_size = _pragma(database, "page_size")
        return Sizes(
            page_size * _pragma(database, "page_count"),
            page_size * _pragma(database, "freelist_count"),
            _statistics(database),
        )


def _pragma(database: SQLiteConnection, name: str) -> int:
    return int(database.execute(f"PRAGMA {name}").fetchone()[0])


def _statistics(database: SQLiteConnection) -> int:
    try:
        return int(database.execute(COUNT_STATISTICS).fetchone()[0])
    except sqlite3.OperationalError as error:
        if "no such table" not in str(error):
            raise
        return 0


def refuse_without_space(database: SQLiteConnection) -> None:
    """Check the free disk space for a VACUUM, up to twice the database: https://sqlite.org/lang_vacuum.html

    SQLite copies the pages that are not free to a temporary file. Then it writes the old pages to the journal, or the
    new ones to the WAL, next to the database. A database in memory needs no disk.

    Raises:
        NotEnoughSpace: the directory of the database, or that for temporary files, has too little.
    """
    if database.address.path is None:
        return
    sizes = _sizes(database)
    needs = {os.path.dirname(os.path.abspath(database.address.path)): sizes.size}
    if not _keeps_temporary_files_in_memory(database):
        temporary = _temporary_directory()
        directory = next((other for other in needs if _one_disk(temporary, other)), temporary)
        needs[directory] = needs.get(directory, 0) + sizes.size - (sizes.free or 0)
    hint = "free disk space, or set SQLITE_TMPDIR to a directory on another disk"
    check_free_space(f"VACUUM of {database.name}", needs, hint=hint)


def _keeps_temporary_files_in_memory(database: SQLiteConnection) -> bool:
    return _pragma(database, "temp_store") == _IN_MEMORY


def _temporary_directory() -> str:
    """Return the directory in which SQLite creates temporary files; on Windows that of the system."""
    if os.name == "nt":
        from tempfile import gettempdir

        return gettempdir()
    wanted = [os.environ.get(name, "") for name in _TEMPORARY_VARIABLES]
    usable = (path for path in (*wanted, *_TEMPORARY_DIRECTORIES) if path and _can_be_used(path))
    return next(usable, ".")


def _can_be_used(directory: str) -> bool:
    return os.path.isdir(directory) and os.access(directory, os.W_OK | os.X_OK)


def _one_disk(one: str, other: str) -> bool:
    return os.stat(one).st_dev == os.stat(other).st_dev
