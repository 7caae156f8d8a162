"""Rows that point to no row, objects of a schema that do not work, and which of them are new."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from torc_migrations.formatting import lowered

_Fault = TypeVar("_Fault", "Violation", "BrokenObject")


@dataclass(frozen=True, slots=True)
class Violation:
    """A row that points to no row.

    `rowid` and `key`, the values that it points with, are None in a table without rowids, and where the key itself
    is wrong: the columns that it points to are not unique. `wrong_key` is then what is wrong with it.
    """

    table: str
    rowid: int | None
    parent: str
    key: tuple[object, ...] | None = None
    wrong_key: str | None = None

    @property
    def pointer(self) -> tuple[object, ...]:
        """What identifies the same violation after its table was rebuilt, renumbered or renamed."""
        return (lowered(self.parent), self.key)


@dataclass(frozen=True, slots=True)
class BrokenObject:
    """An object of a schema that does not work: a view, a trigger, a virtual table, a table whose key points to none.

    `table` is the table of a trigger, or the one that cannot be written because of a key to it, and else the object's
    own name. `target` is what a key points to that does not exist.
    """

    kind: str
    name: str
    table: str
    reason: str
    target: str | None = None

    @property
    def pointer(self) -> tuple[str, str]:
        """What identifies the same fault after the table was rebuilt or renamed."""
        return (self.kind, lowered(self.target or self.name))

    @property
    def title(self) -> str:
        """What it is, and its name: `view v`."""
        return f"{self.kind} {self.name}"

    def what_is_wrong(self, *, is_new: bool) -> str:
        """Say that it does not work, and what that keeps from working, in words that a reason may follow."""
        if is_new and self.table != self.name:
            return f"{self.title} does not work, and with it writing to {self.table}"
        return f"{self.title} does not work any more"


@dataclass(frozen=True, slots=True)
class Soundness:
    """The objects of a schema that do not work, and its tables and views, in lower case.

    `relations` are none where nothing was looked at, because a script cannot have broken anything.
    """

    relations: frozenset[str] = frozenset()
    broken: tuple[BrokenObject, ...] = ()


def new_violations(after: Iterable[Violation], before: Iterable[Violation]) -> tuple[Violation, ...]:
    """Return the violations that were not there before."""
    return tuple(_new(after, before))


def newly_broken(after: Soundness, before: Soundness, created: Container[str]) -> tuple[BrokenObject, ...]:
    """Return what does not work, but did before; what is new has not worked before, and may wait for what it needs."""
    known = (
        each for each in after.broken if lowered(each.table) in before.relations or lowered(each.table) not in created
    )
    return tuple(_new(known, before.broken))


def _new(after: Iterable[_Fault], before: Iterable[_Fault]) -> Iterator[_Fault]:
    old = Counter(fault.pointer for fault in before)
    for fault in after:
        if old[fault.pointer] > 0:
            old[fault.pointer] -= 1
        else:
            yield fault
