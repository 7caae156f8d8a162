"""`check lint` on PostgreSQL: what the rules find in scripts that run on a copy of the database."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest
from servers import PostgreSQLUnderTest
from shell import write_files

from torc_migrations import Migrator, errors
from torc_migrations.checks import CheckFinding, check, check_lint
from torc_migrations.checks.linting import rules as linting_rules
from torc_migrations.checks.linting import squawk

FIRST = """
CREATE TABLE shelf (id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, place TEXT NOT NULL);
CREATE TABLE "Book" (id BIGINT PRIMARY KEY, title TEXT, shelf BIGINT REFERENCES shelf (id) ON DELETE CASCADE, old TEXT);
CREATE INDEX idx_shelf ON "Book" (shelf);
CREATE VIEW titles AS SELECT title FROM "Book";
"""
ROWS = (
    "INSERT INTO shelf (place) VALUES ('a'), ('b')",
    """INSERT INTO "Book" VALUES (1, 'x', 1, 'o'), (2, 'y', 2, 'o'), (3, 'z', 1, 'o')""",
)
REBUILD = """
CREATE TABLE new (id BIGINT PRIMARY KEY, title TEXT, shelf BIGINT REFERENCES shelf (id), old TEXT);
INSERT INTO new SELECT * FROM "Book"{where};
DROP VIEW titles;
DROP TABLE "Book";
ALTER TABLE new RENAME TO "Book";
CREATE VIEW titles AS SELECT title FROM "Book";
{index}
"""
INDEX = 'CREATE INDEX idx_more ON "Book" (shelf);'


class Case(NamedTuple):
    """A second migration, and the rules of its findings on a copy with rows; those of errors have a `!`."""

    up: str
    found: tuple[str, ...] = ()
    down: str | None = None


CASES = {
    "a table is dropped": Case('DROP VIEW titles; DROP TABLE "Book";', ("loses-data",)),
    "rows are deleted": Case('DELETE FROM "Book" WHERE id = 1;', ("loses-data",)),
    "rows are truncated": Case('TRUNCATE "Book";', ("loses-data",)),
    "rows go by a cascade": Case("DELETE FROM shelf WHERE id = 1;", ("loses-data", "loses-data!")),
    "a column is dropped": Case('ALTER TABLE "Book" DROP COLUMN old;', ("loses-data",)),
    "a column is renamed": Case('ALTER TABLE "Book" RENAME COLUMN old TO new;'),
    "a table is renamed": Case('ALTER TABLE "Book" RENAME TO "Volume";'),
    "a rebuild that keeps everything": Case(
        REBUILD.format(where="", index=INDEX).replace("(id),", "(id) ON DELETE CASCADE,")
    ),
    "a rebuild that loses a key's action": Case(REBUILD.format(where="", index=INDEX), ("loses-data!",)),
    "a rebuild that loses the index": Case(
        REBUILD.format(where="", index="").replace("(id),", "(id) ON DELETE CASCADE,"),
        ("loses-data!",),
    ),
    "a rebuild that loses rows": Case(
        REBUILD.format(where=" WHERE id > 1", index=INDEX).replace("(id),", "(id) ON DELETE CASCADE,"),
        ("loses-data!",),
    ),
    "a view that goes with its table": Case('DROP TABLE "Book" CASCADE;', ("breaks-schema!", "loses-data")),
    "a key that goes with its table": Case(
        "DROP TABLE shelf CASCADE;",
        ("breaks-schema!", "loses-data"),
    ),
    "a key that goes with its own column": Case('ALTER TABLE "Book" DROP COLUMN shelf;', ("loses-data",)),
    "a new column without a default": Case(
        'DELETE FROM "Book"; ALTER TABLE "Book" ADD COLUMN pages INT NOT NULL;',
        ("loses-data", "not-null-without-default!"),
    ),
    "a new column that is filled": Case(
        'ALTER TABLE "Book" ADD COLUMN pages INT; UPDATE "Book" SET pages = 1;\n'
        'ALTER TABLE "Book" ALTER COLUMN pages SET NOT NULL;',
        ("not-null-without-default",),
    ),
    "a column that is NOT NULL now": Case(
        'ALTER TABLE "Book" ALTER COLUMN title SET NOT NULL;', ("not-null-without-default",)
    ),
    "a new column with a default": Case('ALTER TABLE "Book" ADD COLUMN pages INT NOT NULL DEFAULT 0;'),
    "a new column that counts by itself": Case('ALTER TABLE "Book" ADD COLUMN n BIGINT GENERATED ALWAYS AS IDENTITY;'),
    "a key without an index": Case(
        'CREATE TABLE page (id INT PRIMARY KEY, book BIGINT REFERENCES "Book" (id));', ("foreign-key-without-index",)
    ),
    "a key with an index": Case(
        'CREATE TABLE page (id INT PRIMARY KEY, book BIGINT REFERENCES "Book" (id)); CREATE INDEX i ON page (book, id);'
    ),
    "a key with a partial index": Case(
        'CREATE TABLE page (id INT PRIMARY KEY, book BIGINT REFERENCES "Book" (id));\n'
        "CREATE INDEX i ON page (book) WHERE id > 5;",
        ("foreign-key-without-index",),
    ),
    "a table in another schema": Case(
        'CREATE SCHEMA app; CREATE TABLE app."Page" (id INT PRIMARY KEY, book BIGINT REFERENCES "Book" (id));',
        ("foreign-key-without-index",),
    ),
    "a script that fails": Case("SELECT * FROM absent;", ("fails!",)),
    "a script for the whole server": Case("CREATE ROLE somebody;", ("fails!",)),
    "a down script that leaves a table": Case(
        "CREATE TABLE a (x INT); CREATE TABLE b (x INT);", ("down-does-not-undo!",) * 2, "DROP TABLE a;"
    ),
    "a down script that is right": Case("CREATE TABLE a (x INT);", (), "DROP TABLE a;"),
    "an allowed rule": Case('-- torc: allow loses-data, because nobody reads it\nDELETE FROM "Book";'),
    "an allowed rule without a reason": Case(
        '-- torc: allow loses-data\nDELETE FROM "Book";', ("bad-allowance!", "loses-data")
    ),
}


@pytest.fixture(autouse=True)
def _without_squawk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its findings have their own tests, in `test_squawk.py`."""
    monkeypatch.setattr(squawk, "_PACKAGE", "a-package-that-nobody-has")


