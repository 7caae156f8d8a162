"""A script outside a transaction that has begun and has not ended is known, and can be resumed, marked or unmarked."""

from __future__ import annotations

import os
import sqlite3
import threading
from contextlib import closing, suppress

import pytest
from database_under_test import SQLiteUnderTest, ladder, python, start_python
from other_tools import listed, yoyo

from torc_migrations import Migrator, errors, rollback, status, upgrade

OUTSIDE = """-- no-transaction
CREATE TABLE b (x);
PRAGMA user_version = 7;
BEGIN;
CREATE TABLE c (x);
INSERT INTO c VALUES (1);
COMMIT;
INSERT INTO b VALUES (stop());
CREATE INDEX i ON b (x);
"""
DOWN = """-- no-transaction
DROP INDEX i;
DELETE FROM b WHERE stop() = 0;
DROP TABLE b;
DROP TABLE c;
"""
OWN_COMMITS = """CREATE TABLE b (x);
COMMIT;
PRAGMA foreign_keys = OFF;
BEGIN;
CREATE TABLE c (x);
INSERT INTO c VALUES (1);
COMMIT;
INSERT INTO b VALUES (stop());
BEGIN;
CREATE INDEX i ON b (x);
"""
# Runs an operation on a connection whose function `stop` kills the process or does what it is told.
KILLED = """
import os, signal, sqlite3, sys
from torc_migrations import Migrator
path, source, operation = sys.argv[1:]
connection = sqlite3.connect(path, isolation_level=None)
connection.create_function("stop", 0, lambda: os.kill(os.getpid(), signal.SIGKILL))
getattr(Migrator(connection, source), operation)()
"""
# Resumes a script, and kills the process when `stop` is called for the second time.
KILLED_AGAIN = """
import os, signal, sqlite3, sys
from torc_migrations import Migrator
path, source = sys.argv[1:]
calls = []
def stop():
    calls.append(1)
    return os.kill(os.getpid(), signal.SIGKILL) if calls[1:] else 0
connection = sqlite3.connect(path, isolation_level=None)
connection.create_function("stop", 0, stop)
Migrator(connection, source).repair(1, resume_after=1)
"""


def kill(database: SQLiteUnderTest, source: str, operation: str = "upgrade") -> None:
    """Run an operation that is killed at `stop()`."""
    process = start_python(KILLED, database.path, source, operation)
    process.communicate(timeout=60)
    assert process.returncode == -9


def connected(database: SQLiteUnderTest) -> sqlite3.Connection:
    """Open a connection on which `stop()` stops nothing."""
    connection = database.connect()
    connection.create_function("stop", 0, lambda: 0)
    return connection


@pytest.mark.parametrize(("script", "done", "line"), [(OUTSIDE, 6, 8), (OWN_COMMITS, 7, 8)])
def test_killed_script_is_named_and_refused(sqlite: SQLiteUnderTest, folder, script, done, line):
    """`status` says how far it is, `upgrade`, `rollback` and `apply` refuse to go on; nothing is written."""
    source = folder({**ladder(1), "2_b": script})
    kill(sqlite, source)
    before = sqlite.path.read_bytes()

    found = status(sqlite.path, source)
    for operate in (upgrade, rollback, lambda path, source: Migrator(path, source).apply(2)):
        with pytest.raises(errors.HalfDone) as failure:
            operate(sqlite.path, source)

    assert (failure.value.version, failure.value.done, failure.value.line) == (2, done, line)
    assert f"resume_after={done}" in str(failure.value.hint)
    assert f"--resume-after {done}" in str(failure.value.command_hint)
    assert f"2 has begun and has not ended: it stopped after statement {done}, before line {line}" in found.notes
    assert found.as_dict()["migrations"][1]["half_done"] == {"done": done, "line": line, "rolls_back": False}
    assert not found.clean
    assert sqlite.path.read_bytes() == before
    assert found.as_text() == "1/installed make t1\n2/pending b\n"


@pytest.mark.parametrize(("script", "done"), [(OUTSIDE, 6), (OWN_COMMITS, 7)])
def test_killed_script_is_resumed(sqlite: SQLiteUnderTest, folder, script, done):
    """The statements that are left are run, once, and the migration is recorded like any other."""
    source = folder({**ladder(1), "2_b": script})
    kill(sqlite, source)

    with closing(connected(sqlite)) as connection:
        report = Migrator(connection, source).repair(2, resume_after=done)

    assert report.applied == (2,)
    assert sqlite.ledgers().agreed == (1, 2)
    assert sqlite.ledgers().log == (("apply", "1_make_t1"), ("apply", "2_b"))
    assert (sqlite.execute("SELECT * FROM b"), sqlite.execute("SELECT * FROM c")) == ([(0,)], [(1,)])
    assert "i" in sqlite.tables()
    assert status(sqlite.path, source).clean


