"""Tests of the migrations themselves, which pytest collects: one for each file and check."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from torc_migrations.checks.branches.lock import check_lock
from torc_migrations.checks.drift import check_drift
from torc_migrations.checks.dump import check_schema, default_file
from torc_migrations.checks.linting.lint import check_lint
from torc_migrations.checks.queries import check_queries
from torc_migrations.errors import MigrationError
from torc_migrations.indexes.expectations import find_expectations
from torc_migrations.migrator import Migrator
from torc_migrations.sources.names import LOCK
from torc_migrations.sources.source import combine, discover

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from torc_migrations.checks.findings import CheckResult
    from torc_migrations.indexes.expectations import Expectation
    from torc_migrations.indexes.verify import Finding
    from torc_migrations.rehearsals.round_trips import RoundTrip, Trip


class Settings(NamedTuple):
    """What the settings of pytest say about the checks.

    Attributes:
        irreversible: whether a migration may lack a down script.
        base: a commit of git; lint looks at migrations that it does not have.
        database: the URL of a database whose schema is compared, or None.
        queries: a file with the queries of the previous release, or None.
    """

    irreversible: bool = False
    base: str | None = None
    database: str | None = None
    queries: str | None = None


class Checks:
    """The checks of one source, as a plugin of pytest; each is performed once in a process, when a test first asks.

    Args:
        sources: the directories, which are one source together.
        settings: what else is checked.

    Raises:
        pytest.UsageError: the directories cannot be read.
    """

    def __init__(self, sources: list[str], settings: Settings) -> None:
        self.settings = settings
        self.irreversible = settings.irreversible
        try:
            self.source = combine(tuple(discover(source) for source in sources))
            self._expectations = self._find_expectations()
        except MigrationError as error:
            raise pytest.UsageError(f"{error} (torc_migrations_source)") from error
        self._versions = {_path(each.up.path): each.version for each in self.source.migrations}
        self._schema = default_file(Migrator(":memory:", sources[0])) if len(sources) == 1 else None
        self._files = dict(self._whole_files())

    def _whole_files(self) -> Iterator[tuple[Path, tuple[str, Callable[[], CheckResult]]]]:
        """Yield the files that are compared as a whole, each with the name of its check, and the check."""
        schema, queries = self._schema, self.settings.queries
        if schema is not None and os.path.exists(schema):
            yield _path(schema), ("schema", lambda: check_schema(self._migrator, schema))
        if queries is not None:
            yield _path(queries), ("queries", lambda: check_queries(self._migrator, queries))
        lock = next((path for directory in self._migration_directories() if (path := directory / LOCK).exists()), None)
        if lock is not None:
            yield lock, ("unchanged", lambda: check_lock(self.source))

    @property
    def _migrator(self) -> Migrator:
        return Migrator(":memory:", self.source)

    def _find_expectations(self) -> Mapping[Path, list[Expectation]]:
        found: dict[Path, list[Expectation]] = {}
        if any(os.path.isdir(directory / "verify") for directory in self._migration_directories()):
            for each in find_expectations(self.source):
                found.setdefault(_path(each.path), []).append(each)
        return found

    def _migration_directories(self) -> list[Path]:
        return [*dict.fromkeys(_path(each.up.path).parent for each in self.source.migrations)]

    @property
    def places(self) -> list[str]:
        """The directories of the migrations, and the files beside them that are compared."""
        directories = self._migration_directories()
        beside = (path for path in self._files if path.parent not in directories)
        return [str(path) for path in (*directories, *beside)]

    @cached_property
    def round_trip(self) -> RoundTrip:
        """The round trip of all migrations."""
        return self._migrator.round_trip(fresh=True, allow_irreversible=self.irreversible)

    @cached_property
    def lint(self) -> CheckResult:
        """What lint finds on an empty database."""
        return check_lint(self._migrator, has_database=False, base=self.settings.base)

    def drift(self) -> CheckResult:
        """Compare the schema of the database that the settings name."""
        return check_drift(Migrator(str(self.settings.database), self.source))

    @cached_property
    def findings(self) -> Mapping[str, Finding]:
        """What `verify` finds on an empty database, by the name of the expectation."""
        found = self._migrator.verify(fresh=True)
        return {finding.expectation.name: finding for finding in found}

    def pytest_collect_file(self, file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
        """Collect the checks of an up script, of a file of expectations, or of a file that is compared as a whole."""
        path = _path(file_path)
        if (version := self._versions.get(path)) is not None:
            return _File.of(parent, file_path, list(self._of_script(version)))
        if (found := self._files.get(path)) is not None:
            name, check = found
            return _File.of(parent, file_path, [(name, _Whole(check))])
        if expectations := self._expectations.get(path):
            return _File.of(parent, file_path, [(each.name, _Verify(self, each.name)) for each in expectations])
        return None

    def _of_script(self, version: int) -> Iterator[tuple[str, Callable[[], str | None]]]:
        """Yield the checks of a migration; that of the database stands at the newest one."""
        yield "round-trip", _RoundTrip(self, version)
        yield "lint", _Lint(self, version)
        if self.settings.database is not None and version == self.source.migrations[-1].version:
            yield "drift", _Whole(self.drift)


class _RoundTrip:
    """Apply a migration, roll it back, and apply it again."""

    def __init__(self, checks: Checks, version: int) -> None:
        self._checks = checks
        self._version = version

    def __call__(self) -> str | None:
        """Return what is wrong, or None."""
        result = self._checks.round_trip
        trip: Trip | None = next((trip for trip in result.trips if trip.version == self._version), None)
        if trip is None:
            return f"not tried, because {result.trips[-1].version} fails"
        if self._version in result.irreversible and not self._checks.irreversible:
            return "it has no down script; torc_migrations_irreversible = true allows that"
        return "\n".join(trip.findings) or None


class _Lint:
    """Look for what a migration loses, breaks or holds up."""

    def __init__(self, checks: Checks, version: int) -> None:
        self._checks = checks
        self._version = version

    def __call__(self) -> str | None:
        """Return what is wrong, or None; a warning is not wrong."""
        found = [each for each in self._checks.lint.findings if each.version == self._version]
        wrong = any(each.level == "error" for each in found)
        return "".join(each.as_text() for each in found) if wrong else None


class _Whole:
    """A check that is one test."""

    def __init__(self, check: Callable[[], CheckResult]) -> None:
        self._check = check

    def __call__(self) -> str | None:
        """Return what is wrong, or None; a check that does not apply is skipped."""
        result = self._check()
        if result.skipped:
            pytest.skip(result.skipped)
        return None if result.ok else "".join(finding.as_text() for finding in result.findings)


class _Verify:
    """Compare the plan of a query with its expectation."""

    def __init__(self, checks: Checks, name: str) -> None:
        self._checks = checks
        self._name = name

    def __call__(self) -> str | None:
        """Return what is wrong, or None."""
        finding = self._checks.findings[self._name]
        return None if finding.ok else finding.as_text()


class _File(pytest.File):
    """A file of a source, and the checks of it by name."""

    checks: list[tuple[str, Any]]

    @classmethod
    def of(cls, parent: pytest.Collector, path: Path, checks: list[tuple[str, Any]]) -> _File:
        """Return the node of a file."""
        file: _File = cls.from_parent(parent, path=path)
        file.checks = checks
        return file

    def collect(self) -> Iterator[pytest.Item]:
        """Yield a test for each check."""
        for name, check in self.checks:
            item: _Check = _Check.from_parent(self, name=name)
            item.check = check
            yield item


class _Check(pytest.Item):
    """One check of one file."""

    check: Any

    def runtest(self) -> None:
        """Fail with the sentences of the check."""
        try:
            found = self.check()
        except MigrationError as error:
            found = "\n".join((str(error), *getattr(error, "__notes__", ())))
        if found is not None:
            pytest.fail(found, pytrace=False)

    def reportinfo(self) -> tuple[Path, None, str]:
        """Return the file and the name of the test."""
        return self.path, None, f"{self.path.name}: {self.name}"


def _path(path: str | os.PathLike[str]) -> Path:
    """Return a path without links, as the same file has it wherever it was found."""
    return Path(os.path.realpath(path))
