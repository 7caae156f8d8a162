"""Which checks run, and in which order."""

from __future__ import annotations

from pathlib import Path

import pytest
from shell import PAIRS, write_files

from torc_migrations.checks import CheckReport, CheckResult, check
from torc_migrations.checks.selection import CHECKS, Subject
from torc_migrations.cli.verbs.check import NAMES
from torc_migrations.errors import NotSupported


def names(report: CheckReport) -> list[str]:
    """Return the names of the checks that a report has."""
    return [result.check for result in report]


def test_all_run_or_those_that_are_named(tmp_path: Path) -> None:
    """In one order, whatever the order of the names; the command has the same names."""
    migrations = write_files(tmp_path, PAIRS)

    assert names(check(source=migrations)) == list(CHECKS) == list(NAMES)
    assert names(check("lint", "lock", source=migrations)) == ["lock", "lint"]


def test_what_a_kind_of_database_does_not_have_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unless it is named: then it is an error."""

    def lacking(_: Subject) -> CheckResult:
        raise NotSupported("app", "a comparison of schemas works with SQLite only")

    monkeypatch.setitem(CHECKS, "drift", lacking)
    migrations = write_files(tmp_path, PAIRS)

    report = check(source=migrations)
    assert [each.skipped for each in report if each.check == "drift"] == [
        "app: a comparison of schemas works with SQLite only"
    ]
    with pytest.raises(NotSupported):
        check("drift", source=migrations)
