"""A database is restored from a snapshot: automatically after a script that failed half-way, or on request."""

from __future__ import annotations

import os
import random
import shlex
import shutil
import signal
import sqlite3
import stat
import time
from _thread import interrupt_main
from contextlib import closing
from pathlib import Path
from threading import Timer

import pytest
from database_under_test import PATIENCE, SQLiteUnderTest, expect_line, ladder, python, sized, start_python
from test_snapshots import Usage, rows

from torc_migrations import Migrator, errors, restore, upgrade
from torc_migrations.errors import BadSnapshot, NotEnoughSpace
from torc_migrations.history.steps import Outcome

OUTSIDE = "-- transactional: false\nCREATE TABLE half (x);\nINSERT INTO half VALUES (1);\nBORK;"
IN_PIECES = "CREATE TABLE half (x);\nCOMMIT;\nBEGIN;\nCREATE TABLE more (x);\nBORK;\nCOMMIT;"
VACUUMS = "-- transactional: false\nPRAGMA user_version = 7;\nPRAGMA auto_vacuum = 1;\nVACUUM;\nBORK;"

# A program that has a database open, and is in a transaction that reads if its argument says so.
HOLD = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
if sys.argv[2] == "reading":
    connection.execute("BEGIN")
connection.execute("SELECT * FROM t1").fetchall()
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def begun(sqlite: SQLiteUnderTest, folder, journal: str) -> SQLiteUnderTest:
    """A database with the first two of four migrations, and a row that no migration made."""
    sqlite.execute(f"PRAGMA journal_mode = {journal}")
    upgrade(sqlite.path, folder(ladder(3)), target=2)
    sqlite.execute("INSERT INTO t1 VALUES (99)")
    return sqlite


def content(database: SQLiteUnderTest) -> list[str]:
    """Return everything that a database holds, as SQL."""
    with closing(database.connect()) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        return list(connection.iterdump())


def beside(database: SQLiteUnderTest) -> list[str]:
    """Return the names of the files that SQLite has left beside a database."""
    return [f for f in os.listdir(database.path.parent) if f.endswith(("-wal", "-shm", "-journal"))]


def fail(database: object, source: str, **settings: object) -> errors.MigrationError:
    """Upgrade with a snapshot, which fails, and return the error."""
    with pytest.raises(errors.ExecutionFailed) as failure:
        Migrator(database, source, snapshot=True, **settings).upgrade()  # type: ignore[arg-type]
    return failure.value


@pytest.mark.parametrize("script", [OUTSIDE, IN_PIECES, VACUUMS])
def test_what_failed_half_way_is_restored(begun: SQLiteUnderTest, folder, journal, script):
    """Where no other connection has written, the database is as before the run, and the error says so."""
    before = content(begun), begun.execute("PRAGMA user_version"), begun.execute("PRAGMA auto_vacuum")

    error = fail(begun.path, folder({"4_half": script}))

    assert (content(begun), begun.execute("PRAGMA user_version"), begun.execute("PRAGMA auto_vacuum")) == before
    assert error.report is not None
    assert error.hint == f"the database was restored from {error.report.snapshot}: nothing of this run was kept"
    assert error.report.applied == ()
    assert not getattr(error, "kept")  # noqa: B009  # an ExecutionFailed has it
    assert begun.execute("PRAGMA journal_mode") == [(journal,)]
    assert beside(begun) == []
    assert upgrade(begun.path, folder({"4_half": "CREATE TABLE half (x);"})).applied == (3, 4)


@pytest.mark.parametrize("setting", ["journal_mode = wal", "journal_mode = delete", "page_size = 8192"])
def test_a_script_that_changes_the_file_itself_is_left_to_people(begun: SQLiteUnderTest, folder, journal, setting):
    """With another journal mode or page size nothing shows whether others wrote; the hint has the command."""
    if setting.endswith(journal) or (journal, setting) == ("wal", "page_size = 8192"):
        setting = "user_version = 7"  # what is so already, or cannot be changed, changes nothing
    before = content(begun)

    error = fail(begun.path, folder({"4_half": f"-- transactional: false\nPRAGMA {setting};\nVACUUM;\nBORK;"}))

    if "user_version" not in setting:
        assert "other connections have written" in str(error.hint)
        words = shlex.split(str(error.hint).split("`")[1])
        restore(words[2], words[4])
    assert content(begun) == before


