"""Why a statement of a script failed, where, and what can be done."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import psycopg

from torc_migrations.databases.postgresql.address import is_lost, translate
from torc_migrations.errors import ExecutionFailed, MigrationError, StatementTimeout
from torc_migrations.formatting import masked
from torc_migrations.sources.text import frame, place

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from torc_migrations.databases.postgresql.connection import PostgreSQLConnection
    from torc_migrations.databases.postgresql.scripts.statements import Statement
    from torc_migrations.history.steps import Step

_OUTSIDE = "begin the file with `-- no-transaction`: the script then runs outside a transaction, statement by statement"

SELECT_INVALID = """
    SELECT i.indexrelid::regclass::text, c.relname
    FROM pg_catalog.pg_index i
    JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
    WHERE NOT i.indisvalid
"""


class Failure(Exception):
    """A statement failed: the driver's error, which statement it was, and where its text begins in the script.

    `timeout`: how many seconds it could take, if it was stopped because it took longer.
    """

    def __init__(
        self, error: psycopg.Error, statement: Statement | None, offset: int, timeout: float | None = None
    ) -> None:
        self.error = error
        self.statement = statement
        self.offset = offset
        self.timeout = timeout


def script_error(
    database: PostgreSQLConnection,
    step: Step,
    sql: bytes,
    pieces: Iterable[Statement],
    failure: Failure,
    *,
    kept: bool,
) -> MigrationError:
    """Return the error for a statement that the server has refused.

    `sql` is what was sent, and `pieces` are its statements.
    """
    error, script = failure.error, step.script
    assert script is not None
    if is_lost(error):
        return translate(error, database.name)
    diagnostic = error.diag
    position = diagnostic.statement_position
    offset = failure.statement.begin if failure.statement else max(0, len(sql) - 1)
    if position and position.isdecimal():
        sent = sql[failure.offset :]
        offset = failure.offset + len(sent.decode(errors="replace")[: int(position) - 1].encode())
    where = place(script.sql, offset)
    statement = failure.statement or _statement_at(pieces, offset)
    text = script.sql[statement.begin : statement.end].decode(errors="replace") if statement else ""
    shown = frame(script.path, where)
    detail = diagnostic.message_detail
    if detail:
        shown += "".join(f"\n  detail: {masked(line)}" for line in detail.splitlines())
    if diagnostic.context and position is None:
        shown += f"\n  context: {masked(diagnostic.context.splitlines()[0])}"
    reason = masked(diagnostic.message_primary or first_line(error))
    make: Callable[..., ExecutionFailed] = partial(ExecutionFailed, reason=reason)
    if failure.timeout is not None:
        make = partial(StatementTimeout, timeout=failure.timeout)
    result = make(
        step,
        path=script.path,
        line=where.line,
        column=where.column,
        statement=text,
        frame=shown,
        kept=kept,
    )
    _add_hints(database, result, error, sql[statement.begin : statement.end] if statement else b"")
    return result


def _statement_at(pieces: Iterable[Statement], offset: int) -> Statement | None:
    found = None
    for each in pieces:
        if each.begin > offset:
            break
        found = each
    return found


def _add_hints(database: PostgreSQLConnection, result: ExecutionFailed, error: psycopg.Error, statement: bytes) -> None:
    if error.diag.message_hint:
        result.extend_hint(f"the server says: {masked(error.diag.message_hint)}")
    if isinstance(error, psycopg.errors.ActiveSqlTransaction):
        result.extend_hint(_OUTSIDE)
    if isinstance(error, psycopg.errors.UnsafeNewEnumValueUsage):
        result.extend_hint("use the new value in a later migration")
    if b"CONCURRENTLY" in statement.upper() and result.kept:
        for name, bare in _invalid_indexes(database):
            if bare.encode() in statement:
                result.extend_hint(f"it has left {name} as an invalid index: DROP INDEX CONCURRENTLY {name} first")


def _invalid_indexes(database: PostgreSQLConnection) -> Iterator[tuple[str, str]]:
    if not database.connection.closed and not database.in_transaction:
        yield from database.run(SELECT_INVALID).fetchall()


def first_line(error: Exception) -> str:
    """Return the first line of what an error says."""
    return (str(error).splitlines() or [repr(error)])[0]
