"""What a run tells `on_event`: the kinds of events, their order, and an error of the callback."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest
from database_under_test import PATIENCE, SQLiteUnderTest, expect_line, ladder, python, start_python

from torc_migrations import Migrator, errors, rollback, upgrade
from torc_migrations.configured import open_session
from torc_migrations.events import (
    Event,
    Failed,
    Installed,
    MigrationStarted,
    Progress,
    RolledBack,
    RunEnded,
    RunStarted,
    StatementStarted,
    Waiting,
)

COUNT = "WITH RECURSIVE n (i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < {}) SELECT count(*) FROM n;\n"
HOLD = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
print("held", flush=True)
sys.stdin.readline()
"""


def names(events: list[Event], *without: str) -> list[str]:
    """Return the names of events, in order, without some of them."""
    return [event.name for event in events if event.name not in without]


def of(events: list[Event], kind: type) -> list:
    """Return the events of one kind."""
    return [event for event in events if isinstance(event, kind)]


def test_events_of_a_group_come_in_order(sqlite: SQLiteUnderTest, folder):
    """Each step begins, each statement of it begins, and all of them are installed after the commit that they share."""
    events: list[Event] = []
    source = folder({"1_a": "-- a note\nCREATE TABLE a (x);\n\nCREATE TABLE b (x);\n", "2_c": "CREATE TABLE c (x);\n"})

    upgrade(sqlite.path, source, on_event=events.append, group=10)

    step = ["migration-started", "statement-started"]
    wanted = ["run-started", *step, "statement-started", *step, "installed", "installed", "run-ended"]
    assert names(events, "progress") == wanted
    started, ended = events[0], events[-1]
    assert isinstance(started, RunStarted)
    assert [step.name for step in started.plan.steps] == ["1", "2"]
    assert started.database == str(sqlite.path)
    assert [(e.step.name, e.number, e.count) for e in of(events, MigrationStarted)] == [("1", 1, 2), ("2", 2, 2)]
    assert [(e.number, e.line) for e in of(events, StatementStarted)] == [(1, 2), (2, 4), (1, 1)]
    assert [e.outcome.step.name for e in of(events, Installed)] == ["1", "2"]
    assert isinstance(ended, RunEnded)
    assert (ended.applied, ended.error) == ((1, 2), None)


@pytest.mark.parametrize("group", [0, 10])
def test_installed_is_said_after_the_commit(sqlite: SQLiteUnderTest, folder, group):
    """When an event says that a migration is installed, or rolled back, another connection sees that."""
    heard = []

    def listen(event: Event) -> None:
        if isinstance(event, (Installed, RolledBack)):
            heard.append(
                (event.name, event.outcome.step.name, event.outcome.step.name in map(str, sqlite.ledgers().agreed))
            )

    source = folder(ladder(3))
    upgrade(sqlite.path, source, on_event=listen, group=group)
    rollback(sqlite.path, source, target=1, on_event=listen, group=group)

    assert heard == [
        *(("installed", version, True) for version in "123"),
        *(("rolled-back", version, False) for version in "32"),
    ]


@pytest.mark.parametrize("lent", [False, True])
def test_progress_counts_statements_bytes_and_instructions(sqlite: SQLiteUnderTest, folder, lent):
    """Progress has what is done of what there is; a lent connection counts no instructions."""
    script = "CREATE TABLE a (x);\n" + COUNT.format(2_000_000) + "CREATE TABLE b (x);\n"
    events: list[Event] = []

    with closing(sqlite.connect()) as connection:
        upgrade(connection if lent else sqlite.path, folder({"1_a": script}), on_event=events.append)

    progress = of(events, Progress)
    assert progress
    assert {(e.number, e.count, e.statements, e.bytes) for e in progress} == {(1, 1, 3, len(script))}
    assert all(0 <= e.statements_done < 3 and 0 <= e.bytes_done < e.bytes for e in progress)
    assert [e.elapsed_ns for e in progress] == sorted(e.elapsed_ns for e in progress)
    if lent:
        assert {e.instructions for e in progress} == {None}
    else:
        assert max(e.instructions for e in progress) > 1_000_000
    assert {e.percent for e in progress} == {None}


