"""Which steps lead from a status to a target, which errors forbid them, and how sqlx prints them."""

from __future__ import annotations

import json
from copy import deepcopy
from dataclasses import replace

import pytest
from builders import (
    LATER,
    SECOND,
    history,
    installed,
    migration,
    out_of_step,
    recorded,
    sqlx_row,
    status_of,
)

from torc_migrations.errors import (
    DependencyPending,
    DependentInstalled,
    Dirty,
    Irreversible,
    MissingAbove,
    OutOfOrder,
    OutOfStep,
    VersionMismatch,
    VersionMissing,
    VersionNotPresent,
    VersionTooNew,
    VersionTooOld,
)
from torc_migrations.formatting import duration_text
from torc_migrations.history.planning import plan_exactly, plan_repair, plan_rollback, plan_trust, plan_upgrade
from torc_migrations.history.status import Status
from torc_migrations.history.steps import Action, Direction, Outcome, Plan, Report, Step

ONE, TWO, THREE, FOUR = (migration(version) for version in (1, 2, 3, 4))
ALL = (ONE, TWO, THREE)
EDITED = sqlx_row(ONE, checksum=b"\x0f" * 48)
STALE = {"sqlx": (sqlx_row(TWO),), "log": {TWO: history(("rollback", LATER))}}


def applying(*migrations) -> tuple[Step, ...]:
    """Return the steps that apply these."""
    return tuple(Step(each, Action.APPLY) for each in migrations)


def plan_apply(status: Status, versions, **options) -> Plan:
    """Plan to apply exactly these."""
    return plan_exactly(status, Action.APPLY, versions, **options)


def rolling_back(*migrations) -> tuple[Step, ...]:
    """Return the steps that roll these back."""
    return tuple(Step(each, Action.ROLL_BACK) for each in migrations)


def faulty(*migrations, **said) -> Status:
    """Return the status of these migrations, of which the ledgers say what is given."""
    return status_of(*migrations, said=recorded(**said))


def with_entry(status: Status, entry) -> Status:
    """Return a status with an entry put in the place of its migration's."""
    kept = (entry if each.migration == entry.migration else each for each in status.entries)
    return replace(status, entries=tuple(kept))


def test_upgrade_applies_what_is_pending_in_ascending_order():
    """Without a target everything pending is applied, lowest version first."""
    plan = plan_upgrade(status_of(*ALL, said=installed(ONE)))

    assert plan == Plan(Direction.UP, applying(TWO, THREE))


def test_upgrade_of_an_up_to_date_database_is_empty():
    """Nothing to do means no step at all."""
    assert plan_upgrade(status_of(*ALL, said=installed(*ALL))).steps == ()


def test_upgrade_ends_at_its_target():
    """What is pending above the target is skipped, and named as skipped."""
    plan = plan_upgrade(status_of(*ALL, FOUR), 2)

    assert plan == Plan(Direction.UP, applying(ONE, TWO), (THREE, FOUR), 2)


def test_upgrade_applies_what_was_merged_late():
    """A migration below the newest installed one is applied like any other that is pending."""
    plan = plan_upgrade(status_of(*ALL, said=installed(ONE, THREE)))

    assert plan.steps == applying(TWO)


def test_upgrade_to_the_newest_installed_version_fills_the_gaps():
    """A target that is installed already is no error: what is pending below it is applied."""
    plan = plan_upgrade(status_of(*ALL, said=installed(TWO)), 2)

    note = "1 is older than 2, which is installed, and is applied now"
    assert plan == Plan(Direction.UP, applying(ONE), (THREE,), 2, (note,))


def test_an_upgrade_in_order_fills_no_gap():
    """With `in_order` what is pending below the newest installed version is refused; what is above it is not."""
    with pytest.raises(OutOfOrder) as failure:
        plan_upgrade(status_of(*ALL, said=installed(TWO)), in_order=True)

    assert (failure.value.version, failure.value.latest) == (1, 2)
    assert plan_upgrade(status_of(*ALL, said=installed(ONE)), in_order=True).steps == applying(TWO, THREE)


