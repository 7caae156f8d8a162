"""The queries and writes that are measured, what the announcing document claims of them, and their random values."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import count
from random import Random
from statistics import median
from time import perf_counter_ns
from typing import NamedTuple

from benchmarks.samples import in_turn
from torc_migrations.databases.sqlite.tuning.plans import explain
from torc_migrations.indexes.expectations import find_expectations

PAGE = 100
READY = 2
USERS = ("amara", "bjorn", "chen", "divya", "elif")


class Claim(NamedTuple):
    """What the document says of a kind of query on a workflow of 10,000 jobs: milliseconds, from and to."""

    family: str
    before: tuple[float, float]
    after: tuple[float, float]


# The document says "10-50x faster" of each of them, and of reads in general.
TIMES_FASTER = (10.0, 50.0)
LIST_JOBS = Claim("list jobs", (100, 500), (5, 20))
READY_JOBS = Claim("find ready jobs", (100, 500), (2, 10))
LIST_RESULTS = Claim("list results", (50, 200), (5, 15))
DEPENDENCIES = Claim("dependency lookups", (50, 200), (1, 5))
CLAIMS = {
    "jobs of a workflow": LIST_JOBS,
    "jobs of a workflow in a status": READY_JOBS,
    "results of a workflow": LIST_RESULTS,
    "jobs that wait for a job": DEPENDENCIES,
    "jobs that read a file": DEPENDENCIES,
    "jobs that write a file": DEPENDENCIES,
    "jobs that read a piece of user data": DEPENDENCIES,
    "jobs that write a piece of user data": DEPENDENCIES,
}

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
# For 10,000 rows of a new workflow, each kind in one transaction, in this order.
BULK_WRITES = {
    "insert 10,000 jobs": INSERT_JOB,
    "insert 10,000 dependencies": INSERT_DEPENDENCY,
    "insert 10,000 results": INSERT_RESULT,
    "set the status of 10,000 jobs": UPDATE_STATUS,
}
# For one row, with a commit after each.
SINGLE_WRITES = {"insert a job": INSERT_JOB, "set the status of a job": UPDATE_STATUS}
CASCADE = "delete a job, and by cascade all rows that refer to it"


class Query(NamedTuple):
    """A query, and the values of each of its runs."""

    name: str
    sql: str
    draws: Sequence[Mapping[str, object]]


class Timing(NamedTuple):
    """The nanoseconds of each run, and how many rows all of them returned."""

    nanoseconds: list[int]
    rows: int


class Target(NamedTuple):
    """A database to write to, and the next free id of a job in it."""

    connection: sqlite3.Connection
    ids: Iterator[int]


def queries(connection: sqlite3.Connection, *, repeats: int, seed: int) -> tuple[Query, ...]:
    """Return the queries of the shipped expectations, each with as many random values as it is to be run."""
    rng = Random(seed)
    ranges = _ranges(connection)
    return tuple(
        Query(expectation.name, expectation.query, [_draw(ranges, rng) for _ in range(repeats)])
        for expectation in find_expectations()
    )


class _Ranges(NamedTuple):
    """The ids that there are; of the workflows only those with jobs that are ready."""

    workflows: Sequence[int]
    jobs_each: int
    jobs: range
    files: range
    user_data: range


def _ranges(connection: sqlite3.Connection) -> _Ranges:
    def ids(table: str) -> range:
        first, last = connection.execute(f"SELECT MIN(id), MAX(id) FROM {table}").fetchone()
        return range(int(first), int(last) + 1)

    ready = [int(row[0]) for row in connection.execute("SELECT DISTINCT workflow_id FROM ready_queue ORDER BY 1")]
    jobs = ids("job")
    return _Ranges(ready, len(jobs) // len(ids("workflow")), jobs, ids("file"), ids("user_data"))


def _draw(ranges: _Ranges, rng: Random) -> dict[str, object]:
    return {
        "workflow_id": rng.choice(ranges.workflows),
        "job_id": rng.choice(ranges.jobs),
        "file_id": rng.choice(ranges.files),
        "user_data_id": rng.choice(ranges.user_data),
        "run_id": rng.randint(1, 3),
        "user": rng.choice(USERS),
        "status": READY,
        "limit": PAGE,
        "offset": rng.randrange(0, max(1, ranges.jobs_each - PAGE), PAGE),
    }


def time_query(connections: Mapping[str, sqlite3.Connection], query: Query) -> dict[str, Timing]:
    """Run a query on several databases in turn, once to warm up and then once for each of its values."""
    for connection in connections.values():
        _run(connection, query.sql, query.draws[0])
    times: dict[str, Timing] = {name: Timing([], 0) for name in connections}
    for number, draw in enumerate(query.draws):
        for name, connection in in_turn(connections, number):
            elapsed, rows = _run(connection, query.sql, draw)
            times[name].nanoseconds.append(elapsed)
            times[name] = times[name]._replace(rows=times[name].rows + rows)
    return times


def _run(connection: sqlite3.Connection, sql: str, values: Mapping[str, object]) -> tuple[int, int]:
    started = perf_counter_ns()
    rows = connection.execute(sql, values).fetchall()
    return perf_counter_ns() - started, len(rows)


def plan_of(connection: sqlite3.Connection, query: Query) -> list[str]:
    """Return the lines of the plan of a query."""
    return list(explain(connection, query.sql).texts)


def prepare(connection: sqlite3.Connection) -> Target:
    """Set a connection up as a server does: WAL, `synchronous = NORMAL`, foreign keys enforced."""
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("PRAGMA foreign_keys = ON")
    return Target(connection, count(int(connection.execute("SELECT MAX(id) FROM job").fetchone()[0]) + 1))


def time_writes(targets: Mapping[str, Target], *, repeats: int) -> dict[str, dict[str, list[int]]]:
    """Return the nanoseconds of each round, by write and by database; the databases take turns."""
    times: dict[str, dict[str, list[int]]] = {}
    for number in range(repeats):
        for name, target in in_turn(targets, number):
            for write, elapsed in (*_bulk(target), *_single(target), _cascade(target, number)):
                times.setdefault(write, {}).setdefault(name, []).append(elapsed)
    return times


def _bulk(target: Target) -> Iterator[tuple[str, int]]:
    ids = [next(target.ids) for _ in range(BULK)]
    rows = [{"id": job, "first": ids[0], "workflow": 1} for job in ids]
    for write, sql in BULK_WRITES.items():
        yield write, _timed(target.connection, partial(target.connection.executemany, sql, rows))
    _delete_again(target.connection, ids)


def _delete_again(connection: sqlite3.Connection, ids: list[int]) -> None:
    """Delete the new rows, so that every round works on the same database; this is not timed."""
    with _without_foreign_keys(connection), connection:
        for table, column in (("job_blocked_by", "job_id"), ("result", "job_id"), ("job", "id")):
            connection.execute(f"DELETE FROM {table} WHERE {column} >= :first", {"first": ids[0]})


@contextmanager
def _without_foreign_keys(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("PRAGMA foreign_keys = OFF")
    yield
    connection.execute("PRAGMA foreign_keys = ON")


def _single(target: Target) -> Iterator[tuple[str, int]]:
    """Write 50 rows, each in its own transaction, and yield the median of each kind of write."""
    ids = [next(target.ids) for _ in range(SINGLE)]
    for name, sql in SINGLE_WRITES.items():
        write = partial(target.connection.execute, sql)
        times = [_timed(target.connection, partial(write, {"id": job, "workflow": 1})) for job in ids]
        yield name, round(median(times))
    _delete_again(target.connection, ids)


def _cascade(target: Target, number: int) -> tuple[str, int]:
    """Delete a job and roll back: what takes time is the search for the rows that refer to it."""
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
