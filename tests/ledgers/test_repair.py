"""Repair: a file that was edited, a database that is older than its ledgers, ledgers that contradict each other."""

from __future__ import annotations

import re
from hashlib import sha384
from pathlib import Path

import pytest
from database_under_test import SQLiteUnderTest, ladder, python
from other_tools import listed, log, yoyo

from torc_migrations import Migrator, errors, rollback, status, upgrade

COMMENTS = "SELECT migration_id, operation, comment FROM _yoyo_log ORDER BY rowid"
IDENTITY = r"\d+ 20\d\d-\d\d-\d\d \d\d:\d\d:\d\d -?\d+"


def checksums(database: SQLiteUnderTest) -> dict[int, bytes]:
    """Return what sqlx's ledger has of each file."""
    return dict(database.execute("SELECT version, checksum FROM _sqlx_migrations"))


def test_log_says_what_we_did_and_how_we_left_sqlxs_row(sqlite: SQLiteUnderTest, folder):
    """Databases hold these words, and the next release has to find them: rowid, moment and time of sqlx's row."""
    source = folder(ladder(2))
    upgrade(sqlite.path, source)
    rollback(sqlite.path, source)
    sqlite.execute("DELETE FROM _yoyo_migration", "DELETE FROM _yoyo_log")
    upgrade(sqlite.path, source, target=1)

    (adopted,) = sqlite.execute(COMMENTS)
    (row,) = sqlite.execute("SELECT rowid || ' ' || installed_on || ' ' || execution_time FROM _sqlx_migrations")
    assert adopted == ("1_make_t1", "mark", f"torc_migrations record; sqlx: {row[0]}")
    upgrade(sqlite.path, source)
    assert re.fullmatch(rf"torc_migrations apply; sqlx: {IDENTITY}", sqlite.execute(COMMENTS)[1][2])
    rollback(sqlite.path, source)
    assert sqlite.execute(COMMENTS)[2] == ("2_make_t2", "rollback", "torc_migrations rollback; sqlx: none")


def test_time_that_nobody_measured_is_unknown(sqlite: SQLiteUnderTest, folder):
    """A row that is written for another tool's work has sqlx's sign for an unknown time, -1, and a moment in UTC."""
    source = folder(ladder(1))
    yoyo(sqlite, "apply", source)
    upgrade(sqlite.path, source)

    ((moment, time),) = sqlite.execute("SELECT installed_on, execution_time FROM _sqlx_migrations")
    assert time == -1
    assert re.fullmatch(r"20\d\d-\d\d-\d\d \d\d:\d\d:\d\d", moment)


def test_edited_file_is_accepted_for_a_reason(sqlite: SQLiteUnderTest, folder):
    """The checksum becomes that of the file, the description too, and yoyo's log holds the reason; nothing is run."""
    source = folder(ladder(3))
    upgrade(sqlite.path, source)
    before = checksums(sqlite)
    edited = folder({"2_make_t2": "-- a comment\n" + ladder(2)["2_make_t2"]})
    sqlite.execute("UPDATE _sqlx_migrations SET description = 'something else' WHERE version = 2")
    with pytest.raises(errors.VersionMismatch):
        upgrade(sqlite.path, edited)

    report = Migrator(sqlite.path, edited).repair(1, 2, reason="a comment only " * 20)

    assert [outcome.step.migration.version for outcome in report.outcomes] == [2]
    assert checksums(sqlite) == {**before, 2: sha384(Path(source, "2_make_t2.sql").read_bytes()).digest()}
    assert sqlite.execute("SELECT description FROM _sqlx_migrations WHERE version = 2") == [("make t2",)]
    name, operation, comment = sqlite.execute(COMMENTS)[-1]
    assert (name, operation) == ("2_make_t2", "mark")
    assert re.fullmatch(rf"torc_migrations repair \({('a comment only ' * 20)[:150]}\); sqlx: {IDENTITY}", comment)
    assert len(comment) <= 255
    assert status(sqlite.path, edited).clean
    assert sqlite.execute("SELECT x FROM t2") == [(2,)]


def test_file_that_is_not_installed_is_not_repaired(sqlite: SQLiteUnderTest, folder):
    """There is nothing to accept of a migration that is pending, unchanged, or unknown."""
    source = folder(ladder(2))
    upgrade(sqlite.path, source, target=1)
    before = sqlite.ledgers()

    assert Migrator(sqlite.path, source).repair(1, 2, reason="why not").outcomes == ()
    with pytest.raises(errors.VersionNotPresent):
        Migrator(sqlite.path, source).repair(9, reason="why not")
    assert sqlite.ledgers() == before


@pytest.mark.parametrize("edit", [lambda sql: sql.replace(b"\n", b"\r\n"), lambda sql: b"\xef\xbb\xbf" + sql])
def test_line_endings_are_accepted_and_nothing_else(sqlite: SQLiteUnderTest, folder, edit):
    """A file that another system has written anew is accepted; one that differs in a letter is not."""
    files = {name: sql.encode() for name, sql in ladder(2).items()}
    source = folder(files)
    upgrade(sqlite.path, source)
    folder({"1_make_t1": edit(files["1_make_t1"]), "2_make_t2": files["2_make_t2"] + b" "})

    migrator = Migrator(sqlite.path, source)
    migrator.repair(line_endings=True)

    assert [entry.changed for entry in migrator.status().entries] == [False, True]
    assert sqlite.execute(COMMENTS)[-1][2].startswith("torc_migrations repair (line endings); sqlx: ")
    assert migrator.repair(2, line_endings=True).outcomes == ()
    with pytest.raises(errors.VersionNotPresent) as failure:
        migrator.repair(99, line_endings=True)
    assert failure.value.version == 99


