"""What the engine promises: targets, all or nothing, and nothing at all where nothing is to be done."""

from __future__ import annotations

import os
import pickle
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from database_under_test import DatabaseUnderTest, SQLiteUnderTest, ladder, python, rungs

from torc_migrations import Migrator, apply, errors, rollback, upgrade
from torc_migrations.history.steps import Outcome

BOOM = """CREATE TABLE one (x);
INSERT INTO t1 VALUES (2);
  INSERT INTO nowhere VALUES (3);
DROP TABLE t1;
CREATE TABLE two (x);
"""


def test_upgrade_applies_everything_in_order(database: DatabaseUnderTest, folder):
    """An upgrade brings an empty database to the newest version, and both ledgers say so."""
    report = upgrade(database.url, folder(ladder(12)))

    assert report.applied == tuple(range(1, 13))
    assert database.tables().keys() == rungs(range(1, 13))
    assert database.ledgers().agreed == report.applied
    assert database.ledgers().log[0] == ("apply", "1_make_t1")


def test_upgrade_is_idempotent(database: DatabaseUnderTest, folder):
    """A second upgrade does nothing and reports nothing."""
    source = folder(ladder(3))
    upgrade(database.url, source)
    before = database.ledgers()

    assert upgrade(database.url, source).applied == ()
    assert database.ledgers() == before


def test_upgrade_stops_at_its_target(database: DatabaseUnderTest, folder):
    """With a target, what is above it stays pending, and the report names it as skipped."""
    report = upgrade(database.url, folder(ladder(4)), target=2)

    assert report.applied == (1, 2)
    assert [migration.version for migration in report.plan.skipped] == [3, 4]
    assert database.ledgers().agreed == (1, 2)


def test_rollback_takes_the_newest_only(database: DatabaseUnderTest, folder):
    """A rollback without a target rolls back one migration."""
    source = folder(ladder(3))
    upgrade(database.url, source)

    assert rollback(database.url, source).applied == (3,)
    assert database.tables().keys() == rungs([1, 2])
    assert database.ledgers().agreed == (1, 2)
    assert database.ledgers().log[-1] == ("rollback", "3_make_t3")


def test_rollback_goes_down_to_its_target_which_stays(database: DatabaseUnderTest, folder):
    """With a target, everything above it goes, newest first."""
    source = folder(ladder(4))
    upgrade(database.url, source)

    assert rollback(database.url, source, target=1).applied == (4, 3, 2)
    assert database.ledgers().agreed == (1,)


def test_rollback_to_zero_leaves_only_the_ledgers(database: DatabaseUnderTest, folder):
    """A target of 0 rolls everything back, and the way up again is open."""
    source = folder(ladder(3))
    upgrade(database.url, source)
    rollback(database.url, source, target=0)

    assert database.tables() == {}
    assert database.ledgers().agreed == ()
    assert upgrade(database.url, source).applied == (1, 2, 3)


def test_apply_runs_exactly_what_it_is_told(database: DatabaseUnderTest, folder):
    """Single migrations can be applied in any order; those that are installed are left alone."""
    source = folder(ladder(4))

    assert apply(database.url, source, versions=(3, 1)).applied == (1, 3)
    assert apply(database.url, source, versions=[3, 4]).applied == (4,)
    assert database.ledgers().agreed == (1, 3, 4)


def test_an_older_migration_that_was_merged_late_is_applied(database: DatabaseUnderTest, folder):
    """Out of order is in order: an upgrade applies whatever is pending, below or above what is installed."""
    upgrade(database.url, folder({"1_a": "CREATE TABLE a (x);", "3_c": "CREATE TABLE c (x);"}))

    assert upgrade(database.url, folder({"2_b": "CREATE TABLE b (x);"})).applied == (2,)
    assert database.ledgers().agreed == (1, 2, 3)


def test_failed_script_leaves_nothing_behind(database: DatabaseUnderTest, folder):
    """Nothing of a migration that fails is kept, neither its tables nor its rows nor its records."""
    upgrade(database.url, folder(ladder(1)))
    tables, ledgers = database.tables(), database.ledgers()

    with pytest.raises(errors.ExecutionFailed) as failure:
        upgrade(database.url, folder({"2_boom": BOOM}))

    assert failure.value.step.migration.version == 2
    assert database.tables() == tables
    assert database.ledgers() == ledgers
    assert database.execute("SELECT x FROM t1") == [(1,)]


