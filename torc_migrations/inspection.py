"""Inspect the indexes of a database: what each costs, and which query it serves; on sqlite-utils' introspection."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import groupby
from typing import TYPE_CHECKING, NamedTuple

from torc_migrations.database import Database, open_database
from torc_migrations.driver import sqlite3
from torc_migrations.errors import BadScript, SourceError
from torc_migrations.expectation import find_expectations
from torc_migrations.index_report import Column, Index, IndexReport, Key, Origin, judged, without_index
from torc_migrations.query_plan import index_in
from torc_migrations.verification import Finding, refuse_missing, verify_opened

if TYPE_CHECKING:
    from sqlite_utils.db import Index as UtilsIndex
    from sqlite_utils.db import Table

    from torc_migrations.connection import DatabaseLike
    from torc_migrations.migration import SourceLike

SELECT_SIZES = """
    SELECT name, SUM(pgsize), SUM(ncell)
    FROM dbstat
    GROUP BY name
"""
SELECT_STATISTICS = """
    SELECT idx, stat
    FROM sqlite_stat1
    WHERE idx IS NOT NULL
"""
SELECT_DEFINITIONS = """
    SELECT name, sql
    FROM sqlite_master
    WHERE type = 'index'
"""
# sqlite-utils before 4.0 tells neither keys of several columns nor what a delete does.
SELECT_KEYS = """
    SELECT child.name, key.id, key."table", key.on_delete, key."from"
    FROM sqlite_master AS child
    JOIN pragma_foreign_key_list(child.name) AS key
    WHERE child.type = 'table'
    ORDER BY child.name, key.id, key.seq
