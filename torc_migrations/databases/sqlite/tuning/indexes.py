"""Read the indexes of a database, with sqlite-utils: their columns, their size, their statistics."""

from __future__ import annotations

import re
import sqlite3
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

from torc_migrations.databases.results.indexes import Column, FoundIndexes, Index, Key, Origin
from torc_migrations.databases.sqlite.connection import quote_identifier
from torc_migrations.databases.sqlite.schema import read_tables

if TYPE_CHECKING:
    from sqlite_utils.db import Index as UtilsIndex
    from sqlite_utils.db import Table

    from torc_migrations.databases.sqlite.transactions import SQLiteConnection

SELECT_SIZES = """
    SELECT +name, SUM(pgsize), SUM(ncell)
    FROM dbstat
    GROUP BY name
"""
SELECT_STATISTICS = """
    SELECT idx, stat
    FROM sqlite_stat1
    WHERE idx IS NOT NULL
"""
SELECT_DEFINITIONS = """
    SELECT +name, +sql
    FROM sqlite_master
    WHERE type = 'index'
"""
# sqlite-utils before 4.0 returns neither foreign keys of several columns nor their ON DELETE.
SELECT_KEYS = """
    SELECT +child.name, key.id, key."table", key.on_delete, key."from"
    FROM sqlite_master AS child
    JOIN pragma_foreign_key_list(child.name) AS key
    WHERE child.type = 'table'
    ORDER BY child.name, key.id, key.seq
"""

# The tokens of SQL that are needed to find the WHERE outside of parentheses, quotes and comments.
_TOKEN = re.compile(r"--[^\n]*|/\*.*?\*/|'[^']*'|\"[^\"]*\"|`[^`]*`|\[[^\]]*\]|[\w$]+|.", re.DOTALL)


def read_indexes(database: SQLiteConnection) -> FoundIndexes:
    """Read every index and every foreign key, in the caller's transaction."""
    with _plain(database.connection):
        return _read(database)


@contextmanager
def _plain(connection: sqlite3.Connection) -> Iterator[None]:
    """Set a connection as sqlite-utils needs it, rows as tuples and no `autocommit`, and restore it at the end."""
    factory = connection.row_factory
    connection.row_factory = None
    if sys.version_info >= (3, 12) and hasattr(connection, "autocommit"):  # other drivers have none
        autocommit = connection.autocommit
        connection.autocommit = sqlite3.LEGACY_TRANSACTION_CONTROL
    try:
        yield
    finally:
        connection.row_factory = factory
        if sys.version_info >= (3, 12) and hasattr(connection, "autocommit"):
            connection.autocommit = autocommit


def _read(database: SQLiteConnection) -> FoundIndexes:
    notes: list[str] = []
    facts = _Facts(_definitions(database), _sizes(database, notes), _statistics(database))
    tables = tuple(_read_tables(database, facts, notes))
    names = {table.name for table in tables}
    page_size = _pragma(database, "page_size")
    return FoundIndexes(
        tuple(index for table in tables for index in table.indexes),
        tuple(key for key in _keys(database) if key.table in names),
        page_size * _pragma(database, "page_count"),
        page_size * _pragma(database, "freelist_count"),
        {table.name: table.rowid_column for table in tables if table.rowid_column},
        tuple(notes),
    )


def _pragma(database: SQLiteConnection, name: str) -> int:
    return int(database.execute(f"PRAGMA {name}").fetchone()[0])


@dataclass(frozen=True, slots=True)
class _Size:
    """The bytes of the pages of an index, and the number of its entries."""

    size: int
    rows: int


@dataclass(frozen=True, slots=True)
class _Facts:
    """What was read about all indexes, by name; `sizes` is None where they are unknown."""

    definitions: Mapping[str, str | None]
    sizes: Mapping[str, _Size] | None
    statistics: Mapping[str, tuple[int, ...]]


def _definitions(database: SQLiteConnection) -> dict[str, str | None]:
    return dict(database.execute(SELECT_DEFINITIONS))


