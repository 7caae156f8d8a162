"""Many at once: each migration is applied once, by one of them, and nobody fails.

`TORC_MIGRATIONS_TESTS=full pytest tests/system/test_races.py` runs 80 rounds of each race.
"""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterable
from contextlib import closing

import pytest
from database_under_test import PATIENCE, SQLiteUnderTest, expect_line, ladder, python, sized, start_python, start_yoyo

from torc_migrations import Migrator, errors, rollback, upgrade

ROUNDS = sized(3, 80)
RUNNERS = 8

# Loads everything, says so, waits for the moment it is told, and does what it is asked to.
RUNNER = """
import json, sys, time
import torc_migrations.ledgers.yoyo
from torc_migrations import rollback, upgrade
path, source, operation = sys.argv[1:]
print("ready", flush=True)
moment = float(sys.stdin.readline())
while time.monotonic() < moment:
    pass
report = upgrade(path, source) if operation == "upgrade" else rollback(path, source, target=int(operation))
print(json.dumps(report.applied))
"""

# Holds the write lock from the word on until it is killed.
HOLDER = """
import sqlite3, sys, time
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
connection.execute("CREATE TABLE half_way (x)")
print("ready", flush=True)
time.sleep(600)
"""

# Writes as an application does, all the time, until its standard input ends; says how often, and how often it failed.
WRITER = """
import sqlite3, sys, threading, time
connection = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=30)
over = threading.Event()
threading.Thread(target=lambda: (sys.stdin.read(), over.set()), daemon=True).start()
count = failed = 0
print("ready", flush=True)
while not over.is_set():
    try:
        connection.execute("BEGIN")
        total = connection.execute("SELECT count(*) FROM ticks").fetchone()[0]
        connection.execute("COMMIT")
        connection.execute("INSERT INTO ticks VALUES (?)", (total,))
        count += 1
    except sqlite3.OperationalError:
        failed += 1
print(count, failed)
"""


def ready(path: object, source: str, operations: Iterable[str]) -> list[subprocess.Popen[str]]:
    """Start a process for each operation, and wait until all of them have loaded what they need."""
    processes = [start_python(RUNNER, path, source, operation) for operation in operations]
    for process in processes:
        expect_line(process, "ready")
    return processes


def go(processes: Iterable[subprocess.Popen[str]]) -> None:
    """Have all of them begin at one moment."""
    moment = time.monotonic() + 0.05
    for process in processes:
        assert process.stdin is not None
        process.stdin.write(f"{moment}\n")
        process.stdin.flush()


def start(path: object, source: str, operations: Iterable[str]) -> list[subprocess.Popen[str]]:
    """Do both."""
    processes = ready(path, source, operations)
    go(processes)
    return processes


def results(processes: Iterable[subprocess.Popen[str]]) -> list[tuple[int, ...]]:
    """Wait for all of them, and return which versions each of them ran."""
    applied = []
    for process in processes:
        output, errors = process.communicate(timeout=PATIENCE)
        assert process.returncode == 0, errors
        # On a busy machine somebody may have waited for longer than a second, and said so.
        assert [line for line in errors.splitlines() if not line.startswith("waiting for ")] == []
        applied.append(tuple(json.loads(output)))
    return applied


def each_once(database: SQLiteUnderTest, applied: Iterable[tuple[int, ...]], count: int) -> None:
    """Check that every migration was applied once by one process, and that what there is says so."""
    versions = range(1, count + 1)
    assert Counter(version for versions in applied for version in versions) == Counter(versions)
    assert database.ledgers().agreed == tuple(versions)
    assert database.ledgers().log == tuple(("apply", f"{version}_make_t{version}") for version in versions)
    assert all(database.execute(f"SELECT x FROM t{version}") == [(version,)] for version in versions)


@pytest.mark.parametrize("journal", ["delete", "wal"])
def test_eight_upgrades_of_a_fresh_file_apply_each_migration_once(sqlite: SQLiteUnderTest, folder, journal):
    """Eight processes begin at one moment where there is no file yet: none fails, none does anything twice."""
    source = folder(
        {**ladder(6), **({"0_wal": "-- no-transaction\nPRAGMA journal_mode = WAL;"} if journal == "wal" else {})}
    )
    for _ in range(ROUNDS):
        applied = results(start(sqlite.path, source, ["upgrade"] * RUNNERS))

        if journal == "wal":
            assert any(0 in versions for versions in applied)
            applied = [tuple(version for version in versions if version) for versions in applied]
            sqlite.execute("DELETE FROM _sqlx_migrations WHERE version = 0")
            sqlite.execute("DELETE FROM _yoyo_migration WHERE migration_id = '0_wal'")
            sqlite.execute("DELETE FROM _yoyo_log WHERE migration_id = '0_wal'")
        each_once(sqlite, applied, 6)
        sqlite.path.unlink()


def test_eight_upgrades_of_a_file_with_ledgers_apply_each_migration_once(sqlite: SQLiteUnderTest, folder):
    """The same where half of the migrations are installed already."""
    source = folder(ladder(8))
    for _ in range(ROUNDS):
        first = upgrade(sqlite.path, source, target=4).applied

        applied = results(start(sqlite.path, source, ["upgrade"] * RUNNERS))

        each_once(sqlite, [first, *applied], 8)
        sqlite.path.unlink()


