"""Run a script, whole or statement by statement, and report what it did, or where it failed."""

from __future__ import annotations

from codecs import BOM_UTF8 as BOM
from logging import DEBUG
from random import random
from time import perf_counter_ns, sleep
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import generators
from psycopg.pq import ExecStatus, TransactionStatus

from torc_migrations.databases.interface import OnStatement, Progress, ScriptMode
from torc_migrations.databases.postgresql.scripts import statements as cut
from torc_migrations.databases.postgresql.scripts.blockers import BlockerWatch
from torc_migrations.databases.postgresql.scripts.failures import Failure, first_line, script_error
from torc_migrations.databases.postgresql.scripts.modes import ENDS_OURS, REMOVE_IT, refused, wrapping
from torc_migrations.databases.postgresql.scripts.statements import Statement
from torc_migrations.databases.postgresql.scripts.ticks import Ticks
from torc_migrations.databases.servers.unwatched import ServerEffects
from torc_migrations.errors import BadScript, LockTimeout, MigrationError
from torc_migrations.formatting import counted, duration_text
from torc_migrations.log import log
from torc_migrations.sources.text import place

if TYPE_CHECKING:
    from torc_migrations.databases.postgresql.connection import PostgreSQLConnection
    from torc_migrations.databases.postgresql.rehearsals.recording import ScriptRecorder
    from torc_migrations.history.steps import Step
    from torc_migrations.sources.migration import Script

_UNCLEAR = "in a script without a transaction would leave unclear which statements are kept"
_REMOVE_EITHER = "remove it; or remove the directive, so that the whole script is one transaction"
_FAILED = (ExecStatus.FATAL_ERROR, ExecStatus.COPY_IN, ExecStatus.COPY_OUT, ExecStatus.COPY_BOTH)
# What may pass if it is tried again: somebody else holds a table, or two wait for each other.
_LOCKED = (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected)
# What cannot be part of a transaction: https://www.postgresql.org/docs/current/errcodes-appendix.html
NEEDS_NO_TRANSACTION = (psycopg.errors.ActiveSqlTransaction, psycopg.errors.InvalidTransactionTermination)
_SHORTEST_PAUSE, _LONGEST_PAUSE = 0.1, 10.0

SELECT_DEFERRED = "SELECT EXISTS (SELECT 1 FROM pg_catalog.pg_constraint WHERE condeferred)"


