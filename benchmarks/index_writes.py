"""What indexes cost those who write: the same writes by turns on a database without them and on one with them."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from itertools import count
from time import perf_counter_ns
from typing import NamedTuple

BULK = 10_000
SINGLE = 50

INSERT_JOB = """
    INSERT INTO job (id, workflow_id, name, command, resource_requirements_id, status)
    VALUES (:id, :workflow, 'job', 'python simulate.py --case 1 --output output/00001.parquet', 1, 1)
"""
INSERT_RESULT = """
    INSERT INTO result (workflow_id, job_id, run_id, compute_node_id, return_code, exec_time_minutes,
                        completion_time, status, peak_memory_bytes, avg_memory_bytes)
    VALUES (:workflow, :id, 1, 1, 0, 12.5, '2025-11-05T03:01:41+00:00', 5, 1000000, 500000)
"""
INSERT_DEPENDENCY = """
    INSERT INTO job_blocked_by (job_id, blocked_by_job_id, workflow_id)
    VALUES (:id, :first, :workflow)
"""
UPDATE_STATUS = """
    UPDATE job
    SET status = (status + 1) % 9
    WHERE id = :id
"""
DELETE_JOB = """
    DELETE FROM job
    WHERE id = :id
"""

# What is done to 10,000 rows of a new workflow, in one transaction and in this order.
BULK_WRITES = {
    "insert 10,000 jobs": INSERT_JOB,
    "insert 10,000 dependencies": INSERT_DEPENDENCY,
    "insert 10,000 results": INSERT_RESULT,
    "set the status of 10,000 jobs": UPDATE_STATUS,
}
# What is done to one row, with a commit of its own.
SINGLE_WRITES = {"insert a job": INSERT_JOB, "set the status of a job": UPDATE_STATUS}
CASCADE = "delete a job, with all that hangs on it"


class Target(NamedTuple):
    """A database to write to, and the next free id of a job in it."""

    connection: sqlite3.Connection
    ids: Iterator[int]


def prepare(connection: sqlite3.Connection) -> Target:
    """Have a connection write as a server does: WAL, `synchronous = NORMAL`, foreign keys enforced."""
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("PRAGMA foreign_keys = ON")
    return Target(connection, count(int(connection.execute("SELECT MAX(id) FROM job").fetchone()[0]) + 1))


def take_times(targets: Mapping[str, Target], *, repeats: int) -> dict[str, dict[str, list[int]]]:
    """Return the nanoseconds by what was written and by database."""
    times: dict[str, dict[str, list[int]]] = {}
    for number in range(repeats):
        for name, target in _turns(targets, number):
            for what, elapsed in (*_bulk(target), *_single(target), _cascade(target, number)):
                times.setdefault(what, {}).setdefault(name, []).append(elapsed)
    return times


def _turns(targets: Mapping[str, Target], number: int) -> Iterator[tuple[str, Target]]:
    items = list(targets.items())
    start = number % len(items)
    yield from (*items[start:], *items[:start])


def _bulk(target: Target) -> Iterator[tuple[str, int]]:
    ids = [next(target.ids) for _ in range(BULK)]
    rows = [{"id": job, "first": ids[0], "workflow": 1} for job in ids]
    for what, sql in BULK_WRITES.items():
        yield what, _timed(target.connection, partial(target.connection.executemany, sql, rows))
    _tidy(target.connection, ids)


def _tidy(connection: sqlite3.Connection, ids: list[int]) -> None:
    """Take the rows out again, so that every round finds the same database; nobody looks at the clock meanwhile."""
    with _without_foreign_keys(connection), connection:
        for table, column in (("job_blocked_by", "job_id"), ("result", "job_id"), ("job", "id")):
            connection.execute(f"DELETE FROM {table} WHERE {column} >= :first", {"first": ids[0]})


@contextmanager
def _without_foreign_keys(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("PRAGMA foreign_keys = OFF")
    yield
    connection.execute("PRAGMA foreign_keys = ON")


def _single(target: Target) -> Iterator[tuple[str, int]]:
    """Write a few rows, each in a transaction of its own, and return the median of each kind."""
    ids = [next(target.ids) for _ in range(SINGLE)]
    for what, sql in SINGLE_WRITES.items():
        write = partial(target.connection.execute, sql)
        times = [_timed(target.connection, partial(write, {"id": job, "workflow": 1})) for job in ids]
        yield what, sorted(times)[SINGLE // 2]
    _tidy(target.connection, ids)


def _cascade(target: Target, number: int) -> tuple[str, int]:
    """Delete a job as SQLite has to do it, and take that back: the search for what hangs on it is the cost."""
    started = perf_counter_ns()
    target.connection.execute("BEGIN IMMEDIATE")
    target.connection.execute(DELETE_JOB, {"id": 100 * number + 50})
    elapsed = perf_counter_ns() - started
    target.connection.execute("ROLLBACK")
    return CASCADE, elapsed


def _timed(connection: sqlite3.Connection, write: Callable[[], object]) -> int:
    started = perf_counter_ns()
    connection.execute("BEGIN IMMEDIATE")
    write()
    connection.execute("COMMIT")
    return perf_counter_ns() - started