def test_readers_do_not_prevent_it_in_wal_mode(sqlite: SQLiteUnderTest, folder):
    """A transaction that reads keeps what it saw; the next one sees the restored state."""
    sqlite.execute("PRAGMA journal_mode = wal")
    upgrade(sqlite.path, folder(ladder(2)))
    before = content(sqlite)
    with closing(sqlite.connect()) as reader, closing(sqlite.connect()) as idle:
        idle.execute("SELECT * FROM t1").fetchall()
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM t1").fetchall()

        error = fail(sqlite.path, folder({"4_half": OUTSIDE}))

        assert reader.execute("SELECT * FROM t1").fetchall() == [(1,)]
        reader.execute("COMMIT")
        assert [list(each.iterdump()) for each in (reader, idle)] == [before, before]
    assert "the database was restored" in str(error.hint)


def test_what_others_wrote_is_not_undone(begun: SQLiteUnderTest, folder):
    """Where another connection has written since, nothing is restored, and the hint has the command that would."""
    source = folder({"4_half": OUTSIDE})
    with closing(begun.connect()) as connection:
        seen: list[str] = []

        def write(sql: str) -> None:
            if sql == "BEGIN IMMEDIATE" and any("CREATE TABLE half" in each for each in seen):
                connection.set_trace_callback(None)
                begun.execute("INSERT INTO t1 VALUES (7)")  # between two statements of the script
            seen.append(sql)

        connection.set_trace_callback(write)
        error = fail(connection, source)

    assert begun.execute("SELECT x FROM t1 WHERE x = 7") == [(7,)]
    assert "half" in begun.tables()
    assert begun.ledgers().agreed == (1, 2, 3)
    assert error.report is not None
    assert (error.report.applied, error.report.snapshot is not None) == ((3,), True)
    assert str(error.hint).startswith(
        "other connections have written since the snapshot was made, and it lacks their changes; `"
    )
    words = shlex.split(str(error.hint).split("`")[1])
    assert words[:2] == ["torc-migrations", "-d"]
    restore(words[2], words[4])
    assert begun.tables().keys() == {"t1", "t2"}


@pytest.mark.parametrize("script", ["-- transactional: false\nBORK;", "CREATE TABLE whole (x);\nBORK;"])
def test_what_is_not_half_way_is_left(begun: SQLiteUnderTest, folder, script):
    """A script that has changed nothing, or was rolled back, does not take what was applied before it with it."""
    error = fail(begun.path, folder({"4_half": script}))

    assert begun.ledgers().agreed == (1, 2, 3)
    assert error.report is not None
    assert error.report.applied == (3,)
    assert "restored" not in str(error.hint)


@pytest.mark.parametrize("error", [errors.MigrationError("no printer"), OSError("no printer")])
def test_an_observer_that_raises_does_not_undo_what_is_recorded(begun: SQLiteUnderTest, folder, caplog, error):
    """What is committed and recorded outside a transaction stays, whatever an observer raises after it."""

    def observe(outcome: Outcome) -> None:
        if outcome.step.migration.version == 4:
            raise error

    source = folder({"4_whole": OUTSIDE.replace("BORK;", "")})
    with pytest.raises(type(error), match="no printer") as failure:
        Migrator(begun.path, source, snapshot=True, group=0).upgrade(observer=observe)

    assert begun.ledgers().agreed == (1, 2, 3, 4)
    assert begun.execute("SELECT x FROM half") == [(1,)]
    assert "restore" not in str(getattr(failure.value, "hint", None)) + caplog.text


def test_a_step_is_not_undone_when_the_next_one_fails(begun: SQLiteUnderTest, folder):
    """A script outside a transaction that is recorded stays where the script after it is rolled back."""
    source = folder({"4_outside": OUTSIDE.replace("BORK;", ""), "5_fails": "CREATE TABLE whole (x);\nBORK;"})

    error = fail(begun.path, source)

    assert begun.ledgers().agreed == (1, 2, 3, 4)
    assert error.report is not None
    assert error.report.applied == (3, 4)