def test_apply_takes_exactly_the_versions_asked_for():
    """Neither what is below nor what is above them is applied, and what is installed needs no step."""
    plan = plan_apply(status_of(*ALL, FOUR, said=installed(ONE)), [3, 1, 3])

    assert plan == Plan(Direction.UP, applying(THREE))


def test_apply_goes_in_ascending_order_whatever_the_order_of_the_question():
    """Versions are applied in their own order."""
    assert plan_apply(status_of(*ALL), [3, 1, 2]).steps == applying(*ALL)


def test_apply_of_nothing_is_empty():
    """No version, no step."""
    assert plan_apply(status_of(*ALL), []).steps == ()


def test_exactly_these_may_be_rolled_back():
    """Versions asked for go in descending order, what is pending among them needs no step, and the rest stays."""
    plan = plan_exactly(status_of(*ALL, FOUR, said=installed(*ALL)), Action.ROLL_BACK, [1, 4, 3])

    assert plan == Plan(Direction.DOWN, rolling_back(THREE, ONE))


def test_exactly_these_are_not_rolled_back_if_one_is_irreversible():
    """Nothing at all is rolled back, as with every rollback."""
    one = migration(1, down=False)

    with pytest.raises(Irreversible) as failure:
        plan_exactly(status_of(one, TWO, said=installed(one, TWO)), Action.ROLL_BACK, [1, 2])

    assert failure.value.version == 1


@pytest.mark.parametrize(
    ("action", "said", "steps"),
    [
        (Action.RECORD, installed(ONE), (Step(TWO, Action.RECORD), Step(THREE, Action.RECORD))),
        (Action.RECORD, installed(ONE, TWO, THREE), ()),
        (Action.ERASE, installed(ONE, TWO), (Step(TWO, Action.ERASE), Step(ONE, Action.ERASE))),
        (Action.ERASE, installed(), ()),
    ],
)
def test_exactly_these_may_be_marked(action, said, steps):
    """Recording and erasing run nothing, and take what is so already as done."""
    plan = plan_exactly(status_of(*ALL, said=said), action, [1, 2, 3])

    assert plan.steps == steps


@pytest.mark.parametrize("action", [Action.RECORD, Action.ERASE])
def test_marking_needs_no_way_back(action):
    """Nothing is run, so a down script is not missed."""
    one = migration(1, down=False)
    said = installed(one) if action is Action.ERASE else installed()

    assert plan_exactly(status_of(one, said=said), action, [1]).steps == (Step(one, action),)


@pytest.mark.parametrize("action", [Action.RECORD, Action.ERASE])
def test_marking_settles_what_is_out_of_step(action):
    """A user who says what is true of a migration is believed, for that one only."""
    status = with_entry(status_of(*ALL), out_of_step(TWO))

    plan = plan_exactly(status, action, [2])
    with pytest.raises(OutOfStep) as failure:
        plan_exactly(status, action, [1, 3])

    assert plan.steps == (Step(TWO, action),)
    assert failure.value.version == 2


@pytest.mark.parametrize(
    ("action", "said", "steps"),
    [
        (Action.RECORD, {"yoyo": (TWO,)}, (Step(TWO, Action.RECORD),)),
        (Action.ERASE, {"yoyo": (TWO,)}, (Step(TWO, Action.ERASE),)),
        (Action.RECORD, STALE, (Step(TWO, Action.RECORD),)),
        (Action.ERASE, STALE, (Step(TWO, Action.ERASE),)),
    ],
)
def test_marking_brings_both_ledgers_into_step(action, said, steps):
    """Also what is so already is written where a ledger lacks it, and what is the opposite is not adopted first."""
    assert plan_exactly(faulty(TWO, **said), action, [2]).steps == steps


