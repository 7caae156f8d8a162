"""The schema of an SQLite database: read once, and kept up to date by what scripts create, alter and drop."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from typing import Protocol, TypeVar

from torc_migrations.databases.sqlite.catalog.definitions import Definition, DefinitionChange
from torc_migrations.databases.sqlite.connection import quote_identifier
from torc_migrations.databases.sqlite.scripts.statements import names_in
from torc_migrations.formatting import lowered

_Value = TypeVar("_Value")

SELECT_ALL = """
    SELECT +rowid, +type, +name, +tbl_name, coalesce(sql, '')
    FROM main.sqlite_master
    ORDER BY rowid
"""
SELECT_NEWER = """
    SELECT +rowid, +type, +name, +tbl_name, coalesce(sql, '')
    FROM main.sqlite_master
    WHERE rowid > :last
    ORDER BY rowid
"""
SELECT_ONE = """
    SELECT +rowid, +type, +name, +tbl_name, coalesce(sql, '')
    FROM main.sqlite_master
    WHERE rowid = :rowid
"""
# To look for the word first saves reading the keys of every table: 1 ms for 500 tables.
SELECT_REFERENCES = """
    SELECT +child.name, reference."table"
    FROM main.sqlite_master AS child
    JOIN pragma_foreign_key_list(child.name, 'main') AS reference
    WHERE child.type = 'table'
    AND instr(upper(child.sql), 'REFERENCES')
