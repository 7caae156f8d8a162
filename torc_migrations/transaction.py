"""One transaction in which a database is written to: all of it, or nothing."""

from __future__ import annotations

from torc_migrations.connection import explained
from torc_migrations.driver import sqlite3

TYPE_CHECKING = False
if TYPE_CHECKING:
    from torc_migrations.database import Database


class Transaction:
    """Hold the write lock; commit at the end, or roll everything back if an exception flies.

    Waits for the lock, and for a living stock yoyo to give up its own, up to `lock_timeout` seconds. A class, because
    to enter and to leave a generator would take three times as long.

    Raises:
        LockTimeout: somebody else held the database for longer.
        DatabaseFailed: the database failed outside of a script, or its file is no longer where it was.
    """

    __slots__ = ("_database",)

    def __init__(self, database: Database) -> None:
        self._database = database

    def __enter__(self) -> None:
        try:
            self._database.begin()
        except BaseException as error:
            self._undo(error)
            raise

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if error is not None:
            self._undo(error)
            return
        try:
            self._database.commit()
        except BaseException as failure:
            self._undo(failure)
            raise

    def _undo(self, error: BaseException) -> None:
        self._database.roll_back()
        if isinstance(error, sqlite3.DatabaseError):
            raise explained(error, self._database.address) from error