def test_repair_accepts_what_was_edited():
    """Of the versions asked for, those whose files were edited are accepted, each for the reason given."""
    rows = (EDITED, sqlx_row(TWO), sqlx_row(THREE, checksum=b"\x0f" * 48))

    plan = plan_repair(faulty(*ALL, FOUR, sqlx=rows, yoyo=ALL), (1, 2, 4), "a comment")

    assert plan == Plan(None, (Step(ONE, Action.REPAIR, "a comment"),))


def test_a_plan_without_a_direction_has_none_in_json():
    """Where only the ledgers are corrected nothing goes up or down, and the dictionary does not claim it."""
    assert "direction" not in Plan(None, ()).as_dict()
    assert Plan(Direction.DOWN, ()).as_dict()["direction"] == "down"


def test_repair_of_an_unknown_version_is_refused():
    """Only what the source has can be accepted."""
    with pytest.raises(VersionNotPresent) as failure:
        plan_repair(status_of(*ALL), (1, 9), "a comment")

    assert failure.value.version == 9


@pytest.mark.parametrize(
    ("ledger", "steps"),
    [
        ("yoyo", (Step(ONE, Action.ERASE), Step(TWO, Action.RECORD))),
        ("sqlx", (Step(ONE, Action.RECORD), Step(TWO, Action.ERASE))),
    ],
)
def test_trust_settles_what_is_out_of_step(ledger, steps):
    """Whichever ledger is trusted, its row decides of what nothing else can, and of nothing that is known."""
    log = {ONE: history(("rollback", SECOND)), TWO: history(("rollback", SECOND)), THREE: history(("rollback", LATER))}
    status = faulty(*ALL, sqlx=(sqlx_row(ONE), sqlx_row(THREE)), yoyo=(TWO,), log=log)

    plan = plan_trust(status, ledger)

    assert plan.steps == steps


def test_rollback_without_a_target_takes_the_newest():
    """One step down, from the newest installed migration, not the newest file."""
    plan = plan_rollback(status_of(*ALL, said=installed(ONE, TWO)))

    assert plan == Plan(Direction.DOWN, rolling_back(TWO))


def test_rollback_to_a_target_leaves_it_installed():
    """Everything above the target goes, newest first; what stays is skipped, newest first."""
    plan = plan_rollback(status_of(*ALL, FOUR, said=installed(*ALL, FOUR)), 2)

    assert plan == Plan(Direction.DOWN, rolling_back(FOUR, THREE), (TWO, ONE), 2)


def test_rollback_to_zero_takes_everything():
    """Zero is below every version."""
    plan = plan_rollback(status_of(*ALL, said=installed(*ALL)), 0)

    assert plan == Plan(Direction.DOWN, rolling_back(THREE, TWO, ONE), (), 0)


@pytest.mark.parametrize("target", [None, 0])
def test_rollback_of_an_empty_database_is_empty(target):
    """Nothing is installed, so nothing is rolled back, and that is no error."""
    assert plan_rollback(status_of(*ALL), target).steps == ()


def test_rollback_names_no_irreversible_migration_as_skipped():
    """As with sqlx, only what has a down script is named as skipped."""
    one = migration(1, down=False)

    plan = plan_rollback(status_of(one, TWO, THREE, said=installed(one, TWO, THREE)), 2)

    assert plan.skipped == (TWO,)


@pytest.mark.parametrize("target", [None, 1, 0])
def test_rollback_stops_before_it_begins_at_an_irreversible_migration(target):
    """Where sqlx steps over a migration without a down script, nothing at all is rolled back."""
    three = migration(3, down=False)

    with pytest.raises(Irreversible) as failure:
        plan_rollback(status_of(ONE, TWO, three, FOUR, said=installed(ONE, TWO, three)), target)

    assert failure.value.version == 3


