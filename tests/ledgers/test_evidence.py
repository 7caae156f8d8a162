"""What is out of step is settled by the schema: the source runs on a scratch database, its objects are looked up."""

from __future__ import annotations

from contextlib import closing

import pytest
from database_under_test import SQLiteUnderTest, ladder
from other_tools import listed, log, told, yoyo

from torc_migrations import Migrator, errors, rollback, status, upgrade
from torc_migrations.events import Event

MAKES_TWO = {"1_a": "CREATE TABLE a (x);", "2_b": "CREATE TABLE b (x);\nCREATE INDEX i ON b (x);"}
DOWN = {"1_a.rollback": "DROP TABLE a;", "2_b.rollback": "DROP INDEX i;\nDROP TABLE b;"}
COMMENTS = "SELECT operation, comment FROM _yoyo_log WHERE migration_id = '2_b' ORDER BY rowid"
FOUND = "table b, index i"
# How a stock yoyo, killed or overtaken, leaves a migration: the last line of its log, and which ledgers have a row.
HALF_WAY = [
    pytest.param("apply", (), id="apply without rows"),
    pytest.param("apply", ("sqlx",), id="apply without yoyo's row"),
    pytest.param("mark", (), id="mark without rows"),
    pytest.param("rollback", ("yoyo",), id="rollback with yoyo's row"),
    pytest.param("rollback", ("yoyo", "sqlx"), id="rollback with both rows"),
    pytest.param("unmark", ("yoyo", "sqlx"), id="unmark with both rows"),
]


def leave_half_way(database: SQLiteUnderTest, source: str, operation: str, rows: tuple[str, ...]) -> None:
    """Bring a database where all is installed into the state that a killed yoyo leaves."""
    upgrade(database.path, source)
    if "yoyo" not in rows:
        database.execute("DELETE FROM _yoyo_migration WHERE migration_id = '2_b'")
    if "sqlx" not in rows:
        database.execute("DELETE FROM _sqlx_migrations WHERE version = 2")
    log(database, operation, "2_b", "2026-01-01 00:00:00")


@pytest.mark.parametrize(("operation", "rows"), HALF_WAY)
def test_what_is_there_is_recorded_by_the_next_upgrade(sqlite: SQLiteUnderTest, folder, operation, rows):
    """All objects of a migration are there: both ledgers get its row, the log says why, and nothing is run."""
    source = folder({**MAKES_TWO, **DOWN})
    leave_half_way(sqlite, source, operation, rows)
    assert told(sqlite, source) == "A?"

    report = upgrade(sqlite.path, source)

    assert [outcome.step.as_dict()["action"] for outcome in report.outcomes] == ["record"]
    assert report.plan.notes == ("2 was out of step, and is installed: all that it makes is there: " + FOUND,)
    assert sqlite.ledgers().agreed == (1, 2)
    assert f"record (all that it makes is there: {FOUND})" in sqlite.execute(COMMENTS)[-1][1]
    assert status(sqlite.path, source).clean
    assert listed(sqlite, source) == "AA"


@pytest.mark.parametrize(("operation", "rows"), HALF_WAY)
def test_what_is_not_there_is_applied_by_the_next_upgrade(sqlite: SQLiteUnderTest, folder, operation, rows):
    """Nothing of a migration is there: wrong rows are erased, and it is applied."""
    source = folder({**MAKES_TWO, **DOWN})
    leave_half_way(sqlite, source, operation, rows)
    sqlite.execute("DROP TABLE b")

    report = upgrade(sqlite.path, source)

    assert [outcome.step.as_dict()["action"] for outcome in report.outcomes] == ["erase", "apply"]
    assert report.applied == (2,)
    assert sqlite.ledgers().agreed == (1, 2)
    assert {"b", "i"} <= sqlite.tables().keys()


@pytest.mark.parametrize(("operation", "rows"), HALF_WAY)
@pytest.mark.parametrize("atomic", [False, True])
def test_rollback_settles_it_too(sqlite: SQLiteUnderTest, folder, operation, rows, atomic):
    """The newest migration is the one whose objects are there, and it is rolled back; else the one before it."""
    source = folder({**MAKES_TWO, **DOWN})
    leave_half_way(sqlite, source, operation, rows)

    assert rollback(sqlite.path, source, atomic=atomic).applied == (2,)
    assert sqlite.ledgers().agreed == (1,)
    log(sqlite, "apply", "2_b", "2026-01-01 00:00:00")
    assert rollback(sqlite.path, source, atomic=atomic).applied == (1,)
    assert sqlite.tables() == {}
    assert not any(entry.out_of_step for entry in status(sqlite.path, source).entries)


