"""Measure how long an application waits that writes without a pause while many small migrations are applied.

    python -m benchmarks.reliability.waits

Prints, for each time that migrations share a transaction, how long the upgrade takes, and the writes of the application
during it: how many, the 99th percentile in which a write counts for as long as it takes, and the longest one. The exit
code is 1 if a write of the application has failed.
"""

from __future__ import annotations

import argparse
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from statistics import median
from time import perf_counter

from benchmarks.peers.tools import write_yoyo
from benchmarks.peers.workbench import trivial_pairs
from benchmarks.samples import percentile_by_time, warn_of_load
from torc_migrations import upgrade

# Writes one row in each transaction, and prints the seconds of the longest ones once its input ends.
WRITER = """
import json, sqlite3, sys, threading, time
connection = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=60)
ended = threading.Event()
threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
print("ready", flush=True)
times, errors = [], []
while not ended.is_set():
    began = time.perf_counter()
    try:
        connection.execute("INSERT INTO written VALUES (1)")
    except sqlite3.Error as error:
        errors.append(str(error))
    times.append(time.perf_counter() - began)
print(json.dumps([times, errors]))
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--migrations", type=int, default=1000, metavar="N")
    parser.add_argument("--groups", type=float, nargs="+", default=[0.0, 0.05, 10.0], metavar="SECONDS")
    parser.add_argument("--journals", nargs="+", default=["delete", "wal"])
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args(arguments)
    warn_of_load()
    failed = False
    print("journal  group s  upgrade s  writes  99 % of time ms  longest ms")
    with tempfile.TemporaryDirectory() as name:
        source = Path(name, "migrations")
        source.mkdir()
        write_yoyo(source, trivial_pairs(options.migrations))
        for journal in options.journals:
            for group in options.groups:
                rounds = [_measure(Path(name), source, journal, group) for _ in range(options.rounds)]
                taken = median(each[0] for each in rounds)
                times = [seconds for each in rounds for seconds in each[1]]
                failed |= any(each[2] for each in rounds)
                p99, longest = percentile_by_time(times, 0.99) * 1e3, max(times) * 1e3
                print(
                    f"{journal:7}  {group:7g}  {taken:9.2f}  {len(times):6}  {p99:15.0f}  {longest:10.0f}", flush=True
                )
    return int(failed)


def _measure(directory: Path, source: Path, journal: str, group: float) -> tuple[float, list[float], list[str]]:
    """Return the seconds of one upgrade, those of each write meanwhile, and the errors of writes."""
    import json

    database = directory / "app.db"
    for each in directory.glob("app.db*"):
        each.unlink()
    with closing(sqlite3.connect(database)) as connection:
        connection.execute(f"PRAGMA journal_mode = {journal}")
        connection.execute("CREATE TABLE written (x)")
    command = [sys.executable, "-c", WRITER, str(database)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        writer.stdout.readline()
        began = perf_counter()
        upgrade(database, str(source), group=group)
        taken = perf_counter() - began
        output, _ = writer.communicate()
    times, errors = json.loads(output)
    return taken, times, errors


if __name__ == "__main__":
    sys.exit(main())
