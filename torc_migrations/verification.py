"""Verify that queries use their indexes: expectations in, findings out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing
from typing import TYPE_CHECKING, NamedTuple

from torc_migrations.database import Database, open_database
from torc_migrations.driver import sqlite3
from torc_migrations.errors import CannotOpen, UrlError
from torc_migrations.expectation import Expectation, find_expectations
from torc_migrations.query_plan import QueryPlan, begins_with, explain, index_in, table_in

if TYPE_CHECKING:
    from torc_migrations.connection import DatabaseLike
    from torc_migrations.migration import SourceLike

SELECT_INDEXES = """
    SELECT name, tbl_name
    FROM sqlite_master
    WHERE type = 'index'
    ORDER BY rowid
"""
SELECT_STATISTICS = """
    SELECT tbl, MAX(CAST(stat AS INTEGER))
    FROM sqlite_stat1
    GROUP BY tbl
"""


class Finding(NamedTuple):
    """What became of one expectation on one database.

    `missing` are the expected lines that the plan lacks, `refused` the lines that it should not have; `error` is why
    the query has no plan there, in SQLite's words, or None; `notes` explain, in sentences, why it failed.
    """

    expectation: Expectation
    plan: QueryPlan
    missing: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()
    error: str | None = None
    notes: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether the expectation holds."""
        return not (self.missing or self.refused or self.error)

    @property
    def indexes(self) -> tuple[str, ...]:
        """The names of the indexes that the query uses there."""
        return self.plan.indexes

    def __str__(self) -> str:
        """The expectation's name, so that a test can be called by it."""
        return self.expectation.name

    def as_text(self) -> str:
        """Return the finding for a person: a line with the indexes in use; or what was expected, the plan, and why."""
        if self.ok:
            return f"ok      {self}: {', '.join(self.indexes) or 'no index'}"
        return "\n        ".join([f"failed  {self} ({self.expectation.place})", *self._reasons()])

    def _reasons(self) -> Iterator[str]:
        yield from (f"expected  {line}" for line in self.missing)
        yield from (f"refused   {line}" for line in self.refused)
        if self.error:
            yield f"error     {self.error}"
        else:
            yield from self.plan.as_text().splitlines()
        yield from self.notes

    def as_dict(self) -> dict[str, object]:
        """Return the same as values that `json` takes."""
        expectation = self.expectation
        return {
            "name": expectation.name,
            "path": expectation.path,
            "line": expectation.line,
            "query": expectation.query,
            "ok": self.ok,
            "indexes": list(self.indexes),
            "plan": list(self.plan.texts),
            "tree": self.plan.as_text(),
            "missing": list(self.missing),
            "refused": list(self.refused),
            "error": self.error,
            "notes": list(self.notes),
        }


def verify(
    database: DatabaseLike | None = None,
    source: SourceLike = None,
    *,
    fresh: bool = False,
    lock_timeout: float = 300.0,
) -> tuple[Finding, ...]:
    """Ask SQLite for the plan of every query in the source's `verify` folder, and compare it with what is expected.

    The database is only read, and no query is run. With `fresh` it is left alone, and may be None: the questions go
    to an empty twin in memory, upgraded from the source. There no statistics sway SQLite, so a finding is about the
    schema and not about today's rows.

    Returns:
        A finding for each expectation, in the order of the files, whether it holds or not.

    Raises:
        SourceError: the expectations cannot be read, or with `fresh` the migrations.
        UrlError: the database cannot be opened, or does not exist.
        LockTimeout: the database could not be read for `lock_timeout` seconds.
    """
    expectations = find_expectations(source)
    if fresh:
        with closing(_twin(source)) as twin:
            return _verify(twin, expectations, lock_timeout)
    if database is None:
        raise UrlError("", "no database is named", hint="name one, or verify a fresh one")
    return _verify(database, expectations, lock_timeout)


def _twin(source: SourceLike) -> sqlite3.Connection:
    from torc_migrations.migrator import Migrator

    connection = sqlite3.connect(":memory:", isolation_level=None)
    try:
        Migrator(connection, source).upgrade()
    except BaseException:
        connection.close()
        raise
    return connection


