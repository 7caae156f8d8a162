"""A rehearsal opens no file but the copy: what a script would open beside it is refused, and where."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest
from database_under_test import SQLiteUnderTest

from torc_migrations import Migrator, errors, rehearse, upgrade, verify

MOVE = "ATTACH 'legacy.db' AS old;\nINSERT INTO a SELECT x FROM old.a;\nDELETE FROM old.a;\n"
OPENS = {
    "a file": MOVE,
    "the database itself": "ATTACH 'app.db' AS me;\nDELETE FROM me.a;\n",
    "a file that does not exist": "ATTACH 'new.db' AS n;\nCREATE TABLE n.t (x);\n",
    "a computed name": "ATTACH 'new' || '.db' AS n;\nCREATE TABLE n.t (x);\n",
    "a URI": "ATTACH 'file:new.db?mode=rwc' AS n;\nCREATE TABLE n.t (x);\n",
    "a file outside a transaction": "-- no-transaction\nATTACH 'new.db' AS n;\nCREATE TABLE n.t (x);\n",
    "VACUUM INTO": "-- no-transaction\nVACUUM INTO 'new.db';\n",
    "VACUUM INTO a computed name": "-- no-transaction\nVACUUM main INTO 'new' || '.db';\n",
    "after a COMMIT of its own": "COMMIT;\nATTACH 'new.db' AS n;\nCREATE TABLE n.t (x);\n",
    "load_extension": "SELECT load_extension('new');\n",
    "load_extension in a trigger": (
        "CREATE TRIGGER t AFTER INSERT ON a BEGIN SELECT load_extension('new'); END;\nINSERT INTO a VALUES (1);\n"
    ),
    "a file of locks": "PRAGMA lock_proxy_file = 'new';\n",
}


@pytest.fixture
def legacy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sqlite: SQLiteUnderTest) -> SQLiteUnderTest:
    """A second file with two rows, in the directory in which the test works; the database has migration 1."""
    monkeypatch.chdir(tmp_path)
    legacy = SQLiteUnderTest(tmp_path / "legacy.db")
    legacy.execute("CREATE TABLE a (x)", "INSERT INTO a VALUES (1), (2)")
    return legacy


@pytest.mark.parametrize("script", OPENS.values(), ids=OPENS)
def test_what_opens_another_file_is_not_rehearsed(sqlite: SQLiteUnderTest, legacy, folder, snapshot, script):
    """The error names the place, and no file is written, whichever way the script is rehearsed."""
    source = folder({"1_a": "CREATE TABLE a (x);"})
    upgrade(sqlite.path, source)
    folder({"2_b": script})
    before = snapshot()

    with pytest.raises(errors.NotRehearsable) as failure:
        rehearse(sqlite.path, source)
    with pytest.raises(errors.NotRehearsable):
        upgrade(sqlite.path, source, on_loss="refuse")
    trips = [Migrator(sqlite.path, source).round_trip(fresh=fresh) for fresh in (False, True)]
    with pytest.raises(errors.NotRehearsable) as unknown:
        Migrator(sqlite.path, source).baseline(2)

    assert snapshot() == before
    error = failure.value
    assert error.path == os.path.join(source, "2_b.sql")
    assert f"--> {error.path}:{error.line}:{error.column}" in str(error.frame)
    assert "cannot be rehearsed" in str(error)
    assert error.exit_code == 6
    assert error.rehearsed == str(sqlite.path)
    assert not any(trip.ok for trip in trips)
    assert "nothing was recorded" in str(unknown.value.hint)
    assert sqlite.ledgers().agreed == (1,)


def test_place_of_what_is_not_rehearsed(sqlite: SQLiteUnderTest, legacy, folder):
    """Line and column are those of the statement."""
    source = folder({"1_a": f"CREATE TABLE a (x);\n  {MOVE}"})

    with pytest.raises(errors.NotRehearsable, match=r"ATTACH would open the file 'legacy\.db'") as failure:
        rehearse(sqlite.path, source)

    assert (failure.value.line, failure.value.column) == (2, 3)


def test_a_database_without_a_file_may_be_attached(sqlite: SQLiteUnderTest, folder):
    """In memory or in a temporary file nothing is written that anybody keeps, as VACUUM does it itself."""
    script = "ATTACH ':memory:' AS m;\nCREATE TABLE m.t (x);\nATTACH '' AS n;\nCREATE TABLE n.t (x);\n"
    source = folder({"1_a": f"{script}CREATE TABLE a (x);", "2_b": "-- no-transaction\nVACUUM;"})

    assert rehearse(sqlite.path, source).schema.added == ("table a",)
    assert upgrade(sqlite.path, source, on_loss="refuse").applied == (1, 2)


def test_a_warning_lets_the_run_go_on(sqlite: SQLiteUnderTest, legacy, folder, caplog):
    """With on_loss="warn" the log says that the losses are not known."""
    with caplog.at_level(logging.WARNING, logger="torc_migrations"):
        report = upgrade(sqlite.path, folder({"1_a": f"CREATE TABLE a (x);\n{MOVE}"}), on_loss="warn")

    assert report.applied == (1,)
    assert sqlite.execute("SELECT x FROM a") == [(1,), (2,)]
    (record,) = caplog.records
    assert record.getMessage().startswith("migration 1 cannot be rehearsed: ATTACH would open the file 'legacy.db'")
    assert record.getMessage().endswith("; what would be lost is not known")


def test_verify_writes_to_no_other_file(sqlite: SQLiteUnderTest, legacy, folder, tmp_path, snapshot):
    """With fresh=True the migrations run on an empty database, as in a rehearsal."""
    source = folder({"1_a": f"CREATE TABLE a (x);\n{MOVE}"})
    (tmp_path / "migrations" / "verify").mkdir()
    (tmp_path / "migrations" / "verify" / "a.sql").write_text("-- name: all\n-- expect: SCAN a\nSELECT * FROM a;\n")
    before = snapshot()

    with pytest.raises(errors.NotRehearsable):
        verify(sqlite.path, source, fresh=True)

    assert snapshot() == before


def test_doctor_writes_to_no_other_file(sqlite: SQLiteUnderTest, legacy, folder, snapshot):
    """Where an entry is out of step, doctor says that the scripts cannot be run on an empty database."""
    source = folder({"1_a": f"CREATE TABLE a (x);\n{MOVE}"})
    upgrade(sqlite.path, source)
    sqlite.execute("DELETE FROM _yoyo_migration")  # a stock yoyo that was killed
    legacy.execute("INSERT INTO a VALUES (3)")
    before = snapshot()

    found = Migrator(sqlite.path, source).diagnose()

    assert snapshot() == before
    assert any("cannot be found out on an empty database" in symptom.sentence for symptom in found.symptoms)


def test_baseline_runs_nothing_above_its_version(sqlite: SQLiteUnderTest, legacy, folder, snapshot):
    """What comes later does not matter to it."""
    sqlite.execute("CREATE TABLE a (x)")
    source = folder({"1_a": "CREATE TABLE a (x);", "2_b": MOVE})
    before = snapshot()["legacy.db"]

    Migrator(sqlite.path, source).baseline(1)

    assert snapshot()["legacy.db"] == before
    assert sqlite.ledgers().agreed == (1,)


def test_a_file_that_only_the_connection_has_attached_is_named(sqlite: SQLiteUnderTest, legacy, folder):
    """A copy has no such file; that is no fault of the script."""
    source = folder({"1_a": "CREATE TABLE a (x);", "2_b": "INSERT INTO main.a SELECT x FROM old.a;"})
    connection = sqlite.connect()
    try:
        connection.execute("ATTACH 'legacy.db' AS old")
        with pytest.raises(errors.NotRehearsable, match="'old', which is attached to the connection"):
            rehearse(connection, source)
        assert upgrade(connection, source).applied == (1, 2)
    finally:
        connection.close()


def test_a_dropped_virtual_table_is_named_by_its_script(sqlite: SQLiteUnderTest, folder):
    """DROP TABLE of a virtual table is a loss that the script says, as that of any other table is."""
    source = folder({"1_a": "CREATE VIRTUAL TABLE f USING fts5(a);\nINSERT INTO f VALUES ('x');"})
    upgrade(sqlite.path, source)
    folder({"2_b": "DROP TABLE f;"})

    (loss,) = rehearse(sqlite.path, source).losses

    assert (loss.table, loss.before, loss.after, loss.named) == ("f", 1, 0, True)
