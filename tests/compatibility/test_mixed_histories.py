"""Stock yoyo, the real sqlx and we take turns at one database; after each turn our status tells the truth."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Literal, NamedTuple, TypeAlias

import pytest
from example_counts import examples
from histories import UNSEEN, Migration, Programs, World
from hypothesis import event, given, note
from hypothesis import strategies as st
from preloaded_programs import Preloaded
from sqlx_program import Sqlx

MIGRATIONS = (
    Migration(1, "one"),
    Migration(2, "two", repeatable=True),
    Migration(3, "three", outside=True),
    Migration(4, "four"),
)
# The fewer there are, the more often two tools meet at one of them.
FOLDERS = (MIGRATIONS, MIGRATIONS[:1], MIGRATIONS[:2], MIGRATIONS[2:])
REFUSED, NOT_THAT_WAY, SCRIPT_FAILED = 3, 4, 6


class Yoyo(NamedTuple):
    """A turn of stock yoyo's: one migration, which a number picks, or all."""

    verb: Literal["apply", "rollback", "reapply", "mark", "unmark"]
    pick: int | None


class KilledYoyo(NamedTuple):
    """A turn of stock yoyo's that it does not survive."""

    verb: Literal["apply", "rollback"]
    pick: int
    before: Literal["log", "ledger"]


class Sqlxs(NamedTuple):
    """A turn of sqlx's."""

    verb: Literal["run", "revert", "override skip"]
    pick: int | None


class Ours(NamedTuple):
    """A turn of ours, with either folder."""

    verb: Literal["upgrade", "rollback", "apply"]
    pick: int | None
    layout: Literal["yoyo", "sqlx"]


class Trust(NamedTuple):
    """A turn of ours that settles what is out of step by what one ledger says."""

    ledger: Literal["yoyo", "sqlx"]
    layout: Literal["yoyo", "sqlx"]
    pick: None = None


Turn: TypeAlias = Yoyo | KilledYoyo | Sqlxs | Ours | Trust

ALL_DOWN = -1
ONE = st.integers(0, 3)
ONE_OR_ALL = st.one_of(ONE, ONE, st.none())
LAYOUTS = st.sampled_from(("yoyo", "sqlx"))
SCRIPTS = (
    st.builds(Yoyo, st.sampled_from(("apply", "apply", "rollback", "rollback", "reapply")), ONE_OR_ALL),
    st.builds(Sqlxs, st.just("run"), ONE_OR_ALL),
    st.builds(Sqlxs, st.just("revert"), st.one_of(st.none(), ONE, st.just(ALL_DOWN))),
    st.builds(Ours, st.just("upgrade"), st.one_of(st.none(), ONE), LAYOUTS),
    st.builds(Ours, st.just("rollback"), st.one_of(st.none(), ONE, st.just(ALL_DOWN)), LAYOUTS),
    st.builds(Ours, st.just("apply"), ONE, LAYOUTS),
)
CLAIMS = (
    st.builds(Yoyo, st.sampled_from(("mark", "unmark")), ONE),
    st.builds(Sqlxs, st.just("override skip"), ONE_OR_ALL),
)
TRUST = (st.builds(Trust, st.sampled_from(("yoyo", "sqlx")), LAYOUTS),)
KILLS = (st.builds(KilledYoyo, st.sampled_from(("apply", "rollback")), ONE, st.sampled_from(("log", "ledger"))),)
SECONDS = st.sampled_from((0, 0, 1, 60))


def histories(*turns: st.SearchStrategy[Turn]) -> st.SearchStrategy[list[tuple[int, Turn]]]:
    """Return up to twelve turns, and how many seconds pass before each."""
    return st.lists(st.tuples(SECONDS, st.one_of(*turns)), min_size=4, max_size=12)


