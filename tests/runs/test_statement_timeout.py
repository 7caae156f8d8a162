"""A statement that runs longer than it may: it is stopped, its migration is rolled back, and the error says which."""

from __future__ import annotations

import pickle
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing

import pytest
from database_under_test import SQLiteUnderTest, ladder, rungs

from torc_migrations import Migrator, errors, rehearse, rollback, round_trip, upgrade
from torc_migrations.events import Event, StatementStarted

ENDLESS = "WITH RECURSIVE n (i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
LONG = f"CREATE TABLE cut (x);\n\n  INSERT INTO cut\n  {ENDLESS};\nCREATE TABLE never (x);\n"
TIMEOUT = 0.3


@pytest.fixture(params=["own", "lent"])
def connected(request: pytest.FixtureRequest, sqlite: SQLiteUnderTest) -> Iterator[object]:
    """The path of a database, and an open connection to it."""
    if request.param == "own":
        yield sqlite.path
    else:
        with closing(sqlite.connect()) as connection:
            yield connection


@pytest.mark.parametrize("group", [0, 10])
def test_statement_that_takes_too_long_is_stopped(sqlite: SQLiteUnderTest, connected, folder, group):
    """The error has the place of the statement; its migration is rolled back alone, and no thread is left."""
    source = folder({**ladder(2), "3_cut": LONG})

    with pytest.raises(errors.StatementTimeout) as failure:
        upgrade(connected, source, statement_timeout=TIMEOUT, group=group)

    error = failure.value
    assert (error.code, error.exit_code, error.timeout) == ("statement-timeout", 6, TIMEOUT)
    assert (error.step.name, error.line, error.column) == ("3", 3, 3)
    assert error.path.endswith("3_cut.sql")
    assert "INSERT INTO cut" in error.statement
    assert error.frame is not None
    assert error.frame.splitlines()[-1].endswith("^")
    assert error.report is not None
    assert error.report.applied == (1, 2)
    assert (sqlite.tables().keys(), sqlite.ledgers().agreed) == (rungs([1, 2]), (1, 2))
    assert pickle.loads(pickle.dumps(error)).timeout == TIMEOUT
    assert [thread for thread in threading.enumerate() if "_stop_late" in thread.name] == []


def test_each_statement_has_its_own_time(sqlite: SQLiteUnderTest, connected, folder):
    """Many statements may together take longer than one may, and nothing that follows a script is stopped."""
    count = (
        "WITH RECURSIVE n (i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 150000) SELECT count(*) FROM n;\n"
    )
    source = folder({"1_many": count * 60 + "CREATE TABLE a (x);"})

    report = upgrade(connected, source, statement_timeout=1.0)

    assert report.applied == (1,)
    assert sqlite.ledgers().agreed == (1,)


def test_rollback_script_is_stopped_too(sqlite: SQLiteUnderTest, connected, folder):
    """A down script that is stopped leaves its migration installed."""
    source = folder({"1_a": "CREATE TABLE a (x);", "1_a.rollback": f"DROP TABLE a;\n{ENDLESS};"})
    upgrade(connected, source)

    with pytest.raises(errors.StatementTimeout, match="migration 1"):
        rollback(connected, source, statement_timeout=TIMEOUT)

    assert (sqlite.tables().keys(), sqlite.ledgers().agreed) == ({"a"}, (1,))


def test_script_outside_a_transaction_keeps_what_was_done(sqlite: SQLiteUnderTest, connected, folder):
    """The error says that the statements before it were kept, and how the others are run."""
    source = folder({"1_out": f"-- no-transaction\nCREATE TABLE a (x);\nINSERT INTO a {ENDLESS};\n"})

    with pytest.raises(errors.StatementTimeout) as failure:
        upgrade(connected, source, statement_timeout=TIMEOUT)

    assert failure.value.kept
    assert "resume_after=1" in (failure.value.hint or "")
    assert (sqlite.tables().keys(), sqlite.ledgers().agreed) == ({"a"}, ())


def test_atomic_run_keeps_nothing(sqlite: SQLiteUnderTest, connected, folder):
    """In one transaction for all, a statement that is stopped undoes all of it."""
    source = folder({**ladder(2), "3_cut": LONG})

    with pytest.raises(errors.StatementTimeout):
        Migrator(connected, source, statement_timeout=TIMEOUT).upgrade(atomic=True)

    assert (sqlite.tables().keys(), sqlite.ledgers().agreed) == (set(), ())


def test_rehearsals_stop_statements_too(sqlite: SQLiteUnderTest, folder):
    """On a copy, and on an empty database, a statement may take as long as in a run."""
    source = folder({"1_cut": LONG})

    with pytest.raises(errors.StatementTimeout) as failure:
        rehearse(sqlite.path, source, statement_timeout=TIMEOUT)
    trip = round_trip(source=source, statement_timeout=TIMEOUT)

    assert failure.value.rehearsed
    assert "ran longer than 0.3 s" in trip.as_text()


def test_wait_for_a_lock_is_not_time_of_a_statement(sqlite: SQLiteUnderTest, folder):
    """While others hold the database, lock_timeout counts; the statement has its whole time after that."""
    source = folder({"1_out": "-- no-transaction\nCREATE TABLE a (x);\nCREATE TABLE b (x);"})
    sqlite.execute("PRAGMA journal_mode = wal", "CREATE TABLE other (x)")
    with closing(sqlite3.connect(sqlite.path, isolation_level=None, check_same_thread=False)) as holder:
        release = threading.Timer(TIMEOUT * 3, holder.execute, ["ROLLBACK"])

        def take_the_lock(event: Event) -> None:
            if isinstance(event, StatementStarted) and event.number == 1:
                holder.execute("BEGIN IMMEDIATE")
                release.start()

        upgrade(sqlite.path, source, statement_timeout=TIMEOUT, on_event=take_the_lock)
        release.join()

    assert sqlite.ledgers().agreed == (1,)


@pytest.mark.parametrize("value", [0, -1, "5", True, float("nan")])
def test_option_takes_seconds(sqlite: SQLiteUnderTest, value):
    """It is a number above 0, or None."""
    with pytest.raises(errors.BadOption, match="statement_timeout must be a number of seconds"):
        Migrator(sqlite.path, statement_timeout=value)


def test_infinite_time_is_no_limit(connected, folder):
    """A limit that is never reached stops nothing, on a connection of either kind."""
    assert upgrade(connected, folder(ladder(2)), statement_timeout=float("inf")).applied == (1, 2)
