"""Open a database of any kind: by URL, by path, or on a connection that its owner has opened."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any, TypeAlias

from torc_migrations.databases import sqlite
from torc_migrations.databases.servers.given import DEFAULT, ServerOptions
from torc_migrations.databases.urls import kind_of, scheme_of
from torc_migrations.errors import CannotOpen, MigrationError, UrlError
from torc_migrations.formatting import masked

if TYPE_CHECKING:
    from torc_migrations.databases.interface import Database, DatabaseLike, Functions

Opener: TypeAlias = "Callable[..., AbstractContextManager[Database]]"

# The kind of a connection whose class, or a class above it, comes from this module.
KIND_BY_MODULE = {
    "sqlite3": "sqlite",
    "_sqlite3": "sqlite",
    "pysqlite3": "sqlite",
    "psycopg": "postgresql",
    "pymysql": "mysql",
}


def open_database(
    database: DatabaseLike,
    *,
    lock_timeout: float,
    functions: Functions | None = None,
    server: ServerOptions = DEFAULT,
) -> AbstractContextManager[Database]:
    """Open a database so that reading it changes nothing; a file that is missing is not created yet.

    Args:
        database: a URL, a path, a connection, what keeps a connection in `conn`, as `sqlite_utils.Database` does, or
            an `Engine`, a `Connection` or a `URL` of SQLAlchemy.
        lock_timeout: how long to wait for others, in seconds.
        functions: called with each connection that is opened, to register what SQL calls.
        server: how a server is used.

    Raises:
        UrlError: the address is misspelled, or leads to nothing that can be opened.
    """
    if not isinstance(database, (str, os.PathLike)) and _is_of_sqlalchemy(database):
        return _open_for_sqlalchemy(database, lock_timeout=lock_timeout, functions=functions, server=server)
    kind = _kind(database)
    if kind == "sqlite":
        return sqlite.open_database(database, lock_timeout=lock_timeout, functions=functions)
    return _opener_of_server(kind, database)(database, lock_timeout=lock_timeout, functions=functions, server=server)


def _kind(database: DatabaseLike) -> str:
    if isinstance(database, os.PathLike):
        return "sqlite"
    if isinstance(database, str):
        scheme = scheme_of(database)
        return (kind_of(scheme) if scheme else None) or "sqlite"  # which refuses a scheme that it does not know
    kind = _kind_of_connection(getattr(database, "conn", database))
    if kind is None:
        raise UrlError(repr(type(database)), f"a database is a URL, a path or a connection, not {type(database)!r}")
    return kind


def is_server(database: DatabaseLike) -> bool:
    """Return whether a database is one of a server, and not an SQLite file or a database in memory."""
    if not isinstance(database, (str, os.PathLike)) and _is_of_sqlalchemy(database):
        engine = getattr(database, "engine", database)
        name = str(getattr(getattr(engine, "dialect", None), "name", "") or getattr(database, "drivername", ""))
        return not name.startswith("sqlite")
    return _kind(database) != "sqlite"


def _kind_of_connection(connection: object) -> str | None:
    modules = (each.__module__.partition(".")[0] for each in type(connection).__mro__)
    return next((KIND_BY_MODULE[module] for module in modules if module in KIND_BY_MODULE), None)


def _opener_of_server(kind: str, database: DatabaseLike) -> Opener:
    from torc_migrations.databases.servers.drivers import load_driver

    named = masked(database) if isinstance(database, str) else repr(type(database))
    if kind == "postgresql":
        load_driver(named, "psycopg", kind="PostgreSQL", extra="postgresql")
        from torc_migrations.databases import postgresql

        return postgresql.open_database
    load_driver(named, "pymysql", kind="MariaDB or MySQL", extra="mysql")
    from torc_migrations.databases import mysql

    return mysql.open_database


def _is_of_sqlalchemy(database: object) -> bool:
    """Recognise an `Engine`, a `Connection` or a `URL` of SQLAlchemy, asynchronous ones too, without importing it."""
    return any(kind.__module__.partition(".")[0] == "sqlalchemy" for kind in type(database).__mro__)


@contextmanager
def _open_for_sqlalchemy(database: Any, **options: Any) -> Iterator[Database]:
    """Open what SQLAlchemy names: on a connection of an engine if we have its driver in common, else by the URL."""
    if hasattr(database, "render_as_string"):
        with open_database(database.render_as_string(hide_password=False), **options) as opened:
            yield opened
        return
    is_engine = hasattr(database, "raw_connection")
    if not (is_engine or hasattr(database, "engine")):
        reason = f"a database is an Engine, a Connection or a URL of SQLAlchemy, not {type(database)!r}"
        raise UrlError(repr(type(database)), reason, hint="pass the engine, as of Session.get_bind()")
    if hasattr(database, "sync_engine") or hasattr(database, "sync_connection"):
        if not is_engine:
            url = database.engine.url
            raise CannotOpen(str(url), f"the connection to {url} is asynchronous", hint="pass its engine")
        with _open_for_sqlalchemy(database.url, **options) as opened:
            yield opened
        return
    if not is_engine and database.in_transaction():
        name = str(database.engine.url)
        reason = f"the connection to {name} is inside a transaction"
        raise CannotOpen(name, reason, hint="commit or roll back first, or pass its engine")
    pooled = _pooled(database) if is_engine else database.connection
    try:
        connection: Any = getattr(pooled, "driver_connection", None)
        if _kind_of_connection(connection) is not None:
            with open_database(connection, **options) as opened:
                yield opened
            return
    finally:
        if is_engine:
            pooled.close()
    if not is_engine:
        module = type(connection).__module__.partition(".")[0]
        name = str(database.engine.url)
        raise CannotOpen(name, f"the connection to {name} is one of {module}", hint="pass its engine, or its URL")
    with _open_for_sqlalchemy(database.url, **options) as opened:
        yield opened


def _pooled(engine: Any) -> Any:
    try:
        return engine.raw_connection()
    except MigrationError:
        raise
    except Exception as error:  # of whatever driver the engine has
        raise CannotOpen(str(engine.url), f"cannot connect to {engine.url}: {error}") from error
