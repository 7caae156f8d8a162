"""Maintain a database: statistics for the query planner, and a file without holes."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from time import perf_counter_ns
from typing import TYPE_CHECKING, NamedTuple

from torc_migrations.connection import explained
from torc_migrations.database import Database, open_database
from torc_migrations.disk import refuse_without_room
from torc_migrations.driver import sqlite3
from torc_migrations.index_report import size_text
from torc_migrations.plan import duration_text
from torc_migrations.transaction import Transaction
from torc_migrations.verification import refuse_missing

if TYPE_CHECKING:
    from torc_migrations.connection import DatabaseLike

COUNT_STATISTICS = """
    SELECT COUNT(*)
    FROM sqlite_stat1
"""

# Where SQLite keeps temporary files, in this order: https://sqlite.org/tempfiles.html
_TEMPORARY_VARIABLES = ("SQLITE_TMPDIR", "TMPDIR")
_TEMPORARY_FOLDERS = ("/var/tmp", "/usr/tmp", "/tmp", ".")  # noqa: S108  # SQLite's own list, only measured here
_IN_MEMORY = 2


class Sizes(NamedTuple):
    """How large a database is, in bytes, how much of that is empty pages, and how many rows of statistics it has."""

    size: int
    free: int
    statistics: int


class Measure(NamedTuple):
    """One thing that was done, the time that it took in nanoseconds, and the sizes after it."""

    name: str
    elapsed_ns: int
    after: Sizes


class Maintenance(NamedTuple):
    """What was done to a database, and what came of it."""

    before: Sizes
    measures: tuple[Measure, ...]

    def as_text(self) -> str:
        """Return a table: a line before, and one after each measure."""
        rows = [("", "time", "size", "free", "statistics"), _row("before", "", self.before)]
        rows += [_row(each.name, duration_text(each.elapsed_ns), each.after) for each in self.measures]
        return "".join(
            f"{name:<15}  {time:>12}  {size:>9}  {free:>9}  {rows:>10}\n" for name, time, size, free, rows in rows
        )

    def as_dict(self) -> dict[str, object]:
        """Return the same as values that `json` takes."""
        return {
            "before": self.before._asdict(),
            "measures": [
                {"name": each.name, "elapsed_ns": each.elapsed_ns, "after": each.after._asdict()}
                for each in self.measures
            ],
        }


def _row(name: str, time: str, sizes: Sizes) -> tuple[str, str, str, str, str]:
    return (name, time, size_text(sizes.size), size_text(sizes.free), f"{sizes.statistics} rows")


def optimize(database: DatabaseLike, *, vacuum: bool = False, lock_timeout: float = 300.0) -> Maintenance:
    """Refresh the planner's statistics (ANALYZE, PRAGMA optimize), and with `vacuum` rebuild the file (VACUUM).

    ANALYZE reads every index once, VACUUM writes the whole database anew; both keep writers out meanwhile, and
    without WAL VACUUM keeps readers out too. The schema, the rows and both ledgers mean the same afterwards.

    Raises:
        NotEnoughSpace: there is not enough disk for VACUUM; nothing was done.
        LockTimeout: somebody else held the database for longer than `lock_timeout` seconds.
        UrlError: the database cannot be opened or written, or does not exist.
        DatabaseFailed: the database failed, such as on a full disk.
    """
    with open_database(database, lock_timeout=lock_timeout) as opened:
        refuse_missing(opened)
        try:
            before = _sizes(opened)
            if vacuum:
                refuse_without_space(opened)
            return Maintenance(before, tuple(_measures(opened, vacuum=vacuum)))
        except sqlite3.DatabaseError as error:
            raise explained(error, opened.address) from error


def _measures(database: Database, *, vacuum: bool) -> Iterator[Measure]:
    yield _measured(database, "ANALYZE", _in_transaction)
    yield _measured(database, "PRAGMA optimize", _in_transaction)
    if vacuum:
        yield _measured(database, "VACUUM", _alone)


def _measured(database: Database, sql: str, run: Callable[[Database, str], int]) -> Measure:
    return Measure(sql, run(database, sql), _sizes(database))


def _in_transaction(database: Database, sql: str) -> int:
    with Transaction(database):
        started = perf_counter_ns()
        database.execute(sql).fetchall()
    return perf_counter_ns() - started


def _alone(database: Database, sql: str) -> int:
    """Run what no transaction may hold; SQLite takes its lock first, so that a try that fails has cost nothing."""
    started = 0

    def run() -> None:
        nonlocal started
        started = perf_counter_ns()
        database.execute(sql)

    database.patiently(run)
    return perf_counter_ns() - started


def _sizes(database: Database) -> Sizes:
    with database.reading():
        page_size = _pragma(database, "page_size")
        return Sizes(
            page_size * _pragma(database, "page_count"),
            page_size * _pragma(database, "freelist_count"),
            _statistics(database),
        )


def _pragma(database: Database, name: str) -> int:
    return int(database.execute(f"PRAGMA {name}").fetchone()[0])


def _statistics(database: Database) -> int:
    try:
        return int(database.execute(COUNT_STATISTICS).fetchone()[0])
    except sqlite3.OperationalError as error:
        if "no such table" not in str(error):
            raise
        return 0


def refuse_without_space(database: Database) -> None:
    """Insist on the disk that a VACUUM may need, twice the database: https://sqlite.org/lang_vacuum.html

    A copy of what is not free goes to a temporary file; then the old pages go to the journal, or the new ones to the
    WAL, beside the database. A database in memory needs none.

    Raises:
        NotEnoughSpace: one of the two folders has less.
    """
    if database.address.path is None:
        return
    sizes = _sizes(database)
    needs = {os.path.dirname(os.path.abspath(database.address.path)): sizes.size}
    if not _keeps_temporary_files_in_memory(database):
        folder = _temporary_folder()
        beside = next((other for other in needs if _one_disk(folder, other)), folder)
        needs[beside] = needs.get(beside, 0) + sizes.size - sizes.free
    hint = "make room, or set SQLITE_TMPDIR to a folder on another disk"
    refuse_without_room(f"VACUUM of {database.name}", needs, hint=hint)


def _keeps_temporary_files_in_memory(database: Database) -> bool:
    return _pragma(database, "temp_store") == _IN_MEMORY


def _temporary_folder() -> str:
    """Find the folder in which SQLite makes temporary files; on Windows the system's own."""
    if os.name == "nt":
        from tempfile import gettempdir

        return gettempdir()
    wanted = [os.environ.get(name, "") for name in _TEMPORARY_VARIABLES]
    usable = (folder for folder in (*wanted, *_TEMPORARY_FOLDERS) if folder and _can_be_used(folder))
    return next(usable, ".")


def _can_be_used(folder: str) -> bool:
    return os.path.isdir(folder) and os.access(folder, os.W_OK | os.X_OK)


def _one_disk(one: str, other: str) -> bool:
    return os.stat(one).st_dev == os.stat(other).st_dev
