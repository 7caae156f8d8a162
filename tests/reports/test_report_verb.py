"""The verb `report`: its files, its exit status, and what it refuses."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from checks.git_repository import Repository
from reports.library import library
from shell import Torc, everything_in, outcome_of, write_files


@pytest.fixture
def app(here: Path) -> str:
    """The URL of a database with rows, for which three migrations are pending in ./migrations."""
    library(here)
    return "sqlite:///app.db"


def test_it_writes_a_page_and_markdown(torc: Torc, here: Path, app: str) -> None:
    """With status 0 although the checks have found errors; `check` ends with 1 for the same."""
    done = torc("-d", app, "report", "--html", "report.html", "--markdown", "report.md", "--queries", "queries.sql")

    assert (done.status, done.out) == (0, "")
    assert done.err == "note: report.html was written\nnote: report.md was written\n"
    assert (here / "report.html").read_text().startswith("<!DOCTYPE html>")
    assert "3 migrations pending" in (here / "report.md").read_text()
    assert torc("-d", app, "check").status == 1


def test_markdown_goes_to_standard_output(torc: Torc, app: str) -> None:
    """Where no file is named."""
    done = torc("-d", app, "report", "--markdown")

    assert done.status == 0
    assert done.out.startswith("## Migration report: 3 migrations pending")


def test_json_names_the_files(torc: Torc, app: str) -> None:
    """As `check lock --write` does."""
    assert outcome_of(torc("-d", app, "report", "--html", "r.html", "--json")) == {"created": ["r.html"]}


def test_nothing_else_is_written(torc: Torc, here: Path, app: str) -> None:
    """The database stays as it is."""
    before = everything_in(here)

    assert torc("-d", app, "report", "--markdown").status == 0
    assert everything_in(here) == before


def test_a_script_that_fails_is_in_the_report(torc: Torc, here: Path) -> None:
    """The report is made; the status stays 0."""
    write_files(here / "migrations", {"1_a.sql": "SELECT * FROM absent;"})

    done = torc("report", "--markdown")
    assert done.status == 0
    assert "no such table" in done.out


@pytest.mark.parametrize(
    ("words", "error"),
    [
        ((), "no file is named"),
        (("--html", "-", "--markdown"), "standard output is named twice"),
        (("--markdown", "--json"), "standard output is named twice"),
        (("--html", "absent/r.html"), "cannot write 'absent/r.html'"),
        (("--html", "r.html", "--queries", "absent.sql"), "cannot read 'absent.sql'"),
    ],
)
def test_what_cannot_be_made_is_an_error(torc: Torc, app: str, words: tuple[str, ...], error: str) -> None:
    """With status 2."""
    done = torc("-d", app, "report", *words)

    assert done.status == 2
    assert error in done.err


@pytest.mark.parametrize("name", ["app.db", "a script", "notes.txt"])
@pytest.mark.parametrize("option", ["--html", "--markdown"])
def test_a_file_that_is_no_report_is_left_as_it_is(torc: Torc, here: Path, app: str, name: str, option: str) -> None:
    """A mistyped name costs nobody the database, a script or notes."""
    (here / "notes.txt").write_text("mine")
    named = name if name != "a script" else str(next((here / "migrations").glob("*.sql")))
    before = everything_in(here)

    done = torc("-d", app, "report", option, named)

    assert (done.status, "exists, and is not a report; it is left as it is" in done.err) == (2, True)
    assert everything_in(here) == before


@pytest.mark.parametrize("option", ["--html", "--markdown"])
def test_a_report_and_an_empty_file_are_overwritten(torc: Torc, here: Path, app: str, option: str) -> None:
    """As the summary of a job in GitHub Actions, which is empty at first."""
    (here / "report").touch()

    assert [torc("-d", app, "report", option, "report").status for _ in range(2)] == [0, 0]
    assert "Migration report" in (here / "report").read_text()


def test_with_a_base_it_is_about_the_branch(torc: Torc, here: Path) -> None:
    """What `main` has already runs before, and is neither listed nor compared."""
    first = {"1_create_book.sql": "CREATE TABLE book (id INTEGER PRIMARY KEY);\n"}
    mine = {"2_create_page.sql": "CREATE TABLE page (id INTEGER PRIMARY KEY);\n"}
    Repository(here).branches(torc, first, mine, {"README.md": ""}, lock=False)

    done = torc("report", "--base", "main", "--markdown")

    assert done.status == 0
    assert "1 migration pending" in done.out
    assert "added: 1 table <code>page</code>" in done.out
    assert "<code>book</code>" not in done.out


def test_without_jinja_it_names_the_extra(torc: Torc, here: Path, app: str) -> None:
    """Nothing else needs it."""
    (here / "jinja2.py").write_text("raise ImportError('absent')")

    done = torc("-d", app, "report", "--markdown", env={"PYTHONPATH": str(here)})
    assert done.status == 2
    assert done.err == (
        "error: a report needs the library jinja2, which cannot be imported\n"
        'hint: pip install "torc-migrations[report]"\n'
    )
    assert torc("-d", app, "status", env={"PYTHONPATH": str(here)}).status == 0


def test_no_other_verb_loads_the_templates() -> None:
    """Importing them takes longer than an upgrade with nothing to do."""
    code = "import sys, torc_migrations.cli.command, torc_migrations.checks; print('jinja2' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
