"""The report on indexes: its values, the comparison of indexes, and its text; no database is used here."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace

from torc_migrations.databases.results.indexes import Index, Key
from torc_migrations.formatting import counted, size_text, table_text


@dataclass(frozen=True, slots=True)
class IndexReport:
    """Every index of a database, and the foreign keys without an index.

    Attributes:
        file_size: the bytes of the database. free_size: the bytes that are free, or None where that is unknown.
        notes: sentences that say what is unknown, and why.
    """

    indexes: tuple[Index, ...]
    unindexed_keys: tuple[Key, ...]
    file_size: int
    free_size: int | None
    notes: tuple[str, ...] = ()

    @property
    def created(self) -> tuple[Index, ...]:
        """The indexes that CREATE INDEX made; the others were made for constraints."""
        return tuple(index for index in self.indexes if not index.origin.automatic)

    def share(self, index: Index) -> float | None:
        """Return the part of the file that an index takes, from 0 to 1, or None where its size is unknown."""
        return None if index.size is None or not self.file_size else index.size / self.file_size

    def as_text(self) -> str:
        """Return the report as a table of indexes, the foreign keys without an index, and a summary."""
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


def compare_indexes(indexes: Iterable[Index], keys: Iterable[Key], rowids: Mapping[str, str]) -> tuple[Index, ...]:
    """Return the indexes with `keys`, `redundant_to` and `duplicate_of`.

    `rowids` has, by table, the column that is an alias of the rowid. An index that enforces a constraint, is partial
    or has an expression is never redundant. Neither is one whose columns differ from those of the other in direction
    or collation: it may serve queries that the other cannot.
    """
    indexes, keys = tuple(indexes), tuple(keys)
    return tuple(_compared(index, indexes, keys, rowids) for index in indexes)


def _compared(index: Index, indexes: tuple[Index, ...], keys: tuple[Key, ...], rowids: Mapping[str, str]) -> Index:
    duplicate = _duplicate(index, indexes, rowids)
    return replace(
        index,
        keys=tuple(key for key in keys if _serves(index, key)),
        duplicate_of=duplicate,
        redundant_to=None if duplicate else _longer(index, indexes),
    )


def _duplicate(index: Index, indexes: tuple[Index, ...], rowids: Mapping[str, str]) -> str | None:
    if index.origin.automatic or _has_expression(index):
        return None
    if [column.name for column in index.columns] == [rowids.get(index.table)] and index.partial is None:
        return "rowid"
    equal = (other for other in indexes if _alike(index, other) and other.columns == index.columns)
    return next((other.name for other in equal if _can_replace(other, index, indexes)), None)


def _can_replace(other: Index, index: Index, indexes: tuple[Index, ...]) -> bool:
    """Return whether an index does all that one with the same columns does; of two such indexes the first one stays."""
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
    same_table = other is not index and other.table == index.table and other.is_valid
    return same_table and other.partial == index.partial and other.method == index.method


def _has_expression(index: Index) -> bool:
    return any(column.name is None for column in index.columns)


def _serves(index: Index, key: Key) -> bool:
    """Return whether the first columns of an index are those of a foreign key, in any order."""
    first = {(column.name or "").lower() for column in index.columns[: len(key.columns)]}
    usable = index.is_valid and index.partial is None
    return index.table == key.table and usable and first == {column.lower() for column in key.columns}


def without_index(keys: Iterable[Key], indexes: tuple[Index, ...], rowids: Mapping[str, str]) -> tuple[Key, ...]:
    """Return the foreign keys whose rows SQLite finds only by reading the whole table."""
    served = {key for index in indexes for key in index.keys}
    return tuple(key for key in keys if key not in served and key.columns != (rowids.get(key.table),))


def _table(report: IndexReport) -> str:
    if not report.indexes:
        return "no indexes"
    head: tuple[str, ...] = ("index", "on", "rows", "size", "share", "rows/value", "remarks")
    rows = [head, *(_cells(index, report.share(index)) for index in report.indexes)]
    return table_text(rows, right=range(2, 6)).rstrip("\n")


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


def _remarks(index: Index) -> Iterator[str]:
    if index.origin.automatic:
        yield f"automatic, {'the table itself' if index.is_table else index.origin.name.replace('_', ' ')}"
    elif index.unique:
        yield "unique"
    if not index.is_valid:
        yield "invalid: it serves no query"
    if index.partial is not None:
        yield f"partial, WHERE {index.partial}"
    if index.duplicate_of:
        yield f"duplicate of {index.duplicate_of}"
    if index.redundant_to:
        yield f"redundant, {index.redundant_to} begins with the same columns"
    if index.scans is not None:
        yield f"{counted(index.scans, 'scan')}" if index.scans else "never scanned"
    if index.unused:
        yield "used by no expectation" + (f", serves {_listed(index.keys)}" if index.keys else "")
    elif index.used_by:
        yield f"used by {_listed(index.used_by)}"


def _listed(things: Iterable[object]) -> str:
    return ", ".join(map(str, things))


def _below(report: IndexReport) -> Iterator[str]:
    if report.unindexed_keys:
        lines = [f"  {key}, on delete {key.on_delete.lower()}" for key in report.unindexed_keys]
        head = "foreign keys without an index (the whole table is read when a row that they refer to is deleted):"
        yield "\n".join([head, *lines])
    yield _summary(report)


def _summary(report: IndexReport) -> str:
    created = report.created
    tables = len({index.table for index in created})
    redundant = sum(bool(index.redundant_to) for index in created)
    duplicate = sum(bool(index.duplicate_of) for index in created)
    unused = sum(index.unused for index in created)
    automatic = counted(len(report.indexes) - len(created), "automatic index", "automatic indexes")
    lines = [
        f"{counted(len(created), 'index', 'indexes')} on {counted(tables, 'table')}, and {automatic}",
        f"{redundant} redundant, {duplicate} duplicate, {unused} used by no expectation",
    ]
    if any(index.scans is not None for index in created):
        never, invalid = (sum(each) for each in ((i.scans == 0 for i in created), (not i.is_valid for i in created)))
        lines.append(f"{never} never scanned since the counters of the server were set to zero, {invalid} invalid")
    sizes = [index.size for index in created if index.size is not None]
    if sizes:
        lines.append(
            f"size: {size_text(sum(sizes))} of {size_text(report.file_size)} without the automatic indexes"
            + ("" if report.free_size is None else f"; free pages: {size_text(report.free_size)}")
        )
    return "\n".join(lines)


def _index_dict(index: Index) -> dict[str, object]:
    return {
        "name": index.name,
        "table": index.table,
        "columns": [asdict(column) for column in index.columns],
        "unique": index.unique,
        "method": index.method,
        "automatic": index.origin.automatic,
        "origin": index.origin.name.lower(),
        "partial": index.partial,
        "is_table": index.is_table,
        "rows": index.rows,
        "size": index.size,
        "scans": index.scans,
        "valid": index.is_valid,
        "rows_per_value": list(index.rows_per_value),
        "selectivity": index.selectivity,
        "used_by": None if index.used_by is None else list(index.used_by),
        "unused": index.unused,
        "redundant_to": index.redundant_to,
        "duplicate_of": index.duplicate_of,
        "foreign_keys": [_key_dict(key) for key in index.keys],
    }


def _key_dict(key: Key) -> dict[str, object]:
    return {**asdict(key), "columns": list(key.columns)}
