"""Measure what watching costs: the same queries on a plain connection and on a watched one, by turns."""

from __future__ import annotations

import argparse
import json
import logging
import platform
import sqlite3
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from time import thread_time_ns
from typing import NamedTuple

from torc_data import fill

from torc_migrations import upgrade
from torc_migrations.watch import Watch

RESULTS = Path(__file__).parent / "results" / "watch_overhead.json"
SEED = 20251105
ALLOWED = 0.05
MILLISECOND = 1e6
# What is shorter is run several times between two looks at the clock.
SHORTEST_NS = 1_000_000

QUERIES: Mapping[str, str] = {
    "all jobs of a workflow": "SELECT * FROM job WHERE workflow_id = 1",
    "all ids of a workflow's jobs": "SELECT id FROM job WHERE workflow_id = 1",
    "all results of a workflow": "SELECT * FROM result WHERE workflow_id = 1",
    "a scan that finds nothing": "SELECT * FROM job WHERE command = 'none'",
    "a sum over a scan": "SELECT SUM(status) FROM job",
    "a page of jobs": "SELECT * FROM job WHERE workflow_id = 1 LIMIT 100",
    "one job": "SELECT * FROM job WHERE id = 17",
}


def fetch_all(connection: sqlite3.Connection, sql: str) -> None:
    """Take all rows at once."""
    connection.execute(sql).fetchall()


def loop(connection: sqlite3.Connection, sql: str) -> None:
    """Take the rows in a `for` loop."""
    for _ in connection.execute(sql):
        pass


def fetch_one_by_one(connection: sqlite3.Connection, sql: str) -> None:
    """Take each row with a call of `fetchone`."""
    cursor = connection.execute(sql)
    while cursor.fetchone() is not None:
        pass


WAYS: tuple[Callable[[sqlite3.Connection, str], None], ...] = (fetch_all, loop, fetch_one_by_one)


class Pair(NamedTuple):
    """The nanoseconds of the same query, plain and watched."""

    plain: list[int]
    watched: list[int]

    @property
    def overhead(self) -> float:
        """The part that watching adds, from the medians of both."""
        return median(self.watched) / median(self.plain) - 1


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; the exit code is 1 where watching a query of over a millisecond costs more than 5 %."""
    options = _parse(arguments)
    logging.getLogger("torc_migrations").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory(prefix="watch_overhead_") as folder:
        path = Path(folder) / "torc.db"
        upgrade(path)
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            fill(connection, workflows=2, jobs=options.jobs, seed=SEED)
        rows = list(_measure(path, options.repeats))
    print(_table(rows))
    options.json.write_text(json.dumps({"facts": _facts(options), "queries": rows}, indent=1) + "\n", encoding="utf-8")
    return int(any(row["held"] is False for row in rows))


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=10_000, metavar="M", help="in a workflow (default: %(default)s)")
    parser.add_argument("--repeats", type=int, default=101, metavar="R", help="of each query (default: %(default)s)")
    parser.add_argument("--json", type=Path, default=RESULTS, metavar="FILE", help="(default: %(default)s)")
    return parser.parse_args(arguments)


def _facts(options: argparse.Namespace) -> dict[str, object]:
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "jobs": options.jobs,
        "repeats": options.repeats,
        "sqlite": sqlite3.sqlite_version,
        "python": platform.python_version(),
    }


def _measure(path: Path, repeats: int) -> Iterator[dict[str, object]]:
    factory: type[sqlite3.Connection] = Watch(slow=3600).factory()
    with closing(sqlite3.connect(path)) as plain, closing(sqlite3.connect(path, factory=factory)) as watched:
        for name, sql in QUERIES.items():
            for way in WAYS:
                pair = _pair(plain, watched, way, sql, repeats)
                plain_ms = median(pair.plain) / MILLISECOND
                yield {
                    "query": name,
                    "way": way.__name__,
                    "plain_ms": round(plain_ms, 4),
                    "watched_ms": round(median(pair.watched) / MILLISECOND, 4),
                    "overhead": round(pair.overhead, 4),
                    "held": None if plain_ms < 1 else pair.overhead < ALLOWED,
                }


def _pair(
    plain: sqlite3.Connection,
    watched: sqlite3.Connection,
    way: Callable[[sqlite3.Connection, str], None],
    sql: str,
    repeats: int,
) -> Pair:
    pair = Pair([], [])
    runs = max(1, SHORTEST_NS // max(1, *(_time(way, connection, sql, 1) for connection in (plain, watched))))
    for number in range(repeats):
        turns = ((plain, pair.plain), (watched, pair.watched))
        for connection, times in turns if number % 2 else reversed(turns):
            times.append(_time(way, connection, sql, runs))
    return pair


def _time(way: Callable[[sqlite3.Connection, str], None], connection: sqlite3.Connection, sql: str, runs: int) -> int:
    """Return the time of this thread on a processor: what watching takes, whoever else is busy."""
    started = thread_time_ns()
    for _ in range(runs):
        way(connection, sql)
    return (thread_time_ns() - started) // runs


def _table(rows: Sequence[Mapping[str, object]]) -> str:
    lines = [f"{'query':32}{'rows taken by':20}{'plain ms':>12}{'watched ms':>12}{'overhead':>10}"]
    for row in rows:
        times = f"{row['plain_ms']:12.4f}{row['watched_ms']:12.4f}{row['overhead']:10.1%}"
        lines.append(f"{row['query']:32}{row['way']:20}{times}")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