def test_a_finished_step_outside_a_transaction_is_kept(begun: SQLiteUnderTest, folder):
    """A later script that fails and was rolled back does not undo an earlier one that ran outside a transaction."""
    source = folder(
        {
            "3_make_t3": "-- transactional: false\nCREATE TABLE t3 (x);",
            "3_make_t3.rollback": "DROP TABLE t3;",
            "4_whole": "CREATE TABLE whole (x);\nBORK;",
        }
    )

    error = fail(begun.path, source)

    assert begun.ledgers().agreed == (1, 2, 3)
    assert begun.tables().keys() == {"t1", "t2", "t3"}
    assert error.report is not None
    assert error.report.applied == (3,)
    assert "put back" not in str(error.hint)


def test_a_lent_connection_is_given_back_as_it_was(begun: SQLiteUnderTest, folder):
    """It sees the restored state, holds no lock, and has the settings of its owner."""
    before = content(begun)
    with closing(begun.connect()) as connection:
        fail(connection, folder({"4_half": OUTSIDE}))

        assert connection.execute("PRAGMA locking_mode").fetchone() == ("normal",)
        assert list(connection.iterdump()) == before
        begun.execute("INSERT INTO t1 VALUES (8)")
        assert (8,) in connection.execute("SELECT x FROM t1").fetchall()


LONG = "WITH RECURSIVE n (i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 3000000) SELECT count(*) FROM n;"


def test_an_interruption_tells_what_to_type(begun: SQLiteUnderTest, folder, caplog):
    """Ctrl-C leaves no time to restore anything; the log says how."""
    source = folder({"4_half": OUTSIDE.replace("BORK;", LONG)})
    with closing(begun.connect()) as connection:

        def interrupt(sql: str) -> None:
            if "WITH RECURSIVE" in sql:
                Timer(0.05, interrupt_main).start()

        connection.set_trace_callback(interrupt)
        with pytest.raises(KeyboardInterrupt):
            Migrator(connection, source, snapshot=True).upgrade()

    assert "half" in begun.tables()
    words = shlex.split(caplog.text.split("`")[1])
    restore(words[2], words[4])
    assert begun.tables().keys() == {"t1", "t2"}


@pytest.fixture
def snapshot(begun: SQLiteUnderTest, folder) -> str:
    """A snapshot of a database that has gone on since."""
    report = Migrator(begun.path, folder(ladder(3)), snapshot=True).upgrade()
    begun.execute("INSERT INTO t3 VALUES (5)", "CREATE TABLE later (x)")
    assert report.snapshot is not None
    return report.snapshot


def test_a_snapshot_is_restored(begun: SQLiteUnderTest, snapshot: str, journal):
    """The database holds what the snapshot holds, in its own mode, and nothing else lies beside it."""
    restoration = restore(begun.path, snapshot)

    assert rows(begun.path) == rows(snapshot)
    assert begun.ledgers().agreed == (1, 2)
    assert begun.execute("PRAGMA journal_mode") == [(journal,)]
    assert beside(begun) == []
    assert (restoration.database, restoration.snapshot) == (str(begun.path), snapshot)
    assert restoration.size == os.path.getsize(snapshot)


def test_a_missing_database_is_made(begun: SQLiteUnderTest, snapshot: str):
    """Where the file was lost, restoring creates it."""
    begun.path.unlink()

    restore(begun.path, snapshot)

    assert rows(begun.path) == rows(snapshot)


@pytest.mark.skipif(os.name == "nt", reason="Windows has other permissions")
@pytest.mark.parametrize(("mode", "made"), [(0o600, 0o600), (0o640, 0o640), (0o444, 0o644)])
def test_a_missing_database_gets_the_permissions_of_the_snapshot(begun: SQLiteUnderTest, snapshot: str, mode, made):
    """A private snapshot does not become a database that others can read; its owner can always write it."""
    os.chmod(snapshot, mode)
    begun.path.unlink()

    restore(begun.path, snapshot)

    assert stat.S_IMODE(begun.path.stat().st_mode) == made
    assert rows(begun.path) == rows(snapshot)


