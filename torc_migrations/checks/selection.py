"""Run the checks that are named, or all that apply to what is given."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias, Unpack

from torc_migrations.checks.branches.lock import check_lock
from torc_migrations.checks.drift import check_drift
from torc_migrations.checks.dump import check_schema
from torc_migrations.checks.findings import CheckReport, CheckResult
from torc_migrations.checks.linting.lint import check_lint
from torc_migrations.checks.linting.trial import Trial
from torc_migrations.checks.queries import check_queries
from torc_migrations.databases.interface import DatabaseLike
from torc_migrations.errors import BadOptionValue, NotSupported
from torc_migrations.migrator import Migrator
from torc_migrations.options.keywords import Options
from torc_migrations.sources.source import SourceLike, discover

NO_DATABASE = "no database is named"
NO_QUERIES = "no file with queries is named; use --previous FILE"
# The argument that is missing where a check that is named was not run for such a reason, and what it must be.
_MISSING = {
    NO_DATABASE: ("database", "a database, for the check drift"),
    NO_QUERIES: ("previous", "a file with queries, for the check queries"),
}


@dataclass(frozen=True, slots=True)
class Subject:
    """What is checked.

    Attributes:
        migrator: the source, and the database where there is one. has_database: whether there is.
        ignore: patterns of names in which drift is not looked for. schema: the file with the dump, or None.
        base: a commit of git that lint compares with. rules: rules of lint that run on request.
        previous: a file with the queries of the previous release, or None.
        trial: what the migrations have done, where they have run already.
    """

    migrator: Migrator
    has_database: bool = False
    ignore: tuple[str, ...] = ()
    schema: str | None = None
    base: str | None = None
    rules: tuple[str, ...] = ()
    previous: str | None = None
    trial: Trial | None = None


Check: TypeAlias = Callable[[Subject], CheckResult]


def _lock(subject: Subject) -> CheckResult:
    return check_lock(discover(subject.migrator.source, ignored_chars=subject.migrator.ignored_chars))


def _drift(subject: Subject) -> CheckResult:
    if not subject.has_database:
        return CheckResult("drift", skipped=NO_DATABASE)
    return check_drift(subject.migrator, subject.ignore)


def _schema(subject: Subject) -> CheckResult:
    return check_schema(subject.migrator, subject.schema)


def _lint(subject: Subject) -> CheckResult:
    return check_lint(
        subject.migrator,
        has_database=subject.has_database,
        base=subject.base,
        rules=subject.rules,
        trial=subject.trial,
    )


def _queries(subject: Subject) -> CheckResult:
    if subject.previous is None:
        return CheckResult("queries", skipped=NO_QUERIES)
    return check_queries(subject.migrator, subject.previous)


CHECKS: dict[str, Check] = {"lock": _lock, "schema": _schema, "drift": _drift, "lint": _lint, "queries": _queries}


def check(
    *names: str,
    database: DatabaseLike | None = None,
    source: SourceLike = None,
    ignore: Sequence[str] = (),
    schema: str | os.PathLike[str] | None = None,
    base: str | None = None,
    rules: Sequence[str] = (),
    previous: str | os.PathLike[str] | None = None,
    **options: Unpack[Options],
) -> CheckReport:
    """Run checks, and return what they have found. Writes nothing.

    Args:
        names: the checks to run, of `lock`, `schema`, `drift`, `lint` and `queries`; none means all that apply.
        database: as for `Migrator`; None means that there is none, and what needs one is not run.
        source: as for `Migrator`.
        ignore: see `check_drift`.
        schema: see `check_schema`.
        base, rules: see `check_lint`.
        previous: see `check_queries`; None means that it is not run.
        options: as for `Migrator`.

    Raises:
        BadOption: there is no check of a name, or one that is named has no database or no file with queries.
        MigrationError: the source or the database cannot be read.
    """
    migrator = Migrator(":memory:" if database is None else database, source, **options)
    file, queries = (None if each is None else os.fspath(each) for each in (schema, previous))
    subject = Subject(migrator, database is not None, tuple(ignore), file, base, tuple(rules), queries)
    return run_checks(subject, names)


def run_checks(subject: Subject, names: Sequence[str] = ()) -> CheckReport:
    """Run checks by name, or all of them, in one order.

    Raises:
        BadOption: there is no check of a name, or one that is named has no database or no file with queries.
        MigrationError: the source or the database cannot be read.
    """
    for name in names:
        if name not in CHECKS:
            raise BadOptionValue("names", name, f"names of {', '.join(CHECKS)}")
    chosen = names or tuple(CHECKS)
    return CheckReport(tuple(run_check(name, subject, on_request=bool(names)) for name in CHECKS if name in chosen))


def run_check(name: str, subject: Subject, *, on_request: bool = False) -> CheckResult:
    """Run a check by its name; one that cannot run is an error if it was asked for, and else is not run.

    Raises:
        BadOption: it was asked for, and has no database or no file with queries.
        MigrationError: as for the check.
    """
    try:
        result = CHECKS[name](subject)
    except NotSupported as error:
        if on_request:
            raise
        return CheckResult(name, skipped=str(error))
    if on_request and result.skipped in _MISSING:
        option, wanted = _MISSING[result.skipped]
        raise BadOptionValue(option, None, wanted)
    return result