def _verify(database: DatabaseLike, expectations: tuple[Expectation, ...], lock_timeout: float) -> tuple[Finding, ...]:
    with open_database(database, lock_timeout=lock_timeout) as opened:
        refuse_missing(opened, otherwise="; `verify --fresh` needs none")
        with opened.reading():
            return verify_opened(opened, expectations)


def verify_opened(database: Database, expectations: tuple[Expectation, ...]) -> tuple[Finding, ...]:
    """Verify on a database that is being read already."""
    schema = _schema(database)
    return tuple(_find(database.connection, expectation, schema) for expectation in expectations)


def refuse_missing(database: Database, *, otherwise: str = "") -> None:
    """Insist on a database that exists; `otherwise` ends the hint.

    Raises:
        CannotOpen: its file is not there.
    """
    if database.is_missing:
        raise CannotOpen(
            database.name,
            f"there is no database {database.name!r}",
            hint=f"`torc-migrations upgrade` creates it{otherwise}",
        )


class _Schema(NamedTuple):
    """What explains a plan: the table of each index, in order of creation, and the rows that ANALYZE saw by table."""

    tables: Mapping[str, str] = {}
    analyzed: Mapping[str | None, int] = {}

    def came_later(self, one: str, other: str) -> bool:
        """Tell whether an index was created after another."""
        order = list(self.tables)
        return one in order and other in order and order.index(one) > order.index(other)


def _schema(database: Database) -> _Schema:
    tables = {str(name): str(table) for name, table in database.execute(SELECT_INDEXES)}
    return _Schema(tables, _statistics(database))


def _statistics(database: Database) -> dict[str | None, int]:
    """Read how many rows each table had when it was last analyzed; without ANALYZE there is no such table."""
    try:
        return {str(table): int(rows) for table, rows in database.execute(SELECT_STATISTICS)}
    except sqlite3.OperationalError as error:
        if "no such table" in str(error):
            return {}
        raise


def _find(connection: sqlite3.Connection, expectation: Expectation, schema: _Schema) -> Finding:
    """Ask for the plan of one query and compare it with what is expected."""
    try:
        plan = explain(connection, expectation.query)
    except (ValueError, sqlite3.OperationalError, sqlite3.ProgrammingError, sqlite3.Warning) as error:
        return Finding(expectation, QueryPlan(), error=str(error), notes=tuple(_why_no_plan(str(error))))
    missing = tuple(words for words in expectation.expects if not _any_begins_with(plan, words))
    refused = tuple(text for text in plan.texts if any(begins_with(text, words) for words in expectation.refuses))
    notes = [note for words in missing for note in _why_not(words, plan, schema)]
    notes += [note for text in refused for note in _what_statistics_do(table_in(text), schema)]
    return Finding(expectation, plan, missing, refused, notes=tuple(dict.fromkeys(notes)))


def _any_begins_with(plan: QueryPlan, words: str) -> bool:
    return any(begins_with(text, words) for text in plan.texts)


def _why_no_plan(error: str) -> Iterator[str]:
    if "no such table" in error or "no such column" in error:
        yield "the schema that the query is about is not installed here: upgrade, or name its source"


def _why_not(words: str, plan: QueryPlan, schema: _Schema) -> Iterator[str]:
    """Explain why a line is not in a plan: its index is gone, another one was taken, or statistics decide."""
    wanted = index_in(words)
    if wanted and wanted not in schema.tables:
        yield f"there is no index {wanted} in this database"
        return
    if wanted:
        taken = (name for name in plan.indexes if name != wanted and schema.tables.get(name) == schema.tables[wanted])
        yield from (_why_another(wanted, name, schema) for name in taken)
    yield from _what_statistics_do(schema.tables[wanted] if wanted else table_in(words), schema)


def _what_statistics_do(table: str | None, schema: _Schema) -> Iterator[str]:
    if table in schema.analyzed:
        yield (
            f"when ANALYZE ran, {table} had {schema.analyzed[table]} row(s), and SQLite goes by that: of few rows, or "
            "where most have the value asked for, it may rightly read all; --fresh asks without statistics"
        )


def _why_another(wanted: str, taken: str, schema: _Schema) -> str:
    if schema.came_later(taken, wanted) and schema.tables[taken] not in schema.analyzed:
        return (
            f"SQLite takes {taken}: of indexes that look equally good it takes the one created last, "
            f"and {wanted} was created before it"
        )
    return f"SQLite takes {taken}"
