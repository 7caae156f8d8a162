"""Read the schema of a database, and that which migrations make on a scratch database."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from torc_migrations.databases.interface import Database
from torc_migrations.databases.sqlite.catalog.definitions import Definition
from torc_migrations.databases.sqlite.database import SQLiteDatabase, sqlite_only
from torc_migrations.databases.sqlite.schemas.definitions import read_definitions, read_writable_columns
from torc_migrations.databases.sqlite.schemas.settling import Schema
from torc_migrations.databases.sqlite.scripts.statements import first_token
from torc_migrations.formatting import lowered
from torc_migrations.runs.evidence import run_up, scratch_database
from torc_migrations.runs.session import Session
from torc_migrations.sources.migration import Migration, Script
from torc_migrations.sources.text import Place, place


class Origin(NamedTuple):
    """Where an object of the schema was made, or changed last: the migration, and the place of the statement."""

    migration: Migration
    path: str
    where: Place


class Made(NamedTuple):
    """What migrations have made on a scratch database, which is still open.

    Origins are by kind and lower name; there are none where they were not asked for.
    """

    database: SQLiteDatabase
    schema: Schema
    origins: dict[tuple[str, str], Origin]


def read_schema(database: Database, ignored: Iterable[str]) -> Schema:
    """Read the schema of a database, without the tables that are ignored."""
    known = sqlite_only(database, "a comparison of schemas")
    definitions = read_definitions(known, tuple(ignored))
    tables = (each.name for each in definitions if each.kind == "table")
    return Schema(definitions, {lowered(name): read_writable_columns(known, name) for name in tables})


@contextmanager
def made_by(session: Session, migrations: Iterable[Migration], *, with_origins: bool) -> Iterator[Made]:
    """Run the up scripts of migrations on an empty database, and yield what they have made.

    For `with_origins` the whole schema is read after each statement that changes it.

    Raises:
        MigrationError: a script does not run on an empty database.
        NotSupported: this is not SQLite; no scratch database is made then.
    """
    sqlite_only(session.database, "a dump")  # before a server makes a database for it
    with scratch_database(session) as scratch:
        database = sqlite_only(scratch, "a dump")
        origins = _Origins(database, session.ledgers.tables)
        if with_origins:
            database.on_statement = origins.look
        for migration in migrations:
            origins.migration = migration
            run_up(database, migration)
        database.on_statement = None
        yield Made(database, read_schema(database, session.ledgers.tables), origins.found)


class _Origins:
    """Notes after each statement of a script which objects it has made or changed."""

    def __init__(self, database: SQLiteDatabase, ignored: frozenset[str]) -> None:
        self.migration: Migration | None = None
        self.found: dict[tuple[str, str], Origin] = {}
        self._database = database
        self._ignored = ignored
        self._known: dict[tuple[str, str], Definition] = {}
        self._version = self._schema_version()

    def _schema_version(self) -> int:
        return int(self._database.execute("PRAGMA main.schema_version").fetchone()[0])

    def look(self, script: Script, begin: int, _: int, __: int) -> None:
        with self._database.paused_script():
            version = self._schema_version()
            if version == self._version:
                return
            self._version = version
            now = {each.key: each for each in read_definitions(self._database, self._ignored)}
        where = place(script.sql, first_token(script.sql, begin))
        assert self.migration is not None
        for key, definition in now.items():
            if self._known.get(key) != definition:
                self.found[key] = Origin(self.migration, script.path, where)
        self._known = now
