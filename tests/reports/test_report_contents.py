"""What a report says: what is pending, the findings, rows, schema and query plans, from one run on a copy."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from reports.library import LIBRARY, library
from shell import SQL, everything_in, write_files

from torc_migrations import upgrade
from torc_migrations.checks import check
from torc_migrations.errors import BadOption, SourceError
from torc_migrations.reports import ChangeReport, as_html, as_markdown, make_report


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> ChangeReport:
    """The report about three migrations of a library with rows."""
    directory = tmp_path_factory.mktemp("library")
    database, source = library(directory)
    return make_report(database, source, queries=directory / "queries.sql")


def test_it_lists_what_is_pending_with_the_time_of_each_statement(report: ChangeReport) -> None:
    """The first migration is installed, and is not in it."""
    assert [(each.version, each.outcome, each.has_down) for each in report.migrations] == [
        (2, "ran", True),
        (3, "ran", False),
        (4, "ran", True),
    ]
    assert [len(each.statements) for each in report.migrations] == [3, 7, 4]
    assert all(0 < sum(s.elapsed_ns for s in each.statements) <= each.elapsed_ns for each in report.migrations)
    assert report.on_copy


def test_it_has_the_findings_of_check(tmp_path: Path) -> None:
    """All of them, with the reason of what was not run."""
    database, source = library(tmp_path)

    found = make_report(database, source).checks
    wanted = check(database=database, source=source)

    assert [each.findings for each in found] == [each.findings for each in wanted]
    assert [each.skipped is None for each in found] == [each.skipped is None for each in wanted]
    assert {each.rule for each in found.findings} >= {"loses-data", "no-down", "down-does-not-undo"}


def test_rows_are_those_before_and_after(report: ChangeReport) -> None:
    """A table that is made again keeps its name, one that is renamed has both."""
    rows = {each.table: (each.before, each.after, each.now) for each in report.rows}

    assert rows == {
        "author": (2, 2, None),
        "book": (3, 2, None),
        "loan": (4, 3, None),
        "old_loan": (2, None, None),
        "setting": (1, 1, "preference"),
        "reservation": (None, 0, None),
    }
    assert {each.table for each in report.changed_rows} == {"book", "loan", "old_loan"}
    assert {each.table for each in report.unchanged_rows} == {"author", "setting"}


def test_a_check_without_what_it_needs_says_so(tmp_path: Path) -> None:
    """In the words of `check`."""
    report = make_report(None, write_files(tmp_path, {"1_first.sql": "CREATE TABLE book (id INTEGER PRIMARY KEY);"}))

    skipped = {each.check: each.skipped for each in report.checks}
    assert skipped["drift"] == "no database is named"
    assert skipped["queries"] == "no file with queries is named; use --queries FILE"


def test_the_schema_is_compared_across_all_migrations(report: ChangeReport) -> None:
    """With renamed tables and columns followed, and keys as the edges of the diagram."""
    tables = {each.name: each for each in report.tables}

    assert {name: each.kind for name, each in tables.items()} == {
        "author": "changed",
        "book": "changed",
        "loan": "unchanged",
        "old_loan": "dropped",
        "preference": "changed",
        "reservation": "added",
    }
    assert [(each.name, each.kind, each.was) for each in tables["author"].columns] == [
        ("full_name", "changed", "name"),
        ("email", "added", None),
    ]
    assert [(each.name, each.kind) for each in tables["book"].columns] == [("title", "changed"), ("isbn", "dropped")]
    assert tables["preference"].was == "setting"
    assert tables["reservation"].parents == ("book",)
    assert {(each.what, each.name, each.kind) for each in report.objects} == {
        ("index", "idx_loan_reader", "dropped"),
        ("index", "idx_book_author", "added"),
        ("view", "open_loan", "changed"),
    }


def test_query_plans_before_and_after(report: ChangeReport) -> None:
    """Of expectations and of the file; what reads more, less, works no more, or works for the first time."""
    plans = {each.name: each for each in report.plans}

    assert plans["loans of a reader"].more_scans == 1
    assert plans["loans of a reader"].version == 4
    assert plans["books of an author"].more_scans == -1
    assert "idx_book_author" in plans["books of an author"].after
    assert not plans["reservations of a book"].had_plan
    (broken,) = (each for each in report.plans if each.had_plan and not each.has_plan)
    assert (broken.name.rpartition("/")[2], broken.version) == ("queries.sql:1", 2)
    assert report.queries == 6
    assert "author by id" not in plans


def test_without_a_database_all_migrations_run_on_an_empty_one() -> None:
    """On the shipped schema: nothing is lost, and its queries work for the first time."""
    report = make_report(source=SQL)

    assert not report.on_copy
    assert [each.outcome for each in report.migrations] == ["ran"] * 8
    assert {each.kind for each in report.tables} == {"added"}
    assert len(report.first_plans) == report.queries == 22
    assert report.errors == ()


def test_with_nothing_pending_it_says_so(tmp_path: Path) -> None:
    """Nothing runs then."""
    source = write_files(tmp_path / "migrations", {"1_a.sql": "CREATE TABLE a (x);"})
    upgrade(tmp_path / "app.db", source)
    report = make_report(tmp_path / "app.db", source)

    assert (report.migrations, report.rows, report.tables) == ((), (), ())
    assert "Nothing is pending" in as_html(report)
    assert "nothing is pending" in as_markdown(report)


def test_a_script_that_fails_is_part_of_the_report(tmp_path: Path) -> None:
    """With what did not run after it."""
    files = {"1_a.sql": "CREATE TABLE a (x);", "2_b.sql": "SELECT * FROM absent;", "3_c.sql": "CREATE TABLE c (x);"}
    report = make_report(source=write_files(tmp_path, files))

    assert [each.outcome for each in report.migrations] == ["ran", "failed", "not run"]
    assert report.failure is not None
    assert "no such table: absent" in report.failure
    assert [each.name for each in report.tables] == ["a"]
    assert "no such table: absent" in as_html(report)
    assert "no such table" in as_markdown(report)


def test_it_changes_nothing(tmp_path: Path) -> None:
    """Neither the database nor a file beside it."""
    database, source = library(tmp_path)
    before = everything_in(tmp_path)

    make_report(database, source, queries=tmp_path / "queries.sql")

    assert everything_in(tmp_path) == before


def test_wrong_arguments_and_files_are_errors(tmp_path: Path) -> None:
    """A report cannot be made of them."""
    source = write_files(tmp_path / "migrations", LIBRARY)
    with pytest.raises(SourceError, match=r"cannot read .*absent\.sql"):
        make_report(source=source, queries=tmp_path / "absent.sql")
    with pytest.raises(SourceError):
        make_report(source=tmp_path / "absent")
    with pytest.raises(BadOption):
        make_report(source=source, group=-1)


def test_the_checks_and_the_report_share_one_run(tmp_path: Path) -> None:
    """A script without a down script runs once, whatever is asked about it."""
    runs: list[int] = []

    def functions(connection: sqlite3.Connection) -> None:
        connection.create_function("noted", 0, lambda: runs.append(1) or 1)

    files = {"1_a.sql": "CREATE TABLE a (x);", "2_b.sql": "INSERT INTO a SELECT noted();"}
    source = write_files(tmp_path / "migrations", files)
    upgrade(tmp_path / "app.db", source, target=1)

    make_report(tmp_path / "app.db", source, functions=functions)

    assert runs == [1]


def test_what_happens_on_the_copy_is_not_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It is in the report; a log that says that a table does not work any more would be about no database."""
    database, source = library(tmp_path)
    (source / "5_break.sql").write_text("DELETE FROM loan; DELETE FROM reservation; DROP TABLE book;")

    report = make_report(database, source)

    assert "breaks-schema" in {each.rule for each in report.errors}
    assert caplog.records == []
