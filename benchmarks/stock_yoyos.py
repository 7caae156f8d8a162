"""Start several stock `yoyo apply` at one moment, and count how many fail: `python benchmarks/stock_yoyos.py`.

After each round an upgrade of ours does what is left, and every table is looked at: what is there must be whole.
"""

from __future__ import annotations

import argparse
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import closing
from pathlib import Path
from subprocess import PIPE

from torc_migrations import upgrade

MIGRATIONS = 6

# Loads stock yoyo's command, says so, and waits for the moment it is told.
RUNNER = """
import sys, time
from yoyo.scripts.main import main
print("ready", flush=True)
moment = float(sys.stdin.readline())
while time.monotonic() < moment:
    pass
main(["apply", "-b", "-d", *sys.argv[1:]])
"""


def write_source(folder: Path) -> str:
    """Write a folder of migrations, each of which makes a table with one row."""
    folder.mkdir()
    for number in range(1, MIGRATIONS + 1):
        sql = f"CREATE TABLE t{number} (x);\nINSERT INTO t{number} VALUES ({number});\n"
        (folder / f"{number}_make_t{number}.sql").write_text(sql)
        (folder / f"{number}_make_t{number}.rollback.sql").write_text(f"DROP TABLE t{number};\n")
    return str(folder)


def race(database: Path, source: str, count: int) -> list[str]:
    """Run stock yoyo so many times at one moment, and return the last line of each one that failed."""
    words = [sys.executable, "-c", RUNNER, f"sqlite:///{database}", source]
    runs = [subprocess.Popen(words, stdin=PIPE, stdout=PIPE, stderr=PIPE, text=True) for _ in range(count)]
    for run in runs:
        assert run.stdout is not None
        run.stdout.readline()
    moment = f"{time.monotonic() + 0.1}\n"
    for run in runs:
        assert run.stdin is not None
        run.stdin.write(moment)
        run.stdin.flush()
    said = [(run.communicate()[1], run.returncode) for run in runs]
    return [errors.strip().rpartition("\n")[2] for errors, status in said if status]


def is_whole(database: Path) -> bool:
    """Tell whether every migration is there, once, and both ledgers say so."""
    with closing(sqlite3.connect(database)) as connection:
        rows = [connection.execute(f"SELECT x FROM t{n}").fetchall() == [(n,)] for n in range(1, MIGRATIONS + 1)]
        sqlx = connection.execute("SELECT count(*) FROM _sqlx_migrations").fetchone()[0]
        yoyo = connection.execute("SELECT count(*) FROM _yoyo_migration").fetchone()[0]
    return all(rows) and sqlx == yoyo == MIGRATIONS


def main() -> None:
    """Race on fresh files and on files that have ledgers already."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--runs", type=int, default=8, help="how many at once")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        source = write_source(Path(folder, "source"))
        for installed, journal in ((0, "delete"), (0, "wal"), (2, "delete"), (2, "wal")):
            failures: Counter[str] = Counter()
            lost = 0
            for number in range(options.rounds):
                database = Path(folder, f"{journal}-{installed}-{number}.db")
                with closing(sqlite3.connect(database)) as connection:
                    connection.execute(f"PRAGMA journal_mode = {journal}")
                if installed:
                    upgrade(database, source, target=installed)
                failures.update(race(database, source, options.runs))
                upgrade(database, source)
                lost += not is_whole(database)
            began = f"{journal} mode, {'files with ledgers' if installed else 'fresh files'}"
            print(f"{began}: {failures.total()} of {options.rounds * options.runs} failed; {lost} files not whole")
            for words, count in failures.most_common(4):
                print(f"  {count} times: {words}")


if __name__ == "__main__":
    main()
