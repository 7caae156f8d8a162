"""What the tables of a database are made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from torc_migrations.formatting import lowered


class Column(NamedTuple):
    """A column of a table.

    `has_default` says, of a generated column too, that an INSERT needs no value for it. `is_key` says that it is in the
    primary key of SQLite, which makes a value for it.
    """

    name: str
    not_null: bool
    has_default: bool
    is_key: bool
    is_written: bool


class ForeignKey(NamedTuple):
    """A foreign key of a table: its columns, and the table that it points to."""

    columns: tuple[str, ...]
    parent: str


class Index(NamedTuple):
    """An index of a table: its name, its columns in order, with None for an expression, and what it is of.

    `is_partial` says that it does not have all rows.
    """

    name: str
    columns: tuple[str | None, ...]
    is_unique: bool
    is_partial: bool


@dataclass(frozen=True, slots=True)
class TableState:
    """A table at one moment: its SQL, columns, rows (None where they cannot be counted), keys, and indexed columns.

    A server does not keep the SQL, which is empty there, and gives no `indexes`.
    """

    name: str
    sql: str
    columns: tuple[Column, ...]
    rows: int | None
    keys: tuple[ForeignKey, ...]
    indexed: tuple[tuple[str | None, ...], ...]
    indexes: tuple[Index, ...] = ()

    def has(self, column: str) -> bool:
        """Return whether it has a column of this name."""
        return lowered(column) in {lowered(each.name) for each in self.columns}
