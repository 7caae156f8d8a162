"""The real sqlx, stock yoyo and we take turns at a database of a server; after each turn our status tells the truth."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

from database_under_test import DatabaseUnderTest, write_folder
from sqlx_program import Sqlx

from torc_migrations import MigrationError, rollback, status, upgrade

VERSIONS = (1, 2, 3)
TURNS = 10
# A moment in the comment of a line of ours in yoyo's log, with as many digits as the server keeps.
_MOMENT = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(?:\.\d{6})?")


def write_pairs(directory: Path, up: str, down: str) -> tuple[str, str]:
    """Write the same migrations in yoyo's layout and in sqlx's; `{0}` in the scripts is the version."""
    ids = [(version, f"{version}_make_t{version}") for version in VERSIONS]
    yoyo = {name: up.format(version) for version, name in ids}
    yoyo |= {f"{name}.rollback": down.format(version) for version, name in ids}
    sqlx = {f"{name}.up": up.format(version) for version, name in ids}
    sqlx |= {f"{name}.down": down.format(version) for version, name in ids}
    return write_folder(directory / "yoyo", yoyo), write_folder(directory / "sqlx", sqlx)


def a_minute_earlier(comment: str) -> str:
    """Return the comment of a line in yoyo's log with every moment in it moved back by a minute."""

    def earlier(found: re.Match[str]) -> str:
        spelling = "%Y-%m-%d %H:%M:%S.%f" if "." in found[0] else "%Y-%m-%d %H:%M:%S"
        at = datetime.strptime(found[0], spelling)  # noqa: DTZ007  # all are in UTC
        return (at - timedelta(minutes=1)).strftime(spelling)

    return _MOMENT.sub(earlier, comment)


class World(ABC):
    """A database, and its truth: which tables are there."""

    database: DatabaseUnderTest
    random: Random

    @property
    def installed(self) -> list[int]:
        """The versions whose scripts were run last up, and not down."""
        return sorted(int(name[1:]) for name in self.database.tables() if name[0] == "t")

    @property
    def is_stuck(self) -> bool:
        """Whether a tool has left what nobody can go on from."""
        return False

    @property
    @abstractmethod
    def yoyo_url(self) -> str:
        """The address that yoyo takes."""

    @property
    @abstractmethod
    def sqlx_url(self) -> str:
        """The address that sqlx takes."""

    @abstractmethod
    def let_time_pass(self) -> None:
        """Move every moment back by a minute, and those of our own lines by up to a day in either direction."""

    @abstractmethod
    def dump_and_restore(self) -> None:
        """Go on with a copy that has been a text meanwhile."""


def take_turns(world: World, folders: tuple[str, str], sqlx: Sqlx, yoyo: Callable[..., Any], directory: Path) -> None:
    """Let the three tools and the clock do something in random order, and compare the status with the truth.

    Nothing is ever wrong, or called out of step; at the end one upgrade makes both ledgers agree.
    """
    yoyo_source, sqlx_source = folders
    random, taken = world.random, list[str]()

    def yoyo_turn(verb: str) -> None:
        one = f"{random.choice(VERSIONS)}_"
        picked = next(path.stem for path in Path(yoyo_source).glob(f"{one}*.sql") if ".rollback" not in path.name)
        yoyo(verb, "--batch", "--no-config-file", "-r", picked, "-d", world.yoyo_url, yoyo_source, folder=directory)

    def sqlx_turn(verb: str) -> None:
        sqlx(verb, "-D", world.sqlx_url, "--source", sqlx_source, folder=directory)

    def our_turn(operation: Callable[..., object], **options: int) -> None:
        try:
            operation(world.database.url, random.choice(folders), **options)
        except MigrationError as error:
            taken.append(str(error))

    turns = {
        "yoyo apply": lambda: yoyo_turn("apply"),
        "yoyo rollback": lambda: yoyo_turn("rollback"),
        "sqlx run": lambda: sqlx_turn("run"),
        "sqlx revert": lambda: sqlx_turn("revert"),
        "upgrade": lambda: our_turn(upgrade),
        "rollback": lambda: our_turn(rollback),
        "rollback to 0": lambda: our_turn(rollback, target=0),
        "dump and restore": world.dump_and_restore,
    }
    for _ in range(TURNS):
        name = random.choice(list(turns))
        taken.append(name)
        turns[name]()
        world.let_time_pass()
        if world.is_stuck:
            return

        found = status(world.database.url, random.choice(folders))

        assert [each.version for each in found.installed] == world.installed, taken
        assert [each.migration.version for each in found.entries if each.out_of_step] == [], taken
    upgrade(world.database.url, random.choice(folders))
    assert world.database.ledgers().agreed == VERSIONS