@pytest.mark.parametrize("operate", [upgrade, rollback, lambda path, source: Migrator(path, source).apply(2)])
def test_half_of_it_is_refused_with_both_lists(sqlite: SQLiteUnderTest, folder, operate):
    """Where a part of a migration is there, the error names what is and what is not; nothing is written."""
    source = folder({**MAKES_TWO, **DOWN})
    leave_half_way(sqlite, source, "apply", ())
    sqlite.execute("DROP INDEX i")
    before = sqlite.path.read_bytes()

    with pytest.raises(errors.OutOfStep, match="table b is there, and index i is not") as failure:
        operate(sqlite.path, source)

    assert failure.value.there == ("table b",)
    assert failure.value.lacking == ("index i",)
    assert sqlite.path.read_bytes() == before


@pytest.mark.parametrize(("way", "after"), [("mark", (1, 2)), ("unmark", (1,))])
def test_a_person_settles_what_the_schema_does_not_show(sqlite: SQLiteUnderTest, folder, way, after):
    """`repair` records or erases what the error names, as its hint says."""
    source = folder({"1_a": "CREATE TABLE a (x);", "2_b": "INSERT INTO a VALUES (1);"})
    leave_half_way(sqlite, source, "apply", ())
    with pytest.raises(errors.OutOfStep) as failure:
        upgrade(sqlite.path, source)

    Migrator(sqlite.path, source).repair(2, **{way: True})

    assert f"repair(2, {way}=True)" in str(failure.value.hint)
    assert sqlite.ledgers().agreed == after
    assert not any(entry.out_of_step for entry in status(sqlite.path, source).entries)


@pytest.mark.parametrize(
    ("second", "undone"),
    [
        ("ALTER TABLE a ADD COLUMN y;", "ALTER TABLE a DROP COLUMN y"),
        ("DROP TABLE old;", "CREATE TABLE old (x)"),
        ("DROP VIEW v;\nCREATE VIEW v AS SELECT 2 AS x;", "DROP VIEW v; CREATE VIEW v AS SELECT 1 AS x"),
        ("ALTER TABLE a RENAME COLUMN x TO z;", "ALTER TABLE a RENAME COLUMN z TO x"),
        ("ALTER TABLE old RENAME TO older;", "ALTER TABLE older RENAME TO old"),
        (
            "DROP TABLE old;\nCREATE TABLE old (x TEXT NOT NULL);",
            "DROP TABLE old; CREATE TABLE old (x)",
        ),
    ],
)
def test_every_kind_of_change_is_seen(sqlite: SQLiteUnderTest, folder, second, undone):
    """Columns, names, what is gone, and what is there under its old name with another definition."""
    first = "CREATE TABLE a (x);\nCREATE TABLE old (x);\nCREATE VIEW v AS SELECT 1 AS x;"
    source = folder({"1_a": first, "2_b": second})
    leave_half_way(sqlite, source, "apply", ())
    assert [step.action.value for step in Migrator(sqlite.path, source).plan().steps] == ["record"]

    sqlite.execute(*undone.split("; "))

    assert [step.action.value for step in Migrator(sqlite.path, source).plan().steps] == ["erase", "apply"]


def test_what_a_later_migration_took_away_is_no_sign(sqlite: SQLiteUnderTest, folder):
    """A table that an installed migration has dropped since does not make the one that created it pending."""
    source = folder({"1_a": "CREATE TABLE a (x);\nCREATE TABLE kept (x);", "2_b": "DROP TABLE a;"})
    upgrade(sqlite.path, source)
    sqlite.execute("DELETE FROM _yoyo_migration WHERE migration_id = '1_a'")
    sqlite.execute("DELETE FROM _sqlx_migrations WHERE version = 1")
    log(sqlite, "apply", "1_a", "2026-01-01 00:00:00")

    assert upgrade(sqlite.path, source).plan.notes == (
        "1 was out of step, and is installed: all that it makes is there: table kept",
    )
    assert sqlite.ledgers().agreed == (1, 2)


def test_source_that_does_not_run_on_an_empty_database_settles_nothing(sqlite: SQLiteUnderTest, folder):
    """A script that needs rows of the application says nothing; the error says why."""
    source = folder(ladder(1))
    upgrade(sqlite.path, source)
    sqlite.execute("CREATE TABLE theirs (x)")
    source = folder({"2_b": "ALTER TABLE theirs ADD COLUMN y;"})
    leave_half_way(sqlite, source, "apply", ())

    with pytest.raises(errors.OutOfStep) as failure:
        upgrade(sqlite.path, source)

    assert "no such table: theirs" in str(failure.value.unknown)


def test_a_migration_before_the_one_that_does_not_run_is_settled(sqlite: SQLiteUnderTest, folder):
    """The trial on a scratch database goes as far as it can."""
    source = folder({"1_a": "CREATE TABLE a (x);", "2_b": "CREATE TABLE b (x);"})
    leave_half_way(sqlite, source, "apply", ())
    sqlite.execute("CREATE TABLE theirs (x)")

    folder({"3_c": "ALTER TABLE theirs ADD COLUMN y;"})

    assert upgrade(sqlite.path, source).applied == (3,)
    assert sqlite.ledgers().agreed == (1, 2, 3)


