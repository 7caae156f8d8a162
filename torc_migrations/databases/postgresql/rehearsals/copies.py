"""Databases that are created for a while: their names, and how they are removed, also after a process was killed."""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import psycopg

from torc_migrations.databases.postgresql.address import Address, connect, read_only, translate
from torc_migrations.databases.postgresql.locks import IS_READ_ONLY, SELECT_OWN_START
from torc_migrations.databases.postgresql.session import set_search_path
from torc_migrations.errors import MigrationError
from torc_migrations.log import log

if TYPE_CHECKING:
    from torc_migrations.databases.postgresql.connection import PostgreSQLConnection

# A database is named for the session that has created it, and for when that session began:
# `torc_scratch_4711_1764190000123456_1f2e3d`.
_NAME = re.compile(r"torc_scratch_(?P<pid>\d+)_(?P<start>\d+)_[0-9a-f]+")
_LOOKS, _PAUSE = 10, 0.02  # how often the other sessions are counted, and the seconds between
_CAN_FORCE = 130000  # the first version that ends other sessions when it drops a database

SELECT_LEFTOVERS = """
    SELECT d.datname
    FROM pg_catalog.pg_database d
    WHERE d.datname LIKE 'torc!_scratch!_%' ESCAPE '!'
    AND pg_has_role(d.datdba, 'USAGE')
"""
# The start of another role's session is hidden; it is taken for the one that is looked for.
SELECT_LIVES = """
    SELECT EXISTS (
        SELECT 1
        FROM pg_catalog.pg_stat_activity a
        WHERE a.pid = :pid
        AND coalesce((extract(epoch FROM a.backend_start) * 1000000)::bigint, :start) = :start
    )
"""
SELECT_OTHERS = """
    SELECT count(*)
    FROM pg_catalog.pg_stat_activity a
    WHERE a.datid = (SELECT d.oid FROM pg_catalog.pg_database d WHERE d.datname = current_database())
    AND a.pid <> pg_backend_pid()
    AND coalesce(a.backend_type, 'client backend') = 'client backend'
"""
# Of the database, for all roles or for this one.
SELECT_SETTINGS = """
    SELECT DISTINCT split_part(setting, '=', 1)
    FROM pg_catalog.pg_db_role_setting s
    CROSS JOIN LATERAL unnest(s.setconfig) AS setting
    JOIN pg_catalog.pg_database d ON d.oid = s.setdatabase
    WHERE d.datname = current_database()
    AND s.setrole IN (0, (SELECT r.oid FROM pg_catalog.pg_roles r WHERE r.rolname = session_user))
"""
SELECT_MAY_COPY = """
    SELECT
        (SELECT r.rolsuper OR r.rolcreatedb FROM pg_catalog.pg_roles r WHERE r.rolname = current_user),
        (SELECT pg_has_role(d.datdba, 'USAGE') OR d.datistemplate
            FROM pg_catalog.pg_database d WHERE d.datname = current_database())
"""


class NoDatabase(Exception):  # it never leaves this package
    """A database cannot be created; the reason is a part of a sentence."""


def why_no_copy(database: PostgreSQLConnection) -> str | None:
    """Return why a database cannot be copied now, as a part of a sentence, or None."""
    if database.is_pooled:
        return "it is behind a pooler"
    creates, owns = database.row(SELECT_MAY_COPY)
    if not creates:
        return "this role may not create databases"
    if not owns:
        return "this role does not own it"
    if others := _count_others(database):
        return f"{others} other session{'s are' if others > 1 else ' is'} connected to it"
    return None


def _count_others(database: PostgreSQLConnection) -> int:
    """Count the other sessions of a database; one of ours that was just closed is there for a moment longer."""
    for _ in range(_LOOKS - 1):
        if not int(database.row(SELECT_OTHERS)[0]):
            return 0
        time.sleep(_PAUSE)
    return int(database.row(SELECT_OTHERS)[0])


@contextmanager
def created(database: PostgreSQLConnection, template: str) -> Iterator[str]:
    """Create a database from a template, and yield its name; drop it at the end.

    Those that killed processes have left are dropped first.

    Raises:
        NoDatabase: this role may not create one, or somebody else is connected to the template.
        CannotOpen: the server is a standby, or read-only.
        MigrationError: it could not be created after all.
    """
    if database.row(f"SELECT {IS_READ_ONLY}")[0]:
        raise read_only(database.name)
    _drop_leftovers(database)
    pid, start = database.row(SELECT_OWN_START)
    name = f"torc_scratch_{pid}_{start}_{secrets.token_hex(3)}"
    own = address_of(database, str(database.database))  # not to be had any more once the connection is lost
    forced = " WITH (FORCE)" if database.connection.info.server_version >= _CAN_FORCE else ""
    try:
        _create(database, name, template)
        if template == database.database:
            _copy_settings(database, name)
        yield name
    finally:
        _drop(own, f"DROP DATABASE IF EXISTS {name}{forced}")


def _create(database: PostgreSQLConnection, name: str, template: str) -> None:
    try:
        database.run(f"CREATE DATABASE {name} TEMPLATE {database.quote_identifier(template)}")
    except psycopg.errors.InsufficientPrivilege as error:
        raise NoDatabase("this role may not create databases") from error
    except psycopg.errors.ObjectInUse as error:
        raise NoDatabase("another session is connected to it") from error
    except psycopg.Error as error:
        raise translate(error, database.name) from error


def _copy_settings(database: PostgreSQLConnection, name: str) -> None:
    """Give a copy what ALTER DATABASE ... SET has set, such as `search_path`, which CREATE DATABASE does not copy."""
    for (setting,) in database.run(SELECT_SETTINGS).fetchall():
        with suppress(psycopg.Error):  # one that a superuser has set, and this role may not
            database.run(f"ALTER DATABASE {name} SET {database.quote_identifier(setting)} FROM CURRENT")


def take_schema(database: PostgreSQLConnection, name: str) -> None:
    """Give an empty database the search path of another one, and the schema in which that has its ledgers."""
    path = set_search_path(database.address.schema)
    database.run(f"{path}ALTER DATABASE {name} SET search_path FROM CURRENT")
    if database.schema != "public":  # which every new database has
        with connect(address_of(database, name)) as connection:
            connection.execute(f"CREATE SCHEMA IF NOT EXISTS {database.quote_identifier(database.schema)}".encode())


def address_of(database: PostgreSQLConnection, name: str) -> Address:
    """Return the address of another database of the same server."""
    info = database.connection.info
    found = {**info.get_parameters(), "password": info.password, "dbname": name}
    return Address({key: str(value) for key, value in found.items() if value}, "", database.name)


def _drop(address: Address, statement: str) -> None:
    """Drop a database, on a connection of its own, because that of the caller may be lost."""
    try:
        with connect(address) as connection:
            connection.execute(statement.encode())
    except (psycopg.Error, MigrationError) as error:
        log().warning("%s failed, and the next rehearsal tries it again: %s", statement, error)


def _drop_leftovers(database: PostgreSQLConnection) -> None:
    """Drop the databases of sessions that have ended; one that is in use is left."""
    for (name,) in database.run(SELECT_LEFTOVERS).fetchall():
        owner = _NAME.fullmatch(name)
        if owner is None:
            continue
        values = {"pid": int(owner["pid"]), "start": int(owner["start"])}
        if not database.row(SELECT_LIVES, values)[0]:
            with suppress(psycopg.Error):
                database.run(f"DROP DATABASE IF EXISTS {name}")
