"""One open SQLite database: its transaction, its scripts, its foreign keys."""

from __future__ import annotations

import os
import re
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from time import perf_counter_ns
from typing import TYPE_CHECKING, Protocol, TypeAlias

from torc_migrations.authorizer import Touched
from torc_migrations.connection import connect, explained, is_busy, settings
from torc_migrations.errors import BadScript, CannotOpen, ExecutionFailed, LockTimeout, UrlError
from torc_migrations.lock import Patience, YoyoHolder, sqlite_holder
from torc_migrations.log import logger
from torc_migrations.plan import duration_text
from torc_migrations.script import Statement, fault_offset, first_token, frame, place, statements
from torc_migrations.url import Address, parse_url

if TYPE_CHECKING:
    from torc_migrations.log import logger
from torc_migrations.plan import Step


class HasConnection(Protocol):
    """What wraps a connection and keeps it in `conn`, as `sqlite_utils.Database` does."""

    conn: sqlite3.Connection


DatabaseLike: TypeAlias = "str | os.PathLike[str] | sqlite3.Connection | HasConnection"

# The table, its row's rowid (None in a table without one), and the table that it points to.
Violation: TypeAlias = "tuple[str, int | None, str]"

SELECT_TABLES = """
    SELECT name
    FROM sqlite_master
    WHERE type = 'table'
    ORDER BY name
"""
SELECT_REFERENCES = """
    SELECT child.name, reference."table"
    FROM sqlite_master AS child
    JOIN pragma_foreign_key_list(child.name) AS reference
    WHERE child.type = 'table'
"""
SELECT_YOYO_LOCK = """
    SELECT pid, CAST(ctime AS TEXT)
    FROM yoyo_lock
"""
DELETE_YOYO_LOCK = """
    DELETE FROM yoyo_lock
    WHERE pid = :pid
"""


