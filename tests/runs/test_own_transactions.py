"""Scripts that begin and commit by themselves, as folders made for sqlx have them."""

from __future__ import annotations

import logging
import sqlite3
import threading
from contextlib import closing

import pytest
from database_under_test import SQLiteUnderTest

from torc_migrations import Migrator, errors, upgrade

PARENT_AND_CHILD = """
CREATE TABLE parent (id INTEGER PRIMARY KEY);
CREATE TABLE child (parent REFERENCES parent (id) ON DELETE CASCADE);
INSERT INTO parent VALUES (1);
INSERT INTO child VALUES (1);
"""
REBUILD = """
COMMIT TRANSACTION;
PRAGMA foreign_keys = OFF;
BEGIN TRANSACTION;
CREATE TABLE renewed (id INTEGER PRIMARY KEY, name TEXT);
INSERT INTO renewed (id) SELECT id FROM parent;
DROP TABLE parent;
ALTER TABLE renewed RENAME TO parent;
COMMIT TRANSACTION;
PRAGMA foreign_keys = ON;
BEGIN TRANSACTION;
"""


def test_a_script_that_commits_by_itself_is_run_and_recorded(sqlite, folder, caplog):
    """It runs as sqlx runs it, both ledgers have it, no row is lost, and the log says what it is not."""
    source = folder({"1_make": PARENT_AND_CHILD, "2_rebuild": REBUILD, "3_after": "CREATE TABLE later (x);"})

    with caplog.at_level(logging.WARNING, "torc_migrations"):
        report = upgrade(sqlite.path, source)

    assert report.applied == (1, 2, 3)
    assert sqlite.ledgers().agreed == (1, 2, 3)
    with closing(sqlite.connect()) as connection:
        assert connection.execute("SELECT parent FROM child").fetchall() == [(1,)]
    assert "2_rebuild commits by itself" in caplog.text
    assert upgrade(sqlite.path, source).outcomes == ()


@pytest.mark.parametrize("enforced", [0, 1])
def test_settings_that_it_changes_are_put_back(sqlite, folder, enforced):
    """What such a script sets for the connection is as it was, for the next script and for the connection's owner."""
    source = folder(
        {"1_make": PARENT_AND_CHILD, "2_rebuild": REBUILD, "3_again": REBUILD.replace("_keys = ON", "_keys = OFF")}
    )

    with closing(sqlite.connect()) as connection:
        connection.execute(f"PRAGMA foreign_keys = {enforced}")
        upgrade(connection, source)

        assert connection.execute("PRAGMA foreign_keys").fetchone() == (enforced,)


@pytest.mark.parametrize(
    "ending", ["COMMIT;", "END;", "COMMIT; BEGIN;", "COMMIT; BEGIN IMMEDIATE; CREATE TABLE z (x);"]
)
def test_it_may_end_inside_a_transaction_or_outside(sqlite, folder, ending):
    """Whether it leaves a transaction open or not, its records are written."""
    source = folder({"1_a": f"CREATE TABLE a (x); {ending}"})

    upgrade(sqlite.path, source)

    assert "a" in sqlite.tables()
    assert sqlite.ledgers().agreed == (1,)


def test_its_failure_tells_that_something_was_kept(sqlite, folder):
    """What it committed before an error stays, is not recorded, and the error says so."""
    source = folder({"1_a": "CREATE TABLE a (x);\nCOMMIT;\nCREATE TABLE b (x);\nBORK;"})

    with pytest.raises(errors.ExecutionFailed) as failure:
        upgrade(sqlite.path, source)

    assert failure.value.kept
    assert (failure.value.line, failure.value.column) == (4, 1)
    assert sqlite.tables().keys() == {"a", "b"}
    assert sqlite.ledgers().agreed == ()


def test_a_rollback_of_its_own_is_refused_beforehand(sqlite, folder):
    """A script that commits and later rolls back is not even begun."""
    source = folder({"1_a": "CREATE TABLE a (x);\nCOMMIT;\nBEGIN;\nROLLBACK;"})

    with pytest.raises(errors.BadScript, match="ROLLBACK") as failure:
        upgrade(sqlite.path, source)

    assert failure.value.line == 4
    assert sqlite.tables() == {}


