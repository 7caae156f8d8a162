"""Waiting for others: bounded, said, named, and never for the dead."""

from __future__ import annotations

import logging
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta

import pytest
from database_under_test import PATIENCE, SQLiteUnderTest, expect_line, ladder, python, start_python, stock_yoyo

from torc_migrations import Migrator, errors, rollback, status, upgrade
from torc_migrations.databases import waiting
from torc_migrations.history.steps import Outcome

linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells who holds a lock")

HOLDER = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
for statement in sys.argv[2].split(";"):
    connection.execute(statement).fetchone()
print("ready", flush=True)
sys.stdin.read()
"""

WAITER = """
import logging, signal, sys
from torc_migrations import upgrade
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs begin with SIGINT ignored
logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
print("ready", flush=True)
try:
    upgrade(*sys.argv[1:])
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""

CREATE_YOYO_LOCK = (
    "CREATE TABLE yoyo_lock (locked INT DEFAULT 1, ctime TIMESTAMP, pid INT NOT NULL, PRIMARY KEY (locked))"
)


@contextmanager
def holding(database: SQLiteUnderTest, statements: str) -> Iterator[subprocess.Popen[str]]:
    """Have another process run statements, keep its connection as it then is, and end afterwards."""
    process = start_python(HOLDER, database.path, statements)
    expect_line(process, "ready")
    try:
        yield process
    finally:
        process.communicate(timeout=PATIENCE)


def write_yoyo_lock(database: SQLiteUnderTest, pid: int, since: datetime | None = None) -> None:
    """Write the row that stock yoyo writes when it begins."""
    moment = (since or datetime.now(UTC)).strftime("%Y-%m-%dT%H:%M:%S.%f")
    database.execute(CREATE_YOYO_LOCK, f"INSERT INTO yoyo_lock (ctime, pid) VALUES ('{moment}', {pid})")


@linux
@pytest.mark.parametrize("journal", ["delete", "wal"])
@pytest.mark.parametrize("begin", ["IMMEDIATE", "EXCLUSIVE"])
def test_writer_in_another_process_is_named(sqlite: SQLiteUnderTest, folder, journal, begin):
    """A lock that somebody else holds for too long is an error that says who, by number and command."""
    sqlite.execute(f"PRAGMA journal_mode = {journal}", "CREATE TABLE x (x)")
    before = sqlite.path.read_bytes()

    with holding(sqlite, f"BEGIN {begin}") as holder:
        with pytest.raises(errors.LockTimeout) as failure:
            upgrade(sqlite.path, folder(ladder(1)), lock_timeout=0.3)

        who, since = failure.value.holder.split(", running since ")
        assert who.startswith(f"process {holder.pid} (")
        assert who.endswith(f"on {os.uname().nodename}")
        began = datetime.strptime(since, "%Y-%m-%d %H:%M:%S UTC,").replace(tzinfo=UTC)
        assert abs(datetime.now(UTC) - began) < timedelta(seconds=PATIENCE)
        assert str(failure.value).startswith(failure.value.holder)
    assert failure.value.waited >= 0.3
    assert failure.value.exit_code == 5
    assert sqlite.path.read_bytes() == before


@linux
def test_reader_that_keeps_a_commit_from_ending_is_named(sqlite: SQLiteUnderTest, folder):
    """Without WAL a reader has to leave before a commit can end: it is named, and not ourselves."""
    sqlite.execute("CREATE TABLE x (x)", "INSERT INTO x VALUES (1), (2)")

    with holding(sqlite, "BEGIN; SELECT * FROM x") as reader:
        with pytest.raises(errors.LockTimeout) as failure:
            upgrade(sqlite.path, folder(ladder(1)), lock_timeout=0.3)

        assert f"process {reader.pid} (" in failure.value.holder
        assert str(os.getpid()) not in failure.value.holder
    assert sqlite.tables().keys() == {"x"}
    assert upgrade(sqlite.path, folder({})).applied == (1,)


