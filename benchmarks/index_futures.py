"""Measure what the announcing document only considers: batching, a larger cache, an archive file, PRAGMA optimize."""

from __future__ import annotations

import argparse
import json
import platform
import shutil
import sqlite3
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from statistics import median
from time import perf_counter_ns

import index_queries
from torc_data import fill
from torc_rows import ROWS

from torc_migrations import upgrade

RESULTS = Path(__file__).parent / "results" / "index_futures.json"
SEED = 20251105
BATCHES = (1, 10, 100, 1_000, 10_000)
CACHES = {"default, 2 MB": -2_000, "PRAGMA cache_size = 10000, 40 MB": 10_000, "256 MB": -256_000}
INSERT_EVENT = """
    INSERT INTO event (workflow_id, timestamp, data)
    VALUES (1, '2025-11-05T03:01:41+00:00', '{"category": "job", "type": "completed", "job_id": 17}')
"""
UPDATE_STATUS = """
    UPDATE job
    SET status = (status + 1) % 9
    WHERE id = ?
"""
SCATTERED = 10_000
EVERYWHERE = "set the status of 10,000 jobs all over the table, in one transaction"
COUNT_STATISTICS = """
    SELECT COUNT(*)
    FROM sqlite_stat1
"""
# What depends on a workflow, children before parents; the user data of jobs is found through its jobs.
OF_JOBS = ("job_input_user_data", "job_output_user_data", "job_internal")
JOBS_OF_WORKFLOW = "SELECT id FROM job WHERE workflow_id = :workflow"
# Below this many jobs a workflow is small enough to wait for its cascade.
CASCADE_JOBS = 1_000


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    options = _parse(arguments)
    with tempfile.TemporaryDirectory(prefix="index_futures_") as folder:
        database = _filled(Path(folder) / "torc.db", options.workflows, options.jobs)
        small = _filled(Path(folder) / "small.db", options.workflows, min(options.jobs, CASCADE_JOBS))
        results = {
            "facts": _facts(options, database),
            "batches": _batches(database, options.rounds),
            "caches": _caches(database, options),
            "archive": _archive(database, options),
            "cascade": {"workflows": options.workflows, **_cascade(small)},
            "optimize": _optimize(database),
        }
    options.json.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    return 0


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workflows", type=int, default=20, metavar="N", help="how many (default: %(default)s)")
    parser.add_argument("--jobs", type=int, default=10_000, metavar="M", help="in each (default: %(default)s)")
    parser.add_argument(
        "--repeats", type=int, default=21, metavar="R", help="runs of each query (default: %(default)s)"
    )
    parser.add_argument("--rounds", type=int, default=15, metavar="R", help="of each write (default: %(default)s)")
    parser.add_argument("--json", type=Path, default=RESULTS, metavar="FILE", help="(default: %(default)s)")
    return parser.parse_args(arguments)


def _facts(options: argparse.Namespace, database: Path) -> dict[str, object]:
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "workflows": options.workflows,
        "jobs": options.jobs,
        "bytes": database.stat().st_size,
        "sqlite": sqlite3.sqlite_version,
        "python": platform.python_version(),
    }


def _filled(path: Path, workflows: int, jobs: int) -> Path:
    upgrade(path)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        fill(connection, workflows=workflows, jobs=jobs, seed=SEED)
    return path


def _copy(database: Path, name: str) -> Path:
    return Path(shutil.copy(database, database.with_name(name)))


def _milliseconds(nanoseconds: Sequence[int]) -> float:
    return round(median(nanoseconds) / 1e6, 4)


def _batches(database: Path, rounds: int) -> list[dict[str, object]]:
    """Insert events, so many to a transaction, and return the time of one."""
    print("batches", file=sys.stderr)
    found = []
    for journal, synchronous in (("wal", "normal"), ("wal", "full"), ("delete", "full")):
        path = _copy(database, f"batches_{journal}_{synchronous}.db")
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            connection.execute(f"PRAGMA journal_mode = {journal}")
            connection.execute(f"PRAGMA synchronous = {synchronous}")
            for size in BATCHES:
                times = [_insert(connection, size) for _ in range(rounds)]
                row = {"journal": journal, "synchronous": synchronous, "rows": size}
                found.append({**row, "ms_per_row": round(_milliseconds(times) / size, 6)})
        path.unlink()
    return found


def _insert(connection: sqlite3.Connection, rows: int) -> int:
    started = perf_counter_ns()
    connection.execute("BEGIN IMMEDIATE")
    for _ in range(rows):
        connection.execute(INSERT_EVENT)
    connection.execute("COMMIT")
    return perf_counter_ns() - started


def _caches(database: Path, options: argparse.Namespace) -> list[dict[str, object]]:
    """Run every query, and a write all over the table, with page caches of several sizes, by turns."""
    print("caches", file=sys.stderr)
    with ExitStack() as stack:
        opened = {name: _cached(_copy(database, f"cache_{size}.db"), size, stack) for name, size in CACHES.items()}
        times = _reading(opened, next(iter(opened.values())), options.repeats)
        times[EVERYWHERE] = _updating(opened, options.rounds)
    return [{"name": name, "ms": by} for name, by in times.items()]


def _cached(path: Path, size: int, stack: ExitStack) -> sqlite3.Connection:
    connection = stack.enter_context(closing(sqlite3.connect(path, isolation_level=None)))
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute(f"PRAGMA cache_size = {size}")
    return connection