def with_rows(database: PostgreSQLUnderTest, directory: Path, case: Case) -> Migrator:
    """Return a database with the first migration and rows, and a source with both."""
    files = {"1_first.sql": FIRST, "2_second.sql": case.up}
    down = {} if case.down is None else {"2_second.rollback.sql": case.down}
    migrator = Migrator(database.url, write_files(directory / "migrations", {**files, **down}))
    migrator.upgrade(1)
    database.execute(*ROWS)
    return migrator


def found(findings: tuple[CheckFinding, ...]) -> tuple[str, ...]:
    """Return the rules of findings; those of errors with a `!`."""
    return tuple(sorted(each.rule + ("!" if each.level == "error" else "") for each in findings))


CASCADES = {
    "a view of the table": (
        'SELECT 1;\nSELECT 2;\nDROP TABLE "Book" CASCADE;\nCREATE TABLE "Book" (id INT);',
        "view titles",
        3,
    ),
    "a view of a view": ('CREATE TABLE a (x INT);\nDROP TABLE "Book" CASCADE;\nSELECT 1;', "of_titles", 2),
    "a key": ("SELECT 1;\nDROP TABLE shelf CASCADE;\nCREATE TABLE shelf (id INT);", "Book_shelf_fkey", 2),
    "one of two tables": (
        'SELECT 1;\nDROP TABLE "Book"\nCASCADE;\nDROP TABLE shelf;\nSELECT 2;',
        "view titles",
        2,
    ),
    "a column": ('SELECT 1;\nALTER TABLE "Book" DROP COLUMN title CASCADE;\nSELECT 2;', "view titles", 2),
}


