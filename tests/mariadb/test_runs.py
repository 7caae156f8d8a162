"""Upgrades and rollbacks on MariaDB, where DDL commits by itself: what a failure leaves, and how it is repaired."""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy
from database_under_test import ladder, rungs, stock_yoyo

from torc_migrations import Migrator
from torc_migrations.errors import BadScript, CannotOpen, Dirty, ExecutionFailed, NotSupported

BROKEN = {
    "1_a": "CREATE TABLE a (id INT PRIMARY KEY);\n",
    "2_b": "CREATE TABLE b (id INT);\nINSERT INTO b VALUES (1);\n\nINSERT INTO nowhere VALUES (2);\n"
    "CREATE TABLE c (id INT);\n",
}


def test_up_status_down_and_up_again(mariadb, folder):
    """Each migration is recorded in both ledgers, and rolled back from both."""
    migrator = Migrator(mariadb.url, folder(ladder(3)))

    migrator.upgrade()
    assert mariadb.ledgers().agreed == (1, 2, 3)
    assert set(mariadb.tables()) == rungs([1, 2, 3])
    assert migrator.status().clean
    assert migrator.upgrade().applied == ()

    migrator.rollback(1)
    assert mariadb.ledgers().agreed == (1,)
    assert set(mariadb.tables()) == rungs([1])
    assert migrator.upgrade().applied == (2, 3)
    assert migrator.status().clean


def test_status_writes_nothing(mariadb, folder):
    """To list what is pending makes no table."""
    assert len(Migrator(mariadb.url, folder(ladder(2))).status().pending) == 2
    assert mariadb.execute("SHOW TABLES") == []


def test_a_failure_leaves_the_dirty_row_and_names_the_last_statement(mariadb, folder):
    """The statements before the one that failed are kept; the error says which was the last, and where it failed."""
    migrator = Migrator(mariadb.url, folder(BROKEN))

    with pytest.raises(ExecutionFailed) as failure:
        migrator.upgrade()

    error = failure.value
    assert (error.line, error.column, error.kept) == (4, 13, True)
    assert "resume_after=2" in (error.hint or "")
    assert "statement 2 of" in (error.hint or "")
    assert (error.frame or "").endswith("| INSERT INTO nowhere VALUES (2);\n     |             ^")
    assert mariadb.dirty() == [2]
    assert mariadb.ledgers().agreed == (1,)
    assert set(mariadb.tables()) == {"a", "b"}
    assert mariadb.execute("SELECT * FROM b") == [(1,)]


def test_upgrade_refuses_a_dirty_database(mariadb, folder):
    """Nothing runs while a migration is half-done, and the error says where it has stopped."""
    migrator = Migrator(mariadb.url, folder(BROKEN))
    with pytest.raises(ExecutionFailed):
        migrator.upgrade()

    with pytest.raises(Dirty) as refusal:
        migrator.upgrade()

    stop = refusal.value.stop
    assert stop is not None
    assert (stop.done, stop.line, stop.rolls_back, stop.is_running) == (2, 4, False, False)
    assert "resume-after 2" in (refusal.value.command_hint or "")
    assert migrator.status().dirty == (2,)


def test_repair_resumes_after_the_last_statement(mariadb, folder):
    """Once the script is corrected, what is left of it runs, and the row has the checksum of the corrected file."""
    migrator = Migrator(mariadb.url, folder(BROKEN))
    with pytest.raises(ExecutionFailed):
        migrator.upgrade()
    source = folder({"2_b": BROKEN["2_b"].replace("nowhere", "b")})

    Migrator(mariadb.url, source).repair(2, resume_after=2)

    assert mariadb.execute("SELECT * FROM b") == [(1,), (2,)]
    assert set(mariadb.tables()) == {"a", "b", "c"}
    assert mariadb.dirty() == []
    assert Migrator(mariadb.url, source).status().clean


@pytest.mark.parametrize(("way", "installed"), [("mark", (1, 2)), ("unmark", (1,))])
def test_repair_marks_or_unmarks(mariadb, folder, way, installed):
    """What was finished or undone by hand is recorded, or erased."""
    migrator = Migrator(mariadb.url, folder(BROKEN))
    with pytest.raises(ExecutionFailed):
        migrator.upgrade()

    migrator.repair(2, **{way: True})

    assert mariadb.dirty() == []
    assert mariadb.ledgers().agreed == installed
    assert len(migrator.status().pending) == 2 - len(installed)


def test_a_dirty_row_of_sqlx_can_be_marked(mariadb, folder):
    """A row that another tool has left is refused without a place, and can be repaired all the same."""
    migrator = Migrator(mariadb.url, folder(ladder(1)))
    migrator.upgrade()
    mariadb.execute("UPDATE _sqlx_migrations SET success = FALSE")

    with pytest.raises(Dirty) as refusal:
        migrator.upgrade()
    assert refusal.value.stop is None

    migrator.repair(1, mark=True)
    assert migrator.status().clean


