"""Others write while a script outside a transaction runs: what it has done is recorded, and it runs once."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from database_under_test import SQLiteUnderTest, ladder, rungs
from other_tools import sqlx_revert, sqlx_run

from torc_migrations import Migrator, errors

OUTSIDE = "-- no-transaction\nCREATE TABLE {table} (x);\nSELECT meanwhile();\nINSERT INTO {table} VALUES (1);\n"
OWN_COMMIT = "CREATE TABLE {table} (x);\nCOMMIT;\nSELECT meanwhile();\nINSERT INTO {table} VALUES (1);\n"
DOWN = "-- no-transaction\nDELETE FROM {table};\nSELECT meanwhile();\nDROP TABLE {table};\n"


def beside(database: SQLiteUnderTest, source: str, act: Callable[[], object], **options: float) -> Migrator:
    """Return a migrator in whose scripts `meanwhile()` does something once, as another process would."""
    acts = [act]

    def meanwhile() -> None:
        if acts:
            acts.pop()()

    def register(connection) -> None:
        connection.create_function("meanwhile", 0, meanwhile)

    return Migrator(database.path, source, functions=register, **options)


@pytest.mark.parametrize("script", [OUTSIDE, OWN_COMMIT])
def test_script_that_has_run_is_recorded_where_sqlx_reverts_an_older_one(sqlite: SQLiteUnderTest, folder, script):
    """It is not the next one any more, and must not run twice; what was reverted is applied again."""
    source = folder({**ladder(2), "3_t3": script.format(table="t3"), "4_t4": "CREATE TABLE t4 (x);"})
    migrator = beside(sqlite, source, lambda: sqlx_revert(sqlite, source, "2_make_t2"))
    migrator.upgrade(target=2)

    migrator.upgrade()

    assert sqlite.ledgers().agreed == (1, 2, 3, 4)
    assert sqlite.tables().keys() == rungs((1, 2, 3, 4))
    assert sqlite.execute("SELECT x FROM t3") == [(1,)]


def test_down_script_that_has_run_is_recorded_where_sqlx_applies_a_newer_one(sqlite: SQLiteUnderTest, folder):
    """A newer migration ends the rollback, but its script has run."""
    files = {**ladder(2), "3_t3.rollback": DOWN.format(table="t3"), "3_t3": "CREATE TABLE t3 (x);"}
    source = folder(files)
    migrator = beside(sqlite, source, lambda: sqlx_run(sqlite, source, "4_t4"))
    migrator.upgrade()
    source = folder({"4_t4": "CREATE TABLE t4 (x);"})

    migrator.rollback()

    assert sqlite.tables().keys() == rungs((1, 2, 4))
    assert [entry.installed for entry in Migrator(sqlite.path, source).status().entries] == [True, True, False, True]


def test_error_of_what_comes_next_does_not_undo_the_record_of_a_script(sqlite: SQLiteUnderTest, folder):
    """A run with a target ends because a newer migration is installed now; the script that has run is recorded."""
    source = folder({**ladder(1), "2_t2": OUTSIDE.format(table="t2"), "3_t3": "CREATE TABLE t3 (x);"})
    migrator = beside(sqlite, source, lambda: sqlx_run(sqlite, source, "3_t3"))

    with pytest.raises(errors.VersionTooOld) as failure:
        migrator.upgrade(target=2)

    assert failure.value.report.applied == (1, 2)
    assert Migrator(sqlite.path, source).status().clean


def test_script_that_stopped_is_known_also_where_others_have_written(sqlite: SQLiteUnderTest, folder):
    """It is half-done whatever others have reverted meanwhile."""
    script = OUTSIDE.replace("INSERT INTO {table}", "INSERT INTO nowhere").format(table="t3")
    source = folder({**ladder(2), "3_t3": script})
    migrator = beside(sqlite, source, lambda: sqlx_revert(sqlite, source, "2_make_t2"))

    with pytest.raises(errors.ExecutionFailed):
        migrator.upgrade()

    assert Migrator(sqlite.path, source).status().entries[2].half_done.done == 1


def test_script_runs_once_where_another_process_runs_it_before_its_first_write(sqlite: SQLiteUnderTest, folder):
    """Nothing in the log says yet that the first one has begun."""
    script = "-- no-transaction\nSELECT meanwhile();\nINSERT INTO t1 VALUES (2);\nINSERT INTO t1 VALUES (3);\n"
    source = folder({**ladder(1), "2_more": script})
    other = beside(sqlite, source, lambda: None)
    migrator = beside(sqlite, source, other.upgrade)

    assert migrator.upgrade().applied == (1,)
    assert sqlite.execute("SELECT x FROM t1") == [(1,), (2,), (3,)]
    assert sqlite.ledgers().agreed == (1, 2)