def test_a_missing_database_is_not_made_without_space(begun: SQLiteUnderTest, snapshot: str, monkeypatch):
    """Where the restoration cannot begin, no empty file is left."""
    begun.path.unlink()
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(0, 0, 1))

    with pytest.raises(NotEnoughSpace):
        restore(begun.path, snapshot)

    assert not begun.path.exists()


def test_a_connection_may_be_restored(begun: SQLiteUnderTest, snapshot: str):
    """A lent connection is used for the restoration, sees the new state, and holds no lock."""
    with closing(begun.connect()) as connection:
        Migrator(connection).restore(snapshot)

        assert connection.execute("SELECT x FROM t1 ORDER BY x").fetchall() == [(1,), (99,)]
        begun.execute("INSERT INTO t1 VALUES (8)")


def damage(path: Path) -> None:
    """Overwrite a page in the middle."""
    with path.open("r+b") as file:
        file.seek(4096 * 2 + 8)
        file.write(b"\xff" * 200)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (damage, "it is damaged"),
        (lambda path: path.write_bytes(b"no database, but rather long" * 100), "not a database"),
        (lambda path: path.write_bytes(b""), "it is empty"),
        (lambda path: path.unlink(), "there is no such file"),
        (lambda path: path.with_name(f"{path.name}-wal").write_bytes(b"x"), "a part of it is in"),
        (lambda path: SQLiteUnderTest(path).execute("PRAGMA journal_mode = wal"), "it is in WAL mode"),
    ],
)
def test_a_bad_snapshot_is_refused(begun: SQLiteUnderTest, snapshot: str, spoil, said):
    """A snapshot is checked before anything is overwritten."""
    spoil(Path(snapshot))
    before = content(begun)

    with pytest.raises(BadSnapshot, match=said) as failure:
        restore(begun.path, snapshot)

    assert (failure.value.path, failure.value.exit_code) == (snapshot, 2)
    assert content(begun) == before


def test_the_database_itself_is_refused(begun: SQLiteUnderTest):
    """A database is no snapshot of itself."""
    with pytest.raises(BadSnapshot, match="it is the database itself"):
        restore(begun.path, begun.path)


def test_memory_is_refused(snapshot: str):
    """A database in memory cannot be restored."""
    with pytest.raises(errors.CannotOpen, match="in memory"):
        restore(":memory:", snapshot)


def test_another_page_size_is_restored_or_refused(begun: SQLiteUnderTest, snapshot: str, journal):
    """Without WAL the pages take the snapshot's size; in WAL mode they cannot, and the error says what to do."""
    SQLiteUnderTest(Path(snapshot)).execute("PRAGMA page_size = 1024", "VACUUM")
    before = content(begun)

    if journal == "delete":
        restore(begun.path, snapshot)
        assert rows(begun.path) == rows(snapshot)
        return
    with pytest.raises(BadSnapshot, match="its pages have 1024 bytes, not 4096") as failure:
        restore(begun.path, snapshot)
    assert "journal_mode = DELETE" in str(failure.value.hint)
    assert content(begun) == before


@pytest.mark.parametrize("how", ["reading", "idle"])
def test_others_who_hold_the_database_are_named(begun: SQLiteUnderTest, snapshot: str, journal, how):
    """A connection that reads, or in WAL mode is open, prevents the restoration; the error names its process."""
    before = content(begun)
    process = start_python(HOLD, begun.path, how)
    expect_line(process, "held")
    try:
        if (journal, how) == ("delete", "idle"):
            restore(begun.path, snapshot, lock_timeout=0.3)
            return
        with pytest.raises(errors.LockTimeout, match=f"process {process.pid}") as failure:
            restore(begun.path, snapshot, lock_timeout=0.3)
    finally:
        process.communicate()
    assert failure.value.exit_code == 5
    assert content(begun) == before
    restore(begun.path, snapshot)
    assert rows(begun.path) == rows(snapshot)