"""
# The tables in which SQLite's own virtual tables keep their data.
_SHADOW_TABLES = (
    *("config", "content", "data", "docsize", "idx", "instance", "row", "col"),
    *("node", "parent", "rowid", "segdir", "segments", "stat"),
)


class Reader(Protocol):
    """What is used here of an `SQLiteConnection`; `catalog` is a `Catalog` once the schema was read, else None."""

    catalog: object

    def execute(self, sql: str, values: Mapping[str, object] | None = None) -> sqlite3.Cursor:
        """Run one statement of ours."""

    def last_change(self) -> int:
        """Return a number that changes once another connection has written."""


class Changed(Protocol):
    """What is used here of a script's effects.

    Attributes:
        objects: the lower names of what it has created, altered or dropped.
        rewrites: whether it may have changed the definition of any other object, as an ALTER TABLE does.
    """

    objects: set[str]
    rewrites: bool


class Catalog:
    """The schema of one database.

    It is current as long as no other connection has written and the schema's version is that of the last look at it;
    `catalog_of` checks that. SQLite appends to its schema table, so that what is new stands behind what was known.
    """

    def __init__(self, database: Reader) -> None:
        self._database = database
        self._items: dict[int, Definition] = {}
        self._by_name: dict[str, set[int]] = {}
        self._owned: dict[str, set[int]] = {}
        self._parents: dict[str, tuple[str, ...]] = {}
        self._children: dict[str, set[str]] = {}
        self._mentions: dict[str, set[int]] | None = None
        self._relations: set[str] = set()
        self._columns: dict[str, tuple[str, ...]] = {}
        self._unread: set[str] = set()  # tables whose columns were not read
        for rowid, item in self._select(SELECT_ALL):
            self._add(rowid, item)
        for child, parent in database.execute(SELECT_REFERENCES):
            self._add_key(lowered(str(child)), lowered(str(parent)))
        self.at = _moment(database)

    # Reading

    def __iter__(self) -> Iterator[Definition]:
        return iter(self._items.values())

    def relation(self, name: str) -> Definition | None:
        """Return the table or view of a lower name."""
        items = (self._items[rowid] for rowid in self._by_name.get(name, ()))
        return next((item for item in items if item.kind in ("table", "view")), None)

    def table(self, name: str) -> Definition | None:
        """Return the table of a lower name."""
        found = self.relation(name)
        return found if found and found.kind == "table" else None

    def position(self, name: str) -> int:
        """Return the place of the table of a lower name in the order in which tables were created; 0 for none."""
        rows = self._by_name.get(name, ())
        return next((rowid for rowid in rows if self._items[rowid].kind == "table"), 0)

    def relations(self) -> frozenset[str]:
        """Return the lower names of all tables and views."""
        return frozenset(self._relations)

    def tables(self) -> tuple[str, ...]:
        """Return the names of all tables, without SQLite's own."""
        return tuple(item.name for item in self if item.kind == "table" and not item.name.startswith("sqlite_"))

    def named(self, name: str) -> tuple[Definition, ...]:
        """Return what has a lower name, or belongs to the table or view of that name."""
        return tuple(self._items[rowid] for rowid in sorted(self._rows_of(name)))

    def concerning(self, names: Iterable[str]) -> tuple[Definition, ...]:
        """Return what has one of some lower names, and what may need it.

        That is what has the name in its definition, of views, triggers and virtual tables, and a virtual table that
        keeps its data in a table of the name.
        """
        if self._mentions is None:
            self._mentions = {}
            for rowid, item in self._items.items():
                self._note_mentions(rowid, item)
        rows = set[int]()
        for name in names:
            rows |= self._rows_of(name)
            rows.update(self._mentions.get(name, ()))
        return tuple(self._items[rowid] for rowid in sorted(rows))

    def parents_of(self, table: str) -> tuple[str, ...]:
        """Return the lower names of the tables that a table points to."""
        return self._parents.get(table, ())

    def children_of(self, table: str) -> AbstractSet[str]:
        """Return the lower names of the tables that point to a table, which need not exist."""
        return self._children.get(table, frozenset())

    def pointing_tables(self) -> AbstractSet[str]:
        """Return the lower names of the tables that point to one."""
        return self._parents.keys()

    def parents(self) -> AbstractSet[str]:
        """Return the lower names of the tables that one points to."""
        return self._children.keys()

    def descendants(self, tables: Iterable[str]) -> dict[str, frozenset[str]]:
        """Return the tables that point to some tables, however indirectly: by lower name, those next to it."""
        found: dict[str, frozenset[str]] = {}
        waiting = list(tables)
        while waiting:
            table = waiting.pop()
            if table not in found:
                found[table] = frozenset(self.children_of(table))
                waiting += found[table]
        return found

    def columns_of(self, table: str) -> tuple[str, ...]:
        """Return the columns of the table of a lower name that a SELECT returns; none without its module."""
        if table in self._unread:
            self._unread.discard(table)
            found = self.table(table)
            self._columns[table] = read_columns(self._database, found.name) if found else ()
        return self._columns.get(table, ())

    def read_all_columns(self) -> Callable[[str], tuple[str, ...]]:
        """Read the columns of all tables that were not read yet, and return what returns those of a lower name."""
        for table in tuple(self._unread):
            self.columns_of(table)
        return self.columns_of

    def hidden(self) -> frozenset[str]:
        """Return the lower names of the tables in which virtual tables keep their data."""
        return frozenset(name for item in self if item.is_virtual for name in _shadow_names(item))

    # Following

    def follow(self, effects: Changed) -> tuple[DefinitionChange, ...]:
        """Read again what a script may have changed, and return what it has changed."""
        before = dict(self._items) if effects.rewrites else self._touched(effects.objects)
        if effects.rewrites:
            now = dict(self._select(SELECT_ALL))
        else:
            last = next((rowid for rowid in reversed(self._items) if rowid not in before), 0)
            now = dict(self._select(SELECT_NEWER, {"last": last}))
            for rowid in sorted(before):
                if rowid < last:
                    now.update(self._select(SELECT_ONE, {"rowid": rowid}))
        changes = self._replace(before, now)
        self.at = _moment(self._database)
        return changes

    def _touched(self, names: Iterable[str]) -> dict[int, Definition]:
        """Return the rows of what has one of some lower names, or belongs to it."""
        rows = set[int]().union(*map(self._rows_of, names))
        return {rowid: self._items[rowid] for rowid in sorted(rows)}

    def _rows_of(self, name: str) -> AbstractSet[int]:
        return self._by_name.get(name, set()) | self._owned.get(name, set())

    def _replace(self, before: Mapping[int, Definition], now: Mapping[int, Definition]) -> tuple[DefinitionChange, ...]:
        changes = []
        for rowid, item in before.items():
            if now.get(rowid) != item:
                changes.append(DefinitionChange(item, None))
                self._forget(rowid, item)
                if rowid not in now:
                    del self._items[rowid]
        last = next(reversed(self._items), 0)
        new = {rowid: item for rowid, item in now.items() if before.get(rowid) != item}
        for rowid, item in new.items():
            changes.append(DefinitionChange(None, item))
            self._add(rowid, item)
        if any(rowid < last for rowid in new if rowid not in before):
            self._items = dict(sorted(self._items.items()))
        for item in new.values():
            self._read_keys(item)
        return tuple(changes)

    def _select(self, sql: str, values: Mapping[str, object] | None = None) -> Iterator[tuple[int, Definition]]:
        for rowid, kind, name, table, text in self._database.execute(sql, values).fetchall():
            yield rowid, Definition(str(kind), str(name), str(table), str(text))

    def _add(self, rowid: int, item: Definition) -> None:
        self._items[rowid] = item
        name = lowered(item.name)
        self._by_name.setdefault(name, set()).add(rowid)
        if item.kind in ("table", "view"):
            self._relations.add(name)
        if item.kind == "table":
            self._unread.add(name)
        if item.kind in ("index", "trigger"):
            self._owned.setdefault(item.owner, set()).add(rowid)
        if self._mentions is not None:
            self._note_mentions(rowid, item)

    def _note_mentions(self, rowid: int, item: Definition) -> None:
        if self._mentions is not None:
            for name in _mentioned_in(item):
                self._mentions.setdefault(name, set()).add(rowid)

    def _forget(self, rowid: int, item: Definition) -> None:
        name = lowered(item.name)
        _discard(self._by_name, name, rowid)
        _discard(self._owned, item.owner, rowid)
        if self._mentions is not None:
            for each in _mentioned_in(item):
                _discard(self._mentions, each, rowid)
        if item.kind in ("table", "view"):
            self._relations.discard(name)
        if item.kind == "table":
            self._unread.discard(name)
            self._columns.pop(name, None)
            for parent in self._parents.pop(name, ()):
                _discard(self._children, parent, name)

    def _read_keys(self, item: Definition) -> None:
        if item.kind == "table" and "REFERENCES" in item.sql.upper():
            keys = self._database.execute(f"PRAGMA main.foreign_key_list({quote_identifier(item.name)})").fetchall()
            for key in keys:
                self._add_key(lowered(item.name), lowered(str(key[2])))

    def _add_key(self, child: str, parent: str) -> None:
        known = self._parents.get(child, ())
        if parent not in known:
            self._parents[child] = (*known, parent)
            self._children.setdefault(parent, set()).add(child)


