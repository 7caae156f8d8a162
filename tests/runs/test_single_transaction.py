"""One transaction for a whole run: all of it, or none."""

from __future__ import annotations

import logging
import os
import shutil
import sqlite3
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest
from database_under_test import SQLiteUnderTest, ladder, rungs
from killed_runs import FILES, contents, kill_before_each_statement

from torc_migrations import Migrator, errors, rollback, upgrade

PARENT_AND_CHILD = {
    "1_make": "CREATE TABLE p (id INTEGER PRIMARY KEY);\nCREATE TABLE c (p REFERENCES p);",
    "1_make.rollback": "DROP TABLE c;\nDROP TABLE p;",
}


def test_all_is_kept(sqlite: SQLiteUnderTest, folder):
    """An upgrade and a rollback in one transaction leave what they leave without it."""
    source = folder(ladder(5))

    assert upgrade(sqlite.path, source, atomic=True).applied == (1, 2, 3, 4, 5)
    assert sqlite.ledgers().agreed == (1, 2, 3, 4, 5)
    assert sqlite.ledgers().log == tuple(("apply", f"{n}_make_t{n}") for n in range(1, 6))
    assert rollback(sqlite.path, source, target=2, atomic=True).applied == (5, 4, 3)
    assert sqlite.ledgers().agreed == (1, 2)
    assert sqlite.tables().keys() == rungs([1, 2])


def test_all_is_one_transaction(sqlite: SQLiteUnderTest, folder):
    """There is one BEGIN IMMEDIATE and one COMMIT, and the observer is told when all is done."""
    said: list[str] = []
    with closing(sqlite.connect()) as connection:
        connection.set_trace_callback(said.append)
        migrator = Migrator(connection, folder(ladder(4)))
        report = migrator.upgrade(atomic=True, observer=lambda outcome: said.append(outcome.step.migration.id))

    words = [sql for sql in said if sql in ("BEGIN IMMEDIATE", "COMMIT") or sql.endswith("make_t1")]
    assert words == ["BEGIN IMMEDIATE", "COMMIT", "1_make_t1"]
    assert len(report.outcomes) == 4


@pytest.mark.parametrize("operation", ["up", "down"])
def test_where_one_fails_nothing_is_kept(sqlite: SQLiteUnderTest, folder, operation):
    """The error names the migration, and says that none of the others was kept either; so does the report."""
    source = folder({**ladder(4), "3_make_t3": "CREATE TABLE t3 (x);\nBORK;"})
    if operation == "down":
        folder(ladder(4))
        upgrade(sqlite.path, source)
        folder({"3_make_t3.rollback": "DROP TABLE t3;\nBORK;"})
    before = sqlite.tables(), sqlite.ledgers()

    migrator = Migrator(sqlite.path, source)
    operate = {"up": migrator.upgrade, "down": partial(migrator.rollback, 0)}[operation]
    with pytest.raises(errors.ExecutionFailed) as failure:
        operate(atomic=True)

    assert (failure.value.step.migration.version, failure.value.line) == (3, 2)
    assert failure.value.hint == "nothing of the run was kept: it is one transaction"
    assert failure.value.report is not None
    assert failure.value.report.applied == ()
    assert (sqlite.tables(), sqlite.ledgers()) == before


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("-- transactional: false\nVACUUM;", "3_odd.sql asks for no transaction"),
        ("-- no-transaction\nVACUUM;", "3_odd.sql asks for no transaction"),
        ("CREATE TABLE t (x);\nCOMMIT;\nBEGIN;", "3_odd.sql: COMMIT in a script would end the transaction"),
        ("-- foreign-keys: on\nDELETE FROM t1;", "3_odd.sql needs foreign keys on, .*1_make_t1.sql needs them off"),
    ],
)
def test_what_cannot_be_part_of_it_is_refused(sqlite: SQLiteUnderTest, folder, script, said):
    """A script that needs transactions of its own is named before anything runs, and no file is created."""
    source = folder({**ladder(2), "3_odd": script})

    with pytest.raises(errors.BadScript, match=said) as failure:
        upgrade(sqlite.path, source, atomic=True)

    assert failure.value.path.endswith("3_odd.sql")
    assert failure.value.hint
    assert not sqlite.path.exists()
    assert upgrade(sqlite.path, source, target=2, atomic=True).applied == (1, 2)


@pytest.mark.parametrize("script", ["CREATE TABLE a (x); ROLLBACK;", "BEGIN; CREATE TABLE a (x); COMMIT;"])
def test_a_script_may_not_end_it(sqlite: SQLiteUnderTest, folder, script):
    """ROLLBACK, or a transaction inside ours, is refused, and nothing is kept."""
    source = folder({**ladder(2), "3_odd": script})

    with pytest.raises(errors.BadScript, match="3_odd"):
        upgrade(sqlite.path, source, atomic=True)

    assert sqlite.tables() == {}
    assert sqlite.ledgers().agreed == ()