def _sizes(database: SQLiteConnection, notes: list[str]) -> dict[str, _Size] | None:
    """Return the bytes and the entries of each index: in an index, unlike in a table, every cell is an entry."""
    try:
        return {str(name): _Size(int(size), int(rows)) for name, size, rows in database.execute(SELECT_SIZES)}
    except sqlite3.DatabaseError as error:
        notes.append(f"rows and sizes are unknown: this SQLite {sqlite3.sqlite_version} has no dbstat ({error})")
        return None


def _statistics(database: SQLiteConnection) -> dict[str, tuple[int, ...]]:
    """Return how many rows share a value, by index, as ANALYZE counted them.

    `stat` begins with the number of rows, and may end with words: https://sqlite.org/fileformat2.html#stat1tab
    """
    try:
        rows = database.execute(SELECT_STATISTICS).fetchall()
    except sqlite3.OperationalError as error:
        if "no such table" not in str(error):
            raise
        return {}
    return {str(name): tuple(int(word) for word in str(stat).split()[1:] if word.isdigit()) for name, stat in rows}


@dataclass(frozen=True, slots=True)
class _Table:
    """A table: its indexes, and the column that is an alias of the rowid, or None."""

    name: str
    indexes: tuple[Index, ...]
    rowid_column: str | None


def _read_tables(database: SQLiteConnection, facts: _Facts, notes: list[str]) -> Iterator[_Table]:
    """Read each table; one that cannot be read, such as a virtual table without its module, is left out with a note."""
    import sqlite_utils

    # Without plugins and without its PRAGMA, because the connection may be the application's.
    utils = sqlite_utils.Database(database.connection, recursive_triggers=False, execute_plugins=False)
    for name in sorted(read_tables(database)):
        table = sqlite_utils.db.Table(utils, name)
        try:
            yield _Table(name, tuple(_indexes(table, facts)), _rowid_column(database, table))
        except sqlite3.OperationalError as error:
            notes.append(f"table {name} is left out: {error}")


def _keys(database: SQLiteConnection) -> Iterator[Key]:
    for (table, _, parent, on_delete), rows in groupby(database.execute(SELECT_KEYS), key=lambda row: row[:4]):
        yield Key(str(table), tuple(str(row[4]) for row in rows), str(parent), str(on_delete))


def _rowid_column(database: SQLiteConnection, table: Table) -> str | None:
    """Return the column that is an alias of the rowid: an INTEGER PRIMARY KEY has no index of its own.

    sqlite-utils would ask a converter of the host about the name.
    """
    rows = database.execute(f"PRAGMA main.table_info({quote_identifier(table.name)})")
    keys = [str(name) for _, name, _, _, _, position in rows if position]
    if len(keys) != 1 or any(index.origin == "pk" for index in table.indexes):
        return None
    return keys[0]


def _indexes(table: Table, facts: _Facts) -> Iterator[Index]:
    columns = {index.name: tuple(_columns(index)) for index in table.xindexes}
    for found in sorted(table.indexes, key=lambda index: str(index.name)):
        yield _index(table.name, found, columns[found.name], facts)


def _columns(index: object) -> Iterator[Column]:
    for column in index.columns:  # type: ignore[attr-defined]  # sqlite-utils has no types for it
        if column.key:  # SQLite adds the others to find the row
            yield Column(column.name, bool(column.desc), column.coll)


def _index(table: str, found: UtilsIndex, columns: tuple[Column, ...], facts: _Facts) -> Index:
    definition = facts.definitions.get(found.name)
    is_table = found.name not in facts.definitions
    size = facts.sizes.get(table if is_table else found.name) if facts.sizes else None
    return Index(
        found.name,
        table,
        columns,
        bool(found.unique),
        Origin(found.origin),
        partial=_condition(definition or "") if found.partial else None,
        is_table=is_table,
        rows=size.rows if size else None,
        size=size.size if size else None,
        rows_per_value=facts.statistics.get(table if is_table else found.name, ()),
    )


def _condition(definition: str) -> str:
    """Return the condition after the WHERE of a CREATE INDEX, with single spaces."""
    depth = 0
    for token in _TOKEN.finditer(definition):
        word = token.group()
        depth += (word == "(") - (word == ")")
        if depth == 0 and word.upper() == "WHERE":
            return " ".join(definition[token.end() :].split())
    return ""
