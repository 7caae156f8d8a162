"""Gather what a report says: one run on a copy, from which everything is taken, and the checks."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import NamedTuple, Unpack

from torc_migrations import __version__
from torc_migrations.checks.findings import CheckReport, CheckResult
from torc_migrations.checks.linting.facts import Fact
from torc_migrations.checks.linting.trial import Scope, Trial, find_scope, run_trial
from torc_migrations.checks.queries import CHECK as QUERIES
from torc_migrations.checks.selection import CHECKS, Subject, run_check
from torc_migrations.configured import open_session
from torc_migrations.databases.interface import DatabaseLike
from torc_migrations.databases.results.statements import StatementTime
from torc_migrations.databases.sqlite.database import sqlite_only
from torc_migrations.errors import BadScript, MigrationError, NotRehearsable, NotSupported, StepFailed
from torc_migrations.formatting import masked
from torc_migrations.migrator import Migrator
from torc_migrations.options.keywords import Options
from torc_migrations.rehearsals.report import RowsChange
from torc_migrations.reports.plans import PlanReader, find_queries
from torc_migrations.reports.rehearsed import object_changes_of, table_changes_of
from torc_migrations.reports.schemas import Names, object_changes, row_changes, table_changes
from torc_migrations.reports.values import (
    ChangeReport,
    ObjectChange,
    Outcome,
    PlanChange,
    ReportedMigration,
    TableChange,
)
from torc_migrations.runs.session import Session
from torc_migrations.sources.migration import Migration
from torc_migrations.sources.source import SourceLike

_SHOWN = 20_000  # bytes of a script


def make_report(
    database: DatabaseLike | None = None,
    source: SourceLike = None,
    *,
    base: str | None = None,
    queries: str | os.PathLike[str] | None = None,
    ignore: Sequence[str] = (),
    schema: str | os.PathLike[str] | None = None,
    rules: Sequence[str] = (),
    **options: Unpack[Options],
) -> ChangeReport:
    """Run what is pending on a copy of a database, or on an empty one, run the checks, and return what came out.

    Changes no database. What the checks find, and a script that fails, are part of the report.

    Args:
        database: as for `Migrator`; None means that there is none, and all migrations run on an empty database.
        source: as for `Migrator`.
        base: a commit of git; the report is about migrations that it does not have, or has with another text.
        queries: a file with queries, as `save_queries` writes it. The check `queries` tries them, and their plans
            before and after are compared; so are those of the queries in the source's `verify` directory.
        ignore, schema, rules: see `check`.
        options: as for `Migrator`.

    Raises:
        BadOption: an option has a wrong value.
        MigrationError: the source, the database, git or a file cannot be read.
    """
    migrator = Migrator(":memory:" if database is None else database, source, **options)
    files = [None if each is None else os.fspath(each) for each in (schema, queries)]
    return gather(Subject(migrator, database is not None, tuple(ignore), files[0], base, tuple(rules), files[1]))


def gather(subject: Subject) -> ChangeReport:
    """Return the report about what checks are about.

    Raises:
        MigrationError: as for `make_report`.
    """
    migrator = subject.migrator
    with open_session(migrator) as session:
        queries = find_queries(session.source, subject.previous)
        reader = PlanReader(queries)
        scope = find_scope(session, migrator, has_database=subject.has_database, base=subject.base)
        trial = _try(session, migrator, scope, reader)
        name, source = session.database.name, session.source.name
    run = _rehearse(migrator) if trial is None else _of_trial(trial, reader)
    return ChangeReport(
        source=masked(source),
        database=masked(name) if subject.has_database else None,
        base=subject.base,
        made=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        release=__version__,
        where=run.where,
        notes=run.notes,
        on_copy=run.has_rows,
        not_run=run.not_run,
        migrations=tuple(_migration(each, run) for each in scope.chosen),
        failure=None if run.failure is None else str(run.failure),
        checks=_checks(subject, trial),
        rows=run.rows,
        tables=run.tables,
        objects=run.objects,
        plans=run.plans,
        queries=0 if trial is None else len(queries),
        holds_writers=trial is not None,
    )


@dataclass(frozen=True, slots=True)
class _Ran:
    """What the migrations have done: `done` is by version; the others are as in `ChangeReport`."""

    where: str
    notes: tuple[str, ...] = ()
    has_rows: bool = False
    not_run: str | None = None
    done: Mapping[int, _Done] = field(default_factory=dict)
    failure: MigrationError | None = None
    rows: tuple[RowsChange, ...] = ()
    tables: tuple[TableChange, ...] = ()
    objects: tuple[ObjectChange, ...] = ()
    plans: tuple[PlanChange, ...] = ()


class _Done(NamedTuple):
    """What one migration took."""

    elapsed_ns: int
    statements: tuple[StatementTime, ...]


def _try(session: Session, migrator: Migrator, scope: Scope, reader: PlanReader) -> Trial | None:
    """Run the migrations; None where the facts that lint needs cannot be read on this kind of database."""
    try:
        sqlite_only(session.database, "report")  # which compares plans; before a server copies its database for it
        return run_trial(session, migrator, scope, reader)
    except NotSupported:
        return None


def _of_trial(trial: Trial, reader: PlanReader) -> _Ran:
    facts, earlier = _between(trial)
    before, after = (facts[0].before, facts[-1].after) if facts else (trial.last, trial.last)
    names = Names(before, facts)
    on_copy = trial.scope.on_copy
    return _Ran(
        "on a copy of the database" if on_copy else "on an empty database",
        has_rows=on_copy,
        done={each.migration.version: _Done(each.elapsed_ns, tuple(each.effects.statements)) for each in trial.facts},
        failure=trial.failure,
        rows=tuple(row_changes(before, after, names)),
        tables=tuple(table_changes(before, after, names)),
        objects=tuple(object_changes(before, after)),
        plans=tuple(reader.changes(_versions(earlier), _versions(facts))),
    )


def _rehearse(migrator: Migrator) -> _Ran:
    """Rehearse an upgrade on a server; an error of a script is the failure, any other says why nothing ran."""
    try:
        rehearsal = migrator.rehearse()
    except (BadScript, NotRehearsable, StepFailed) as error:
        return _Ran("", failure=error, not_run=str(error))
    except MigrationError as error:
        return _Ran("", not_run=str(error))
    steps = (step for step in rehearsal.steps if step.outcome.step.migrates)
    return _Ran(
        rehearsal.place.where,
        rehearsal.place.notes,
        rehearsal.place.has_rows,
        done={each.outcome.step.migration.version: _Done(each.outcome.elapsed_ns, each.statements) for each in steps},
        rows=rehearsal.rows if rehearsal.place.has_rows else (),
        tables=tuple(table_changes_of(rehearsal.schema)),
        objects=tuple(object_changes_of(rehearsal.schema)),
    )


def _between(trial: Trial) -> tuple[tuple[Fact, ...], tuple[Fact, ...]]:
    """Return what ran from the first to the last migration that is looked at, and what ran before it."""
    places = [place for place, fact in enumerate(trial.facts) if fact.migration.version in trial.scope.versions]
    return (trial.facts[places[0] : places[-1] + 1], trial.facts[: places[0]]) if places else ((), ())


def _versions(facts: Sequence[Fact]) -> frozenset[int]:
    return frozenset(fact.migration.version for fact in facts)


def _migration(migration: Migration, run: _Ran) -> ReportedMigration:
    done = run.done.get(migration.version)
    failed = getattr(getattr(run.failure, "step", None), "migration", None)
    outcome: Outcome = "ran" if done else "failed" if failed is not None and failed.id == migration.id else "not run"
    return ReportedMigration(
        migration.version,
        migration.id,
        migration.description,
        migration.up.path,
        _text(migration),
        migration.reversible,
        outcome,
        *(done or ()),
    )


def _text(migration: Migration) -> str:
    """Return the beginning of an up script, of which a report shows no more."""
    try:
        sql = migration.up.sql
    except BadScript as error:
        return str(error)
    shown = sql[:_SHOWN].decode(errors="ignore")
    return shown if len(sql) <= _SHOWN else f"{shown}\n... and {len(sql) - _SHOWN} more bytes"


def _checks(subject: Subject, trial: Trial | None) -> CheckReport:
    """Run each check; why one of them cannot run is part of the report."""
    results: list[CheckResult] = []
    for name in CHECKS:
        if name == QUERIES and subject.previous is None:
            results.append(CheckResult(name, skipped="no file with queries is named; use --queries FILE"))
            continue
        try:
            results.append(run_check(name, replace(subject, trial=trial)))
        except MigrationError as error:
            results.append(CheckResult(name, skipped=str(error)))
    return CheckReport(tuple(results))