def test_a_savepoint_ends_with_its_script(sqlite: SQLiteUnderTest, folder):
    """A script cannot go back to a savepoint that an earlier one has left, as it could not in its own transaction."""
    source = folder(
        {
            "1_a": "SAVEPOINT a;\nSAVEPOINT b;\nSAVEPOINT a;\nCREATE TABLE a (x);",
            "2_b": "CREATE TABLE b (x);\nROLLBACK TO a;",
        }
    )

    with pytest.raises(errors.ExecutionFailed, match="no such savepoint: a"):
        upgrade(sqlite.path, source, atomic=True)
    assert upgrade(sqlite.path, source, target=1, atomic=True).applied == (1,)
    assert sqlite.tables().keys() == {"a"}


def test_new_violations_refuse_everything(sqlite: SQLiteUnderTest, folder):
    """Rows that point nowhere are looked for once, before the COMMIT, and the migration that made them is named."""
    rows = {
        "2_fine": "INSERT INTO p VALUES (1);",
        "3_wrong": "INSERT INTO c VALUES (1), (7);",
        "4_x": "CREATE TABLE x (y);",
    }
    source = folder({**PARENT_AND_CHILD, **rows})

    with pytest.raises(errors.ForeignKeyViolations) as failure:
        upgrade(sqlite.path, source, atomic=True)

    assert failure.value.step.migration.version == 3
    assert failure.value.violations == (("c", 2, "p"),)
    assert sqlite.tables() == {}


def test_old_violations_are_tolerated(sqlite: SQLiteUnderTest, folder):
    """Rows that pointed nowhere before do so afterwards; what was made later in the run is all there."""
    source = folder(PARENT_AND_CHILD)
    upgrade(sqlite.path, source)
    sqlite.execute("INSERT INTO c VALUES (7)")
    folder({"2_more": "INSERT INTO p VALUES (1);\nINSERT INTO c VALUES (1);", "3_x": "CREATE TABLE x (y);"})

    assert upgrade(sqlite.path, source, atomic=True).applied == (2, 3)
    assert sqlite.execute("SELECT p FROM c ORDER BY p") == [(1,), (7,)]
    assert sqlite.ledgers().agreed == (1, 2, 3)


def test_violations_that_a_later_script_mends_are_none(sqlite: SQLiteUnderTest, folder):
    """What counts is what the one COMMIT would keep."""
    rows = {"2_child": "INSERT INTO c VALUES (1);", "3_parent": "INSERT INTO p VALUES (1);"}

    assert upgrade(sqlite.path, folder({**PARENT_AND_CHILD, **rows}), atomic=True).applied == (1, 2, 3)


@pytest.mark.parametrize(
    "first",
    ["CREATE TABLE seen (v);", "CREATE TABLE seen (v); CREATE VIEW done AS SELECT version FROM _SQLX_migrations;"],
)
def test_a_script_sees_the_records_of_those_before_it(sqlite: SQLiteUnderTest, folder, first):
    """Who looks into a ledger, by name or through a view, finds what is installed, as without `atomic`."""
    looks = "done" if "VIEW" in first else "_sqlx_migrations"
    source = folder(
        {"1_make": first, "2_x": "CREATE TABLE x (y);", "3_look": f"INSERT INTO seen SELECT version FROM {looks};"}
    )
    upgrade(sqlite.path, source, target=1)

    upgrade(sqlite.path, source, atomic=True)

    assert sqlite.execute("SELECT v FROM seen") == [(1,), (2,)]


@pytest.mark.parametrize(
    "script",
    [
        "DELETE FROM _sqlx_migrations; DROP TABLE t1;",
        (
            "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)"
            " SELECT 3, description, success, checksum, 0 FROM _sqlx_migrations;"
        ),
    ],
)
def test_a_script_that_writes_a_ledger_does_what_it_does_alone(tmp_path: Path, folder, script):
    """What it erases is erased in both ledgers, what it records is recorded in both and not run."""
    source = folder({**ladder(4), "2_make_t2": script})
    ends = [SQLiteUnderTest(tmp_path / name) for name in ("together.db", "alone.db")]

    together, alone = (upgrade(end.path, source, atomic=end is ends[0]) for end in ends)

    assert [each.step.as_dict() for each in together.outcomes] == [each.step.as_dict() for each in alone.outcomes]
    assert ends[0].tables() == ends[1].tables()
    assert ends[0].ledgers() == ends[1].ledgers()


def test_a_script_that_drops_a_ledger_is_refused(sqlite: SQLiteUnderTest, folder):
    """What takes away the place of its own record is named, and nothing is kept."""
    source = folder({**ladder(1), "2_drop": "DROP TABLE _yoyo_log;", "3_x": "CREATE TABLE x (y);"})

    with pytest.raises(errors.BadScript, match=r"2_drop\.sql drops '_yoyo_log'"):
        upgrade(sqlite.path, source, atomic=True)

    assert sqlite.tables() == {}


