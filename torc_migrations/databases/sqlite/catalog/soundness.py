"""Find what does not work: views and triggers that cannot be prepared, unreadable virtual tables, keys to no table."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Container, Iterable, Iterator, Sequence
from itertools import count

from torc_migrations.databases.results.violations import BrokenObject, Soundness
from torc_migrations.databases.sqlite.callbacks import primary_code
from torc_migrations.databases.sqlite.catalog.catalog import Catalog, catalog_of, read_columns
from torc_migrations.databases.sqlite.catalog.definitions import Definition
from torc_migrations.databases.sqlite.connection import quote_identifier
from torc_migrations.databases.sqlite.scripts.effects import ScriptEffects
from torc_migrations.databases.sqlite.scripts.statements import canonical
from torc_migrations.databases.sqlite.transactions import SQLiteConnection
from torc_migrations.formatting import lowered

SELECT_OBJECTS = """
    SELECT +type, +name, instr(upper(sql), 'REFERENCES')
    FROM main.sqlite_master
    WHERE type <> 'index'
"""
SELECT_PARENTS = """
    SELECT DISTINCT "table"
    FROM pragma_foreign_key_list(:table, 'main')
"""
_EVENTS = ("insert", "delete", "update")
_FULL_TEXT = ("fts3", "fts4", "fts5")
_VIRTUAL = "virtual table"
MISMATCH = re.compile('foreign key mismatch - "(?P<child>.*)" referencing "(?P<parent>.*)"', re.DOTALL)
_NUMBERS = count()
_MOST_FAULTS = 1000


def find_broken(
    database: SQLiteConnection, effects: ScriptEffects | None = None, known: Iterable[BrokenObject] | None = None
) -> Soundness:
    """Return what does not work: of all objects, or of those that a script may have broken. Nothing is run.

    With `known`, those before the script, also the ones of these that it cannot have touched, and what it has created
    that does not work.
    """
    if effects is None or effects.all_tables:
        catalog = catalog_of(database)
        return Soundness(catalog.relations(), _Search(database, catalog).all())
    looks = effects.may_break or (known is not None and effects.objects)
    keys = tuple(_unusable_keys(database, effects.pointing)) if effects.pointing else ()
    if not looks and not keys:
        return Soundness(frozenset(), tuple(known or ()))
    catalog = catalog_of(database)
    search = _Search(database, catalog)
    broken = search.among(effects.objects) if looks else ()
    others = (each for each in known or () if not search.has_seen(each))
    return Soundness(catalog.relations(), (*others, *broken, *keys))


def is_broken(database: SQLiteConnection, broken: BrokenObject) -> bool:
    """Return whether one object does not work."""
    names = (lowered(broken.table), lowered(broken.name))
    keys = _unusable_keys(database, names[1:]) if broken.kind == "table" else ()
    found = (*_Search(database, catalog_of(database)).among(names), *keys)
    return broken.pointer in {each.pointer for each in found}


def find_unfinished(database: SQLiteConnection, names: Container[str]) -> tuple[BrokenObject, ...]:
    """Return the tables, views and triggers of these lower names that do not work; nothing of the others is looked at.

    SQLite accepts a key to what is no table or has no such key, and reports it when rows are written.
    """
    items = [(str(kind), str(name), bool(points)) for kind, name, points in database.execute(SELECT_OBJECTS)]
    made = [item for item in items if lowered(item[1]) in names]
    relations = {lowered(name) for kind, name, _ in items if kind in ("table", "view")}
    keys = (
        key for kind, name, points in made if kind == "table" and points for key in _faults(database, name, relations)
    )
    search = _Search(database, catalog_of(database)) if any(kind != "table" for kind, _, _ in made) else None
    return (*keys, *(search.named(names) if search else ()))


def _faults(database: SQLiteConnection, table: str, relations: Container[str]) -> Iterator[BrokenObject]:
    """Find the keys of a table that point to no table, or to what is no key of one."""
    parents = [str(parent) for (parent,) in database.execute(SELECT_PARENTS, {"table": table})]
    missing = [parent for parent in parents if lowered(parent) not in relations]
    for parent in missing:
        gone = f"its foreign key points to {parent}, which does not exist"
        yield BrokenObject("table", table, table, gone, lowered(parent))
    if reason := _why_not(database, f"PRAGMA main.foreign_key_check({quote_identifier(table)})"):
        yield BrokenObject("table", table, table, f"its foreign key cannot be used: {reason}")


def _unusable_keys(database: SQLiteConnection, tables: Iterable[str]) -> Iterator[BrokenObject]:
    """Find keys of tables to columns that are not unique, with which SQLite refuses to write what they point to."""
    for table in sorted(tables):
        reason = _why_not(database, f"PRAGMA main.foreign_key_check({quote_identifier(table)})")
        mismatch = MISMATCH.match(reason) if reason else None
        if reason and mismatch:
            child, parent = mismatch["child"], mismatch["parent"]
            yield BrokenObject("table", child, parent, f"its foreign key cannot be used: {reason}")


def find_faults(database: SQLiteConnection) -> frozenset[str]:
    """Return what `integrity_check` finds in the whole database, up to a thousand faults."""
    rows = database.execute(f"PRAGMA main.integrity_check({_MOST_FAULTS})")
    return frozenset(line for (text,) in rows for line in str(text).splitlines() if line != "ok" and line[:3] != "***")


class _Search:
    """Looks at objects of a schema, each once."""

    def __init__(self, database: SQLiteConnection, catalog: Catalog) -> None:
        self._database = database
        self._catalog = catalog
        self._names: set[str] = set()
        self._items: set[Definition] = set()

    def all(self) -> tuple[BrokenObject, ...]:
        """Look at everything."""
        items = tuple(self._catalog)
        keys = (key for table in sorted(self._catalog.pointing_tables()) for key in self._keys_of(table))
        views = (broken for item in items if item.kind == "view" for broken in self._view(item))
        virtual = (broken for item in items if item.is_virtual for broken in self._virtual(item))
        unusable = _unusable_keys(self._database, self._catalog.pointing_tables())
        return (*keys, *unusable, *views, *virtual, *self._triggers([item for item in items if item.kind == "trigger"]))

    def named(self, names: Container[str]) -> tuple[BrokenObject, ...]:
        """Look at the views and triggers of some lower names."""
        items = [item for item in self._catalog if lowered(item.name) in names]
        views = (broken for item in items if item.kind == "view" for broken in self._view(item))
        return (*views, *self._triggers([item for item in items if item.kind == "trigger"]))

    def among(self, names: Iterable[str]) -> tuple[BrokenObject, ...]:
        """Look at what has one of some lower names, and at what may need something of that name, however indirectly.

        An object needs what is named in its definition. What writes to a table needs the triggers of it, which are
        looked at by themselves: only those that do not work spread.
        """
        keys: dict[BrokenObject, None] = {}
        views: list[BrokenObject] = []
        triggers: list[BrokenObject] = []
        waiting = set(names)
        while waiting:
            self._names |= waiting
            for name in sorted(waiting):
                keys |= dict.fromkeys(self._keys_at(name))
            items = [item for item in self._catalog.concerning(waiting) if item not in self._items]
            self._items.update(items)
            views += (each for item in items if item.kind == "view" for each in self._view(item))
            views += (each for item in items if item.is_virtual for each in self._virtual(item))
            failing = list(self._triggers([item for item in items if item.kind == "trigger"]))
            triggers += failing
            spread = {lowered(item.name) for item in items if item.kind == "view" or item.is_virtual}
            waiting = {*spread, *(lowered(each.table) for each in failing)} - self._names
        return (*keys, *views, *triggers)

    def has_seen(self, broken: BrokenObject) -> bool:
        """Return whether an object was looked at, or is gone."""
        name = lowered(broken.name)
        if broken.kind == "table":
            return name in self._names or lowered(broken.target or "") in self._names
        kind = "table" if broken.kind == _VIRTUAL else broken.kind
        there = [item for item in self._catalog.named(name) if item.kind == kind and lowered(item.name) == name]
        return not there or there[0] in self._items

    def _keys_at(self, name: str) -> Iterator[BrokenObject]:
        """Find the keys of a table that point nowhere, and those that point to it where it does not exist."""
        yield from self._keys_of(name)
        if self._catalog.relation(name) is None:
            for child in sorted(self._catalog.children_of(name)):
                yield from (key for key in self._keys_of(child) if key.target == name)

    def _keys_of(self, table: str) -> Iterator[BrokenObject]:
        child = self._catalog.table(table)
        for parent in self._catalog.parents_of(table) if child else ():
            if child and self._catalog.relation(parent) is None:
                reason = f"its foreign key points to {parent}, which does not exist"
                yield BrokenObject("table", child.name, child.name, reason, parent)

    def _view(self, item: Definition) -> Iterator[BrokenObject]:
        if reason := _why_not(self._database, f"SELECT * FROM main.{quote_identifier(item.name)}"):
            yield BrokenObject("view", item.name, item.name, reason)

    def _virtual(self, item: Definition) -> Iterator[BrokenObject]:
        """Read from a virtual table: only its module knows which other tables it needs."""
        name = quote_identifier(item.name)
        reads = [f"SELECT * FROM main.{name} LIMIT 1"]
        if item.module in _FULL_TEXT:
            reads = [
                f"SELECT * FROM main.{name} WHERE rowid = 0",
                f"SELECT 1 FROM main.{name} WHERE {name} MATCH 'a' LIMIT 1",
            ]
        if reason := next(filter(None, (_why_unread(self._database, read) for read in reads)), None):
            yield BrokenObject(_VIRTUAL, item.name, item.name, reason)

    def _triggers(self, items: Iterable[Definition]) -> Iterator[BrokenObject]:
        """Find the triggers that fail, by preparing what fires all of those of a table, and then each of them alone."""
        fired: dict[str, list[Definition]] = {}
        for item in items:
            fired.setdefault(self._firing(item), []).append(item)
        for statement, suspects in fired.items():
            if reason := _why_not(self._database, statement):
                yield from self._failing(statement, suspects, reason)

    def _failing(self, statement: str, suspects: list[Definition], reason: str) -> Iterator[BrokenObject]:
        """Find which triggers a statement fails with: those with which it fails though no other of the table exists."""
        table = suspects[0].owner
        triggers = [item for item in self._catalog.named(table) if item.kind == "trigger" and item.owner == table]
        same = [item for item in triggers if self._firing(item) == statement]
        reasons = dict(self._alone(statement, same, reason))
        for item in suspects:
            if item in reasons:
                on = self._catalog.relation(item.owner)
                yield BrokenObject("trigger", item.name, on.name if on else item.owner, reasons[item])

    def _alone(self, statement: str, triggers: Sequence[Definition], reason: str) -> Iterator[tuple[Definition, str]]:
        """Halve the triggers until one is left, and leave out halves with which the statement can be prepared."""
        if len(triggers) == 1:
            yield triggers[0], reason
            return
        middle = len(triggers) // 2
        for kept, others in ((triggers[:middle], triggers[middle:]), (triggers[middle:], triggers[:middle])):
            with self._database.savepoint() as savepoint:
                for trigger in others:
                    self._database.execute(f"DROP TRIGGER main.{quote_identifier(trigger.name)}")
                why = _why_not(self._database, statement)
                found = list(self._alone(statement, kept, why)) if why else []
                savepoint.undo()
            yield from found

    def _firing(self, item: Definition) -> str:
        """Return a statement that fires a trigger."""
        words = canonical(item.sql.encode())
        on = self._catalog.relation(item.owner)
        name = f"main.{quote_identifier(on.name if on else item.owner)}"
        # What stands between the trigger's name and ON cannot be quoted, but the name can be anything.
        event = next((word for word in words[words.index("trigger") + 2 :] if word in _EVENTS), "update")
        if event == "insert":
            return f"INSERT INTO {name} DEFAULT VALUES"
        if event == "delete":
            return f"DELETE FROM {name}"
        columns = read_columns(self._database, on.name if on else item.owner, written=True)
        if not columns:
            return f"SELECT * FROM {name}"  # a view that does not work itself
        return f"UPDATE {name} SET {', '.join(f'{column} = {column}' for column in map(quote_identifier, columns))}"


def _why_unread(database: SQLiteConnection, sql: str) -> str | None:
    """Return why rows of a virtual table cannot be read, in SQLite's words, or None where they can be."""
    try:
        database.execute(sql).fetchall()
    except sqlite3.DatabaseError as error:
        if primary_code(error) not in (sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CORRUPT):
            raise
        return str(error)
    return None


def _why_not(database: SQLiteConnection, sql: str) -> str | None:
    """Return why a statement cannot be prepared, in SQLite's words, or None where it can be."""
    try:
        # Another text each time: sqlite3 keeps prepared statements, and SQLite does not prepare an EXPLAIN again.
        database.execute(f"EXPLAIN {sql} -- {next(_NUMBERS)}").fetchone()
    except sqlite3.OperationalError as error:
        if primary_code(error) != sqlite3.SQLITE_ERROR:
            raise
        return str(error)
    return None