class Database:
    """A SQLite connection that is ours, or that is lent to us and given back as it was."""

    def __init__(self, connection: sqlite3.Connection, address: Address, *, lent: bool = False, lock_timeout: float):
        self.connection = connection
        self.address = address
        self.name = address.name
        self.lock_timeout = lock_timeout
        self.is_missing = False
        self._lent = settings(connection) if lent else None

    def execute(self, sql: str, parameters: dict[str, object] | None = None) -> sqlite3.Cursor:
        """Run one statement of ours and return its cursor, whose rows are tuples."""
        cursor = self.connection.cursor()
        cursor.row_factory = None
        return cursor.execute(sql, parameters or {})

    def close(self) -> None:
        """Close our connection; give a lent one back as it was found."""
        if self._lent is None:
            self.connection.close()
            return
        self._pragma("busy_timeout", self._lent.busy_timeout)
        self._pragma("foreign_keys", self._lent.foreign_keys)
        self.connection.isolation_level = self._lent.isolation_level  # type: ignore[assignment]  # typeshed is narrower
        self.connection.text_factory = self._lent.text_factory

    def make_writable(self) -> None:
        """Create the file where it was missing, and turn foreign keys off, which no transaction can."""
        if self.is_missing:
            self.connection.close()
            self.connection = connect(self.address)
            self.is_missing = False
        self._pragma("foreign_keys", 0)

    def version(self) -> int:
        """Return a number that changes whenever another connection has written."""
        return int(self.execute("PRAGMA data_version").fetchone()[0])

    def tables(self) -> tuple[str, ...]:
        """Return the names of all tables, SQLite's own left out."""
        names = (str(row[0]) for row in self.execute(SELECT_TABLES))
        return tuple(name for name in names if not name.startswith("sqlite_"))

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Read several tables as of one moment, waiting for whoever is just committing."""
        with self._failures():
            self._begin_reading()
            try:
                yield
            finally:
                self._roll_back()

    def _begin_reading(self) -> None:
        patience = Patience(self.name, self.lock_timeout)
        self._pragma("busy_timeout", 0)
        while True:
            try:
                self.execute("BEGIN")
                self.execute("SELECT 1 FROM sqlite_master")
                return
            except sqlite3.OperationalError as error:
                self._roll_back()
                if is_busy(error):
                    patience.nap(lambda: sqlite_holder(self.address.path))
                elif not self._reopened_immutable(error):
                    raise

    def _reopened_immutable(self, error: sqlite3.OperationalError) -> bool:
        """Open a file in WAL mode whose folder cannot be written; right where no WAL is left to be read."""
        path = self.address.path
        if self._lent or path is None or error.sqlite_errorcode != sqlite3.SQLITE_CANTOPEN:
            return False
        if self.address.mode == "immutable" or os.path.exists(f"{path}-wal"):
            return False
        self.connection.close()
        self.address = self.address._replace(mode="immutable")
        self.connection = connect(self.address)
        return True

    @contextmanager
    def foreign_keys(self, on: bool) -> Iterator[None]:
        """Have foreign keys enforced for a while, or not; SQLite changes that outside a transaction only."""
        if on:
            self._pragma("foreign_keys", 1)
        try:
            yield
        finally:
            if on:
                self._pragma("foreign_keys", 0)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Hold the write lock; commit at the end, or roll everything back if an exception flies.

        Waits for the lock, and for a living stock yoyo to give up its own, up to `lock_timeout` seconds.

        Raises:
            LockTimeout: somebody else held the database for longer.
            DatabaseFailed: the database failed outside of a script.
        """
        with self._failures():
            self._begin()
            try:
                yield
                self._commit()
            except BaseException:
                self._roll_back()
                raise

    def begin_again(self) -> None:
        """Undo what the transaction has done so far, and begin it anew."""
        self._roll_back()
        self._begin()

    @contextmanager
    def _failures(self) -> Iterator[None]:
        """Say what the driver raises outside of a script in our own words."""
        try:
            yield
        except sqlite3.DatabaseError as error:
            raise explained(error, self.address) from error

    def _begin(self) -> None:
        patience = Patience(self.name, self.lock_timeout)
        self._pragma("busy_timeout", 0)
        while True:
            try:
                holder = self.living_yoyo() or self._begin_unless_yoyo_lives()
                if holder is None:
                    return
                patience.nap(holder.__str__)
            except sqlite3.OperationalError as error:
                if not is_busy(error):
                    raise
                patience.nap(lambda: sqlite_holder(self.address.path))

    def _begin_unless_yoyo_lives(self) -> YoyoHolder | None:
        """Begin, and look again inside; a row whose process is dead goes with what we write."""
        self.execute("BEGIN IMMEDIATE")
        row = self._yoyo_lock_row()
        if row is None:
            return None
        if row.alive:
            self._roll_back()
            return row
        self.execute(DELETE_YOYO_LOCK, {"pid": row.pid})
        return None

    def living_yoyo(self) -> YoyoHolder | None:
        """Return the process that holds the lock of stock yoyo, or None."""
        row = self._yoyo_lock_row()
        return row if row and row.alive else None

    def _yoyo_lock_row(self) -> YoyoHolder | None:
        try:
            row = self.execute(SELECT_YOYO_LOCK).fetchone()
        except sqlite3.OperationalError as error:
            if "no such table" in str(error):
                return None
            raise
        return YoyoHolder(int(row[0]), str(row[1])) if row else None

    def _commit(self) -> None:
        patience = Patience(self.name, self.lock_timeout)
        self._pragma("busy_timeout", 0)
        while True:
            try:
                self.execute("COMMIT")
                return
            except sqlite3.OperationalError as error:
                # Without WAL, readers have to leave before a commit can end; the transaction stays open meanwhile.
                if not (is_busy(error) and self.connection.in_transaction):
                    raise
                patience.nap(lambda: sqlite_holder(self.address.path))

    def _roll_back(self) -> None:
        if not self.connection.in_transaction:
            return
        try:
            self.execute("ROLLBACK")
        except sqlite3.Error:
            # SQLite rolls back by itself when the connection closes; the first error is the one to tell.
            logger().exception("cannot roll back %s", self.name)

    def run(self, step: Step) -> Touched:
        """Run the script of a step, statement by statement, and return what it may have broken.

        Raises:
            ExecutionFailed: a statement failed.
            BadScript: the script begins or ends a transaction itself.
            LockTimeout: readers kept a statement from going on.
        """
        script = step.script
        if script is None:
            return Touched()
        touched = Touched()
        self._pragma("busy_timeout", int(self.lock_timeout * 1000))
        self.connection.text_factory = bytes  # rows that a script selects are for nobody, and may be no UTF-8
        self.connection.set_authorizer(touched.authorize)
        try:
            for statement in statements(script.sql):
                self._run_statement(step, script.sql, statement, touched)
        finally:
            self.connection.set_authorizer(None)
            self.connection.text_factory = str
        return touched

    def _run_statement(self, step: Step, sql: bytes, statement: Statement, touched: Touched) -> None:
        started = perf_counter_ns()
        try:
            for _ in self.execute(statement.text):
                pass
        except (sqlite3.Error, sqlite3.Warning) as error:
            raise self._script_error(step, sql, statement, touched, error) from error
        touched.note_alter(statement.text)
        if (log := logger()).isEnabledFor(10):
            text = sql[first_token(sql, statement.offset) : statement.offset + len(statement.text.encode())]
            log.debug("%s (%s)", text.decode(), duration_text(perf_counter_ns() - started))

    def _script_error(
        self, step: Step, sql: bytes, statement: Statement, touched: Touched, error: Exception
    ) -> Exception:
        assert step.script is not None
        path = step.script.path
        if isinstance(error, sqlite3.OperationalError) and is_busy(error):
            return LockTimeout(self.name, sqlite_holder(self.address.path), self.lock_timeout)
        reason = str(error)
        where = place(sql, fault_offset(sql, statement, reason))
        drawn = frame(path, where)
        if touched.refused:
            return BadScript(
                path,
                f"{path}: {touched.refused} in a script would end the transaction that keeps it whole",
                line=where.line,
                column=where.column,
                frame=drawn,
                hint="take it out: every script runs in a transaction of its own already",
            )
        return ExecutionFailed(
            step,
            reason,
            path=path,
            line=where.line,
            column=where.column,
            statement=statement.text,
            frame=drawn,
            kept=not step.script.directives.transactional,
        )

    def violations(self, touched: Touched) -> frozenset[Violation]:
        """Return the rows that point to no row, in the tables that a script may have broken."""
        tables = self._children(touched)
        return frozenset(violation for table in tables for violation in self._violations_in(table))

    def _children(self, touched: Touched) -> Iterable[str]:
        """Return the tables that were touched themselves, or that point to one that was."""
        if touched.all_tables:
            return self.tables()
        if not touched.tables:
            return ()
        names = {name for name in self.tables() if name.lower() in touched.tables}
        pointing = self.execute(SELECT_REFERENCES)
        return names | {str(child) for child, parent in pointing if parent.lower() in touched.tables}

    def _violations_in(self, table: str) -> Iterator[Violation]:
        try:
            for child, rowid, parent, _ in self.execute(f"PRAGMA foreign_key_check({quote_identifier(table)})"):
                yield (str(child), rowid, str(parent))
        except sqlite3.OperationalError as error:
            # A key whose parent column is not unique; as good as violated, and told apart from an old one alike.
            mismatch = re.match(r'foreign key mismatch - ".*" referencing "(.*)"', str(error))
            if mismatch is None:
                raise
            yield (table, None, mismatch[1])

    def _pragma(self, name: str, value: int) -> None:
        self.execute(f"PRAGMA {name} = {value:d}")


