"""Open an SQLite database: by URL, by path, or on a connection that its owner has opened."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING

from torc_migrations.databases.files import find_file, refuse_forked
from torc_migrations.databases.sqlite.connection import connect, read_schemas, read_settings
from torc_migrations.databases.sqlite.database import SQLiteDatabase
from torc_migrations.databases.urls import Address, parse_url
from torc_migrations.errors import CannotOpen, UrlError
from torc_migrations.formatting import masked

if TYPE_CHECKING:
    from torc_migrations.databases.interface import DatabaseLike, Functions


@contextmanager
def open_database(
    database: DatabaseLike, *, lock_timeout: float, functions: Functions | None = None
) -> Iterator[SQLiteDatabase]:
    """Open a database so that reading it changes nothing; a file that is missing is not created yet.

    `functions` is called with each connection that is opened, to register functions of SQL; a lent connection has those
    of its owner, and only copies of its database get these. A lent connection has one user at a time: other threads
    wait.

    Raises:
        UrlError: the address is misspelled, or leads to nothing that can be opened.
    """
    lent = getattr(database, "conn", database)  # sqlite_utils.Database keeps its connection in `conn`
    turn: AbstractContextManager[bool] = nullcontext(enter_result=False)
    if isinstance(lent, sqlite3.Connection):
        from torc_migrations.databases.lent import used_alone

        turn = used_alone(lent, lock_timeout)
    with turn as is_used:
        opened = _opened(database, lock_timeout, functions)
        opened.is_used = is_used
        try:
            # Twice, because Ctrl-C may come during the first.
            try:
                opened.take()
                yield opened
            finally:
                opened.close()
        finally:
            opened.close()


def _opened(database: DatabaseLike, lock_timeout: float, functions: Functions | None) -> SQLiteDatabase:
    refuse_forked()
    connection = getattr(database, "conn", database)
    if isinstance(connection, sqlite3.Connection):
        return _borrowed(connection, lock_timeout, functions)
    if isinstance(database, str):
        address = parse_url(database)
    elif isinstance(database, os.PathLike):
        address = Address(os.fsdecode(database))
    elif hasattr(connection, "cursor"):
        driver = type(connection).__module__.partition(".")[0]
        raise UrlError(
            repr(type(connection)),
            f"the connection is one of {driver}, and this package uses {sqlite3.Connection.__module__}",
            hint=f"open it with sqlite3, or set sys.modules['sqlite3'] to {driver} before torc_migrations is imported",
        )
    else:
        raise UrlError(repr(type(database)), f"a database is a URL, a path or a connection, not {type(database)!r}")
    if address.path is not None and not os.path.exists(address.path):
        return _missing(address, lock_timeout, functions)
    connection = connect(address)
    try:
        return SQLiteDatabase(
            connection, address, file=find_file(address.path), lock_timeout=lock_timeout, functions=functions
        )
    except BaseException:
        connection.close()
        raise


def _borrowed(connection: sqlite3.Connection, lock_timeout: float, functions: Functions | None) -> SQLiteDatabase:
    try:
        address = Address(read_schemas(connection)["main"] or None)
    except sqlite3.Error as error:
        hint = "open it with check_same_thread=False" if "in a thread" in str(error) else None
        raise CannotOpen("the connection", f"the connection cannot be used: {error}", hint=hint) from error
    if connection.in_transaction:
        raise CannotOpen(
            address.name,
            f"the connection to {address.name} is inside a transaction",
            hint="commit or roll back first, and open it without autocommit=False",
        )
    file = find_file(address.path)
    lent = read_settings(connection)
    return SQLiteDatabase(connection, address, file=file, lent=lent, lock_timeout=lock_timeout, functions=functions)


def _missing(address: Address, lock_timeout: float, functions: Functions | None) -> SQLiteDatabase:
    """Stand in for a file that does not exist, so that listing it does not create it."""
    _refuse_impossible(address.path or "")
    path = _end_of_link(address)
    _refuse_hidden(path, address)
    directory = os.path.dirname(path) or "."
    if not os.path.isdir(directory):
        reason = f"there is no directory {masked(directory)!r} for the database {address.name!r}"
        hint = "create the directory, or correct the path of the database"
        if directory.startswith("~"):
            hint = "write the path of the home directory; only a shell replaces ~ by it"
        raise CannotOpen(address.name, reason, hint=hint)
    if address.mode != "rwc":
        raise CannotOpen(address.name, f"there is no database {address.name!r}, and ?mode={address.mode} creates none")
    database = SQLiteDatabase(connect(Address(None)), address, lock_timeout=lock_timeout, functions=functions)
    database.is_missing = True
    return database


def _end_of_link(address: Address) -> str:
    """Return the path at which SQLite creates the file: what a link points to."""
    path = address.path or ""
    end = os.path.realpath(path) if os.path.islink(path) else path
    if os.path.islink(end):
        raise CannotOpen(address.name, f"cannot open {address.name!r}: it is a link that leads to itself")
    return end


def _refuse_hidden(path: str, address: Address) -> None:
    """Refuse a file that cannot be seen, because a directory above it may not be searched: it may exist."""
    try:
        os.stat(path)
    except PermissionError as error:
        reason = f"cannot open {address.name!r}: permission denied in a directory above it"
        raise CannotOpen(address.name, reason) from error
    except OSError:
        pass


def _refuse_impossible(path: str) -> None:
    """Refuse what no file can be named."""
    if "\0" in path:
        raise UrlError(masked(path), "a path cannot hold a NUL")
    try:
        os.fsencode(path)
    except UnicodeEncodeError as error:
        raise UrlError(masked(path), f"a path cannot hold {path[error.start]!r}") from error