def test_percent_is_of_what_a_rehearsal_has_counted(sqlite: SQLiteUnderTest, folder):
    """After a rehearsal the share is known, because SQLite counts the same both times."""
    script = "".join(f"CREATE TABLE a{n} (x);\n{COUNT.format(400_000)}" for n in range(4))
    events: list[Event] = []

    upgrade(sqlite.path, folder({"1_a": script}), on_event=events.append, on_loss="warn")

    shares = [e.percent for e in of(events, Progress) if not e.rehearsal]
    assert shares == sorted(shares)
    assert shares[0] == 0
    assert 50 < shares[-1] <= 100


@pytest.mark.parametrize("atomic", [False, True])
def test_rehearsal_has_events_that_say_so(sqlite: SQLiteUnderTest, folder, atomic):
    """A rehearsal is heard of like a run, under the name of the database, and nothing is said to be installed."""
    events: list[Event] = []
    migrator = Migrator(sqlite.path, folder(ladder(2)), on_event=events.append)

    migrator.rehearse(atomic=atomic)

    steps = ["migration-started"] * 2 + ["rehearsed"] * 2 if atomic else ["migration-started", "rehearsed"] * 2
    assert names(events, "progress", "statement-started") == ["run-started", *steps, "run-ended"]
    started, ended = events[0], events[-1]
    assert isinstance(started, RunStarted)
    assert isinstance(ended, RunEnded)
    assert (started.database, started.rehearsal) == (str(sqlite.path), True)
    assert (ended.database, ended.rehearsal, ended.applied) == (str(sqlite.path), True, ())
    assert all(event.rehearsal for event in of(events, Progress))


def test_rehearsal_before_an_upgrade_is_told_apart(sqlite: SQLiteUnderTest, folder):
    """With `on_loss` there are two runs, one after the other, and only the second one installs."""
    events: list[Event] = []

    upgrade(sqlite.path, folder(ladder(2)), on_event=events.append, on_loss="refuse")

    assert [event.rehearsal for event in of(events, RunStarted)] == [True, False]
    assert [(event.rehearsal, event.applied) for event in of(events, RunEnded)] == [(True, ()), (False, (1, 2))]
    order = [event.name for event in events if event.name in {"rehearsed", "installed", "run-ended"}]
    assert order == ["rehearsed", "rehearsed", "run-ended", "installed", "installed", "run-ended"]


def test_round_trip_is_one_run(sqlite: SQLiteUnderTest, folder):
    """The runs of a round trip, up, down and up again, are the steps of one run; a failure is in it too."""
    events: list[Event] = []
    source = folder({**ladder(2), "3_fails": "SELECT * FROM absent;"})

    result = Migrator(sqlite.path, source, on_event=events.append).round_trip()

    assert not result.ok
    assert [event.name for event in events].count("run-started") == 1
    assert [(e.step.name, e.step.action.value, e.number) for e in of(events, MigrationStarted)] == [
        *(("1", action, number) for number, action in enumerate(("apply", "rollback", "apply"), 1)),
        *(("2", action, number) for number, action in enumerate(("apply", "rollback", "apply"), 4)),
        ("3", "apply", 7),
    ]
    assert {event.count for event in of(events, MigrationStarted)} == {7}
    assert [event.step.name for event in of(events, Failed)] == ["3"]
    ended = events[-1]
    assert isinstance(ended, RunEnded)
    assert (ended.rehearsal, ended.error) == (True, None)