def quote_identifier(name: str) -> str:
    """Quote a name for SQL."""
    return '"' + name.replace('"', '""') + '"'


@contextmanager
def open_database(database: DatabaseLike, *, lock_timeout: float) -> Iterator[Database]:
    """Open a database so that reading it leaves no trace; a file that is missing is not created yet.

    Raises:
        UrlError: the address is misspelled, or leads to nothing that can be opened.
    """
    opened = _opened(database, lock_timeout)
    try:
        yield opened
    finally:
        opened.close()


def _opened(database: DatabaseLike, lock_timeout: float) -> Database:
    connection = getattr(database, "conn", database)  # sqlite_utils.Database keeps its connection in `conn`
    if isinstance(connection, sqlite3.Connection):
        return _borrowed(connection, lock_timeout)
    if isinstance(database, str):
        address = parse_url(database)
    elif isinstance(database, os.PathLike):
        address = Address(os.fspath(database))
    else:
        raise UrlError(repr(type(database)), f"a database is a URL, a path or a connection, not {type(database)!r}")
    if address.path is not None and not os.path.exists(address.path):
        return _missing(address, lock_timeout)
    return Database(connect(address), address, lock_timeout=lock_timeout)


def _borrowed(connection: sqlite3.Connection, lock_timeout: float) -> Database:
    rows = connection.execute("PRAGMA database_list").fetchall()
    path = next((str(tuple(row)[2]) for row in rows if tuple(row)[1] == "main"), "")
    address = Address(path or None)
    if connection.in_transaction:
        raise CannotOpen(
            address.name,
            f"the connection to {address.name} is inside a transaction",
            hint="commit or roll back first, and open it without autocommit=False",
        )
    database = Database(connection, address, lent=True, lock_timeout=lock_timeout)
    connection.isolation_level = None
    connection.text_factory = str
    return database


def _missing(address: Address, lock_timeout: float) -> Database:
    """Stand in for a file that does not exist, so that listing it creates none."""
    folder = os.path.dirname(address.name) or "."
    if not os.path.isdir(folder):
        raise CannotOpen(address.name, f"there is no folder {folder!r} for the database {address.name!r}")
    if address.mode != "rwc":
        raise CannotOpen(address.name, f"there is no database {address.name!r}, and ?mode={address.mode} creates none")
    database = Database(connect(Address(None)), address, lock_timeout=lock_timeout)
    database.is_missing = True
    return database
