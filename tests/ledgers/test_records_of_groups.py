"""The records of a group are written before its COMMIT, unless something could tell the difference."""

from __future__ import annotations

import sqlite3

import pytest
from database_under_test import SQLiteUnderTest, ladder

from torc_migrations import Migrator, errors, rollback, upgrade
from torc_migrations.history.steps import Outcome

LONG = 10.0  # seconds, so that everything is one group
COUNT = "CREATE TABLE counted AS SELECT count(*) AS number FROM {};"


def traced(sqlite: SQLiteUnderTest, source: str) -> list[str]:
    """Upgrade in one group, and return the statements that its connection has run."""
    statements: list[str] = []

    def register(connection: sqlite3.Connection) -> None:
        connection.set_trace_callback(statements.append)

    Migrator(sqlite.path, source, group=LONG, functions=register).upgrade()
    return statements


def places(statements: list[str], words: str) -> list[int]:
    """Return where statements stand that have some words."""
    return [place for place, statement in enumerate(statements) if words in statement]


def test_records_come_after_the_scripts_of_their_group(sqlite: SQLiteUnderTest, folder):
    """All scripts run, then all records are written, and both ledgers agree."""
    statements = traced(sqlite, folder(ladder(3)))

    last_script = max(places(statements, "CREATE TABLE t"))
    assert min(places(statements, "INSERT INTO main._sqlx_migrations")) > last_script
    assert len(places(statements, "INSERT INTO main._sqlx_migrations")) == 3
    assert sqlite.ledgers().agreed == (1, 2, 3)
    assert sqlite.ledgers().log == tuple(("apply", f"{n}_make_t{n}") for n in (1, 2, 3))


@pytest.mark.parametrize("ledger", ["_sqlx_migrations", "_YOYO_migration", '"_yoyo_log"', "[_sqlx_Migrations]"])
def test_script_that_names_a_ledger_sees_the_records_before_it(sqlite: SQLiteUnderTest, folder, ledger):
    """It finds what it would find with one transaction each."""
    upgrade(sqlite.path, folder({**ladder(2), "3_count": COUNT.format(ledger), "4_later": "SELECT 1;"}), group=LONG)

    assert sqlite.execute("SELECT number FROM counted") == [(2,)]
    assert sqlite.ledgers().agreed == (1, 2, 3, 4)


def test_view_that_names_a_ledger_shows_the_records(sqlite: SQLiteUnderTest, folder):
    """A script may look at a ledger through a view that was there before, or that another script makes."""
    sqlite.execute("CREATE TABLE _sqlx_migrations_of_old (x)")
    source = folder({**ladder(1), "2_view": "CREATE VIEW done AS SELECT * FROM _sqlx_migrations;"})
    upgrade(sqlite.path, source, group=LONG)

    upgrade(sqlite.path, folder({"3_more": "SELECT 1;", "4_count": COUNT.format("done")}), group=LONG)

    assert sqlite.execute("SELECT number FROM counted") == [(3,)]


def test_view_that_a_script_outside_a_transaction_makes_is_seen(sqlite: SQLiteUnderTest, folder):
    """Such a script may make a view of a ledger between two groups."""
    view = "-- transactional: false\nCREATE VIEW done AS SELECT * FROM _sqlx_migrations;"
    source = folder({**ladder(2), "3_view": view, "4_more": "SELECT 1;", "5_count": COUNT.format("done")})

    upgrade(sqlite.path, source, group=LONG)

    assert sqlite.execute("SELECT number FROM counted") == [(4,)]


def test_key_to_a_ledger_is_checked_as_with_one_transaction_each(sqlite: SQLiteUnderTest, folder):
    """A row may point to the record of a migration that shares its transaction."""
    key = "CREATE TABLE note (version BIGINT REFERENCES _sqlx_migrations (version));"
    source = folder({"1_key": key, "2_more": "SELECT 1;", "3_note": "INSERT INTO note VALUES (2);"})

    assert upgrade(sqlite.path, source, group=LONG).applied == (1, 2, 3)
    with pytest.raises(errors.ForeignKeyViolations):
        upgrade(sqlite.path, folder({"4_bad": "INSERT INTO note VALUES (9);"}), group=LONG)


def test_trigger_that_keeps_a_record_out_is_found(sqlite: SQLiteUnderTest, folder):
    """Where a trigger is on a ledger, each record is read back."""
    source = folder(ladder(3))
    upgrade(sqlite.path, source, target=1)
    sqlite.execute(
        "CREATE TRIGGER keep_out BEFORE INSERT ON _sqlx_migrations WHEN new.version = 3 BEGIN SELECT RAISE(IGNORE); END"
    )

    with pytest.raises(errors.DatabaseFailed, match="a trigger keeps the record of 3 out of _sqlx_migrations"):
        upgrade(sqlite.path, source, group=LONG)

    assert sqlite.ledgers().agreed == (1, 2)
    assert sqlite.tables().keys() == {"t1", "t2"}


def test_records_of_a_group_are_kept_before_a_step_that_fails(sqlite: SQLiteUnderTest, folder):
    """The step that fails has no record, and those before it have theirs."""
    source = folder({**ladder(2), "3_fails": "CREATE TABLE gone (x);\nSELECT * FROM absent;"})

    with pytest.raises(errors.ExecutionFailed):
        upgrade(sqlite.path, source, group=LONG)

    assert (sqlite.ledgers().agreed, sqlite.tables().keys()) == ((1, 2), {"t1", "t2"})
    rollback(sqlite.path, source, target=0, group=LONG)
    assert sqlite.ledgers().agreed == ()


def test_a_trigger_that_somebody_else_makes_between_two_transactions_is_found(sqlite: SQLiteUnderTest, folder):
    """The schema is looked at again though the ledgers say what they said before."""

    def make_trigger(outcome: Outcome) -> None:
        if outcome.step.migration.version == 1:
            sqlite.execute("CREATE TRIGGER t AFTER INSERT ON _sqlx_migrations BEGIN DELETE FROM _yoyo_migration; END")

    with pytest.raises(errors.DatabaseFailed, match="changes the records of 1 when that of 2 is written"):
        Migrator(sqlite.path, folder(ladder(4)), group=0).upgrade(observer=make_trigger)

    assert sqlite.ledgers().agreed == (1,)
