"""The report about a database on a server: from a rehearsal, with the locks of each statement on PostgreSQL."""

from __future__ import annotations

from pathlib import Path

from shell import write_files

from torc_migrations import status, upgrade
from torc_migrations.reports import ChangeReport, as_html, as_markdown, make_report

SCRIPTS = {
    "1_shop.sql": "CREATE TABLE book (id INT PRIMARY KEY, title TEXT);\nINSERT INTO book VALUES (1, 'x'), (2, 'y');",
    "2_change.sql": "ALTER TABLE book ADD COLUMN pages INT;\nDELETE FROM book WHERE id = 2;\nCREATE TABLE page (x INT)",
}


def report_of(url: str, tmp_path: Path) -> tuple[ChangeReport, str, str]:
    """Return the report about the second script, as values, as HTML and as Markdown; the database stays as it is."""
    source = write_files(tmp_path, SCRIPTS)
    upgrade(url, source, target=1)
    before = status(url, source)

    report = make_report(url, source)

    assert status(url, source) == before
    assert [(each.version, each.outcome) for each in report.migrations] == [(2, "ran")]
    assert {(each.name, each.kind) for each in report.tables} == {("book", "changed"), ("page", "added")}
    return report, as_html(report), as_markdown(report)


def test_on_postgresql_it_has_rows_and_locks(postgresql_database, tmp_path: Path) -> None:
    """Of a copy, or of a transaction that is rolled back; what cannot be seen there is a note in it."""
    report, page, markdown = report_of(postgresql_database.url, tmp_path)

    assert {each.table: (each.before, each.after) for each in report.rows} == {"book": (2, 1), "page": (None, 0)}
    assert "book (AccessExclusiveLock)" in page
    assert "book (AccessExclusiveLock)" in markdown
    assert "no other process can write" not in page + markdown
    assert report.where in page


def test_on_mariadb_it_says_that_the_copy_has_no_rows(mariadb, tmp_path: Path) -> None:
    """A schema is copied there; times and rows of it would mislead."""
    report, page, markdown = report_of(mariadb.url, tmp_path)

    assert report.rows == ()
    assert not report.on_copy
    assert report.notes
    assert all(note in page for note in report.notes[:1])
    assert "copy of the schema" in markdown


def test_a_script_that_fails_on_a_server_is_in_the_report(postgresql_database, tmp_path: Path) -> None:
    """With the server's words."""
    source = write_files(tmp_path, {"1_a.sql": "CREATE TABLE a (x INT);", "2_b.sql": "SELECT * FROM absent;"})

    report = make_report(postgresql_database.url, source)

    assert [each.outcome for each in report.migrations] == ["not run", "failed"]
    assert report.failure is not None
    assert "absent" in report.failure
    assert "A script fails." in as_html(report)