@pytest.mark.parametrize(("way", "after"), [("mark", (1, 2)), ("unmark", (1,))])
def test_killed_script_is_marked_or_unmarked(sqlite: SQLiteUnderTest, folder, way, after):
    """A user who has finished or undone it by hand says so."""
    source = folder({**ladder(1), "2_b": OUTSIDE})
    kill(sqlite, source)

    report = Migrator(sqlite.path, source).repair(2, **{way: True})

    assert report.applied == ()
    assert sqlite.ledgers().agreed == after
    assert not any(entry.half_done for entry in status(sqlite.path, source).entries)


def test_killed_rollback_is_resumed(sqlite: SQLiteUnderTest, folder):
    """A down script is no different: it is named as such, and goes on where it was."""
    source = folder({**ladder(1), "2_b": OUTSIDE, "2_b.rollback": DOWN})
    with closing(connected(sqlite)) as connection:
        upgrade(connection, source)
    kill(sqlite, source, "rollback")

    with pytest.raises(errors.HalfDone, match="rollback of migration 2 has begun") as failure:
        upgrade(sqlite.path, source)
    assert (failure.value.done, failure.value.line, failure.value.rolls_back) == (1, 3, True)
    with closing(connected(sqlite)) as connection:
        Migrator(connection, source).repair(2, resume_after=1)

    assert sqlite.ledgers().agreed == (1,)
    assert sqlite.tables().keys() == {"t1"}
    assert status(sqlite.path, source).latest == 1


def test_a_second_kill_is_known_too(sqlite: SQLiteUnderTest, folder):
    """Resumed and killed again, it is where the second run has left it."""
    script = "-- no-transaction\nCREATE TABLE b (x);\nINSERT INTO b VALUES (stop());\nCREATE TABLE c (x);\n"
    source = folder({"1_b": script + "INSERT INTO c SELECT stop() FROM b;\nCREATE TABLE d (x);"})
    kill(sqlite, source)
    process = start_python(KILLED_AGAIN, sqlite.path, source)
    process.communicate(timeout=60)

    with pytest.raises(errors.HalfDone) as failure:
        upgrade(sqlite.path, source)
    assert failure.value.done == 3
    with closing(connected(sqlite)) as connection:
        Migrator(connection, source).repair(1, resume_after=3)
    assert sqlite.ledgers() == sqlite.ledgers()._replace(sqlx=(1,), yoyo=("1_b",), log=(("apply", "1_b"),))


def test_a_statement_that_fails_leaves_the_same_and_says_how_to_resume(sqlite: SQLiteUnderTest, folder):
    """An error is no different from a kill: what is kept is counted, and its cause can be removed."""
    script = "-- no-transaction\nCREATE TABLE b (x);\nINSERT INTO late VALUES (1);\nCREATE TABLE c (x);"
    source = folder({"1_b": script})

    with pytest.raises(errors.ExecutionFailed) as failure:
        upgrade(sqlite.path, source)
    assert "repair(1, resume_after=1)" in str(failure.value.hint)
    with pytest.raises(errors.ExecutionFailed) as again:
        Migrator(sqlite.path, source).repair(1, resume_after=1)
    assert "repair(1, resume_after=1)" in str(again.value.hint)
    assert "torc-migrations repair 1 --resume-after 1" in str(failure.value.command_hint)
    with pytest.raises(errors.HalfDone):
        upgrade(sqlite.path, source)

    sqlite.execute("CREATE TABLE late (x)")
    assert Migrator(sqlite.path, source).repair(1, resume_after=1).applied == (1,)
    assert sqlite.tables().keys() == {"b", "c", "late"}


@pytest.mark.parametrize("head", ["VACUUM;", "PRAGMA user_version = 3;", "ANALYZE;", "SELECT 1;"])
def test_a_script_of_which_nothing_is_kept_runs_again(sqlite: SQLiteUnderTest, folder, head):
    """What may run twice is no reason to refuse, and no line stays in the log."""
    source = folder({**ladder(1), "2_b": f"-- no-transaction\n{head}\nINSERT INTO late VALUES (stop());"})
    sqlite.execute("CREATE TABLE late (x)")
    kill(sqlite, source)

    assert status(sqlite.path, source).entries[1].half_done is None
    with closing(connected(sqlite)) as connection:
        assert upgrade(connection, source).applied == (2,)
    assert sqlite.ledgers().log == (("apply", "1_make_t1"), ("apply", "2_b"))


