"""The migration lock, which is sqlx's too, yoyo's lock, and who holds them."""

from __future__ import annotations

from contextlib import suppress
from itertools import count
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol
from zlib import crc32

import psycopg
from psycopg.generators import fetch_many

from torc_migrations.databases.postgresql.address import translate
from torc_migrations.databases.postgresql.session import literal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torc_migrations.databases.servers.given import ServerOptions
    from torc_migrations.errors import MigrationError

# The advisory lock of sqlx is this number, times the CRC-32 of the database's name, as a signed number of 64 bits:
# https://github.com/launchbadge/sqlx/blob/main/sqlx-postgres/src/migrate.rs
_SQLX_FACTOR = 0x3D32AD9E
_UNKNOWN = "another session"
_POOLED = "pooled"

IS_READ_ONLY = "pg_is_in_recovery() OR current_setting('transaction_read_only') = 'on'"

# An advisory lock of 64 bits is in two columns of 32: https://www.postgresql.org/docs/current/view-pg-locks.html
_ADVISORY = """
    locktype = 'advisory'
    AND objsubid = 1
    AND granted
    AND database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database())
    AND ((classid::bigint << 32) | objid::bigint) = CAST(:key AS bigint)
"""
_DESCRIBED = """
    SELECT
        a.pid,
        a.application_name,
        a.usename,
        coalesce(a.client_addr::text, a.client_hostname),
        to_char(a.xact_start AT TIME ZONE 'UTC', 'HH24:MI:SS'),
        to_char(a.backend_start AT TIME ZONE 'UTC', 'HH24:MI:SS'),
        a.state
    FROM pg_catalog.pg_stat_activity a
"""
SELECT_HOLDER = f"""
    {_DESCRIBED}
    WHERE a.pid IN (SELECT pid FROM pg_catalog.pg_locks WHERE {_ADVISORY})
"""
SELECT_LEDGER_USERS = f"""
    {_DESCRIBED}
    WHERE a.pid <> pg_backend_pid()
    AND a.pid IN (
        SELECT pid
        FROM pg_catalog.pg_locks
        WHERE granted
        AND relation = ANY (CAST(:tables AS regclass[]))
        AND mode <> 'AccessShareLock'
    )
"""
SELECT_BLOCKERS = f"""
    {_DESCRIBED}
    WHERE a.pid = ANY (pg_blocking_pids(:pid))
"""
SELECT_OWN_START = """
    SELECT pg_backend_pid(), (extract(epoch FROM backend_start) * 1000000)::bigint
    FROM pg_catalog.pg_stat_activity
    WHERE pid = pg_backend_pid()
"""
# The start of another role's session is hidden.
SELECT_OWNER = f"""
    {_DESCRIBED}
    WHERE a.pid = :pid
    AND coalesce((extract(epoch FROM a.backend_start) * 1000000)::bigint, :start) = :start
    AND (:free OR EXISTS (SELECT 1 FROM pg_catalog.pg_locks l WHERE l.pid = a.pid AND {_ADVISORY}))
"""
SELECT_YOYO_LOCK = """
    SELECT
        l.pid,
        to_char(l.ctime, 'HH24:MI:SS'),
        EXISTS (
            SELECT 1
            FROM pg_catalog.pg_stat_activity a
            WHERE a.datname = current_database()
            AND a.pid <> pg_backend_pid()
            AND coalesce(a.backend_type, 'client backend') = 'client backend'
            AND coalesce(a.application_name, '') <> 'torc-migrations'
            AND coalesce(a.backend_start AT TIME ZONE 'UTC' < l.ctime + interval '1 minute', true)
        )
    FROM {} l
"""

_owners: set[str] = set()  # of this process, whose work goes on
_numbers = count()


class Session(Protocol):
    """What the lock needs of a connection: `key` is sqlx's number for the database, `schema` that of the ledgers."""

    name: str
    connection: psycopg.Connection[Any]
    options: ServerOptions
    schema: str
    key: int
    is_pooled: bool

    @property
    def ledger_names(self) -> list[str]:
        """The names for SQL of the ledgers that exist."""

    def quote_identifier(self, name: str) -> str:
        """Quote a name for SQL."""

    def run(self, text: str, values: Mapping[str, object] | None = None) -> psycopg.ClientCursor[Any]:
        """Run one statement."""

    def row(self, text: str, values: Mapping[str, object] | None = None) -> tuple[Any, ...]:
        """Return the only row of a query."""

    def rows_or_none(self, text: str, values: Mapping[str, object] | None = None) -> list[tuple[Any, ...]] | None:
        """Return the rows of a query, or None where a table of it does not exist."""


def sqlx_key(database: str) -> int:
    """Return the number of the advisory lock that sqlx takes for a database."""
    number = _SQLX_FACTOR * crc32(database.encode()) & 0xFFFFFFFFFFFFFFFF
    return number - (1 << 64) if number >> 63 else number


class YoyoLock(NamedTuple):
    """The row in yoyo's lock table.

    `alive` says whether there is a session that may be that yoyo's: one of this database that began before the row
    was written. The row has the number of a process, on a machine that is not known.
    """

    pid: int
    since: str
    alive: bool

    def __str__(self) -> str:
        return f"yoyo, process {self.pid} on some host, since {self.since} UTC (`yoyo break-lock` if it was killed),"


class Start(NamedTuple):
    """What was found when a transaction was begun."""

    is_read_only: bool
    is_locked: bool
    has_yoyo_lock: bool


