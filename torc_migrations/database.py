"""One open SQLite database: reading as of one moment, and writing in one transaction."""

from __future__ import annotations

import os
from contextlib import contextmanager

from torc_migrations.connection import (
    PRAGMAS,
    DatabaseLike,
    File,
    Settings,
    connect,
    explained,
    find_file,
    give_back,
    is_busy,
    moved,
    note_end_of_use,
    note_use,
    quote_identifier,
    read_pragmas,
    read_schemas,
    read_settings,
    refuse_forked,
    restore_pragmas,
    take,
    write_pragma,
)
from torc_migrations.driver import sqlite3
from torc_migrations.errors import CannotOpen, UrlError
from torc_migrations.log import logger
from torc_migrations.url import Address, parse_url

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from torc_migrations.authorizer import Touched
    from torc_migrations.lock import Patience, YoyoHolder
    from torc_migrations.migration import Script
    from torc_migrations.script import Statement

_NEVER_READ = -1
_CACHE_KIB = 32 * 1024  # what a transaction writes beyond it goes to the file early, which shuts readers out

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

    def __init__(
        self,
        connection: sqlite3.Connection,
        address: Address,
        *,
        file: File | None = None,
        lent: Settings | None = None,
        lock_timeout: float,
    ) -> None:
        self.connection = connection
        self.address = address
        self.name = address.name
        self.lock_timeout = lock_timeout
        self.is_missing = False
        self.is_open_to_scripts = False
        self.on_statement: Callable[[Script, Statement, int], None] | None = None
        self.file = file
        self._lent = lent
        self._pragmas: Mapping[str, object] = {}
        self._schemas: frozenset[str] = frozenset()
        self._script: Touched | None = None
        self._is_untidy = False
        self._without_yoyo = _NEVER_READ
        self.begun_at = _NEVER_READ  # what `version` was when our transaction began, and is until it ends

    def execute(self, sql: str, parameters: Mapping[str, object] | None = None) -> sqlite3.Cursor:
        """Run one statement of ours and return its cursor, whose rows are tuples."""
        return sqlite3.Cursor(self.connection).execute(sql, parameters or {})

    def take(self) -> None:
        """Make a lent connection ours for a while; until then nothing of it has changed."""
        note_use(self, self.name)
        if self._lent:
            take(self.connection)

    def close(self) -> None:
        """Close our connection; give a lent one back as it was found. May be called again."""
        note_end_of_use(self)
        if self._lent is None:
            self.connection.close()
            return
        self.roll_back()
        self._detach()
        give_back(self.connection, self._lent)
        self.close_to_scripts()
        self.connection.text_factory = self._lent.text_factory

    def make_writable(self) -> None:
        """Create the file where it was missing, and turn foreign keys off, which no transaction can."""
        if self.is_missing:
            self.connection.close()
            self.connection = connect(self.address)
            self.file = find_file(self.address.path)
            self.is_missing = False
        with self._failures():
            self.patiently(self._prepare)

    def _prepare(self) -> None:
        if self._lent is None:
            write_pragma(self.connection, "cache_size", -_CACHE_KIB)
        write_pragma(self.connection, "foreign_keys", 0)
        self._pragmas = read_pragmas(self.connection)  # some of which read the file, too
        self._schemas = self._attached()

    def version(self) -> int:
        """Return a number that changes whenever another connection has written; no file's where it is missing."""
        return _NEVER_READ if self.is_missing else int(self.execute("PRAGMA data_version").fetchone()[0])

    @property
    def watches_all(self) -> bool:
        """Whether a script is watched even where it only makes something new: functions of an owner may do anything."""
        return self._lent is not None

    def open_to(self, touched: Touched | None) -> None:
        """Let a script run, and have what it does noted, unless it runs outside of any transaction."""
        self._script = touched
        self.is_open_to_scripts = True
        self._is_untidy |= touched is None or touched.may_commit
        self.connection.text_factory = bytes  # rows that a script selects are for nobody, and may be no UTF-8
        if touched:
            self.connection.set_authorizer(touched.authorizer)

    def close_to_scripts(self) -> None:
        """Undo `open_to`, and put back those settings that the script has changed for the connection."""
        if self.is_open_to_scripts:
            self.connection.set_authorizer(None)
            self.connection.text_factory = str
            touched = self._script
            self._is_untidy |= touched is not None and touched.attaches
            if touched is None or touched.may_commit or "yoyo_lock" in touched.tables:
                self._without_yoyo = _NEVER_READ
            self.patiently(restore_pragmas, self.connection, self._pragmas, touched.pragmas if touched else PRAGMAS)
            self.is_open_to_scripts = False

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Read several tables as of one moment, waiting for whoever is just committing."""
        with self._failures():
            try:
                self.patiently(self._begin_reading)
                yield
            finally:
                self.roll_back()

    def _begin_reading(self) -> None:
        self.roll_back()
        self.execute("BEGIN")
        self.execute("SELECT 1 FROM sqlite_master").fetchone()

    def _holder(self) -> str:
        from torc_migrations.lock import sqlite_holder, sqlite_readers

        who = sqlite_readers if self.connection.in_transaction else sqlite_holder
        return who(self.address.path)

    def enforce_foreign_keys(self) -> None:
        """Have foreign keys enforced until we `tidy`; SQLite changes that outside a transaction only."""
        self._is_untidy = True
        write_pragma(self.connection, "foreign_keys", 1)

    def tidy(self) -> None:
        """Undo, outside a transaction, what a step has left for the connection."""
        if self._is_untidy:
            self._detach()
            write_pragma(self.connection, "foreign_keys", 0)
            self._is_untidy = False

    def _detach(self) -> None:
        """Let go of the files that a script has attached, which inside its transaction it cannot do itself."""
        for schema in self._attached() - self._schemas if self._schemas else ():
            self.execute(f"DETACH {quote_identifier(schema)}")

    def _attached(self) -> frozenset[str]:
        return frozenset(read_schemas(self.connection)) | {"temp"}

    def begin(self) -> None:
        """Begin a transaction that holds the write lock; waits for whoever has it, and for a living stock yoyo."""
        patience: Patience | None = None
        while holder := self._holder_unless_begun():
            patience = self._nap(patience, holder)
        self._check_file()

    def begin_again(self) -> None:
        """Undo what the transaction has done so far, and begin it anew."""
        self.roll_back()
        self._detach()
        self.begin()

    def commit(self) -> None:
        """Keep what the transaction has done."""
        self._check_file()
        self.patiently(self.execute, "COMMIT")  # without WAL, readers have to leave before it can end

    def go_on_writing(self) -> None:
        """Hold the write lock again, after a script with transactions of its own may have let go of it."""
        if self.connection.in_transaction:
            try:
                self.write_something()
                self.begun_at = self.version()
                return
            except sqlite3.OperationalError as error:
                if not is_busy(error):
                    raise
            self.patiently(self.execute, "COMMIT")
        self.begin()

    def roll_back(self) -> None:
        """End the transaction without a trace, where one is open."""
        try:
            if self.connection.in_transaction:
                self.execute("ROLLBACK")
        except sqlite3.ProgrammingError:
            return  # closed already, where Ctrl-C came between two lines; SQLite has rolled back then
        except sqlite3.Error:
            # SQLite rolls back by itself when the connection closes; the first error is the one to tell.
            logger().exception("cannot roll back %s", self.name)

    def patiently(self, act: Callable[..., object], *arguments: object) -> None:
        """Do something as soon as nobody is in its way; SQLite's own waiting could not be interrupted."""
        patience: Patience | None = None
        while True:
            try:
                act(*arguments)
                return
            except sqlite3.OperationalError as error:
                if not is_busy(error):
                    raise
            patience = self._nap(patience, self._holder)

    def _nap(self, patience: Patience | None, holder: Callable[[], str]) -> Patience:
        from torc_migrations.lock import Patience

        patience = patience or Patience(self.name, self.lock_timeout)
        patience.nap(holder)
        return patience

    @contextmanager
    def _failures(self) -> Iterator[None]:
        """Say what the driver raises outside of a script in our own words."""
        try:
            yield
        except sqlite3.DatabaseError as error:
            raise explained(error, self.address) from error

    def write_something(self) -> None:
        """Write what is there already, which wants the write lock, and a file that can be written."""
        self.execute(f"PRAGMA user_version = {self.execute('PRAGMA user_version').fetchone()[0]}")

    def _holder_unless_begun(self) -> Callable[[], str] | None:
        try:
            # While yoyo lives we stay out of its way; where there was none, to look inside will do.
            row = self._look_for_yoyo(self.version()) if self._without_yoyo == _NEVER_READ else None
            if row is None or not row.alive:
                row = self._begin_unless_yoyo_lives()
        except sqlite3.OperationalError as error:
            if not is_busy(error):
                raise
            self.roll_back()
            return self._holder
        return row.__str__ if row else None

    def _begin_unless_yoyo_lives(self) -> YoyoHolder | None:
        """Begin, and look again inside; a row whose process is dead goes with what we write."""
        self.execute("BEGIN IMMEDIATE")
        self.begun_at = self.version()
        row = self._look_for_yoyo(self.begun_at)
        if row and row.alive:
            self.roll_back()
            self._without_yoyo = _NEVER_READ
            return row
        if row:
            self.execute(DELETE_YOYO_LOCK, {"pid": row.pid})
        return None

    def _look_for_yoyo(self, version: int) -> YoyoHolder | None:
        """Return the row in yoyo's lock; where there was none, there is none until another connection has written."""
        if version == self._without_yoyo:
            return None
        row = self._yoyo_lock_row()
        if row is None and self._lent is None:
            self._without_yoyo = version
        return row

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
        if row is None or not isinstance(row[0], int):  # which yoyo's own are
            return None
        from torc_migrations.lock import YoyoHolder

        return YoyoHolder(row[0], str(row[1]))

    def _check_file(self) -> None:
        """Make sure that we write to the file that others find under its name; in WAL mode SQLite does not look."""
        if self.file and not self.file.stands:
            raise moved(self.address)