def test_settings_before_the_place_of_resumption_hold(sqlite: SQLiteUnderTest, folder):
    """A PRAGMA that was run before the kill is run again, because it held for the connection only."""
    script = "-- no-transaction\nPRAGMA ignore_check_constraints = ON;\nCREATE TABLE b (x CHECK (x > 9));\n"
    source = folder({"1_b": f"{script}INSERT INTO b VALUES (stop());\n"})
    kill(sqlite, source)

    with closing(connected(sqlite)) as connection:
        Migrator(connection, source).repair(1, resume_after=2)

    assert sqlite.execute("SELECT x FROM b") == [(0,)]


@pytest.mark.parametrize(("after", "reason"), [(4, "inside a transaction"), (99, "has 8 statements")])
def test_no_script_is_resumed_where_it_cannot_be(sqlite: SQLiteUnderTest, folder, after, reason):
    """A place in the middle of the script's own transaction, or behind its end, is refused before anything runs."""
    source = folder({**ladder(1), "2_b": OUTSIDE.replace("INSERT INTO c VALUES (1)", "INSERT INTO c VALUES (stop())")})
    kill(sqlite, source)

    with pytest.raises(errors.BadScript, match=reason):
        Migrator(sqlite.path, source).repair(2, resume_after=after)

    assert status(sqlite.path, source).entries[1].half_done is not None


@pytest.mark.parametrize("version", [1, 2])
def test_what_has_not_begun_is_not_resumed(sqlite: SQLiteUnderTest, folder, version):
    """Neither what is installed nor what is pending has a place to go on from."""
    source = folder(ladder(2))
    upgrade(sqlite.path, source, target=1)

    with pytest.raises(errors.NothingToResume):
        Migrator(sqlite.path, source).repair(version, resume_after=1)


@pytest.mark.parametrize("tool", ["yoyo", "hand"])
def test_what_another_tool_has_written_since_counts(sqlite: SQLiteUnderTest, folder, tool):
    """Stock yoyo ignores our line; once it has run or marked the migration, nothing is half-done."""
    source = folder({**ladder(1), "2_b": OUTSIDE})
    kill(sqlite, source)
    assert listed(sqlite, source) == "AU"

    if tool == "yoyo":
        yoyo(sqlite, "mark", source, "-m", "2_b")
    else:
        row = "2, 'b', '2026-01-01 00:00:00', 1, x'00', 1"
        sqlite.execute(f"INSERT INTO _sqlx_migrations VALUES ({row})")

    entry = status(sqlite.path, source).entries[1]
    assert (entry.half_done, entry.installed) == (None, True)


def test_a_run_waits_for_another_that_is_in_such_a_script(sqlite: SQLiteUnderTest, folder):
    """While it lives, its script is neither half-done nor run a second time."""
    source = folder({**ladder(1), "2_b": OUTSIDE, "3_c": "CREATE TABLE late (x);"})
    inside, go_on = threading.Event(), threading.Event()
    first: list[object] = []

    def stop() -> int:
        inside.set()
        go_on.wait(30)
        return 0

    def run() -> None:
        with closing(sqlite.connect()) as connection:
            connection.create_function("stop", 0, stop)
            first.append(upgrade(connection, source).applied)

    # A statement of its own, so that nobody holds the lock of the database while it is inside.
    folder({"2_b": OUTSIDE.replace("INSERT INTO b VALUES (stop());", "SELECT stop();")})
    thread = threading.Thread(target=run)
    thread.start()
    assert inside.wait(30)
    with pytest.raises(errors.LockTimeout):
        upgrade(sqlite.path, source, lock_timeout=0.2)
    listing = status(sqlite.path, source)
    go_on.set()
    second = upgrade(sqlite.path, source).applied
    thread.join()

    assert listing.entries[1].half_done is None
    assert sorted([*first[0], *second]) == [1, 2, 3]  # type: ignore[misc]  # a tuple
    assert sqlite.ledgers().agreed == (1, 2, 3)


