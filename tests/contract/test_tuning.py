"""What `verify`, `indexes` and `optimize` promise on every kind of database."""

from __future__ import annotations

from pathlib import Path

import pytest
from database_under_test import write_folder

from torc_migrations import Migrator, errors, upgrade
from torc_migrations.indexes.inspect import inspect_indexes
from torc_migrations.indexes.optimize import optimize

SHOP = """
CREATE TABLE purchase (id INTEGER PRIMARY KEY, customer INTEGER, day VARCHAR(20), amount INTEGER);
CREATE INDEX purchase_customer ON purchase (customer);
CREATE INDEX purchase_customer_day ON purchase (customer, day);
CREATE INDEX purchase_day ON purchase (day);
CREATE INDEX purchase_days ON purchase (day);
CREATE INDEX purchase_amount ON purchase (amount);
"""
EXPECTED = """
-- name: purchases of an amount
-- expect: index purchase_amount
SELECT * FROM purchase WHERE amount = :amount;

-- name: purchases of a time
-- expect: index purchase_time
SELECT * FROM purchase WHERE day > :day;

-- name: what is not there
-- refuse: index nothing
SELECT * FROM nowhere;
"""


@pytest.fixture
def source(folder):
    """Migrations with indexes, and expectations."""
    path = folder({"1_shop": SHOP})
    write_folder(Path(path) / "verify", {"purchases": EXPECTED})
    return path


def test_a_plan_is_compared_with_its_expectation(database, source, kind):
    """By the names of indexes, on every kind; what fails says why, and nothing is run or written."""
    upgrade(database.url, source)
    ledgers = database.ledgers()

    held, missing, unknown = Migrator(database.url, source).verify()

    assert held.ok, held.as_text()
    assert held.indexes == ("purchase_amount",)
    assert missing.missing == ("index purchase_time",)
    assert "there is no index purchase_time in this database" in missing.notes
    assert unknown.error is not None
    assert any("does not have the schema of the query" in note for note in unknown.notes)
    assert database.ledgers() == ledgers
    assert database.execute("SELECT COUNT(*) FROM purchase") == [(0,)]


def test_plans_of_an_empty_database_need_no_upgrade(database, source):
    """With fresh=True they are those of the schema alone; the database stays as it is."""
    held, missing, _ = Migrator(database.url, source).verify(fresh=True)

    assert held.ok, held.as_text()
    assert not missing.ok
    assert database.tables() == {}


def test_what_changes_rows_has_a_plan_too(database, folder):
    """It is not run."""
    source = folder({"1_shop": SHOP})
    upgrade(database.url, source)
    database.execute("INSERT INTO purchase VALUES (1, 1, 'd', 1)")
    queries = """
    -- name: update
    -- refuse: index nothing
    UPDATE purchase SET amount = :amount WHERE customer = :customer AND day = :day;
    -- name: delete
    -- refuse: index nothing
    DELETE FROM purchase WHERE customer = :customer;
    """
    write_folder(Path(source) / "verify", {"changes": queries})

    findings = Migrator(database.url, source).verify()

    assert [finding.error for finding in findings] == [None, None]
    assert database.execute("SELECT amount FROM purchase") == [(1,)]


def test_indexes_are_listed_with_what_is_redundant(database, source):
    """Duplicate, redundant by its first columns, used by an expectation."""
    upgrade(database.url, source)

    report = inspect_indexes(database.url, source)

    found = {index.name: index for index in report.created}
    assert found["purchase_customer"].redundant_to == "purchase_customer_day"
    assert found["purchase_days"].duplicate_of == "purchase_day"
    assert found["purchase_amount"].used_by == ("purchases of an amount",)
    assert found["purchase_customer_day"].unused
    assert [str(column) for column in found["purchase_customer_day"].columns] == ["customer", "day"]
    assert "redundant, purchase_customer_day begins with the same columns" in report.as_text()
    assert report.file_size > 0


def test_statistics_are_refreshed(database, source):
    """ANALYZE has counted the rows; schema, rows and ledgers are as before."""
    upgrade(database.url, source)
    rows = ", ".join(f"({n}, {n % 10}, 'd', {n})" for n in range(100))
    database.execute(f"INSERT INTO purchase VALUES {rows}")
    tables, ledgers = database.tables(), database.ledgers()

    plain, vacuumed = optimize(database.url), optimize(database.url, vacuum=True)

    assert plain.measures[0].name.startswith("ANALYZE")
    assert len(vacuumed.measures) == len(plain.measures) + 1
    assert plain.measures[-1].after.statistics > 0
    assert "before" in plain.as_text()
    assert (database.tables(), database.ledgers()) == (tables, ledgers)
    assert database.execute("SELECT COUNT(*) FROM purchase") == [(100,)]


def test_what_is_no_query_has_no_plan(database, folder):
    """It would be run while it is explained, or twice."""
    source = folder({"1_shop": SHOP})
    upgrade(database.url, source)
    write_folder(Path(source) / "verify", {"odd": "-- name: odd\n-- refuse: index nothing\nDROP TABLE purchase;"})

    (finding,) = Migrator(database.url, source).verify()

    assert finding.error is not None
    assert "purchase" in database.tables()


def test_a_missing_expectation_is_an_error(database, folder):
    """As on SQLite."""
    with pytest.raises(errors.SourceError):
        Migrator(database.url, folder({"1_shop": SHOP})).verify()
