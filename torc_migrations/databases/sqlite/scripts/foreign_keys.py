"""Rows that point to no row, and rows that are lost when the table that they point to is dropped."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import zip_longest
from types import MappingProxyType
from typing import NamedTuple

from torc_migrations.databases.results.violations import Violation
from torc_migrations.databases.sqlite.callbacks import primary_code
from torc_migrations.databases.sqlite.catalog.catalog import Catalog, catalog_of
from torc_migrations.databases.sqlite.catalog.soundness import MISMATCH
from torc_migrations.databases.sqlite.connection import quote_identifier
from torc_migrations.databases.sqlite.schema import count_rows, keep_marks, read_marks
from torc_migrations.databases.sqlite.scripts.effects import ScriptEffects
from torc_migrations.databases.sqlite.scripts.statements import (
    Statement,
    dropped_name,
    skips_rows,
    table_drops,
    table_renames,
)
from torc_migrations.databases.sqlite.transactions import SQLiteConnection
from torc_migrations.formatting import lowered
from torc_migrations.sources.migration import Script

SELECT_KEY_COLUMNS = """
    SELECT id, "from"
    FROM pragma_foreign_key_list(:table, 'main')
    ORDER BY id, seq
"""
# As blobs, because a text need not be UTF-8.
SELECT_POINTERS = """
    SELECT broken.rowid, broken.parent, broken.fkid, {columns}
    FROM pragma_foreign_key_check(:table, 'main') AS broken
    JOIN main.{table} AS child
    ON child.{rowid} = broken.rowid
"""
SELECT_KEYS = """
    SELECT id, "table", "from", "to"
    FROM pragma_foreign_key_list(:table, 'main')
    ORDER BY id, seq
"""
SELECT_PRIMARY_KEY = """
    SELECT name
    FROM pragma_table_info(:table, 'main')
    WHERE pk > 0
    ORDER BY pk
"""
# The plus leaves a value its type and no affinity, so that it is compared as the column that it points to compares it.
SELECT_ORPHANS = """
    SELECT {columns}
    FROM main.{table} AS child
    WHERE {known}
    AND NOT EXISTS (SELECT 1 FROM main.{parent} AS parent WHERE {equal})
"""
_ROWID_NAMES = ("rowid", "_rowid_", "oid")


def find_violations(
    database: SQLiteConnection, effects: ScriptEffects, known: Iterable[Violation] | None = None
) -> tuple[Violation, ...]:
    """Return the rows that point to no row, in the tables whose keys a script may have broken.

    With `known`, those before the script, also the ones of these in all other tables. Then the tables that it has
    created are looked at too, whose keys cannot be broken by it, but may be.
    """
    tables = effects.tables if known is None else effects.tables | effects.objects
    if not (effects.all_tables or tables or effects.unindexed):
        return tuple(known or ())  # most migrations only create something
    catalog = catalog_of(database)
    if effects.all_tables:
        changed, unindexed = set(catalog.pointing_tables()), set[str]()
    else:
        changed = {table for table in tables if catalog.parents_of(table)}
        changed = changed.union(*map(catalog.children_of, tables))
        unindexed = set[str]().union(*map(catalog.children_of, effects.unindexed)) - changed
    gone = changed | unindexed | tables
    others = (each for each in known or () if not effects.all_tables and lowered(each.table) not in gone)
    found = (each for table in _names(catalog, changed) for each in _violations_in(database, table))
    mismatches = (each for table in _names(catalog, unindexed) for each in _mismatches_of(database, table))
    return (*others, *found, *mismatches)


def _names(catalog: Catalog, tables: Iterable[str]) -> list[str]:
    return sorted(table.name for table in map(catalog.table, tables) if table is not None)


def _violations_in(database: SQLiteConnection, table: str) -> Iterator[Violation]:
    try:
        broken = database.execute(f"PRAGMA main.foreign_key_check({quote_identifier(table)})").fetchall()
    except sqlite3.OperationalError as error:
        yield _mismatch(table, error)
        return
    name = _rowid_of(database, table) if broken else None
    rows = {(number, rowid): str(parent) for _, rowid, parent, number in broken if rowid is not None and name}
    if rows and name:
        yield from _pointers(database, table, name, rows)
    others: dict[tuple[int, str], list[int | None]] = {}
    for _, rowid, parent, number in broken:
        if rowid is None or name is None:
            others.setdefault((number, str(parent)), []).append(rowid)
    for (number, parent), rowids in others.items():
        yield from _orphans(database, table, parent, number, rowids)


def _orphans(
    database: SQLiteConnection, table: str, parent: str, number: int, rowids: Sequence[int | None]
) -> Iterator[Violation]:
    """Return the rows that violate a key of a table without a name for its rowid: as many as SQLite has found."""
    if catalog_of(database).relation(lowered(parent)) is None:
        yield from (Violation(table, rowid, parent) for rowid in rowids)
        return
    key = [row for row in database.execute(SELECT_KEYS, {"table": table}) if row[0] == number]
    primary = [column for (column,) in database.execute(SELECT_PRIMARY_KEY, {"table": parent})]
    pairs = [(own, primary[place] if to is None else to) for place, (_, _, own, to) in enumerate(key)]
    names = [(quote_identifier(str(own)), quote_identifier(str(to))) for own, to in pairs]
    sql = SELECT_ORPHANS.format(
        columns=", ".join(f"CAST(quote(child.{own}) AS BLOB)" for own, _ in names),
        table=quote_identifier(table),
        parent=quote_identifier(parent),
        known=" AND ".join(f"child.{own} IS NOT NULL" for own, _ in names),
        equal=" AND ".join(f"parent.{to} = +child.{own}" for own, to in names),
    )
    values = [tuple(row) for row in database.execute(sql).fetchmany(len(rowids))]
    for rowid, value in zip_longest(rowids, values):
        yield Violation(table, rowid, parent, value)


def _pointers(
    database: SQLiteConnection, table: str, rowid: str, broken: Mapping[tuple[int, int], str]
) -> Iterator[Violation]:
    """Return the rows of a table that violate a key: by the key's number and the rowid, the table that it points to.

    A row that the query does not find counts as well.
    """
    found: dict[tuple[int, int], Violation] = {}
    keys: dict[int, list[str]] = {}
    for number, column in database.execute(SELECT_KEY_COLUMNS, {"table": table}):
        keys.setdefault(number, []).append(str(column))
    columns = list(dict.fromkeys(column for key in keys.values() for column in key))
    quoted = ", ".join(f"CAST(quote(child.{quote_identifier(column)}) AS BLOB)" for column in columns)
    sql = SELECT_POINTERS.format(columns=quoted, table=quote_identifier(table), rowid=quote_identifier(rowid))
    for row, parent, number, *values in database.execute(sql, {"table": table}):
        value_of = dict(zip(columns, values, strict=True))
        key = tuple(value_of[column] for column in keys[number])
        found[number, row] = Violation(table, row, str(parent), key)
    for number, row in sorted(broken):
        yield found.get((number, row)) or Violation(table, row, broken[number, row])


def _rowid_of(database: SQLiteConnection, table: str) -> str | None:
    """Return a name of the rowid that no other column of a table has, or None where each of them is a column's."""
    rows = database.execute(f"PRAGMA main.table_xinfo({quote_identifier(table)})").fetchall()
    names = {lowered(str(row[1])) for row in rows}
    return next((name for name in _ROWID_NAMES if name not in names), None)