def test_a_row_that_was_set_to_success_by_hand_is_installed(mariadb, folder):
    """Who sets success = TRUE has finished the migration, as sqlx has it."""
    migrator = Migrator(mariadb.url, folder(BROKEN))
    with pytest.raises(ExecutionFailed):
        migrator.upgrade()
    mariadb.execute("UPDATE _sqlx_migrations SET success = TRUE")

    assert migrator.upgrade().applied == ()
    assert mariadb.ledgers().agreed == (1, 2)


def test_a_row_that_was_deleted_by_hand_is_pending(mariadb, folder):
    """Who deletes the row has undone the migration, as sqlx's error tells to."""
    migrator = Migrator(mariadb.url, folder(BROKEN))
    with pytest.raises(ExecutionFailed):
        migrator.upgrade()
    mariadb.execute("DELETE FROM _sqlx_migrations WHERE version = 2", "DROP TABLE b")
    source = folder({"2_b": "CREATE TABLE b (id INT);"})

    assert Migrator(mariadb.url, source).upgrade().applied == (2,)
    assert Migrator(mariadb.url, source).status().clean


def test_a_rollback_that_fails_is_dirty_and_is_resumed(mariadb, folder):
    """The row is not successful while a down script runs; repair runs what is left of it."""
    files = {"1_a": "CREATE TABLE a (x INT); CREATE TABLE b (x INT);", "1_a.rollback": "DROP TABLE a;\nDROP TABLE c;"}
    migrator = Migrator(mariadb.url, folder(files))
    migrator.upgrade()
    with pytest.raises(ExecutionFailed):
        migrator.rollback()
    assert mariadb.dirty() == [1]
    with pytest.raises(Dirty, match="partially rolled back: it stopped after statement 1 of"):
        migrator.rollback()

    source = folder({"1_a.rollback": "DROP TABLE a;\nDROP TABLE b;"})
    Migrator(mariadb.url, source).repair(1, resume_after=1)

    assert mariadb.tables() == {}
    assert mariadb.ledgers().agreed == ()


def test_a_script_that_only_changes_rows_is_one_transaction(mariadb, folder):
    """Nothing of it is kept where a statement fails, and nothing is dirty."""
    source = folder({**BROKEN, "2_b": "INSERT INTO a VALUES (1);\nINSERT INTO a VALUES (2), (1);"})
    migrator = Migrator(mariadb.url, source)

    with pytest.raises(ExecutionFailed) as failure:
        migrator.upgrade()

    assert not failure.value.kept
    assert mariadb.execute("SELECT * FROM a") == []
    assert mariadb.dirty() == []
    assert mariadb.ledgers().agreed == (1,)


def test_rows_of_a_table_without_transactions_are_noted(mariadb, folder):
    """Where a table cannot be rolled back, a script that only changes rows is not taken for a transaction."""
    files = {
        "1_a": "CREATE TABLE a (id INT PRIMARY KEY) ENGINE = MyISAM;",
        "2_b": "INSERT INTO a VALUES (1);\nINSERT INTO a VALUES (1);",
    }
    migrator = Migrator(mariadb.url, folder(files))

    with pytest.raises(ExecutionFailed) as failure:
        migrator.upgrade()
    mariadb.execute("DROP TABLE a")  # such a table of any database is one that a script may write into

    assert failure.value.kept
    assert mariadb.dirty() == [2]


SETTINGS = """SELECT @@sql_mode AS m, @@foreign_key_checks AS f, @@time_zone AS z, @@autocommit AS a, DATABASE() AS d,
@@sql_safe_updates AS s, @@lc_messages AS l"""


def test_what_a_script_sets_is_restored_before_the_next(mariadb, folder):
    """Settings and the current database are those with which the session began, in every script and in the ledgers."""
    leak = (
        "SET sql_mode = 'ANSI_QUOTES,NO_BACKSLASH_ESCAPES', foreign_key_checks = 0, time_zone = '+07:00', "
        "sql_safe_updates = 1, lc_messages = 'de_DE';\nUSE mysql;\nSET autocommit = 0;\n"
    )
    see = f"CREATE TABLE seen_{{}} AS {SETTINGS};"
    files = {"1_see": see.format(1), "2_leak": leak, "3_see": see.format(3)}

    Migrator(mariadb.url, folder(files)).upgrade()

    assert mariadb.execute("SELECT * FROM seen_3") == mariadb.execute("SELECT * FROM seen_1")
    assert mariadb.execute("SELECT * FROM seen_1") == mariadb.execute(SETTINGS)
    assert mariadb.ledgers().agreed == (1, 2, 3)
    (age,) = mariadb.execute("SELECT MAX(ABS(TIMESTAMPDIFF(SECOND, installed_on, NOW()))) FROM _sqlx_migrations")[0]
    assert age < 600


