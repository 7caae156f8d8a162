"""Steps that share a transaction: what fails is undone alone, also where SQLite rolls back the whole transaction."""

from __future__ import annotations

import sqlite3

import pytest
from database_under_test import SQLiteUnderTest, ladder, python, rungs

from torc_migrations import Migrator, errors, rollback, upgrade
from torc_migrations.history.steps import Outcome

LONG = 10.0  # seconds, so that everything is one group
FULL = (
    "CREATE TABLE big (x);\nPRAGMA max_page_count = 40;\n"
    "WITH RECURSIVE n (i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 1000)\n"
    "INSERT INTO big SELECT randomblob(1000) FROM n;"
)
# Each of these ends the transaction, and not only its statement.
ENDS_TRANSACTION = {
    "or rollback": "CREATE TABLE u (x UNIQUE);\nINSERT INTO u VALUES (1);\nINSERT OR ROLLBACK INTO u VALUES (1);",
    "on conflict rollback": "CREATE TABLE u (x UNIQUE ON CONFLICT ROLLBACK);\nINSERT INTO u VALUES (1), (1);",
    "raise rollback": (
        "CREATE TABLE u (x);\nCREATE TRIGGER r BEFORE INSERT ON u BEGIN SELECT RAISE(ROLLBACK, 'no'); END;\n"
        "INSERT INTO u VALUES (1);"
    ),
    "full": FULL,
}


@pytest.mark.parametrize("script", ENDS_TRANSACTION.values(), ids=ENDS_TRANSACTION)
@pytest.mark.parametrize("group", [0, LONG])
def test_what_came_before_a_failed_step_is_kept(sqlite: SQLiteUnderTest, folder, script, group):
    """A statement that makes SQLite roll back everything takes its own migration with it, and no other."""
    source = folder({**ladder(3), "4_fails": script, "5_later": "CREATE TABLE later (x);"})
    heard: list[tuple[int, tuple[int, ...]]] = []

    def observe(outcome: Outcome) -> None:
        heard.append((outcome.step.migration.version, sqlite.ledgers().agreed))

    with pytest.raises(errors.ExecutionFailed) as failure:
        Migrator(sqlite.path, source, group=group).upgrade(observer=observe)

    assert failure.value.step.name == "4"
    assert failure.value.report is not None
    assert failure.value.report.applied == (1, 2, 3)
    assert (sqlite.ledgers().agreed, sqlite.tables().keys()) == ((1, 2, 3), rungs([1, 2, 3]))
    assert [version for version, installed in heard if version in installed] == [1, 2, 3]


def test_rollback_keeps_what_was_rolled_back_before_a_failed_step(sqlite: SQLiteUnderTest, folder):
    """The same holds for down scripts, which share transactions too."""
    source = folder(ladder(4))
    upgrade(sqlite.path, source)
    folder({"2_make_t2.rollback": ENDS_TRANSACTION["or rollback"]})

    with pytest.raises(errors.ExecutionFailed) as failure:
        rollback(sqlite.path, source, target=0, group=LONG)

    assert failure.value.step.name == "2"
    assert (sqlite.ledgers().agreed, sqlite.tables().keys()) == ((1, 2), rungs([1, 2]))


def test_first_failure_is_raised_where_repeating_fails(sqlite: SQLiteUnderTest, folder, caplog):
    """If what was lost cannot be done again, the error is the first one, and says what was kept."""
    files = {"1_a": "CREATE TABLE a (x);", "2_once": "CREATE TABLE b (x);\nINSERT INTO b VALUES (once());"}
    source = folder({**files, "3_fails": ENDS_TRANSACTION["or rollback"]})
    calls: list[None] = []

    def once() -> int:
        calls.append(None)
        return 1 // (2 - len(calls))

    def register(connection: sqlite3.Connection) -> None:
        connection.create_function("once", 0, once)

    with pytest.raises(errors.ExecutionFailed, match="UNIQUE constraint failed") as failure:
        Migrator(sqlite.path, source, group=LONG, functions=register).upgrade()

    assert (failure.value.step.name, len(calls)) == ("3", 2)
    assert failure.value.report is not None
    assert failure.value.report.applied == (1,)
    assert (sqlite.ledgers().agreed, sqlite.tables().keys()) == ((1,), {"a"})


def test_repeating_ends_where_somebody_else_has_done_the_steps(sqlite: SQLiteUnderTest, folder):
    """Another process that applies the lost steps first is no failure; the error is still that of the failed step."""
    source = folder({**ladder(2), "3_fails": ENDS_TRANSACTION["or rollback"]})
    begun: list[str] = []

    def meddle(connection: sqlite3.Connection) -> None:
        def trace(sql: str) -> None:
            begun.append(sql)
            if sql == "BEGIN IMMEDIATE" and begun.count(sql) == 2:
                upgrade(sqlite.path, source, target=2)

        connection.set_trace_callback(trace)

    with pytest.raises(errors.ExecutionFailed) as failure:
        Migrator(sqlite.path, source, group=LONG, functions=meddle).upgrade()

    assert begun.count("BEGIN IMMEDIATE") >= 2
    assert failure.value.report is not None
    assert (failure.value.step.name, failure.value.report.applied) == ("3", ())
    assert sqlite.ledgers().log == (("apply", "1_make_t1"), ("apply", "2_make_t2"))


