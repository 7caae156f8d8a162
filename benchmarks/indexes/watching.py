"""Measure what it costs to watch an application: the same queries on a plain and on a watched connection, in turn.

python -m benchmarks.indexes.watching
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import platform
import sqlite3
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from time import thread_time_ns

from benchmarks.indexes.data import fill
from benchmarks.samples import ratio_of, spread, warn_of_load
from torc_migrations import upgrade
from torc_migrations.watch import Watch

RESULTS = Path(__file__).parents[1] / "results" / "watch_overhead.json"
SEED = 20251105
ALLOWED = 0.05
MILLISECOND = 1e6
# A shorter query runs several times between two readings of the clock.
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


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; the exit code is 1 if watching costs more than 5 % of a query that takes over 1 ms."""
    options = _parse(arguments)
    load_before = warn_of_load()
    logging.getLogger("torc_migrations").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory(prefix="watch_overhead_") as directory:
        path = Path(directory) / "torc.db"
        upgrade(path)
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            fill(connection, workflows=2, jobs=options.jobs, seed=SEED)
        rows = list(_measure(path, options.repeats))
    print(_table(rows))
    results = {"facts": {**_facts(options), "load_before": load_before}, "queries": rows}
    options.json.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    return int(any(row["held"] is False for row in rows))


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
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
        "processors": os.cpu_count(),
    }


def _measure(path: Path, repeats: int) -> Iterator[dict[str, object]]:
    factory: type[sqlite3.Connection] = Watch(slow=3600).factory()
    with closing(sqlite3.connect(path)) as plain, closing(sqlite3.connect(path, factory=factory)) as watched:
        for name, sql in QUERIES.items():
            for way in WAYS:
                pairs = _pairs(plain, watched, way, sql, repeats)
                times = {
                    "plain": spread([pair[0] / MILLISECOND for pair in pairs]),
                    "watched": spread([pair[1] / MILLISECOND for pair in pairs]),
                }
                ratio = ratio_of((watched_ns, plain_ns) for plain_ns, watched_ns in pairs)
                yield {
                    "query": name,
                    "way": way.__name__,
                    "plain_ms": times["plain"]["median"],
                    "watched_ms": times["watched"]["median"],
                    "overhead": round(ratio.median - 1, 4),
                    "held": None if times["plain"]["median"] < 1 else ratio.median - 1 < ALLOWED,
                    "ms": times,
                    "ratio": ratio._asdict(),
                }


def _pairs(
    plain: sqlite3.Connection,
    watched: sqlite3.Connection,
    way: Callable[[sqlite3.Connection, str], None],
    sql: str,
    repeats: int,
) -> list[tuple[int, int]]:
    """Return the nanoseconds of each repeat, plain and watched; which of them runs first alternates."""
    runs = max(1, SHORTEST_NS // max(1, *(_time(way, connection, sql, 1) for connection in (plain, watched))))
    pairs = []
    for number in range(repeats):
        if number % 2:
            first = _time(way, plain, sql, runs)
            pairs.append((first, _time(way, watched, sql, runs)))
        else:
            first = _time(way, watched, sql, runs)
            pairs.append((_time(way, plain, sql, runs), first))
    return pairs


def _time(way: Callable[[sqlite3.Connection, str], None], connection: sqlite3.Connection, sql: str, runs: int) -> int:
    """Return the processor time of this thread, which other processes hardly change."""
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
