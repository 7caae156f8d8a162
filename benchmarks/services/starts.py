"""Measure a service's start with nothing to do, and what is installed after a cancellation in a migration of 5 s.

`python -m benchmarks.services.starts`. The migration sleeps in SQL, so that other programs do not change its time.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

from torc_migrations import AsyncMigrator, status, upgrade

SQL = Path(__file__).parents[2] / "sql"
FILES = {
    "1_create_book.sql": "CREATE TABLE book (id INTEGER PRIMARY KEY);\n",
    "2_slow.sql": "WITH RECURSIVE n (i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 500)\n"
    "INSERT INTO book SELECT i FROM n WHERE sleep(0.01);\n",
    "3_add_title.sql": "ALTER TABLE book ADD COLUMN title TEXT;\n",
}
# What each worker of a service does at its start.
WORKER = """
import sqlite3, time
began, used = time.perf_counter(), time.process_time()
import torc_migrations
imported = time.process_time() - used
torc_migrations.upgrade({database!r}, {source!r})
print(time.perf_counter() - began, imported, time.process_time() - used - imported)
"""


def register(connection: sqlite3.Connection) -> None:
    """Let SQL sleep."""

    def sleep(seconds: float) -> int:
        time.sleep(seconds)
        return 1

    connection.create_function("sleep", 1, sleep)


def main() -> None:
    """Print both."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workers", type=int, default=8, help="how many processes start at once")
    parser.add_argument("--rounds", type=int, default=5, help="how often they start")
    parser.add_argument("--upgrade-until-killed", metavar="DIR", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.upgrade_until_killed:
        here = Path(options.upgrade_until_killed)
        upgrade(here / "app.db", here / "migrations", functions=register, group=0)
        return
    _measure_starts(options.workers, options.rounds)
    for name, stop in {
        "not cancelled": lambda here: upgrade(here / "app.db", here / "migrations", functions=register, group=0),
        "asyncio.timeout(2), on_cancel='finish'": lambda here: asyncio.run(_cancel(here, "finish")),
        "asyncio.timeout(2), on_cancel='interrupt'": lambda here: asyncio.run(_cancel(here, "interrupt")),
        "SIGTERM": lambda here: _kill(here, signal.SIGTERM),
        "SIGKILL": lambda here: _kill(here, signal.SIGKILL),
    }.items():
        _measure_cancellation(name, stop)


def _measure_starts(workers: int, rounds: int) -> None:
    with tempfile.TemporaryDirectory() as directory:
        database = str(Path(directory) / "app.db")
        upgrade(database, SQL)
        command = [sys.executable, "-c", WORKER.format(database=database, source=str(SQL))]
        times: list[list[float]] = []
        for _ in range(rounds):
            started = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(workers)]
            times += [[float(each) for each in process.communicate()[0].split()] for process in started]
        elapsed, imported, upgraded = (median(each) * 1000 for each in zip(*times, strict=True))
        print(
            f"{workers} workers at once, nothing to do: {elapsed:.0f} ms each; "
            f"of the processor {imported:.0f} ms for the import and {upgraded:.1f} ms for the upgrade"
        )


def _measure_cancellation(name: str, stop: Callable[[Path], object]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        here = Path(directory)
        (here / "migrations").mkdir()
        for file, text in FILES.items():
            (here / "migrations" / file).write_text(text)
        began = time.perf_counter()
        stop(here)
        elapsed = time.perf_counter() - began
        found = [each.version for each in status(here / "app.db", here / "migrations").installed]
        with sqlite3.connect(here / "app.db") as connection:
            (rows,) = connection.execute("SELECT COUNT(*) FROM book").fetchone()
            (integrity,) = connection.execute("PRAGMA integrity_check").fetchone()
        again = upgrade(here / "app.db", here / "migrations", functions=register).applied
        print(f"{name}: {elapsed:.1f} s; installed {found}, {rows} rows, {integrity}; the next run applies {again}")


async def _cancel(here: Path, on_cancel: str) -> None:
    assert on_cancel in ("finish", "interrupt")
    migrator = AsyncMigrator(
        here / "app.db",
        here / "migrations",
        on_cancel="finish" if on_cancel == "finish" else "interrupt",
        functions=register,
        group=0,
    )
    try:
        async with asyncio.timeout(2):
            await migrator.upgrade()
    except TimeoutError:
        return


def _kill(here: Path, number: signal.Signals) -> None:
    words = [sys.executable, "-m", "benchmarks.services.starts", "--upgrade-until-killed", str(here)]
    process = subprocess.Popen(words, stderr=subprocess.DEVNULL)
    while not _is_first_installed(here / "app.db"):
        time.sleep(0.02)
    time.sleep(2)
    os.kill(process.pid, number)
    process.wait()


def _is_first_installed(database: Path) -> bool:
    return database.exists() and bool(status(database, database.parent / "migrations").installed)


if __name__ == "__main__":
    main()
