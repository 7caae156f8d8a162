"""Say why a statement of a script failed, where, and what can be done."""

from __future__ import annotations

import re
import sqlite3
from bisect import bisect_left
from collections.abc import Callable, Sequence
from contextlib import closing
from functools import partial

from torc_migrations.databases.interface import Breaker
from torc_migrations.databases.sqlite.scripts.effects import OUTSIDE_HINT, ScriptEffects
from torc_migrations.databases.sqlite.scripts.modes import ENDS_OURS, REMOVE_IT, refused
from torc_migrations.databases.sqlite.scripts.requirements import what_is_missing
from torc_migrations.databases.sqlite.scripts.statements import (
    Statement,
    first_token,
    first_words,
)
from torc_migrations.databases.sqlite.transactions import SQLiteConnection
from torc_migrations.errors import ExecutionFailed, MigrationError, NotRehearsable, StatementTimeout
from torc_migrations.history.steps import Step
from torc_migrations.sources.migration import Script
from torc_migrations.sources.text import frame, place

_NEEDS_NO_TRANSACTION = re.compile(r"(?:within|inside) a transaction\Z|\Adatabase (?!table ).* is locked\Z", re.DOTALL)
_CHECKPOINT = re.compile(r"\bwal_checkpoint\b", re.IGNORECASE)
# How SQLite names the word at which its parser has stopped, and a name that does not exist.
_NAMED_WORD = re.compile(
    r'near "(.+)": syntax error\Z|unrecognized token: "(.+)"\Z|no such (?:table|column|index|view): (?:\w+\.)?(\w+)\Z',
    re.DOTALL,
)
_KEY_VIOLATED = "FOREIGN KEY constraint failed"
_MOST_TO_PARSE = 100_000  # bytes of a statement, which is parsed up to 20 times: 0.1 s
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


def fault_offset(sql: bytes, statement: Statement, reason: str) -> int:
    """Return where a failed statement is wrong, in bytes: at the word that SQLite names.

    That is the statement's first word where SQLite names none, or one whose place is not known.
    """
    end = statement.offset + len(statement.text.encode())
    begin = first_token(sql[:end], statement.offset)  # an open comment goes on in the blanks behind the statement
    named = _NAMED_WORD.match(reason)
    if named is None:
        return begin
    text = named[named.lastindex or 0]
    word = re.escape(text.encode())
    pattern = rb"(?<!\w)" + word + rb"(?!\w)" if text.isidentifier() else word
    hits = [hit.span() for hit in re.compile(pattern).finditer(sql, begin, end)]
    if len(hits) > 1:
        is_name = named[3] is not None  # the wrong one of its places is not known
        if is_name or end - begin > _MOST_TO_PARSE:
            return begin
        hits = hits[_where_parsing_stops(sql[begin:end], [end - begin for _, end in hits], reason) :]
    return hits[0][0] if hits else begin


def _where_parsing_stops(text: bytes, ends: Sequence[int], reason: str) -> int:
    """Return the number of the first end up to which the text already fails with this reason; SQLite is asked.

    A parser stops at the first word that it cannot accept, whatever is behind it. So the text up to any end before that
    word fails in another way, and up to any end behind it in this one.
    """

    def fails(end: int) -> bool:
        try:
            scratch.execute("EXPLAIN " + text[:end].decode(errors="replace"))
        except sqlite3.Error as error:
            return str(error) == reason
        return False

    with closing(sqlite3.connect(":memory:")) as scratch:
        return bisect_left(ends, True, key=fails)


def _extend_hint(
    failure: ExecutionFailed, script: Script, effects: ScriptEffects, statement: Statement, error: Exception
) -> None:
    reason = failure.reason
    if str(error) == _KEY_VIOLATED and script.directives.foreign_keys:
        failure.suggest_foreign_keys("off")
    elif isinstance(error, sqlite3.IntegrityError) and effects.flow.puts_back(statement.text):
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


def breaker_at(step: Step, script: Script, begin: int, end: int) -> Breaker:
    """Return a statement of a step as the one after which something works no more."""
    begin = first_token(script.sql, begin)
    where = place(script.sql, begin)
    text = script.sql[begin:end].decode().strip()
    return Breaker(step, script.path, where.line, where.column, text, frame(script.path, where))