def test_failed_first_script_creates_no_ledger(sqlite: SQLiteUnderTest, folder):
    """The ledgers are created with the first migration, and go with it."""
    with pytest.raises(errors.ExecutionFailed):
        upgrade(sqlite.path, folder({"1_boom": BOOM}))

    assert sqlite.execute("SELECT name FROM sqlite_master") == []


def test_failure_says_where_and_what(database: DatabaseUnderTest, folder):
    """The error names the file, the line and the column, draws the place, and survives a pickle."""
    source = folder({**ladder(1), "2_boom": BOOM})

    with pytest.raises(errors.ExecutionFailed) as failure:
        upgrade(database.url, source)

    error = pickle.loads(pickle.dumps(failure.value))
    assert str(error) == "while executing migration 2: no such table: nowhere"
    assert (error.path, error.line, error.column) == (os.path.join(source, "2_boom.sql"), 3, 15)
    assert error.frame.splitlines()[1:] == ["   3 |   INSERT INTO nowhere VALUES (3);", "     |               ^"]
    assert error.statement.strip() == "INSERT INTO nowhere VALUES (3);"
    assert error.hint == "nothing of 2 was kept"
    assert error.exit_code == 6


def test_earlier_migrations_of_a_failed_run_stay_and_are_told(database: DatabaseUnderTest, folder):
    """What was applied before the failure stays applied, and the error's report names it."""
    with pytest.raises(errors.ExecutionFailed) as failure:
        upgrade(database.url, folder({**ladder(2), "3_boom": BOOM, "4_never": "CREATE TABLE never (x);"}))

    assert failure.value.report is not None
    assert failure.value.report.applied == (1, 2)
    assert database.ledgers().agreed == (1, 2)
    assert database.tables().keys() == rungs([1, 2])


def test_failed_down_script_leaves_everything_installed(database: DatabaseUnderTest, folder):
    """A rollback that fails half-way takes nothing away."""
    source = folder({**ladder(1), "2_a": "CREATE TABLE a (x);", "2_a.rollback": "DROP TABLE a;\nDROP TABLE a;"})
    upgrade(database.url, source)
    tables, ledgers = database.tables(), database.ledgers()

    with pytest.raises(errors.ExecutionFailed) as failure:
        rollback(database.url, source, target=0)

    assert failure.value.line == 2
    assert database.tables() == tables
    assert database.ledgers() == ledgers


def test_every_checksum_is_checked_before_anything_runs(database: DatabaseUnderTest, folder):
    """An edited migration is refused although what is pending stands above it."""
    upgrade(database.url, folder(ladder(2)))
    ledgers = database.ledgers()

    with pytest.raises(errors.VersionMismatch):
        upgrade(database.url, folder({"1_make_t1": "CREATE TABLE t1 (y);", "3_c": "CREATE TABLE c (x);"}))

    assert database.ledgers() == ledgers


def test_irreversible_rollback_takes_nothing_back(database: DatabaseUnderTest, folder):
    """Where one migration on the way has no down script, none is rolled back."""
    source = folder(
        {**ladder(1), "2_b": "CREATE TABLE b (x);", **{k.replace("1", "3"): v for k, v in ladder(1).items()}}
    )
    database.execute("CREATE TABLE unrelated (x)")
    Migrator(database.url, folder({"3_make_t3": "CREATE TABLE t3 (x);"})).upgrade()

    with pytest.raises(errors.Irreversible) as failure:
        rollback(database.url, source, target=1)

    assert failure.value.version == 2
    assert database.ledgers().agreed == (1, 2, 3)


@pytest.mark.parametrize("journal", ["delete", "wal"])
def test_upgrade_with_nothing_to_do_writes_nothing(sqlite: SQLiteUnderTest, folder, journal):
    """Bytes, time and neighbours of the file stay as they are."""
    source = folder(ladder(2))
    sqlite.execute(f"PRAGMA journal_mode = {journal}")
    upgrade(sqlite.path, source)
    before = (sqlite.path.read_bytes(), sqlite.path.stat().st_mtime_ns, sorted(os.listdir(sqlite.path.parent)))

    upgrade(sqlite.path, source)

    assert (sqlite.path.read_bytes(), sqlite.path.stat().st_mtime_ns, sorted(os.listdir(sqlite.path.parent))) == before