def take(world: World, turn: Turn) -> None:
    """Let a tool do its turn, and see that the truth is told afterwards."""
    version = picked(world, turn.pick)
    if isinstance(turn, Ours):
        take_ours(world, turn, version)
    elif isinstance(turn, Trust):
        take_trust(world, turn)
    elif isinstance(turn, KilledYoyo):
        world.kill_yoyo(turn.verb, version or 0, before=turn.before)
    elif isinstance(turn, Yoyo):
        world.yoyo(turn.verb, *(["--all"] if version is None else ["-r", world.migrations[version].id]))
    else:
        world.sqlx(*turn.verb.split(), *([] if version is None else [f"--target-version={version}"]))
    check_status(world)


def picked(world: World, pick: int | None) -> int | None:
    """Return the version that a number picks; 0, which is below all of them, for the way down to nothing."""
    if pick is None or pick == ALL_DOWN:
        return None if pick is None else 0
    versions = sorted(world.migrations)
    return versions[pick % len(versions)]


def check_status(world: World) -> None:
    """See that status is the truth, or says out of step where nothing can tell."""
    status, tables = world.status(), world.tables()

    assert world.status("sqlx") == status
    for version, known in world.known.items():
        excuses = world.excuses(version)
        truth = "installed" if known.installed else "pending"
        if known.scripted:
            assert tables[version] is known.installed, f"the test itself is wrong about {version}"
        if status[version] == "out of step":
            assert excuses, f"{version} is {truth}, and that can be known: {known.deeds}"
            event(f"out of step: {' and '.join(sorted(excuses))}")
        elif status[version] != truth:
            assert excuses & UNSEEN, f"{version} is {truth}, not {status[version]}: {known.deeds}"
            event(f"misled: {' and '.join(sorted(excuses))}")


def take_ours(world: World, turn: Ours, version: int | None) -> None:
    """See that a turn of ours is refused where it must be, and that all three agree after any other."""
    before, ledgers = world.status(), world.ledgers()
    astray = {version for version, there in world.tables().items() if there is not (before[version] == "installed")}
    target = [] if version is None else [str(version)] if turn.verb == "apply" else ["--target", str(version)]
    said = world.ours(turn.verb, *target, layout=turn.layout)

    if "out of step" in before.values():
        assert said.status == REFUSED, said
    elif said.status != NOT_THAT_WAY:
        assert said.status == 0 or (said.status == SCRIPT_FAILED and astray), said
        assert world.status() == world.listed_by_sqlx() == world.listed_by_yoyo()
        return
    assert world.ledgers() == ledgers


def take_trust(world: World, turn: Trust) -> None:
    """See that what was out of step is settled, and that all three agree if there was anything."""
    out_of_step = "out of step" in world.status().values()
    said = world.ours("repair", "--trust", turn.ledger, layout=turn.layout)

    assert said.status == 0, said
    if out_of_step:
        assert world.status() == world.listed_by_sqlx() == world.listed_by_yoyo()


@pytest.mark.parametrize(
    ("turns", "few"),
    [
        pytest.param(SCRIPTS, 15, id="scripts"),
        pytest.param((*SCRIPTS, *SCRIPTS, *CLAIMS, *TRUST), 15, id="scripts and claims"),
        pytest.param((*SCRIPTS, *SCRIPTS, *CLAIMS, *KILLS, *TRUST), 15, id="scripts, claims and kills"),
    ],
)
def test_status_tells_the_truth_whoever_wrote(
    sqlx_that_skips: Sqlx, yoyo: Preloaded, ours: Preloaded, turns: tuple[st.SearchStrategy[Turn], ...], few: int
) -> None:
    """After each turn our status is true, or out of step; after a turn of ours all three list the same."""
    programs = Programs(sqlx_that_skips, yoyo, ours)

    @examples(few)
    @given(st.sampled_from(FOLDERS), histories(*turns))
    def tell(migrations: tuple[Migration, ...], history: list[tuple[int, Turn]]) -> None:
        with tempfile.TemporaryDirectory() as root:
            world = World(Path(root), migrations, programs)
            for passed, turn in history:
                world.let_pass(passed)
                note(f"after {passed} s: {turn}")
                take(world, turn)

    tell()
