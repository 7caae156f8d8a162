"""Open an SQLite file so that reading it changes nothing, and translate the driver's errors; its settings."""

# Without `from __future__ import annotations`: typing would compile each annotation of a NamedTuple, at every start.

import os
import sqlite3
from collections.abc import Mapping
from contextlib import closing, suppress
from typing import TYPE_CHECKING, NamedTuple

from torc_migrations.databases.sqlite.callbacks import code_of, primary_code, with_full_disk
from torc_migrations.databases.urls import Address
from torc_migrations.errors import CannotOpen, DatabaseFailed, LockTimeout
from torc_migrations.formatting import lowered

if TYPE_CHECKING:
    from torc_migrations.databases.sqlite.scripts.effects import Pragma

# Codes that pysqlite3 has no names for: https://sqlite.org/rescode.html
_IN_PROGRESS = "SQL statements in progress"
_READ_ALL = "a cursor of the connection has rows to read, as of INSERT ... RETURNING: read all of them, or close it"
# What can be done, by the words of SQLite.
_HINTS = {
    _IN_PROGRESS: _READ_ALL,
    "disk is full": "free space on its disk",
    "disk image is malformed": "restore a copy of it; `torc-migrations restore` lists the snapshots",
}
_BUSY_SNAPSHOT, _LOCKED_SHAREDCACHE, _READONLY_DBMOVED = 517, 262, 1032
# What PRAGMA sets for each file of a connection: without the name of one, for all of them or for the first.
_PER_FILE = frozenset(
    {
        *("cache_size", "cache_spill", "journal_mode", "journal_size_limit", "locking_mode", "max_page_count"),
        *("mmap_size", "secure_delete", "synchronous"),
    }
)
# Which of these, set for all files, is also what a file begins with that is attached later.
_FOR_NEW_FILES = ("locking_mode", "mmap_size")
# What takes effect with the next VACUUM, and until then cannot be read back.
_UNTIL_VACUUM = ("auto_vacuum", "page_size")
# With these a transaction cannot be rolled back, or not after a kill.
_UNSAFE_JOURNAL_MODES = ("off", "memory")
_FAST = 2
_ALL = ""  # sorts before the name of a file, so that what is set for all is restored first
_CAUSED_BY = {"default_cache_size": "cache_size"}

# Of TEMP objects those are dropped first that need others.
SELECT_TEMPORARY = """
    SELECT +type, +name
    FROM temp.sqlite_master
    WHERE type <> 'index'
    AND (name NOT LIKE 'sqlite!_%' ESCAPE '!' OR name LIKE 'sqlite!_stat%' ESCAPE '!')
    ORDER BY type = 'table', sql NOT LIKE 'create virtual%', rowid DESC
"""


class Settings(NamedTuple):
    """The settings of a connection as its owner had them."""

    isolation_level: str | None
    text_factory: object
    busy_timeout: object
    foreign_keys: object


def read_settings(connection: sqlite3.Connection) -> Settings:
    """Return what `take` is going to change."""
    cursor = sqlite3.Cursor(connection)
    return Settings(
        connection.isolation_level,
        connection.text_factory,
        cursor.execute("PRAGMA busy_timeout").fetchone()[0],
        cursor.execute("PRAGMA foreign_keys").fetchone()[0],
    )


def take(connection: sqlite3.Connection) -> None:
    """Make a connection begin no transaction by itself and not wait for locks."""
    connection.isolation_level = None
    connection.text_factory = str
    write_pragma(connection, "busy_timeout", 0)


def give_back(connection: sqlite3.Connection, before: Settings) -> None:
    """Undo what `take` and a migration have set."""
    write_pragma(connection, "busy_timeout", before.busy_timeout)
    write_pragma(connection, "foreign_keys", before.foreign_keys)
    connection.isolation_level = before.isolation_level  # type: ignore[assignment]  # typeshed is narrower
    connection.text_factory = before.text_factory


