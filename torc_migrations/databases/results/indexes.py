"""The indexes and foreign keys of a database."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum


class Origin(Enum):
    """How an index was created; the values are those of `PRAGMA index_list`."""

    CREATED = "c"
    UNIQUE = "u"
    PRIMARY_KEY = "pk"

    @property
    def automatic(self) -> bool:
        """Whether it was created for a constraint of the table, so that it cannot be dropped alone."""
        return self is not Origin.CREATED


@dataclass(frozen=True, slots=True)
class Column:
    """A column of an index; the name is None for an expression.

    `options` is what else is not the default of a server: `text_pattern_ops`, `NULLS FIRST`, or `(10)` for a prefix.
    """

    name: str | None
    descending: bool = False
    collation: str = "BINARY"
    options: str = ""

    def __str__(self) -> str:
        collation = "" if self.collation.upper() == "BINARY" else f" COLLATE {self.collation}"
        options = f" {self.options}" if self.options else ""
        return f"{self.name or '<expression>'}{collation}{' DESC' if self.descending else ''}{options}"


@dataclass(frozen=True, slots=True)
class Key:
    """A foreign key: the columns of a table, the table that they refer to, and its ON DELETE action."""

    table: str
    columns: tuple[str, ...]
    other_table: str
    on_delete: str

    def __str__(self) -> str:
        return f"{self.table}({', '.join(self.columns)}) -> {self.other_table}"


@dataclass(frozen=True, slots=True)
class Index:
    """One index, and what is known about it.

    Attributes:
        method: how it is built, as in `btree`, with the columns that it only includes; None on SQLite, which has one.
        partial: the condition of a partial index, as it is written, or None.
        is_table: whether it is the table itself, as the primary key of a table WITHOUT ROWID is.
        rows, size: its entries, and its bytes in the file; None where SQLite was built without dbstat.
        rows_per_value: how many rows have the same value, on average, in the first column, in the first two, and so
            on, when ANALYZE last ran; empty if it never ran.
        scans: how often the server has used it since its counters were set to zero, or None where that is unknown.
        is_valid: whether it serves queries; an index whose CREATE INDEX CONCURRENTLY failed does not.
        used_by: the names of the expectations whose query uses it here, or that expect it; None where no expectation
            fits this database.
        keys: the foreign keys that it serves.
        redundant_to: an index that begins with the same columns, or None.
        duplicate_of: an index with exactly the same columns, or `rowid` for the table's own order, or None.
    """

    name: str
    table: str
    columns: tuple[Column, ...]
    unique: bool
    origin: Origin
    method: str | None = None
    partial: str | None = None
    is_table: bool = False
    rows: int | None = None
    size: int | None = None
    rows_per_value: tuple[int, ...] = ()
    scans: int | None = None
    is_valid: bool = True
    used_by: tuple[str, ...] | None = None
    keys: tuple[Key, ...] = ()
    redundant_to: str | None = None
    duplicate_of: str | None = None

    @property
    def unused(self) -> bool:
        """Whether CREATE INDEX made it and no expectation uses it."""
        return not self.origin.automatic and self.used_by == ()

    @property
    def selectivity(self) -> float | None:
        """The share of the rows, from 0 to 1, that have one value in all its columns, from ANALYZE, or None."""
        if not self.rows_per_value or not self.rows:
            return None
        return min(1.0, self.rows_per_value[-1] / self.rows)


@dataclass(frozen=True, slots=True)
class FoundIndexes:
    """Every index and every foreign key of a database.

    Attributes:
        rowids: by table, the column that is an alias of SQLite's rowid.
        file_size: the bytes of the database. free_size: the bytes in it that are free, or None where that is unknown.
        notes: sentences that say what is unknown, and why.
    """

    indexes: tuple[Index, ...]
    keys: tuple[Key, ...]
    file_size: int
    free_size: int | None
    rowids: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
