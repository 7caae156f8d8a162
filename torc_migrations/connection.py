"""Open a SQLite file so that reading it leaves no trace, and say in our words why it cannot be opened."""

from __future__ import annotations

import os
from contextlib import closing

from torc_migrations.driver import sqlite3
from torc_migrations.errors import CannotOpen, DatabaseFailed, LockTimeout
from torc_migrations.url import Address
from torc_migrations.values import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Protocol, TypeAlias

    class HasConnection(Protocol):
        """What wraps a connection and keeps it in `conn`, as `sqlite_utils.Database` does."""

        conn: sqlite3.Connection


DatabaseLike: TypeAlias = "str | os.PathLike[str] | sqlite3.Connection | HasConnection"

SELECT_TABLES = """
    SELECT +name
    FROM sqlite_master
    WHERE type = 'table'
    ORDER BY name
"""
# What PRAGMA sets for a connection and can be read back, and does not reset itself.
PRAGMAS = (
    "automatic_index",
    "busy_timeout",
    "cache_size",
    "foreign_keys",
    "ignore_check_constraints",
    "legacy_alter_table",
    "locking_mode",
    "query_only",
    "read_uncommitted",
    "recursive_triggers",
    "reverse_unordered_selects",
    "synchronous",
    "temp_store",
    "trusted_schema",
    "writable_schema",
)


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
    """Make a connection begin no transaction by itself and wait for nobody."""
    connection.isolation_level = None
    connection.text_factory = str
    write_pragma(connection, "busy_timeout", 0)


def give_back(connection: sqlite3.Connection, before: Settings) -> None:
    """Undo what `take` and a migration have set."""
    write_pragma(connection, "busy_timeout", before.busy_timeout)
    write_pragma(connection, "foreign_keys", before.foreign_keys)
    connection.isolation_level = before.isolation_level  # type: ignore[assignment]  # typeshed is narrower
    connection.text_factory = before.text_factory


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


def read_tables(connection: sqlite3.Connection) -> tuple[str, ...]:
    """Return the names of all tables, SQLite's own left out."""
    names = (str(row[0]) for row in sqlite3.Cursor(connection).execute(SELECT_TABLES))
    return tuple(name for name in names if not name.startswith("sqlite_"))


def read_pragmas(connection: sqlite3.Connection) -> Mapping[str, object]:
    """Return the settings that a script could change with PRAGMA."""
    cursor = sqlite3.Cursor(connection)
    return {name: cursor.execute(f"PRAGMA {name}").fetchone()[0] for name in PRAGMAS}


def restore_pragmas(connection: sqlite3.Connection, before: Mapping[str, object], names: Iterable[str]) -> None:
    """Put back those of the named settings that have changed."""
    names = sorted(before.keys() & names)
    if names:
        now = read_pragmas(connection)
        for name in names:
            if now[name] != before[name]:
                write_pragma(connection, name, before[name])


def write_pragma(connection: sqlite3.Connection, name: str, value: object) -> None:
    """Set one setting of a connection; PRAGMA takes no parameters."""
    sqlite3.Cursor(connection).execute(f"PRAGMA {name} = {value}")


def quote_identifier(name: str) -> str:
    """Quote a name for SQL."""
    return '"' + name.replace('"', '""') + '"'


def connect(address: Address) -> sqlite3.Connection:
    """Open a connection that begins no transaction by itself, waits for nobody, and keeps no statements.

    Raises:
        CannotOpen: the file cannot be opened.
    """
    try:
        connection = _open(address, "immutable=1" if _would_leave_a_wal(address) else f"mode={_MODES[address.mode]}")
        if address.mode == "ro":
            write_pragma(connection, "query_only", 1)
    except sqlite3.DatabaseError as error:
        raise explained(error, address) from error
    return connection


def connect_to_copy(path: str) -> sqlite3.Connection:
    """Open a file that nobody is going to change, without a lock and without a trace, even where it says WAL."""
    return _open(Address(path), "immutable=1")


# SQLite's own `mode=ro` leaves a `-shm` and a `-wal` beside a file in WAL mode, and fails at one that has to be
# recovered after a crash; a connection that may write cleans up behind itself.
_MODES = {"ro": "rw", "rw": "rw", "rwc": "rwc"}


