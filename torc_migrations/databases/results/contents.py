"""A schema and the rows in it, as a database of any kind reports them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Table:
    """A table: its name as it is written, its columns, its number of rows, and a digest of them in any order.

    `rows` is None where the table cannot be read, as when its module is missing, or was not asked for; so is `digest`.
    """

    name: str
    columns: tuple[str, ...]
    rows: int | None = None
    digest: int | None = None


@dataclass(frozen=True, slots=True)
class Contents:
    """A schema and the rows in it.

    `objects` are the words of each definition, by kind and name as in `table job`; `tables` are by lower name;
    `owners` are the lower names of the tables of indexes and triggers, by kind and name. `others` are the schemas of a
    server that have ledgers of their own, so that other migrations make what is in them.
    """

    objects: Mapping[str, tuple[str, ...]]
    tables: Mapping[str, Table]
    owners: Mapping[str, str]
    others: frozenset[str] = frozenset()

    @property
    def names(self) -> frozenset[str]:
        """The names of all objects and columns: `table job`, `index i`, `column job.name`."""
        columns = (f"column {table.name}.{column}" for table in self.tables.values() for column in table.columns)
        return frozenset(self.objects) | frozenset(columns)


@dataclass(frozen=True, slots=True)
class Change:
    """The part of a database that a script may have touched, before and after it."""

    before: Contents
    after: Contents
