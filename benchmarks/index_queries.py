"""The queries whose times are taken, what the announcing document claims of them, and the values that they run with."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from random import Random
from time import perf_counter_ns
from typing import NamedTuple

from torc_migrations.expectation import find_expectations
from torc_migrations.query_plan import explain

PAGE = 100
READY = 2
USERS = ("amara", "bjorn", "chen", "divya", "elif")


class Claim(NamedTuple):
    """What the document says of a kind of query on a workflow of 10,000 jobs, in milliseconds, from and to."""

    family: str
    before: tuple[float, float]
    after: tuple[float, float]


# "10-50x faster" is said of each of them, and of reads as a whole.
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


class Question(NamedTuple):
    """A query, and the values of each of its runs."""

    name: str
    sql: str
    draws: Sequence[Mapping[str, object]]


class Timing(NamedTuple):
    """The nanoseconds of each run, and how many rows all of them returned."""

    nanoseconds: list[int]
    rows: int


def questions(connection: sqlite3.Connection, *, repeats: int, seed: int) -> tuple[Question, ...]:
    """Return the queries of the shipped expectations, each with as many random values as it is to be run."""
    rng = Random(seed)
    ranges = _ranges(connection)
    return tuple(
        Question(expectation.name, expectation.query, [_draw(ranges, rng) for _ in range(repeats)])
        for expectation in find_expectations()
    )


class _Ranges(NamedTuple):
    """The ids that there are; of the workflows those that have jobs to be claimed."""

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


def take_times(connections: Mapping[str, sqlite3.Connection], question: Question) -> dict[str, Timing]:
    """Run a query on several databases by turns, so that a noisy moment hits all of them alike; once to warm up."""
    for connection in connections.values():
        _run(connection, question.sql, question.draws[0])
    times: dict[str, Timing] = {name: Timing([], 0) for name in connections}
    for number, draw in enumerate(question.draws):
        for name in _turns(list(connections), number):
            elapsed, rows = _run(connections[name], question.sql, draw)
            times[name].nanoseconds.append(elapsed)
            times[name] = times[name]._replace(rows=times[name].rows + rows)
    return times


def _turns(names: list[str], number: int) -> Iterator[str]:
    """Begin with another one each time."""
    start = number % len(names)
    yield from (*names[start:], *names[:start])


def _run(connection: sqlite3.Connection, sql: str, values: Mapping[str, object]) -> tuple[int, int]:
    started = perf_counter_ns()
    rows = connection.execute(sql, values).fetchall()
    return perf_counter_ns() - started, len(rows)


def plan_of(connection: sqlite3.Connection, question: Question) -> list[str]:
    """Return the lines of a query's plan."""
    return list(explain(connection, question.sql).texts)
