"""Every history that three tools can write into two ledgers, to length six, and what `decide` makes of it.

The model has one migration, whose up script fails where its object exists, and whose down script fails where it does
not. Each tool acts on its own ledger: yoyo 9 and sqlx 0.8 and 0.9 as they are, ours on `decide`'s verdict. The truth is
what the last script made of the object, or what the last claim (yoyo's `mark` and `unmark`, sqlx's `skip`) said.

Some histories leave the same tables and another truth: nobody can tell them apart. Such histories are found by what
they leave, not listed by hand, and the rule is asked to be right on all others.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import NamedTuple, TypeAlias

import pytest
from builders import NO_ROW, history, migration, source

from torc_migrations.errors import MigrationError
from torc_migrations.history.comparison import compare
from torc_migrations.history.planning import plan_rollback, plan_upgrade
from torc_migrations.history.records import LogEntry, Recorded, SqlxRecord, YoyoRecord
from torc_migrations.history.status import Status
from torc_migrations.history.steps import Action, Plan, Step
from torc_migrations.history.verdict import Verdict

LENGTH = 6
MIGRATION = migration(1)
SOURCE = source(MIGRATION)
HASH = MIGRATION.hash
UNKNOWN_TIME = -1

# A line of yoyo's log: operation, time, and the identity of sqlx's row where the line is ours.
Line: TypeAlias = "tuple[str, int] | tuple[str, int, str]"


class World(NamedTuple):
    """What is in the database, and what is true."""

    exists: bool = False
    truth: bool = False
    yoyo: int | None = None
    sqlx: SqlxRecord | None = None
    log: tuple[Line, ...] = ()

    @property
    def status(self) -> Status:
        """What we make of the tables."""
        return compare(SOURCE, self.recorded)

    @property
    def verdict(self) -> Verdict:
        """What we make of the migration."""
        return self.status.entries[0].verdict

    @property
    def recorded(self) -> Recorded:
        """What the tables say; the times are text there."""
        return Recorded(
            {1: self.sqlx} if self.sqlx else {},
            {HASH: YoyoRecord(MIGRATION.id, stamp(self.yoyo))} if self.yoyo is not None else {},
            {HASH: folded(self.log)} if self.log else {},
        )

    @property
    def untouched(self) -> bool:
        """Whether no tool has written anything yet."""
        return self.yoyo is None and self.sqlx is None and not self.log

    def after(self, *line: object, **changes: object) -> World:
        """Return this world with a line more in yoyo's log, and other things changed."""
        return self._replace(log=(*self.log, line) if line else self.log, **changes)


class Moment(NamedTuple):
    """A second, and a number that no other operation has; a run's length in nanoseconds differs likewise."""

    second: int
    number: int


Operation: TypeAlias = Callable[[World, Moment], World]


@cache
def stamp(second: int) -> str:
    """Return a second as both ledgers write it."""
    return f"2026-01-01 00:00:{second:02}"


@cache
def folded(log: tuple[Line, ...]) -> tuple[LogEntry, ...]:
    """Return what the log says of the migration."""
    return history(*((operation, stamp(at), *word) for operation, at, *word in log))


def yoyo_apply(world: World, now: Moment) -> World:
    """Run the script, log, mark; nothing where the ledger has a row or the script fails."""
    if world.yoyo is not None or world.exists:
        return world
    return world.after("apply", now.second, exists=True, truth=True, yoyo=now.second)


def yoyo_rollback(world: World, now: Moment) -> World:
    """Run the script, log, unmark; nothing where the ledger has no row or the script fails."""
    if world.yoyo is None or not world.exists:
        return world
    return world.after("rollback", now.second, exists=False, truth=False, yoyo=None)


def yoyo_mark(world: World, now: Moment) -> World:
    """Claim that the migration is installed."""
    return world if world.yoyo is not None else world.after("mark", now.second, truth=True, yoyo=now.second)


