"""Which checks run, and in which order."""

from __future__ import annotations

from pathlib import Path

import pytest
from shell import PAIRS, Torc, write_files

from torc_migrations.checks import CheckReport, CheckResult, check
from torc_migrations.checks.selection import CHECKS, Subject
from torc_migrations.cli.verbs.check import NAMES
from torc_migrations.errors import BadOptionValue, NotSupported


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


@pytest.mark.parametrize("name", ["drift", "queries"])
def test_what_is_named_and_cannot_run_is_an_error(torc: Torc, migrations: Path, name: str) -> None:
    """A pipeline that has lost the name of its database is not green; without names the check is only not run."""
    done = torc("check", name)

    assert (done.status, done.out) == (2, "")
    assert f"error: the check {name} needs a " in done.err
    assert "hint: name it with -" in done.err
    assert torc("check").status == 0
    with pytest.raises(BadOptionValue):
        check(name, source=migrations)


def test_drift_of_a_database_that_does_not_exist_names_it(torc: Torc, migrations: Path) -> None:
    """Its name may be mistyped."""
    done = torc("-d", "ap.db", "check", "drift")

    assert done.out == "drift: not run, because there is no database 'ap.db' yet\n"


def test_a_mistyped_rule_names_those_that_run_on_request(torc: Torc, migrations: Path) -> None:
    """The others run anyway."""
    done = torc("check", "lint", "--rule", "lose-data")

    assert done.status == 2
    assert "error: no rule 'lose-data' runs on request" in done.err
    assert "hint: --rule takes mixed-schema-and-data; all other rules run without it" in done.err


def test_paths_are_relative_to_the_repository_in_github_actions(torc: Torc, here: Path, migrations: Path) -> None:
    """Where the command runs in a directory of it, an annotation has the path that GitHub knows."""
    (migrations / "migrations.lock").write_text("")
    env: dict[str, str | None] = {"GITHUB_WORKSPACE": str(here.parent)}

    path = f"{here.name}/migrations/migrations.lock"
    assert f"file={path}," in torc("check", "--format", "github", env=env).out
    assert f'"uri": "{path}"' in torc("check", "--format", "sarif", env=env).out


@pytest.mark.parametrize("name", ["..odd", "plain"])
def test_a_path_below_the_repository_is_relative_to_it(torc: Torc, here: Path, name: str) -> None:
    """Also where its directory begins with dots, or the repository is named by a link."""
    write_files(here / "repository" / name, {"1_a.sql": "", "migrations.lock": ""})
    (here / "link").symlink_to("repository")
    written = str(here / "repository" / name)

    for root in ("repository", "link"):
        done = torc("-s", written, "check", "--format", "github", env={"GITHUB_WORKSPACE": f"{here}/{root}"})
        assert f"file={name}/migrations.lock," in done.out


def test_sarif_has_each_byte_of_a_path(torc: Torc, migrations: Path) -> None:
    """One that is no UTF-8 too, which a file name can have."""
    odd = migrations.with_name("odd\udcff:%")
    migrations.rename(odd)
    (odd / "migrations.lock").write_text("")

    done = torc("-s", str(odd), "check", "lock", "--format", "sarif")

    assert (done.status, done.err) == (1, "")
    assert '"uri": "odd%FF%3A%25/migrations.lock"' in done.out