@pytest.mark.parametrize("autocommit", [True, False])
def test_a_lent_connection_is_given_back_as_it_was_found(mariadb, folder, autocommit):
    """Its settings, its database and its mode of commits are the same after a run, and it stays open."""
    with closing(mariadb.connect(autocommit=autocommit)) as connection:
        cursor = connection.cursor()
        cursor.execute("SET time_zone = '+03:00', sql_mode = 'ANSI_QUOTES', foreign_key_checks = 0")
        connection.commit()
        cursor.execute(SETTINGS)
        before = cursor.fetchall()
        connection.commit()

        Migrator(connection, folder({**ladder(2), "3_leak": "USE mysql; SET time_zone = '+05:00';"})).upgrade()

        cursor.execute(SETTINGS)
        assert cursor.fetchall() == before
        cursor.execute("SELECT IS_FREE_LOCK('none'), RELEASE_ALL_LOCKS()")
        assert cursor.fetchall() == ((1, 0),)
    assert mariadb.ledgers().agreed == (1, 2, 3)


def test_a_lent_connection_inside_a_transaction_is_refused(mariadb, folder):
    """A run would commit what its owner has not."""
    with closing(mariadb.connect(autocommit=False)) as connection:
        connection.cursor().execute("START TRANSACTION")
        with pytest.raises(CannotOpen, match="is inside a transaction"):
            Migrator(connection, folder(ladder(1))).upgrade()


def test_transactions_of_a_script_are_kept_whole(mariadb, folder):
    """The note of how far a script is goes with its COMMIT; a failure inside undoes the whole transaction."""
    script = "CREATE TABLE a (x INT PRIMARY KEY);\nSTART TRANSACTION;\n" + "INSERT INTO a VALUES (1);\n" * 2 + "COMMIT;"
    migrator = Migrator(mariadb.url, folder({"1_a": script}))

    with pytest.raises(ExecutionFailed, match="Duplicate entry"):
        migrator.upgrade()

    assert mariadb.execute("SELECT * FROM a") == []
    with pytest.raises(Dirty) as refusal:
        migrator.upgrade()
    assert refusal.value.stop is not None
    assert refusal.value.stop.done == 1


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        (
            "CREATE TABLE a (x INT); START TRANSACTION; INSERT INTO a VALUES (1);",
            "its transaction is still open at its end",
        ),
        ("CREATE TABLE a (x INT); START TRANSACTION; ROLLBACK;", "ROLLBACK in a script"),
    ],
)
def test_scripts_that_leave_unclear_what_is_kept_are_refused(mariadb, folder, script, reason):
    """A transaction that is not ended, or is undone, is an error of the script."""
    with pytest.raises(BadScript, match=reason):
        Migrator(mariadb.url, folder({"1_a": script})).upgrade()


def test_a_script_with_a_rollback_leaves_no_dirty_row(mariadb, folder):
    """It is refused before anything is written, so that the corrected file runs without a repair."""
    with pytest.raises(BadScript):
        Migrator(mariadb.url, folder({"1_a": "CREATE TABLE a (x INT); ROLLBACK;"})).upgrade()

    assert Migrator(mariadb.url, folder({"1_a": "CREATE TABLE a (x INT);"})).upgrade().applied == (1,)


def test_the_hint_names_the_repair_of_a_script_that_fails_at_once(mariadb, folder):
    """Its row is dirty though nothing of it was done; resumed after statement 0, the corrected script runs."""
    with pytest.raises(ExecutionFailed) as failure:
        Migrator(mariadb.url, folder({"1_a": "CREATE TABLE a (x INTT);"})).upgrade()
    assert failure.value.hint == (
        "nothing of 1 before this statement has to be undone; "
        "once the cause is gone, repair(1, resume_after=0) runs the script"
    )
    assert not failure.value.kept

    migrator = Migrator(mariadb.url, folder({"1_a": "CREATE TABLE a (x INT);"}))
    with pytest.raises(BadScript, match="it has 1 statement, and cannot be resumed after number 9"):
        migrator.repair(1, resume_after=9)
    migrator.repair(1, resume_after=0)

    assert mariadb.ledgers().agreed == (1,)
    assert mariadb.tables().keys() == {"a"}


def test_locked_tables_do_not_lock_the_ledgers_out(mariadb, folder):
    """A dump locks tables, among which those of the ledgers are not."""
    insert = "INSERT INTO a VALUES ({});\n"
    script = (
        "CREATE TABLE a (x INT);\nLOCK TABLES a WRITE;\n" + insert.format(1) + "UNLOCK TABLES;\n" + insert.format(2)
    )

    Migrator(mariadb.url, folder({"1_a": script})).upgrade()

    assert mariadb.execute("SELECT * FROM a") == [(1,), (2,)]
    assert mariadb.ledgers().agreed == (1,)


