"""One write transaction on a database of any kind."""

from __future__ import annotations

from typing import Protocol


class Writer(Protocol):
    """A connection that can hold a transaction."""

    def begin(self) -> None:
        """Begin a transaction that holds the migration lock."""

    def commit(self) -> None:
        """Keep what the transaction has done."""

    def roll_back(self) -> None:
        """End the transaction without a change, where one is open."""

    def error_of(self, error: BaseException) -> Exception | None:
        """Return the error of this package for what the driver has raised, or None for what is not the driver's."""


class Transaction:
    """One write transaction: committed at its end, or rolled back on any exception.

    Raises:
        LockTimeout: somebody else held the lock for longer than `lock_timeout` seconds.
        DatabaseFailed: the database failed outside of a script, or the connection was lost.
    """

    def __init__(self, database: Writer) -> None:
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
        if ours := self._database.error_of(error):
            raise ours from error