def _mismatches_of(database: SQLiteConnection, table: str) -> Iterator[Violation]:
    """Find keys of a table that cannot be checked any more; SQLite finds that out before it reads a row."""
    try:
        database.execute(f"EXPLAIN PRAGMA main.foreign_key_check({quote_identifier(table)})").fetchall()
    except sqlite3.OperationalError as error:
        yield _mismatch(table, error)


def _mismatch(table: str, error: sqlite3.OperationalError) -> Violation:
    """Return a key that cannot be checked, which counts as violated.

    The columns that it points to are not unique, or only the application has what compares them, such as a collation.
    """
    if primary_code(error) != sqlite3.SQLITE_ERROR:
        raise error
    if named := MISMATCH.match(str(error)):
        parent = named["parent"]
        return Violation(table, None, parent, wrong_key=f"{table} points to columns of {parent} that are not unique")
    return Violation(table, None, str(error), wrong_key=f"a key of {table} cannot be checked: {error}")


class Stakes(NamedTuple):
    """What a script could lose by dropping tables, as it was before: rows by table, and AUTOINCREMENT's marks.

    `children` are the tables that point to what it drops, however indirectly; `rebuilt` those that it drops itself.
    `below` are, by table in lower case, the tables that point to it, as far as that leads from what it drops.
    """

    children: Mapping[str, int] = MappingProxyType({})
    rebuilt: Mapping[str, int] = MappingProxyType({})
    below: Mapping[str, frozenset[str]] = MappingProxyType({})
    marks: Mapping[str, int] = MappingProxyType({})


def read_stakes(database: SQLiteConnection, script: Script) -> Stakes:
    """Read, before a script is run, what it could lose by dropping tables.

    A script that drops or renames no table costs no more than a search in its text. No rows are counted for one that
    says that it wants foreign keys on, whose cascades are meant, nor for one outside of a transaction, which cannot be
    undone. Rows of a table that it rebuilds are counted where it may leave some out, as by INSERT OR IGNORE.
    """
    drops = tuple(table_drops(script.sql))
    if not drops and not table_renames(script.sql):
        return Stakes()
    stakes = Stakes(marks=read_marks(database))
    if not drops or not script.directives.transactional:
        return stakes
    asks = script.directives.foreign_keys and script.directives.says_foreign_keys
    catalog = catalog_of(database)
    skips = skips_rows(script.sql)
    if not (skips or (catalog.parents() and not asks)):
        return stakes
    dropped = _dropped_tables(database, script, drops)
    below = {} if asks else catalog.descendants(dropped)
    children = set[str]().union(*below.values())
    return stakes._replace(
        children={table: count_rows(database, table) for table in _names(catalog, children)},
        rebuilt={
            table: rows
            for table in (_names(catalog, dropped) if skips else ())
            if (rows := _count(database, table)) is not None
        },
        below=below,
    )