@pytest.mark.parametrize("installed", [0, 2])
def test_one_stock_yoyo_among_them_fails_nobody(sqlite: SQLiteUnderTest, folder, installed):
    """Ours respect yoyo's lock and adopt what it applied; yoyo finds applied what ours were faster with.

    Stock yoyo runs a script and marks it in two transactions, so that what it does in between can fail by its own
    fault; then it says so, and nothing is lost.
    """
    source = folder(ladder(6))
    for number in range(ROUNDS):
        if installed:
            upgrade(sqlite.path, source, target=installed)
        processes = ready(sqlite.path, source, ["upgrade"] * (RUNNERS - 1))
        yoyo = start_yoyo("apply", "-b", "-d", f"sqlite:///{sqlite.path}", source)
        time.sleep(0.1 + 0.02 * (number % 20))  # it takes its time to load
        go(processes)
        results(processes)
        _, said = yoyo.communicate(timeout=PATIENCE)
        upgrade(sqlite.path, source)

        assert yoyo.returncode == 0, said
        assert sqlite.ledgers().agreed == (1, 2, 3, 4, 5, 6)
        assert all(sqlite.execute(f"SELECT x FROM t{version}") == [(version,)] for version in range(1, 7))
        sqlite.path.unlink()


def test_upgrades_that_race_with_rollbacks_end_in_a_state_that_adds_up(sqlite: SQLiteUnderTest, folder):
    """Some go up while others go down: whatever is installed in the end, both ledgers and the schema agree on it."""
    source = folder(ladder(5))
    for _ in range(ROUNDS):
        upgrade(sqlite.path, source)

        results(start(sqlite.path, source, ["upgrade", "0"] * (RUNNERS // 2)))

        assert sqlite.tables().keys() == {f"t{version}" for version in sqlite.ledgers().agreed}
        rollback(sqlite.path, source, target=0)


def test_rollbacks_at_once_go_down_to_the_target_once(sqlite: SQLiteUnderTest, folder):
    """Eight processes roll back to one target: each migration is rolled back once, the target stays."""
    source = folder(ladder(6))
    for _ in range(ROUNDS):
        upgrade(sqlite.path, source)

        applied = results(start(sqlite.path, source, ["2"] * RUNNERS))

        assert sorted(version for versions in applied for version in versions) == [3, 4, 5, 6]
        assert sqlite.ledgers().agreed == (1, 2)


def test_thirty_two_threads_apply_each_migration_once(sqlite: SQLiteUnderTest, folder):
    """One Migrator may be used from many threads, each with a connection of its own."""
    migrator = Migrator(sqlite.path, folder(ladder(10)))
    barrier, applied, failures = threading.Barrier(32), [], []

    def run() -> None:
        barrier.wait(PATIENCE)
        try:
            applied.append(migrator.upgrade().applied)
        except errors.MigrationError as error:
            failures.append(error)

    threads = [threading.Thread(target=run) for _ in range(32)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)

    assert failures == []
    each_once(sqlite, applied, 10)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_forked_children_migrate_on_their_own(sqlite: SQLiteUnderTest, folder):
    """A process that has imported, and used, the package may fork; its children upgrade at once."""
    source = folder(ladder(5))

    python(
        "import os, sys\n"
        "from torc_migrations import upgrade\n"
        "path, source = sys.argv[1:]\n"
        "upgrade(path, source, target=1)\n"
        "children = []\n"
        "for _ in range(6):\n"
        "    pid = os.fork()\n"
        "    if pid == 0:\n"
        "        status = 1\n"
        "        try:\n"
        "            upgrade(path, source); status = 0\n"
        "        finally:\n"
        "            os._exit(status)\n"
        "    children.append(pid)\n"
        "assert [os.waitpid(pid, 0)[1] for pid in children] == [0] * 6\n",
        sqlite.path,
        source,
    )

    assert sqlite.ledgers().log == tuple(("apply", f"{version}_make_t{version}") for version in range(1, 6))


@pytest.mark.parametrize("journal", ["delete", "wal"])
def test_killed_holder_costs_the_next_runner_little(sqlite: SQLiteUnderTest, folder, journal):
    """The lock goes with the process that holds it: a process that waits goes on within seconds of the kill."""
    source = folder(ladder(2))
    sqlite.execute(f"PRAGMA journal_mode = {journal}", "CREATE TABLE x (x)")
    for _ in range(sized(1, 10)):
        holder = start_python(HOLDER, sqlite.path)
        expect_line(holder, "ready")
        (waiter,) = start(sqlite.path, source, ["upgrade"])
        time.sleep(0.4)
        assert waiter.poll() is None
        holder.send_signal(signal.SIGKILL)
        killed = time.monotonic()
        holder.communicate(timeout=PATIENCE)

        assert results([waiter]) == [(1, 2)]
        assert time.monotonic() - killed < 10
        rollback(sqlite.path, source, target=0)
    assert "half_way" not in sqlite.tables()


def test_writer_that_never_rests_stops_no_migration_and_no_migration_stops_it(sqlite: SQLiteUnderTest, folder):
    """In WAL mode a migration that reads and then writes succeeds beside an application that writes all the time."""
    copy = "CREATE TABLE copy (n);\nINSERT INTO copy SELECT count(*) FROM ticks;\nDELETE FROM ticks WHERE rowid < 0;"
    source = folder({"1_copy": copy, "1_copy.rollback": "SELECT count(*) FROM ticks;\nDROP TABLE copy;"})
    sqlite.execute("PRAGMA journal_mode = WAL", "CREATE TABLE ticks (x)")
    writer = start_python(WRITER, sqlite.path)
    expect_line(writer, "ready")

    for _ in range(sized(10, 20)):
        assert upgrade(sqlite.path, source, lock_timeout=PATIENCE).applied == (1,)
        assert rollback(sqlite.path, source, lock_timeout=PATIENCE).applied == (1,)

    output, errors_ = writer.communicate(timeout=PATIENCE)
    count, failed = map(int, output.split())
    assert (failed, errors_) == (0, "")
    assert count > 0
    with closing(sqlite3.connect(sqlite.path)) as connection:
        assert connection.execute("SELECT count(*) FROM ticks").fetchone() == (count,)