@pytest.mark.parametrize("name", CASCADES)
def test_what_goes_by_a_cascade_is_found_at_its_drop(
    postgresql_database: PostgreSQLUnderTest, tmp_path: Path, name: str
) -> None:
    """The finding has the line of the statement that drops what a view or a key needs."""
    up, gone, line = CASCADES[name]
    migrator = with_rows(postgresql_database, tmp_path, Case(up))
    postgresql_database.execute("CREATE VIEW of_titles AS SELECT title FROM titles")

    findings = [each for each in check_lint(migrator).findings if each.rule == "breaks-schema"]

    assert [each.line for each in findings if gone in each.message] == [line], findings


@pytest.mark.parametrize("name", CASES)
def test_each_rule_finds_the_wrong_way_and_not_the_right_one(
    postgresql_database: PostgreSQLUnderTest, tmp_path: Path, name: str
) -> None:
    """On a copy of a database with rows, which is not changed."""
    migrator = with_rows(postgresql_database, tmp_path, CASES[name])
    before = postgresql_database.tables(), postgresql_database.execute('SELECT * FROM "Book"')

    result = check_lint(migrator)

    assert found(result.findings) == CASES[name].found, result.findings
    assert (postgresql_database.tables(), postgresql_database.execute('SELECT * FROM "Book"')) == before


