"""Run a script statement by statement, and note how far it is, or report where it failed."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from logging import DEBUG
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any, Protocol

from torc_migrations.databases.interface import OnStatement, Progress, ScriptMode
from torc_migrations.databases.mysql.connection import (
    DEADLOCK,
    LOCK_WAIT_TIMEOUT,
    MySqlSession,
    code_of,
    is_lost,
    is_of_driver,
    message_of,
)
from torc_migrations.databases.mysql.scripts.faults import fault_offset
from torc_migrations.databases.mysql.scripts.statements import (
    Kind,
    Statement,
    first_token,
    first_words,
    kind_of,
    statements,
)
from torc_migrations.databases.mysql.scripts.ticks import INTERRUPTED, Ticks
from torc_migrations.databases.waiting import Monitor
from torc_migrations.errors import BadScript, ExecutionFailed, StatementTimeout
from torc_migrations.formatting import counted, duration_text
from torc_migrations.log import log
from torc_migrations.sources.text import bad_script, frame, place

if TYPE_CHECKING:
    from torc_migrations.history.steps import Step
    from torc_migrations.sources.migration import Script

# How often a statement is tried that lost against another transaction, and was undone alone.
_TRIES = 5
_KEEPS_ROWS = frozenset({Kind.CHANGES_ROWS, Kind.READS, Kind.SESSION})
# DDL that sets nothing in the session, if it is one statement only.
_SETS_NOTHING = frozenset({"CREATE", "ALTER", "DROP", "RENAME", "TRUNCATE", "GRANT", "REVOKE", "ANALYZE", "OPTIMIZE"})
# A statement of several parts, of which the first may be done when a later one fails.
_IN_PARTS = re.compile(r"\s*(?:CALL|EXECUTE|BEGIN|LOAD|DROP\b[^,]*,)", re.IGNORECASE)


class Runs(Protocol):
    """What is used here of a `MySqlConnection`."""

    session: MySqlSession
    monitor: Monitor | None
    statement_timeout: float | None

    def interrupt(self) -> None:
        """Stop the statement that is running, by a connection of its own."""

    def reconnected(self) -> Any:
        """Open another connection to the same server."""

    def confirm_lock(self) -> None:
        """Fail where the migration lock was lost."""


def refuse_rollbacks(script: Script) -> None:
    """Raise for a ROLLBACK in a script.

    Raises:
        BadScript: it has one.
    """
    for statement in statements(script.sql):
        if kind_of(script.sql, statement.begin) is Kind.ROLLS_BACK:
            sentence = f"{script.path}: ROLLBACK in a script would leave unclear which statements are kept"
            raise bad_script(script.path, script.sql, statement.begin, sentence, hint="remove it")


def keeps_transaction(script: Script) -> bool:
    """Return whether a script only changes rows, so that it can be one transaction; DDL commits by itself."""
    changes = False
    for statement in statements(script.sql):
        kind = kind_of(script.sql, statement.begin)
        if kind not in _KEEPS_ROWS or "autocommit" in statement.text.lower():
            return False
        changes |= kind is Kind.CHANGES_ROWS
    return changes


class ScriptRunner:
    """Runs the script of one step.

    Outside a transaction, each statement that changes rows has one transaction with the note that it is done. DDL can
    have none: before it, what is noted is that it runs, and after it that it is done. A process that is killed between
    the two leaves the note that it ran, and only the schema shows whether it was done.

    Args:
        on_statement: called after each statement, or None.
        progress: called with each statement that is kept outside a transaction, or None.
    """

    def __init__(
        self, database: Runs, step: Step, on_statement: OnStatement | None, progress: Progress | None = None
    ) -> None:
        assert step.script is not None
        self._database = database
        self._session = database.session
        self._step = step
        self._script: Script = step.script
        self._on_statement = on_statement
        self._progress = progress
        self._mode = ScriptMode.WHOLE
        self._done = 0
        self._locks_tables = False
        self._line, self._counted = 1, 0
        self._may_have_set = False
        self._ticks = Ticks(database)

    def run(self, mode: ScriptMode) -> None:
        """Run the script, and restore the settings that it has changed for the session.

        Raises:
            ExecutionFailed: a statement failed.
            BadScript: a statement cannot be part of a script, or its transaction is still open at its end.
        """
        self._mode = mode
        self._session.begin_script()
        try:
            if self._step.resume_after:
                self._begin_again()
            self._set_foreign_keys()
            for statement in statements(self._script.sql, self._session.quoting_now):
                self._done += 1
                kind = kind_of(self._script.sql, statement.begin)
                self._may_have_set |= self._may_set(statement, kind)
                if self._done > self._step.resume_after or kind is Kind.SESSION:
                    self._run_reported(statement, kind)
                self._session.note_statement(statement.text)
            self._check_end()
        finally:
            self._end()

    def _begin_again(self) -> None:
        """Note how far the script is that goes on, unless it has no such statement."""
        self._check_number(sum(1 for _ in statements(self._script.sql, self._session.quoting_now)))
        if progress := self._progress:
            self._run_transaction(lambda: progress(self._step.resume_after, 1))

    def _check_number(self, number: int) -> None:
        """Refuse to go on behind the end of a script that has this number of statements."""
        if self._step.resume_after > number:
            path, after = self._script.path, self._step.resume_after
            reason = f"{path}: it has {counted(number, 'statement')}, and cannot be resumed after number {after}"
            raise BadScript(path, reason, hint="`torc-migrations doctor` names the last statement that is done")

    def _may_set(self, statement: Statement, kind: Kind) -> bool:
        """Return whether a statement may change settings of the session, as a procedure can."""
        if kind is not Kind.COMMITS:
            return kind is Kind.SESSION or ";" in statement.text
        return ";" in statement.text or "".join(first_words(self._script.sql, statement.begin, 1)) not in _SETS_NOTHING

    def _end(self) -> None:
        if not self._session.connection.open:
            return
        if self._mode is ScriptMode.OUTSIDE:
            if self._locks_tables:
                self._session.run("UNLOCK TABLES")
            if self._session.in_transaction:
                self._session.run("ROLLBACK")
        self._session.end_script(may_have_set=self._may_have_set)

    def _check_end(self) -> None:
        """Refuse a script whose own transaction is still open, or that resumes behind its end."""
        self._check_number(self._done)
        if self._mode is ScriptMode.OUTSIDE and self._session.in_transaction:
            path = self._script.path
            reason = f"{path}: its transaction is still open at its end, and was rolled back"
            raise BadScript(path, reason, hint="end it with COMMIT")

    def _set_foreign_keys(self) -> None:
        directives = self._script.directives
        if directives.says_foreign_keys:
            self._session.run(f"SET SESSION foreign_key_checks = {int(directives.foreign_keys)}")

    def _run_reported(self, statement: Statement, kind: Kind) -> None:
        if self._database.monitor is not None:
            self._database.monitor.begin_statement(statement.begin)
        started = perf_counter_ns()
        try:
            self._run_statement(statement, kind)
        except Exception as error:
            if not is_of_driver(error):
                raise
            if is_lost(error) and self._mode is ScriptMode.WHOLE:
                raise  # nothing of it is kept, and a new connection can begin again
            raise self._failure(statement, error) from error
        elapsed_ns = perf_counter_ns() - started
        if self._on_statement is not None:
            self._on_statement(self._script, statement.begin, statement.end, elapsed_ns)
        if log().isEnabledFor(DEBUG):
            log().debug("%s (%s)", statement.text, duration_text(elapsed_ns))

    def _run_statement(self, statement: Statement, kind: Kind) -> None:
        if self._mode is ScriptMode.WHOLE or self._progress is None or kind in (Kind.SESSION, Kind.READS):
            self._ticks.run(statement.text)
        elif self._session.in_transaction or self._locks_tables:
            self._run_inside(statement, kind)
        elif kind is Kind.CHANGES_ROWS:
            self._run_with_note(statement)
        elif kind is Kind.BEGINS:
            self._ticks.run(statement.text)
        elif kind is Kind.ENDS:
            self._ticks.run(statement.text)
            self._note(statement)
        else:
            self._run_and_note(statement)

    def _run_inside(self, statement: Statement, kind: Kind) -> None:
        """Run a statement in a transaction of the script, or while it has locked tables."""
        if self._locks_tables:
            self._ticks.run(statement.text)
            if first_words(self._script.sql, statement.begin)[:2] == ["UNLOCK", "TABLES"]:
                self._locks_tables = False
                self._note(statement)
        elif kind in (Kind.ENDS, Kind.BEGINS):
            self._note(statement)
            self._ticks.run(statement.text)
        elif kind is Kind.CHANGES_ROWS:
            self._ticks.run(statement.text)
        else:
            self._run_and_note(statement)

    def _run_with_note(self, statement: Statement) -> None:
        """Run a statement and note that it is done, in one transaction."""

        def run_and_note() -> None:
            self._ticks.run(statement.text)
            self._note(statement)

        self._run_transaction(run_and_note)

    def _run_transaction(self, work: Callable[[], None]) -> None:
        """Do something in one transaction, again where another one was preferred."""
        for left in reversed(range(_TRIES)):
            try:
                self._session.run("START TRANSACTION")
                work()
                self._session.run("COMMIT")
            except BaseException as error:
                if self._session.connection.open:
                    self._session.run("ROLLBACK")
                if not left or not is_of_driver(error) or code_of(error) not in (DEADLOCK, LOCK_WAIT_TIMEOUT):
                    raise
            else:
                return

    def _run_and_note(self, statement: Statement) -> None:
        """Note that a statement runs, which may commit by itself; run it, and note that it is done."""
        if self._session.in_transaction:
            self._note(statement, is_running=True)
            self._session.run("COMMIT")
        else:
            self._run_transaction(lambda: self._note(statement, is_running=True))
        try:
            self._ticks.run(statement.text)
        except BaseException as error:
            if is_of_driver(error) and not is_lost(error) and not _IN_PARTS.match(statement.text):
                self._note_before(statement)
            raise
        if first_words(self._script.sql, statement.begin)[:2] in (["LOCK", "TABLES"], ["LOCK", "TABLE"]):
            self._locks_tables = True
        elif self._session.in_transaction:
            self._note(statement)
        else:
            self._run_transaction(lambda: self._note(statement))

    def _note_before(self, statement: Statement) -> None:
        """Note that the statement failed as a whole, so that the one before it was the last that is done."""
        assert self._progress is not None
        self._progress(self._done - 1, self._line_of(statement.begin))

    def _note(self, statement: Statement, *, is_running: bool = False) -> None:
        """Note that a statement is done, or that it runs; in the transaction that is open, or at once."""
        assert self._progress is not None
        if self._session.in_transaction:
            self._database.confirm_lock()
        if is_running:
            self._progress(self._done - 1, self._line_of(statement.begin), is_running=True)
        else:
            next_one = first_token(self._script.sql, min(statement.after, len(self._script.sql)))
            self._progress(self._done, self._line_of(next_one))

    def _line_of(self, offset: int) -> int:
        if offset >= self._counted:
            self._line += self._script.sql.count(b"\n", self._counted, offset)
            self._counted = offset
            return self._line
        return self._script.sql.count(b"\n", 0, offset) + 1

    def _failure(self, statement: Statement, error: Exception) -> ExecutionFailed:
        script = self._script
        reason = message_of(error)
        where = place(script.sql, fault_offset(script.sql, statement, code_of(error), reason))
        make: Callable[..., ExecutionFailed] = partial(ExecutionFailed, reason=reason)
        if self._ticks.has_timed_out and code_of(error) == INTERRUPTED:
            make = partial(StatementTimeout, timeout=self._database.statement_timeout or 0.0)
        failure = make(
            self._step,
            path=script.path,
            line=where.line,
            column=where.column,
            statement=statement.text,
            frame=frame(script.path, where),
            kept=self._mode is not ScriptMode.WHOLE,
        )
        if is_lost(error):
            failure.extend_hint(
                "the connection is lost, and its lock with it; whether the statement ended is not known"
            )
        elif code_of(error) in (DEADLOCK, LOCK_WAIT_TIMEOUT):
            failure.extend_hint("another transaction was preferred; run again")
        return failure
