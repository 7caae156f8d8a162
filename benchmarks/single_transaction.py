"""Tell what `upgrade --single-transaction` costs, over the least that any program could do.

Trivial migrations, each of which makes a table, are applied to a new database by three programs that take turns, each
in a process of its own whose imports are done before the clock runs: ours; a plain loop in one transaction that writes
each migration's three ledger rows behind it; and one that writes all rows at the end.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

FEWEST_RUNS = 5

OURS = """
import torc_migrations.backend, torc_migrations.single_transaction, urllib.parse
from torc_migrations import upgrade
def run(database, folder):
    upgrade(database, folder, atomic=True)
"""
FLOOR = """
import os, sqlite3, uuid
from hashlib import sha256, sha384
from time import perf_counter_ns, strftime
TABLES = {
    "_sqlx_migrations": "version BIGINT PRIMARY KEY, description TEXT NOT NULL, installed_on TIMESTAMP NOT NULL, "
    "success BOOLEAN NOT NULL, checksum BLOB NOT NULL, execution_time BIGINT NOT NULL",
    "_yoyo_migration": "migration_hash VARCHAR(64) PRIMARY KEY, migration_id VARCHAR(255), applied_at_utc TIMESTAMP",
    "_yoyo_log": "id VARCHAR(36) PRIMARY KEY, migration_hash VARCHAR(64), migration_id VARCHAR(255), operation, "
    "username VARCHAR(255), hostname VARCHAR(255), comment VARCHAR(255), created_at_utc TIMESTAMP",
}
def run(database, folder):
    names = sorted(name for name in os.listdir(folder) if not name.endswith(".rollback.sql"))
    connection = sqlite3.connect(database, isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    for table, columns in TABLES.items():
        connection.execute(f"CREATE TABLE {table} ({columns})")
    rows = {table: [] for table in TABLES}
    for name in names:
        with open(os.path.join(folder, name), "rb") as file:
            sql = file.read()
        began = perf_counter_ns()
        connection.execute(sql.decode())
        took, now, stem = perf_counter_ns() - began, strftime("%Y-%m-%d %H:%M:%S"), name.removesuffix(".sql")
        key, version = sha256(stem.encode()).hexdigest(), int(stem.partition("_")[0])
        rows["_sqlx_migrations"].append((version, stem, now, True, sha384(sql).digest(), took))
        rows["_yoyo_migration"].append((key, stem, now))
        rows["_yoyo_log"].append((str(uuid.uuid1()), key, stem, "apply", "user", "host", "comment", now))
        if AT_ONCE:
            write(connection, rows)
            rows = {table: [] for table in TABLES}
    write(connection, rows)
    connection.execute("COMMIT")
    connection.close()
def write(connection, rows):
    for table, values in rows.items():
        if values:
            connection.executemany(f"INSERT INTO {table} VALUES ({', '.join('?' * len(values[0]))})", values)
"""
CLOCK = """
import sys, time
began = time.perf_counter()
run(*sys.argv[1:])
print((time.perf_counter() - began) * 1000)
"""
PROGRAMS = {
    "ours": OURS,
    "a row behind each script": f"AT_ONCE = True{FLOOR}",
    "all rows at the end": f"AT_ONCE = False{FLOOR}",
}


def main() -> int:
    """Measure, and print a line for each program."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--migrations", type=int, default=1000, metavar="N", help="how many migrations (1000)")
    parser.add_argument("--runs", type=int, default=11, metavar="N", help="how often each program runs (11)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = _migrations(Path(name) / "migrations", options.migrations)
        times: dict[str, list[float]] = {program: [] for program in PROGRAMS}
        for number in range(max(FEWEST_RUNS, options.runs)):
            for program, code in PROGRAMS.items():
                times[program].append(_milliseconds(code, Path(name) / f"{number}.db", folder))
                (Path(name) / f"{number}.db").unlink()
    print(f"{'':<26}{'best':>12}{'median':>12}{'ours over it':>24}")
    for program, taken in times.items():
        over = f"{min(times['ours']) / min(taken):.2f} / {median(times['ours']) / median(taken):.2f}"
        print(f"{program:<26}{min(taken):>9.0f} ms{median(taken):>9.0f} ms{over:>24}")
    return 0


def _migrations(folder: Path, count: int) -> Path:
    folder.mkdir()
    for number in range(1, count + 1):
        (folder / f"{number:05}_make_t{number}.sql").write_text(f"CREATE TABLE t{number} (x INTEGER);\n")
        (folder / f"{number:05}_make_t{number}.rollback.sql").write_text(f"DROP TABLE t{number};\n")
    return folder


def _milliseconds(code: str, database: Path, folder: Path) -> float:
    words = [sys.executable, "-c", code + CLOCK, os.fspath(database), os.fspath(folder)]
    return float(subprocess.run(words, capture_output=True, text=True, check=True).stdout)


if __name__ == "__main__":
    sys.exit(main())