def test_rollback_above_an_irreversible_migration_works():
    """What stays need not be reversible."""
    two = migration(2, down=False)

    plan = plan_rollback(status_of(ONE, two, THREE, said=installed(ONE, two, THREE)), 2)

    assert plan.steps == rolling_back(THREE)


@pytest.mark.parametrize(
    ("plan", "version"),
    [
        (lambda status: plan_upgrade(status, 9), 9),
        (lambda status: plan_upgrade(status, 0), 0),
        (lambda status: plan_apply(status, [2, 9, 8]), 8),
        (lambda status: plan_rollback(status, 9), 9),
        (lambda status: plan_rollback(status, -9), -9),
    ],
)
def test_a_version_that_no_file_has_is_not_present(plan, version):
    """A target has to be in the source; zero is one for a rollback only."""
    with pytest.raises(VersionNotPresent) as failure:
        plan(status_of(*ALL, said=installed(ONE)))

    assert failure.value.version == version


@pytest.mark.parametrize("said", [installed(*ALL), installed(THREE), installed(ONE, TWO, THREE)])
def test_an_upgrade_never_goes_down(said):
    """A target below the newest installed version is too old."""
    with pytest.raises(VersionTooOld) as failure:
        plan_upgrade(status_of(*ALL, said=said), 2)

    assert (failure.value.version, failure.value.latest) == (2, 3)


def test_a_missing_version_counts_as_the_newest():
    """The newest installed version is the ledger's, even where its file is not there and that is accepted."""
    status = status_of(ONE, TWO, said=installed(ONE, THREE))

    with pytest.raises(VersionTooOld) as failure:
        plan_upgrade(status, 2, ignore_missing=True)

    assert failure.value.latest == 3


@pytest.mark.parametrize(("said", "latest"), [(installed(ONE, TWO), 2), (installed(), 0)])
def test_a_rollback_never_goes_up(said, latest):
    """A target above the newest installed version is too new, and above nothing at all too."""
    with pytest.raises(VersionTooNew) as failure:
        plan_rollback(status_of(*ALL, said=said), 3)

    assert (failure.value.version, failure.value.latest) == (3, latest)


def test_negative_versions_are_weighed_as_sqlx_weighs_them():
    """To sqlx a database without migrations is at zero, and a negative target is below that."""
    low, lower = migration(-3), migration(-5)

    with pytest.raises(VersionTooOld) as too_old:
        plan_upgrade(status_of(lower, low), -5)
    with pytest.raises(VersionTooNew) as too_new:
        plan_rollback(status_of(lower, low, said=installed(lower, low)), 0)

    assert too_old.value.latest == 0
    assert too_new.value.latest == -3
    assert plan_upgrade(status_of(lower, low)).notes == ()
    assert plan_rollback(status_of(lower, low), -5).steps == ()
    assert plan_rollback(status_of(lower, low, said=installed(lower, low)), -5).steps == rolling_back(low)


@pytest.mark.parametrize("plan", [plan_upgrade, lambda s: plan_apply(s, [1]), plan_rollback])
def test_a_dirty_database_is_refused(plan):
    """A migration that another tool did not end forbids every step; the lowest is named."""
    status = faulty(*ALL, sqlx=(sqlx_row(THREE, success=False), sqlx_row(TWO, success=False), sqlx_row(ONE)))

    with pytest.raises(Dirty) as failure:
        plan(status)

    assert failure.value.version == 2


@pytest.mark.parametrize("plan", [plan_upgrade, lambda s, **k: plan_apply(s, [1], **k), plan_rollback])
def test_a_missing_file_is_refused_unless_told(plan):
    """An installed version without a file forbids every step, unless missing files are to be ignored."""
    status = status_of(ONE, THREE, said=installed(ONE, TWO, THREE))

    with pytest.raises(VersionMissing) as failure:
        plan(status)

    assert failure.value.version == 2
    assert plan(status, ignore_missing=True).notes == ()