def test_commit_that_fails_keeps_the_steps_that_can_be_kept(sqlite: SQLiteUnderTest, folder):
    """Where a file cannot grow enough for a group, its steps are committed one by one, up to the one that fails."""
    rows = "WITH RECURSIVE n (i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 1000)\n"
    source = folder(
        {**ladder(2), "3_big": f"CREATE TABLE big (x);\n{rows}INSERT INTO big SELECT randomblob(1000) FROM n;"}
    )
    code = (
        "import resource, sys\n"
        "from torc_migrations import errors, upgrade\n"
        "import torc_migrations.ledgers.yoyo\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, resource.RLIM_INFINITY))\n"
        "try:\n"
        "    upgrade(*sys.argv[1:], group=10.0)\n"
        "except errors.MigrationError as error:\n"
        "    print(type(error).__name__, error.report.applied)\n"
    )

    assert python(code, sqlite.path, source) == "DatabaseFailed (1, 2)\n"
    assert (sqlite.ledgers().agreed, sqlite.tables().keys()) == ((1, 2), rungs([1, 2]))


def test_each_step_of_a_group_has_its_own_time(sqlite: SQLiteUnderTest, folder):
    """What is recorded as a migration's time is its own, and not that of its group."""
    count = "WITH RECURSIVE n (i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 300000)\nSELECT max(i) FROM n;"
    source = folder({"1_fast": "CREATE TABLE a (x);", "2_slow": count, "3_fast": "CREATE TABLE b (x);"})

    report = Migrator(sqlite.path, source, group=LONG).upgrade()

    recorded = dict(sqlite.execute("SELECT version, execution_time FROM _sqlx_migrations"))
    assert recorded == {o.step.migration.version: o.elapsed_ns for o in report.outcomes}
    assert recorded[2] > max(recorded[1], recorded[3])


def commits(statements: list[str]) -> int:
    """Return how many transactions a trace of statements commits."""
    return sum(statement.strip().upper() == "COMMIT" for statement in statements)


def traced(sqlite: SQLiteUnderTest, source: str, **options: object) -> tuple[Migrator, list[str]]:
    """Return a migrator, and the list of the statements that its connection will run."""
    statements: list[str] = []
    register = {"functions": lambda connection: connection.set_trace_callback(statements.append)}
    return Migrator(sqlite.path, source, **register, **options), statements  # type: ignore[arg-type]  # options are Any


@pytest.mark.parametrize(("group", "expected"), [(0, 5), (LONG, 1)])
def test_down_scripts_share_transactions(sqlite: SQLiteUnderTest, folder, group, expected):
    """A rollback of five migrations commits once, or with group=0 five times."""
    source = folder(ladder(5))
    upgrade(sqlite.path, source)
    migrator, statements = traced(sqlite, source, group=group)

    assert migrator.rollback(0).applied == (5, 4, 3, 2, 1)
    assert commits(statements) == expected


@pytest.mark.parametrize(("group", "expected"), [(0, 5), (LONG, 1)])
def test_adoption_shares_transactions(sqlite: SQLiteUnderTest, folder, group, expected):
    """What one ledger lacks is written for five migrations in one transaction, or with group=0 in five."""
    source = folder(ladder(5))
    upgrade(sqlite.path, source)
    sqlite.execute("DELETE FROM _yoyo_migration", "DELETE FROM _yoyo_log")
    migrator, statements = traced(sqlite, source, group=group)

    assert len(migrator.upgrade().outcomes) == 5
    assert (commits(statements), sqlite.ledgers().agreed) == (expected, (1, 2, 3, 4, 5))


ALONE = {
    "large": "CREATE TABLE large (x); -- " + "x" * 1_000_001,
    "keys": "-- foreign-keys: on\nCREATE TABLE keys (x);",
    "outside": "-- no-transaction\nCREATE TABLE outside (x);",
    "commits": "CREATE TABLE commits (x);\nCOMMIT;\nBEGIN;\nCREATE TABLE more (x);",
}


@pytest.mark.parametrize("name", ALONE)
def test_what_must_be_alone_ends_the_group_before_it(sqlite: SQLiteUnderTest, folder, name):
    """When such a script begins, what came before it is committed; what comes after it is another transaction."""
    source = folder({**ladder(2), f"3_{name}": ALONE[name], "4_later": "CREATE TABLE later (x);"})
    migrator, statements = traced(sqlite, source, group=LONG)

    assert migrator.upgrade().applied == (1, 2, 3, 4)
    begins = next(n for n, sql in enumerate(statements) if f"CREATE TABLE {name}" in sql)
    assert commits(statements[:begins]) >= 1
    ends = next(n for n, sql in enumerate(statements) if "CREATE TABLE later" in sql)
    assert commits(statements[begins:ends]) >= 1
