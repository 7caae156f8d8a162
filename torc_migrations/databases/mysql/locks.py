"""The migration lock of MariaDB and MySQL: `GET_LOCK` with sqlx's name, held by a session."""

from __future__ import annotations

from typing import Any
from zlib import crc32

from torc_migrations.databases.mysql.connection import MySqlSession, run
from torc_migrations.databases.waiting import Wait
from torc_migrations.errors import DatabaseFailed

_FACTOR = 0x3D32AD9E  # sqlx's

SELECT_SESSION = """
    SELECT user, host, command, time
    FROM information_schema.processlist
    WHERE id = :number
"""


def lock_name(schema: str) -> str:
    """Return the name of the lock that sqlx takes for a database."""
    return f"{_FACTOR * crc32(schema.encode()):x}"


class MigrationLock:
    """The lock of one database, on one server; a session that ends loses it.

    The server's own waiting is not used, because it cannot be interrupted.
    """

    def __init__(self, session: MySqlSession) -> None:
        assert session.schema is not None
        self._session = session
        self._name = lock_name(session.schema)
        # By this number the server knows who holds it; behind a proxy it may be another one than the session's.
        self._held_by: int | None = None
        self.is_held = False

    def take(self, wait: Wait) -> None:
        """Take the lock, unless it is held already.

        Raises:
            LockTimeout: another session has held it for too long.
            DatabaseFailed: it was held, and is lost.
        """
        if self.is_held:
            self._check()
            return
        while self._session.run("SELECT GET_LOCK(:name, 0)", {"name": self._name}).fetchone()[0] != 1:
            wait.pause(self._describe)
        self._held_by = self._holder_number()
        self.is_held = True

    def release(self) -> None:
        """Release the lock, if it is held."""
        if self.is_held:
            self.is_held = False
            self._session.run("DO RELEASE_LOCK(:name)", {"name": self._name})

    def holder(self) -> str | None:
        """Describe the other session that holds the lock; None where no other one does."""
        number = self._holder_number()
        if number is None or (self.is_held and number == self._held_by):
            return None
        return describe_session(self._session.connection, number)

    def _holder_number(self) -> int | None:
        number = self._session.run("SELECT IS_USED_LOCK(:name)", {"name": self._name}).fetchone()[0]
        return None if number is None else int(number)

    def _check(self) -> None:
        """Refuse to go on where a script has released the lock, with RELEASE_ALL_LOCKS() for example."""
        if self._holder_number() != self._held_by:
            self.is_held = False
            raise DatabaseFailed(self._session.name, "this session holds the migration lock no longer")

    def _describe(self) -> str:
        return self.holder() or "another session"


def describe_session(connection: Any, number: int) -> str:
    """Name a session of the server; of those of other users the server reports nothing without PROCESS."""
    row = run(connection, SELECT_SESSION, {"number": number}).fetchone()
    if row is None:
        return f"session {number} of the server"
    user, host, command, seconds = row
    return f"session {number} of the server ({user} from {host or 'a socket'}, {command} for {seconds} s)"
