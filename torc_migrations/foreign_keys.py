"""Find the rows that point to no row, and tell those that a script broke from those that were broken before."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator

from torc_migrations.connection import quote_identifier
from torc_migrations.database import Database
from torc_migrations.driver import sqlite3
from torc_migrations.values import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from torc_migrations.authorizer import Touched

# Looking for the word first spares parsing every table's keys: 1 ms for 500 tables, at every migration.
SELECT_REFERENCES = """
    SELECT child.name, reference."table"
    FROM sqlite_master AS child
    JOIN pragma_foreign_key_list(child.name, 'main') AS reference
    WHERE child.type = 'table'
    AND instr(upper(child.sql), 'REFERENCES')
"""
SELECT_KEY_COLUMNS = """
    SELECT id, "from"
    FROM pragma_foreign_key_list(:table, 'main')
    ORDER BY id, seq
"""
# As blobs, because a text need not be UTF-8.
SELECT_POINTERS = """
    SELECT broken.rowid, broken.parent, {key}
    FROM pragma_foreign_key_check(:table, 'main') AS broken
    JOIN main.{table} AS child
    ON child._rowid_ = broken.rowid
    WHERE broken.fkid = :number
"""


class Violation(NamedTuple):
    """A row that points to no row.

    `rowid` and `key`, the values that it points with, are None in a table without rowids, and where the key itself
    cannot be: its parent's columns are not unique.
    """

    table: str
    rowid: int | None
    parent: str
    key: tuple[object, ...] | None = None

    @property
    def pointer(self) -> tuple[object, ...]:
        """What tells the same violation again when its table was rebuilt, renumbered or renamed."""
        return (self.parent.lower(), self.key)


def violations(database: Database, touched: Touched) -> tuple[Violation, ...]:
    """Return the rows that point to no row, in the tables that a script may have broken."""
    if not (touched.all_tables or touched.tables or touched.unindexed):
        return ()  # to look for keys reads the whole schema, and most migrations only make something new
    references = read_references(database)
    changed = {
        child
        for child, parent in references
        if touched.all_tables or child.lower() in touched.tables or parent in touched.tables
    }
    unindexed = {child for child, parent in references if parent in touched.unindexed} - changed
    found = [violation for table in sorted(changed) for violation in _violations_in(database, table)]
    return (*found, *(violation for table in sorted(unindexed) for violation in _mismatches_of(database, table)))


def read_references(database: Database) -> list[tuple[str, str]]:
    """Return which table points to which: pairs of a table and, in lower case, the one that it points to."""
    return [(str(child), str(parent).lower()) for child, parent in database.execute(SELECT_REFERENCES)]


def new_violations(after: Iterable[Violation], before: Iterable[Violation]) -> tuple[Violation, ...]:
    """Return the violations that were not there before."""
    old = Counter(violation.pointer for violation in before)
    new = []
    for violation in after:
        if old[violation.pointer] > 0:
            old[violation.pointer] -= 1
        else:
            new.append(violation)
    return tuple(new)


def _violations_in(database: Database, table: str) -> Iterator[Violation]:
    try:
        broken = database.execute(f"PRAGMA main.foreign_key_check({quote_identifier(table)})").fetchall()
    except sqlite3.OperationalError as error:
        yield _mismatch(table, error)
        return
    yield from (Violation(str(child), None, str(parent)) for child, rowid, parent, _ in broken if rowid is None)
    for number in sorted({number for _, rowid, _, number in broken if rowid is not None}):
        yield from _pointers(database, table, number)


def _pointers(database: Database, table: str, number: int) -> Iterator[Violation]:
    columns = [str(name) for key, name in database.execute(SELECT_KEY_COLUMNS, {"table": table}) if key == number]
    key = ", ".join(f"CAST(quote(child.{quote_identifier(column)}) AS BLOB)" for column in columns)
    sql = SELECT_POINTERS.format(key=key, table=quote_identifier(table))
    for rowid, parent, *values in database.execute(sql, {"table": table, "number": number}):
        yield Violation(table, rowid, str(parent), tuple(values))


def _mismatches_of(database: Database, table: str) -> Iterator[Violation]:
    """Look whether the keys of a table can still be; SQLite finds that out before it reads a row."""
    try:
        database.execute(f"EXPLAIN PRAGMA main.foreign_key_check({quote_identifier(table)})").fetchall()
    except sqlite3.OperationalError as error:
        yield _mismatch(table, error)


def _mismatch(table: str, error: sqlite3.OperationalError) -> Violation:
    """Return a key that cannot be checked; as good as violated, and told from an old one alike.

    Its parent's columns are not unique, or only its application has what compares them: a collation, say.
    """
    if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_ERROR:
        raise error
    named = re.match(r'foreign key mismatch - ".*" referencing "(.*)"', str(error))
    return Violation(table, None, named[1] if named else str(error))