def catalog_of(database: Reader) -> Catalog:
    """Return the schema of a database, which is read again only where it may have changed since."""
    catalog = current_catalog(database) or Catalog(database)
    database.catalog = catalog
    return catalog


def current_catalog(database: Reader) -> Catalog | None:
    """Return the schema of a database if it was read and has not changed since."""
    catalog = database.catalog
    return catalog if isinstance(catalog, Catalog) and catalog.at == _moment(database) else None


def _moment(database: Reader) -> tuple[int, int]:
    """Return what differs once the schema of a database has changed, through whichever connection."""
    return database.last_change(), int(database.execute("PRAGMA main.schema_version").fetchone()[0])


def read_columns(database: Reader, table: str, *, written: bool = False) -> tuple[str, ...]:
    """Return the columns of a table that a SELECT returns, or those that can be `written`; none without its module."""
    try:
        rows = database.execute(f"PRAGMA main.table_xinfo({quote_identifier(table)})").fetchall()
    except sqlite3.OperationalError:
        return ()
    kinds = (0,) if written else (0, 2, 3)
    return tuple(str(name) for _, name, _, _, _, _, kind in rows if kind in kinds)


def _shadow_names(item: Definition) -> Iterator[str]:
    """Yield the lower names of the tables in which a virtual table may keep its data."""
    return (f"{lowered(item.name)}_{part}" for part in _SHADOW_TABLES)


def _mentioned_in(item: Definition) -> set[str]:
    """Return the lower names of what an object may need."""
    if item.is_virtual:
        return names_in(item.sql).union(_shadow_names(item))
    return names_in(item.sql) if item.kind in ("view", "trigger") else set()


def _discard(index: dict[str, set[_Value]], key: str, value: _Value) -> None:
    values = index.get(key)
    if values is not None:
        values.discard(value)
        if not values:
            del index[key]