@pytest.mark.parametrize(("journal", "begin"), [("wal", "EXCLUSIVE"), ("wal", "IMMEDIATE"), ("delete", "IMMEDIATE")])
def test_upgrade_with_nothing_to_do_takes_no_lock(sqlite: SQLiteUnderTest, folder, journal, begin):
    """While another connection writes, an up-to-date upgrade does not wait."""
    source = folder(ladder(2))
    sqlite.execute(f"PRAGMA journal_mode = {journal}")
    upgrade(sqlite.path, source)

    with closing(sqlite.connect()) as writer:
        writer.execute(f"BEGIN {begin}")

        assert upgrade(sqlite.path, source, lock_timeout=0).applied == ()


def test_upgrade_with_nothing_to_do_loads_nothing_heavy(sqlite: SQLiteUnderTest, folder):
    """Neither yoyo nor what it brings along is imported where there is nothing to write."""
    source = folder(ladder(2))
    upgrade(sqlite.path, source)
    heavy = "yoyo sqlparse sqlite_utils tabulate click importlib.metadata importlib_metadata"

    loaded = python(
        "import sys\n"
        "from torc_migrations import upgrade, status\n"
        "assert upgrade(sys.argv[1], sys.argv[2]).applied == ()\n"
        "assert status(sys.argv[1], sys.argv[2]).clean\n"
        "print(*sorted(set(sys.argv[3].split()) & set(sys.modules)))",
        sqlite.path,
        source,
        heavy,
    )

    assert loaded.split() == []


def test_observer_hears_of_each_migration_after_it_was_kept(sqlite: SQLiteUnderTest, folder):
    """An observer is called once a step, when another connection can see the result."""
    heard = []

    def observe(outcome: Outcome) -> None:
        heard.append((outcome.step.migration.version, sqlite.ledgers().agreed))

    Migrator(sqlite.path, folder(ladder(3)), group=0).upgrade(observer=observe)

    assert heard == [(1, (1,)), (2, (1, 2)), (3, (1, 2, 3))]


@pytest.mark.parametrize("kind", [ValueError, KeyboardInterrupt, SystemExit])
def test_observer_that_raises_stops_the_run_between_two_migrations(sqlite: SQLiteUnderTest, folder, kind):
    """What an observer raises flies on unchanged; the migration that it heard of stays, and no other begins."""

    def observe(outcome: Outcome) -> None:
        raise kind("enough")

    with pytest.raises(kind, match="enough"):
        Migrator(sqlite.path, folder(ladder(3)), group=0).upgrade(observer=observe)

    assert sqlite.ledgers().agreed == (1,)
    assert upgrade(sqlite.path, folder({})).applied == (2, 3)


def test_files_edited_between_plan_and_run_do_not_matter(sqlite: SQLiteUnderTest, folder):
    """What was read and hashed is what runs, and what is recorded; the edit shows the next time."""
    source = folder(ladder(3))

    def observe(outcome: Outcome) -> None:
        folder({"2_make_t2": "CREATE TABLE sneaky (x);", "3_make_t3": "rubbish"})

    Migrator(sqlite.path, source, group=0).upgrade(observer=observe)

    assert sqlite.tables().keys() == rungs([1, 2, 3])
    with pytest.raises(errors.VersionMismatch):
        upgrade(sqlite.path, source)


def test_down_scripts_are_read_before_the_first_one_runs(sqlite: SQLiteUnderTest, folder):
    """A down script that cannot be read stops the rollback before anything is rolled back."""
    source = folder(ladder(3))
    upgrade(sqlite.path, source)
    folder({"1_make_t1.rollback": b"DROP TABLE t1; -- \xff"})

    with pytest.raises(errors.BadScript):
        rollback(sqlite.path, source, target=0)

    assert sqlite.ledgers().agreed == (1, 2, 3)


@pytest.mark.parametrize("journal", ["delete", "wal"])
@pytest.mark.parametrize("replaced", [False, True])
def test_file_that_vanishes_during_a_run_is_noticed(sqlite: SQLiteUnderTest, folder, journal, replaced):
    """Nobody writes to a file that others cannot find: deleted or replaced, the run ends with an error."""
    sqlite.execute(f"PRAGMA journal_mode = {journal}")

    def observe(outcome: Outcome) -> None:
        sqlite.path.unlink()
        if replaced:
            SQLiteUnderTest(sqlite.path).execute("CREATE TABLE other (x)")

    with pytest.raises(errors.DatabaseFailed, match="deleted or replaced") as failure:
        Migrator(sqlite.path, folder(ladder(3)), group=0).upgrade(observer=observe)

    assert failure.value.report is not None
    assert failure.value.report.applied == (1,)


