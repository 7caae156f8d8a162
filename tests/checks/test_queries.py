"""`check queries`: which migration breaks a query of the previous release."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from random import Random

import pytest
from checks.test_lint import Model
from shell import Torc, write_files

from torc_migrations import Migrator
from torc_migrations.checks import check_queries, save_queries
from torc_migrations.errors import SourceError
from torc_migrations.watch import Watch

FIRST = "CREATE TABLE book (id INTEGER PRIMARY KEY, title TEXT, isbn TEXT);"
# A query, a second migration, and the reason why the query is broken; None where it works.
CASES = [
    ("SELECT title FROM book", "ALTER TABLE book DROP COLUMN title;", "no such column: title"),
    ("SELECT title FROM book WHERE id = ?", "ALTER TABLE book RENAME COLUMN title TO name;", "no such column: title"),
    ("SELECT title FROM book WHERE id = :id AND isbn = :isbn", "ALTER TABLE book ADD COLUMN more;", None),
    ("SELECT * FROM book", "DROP TABLE book;", "no such table: book"),
    ("DELETE FROM book WHERE id = ?", "ALTER TABLE book RENAME TO volume;", "no such table: book"),
    ("INSERT INTO book (title) VALUES (?)", "ALTER TABLE book ADD COLUMN pages NOT NULL DEFAULT 0;", None),
    (
        "INSERT INTO book (title) VALUES (?)",
        "ALTER TABLE book ADD COLUMN pages INTEGER NOT NULL;",
        "column book.pages needs a value",
    ),
    (
        "INSERT INTO book VALUES (:id, :title, :isbn)",
        "ALTER TABLE book ADD COLUMN pages;",
        "table book has 4 columns but 3 values were supplied",
    ),
    ("INSERT INTO book (id, title) VALUES (1, 'a;b')", "CREATE UNIQUE INDEX i ON book (title);", None),
]


def migrator_of(directory: Path, *scripts: str) -> Migrator:
    """Return a source with these up scripts, and no database."""
    files = {f"{number}_step.sql": text for number, text in enumerate(scripts, 1)}
    return Migrator(":memory:", write_files(directory / "migrations", files))


@pytest.mark.parametrize(("query", "second", "reason"), CASES)
def test_a_query_is_broken_by_the_migration_that_breaks_it(
    tmp_path: Path, query: str, second: str, reason: str | None
) -> None:
    """The finding names the migration, the reason, the file and the line."""
    (tmp_path / "queries.sql").write_text(f"-- saved\n\n{query};\nSELECT 1;\n")
    findings = check_queries(migrator_of(tmp_path, FIRST, second), tmp_path / "queries.sql").findings

    if reason is None:
        assert findings == ()
        return
    (finding,) = findings
    assert finding.message == f"migration 2 breaks a query of the previous release: {reason}"
    assert (finding.rule, finding.version, finding.line) == ("broken-query", 2, 3)


def test_a_query_that_works_again_is_not_broken(tmp_path: Path) -> None:
    """What counts is the schema after the last migration."""
    scripts = ("ALTER TABLE book RENAME TO other;", "ALTER TABLE other RENAME TO book;")
    (tmp_path / "queries.sql").write_text("SELECT title FROM book;")

    assert check_queries(migrator_of(tmp_path, FIRST, *scripts), tmp_path / "queries.sql").findings == ()


def test_a_query_of_another_schema_is_a_warning(tmp_path: Path) -> None:
    """It has never worked, so that no migration has broken it."""
    (tmp_path / "queries.sql").write_text("SELECT 1 FROM elsewhere;")

    result = check_queries(migrator_of(tmp_path, FIRST), tmp_path / "queries.sql")
    assert result.ok
    assert [finding.rule for finding in result.findings] == ["unknown-query"]


def test_recorded_queries_are_saved_in_one_order(tmp_path: Path) -> None:
    """Each text once, without what has no plan; the file can be checked."""
    watch = Watch()
    with closing(sqlite3.connect(tmp_path / "app.db", factory=watch.factory())) as connection:
        connection.execute(FIRST)
        for number in range(3):
            connection.execute("INSERT INTO book (id, title) VALUES (?, 'a') -- new", (number,))
        connection.execute("SELECT title FROM book").fetchall()
        connection.commit()

    assert save_queries(watch.queries, tmp_path / "queries.sql") == 2
    lines = (tmp_path / "queries.sql").read_text().splitlines()[2:]
    assert lines == ["INSERT INTO book (id, title) VALUES (?, 'a') -- new", ";", "", "SELECT title FROM book;"]
    assert check_queries(migrator_of(tmp_path, FIRST), tmp_path / "queries.sql").findings == ()


def test_the_command_fails_for_a_broken_query(torc: Torc, here: Path) -> None:
    """Without a file it is not run."""
    write_files(here / "migrations", {"1_a.sql": FIRST, "2_b.sql": "DROP TABLE book;"})
    (here / "queries.sql").write_text("SELECT id FROM book;")

    assert "queries: not run, because no file with queries is named" in torc("check").out
    done = torc("check", "queries", "--previous", "queries.sql")
    assert done.status == 1
    assert "[broken-query]" in done.out
    assert torc("check", "queries", "--previous", "absent.sql").status == SourceError.exit_code


@pytest.mark.parametrize("group", range(10))
def test_findings_are_those_of_running_the_queries(tmp_path: Path, group: int) -> None:
    """500 random scripts: a query is broken where it runs before the script, and fails after it."""
    broken = 0
    for seed in range(50 * group, 50 * group + 50):
        model = Model(Random(seed))
        queries = [
            query
            for table, columns in model.columns.items()
            for query in (
                f"SELECT {', '.join(columns)} FROM {table}",
                f"UPDATE {table} SET a = 1 WHERE id = 0",
                f"INSERT INTO {table} (a) VALUES (1)",
                f"DELETE FROM {table} WHERE {list(columns)[-1]} = 'x'",
            )
        ]
        script = "".join(model.step() for _ in range(model.random.randint(1, 5))) or "SELECT 1;"
        directory = tmp_path / str(seed)
        migrator = migrator_of(directory, model.first, script)
        (directory / "queries.sql").write_text("".join(f"{query};\n" for query in queries))

        findings = check_queries(migrator, directory / "queries.sql").findings

        expected = {query for query in queries if not _runs(query, model.first + script)}
        broken += len(expected)
        assert {finding.details[0].rstrip(";") for finding in findings} == expected, (seed, script)
    assert broken > 20


def _runs(query: str, script: str) -> bool:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        connection.executescript(script)
        try:
            connection.execute(query).fetchall()
        except sqlite3.OperationalError:
            return False
        return True
