"""Open a SQLite file so that reading it leaves no trace, and say in our words why it cannot be opened."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from torc_migrations.errors import CannotOpen, DatabaseFailed, LockTimeout
from torc_migrations.lock import sqlite_holder
from torc_migrations.url import Address

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


def borrow(connection: sqlite3.Connection) -> Settings:
    """Make a connection begin no transaction by itself and wait for nobody; return what it was like before."""
    cursor = sqlite3.Cursor(connection)
    before = Settings(
        connection.isolation_level,
        connection.text_factory,
        cursor.execute("PRAGMA busy_timeout").fetchone()[0],
        cursor.execute("PRAGMA foreign_keys").fetchone()[0],
    )
    connection.isolation_level = None
    connection.text_factory = str
    write_pragma(connection, "busy_timeout", 0)
    return before


def give_back(connection: sqlite3.Connection, before: Settings) -> None:
    """Undo what `borrow` and a migration have set."""
    write_pragma(connection, "busy_timeout", before.busy_timeout)
    write_pragma(connection, "foreign_keys", before.foreign_keys)
    connection.isolation_level = before.isolation_level  # type: ignore[assignment]  # typeshed is narrower
    connection.text_factory = before.text_factory


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


def connect(address: Address) -> sqlite3.Connection:
    """Open a connection that begins no transaction by itself, waits for nobody, and keeps no statements."""
    try:
        connection = sqlite3.connect(_uri(address), uri=True, isolation_level=None, timeout=0, cached_statements=0)
        if address.mode == "ro":
            write_pragma(connection, "query_only", 1)
    except sqlite3.DatabaseError as error:
        raise explained(error, address) from error
    return connection


def _uri(address: Address) -> str:
    """Return a `file:` URI; the only way to tell SQLite not to create a file, and to give it a path with a `?`.

    SQLite's own `mode=ro` is not used: it leaves a `-shm` and a `-wal` beside a file in WAL mode, and cannot read a
    file that has to be recovered after a crash.
    """
    if address.path is None:
        return ":memory:"
    from urllib.parse import quote

    path = os.path.abspath(address.path).replace(os.sep, "/")
    how = {"immutable": "immutable=1", "ro": "mode=rw"}.get(address.mode, f"mode={address.mode}")
    return f"file://{'' if path.startswith('/') else '/'}{quote(os.fsencode(path))}?{how}"


def file_identity(path: str | None) -> tuple[int, int] | None:
    """Return what tells a file from another one of the same name later; None where there is none."""
    try:
        found = os.stat(path) if path is not None else None
    except OSError:
        return None
    return (found.st_dev, found.st_ino) if found else None


def moved(address: Address) -> DatabaseFailed:
    """Return the error that says that the file of an open database is gone."""
    return DatabaseFailed(address.name, "its file was deleted or replaced while it was open")


def explained(error: sqlite3.DatabaseError, address: Address) -> Exception:
    """Return the error of ours that says what the driver's means for this file."""
    reason = str(error)
    if isinstance(error, sqlite3.OperationalError) and is_busy(error):
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
