"""A PostgreSQL connection: reading as of one moment, one write transaction, and the migration lock."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import ClientCursor, sql
from psycopg.pq import TransactionStatus
from psycopg.rows import tuple_row

from torc_migrations.databases.files import note_end_of_use, note_use
from torc_migrations.databases.postgresql import locks
from torc_migrations.databases.postgresql.address import Address, connect, is_broken, read_only, translate
from torc_migrations.databases.postgresql.savepoints import PostgreSQLSavepoint
from torc_migrations.databases.postgresql.session import SessionState, literal, set_search_path
from torc_migrations.databases.servers.parameters import to_pyformat
from torc_migrations.databases.transactions import Transaction
from torc_migrations.databases.waiting import Wait
from torc_migrations.errors import CannotOpen, DatabaseFailed
from torc_migrations.log import log

if TYPE_CHECKING:
    from torc_migrations.databases.interface import Functions
    from torc_migrations.databases.servers.given import ServerOptions
    from torc_migrations.databases.waiting import Monitor
    from torc_migrations.errors import MigrationError

    Connection = psycopg.Connection[Any]
    Row = tuple[Any, ...]

_PAUSE = 0.2  # seconds, between two attempts to connect again
# The errors for a table or a column that does not exist.
_MISSING = (psycopg.errors.UndefinedTable, psycopg.errors.UndefinedColumn, psycopg.errors.InvalidSchemaName)
_IN_A_TRANSACTION = (TransactionStatus.INTRANS, TransactionStatus.INERROR)

# The first schema of the search path that has a ledger; without one, that in which CREATE TABLE creates tables.
SELECT_FACTS = """
    SELECT
        coalesce(
            (
                SELECT n.nspname
                FROM unnest(current_schemas(false)) WITH ORDINALITY AS path(name, place)
                JOIN pg_catalog.pg_namespace n ON n.nspname = path.name
                JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid
                WHERE c.relname IN ('_yoyo_migration', '_yoyo_log', '_sqlx_migrations')
                ORDER BY path.place
                LIMIT 1
            ),
            current_schema()
        ),
        current_database(),
        pg_backend_pid()
"""
SELECT_DIGEST = """
    SELECT coalesce(sum(hashtextextended(ctid::text || ' ' || xmin::text, 0)), 0)
    FROM {}
