"""Run the statements of a script outside a transaction one by one, and note how far it is."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Protocol

from torc_migrations.databases.interface import Progress
from torc_migrations.databases.sqlite.scripts.statements import Statement, first_token, first_words, statements
from torc_migrations.errors import BadScript
from torc_migrations.formatting import counted, duration_text
from torc_migrations.log import log
from torc_migrations.sources.migration import Script

# Outside a transaction: what is one by itself, so that it can have a common one with a line of ours; what can be run
# twice, and keeps nothing that must not be there twice; what sets up the session for the statements after it.
_WRITING = frozenset({"CREATE", "DROP", "ALTER", "INSERT", "REPLACE", "UPDATE", "DELETE", "WITH"})
_REPEATABLE = frozenset(
    {"PRAGMA", "VACUUM", "ANALYZE", "REINDEX", "SELECT", "VALUES", "EXPLAIN", "ATTACH", "DETACH", "BEGIN", "SAVEPOINT"}
)
_OF_THE_SESSION = frozenset({"PRAGMA", "ATTACH"})
_ENDS_TRANSACTION = frozenset({"COMMIT", "END", "RELEASE"})


def run_to_its_end(cursor: sqlite3.Cursor, statement: Statement) -> None:
    """Run a statement to its end: one with rows is not done before they are read."""
    for _ in cursor.execute(statement.text):
        pass


def log_statement(script: Script, begin: int, end: int, elapsed_ns: int) -> None:
    """Log a statement that was run, at DEBUG, with its time."""
    text = script.sql[first_token(script.sql, begin) : end]
    log().debug("%s (%s)", text.decode(), duration_text(elapsed_ns))


def check_resumption(script: Script, after: int, *, is_open: bool) -> None:
    """Refuse to go on in the middle of a transaction of a script, which is kept as a whole, or behind its end.

    `is_open`: whether the script begins in a transaction.

    Raises:
        BadScript: the script cannot go on after this number of statements.
    """
    if reason := _no_resumption(script.sql, after, is_open=is_open):
        hint = "`torc-migrations doctor` names the last statement that is done"
        raise BadScript(script.path, f"{script.path}: {reason}", hint=hint)


def _no_resumption(sql: bytes, after: int, *, is_open: bool) -> str | None:
    count = 0
    for count, statement in enumerate(statements(sql), 1):
        first = first_words(sql, statement.offset)[:1]
        if first and first[0] in ("BEGIN", "COMMIT", "END"):
            is_open = first[0] == "BEGIN"
        if count == after:
            return (
                f"statement {after} is inside a transaction of the script, which is kept as a whole"
                if is_open
                else None
            )
    return f"it has {counted(count, 'statement')}, and cannot be resumed after number {after}"


class Connected(Protocol):
    """What is used here of an `SQLiteConnection`."""

    connection: sqlite3.Connection

    def execute(self, sql: str) -> object:
        """Run one statement of ours."""

    def paused_script(self) -> AbstractContextManager[None]:
        """Run statements of ours between two of a script."""

    def retry_while_locked(self, act: Callable[..., object], *arguments: object) -> None:
        """Do something again until nobody is in its way."""

    def roll_back(self) -> None:
        """End the transaction without a change, where one is open."""


class TrackedStatements:
    """Runs the statements of a script outside a transaction, and notes with each one that is kept how far it is.

    A statement that writes has a transaction with that note, so that a process can be killed at any moment and the note
    is right. A transaction of the script's own gets the note before its COMMIT.
    """

    def __init__(self, database: Connected, sql: bytes, note: Progress | None, resume_after: int) -> None:
        self._database = database
        self._sql = sql
        self._note = note
        self._resume_after = resume_after
        self._done = 0
        self._line, self._counted = 1, 0

    def run_next(self, cursor: sqlite3.Cursor, statement: Statement) -> None:
        """Run a statement, unless it was done before the script was resumed."""
        self._done += 1
        first = self._first_word(statement)
        if self._done > self._resume_after or first in _OF_THE_SESSION:
            self.run(cursor, statement)

    def run(self, cursor: sqlite3.Cursor, statement: Statement) -> None:
        """Run a statement; may be called again where somebody else locks the database."""
        first = self._first_word(statement)
        if self._database.connection.in_transaction:
            if first in _ENDS_TRANSACTION:
                self._write_note(statement)
            run_to_its_end(cursor, statement)
        elif first in _WRITING and self._note is not None:
            self._run_with_note(cursor, statement)
        else:
            run_to_its_end(cursor, statement)
            is_copied = first == "VACUUM" and "INTO" in statement.text.upper()
            if first not in _REPEATABLE or is_copied:
                self._write_note(statement)

    def _run_with_note(self, cursor: sqlite3.Cursor, statement: Statement) -> None:
        database = self._database
        database.execute("BEGIN IMMEDIATE")
        try:
            run_to_its_end(cursor, statement)
            if database.connection.in_transaction:
                self._write_note(statement)
            database.retry_while_locked(database.execute, "COMMIT")
        except BaseException:
            database.roll_back()
            raise

    def _write_note(self, statement: Statement) -> None:
        if self._note is None:
            return
        next_one = first_token(self._sql, statement.offset + len(statement.text.encode()))
        self._line += self._sql.count(b"\n", self._counted, next_one)
        self._counted = max(self._counted, next_one)
        with self._database.paused_script():
            if self._database.connection.in_transaction:
                self._note(self._done, self._line)
            else:
                self._database.retry_while_locked(self._note_alone, self._note)

    def _note_alone(self, note: Progress) -> None:
        """Write the note of a statement that cannot be part of a transaction."""
        self._database.execute("BEGIN IMMEDIATE")
        try:
            note(self._done, self._line)
            self._database.execute("COMMIT")
        except BaseException:
            self._database.roll_back()
            raise

    def _first_word(self, statement: Statement) -> str:
        return next(iter(first_words(self._sql, statement.offset)), "")
