"""Measure what SQLite's progress handler adds to a long statement.

    python -m benchmarks.reliability.handler

Each round runs the same statement in three ways, in an order that changes: on a plain connection, on one with the
handler, and in an upgrade with events and a limit. Prints the medians of elapsed and of processor time, and the median
of the ratios to the plain connection within a round.
"""

from __future__ import annotations

import argparse
import sqlite3
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from statistics import median
from time import perf_counter, process_time

from benchmarks.samples import ratio_of, warn_of_load
from torc_migrations import upgrade
from torc_migrations.databases.sqlite.clock import Clock
from torc_migrations.events import Event

STATEMENT = (
    "WITH RECURSIVE n (i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < {rows}) "
    "SELECT count(*), sum(i % 97), max(i * 3) FROM n;\n"
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=20_000_000, metavar="N", help="(default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=9, help="(default: %(default)s)")
    options = parser.parse_args(arguments)
    warn_of_load()
    sql = STATEMENT.format(rows=options.rows)
    with tempfile.TemporaryDirectory() as source:
        Path(source, "1_long.sql").write_text(sql)
        ways: dict[str, Callable[[], object]] = {
            "no handler": lambda: _execute(sql, handled=False),
            "handler": lambda: _execute(sql, handled=True),
            "upgrade with events and a limit": lambda: _upgrade(source),
        }
        times: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
        for number in range(options.rounds):
            names = list(ways)
            for name in names[number % len(names) :] + names[: number % len(names)]:
                times[name].append(_time(ways[name]))
    plain = times["no handler"]
    for name, found in times.items():
        seconds = [median(column) for column in zip(*found, strict=True)]
        ratios = [
            ratio_of([(each[clock], other[clock]) for each, other in zip(found, plain, strict=True)]).median
            for clock in (0, 1)
        ]
        print(
            f"{name:32} {seconds[0]:6.2f} s ({ratios[0]:.3f}x), processor {seconds[1]:6.2f} s ({ratios[1]:.3f}x), "
            f"best {min(each[1] for each in found):.2f} s"
        )
    return 0


def _execute(sql: str, *, handled: bool) -> None:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        if handled:
            clock = Clock()
            clock.watch(connection)
            clock.is_counting = True
        connection.execute(sql).fetchall()


def _upgrade(source: str) -> None:
    events: list[Event] = []
    upgrade(":memory:", source, on_event=events.append, statement_timeout=3600.0)


def _time(act: Callable[[], object]) -> tuple[float, float]:
    wall, processor = perf_counter(), process_time()
    act()
    return perf_counter() - wall, process_time() - processor


if __name__ == "__main__":
    sys.exit(main())