def yoyo_unmark(world: World, now: Moment) -> World:
    """Claim that it is not."""
    return world if world.yoyo is None else world.after("unmark", now.second, truth=False, yoyo=None)


def sqlx_run(world: World, now: Moment) -> World:
    """Run the script and insert a row; nothing where there is one or the script fails."""
    if world.sqlx or world.exists:
        return world
    return world.after(exists=True, truth=True, sqlx=sqlx_row(now.second, now.number))


def sqlx_revert(world: World, now: Moment) -> World:
    """Run the script and delete the row; nothing where there is none or the script fails."""
    if not world.sqlx or not world.exists:
        return world
    return world.after(exists=False, truth=False, sqlx=None)


def sqlx_skip(world: World, now: Moment) -> World:
    """Claim that the migration is installed, as `sqlx migrate override skip` does since 0.9."""
    return world if world.sqlx else world.after(truth=True, sqlx=sqlx_row(now.second, UNKNOWN_TIME))


def sqlx_row(second: int, time: int) -> SqlxRecord:
    """Return a row; alone in its table, it always gets the same rowid."""
    return SqlxRecord(1, MIGRATION.checksum, True, stamp(second), time, 1)


def our_upgrade(world: World, now: Moment) -> World:
    """Do what a plan for the verdict says."""
    return perform(world, now, plan_upgrade)


def our_rollback(world: World, now: Moment) -> World:
    """Do what a plan for the verdict says."""
    return perform(world, now, plan_rollback)


def perform(world: World, now: Moment, planned: Callable[[Status], Plan]) -> World:
    """Take each step of a plan in a transaction of its own, until one fails."""
    try:
        steps = planned(world.status).steps
    except MigrationError:
        return world
    for step in steps:
        if fails(step, world):
            break
        world = taken(step, world, now)
    return world


def fails(step: Step, world: World) -> bool:
    """Tell whether a step's script fails on the object as it is."""
    return step.action is (Action.APPLY if world.exists else Action.ROLL_BACK)


def taken(step: Step, world: World, now: Moment) -> World:
    """Return the world after a step: both ledgers, and our word in yoyo's log."""
    made = {} if step.script is None else {"exists": step.action is Action.APPLY, "truth": step.action is Action.APPLY}
    if step.action in (Action.ROLL_BACK, Action.ERASE):
        return world.after(step.action.operation, now.second, NO_ROW, yoyo=None, sqlx=None, **made)
    row = world.sqlx or sqlx_row(now.second, now.number if step.script else UNKNOWN_TIME)
    yoyo = now.second if world.yoyo is None else world.yoyo
    return world.after(step.action.operation, now.second, row.identity, yoyo=yoyo, sqlx=row, **made)


SCRIPTS = (yoyo_apply, yoyo_rollback, sqlx_run, sqlx_revert, our_upgrade, our_rollback)
MARKS = (*SCRIPTS, yoyo_mark, yoyo_unmark)
CLAIMS = (*MARKS, sqlx_skip)
# A table may have been made by hand, before anybody kept a ledger; then `yoyo mark` is right to claim it.
BY_HAND = World(exists=True, truth=True)

# How many seconds pass before an operation: each possibility is tried.
APART, TOGETHER, EITHER = (1,), (0,), (0, 1)

Path: TypeAlias = tuple[str, ...]


@cache
def worlds(operations: tuple[Operation, ...], seconds: tuple[int, ...], length: int = LENGTH) -> Mapping[World, Path]:
    """Return every world that a sequence of operations leads to, with one of the shortest that do.

    An operation that changes nothing leads nowhere new, so only those that change something are followed.
    """
    found: dict[World, Path] = {}
    level: dict[tuple[World, int], Path] = {(World(), 0): (), (BY_HAND, 0): ("by hand",)}
    for number in range(length):
        level = dict(successors(level, operations, seconds, number))
        for (world, _), path in level.items():
            found.setdefault(world, path)
    return found


