"""yoyo's SQLite backend on a connection of ours: its marking, unmarking and logging, inside our transaction.

Loaded only when there is something to write, because yoyo takes its time to load.
"""

from __future__ import annotations

import getpass
import os
import socket
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import count
from typing import TYPE_CHECKING, Any

from yoyo import internalmigrations
from yoyo.backends.core.sqlite3 import SQLiteBackend
from yoyo.internalmigrations import v2

from torc_migrations.driver import sqlite3

if TYPE_CHECKING:
    from torc_migrations.migration import Migration


_COUNTED = 12  # letters of a UUID, behind its last hyphen


class LedgerBackend(SQLiteBackend):  # type: ignore[misc]  # yoyo has no types
    """Write yoyo's ledger and log through yoyo's own methods, and in no transaction but the caller's.

    Nothing is inherited that connects, locks, begins, commits, or registers an adapter for the whole process.
    """

    # A plus hides a column's declared type, for which the owner of a lent connection may have a converter.
    list_tables_sql = "SELECT +name FROM sqlite_master WHERE type = 'table'"
    # A row that stands already is left as it is.
    mark_migration_sql = (
        "INSERT INTO {0.migration_table_quoted} "
        "({quoted.migration_hash}, {quoted.migration_id}, {quoted.applied_at_utc}) "
        "VALUES (:migration_hash, :migration_id, :when) ON CONFLICT ({quoted.migration_hash}) DO NOTHING"
    )
    mark_without_key_sql = (
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

    def __init__(self, connection: sqlite3.Connection, migration_table: str) -> None:
        self._connection: sqlite3.Connection = connection
        self.migration_table = migration_table
        self.has_transactional_ddl = True
        self.DatabaseError = sqlite3.DatabaseError
        self._in_transaction = True
        self._internal_schema_updated = True
        self._formatted: dict[str, str] = {}
        self._collected: defaultdict[str, list[Mapping[str, object]]] | None = None
        self._idle = sqlite3.Cursor(connection)  # has no rows; for a statement that is run at the end
        self._moment = ""
        self._key = str(uuid.uuid4())[:-_COUNTED]
        self._lines = count()
        self._who = {"username": _username(), "hostname": socket.gethostname()}
        self.comment = ""

    def look_at_clock(self) -> str:
        """Return the time, in UTC and as yoyo writes it, that whatever is written from now on bears."""
        self._moment = str(datetime.now(UTC).replace(tzinfo=None))
        return self._moment

    def create_tables(self) -> None:
        """Bring yoyo's own tables to its newest schema, in the caller's transaction.

        yoyo itself would make and drop an older ledger first, which an open cursor of a lent connection forbids, and
        would fail where a second ledger shares the log of the first.
        """
        tables = self.list_tables()
        if self.migration_table in tables:
            if internalmigrations.needs_upgrading(self):
                internalmigrations.upgrade(self)
            return
        v2.create_migration_table(self)
        if self.log_table not in tables:
            v2.create_log_table(self)
        if self.version_table not in tables:
            v2.create_version_table(self)
            internalmigrations.mark_schema_version(self, max(internalmigrations.schema_versions))

    def list_tables(self, **_: object) -> list[str]:
        """Return the names of all tables."""
        return [name for (name,) in self.execute(self.list_tables_sql)]

    def execute(self, sql: str, params: Mapping[str, Any] | None = None) -> sqlite3.Cursor:
        """Run one statement; a time is bound as text, because how Python adapts one is its host's affair."""
        parameters = params or {}
        if "when" in parameters:  # as yoyo calls a time wherever it has one, and it is always now
            parameters = {**parameters, "when": self._moment}
        collected = self._collected
        if collected is None:
            return self._run(sqlite3.Cursor(self._connection).execute, sql, parameters)
        collected[sql].append(parameters)
        return self._idle

    @contextmanager
    def collecting(self) -> Iterator[None]:
        """Run at the end what is to be run inside: each statement with all its parameters."""
        collected = self._collected = defaultdict[str, list[Mapping[str, object]]](list)
        try:
            yield
        finally:
            self._collected = None
        for sql, parameters in collected.items():
            self._run(self._idle.executemany, sql, parameters)

    def _run(self, run: Callable[[str, Any], sqlite3.Cursor], sql: str, parameters: object) -> sqlite3.Cursor:
        if sql is not self._formatted.get(self.mark_migration_sql):
            return run(sql, parameters)
        return self.insert(run, sql, self.format_sql(self.mark_without_key_sql), parameters)

    @staticmethod
    def insert(
        run: Callable[[str, Any], sqlite3.Cursor], sql: str, without_key: str, parameters: object
    ) -> sqlite3.Cursor:
        """Insert what no row stands for; where a ledger was copied without its key they are looked for."""
        try:
            return run(sql, parameters)
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_ERROR:
                raise
            return run(without_key, parameters)

    def format_sql(self, s: str, **kwargs: str) -> str:
        """Put the names of tables and columns into one of yoyo's templates, once."""
        formatted = self._formatted.get(s)
        if formatted is None:
            formatted = self._formatted[s] = super().format_sql(s, **kwargs)
        return formatted

    def get_log_data(self, migration: Migration | None = None, operation: str = "apply") -> dict[str, Any]:
        """Return what yoyo logs, with a comment of ours; needs neither a passwd entry nor a name server."""
        return {
            "id": self._new_id(),
            "migration_id": migration.id if migration else None,
            "migration_hash": migration.hash if migration else None,
            "operation": operation,
            "comment": self.comment,
            "created_at_utc": self._moment,
            **self._who,
        }

    def _new_id(self) -> str:
        """Return the key of a line of the log: a UUID drawn once, its end counted up, for one place in the index."""
        return f"{self._key}{next(self._lines):0{_COUNTED}x}"


def _username() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):
        return str(os.getuid()) if hasattr(os, "getuid") else "unknown"