def begin(database: Session, local_settings: str, *, advisory_lock: bool) -> Start:
    """Begin a transaction, and ask in the same query for the lock, and whether there is yoyo's table of locks.

    A standby grants advisory locks too, so it is not asked for one.
    """
    lock = f"pg_try_advisory_xact_lock({database.key})" if advisory_lock else "true"
    cursor = database.run(
        f"BEGIN ISOLATION LEVEL READ COMMITTED; {local_settings}; "
        f"SELECT {IS_READ_ONLY}, CASE WHEN NOT pg_is_in_recovery() THEN {lock} END, "
        f"to_regclass({literal(yoyo_lock_table(database))}) IS NOT NULL"
    )
    while cursor.nextset():  # the last result is that of the query
        pass
    return Start(*cursor.fetchall()[0])


def read_yoyo_lock(database: Session) -> YoyoLock | None:
    """Return the row in yoyo's lock table, or None."""
    rows = database.rows_or_none(SELECT_YOYO_LOCK.format(yoyo_lock_table(database)))
    return YoyoLock(*rows[0]) if rows else None


def delete_yoyo_lock(database: Session, pid: int) -> None:
    """Delete the row of a yoyo that is dead, in the caller's transaction."""
    database.run(f"DELETE FROM {yoyo_lock_table(database)} WHERE pid = :pid", {"pid": pid})


def yoyo_lock_table(database: Session) -> str:
    """Return the name for SQL of the table that yoyo locks with."""
    return f"{database.quote_identifier(database.schema)}.yoyo_lock"


def describe_holder(database: Session) -> str:
    """Describe who holds the migration lock."""
    return known_holder(database) or _UNKNOWN


def known_holder(database: Session) -> str | None:
    """Describe who holds the migration lock, or return None where nobody does, or it is hidden."""
    rows = database.run(SELECT_HOLDER, {"key": database.key}).fetchall()
    return _described(rows) if rows else None


def describe_ledger_users(database: Session) -> str:
    """Describe who has written to a ledger, and not yet committed."""
    with suppress(psycopg.Error):
        rows = database.run(SELECT_LEDGER_USERS, {"tables": database.ledger_names}).fetchall()
        return _described(rows)
    return _UNKNOWN


def error_of(database: Session, error: psycopg.Error) -> MigrationError:
    """Return the error of this package for one of the driver, with who holds the ledgers where they were waited for."""
    waits = isinstance(error, psycopg.errors.LockNotAvailable)
    return translate(error, database.name, (describe_ledger_users(database) if waits else "") or "another session")


def describe_blockers(connection: psycopg.Connection[Any], pid: int) -> str:
    """Describe who keeps a session waiting, or return an empty text; from another connection."""
    from torc_migrations.databases.servers.parameters import to_pyformat

    cursor = psycopg.ClientCursor(connection)
    cursor.execute(to_pyformat(SELECT_BLOCKERS).encode(), {"pid": pid})
    rows = cursor.fetchall()
    return _described(rows) if rows else ""


def _described(rows: list[tuple[Any, ...]]) -> str:
    return " and ".join(_one_described(*row) for row in rows[:3]) or _UNKNOWN


def _one_described(
    pid: int, program: str, user: str, host: str | None, since: str | None, started: str | None, state: str | None
) -> str:
    named = f"{program!r}, " if program else ""
    place = f" from {host}" if host else ""
    when = f", in a transaction since {since} UTC" if since else f", connected since {started} UTC" if started else ""
    idle = ", idle" if state and state.startswith("idle in transaction") else ""
    return f"session {pid} ({named}user {user}{place}{when}{idle})"


def begin_to_own(database: Session) -> str:
    """Hold the migration lock for the session, and return a name for what it does: `4711-1767225600000000-lock-0`."""
    if database.is_pooled:
        owner = f"{_POOLED}-{next(_numbers)}"
    else:
        pid, start = database.row(SELECT_OWN_START)
        if database.options.advisory_lock:  # granted at once: the transaction holds it
            database.run(f"SELECT pg_try_advisory_lock({database.key})")
        owner = f"{pid}-{start}-{'lock' if database.options.advisory_lock else 'free'}-{next(_numbers)}"
    _owners.add(owner)
    return owner


def end_owning(database: Session, owner: str) -> None:
    """Release the lock of the session. May be called again."""
    if owner not in _owners:
        return
    _owners.discard(owner)
    if "-lock-" in owner and not database.connection.closed:
        with suppress(psycopg.Error):
            database.run(f"SELECT pg_advisory_unlock({database.key})")


def release_all(database: Session) -> None:
    """Release the lock of the session, if an interruption has left it."""
    pid = f"{database.connection.info.backend_pid}-"
    for owner in [each for each in _owners if each.startswith(pid)]:
        end_owning(database, owner)


def living_owner(database: Session, owner: str) -> str | None:
    """Describe the session that goes on with some work; None where it has ended, or is behind a pooler."""
    pid, start, how = [*owner.split("-"), "", "", ""][:3]
    if not (pid.isdecimal() and start.isdecimal()):
        return None
    if int(pid) == database.connection.info.backend_pid and owner not in _owners:
        return None
    facts = {"pid": int(pid), "start": int(start), "free": how == "free", "key": database.key}
    rows = database.run(SELECT_OWNER, facts).fetchall()
    return _described(rows) if rows else None


def cancel(connection: psycopg.Connection[Any]) -> None:
    """Stop the statement that is running, and read what is left of its results."""
    connection.cancel_safe(timeout=5)
    with suppress(psycopg.Error):
        connection.wait(fetch_many(connection.pgconn), timeout=5)
