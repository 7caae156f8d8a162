"""The table in which a SQLite database keeps what migrations say to older releases."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from database_under_test import SQLiteUnderTest, ladder, rungs, write_folder
from killed_runs import kill_before_each_statement
from other_tools import sqlx_revert, sqlx_run

from torc_migrations import Migrator, errors, round_trip, status, upgrade
from torc_migrations.checks import check_drift, dump, upgrade_from_dump, write_dump
from torc_migrations.sources.source import discover

KEPT = "SELECT version FROM _torc_migrations ORDER BY version"


def asking(count: int, *, asks: int = 1) -> dict[str, str]:
    """Return a ladder whose migrations are compatible from version `asks` on, or from their own."""
    return {
        name: text if "rollback" in name else f"-- compatible-from: {min(asks, int(name[0]))}\n{text}"
        for name, text in ladder(count).items()
    }


def older(tmp_path: Path, files: dict[str, str], count: int) -> str:
    """Write the directory of a release that has only the first migrations of another one."""
    kept = {name: text for name, text in files.items() if int(name[0]) <= count}
    return write_folder(tmp_path / "older", kept)


def kept_in(database: SQLiteUnderTest) -> tuple[int, ...]:
    """Return the versions in the table; a table that is missing keeps nothing."""
    there = database.execute("SELECT 1 FROM sqlite_master WHERE name = '_torc_migrations'")
    return tuple(version for (version,) in database.execute(KEPT)) if there else ()


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is neither fork nor SIGKILL here")
@pytest.mark.parametrize("group", [0, 10])
@pytest.mark.parametrize("direction", ["up", "down"])
def test_killed_before_any_statement_it_agrees_with_the_ledgers(tmp_path, folder, direction, group):
    """The row of a migration is in the transaction of its records: never one without the other."""
    source = folder(asking(2))
    starts = {"up": tmp_path / "empty.db", "down": tmp_path / "full.db"}
    SQLiteUnderTest(starts["up"]).execute("CREATE TABLE x (x)")
    upgrade(starts["down"], source)

    deaths = kill_before_each_statement(tmp_path / "killed", source, direction, starts[direction], group=group)

    assert deaths > 20
    reached = set()
    for number in range(1, deaths + 1):
        database = SQLiteUnderTest(tmp_path / f"killed{number}")
        installed = database.ledgers().agreed
        reached.add(installed)
        assert kept_in(database) == installed, number
    assert {(), (1, 2)} <= reached


def test_a_start_with_nothing_missing_does_not_ask_for_it(sqlite: SQLiteUnderTest, folder, tmp_path):
    """The table is read where an installed version has no file, and not otherwise."""
    files = asking(2)
    source = folder(files)
    upgrade(sqlite.path, source)
    asked: list[str] = []
    with closing(sqlite.connect()) as connection:
        connection.set_trace_callback(asked.append)

        upgrade(connection, source)
        status(connection, source)
        nothing_missing = len([sql for sql in asked if "_torc_migrations" in sql])
        upgrade(connection, older(tmp_path, files, 1))

        assert nothing_missing == 0
        assert any("_torc_migrations" in sql for sql in asked)


def test_a_group_writes_its_rows_too(sqlite: SQLiteUnderTest, folder):
    """Steps that share a transaction, an atomic run, and one transaction each leave the same."""
    source = folder(asking(4))

    for options in ({"group": 10}, {"group": 0}, {"atomic": True}):
        upgrade(sqlite.path, source, **options)
        assert sqlite.execute(KEPT) == [(1,), (2,), (3,), (4,)]
        Migrator(sqlite.path, source).rollback(0)
        assert sqlite.execute(KEPT) == []


def test_it_is_no_part_of_the_schema(sqlite: SQLiteUnderTest, folder):
    """Drift, a dump, a round trip, a rehearsal and the names of objects leave the table out."""
    source = folder(asking(2))
    upgrade(sqlite.path, source, target=1)
    migrator = Migrator(sqlite.path, source)

    assert check_drift(migrator).findings == ()
    assert "_torc_migrations" not in dump(migrator).text
    assert "_torc_migrations" not in dump(migrator, from_database=True).text
    assert migrator.round_trip().ok
    assert round_trip(":memory:", source).ok
    assert migrator.rehearse().steps[0].losses == ()


def test_a_dump_fills_it(sqlite: SQLiteUnderTest, folder, tmp_path):
    """A database that is made from a dump keeps the same as one that was upgraded."""
    migrator = Migrator(sqlite.path, folder(asking(2)))
    write_dump(dump(migrator), tmp_path / "schema.sql")

    upgrade_from_dump(migrator, tmp_path / "schema.sql")

    assert sqlite.execute(KEPT) == [(1,), (2,)]


def test_what_sqlx_has_applied_is_kept_once_it_is_adopted(sqlite: SQLiteUnderTest, folder):
    """And what it has reverted is forgotten with the next write for that version."""
    source = folder(asking(2))
    upgrade(sqlite.path, source, target=1)
    sqlx_run(sqlite, source, "2_make_t2")

    upgrade(sqlite.path, source)
    adopted = sqlite.execute(KEPT)
    sqlx_revert(sqlite, source, "2_make_t2")
    upgrade(sqlite.path, source)

    assert adopted == [(1,), (2,)]
    assert sqlite.execute(KEPT) == [(1,), (2,)]
    assert sqlite.ledgers().agreed == (1, 2)


def test_a_renamed_file_takes_its_row_along(sqlite: SQLiteUnderTest, folder):
    """`repair(renamed=True)` gives the row the new version."""
    source = folder(asking(2))
    upgrade(sqlite.path, source)
    for end in ("", ".rollback"):
        (Path(source) / f"2_make_t2{end}.sql").rename(Path(source) / f"7_make_t2{end}.sql")

    Migrator(sqlite.path, source).repair(renamed=True)

    assert sqlite.execute(KEPT) == [(1,), (7,)]


def test_a_down_script_that_is_no_text_stops_the_run_before_it_begins(sqlite: SQLiteUnderTest, folder):
    """It has to be kept, and could not run: it is refused before the first step, not after the script."""
    source = folder({**asking(2), "2_make_t2.rollback": b"\xff"})

    with pytest.raises(errors.BadScript):
        upgrade(sqlite.path, source)

    assert sqlite.tables() == {}


def test_one_without_a_down_script_stays_irreversible(sqlite: SQLiteUnderTest, folder, tmp_path):
    """The error is that of the file, and not that the file is missing."""
    files = asking(2)
    del files["2_make_t2.rollback"]
    upgrade(sqlite.path, folder(files))

    with pytest.raises(errors.Irreversible):
        Migrator(sqlite.path, older(tmp_path, files, 1)).rollback()


def test_below_one_that_nothing_is_kept_of_nothing_is_rolled_back(sqlite: SQLiteUnderTest, folder, tmp_path):
    """3 has no file and no row; 2 is kept, and below it: also with `ignore_missing` it stays."""
    files = {**asking(2), **{name: text for name, text in ladder(3).items() if name[0] == "3"}}
    upgrade(sqlite.path, folder(files))
    old = older(tmp_path, files, 1)

    with pytest.raises(errors.VersionMissing):
        Migrator(sqlite.path, old).rollback()
    with pytest.raises(errors.MissingAbove) as failure:
        Migrator(sqlite.path, old, ignore_missing=True).rollback()

    assert (failure.value.version, failure.value.below) == (3, 2)
    assert set(sqlite.tables()) == rungs([1, 2, 3])


def test_foreign_keys_are_chosen_for_what_is_kept_too(sqlite: SQLiteUnderTest, folder, tmp_path):
    """A down script that lives on cascades deletes with `foreign_keys="on"`, also where its file is gone."""
    files = {
        "1_make": "CREATE TABLE p (id INTEGER PRIMARY KEY); CREATE TABLE c (p REFERENCES p ON DELETE CASCADE);",
        "2_fill": "-- compatible-from: 1\nINSERT INTO p VALUES (1); INSERT INTO c VALUES (1);",
        "2_fill.rollback": "DELETE FROM p;",
    }
    upgrade(sqlite.path, folder(files))

    Migrator(sqlite.path, older(tmp_path, files, 1), foreign_keys="on").rollback()

    assert sqlite.execute("SELECT * FROM c") == []


def test_a_script_that_drops_the_table_is_refused(sqlite: SQLiteUnderTest, folder):
    """The row has to be written there."""
    source = folder({**asking(1), "2_drop": "-- compatible-from: 1\nDROP TABLE _torc_migrations;"})

    with pytest.raises(errors.BadScript, match="drops '_torc_migrations', where the record of 2 has to be written"):
        upgrade(sqlite.path, source)

    assert sqlite.execute(KEPT) == [(1,)]


def test_a_damaged_row_is_named(sqlite: SQLiteUnderTest, folder, tmp_path):
    """A value that cannot be understood is an error, and not a migration that asks for nothing."""
    files = asking(2)
    upgrade(sqlite.path, folder(files))
    sqlite.execute("UPDATE _torc_migrations SET compatible_from = 'soon'")

    with pytest.raises(errors.DamagedLedger) as failure:
        upgrade(sqlite.path, older(tmp_path, files, 1))

    assert (failure.value.table, failure.value.column, failure.value.row) == ("_torc_migrations", "compatible_from", 2)


def test_the_release_that_asks_for_most_is_named(sqlite: SQLiteUnderTest, folder, tmp_path):
    """A newer migration that asks for less does not hide an older one that asks for more."""
    files = {**asking(3, asks=3), "4_last": "-- compatible-from: 1\nCREATE TABLE last (x);"}
    upgrade(sqlite.path, folder(files))

    with pytest.raises(errors.TooOld) as failure:
        upgrade(sqlite.path, older(tmp_path, files, 1))

    assert (failure.value.version, failure.value.compatible_from, failure.value.newest) == (3, 3, 1)


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("-- compatible-from: soon", "`-- compatible-from:` takes a version, not 'soon'"),
        ("-- compatible-from:", "`-- compatible-from:` takes a version, not ''"),
        ("-- compatible-from: 3", "`-- compatible-from: 3` is newer than the migration itself, 2"),
    ],
)
def test_a_line_that_means_nothing_is_an_error(folder, line, sentence):
    """With the file, before anything is opened."""
    source = folder({"2_a": f"{line}\nSELECT 1;"})

    with pytest.raises(errors.BadScript) as failure:
        discover(source)

    assert str(failure.value) == f"{source}/2_a.sql: {sentence}"


def test_a_lent_connection_reads_it(folder, tmp_path):
    """Also one whose rows are of another class, and whose texts are bytes."""
    files = asking(2)
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        upgrade(connection, folder(files))
        connection.row_factory = sqlite3.Row
        connection.text_factory = bytes

        assert Migrator(connection, older(tmp_path, files, 1)).rollback().applied == (2,)
