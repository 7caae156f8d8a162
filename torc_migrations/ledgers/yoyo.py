"""yoyo's ledger and log, written by yoyo's own backend in the transaction of the caller.

Loaded only when there is something to write, because yoyo takes long to load.
"""

from __future__ import annotations

import getpass
import os
import socket
import uuid
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from functools import cache
from itertools import count
from typing import Any, cast

from yoyo import internalmigrations
from yoyo.backends.base import DatabaseBackend
from yoyo.internalmigrations import v2

from torc_migrations.databases.interface import Cursor, Database
from torc_migrations.history.steps import Step
from torc_migrations.sources.migration import Migration

_COUNTED = 12  # letters of a UUID, behind its last hyphen


def open_backend(database: Database, migration_table: str) -> LedgerBackend:
    """Return yoyo's backend for this kind of database, with what `LedgerBackend` changes."""
    return _class_for(database.yoyo_backend())(database, migration_table)


@cache
def _class_for(backend: type) -> type[LedgerBackend]:
    return cast("type[LedgerBackend]", type("LedgerBackend", (LedgerBackend, backend), {}))


class LedgerBackend(DatabaseBackend):  # type: ignore[misc]  # yoyo has no types
    """Write yoyo's ledger and log through yoyo's own methods, and in no transaction but the caller's.

    Nothing is inherited that connects, locks, begins, commits, or registers an adapter for the whole process.
    """

    # A row that is there already is left as it is; a ledger that was copied may have lost its primary key.
    mark_migration_sql = (
        "INSERT INTO {0.migration_table_quoted} "
        "({quoted.migration_hash}, {quoted.migration_id}, {quoted.applied_at_utc}) "
        "SELECT :migration_hash, :migration_id, :when WHERE NOT EXISTS "
        "(SELECT 1 FROM {0.migration_table_quoted} WHERE {quoted.migration_hash} = :migration_hash)"
    )
    log_migration_sql = (
        "INSERT INTO {0.log_table_quoted} "
        "({quoted.id}, {quoted.migration_hash}, {quoted.migration_id}, {quoted.operation}, "
        "{quoted.username}, {quoted.hostname}, {quoted.comment}, {quoted.created_at_utc}) "
        "VALUES (:id, :migration_hash, :migration_id, :operation, :username, :hostname, :comment, :created_at_utc)"
    )

    def __init__(self, database: Database, migration_table: str) -> None:
        self._database = database
        self.migration_table = migration_table
        self.has_transactional_ddl = True
        self._in_transaction = True
        self._internal_schema_updated = True
        self._formatted: dict[str, str] = {}
        self.moment = ""
        self._key = str(uuid.uuid4())[:-_COUNTED]
        self._lines = count()
        self._who = {"username": _username(), "hostname": socket.gethostname()}
        self.comment = ""
        self.last_line = ""

    @property
    def migration_table_quoted(self) -> str:
        """The name of yoyo's ledger for SQL."""
        return self._qualified(self.migration_table)

    @property
    def log_table_quoted(self) -> str:
        """The name of yoyo's log for SQL."""
        return self._qualified(self.log_table)

    @property
    def version_table_quoted(self) -> str:
        """The name of the table with the version of yoyo's own tables, for SQL."""
        return self._qualified(self.version_table)

    def _qualified(self, table: str) -> str:
        return self._database.qualified(self.quote_identifier(table))

    def set_time(self) -> str:
        """Return the time, in UTC and as yoyo writes it, that all rows bear that are written from now on."""
        self.moment = str(datetime.now(UTC).replace(tzinfo=None))
        return self.moment

    def create_tables(self) -> None:
        """Bring yoyo's own tables to their newest schema, in the caller's transaction.

        yoyo itself would create and drop an older ledger first, which an open cursor of a lent connection forbids, and
        would fail where a second ledger shares the log of the first.
        """
        tables = self.list_tables()
        if self.migration_table in tables and self._database.rows_or_none(self._select_hash) is None:
            internalmigrations.upgrade(self)
            return
        # Where DDL commits by itself, a process that was killed may have left only some of them.
        if self.migration_table not in tables:
            v2.create_migration_table(self)
        if self.log_table not in tables:
            v2.create_log_table(self)
        if self.version_table not in tables:
            v2.create_version_table(self)
        if self._database.rows_or_none(f"SELECT 1 FROM {self.version_table_quoted}") == []:
            internalmigrations.mark_schema_version(self, max(internalmigrations.schema_versions))

    @property
    def _select_hash(self) -> str:
        """What succeeds where the ledger has the columns of yoyo 6 and later."""
        return f"SELECT migration_hash FROM {self.migration_table_quoted} LIMIT 0"

    def list_tables(self, **_: object) -> list[str]:
        """Return the names of all tables."""
        return sorted(self._database.tables())

    def execute(self, sql: str, params: Mapping[str, Any] | None = None) -> Cursor:
        """Run one statement; a time is bound as text, because how Python adapts one is up to the application."""
        parameters = params or {}
        if "when" in parameters:  # which yoyo calls every time, and which is always now
            parameters = {**parameters, "when": self.moment}
        return self._database.execute(sql, parameters)

    def format_sql(self, s: str, **kwargs: str) -> str:
        """Put the names of tables and columns into one of yoyo's templates, once; yoyo defines a class each time."""
        formatted = self._formatted.get(s)
        if formatted is None:
            formatted = self._formatted[s] = s.format(self, quoted=_Quoted(self), **kwargs)
        return formatted

    def record_all(self, done: Iterable[tuple[Step, str, str]]) -> None:
        """Write yoyo's rows and lines of several migrations that are applied; each has a comment and a time."""
        rows, lines = [], []
        for step, self.comment, self.moment in done:
            migration = step.migration
            rows.append({"migration_hash": migration.hash, "migration_id": migration.id, "when": self.moment})
            lines.append(self.get_log_data(migration, step.action.operation))
        self._database.execute_many(self.format_sql(self.mark_migration_sql), rows)
        self._database.execute_many(self.format_sql(self.log_migration_sql), lines)

    def get_log_data(self, migration: Migration | None = None, operation: str = "apply") -> dict[str, Any]:
        """Return what yoyo logs, with a comment of ours; needs neither a passwd entry nor a name server."""
        self.last_line = self._new_id()
        return {
            "id": self.last_line,
            "migration_id": migration.id if migration else None,
            "migration_hash": migration.hash if migration else None,
            "operation": operation,
            "comment": self.comment,
            "created_at_utc": self.moment,
            **self._who,
        }

    def _new_id(self) -> str:
        """Return the key of a line of the log: a UUID drawn once, its end counted up, so that keys are in order."""
        return f"{self._key}{next(self._lines):0{_COUNTED}x}"


class _Quoted:
    """What `quoted.NAME` is in yoyo's templates."""

    def __init__(self, backend: LedgerBackend) -> None:
        self._backend = backend

    def __getattr__(self, name: str) -> str:
        quoted: str = self._backend.quote_identifier(name)
        return quoted


def _username() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):
        return str(os.getuid()) if hasattr(os, "getuid") else "unknown"
