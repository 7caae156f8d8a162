"""Open a SQLite file so that reading it leaves no trace, and say in our words why it cannot be opened."""

from __future__ import annotations

import os
import sqlite3
from typing import NamedTuple

from torc_migrations.errors import CannotOpen, DatabaseFailed, LockTimeout
from torc_migrations.lock import sqlite_holder
from torc_migrations.url import Address

_BUSY = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


class Settings(NamedTuple):
    """The settings of a connection as its owner had them."""

    isolation_level: str | None
    text_factory: object
    busy_timeout: int
    foreign_keys: int


def settings(connection: sqlite3.Connection) -> Settings:
    """Read what we are going to change, so that it can be put back."""

    def pragma(name: str) -> int:
        (value,) = connection.execute(f"PRAGMA {name}").fetchone()
        return int(value)

    return Settings(connection.isolation_level, connection.text_factory, pragma("busy_timeout"), pragma("foreign_keys"))


def connect(address: Address) -> sqlite3.Connection:
    """Open a connection that begins no transaction by itself, waits for nobody, and keeps no statements."""
    try:
        return sqlite3.connect(_uri(address), uri=True, isolation_level=None, timeout=0, cached_statements=0)
    except sqlite3.DatabaseError as error:
        raise explained(error, address) from error


def _uri(address: Address) -> str:
    """Return a `file:` URI; the only way to tell SQLite not to create a file, and to give it a path with a `?`."""
    if address.path is None:
        return ":memory:"
    from urllib.parse import quote

    path = os.path.abspath(address.path).replace(os.sep, "/")
    how = "immutable=1" if address.mode == "immutable" else f"mode={address.mode}"
    return f"file:{'' if path.startswith('/') else '/'}{quote(os.fsencode(path))}?{how}"


def explained(error: sqlite3.DatabaseError, address: Address) -> Exception:
    """Return the error of ours that says what the driver's means for this file."""
    reason = str(error)
    if isinstance(error, sqlite3.OperationalError) and is_busy(error):
        return LockTimeout(address.name, sqlite_holder(address.path), 0)
    code = getattr(error, "sqlite_errorcode", None)
    if code == sqlite3.SQLITE_NOTADB:
        return CannotOpen(address.name, f"{address.name!r} is not a SQLite database", hint="name another file")
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
    """Tell whether the database is only held by somebody else."""
    code: int | None = getattr(error, "sqlite_errorcode", None)
    return code is not None and code & 0xFF in _BUSY
