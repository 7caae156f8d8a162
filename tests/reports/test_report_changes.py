"""What a report says of tables, columns and rows, against a comparison of everything, on random scripts."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from random import Random

import pytest
from checks.random_changes import Model
from shell import write_files

from torc_migrations import upgrade
from torc_migrations.reports import ChangeReport, TableChange, make_report


def rows_after(model: Model, scripts: list[str]) -> dict[str, int | None]:
    """Return the rows of each table that was there at first, by its first name; None where it is dropped."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        connection.executescript(model.first + "".join(scripts))
        return {
            table: None if not now else int(connection.execute(f"SELECT count(*) FROM {now}").fetchone()[0])
            for table, now in model.names.items()
        }


def found(report: ChangeReport, first: str, now: str) -> TableChange:
    """Return what the report says of a table."""
    wanted = (first, "dropped") if not now else (now, None)
    (change,) = (each for each in report.tables if each.name == wanted[0] and wanted[1] in (None, each.kind))
    return change


@pytest.mark.parametrize("group", range(4))
def test_tables_columns_and_rows_are_followed_through_several_migrations(tmp_path: Path, group: int) -> None:
    """200 random directories: renamed and rebuilt tables, renamed and dropped columns, one to four migrations."""
    for seed in range(50 * group, 50 * group + 50):
        model = Model(Random(seed))
        scripts = ["".join(model.step() for _ in range(model.random.randint(1, 3))) for _ in range(1 + seed % 4)]
        directory = tmp_path / str(seed)
        files = {f"{number}_change.sql": script or "SELECT 1;" for number, script in enumerate(scripts, 2)}
        source = write_files(directory / "migrations", {"1_first.sql": model.first, **files})
        upgrade(directory / "app.db", source, target=1)

        report = make_report(directory / "app.db", source)

        assert report.failure is None, (seed, report.failure)
        assert {each.table: each.after for each in report.rows if each.before is not None} == rows_after(model, scripts)
        for table, now in model.names.items():
            change = found(report, table, now)
            assert (change.kind == "dropped") is (not now), (seed, table)
            if now:
                assert change.was == (table if now != table else None), (seed, table)
                gone = {each.name for each in change.columns if each.kind == "dropped"}
                assert gone == {old for old, new in model.columns[table].items() if not new}, (seed, scripts)
                renamed = {each.was: each.name for each in change.columns if each.was is not None}
                wanted = {old: new for old, new in model.columns[table].items() if new and new != old}
                assert renamed == wanted, (seed, scripts)


def test_a_first_pending_migration_that_fails_leaves_everything_as_it_is(tmp_path: Path) -> None:
    """Nothing has run before it, so that each table is unchanged, with its rows; the failure is said."""
    source = write_files(
        tmp_path / "m",
        {"1_a.sql": "CREATE TABLE a (x); INSERT INTO a VALUES (1);", "2_b.sql": "DELETE FROM b;"},
    )
    upgrade(tmp_path / "app.db", source, target=1)

    report = make_report(tmp_path / "app.db", source)

    assert "no such table: b" in str(report.failure)
    assert [(each.name, each.kind) for each in report.tables] == [("a", "unchanged")]
    assert [(each.table, each.before, each.after) for each in report.rows] == [("a", 1, 1)]