def test_error_of_the_callback_ends_a_rehearsal(sqlite: SQLiteUnderTest, folder):
    """What the callback raises comes out of a rehearsal and of a round trip, and the database is as it was."""

    def fail(event: Event) -> None:
        if event.name == "migration-started":
            raise RuntimeError("no more")

    migrator = Migrator(sqlite.path, folder(ladder(2)), on_event=fail)
    with pytest.raises(RuntimeError, match="no more"):
        migrator.rehearse()
    with pytest.raises(RuntimeError, match="no more"):
        migrator.round_trip()
    with pytest.raises(RuntimeError, match="no more"):
        Migrator(sqlite.path, migrator.source, on_event=fail, on_loss="warn").upgrade()

    assert not sqlite.path.exists()


def test_instructions_are_the_same_each_time(sqlite: SQLiteUnderTest, folder):
    """What SQLite counts for a script does not depend on the machine."""
    source = folder({"1_a": COUNT.format(500_000) + "CREATE TABLE a (x);\n", "1_a.rollback": "DROP TABLE a;"})
    counted = []
    for _ in range(2):
        migrator = Migrator(sqlite.path, source)
        with open_session(migrator) as session:
            from torc_migrations.history.planning import plan_upgrade
            from torc_migrations.runs.run import Run

            Run(session, plan_upgrade, lambda _: None).perform(plan_upgrade(session.status()))
            counted.append(session.database.instructions)
        rollback(sqlite.path, source)

    assert counted[0] == counted[1] > 1_000_000


def test_nothing_to_do_is_a_run_too(sqlite: SQLiteUnderTest, folder):
    """A run that finds nothing to do begins with no step, and ends."""
    source = folder(ladder(2))
    upgrade(sqlite.path, source)
    events: list[Event] = []

    upgrade(sqlite.path, source, on_event=events.append)

    assert names(events) == ["run-started", "run-ended"]
    assert isinstance(events[0], RunStarted)
    assert events[0].plan.steps == ()


@pytest.mark.parametrize("group", [0, 10])
def test_step_that_fails_is_said_to_have_failed(sqlite: SQLiteUnderTest, folder, group):
    """The step that failed is named, with the error that is raised, after the others are installed."""
    events: list[Event] = []

    with pytest.raises(errors.ExecutionFailed) as failure:
        upgrade(sqlite.path, folder({**ladder(2), "3_bad": "SELECT nothing;"}), on_event=events.append, group=group)

    assert names(events, "progress", "statement-started", "migration-started") == [
        *("run-started", "installed", "installed", "failed", "run-ended")
    ]
    failed, ended = events[-2:]
    assert isinstance(failed, Failed)
    assert (failed.step.name, failed.error) == ("3", failure.value)
    assert isinstance(ended, RunEnded)
    assert (ended.applied, ended.error) == ((1, 2), failure.value)


def test_steps_that_are_repeated_begin_twice(sqlite: SQLiteUnderTest, folder):
    """Where SQLite rolls back a whole group, its steps begin again; each is installed once, and the count is right."""
    script = "CREATE TABLE u (x UNIQUE);\nINSERT INTO u VALUES (1);\nINSERT OR ROLLBACK INTO u VALUES (1);"
    events: list[Event] = []

    with pytest.raises(errors.ExecutionFailed):
        upgrade(sqlite.path, folder({**ladder(2), "3_bad": script}), on_event=events.append, group=10)

    begun = [(e.step.name, e.number, e.count) for e in of(events, MigrationStarted)]
    assert begun == [("1", 1, 3), ("2", 2, 3), ("3", 3, 3), ("1", 1, 3), ("2", 2, 3)]
    assert [e.outcome.step.name for e in of(events, Installed)] == ["1", "2"]
    assert [e.step.name for e in of(events, Failed)] == ["3"]