def _would_leave_a_wal(address: Address) -> bool:
    """Tell whether a file is in WAL mode, closed, and not ours to write to.

    To read it SQLite would need a `-wal` beside it, which it either could not make or could not take away again.
    Without locks it cannot read such a file at all, and that tells the mode; to look for ourselves would not do,
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
            return error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_CANTOPEN
        except sqlite3.DatabaseError:
            return False
    return False


def _open(address: Address, how: str) -> sqlite3.Connection:
    return sqlite3.connect(_uri(address.path, how), uri=True, isolation_level=None, timeout=0, cached_statements=0)


def _uri(path: str | None, how: str) -> str:
    """Return a `file:` URI; the only way to tell SQLite not to create a file, and to give it a path with a `?`."""
    if path is None:
        return ":memory:"
    path = os.path.abspath(path).replace(os.sep, "/")
    for special in "%?#":  # all that https://sqlite.org/uri.html gives a meaning to; `%` first
        path = path.replace(special, f"%{ord(special):x}")
    return f"file://{'' if path.startswith('/') else '/'}{path}?{how}"


class File(NamedTuple):
    """A file, and what tells it from another one that takes its name later."""

    path: str
    device: int
    inode: int

    @property
    def stands(self) -> bool:
        """Whether its name still leads to it."""
        try:
            found = os.stat(self.path)
        except OSError:
            return False
        return (found.st_dev, found.st_ino) == (self.device, self.inode)

    @property
    def is_empty(self) -> bool:
        """Whether it stands, and there is nothing in it."""
        return self.stands and os.path.getsize(self.path) == 0


def find_file(path: str | None) -> File | None:
    """Return the file of a path, wherever the process goes afterwards; None where there is none."""
    if path is None:
        return None
    try:
        found = os.stat(path)
    except OSError:
        return None
    return File(os.path.abspath(path), found.st_dev, found.st_ino)


# What is in use through us: by whom, the process, and the database's name.
_in_use: dict[int, tuple[int, str]] = {}


def note_use(user: object, name: str) -> None:
    """Note that somebody uses a database."""
    _in_use[id(user)] = (os.getpid(), name)


def note_end_of_use(user: object) -> None:
    """Note that he does not any more; may be called again."""
    _in_use.pop(id(user), None)


def refuse_forked() -> None:
    """Refuse to work in a process that was forked from another one while that one worked on a database.

    SQLite keeps its locks in lists and behind mutexes of the process, and a fork copies them as they are: the child
    would take its parent's locks for its own, read what is half-written, and wait for ever for a thread that it has
    not (https://sqlite.org/howtocorrupt.html, *Carrying an open database connection across a fork*).

    Raises:
        CannotOpen: this process is such a child.
    """
    for pid, name in tuple(_in_use.values()):
        if pid != os.getpid():
            raise CannotOpen(
                name,
                f"this process was forked from process {pid} while that one used {name!r}",
                hint="fork while no migration runs, or start the process anew (multiprocessing calls that `spawn`)",
            )


def moved(address: Address) -> DatabaseFailed:
    """Return the error that says that the file of an open database is gone."""
    return DatabaseFailed(address.name, "its file was deleted or replaced while it was open")


def explained(error: sqlite3.DatabaseError, address: Address) -> Exception:
    """Return the error of ours that says what the driver's means for this file."""
    reason = str(error)
    if isinstance(error, sqlite3.OperationalError) and is_busy(error):
        from torc_migrations.lock import sqlite_holder

        return LockTimeout(address.name, sqlite_holder(address.path), 0)
    code = getattr(error, "sqlite_errorcode", None)
    if code == sqlite3.SQLITE_NOTADB:
        return CannotOpen(address.name, f"{address.name!r} is not a SQLite database", hint="name another file")
    if code == sqlite3.SQLITE_READONLY_DBMOVED:
        return moved(address)
    if code is not None and code & 0xFF == sqlite3.SQLITE_READONLY:
        return CannotOpen(address.name, f"{address.name!r} is read-only ({reason})")
    if code is not None and code & 0xFF in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM):
        return CannotOpen(address.name, f"cannot open {address.name!r}: {_why_not(address) or reason}")
    return DatabaseFailed(address.name, reason)


def _why_not(address: Address) -> str | None:
    if address.path is None:
        return None
    if os.path.isdir(address.path):
        return "it is a folder"
    if os.path.exists(address.path) and not os.access(address.path, os.R_OK):
        return "permission denied"
    folder = os.path.dirname(os.path.abspath(address.path))
    return None if os.access(folder, os.W_OK) else f"the folder {folder!r} cannot be written"


def is_busy(error: sqlite3.OperationalError) -> bool:
    """Tell whether the database is only held by somebody else, for whom it makes sense to wait.

    A connection whose own open cursors are in the way gets SQLITE_LOCKED or SQLITE_BUSY_SNAPSHOT, for ever.
    """
    code: int | None = getattr(error, "sqlite_errorcode", None)
    if code is None or code == sqlite3.SQLITE_BUSY_SNAPSHOT:
        return False
    return code & 0xFF == sqlite3.SQLITE_BUSY or code == sqlite3.SQLITE_LOCKED_SHAREDCACHE
