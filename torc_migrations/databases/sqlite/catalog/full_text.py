"""Find full-text indexes of FTS5 that store no rows, and do not match the table whose rows they index."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable

from torc_migrations.databases.sqlite.callbacks import primary_code
from torc_migrations.databases.sqlite.catalog.catalog import catalog_of
from torc_migrations.databases.sqlite.connection import quote_identifier
from torc_migrations.databases.sqlite.scripts.statements import names_in
from torc_migrations.databases.sqlite.transactions import SQLiteConnection

# With a rank of 1 the rows of the other table are compared too: https://sqlite.org/fts5.html#the_integrity_check_command
CHECK = """
    INSERT INTO main.{index} ({index}, rank)
    VALUES ('integrity-check', 1)
"""


def find_stale_indexes(database: SQLiteConnection, written: Iterable[str]) -> tuple[str, ...]:
    """Return the indexes that do not match their table, of those that name one of some tables, in lower case.

    Each of these tables is read whole. FTS5 takes the check for a write: only a copy is looked at.
    """
    items = (item for item in catalog_of(database).concerning(written) if item.is_virtual)
    candidates = (item for item in items if item.module == "fts5" and "content" in names_in(item.sql))
    return tuple(item.name for item in candidates if _is_stale(database, item.name))


def _is_stale(database: SQLiteConnection, name: str) -> bool:
    try:
        database.execute(CHECK.format(index=quote_identifier(name)))
    except sqlite3.DatabaseError as error:
        if primary_code(error) not in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_ERROR):
            raise
        return primary_code(error) == sqlite3.SQLITE_CORRUPT  # else it does not work at all
    return False
