"""Run a script statement by statement, and report what it did, or where it failed."""

from __future__ import annotations

import math
import sqlite3
from logging import DEBUG
from time import perf_counter_ns

from torc_migrations.databases.interface import OnStatement, Progress, ScriptMode
from torc_migrations.databases.sqlite.callbacks import code_of, is_of_signal_handler
from torc_migrations.databases.sqlite.catalog.catalog import current_catalog, read_columns
from torc_migrations.databases.sqlite.catalog.full_text import find_stale_indexes
from torc_migrations.databases.sqlite.catalog.soundness import find_faults
from torc_migrations.databases.sqlite.connection import is_busy, quote_identifier
from torc_migrations.databases.sqlite.scripts.attached import attaches_itself, is_attached_already
from torc_migrations.databases.sqlite.scripts.effects import (
    DOES_NOTHING,
    Pragma,
    ScriptEffects,
    is_in_effect,
    pages_of,
    refusal,
)
from torc_migrations.databases.sqlite.scripts.failures import script_error
from torc_migrations.databases.sqlite.scripts.foreign_keys import (
    find_doubled,
    find_losses,
    note_put_back,
    read_stakes,
    restore_marks,
)
from torc_migrations.databases.sqlite.scripts.modes import ENDS_OURS, REMOVE_IT, commit_in, refused
from torc_migrations.databases.sqlite.scripts.progress import (
    TrackedStatements,
    check_resumption,
    log_statement,
    run_to_its_end,
)
from torc_migrations.databases.sqlite.scripts.recording import RecordedScriptEffects
from torc_migrations.databases.sqlite.scripts.requirements import ignored_pragma
from torc_migrations.databases.sqlite.scripts.statements import (
    Statement,
    first_token,
    first_words,
    open_comment,
    statements,
    transaction_words,
    unpaired,
)
from torc_migrations.databases.sqlite.transactions import SQLiteConnection
from torc_migrations.databases.waiting import Monitor
from torc_migrations.errors import BadScript, MigrationError
from torc_migrations.history.steps import Action, Step
from torc_migrations.log import log
from torc_migrations.sources.migration import Script
from torc_migrations.sources.text import place

_UNCLEAR = "in a script without a transaction would leave unclear which statements are kept"
_REMOVE_EITHER = "remove it; or remove the directive, so that the whole script is one transaction"
_OF_THE_DRIVER = (sqlite3.Error, sqlite3.Warning)
_ATTACHES_ITSELF = (
    "ATTACH of the database itself: a statement that writes would wait for the lock of its own connection"
)
_GOES = "goes with it; made again, it gives numbers after its largest one again"
_NO_ATTACH = "remove it, and name the tables without a schema"
_DENIED_FUNCTION = "not authorized to use function"


