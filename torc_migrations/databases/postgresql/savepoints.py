"""A savepoint in a transaction on a PostgreSQL server."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Literal, Protocol

import psycopg
from psycopg.pq import TransactionStatus

from torc_migrations.databases.postgresql import locks
from torc_migrations.databases.postgresql.address import translate
from torc_migrations.log import log

if TYPE_CHECKING:
    from types import TracebackType


class Writer(locks.Session, Protocol):
    """A connection that holds a transaction."""

    def roll_back(self) -> None:
        """Roll it back."""

    def forget_ledgers(self) -> None:
        """Look again what there is."""


class PostgreSQLSavepoint:
    """A place in a transaction: what came after it is undone on an exception."""

    def __init__(self, database: Writer) -> None:
        self._database = database
        self._name = f"torc_{secrets.token_hex(8)}"
        self.has_ended = self.is_kept = False

    def __enter__(self) -> PostgreSQLSavepoint:
        self._database.run(f"SAVEPOINT {self._name}")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> Literal[False]:
        try:
            if error is not None:
                self.undo()
            self._database.run(f"RELEASE SAVEPOINT {self._name}")
        except psycopg.Error:
            self._database.roll_back()  # and with it everything before the savepoint
            if error is None:
                raise
            log().debug("cannot undo a step on %s alone", self._database.name, exc_info=True)
        else:
            self.has_ended = True
        if isinstance(error, psycopg.Error):
            raise translate(error, self._database.name) from error
        return False

    def undo(self) -> None:
        """Undo everything since the savepoint, which stays."""
        if self._database.connection.info.transaction_status == TransactionStatus.ACTIVE:
            locks.cancel(self._database.connection)
        self._database.run(f"ROLLBACK TO SAVEPOINT {self._name}")
        self._database.forget_ledgers()
