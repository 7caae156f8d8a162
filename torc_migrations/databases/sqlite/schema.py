"""Read the schema of an SQLite database, and the rows in it."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterable, Mapping
from collections.abc import Set as AbstractSet
from hashlib import blake2b
from typing import TypeAlias, TypeVar

from torc_migrations.databases.interface import RecordedEffects, RowReading
from torc_migrations.databases.results.contents import Change, Contents, Table
from torc_migrations.databases.sqlite.catalog.catalog import Catalog, catalog_of
from torc_migrations.databases.sqlite.catalog.definitions import Definition, DefinitionChange
from torc_migrations.databases.sqlite.connection import quote_identifier
from torc_migrations.databases.sqlite.scripts.recording import RecordedScriptEffects
from torc_migrations.databases.sqlite.scripts.statements import canonical
from torc_migrations.databases.sqlite.transactions import SQLiteConnection
from torc_migrations.formatting import lowered

Words: TypeAlias = tuple[str, ...]
_Value = TypeVar("_Value")

SELECT_TABLES = """
    SELECT +name
    FROM main.sqlite_master
    WHERE type = 'table'
    AND name NOT LIKE 'sqlite!_%' ESCAPE '!'
    ORDER BY name
"""
COUNT_ROWS = """
    SELECT count(*)
    FROM main.{table}
"""
SELECT_ROWS = """
    SELECT {columns}
    FROM main.{table}
"""
SELECT_MARKS = """
    SELECT +name, +seq
    FROM main.sqlite_sequence
"""
DELETE_MARK = """
    DELETE FROM main.sqlite_sequence
    WHERE name = :name
"""
INSERT_MARK = """
    INSERT INTO main.sqlite_sequence (name, seq)
    VALUES (:name, :mark)
"""
_DIGEST_BITS = 128


def read_tables(database: SQLiteConnection) -> tuple[str, ...]:
    """Return the names of all tables, in order, without SQLite's own."""
    return tuple(str(name) for (name,) in database.execute(SELECT_TABLES))


def read_contents(
    database: SQLiteConnection, ignored: Collection[str] = (), *, rows: RowReading = RowReading.NOTHING
) -> Contents:
    """Read the schema and the rows without the `ignored` tables."""
    return ContentsTracker(database, ignored, rows).contents


class ContentsTracker:
    """The contents of a database on which scripts are recorded: read once, and kept up to date by what they touch."""

    def __init__(self, database: SQLiteConnection, ignored: Collection[str], rows: RowReading) -> None:
        self._database = database
        self._ignored = frozenset(map(lowered, ignored))
        self._rows = rows
        self._read_all()

    def _read_all(self) -> None:
        catalog = catalog_of(self._database)
        self._hidden = self._ignored | catalog.hidden()
        self._objects: dict[str, Words] = {}
        self._owners: dict[str, str] = {}
        self._tables: dict[str, Table] = {}
        self._note_objects(catalog)
        self._positions: dict[str, int] = {}
        self._read_tables([lowered(item.name) for item in catalog if item.kind == "table"])

    @property
    def contents(self) -> Contents:
        """All there is now."""
        return Contents(dict(self._objects), dict(self._tables), dict(self._owners))

    def begin_again(self) -> None:
        """Read everything again, because what was followed was undone."""
        self._read_all()

    def follow(self, effects: RecordedEffects) -> Change:
        """Read again what a script may have touched."""
        assert isinstance(effects, RecordedScriptEffects)
        changes = effects.changes
        if changes is None or effects.all_tables or any(map(_is_virtual, changes)):
            before = self.contents
            self._read_all()
            return Change(before, self.contents)
        changed = [item for each in changes for item in each if item is not None and self._is_seen(item)]
        titles = dict.fromkeys(item.title for item in changed)
        tables = {lowered(item.name) for item in changed if item.kind == "table"}
        tables.update(effects.written, effects.renamed_tables, effects.renamed_tables.values())
        before = self._part(tables, titles)
        new = {item.title: item for each in changes if (item := each.after) is not None}
        for title in titles.keys() - new.keys():
            self._objects.pop(title)
            self._owners.pop(title, None)
        self._note_objects(new.values())
        self._read_tables(tables)
        return Change(before, self._part(tables, titles))

    def _read_tables(self, names: Iterable[str]) -> None:
        catalog = catalog_of(self._database)
        for name in sorted(names, key=catalog.position):
            item = catalog.table(name)
            if item is not None and self._is_seen(item):
                self._tables[name] = self._read_table(catalog, item)
                self._positions[name] = catalog.position(name)
            else:
                self._tables.pop(name, None)

    def _part(self, tables: Collection[str], titles: Collection[str]) -> Contents:
        """Return a part of the contents, with its tables in the order in which they were created."""
        names = sorted((name for name in tables if name in self._tables), key=self._positions.__getitem__)
        return Contents(_some(self._objects, titles), _some(self._tables, names), _some(self._owners, titles))

    def _note_objects(self, items: Iterable[Definition]) -> None:
        for item in items:
            if self._is_seen(item):
                self._objects[item.title] = canonical(item.sql.encode())
                if item.kind in ("index", "trigger"):
                    self._owners[item.title] = item.owner

    def _is_seen(self, item: Definition) -> bool:
        return not item.name.startswith("sqlite_") and item.owner not in self._hidden

    def _read_table(self, catalog: Catalog, item: Definition) -> Table:
        columns = catalog.columns_of(lowered(item.name))
        try:
            if self._rows is RowReading.DIGEST:
                return Table(item.name, columns, *_digest(self._database, item.name, columns))
            counts = self._rows is RowReading.COUNT
            return Table(item.name, columns, count_rows(self._database, item.name) if counts else None)
        except sqlite3.OperationalError:
            return Table(item.name, columns)


