"""Say why a statement of a script failed, where, and what can be done."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable
from functools import partial

from torc_migrations.databases.sqlite.scripts.effects import OUTSIDE_HINT, ScriptEffects
from torc_migrations.databases.sqlite.scripts.modes import ENDS_OURS, REMOVE_IT, refused
from torc_migrations.databases.sqlite.scripts.requirements import what_is_missing
from torc_migrations.databases.sqlite.scripts.statements import (
    Statement,
    fault_offset,
    first_words,
)
from torc_migrations.databases.sqlite.transactions import SQLiteConnection
from torc_migrations.errors import ExecutionFailed, MigrationError, NotRehearsable, StatementTimeout
from torc_migrations.history.steps import Step
from torc_migrations.sources.migration import Script
from torc_migrations.sources.text import frame, place

_NEEDS_NO_TRANSACTION = re.compile(r"(?:within|inside) a transaction\Z|\Adatabase (?!table ).* is locked\Z", re.DOTALL)
_CHECKPOINT = re.compile(r"\bwal_checkpoint\b", re.IGNORECASE)
_NO_SCHEMA = re.compile(r"unknown database (\w+)|no such table: (\w+)\.")


def script_error(
    database: SQLiteConnection, step: Step, effects: ScriptEffects, statement: Statement, error: Exception
) -> MigrationError:
    """Return the error for a statement that SQLite has refused, or stopped."""
    script = step.script
    assert script is not None
    if effects.refused:
        return refused(script, statement, f"{effects.refused} {ENDS_OURS}", REMOVE_IT)
    reason = effects.not_its_own or str(error) or repr(error)
    where = place(script.sql, fault_offset(script.sql, statement, reason))
    shown = frame(script.path, where)
    if opened := effects.unrehearsable or _absent_schema(database, reason):
        verb = " ".join(first_words(script.sql, statement.offset)[:1])
        why = f"{verb} would open {opened}"
        return NotRehearsable(step, why, path=script.path, line=where.line, column=where.column, frame=shown)
    make: Callable[..., ExecutionFailed] = partial(ExecutionFailed, reason=reason)
    if database.clock.has_timed_out:
        make = partial(StatementTimeout, timeout=database.clock.timeout or 0.0)
    failure = make(
        step,
        path=script.path,
        line=where.line,
        column=where.column,
        statement=statement.text,
        frame=shown,
        kept=effects.may_commit or not script.directives.transactional,
    )
    _extend_hint(failure, script, effects, statement, error)
    return failure


def _extend_hint(
    failure: ExecutionFailed, script: Script, effects: ScriptEffects, statement: Statement, error: Exception
) -> None:
    reason = failure.reason
    code = getattr(error, "sqlite_errorcode", 0)
    if code == sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY and script.directives.foreign_keys:
        failure.suggest_foreign_keys("off")
    elif code & 0xFF == sqlite3.SQLITE_CONSTRAINT and effects.flow.puts_back(statement.text):
        failure.suggest_foreign_keys("on")
    if _NEEDS_NO_TRANSACTION.search(reason) or (_CHECKPOINT.search(statement.text) and "locked" in reason):
        failure.extend_hint(OUTSIDE_HINT)
    elif effects.not_its_own:
        failure.extend_hint("upgrade on a connection that has nothing attached and no TEMP objects")
    elif words := what_is_missing(statement.text, reason):
        failure.extend_hint(words)


def _absent_schema(database: SQLiteConnection, reason: str) -> str | None:
    """Name the file that a statement misses on a copy, because only the connection has it attached."""
    absent = getattr(database, "absent_schemas", frozenset[str]())
    named = _NO_SCHEMA.match(reason) if absent else None
    schema = (named[1] or named[2]).lower() if named else None
    return f"{schema!r}, which is attached to the connection, and not to the copy" if schema in absent else None
