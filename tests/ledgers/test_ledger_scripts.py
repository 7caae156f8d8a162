"""Scripts that write into a ledger themselves, and what both ledgers say after them."""

from __future__ import annotations

from hashlib import sha256, sha384

import pytest
from database_under_test import SQLiteUnderTest, ladder

from torc_migrations import Migrator, errors, rollback, status, upgrade
from torc_migrations.history.steps import Action

INSERT = """
    INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
    SELECT 3, description, success, checksum, 0 FROM _sqlx_migrations;
"""
OUTSIDE = "-- transactional: false\n"
IN_PIECES = "COMMIT; BEGIN;\n"


@pytest.mark.parametrize("head", ["", OUTSIDE, IN_PIECES])
def test_what_a_script_erases_is_erased_in_both(sqlite: SQLiteUnderTest, folder, head):
    """A row of sqlx's that a script takes away counts as rolled back; the run goes on, the next upgrade applies it."""
    source = folder(
        {
            "1_a": "CREATE TABLE a (x);",
            "2_b": f"{head}DELETE FROM _sqlx_migrations; DROP TABLE a;",
            "3_c": "CREATE TABLE c (x);",
        }
    )

    first = upgrade(sqlite.path, source)
    after_first = sqlite.ledgers().agreed
    second = upgrade(sqlite.path, source)

    assert [(outcome.step.migration.version, outcome.step.action) for outcome in first.outcomes] == [
        (1, Action.APPLY),
        (2, Action.APPLY),
        (1, Action.ERASE),
        (3, Action.APPLY),
    ]
    assert after_first == (2, 3)
    assert second.applied == (1,)
    assert sqlite.ledgers().agreed == (1, 2, 3)


def test_a_ledger_of_another_name_is_watched_too(sqlite: SQLiteUnderTest, folder):
    """Names are compared as SQL does it, whatever their case."""
    source = folder({"1_a": "CREATE TABLE a (x);", "2_b": "DELETE FROM history; DROP TABLE a;"})
    migrator = Migrator(sqlite.path, source, sqlx_table="History")

    migrator.upgrade()

    assert [entry.installed for entry in migrator.status().entries] == [False, True]
    assert all(entry.in_step for entry in migrator.status().entries)


@pytest.mark.parametrize("head", ["", OUTSIDE])
def test_what_a_script_records_is_recorded_in_both_and_not_run(sqlite: SQLiteUnderTest, folder, head):
    """A row of sqlx's that a script writes for a later migration counts as applied."""
    source = folder({"1_a": "CREATE TABLE a (x);", "2_b": head + INSERT, "3_c": "CREATE TABLE c (x);"})

    report = upgrade(sqlite.path, source)

    assert report.applied == (1, 2)
    assert sqlite.ledgers().agreed == (1, 2, 3)
    assert "c" not in sqlite.tables()


def test_a_down_script_may_write_into_a_ledger_too(sqlite: SQLiteUnderTest, folder):
    """What the script of a rollback takes away is erased with it."""
    source = folder(
        {
            "1_a": "CREATE TABLE a (x);",
            "2_b": "CREATE TABLE b (x);",
            "2_b.rollback": "DELETE FROM _sqlx_migrations WHERE version = 1; DROP TABLE a; DROP TABLE b;",
        }
    )
    upgrade(sqlite.path, source)

    rollback(sqlite.path, source)

    assert sqlite.ledgers().agreed == ()
    assert all(entry.in_step for entry in status(sqlite.path, source).entries)


def test_ledgers_that_were_copied_without_their_keys_get_no_second_rows(sqlite: SQLiteUnderTest, folder):
    """A table that is copied with CREATE TABLE AS loses its key; a row that stands is still left as it is."""
    source = folder(ladder(2))
    upgrade(sqlite.path, source)
    for table in ("_sqlx_migrations", "_yoyo_migration"):
        sqlite.execute(
            f"CREATE TABLE copied AS SELECT * FROM {table}",
            f"DROP TABLE {table}",
            f"ALTER TABLE copied RENAME TO {table}",
        )
    sqlite.execute("DELETE FROM _yoyo_log", "DELETE FROM _yoyo_migration WHERE migration_id LIKE '1%'")

    upgrade(sqlite.path, source)

    assert sqlite.execute("SELECT version FROM _sqlx_migrations ORDER BY version") == [(1,), (2,)]
    assert sqlite.execute("SELECT count(*) FROM _yoyo_migration") == [(2,)]
    assert sqlite.ledgers().agreed == (1, 2)


@pytest.mark.parametrize("atomic", [False, True])
def test_a_trigger_that_keeps_a_row_out_of_a_ledger_ends_the_run(sqlite: SQLiteUnderTest, folder, atomic):
    """A migration without its record is never kept."""
    source = folder(ladder(2))
    upgrade(sqlite.path, source, target=1)
    sqlite.execute("CREATE TRIGGER keep_out BEFORE INSERT ON _sqlx_migrations BEGIN SELECT RAISE(IGNORE); END")

    with pytest.raises(errors.DatabaseFailed, match="keeps the record of 2 out of _sqlx_migrations"):
        upgrade(sqlite.path, source, atomic=atomic)

    assert sqlite.ledgers().agreed == (1,)
    assert sqlite.tables().keys() == {"t1"}