@contextmanager
def open_database(database: DatabaseLike, *, lock_timeout: float) -> Iterator[Database]:
    """Open a database so that reading it leaves no trace; a file that is missing is not created yet.

    Raises:
        UrlError: the address is misspelled, or leads to nothing that can be opened.
    """
    opened = _opened(database, lock_timeout)
    try:
        # Twice, because Ctrl-C may come while the first is at it.
        try:
            opened.take()
            yield opened
        finally:
            opened.close()
    finally:
        opened.close()


def _opened(database: DatabaseLike, lock_timeout: float) -> Database:
    refuse_forked()
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
    return Database(connect(address), address, file=find_file(address.path), lock_timeout=lock_timeout)


def _borrowed(connection: sqlite3.Connection, lock_timeout: float) -> Database:
    try:
        address = Address(read_schemas(connection)["main"] or None)
    except sqlite3.Error as error:
        raise CannotOpen("the connection", f"the connection cannot be used: {error}") from error
    if connection.in_transaction:
        raise CannotOpen(
            address.name,
            f"the connection to {address.name} is inside a transaction",
            hint="commit or roll back first, and open it without autocommit=False",
        )
    file = find_file(address.path)
    return Database(connection, address, file=file, lent=read_settings(connection), lock_timeout=lock_timeout)


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