class SessionState:
    """What scripts leave in a connection apart from the database itself: settings, TEMP objects, attached files.

    Attributes:
        lent_temporary: the lower names of the TEMP objects that the owner of a lent connection has made.
        lent_schemas: the names of the files that he has attached to it.
        attached_by: which script has attached a file, by its name.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._before: dict[tuple[str, str], object] = {}
        self._has_temporary = False
        self._is_lent = False
        self._journal_mode: str | None = None  # an unsafe one, which a lent connection had
        self.lent_temporary = frozenset[str]()
        self.lent_schemas = frozenset[str]()
        self.attached_by: dict[str, object] = {}
        self._attacher: object = None  # the script that has just attached a file

    @property
    def is_changed(self) -> bool:
        """Whether a script has left something that is restored outside a transaction."""
        return bool(self._before or self._has_temporary or self.attached_by)

    def note_lent(self, *, in_memory: bool) -> None:
        """Note what a lent connection has, and have a journal with which a failed script is rolled back."""
        schemas = read_schemas(self._connection).keys()
        self.lent_schemas = frozenset(schemas - {"main", "temp"})
        if "temp" in schemas:
            self.lent_temporary = frozenset(lowered(name) for _, name in self._temporary())
        self._is_lent = True
        self._journal_mode = self._journal_mode or _use_safe_journal(self._connection, in_memory=in_memory)

    def give_back(self) -> None:
        """Leave a lent connection what it had, wherever a script was interrupted."""
        if not self._is_lent:
            return
        self._has_temporary |= "temp" in read_schemas(self._connection)
        self.attached_by = dict.fromkeys(self._new_schemas())
        self.clear()
        if self._journal_mode and self.read("main", "journal_mode") != "wal":
            write_pragma(self._connection, "main.journal_mode", self._journal_mode)

    def note_script(self, script: object, *, temporary: bool, attaches: bool) -> None:
        """Note that a script may have made TEMP objects, or attached a file."""
        self._has_temporary |= temporary
        self._attacher = script if attaches else None

    def clear(self) -> None:
        """Outside a transaction, detach files and drop what a rollback has brought back."""
        if self.attached_by:
            for schema in self._new_schemas():
                sqlite3.Cursor(self._connection).execute(f"DETACH {quote_identifier(schema)}")
            self.attached_by = {}
        if self._has_temporary:
            self._drop_temporary()
            if not self.lent_temporary:
                self._close_temporary()
            self._has_temporary = False

    def _new_schemas(self) -> set[str]:
        return set(read_schemas(self._connection)) - self.lent_schemas - {"main", "temp"}

    def _temporary(self) -> list[tuple[str, str]]:
        rows = sqlite3.Cursor(self._connection).execute(SELECT_TEMPORARY)
        return [(str(kind), str(name)) for kind, name in rows]

    def _close_temporary(self) -> None:
        """Close the file of TEMP objects, as long as which is open temp_store cannot be set in a transaction."""
        before = self.read("main", "temp_store")
        with suppress(sqlite3.OperationalError):  # a statement that was interrupted may still read it
            write_pragma(self._connection, "temp_store", 1 if before != 1 else 0)  # setting another value closes it
            write_pragma(self._connection, "temp_store", before)

    def _drop_temporary(self) -> None:
        for kind, name in self._temporary() if self._has_temporary else ():
            if lowered(name) not in self.lent_temporary:
                with suppress(sqlite3.DatabaseError):  # one that a foreign key protects goes outside a transaction
                    sqlite3.Cursor(self._connection).execute(f"DROP {kind} IF EXISTS temp.{quote_identifier(name)}")

    def remember(self, pragma: "Pragma") -> None:
        """Read what a PRAGMA is going to change."""
        name = _CAUSED_BY.get(pragma.name, pragma.name)
        if name not in _PER_FILE:
            schemas = ["main"]
        elif pragma.schema:
            schemas = [pragma.schema.lower()]
        else:
            schemas = [*read_schemas(self._connection), *([_ALL] if name in _FOR_NEW_FILES else ())]
        for schema in schemas:
            if (schema, name) not in self._before and (value := self.read(schema, name)) is not None:
                self._before[schema, name] = value

    def restore(self) -> None:
        """Restore what has changed. What SQLite does not change inside a transaction is restored by a later call."""
        if self._attacher is not None:
            self.attached_by = {name: self.attached_by.get(name, self._attacher) for name in self._new_schemas()}
            self._attacher = None
        self._drop_temporary()
        for (schema, name), before in sorted(self._before.items()):
            try:
                if self._is_restored(schema, name, before):
                    del self._before[schema, name]
            except sqlite3.OperationalError as error:
                if is_busy(error) or not self._connection.in_transaction:
                    raise

    def _is_restored(self, schema: str, name: str, before: object) -> bool:
        if schema not in (_ALL, "main") and schema not in read_schemas(self._connection):
            return True
        now = self.read(schema, name)
        if name in _UNTIL_VACUUM:
            before = now
        elif now == before or (name == "journal_mode" and _is_of_the_file(before, now)):
            return True
        word = "fast" if name == "secure_delete" and before == _FAST else before
        write_pragma(self._connection, _qualified(schema, name), word)
        return self.read(schema, name) == before

    def read(self, schema: str, name: str) -> object:
        """Return a setting, or None where it has no value that can be read."""
        cursor = sqlite3.Cursor(self._connection)
        if name == "case_sensitive_like":
            return cursor.execute("SELECT 'a' NOT LIKE 'A'").fetchone()[0]
        row = cursor.execute(f"PRAGMA {_qualified(schema, name)}").fetchone()
        return row[0] if row and len(row) == 1 else None


def _qualified(schema: str, name: str) -> str:
    return f"{quote_identifier(schema)}.{quote_identifier(name)}" if schema else quote_identifier(name)


def _use_safe_journal(connection: sqlite3.Connection, *, in_memory: bool) -> str | None:
    """Have a journal with which a failed script is rolled back; return the mode that there was, if it was another."""
    safe = "memory" if in_memory else "delete"
    mode = str(sqlite3.Cursor(connection).execute("PRAGMA main.journal_mode").fetchone()[0])
    if mode not in _UNSAFE_JOURNAL_MODES or mode == safe:
        return None
    write_pragma(connection, "main.journal_mode", safe)
    return mode


def _is_of_the_file(before: object, now: object) -> bool:
    """Return whether a change of the journal mode is one that the file keeps, and that every connection sees."""
    return now == "wal" or (before == "wal" and now == "delete")


def write_pragma(connection: sqlite3.Connection, name: str, value: object) -> None:
    """Set one setting of a connection; PRAGMA takes no parameters."""
    sqlite3.Cursor(connection).execute(f"PRAGMA {name} = {value}")


def read_schemas(connection: sqlite3.Connection) -> dict[str, str]:
    """Return the files of a connection by the names of their schemas, whatever its owner makes of a text."""
    cursor, text_factory = sqlite3.Cursor(connection), connection.text_factory
    try:
        # Twice, because Ctrl-C may come while the first is at it.
        try:
            connection.text_factory = bytes
            rows = cursor.execute("PRAGMA database_list").fetchall()
        finally:
            connection.text_factory = text_factory
    finally:
        connection.text_factory = text_factory
    return {name.decode(): os.fsdecode(path) for _, name, path in rows}


def quote_identifier(name: str) -> str:
    """Quote a name for SQL."""
    return '"' + name.replace('"', '""') + '"'


def connect(address: Address) -> sqlite3.Connection:
    """Open a connection that begins no transaction by itself, does not wait for locks, and caches no statements.

    Raises:
        CannotOpen: the file cannot be opened.
    """
    try:
        connection = _open(address, "immutable=1" if _would_leave_a_wal(address) else f"mode={_MODES[address.mode]}")
        if address.mode == "ro":
            write_pragma(connection, "query_only", 1)
    except sqlite3.DatabaseError as error:
        raise translate(error, address) from error
    return connection


def connect_to_copy(path: str) -> sqlite3.Connection:
    """Open a file that no process is going to change, without a lock, and without files next to it even in WAL mode."""
    return _open(Address(path), "immutable=1")


# SQLite's own `mode=ro` leaves a `-shm` and a `-wal` next to a file in WAL mode, and fails at one that has to be
# recovered after a crash; a connection that may write cleans up behind itself.
_MODES = {"ro": "rw", "rw": "rw", "rwc": "rwc"}


def _would_leave_a_wal(address: Address) -> bool:
    """Return whether a file is in WAL mode, closed, and not ours to write to.

    To read it SQLite would need a `-wal` next to it, which it either could not make or could not take away again.
    Without locks it cannot read such a file at all, which shows the mode; reading the header ourselves is not enough,
    because closing a file takes away every lock that this process has on it (https://sqlite.org/howtocorrupt.html).
    """
    path = address.path
    if path is None or not os.path.exists(path) or os.path.exists(f"{path}-wal"):
        return False
    if os.access(path, os.W_OK) and os.access(os.path.dirname(os.path.abspath(path)), os.W_OK):
        return False
    with closing(_open(address, "mode=ro&nolock=1")) as connection:
        try:
            connection.execute("PRAGMA schema_version")
        except sqlite3.OperationalError as error:
            return primary_code(error) == sqlite3.SQLITE_CANTOPEN
        except sqlite3.DatabaseError:
            return False
    return False


def _open(address: Address, how: str) -> sqlite3.Connection:
    return sqlite3.connect(_uri(address.path, how), uri=True, isolation_level=None, timeout=0, cached_statements=0)


def _uri(path: str | None, how: str) -> str:
    """Return a `file:` URI; the only way to have SQLite not create a file, and to give it a path with a `?`."""
    if path is None:
        return ":memory:"
    path = os.path.abspath(path).replace(os.sep, "/")
    for special in "%?#":  # all that https://sqlite.org/uri.html gives a meaning to; `%` first
        path = path.replace(special, f"%{ord(special):x}")
    return f"file://{'' if path.startswith('/') else '/'}{path}?{how}"


def file_is_gone(address: Address) -> DatabaseFailed:
    """Return the error for an open database whose file was deleted or replaced."""
    return DatabaseFailed(address.name, "its file was deleted or replaced while it was open")


def translate(error: sqlite3.DatabaseError, address: Address) -> Exception:
    """Return the error of this package for an error of the driver that did not come from a script."""
    reason = str(error)
    if isinstance(error, sqlite3.OperationalError) and is_busy(error):
        from torc_migrations.databases.sqlite.locks import lock_holder

        return LockTimeout(address.name, lock_holder(address.path), 0)
    code = code_of(error)
    if code == sqlite3.SQLITE_NOTADB:
        return CannotOpen(address.name, f"{address.name!r} is not a SQLite database", hint="name another file")
    if code == _READONLY_DBMOVED:
        return file_is_gone(address)
    if primary_code(error) == sqlite3.SQLITE_READONLY:
        return CannotOpen(address.name, f"{address.name!r} is read-only ({reason})")
    if primary_code(error) in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM) or _is_special(address.path):
        return _cannot_open(address, reason)
    reason = with_full_disk(error, address.path)
    hint = next((hint for words, hint in _HINTS.items() if words in reason), None)
    return DatabaseFailed(address.name, reason, hint=hint)


def _cannot_open(address: Address, reason: str) -> CannotOpen:
    """Return the error for a file that SQLite cannot open, with the reason that the system has for it."""
    hint = command_hint = None
    path = address.path
    if path is not None:
        directory = os.path.dirname(os.path.abspath(path))
        if os.path.isdir(path):
            reason = "it is a directory"
            hint = "name a file; a directory of migrations is the source"
            command_hint = "name a file; a directory of migrations is named with --source"
        elif _is_special(path):
            reason = "it is a device, a pipe or a socket"
            hint = "name a file"
        elif os.path.exists(path) and not os.access(path, os.R_OK):
            reason = "permission denied"
        elif not os.access(directory, os.W_OK):
            reason = f"the directory {directory!r} cannot be written"
    return CannotOpen(address.name, f"cannot open {address.name!r}: {reason}", hint=hint, command_hint=command_hint)


def _is_special(path: str | None) -> bool:
    """Return whether a path leads to what is neither a file nor a directory."""
    return path is not None and os.path.exists(path) and not (os.path.isfile(path) or os.path.isdir(path))


def is_busy(error: sqlite3.OperationalError) -> bool:
    """Return whether another connection holds the database, so that it makes sense to wait.

    SQLITE_LOCKED, SQLITE_BUSY_SNAPSHOT and this text come from open cursors of the connection: waiting does not help.
    """
    code = code_of(error)
    if code == _BUSY_SNAPSHOT or _IN_PROGRESS in str(error):
        return False
    return primary_code(error) == sqlite3.SQLITE_BUSY or code == _LOCKED_SHAREDCACHE


def rows_of_any_text(
    connection: sqlite3.Connection, sql: str, values: Mapping[str, object]
) -> list[tuple[object, ...]]:
    """Return the rows of a query in which a text is not UTF-8."""
    text_factory = connection.text_factory
    connection.text_factory = lambda text: text.decode(errors="replace")
    try:
        return sqlite3.Cursor(connection).execute(sql, values).fetchall()
    finally:
        connection.text_factory = text_factory