class ScriptRunner:
    """Runs the script of one step on a connection."""

    def __init__(
        self,
        database: PostgreSQLConnection,
        step: Step,
        on_statement: OnStatement | None,
        progress: Progress | None = None,
        recorder: ScriptRecorder | None = None,
    ) -> None:
        assert step.script is not None
        self._database = database
        self._step = step
        self._script: Script = step.script
        self._on_statement = on_statement
        self._progress = progress
        self._recorder = recorder
        self._sql = self._script.sql
        if self._sql.startswith(BOM):  # which the server takes for a part of the first word
            self._sql = b" " * len(BOM) + self._sql[len(BOM) :]
        self._needs_a_look = cut.needs_a_look(self._sql)
        self._ticks = Ticks(database)

    def run(self, mode: ScriptMode, *, strict: bool) -> ServerEffects:
        """Run the script, and restore what it has changed for the session.

        Raises:
            MigrationError: as for `Database.run_script`.
        """
        self._check(mode, strict=strict)
        try:
            if mode is ScriptMode.WHOLE:
                self._run_whole()
            elif mode is ScriptMode.OWN_COMMITS:
                self._run_with_commits()
            else:
                self._run_outside()
        except Failure as failure:
            raise self._error(failure, kept=mode is not ScriptMode.WHOLE) from failure.error
        return self._effects()

    def _check(self, mode: ScriptMode, *, strict: bool) -> None:
        """Refuse what only psql understands, and transactions that cannot be."""
        if not self._needs_a_look:
            return
        begun: Statement | None = None
        wraps = wrapping(self._sql) if mode is ScriptMode.WHOLE else None
        for each in cut.statements(self._sql, self._standard_strings):
            if each.stray:
                reason = f"{each.stray} is for psql, and not for the server"
                hint = "write it as SQL: INSERT for rows in the script, SET for what the session needs"
                raise refused(self._script, each, reason, hint)
            if each.control is None or (wraps and each in wraps):
                continue
            if mode is ScriptMode.OUTSIDE:
                begins = each.control == "BEGIN"
                if strict or each.control in ("ROLLBACK", "PREPARE") or begins is (begun is not None):
                    raise refused(self._script, each, f"{each.control} {_UNCLEAR}", _REMOVE_EITHER)
                begun = each if begins else None
            elif each.control in ("ROLLBACK", "PREPARE") or (strict and each.control == "COMMIT"):
                raise refused(self._script, each, f"{each.control} {ENDS_OURS}", REMOVE_IT)
        if begun is not None:
            raise refused(self._script, begun, f"BEGIN {_UNCLEAR}", _REMOVE_EITHER)

    def _standard_strings(self) -> bool:
        return self._database.connection.info.parameter_status("standard_conforming_strings") != "off"

    # One transaction

    def _run_whole(self) -> None:
        if wraps := wrapping(self._sql) if self._needs_a_look else None:
            for each in wraps:
                length = each.end - each.begin
                self._sql = self._sql[: each.begin] + b" " * length + self._sql[each.end :]
        tries = self._database.options.lock_tries if self._database.options.table_lock_timeout is not None else 1
        for attempt in range(1, tries + 1):
            if tries > 1:
                self._database.run("SAVEPOINT torc_try")
            with BlockerWatch(self._database) as watch:
                self._ticks.watch = watch
                try:
                    self._send_all()
                    self._end_whole()
                except Failure as failure:
                    if not isinstance(failure.error, _LOCKED):
                        raise
                    if attempt == tries:
                        raise self._locked(failure, watch, tries) from failure.error
                    self._database.run("ROLLBACK TO SAVEPOINT torc_try")
                    self._wait_to_try_again(failure, attempt, tries, watch)
                else:
                    if tries > 1:
                        self._database.run("RELEASE SAVEPOINT torc_try")
                    return

    def _wait_to_try_again(self, failure: Failure, attempt: int, tries: int, watch: BlockerWatch) -> None:
        """Pause, the longer the more often it was tried; the locks of the script are released meanwhile."""
        pause = min(_LONGEST_PAUSE, _SHORTEST_PAUSE * 2 ** (attempt - 1)) * (0.5 + random())  # noqa: S311  # no secret
        log().warning(
            "%s: %s; it is undone, and tried again in %.1f s (try %d of %d)",
            self._step.title,
            watch.words() or first_line(failure.error),
            pause,
            attempt + 1,
            tries,
        )
        sleep(pause)

    def _locked(self, failure: Failure, watch: BlockerWatch, tries: int = 1) -> LockTimeout:
        statement = failure.statement
        where = place(self._script.sql, statement.begin if statement else 0)
        error = LockTimeout(self._database.name, watch.holder or "another session", watch.seconds)
        tried = f", tried {tries} times" if tries > 1 else ""
        error.extend_hint(f"{self._step.title} needs a table that it holds{tried}: {self._script.path}:{where.line}")
        return error

    def _end_whole(self) -> None:
        """Check deferred constraints now, while it is known which script has broken one, and restore the session."""
        try:
            if self._database.row(SELECT_DEFERRED)[0]:
                self._database.run("SET CONSTRAINTS ALL IMMEDIATE")
                self._database.note_change_of_session()
            self._database.session.restore(outside=False)
        except psycopg.Error as error:
            raise Failure(error, None, 0) from error

    def _send_all(self) -> None:
        """Send the script in one simple query, or statement by statement where each one counts."""
        if self._reports() or cut_is_needed(self._database):
            for statement in cut.statements(self._sql, self._standard_strings):
                self._send_one(statement)
            return
        results = self._send(self._sql)
        if results and results[-1].status in _FAILED:
            error = _error_of(results[-1])
            raise Failure(error, self._statement(len(results) - 1), 0)

    def _statement(self, number: int) -> Statement | None:
        """Return a statement of the script by its number; each that was done has one result."""
        for count, statement in enumerate(cut.statements(self._sql, self._standard_strings)):
            if count == number:
                return statement
        return None

    def _send_one(self, statement: Statement) -> None:
        if self._database.monitor is not None:
            self._database.monitor.begin_statement(statement.begin)
        if self._recorder is not None:
            self._recorder.begin()
        started = perf_counter_ns()
        results = self._send(self._sql[statement.begin : statement.end])
        if results and results[-1].status in _FAILED:
            error = _error_of(results[-1])
            is_late = self._ticks.has_timed_out and isinstance(error, psycopg.errors.QueryCanceled)
            timeout = self._database.statement_timeout if is_late else None
            raise Failure(error, statement, statement.begin, timeout)
        elapsed_ns = perf_counter_ns() - started
        for report in self._reports():
            report(self._script, statement.begin, statement.end, elapsed_ns)

    def _reports(self) -> list[OnStatement]:
        debugs = log().isEnabledFor(DEBUG)
        reports = (self._recorder, self._on_statement, _log_statement if debugs else None)
        return [each for each in reports if each is not None]

    def _send(self, text: bytes) -> list[Any]:
        """Run a text as one simple query; the last of the results may be that of an error."""
        connection = self._database.connection
        try:
            connection.pgconn.send_query(text)
            results: list[Any] = connection.wait(self._ticks.during(generators.execute(connection.pgconn)))
        except psycopg.Error as error:
            raise Failure(error, None, 0) from error
        if results and results[-1].status in (ExecStatus.COPY_IN, ExecStatus.COPY_OUT, ExecStatus.COPY_BOTH):
            connection.close()
        return results

    # Outside our transaction

    def _run_with_commits(self) -> None:
        """Run a script that commits by itself, as sqlx does; what was committed before an error stays."""
        log().warning(
            "%s commits by itself: if it fails or is killed half-way, it is not undone", self._step.migration.id
        )
        if self._step.resume_after:
            self._check_resumption(is_open=True)
            self._database.run("COMMIT")
        try:
            self._run_tracked()
        except BaseException:
            self._database.roll_back()
            self._restore_outside()
            raise
        if self._database.in_transaction:
            self._database.run("COMMIT")
        self._restore_outside()
        self._database.forget_ledgers()
        self._database.begin()

    def _run_outside(self) -> None:
        """Run a script that asks for no transaction; what stands before a statement that fails is kept."""
        if self._step.resume_after:
            self._check_resumption(is_open=False)
        try:
            self._run_tracked()
            if self._database.in_transaction:
                raise BadScript(self._script.path, f"{self._script.path}: a transaction is still open at its end")
        finally:
            self._database.roll_back()
            self._restore_outside()
            self._database.forget_ledgers()

    def _restore_outside(self) -> None:
        if not self._database.connection.closed:
            self._database.session.restore(outside=True)

    def _check_resumption(self, *, is_open: bool) -> None:
        """Refuse to go on in the middle of a transaction of the script, which is kept as a whole, or behind its end."""
        after, count = self._step.resume_after, 0
        reason = None
        for count, statement in enumerate(cut.statements(self._sql), 1):
            if statement.control is not None:
                is_open = statement.control == "BEGIN"
            if count == after:
                if is_open:
                    reason = f"statement {after} is inside a transaction of the script, which is kept as a whole"
                break
        else:
            reason = f"it has {counted(count, 'statement')}, and cannot be resumed after number {after}"
        if reason:
            hint = "`torc-migrations doctor` names the last statement that is done"
            raise BadScript(self._script.path, f"{self._script.path}: {reason}", hint=hint)

    def _run_tracked(self) -> None:
        """Run the statements one by one, and note with each one that is kept how far the script is."""
        pending: Statement | None = None
        for done, statement in enumerate(cut.statements(self._sql, self._standard_strings), 1):
            pending = statement
            if done > self._step.resume_after or statement.words[:1] in ((b"SET",), (b"RESET",)):
                with BlockerWatch(self._database) as watch:
                    self._ticks.watch = watch
                    try:
                        self._run_one_tracked(done, statement)
                    except Failure as failure:
                        if isinstance(failure.error, _LOCKED) and self._progress is None:
                            raise self._locked(failure, watch) from failure.error
                        raise
        del pending

    def _run_one_tracked(self, done: int, statement: Statement) -> None:
        if self._database.connection.info.transaction_status == TransactionStatus.INTRANS:
            if statement.control == "COMMIT":
                self._note(done, statement)
            self._send_one(statement)
        elif self._progress is None or statement.control == "BEGIN" or statement.words[:1] in ((b"SET",), (b"RESET",)):
            self._send_one(statement)
        else:
            self._run_with_note(done, statement)

    def _run_with_note(self, done: int, statement: Statement) -> None:
        """Run a statement in a transaction with the note, or alone, where it can be in no transaction."""
        self._database.run("BEGIN")
        try:
            self._send_one(statement)
            self._note(done, statement)
            self._database.run("COMMIT")
            return
        except Failure as failure:
            self._database.roll_back()
            if not isinstance(failure.error, NEEDS_NO_TRANSACTION):
                raise
        except BaseException:
            self._database.roll_back()
            raise
        self._send_one(statement)
        self._note(done, statement)

    def _note(self, done: int, statement: Statement) -> None:
        """Note how far the script is, under the settings of the session and not those of the script."""
        if self._progress is None:
            return
        rest = next(cut.statements(self._sql[statement.end :], self._standard_strings), None)
        next_one = statement.end + rest.begin if rest else len(self._sql)
        self._progress(done, self._sql.count(b"\n", 0, next_one) + 1)

    # The result

    def _effects(self) -> ServerEffects:
        text = self._script.sql.lower()
        named = {
            name.rpartition(".")[2].strip('"').lower()
            for name in self._database.watched
            if name.rpartition(".")[2].strip('"').lower().encode() in text
        }
        return ServerEffects(frozenset(named), all_tables=b"drop" in text)

    def _error(self, failure: Failure, *, kept: bool) -> MigrationError:
        pieces = cut.statements(self._sql, self._standard_strings)
        return script_error(self._database, self._step, self._sql, pieces, failure, kept=kept)


def cut_is_needed(database: PostgreSQLConnection) -> bool:
    """Return whether scripts are sent statement by statement: as an option, for a timeout, or to say which one runs."""
    if database.monitor is not None and database.monitor.tells_statements:
        return True
    return database.options.statement_wise or database.statement_timeout is not None


def _error_of(result: Any) -> psycopg.Error:
    if result.status != ExecStatus.FATAL_ERROR:
        return psycopg.errors.FeatureNotSupported("COPY from or to the client is not possible in a script")
    return psycopg.errors.error_from_result(result)


def _log_statement(script: Script, begin: int, end: int, elapsed_ns: int) -> None:
    log().debug("%s (%s)", script.sql[begin:end].decode(), duration_text(elapsed_ns))