@pytest.mark.parametrize("plan", [plan_upgrade, lambda s, **k: plan_apply(s, [1], **k)])
def test_a_database_that_is_ahead_is_accepted_with_a_note(plan):
    """An older release may start on a newer database, and says so; a hole below its newest file stays an error."""
    ahead = status_of(ONE, TWO, said=installed(ONE, TWO, THREE, FOUR))
    hole = status_of(ONE, THREE, said=installed(ONE, TWO, THREE, FOUR))

    accepted = plan(ahead, accept_newer=True)
    with pytest.raises(VersionMissing) as failure:
        plan(hole, accept_newer=True)

    assert accepted.steps == ()
    assert accepted.notes == (
        "2 versions from 3 to 4 are installed, but newer than every file: the database is ahead of this release",
    )
    assert failure.value.version == 2


@pytest.mark.parametrize("plan", [plan_upgrade, lambda s: plan_apply(s, [1]), plan_rollback])
def test_a_database_that_is_ahead_is_refused_unless_told(plan):
    """Without the file of what is installed above, there is no way on, and none down."""
    with pytest.raises(VersionMissing) as failure:
        plan(status_of(ONE, said=installed(ONE, TWO)))

    assert failure.value.version == 2


@pytest.mark.parametrize("plan", [plan_upgrade, lambda s: plan_apply(s, [3]), lambda s: plan_upgrade(s, 3)])
def test_an_edited_file_is_refused_before_anything_is_applied(plan):
    """Where sqlx finds out on the way, every checksum is compared before the first step."""
    status = faulty(*ALL, sqlx=(sqlx_row(TWO), EDITED))

    with pytest.raises(VersionMismatch) as failure:
        plan(status)

    assert failure.value.version == 1
    assert (failure.value.recorded, failure.value.local) == (b"\x0f" * 48, ONE.checksum)


def test_an_edited_file_can_be_rolled_back():
    """As with sqlx, the way down asks for no checksum."""
    plan = plan_rollback(faulty(ONE, sqlx=(EDITED,), yoyo=(ONE,)))

    assert plan.steps == rolling_back(ONE)


@pytest.mark.parametrize(
    "plan", [plan_upgrade, lambda s: plan_apply(s, [3]), lambda s: plan_apply(s, [2]), plan_rollback]
)
def test_ledgers_that_are_out_of_step_are_refused(plan):
    """What nothing can settle forbids every step, also those of other migrations."""
    status = with_entry(status_of(*ALL), out_of_step(TWO))

    with pytest.raises(OutOfStep) as failure:
        plan(status)

    assert (failure.value.version, failure.value.yoyo, failure.value.sqlx) == (2, True, False)


def test_checks_come_in_sqlxs_order():
    """Of many faults the one is told that sqlx would tell: target, dirty, missing, too old, edited."""
    status = faulty(*ALL, sqlx=(EDITED, sqlx_row(TWO)), yoyo=(ONE, TWO))
    found = []
    for broken, target in [
        (status, 2),
        (status, 1),
        (with_entry(status, out_of_step(THREE)), 1),
        (replace(with_entry(status, out_of_step(THREE)), missing=(7,)), 1),
        (replace(with_entry(status, out_of_step(THREE)), missing=(7,), dirty=(2,)), 1),
        (replace(with_entry(status, out_of_step(THREE)), missing=(7,), dirty=(2,)), 9),
    ]:
        with pytest.raises((VersionNotPresent, Dirty, VersionMissing, OutOfStep, VersionTooOld, VersionMismatch)) as e:
            plan_upgrade(broken, target)
        found.append(e.type)

    assert found == [VersionMismatch, VersionTooOld, OutOfStep, VersionMissing, Dirty, VersionNotPresent]


