"""A rollback of the newest N migrations: those that were the newest when it began, and no others."""

from __future__ import annotations

from pathlib import Path

import pytest
from builders import migration
from shell import PAIRS, Torc, installed, write_files
from test_planning import installed as said_installed
from test_planning import rolling_back, status_of

from torc_migrations import Migrator, errors, rehearse, rollback
from torc_migrations.history.planning import RollbackOfNewest
from torc_migrations.history.status import Status

ONE, TWO, THREE, FOUR = (migration(number) for number in (1, 2, 3, 4))


def _status(*installed_ones: object) -> Status:
    return status_of(ONE, TWO, THREE, FOUR, said=said_installed(*installed_ones))


@pytest.mark.parametrize(("steps", "down"), [(1, (THREE,)), (2, (THREE, TWO)), (3, (THREE, TWO, ONE))])
def test_the_newest_are_rolled_back_in_their_order(steps, down):
    """The newest one first."""
    assert RollbackOfNewest(steps)(_status(ONE, TWO, THREE)).steps == rolling_back(*down)


def test_a_second_plan_has_what_is_left_of_the_first():
    """What another process has rolled back meanwhile is left out; nothing older takes its place."""
    planner = RollbackOfNewest(2)
    planner(_status(ONE, TWO, THREE))

    assert planner(_status(ONE, TWO)).steps == rolling_back(TWO)
    assert planner(_status(ONE)).steps == ()
    assert planner(_status(ONE, TWO, THREE)).steps == rolling_back(THREE, TWO)


def test_a_newer_one_ends_the_rollback():
    """What another process has installed on top may need what is below it."""
    planner = RollbackOfNewest(2)
    planner(_status(ONE, TWO, THREE))

    assert planner(_status(ONE, TWO, FOUR)).steps == ()


def test_more_than_are_installed_are_refused():
    """Somebody who names a number knows how many there are; with nothing installed there is nothing to do."""
    with pytest.raises(errors.TooFewInstalled) as failure:
        RollbackOfNewest(4)(_status(ONE, TWO, THREE))

    assert (failure.value.version, failure.value.steps, failure.value.installed) == (1, 4, 3)
    assert RollbackOfNewest(4)(_status()).steps == ()


@pytest.fixture
def upgraded(tmp_path: Path) -> Migrator:
    migrator = Migrator(tmp_path / "app.db", write_files(tmp_path / "migrations", PAIRS))
    migrator.upgrade()
    return migrator


def test_the_functions_take_the_number_too(upgraded):
    """As methods and as functions; a rehearsal and a plan show the same steps."""
    plan = upgraded.plan("rollback", steps=2)
    rehearsal = rehearse(upgraded.database, upgraded.source, operation="rollback", steps=2)
    report = rollback(upgraded.database, upgraded.source, steps=2)

    assert [step.migration.version for step in plan.steps] == [3, 2]
    assert [each.outcome.step.migration.version for each in rehearsal.steps] == [3, 2]
    assert report.applied == (3, 2)
    assert upgraded.status().latest == 1


@pytest.mark.parametrize("steps", [0, -1, True, "2", 1.5])
def test_only_a_count_is_a_number_of_steps(steps, upgraded):
    """Checked where it is given, before anything is opened."""
    with pytest.raises(errors.BadOption, match="steps must be a number from 1 on"):
        upgraded.rollback(steps=steps)


def test_a_number_and_a_target_contradict_each_other(upgraded):
    """One of them says where the rollback ends."""
    for call in (
        lambda: upgraded.rollback(1, steps=1),
        lambda: upgraded.plan("upgrade", steps=1),
        lambda: upgraded.rehearse(steps=1),
    ):
        with pytest.raises(errors.BadOptionValue, match="steps must be left out"):
            call()


def test_the_command_rolls_back_the_newest(torc: Torc, here: Path):
    """`-n N`, newest first; --dry-run runs nothing."""
    write_files(here / "migrations", PAIRS)
    torc("-d", "app.db", "upgrade")

    assert torc("-d", "app.db", "rollback", "-n", "2", "--dry-run").lines == (
        "Can apply 3/revert index titles (TIME)\nCan apply 2/revert add author (TIME)\n"
    )
    assert torc("-d", "app.db", "rollback", "-n", "4").status == 4
    assert "without --rollback" in torc("-d", "app.db", "rehearse", "-n", "2").err
    assert torc("-d", "app.db", "rehearse", "--rollback", "-n", "2").status == 0
    assert len(installed(here)) == 3
    assert torc("-d", "app.db", "rollback", "-n", "2").lines == (
        "Applied 3/revert index titles (TIME)\nApplied 2/revert add author (TIME)\n"
    )
    assert installed(here) == ["0001_create_book"]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("-n 0", "'0' is not a number from 1 on"),
        ("-n two", "'two' is not a number from 1 on"),
        ("-n 1 --target 1", "not allowed with argument"),
        ("--target 1 -n 1", "not allowed with argument"),
    ],
)
def test_the_command_refuses_a_wrong_number(words, sentence, torc: Torc):
    """Before anything is opened."""
    result = torc("-d", "app.db", "rollback", *words.split())

    assert result.status == 2
    assert sentence in result.err
