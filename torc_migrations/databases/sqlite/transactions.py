"""An SQLite connection: reading as of one moment, one write transaction, and what a script leaves in the session."""

from __future__ import annotations

import os
import sqlite3
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from weakref import ref

from torc_migrations.databases.files import File, find_file, note_end_of_use, note_use
from torc_migrations.databases.sqlite.callbacks import Authorizer, register_functions
from torc_migrations.databases.sqlite.clock import Clock
from torc_migrations.databases.sqlite.connection import (
    SessionState,
    Settings,
    connect,
    file_is_gone,
    give_back,
    is_busy,
    rows_of_any_text,
    take,
    translate,
    write_pragma,
)
from torc_migrations.databases.sqlite.ledger_sql import DELETE_YOYO_LOCK
from torc_migrations.databases.transactions import Transaction
from torc_migrations.databases.urls import Address
from torc_migrations.databases.values import Functions
from torc_migrations.databases.waiting import SHORT, Wait
from torc_migrations.log import log

_NO_VERSION = -1
_CACHE_KIB = 32 * 1024  # what a transaction writes beyond it goes to the file early, which keeps readers out


class SQLiteConnection:
    """A connection that is ours, or that is lent to us and is given back as it was found."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        address: Address,
        *,
        file: File | None = None,
        lent: Settings | None = None,
        lock_timeout: float,
        functions: Functions | None = None,
    ) -> None:
        self.connection = connection
        self.address = address
        self.name = address.name
        self.lock_timeout = lock_timeout
        self._cursors = deque[ref[sqlite3.Cursor]](maxlen=100)  # the newest
        self.is_missing = False
        self.rows_changed = 0  # by statements of ours, without what triggers do
        self.file = file
        self._lent = lent
        self.functions = functions
        self.clock = Clock()
        self.session = SessionState(connection)
        self.script_cursor = sqlite3.Cursor(connection)
        self.catalog: object = None  # see `catalog_of`
        self._in_script = False
        self._asked: Authorizer | None = None  # who answers SQLite while a script runs
        self._is_asked = False
        self._is_changed = False  # the session, by a step, in a way that is restored outside a transaction
        if lent is None:
            register_functions(self.connection, self.functions, self.name)

    def execute(self, sql: str, values: Mapping[str, object] | None = None) -> sqlite3.Cursor:
        """Run one statement of ours, whose rows are tuples."""
        cursor = sqlite3.Cursor(self.connection)
        self._cursors.append(ref(cursor))
        cursor.execute(sql, values or {})
        self.rows_changed += max(cursor.rowcount, 0)
        return cursor

    def close_cursors(self) -> None:
        """Close our cursors, which an exception may keep alive: an open one would lock its tables."""
        for cursor in filter(None, [each() for each in self._cursors]):
            cursor.close()

    def rows_or_none(self, sql: str, values: Mapping[str, object] | None = None) -> list[tuple[object, ...]] | None:
        """Return the rows of a query, or None where a table or a column of it does not exist."""
        try:
            return self.execute(sql, values).fetchall()
        except sqlite3.OperationalError as error:
            if str(error).startswith(("no such table", "no such column")):
                return None
            if str(error).startswith("Could not decode"):
                return rows_of_any_text(self.connection, sql, values or {})
            raise

    def pragma(self, name: str) -> object:
        """Return a setting of the database, or of the connection."""
        return self.execute(f"PRAGMA main.{name}").fetchone()[0]

    def take(self) -> None:
        """Make a lent connection ours for a while; until then nothing of it has changed."""
        note_use(self, self.name)
        if self._lent:
            take(self.connection)

    def close(self) -> None:
        """Close our connection; give a lent one back as it was found. May be called again."""
        note_end_of_use(self)
        self.clock.close()
        if self._lent is None:
            self.connection.close()
            return
        try:
            self.roll_back()
            self.end_script()
            self.end_step()
            self.session.give_back()
            give_back(self.connection, self._lent)
        except sqlite3.ProgrammingError:
            log().warning("the connection to %s was closed while it was lent", self.name)
        except sqlite3.Error as error:  # what its owner has set meanwhile, such as an authorizer
            log().warning("the connection to %s cannot be given back as it was: %s", self.name, error)

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Read several tables as of one moment, after a commit that is going on has ended."""
        with self._translated():
            try:
                self.retry_while_locked(self._begin_reading)
                yield
            finally:
                self.roll_back()

    def _begin_reading(self) -> None:
        self.roll_back()
        self.execute("BEGIN")
        self.execute("SELECT 1 FROM sqlite_master").fetchone()

    def last_change(self) -> int:
        """Return a number that changes once another connection has written."""
        return _NO_VERSION if self.is_missing else int(self.execute("PRAGMA data_version").fetchone()[0])

    def prepare_to_write(self) -> None:
        """Create the file where it is missing, and turn foreign keys off, which no transaction can."""
        if self.is_missing:
            self.connection.close()
            self.connection = connect(self.address)
            register_functions(self.connection, self.functions, self.name)
            self.session = SessionState(self.connection)
            self.file = find_file(self.address.path)
            self.is_missing = False
        with self._translated():
            self.retry_while_locked(self._prepare)

    def _prepare(self) -> None:
        if self._lent is None:
            write_pragma(self.connection, "cache_size", -_CACHE_KIB)
            self.clock.watch(self.connection)
        else:
            self.clock.watch_lent(self.connection)
            self.session.note_lent(in_memory=self.address.path is None)
        write_pragma(self.connection, "foreign_keys", 0)

    def transaction(self) -> Transaction:
        """Hold the write lock; commit at the end, or roll back on any exception."""
        return Transaction(self)

    def savepoint(self) -> SQLiteSavepoint:
        """Undo to here on an exception."""
        return SQLiteSavepoint(self)

    def begin(self) -> None:
        """Begin a transaction that holds the write lock; wait until others release it, and for a living stock yoyo."""
        wait: Wait | None = None
        while holder := self._try_to_begin():
            wait = wait or Wait(self.name, self.lock_timeout, self.clock.monitor, longest=SHORT)
            wait.pause(holder)
        self._check_file()

    def _try_to_begin(self) -> Callable[[], str] | None:
        """Begin, and return None; or return what describes who holds the database.

        While a stock yoyo runs, no lock is taken: yoyo reads before it writes, and SQLite lets it fail at once where
        another connection has the lock then. A row in its lock whose process is dead is deleted with what we write.
        """
        from torc_migrations.databases.sqlite.locks import read_yoyo_lock

        try:
            row = read_yoyo_lock(self.rows_or_none)
            if row is None or not row.alive:
                self.execute("BEGIN IMMEDIATE")
                row = read_yoyo_lock(self.rows_or_none)
                if row is None:
                    return None
                if not row.alive:
                    self.execute(DELETE_YOYO_LOCK, {"pid": row.pid})
                    return None
                self.roll_back()
            return row.__str__
        except sqlite3.OperationalError as error:
            if not is_busy(error):
                raise
            self.roll_back()
            return self._describe_holder

    def commit(self) -> None:
        """Keep what the transaction has done."""
        self._check_file()
        self.retry_while_locked(self.execute, "COMMIT")  # without WAL, readers have to leave first

    def continue_writing(self) -> None:
        """Hold the write lock again, after a script with transactions of its own may have released it."""
        if self.connection.in_transaction:
            try:
                self.write_something()
                return
            except sqlite3.OperationalError as error:
                if not is_busy(error):
                    raise
            self.retry_while_locked(self.execute, "COMMIT")
        self.begin()

    def write_something(self) -> None:
        """Write what is there already; this needs the write lock, and a file that can be written."""
        self.execute(f"PRAGMA user_version = {self.pragma('user_version')}")

    def roll_back(self) -> None:
        """End the transaction without a change, where one is open."""
        try:
            self.close_cursors()
            if self.connection.in_transaction:
                self.connection.set_authorizer(None)  # a script's, which Ctrl-C has left behind, would deny it
                self.execute("ROLLBACK")
        except sqlite3.ProgrammingError:
            return  # closed already, where Ctrl-C came between two lines; SQLite has rolled back then
        except sqlite3.Error:
            # SQLite rolls back by itself when the connection closes; the first error is the one to report.
            log().exception("cannot roll back %s", self.name)

    def retry_while_locked(self, act: Callable[..., object], *arguments: object) -> None:
        """Do something again until nobody is in its way; SQLite's own waiting cannot be interrupted."""
        wait: Wait | None = None
        while True:
            try:
                act(*arguments)
                return
            except sqlite3.OperationalError as error:
                if not is_busy(error):
                    raise
            wait = wait or Wait(self.name, self.lock_timeout, self.clock.monitor)
            wait.pause(self._describe_holder)

    def _describe_holder(self) -> str:
        from torc_migrations.databases.sqlite.locks import lock_holder, lock_readers

        return (lock_readers if self.connection.in_transaction else lock_holder)(self.address.path)

    def lock_holder(self) -> str | None:
        """Describe who writes to the file, as far as the system reports it, or return None."""
        from torc_migrations.databases.sqlite.locks import lock_writer

        return (lock_writer(self.address.path) if self.address.path is not None else "") or None

    def begin_script(self, authorizer: Callable[..., int] | None) -> None:
        """Let a script run, whose statements SQLite asks the authorizer about."""
        self._in_script = self.clock.is_counting = True
        self._asked = None
        self.script_cursor = sqlite3.Cursor(self.connection)
        self.connection.text_factory = bytes  # rows that a script selects are not read, and may be no UTF-8
        if authorizer:
            self._asked = Authorizer(authorizer)  # it keeps what a signal's handler raises meanwhile
            self.ask(True)

    def ask(self, is_asked: bool) -> None:
        """Have SQLite ask the authorizer of the script that runs about its next statements, or not."""
        self._is_asked = is_asked
        self.connection.set_authorizer(self._asked.ask if is_asked and self._asked else None)

    @property
    def interruption(self) -> BaseException | None:
        """What was raised while SQLite asked the authorizer, or ran a statement."""
        asked = self._asked.interruption if self._asked else None
        return asked or self.clock.take_interruption()

    @contextmanager
    def paused_script(self) -> Iterator[None]:
        """Run statements of ours between two of a script."""
        self.connection.set_authorizer(None)
        self.connection.text_factory = str
        try:
            yield
        finally:
            self.connection.text_factory = bytes
            self.ask(self._is_asked)

    def end_script(self) -> None:
        """Undo `begin_script`, and what the script has left in the session. May be called again."""
        self.clock.end_script()
        if not self._in_script:
            return
        self.script_cursor.close()  # an interrupted SELECT would keep its table locked for the connection itself
        self.connection.set_authorizer(None)
        self.connection.text_factory = str
        self.retry_while_locked(self.session.restore)
        self._in_script = False

    def note_change_of_session(self) -> None:
        """Note that a script has left something that `end_step` restores."""
        self._is_changed = True

    def end_step(self) -> None:
        """Restore, outside a transaction, what a script has left in the session."""
        self.roll_back()  # both of which Ctrl-C may have kept from being done
        self.end_script()
        self.retry_while_locked(self.session.restore)
        if self._is_changed:
            write_pragma(self.connection, "foreign_keys", 0)
            self._is_changed = False
        self.session.clear()
        if interruption := self.clock.take_interruption():
            raise interruption

    def _check_file(self) -> None:
        """Refuse to write to a file that others do not find under its name; in WAL mode SQLite does not look."""
        if self.file and not self.file.stands:
            raise file_is_gone(self.address)

    def error_of(self, error: BaseException) -> Exception | None:
        """Return the error of this package for what the driver has raised in a transaction."""
        return translate(error, self.address) if isinstance(error, sqlite3.DatabaseError) else None

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Raise errors of this package for what the driver raises outside of a script."""
        try:
            yield
        except sqlite3.DatabaseError as error:
            raise translate(error, self.address) from error


class SQLiteSavepoint(AbstractContextManager["SQLiteSavepoint"]):
    """A savepoint with a random name, which no script can guess; its end releases those that a script left in it."""

    def __init__(self, database: SQLiteConnection) -> None:
        self._database = database
        self._name = f"torc_{os.urandom(8).hex()}"
        self.has_ended = self.is_kept = False

    def __enter__(self) -> SQLiteSavepoint:
        self._database.execute(f"SAVEPOINT {self._name}")
        return self

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        interruption = self._database.clock.take_interruption()
        self._end(interruption or error)
        if interruption is not None:
            raise interruption from error

    def _end(self, error: BaseException | None) -> None:
        if not self._database.connection.in_transaction:
            return  # SQLite has rolled back the whole transaction by itself, as on a full disk
        try:
            if error is not None:
                self._database.end_script()  # which Ctrl-C may have kept from being done
                self._database.close_cursors()
                self.undo()
            self._database.execute(f"RELEASE {self._name}")
        except sqlite3.Error:
            self._database.roll_back()  # and with it everything before the savepoint
            if error is None:
                raise
            log().exception("cannot undo a step on %s alone", self._database.name)
        else:
            self.is_kept = error is None
            self.has_ended = True
        if isinstance(error, sqlite3.DatabaseError):
            raise translate(error, self._database.address) from error

    def undo(self) -> None:
        """Undo everything since the savepoint, which stays."""
        self._database.execute(f"ROLLBACK TO {self._name}")
