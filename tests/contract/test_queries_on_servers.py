"""`check queries` on a server: which migration breaks a query of the previous release."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from servers import HOW, PostgreSQLUnderTest, find_programs, postgresql
from shell import Torc, write_files

from torc_migrations import Migrator
from torc_migrations.checks import check_queries

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "checks.md"
FIRST = """CREATE TABLE book (
    id INTEGER PRIMARY KEY, title VARCHAR(20), isbn VARCHAR(9), made DATE, old INTEGER NOT NULL
);"""
NEEDED = "ALTER TABLE book ADD COLUMN pages INTEGER NOT NULL{default};"
FILLED = """
CREATE FUNCTION fill() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN NEW.pages := 1; RETURN NEW; END$$;
CREATE TRIGGER fill BEFORE INSERT ON book FOR EACH ROW EXECUTE FUNCTION fill();
"""
# A query, a second migration, and words of the reason why the query is broken; None where it works.
CASES = [
    ("SELECT title FROM book", "ALTER TABLE book DROP COLUMN title;", "title"),
    ("SELECT title FROM book WHERE id = %s", "ALTER TABLE book RENAME COLUMN title TO name;", "title"),
    ("SELECT title FROM book WHERE id = :id", "ALTER TABLE book ADD COLUMN more INTEGER;", None),
    ("SELECT * FROM book", "DROP TABLE book;", "book"),
    ("DELETE FROM book WHERE id = %(id)s", "ALTER TABLE book RENAME TO volume;", "book"),
    ("UPDATE book SET isbn = %s WHERE title = %s", "ALTER TABLE book DROP COLUMN isbn;", "isbn"),
    ("INSERT INTO book (id, old) VALUES (:id, 1)", NEEDED.format(default=" DEFAULT 0"), None),
    ("INSERT INTO book (id, made, old) VALUES (%s, %s, %s)", "ALTER TABLE book ADD COLUMN pages INTEGER;", None),
    ("INSERT INTO book (id, made, old) VALUES (%s, %s, %s)", NEEDED.format(default=""), "pages needs a value"),
    ("INSERT INTO book (id, title, old) VALUES (1, 'a;b?', 2), (2, 'c', 3)", NEEDED.format(default=""), "pages needs"),
    ("INSERT INTO book (id, old, isbn) VALUES (%s, 1, '%%')", "ALTER TABLE book DROP COLUMN made;", None),
    (
        "INSERT INTO book (id, old) VALUES (%s, %s)",
        "ALTER TABLE book DROP COLUMN made; ALTER TABLE book ADD COLUMN pages INTEGER NOT NULL;",
        "pages needs a value",
    ),
    ("INSERT INTO book VALUES (1, 'a', 'b', NULL, 2)", "ALTER TABLE book DROP COLUMN made;", ""),
]
ONLY_POSTGRESQL = [
    ("INSERT INTO book (id, old) SELECT id, old FROM book", NEEDED.format(default=""), "pages needs a value"),
    (
        "WITH new AS (INSERT INTO book (id, old) VALUES ($1, $2) RETURNING id) SELECT id FROM new",
        NEEDED.format(default=""),
        "column book.pages needs a value",
    ),
    ("INSERT INTO book (id, old) VALUES ($1, $2)", "ALTER TABLE book ADD n INT GENERATED ALWAYS AS IDENTITY;", None),
    ("SELECT title FROM book WHERE title = E'it\\'s; ' AND id = $1::int", "CREATE TABLE other (x INT);", None),
    (
        "INSERT INTO book (id, old) VALUES ($1, $2)",
        NEEDED.format(default="") + FILLED,
        None,
    ),
]
ONLY_MARIADB = [
    ("REPLACE INTO `book` (id, old) VALUES (?, ?)", NEEDED.format(default=""), "pages needs a value"),
    ("INSERT INTO book SET id = ?, old = '?'", NEEDED.format(default=""), "pages needs a value"),
]


def look(server: Any, directory: Path, query: str, second: str, reason: str | None) -> None:
    """Check a query, and that there is a finding with a reason, or none."""
    files = {"1_first.sql": FIRST, "2_second.sql": second}
    (directory / "queries.sql").write_text(f"-- saved\n\n{query};\nSELECT 1;\n")
    migrator = Migrator(server.url, write_files(directory / "migrations", files))

    findings = check_queries(migrator, directory / "queries.sql").findings

    if reason is None:
        assert findings == ()
        return
    (finding,) = findings
    assert finding.message.startswith("migration 2 breaks a query of the previous release: ")
    assert reason in finding.message.rpartition(": ")[2]
    assert "torc_scratch" not in finding.message
    assert (finding.rule, finding.version, finding.line) == ("broken-query", 2, 3)


@pytest.mark.parametrize(("query", "second", "reason"), [*CASES, *ONLY_POSTGRESQL])
def test_on_postgresql(postgresql_database: Any, tmp_path: Path, query: str, second: str, reason: str | None) -> None:
    """The finding names the migration, the column, the file and the line."""
    look(postgresql_database, tmp_path, query, second, reason)

    assert postgresql_database.tables() == {}
    assert postgresql_database.execute("SELECT 1 FROM pg_database WHERE datname LIKE 'torc_scratch%'") == []


@pytest.mark.parametrize(("query", "second", "reason"), [*CASES, *ONLY_MARIADB])
def test_on_mariadb(mariadb: Any, tmp_path: Path, query: str, second: str, reason: str | None) -> None:
    """The finding names the migration, the column, the file and the line."""
    look(mariadb, tmp_path, query, second, reason)

    assert mariadb.tables() == {}


def test_the_page_reads_the_queries_that_postgresql_has_recorded(tmp_path: Path) -> None:
    """The statement of the page writes a file of which each query works, and what a migration breaks is found."""
    programs = find_programs()
    if programs is None:
        pytest.skip(f"there is no PostgreSQL server here: {HOW}")
    (statement,) = re.findall(r"```sql\n(SELECT query .*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    migrations = write_files(tmp_path / "migrations", {"1_first.sql": FIRST})
    with postgresql(programs, "shared_preload_libraries=pg_stat_statements") as server:
        database = PostgreSQLUnderTest(server, server.create_database())
        migrator = Migrator(database.url, migrations)
        migrator.upgrade()
        database.execute("CREATE EXTENSION pg_stat_statements", "SELECT pg_stat_statements_reset()")
        database.execute("SET work_mem = '4MB'", "SELECT count(*) FROM _sqlx_migrations")
        database.execute("INSERT INTO book (id, title, old) VALUES (1, 'a; b', 2) -- more", "SELECT isbn FROM book")
        rows = [text for (text,) in database.execute(statement)]
        (tmp_path / "queries.sql").write_text("".join(f"{text}\n" for text in rows))

        assert [text.split()[0] for text in rows] == ["INSERT", "SELECT"]
        assert check_queries(migrator, tmp_path / "queries.sql").findings == ()
        write_files(migrations, {"2_second.sql": "ALTER TABLE book DROP COLUMN isbn;"})
        (finding,) = check_queries(migrator, tmp_path / "queries.sql").findings
        assert finding.details[0].startswith("SELECT isbn")


@pytest.mark.parametrize("kind", ["postgresql_database", "mariadb"])
def test_the_command_checks_them(kind: str, request: pytest.FixtureRequest, tmp_path: Path, torc: Torc) -> None:
    """With exit status 1; a query that has never worked is a warning."""
    server = request.getfixturevalue(kind)
    source = write_files(tmp_path / "m", {"1_a.sql": FIRST, "2_b.sql": "ALTER TABLE book DROP COLUMN title;"})
    (tmp_path / "q.sql").write_text("SELECT title FROM book;\nSELECT 1 FROM elsewhere;\n")

    done = torc("-d", server.url, "-s", str(source), "check", "queries", "--previous", str(tmp_path / "q.sql"))

    assert done.status == 1
    assert "q.sql:1: error: migration 2 breaks a query of the previous release: " in done.out
    assert "q.sql:2: warning: the query has worked on no schema of these migrations: " in done.out
