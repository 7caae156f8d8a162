"""Read a database before and after each migration: its tables, its other objects, and what does not work any more."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from torc_migrations.databases.interface import Database, RecordedEffects
from torc_migrations.databases.results.tables import TableState
from torc_migrations.databases.results.violations import BrokenObject, Soundness, newly_broken
from torc_migrations.databases.sqlite.catalog.definitions import Definition
from torc_migrations.databases.sqlite.database import SQLiteDatabase, sqlite_only
from torc_migrations.databases.sqlite.schemas.definitions import (
    count_rows,
    read_columns,
    read_definitions,
    read_foreign_keys,
    read_indexes,
)
from torc_migrations.databases.sqlite.scripts.statements import names_in
from torc_migrations.errors import NotSupported
from torc_migrations.formatting import lowered

if TYPE_CHECKING:
    from torc_migrations.databases.postgresql.database import PostgreSQLDatabase
    from torc_migrations.sources.migration import Migration


@dataclass(frozen=True, slots=True)
class State:
    """A database at one moment.

    Attributes:
        tables: by lower name; on PostgreSQL by the name as it is, with its schema unless it is that of the ledgers.
        objects: indexes, views, triggers, and on PostgreSQL constraints, by kind and name.
    """

    tables: Mapping[str, TableState]
    objects: Mapping[tuple[str, str], Definition]

    def key_of(self, table: str) -> str:
        """Return what a table is found by, from its name as it is written."""
        return table if table in self.tables else lowered(table)


class States(Protocol):
    """Reads the states of a database of one kind, on which scripts are recorded."""

    def read(self, before: State, written: set[str] | None) -> State:
        """Read the database; what a script has not `written`, which None means to be unknown, is as it was before."""

    def find_broken(
        self, migration: Migration, effects: RecordedEffects, before: State, after: State
    ) -> tuple[BrokenObject, ...]:
        """Return what worked before a migration that has just run, and does not work any more."""


def refuse_without_states(database: Database) -> None:
    """Do nothing on a database whose states can be read.

    Raises:
        NotSupported: it is of another kind.
    """
    if not isinstance(database, SQLiteDatabase) and postgresql_or_none(database) is None:
        raise NotSupported(database.name, "check lint works with SQLite and PostgreSQL only")


def states_of(database: Database, ignored: frozenset[str]) -> States:
    """Return what reads the states of a database without the `ignored` tables.

    Raises:
        NotSupported: they cannot be read on a database of this kind.
    """
    refuse_without_states(database)
    server = postgresql_or_none(database)
    if server is not None:
        return _PostgreSQLStates(server, ignored)
    return _SQLiteStates(sqlite_only(database, "check lint"), ignored)


def postgresql_or_none(database: Database) -> PostgreSQLDatabase | None:
    """Return a database of PostgreSQL as what it is; None where it is of another kind."""
    if "psycopg" not in sys.modules:
        return None
    from torc_migrations.databases.postgresql.database import PostgreSQLDatabase

    return database if isinstance(database, PostgreSQLDatabase) else None


class _SQLiteStates:
    def __init__(self, database: SQLiteDatabase, ignored: frozenset[str]) -> None:
        self._database = database
        self._ignored = ignored
        self._sound: Soundness = database.find_broken()

    def read(self, before: State, written: set[str] | None) -> State:
        definitions = read_definitions(self._database, self._ignored)
        objects = {each.key: each for each in definitions if each.kind != "table"}
        tables = {}
        old, now = _indexes(before.objects), _indexes(objects)
        changed = {key for key in old.keys() | now.keys() if old.get(key) != now.get(key)}
        for each in definitions:
            if each.kind != "table":
                continue
            key = lowered(each.name)
            known = before.tables.get(key)
            if known is None or written is None or key in written or key in changed:
                tables[key] = self._read_table(each.name, each.sql)
            else:
                tables[key] = known
        return State(tables, objects)

    def _read_table(self, name: str, sql: str) -> TableState:
        database = self._database
        indexes = read_indexes(database, name)
        return TableState(
            name,
            sql,
            read_columns(database, name),
            count_rows(database, name),
            read_foreign_keys(database, name),
            tuple(each.columns for each in indexes if not each.is_partial),
            indexes,
        )

    def find_broken(self, _: Migration, effects: RecordedEffects, __: State, ___: State) -> tuple[BrokenObject, ...]:
        soundness = self._database.find_broken(effects)
        if not soundness.relations:
            return ()
        broken = newly_broken(soundness, self._sound, effects.created)
        self._sound = soundness
        return broken


def _indexes(objects: Mapping[tuple[str, str], Definition]) -> dict[str, list[Definition]]:
    """Return the indexes of each table, by its lower name."""
    found: dict[str, list[Definition]] = {}
    for each in objects.values():
        if each.kind == "index":
            found.setdefault(lowered(each.table), []).append(each)
    return found


class _PostgreSQLStates:
    """The definitions of indexes are without their names, because a table that is made again has others."""

    def __init__(self, database: PostgreSQLDatabase, ignored: frozenset[str]) -> None:
        self._database = database
        self._ignored = ignored

    def read(self, before: State, written: set[str] | None) -> State:
        from torc_migrations.databases.postgresql.rehearsals.tables import read_tables

        known = {} if written is None else {key: each for key, each in before.tables.items() if key not in written}
        objects = {(each.kind, each.name): each for each in self._objects()}
        return State(read_tables(self._database, self._ignored, known), objects)

    def _objects(self) -> Iterator[Definition]:
        from torc_migrations.databases.postgresql.catalog import read_catalog

        for kind, schema, name, definition, table, _ in (
            self._database.catalog or read_catalog(self._database)
        ).objects:
            is_key = kind == "constraint" and definition.startswith(("FOREIGN KEY", "CHECK"))
            if lowered(table or "") in self._ignored or not (is_key or kind in ("index", "trigger", "view")):
                continue
            full = self._named(schema, name)
            text = _without_name(definition) if kind == "index" else definition
            yield Definition(kind, full, self._named(schema, table) if table else full, text)

    def _named(self, schema: str, name: str) -> str:
        return name if schema in ("", self._database.schema) else f"{schema}.{name}"

    def find_broken(
        self, migration: Migration, effects: RecordedEffects, before: State, after: State
    ) -> tuple[BrokenObject, ...]:
        """Return the views, and the foreign keys of tables that stay, which went and which the script does not name."""
        text = migration.up.sql.decode(errors="replace")
        reason = "it was dropped with what it needs, and the script does not name it"
        return tuple(
            BrokenObject(each.kind, each.name, each.table, reason)
            for key, each in before.objects.items()
            if key not in after.objects
            and (each.kind == "view" or (each.kind == "constraint" and each.title in effects.dropped_objects))
            and not _is_kept(each, after, effects)
            and not _goes_with_column(each, before, after, effects)
            and not re.search(rf"\b{re.escape(each.name.rpartition('.')[2])}\b", text, re.IGNORECASE)
        )


def _is_kept(definition: Definition, after: State, effects: RecordedEffects) -> bool:
    """Return whether a key is there after its table was renamed, which is the first part of its name."""
    table = effects.renamed_tables.get(definition.table, definition.table)
    return (definition.kind, f"{table}.{definition.name.rpartition('.')[2]}") in after.objects


def _goes_with_column(key: Definition, before: State, after: State, effects: RecordedEffects) -> bool:
    """Return whether a column of its own was dropped, with which PostgreSQL drops a key of one table or a CHECK.

    See https://www.postgresql.org/docs/current/sql-altertable.html, DROP COLUMN.
    """
    old = before.tables.get(key.table)
    now = after.tables.get(effects.renamed_tables.get(key.table, key.table))
    if key.kind != "constraint" or old is None or now is None:
        return False
    gone = {each.name for each in old.columns} - {each.name for each in now.columns}
    return not names_in(key.sql.partition(" REFERENCES ")[0]).isdisjoint(map(lowered, gone))


def _without_name(definition: str) -> str:
    unique = "UNIQUE " if definition.startswith("CREATE UNIQUE ") else ""
    return unique + definition.partition(" USING ")[2]