"""

# As much of SQL as it takes to see which WHERE stands outside of parentheses, quotes and comments.
_TOKEN = re.compile(r"--[^\n]*|/\*.*?\*/|'[^']*'|\"[^\"]*\"|`[^`]*`|\[[^\]]*\]|[\w$]+|.", re.DOTALL)


def inspect_indexes(database: DatabaseLike, source: SourceLike = None, *, lock_timeout: float = 300.0) -> IndexReport:
    """Report on every index of a database: size, selectivity, use, redundance; and on foreign keys without one.

    Writes nothing. Where SQLite has dbstat (https://sqlite.org/dbstat.html) every page of the file is read once. The
    source's expectations tell which index is used; a source without any leaves that open.

    Raises:
        UrlError: the database cannot be opened, or does not exist.
        BadScript: an expectation cannot be read.
        LockTimeout: the database could not be read for `lock_timeout` seconds.
    """
    with open_database(database, lock_timeout=lock_timeout) as opened:
        refuse_missing(opened)
        with opened.reading(), _plain(opened.connection):
            return _report(opened, source)


@contextmanager
def _plain(connection: sqlite3.Connection) -> Iterator[None]:
    """Have a connection as sqlite-utils wants it, whose owner wants it otherwise: rows as tuples, no `autocommit`."""
    factory = connection.row_factory
    connection.row_factory = None
    if sys.version_info >= (3, 12):
        autocommit = connection.autocommit
        connection.autocommit = sqlite3.LEGACY_TRANSACTION_CONTROL
    try:
        yield
    finally:
        connection.row_factory = factory
        if sys.version_info >= (3, 12):
            connection.autocommit = autocommit


def _report(database: Database, source: SourceLike) -> IndexReport:
    notes: list[str] = []
    facts = _Facts(
        _definitions(database), _sizes(database, notes), _statistics(database), _uses(database, source, notes)
    )
    tables = tuple(_read_tables(database.connection, facts, notes))
    names = {table.name for table in tables}
    keys = tuple(key for key in _keys(database) if key.table in names)
    rowids = {table.name: table.rowid_column for table in tables if table.rowid_column}
    indexes = judged((index for table in tables for index in table.indexes), keys, rowids)
    page_size = _pragma(database, "page_size")
    return IndexReport(
        indexes,
        without_index(keys, indexes, rowids),
        page_size * _pragma(database, "page_count"),
        page_size * _pragma(database, "freelist_count"),
        tuple(notes),
    )


def _pragma(database: Database, name: str) -> int:
    return int(database.execute(f"PRAGMA {name}").fetchone()[0])


class _Size(NamedTuple):
    """The bytes of an index's pages, and its entries."""

    size: int
    rows: int


class _Facts(NamedTuple):
    """What is known of all indexes, each by its name; `sizes` and `uses` are None where nothing is known."""

    definitions: Mapping[str, str | None]
    sizes: Mapping[str, _Size] | None
    statistics: Mapping[str, tuple[int, ...]]
    uses: Mapping[str, tuple[str, ...]] | None


def _definitions(database: Database) -> dict[str, str | None]:
    return dict(database.execute(SELECT_DEFINITIONS))


def _sizes(database: Database, notes: list[str]) -> dict[str, _Size] | None:
    """Count pages and entries; in an index every cell is an entry, whereas a table's inner pages hold none."""
    try:
        return {str(name): _Size(int(size), int(rows)) for name, size, rows in database.execute(SELECT_SIZES)}
    except sqlite3.DatabaseError as error:
        notes.append(f"rows and sizes are unknown, SQLite {sqlite3.sqlite_version} here has no dbstat ({error})")
        return None


def _statistics(database: Database) -> dict[str, tuple[int, ...]]:
    """Read what ANALYZE saw: the rows, then how many of them share a value; see https://sqlite.org/fileformat2.html.

    Words such as `unordered` may stand behind the numbers.
    """
    try:
        rows = database.execute(SELECT_STATISTICS).fetchall()
    except sqlite3.OperationalError as error:
        if "no such table" not in str(error):
            raise
        return {}
    return {str(name): tuple(int(word) for word in str(stat).split()[1:] if word.isdigit()) for name, stat in rows}


def _uses(database: Database, source: SourceLike, notes: list[str]) -> dict[str, tuple[str, ...]] | None:
    """Return the names of the expectations by index: those whose query takes it here, and those that ask for it."""
    try:
        expectations = find_expectations(source)
    except BadScript:
        raise
    except SourceError as error:
        notes.append(f"which index is used is unknown: {error}")
        return None
    findings = [finding for finding in verify_opened(database, expectations) if finding.error is None]
    if not findings:
        notes.append("which index is used is unknown: no expectation of this source fits this database")
        return None
    named = {(index, str(finding)): None for finding in findings for index in _indexes_of(finding)}
    uses: dict[str, tuple[str, ...]] = {}
    for index, name in named:
        uses[index] = (*uses.get(index, ()), name)
    return uses


def _indexes_of(finding: Finding) -> Iterator[str]:
    yield from finding.indexes
    yield from filter(None, map(index_in, finding.expectation.expects))


class _Table(NamedTuple):
    """A table: its indexes, and the column that is another name for the rowid."""

    name: str
    indexes: tuple[Index, ...]
    rowid_column: str | None


def _read_tables(connection: sqlite3.Connection, facts: _Facts, notes: list[str]) -> Iterator[_Table]:
    """Read table by table; what cannot be read, such as a virtual one whose module is missing, is left out."""
    import sqlite_utils

    # Neither its plugins nor its one PRAGMA: the connection may be somebody's, and is given back as it was.
    utils = sqlite_utils.Database(connection, recursive_triggers=False, execute_plugins=False)
    for name in sorted(utils.table_names()):
        if name.startswith("sqlite_"):
            continue
        table = sqlite_utils.db.Table(utils, name)
        try:
            yield _Table(name, tuple(_indexes(table, facts)), _rowid_column(table))
        except sqlite3.OperationalError as error:
            notes.append(f"table {name} is left out: {error}")


def _keys(database: Database) -> Iterator[Key]:
    for (table, _, parent, on_delete), rows in groupby(database.execute(SELECT_KEYS), key=lambda row: row[:4]):
        yield Key(str(table), tuple(str(row[4]) for row in rows), str(parent), str(on_delete))


def _rowid_column(table: Table) -> str | None:
    """Return the column that is another name for the rowid: an INTEGER PRIMARY KEY has no index of its own."""
    if len(table.pks) != 1 or table.use_rowid or any(index.origin == "pk" for index in table.indexes):
        return None
    return str(table.pks[0])


def _indexes(table: Table, facts: _Facts) -> Iterator[Index]:
    columns = {index.name: tuple(_columns(index)) for index in table.xindexes}
    for found in sorted(table.indexes, key=lambda index: str(index.name)):
        yield _index(table.name, found, columns[found.name], facts)


def _columns(index: object) -> Iterator[Column]:
    for column in index.columns:  # type: ignore[attr-defined]  # an untyped namedtuple of sqlite-utils
        if column.key:  # the others are what SQLite adds to find the row
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
        used_by=None if facts.uses is None else facts.uses.get(found.name, ()),
    )


def _condition(definition: str) -> str:
    """Return what stands behind the WHERE of a CREATE INDEX, with single blanks."""
    depth = 0
    for token in _TOKEN.finditer(definition):
        word = token.group()
        depth += (word == "(") - (word == ")")
        if depth == 0 and word.upper() == "WHERE":
            return " ".join(definition[token.end() :].split())
    return ""
