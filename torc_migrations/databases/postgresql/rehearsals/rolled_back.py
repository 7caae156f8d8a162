"""A connection on which everything is one transaction that is rolled back: each transaction of ours is a savepoint."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from psycopg.pq import TransactionStatus

from torc_migrations.databases.postgresql import locks
from torc_migrations.databases.postgresql.connection import PostgreSQLConnection
from torc_migrations.databases.postgresql.scripts import statements as cut
from torc_migrations.databases.postgresql.scripts.failures import Failure
from torc_migrations.databases.postgresql.scripts.runner import NEEDS_NO_TRANSACTION, ScriptRunner

if TYPE_CHECKING:
    from torc_migrations.databases.postgresql.scripts.statements import Statement


_NO_COMMIT = (
    "not rehearsed: a commit checks deferred constraints and releases the locks, and what came before it is kept if a "
    "later statement fails"
)
_CONCURRENTLY = re.compile(rb"\bconcurrently\b", re.IGNORECASE)


class RolledBack(PostgreSQLConnection):
    """A connection whose first transaction never commits; it ends when the connection is closed."""

    _is_open = False  # the transaction that is rolled back at the end
    _savepoint: str | None = None  # that of the transaction of ours which is in it

    def begin(self) -> None:
        """Begin a transaction in the one that is rolled back."""
        if not self._is_open:
            super().begin()
            self._is_open = True
        savepoint = f"torc_{secrets.token_hex(8)}"
        self.run(f"SAVEPOINT {savepoint}")
        self._savepoint = savepoint
        self._is_writing = True

    def commit(self) -> None:
        """Keep what a transaction of ours has done, until the end of the one around it."""
        self._digest = self._read_digest()
        self._is_writing = False
        self.run(f"RELEASE SAVEPOINT {self._savepoint}")
        self._savepoint = None

    def roll_back(self) -> None:
        """End a transaction of ours without a change, where one is open."""
        if not self._is_open:
            super().roll_back()
            return
        self._is_writing = False
        if self.connection.closed or self._savepoint is None:
            return
        if self.connection.info.transaction_status == TransactionStatus.ACTIVE:
            locks.cancel(self.connection)
        self.run(f"ROLLBACK TO SAVEPOINT {self._savepoint}; RELEASE SAVEPOINT {self._savepoint}")
        self._savepoint = None
        self.forget_ledgers()

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Read what the transaction has made so far."""
        if not self._is_open:
            with super().reading():
                yield
            return
        with self._translated():
            yield

    def reconnect(self) -> bool:
        """Return False: with the connection, everything is gone that was rehearsed."""
        return False


class RolledBackRunner(ScriptRunner):
    """Runs a script inside the transaction, also one that asks for none; what cannot be there is left out."""

    def _run_with_commits(self) -> None:
        self._run_in_parts()

    def _run_outside(self) -> None:
        self._run_in_parts()

    def _run_in_parts(self) -> None:
        for done, statement in enumerate(cut.statements(self._sql, self._standard_strings), 1):
            if done <= self._step.resume_after and statement.words[:1] not in ((b"SET",), (b"RESET",)):
                continue
            if statement.control is None:
                self._run_part(statement)
            elif statement.control == "COMMIT" and self._recorder is not None:
                self._recorder.annotate(statement.begin, statement.end, _NO_COMMIT)
        self._database.session.restore(outside=False)

    def _run_part(self, statement: Statement) -> None:
        self._database.run("SAVEPOINT torc_part")
        try:
            self._send_one(statement)
        except Failure as failure:
            self._database.run("ROLLBACK TO SAVEPOINT torc_part")
            if not isinstance(failure.error, NEEDS_NO_TRANSACTION):
                raise
            self._run_otherwise(statement)
        self._database.run("RELEASE SAVEPOINT torc_part")

    def _run_otherwise(self, statement: Statement) -> None:
        """Run a statement that cannot be in a transaction without its CONCURRENTLY; another one is left out."""
        text = self._sql[statement.begin : statement.end]
        note = "not rehearsed: it cannot run in a transaction"
        if b"CONCURRENTLY" in statement.words:
            plain = _CONCURRENTLY.sub(lambda found: b" " * len(found[0]), text, count=1)
            self._sql = self._sql[: statement.begin] + plain + self._sql[statement.end :]
            self._send_one(statement)
            note = "rehearsed without CONCURRENTLY: the time is another one, and the lock a stronger one"
        if self._recorder is not None:
            self._recorder.annotate(statement.begin, statement.end, note)