def test_a_hook_may_run_again_and_is_never_half_done(sqlite: SQLiteUnderTest, folder):
    """A post-apply hook outside a transaction that fails is run by the next upgrade."""
    hook = "-- no-transaction\nCREATE TABLE IF NOT EXISTS h (x);\nINSERT INTO late VALUES (1);"
    source = folder({**ladder(1), "post-apply": hook})
    with suppress(errors.ExecutionFailed):
        upgrade(sqlite.path, source)
    sqlite.execute("CREATE TABLE late (x)")

    upgrade(sqlite.path, source)

    assert sqlite.execute("SELECT count(*) FROM late") == [(1,)]
    assert status(sqlite.path, source).clean


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_an_interruption_is_half_done_too(sqlite: SQLiteUnderTest, folder):
    """Ctrl-C in such a script leaves a line as a kill does."""
    source = folder({"1_b": OUTSIDE})
    code = (
        "import sqlite3, sys\nfrom torc_migrations import upgrade\n"
        "connection = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
        "def trace(sql):\n    if 'stop()' in sql: connection.interrupt()\n"
        "connection.create_function('stop', 0, lambda: 0)\nconnection.set_trace_callback(trace)\n"
        "try:\n    upgrade(connection, sys.argv[2])\nexcept Exception as error:\n    print(type(error).__name__)\n"
    )

    assert python(code, sqlite.path, source) == "ExecutionFailed\n"
    assert status(sqlite.path, source).entries[0].half_done.done == 6


def test_statements_that_are_done_are_not_run_again(sqlite: SQLiteUnderTest, folder):
    """Somebody types the same repair again, after the first one has stopped further on: no row is inserted twice."""
    source = folder(
        {"1_a": "-- no-transaction\nCREATE TABLE a (x);\nINSERT INTO late VALUES (1);\nINSERT INTO later VALUES (1);"}
    )
    with pytest.raises(errors.ExecutionFailed):
        upgrade(sqlite.path, source)
    sqlite.execute("CREATE TABLE late (x)")
    with pytest.raises(errors.ExecutionFailed):
        Migrator(sqlite.path, source).repair(1, resume_after=1)
    sqlite.execute("CREATE TABLE later (x)")

    with pytest.raises(errors.HalfDone) as failure:
        Migrator(sqlite.path, source).repair(1, resume_after=1)

    assert failure.value.done == 2
    assert sqlite.execute("SELECT x FROM late") == [(1,)]
    Migrator(sqlite.path, source).repair(1, resume_after=2)
    assert sqlite.execute("SELECT x FROM late UNION ALL SELECT x FROM later") == [(1,), (1,)]
    assert status(sqlite.path, source).clean


def test_a_script_that_somebody_else_records_meanwhile_is_not_half_done(sqlite: SQLiteUnderTest, folder):
    """What the log says of its begin is removed again."""
    source = folder(
        {"1_a": "CREATE TABLE a (x);", "2_b": "-- no-transaction\nCREATE TABLE b (x);\nSELECT meanwhile();\n"}
    )
    upgrade(sqlite.path, source, target=1)
    checksum = Migrator(sqlite.path, source).status().pending[0].checksum.hex()

    def meanwhile() -> None:
        sqlite.execute(f"INSERT INTO _sqlx_migrations VALUES (2, 'b', '2026-01-01', TRUE, x'{checksum}', 1)")

    migrator = Migrator(
        sqlite.path, source, functions=lambda connection: connection.create_function("meanwhile", 0, meanwhile)
    )
    migrator.upgrade()

    assert sqlite.execute("SELECT count(*) FROM _yoyo_log WHERE operation = 'begin'") == [(0,)]
    assert status(sqlite.path, source).notes == ()
    assert sqlite.ledgers().agreed == (1, 2)


def test_a_script_that_ends_while_it_is_looked_for_is_not_half_done(sqlite: SQLiteUnderTest, folder):
    """Its line in the log was read before it ended, and its process is looked for after that: both are read again."""
    source = folder(
        {"1_a": "-- no-transaction\nCREATE TABLE b (x);\nINSERT INTO b VALUES (wait());\nCREATE TABLE c (x);"}
    )
    sqlite.execute("PRAGMA journal_mode = WAL")
    is_running, may_end = threading.Event(), threading.Event()

    def wait() -> int:
        is_running.set()
        assert may_end.wait(60)
        return 0

    def run() -> None:
        with closing(sqlite3.connect(sqlite.path, isolation_level=None)) as connection:
            connection.create_function("wait", 0, wait)
            upgrade(connection, source)

    runner = threading.Thread(target=run)
    runner.start()
    assert is_running.wait(60)
    looks = []

    def end_between(statement: str) -> None:
        if "execution_time" in statement:  # sqlx's rows are read after the log
            looks.append(statement)
            may_end.set()
            runner.join()

    with closing(sqlite3.connect(sqlite.path, isolation_level=None)) as connection:
        connection.set_trace_callback(end_between)
        found = status(connection, source)

    assert len(looks) == 2
    assert [entry.half_done for entry in found.entries] == [None]
    assert found.clean
