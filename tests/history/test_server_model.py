"""The model of three tools on a server, where the lines of yoyo's log have no order: the verdict is that on SQLite.

The world of the model is written as the tables of a server are read: lines of ours anywhere, those of a stock yoyo in
the order of their times, and in MariaDB, whose times are whole seconds, in that of their ids.
"""

from __future__ import annotations

from random import Random

import pytest
from builders import our_comment
from test_ledger_model import (
    APART,
    CLAIMS,
    EITHER,
    HASH,
    MARKS,
    SCRIPTS,
    SOURCE,
    TOGETHER,
    World,
    stamp,
    worlds,
)

from torc_migrations.history.comparison import compare
from torc_migrations.history.records import LogEntry, Recorded
from torc_migrations.history.verdict import Verdict
from torc_migrations.ledgers.log_order import in_order

# Our clocks may be wrong by so many seconds: the place of our lines does not depend on them.
SKEWS = (0, -7, 7)


def as_read(world: World, random: Random, *, to_the_microsecond: bool) -> Recorded:
    """Return what a server's tables say of a world."""
    ours, others, skew = [], [], random.choice(SKEWS)
    for number, (operation, at, *word) in enumerate(world.log):
        second = max(0, min(59, at + skew)) if word else at
        created = stamp(second) + (f".{number:06}" if to_the_microsecond else "")
        comment = our_comment("step", word[0], number) if word else None
        (ours if word else others).append(LogEntry(operation, created, comment, hash=HASH))
    if to_the_microsecond:
        random.shuffle(others)
    for line in ours:
        others.insert(random.randrange(len(others) + 1), line)
    sqlx = {version: row._replace(rowid=None) for version, row in world.recorded.sqlx.items()}
    return world.recorded._replace(sqlx=sqlx, log={HASH: tuple(in_order(others))} if others else {})


def without_rowids(world: World) -> World:
    """Return a world whose lines of ours name sqlx's row as on a server."""
    log = tuple((line[0], line[1], *(word.removeprefix("1 ") for word in line[2:])) for line in world.log)
    return world._replace(log=log, sqlx=world.sqlx._replace(rowid=None) if world.sqlx else None)


@pytest.mark.parametrize("to_the_microsecond", [True, False], ids=["postgresql", "mariadb"])
@pytest.mark.parametrize(
    ("operations", "seconds", "length"),
    [
        pytest.param(SCRIPTS, APART, 6, id="scripts apart"),
        pytest.param(SCRIPTS, TOGETHER, 6, id="scripts together"),
        pytest.param(SCRIPTS, EITHER, 5, id="scripts either"),
        pytest.param(MARKS, APART, 6, id="marks apart"),
        pytest.param(MARKS, TOGETHER, 6, id="marks together"),
        pytest.param(CLAIMS, TOGETHER, 5, id="claims together"),
    ],
)
def test_the_verdict_on_a_server_is_that_on_sqlite(operations, seconds, length, to_the_microsecond):
    """Over every history, in whatever order the rows are read, and whatever our clocks say."""
    random, seen = Random(length), 0
    for world in map(without_rowids, worlds(operations, seconds, length)):
        status = compare(SOURCE, as_read(world, random, to_the_microsecond=to_the_microsecond))
        assert status.entries[0].verdict is world.verdict, world
        seen += 1

    assert seen > 700


def test_without_the_order_of_ids_a_second_of_a_stock_yoyo_cannot_be_told():
    """The model finds such a fault: lines of one second in a wrong order leave the ledgers out of step."""
    world = World(log=(("apply", 1), ("rollback", 1)))

    read = world.recorded._replace(log={HASH: tuple(in_order([*reversed(world.recorded.log[HASH])]))})

    assert world.verdict is Verdict.PENDING
    assert compare(SOURCE, read).entries[0].verdict is Verdict.OUT_OF_STEP