def test_checks_on_the_way_down_come_in_sqlxs_order():
    """Target, dirty, missing, too new; and what is irreversible last."""
    one, two = migration(1, down=False), migration(2, down=False)
    status = status_of(one, two, THREE, said=installed(one, two))
    found = []
    for broken, target in [
        (status, 1),
        (status, 3),
        (with_entry(status, out_of_step(THREE)), 3),
        (replace(with_entry(status, out_of_step(THREE)), missing=(7,)), 3),
        (replace(with_entry(status, out_of_step(THREE)), missing=(7,), dirty=(2,)), 3),
        (replace(with_entry(status, out_of_step(THREE)), missing=(7,), dirty=(2,)), 9),
    ]:
        with pytest.raises((VersionNotPresent, Dirty, VersionMissing, OutOfStep, VersionTooNew, Irreversible)) as e:
            plan_rollback(broken, target)
        found.append(e.type)

    assert found == [Irreversible, VersionTooNew, OutOfStep, VersionMissing, Dirty, VersionNotPresent]


def test_a_rollback_of_some_leaves_no_dependent_behind():
    """What an installed migration depends on is rolled back with it, or not at all."""
    three = migration(3, depends=("1_step",))
    status = status_of(ONE, TWO, three, said=installed(ONE, TWO, three))

    with pytest.raises(DependentInstalled) as failure:
        plan_exactly(status, Action.ROLL_BACK, [1, 2])

    assert (failure.value.version, failure.value.dependent) == (1, "3_step")
    assert plan_exactly(status, Action.ROLL_BACK, [1, 3]).steps == rolling_back(three, ONE)
    assert plan_exactly(status, Action.ROLL_BACK, [2]).steps == rolling_back(TWO)
    assert plan_exactly(status_of(ONE, three, said=installed(ONE)), Action.ROLL_BACK, [1]).steps == rolling_back(ONE)


def test_apply_wants_dependencies_installed_or_asked_for():
    """A migration whose dependency would still be pending is refused; asking for both is the way out."""
    three = migration(3, depends=("1_step",))
    status = status_of(ONE, TWO, three)

    with pytest.raises(DependencyPending) as failure:
        plan_apply(status, [3])

    assert (failure.value.version, failure.value.dependency) == (3, "1_step")
    assert plan_apply(status, [3, 1]).steps == applying(ONE, three)
    assert plan_apply(status_of(ONE, TWO, three, said=installed(ONE)), [3]).steps == applying(three)


def test_apply_asks_for_no_dependencies_of_what_it_leaves_alone():
    """Only the migrations asked for have to have theirs."""
    three = migration(3, depends=("1_step",))

    assert plan_apply(status_of(ONE, TWO, three), [2]).steps == applying(TWO)
    assert plan_apply(status_of(ONE, TWO, three, said=installed(three)), [2, 3]).steps == applying(TWO)


@pytest.mark.parametrize(
    ("said", "adopted"),
    [
        ({"sqlx": (sqlx_row(TWO),)}, Step(TWO, Action.RECORD)),
        ({"yoyo": (TWO,)}, Step(TWO, Action.RECORD)),
        (STALE, Step(TWO, Action.ERASE)),
        ({"yoyo": (TWO,), "log": {TWO: history(("apply", SECOND, "an earlier row"))}}, Step(TWO, Action.ERASE)),
    ],
    ids=["yoyo lacks it", "sqlx lacks it", "stale in sqlx", "stale in yoyo"],
)
def test_what_the_ledgers_lack_is_written_before_anything_runs(said, adopted):
    """Adoption is a step like any other, and comes first, upwards and downwards."""
    there = status_of(*ALL, said=recorded(**said))
    one_there = replace(there, entries=(status_of(ONE, said=installed(ONE)).entries[0], *there.entries[1:]))

    up, down = plan_upgrade(one_there), plan_rollback(one_there, 0)

    assert up.steps[0] == down.steps[0] == adopted
    assert all(step.action is Action.APPLY for step in up.steps[1:])
    assert all(step.action is Action.ROLL_BACK for step in down.steps[1:])