def test_stock_yoyo_agrees_with_what_was_settled(sqlite: SQLiteUnderTest, folder):
    """A stock yoyo that failed half-way, settled by us, goes on by itself."""
    source = folder({**MAKES_TWO, **DOWN})
    yoyo(sqlite, "apply", source)
    sqlite.execute("DELETE FROM _yoyo_migration WHERE migration_id = '2_b'")

    upgrade(sqlite.path, source)

    assert listed(sqlite, source) == "AA"
    yoyo(sqlite, "rollback", source, "-a")
    assert sqlite.tables() == {}
    assert told(sqlite, source) == "UU"


def test_the_listing_runs_no_source_and_settles_nothing(sqlite: SQLiteUnderTest, folder):
    """`status` says what the ledgers say; it looks at no schema, and writes nothing."""
    source = folder({**MAKES_TWO, **DOWN})
    leave_half_way(sqlite, source, "apply", ())
    before = sqlite.path.read_bytes()

    found = status(sqlite.path, source)

    assert found.entries[1].out_of_step
    assert any("out of step" in note for note in found.notes)
    assert sqlite.path.read_bytes() == before


def test_a_rehearsal_settles_it_on_its_copy(sqlite: SQLiteUnderTest, folder):
    """What the next upgrade would record is recorded on the copy, and the database is left as it is."""
    source = folder({**MAKES_TWO, **DOWN})
    leave_half_way(sqlite, source, "apply", ())
    before = sqlite.path.read_bytes()

    rehearsal = Migrator(sqlite.path, source).rehearse()

    assert [step.outcome.step.action.value for step in rehearsal.steps] == ["record"]
    assert sqlite.path.read_bytes() == before


def test_trust_still_corrects_one_ledger_by_the_other(sqlite: SQLiteUnderTest, folder):
    """A user who knows better than the schema says which ledger is right."""
    source = folder({**MAKES_TWO, **DOWN})
    leave_half_way(sqlite, source, "apply", ("sqlx",))

    Migrator(sqlite.path, source).repair(trust="yoyo")

    assert sqlite.ledgers().agreed == (1,)


@pytest.mark.parametrize("gone", ["DROP TABLE _sqlx_migrations", "ALTER TABLE _sqlx_migrations RENAME TO old"])
def test_sqlx_ledger_that_was_dropped_says_nothing(sqlite: SQLiteUnderTest, folder, gone):
    """sqlx never drops it: what is installed stays so where its objects are there, and is not run again."""
    source = folder({**MAKES_TWO, **DOWN, "3_c": "CREATE TABLE c (x);"})
    upgrade(sqlite.path, source, target=2)
    sqlite.execute(gone)
    assert told(sqlite, source) == "??U"

    assert upgrade(sqlite.path, source).applied == (3,)
    assert sqlite.ledgers().agreed == (1, 2, 3)


def test_sqlx_ledger_that_was_dropped_with_the_tables_begins_again(sqlite: SQLiteUnderTest, folder):
    """Nothing of the migrations is there, so they are pending."""
    source = folder({**MAKES_TWO, **DOWN})
    upgrade(sqlite.path, source)
    sqlite.execute("DROP TABLE _sqlx_migrations", "DROP TABLE b", "DROP TABLE a")

    assert upgrade(sqlite.path, source).applied == (1, 2)
    assert sqlite.ledgers().agreed == (1, 2)


def test_sqlx_ledger_without_rows_says_that_nothing_is_installed(sqlite: SQLiteUnderTest, folder):
    """So does `sqlx migrate revert` leave it."""
    source = folder({**MAKES_TWO, **DOWN})
    upgrade(sqlite.path, source)
    sqlite.execute("DELETE FROM _sqlx_migrations", "DROP TABLE b", "DROP TABLE a")

    assert told(sqlite, source) == "UU"


def test_schema_that_changes_before_the_run_has_the_lock_is_looked_at_again(sqlite: SQLiteUnderTest, folder):
    """The plan is made without a lock, and the ledgers say the same as before."""
    source = folder({**MAKES_TWO, **DOWN})
    leave_half_way(sqlite, source, "apply", ())
    with closing(sqlite.connect()) as other:
        other.isolation_level = None
        other.execute("BEGIN IMMEDIATE")
        other.execute("DROP TABLE b")

        def let_go(event: Event) -> None:
            if event.name == "waiting":
                other.execute("COMMIT")

        assert upgrade(sqlite.path, source, on_event=let_go).applied == (2,)

    assert "b" in sqlite.tables()
    assert sqlite.ledgers().agreed == (1, 2)