"""


class PostgreSQLConnection:
    """A connection that is ours, or that is lent to us and is given back as it was found.

    Attributes:
        schema: where the ledgers are.
        is_pooled: whether a pooler stands between, which may give each transaction to another session.
    """

    monitor: Monitor | None = None
    statement_timeout: float | None = None

    def __init__(
        self, connection: Connection, address: Address, *, lent: bool, lock_timeout: float, options: ServerOptions
    ) -> None:
        self.connection = connection
        self.address = address
        self.name = address.name
        self.lock_timeout = lock_timeout
        self.options = options
        self.is_missing = False
        self._lent = lent
        self._autocommit = connection.autocommit
        self._ledgers: dict[str, bool] = {}  # by name for SQL, whether the table is known to exist
        self._changes = 0  # how often another session was seen to have written
        self._is_writing = False
        self._has_prepared = False  # to write
        self.functions: Functions | None = None
        self._begin_session()

    def _begin_session(self) -> None:
        """Read what has to be known of a session, and set what the owner of a lent one may have set otherwise."""
        connection = self.connection
        self._digest: tuple[object, ...] | None = None
        self.session = SessionState(self.run)
        if not self._lent:
            connection.add_notice_handler(self._log_notice)
        connection.autocommit = True
        self._encoding = connection.info.parameter_status("client_encoding") or "UTF8"
        if self._encoding != "UTF8":
            self.run("SET client_encoding TO 'UTF8'")
        schema, self.database, pid = self._read_facts()
        self.is_pooled = pid != connection.info.backend_pid
        self.schema = str(schema or "")
        if not self.schema:
            path = self.address.schema or "the search path"
            raise CannotOpen(self.name, f"{self.name}: {path} names no schema that exists", hint="create it first")
        self.key = locks.sqlx_key(str(self.database))
        if self.is_pooled:
            log().warning(
                "%s is behind a pooler; a script outside a transaction needs a connection without one", self.name
            )

    def reconnect(self) -> bool:
        """Connect again after the connection was lost, and wait for a server, one that may be written to if we write.

        Raises:
            CannotOpen: there was none for `lock_timeout` seconds.
        """
        if self._lent or not is_broken(self.connection):
            return False
        self.connection.close()
        log().warning("%s: the connection is lost; connecting again for up to %g s", self.name, self.lock_timeout)
        give_up = monotonic() + self.lock_timeout
        while True:
            try:
                self.connection = connect(self.address)
                if self.functions:
                    self.functions(self.connection)
                self._begin_session()
                if self._has_prepared:
                    self.prepare_to_write()
            except (CannotOpen, DatabaseFailed):
                self.connection.close()
                if monotonic() >= give_up:
                    raise
                sleep(_PAUSE)
            else:
                return True

    def _read_facts(self) -> Row:
        path = set_search_path(self.address.schema)
        with self._translated():
            cursor = self.run(f"BEGIN READ ONLY; {path}{SELECT_FACTS}; ROLLBACK")
            for _ in range(2 if path else 1):
                cursor.nextset()
            rows: list[Row] = cursor.fetchall()
            return rows[0]

    def _log_notice(self, notice: psycopg.errors.Diagnostic) -> None:
        log().info("%s: %s", notice.severity, notice.message_primary)

    # Statements of ours

    def run(self, text: str, values: Mapping[str, object] | None = None) -> ClientCursor[Any]:
        """Run statements of ours in one simple query."""
        cursor = ClientCursor(self.connection, row_factory=tuple_row)
        if values:
            cursor.execute(to_pyformat(text).encode(), values)
        else:
            cursor.execute(text.encode())
        return cursor

    def execute(self, text: str, values: Mapping[str, object] | None = None) -> ClientCursor[Any]:
        """Run one statement of ours, whose rows are tuples."""
        return self.run(text, values)

    def row(self, text: str, values: Mapping[str, object] | None = None) -> Row:
        """Return the first row of a query that has one."""
        rows: list[Row] = self.run(text, values).fetchall()
        return rows[0]

    def rows_or_none(self, text: str, values: Mapping[str, object] | None = None) -> list[Row] | None:
        """Return the rows of a query, or None where a table or a column of it does not exist."""
        if not self.in_transaction:
            try:
                return self.run(text, values).fetchall()
            except _MISSING:
                return None
        try:
            cursor = self.run(f"SAVEPOINT torc_read; {text.rstrip().rstrip(';')}; RELEASE SAVEPOINT torc_read", values)
        except _MISSING:
            self.run("ROLLBACK TO SAVEPOINT torc_read; RELEASE SAVEPOINT torc_read")
            return None
        cursor.nextset()
        return cursor.fetchall()

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open."""
        return self.connection.info.transaction_status in _IN_A_TRANSACTION

    def quote_identifier(self, name: str) -> str:
        """Quote a name for SQL."""
        return sql.Identifier(name).as_string(None)

    def qualified(self, table: str) -> str:
        """Return a ledger's name with its schema, unless it names one itself; what is asked for is watched."""
        quoted = table.startswith('"') and table.endswith('"') and '"."' not in table
        name = table if "." in table and not quoted else f"{self.quote_identifier(self.schema)}.{table}"
        self._ledgers.setdefault(name, False)
        return name

    # Use and end of use

    def take(self) -> None:
        """Make a lent connection ours for a while."""
        note_use(self, self.name)

    def close(self) -> None:
        """Close our connection; give a lent one back as it was found. May be called again."""
        note_end_of_use(self)
        if not self._lent:
            self.connection.close()
            return
        if self.connection.closed:
            return
        try:
            self.roll_back()
            self.session.restore(outside=True)
            locks.release_all(self)
            if self._encoding != "UTF8":
                self.run(f"SET client_encoding TO '{self._encoding}'")
            self.connection.autocommit = self._autocommit
        except psycopg.Error:
            log().warning("the connection to %s was lost while it was lent", self.name)

    # Reading

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Read several tables as of one moment; works on a standby, and with the right to SELECT."""
        with self._translated():
            try:
                self.roll_back()
                self.run("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
                yield
            finally:
                self.roll_back()

    def last_change(self) -> int:
        """Return a number that changes once another session has written to a ledger.

        In our transaction nobody else can write to one, because they are locked.
        """
        if not self._is_writing:
            self._compare()
        return self._changes

    def _compare(self) -> None:
        digest = self._read_digest()
        if digest != self._digest:
            self._changes += 1
            self._digest = digest

    def _read_digest(self) -> tuple[object, ...]:
        """Return a value that another one differs from once a row of a ledger was written, deleted or changed."""
        tables = self._existing_ledgers()
        if not (tables and self.options.advisory_lock):  # without such locks there are no system columns either
            return (object(),) if tables else ()
        queries = ", ".join(f"({SELECT_DIGEST.format(table)})" for table in tables)
        return (*tables, *self.row(f"SELECT {queries}"))

    def _existing_ledgers(self) -> list[str]:
        names = list(self._ledgers)
        if not all(self._ledgers.values()) and names:
            row = self.row("SELECT " + ", ".join(f"to_regclass({literal(name)}) IS NOT NULL" for name in names))
            self._ledgers = dict(zip(names, row, strict=True))
        return [name for name, exists in self._ledgers.items() if exists]

    @property
    def ledger_names(self) -> list[str]:
        """The names for SQL of the ledgers that exist."""
        return [name for name, exists in self._ledgers.items() if exists]

    @property
    def watched(self) -> list[str]:
        """The names for SQL of the ledgers, whether they exist or not."""
        return list(self._ledgers)

    def note_change_of_session(self) -> None:
        """Note that a script has left something that ends with the transaction."""

    def forget_ledgers(self) -> None:
        """Look again, before the next transaction, which of the ledgers exist."""
        self._ledgers = dict.fromkeys(self._ledgers, False)

    def yoyo_holder(self) -> str | None:
        """Describe the process that holds yoyo's lock, if it may be alive, or return None."""
        row = locks.read_yoyo_lock(self)
        return str(row) if row and row.alive else None

    # Writing

    def prepare_to_write(self) -> None:
        """Note the settings of the session, which are restored after each script; refuse what cannot be written.

        Raises:
            CannotOpen: the server is a standby, or read-only.
        """
        self._has_prepared = True
        with self._translated():
            if self.row(f"SELECT {locks.IS_READ_ONLY}")[0]:
                raise read_only(self.name)
            self.session.note(self._local_settings(), lent=self._lent or self.is_pooled)

    def _local_settings(self) -> str:
        """Return what is set in each transaction, and so ends with it."""
        wait = self.options.table_lock_timeout
        limit = self.lock_timeout if wait is None else wait
        milliseconds = 0 if limit >= 2_000_000 or math.isinf(limit) else max(1, round(limit * 1000))
        path = set_search_path(self.address.schema)
        if wait is None:  # what the role or the URL says is shorter
            value = f"CASE current_setting('lock_timeout') WHEN '0' THEN '{milliseconds}' ELSE current_setting("
            return f"{path}SELECT set_config('lock_timeout', {value}'lock_timeout') END, true)"
        return f"{path}SET LOCAL lock_timeout = {milliseconds}"

    def transaction(self) -> Transaction:
        """Hold the migration lock and a transaction; commit at the end, or roll back on any exception."""
        return Transaction(self)

    def savepoint(self) -> PostgreSQLSavepoint:
        """Undo to here on an exception."""
        return PostgreSQLSavepoint(self)

    def begin(self) -> None:
        """Begin a transaction that holds the migration lock, and that nobody else writes to the ledgers in."""
        wait: Wait | None = None
        while holder := self._try_to_begin():
            wait = wait or Wait(self.name, self.lock_timeout, self.monitor)
            wait.pause(holder)
        self._is_writing = True

    def _try_to_begin(self) -> Callable[[], str] | None:
        """Begin, and return None; or return what describes who is in the way.

        The lock is asked for, and not waited for: a statement that waits would keep CREATE INDEX CONCURRENTLY of
        the holder of the lock from ending.
        """
        self._is_writing = False
        begun = locks.begin(self, self._local_settings(), advisory_lock=self.options.advisory_lock)
        if begun.is_read_only:
            raise read_only(self.name)
        if not begun.is_locked:
            holder = locks.describe_holder(self)
            self.roll_back()
            return lambda: holder
        if begun.has_yoyo_lock and (yoyo := locks.read_yoyo_lock(self)):
            if yoyo.alive:
                self.roll_back()
                return yoyo.__str__
            locks.delete_yoyo_lock(self, yoyo.pid)
        tables = self._existing_ledgers()
        if tables and self.options.advisory_lock:
            self.run(f"LOCK TABLE {', '.join(tables)} IN SHARE ROW EXCLUSIVE MODE")
        self._compare()
        return None

    def commit(self) -> None:
        """Keep what the transaction has done."""
        if self._is_writing:
            self._digest = self._read_digest()
            self._is_writing = False
        if self.run("COMMIT").statusmessage != "COMMIT":
            raise psycopg.DatabaseError("the transaction had failed, and was rolled back")

    def roll_back(self) -> None:
        """End the transaction without a change, where one is open."""
        self._is_writing = False
        try:
            if self.connection.closed:
                return
            if self.connection.info.transaction_status == TransactionStatus.ACTIVE:
                locks.cancel(self.connection)  # a statement that an exception of a signal's handler has left
            if self.in_transaction:
                self.run("ROLLBACK")
                self.forget_ledgers()
        except psycopg.Error:
            # The server rolls back by itself when the connection ends; the first error is the one to report.
            log().debug("cannot roll back %s", self.name, exc_info=True)

    def error_of(self, error: BaseException) -> MigrationError | None:
        """Return the error of this package for what the driver has raised in a transaction that is rolled back."""
        return locks.error_of(self, error) if isinstance(error, psycopg.Error) else None

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Raise errors of this package for what the driver raises outside of a script."""
        try:
            yield
        except psycopg.Error as error:
            raise translate(error, self.name) from error