def test_a_stale_migration_is_erased_and_applied():
    """What a ledger wrongly calls installed is taken out of it first, and then applied as pending."""
    plan = plan_upgrade(faulty(TWO, **STALE))

    assert plan.steps == (Step(TWO, Action.ERASE), Step(TWO, Action.APPLY))


def test_a_stale_row_of_another_text_is_no_mismatch():
    """What is pending cannot have been edited: its stale row goes, whatever its checksum says."""
    stale = sqlx_row(TWO, checksum=b"\x0f" * 48)

    plan = plan_upgrade(faulty(TWO, sqlx=(stale,), log={TWO: history(("rollback", LATER))}))

    assert plan.steps == (Step(TWO, Action.ERASE), Step(TWO, Action.APPLY))


def test_adoption_alone_is_something_to_do():
    """A database made by another tool is adopted by an upgrade that runs no script."""
    plan = plan_upgrade(faulty(*ALL, yoyo=ALL))

    assert plan.steps == tuple(Step(each, Action.RECORD) for each in ALL)


def test_adoption_reaches_beyond_the_target():
    """Ledgers are brought into step as a whole, also above the target and in what `apply` was not asked for."""
    rows = (sqlx_row(ONE), sqlx_row(THREE))
    status = faulty(*ALL, sqlx=rows, yoyo=(ONE,), log={THREE: history(("unmark", LATER))})

    assert plan_upgrade(status, 2).steps == (Step(THREE, Action.ERASE), *applying(TWO))
    assert plan_apply(status, [2]).steps == (Step(THREE, Action.ERASE), *applying(TWO))


def test_planning_changes_nothing():
    """A plan is a function of a status, which stays as it was."""
    status = faulty(*ALL, **STALE)
    before = deepcopy(status.as_dict())

    plans = [plan_upgrade(status, 2), plan_apply(status, [1]), plan_rollback(status)]

    assert status.as_dict() == before
    assert plans == [plan_upgrade(status, 2), plan_apply(status, [1]), plan_rollback(status)]


def test_ten_thousand_migrations_are_planned():
    """A plan does not grow slow with its folder: no migration is compared with every other."""
    many = tuple(migration(version) for version in range(1, 10_001))

    plan = plan_upgrade(status_of(*many), 5000)

    assert (len(plan.steps), len(plan.skipped)) == (5000, 5000)


def test_a_step_knows_its_script():
    """Applying and hooks run the up script, rolling back the down script, and adoption runs nothing."""
    scripts = [Step(ONE, action).script for action in Action]

    assert scripts == [ONE.up, ONE.down, None, None, None, None, ONE.up]
    done = ["applied", "rolled back", "recorded", "erased", "repaired", "renamed", "run"]
    assert [action.done for action in Action] == done
    assert [action.operation for action in Action] == ["apply", "rollback", "mark", "unmark", "mark", "mark", "apply"]
    assert Step(ONE, Action.APPLY).reason == ""
    assert Outcome(Step(ONE, Action.RECORD), 5).as_text() == ""


# What Rust prints for `Duration::from_nanos(n)` with `{:?}`, as sqlx does; recorded from rustc 1.
DURATIONS = {
    0: "0ns",
    1: "1ns",
    100: "100ns",
    999: "999ns",
    1_000: "1µs",
    1_001: "1.001µs",
    1_010: "1.01µs",
    1_500: "1.5µs",
    12_000: "12µs",
    999_999: "999.999µs",
    1_000_000: "1ms",
    1_000_001: "1.000001ms",
    1_234_567: "1.234567ms",
    1_500_000: "1.5ms",
    100_000_000: "100ms",
    999_999_999: "999.999999ms",
    1_000_000_000: "1s",
    1_000_000_001: "1.000000001s",
    1_500_000_000: "1.5s",
    59_999_999_999: "59.999999999s",
    61_100_000_000: "61.1s",
    86_400_000_000_000_000: "86400000s",
    2**63 - 1: "9223372036.854775807s",
}