def test_strictly_none_of_them_is_run(sqlite, folder):
    """With strict, a script with a COMMIT of its own is refused, and what stood before it stays."""
    source = folder({"1_make": PARENT_AND_CHILD, "2_rebuild": REBUILD})

    with pytest.raises(errors.BadScript, match="COMMIT") as failure:
        Migrator(sqlite.path, source, strict=True).upgrade()

    assert failure.value.line == 2
    assert sqlite.ledgers().agreed == (1,)


def test_a_trigger_is_no_transaction(sqlite, folder):
    """BEGIN and END of a trigger's body are neither refused nor taken for a commit."""
    trigger = "CREATE TABLE a (x); CREATE TRIGGER t AFTER INSERT ON a BEGIN SELECT CASE WHEN 1 THEN 2 END; END;"
    source = folder({"1_a": trigger})

    Migrator(sqlite.path, source, strict=True).upgrade()

    assert sqlite.ledgers().agreed == (1,)


def test_an_application_may_write_in_between(sqlite, folder):
    """Somebody who writes between its transactions is waited for, and the script is recorded all the same."""
    statements = ["CREATE TABLE a (x);", "COMMIT;", "BEGIN;", "INSERT INTO a VALUES (1);", "COMMIT;", "BEGIN;"]
    source = folder({"1_a": "\n".join(statements)})
    with closing(sqlite.connect()) as connection, closing(sqlite3.connect(sqlite.path)) as other:
        connection.set_trace_callback(lambda sql: _write(other) if sql == "BEGIN" else None)

        upgrade(connection, source)

    assert sqlite.ledgers().agreed == (1,)


def _write(connection: sqlite3.Connection) -> None:
    with connection:
        connection.execute("CREATE TABLE IF NOT EXISTS noise (x)")
        connection.execute("INSERT INTO noise VALUES (1)")


def test_a_transaction_inside_ours_is_refused(sqlite, folder):
    """A script that begins one before it has ended ours could not run; nothing of it is kept."""
    source = folder({"1_a": "CREATE TABLE a (x);\nBEGIN;\nCREATE TABLE b (x);\nCOMMIT;"})

    with pytest.raises(errors.BadScript, match="BEGIN") as failure:
        upgrade(sqlite.path, source)

    assert failure.value.line == 2
    assert sqlite.tables() == {}


def test_what_a_script_writes_into_another_file_is_kept_though_its_own_is_locked(
    sqlite: SQLiteUnderTest, folder, tmp_path, journal
):
    """Its last transaction is committed before ours waits for who writes; in our own file it has only read."""
    sqlite.execute(f"PRAGMA journal_mode = {journal}", "CREATE TABLE a (x)")
    archive = tmp_path / "archive.db"
    with closing(sqlite3.connect(archive)) as made:
        made.execute("CREATE TABLE old (x)")
    ends_in_transaction = "SELECT lock();\nBEGIN;\nSELECT * FROM a;\nINSERT INTO old VALUES (7);\n"
    source = folder({"1_b": f"COMMIT;\nATTACH '{archive}' AS archive;\n{ends_in_transaction}"})

    with (
        closing(sqlite3.connect(sqlite.path, isolation_level=None, check_same_thread=False)) as other,
        closing(sqlite3.connect(sqlite.path, isolation_level=None)) as connection,
    ):
        ends = threading.Timer(0.3, other.execute, ("COMMIT",))

        def lock() -> int:
            other.execute("BEGIN IMMEDIATE")
            other.execute("INSERT INTO a VALUES (1)")
            ends.start()
            return 0

        connection.create_function("lock", 0, lock)
        report = upgrade(connection, source, lock_timeout=30)
        ends.join()

    assert report.applied == (1,)
    assert sqlite.execute("SELECT x FROM a") == [(1,)]
    assert sqlite.ledgers().agreed == (1,)
    with closing(sqlite3.connect(archive)) as written:
        assert written.execute("SELECT x FROM old").fetchall() == [(7,)]