def test_file_that_takes_its_place_is_not_harmed_by_a_script_that_commits(sqlite: SQLiteUnderTest, folder, tmp_path):
    """In WAL mode what such a script commits would go to the log of the other file."""
    other = tmp_path / "other.db"
    for path, table in ((sqlite.path, "ours"), (other, "theirs")):
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute(f"CREATE TABLE {table} (x)")
            connection.executemany(f"INSERT INTO {table} VALUES (?)", [(row,) for row in range(3000)])
    source = folder({"1_a": "CREATE TABLE a (x);", "2_b": "INSERT INTO a VALUES (1);\nCOMMIT;\nCREATE TABLE b (x);"})

    def replace(_: Outcome) -> None:
        sqlite.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        sqlite.path.rename(tmp_path / "away.db")
        other.rename(sqlite.path)

    with pytest.raises(errors.DatabaseFailed, match="deleted or replaced"):
        Migrator(sqlite.path, source, group=0).upgrade(observer=replace)

    with closing(sqlite3.connect(sqlite.path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("SELECT count(*) FROM theirs").fetchone() == (3000,)


def test_vanished_file_is_created_anew_by_the_next_upgrade(sqlite: SQLiteUnderTest, folder):
    """Nothing is remembered between two calls: a Migrator starts from what is there."""
    migrator = Migrator(sqlite.path, folder(ladder(2)))
    migrator.upgrade()
    sqlite.path.unlink()

    assert migrator.upgrade().applied == (1, 2)


@pytest.mark.parametrize("target", [None, 4])
def test_overtaken_rollback_does_not_go_further_down(sqlite: SQLiteUnderTest, folder, target):
    """Two who roll back the newest migration at the same time roll back one, even if the next is irreversible."""
    files = ladder(5)
    del files["4_make_t4.rollback"]
    source = folder(files)
    upgrade(sqlite.path, source)
    sqlite.execute("DELETE FROM _yoyo_migration", "DELETE FROM _yoyo_log")  # so that each has to be adopted first
    others = []

    def overtake(outcome: Outcome) -> None:
        if not others:
            others.append(rollback(sqlite.path, source).applied)

    report = Migrator(sqlite.path, source, group=0).rollback(target, observer=overtake)

    assert others == [(5,)]
    assert report.applied == ()
    assert sqlite.ledgers().agreed == (1, 2, 3, 4)


def test_overtaken_upgrade_finds_the_rest_done(sqlite: SQLiteUnderTest, folder):
    """The second of two runs reports only what it did itself, and does nothing twice."""
    source = folder(ladder(4))

    def overtake(outcome: Outcome) -> None:
        if outcome.step.migration.version == 1:
            upgrade(sqlite.path, source, target=3)

    assert Migrator(sqlite.path, source, group=0).upgrade(observer=overtake).applied == (1, 4)
    assert sqlite.ledgers().log == tuple(("apply", f"{n}_make_t{n}") for n in (1, 2, 3, 4))


def test_large_run_keeps_both_ledgers_in_order(sqlite: SQLiteUnderTest, folder):
    """A hundred migrations are recorded in their order, with a time each."""
    upgrade(sqlite.path, folder(ladder(100)))

    assert sqlite.ledgers().agreed == tuple(range(1, 101))
    assert sqlite.execute("SELECT count(*) FROM _sqlx_migrations WHERE execution_time < 0") == [(0,)]


def test_python_sqlite_module_is_left_as_it_was(sqlite: SQLiteUnderTest, folder):
    """No adapter or converter is registered for the whole process."""
    before = (dict(sqlite3.adapters), dict(sqlite3.converters))
    upgrade(sqlite.path, folder(ladder(1)))
    rollback(sqlite.path, folder({}))

    assert (sqlite3.adapters, sqlite3.converters) == before


def test_path_object_and_url_and_text_mean_the_same_file(tmp_path: Path, folder):
    """A `Path`, a bare path and a URL are three names of one database."""
    source, path = folder(ladder(3)), tmp_path / "one.db"

    upgrade(path, source, target=1)
    upgrade(str(path), source, target=2)
    upgrade(f"sqlite:///{path}", source)

    assert SQLiteUnderTest(path).ledgers().agreed == (1, 2, 3)
