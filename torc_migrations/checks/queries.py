"""`check queries`: whether the queries of the previous release still work after the migrations."""

from __future__ import annotations

import os
import re
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from itertools import count
from typing import NamedTuple

from torc_migrations.checks.findings import CheckFinding, CheckResult
from torc_migrations.configured import open_session
from torc_migrations.databases.sqlite.database import SQLiteDatabase, sqlite_only
from torc_migrations.databases.sqlite.schemas.settling import with_end
from torc_migrations.databases.sqlite.scripts.statements import first_token, statements
from torc_migrations.databases.sqlite.tuning.plans import can_be_explained
from torc_migrations.errors import SourceError
from torc_migrations.indexes.recording import Query
from torc_migrations.migrator import Migrator
from torc_migrations.runs.scratch import run_up, scratch_database
from torc_migrations.sources.migration import Migration
from torc_migrations.sources.text import place

CHECK = "queries"
_HEAD = "-- The queries of a release; `torc-migrations check queries` compiles each of them.\n"
_VERSION = "-- version: {}\n"
_READ_VERSION = re.compile(rb"-- The queries of a release[^\n]*\n-- version: (\d{1,18})\r?\n")
_NOT_NULL = re.compile(r"NOT NULL constraint failed: (?P<column>.+)")
_INSERTS = re.compile(r"\s*(?:INSERT|REPLACE)\b", re.IGNORECASE)
_NUMBERS = count()


class Saved(NamedTuple):
    """A query in a file: its text, and the line where it begins."""

    sql: str
    line: int


class _Broken(NamedTuple):
    """Why a query does not work, and the migration that broke it; None where it has not worked before either."""

    reason: str
    migration: Migration | None


class _AnyValue(dict[str, object]):
    """A value for each named parameter."""

    def __missing__(self, name: str) -> object:
        return 1


def save_queries(queries: Iterable[Query], file: str | os.PathLike[str], version: int | None = None) -> int:
    """Write the queries that a `Watch` has recorded into a file, for a release to commit; return their number.

    Texts without values, sorted, so that the same queries give the same bytes. What cannot be explained, such as
    CREATE TABLE and COMMIT, is left out.

    Args:
        queries: as `Watch.queries` returns them.
        file: it is overwritten.
        version: the newest migration of the release, which `-- compatible-from:` lines are compared with.

    Raises:
        SourceError: the file cannot be written.
    """
    texts = sorted({query.sql.strip().rstrip(";") for query in queries if can_be_explained(query.sql)})
    path = os.fspath(file)
    try:
        with open(path, "w", encoding="utf-8", newline="") as opened:
            head = _HEAD if version is None else _HEAD + _VERSION.format(version)
            opened.write("\n".join((head, *(f"{with_end(text)}\n" for text in texts))))
    except OSError as error:
        raise SourceError(path, f"cannot write {path!r}: {error.strerror}") from error
    return len(texts)


def check_queries(migrator: Migrator, previous: str | os.PathLike[str]) -> CheckResult:
    """Compile each query of a file on the schema that the migrations make, and find those that worked before.

    An INSERT is tried too, and undone, because one that lacks a new NOT NULL column compiles. All of it happens on an
    empty database in memory.

    Args:
        migrator: the source; its database is not used.
        previous: a file with queries, as `save_queries` writes it.

    Raises:
        SourceError: the source or the file cannot be read.
        MigrationError: a script does not run on an empty database.
    """
    path = os.fspath(previous)
    text = _read(path)
    queries, release = tuple(_saved(text)), _READ_VERSION.match(text)
    with open_session(migrator) as session, scratch_database(session) as scratch:
        trial = _Trial(sqlite_only(scratch, "check queries"), queries)
        for migration in session.source.migrations:
            run_up(scratch, migration)
            trial.look(migration)
    return CheckResult(CHECK, tuple(_findings(path, trial.broken, int(release[1]) if release else None)))


def read_queries(path: str) -> tuple[Saved, ...]:
    """Read the queries of a file.

    Raises:
        SourceError: it cannot be read.
    """
    return tuple(_saved(_read(path)))


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise SourceError(path, f"cannot read {path!r}: {error.strerror}") from error


def _saved(text: bytes) -> Iterator[Saved]:
    for statement in statements(text):
        begin = first_token(text, statement.offset)
        sql = statement.text.encode()[begin - statement.offset :].decode().strip()
        if sql:
            yield Saved(sql, place(text, begin).line)


class _Trial:
    """Tries queries on a schema that grows; `broken` are those that do not work now."""

    def __init__(self, database: SQLiteDatabase, queries: Iterable[Saved]) -> None:
        self.broken: dict[Saved, _Broken] = {query: _Broken("", None) for query in queries}
        self._database = database
        self._queries = tuple(self.broken)
        self._version = -1

    def look(self, migration: Migration) -> None:
        (version,) = self._database.execute("PRAGMA main.schema_version").fetchone()
        if version == self._version:
            return
        self._version = version
        for query in self._queries:
            reason = self._why_not(query.sql)
            if reason is None:
                self.broken.pop(query, None)
            elif query not in self.broken:
                self.broken[query] = _Broken(reason, migration)
            else:
                self.broken[query] = self.broken[query]._replace(reason=reason)

    def _why_not(self, sql: str) -> str | None:
        """Return why a query fails, in SQLite's words, or None."""
        # Another text each time: sqlite3 keeps prepared statements, and SQLite does not prepare an EXPLAIN again.
        if reason := self._failure(f"EXPLAIN {sql.rstrip(';')} -- {next(_NUMBERS)}"):
            return reason
        if not _INSERTS.match(sql):
            return None
        self._database.execute("SAVEPOINT torc_query")
        try:
            found = _NOT_NULL.fullmatch(self._failure(sql) or "")
            return f"column {found['column']} needs a value" if found else None
        finally:
            self._database.execute("ROLLBACK TO torc_query")
            self._database.execute("RELEASE torc_query")

    def _failure(self, sql: str) -> str | None:
        connection = self._database.connection
        parameters: Mapping[str, object] | tuple[object, ...] = _AnyValue()
        for _ in range(3):  # by name; by position, to learn their number; with that number
            try:
                connection.execute(sql, parameters).fetchone()
            except sqlite3.ProgrammingError as error:
                parameters = (1,) * int((re.search(r"uses (\d+)", str(error)) or ["", "0"])[1])
            except sqlite3.Error as error:
                return str(error)
            else:
                return None
        return None


def _findings(path: str, broken: Mapping[Saved, _Broken], release: int | None) -> Iterator[CheckFinding]:
    """Yield a finding for each query; `release` is the version of the release that has them, where it is known."""
    for query, (reason, migration) in sorted(broken.items(), key=lambda item: item[0].line):
        details = (" ".join(query.sql.split()),)
        if migration is None:
            message = f"the query has worked on no schema of these migrations: {reason}"
            yield CheckFinding(CHECK, "unknown-query", message, path, query.line, level="warning", details=details)
        else:
            message = f"migration {migration.version} breaks a query of the previous release: {reason}"
            says_so = release is not None and release < (migration.compatible_from or 0)
            yield CheckFinding(
                CHECK,
                "broken-query",
                message,
                path,
                query.line,
                version=migration.version,
                level="warning" if says_so else "error",
                hint=f"it is compatible from {migration.compatible_from} on: end the processes of {release} first"
                if says_so
                else None,
                details=details,
            )
