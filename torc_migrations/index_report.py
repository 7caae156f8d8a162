"""What an inspection of indexes finds: values, what they amount to, and how they read; pure, no database."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from enum import Enum
from typing import NamedTuple


class Origin(Enum):
    """Why an index is there; the values are SQLite's letters."""

    CREATED = "c"
    UNIQUE = "u"
    PRIMARY_KEY = "pk"

    @property
    def automatic(self) -> bool:
        """Whether SQLite made it for a constraint of the table, and it cannot be dropped."""
        return self is not Origin.CREATED


class Column(NamedTuple):
    """A column of an index; the name is None for an expression."""

    name: str | None
    descending: bool = False
    collation: str = "BINARY"

    def __str__(self) -> str:
        collation = "" if self.collation.upper() == "BINARY" else f" COLLATE {self.collation}"
        return f"{self.name or '<expression>'}{collation}{' DESC' if self.descending else ''}"


class Key(NamedTuple):
    """A foreign key: the columns of a table, the table that they point to, and what a delete there does here."""

    table: str
    columns: tuple[str, ...]
    other_table: str
    on_delete: str

    def __str__(self) -> str:
        return f"{self.table}({', '.join(self.columns)}) -> {self.other_table}"


class Index(NamedTuple):
    """One index, and what is known of it.

    Attributes:
        partial: the condition of a partial index, as it is written, or None.
        is_table: whether it is the table itself, as the primary key of a table WITHOUT ROWID is.
        rows, size: its entries, and its bytes in the file; None where SQLite was built without dbstat.
        rows_per_value: how many rows have the same value, on average, in the first column, in the first two, and so
            on, as ANALYZE last saw them; empty where it never did.
        used_by: the names of the expectations whose query takes it here, or that ask for it; None where there are
            no expectations that fit this database.
        keys: the foreign keys that it serves.
        redundant_to: an index that begins with the same columns, or None.
        duplicate_of: an index with exactly the same columns, or `rowid` for the table's own order, or None.
    """

    name: str
    table: str
    columns: tuple[Column, ...]
    unique: bool
    origin: Origin
    partial: str | None = None
    is_table: bool = False
    rows: int | None = None
    size: int | None = None
    rows_per_value: tuple[int, ...] = ()
    used_by: tuple[str, ...] | None = None
    keys: tuple[Key, ...] = ()
    redundant_to: str | None = None
    duplicate_of: str | None = None

    @property
    def unused(self) -> bool:
        """Whether somebody created it and no expectation uses it."""
        return not self.origin.automatic and self.used_by == ()

    @property
    def selectivity(self) -> float | None:
        """The share of the rows that one value of all its columns finds, from 0 to 1, as ANALYZE saw it, or None."""
        if not self.rows_per_value or not self.rows:
            return None
        return min(1.0, self.rows_per_value[-1] / self.rows)


class IndexReport(NamedTuple):
    """Every index of a database, and the foreign keys that have none.

    `file_size` counts the bytes of all pages, `free_size` those of the pages that hold nothing. `notes` say in
    sentences what could not be found out.
    """

    indexes: tuple[Index, ...]
    unindexed_keys: tuple[Key, ...]
    file_size: int
    free_size: int
    notes: tuple[str, ...] = ()

    @property
    def created(self) -> tuple[Index, ...]:
        """The indexes that somebody created; the others came with a constraint."""
        return tuple(index for index in self.indexes if not index.origin.automatic)

    def share(self, index: Index) -> float | None:
        """The part of the file that an index takes, from 0 to 1, or None where its size is unknown."""
        return None if index.size is None or not self.file_size else index.size / self.file_size

    def as_text(self) -> str:
        """Return the report as a table, and below it what is not about one index."""
        parts = [_table(self), *_below(self)]
        return "\n\n".join(part for part in parts if part) + "\n"

    def as_dict(self) -> dict[str, object]:
        """Return the same as values that `json` takes."""
        return {
            "indexes": [{**_index_dict(index), "share": self.share(index)} for index in self.indexes],
            "foreign_keys_without_index": [_key_dict(key) for key in self.unindexed_keys],
            "file_size": self.file_size,
            "free_size": self.free_size,
            "notes": list(self.notes),
        }


def judged(indexes: Iterable[Index], keys: Iterable[Key], rowids: Mapping[str, str]) -> tuple[Index, ...]:
    """Tell of each index which other one makes it superfluous, and which foreign keys it serves.

    `rowids` has, by table, the column that is another name for the rowid. An index that guards a constraint, is
    partial or holds an expression is never called redundant, and neither is one whose columns differ from the other's
    in direction or collation: it may serve what the other cannot.
    """
    indexes, keys = tuple(indexes), tuple(keys)
    return tuple(_judged(index, indexes, keys, rowids) for index in indexes)


def _judged(index: Index, indexes: tuple[Index, ...], keys: tuple[Key, ...], rowids: Mapping[str, str]) -> Index:
    duplicate = _duplicate(index, indexes, rowids)
    return index._replace(
        keys=tuple(key for key in keys if _serves(index, key)),
        duplicate_of=duplicate,
        redundant_to=None if duplicate else _longer(index, indexes),
    )


def _duplicate(index: Index, indexes: tuple[Index, ...], rowids: Mapping[str, str]) -> str | None:
    if index.origin.automatic or _has_expression(index):
        return None
    if [column.name for column in index.columns] == [rowids.get(index.table)] and index.partial is None:
        return "rowid"
    twins = (other for other in indexes if _alike(index, other) and other.columns == index.columns)
    return next((other.name for other in twins if _can_replace(other, index, indexes)), None)