def _reading(
    opened: Mapping[str, sqlite3.Connection], typical: sqlite3.Connection, repeats: int
) -> dict[str, dict[str, float]]:
    """Return the milliseconds of each query on each of several databases; its values are drawn from a typical one."""
    questions = index_queries.questions(typical, repeats=repeats, seed=SEED)
    return {
        question.name: {
            name: _milliseconds(timing.nanoseconds)
            for name, timing in index_queries.take_times(opened, question).items()
        }
        for question in questions
    }


def _updating(opened: Mapping[str, sqlite3.Connection], rounds: int) -> dict[str, float]:
    rng = Random(SEED)
    (jobs,) = next(iter(opened.values())).execute("SELECT MAX(id) FROM job").fetchone()
    times: dict[str, list[int]] = {name: [] for name in opened}
    for _ in range(rounds):
        rows = [(rng.randint(1, jobs),) for _ in range(SCATTERED)]
        for name, connection in opened.items():
            started = perf_counter_ns()
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany(UPDATE_STATUS, rows)
            connection.execute("COMMIT")
            times[name].append(perf_counter_ns() - started)
    return {name: _milliseconds(nanoseconds) for name, nanoseconds in times.items()}


def _archive(database: Path, options: argparse.Namespace) -> dict[str, object]:
    """Move three of four workflows into another file, table by table, and look at what is left."""
    print("archive", file=sys.stderr)
    path, archive = _copy(database, "live.db"), database.with_name("archive.db")
    upgrade(archive)
    last = options.workflows * 3 // 4
    size_before = path.stat().st_size
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        started = perf_counter_ns()
        _move(connection, archive, last)
        moved = perf_counter_ns()
        connection.execute("VACUUM")
        vacuumed = perf_counter_ns()
    with closing(sqlite3.connect(database)) as whole, closing(sqlite3.connect(path)) as rest:
        times = _reading({"before_ms": whole, "after_ms": rest}, rest, options.repeats)
    return {
        "workflows_moved": last,
        "move_ms": (moved - started) / 1e6,
        "vacuum_ms": (vacuumed - moved) / 1e6,
        "bytes": {"before": size_before, "after": path.stat().st_size, "archive": archive.stat().st_size},
        "queries": [{"name": name, **by} for name, by in times.items()],
    }


def _move(connection: sqlite3.Connection, archive: Path, last: int) -> None:
    """Copy and delete by workflow, with foreign keys off: what is moved is moved whole."""
    connection.execute("PRAGMA foreign_keys = OFF")
    connection.execute("ATTACH ? AS archive", (str(archive),))
    connection.execute("BEGIN IMMEDIATE")
    for table in ROWS:
        connection.execute(
            f"INSERT INTO archive.{table} SELECT * FROM main.{table} WHERE {_belongs(table)}", {"last": last}
        )
    for table in reversed(list(ROWS)):
        connection.execute(f"DELETE FROM main.{table} WHERE {_belongs(table)}", {"last": last})
    connection.execute("COMMIT")
    connection.execute("DETACH archive")


def _belongs(table: str) -> str:
    if table in OF_JOBS:
        return "job_id IN (SELECT id FROM main.job WHERE workflow_id <= :last)"
    return "id <= :last" if table in ("workflow", "workflow_status") else "workflow_id <= :last"


def _cascade(database: Path) -> dict[str, object]:
    """Delete a workflow by the cascade of its foreign keys, and again where every one of them has an index."""
    print("cascade", file=sys.stderr)
    indexed = _copy(database, "all_keys.db")
    with closing(sqlite3.connect(indexed, isolation_level=None)) as connection:
        for number, (table, columns) in enumerate(_unindexed(indexed)):
            connection.execute(f"CREATE INDEX idx_key_{number} ON {table} ({columns})")
    return {
        "jobs": CASCADE_JOBS,
        "shipped_ms": _delete_workflow(database),
        "every_key_indexed_ms": _delete_workflow(indexed),
    }


def _unindexed(database: Path) -> list[tuple[str, str]]:
    from torc_migrations.inspection import inspect_indexes

    return [(key.table, ", ".join(key.columns)) for key in inspect_indexes(database).unindexed_keys]


def _delete_workflow(database: Path) -> float:
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("BEGIN IMMEDIATE")
        started = perf_counter_ns()
        connection.execute("DELETE FROM workflow WHERE id = 1")
        elapsed = perf_counter_ns() - started
        connection.execute("ROLLBACK")
    return elapsed / 1e6


def _optimize(database: Path) -> list[dict[str, object]]:
    """Tell how many rows of statistics there are after each of what is said to make some."""
    print("optimize", file=sys.stderr)
    found: list[dict[str, object]] = []
    path = _copy(database, "optimize.db")
    for what in ("using the database", "PRAGMA optimize", "PRAGMA optimize = 0x10002", "ANALYZE"):
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            for question in index_queries.questions(connection, repeats=1, seed=SEED):
                connection.execute(question.sql, question.draws[0]).fetchall()
            started = perf_counter_ns()
            if what != "using the database":
                connection.execute(what).fetchall()
            elapsed = perf_counter_ns() - started
            found.append({"after": what, "statistics": _statistics(connection), "ms": elapsed / 1e6})
    return found


def _statistics(connection: sqlite3.Connection) -> int:
    try:
        return int(connection.execute(COUNT_STATISTICS).fetchone()[0])
    except sqlite3.OperationalError:
        return 0  # the table comes with the first ANALYZE


if __name__ == "__main__":
    sys.exit(main())