class ScriptRunner:
    """Runs the script of one step on a connection.

    Args:
        effects: what is filled with what the script does.
        on_statement: called after each statement, or None. monitor: hears of each statement, or None.
        progress: called with each statement that is kept outside a transaction, or None; not on a copy for rehearsals.

    Attributes:
        notes: what in the script did nothing, in sentences that name the file.
    """

    def __init__(
        self,
        database: SQLiteConnection,
        step: Step,
        effects: ScriptEffects,
        *,
        on_statement: OnStatement | None = None,
        monitor: Monitor | None = None,
        progress: Progress | None = None,
    ) -> None:
        assert step.script is not None
        self._database = database
        self._step = step
        self._script: Script = step.script
        self._effects = effects
        self._on_statement = on_statement
        self._monitor = monitor
        self._clock = database.clock
        self._is_recorded = isinstance(effects, RecordedScriptEffects)
        self._mode = ScriptMode.WHOLE
        self._asked: dict[tuple[str, str | None], Pragma] = {}  # the last of each PRAGMA that can do nothing
        self._writes_schema: Statement | None = None
        self._damage: frozenset[str] = frozenset()  # before that
        self.notes: list[str] = []
        self._tracked: TrackedStatements | None = None
        if progress is not None or step.resume_after:
            note = None if self._is_recorded else progress
            self._tracked = TrackedStatements(database, self._script.sql, note, step.resume_after)

    def run(self, mode: ScriptMode, *, strict: bool) -> None:
        """Run the script, and restore the settings that it has changed for the connection.

        Raises:
            MigrationError: as for `Database.run_script`.
        """
        self._mode = mode
        self._effects.rewrites |= mode is not ScriptMode.WHOLE  # a VACUUM numbers the schema table anew
        if mode is ScriptMode.WHOLE:
            self._run_whole()
        elif mode is ScriptMode.OWN_COMMITS:
            self._run_with_commits(strict=strict)
        else:
            self._run_outside(strict=strict)
        if (hidden := open_comment(self._script.sql)) is not None:
            line = place(self._script.sql, hidden).line
            self._note(f"its comment in line {line} is never closed, and what follows it was not run")
        if isinstance(self._effects, RecordedScriptEffects) and not self._effects.all_tables:
            self._effects.stale = find_stale_indexes(self._database, self._effects.written)

    def _run_whole(self) -> None:
        self._look_ahead()
        try:
            self._database.begin_script(self._effects.authorize)
            self._run_statements()
        finally:
            self._end_script()
        self._follow_schema()
        self._keep_marks()
        self._effects.lost = find_losses(self._database, self._script, self._stakes, self._effects)
        if not self._script.directives.says_foreign_keys:
            self._effects.doubled = find_doubled(self._database, self._effects)

    def _keep_marks(self) -> None:
        """Keep AUTOINCREMENT's marks, which go with a table that is dropped, unless the script writes them itself."""
        if self._stakes.marks and not self._effects.sets_marks:
            self._database.retry_while_locked(self._restore_marks)

    def _restore_marks(self) -> None:
        for table, mark in restore_marks(self._database, self._stakes, self._effects).items():
            if self._step.action is Action.APPLY:
                self._note(f"the AUTOINCREMENT mark of {table}, {mark}, {_GOES}")

    def _note(self, sentence: str, at: Statement | None = None) -> None:
        line = f":{place(self._script.sql, first_token(self._script.sql, at.offset)).line}" if at else ""
        self.notes.append(f"{self._script.path}{line}: {sentence}")

    def _run_with_commits(self, *, strict: bool) -> None:
        """Run a script that commits by itself, as sqlx does; what was committed before an error stays."""
        if strict:
            raise commit_in(self._script)
        for found in transaction_words(self._script.sql):
            if found.word == "ROLLBACK":
                raise refused(self._script, found.statement, f"ROLLBACK {ENDS_OURS}", REMOVE_IT)
        if not self._is_recorded or self._database.address.path:  # on an empty database nothing is to be undone
            warning = "%s commits by itself: if it fails or is killed half-way, it is not undone"
            log().warning(warning, self._step.migration.id)
        self._database.note_change_of_session()
        if self._step.resume_after:
            check_resumption(self._script, self._step.resume_after, is_open=True)
            self._database.execute("COMMIT")  # as the script did before the statement with which it goes on
        self._look_ahead()
        try:
            self._database.begin_script(self._effects.authorize)
            self._run_statements()
        finally:
            self._end_script()
        self._database.continue_writing()
        self._follow_schema()
        self._keep_marks()

    def _run_outside(self, *, strict: bool) -> None:
        """Run a script that asks for no transaction; what stands before a statement that fails is kept."""
        if found := unpaired(self._script.sql, strict=strict):
            raise refused(self._script, found.statement, f"{found.word} {_UNCLEAR}", _REMOVE_EITHER)
        if self._step.resume_after:
            check_resumption(self._script, self._step.resume_after, is_open=False)
        self._database.note_change_of_session()
        self._database.retry_while_locked(self._look_ahead)
        try:
            self._database.begin_script(self._effects.allow)  # VACUUM, for one, begins and commits by itself
            self._run_statements()
            if self._database.connection.in_transaction:
                path = self._script.path
                reason = f"{path}: a savepoint is still open at its end, and was rolled back"
                raise BadScript(path, reason, hint="end it with RELEASE")
        finally:
            self._database.roll_back()
            self._end_script()
        self._database.retry_while_locked(self._follow_schema)
        self._keep_marks()

    def _look_ahead(self) -> None:
        """Read, before a script, what it is compared with after it."""
        self._stakes = read_stakes(self._database, self._script)
        self._catalog = current_catalog(self._database)

    def _end_script(self) -> None:
        effects = self._effects
        self._database.session.note_script(self._script, temporary=effects.temporary, attaches=effects.attaches)
        self._database.end_script()

    def _follow_schema(self) -> None:
        """Keep the schema up to date that was read before."""
        if self._catalog is not None:
            self._effects.changes = self._catalog.follow(self._effects)

    def _run_statements(self) -> None:
        reports: list[OnStatement] = [self._record_statement] if self._is_recorded else []
        reports += [self._on_statement] if self._on_statement is not None else []
        reports += [log_statement] if log().isEnabledFor(DEBUG) else []
        cursor = self._database.script_cursor
        effects, is_timed = self._effects, self._clock.is_timing
        may_repeat = self._mode is ScriptMode.WHOLE and not self._is_recorded  # else others may have made a trigger
        repeats, started = False, 0
        for statement in statements(self._script.sql):
            if self._monitor is not None:
                self._monitor.begin_statement(first_token(self._script.sql, statement.offset))
            if may_repeat and repeats is not (repeats := effects.repeats(statement.text)):
                self._database.ask(not repeats)
            if reports:
                started = perf_counter_ns()
            if is_timed:
                self._clock.begin()
            try:
                if self._tracked is not None:
                    self._tracked.run_next(cursor, statement)
                else:
                    for _ in cursor.execute(statement.text):  # to its end: one with rows is not done before
                        pass
            except Exception as error:
                self._retry_or_raise(cursor, statement, error)
            elapsed_ns = perf_counter_ns() - started if reports else 0
            if is_timed:
                self._clock.end()
            if not repeats:
                self._end_statement(statement)
            if reports:
                end = statement.offset + len(statement.text.encode())
                for report in reports:
                    report(self._script, statement.offset, end, elapsed_ns)
        sql = self._script.sql
        if sql and not sql.isspace() and first_token(sql, 0) >= len(sql):
            self._note("it has only comments, so nothing was done")
        if self._asked or effects.switches_keys or self._writes_schema:
            with self._database.paused_script():
                self._look_back()

    def _end_statement(self, statement: Statement) -> None:
        effects = self._effects
        effects.end_statement(statement.text)
        if effects.attaches:
            with self._database.paused_script():
                if attaches_itself(self._database.connection):
                    raise refused(self._script, statement, _ATTACHES_ITSELF, _NO_ATTACH)
        if effects.last_pragma:
            with self._database.paused_script():
                if ignored := ignored_pragma(self._database, effects.last_pragma):
                    self._note(ignored, statement)
            effects.last_pragma = None
        if effects.flow.put_back:
            with self._database.paused_script():
                note_put_back(self._database, effects)

    def _look_back(self) -> None:
        """Find, at the end of a script, which of its PRAGMAs did nothing, and whether its schema can be read.

        Raises:
            ExecutionFailed: it has written a schema that SQLite cannot read, or that does not fit what is in the file.
        """
        session = self._database.session
        for pragma in self._asked.values():
            # A copy in memory stands for a file that does not exist yet, where WAL would do nothing, or fail.
            rehearsed = self._is_recorded and self._mode is ScriptMode.WHOLE
            if not is_in_effect(pragma, session.read(pragma.schema or "main", pragma.name), on_a_file=rehearsed):
                self._note(f"its {pragma} {DOES_NOTHING[pragma.name]}")
        keys_are_on = self._script.directives.foreign_keys
        if self._mode is ScriptMode.WHOLE and self._effects.switches_keys and not keys_are_on:
            self._note(f"its PRAGMA foreign_keys {DOES_NOTHING['foreign_keys']}")
        if self._writes_schema:
            try:
                self._database.execute("PRAGMA writable_schema = RESET")
                self._database.execute("SELECT 1 FROM main.sqlite_master").fetchone()
                if new := find_faults(self._database) - self._damage:
                    raise sqlite3.DatabaseError(f"what it writes to the schema damages the database: {min(new)}")
            except sqlite3.DatabaseError as error:
                raise self._script_error(self._writes_schema, error) from error

    def _record_statement(self, script: Script, begin: int, end: int, elapsed_ns: int) -> None:
        """Record a statement on a copy for rehearsals, and what it has renamed."""
        effects = self._effects
        assert isinstance(effects, RecordedScriptEffects)
        effects.time_statement(script, begin, end, elapsed_ns)
        if effects.changes_schema:
            with self._database.paused_script():
                effects.follow_schema(lambda table: read_columns(self._database, table))

    def _retry_or_raise(self, cursor: sqlite3.Cursor, statement: Statement, error: Exception) -> None:
        """Run a statement again while others lock the database, if it failed for that; else raise what is wrong.

        A PRAGMA that sets something fails at first, and is run here. A converter of the host may raise anything; what a
        handler of a signal raises is let through.
        """
        if not isinstance(error, _OF_THE_DRIVER):
            if isinstance(error, MigrationError) or is_of_signal_handler(error):
                raise error
            raise self._script_error(statement, error) from error
        if pragma := self._effects.take_pragma():
            self._run_pragma(cursor, statement, pragma)
            return
        if is_attached_already(self._database, self._script, self._effects.attached, error):
            return
        if isinstance(error, sqlite3.OperationalError) and is_busy(error) and self._may_retry():
            try:
                self._database.retry_while_locked(self._run_once, cursor, statement)
            except _OF_THE_DRIVER as last:
                error = last
            except Exception as last:
                self._retry_or_raise(cursor, statement, last)
            else:
                return
        if interruption := self._interruption(statement, error):
            raise interruption from None
        raise self._script_error(statement, error) from error

    def _may_retry(self) -> bool:
        """Return whether the transaction is still there, which SQLite may have rolled back."""
        return self._mode is not ScriptMode.WHOLE or self._database.connection.in_transaction

    def _run_once(self, cursor: sqlite3.Cursor, statement: Statement) -> None:
        self._clock.begin()
        (self._tracked.run if self._tracked else run_to_its_end)(cursor, statement)

    def _run_again(self, cursor: sqlite3.Cursor, statement: Statement) -> None:
        try:
            run_to_its_end(cursor, statement)
        except Exception as error:
            self._retry_or_raise(cursor, statement, error)

    def _run_pragma(self, cursor: sqlite3.Cursor, statement: Statement, pragma: Pragma) -> None:
        """Run a PRAGMA after what it sets has been read, unless it must not be set here.

        Raises:
            BadScript: it would keep a failed script from being rolled back, or changes more than this database.
        """
        schema = quote_identifier(pragma.schema or "main")
        with self._database.paused_script():
            lent = bool(self._database.session.lent_temporary)
            if found := refusal(pragma, transactional=self._mode is not ScriptMode.OUTSIDE, lent_temporary=lent):
                reason, hint = found
                raise refused(self._script, statement, f"{pragma} {reason}", hint)
            if pragma.value is not None:
                self._database.session.remember(pragma)
            free = self._free_pages(schema) if pragma.name == "incremental_vacuum" else 0
            if pragma.name == "writable_schema":
                self._damage = find_faults(self._database) if self._writes_schema is None else self._damage
                self._writes_schema = statement
        if pragma.name in DOES_NOTHING and pragma.name != "foreign_keys":
            self._asked[pragma.name, pragma.schema] = pragma
        if free:
            self._free_all(cursor, statement, schema, kept=max(0, free - pages_of(pragma.value)))
        else:
            self._run_again(cursor, statement)

    def _free_all(self, cursor: sqlite3.Cursor, statement: Statement, schema: str, *, kept: float) -> None:
        """Run an incremental_vacuum to its end; Python 3.11 takes one step of it, which frees one page."""
        begins = not self._database.connection.in_transaction
        if begins:
            self._database.retry_while_locked(self._database.execute, "BEGIN IMMEDIATE")
        free, before = self._free_pages(schema), math.inf
        while kept < free < before:
            self._run_again(cursor, statement)
            free, before = self._free_pages(schema), free
        if begins:
            self._database.retry_while_locked(self._database.execute, "COMMIT")

    def _free_pages(self, schema: str) -> int:
        return int(self._database.execute(f"PRAGMA {schema}.freelist_count").fetchone()[0])

    def _interruption(self, statement: Statement, error: Exception) -> BaseException | None:
        """Return what was raised while SQLite ran a statement, or asked the authorizer, which notes what it denies."""
        if interruption := self._database.interruption:
            return interruption
        denied = code_of(error) == sqlite3.SQLITE_AUTH or str(error).startswith(_DENIED_FUNCTION)
        if str(error) == "SQL logic error":  # so VACUUM ends where the statements that it runs are denied something
            denied = first_words(self._script.sql, statement.offset)[:1] == ["VACUUM"]
        return KeyboardInterrupt() if denied and not self._effects.denied else None

    def _script_error(self, statement: Statement, error: Exception) -> MigrationError:
        return script_error(self._database, self._step, self._effects, statement, error)
