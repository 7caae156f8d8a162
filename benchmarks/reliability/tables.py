"""Measure how the time of an upgrade and of its rehearsals grows with the number of tables and of files.

    python -m benchmarks.reliability.tables

Prints the seconds of processor time of each operation on a new file, and how many times those of the size before they
are: 2 is proportional, where a size is twice the one before. SQLite alone takes four times as long for twice as many
tables with an index each. At first all tables are made by one script, then each by a
file of its own.
"""

from __future__ import annotations

import argparse
import sqlite3
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from time import process_time

from benchmarks.peers.tools import Pair, write_yoyo
from benchmarks.peers.workbench import trivial_pairs
from benchmarks.samples import warn_of_load
from torc_migrations import Migrator, rehearse, upgrade


def _run_alone(database: Path, source: str) -> None:
    """Run the scripts in one transaction, with nothing but SQLite."""
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        connection.execute("BEGIN")
        for path in sorted(Path(source).glob("*.sql")):
            for statement in "" if path.name.endswith(".rollback.sql") else path.read_text().split(";\n"):
                connection.execute(statement)
        connection.execute("COMMIT")


OPERATIONS: dict[str, Callable[[Path, str], object]] = {
    "SQLite alone": _run_alone,
    "upgrade": upgrade,
    "rehearse": rehearse,
    "upgrade, on_loss": lambda database, source: upgrade(database, source, on_loss="refuse"),
    "round trip": lambda database, source: Migrator(database, source).round_trip(fresh=True),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", type=int, nargs="*", default=[1000, 2000, 4000], metavar="N", help="in one script")
    parser.add_argument("--files", type=int, nargs="*", default=[500, 1000], metavar="N", help="of one table each")
    options = parser.parse_args(arguments)
    warn_of_load()
    print("what                  ", *(f"{name:>24}" for name in OPERATIONS))
    for unit, sizes in (("tables", options.tables), ("files", options.files)):
        before: dict[str, float] = {}
        for size in sizes:
            times = _measure(size, one_script=unit == "tables")
            cells = (f"{times[name]:9.2f} s {_growth(before.get(name), times[name]):>12}" for name in OPERATIONS)
            print(f"{size:6} {unit:15}", *cells, flush=True)
            before = times
    return 0


def _growth(before: float | None, now: float) -> str:
    return f"({now / before:.1f}x)" if before else ""


def _measure(size: int, *, one_script: bool) -> dict[str, float]:
    """Return the seconds of processor time of each operation."""
    pairs = trivial_pairs(size)
    if one_script:
        pairs = [Pair("".join(pair.up for pair in pairs), "".join(pair.down for pair in pairs))]
    times = {}
    with tempfile.TemporaryDirectory() as name:
        source = Path(name, "migrations")
        source.mkdir()
        write_yoyo(source, pairs)
        for number, (operation, run) in enumerate(OPERATIONS.items()):
            began = process_time()
            run(Path(name, f"{number}.db"), str(source))
            times[operation] = process_time() - began
    return times


if __name__ == "__main__":
    sys.exit(main())
