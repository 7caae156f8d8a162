"""Run one client of a torc database, a reader or a writer; `live_upgrade.py` starts this.

It works until its standard input ends, and then prints a JSON object: `operations`, each a kind and the nanoseconds of
its begin and end by `time.perf_counter_ns()`, a clock that all processes share; and `errors`, as texts.
"""

from __future__ import annotations

import argparse
import json
import sqlite3
import sys
from collections.abc import Callable, Sequence
from contextlib import closing
from datetime import UTC, datetime
from random import Random
from threading import Event, Thread
from time import perf_counter_ns
from typing import NamedTuple

BUSY_TIMEOUT_S = 30.0
READY = "ready"

# Queries that use the keys of the tables, and queries that scan a table without the indexes of the migration.
READS_BY_KEY = (
    "SELECT * FROM job WHERE id = :job",
    "SELECT * FROM result WHERE job_id = :job AND run_id = 1",
    "SELECT * FROM job_blocked_by WHERE job_id = :job",
    "SELECT * FROM workflow WHERE id = :workflow",
)
LISTS = (
    "SELECT id, name, status FROM job WHERE workflow_id = :workflow LIMIT 100",
    "SELECT status, COUNT(*) FROM job WHERE workflow_id = :workflow GROUP BY status",
)
UPDATE_JOB = """
    UPDATE job
    SET status = :status
    WHERE id = :job
"""
INSERT_EVENT = """
    INSERT INTO event (workflow_id, timestamp, data)
    VALUES (:workflow, :timestamp, :data)
"""
JOB_STATUSES = 9


class Application:
    """A connection with SQLite's defaults and a busy timeout, and the range of rows that it works on."""

    def __init__(self, connection: sqlite3.Connection, rng: Random) -> None:
        self._connection = connection
        self._rng = rng
        connection.execute("PRAGMA foreign_keys = ON")
        (self._workflows,) = connection.execute("SELECT MAX(id) FROM workflow").fetchone()
        (self._jobs,) = connection.execute("SELECT MAX(id) FROM job").fetchone()

    def read(self) -> str:
        """Run one query and return its kind; four of five are by key."""
        kind, queries = ("list", LISTS) if self._rng.random() < 0.2 else ("read", READS_BY_KEY)
        self._connection.execute(self._rng.choice(queries), self._random_row()).fetchall()
        return kind

    def write(self) -> str:
        """Update the status of one job and insert an event, in one transaction; return the kind, `write`."""
        row = self._random_row()
        event = {"timestamp": datetime.now(UTC).isoformat(), "data": f'{{"job_id": {row["job"]}}}'}
        with self._connection:
            self._connection.execute("BEGIN IMMEDIATE")
            self._connection.execute(UPDATE_JOB, {**row, "status": self._rng.randrange(JOB_STATUSES)})
            self._connection.execute(INSERT_EVENT, {**row, **event})
        return "write"

    def _random_row(self) -> dict[str, int]:
        return {"workflow": self._rng.randint(1, self._workflows), "job": self._rng.randint(1, self._jobs)}


class Record(NamedTuple):
    """What a client did: kind, begin and end of each operation, and the errors."""

    operations: list[tuple[str, int, int]]
    errors: list[str]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    options = _parse(arguments)
    connection = sqlite3.connect(options.database, timeout=BUSY_TIMEOUT_S, isolation_level=None)
    with closing(connection):
        application = Application(connection, Random(options.seed))
        act = application.read if options.role == "reader" else application.write
        record = _repeat(act, _end_of_input(), options.pause)
    json.dump(record._asdict(), sys.stdout)
    return 0


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("role", choices=("reader", "writer"))
    parser.add_argument("database", help="an SQLite file with torc workflows in it")
    parser.add_argument("--pause", type=float, default=0.0, metavar="S", help="between two operations (default: none)")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="(default: %(default)s)")
    return parser.parse_args(arguments)


def _end_of_input() -> Event:
    """Print that the client is ready; return an event that is set when standard input ends."""
    ended = Event()

    def wait() -> None:
        sys.stdin.read()
        ended.set()

    Thread(target=wait, daemon=True).start()
    print(READY, flush=True)
    return ended


def _repeat(act: Callable[[], str], stop: Event, pause: float) -> Record:
    record = Record([], [])
    while not stop.wait(pause):
        kind, began = "error", perf_counter_ns()
        try:
            kind = act()
        except sqlite3.Error as error:
            record.errors.append(str(error))
        record.operations.append((kind, began, perf_counter_ns()))
    return record


if __name__ == "__main__":
    sys.exit(main())