def test_database_that_was_there_before_is_recorded_and_not_touched(sqlite: SQLiteUnderTest, folder):
    """A baseline writes both ledgers up to its version, and runs nothing; what is newer can be applied then."""
    source = folder(ladder(3))
    sqlite.execute("CREATE TABLE t1 (x INTEGER)", "CREATE TABLE t2 (x INTEGER)", "INSERT INTO t2 VALUES (7)")

    Migrator(sqlite.path, source).baseline(2)

    assert sqlite.ledgers().agreed == (1, 2)
    assert sqlite.execute("SELECT x FROM t2") == [(7,)]
    assert listed(sqlite, source) == "AAU"
    assert upgrade(sqlite.path, source).applied == (3,)


def test_baseline_that_is_not_there_is_refused(sqlite: SQLiteUnderTest, folder):
    """What the database lacks is named, and nothing is recorded."""
    source = folder(ladder(3))
    sqlite.execute("CREATE TABLE t1 (x INTEGER)")

    with pytest.raises(errors.NotThere) as failure:
        Migrator(sqlite.path, source).baseline(2)

    assert failure.value.missing == ("table t2",)
    assert sqlite.tables().keys() == {"t1"}
    assert sqlite.ledgers().agreed == ()


@pytest.mark.parametrize(("ledger", "after"), [("yoyo", (1,)), ("sqlx", (1, 2))])
def test_ledgers_that_contradict_each_other_are_settled_by_one_of_them(sqlite: SQLiteUnderTest, folder, ledger, after):
    """What is out of step, and cannot be looked up, stops an upgrade, until it is said which ledger to believe."""
    source = folder({**ladder(1), "2_make_t2": "INSERT INTO t1 VALUES (2);"})
    upgrade(sqlite.path, source)
    sqlite.execute("DELETE FROM _yoyo_migration WHERE migration_id = '2_make_t2'")
    log(sqlite, "apply", "2_make_t2", "2026-01-01 00:00:00")
    with pytest.raises(errors.OutOfStep):
        upgrade(sqlite.path, source)
    migrator = Migrator(sqlite.path, source)
    planned = migrator.plan("trust", ledger=ledger).as_dict()["steps"]

    report = migrator.repair(trust=ledger)

    assert [outcome.step.as_dict() for outcome in report.outcomes] == planned
    assert sqlite.ledgers().agreed == after
    assert not any(entry.out_of_step for entry in migrator.status().entries)


def test_ledger_of_another_name_is_missed_when_a_script_drops_it(sqlite: SQLiteUnderTest, folder):
    """Whatever yoyo's table is called, a script that takes it away is refused, and ours is created beside others."""
    sqlite.execute("CREATE TABLE _yoyo_lookalike (x)")
    migrator = Migrator(sqlite.path, folder({**ladder(1), "2_drop": "DROP TABLE theirs;"}), migration_table="theirs")

    with pytest.raises(errors.BadScript, match="theirs"):
        migrator.upgrade()

    assert sqlite.execute("SELECT migration_id FROM theirs") == [("1_make_t1",)]
    assert sqlite.tables().keys() == {"t1", "theirs", "_yoyo_lookalike"}


def test_lock_of_stock_yoyo_is_no_table_of_an_application(sqlite: SQLiteUnderTest):
    """A database that yoyo has only looked at is as good as empty: the shipped schema may be put into it."""
    sqlite.execute("CREATE TABLE yoyo_lock (locked INT DEFAULT 1, ctime TIMESTAMP, pid INT NOT NULL)")
    code = "import sys\nfrom torc_migrations.cli import main\nsys.exit(main(['--torc', '-d', *sys.argv[1:]]))"

    assert "create workflows" in python(
        code, sqlite.path, "upgrade", "--target", "20251020140215", cwd=sqlite.path.parent
    )
    assert sqlite.ledgers().agreed == (20251020140215,)


@pytest.mark.parametrize(
    ("written", "name"), [("theirs", "theirs"), ("main.theirs", "theirs"), ('"odd ""name"""', 'odd "name"')]
)
def test_sqlxs_table_may_have_another_name(sqlite: SQLiteUnderTest, folder, written, name):
    """It is created under its name, found again, and missed where a script drops it."""
    source = folder({**ladder(1), "2_drop": f"DROP TABLE {written};"})
    migrator = Migrator(sqlite.path, source, sqlx_table=written)

    with pytest.raises(errors.BadScript, match="drops"):
        migrator.upgrade()

    assert sqlite.execute(f"SELECT version FROM {written}") == [(1,)]
    assert sqlite.tables().keys() == {"t1", name}
    assert migrator.status().entries[0].in_step


def test_every_line_since_our_word_counts(sqlite: SQLiteUnderTest, folder):
    """A mark among yoyo's lines leaves it open what was run, wherever among them it stands."""
    source = folder(ladder(1))
    for operations in (("mark", "apply"), ("rollback", "mark")):
        upgrade(sqlite.path, source)
        sqlite.execute("DELETE FROM _sqlx_migrations")
        for operation in operations:
            log(sqlite, operation, "1_make_t1", "2026-01-01 00:00:00")

        assert status(sqlite.path, source).entries[0].out_of_step
        sqlite.path.unlink()
