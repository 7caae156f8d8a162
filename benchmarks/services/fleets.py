"""Measure the status and the upgrade of many databases."""

from __future__ import annotations

import argparse
import resource
import shutil
import sqlite3
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from threading import Event, Thread

from torc_migrations import Fleet, upgrade

SQL = Path(__file__).parents[2] / "sql"
NEW = "20990101000000_add_note.sql"
LOCK_TIMEOUT = 1.0  # seconds; a database that is locked holds up a process so long


def main() -> None:
    """Make databases of the torc schema, look at them, and upgrade them by nothing and by one migration.

    In the last upgrade some of the databases are broken in five ways; a second run ends it.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--databases", type=int, default=10_000, help="how many databases there are")
    parser.add_argument("--workers", type=int, default=2, help="how many processes work")
    parser.add_argument("--broken", type=int, default=1, metavar="PERCENT", help="how many of them are broken")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        source, tenants = Path(directory) / "sql", Path(directory) / "tenants"
        shutil.copytree(SQL, source)
        tenants.mkdir()
        upgrade(Path(directory) / "template.db", source)
        for number in range(options.databases):
            shutil.copyfile(Path(directory) / "template.db", tenants / f"{number:06}.db")
        fleet = Fleet(f"{tenants}/*.db", source)
        _measure("status", lambda: fleet.status(workers=options.workers).as_text())
        _measure("upgrade, nothing to do", lambda: fleet.upgrade(workers=options.workers).as_text())
        (source / NEW).write_text("CREATE TABLE note (id INTEGER PRIMARY KEY, text TEXT);\n")
        paths = sorted(tenants.glob("*.db"))
        broken = paths[:: 100 // options.broken] if options.broken else []
        with _broken(broken, Path(directory) / "template.db") as addresses:
            given = [addresses.get(path, str(path)) for path in paths]
            fleet = Fleet(given, source, lock_timeout=LOCK_TIMEOUT)
            _measure("upgrade, one migration", lambda: _upgrade(fleet, options.workers))
        fleet = Fleet(f"{tenants}/*.db", source)
        _measure("upgrade, what was broken", lambda: _upgrade(fleet, options.workers))


def _upgrade(fleet: Fleet, workers: int) -> str:
    """Upgrade, and count the failures by their codes."""
    report = fleet.upgrade(workers=workers, on_error="continue")
    codes = Counter(failure.error.code for failure in report.failures if failure.error is not None)
    return f"{report.as_text().splitlines()[0]} {dict(codes)}"


@contextmanager
def _broken(paths: list[Path], template: Path) -> Iterator[dict[Path, str]]:
    """Break databases in five ways: locked, edited, no database, read-only, foreign; yield addresses, then repair."""
    with ExitStack() as stack:
        addresses: dict[Path, str] = {}
        for number, path in enumerate(paths):
            way = number % 5
            if way == 1:
                _execute(path, "UPDATE _sqlx_migrations SET checksum = x'00' WHERE version = 20251023160238")
            elif way == 2:
                path.write_text("This is no database. " * 300)
            elif way == 3:
                addresses[path] = f"sqlite:///{path}?mode=ro"
            elif way == 4:
                _execute(path, "INSERT INTO _sqlx_migrations VALUES (7, 'other', '2026-01-01', 1, x'00', 0)")
            else:
                holder = stack.enter_context(closing(sqlite3.connect(path, isolation_level=None)))
                holder.execute("BEGIN IMMEDIATE")
        yield addresses
    for path in paths:
        if path not in addresses:
            shutil.copyfile(template, path)


def _execute(path: Path, sql: str) -> None:
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute(sql).rowcount == 1
        connection.commit()


def _measure(name: str, operation: Callable[[], str]) -> None:
    began, processor = time.perf_counter(), _processor_time()
    with _memory_of_workers() as workers:
        text = operation().strip()
    elapsed, processor = time.perf_counter() - began, _processor_time() - processor
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(
        f"{name}: {elapsed:.1f} s, of the processor {processor:.1f} s ({text}); "
        f"memory {memory} MB, of each worker {max(workers, default=0)} MB",
        flush=True,
    )


@contextmanager
def _memory_of_workers() -> Iterator[list[int]]:
    """Yield what grows by the most memory that each child process has used, in MB, every now and then.

    `ru_maxrss` of a child is no less than that of its parent when it was started.
    """
    seen: list[int] = []
    ended = Event()

    def sample() -> None:
        while not ended.wait(0.5):
            for children in Path("/proc/self/task").glob("*/children"):
                for pid in children.read_text().split():
                    with suppress(OSError, IndexError):
                        status = Path(f"/proc/{pid}/status").read_text()
                        seen.append(int(status.partition("VmHWM:")[2].split()[0]) // 1024)

    thread = Thread(target=sample)
    thread.start()
    try:
        yield seen
    finally:
        ended.set()
        thread.join()


def _processor_time() -> float:
    used = (resource.getrusage(whose) for whose in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(each.ru_utime + each.ru_stime for each in used)


if __name__ == "__main__":
    main()
