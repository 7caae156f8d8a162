"""Inspect the indexes of a database: their size, and the queries that use them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from torc_migrations.databases.opening import open_database
from torc_migrations.databases.servers.given import DEFAULT, ServerOptions
from torc_migrations.errors import BadScript, SourceError
from torc_migrations.indexes.expectations import find_expectations
from torc_migrations.indexes.report import IndexReport, compare_indexes, without_index
from torc_migrations.indexes.verify import Finding, refuse_missing, verify

if TYPE_CHECKING:
    from torc_migrations.databases.interface import Database, DatabaseLike, Functions
    from torc_migrations.databases.results.plans import Explainer
    from torc_migrations.sources.source import SourceLike


def inspect_indexes(
    database: DatabaseLike,
    source: SourceLike = None,
    *,
    lock_timeout: float = 300.0,
    functions: Functions | None = None,
    server: ServerOptions = DEFAULT,
) -> IndexReport:
    """Report the size, selectivity, use and redundancy of every index, and the foreign keys without an index.

    Nothing is written. Where SQLite has dbstat (https://sqlite.org/dbstat.html) every page of the file is read once.
    The expectations of the source show which index is used; without expectations that is unknown. PostgreSQL also
    counts how often each index was used.

    Raises:
        UrlError: the database cannot be opened, or does not exist.
        BadScript: an expectation cannot be read.
        LockTimeout: the database could not be read for `lock_timeout` seconds.
    """
    with open_database(database, lock_timeout=lock_timeout, functions=functions, server=server) as opened:
        refuse_missing(opened)
        with opened.reading():
            return _report(opened, source)


def _report(database: Database, source: SourceLike) -> IndexReport:
    found = database.read_indexes()
    notes = list(found.notes)
    uses = _uses(database, source, notes)
    used = (replace(each, used_by=None if uses is None else uses.get(each.name, ())) for each in found.indexes)
    indexes = compare_indexes(used, found.keys, found.rowids)
    unindexed = without_index(found.keys, indexes, found.rowids)
    return IndexReport(indexes, unindexed, found.file_size, found.free_size, tuple(notes))


def _uses(database: Database, source: SourceLike, notes: list[str]) -> dict[str, tuple[str, ...]] | None:
    """Return the names of expectations by index: those whose query uses it here, and those that expect it."""
    try:
        expectations = find_expectations(source)
    except BadScript:
        raise
    except SourceError as error:
        notes.append(f"which index is used is unknown: {error}")
        return None
    explainer = database.explainer()
    findings = [finding for finding in verify(database, expectations) if finding.error is None]
    if not findings:
        notes.append("which index is used is unknown: no expectation of this source fits this database")
        return None
    named = {(index, str(finding)): None for finding in findings for index in _indexes_of(finding, explainer)}
    uses: dict[str, tuple[str, ...]] = {}
    for index, name in named:
        uses[index] = (*uses.get(index, ()), name)
    return uses


def _indexes_of(finding: Finding, explainer: Explainer) -> Iterator[str]:
    yield from finding.indexes
    yield from filter(None, map(explainer.index_in, finding.expectation.expects))