def successors(
    level: Mapping[tuple[World, int], Path], operations: tuple[Operation, ...], seconds: tuple[int, ...], number: int
) -> Iterator[tuple[tuple[World, int], Path]]:
    """Yield what one more operation makes of each world."""
    for (world, second), path in level.items():
        for operation in operations:
            for passed in seconds:
                now = Moment(second + passed, number)
                after = operation(world, now)
                if after != world:
                    yield (after, now.second), (*path, operation.__name__)


def tables(world: World) -> object:
    """Return all that anybody could read in the tables, with times by their order and rows by their names."""
    marks = [at for _, at, *_ in world.log] + ([world.yoyo] if world.yoyo is not None else [])
    seconds = sorted({stamp(at) for at in marks} | ({world.sqlx.installed_on} if world.sqlx else set()))
    names: dict[str, int] = {}

    def order(at: int | None) -> int | None:
        return None if at is None else seconds.index(stamp(at))

    def name(word: str) -> int | str:
        return word if word == NO_ROW else names.setdefault(word, len(names))

    log = tuple((operation, order(at), *map(name, word)) for operation, at, *word in world.log)
    row = world.sqlx
    return log, order(world.yoyo), row and (seconds.index(row.installed_on), name(row.identity), row.execution_time < 0)


class Score(NamedTuple):
    """How many kinds of tables there are, by how the verdict does on them."""

    right: int = 0
    wrong: int = 0
    # Nobody can tell, since both truths leave the same tables: we say so, or we believe the shorter history.
    told: int = 0
    believed: int = 0
    # The truth could be known, but we say that we cannot tell.
    cautious: int = 0


def score(found: Mapping[World, Path]) -> Score:
    """Compute the verdict on every kind of tables once."""
    kinds: dict[object, dict[bool, tuple[World, Path]]] = {}
    for world, path in found.items():
        if not world.untouched:
            truths = kinds.setdefault(tables(world), {})
            if world.truth not in truths or len(path) < len(truths[world.truth][1]):
                truths[world.truth] = world, path
    return Score(**Counter(map(grade, kinds.values())))


def grade(truths: Mapping[bool, tuple[World, Path]]) -> str:
    """Name how the verdict does on tables, given the shortest history for each truth that may lie behind them."""
    verdict = next(world.verdict for world, _ in truths.values())
    if verdict is Verdict.OUT_OF_STEP:
        return "cautious" if len(truths) == 1 else "told"
    ours = verdict is Verdict.INSTALLED
    if len(truths) == 1:
        return "right" if ours in truths else "wrong"
    return "believed" if len(truths[ours][1]) <= len(truths[not ours][1]) else "wrong"


@pytest.mark.parametrize(
    ("operations", "seconds", "length", "expected"),
    [
        pytest.param(SCRIPTS, APART, 6, Score(right=810), id="scripts apart"),
        pytest.param(SCRIPTS, TOGETHER, 6, Score(right=596, cautious=17), id="scripts together"),
        pytest.param(SCRIPTS, EITHER, 5, Score(right=2203, cautious=38), id="scripts either"),
        pytest.param(MARKS, APART, 6, Score(2871, told=16, believed=24, cautious=19), id="marks apart"),
        pytest.param(MARKS, TOGETHER, 6, Score(2033, told=45, believed=21, cautious=58), id="marks together"),
        pytest.param(CLAIMS, APART, 5, Score(1240, told=6, believed=19, cautious=2), id="claims apart"),
        pytest.param(CLAIMS, TOGETHER, 5, Score(805, told=56, believed=22, cautious=20), id="claims together"),
    ],
)
def test_the_verdict_is_never_wrong(operations, seconds, length, expected):
    """Over every history the verdict is the truth, or says that it cannot tell.

    With scripts alone it always knows, unless two tools write within one second. A change of any count is a change of
    the rule: it has to be meant.
    """
    found = worlds(operations, seconds, length)

    assert score(found) == expected


