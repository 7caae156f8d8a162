"""What a rehearsal, a round trip and a baseline promise on every kind of database."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from database_under_test import PATIENCE, environment, ladder, write_folder

from torc_migrations import Migrator, errors, status, upgrade


@pytest.fixture
def scratch(database, kind):
    """Return the databases that were created for a while, and are still there."""
    queries = {
        "postgresql": "SELECT datname FROM pg_database WHERE datname LIKE 'torc%'",
        "mariadb": "SELECT schema_name FROM information_schema.schemata WHERE schema_name LIKE 'torc%'",
    }
    query = queries.get(kind.name)
    return lambda: database.execute(query) if query else []


def test_a_rehearsal_shows_the_run_and_changes_nothing(database, folder, scratch):
    """Each statement has its place and its time; schema, rows and ledgers are as before, and no copy is left."""
    source = folder(ladder(3))
    upgrade(database.url, source, target=1)
    tables, ledgers = database.tables(), database.ledgers()

    rehearsal = Migrator(database.url, source).rehearse()

    assert rehearsal.report.applied == (2, 3)
    assert [(each.line, each.words.split()[0]) for each in rehearsal.steps[0].statements] == [
        (1, "CREATE"),
        (2, "INSERT"),
    ]
    assert {"table t2", "table t3"} <= set(rehearsal.schema.added)
    assert (database.tables(), database.ledgers(), scratch()) == (tables, ledgers, [])
    assert "Rehearsed 2/migrate make t2" in rehearsal.as_text()
    assert upgrade(database.url, source).applied == (2, 3)


def test_a_rollback_is_rehearsed(database, folder, scratch):
    """The tables that would go are named."""
    source = folder(ladder(3))
    upgrade(database.url, source)

    rehearsal = Migrator(database.url, source).rehearse(1, operation="rollback")

    assert {"table t2", "table t3"} <= set(rehearsal.schema.removed)
    assert database.ledgers().agreed == (1, 2, 3)
    assert scratch() == []


def test_a_script_that_fails_in_a_rehearsal_fails_there_only(database, folder, kind, scratch):
    """The error is that of the real run, says that it was a rehearsal, and leaves no copy."""
    statement, _ = kind.bad_statement
    source = folder({**ladder(1), "2_bad": f"CREATE TABLE half (x INTEGER);\n{statement};\n"})
    upgrade(database.url, source, target=1)
    tables = database.tables()

    with pytest.raises(errors.ExecutionFailed) as failure:
        Migrator(database.url, source).rehearse()

    assert failure.value.line == 2
    assert failure.value.rehearsed is not None
    assert (database.tables(), scratch()) == (tables, [])
    assert status(database.url, source).pending[0].version == 2


def test_scripts_outside_a_transaction_are_rehearsed(database, folder, kind, scratch):
    """The index that such a script makes is in the schema of the rehearsal."""
    source = folder({**ladder(1), "2_outside": kind.outside})
    upgrade(database.url, source, target=1)

    rehearsal = Migrator(database.url, source).rehearse()

    assert "index i" in rehearsal.schema.added
    assert (database.ledgers().agreed, scratch()) == ((1,), [])


def test_a_round_trip_finds_what_a_down_script_leaves(database, folder, scratch):
    """On a copy, and on an empty database; what is reversible is no finding."""
    files = {**ladder(2), "3_two": "CREATE TABLE a (x INTEGER);\nCREATE TABLE b (x INTEGER);\n"}
    source = folder({**files, "3_two.rollback": "DROP TABLE a;\n"})
    upgrade(database.url, source, target=1)

    on_copy = Migrator(database.url, source).round_trip()
    on_empty = Migrator(database.url, source).round_trip(fresh=True)

    for found, versions in ((on_copy, [2, 3]), (on_empty, [1, 2, 3])):
        assert [trip.version for trip in found.trips] == versions
        assert "3: its down script leaves table b behind" in found.findings
        assert all(trip.ok for trip in found.trips[:-1])
    assert (database.ledgers().agreed, scratch()) == ((1,), [])


@pytest.mark.parametrize(
    ("first", "down", "is_finding"),
    [
        (
            "CREATE TABLE t (b NUMERIC(5, 2), c NUMERIC(5, 3), a INT);",
            "ALTER TABLE t ADD COLUMN b NUMERIC(5, 2); ALTER TABLE t ADD COLUMN c NUMERIC(5, 3);",
            False,
        ),
        (
            "CREATE TABLE t (a INT, b NUMERIC(5, 2), c NUMERIC(5, 3));",
            "ALTER TABLE t ADD COLUMN b NUMERIC(5, 3); ALTER TABLE t ADD COLUMN c NUMERIC(5, 2);",
            True,
        ),
    ],
)
def test_a_column_that_is_put_back_at_the_end_is_a_note(database, folder, first, down, is_finding):
    """Its definition is compared, also where it has commas of its own."""
    up = "ALTER TABLE t DROP COLUMN b; ALTER TABLE t DROP COLUMN c;"
    files = {"1_t": first, "1_t.rollback": "DROP TABLE t;", "2_drop": up, "2_drop.rollback": down}

    trip = Migrator(database.url, folder(files)).round_trip().trips[1]

    assert trip.findings == (("its down script leaves table t defined otherwise",) if is_finding else ())
    assert trip.notes == (() if is_finding else ("its down script leaves the columns of table t in another order",))


def test_a_baseline_records_what_is_there(database, folder, scratch):
    """Only where everything is there that the migrations make."""
    source = folder(ladder(3))
    quote = "INTEGER"
    database.execute(f"CREATE TABLE t1 (x {quote})", f"CREATE TABLE t2 (x {quote})")

    with pytest.raises(errors.NotThere) as missing:
        Migrator(database.url, source).baseline(3)
    report = Migrator(database.url, source).baseline(2)

    assert missing.value.missing == ("table t3",)
    assert [outcome.step.migration.version for outcome in report.outcomes] == [1, 2]
    assert database.ledgers().agreed == (1, 2)
    assert scratch() == []
    assert upgrade(database.url, source).applied == (3,)


def test_the_command_makes_an_empty_database_of_the_same_kind(database, folder, kind, scratch, tmp_path):
    """`--fresh` is on the server that is named, because scripts for one kind do not run on another."""
    source = folder({**ladder(1), "2_outside": kind.outside, "2_outside.rollback": kind.outside_rollback})
    write_folder(Path(source) / "verify", {"t1": "-- name: t1\n-- expect: index i\nSELECT x FROM t1 WHERE x = :x;"})
    options = ("-d", database.url, "-s", source)

    trip = run_torc(tmp_path, *options, "rehearse", "--round-trip", "--fresh")
    verified = run_torc(tmp_path, *options, "verify", "--fresh")

    assert trip.returncode == 0, trip.stdout + trip.stderr
    assert "2 of 2 migrations go up, down and up again" in trip.stdout
    assert verified.returncode == 0, verified.stdout + verified.stderr
    assert (database.tables(), scratch()) == ({}, [])


def run_torc(directory, *words):
    """Run the command in a directory."""
    command = [sys.executable, "-m", "torc_migrations", *words]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=directory, env=environment(), timeout=PATIENCE
    )