def _can_replace(other: Index, index: Index, indexes: tuple[Index, ...]) -> bool:
    """Tell whether an index does all that its twin does; of two that are equal the first one stays."""
    if index.unique and not other.unique:
        return False
    stronger = other.origin.automatic or (other.unique and not index.unique)
    return stronger or indexes.index(other) < indexes.index(index)


def _longer(index: Index, indexes: tuple[Index, ...]) -> str | None:
    if index.origin.automatic or index.unique or _has_expression(index):
        return None
    width = len(index.columns)
    longer = [
        other
        for other in indexes
        if _alike(index, other) and len(other.columns) > width and other.columns[:width] == index.columns
    ]
    return min(longer, key=lambda other: len(other.columns)).name if longer else None


def _alike(index: Index, other: Index) -> bool:
    return other is not index and other.table == index.table and other.partial == index.partial


def _has_expression(index: Index) -> bool:
    return any(column.name is None for column in index.columns)


def _serves(index: Index, key: Key) -> bool:
    """Tell whether SQLite can find the rows of a foreign key with an index: its first columns, in any order."""
    first = {(column.name or "").lower() for column in index.columns[: len(key.columns)]}
    return index.table == key.table and index.partial is None and first == {column.lower() for column in key.columns}


def without_index(keys: Iterable[Key], indexes: tuple[Index, ...], rowids: Mapping[str, str]) -> tuple[Key, ...]:
    """Return the foreign keys whose rows can only be found by reading the whole table."""
    served = {key for index in indexes for key in index.keys}
    return tuple(key for key in keys if key not in served and key.columns != (rowids.get(key.table),))


def _table(report: IndexReport) -> str:
    if not report.indexes:
        return "no indexes"
    head: tuple[str, ...] = ("index", "on", "rows", "size", "share", "rows/value", "remarks")
    rows = [head, *(_cells(index, report.share(index)) for index in report.indexes)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]) - 1)]
    return "\n".join(_line(row, widths) for row in rows)


_RIGHT = range(2, 6)  # the columns with numbers


def _line(cells: tuple[str, ...], widths: list[int]) -> str:
    shown = [
        cell.rjust(width) if number in _RIGHT else cell.ljust(width)
        for number, (cell, width) in enumerate(zip(cells, widths, strict=False))
    ]
    return "  ".join([*shown, cells[-1]]).rstrip()


def _cells(index: Index, share: float | None) -> tuple[str, ...]:
    return (
        index.name,
        f"{index.table}({', '.join(map(str, index.columns))})",
        "-" if index.rows is None else str(index.rows),
        size_text(index.size),
        "-" if share is None else f"{share:.1%}",
        str(index.rows_per_value[-1]) if index.rows_per_value else "-",
        "; ".join(_remarks(index)),
    )


def size_text(size: int | None) -> str:
    """Return a number of bytes for a person."""
    if size is None:
        return "-"
    return f"{size / 1024:.0f} KiB" if size < 10 * 1024**2 else f"{size / 1024**2:.0f} MiB"


def _remarks(index: Index) -> Iterator[str]:
    if index.origin.automatic:
        yield f"automatic, {'the table itself' if index.is_table else index.origin.name.replace('_', ' ')}"
    elif index.unique:
        yield "unique"
    if index.partial is not None:
        yield f"partial, WHERE {index.partial}"
    if index.duplicate_of:
        yield f"duplicate of {index.duplicate_of}"
    if index.redundant_to:
        yield f"redundant, {index.redundant_to} begins with the same columns"
    if index.unused:
        yield "used by no expectation" + (f", serves {_listed(index.keys)}" if index.keys else "")
    elif index.used_by:
        yield f"used by {_listed(index.used_by)}"


def _listed(things: Iterable[object]) -> str:
    return ", ".join(map(str, things))


def _below(report: IndexReport) -> Iterator[str]:
    if report.unindexed_keys:
        lines = [f"  {key}, on delete {key.on_delete.lower()}" for key in report.unindexed_keys]
        head = "foreign keys without an index: to delete a row that one points to, SQLite reads the whole table:"
        yield "\n".join([head, *lines])
    yield _summary(report)


def _summary(report: IndexReport) -> str:
    created = report.created
    tables = len({index.table for index in created})
    redundant = sum(bool(index.redundant_to) for index in created)
    duplicate = sum(bool(index.duplicate_of) for index in created)
    unused = sum(index.unused for index in created)
    lines = [
        f"{len(created)} indexes on {tables} tables, and {len(report.indexes) - len(created)} automatic ones",
        f"{redundant} redundant, {duplicate} duplicate, {unused} used by no expectation",
    ]
    sizes = [index.size for index in created if index.size is not None]
    if sizes:
        lines.append(
            f"{size_text(sum(sizes))} of {size_text(report.file_size)}, {size_text(report.free_size)} are free"
        )
    return "\n".join(lines)


def _index_dict(index: Index) -> dict[str, object]:
    return {
        "name": index.name,
        "table": index.table,
        "columns": [column._asdict() for column in index.columns],
        "unique": index.unique,
        "automatic": index.origin.automatic,
        "origin": index.origin.name.lower(),
        "partial": index.partial,
        "is_table": index.is_table,
        "rows": index.rows,
        "size": index.size,
        "rows_per_value": list(index.rows_per_value),
        "selectivity": index.selectivity,
        "used_by": None if index.used_by is None else list(index.used_by),
        "unused": index.unused,
        "redundant_to": index.redundant_to,
        "duplicate_of": index.duplicate_of,
        "foreign_keys": [_key_dict(key) for key in index.keys],
    }


def _key_dict(key: Key) -> dict[str, object]:
    return {**key._asdict(), "columns": list(key.columns)}