def test_who_was_overtaken_plans_anew(sqlite: SQLiteUnderTest, folder):
    """Where somebody else applies some of it first, the rest is done, and it is still all or nothing."""
    source = folder(ladder(5))
    upgrade(sqlite.path, source, target=1)
    with closing(sqlite.connect()) as connection:

        def overtake(sql: str) -> None:
            if sql == "BEGIN IMMEDIATE":
                connection.set_trace_callback(None)
                upgrade(sqlite.path, source, target=3)

        connection.set_trace_callback(overtake)
        report = upgrade(connection, source, atomic=True)

    assert report.applied == (4, 5)
    assert sqlite.ledgers().agreed == (1, 2, 3, 4, 5)


def test_what_a_new_plan_brings_is_looked_at_too(sqlite: SQLiteUnderTest, folder):
    """A script that cannot be part of it, and is pending only since somebody rolled it back, is refused as well."""
    files = {**ladder(3), "2_make_t2": "-- transactional: false\nCREATE TABLE t2 (x);"}
    source = folder(files)
    upgrade(sqlite.path, source, target=2)
    with closing(sqlite.connect()) as connection:

        def overtake(sql: str) -> None:
            if sql == "BEGIN IMMEDIATE":
                connection.set_trace_callback(None)
                rollback(sqlite.path, source)

        connection.set_trace_callback(overtake)
        with pytest.raises(errors.BadScript, match=r"2_make_t2\.sql asks for no transaction"):
            upgrade(connection, source, atomic=True)

    assert sqlite.ledgers().agreed == (1,)


def test_ledgers_are_brought_together_in_it(sqlite: SQLiteUnderTest, folder):
    """What one ledger lacks is written in the same transaction."""
    source = folder(ladder(3))
    upgrade(sqlite.path, source, target=2)
    sqlite.execute("DELETE FROM _sqlx_migrations")
    sqlite.execute("DELETE FROM _yoyo_log")

    report = upgrade(sqlite.path, source, atomic=True)

    assert report.applied == (3,)
    assert len(report.outcomes) == 3
    assert sqlite.ledgers().agreed == (1, 2, 3)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is neither fork nor SIGKILL here")
@pytest.mark.parametrize("journal", ["delete", "wal"])
@pytest.mark.parametrize("direction", ["up", "down"])
def test_killed_before_any_statement_it_is_all_or_none(tmp_path: Path, folder, journal, direction):
    """Killed before each statement of a run in turn, the database is as before the run, or as after it."""
    source, start = folder(FILES), tmp_path / "start.db"
    SQLiteUnderTest(start).execute(f"PRAGMA journal_mode = {journal}", "CREATE TABLE x (x)", "DROP TABLE x")
    if direction == "down":
        upgrade(start, source)
        SQLiteUnderTest(start).execute("INSERT INTO c VALUES (7001), (7002)")
    end = tmp_path / "end.db"
    shutil.copy(start, end)
    (upgrade if direction == "up" else lambda path, source: rollback(path, source, target=0))(end, source)
    right = {SQLiteUnderTest(path).ledgers().agreed: contents(path) for path in (start, end)}

    deaths = kill_before_each_statement(tmp_path / "killed", source, direction, start, atomic=True)

    assert deaths > 40
    for number in range(1, deaths + 1):
        database = SQLiteUnderTest(tmp_path / f"killed{number}")
        assert contents(database.path) == right[database.ledgers().agreed], number
        upgrade(database.path, source, lock_timeout=0, atomic=True)
        assert database.ledgers().agreed == (1, 2, 3, 4)


def test_readers_are_not_shut_out_before_the_end(sqlite: SQLiteUnderTest, folder, caplog):
    """What is written stays in memory until the commit, up to 32 MB; SQLite's own 2 MB would lock everybody out."""
    fill = "CREATE TABLE t{0} AS SELECT zeroblob(1000000) AS x;"
    source = folder({"1_small": "CREATE TABLE t1 (x);", **{f"{n}_much": fill.format(n) for n in range(2, 7)}})
    upgrade(sqlite.path, source, target=1)
    seen: list[list[tuple[object, ...]]] = []

    class Reader(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if "CREATE TABLE" in record.getMessage():
                with closing(sqlite3.connect(sqlite.path, timeout=0)) as connection:
                    seen.append(connection.execute("SELECT name FROM sqlite_master WHERE name GLOB 't?'").fetchall())

    reader, log = Reader(), logging.getLogger("torc_migrations")
    log.addHandler(reader)
    try:
        with caplog.at_level(logging.DEBUG, logger=log.name):
            upgrade(sqlite.path, source, atomic=True)
    finally:
        log.removeHandler(reader)

    assert seen == [[("t1",)]] * 5
    assert len(sqlite.tables()) == 6


def test_a_writer_is_waited_for(sqlite: SQLiteUnderTest, folder):
    """A process that holds the database is waited for once, at the beginning."""
    source = folder(ladder(2))
    sqlite.execute("CREATE TABLE mine (x)")
    with closing(sqlite3.connect(sqlite.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(errors.LockTimeout):
            upgrade(sqlite.path, source, atomic=True, lock_timeout=0.1)

    assert upgrade(sqlite.path, source, atomic=True).applied == (1, 2)
