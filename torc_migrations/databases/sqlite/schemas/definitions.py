"""Read the objects of an SQLite schema as they were written, and what their tables are made of."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection

from torc_migrations.databases.results.tables import Column, ForeignKey, Index
from torc_migrations.databases.sqlite.catalog.catalog import catalog_of
from torc_migrations.databases.sqlite.catalog.definitions import Definition
from torc_migrations.databases.sqlite.connection import quote_identifier
from torc_migrations.databases.sqlite.transactions import SQLiteConnection
from torc_migrations.formatting import lowered

COUNT_ROWS = """
    SELECT count(*)
    FROM main.{table}
"""
_WRITABLE, _VISIBLE = (0,), (0, 2, 3)


def read_definitions(database: SQLiteConnection, ignored: Collection[str] = ()) -> tuple[Definition, ...]:
    """Return every object of the schema as it is written, oldest first; not SQLite's own, and none of `ignored` tables.

    The tables in which virtual tables keep their data are left out.
    """
    catalog = catalog_of(database)
    hidden = catalog.hidden() | {lowered(name) for name in ignored}
    return tuple(each for each in catalog if not each.name.startswith("sqlite_") and each.owner not in hidden)


def read_columns(database: SQLiteConnection, table: str) -> tuple[Column, ...]:
    """Return the columns of a table that a SELECT returns; none where the module of a virtual table is missing."""
    try:
        rows = database.execute(f"PRAGMA main.table_xinfo({quote_identifier(table)})").fetchall()
    except sqlite3.OperationalError:
        return ()
    return tuple(
        Column(str(name), bool(not_null), default is not None or kind not in _WRITABLE, key > 0, kind in _WRITABLE)
        for _, name, _, not_null, default, key, kind in rows
        if kind in _VISIBLE
    )


def read_writable_columns(database: SQLiteConnection, table: str) -> tuple[str, ...]:
    """Return the names of the columns of a table that a statement can write."""
    return tuple(column.name for column in read_columns(database, table) if column.is_written)


def read_foreign_keys(database: SQLiteConnection, table: str) -> tuple[ForeignKey, ...]:
    """Return the foreign keys of a table."""
    keys: dict[int, tuple[list[str], str]] = {}
    for number, _, parent, column, *_ in database.execute(f"PRAGMA main.foreign_key_list({quote_identifier(table)})"):
        keys.setdefault(number, ([], str(parent)))[0].append(str(column))
    return tuple(ForeignKey(tuple(columns), parent) for columns, parent in keys.values())


def read_indexes(database: SQLiteConnection, table: str) -> tuple[Index, ...]:
    """Return the indexes of a table, those of its primary key and of UNIQUE too."""
    indexes = database.execute(f"PRAGMA main.index_list({quote_identifier(table)})").fetchall()
    return tuple(
        Index(str(name), _index_columns(database, str(name)), bool(unique), bool(partial))
        for _, name, unique, _, partial in indexes
    )


def _index_columns(database: SQLiteConnection, index: str) -> tuple[str | None, ...]:
    return tuple(None if name is None else str(name) for _, _, name in _index_info(database, index))


def _index_info(database: SQLiteConnection, index: str) -> list[tuple[int, int, str | None]]:
    return database.execute(f"PRAGMA main.index_info({quote_identifier(index)})").fetchall()


def count_rows(database: SQLiteConnection, table: str) -> int | None:
    """Return the number of rows of a table; None where they cannot be read."""
    try:
        return int(database.execute(COUNT_ROWS.format(table=quote_identifier(table))).fetchone()[0])
    except sqlite3.OperationalError:
        return None