def test_it_waits_for_a_writer(begun: SQLiteUnderTest, snapshot: str):
    """A short transaction of another connection does not make it fail."""
    code = "import sqlite3, sys, time\nc = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
    hold = "c.execute('BEGIN IMMEDIATE')\nprint('held', flush=True)\ntime.sleep(0.5)\nc.execute('COMMIT')"
    process = start_python(code + hold, begun.path)
    expect_line(process, "held")

    restore(begun.path, snapshot)

    process.communicate(timeout=PATIENCE)
    assert rows(begun.path) == rows(snapshot)


def test_missing_disk_space_is_an_error_before_anything_is_written(begun: SQLiteUnderTest, snapshot: str, monkeypatch):
    """SQLite's journal may become as large as the larger of the two."""
    before = content(begun)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(0, 0, 1))

    with pytest.raises(NotEnoughSpace, match="restoring"):
        restore(begun.path, snapshot)

    assert content(begun) == before


@pytest.mark.skipif(os.name == "nt", reason="there is no RLIMIT_FSIZE here")
def test_a_full_disk_leaves_the_old_content(begun: SQLiteUnderTest, snapshot: str):
    """Where the database cannot grow to the snapshot's size, it is unchanged."""
    SQLiteUnderTest(Path(snapshot)).execute("CREATE TABLE big (x)", "INSERT INTO big VALUES (randomblob(900000))")
    before = content(begun)
    code = (
        "import resource, sys\n"
        "from torc_migrations import restore, errors\n"
        "import torc_migrations.snapshots.restore, urllib.parse\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, resource.RLIM_INFINITY))\n"
        "try:\n"
        "    restore(*sys.argv[1:3])\n"
        "except errors.MigrationError as error:\n"
        "    print(error.exit_code, type(error).__name__)\n"
    )

    assert python(code, begun.path, snapshot) == "6 DatabaseFailed\n"
    assert content(begun) == before


RESTORE = """
import sys
from torc_migrations import restore
import torc_migrations.snapshots.restore, urllib.parse
print("ready", flush=True)
sys.stdin.readline()
restore(*sys.argv[1:3])
print("done", flush=True)
"""


def test_killed_it_is_the_old_one_or_the_new_one(begun: SQLiteUnderTest, snapshot: str):
    """Killed at random moments of restoring, the database is whole, and never a mix."""
    SQLiteUnderTest(Path(snapshot)).execute(
        "CREATE TABLE big (x)", *["INSERT INTO big VALUES (randomblob(3000000))"] * 6
    )
    begun.execute("CREATE TABLE old (x)", *["INSERT INTO old VALUES (randomblob(3000000))"] * 4)
    old, new = rows_of(begun), rows(snapshot)
    start = shutil.copy(begun.path, begun.path.with_name("start"))
    assert old != new
    ended: list[bool] = []
    for _ in range(sized(8, 100)):
        process = start_python(RESTORE, begun.path, snapshot)
        expect_line(process, "ready")
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
        deadline = time.monotonic() + PATIENCE
        while not growing(begun) and process.poll() is None and time.monotonic() < deadline:
            pass
        time.sleep(random.uniform(0, 0.05))
        process.send_signal(signal.SIGKILL)
        output, _ = process.communicate(timeout=PATIENCE)

        found = rows_of(begun)
        assert found in (old, new)
        ended.append("done" in output)
        if found == new:
            begun.path.unlink()
            shutil.copy(start, begun.path)
    assert ended.count(False)


def growing(database: SQLiteUnderTest) -> bool:
    """Tell whether something large is being written beside a database."""
    files = [database.path.with_name(f"{database.path.name}{suffix}") for suffix in ("-journal", "-wal")]
    return any(file.exists() and file.stat().st_size > 100_000 for file in files)


def rows_of(database: SQLiteUnderTest) -> dict[str, list[tuple[object, ...]]]:
    """Return all rows of all tables, after SQLite has recovered what a killed process left."""
    database.execute("SELECT * FROM sqlite_master")
    with closing(sqlite3.connect(database.path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        names = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {name: connection.execute(f'SELECT * FROM "{name}"').fetchall() for name in names}
