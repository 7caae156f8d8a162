"""Run a script statement by statement, and say what it touched, or where it failed."""

from __future__ import annotations

from time import perf_counter_ns

from torc_migrations.authorizer import Touched
from torc_migrations.connection import is_busy
from torc_migrations.driver import sqlite3
from torc_migrations.errors import BadScript, ExecutionFailed, MigrationError
from torc_migrations.log import logger
from torc_migrations.plan import duration_text
from torc_migrations.row_guard import count_children, refuse_losses
from torc_migrations.script import (
    Statement,
    creates,
    cut,
    fault_offset,
    first_token,
    frame,
    place,
    transaction_words,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from torc_migrations.database import Database
    from torc_migrations.migration import Script
    from torc_migrations.plan import Step
    from torc_migrations.script import TransactionWord

_DEBUG = 10
_NOT_WHOLE = "in a script would end the transaction that keeps it whole"
_TAKE_IT_OUT = "take it out: every script runs in a transaction of its own already"
_NOT_BY_A_SCRIPT = "in a script would leave it in doubt what of it is kept"
_TAKE_EITHER_OUT = "take it out; or take the directive out, and all of the script is one transaction"
_DENIED_FUNCTION = "not authorized to use function"


def commits_by_itself(step: Step) -> bool:
    """Tell whether a script ends the transaction that it is run in; one that begins another in it first is wrong."""
    script = step.script
    first = next(_transaction_words(script), None) if script and script.words else None
    return first is not None and first.commits


def run_in_pieces(database: Database, step: Step) -> None:
    """Run a script that commits and begins by itself, as sqlx does; what was committed before an error stays.

    Raises:
        BadScript: the script has a ROLLBACK; nothing of it was run.
        ExecutionFailed, LockTimeout: as for `run`.
    """
    assert step.script is not None
    for found in _transaction_words(step.script):
        if found.word == "ROLLBACK":
            raise _refused(step.script, found.statement, f"ROLLBACK {_NOT_WHOLE}", _TAKE_IT_OUT)
    run(database, step, Touched(may_commit=True))


def unwanted_commit(step: Step) -> BadScript:
    """Return the error for a script that ends the transaction that would keep it whole."""
    script = step.script
    assert script is not None
    found = next(found for found in _transaction_words(script) if found.commits)
    return _refused(script, found.statement, f"{found.word} {_NOT_WHOLE}", _TAKE_IT_OUT)


def run(database: Database, step: Step, touched: Touched | None = None) -> Touched:
    """Run the script of a step in the caller's transaction, and return what it may have broken.

    What the script sets with PRAGMA for the connection, and not for the database, is put back after it.

    Raises:
        ExecutionFailed: a statement failed.
        BadScript: the script begins or ends a transaction itself.
        LockTimeout: others kept a statement from going on.
        RowsLost: what it dropped took rows with it that it does not delete itself.
    """
    touched = touched or Touched()
    touched.named.clear()
    touched.switches_keys = False
    script = step.script
    rows = {} if touched.may_commit else count_children(database, script)
    try:
        if touched.may_commit or database.watches_all:
            database.open_to(touched)
        if script:
            _run_statements(database, step, script, touched)
    finally:
        database.close_to_scripts()
    refuse_losses(database, step, rows, touched)
    return touched


def warn_of_switch(step: Step, touched: Touched) -> None:
    """Say, once, that a PRAGMA of a script did nothing, as it does in a transaction."""
    if touched.switches_keys and step.script and step.script.path not in touched.told:
        touched.told.add(step.script.path)
        logger().warning(
            "%s: its PRAGMA foreign_keys does nothing in a transaction: they are off while a script runs, "
            "unless its head says `-- foreign-keys: on`",
            step.script.path,
        )


def run_outside(database: Database, step: Step, *, strict: bool) -> None:
    """Run the script of a step outside of any transaction; what stands before a statement that fails is kept.

    It may begin and commit transactions of its own, unless `strict`.

    Raises:
        BadScript: the script has a ROLLBACK, or a BEGIN or COMMIT without the other; nothing of it was run. Or a
            savepoint of its own is still open at its end.
        ExecutionFailed, LockTimeout: as for `run`.
    """
    script = step.script
    assert script is not None
    if found := _unpaired(script, strict=strict):
        raise _refused(script, found.statement, f"{found.word} {_NOT_BY_A_SCRIPT}", _TAKE_EITHER_OUT)
    try:
        database.open_to(None)  # VACUUM, for one, begins and commits by itself
        _run_statements(database, step, script, Touched())
        if database.connection.in_transaction:
            reason = f"{script.path}: a savepoint is still open at its end, and was rolled back"
            raise BadScript(script.path, reason, hint="end it with RELEASE")
    finally:
        database.roll_back()
        database.close_to_scripts()


def _unpaired(script: Script, *, strict: bool) -> TransactionWord | None:
    """Return the first statement that ends no transaction of the script's own, or begins one that has no end."""
    begun = None
    for found in _transaction_words(script):
        if strict or found.word == "ROLLBACK" or found.commits is (begun is None):
            return found
        begun = None if found.commits else found
    return begun


def _transaction_words(script: Script) -> Iterator[TransactionWord]:
    return transaction_words(script.sql, script.words)


def _run_statements(database: Database, step: Step, script: Script, touched: Touched) -> None:
    told = database.on_statement or (_log if logger().isEnabledFor(_DEBUG) else None)
    cursor = sqlite3.Cursor(database.connection)
    execute = cursor.execute
    sql = script.sql
    is_watched = database.is_open_to_scripts
    for offset, text in cut(sql):
        if not (is_watched or creates(sql, offset)):  # what only makes something new is nothing to watch
            database.open_to(touched)
            is_watched = True
        started = perf_counter_ns() if told else 0
        try:
            for _ in execute(text):  # what _exhaust() does, without a call for each of 100,000 statements
                pass
        except (sqlite3.Error, sqlite3.Warning) as error:
            _try_again(database, cursor, step, Statement(offset, text), touched, error)
        if touched.alters:
            touched.note_alter(text)
        if told:
            told(script, Statement(offset, text), perf_counter_ns() - started)


def _try_again(
    database: Database, cursor: sqlite3.Cursor, step: Step, statement: Statement, touched: Touched, error: Exception
) -> None:
    """Run a statement as soon as nobody is in its way, if that is why it failed; else raise what is wrong with it."""
    try:
        if not (isinstance(error, sqlite3.OperationalError) and is_busy(error)):
            raise error
        database.patiently(_exhaust, cursor, statement.text)
    except (sqlite3.Error, sqlite3.Warning) as last:
        if interruption := _interruption(touched, last):
            raise interruption from None
        raise _script_error(step, statement, touched, last) from last


def _exhaust(cursor: sqlite3.Cursor, sql: str) -> None:
    for _ in cursor.execute(sql):
        pass


def _interruption(touched: Touched, error: Exception) -> BaseException | None:
    """Return what flew while SQLite asked our authorizer, which by itself denies nothing but transaction control."""
    denied = getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_AUTH or str(error).startswith(_DENIED_FUNCTION)
    if touched.interruption or touched.refused or not denied:
        return touched.interruption
    return KeyboardInterrupt()  # it flew before our authorizer could catch it


def _log(script: Script, statement: Statement, elapsed_ns: int) -> None:
    text = script.sql[first_token(script.sql, statement.offset) : statement.offset + len(statement.text.encode())]
    logger().debug("%s (%s)", text.decode(), duration_text(elapsed_ns))


def _script_error(step: Step, statement: Statement, touched: Touched, error: Exception) -> MigrationError:
    script = step.script
    assert script is not None
    if touched.refused:
        return _refused(script, statement, f"{touched.refused} {_NOT_WHOLE}", _TAKE_IT_OUT)
    reason = str(error) or repr(error)
    where = place(script.sql, fault_offset(script.sql, statement, reason))
    return ExecutionFailed(
        step,
        reason,
        path=script.path,
        line=where.line,
        column=where.column,
        statement=statement.text,
        frame=frame(script.path, where),
        kept=touched.may_commit or not script.directives.transactional,
    )


def _refused(script: Script, statement: Statement, reason: str, hint: str) -> BadScript:
    where = place(script.sql, first_token(script.sql, statement.offset))
    return BadScript(
        script.path,
        f"{script.path}: {reason}",
        line=where.line,
        column=where.column,
        frame=frame(script.path, where),
        hint=hint,
    )
