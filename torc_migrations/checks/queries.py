"""`check queries`: whether the queries of the previous release still work after the migrations."""

from __future__ import annotations

import os
import re
from collections.abc import Hashable, Iterable, Iterator, Mapping
from typing import NamedTuple

from torc_migrations.checks.findings import CheckFinding, CheckResult
from torc_migrations.checks.overwriting import overwrite
from torc_migrations.configured import open_session
from torc_migrations.databases.results.queries import QueryTester, SavedQuery
from torc_migrations.databases.sqlite.schemas.settling import with_end
from torc_migrations.databases.sqlite.tuning.plans import can_be_explained
from torc_migrations.databases.sqlite.tuning.queries import cut
from torc_migrations.errors import SourceError
from torc_migrations.formatting import reason_of
from torc_migrations.indexes.recording import Query
from torc_migrations.migrator import Migrator
from torc_migrations.runs.evidence import run_up, scratch_database
from torc_migrations.sources.migration import Migration
from torc_migrations.sources.text import place

CHECK = "queries"
_HEAD = "-- The queries of a release; `torc-migrations check queries` compiles each of them.\n"
_VERSION = "-- version: {}\n"
_READ_VERSION = re.compile(rb"-- The queries of a release[^\n]*\n-- version: (\d{1,18})\r?\n")


class Saved(NamedTuple):
    """A query in a file: its text, and the line where it begins."""

    sql: str
    line: int


class _Broken(NamedTuple):
    """Why a query does not work, and the migration that broke it; None where it has not worked before either."""

    reason: str
    migration: Migration | None


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
    head = _HEAD if version is None else _HEAD + _VERSION.format(version)
    overwrite(os.fspath(file), "\n".join((head, *(f"{with_end(text)}\n" for text in texts))).encode())
    return len(texts)


def check_queries(migrator: Migrator, previous: str | os.PathLike[str]) -> CheckResult:
    """Compile each query of a file on the schema that the migrations make, and find those that worked before.

    An INSERT that lacks a new NOT NULL column compiles, and is found too. All of it happens on an empty database: in
    memory for SQLite, and on a server in one that is created for it, and dropped.

    Args:
        migrator: the source, and the database, which says what kind of database is meant.
        previous: a file with queries, as `save_queries` writes it.

    Raises:
        SourceError: the source or the file cannot be read.
        NotSupported: the user may not create a database on the server.
        MigrationError: a script does not run on an empty database.
    """
    path = os.fspath(previous)
    text = _read(path)
    with open_session(migrator) as session, scratch_database(session) as scratch:
        tester = scratch.query_tester()
        queries, release = tuple(_saved(text, tester.cut(text))), _READ_VERSION.match(text)
        trial = _Trial(tester, queries)
        for migration in session.source.migrations:
            run_up(scratch, migration)
            trial.look(migration)
    return CheckResult(CHECK, tuple(_findings(path, trial.broken, int(release[1]) if release else None)))


def read_queries(path: str) -> tuple[Saved, ...]:
    """Read the queries of a file.

    Raises:
        SourceError: it cannot be read.
    """
    text = _read(path)
    return tuple(_saved(text, cut(text)))


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except (OSError, ValueError) as error:
        raise SourceError(path, f"cannot read {path!r}: {reason_of(error)}") from error


def _saved(text: bytes, queries: Iterable[SavedQuery]) -> Iterator[Saved]:
    for query in queries:
        yield Saved(query.sql, place(text, query.begin).line)


class _Trial:
    """Tries queries on a schema that grows; `broken` are those that do not work now."""

    def __init__(self, tester: QueryTester, queries: Iterable[Saved]) -> None:
        self.broken: dict[Saved, _Broken] = {query: _Broken("", None) for query in queries}
        self._tester = tester
        self._queries = tuple(self.broken)
        self._version: Hashable = None

    def look(self, migration: Migration) -> None:
        version = self._tester.schema_version()
        if version is not None and version == self._version:
            return
        self._version = version
        for query in self._queries:
            reason = self._tester.why_not(query.sql)
            if reason is None:
                self.broken.pop(query, None)
            elif query not in self.broken:
                self.broken[query] = _Broken(reason, migration)
            else:
                self.broken[query] = self.broken[query]._replace(reason=reason)


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