def test_one_transaction_for_all_is_refused(mariadb, folder):
    """DDL commits by itself, so that `atomic` cannot be kept."""
    with pytest.raises((BadScript, NotSupported)):
        Migrator(mariadb.url, folder(ladder(2))).upgrade(atomic=True)

    assert mariadb.tables() == {}


@pytest.mark.parametrize("options", [{"snapshot": True}, {"on_loss": "refuse"}])
def test_what_needs_a_copy_of_the_database_is_refused(mariadb, folder, options):
    """Before anything is done."""
    with pytest.raises(NotSupported):
        Migrator(mariadb.url, folder(ladder(1)), **options).upgrade()

    assert mariadb.tables() == {}


def test_yoyo_runs_migrations_as_we_do(mariadb, folder):
    """Through the backend `torc+mysql`: both ledgers are written, and no lock row."""
    source = folder(ladder(2))
    url = mariadb.url.replace("mysql:", "torc+mysql:")

    applied = stock_yoyo("apply", "--batch", "--no-config-file", "-d", url, source)
    assert (applied.returncode, applied.stderr) == (0, "")
    assert mariadb.ledgers().agreed == (1, 2)
    undone = stock_yoyo("rollback", "--batch", "--no-config-file", "-r", "2_make_t2", "-d", url, source)

    assert undone.returncode == 0, undone.stderr
    assert mariadb.ledgers().agreed == (1,)
    assert mariadb.execute("SHOW TABLES LIKE 'yoyo_lock'") == []


def test_an_engine_and_a_connection_of_sqlalchemy_are_used(mariadb, folder):
    """Both are given back, and the connection is not inside a transaction afterwards."""
    engine = sqlalchemy.create_engine(mariadb.url.replace("mysql:", "mysql+pymysql:"))
    source = folder(ladder(2))

    assert Migrator(engine, source).upgrade(1).applied == (1,)
    with engine.connect() as connection:
        assert Migrator(connection, source).upgrade().applied == (2,)
        assert not connection.in_transaction()
    engine.dispose()

    assert mariadb.ledgers().agreed == (1, 2)


def test_a_database_that_does_not_exist_is_named(mariadb_server, folder):
    """The error says how to create it, and no password is in it."""
    url = f"mysql://root@/nowhere?unix_socket={mariadb_server.socket}"

    with pytest.raises(CannotOpen, match="Unknown database 'nowhere'") as refusal:
        Migrator(url, folder(ladder(1))).status()

    assert refusal.value.hint == "create it first: CREATE DATABASE `nowhere`"


def test_times_of_stock_yoyo_are_utc_whatever_the_time_zone_of_the_server(mariadb, folder):
    """yoyo writes UTC in the time zone of the server, sqlx and we write moments; the status has them all in UTC."""
    source = folder(ladder(2))
    try:
        mariadb.execute("SET GLOBAL time_zone = '-07:00'")
        done = stock_yoyo("apply", "--batch", "--no-config-file", "-r", "1_make_t1", "-d", mariadb.yoyo_url, source)
        assert (done.returncode, done.stderr) == (0, "")
        of_yoyo = Migrator(mariadb.url, source).status().entries[0].installed_on
        Migrator(mariadb.url, source).upgrade()
        ours = [entry.installed_on for entry in Migrator(mariadb.url, source).status().entries]
        now = datetime.now(UTC).replace(tzinfo=None)
    finally:
        mariadb.execute("SET GLOBAL time_zone = 'SYSTEM'")

    for moment in (of_yoyo, *ours):
        assert moment is not None
        assert abs(now - datetime.fromisoformat(moment)) < timedelta(minutes=10)


def test_lines_of_one_second_are_in_the_order_of_their_ids(mariadb, folder):
    """A stock yoyo's times are whole seconds; its ids have the time in parts, the last part first."""
    source = folder(ladder(1))
    url = mariadb.yoyo_url
    assert stock_yoyo("apply", "--batch", "--no-config-file", "-d", url, source).returncode == 0
    assert stock_yoyo("rollback", "--batch", "--no-config-file", "-d", url, source).returncode == 0
    mariadb.execute(
        "UPDATE _yoyo_log SET created_at_utc = '2026-01-01 00:00:00'",
        "UPDATE _yoyo_log SET id = 'ffffffff-0001-11f0-8000-000000000000' WHERE operation = 'apply'",
        "UPDATE _yoyo_log SET id = '00000001-0002-11f0-8000-000000000000' WHERE operation = 'rollback'",
    )

    found = Migrator(mariadb.url, source).status()

    assert [migration.version for migration in found.pending] == [1]
    assert found.entries[0].in_step