@pytest.mark.parametrize(("nanoseconds", "text"), DURATIONS.items())
def test_durations_are_written_as_rust_writes_them(nanoseconds, text):
    """The largest unit that fits, every digit, no zero at the end, and nothing rounded."""
    assert duration_text(nanoseconds) == text


def test_a_report_reads_as_sqlx_migrate_run():
    """A line for each script that ran and each migration that was skipped, none for an adoption."""
    plan = Plan(Direction.UP, (Step(ONE, Action.RECORD), *applying(TWO)), (THREE, FOUR), 2)
    report = Report(plan, (Outcome(plan.steps[0], 5), Outcome(plan.steps[1], 1_500_000)))

    assert report.as_text() == (
        "Applied 2/migrate step (1.5ms)\nSkipped 3/migrate step (0ns)\nSkipped 4/migrate step (0ns)\n"
    )
    assert report.applied == (2,)


def test_a_report_reads_as_sqlx_migrate_revert():
    """The way down has sqlx's lines of its own."""
    plan = Plan(Direction.DOWN, rolling_back(TWO), (ONE,), 1)
    report = Report(plan, (Outcome(plan.steps[0], 926_909),))

    assert report.as_text() == "Applied 2/revert step (926.909µs)\nSkipped 1/revert step (0ns)\n"


def test_a_report_tells_its_direction():
    """A machine can tell a rollback from an upgrade."""
    report = Report(Plan(Direction.DOWN, rolling_back(TWO), (ONE,), 1), ())

    assert report.as_dict() == {"direction": "down", "target": 1, "steps": [], "skipped": [1], "notes": []}


def test_a_plan_says_everything_in_json():
    """What would be done can be read by a machine, too."""
    plan = Plan(Direction.UP, (Step(ONE, Action.RECORD), *applying(TWO)), (THREE,), 2, ("a note",))

    assert json.loads(json.dumps(plan.as_dict())) == {
        "direction": "up",
        "target": 2,
        "steps": [
            {"version": 1, "id": "1_step", "action": "record"},
            {"version": 2, "id": "2_step", "action": "apply"},
        ],
        "skipped": [3],
        "notes": ["a note"],
    }


def test_a_note_tells_of_a_newer_database_only_where_that_is_what_was_accepted():
    """With everything that is missing ignored, nothing says that the database is ahead; older gaps are no news."""
    ahead = status_of(TWO, said=installed(ONE, TWO, THREE))

    assert plan_upgrade(ahead, ignore_missing=True).notes == ()
    assert plan_upgrade(ahead, ignore_missing=True, accept_newer=True).notes == (
        "3 is installed, but newer than every file: the database is ahead of this release",
    )


def test_a_report_says_everything_in_json():
    """What was done, adoptions too, can be written as JSON, and read by a machine."""
    plan = Plan(Direction.UP, (Step(ONE, Action.RECORD), *applying(TWO)), (THREE,), 2, ("a note",))
    report = Report(plan, (Outcome(plan.steps[0], 5), Outcome(plan.steps[1], 7)))

    assert json.loads(json.dumps(report.as_dict())) == {
        "direction": "up",
        "target": 2,
        "steps": [
            {"version": 1, "id": "1_step", "action": "record", "elapsed_ns": 5},
            {"version": 2, "id": "2_step", "action": "apply", "elapsed_ns": 7},
        ],
        "skipped": [3],
        "notes": ["a note"],
    }


@pytest.mark.parametrize("missing", [(3,), (3, 4)])
def test_no_down_script_runs_below_a_version_without_a_file(missing):
    """One is enough; a target above it is no reason to refuse."""
    status = replace(status_of(ONE, TWO, said=installed(ONE, TWO)), missing=missing)

    with pytest.raises(MissingAbove) as failure:
        plan_rollback(status, 1, ignore_missing=True)

    assert failure.value.version == 3
    assert plan_rollback(replace(status, missing=(0,)), 1, ignore_missing=True).steps == rolling_back(TWO)
