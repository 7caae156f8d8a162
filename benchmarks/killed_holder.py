"""Measure what a killed holder of the lock costs whoever waits: `python benchmarks/killed_holder.py`.

Another process takes the write lock, changes something and is killed after a while; printed is the time from the kill
to the end of an upgrade that has waited meanwhile, in seconds.
"""

from __future__ import annotations

import argparse
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import closing
from pathlib import Path
from statistics import median

from torc_migrations import upgrade

HOLDER = """
import sqlite3, sys, time
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
connection.execute("CREATE TABLE half_way (x)")
print("ready", flush=True)
time.sleep(600)
"""


def cost(database: Path, source: str, held: float) -> float:
    """Return the seconds from the kill of a holder to the end of the upgrade that waits for it."""
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, str(database)], stdout=subprocess.PIPE)
    assert holder.stdout is not None
    holder.stdout.readline()
    waiter = threading.Thread(target=upgrade, args=(database, source))
    waiter.start()
    time.sleep(held)
    holder.kill()
    killed = time.perf_counter()
    waiter.join()
    taken = time.perf_counter() - killed
    holder.communicate()
    return taken


def main() -> None:
    """Measure in both journal modes, after waits of several lengths."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "source")
        source.mkdir()
        (source / "1_make.sql").write_text("CREATE TABLE t (x);\n")
        for journal in ("delete", "wal"):
            costs = []
            for number in range(options.rounds * 3):
                database = Path(folder, f"{journal}{number}.db")
                with closing(sqlite3.connect(database)) as connection:
                    connection.execute(f"PRAGMA journal_mode = {journal}")
                    connection.execute("CREATE TABLE x (x)")
                costs.append(cost(database, str(source), (0.5, 2, 5)[number % 3]))
            print(f"{journal} mode: {median(costs):.2f} s, at most {max(costs):.2f} s, of {len(costs)}")


if __name__ == "__main__":
    main()