@pytest.mark.parametrize("operation", [our_upgrade, our_rollback])
@pytest.mark.parametrize("seconds", [APART, TOGETHER], ids=["apart", "together"])
def test_after_a_write_of_ours_both_ledgers_agree(operation, seconds):
    """Whatever the others left, one write of ours puts both ledgers and our verdict into step."""
    now = Moment(50, 50)
    written = [after for world in worlds(CLAIMS, seconds, 5) if (after := operation(world, now)) != world]

    assert written
    assert all(world.status.entries[0].in_step for world in written)
    assert all((world.yoyo is None) == (world.sqlx is None) for world in written)


@pytest.mark.parametrize("seconds", [APART, TOGETHER], ids=["apart", "together"])
def test_ours_writes_nothing_twice(seconds):
    """After an upgrade that did not fail, a second one takes no step."""
    now = Moment(50, 50)
    upgraded = [our_upgrade(world, now) for world in worlds(CLAIMS, seconds, 5)]
    installed = [world for world in upgraded if world.verdict is Verdict.INSTALLED]

    assert installed
    assert all(our_upgrade(world, now) == world for world in installed)


@pytest.mark.parametrize("operation", [our_upgrade, our_rollback])
def test_ours_refuses_only_what_nothing_can_settle(operation):
    """Where nothing is written, there was nothing to do, or the script failed, or the ledgers are out of step."""
    goal = Verdict.INSTALLED if operation is our_upgrade else Verdict.PENDING
    idle = [world for world in worlds(CLAIMS, APART, 5) if operation(world, Moment(50, 50)) == world]
    script_fails = {our_upgrade: True, our_rollback: False}[operation]

    assert all(world.verdict in (goal, Verdict.OUT_OF_STEP) or world.exists is script_fails for world in idle)


@pytest.mark.parametrize("killed", [yoyo_apply, yoyo_rollback])
def test_a_yoyo_killed_before_its_ledger_is_out_of_step(killed):
    """Where yoyo's last log line contradicts its row, the verdict never pretends to know, whatever came before."""
    now = Moment(50, 50)
    half_way = [
        after._replace(yoyo=world.yoyo) for world in worlds(CLAIMS, APART, 5) if (after := killed(world, now)) != world
    ]

    assert half_way
    assert {world.verdict for world in half_way} == {Verdict.OUT_OF_STEP}
    assert all(our_upgrade(world, now) == world == our_rollback(world, now) for world in half_way)


@pytest.mark.parametrize("claim", [yoyo_mark, yoyo_unmark])
def test_a_claim_settles_what_a_killed_yoyo_left(claim):
    """The way out that the error names works: `yoyo mark` or `yoyo unmark` is believed."""
    now, later = Moment(50, 50), Moment(51, 51)
    killed, goal = (yoyo_apply, Verdict.INSTALLED) if claim is yoyo_mark else (yoyo_rollback, Verdict.PENDING)
    before = World() if claim is yoyo_mark else yoyo_apply(World(), Moment(0, 0))
    half_way = killed(before, now)._replace(yoyo=before.yoyo)

    settled = claim(half_way, later)

    assert half_way.verdict is Verdict.OUT_OF_STEP
    assert settled.verdict is goal


def test_the_pair_that_nobody_can_tell_apart():
    """`yoyo mark` alone leaves the tables of `yoyo mark; sqlx run; sqlx revert`, and is believed as the shorter."""
    marked = yoyo_mark(World(), Moment(0, 0))
    reverted = sqlx_revert(sqlx_run(marked, Moment(1, 1)), Moment(2, 2))

    assert tables(marked) == tables(reverted)
    assert (marked.truth, reverted.truth) == (True, False)
    assert marked.verdict is reverted.verdict is Verdict.INSTALLED