def _is_virtual(change: DefinitionChange) -> bool:
    """Return whether a virtual table has come or gone, which decides what is hidden."""
    return any(item is not None and item.is_virtual for item in change)


def _some(values: Mapping[str, _Value], keys: Iterable[str]) -> dict[str, _Value]:
    return {key: values[key] for key in keys if key in values}


def count_rows(database: SQLiteConnection, table: str) -> int:
    """Return the number of rows of a table."""
    return int(database.execute(COUNT_ROWS.format(table=quote_identifier(table))).fetchone()[0])


def _digest(database: SQLiteConnection, table: str, columns: tuple[str, ...]) -> tuple[int, int]:
    """Add up a hash of each row, so that neither the order of rows nor that of columns matters."""
    names = ", ".join(f"+{quote_identifier(column)}" for column in sorted(columns, key=lowered)) or "NULL"
    sql = SELECT_ROWS.format(columns=names, table=quote_identifier(table))
    rows, total = 0, 0
    text_factory = database.connection.text_factory
    database.connection.text_factory = bytearray  # so that a text differs from a blob, and need not be UTF-8
    try:
        for row in database.execute(sql):
            rows += 1
            total += int.from_bytes(blake2b(repr(row).encode(), digest_size=_DIGEST_BITS // 8).digest(), "big")
    finally:
        database.connection.text_factory = text_factory
    return rows, total % 2**_DIGEST_BITS


def read_marks(database: SQLiteConnection) -> dict[str, int]:
    """Return AUTOINCREMENT's marks, the largest number that a table has ever given to a row, by lower name."""
    marks: dict[str, int] = {}
    for name, mark in database.rows_or_none(SELECT_MARKS) or ():
        if isinstance(mark, int):
            marks[lowered(str(name))] = max(mark, marks.get(lowered(str(name)), mark))
    return marks


def keep_marks(
    database: SQLiteConnection,
    before: Mapping[str, int],
    made: AbstractSet[str],
    copies: Mapping[str, AbstractSet[str]],
) -> dict[str, int]:
    """Keep the marks of tables that were dropped, or renamed, and made again; return these by the tables' names.

    A rebuild may be spread over several scripts. So where rows of a table were copied and it was dropped, the table
    that was made for them gets its mark; if it has none, the mark stays for a table that is made later by the old name.

    Args:
        before: the marks before the script.
        made: the lower names of the tables that the script has made.
        copies: by the lower name of a table that it has dropped, the tables that have its rows now.
    """
    now = read_marks(database)
    lost = {table: mark for table, mark in before.items() if now.get(table, 0) < mark}
    kept: dict[str, int] = {}
    catalog = catalog_of(database) if lost else None
    for name, mark in lost.items() if catalog else ():
        assert catalog is not None
        heirs = {name}
        if catalog.table(name) is None:
            if not copies.get(name):
                continue
            heirs = {copy for copy in copies[name] & made if _is_numbered(catalog.table(copy))} or heirs
        for heir in heirs:
            table = catalog.table(heir)
            if (table is None or _is_numbered(table)) and mark > now.get(heir, 0):
                kept[table.name if table else heir] = mark
    for name, mark in kept.items():
        database.execute(DELETE_MARK, {"name": name})
        database.execute(INSERT_MARK, {"name": name, "mark": mark})
    return kept


def _is_numbered(table: Definition | None) -> bool:
    return table is not None and "autoincrement" in canonical(table.sql.encode())
