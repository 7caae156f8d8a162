"""What a run says on a server while a statement runs, how one that takes too long is stopped, and who is in the way."""

from __future__ import annotations

import threading
from contextlib import closing

import pytest
from contract_sleeps import SLEEP, SLOW_CHANGE
from database_under_test import PATIENCE, ladder, rungs

from torc_migrations import Migrator, errors, rollback, upgrade
from torc_migrations.events import Event, Installed, Progress, StatementStarted, Waiting

# SQLite has its own tests of this, in `tests/runs`.
pytestmark = pytest.mark.parametrize("kind", list(SLEEP), indirect=True)
TIMEOUT = 0.5


def of(events: list[Event], type_: type) -> list:
    """Return the events of one kind."""
    return [event for event in events if isinstance(event, type_)]


def test_a_statement_that_takes_too_long_is_stopped(database, folder, kind):
    """The error has the place of the statement; what came before its migration is kept, and the next run is not."""
    cut = f"INSERT INTO t1 VALUES (7);\n\n  {SLOW_CHANGE[kind.name]};\nINSERT INTO t1 VALUES (8);\n"
    source = folder({**ladder(2), "3_cut": cut})

    with pytest.raises(errors.StatementTimeout) as failure:
        upgrade(database.url, source, statement_timeout=TIMEOUT)

    error = failure.value
    assert (error.timeout, error.line, error.column, error.kept) == (TIMEOUT, 3, 3, False)
    assert error.statement.rstrip(";") == SLOW_CHANGE[kind.name]
    assert error.report is not None
    assert error.report.applied == (1, 2)
    assert (database.tables().keys() & {"t1", "t2"}, database.ledgers().agreed) == (rungs([1, 2]), (1, 2))
    assert database.execute("SELECT x FROM t1") == [(1,)]
    folder({"3_cut": "INSERT INTO t1 VALUES (7);"})
    assert upgrade(database.url, source, statement_timeout=TIMEOUT).applied == (3,)


def test_a_lent_connection_can_be_used_after_a_statement_was_stopped(database, folder, kind):
    """The stop reaches no later statement, and no setting of the session is left."""
    source = folder({"1_cut": f"{SLEEP[kind.name].format(60)};\n"})

    with closing(kind.connect(database)) as connection:
        with pytest.raises(errors.StatementTimeout):
            upgrade(connection, source, statement_timeout=TIMEOUT)
        connection.execute("CREATE TABLE mine (x INTEGER)")
        for number in range(20):
            connection.execute(f"INSERT INTO mine VALUES ({number})")

    assert database.execute("SELECT count(*) FROM mine") == [(20,)]


def test_each_statement_has_its_own_time(database, folder, kind):
    """Several may together take longer than one may; down scripts are stopped too."""
    pause = SLEEP[kind.name].format(0.4)
    source = folder({"1_many": f"{pause};\n" * 4, "1_many.rollback": f"{SLEEP[kind.name].format(60)};"})

    assert upgrade(database.url, source, statement_timeout=1.2).applied == (1,)
    with pytest.raises(errors.StatementTimeout, match="migration 1"):
        rollback(database.url, source, statement_timeout=TIMEOUT)


def test_what_is_kept_of_a_script_outside_a_transaction_is_said(database, folder, kind):
    """And the run can be resumed after the last statement that is done."""
    sleep = SLEEP[kind.name].format(60)
    source = folder(
        {"1_out": f"-- no-transaction\nCREATE TABLE a (x INTEGER);\n{sleep};\nCREATE TABLE b (x INTEGER);\n"}
    )

    with pytest.raises(errors.StatementTimeout) as failure:
        upgrade(database.url, source, statement_timeout=TIMEOUT)

    assert failure.value.kept
    assert "resume_after=1" in (failure.value.hint or "")
    assert "a" in database.tables()
    folder({"1_out": f"-- no-transaction\nCREATE TABLE a (x INTEGER);\n{SLEEP[kind.name].format(0)};\nSELECT 1;\n"})
    Migrator(database.url, source).repair(1, resume_after=1)
    assert database.ledgers().agreed == (1,)


def test_events_name_each_statement_and_come_while_it_runs(database, folder, kind):
    """Progress comes during a statement; each statement begins once, and is counted."""
    events: list[Event] = []
    source = folder({"1_a": f"CREATE TABLE a (x INTEGER);\n\n{SLEEP[kind.name].format(0.8)};\nSELECT 1;\n"})

    upgrade(database.url, source, on_event=events.append)

    assert [(each.number, each.line) for each in of(events, StatementStarted)] == [(1, 1), (2, 3), (3, 4)]
    during = [each for each in of(events, Progress) if each.statements_done == 1]
    assert len(during) > 2
    assert {(each.statements, each.instructions, each.percent) for each in during} == {(3, None, None)}
    assert [each.outcome.step.migration.version for each in of(events, Installed)] == [1]


def test_ctrl_c_in_a_callback_stops_the_statement(database, folder, kind):
    """What is no error comes out at once, and nothing of the server is left running."""
    source = folder({"1_a": f"{SLEEP[kind.name].format(300)};\n"})
    seen: list[Event] = []

    def interrupt(event: Event) -> None:
        seen.append(event)
        if isinstance(event, Progress) and len(of(seen, Progress)) > 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        upgrade(database.url, source, on_event=interrupt)

    assert database.ledgers().agreed == ()
    folder({"1_a": "SELECT 1;\n"})
    if kind.is_transactional:
        assert upgrade(database.url, source, lock_timeout=PATIENCE).applied == (1,)
    else:
        Migrator(database.url, source, lock_timeout=PATIENCE).repair(1, mark=True)
    assert database.ledgers().agreed == (1,)


def test_waiting_for_the_migration_lock_names_its_holder(database, folder, kind):
    """The event says who holds it, after a second."""
    source = folder(ladder(1))
    events: list[Event] = []
    is_seen = threading.Event()

    def listen(event: Event) -> None:
        events.append(event)
        if isinstance(event, Waiting):
            is_seen.set()

    with kind.hold_lock(database):
        runner = threading.Thread(target=lambda: upgrade(database.url, source, on_event=listen))
        runner.start()
        assert is_seen.wait(PATIENCE)
    runner.join(PATIENCE)

    waiting = of(events, Waiting)[0]
    assert "session" in waiting.holder
    assert waiting.waited_ns >= 1e9
    assert database.ledgers().agreed == (1,)


@pytest.mark.parametrize("script", ["ALTER TABLE t1 ADD COLUMN y INTEGER;\n", "UPDATE t1 SET x = 5;\n"])
def test_waiting_for_a_table_names_the_session_that_is_in_the_way(database, folder, kind, script):
    """Its definition, or a row of it, is locked in a transaction of another session."""
    source = folder({**ladder(1), "2_change": script})
    upgrade(database.url, source, target=1)
    events: list[Event] = []
    with closing(kind.connect(database)) as other:
        other.execute("BEGIN")
        other.execute("UPDATE t1 SET x = 7")

        def listen(event: Event) -> None:
            events.append(event)
            if isinstance(event, Waiting):
                other.execute("COMMIT")

        upgrade(database.url, source, on_event=listen)

    waiting = of(events, Waiting)[0]
    assert "session " in waiting.holder
    assert "postgres" in waiting.holder or "root" in waiting.holder
    assert database.ledgers().agreed == (1, 2)