def test_waiting_names_the_holder(sqlite: SQLiteUnderTest, folder):
    """A run that waits for a lock says who holds it."""
    source = folder(ladder(1))
    sqlite.execute("CREATE TABLE x (x)")
    holder = start_python(HOLD, sqlite.path)
    expect_line(holder, "held")
    events: list[Event] = []

    def listen(event: Event) -> None:
        events.append(event)
        if isinstance(event, Waiting):
            holder.communicate("\n", timeout=PATIENCE)

    upgrade(sqlite.path, source, on_event=listen)

    (waiting,) = of(events, Waiting)
    assert str(holder.pid) in waiting.holder
    assert (waiting.database, waiting.waited_ns >= 1e9) == (str(sqlite.path), True)
    assert names(events)[0] == "run-started"
    assert sqlite.ledgers().agreed == (1,)


@pytest.mark.parametrize("kind", [Event, RunStarted, MigrationStarted, StatementStarted, Progress, Installed, RunEnded])
@pytest.mark.parametrize("group", [0, 10])
def test_error_of_the_callback_is_raised_when_nothing_is_half_done(sqlite: SQLiteUnderTest, folder, kind, group):
    """The migration that is running is committed, no other begins, and the callback is not called again."""
    calls = []

    def fail(event: Event) -> None:
        if isinstance(event, kind):
            calls.append(event)
            raise ValueError("enough")

    with pytest.raises(ValueError, match="enough"):
        upgrade(sqlite.path, folder(ladder(3)), on_event=fail, group=group)

    expected = {Event: (), RunStarted: (), RunEnded: (1, 2, 3), Installed: (1, 2, 3) if group else (1,)}
    assert sqlite.ledgers().agreed == expected.get(kind, (1,))
    assert len(sqlite.tables()) == len(sqlite.ledgers().agreed)
    assert len(calls) == 1


def test_error_of_the_callback_does_not_stop_a_script_outside_a_transaction(sqlite: SQLiteUnderTest, folder):
    """What cannot be undone is done to its end, and recorded."""

    def fail(event: Event) -> None:
        if isinstance(event, StatementStarted) and event.number == 2:
            raise ValueError("enough")

    outside = "-- no-transaction\nCREATE TABLE a (x);\nCREATE TABLE b (x);\nCREATE TABLE c (x);"
    with pytest.raises(ValueError, match="enough"):
        upgrade(sqlite.path, folder({"1_out": outside, "2_d": "CREATE TABLE d (x);"}), on_event=fail)

    assert (sqlite.tables().keys(), sqlite.ledgers().agreed) == ({"a", "b", "c"}, (1,))


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_interruption_in_the_callback_stops_the_statement(sqlite: SQLiteUnderTest, folder, kind):
    """What is no error, such as Ctrl-C, comes out at once, also out of a statement that SQLite is busy with."""
    source = folder({"1_a": "CREATE TABLE a (x);", "2_long": COUNT.format(10**12)})

    def interrupt(event: Event) -> None:
        if isinstance(event, Progress) and event.step.name == "2" and event.instructions:
            raise kind

    with pytest.raises(kind):
        upgrade(sqlite.path, source, on_event=interrupt, group=0)

    assert (sqlite.tables().keys(), sqlite.ledgers().agreed) == ({"a"}, (1,))


def test_handler_of_a_lent_connection_stays(sqlite: SQLiteUnderTest, folder):
    """A connection that is lent keeps the progress handler of its owner, during the run and after it."""
    calls: list[None] = []
    source = folder({"1_a": COUNT.format(1000) + "CREATE TABLE a (x);"})

    with closing(sqlite3.connect(sqlite.path)) as connection:
        connection.set_progress_handler(lambda: calls.append(None), 100)
        upgrade(connection, source, on_event=lambda _: None)
        during = len(calls)
        connection.execute(COUNT.format(1000)).fetchall()

    assert during > 0
    assert len(calls) > during


def test_without_a_callback_no_events_are_made(sqlite: SQLiteUnderTest, folder):
    """A run without a callback does not even import their module."""
    code = (
        "import sys\nfrom torc_migrations import upgrade\nupgrade(*sys.argv[1:])\n"
        "print('torc_migrations.events' in sys.modules)\n"
    )
    assert python(code, sqlite.path, folder(ladder(2))) == "False\n"
