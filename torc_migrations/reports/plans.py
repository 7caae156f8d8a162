"""Follow the plans of queries while migrations run."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple

from torc_migrations.checks.queries import read_queries
from torc_migrations.databases.interface import Database
from torc_migrations.databases.sqlite.database import sqlite_only
from torc_migrations.databases.sqlite.tuning.plans import explain
from torc_migrations.errors import SourceError
from torc_migrations.indexes.expectations import find_expectations
from torc_migrations.reports.values import PlanChange
from torc_migrations.sources.migration import Migration
from torc_migrations.sources.source import Source


class Query(NamedTuple):
    """A query, and what it is called."""

    name: str
    sql: str


class _Seen(NamedTuple):
    """The plan of a query after a migration; `scans` is None where it has no plan."""

    version: int
    text: str
    scans: int | None


def find_queries(source: Source, file: str | None) -> tuple[Query, ...]:
    """Return the queries of a file, and those that the source has expectations for.

    Raises:
        SourceError: the file cannot be read.
    """
    saved = () if file is None else tuple(Query(f"{file}:{each.line}", each.sql) for each in read_queries(file))
    try:
        expected = tuple(Query(each.name, each.query) for each in find_expectations(source))
    except SourceError:  # most sources have none; `verify` says what is wrong with them
        expected = ()
    return (*expected, *saved)


class PlanReader:
    """Called before the first migration and after each: notes each plan that is another one than before."""

    def __init__(self, queries: Sequence[Query]) -> None:
        self._queries = queries
        self._seen: list[list[_Seen]] = [[] for _ in queries]

    def __call__(self, database: Database, migration: Migration | None) -> None:
        connection = sqlite_only(database, "report").connection
        version = -1 if migration is None else migration.version
        for query, seen in zip(self._queries, self._seen, strict=True):
            now = _look(connection, query.sql, version)
            if not seen or seen[-1].text != now.text:
                seen.append(now)

    def changes(self, before: Collection[int], after: Collection[int]) -> Iterator[PlanChange]:
        """Yield the queries whose plan is another one after some migrations than it was after those before them."""
        for query, seen in zip(self._queries, self._seen, strict=True):
            old = [each for each in seen if each.version == -1 or each.version in before]
            new = [each for each in seen if each.version in after]
            if old and new and new[-1].text != old[-1].text and (old[-1].scans, new[-1].scans) != (None, None):
                yield _change(query, old[-1], new[-1])


def _look(connection: sqlite3.Connection, sql: str, version: int) -> _Seen:
    try:
        plan = explain(connection, sql)
    except (ValueError, sqlite3.Error, sqlite3.Warning) as error:
        return _Seen(version, str(error), None)
    return _Seen(version, plan.as_text(), len(plan.scans))


def _change(query: Query, old: _Seen, new: _Seen) -> PlanChange:
    both = old.scans is not None and new.scans is not None
    return PlanChange(
        query.name,
        query.sql,
        old.text,
        new.text,
        had_plan=old.scans is not None,
        has_plan=new.scans is not None,
        more_scans=new.scans - old.scans if both else 0,  # type: ignore[operator]  # both are numbers
        version=new.version,
    )