def test_locks_that_keep_others_waiting_are_found(
    postgresql_database: PostgreSQLUnderTest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With their mode, the rows of the table, and the statement that takes the lock; not those on an empty table."""
    monkeypatch.setattr(linting_rules, "_LONG_NS", 0)
    up = (
        "CREATE TABLE none (x INT);\n"
        "LOCK TABLE shelf IN SHARE ROW EXCLUSIVE MODE;\n"
        "UPDATE shelf SET place = 'c';\n"
        'ALTER TABLE "Book" ADD COLUMN pages INT;\n'
        'ALTER TABLE "Book" RENAME TO "Volume";\n'
    )

    findings = check_lint(with_rows(postgresql_database, tmp_path, Case(up))).findings

    assert [(each.rule, each.line, each.level) for each in findings] == [
        ("holds-writers-long", 2, "warning"),
        ("holds-writers-long", 4, "warning"),
    ]
    assert findings[0].message.startswith(
        "ShareRowExclusiveLock on table shelf, with 2 rows, keeps writers waiting for "
    )
    assert findings[1].message.startswith(
        "AccessExclusiveLock on table Book, with 3 rows, keeps readers and writers waiting for "
    )
    assert str(findings[0].path).endswith("2_second.sql")


def test_a_short_lock_is_no_finding(postgresql_database: PostgreSQLUnderTest, tmp_path: Path) -> None:
    """Each ALTER TABLE takes one."""
    migrator = with_rows(postgresql_database, tmp_path, Case('ALTER TABLE "Book" ADD COLUMN pages INT;'))

    assert check_lint(migrator).findings == ()


def test_a_table_that_is_rewritten_is_found(
    postgresql_database: PostgreSQLUnderTest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where it is large, with the statement; a change that leaves the rows as they are is not found."""
    up = 'ALTER TABLE "Book" ALTER COLUMN old TYPE VARCHAR(9);\n\nALTER TABLE "Book" ALTER COLUMN id TYPE NUMERIC;\n'
    migrator = with_rows(postgresql_database, tmp_path, Case(up))
    postgresql_database.execute("CREATE VIEW of_titles AS SELECT title FROM titles")
    assert check_lint(migrator).findings == ()
    monkeypatch.setattr(linting_rules, "_MANY_ROWS", 3)

    (first, second) = check_lint(migrator).findings

    assert (first.rule, first.line, first.message) == (
        "rewrites-table",
        1,
        "the statement writes table Book anew, 3 rows",
    )
    assert (second.rule, second.line) == ("rewrites-table", 3)


def test_on_an_empty_database_a_rewritten_table_is_found_too(
    postgresql_database: PostgreSQLUnderTest, tmp_path: Path
) -> None:
    """It is not known how many rows it has elsewhere."""
    files = {"1_first.sql": FIRST, "2_second.sql": 'ALTER TABLE "Book" ALTER COLUMN id TYPE NUMERIC;'}
    migrator = Migrator(postgresql_database.url, write_files(tmp_path, files))

    (found_one,) = check_lint(migrator).findings

    assert (found_one.rule, found_one.version, found_one.message) == (
        "rewrites-table",
        2,
        "the statement writes table Book anew, with all of its rows",
    )
    assert migrator.status().installed == ()


@pytest.mark.parametrize(
    ("up", "found_rules"),
    [
        ("CREATE TABLE page (x INT); INSERT INTO page VALUES (1);", ()),
        ('ALTER TABLE "Book" ADD COLUMN pages INT; INSERT INTO shelf (place) VALUES (1);', ("mixed-schema-and-data",)),
        ('ALTER TABLE "Book" ADD COLUMN pages INT;', ()),
    ],
)
def test_schema_and_rows_in_one_script_are_found_on_request(
    postgresql_database: PostgreSQLUnderTest, tmp_path: Path, up: str, found_rules: tuple[str, ...]
) -> None:
    """Rows that are written into a table of its own are right."""
    migrator = with_rows(postgresql_database, tmp_path, Case(up))
    postgresql_database.execute("CREATE VIEW of_titles AS SELECT title FROM titles")

    assert found(check_lint(migrator, rules=["mixed-schema-and-data"]).findings) == found_rules
    assert check_lint(migrator).findings == ()


def test_no_table_is_locked_for_a_check(postgresql_database: PostgreSQLUnderTest, tmp_path: Path) -> None:
    """Where the application is connected, there is no copy; lint says so, and `check` runs the others."""
    migrator = with_rows(postgresql_database, tmp_path, Case('DELETE FROM "Book";'))

    with postgresql_database.connect(), pytest.raises(errors.NotSupported) as failure:
        check_lint(migrator)
    with postgresql_database.connect():
        results = {each.check: each for each in check(database=migrator.database, source=migrator.source)}

    assert str(failure.value).endswith(
        "check lint runs scripts on a copy, which cannot be made now: 1 other session is connected to it"
    )
    assert "1 other session is connected to it" in str(results["lint"].skipped)
    assert str(failure.value.command_hint).startswith("`rehearse` shows more")


def test_copies_can_be_made_one_after_the_other(postgresql_database: PostgreSQLUnderTest, tmp_path: Path) -> None:
    """A session of ours that has just ended is not in the way of the next."""
    migrator = with_rows(postgresql_database, tmp_path, CASES["a down script that is right"])

    assert [check_lint(migrator).findings for _ in range(10)] == [()] * 10


@pytest.mark.parametrize(
    ("script", "rules"),
    [
        ('ALTER TABLE part DROP COLUMN "Size"', ["loses-data"]),
        ("ALTER TABLE part DROP COLUMN b", ["loses-data"]),
        ("ALTER TABLE part RENAME TO piece; ALTER TABLE piece DROP COLUMN b", ["loses-data"]),
        ("ALTER TABLE whole DROP CONSTRAINT whole_pkey CASCADE", ["breaks-schema"]),
    ],
)
def test_only_keys_of_other_tables_break(
    postgresql_database: PostgreSQLUnderTest, tmp_path: Path, script: str, rules: list[str]
) -> None:
    """PostgreSQL drops a CHECK, and a key of several columns, with any of its own columns, which the script names."""
    first = (
        "CREATE TABLE whole (a INT, b INT, PRIMARY KEY (a, b));\n"
        'CREATE TABLE part (a INT, b INT, "Size" INT CHECK ("Size" > 0), FOREIGN KEY (a, b) REFERENCES whole);\n'
        "CREATE INDEX i ON part (a);\n"
    )
    source = write_files(tmp_path / "migrations", {"1_first.sql": first, "2_second.sql": script})

    found = check_lint(Migrator(postgresql_database.url, source)).findings

    assert sorted({each.rule for each in found if each.version == 2}) == rules