CREATE_B = "CREATE TABLE IF NOT EXISTS b (x);"
RECORD_B = f"""
    INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
    VALUES (2, 'b', TRUE, x'{sha384(CREATE_B.encode()).hexdigest()}', 0);
    INSERT INTO _yoyo_migration VALUES ('{sha256(b"2_b").hexdigest()}', '2_b', '2026-01-01');
"""


@pytest.mark.parametrize("atomic", [False, True])
@pytest.mark.parametrize("head", ["", OUTSIDE, IN_PIECES])
def test_what_a_script_records_in_both_ledgers_is_applied_once_more_or_left(
    sqlite: SQLiteUnderTest, folder, head, atomic
):
    """One script that stands for two, and says so in both ledgers, ends no run in an error."""
    if atomic and head:
        return  # what leaves the transaction cannot be part of one
    source = folder({"1_a": f"{head}{CREATE_B}{RECORD_B}", "2_b": CREATE_B, "3_c": "CREATE TABLE c (x);"})

    report = Migrator(sqlite.path, source).upgrade(atomic=atomic)

    assert {1, 3} <= set(report.applied) <= {1, 2, 3}
    assert sqlite.ledgers().agreed == (1, 2, 3)
    assert sqlite.execute("SELECT count(*) FROM _yoyo_migration") == [(3,)]


@pytest.mark.parametrize("keyed", [True, False])
@pytest.mark.parametrize("atomic", [False, True])
def test_a_trigger_that_keeps_yoyos_ledger_in_step_gets_no_second_row(sqlite: SQLiteUnderTest, folder, keyed, atomic):
    """Where a row comes into yoyo's ledger with that of sqlx's, by a trigger of an owner's, it is left as it is."""
    upgrade(sqlite.path, folder(ladder(1)))
    if not keyed:
        sqlite.execute("CREATE TABLE copy AS SELECT * FROM _yoyo_migration")
        sqlite.execute("DROP TABLE _yoyo_migration")
        sqlite.execute("ALTER TABLE copy RENAME TO _yoyo_migration")
    key = sha256(b"7_g").hexdigest()
    sqlite.execute(
        "CREATE TRIGGER t AFTER INSERT ON _sqlx_migrations BEGIN "
        f"INSERT INTO _yoyo_migration VALUES ('{key}', '7_g', NEW.installed_on); END"
    )
    source = folder({**ladder(1), "7_g": "CREATE TABLE g (x);"})

    assert Migrator(sqlite.path, source).upgrade(atomic=atomic).applied == (7,)
    assert sqlite.execute("SELECT migration_id FROM _yoyo_migration WHERE migration_id = '7_g'") == [("7_g",)]


def test_what_a_script_records_is_checked_even_where_others_write_meanwhile(sqlite: SQLiteUnderTest, folder):
    """A script's own record of another migration counts at the next plan, whatever causes that plan."""
    wrong = RECORD_B.replace(sha384(CREATE_B.encode()).hexdigest(), "00")
    source = folder({"1_a": wrong, "2_b": CREATE_B, "3_c": "CREATE TABLE c (x);"})
    sqlite.execute("CREATE TABLE other (x)")

    with pytest.raises(errors.VersionMismatch):
        Migrator(sqlite.path, source, group=0).upgrade(
            observer=lambda _: sqlite.execute("INSERT INTO other VALUES (1)")
        )

    assert sqlite.ledgers().agreed == (1, 2)


def test_what_a_script_takes_back_is_applied_again_where_others_write_meanwhile(sqlite: SQLiteUnderTest, folder):
    """What is planned again goes on from what the scripts have left in the ledgers."""
    first = {"1_a": "CREATE TABLE IF NOT EXISTS a (x);"}
    key = sha256(b"1_a").hexdigest()
    back = f"""
        DELETE FROM _sqlx_migrations WHERE version = 1;
        DELETE FROM _yoyo_migration WHERE migration_hash = '{key}';
        DELETE FROM _yoyo_log WHERE migration_hash = '{key}';
    """
    upgrade(sqlite.path, folder(first))
    source = folder({**first, "2_b": back, "3_c": "CREATE TABLE c (x);"})
    sqlite.execute("CREATE TABLE other (x)")

    report = Migrator(sqlite.path, source, group=0).upgrade(
        observer=lambda _: sqlite.execute("INSERT INTO other VALUES (1)")
    )

    assert report.applied == (2, 1, 3)
    assert sqlite.ledgers().agreed == (1, 2, 3)


def test_a_ledger_that_is_renamed_in_the_schema_itself_is_missed(sqlite: SQLiteUnderTest, folder):
    """writable_schema names no table, so that all of them are looked for."""
    source = folder(ladder(1))
    upgrade(sqlite.path, source)
    script = """PRAGMA writable_schema = ON;
        UPDATE sqlite_master
        SET name = replace(name, '_yoyo_log', 'z'), tbl_name = 'z', sql = replace(sql, '_yoyo_log', 'z')
        WHERE tbl_name = '_yoyo_log';
        PRAGMA writable_schema = RESET;"""

    with pytest.raises(errors.BadScript, match="drops '_yoyo_log', where the record of 2 has to be written"):
        upgrade(sqlite.path, folder({"2_b": script}))

    assert sqlite.ledgers().agreed == (1,)
