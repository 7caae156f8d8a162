"""Tests of the migrations themselves, which pytest collects from their directories: one for each file and check."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from torc_migrations.checks.branches.lock import check_lock
from torc_migrations.errors import MigrationError
from torc_migrations.indexes.expectations import find_expectations
from torc_migrations.migrator import Migrator
from torc_migrations.sources.names import LOCK
from torc_migrations.sources.source import combine, discover

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torc_migrations.indexes.expectations import Expectation
    from torc_migrations.indexes.verify import Finding
    from torc_migrations.rehearsals.round_trips import RoundTrip, Trip


class Checks:
    """The checks of one source, as a plugin of pytest; each is performed once in a process, when a test first asks.

    Args:
        sources: the directories, which are one source together.
        irreversible: whether a migration may lack a down script.

    Raises:
        pytest.UsageError: the directories cannot be read.
    """

    def __init__(self, sources: list[str], *, irreversible: bool) -> None:
        self.irreversible = irreversible
        try:
            self.source = combine(tuple(discover(source) for source in sources))
            self._expectations = self._find_expectations()
        except MigrationError as error:
            raise pytest.UsageError(f"{error} (torc_migrations_source)") from error
        self._versions = {_path(each.up.path): each.version for each in self.source.migrations}

    def _find_expectations(self) -> Mapping[Path, list[Expectation]]:
        found: dict[Path, list[Expectation]] = {}
        if any(os.path.isdir(directory / "verify") for directory in self._migration_directories()):
            for each in find_expectations(self.source):
                found.setdefault(_path(each.path), []).append(each)
        return found

    def _migration_directories(self) -> list[Path]:
        return [*dict.fromkeys(_path(each.up.path).parent for each in self.source.migrations)]

    @property
    def directories(self) -> list[str]:
        """Where the files are."""
        return [str(directory) for directory in self._migration_directories()]

    @cached_property
    def round_trip(self) -> RoundTrip:
        """The round trip of all migrations."""
        return Migrator(":memory:", self.source).round_trip(fresh=True, allow_irreversible=self.irreversible)

    @cached_property
    def findings(self) -> Mapping[str, Finding]:
        """What `verify` finds on an empty database, by the name of the expectation."""
        found = Migrator(":memory:", self.source).verify(fresh=True)
        return {finding.expectation.name: finding for finding in found}

    def pytest_collect_file(self, file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
        """Collect the checks of an up script, or of a file of expectations."""
        path = _path(file_path)
        if (version := self._versions.get(path)) is not None:
            return _File.of(parent, file_path, [("round-trip", _RoundTrip(self, version))])
        if path.name == LOCK and path.parent in self._migration_directories():
            return _File.of(parent, file_path, [("unchanged", _Lock(self))])
        if expectations := self._expectations.get(path):
            return _File.of(parent, file_path, [(each.name, _Verify(self, each.name)) for each in expectations])
        return None


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


class _Lock:
    """Compare `migrations.lock` with the scripts."""

    def __init__(self, checks: Checks) -> None:
        self._checks = checks

    def __call__(self) -> str | None:
        """Return what is wrong, or None."""
        result = check_lock(self._checks.source)
        return "".join(finding.as_text() for finding in result.findings) or None


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
