"""Stock yoyo, the real sqlx and we take turns at one database; after each turn our status tells the truth."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Literal, NamedTuple, TypeAlias

import pytest
from agree_settings import examples
from histories import A_CLAIM, A_KILLED_YOYO, REPEATABLE, Migration, Programs, World
from hypothesis import event, given, note
from hypothesis import strategies as st
from preloaded import Preloaded
from sqlx_program import Sqlx

MIGRATIONS = (
    Migration(1, "one"),
    Migration(2, "two"),
    Migration(3, "three", repeatable=True),
    Migration(4, "four", outside=True),
)
VERSIONS = [migration.version for migration in MIGRATIONS]
# Where the verdict may be the wrong one, and not only "out of step": nothing in the tables shows that there are two.
MAY_MISLEAD = {A_CLAIM, A_KILLED_YOYO, REPEATABLE}
REFUSED, NOT_THAT_WAY, SCRIPT_FAILED = 3, 4, 6


class Yoyo(NamedTuple):
    """A turn of stock yoyo's: one migration, or all."""

    verb: Literal["apply", "rollback", "reapply", "mark", "unmark"]
    version: int | None


class KilledYoyo(NamedTuple):
    """A turn of stock yoyo's that it does not survive."""

    verb: Literal["apply", "rollback"]
    version: int
    before: Literal["log", "ledger"]


class Sqlxs(NamedTuple):
    """A turn of sqlx's."""

    verb: Literal["run", "revert", "override skip"]
    target: int | None


class Ours(NamedTuple):
    """A turn of ours, with either folder."""

    verb: Literal["upgrade", "rollback", "apply"]
    target: int | None
    layout: Literal["yoyo", "sqlx"]


Turn: TypeAlias = Yoyo | KilledYoyo | Sqlxs | Ours

ONE = st.sampled_from(VERSIONS)
ONE_OR_ALL = st.one_of(ONE, ONE, st.none())
LAYOUTS = st.sampled_from(("yoyo", "sqlx"))
SCRIPTS = (
    st.builds(Yoyo, st.sampled_from(("apply", "apply", "rollback", "rollback", "reapply")), ONE_OR_ALL),
    st.builds(Sqlxs, st.just("run"), ONE_OR_ALL),
    st.builds(Sqlxs, st.just("revert"), st.one_of(st.none(), st.sampled_from((0, *VERSIONS)))),
    st.builds(Ours, st.sampled_from(("upgrade", "rollback")), st.one_of(st.none(), ONE), LAYOUTS),
    st.builds(Ours, st.just("apply"), ONE, LAYOUTS),
)
CLAIMS = (
    st.builds(Yoyo, st.sampled_from(("mark", "unmark")), ONE),
    st.builds(Sqlxs, st.just("override skip"), ONE_OR_ALL),
)
KILLS = (st.builds(KilledYoyo, st.sampled_from(("apply", "rollback")), ONE, st.sampled_from(("log", "ledger"))),)
SECONDS = st.sampled_from((0, 0, 1, 60))


def histories(*turns: st.SearchStrategy[Turn]) -> st.SearchStrategy[list[tuple[int, Turn]]]:
    """Return up to twelve turns, and how many seconds pass before each."""
    return st.lists(st.tuples(SECONDS, st.one_of(*turns)), min_size=4, max_size=12)


def take(world: World, turn: Turn) -> None:
    """Let a tool do its turn, and see that the truth is told afterwards."""
    if isinstance(turn, Ours):
        take_ours(world, turn)
    elif isinstance(turn, KilledYoyo):
        world.kill_yoyo(turn.verb, turn.version, before=turn.before)
    elif isinstance(turn, Yoyo):
        which = ["--all"] if turn.version is None else ["-r", world.migrations[turn.version].id]
        world.yoyo(turn.verb, *which)
    else:
        world.sqlx(*turn.verb.split(), *([] if turn.target is None else [f"--target-version={turn.target}"]))
    check_status(world)


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
            assert excuses & MAY_MISLEAD, f"{version} is {truth}, not {status[version]}: {known.deeds}"
            event(f"misled: {' and '.join(sorted(excuses))}")


def take_ours(world: World, turn: Ours) -> None:
    """See that a turn of ours is refused where it must be, and that all three agree after any other."""
    before, ledgers = world.status(), world.ledgers()
    astray = {version for version, there in world.tables().items() if there is not (before[version] == "installed")}
    said = world.ours(turn.verb, *_target(turn), layout=turn.layout)

    if "out of step" in before.values():
        assert said.status == REFUSED, said
        assert world.ledgers() == ledgers
        return
    if said.status == NOT_THAT_WAY:
        assert world.ledgers() == ledgers
        return
    if said.status == SCRIPT_FAILED:
        assert astray, said.err
    else:
        assert said.status == 0, said
    assert world.status() == world.listed_by_sqlx() == world.listed_by_yoyo()


def _target(turn: Ours) -> list[str]:
    if turn.target is None:
        return []
    return [str(turn.target)] if turn.verb == "apply" else ["--target", str(turn.target)]


@pytest.mark.parametrize(
    ("turns", "few"),
    [
        pytest.param(SCRIPTS, 15, id="scripts"),
        pytest.param((*SCRIPTS, *CLAIMS), 15, id="scripts and claims"),
        pytest.param((*SCRIPTS, *SCRIPTS, *CLAIMS, *KILLS), 15, id="scripts, claims and kills"),
    ],
)
def test_status_tells_the_truth_whoever_wrote(
    sqlx_that_skips: Sqlx, yoyo: Preloaded, ours: Preloaded, turns: tuple[st.SearchStrategy[Turn], ...], few: int
) -> None:
    """After each turn our status is true, or out of step; after a turn of ours all three list the same."""
    programs = Programs(sqlx_that_skips, yoyo, ours)

    @examples(few)
    @given(histories(*turns))
    def tell(history: list[tuple[int, Turn]]) -> None:
        with tempfile.TemporaryDirectory() as root:
            world = World(Path(root), MIGRATIONS, programs)
            for passed, turn in history:
                world.let_pass(passed)
                note(f"after {passed} s: {turn}")
                take(world, turn)

    tell()