def restore_marks(database: SQLiteConnection, stakes: Stakes, effects: ScriptEffects) -> dict[str, int]:
    """Keep AUTOINCREMENT's marks, and return those that go with a table that is dropped, and that no table has now."""
    dropped = {table: names for table in stakes.marks if (names := effects.names_of(table)) & effects.dropped}
    copies = {table: effects.flow.copies_of(names) for table, names in dropped.items()}
    effects.marks = keep_marks(database, stakes.marks, effects.created, copies)
    left = max(read_marks(database).values(), default=0)
    gone = dropped.keys() - effects.created
    return {table: mark for table in sorted(gone) if (mark := stakes.marks[table]) > left}


def _dropped_tables(database: SQLiteConnection, script: Script, drops: Iterable[Statement]) -> set[str]:
    """Return the lower names of the tables that a script drops: those that they have before it."""
    renames = table_renames(script.sql)
    waiting = [_dropped(database, statement) for statement in drops]
    found = set[str]()
    while waiting:
        table = waiting.pop()
        if table not in found:
            found.add(table)
            waiting += renames.get(table, ())
    return found


def find_losses(
    database: SQLiteConnection, script: Script, before: Stakes, effects: ScriptEffects
) -> tuple[tuple[str, int, int], ...]:
    """Return the tables that have lost rows which their script does not delete itself, with the rows before and now."""
    watched = _watched(script, before, effects)
    at_stake = {
        table: count
        for table, count in before.children.items()
        if effects.names_of(table).isdisjoint(effects.deleted_from) and (watched is None or lowered(table) in watched)
    }
    for table, count in before.rebuilt.items():
        names = effects.names_of(table)
        if names & effects.dropped and names.isdisjoint(effects.deletes) and _got_back(table, names, effects):
            at_stake[table] = count
    if not at_stake:
        return ()
    catalog = catalog_of(database)
    lost = []
    for table, count in sorted(at_stake.items()):
        # A table that was renamed and dropped has left its name to its successor.
        there = catalog.table(effects.renames.get(lowered(table), "")) or catalog.table(lowered(table))
        if there is not None and (now := count_rows(database, there.name)) < count:
            lost.append((table, count, now))
    return tuple(lost)


def _got_back(table: str, names: frozenset[str], effects: ScriptEffects) -> bool:
    """Return whether the table that now has the name of a dropped one has got rows of it: else the DROP took them."""
    name = lowered(table)
    return name in effects.flow.returned or name in effects.flow.copies_of(names)


def _watched(script: Script, before: Stakes, effects: ScriptEffects) -> set[str] | None:
    """Return which tables below those that were dropped must keep their rows; None for all of them."""
    if not script.directives.foreign_keys:
        return None
    # The script's PRAGMA asks for cascades: those of its DELETE are meant, those of a DROP TABLE are not.
    waiting = [name for name in effects.dropped if name not in effects.deletes]
    seen = set[str]()
    found = set[str]()
    while waiting:
        table = waiting.pop()
        if table not in seen:
            seen.add(table)
            found |= before.below.get(table, frozenset())
            waiting += before.below.get(table, ())
    return found


def find_doubled(database: SQLiteConnection, effects: ScriptEffects) -> tuple[tuple[str, int, int], ...]:
    """Return the tables whose rows stand twice: copies were put back, though no cascade had deleted them.

    That is so in a script for foreign keys that are on, which copies the rows, drops or empties the table that they
    point to, and puts them back.
    """
    if not effects.stood:
        return ()
    gone = {first for first in effects.renames if effects.renames[first] in effects.dropped} | effects.deleted_from
    catalog = catalog_of(database)
    below = set[str]().union(*catalog.descendants(gone).values())
    stood = sorted(
        (there.name, effects.stood[name]) for name in below if name in effects.stood and (there := catalog.table(name))
    )
    now = ((table, rows, count_rows(database, table)) for table, rows in stood)
    return tuple(each for each in now if each[2] > each[1])


def note_put_back(database: SQLiteConnection, effects: ScriptEffects) -> None:
    """Note how many rows stood in a table into which the last statement has put copies of its rows back."""
    inserted = int(database.execute("SELECT changes()").fetchone()[0])  # the driver does not count after WITH
    for table in effects.flow.put_back:
        if (stood := (_count(database, table) or 0) - inserted) > 0:
            effects.stood[table] = stood


def _count(database: SQLiteConnection, table: str) -> int | None:
    """Return the number of rows of a table, or None where it cannot be read, as without its module."""
    try:
        return count_rows(database, table)
    except sqlite3.OperationalError:
        return None


def _dropped(database: SQLiteConnection, statement: Statement) -> str:
    """Return the table that a DROP TABLE names, in lower case, as SQLite reads it, or as it is written."""
    seen = ScriptEffects()
    try:
        database.begin_script(seen.authorize)
        database.execute(f"EXPLAIN {statement.text}").fetchall()
    except sqlite3.Error:
        if interruption := database.interruption:
            raise interruption from None
    finally:
        database.end_script()
    return next(iter(seen.deleted_from), dropped_name(statement.text) or "")