def test_reader_that_leaves_lets_the_commit_end(sqlite: SQLiteUnderTest, folder):
    """A commit waits for readers as it waits for a lock."""
    sqlite.execute("CREATE TABLE x (x)", "INSERT INTO x VALUES (1), (2)")
    with closing(sqlite3.connect(sqlite.path, isolation_level=None, check_same_thread=False)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM x").fetchall()
        timer = threading.Timer(0.3, lambda: reader.execute("COMMIT"))
        timer.start()

        assert upgrade(sqlite.path, folder(ladder(1)), lock_timeout=PATIENCE).applied == (1,)
        timer.join()


@pytest.mark.parametrize("fails", [False, True])
def test_commit_that_waits_too_long_names_what_was_not_kept(sqlite: SQLiteUnderTest, folder, fails):
    """A group that cannot be committed beside a reader is undone, and named; the error of a step comes first."""
    sqlite.execute("CREATE TABLE x (x)", "INSERT INTO x VALUES (1)")
    source = folder({**ladder(3), **({"4_fails": "SELECT * FROM absent;"} if fails else {})})

    with holding(sqlite, "BEGIN; SELECT * FROM x"), pytest.raises(errors.MigrationError) as failure:
        upgrade(sqlite.path, source, lock_timeout=0.2, group=PATIENCE)

    error = failure.value
    assert error.report is not None
    assert error.report.applied == ()
    assert sqlite.tables().keys() == {"x"}
    if fails:
        assert isinstance(error, errors.ExecutionFailed)
        assert error.step.name == "4"
    else:
        assert isinstance(error, errors.LockTimeout)
        assert error.not_kept == ("1", "2", "3")
        assert "1 to 3 were rolled back" in (error.hint or "")
    folder({"4_fails": "SELECT 1;"})
    assert upgrade(sqlite.path, source).applied == (1, 2, 3, 4)


def test_commit_of_a_script_with_its_own_may_wait_too_long(sqlite: SQLiteUnderTest, folder):
    """Where the records of such a script cannot be committed, the error is that of the wait."""
    source = folder({"1_own": "CREATE TABLE a (x);\nCOMMIT;\nBEGIN;\nCREATE TABLE b (x);"})
    commits: list[str] = []
    with closing(sqlite3.connect(sqlite.path, isolation_level=None)) as reader:

        def trace(sql: str) -> None:
            if "INSERT" in sql and "_sqlx_migrations" in sql:
                commits.append(sql)
                reader.execute("BEGIN")
                reader.execute("SELECT * FROM sqlite_master").fetchall()

        with pytest.raises(errors.LockTimeout) as failure:
            Migrator(
                sqlite.path,
                source,
                lock_timeout=0.2,
                functions=lambda connection: connection.set_trace_callback(trace),
            ).upgrade()

    assert (len(commits), failure.value.not_kept) == (1, ())
    assert sqlite.ledgers().agreed == ()


def test_writer_gets_its_turn_between_the_transactions_of_a_long_run(sqlite: SQLiteUnderTest, folder, monkeypatch):
    """An application that waits for SQLite's lock gets it during a run, though SQLite has no queue."""
    monkeypatch.setattr(waiting, "_TURN_EVERY", 0.0)
    sqlite.execute("CREATE TABLE written (x)")
    many = {f"{n}_make_t{n}": f"CREATE TABLE t{n} (x);" for n in range(1, 40)}
    source = folder({**many, "40_count": "CREATE TABLE seen AS SELECT count(*) AS number FROM written;"})
    code = (
        "import sqlite3, sys\n"
        "connection = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=120)\n"
        "connection.execute('SELECT 1')\n"
        "print('ready', flush=True)\n"
        "sys.stdin.readline()\n"
        "connection.execute('INSERT INTO written VALUES (1)')\n"
    )
    with start_python(code, sqlite.path) as writer:
        expect_line(writer, "ready")

        def observe(outcome: Outcome) -> None:
            if outcome.step.name == "1":
                assert writer.stdin is not None
                writer.stdin.write("go\n")
                writer.stdin.flush()

        Migrator(sqlite.path, source, group=0).upgrade(observer=observe)
        writer.wait(PATIENCE)

    assert sqlite.execute("SELECT number FROM seen") == [(1,)]


@pytest.mark.slow
def test_large_migration_beside_a_reader_waits_only_once(sqlite: SQLiteUnderTest, folder):
    """A transaction that outgrows its cache beside a reader goes on in memory, and waits at its commit only."""
    sqlite.execute("CREATE TABLE x (x)", "INSERT INTO x VALUES (1)")
    grow = "WITH RECURSIVE n (i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 9000)\n"
    source = folder({"1_big": f"CREATE TABLE big (x);\n{grow}INSERT INTO big SELECT zeroblob(1000) FROM n;"})
    with closing(sqlite3.connect(sqlite.path, isolation_level=None, check_same_thread=False)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM x").fetchall()
        timer = threading.Timer(1.0, lambda: reader.execute("COMMIT"))
        timer.start()
        began = time.monotonic()

        assert upgrade(sqlite.path, source, lock_timeout=PATIENCE).applied == (1,)
        timer.join()

    assert time.monotonic() - began < PATIENCE / 2


@linux
def test_another_connection_of_this_process_is_named_as_such(sqlite: SQLiteUnderTest, folder):
    """Where the caller itself holds the lock, over another connection, the error says so."""
    sqlite.execute("CREATE TABLE x (x)")
    with closing(sqlite.connect()) as connection:
        connection.execute("BEGIN IMMEDIATE")

        with pytest.raises(errors.LockTimeout) as failure:
            upgrade(sqlite.path, folder(ladder(1)), lock_timeout=0)

    assert failure.value.holder == "another connection of this process"


def test_lock_timeout_of_zero_tries_once(sqlite: SQLiteUnderTest, folder):
    """With no time to wait there is one try: it fails at once where the lock is held, and works where it is free."""
    source = folder(ladder(1))
    sqlite.execute("CREATE TABLE x (x)")
    with closing(sqlite.connect()) as connection:
        connection.execute("BEGIN IMMEDIATE")
        with pytest.raises(errors.LockTimeout):
            upgrade(sqlite.path, source, lock_timeout=0)

    assert upgrade(sqlite.path, source, lock_timeout=0).applied == (1,)


@pytest.mark.parametrize("timeout", [float("inf"), 1e30, 1e9])
def test_lock_timeout_may_be_as_long_as_one_likes(sqlite: SQLiteUnderTest, folder, timeout):
    """For ever is a time, too."""
    assert upgrade(sqlite.path, folder(ladder(1)), lock_timeout=timeout).applied == (1,)


def test_busy_table_of_another_file_is_waited_for(sqlite: SQLiteUnderTest, folder, tmp_path):
    """A script that writes to an attached file waits for that one too, as long as for the first."""
    other = SQLiteUnderTest(tmp_path / "other.db")
    other.execute("CREATE TABLE y (x)")
    source = folder(
        {"1_both": f"ATTACH '{other.path}' AS other;\nINSERT INTO other.y VALUES (1);\nCREATE TABLE x (x);"}
    )
    with closing(other.connect()) as connection:
        connection.execute("BEGIN IMMEDIATE")
        with pytest.raises(errors.LockTimeout):
            upgrade(sqlite.path, source, lock_timeout=0.2)

    assert sqlite.ledgers().agreed == ()
    assert upgrade(sqlite.path, source).applied == (1,)
    assert other.execute("SELECT x FROM y") == [(1,)]


def test_script_outside_a_transaction_waits_for_the_lock(sqlite: SQLiteUnderTest, folder):
    """VACUUM too is waited with, by us, so that it can be interrupted."""
    source = folder({"1_vacuum": "-- no-transaction\nVACUUM;"})
    sqlite.execute("CREATE TABLE x (x)")
    with holding(sqlite, "BEGIN; SELECT count(*) FROM sqlite_master"), pytest.raises(errors.LockTimeout):
        upgrade(sqlite.path, source, lock_timeout=0.3)

    assert upgrade(sqlite.path, source).applied == (1,)


@pytest.mark.parametrize("begin", ["IMMEDIATE", "EXCLUSIVE"])
def test_status_is_told_while_somebody_writes_in_wal_mode(sqlite: SQLiteUnderTest, folder, begin):
    """In WAL mode nobody who writes keeps us from reading."""
    source = folder(ladder(2))
    sqlite.execute("PRAGMA journal_mode = WAL")
    upgrade(sqlite.path, source, target=1)

    with holding(sqlite, f"BEGIN {begin}; INSERT INTO t1 VALUES (2)"):
        assert [m.version for m in status(sqlite.path, source, lock_timeout=0).pending] == [2]


def test_status_is_told_while_somebody_writes_without_wal(sqlite: SQLiteUnderTest, folder):
    """Without WAL a writer is in nobody's way until it commits."""
    source = folder(ladder(2))
    upgrade(sqlite.path, source, target=1)

    with holding(sqlite, "BEGIN IMMEDIATE; INSERT INTO t1 VALUES (2)"):
        assert [m.version for m in status(sqlite.path, source, lock_timeout=0).pending] == [2]


def test_status_waits_for_an_exclusive_lock_up_to_its_timeout(sqlite: SQLiteUnderTest, folder):
    """Where nobody may read, status waits, and says who it waited for."""
    source = folder(ladder(1))
    upgrade(sqlite.path, source)

    with holding(sqlite, "BEGIN EXCLUSIVE") as holder, pytest.raises(errors.LockTimeout) as failure:
        status(sqlite.path, source, lock_timeout=0.2)

    assert sys.platform != "linux" or f"process {holder.pid} (" in failure.value.holder


def test_lent_connection_waits_for_an_exclusive_lock_too(sqlite: SQLiteUnderTest, folder):
    """A connection that has read nothing yet is waited with, and afterwards is as it was."""
    source = folder(ladder(1))
    sqlite.execute("CREATE TABLE x (x)")
    with closing(sqlite3.connect(sqlite.path)) as connection:
        for operation in (status, upgrade):
            with holding(sqlite, "BEGIN EXCLUSIVE"), pytest.raises(errors.LockTimeout):
                operation(connection, source, lock_timeout=0.2)
            assert connection.isolation_level == ""
            assert connection.execute("PRAGMA busy_timeout").fetchone() == (5000,)

        assert upgrade(connection, source).applied == (1,)


@pytest.mark.slow
@linux
def test_waiting_is_said_in_the_log(sqlite: SQLiteUnderTest, folder, caplog):
    """After a second of waiting the log says for whom."""
    sqlite.execute("CREATE TABLE x (x)")
    with (
        caplog.at_level(logging.INFO, logger="torc_migrations"),
        holding(sqlite, "BEGIN IMMEDIATE") as holder,
        pytest.raises(errors.LockTimeout),
    ):
        upgrade(sqlite.path, folder(ladder(1)), lock_timeout=1.5)

    said = [record.getMessage() for record in caplog.records if "waiting" in record.getMessage()]
    assert len(said) == 1
    assert f"process {holder.pid} (" in said[0]


def test_ctrl_c_ends_the_wait(sqlite: SQLiteUnderTest, folder):
    """An upgrade that waits is interrupted at once, and has changed nothing."""
    sqlite.execute("CREATE TABLE x (x)")
    before = sqlite.path.read_bytes()
    with holding(sqlite, "BEGIN IMMEDIATE"):
        waiter = start_python(WAITER, sqlite.path, folder(ladder(1)))
        expect_line(waiter, "ready")
        time.sleep(0.5)
        waiter.send_signal(signal.SIGINT)
        output, errors_ = waiter.communicate(timeout=PATIENCE)

    assert (output, errors_) == ("interrupted\n", "")
    assert sqlite.path.read_bytes() == before


def test_ctrl_c_ends_the_wait_of_a_script(sqlite: SQLiteUnderTest, folder):
    """Also where it is a statement of a script that waits."""
    sqlite.execute("CREATE TABLE x (x)")
    with holding(sqlite, "BEGIN; SELECT count(*) FROM sqlite_master"):
        waiter = start_python(WAITER, sqlite.path, folder({"1_v": "-- no-transaction\nPRAGMA journal_mode = WAL;"}))
        expect_line(waiter, "ready")
        time.sleep(0.5)
        waiter.send_signal(signal.SIGINT)
        output, errors_ = waiter.communicate(timeout=PATIENCE)

    assert output.endswith("interrupted\n")
    assert errors_ == ""


def test_lock_of_a_living_yoyo_is_respected_and_named(sqlite: SQLiteUnderTest, folder):
    """While a stock yoyo runs, it is waited for; the error says which process, and since when."""
    sleeper = start_python("import sys; sys.stdin.read()")
    since = datetime.now(UTC)
    write_yoyo_lock(sqlite, sleeper.pid, since)
    with pytest.raises(errors.LockTimeout) as failure:
        upgrade(sqlite.path, folder(ladder(1)), lock_timeout=0.3)
    rows = sqlite.execute("SELECT pid FROM yoyo_lock")
    sleeper.communicate(timeout=PATIENCE)

    assert f"yoyo, process {sleeper.pid}" in failure.value.holder
    assert f"since {since:%H:%M:%S} UTC" in failure.value.holder
    assert rows == [(sleeper.pid,)]
    assert upgrade(sqlite.path, folder({}), lock_timeout=0).applied == (1,)


def test_yoyo_that_comes_during_a_run_is_respected(sqlite: SQLiteUnderTest, folder):
    """Before every step it is made sure of that no yoyo has begun since the one before."""
    source = folder(ladder(3))
    with pytest.raises(errors.LockTimeout) as failure:
        Migrator(sqlite.path, source, lock_timeout=0.2, group=0).upgrade(
            observer=lambda outcome: write_yoyo_lock(sqlite, os.getppid()) if outcome.step.name == "2" else None
        )

    assert failure.value.report.applied == (1, 2)
    assert f"yoyo, process {os.getppid()}" in failure.value.holder
    assert sqlite.ledgers().agreed == (1, 2)


def test_yoyo_whose_row_came_through_our_connection_is_respected(sqlite: SQLiteUnderTest, folder):
    """What the owner of a lent connection writes while a run reports to him is no other connection's write."""
    write_yoyo_lock(sqlite, os.getppid())
    sqlite.execute("DELETE FROM yoyo_lock")
    insert = f"INSERT INTO yoyo_lock (locked, ctime, pid) VALUES (1, datetime('now'), {os.getppid()})"
    with closing(sqlite.connect()) as lent, pytest.raises(errors.LockTimeout) as failure:
        Migrator(lent, folder(ladder(3)), lock_timeout=0.2, group=0).upgrade(observer=lambda _: lent.execute(insert))

    assert failure.value.report.applied == (1,)


def test_no_lock_is_taken_while_yoyo_runs(sqlite: SQLiteUnderTest, folder):
    """yoyo reads before it writes, and so would fail at once, half-way, if another connection had the lock then."""
    write_yoyo_lock(sqlite, os.getppid())
    seen: list[str] = []
    with closing(sqlite.connect()) as lent:
        lent.set_trace_callback(seen.append)
        with pytest.raises(errors.LockTimeout):
            Migrator(lent, folder(ladder(1)), lock_timeout=0.1).upgrade()

    assert any("yoyo_lock" in statement for statement in seen)
    assert "BEGIN IMMEDIATE" not in seen


def test_upgrade_goes_on_when_yoyo_gives_its_lock_up(sqlite: SQLiteUnderTest, folder):
    """The row is looked for again and again while we wait."""
    write_yoyo_lock(sqlite, os.getppid())
    timer = threading.Timer(0.3, sqlite.execute, ["DELETE FROM yoyo_lock"])
    timer.start()

    assert upgrade(sqlite.path, folder(ladder(1)), lock_timeout=PATIENCE).applied == (1,)
    timer.join()


def test_up_to_date_upgrade_does_not_wait_for_yoyo(sqlite: SQLiteUnderTest, folder):
    """With nothing to do, nobody's lock matters."""
    source = folder(ladder(1))
    upgrade(sqlite.path, source)
    write_yoyo_lock(sqlite, os.getppid())

    assert upgrade(sqlite.path, source, lock_timeout=0).applied == ()


def gone() -> int:
    """Return the number of a process that has ended."""
    process = start_python("")
    process.communicate(timeout=PATIENCE)
    return process.pid


@pytest.mark.parametrize("pid", [None, 0, -1, 2**40])
def test_lock_of_a_dead_yoyo_is_cleared_at_once(sqlite: SQLiteUnderTest, folder, pid):
    """A row whose process is gone, or cannot be, goes with what we write; stock yoyo can go on afterwards."""
    source = folder(ladder(2))
    write_yoyo_lock(sqlite, gone() if pid is None else pid)

    assert upgrade(sqlite.path, source, target=1, lock_timeout=0).applied == (1,)
    assert sqlite.execute("SELECT pid FROM yoyo_lock") == []
    assert stock_yoyo("apply", "-b", "-d", f"sqlite:///{sqlite.path}", source).returncode == 0


def test_lock_of_a_dead_yoyo_stays_where_the_migration_fails(sqlite: SQLiteUnderTest, folder):
    """Clearing a row is part of the transaction, as everything is."""
    pid = gone()
    write_yoyo_lock(sqlite, pid)
    with pytest.raises(errors.ExecutionFailed):
        upgrade(sqlite.path, folder({"1_boom": "boom;"}), lock_timeout=0)

    assert sqlite.execute("SELECT pid FROM yoyo_lock") == [(pid,)]


@linux
def test_lock_of_a_recycled_process_number_is_cleared_at_once(sqlite: SQLiteUnderTest, folder):
    """A process that began after the row was written is not the one that wrote it."""
    write_yoyo_lock(sqlite, os.getppid(), datetime.now(UTC) - timedelta(days=4000))

    assert upgrade(sqlite.path, folder(ladder(1)), lock_timeout=0).applied == (1,)


@linux
def test_lock_of_a_process_that_nobody_reaps_is_cleared_at_once(sqlite: SQLiteUnderTest, folder):
    """A zombie has a number still, and will never go on; in a container it may stay for ever."""
    zombie = start_python("")
    os.waitid(os.P_PID, zombie.pid, os.WEXITED | os.WNOWAIT)
    write_yoyo_lock(sqlite, zombie.pid)

    assert upgrade(sqlite.path, folder(ladder(1)), lock_timeout=0).applied == (1,)
    zombie.communicate()


def test_lock_under_our_own_number_is_that_of_a_predecessor(sqlite: SQLiteUnderTest, folder):
    """In a container that was started anew everyone has the number of who was killed a second ago."""
    sqlite.execute(CREATE_YOYO_LOCK)
    code = (
        "import os, sqlite3, sys, datetime\n"
        "from torc_migrations import upgrade\n"
        "connection = sqlite3.connect(sys.argv[1])\n"
        "connection.execute('INSERT INTO yoyo_lock (ctime, pid) VALUES (?, ?)',"
        " (datetime.datetime.now(datetime.timezone.utc).isoformat(), os.getpid()))\n"
        "connection.commit()\n"
        "print(upgrade(sys.argv[1], sys.argv[2], lock_timeout=0).applied)"
    )

    assert python(code, sqlite.path, folder(ladder(2))) == "(1, 2)\n"


@pytest.mark.parametrize("when", ["NULL", "'soon'", "17"])
def test_lock_without_a_time_is_judged_by_its_number(sqlite: SQLiteUnderTest, folder, when):
    """Where the row tells no time, a living process is believed."""
    sqlite.execute(CREATE_YOYO_LOCK, f"INSERT INTO yoyo_lock (ctime, pid) VALUES ({when}, {os.getppid()})")

    with pytest.raises(errors.LockTimeout):
        upgrade(sqlite.path, folder(ladder(1)), lock_timeout=0)


def test_no_lock_row_of_ours_is_ever_written(sqlite: SQLiteUnderTest, folder):
    """Neither on the way up nor down, at no moment that others can see."""
    seen = []
    source = folder(ladder(3))

    def look(*_: object) -> None:
        seen.append("yoyo_lock" in {name for (name,) in sqlite.execute("SELECT name FROM sqlite_master")})

    Migrator(sqlite.path, source, group=0).upgrade(observer=look)
    Migrator(sqlite.path, source).rollback(0, observer=look)

    assert seen == [False] * 6
    assert rollback(sqlite.path, source, target=0).applied == ()


@pytest.mark.parametrize("pid", ["'a word'", "NULL", "1.5"])
def test_a_lock_row_that_is_not_yoyos_holds_nobody_up(sqlite: SQLiteUnderTest, folder, pid):
    """Its process cannot be asked for; yoyo itself writes a number."""
    sqlite.execute("CREATE TABLE yoyo_lock (locked, ctime, pid)", f"INSERT INTO yoyo_lock VALUES (1, 'now', {pid})")
    migrator = Migrator(sqlite.path, folder(ladder(2)))

    assert migrator.upgrade(target=1).applied == (1,)
    assert migrator.upgrade().applied == (2,)
    assert migrator.status().clean
