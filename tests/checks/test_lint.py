"""`check lint`: each rule with the wrong way and the right way, and losses against a comparison of everything."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from random import Random
from typing import NamedTuple

import pytest
from checks.random_changes import Model
from shell import SQL, Torc, everything_in, outcome_of, write_files

from torc_migrations import Migrator
from torc_migrations.checks import CheckFinding, check_lint
from torc_migrations.checks.linting import rules as linting_rules
from torc_migrations.errors import BadOptionValue

FIRST = """
CREATE TABLE shelf (id INTEGER PRIMARY KEY AUTOINCREMENT, place TEXT NOT NULL);
CREATE TABLE book (id INTEGER PRIMARY KEY, title TEXT, shelf INTEGER REFERENCES shelf (id) ON DELETE CASCADE, old TEXT);
CREATE INDEX idx_shelf ON book (shelf);
CREATE TRIGGER keep AFTER UPDATE ON shelf BEGIN SELECT 1; END;
CREATE VIEW titles AS SELECT title FROM book;
"""
ROWS = """INSERT INTO shelf (place) VALUES ('a'), ('b');
INSERT INTO book (title, shelf) VALUES ('x', 1), ('y', 2), ('z', 1);
"""


class Case(NamedTuple):
    """A second migration, and the rules of its findings on a copy with rows; those of errors have a `!`."""

    up: str
    found: tuple[str, ...] = ()
    down: str | None = None


REBUILD = """
CREATE TABLE new_shelf (id INTEGER PRIMARY KEY AUTOINCREMENT, place TEXT NOT NULL, height INTEGER);
INSERT INTO new_shelf (id, place) SELECT id, place FROM shelf{where};
DROP TABLE shelf;
ALTER TABLE new_shelf RENAME TO shelf;
{trigger}
"""
REBUILD_BOOK = """
DROP VIEW IF EXISTS titles;
CREATE TABLE new_book (id INTEGER PRIMARY KEY, title TEXT, shelf INTEGER REFERENCES shelf (id), old TEXT DEFAULT '');
INSERT INTO new_book ({names}) SELECT {names} FROM book;
DROP TABLE book;
ALTER TABLE new_book RENAME TO book;
CREATE INDEX idx_shelf ON book (shelf);
"""
TRIGGER = "CREATE TRIGGER keep AFTER UPDATE ON shelf BEGIN SELECT 1; END;"
CASES = {
    "a table is dropped": Case("DROP VIEW titles; DROP TABLE book;", ("loses-data",)),
    "rows are deleted": Case("DELETE FROM book WHERE id = 1;", ("loses-data",)),
    "rows go by a cascade": Case("-- foreign-keys: on\nDELETE FROM shelf WHERE id = 1;", ("loses-data", "loses-data!")),
    "a column is dropped": Case("ALTER TABLE book DROP COLUMN old;", ("loses-data",)),
    "a column is renamed": Case("ALTER TABLE book RENAME COLUMN old TO new;"),
    "a table is renamed": Case("ALTER TABLE book RENAME TO volume;"),
    "a rebuild that keeps everything": Case(REBUILD.format(where="", trigger=TRIGGER)),
    "a rebuild that loses the trigger": Case(REBUILD.format(where="", trigger=""), ("loses-data!",)),
    "a rebuild that leaves a column out": Case(REBUILD_BOOK.format(names="id, title, shelf"), ("loses-data!",)),
    "a rebuild that copies the columns of a renamed table": Case(
        "ALTER TABLE book RENAME TO old_book;\n"
        + REBUILD_BOOK.replace(" ({names})", "")
        .format(names="*")
        .replace("FROM book", "FROM old_book")
        .replace("DROP TABLE book", "DROP TABLE old_book")
    ),
    "a rebuild that gives an index another name": Case(
        REBUILD_BOOK.format(names="id, title, shelf, old").replace(
            "INDEX idx_shelf ON book (shelf)", "INDEX idx_book_shelf_title ON book (shelf, title)"
        )
    ),
    "a rebuild that makes an index partial": Case(
        REBUILD_BOOK.format(names="id, title, shelf, old").replace(
            "INDEX idx_shelf ON book (shelf)", "INDEX idx_some_shelf ON book (shelf) WHERE shelf > 1"
        ),
        ("loses-data!",),
    ),
    "a rebuild that renames a column": Case(
        "DROP VIEW titles;\nCREATE TABLE n (id INTEGER PRIMARY KEY, name TEXT, shelf INTEGER, old TEXT);\n"
        "INSERT INTO n SELECT id, title, shelf, old FROM book;\nDROP TABLE book;\nALTER TABLE n RENAME TO book;\n"
        "CREATE INDEX idx_shelf ON book (shelf);"
    ),
    "a rebuild that only looks at the column that goes": Case(
        "DROP VIEW titles;\nCREATE TABLE n (id INTEGER PRIMARY KEY, title TEXT, shelf INTEGER);\n"
        "INSERT INTO n SELECT id, title, shelf FROM book WHERE old IS NULL;\nDROP TABLE book;\n"
        "ALTER TABLE n RENAME TO book;\nCREATE INDEX idx_shelf ON book (shelf);",
        ("loses-data",),
    ),
    "a rebuild that leaves a column out on the way back": Case(
        "DROP VIEW titles;\nCREATE TABLE kept AS SELECT * FROM book;\nDROP TABLE book;\n"
        "CREATE TABLE book (id INTEGER PRIMARY KEY, title TEXT, shelf INTEGER, old TEXT);\n"
        "INSERT INTO book (id, title, shelf) SELECT id, title, shelf FROM kept;\nDROP TABLE kept;\n"
        "CREATE INDEX idx_shelf ON book (shelf);",
        ("loses-data!",),
    ),
    "the second of two rebuilds leaves a column out": Case(
        REBUILD_BOOK.format(names="id, title, shelf, old") + "CREATE INDEX i ON book (old);\n"
        "DROP INDEX i;" + REBUILD_BOOK.format(names="id, title, shelf"),
        ("loses-data!",),
    ),
    "a rebuild that leaves out what it has copied before": Case(
        "CREATE TABLE kept AS SELECT id, old FROM book;\n" + REBUILD_BOOK.format(names="id, title, shelf")
    ),
    "a rebuild that fills a column anew": Case(
        REBUILD_BOOK.format(names="id, title, shelf").replace(
            "INSERT INTO new_book (id, title, shelf) SELECT id, title, shelf",
            "INSERT INTO new_book (id, title, shelf, old) SELECT id, title, shelf, 'none' AS old",
        )
    ),
    "a column that is NOT NULL after all rows are deleted": Case(
        "DROP VIEW titles; DELETE FROM book; DROP TABLE book;\n"
        "CREATE TABLE book (id INTEGER PRIMARY KEY, title TEXT NOT NULL, shelf INTEGER, old TEXT);\n"
        "CREATE INDEX idx_shelf ON book (shelf);",
        ("loses-data", "not-null-without-default"),
    ),
    "a column that is new and NOT NULL after all rows are deleted": Case(
        "DROP VIEW titles; DELETE FROM book; DROP TABLE book;\n"
        "CREATE TABLE book (id INTEGER PRIMARY KEY, title TEXT, shelf INTEGER, old TEXT, pages INTEGER NOT NULL);\n"
        "CREATE INDEX idx_shelf ON book (shelf);",
        ("loses-data", "not-null-without-default"),
    ),
    "a column that is dropped and added": Case(
        "ALTER TABLE book DROP COLUMN old; ALTER TABLE book ADD COLUMN old TEXT;", ("loses-data",)
    ),
    "a rebuild of a table that was renamed, and is renamed again": Case(
        "ALTER TABLE book RENAME TO old_book;\nCREATE TABLE book (id INTEGER PRIMARY KEY, title TEXT, shelf INTEGER);\n"
        "INSERT INTO book SELECT id, title, shelf FROM old_book;\nDROP VIEW titles;\nDROP TABLE old_book;\n"
        "CREATE INDEX idx_shelf ON book (shelf);\nALTER TABLE book RENAME TO volume;",
        ("loses-data",),
    ),
    "a rebuild that loses rows": Case(
        REBUILD.format(where=" WHERE id > 1", trigger=TRIGGER) + "DELETE FROM book WHERE shelf = 1;",
        ("loses-data", "loses-data!"),
    ),
    "a trigger that is dropped on purpose": Case("DROP TRIGGER keep;"),
    "a view that fails": Case(
        "ALTER TABLE book RENAME TO volume; DROP TABLE volume;", ("breaks-schema!", "loses-data")
    ),
    "a view that is made again": Case("DROP VIEW titles; CREATE VIEW titles AS SELECT id FROM book;"),
    "a new column without a default": Case("ALTER TABLE book ADD COLUMN pages INTEGER NOT NULL;", ("fails!",)),
    "a new column with a default": Case("ALTER TABLE book ADD COLUMN pages INTEGER NOT NULL DEFAULT 0;"),
    "a column that is NOT NULL now": Case(
        "DROP VIEW titles;\n"
        "CREATE TABLE n (id INTEGER PRIMARY KEY, title TEXT NOT NULL, shelf INTEGER REFERENCES shelf (id), old TEXT);\n"
        "INSERT INTO n SELECT * FROM book;\nDROP TABLE book;\nALTER TABLE n RENAME TO book;\n"
        "CREATE INDEX idx_shelf ON book (shelf);",
        ("not-null-without-default",),
    ),
    "a key without an index": Case(
        "CREATE TABLE page (id INTEGER PRIMARY KEY, book INTEGER REFERENCES book (id));", ("foreign-key-without-index",)
    ),
    "a key with an index": Case(
        "CREATE TABLE page (id INTEGER PRIMARY KEY, book INTEGER REFERENCES book (id));\n"
        "CREATE INDEX i ON page (book, id);"
    ),
    "a key that is the primary key": Case("CREATE TABLE page (book INTEGER PRIMARY KEY REFERENCES book (id));"),
    "a key with a partial index": Case(
        "CREATE TABLE page (id INTEGER PRIMARY KEY, book INTEGER REFERENCES book (id));\n"
        "CREATE INDEX i ON page (book) WHERE id > 5;",
        ("foreign-key-without-index",),
    ),
    "a key to what is not unique": Case(
        "CREATE TABLE page (id INTEGER PRIMARY KEY, book INTEGER REFERENCES book (title));\n"
        "CREATE INDEX idx_page ON page (book);",
        ("breaks-schema!",),
    ),
    "a script that fails": Case("SELECT * FROM absent;", ("fails!",)),
    "a script that opens a file": Case("ATTACH 'other.db' AS other;", ("fails!",)),
    "schema and rows": Case("ALTER TABLE book ADD COLUMN pages INTEGER; UPDATE book SET pages = 1;"),
    "a down script that leaves a table": Case(
        "CREATE TABLE a (x); CREATE TABLE b (x);", ("down-does-not-undo!", "down-does-not-undo!"), "DROP TABLE a;"
    ),
    "a down script that fails": Case("CREATE TABLE a (x);", ("down-does-not-undo!",), "DROP TABLE b;"),
    "a down script that is right": Case("CREATE TABLE a (x);", (), "DROP TABLE a;"),
    "an allowed rule": Case("-- torc: allow loses-data, because nobody reads it\nDROP VIEW titles; DROP TABLE book;"),
    "an allowed rule without a reason": Case(
        "-- torc: allow loses-data, because \nDROP VIEW titles; DROP TABLE book;", ("bad-allowance!", "loses-data")
    ),
    "an allowed rule without because": Case("-- torc: allow loses-data\nSELECT 1;", ("bad-allowance!",)),
    "a rule that does not exist": Case("-- torc: allow everything, because I can\nSELECT 1;", ("bad-allowance!",)),
    "a comment in a text": Case("CREATE TABLE a (x DEFAULT '\n-- torc: allow nothing\n');"),
}


def found(findings: tuple[CheckFinding, ...]) -> tuple[str, ...]:
    """Return the rules of findings; those of errors with a `!`."""
    return tuple(sorted(each.rule + ("!" if each.level == "error" else "") for each in findings))


def migrations_of(directory: Path, case: Case) -> Path:
    """Write two migrations."""
    files = {"1_first.sql": FIRST, "2_second.sql": case.up}
    return write_files(directory, files if case.down is None else {**files, "2_second.rollback.sql": case.down})


def with_rows(tmp_path: Path, case: Case) -> Migrator:
    """Return a database with the first migration and rows, and a source with both."""
    migrator = Migrator(tmp_path / "app.db", migrations_of(tmp_path / "migrations", case))
    migrator.upgrade(1)
    with closing(sqlite3.connect(tmp_path / "app.db")) as connection:
        connection.executescript(ROWS)
    return migrator


@pytest.mark.parametrize("name", CASES)
def test_each_rule_finds_the_wrong_way_and_not_the_right_one(tmp_path: Path, name: str) -> None:
    """On a copy of a database with rows, which is not changed."""
    migrator = with_rows(tmp_path, CASES[name])
    before = everything_in(tmp_path)

    result = check_lint(migrator)

    assert found(result.findings) == CASES[name].found
    assert everything_in(tmp_path) == before


@pytest.mark.parametrize(
    ("name", "message", "line"),
    [
        ("rows are deleted", "table book loses 1 of 3 rows, which the script deletes", 1),
        ("a rebuild that loses the trigger", "trigger keep goes with table shelf, which is made again without it", 4),
        ("a column is dropped", "column book.old goes with its values", 1),
        (
            "a rebuild that leaves a column out",
            "the values of book.old go, because the script makes the table again and does not copy them",
            5,
        ),
        (
            "a rebuild of a table that was renamed, and is renamed again",
            "column book.old goes with its values",
            7,
        ),
        ("a key without an index", "the foreign key page (book) has no index", 1),
        (
            "a key to what is not unique",
            (
                "table page does not work, and with it writing to book: its foreign key cannot be used: "
                'foreign key mismatch - "page" referencing "book"'
            ),
            1,
        ),
        (
            "a script that fails",
            "while executing migration 2: no such table: absent; what comes after it was not run",
            1,
        ),
    ],
)
def test_a_finding_says_what_and_where(tmp_path: Path, name: str, message: str, line: int) -> None:
    """A sentence, the file and the line of the statement."""
    (finding,) = check_lint(with_rows(tmp_path, CASES[name])).findings

    assert (finding.message, finding.version) == (message, 2)
    assert finding.path is not None
    assert finding.path.endswith("2_second.sql")
    assert finding.line in (line, line + 1)


@pytest.mark.parametrize(
    ("script", "message", "line"),
    [
        ("DELETE FROM book WHERE id = 1;\nALTER TABLE book ADD COLUMN pages INTEGER;", "table book loses 1 of 3", 1),
        ("SELECT 1;\nALTER TABLE book DROP COLUMN old;\nCREATE INDEX i ON book (title);", "column book.old goes", 2),
    ],
)
def test_a_loss_is_found_at_the_statement_that_loses(tmp_path: Path, script: str, message: str, line: int) -> None:
    """Not at a later one about the same table."""
    findings = check_lint(with_rows(tmp_path, Case(script))).findings

    assert [each.line for each in findings if each.message.startswith(message)] == [line]


def test_a_violation_that_a_script_leaves_names_its_file(tmp_path: Path) -> None:
    """No statement of it fails, so that there is no line."""
    (finding,) = check_lint(with_rows(tmp_path, Case("UPDATE book SET shelf = 9 WHERE id = 1;"))).findings

    assert (finding.rule, finding.line) == ("fails", None)
    assert finding.path is not None
    assert finding.path.endswith("2_second.sql")


@pytest.mark.parametrize(
    ("old", "new", "is_lost"),
    [
        ("UNIQUE INDEX i ON t (a)", "INDEX j ON t (a)", True),
        ("UNIQUE INDEX i ON t (a)", "UNIQUE INDEX j ON t (a, b)", True),
        ("UNIQUE INDEX i ON t (a)", "UNIQUE INDEX j ON t (a)", False),
        ("INDEX i ON t (a, b)", "INDEX j ON t (a)", True),
        ("INDEX i ON t (a, b)", "INDEX j ON t (a, b, c)", False),
        ("INDEX i ON t (lower(a))", "INDEX j ON t (lower(b))", True),
        ("INDEX i ON t (id)", "INDEX j ON t (c)", False),
    ],
)
def test_an_index_is_not_lost_where_another_one_does_the_same(
    tmp_path: Path, old: str, new: str, *, is_lost: bool
) -> None:
    """It finds the same rows, and forbids the same ones."""
    first = f"CREATE TABLE t (id INTEGER PRIMARY KEY, a, b, c); CREATE {old};"
    second = "CREATE TABLE n (id INTEGER PRIMARY KEY, a, b, c); INSERT INTO n SELECT * FROM t; DROP TABLE t;"
    files = {"1_a.sql": first, "2_b.sql": f"{second} ALTER TABLE n RENAME TO t; CREATE {new};"}
    result = check_lint(Migrator(":memory:", write_files(tmp_path, files)), has_database=False)

    assert found(result.findings) == (("loses-data!",) if is_lost else ())


def test_a_table_that_is_made_again_without_its_rows_is_found_without_rows(tmp_path: Path) -> None:
    """As one that is dropped: nobody knows how many rows it has elsewhere."""
    script = "DROP VIEW titles; DROP TABLE book;\nCREATE TABLE book (id INTEGER PRIMARY KEY, title TEXT);"
    migrator = Migrator(":memory:", migrations_of(tmp_path, Case(script)))

    messages = [each.message for each in check_lint(migrator, has_database=False).findings]

    assert "table book is dropped with its rows, and made again" in messages


@pytest.mark.parametrize("name", ["of", "the price", 'a"b', "it's"])
def test_an_index_goes_with_its_column_whatever_its_name(tmp_path: Path, name: str) -> None:
    """The loss of the column says it; an index that could be there still is one more loss."""
    column = '"' + name.replace('"', '""') + '"'
    files = {
        "1_a.sql": f"CREATE TABLE t (id INTEGER PRIMARY KEY, {column}, b); CREATE INDEX i ON t ({column}, b);",
        "2_b.sql": "CREATE TABLE n (id INTEGER PRIMARY KEY, b); INSERT INTO n SELECT id, b FROM t; DROP TABLE t;"
        "ALTER TABLE n RENAME TO t;",
    }
    result = check_lint(Migrator(":memory:", write_files(tmp_path, files)), has_database=False)

    assert [each.message for each in result.findings] == [f"column t.{name} goes with its values"]


def test_a_column_that_a_rebuild_leaves_out_is_found_without_rows(tmp_path: Path) -> None:
    """The statements say so, and not the values."""
    migrator = Migrator(":memory:", migrations_of(tmp_path, CASES["a rebuild that leaves a column out"]))

    assert found(check_lint(migrator, has_database=False).findings) == ("loses-data!",)


def test_without_a_database_all_migrations_run_on_an_empty_one(tmp_path: Path) -> None:
    """Tables and columns that are dropped are warnings, because their rows are not known."""
    up = "ALTER TABLE book DROP COLUMN old;\nALTER TABLE book ADD COLUMN pages INTEGER NOT NULL;"
    migrator = Migrator(":memory:", migrations_of(tmp_path, Case(up)))

    assert found(check_lint(migrator, has_database=False).findings) == ("loses-data", "not-null-without-default!")


def test_a_rule_on_request_runs_on_request(tmp_path: Path) -> None:
    """To change schema and rows in one script is right on SQLite more often than not."""
    migrator = with_rows(tmp_path, CASES["schema and rows"])

    assert found(check_lint(migrator, rules=["mixed-schema-and-data"]).findings) == ("mixed-schema-and-data",)
    with pytest.raises(BadOptionValue):
        check_lint(migrator, rules=["everything"])


def test_large_tables_and_long_scripts_are_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With limits that three rows and a fast script exceed."""
    monkeypatch.setattr(linting_rules, "_MANY_ROWS", 2)
    monkeypatch.setattr(linting_rules, "_LONG_NS", 0)

    result = check_lint(with_rows(tmp_path, CASES["a rebuild that keeps everything"]))

    assert found(result.findings) == ("holds-writers-long", "rewrites-table")
    assert "no other process can write for " in result.findings[1].message


def test_a_lone_up_script_is_found_where_the_others_have_a_way_back(tmp_path: Path) -> None:
    """In a directory of simple scripts there is nothing to find."""
    simple = Migrator(":memory:", write_files(tmp_path / "a", {"1_a.sql": "SELECT 1;", "2_b.sql": "SELECT 1;"}))
    pairs = {"1_a.sql": "SELECT 1;", "1_a.rollback.sql": "", "2_b.sql": "SELECT 1;", "2_b.rollback.sql": ""}
    mixed = Migrator(":memory:", write_files(tmp_path / "b", {**pairs, "3_c.sql": "SELECT 1;"}))

    assert found(check_lint(simple, has_database=False).findings) == ()
    (finding,) = check_lint(mixed, has_database=False).findings
    assert (finding.rule, finding.version, finding.level) == ("no-down", 3, "warning")


def test_a_down_script_that_leaves_a_key_to_no_table_is_found(tmp_path: Path) -> None:
    """Though it is as before the up script: a rollback refuses it. Where an up script breaks something, all runs on."""
    files = {
        "1_page.sql": "CREATE TABLE page (id INTEGER PRIMARY KEY, book INTEGER UNIQUE REFERENCES book (id));",
        "2_book.sql": "CREATE TABLE book (id INTEGER PRIMARY KEY); CREATE VIEW titles AS SELECT id FROM book;",
        "2_book.rollback.sql": "DROP VIEW titles;\nDROP TABLE book;\n",
    }
    (finding,) = check_lint(Migrator(":memory:", write_files(tmp_path / "a", files)), has_database=False).findings
    assert finding.rule == "down-does-not-undo"
    assert (finding.path, finding.line) == (str(tmp_path / "a" / "2_book.rollback.sql"), 2)
    assert "table page worked before and does not any more" in finding.message

    files["3_break.sql"] = "PRAGMA legacy_alter_table = ON;\nALTER TABLE book RENAME TO volume;"
    files |= {"4_a.sql": "CREATE TABLE a (x);", "4_a.rollback.sql": "SELECT 1;"}
    rules = found(check_lint(Migrator(":memory:", write_files(tmp_path / "b", files)), has_database=False).findings)
    assert "breaks-schema!" in rules
    assert "down-does-not-undo!" in rules


def test_what_is_not_pending_is_not_run(tmp_path: Path) -> None:
    """With everything installed there is nothing to find."""
    migrator = with_rows(tmp_path, CASES["a key without an index"])
    migrator.upgrade()

    assert check_lint(migrator).findings == ()


def test_a_key_that_a_later_migration_takes_away_needs_no_index(tmp_path: Path) -> None:
    """Its table stays, with another key that has an index."""
    files = {
        "1_create.sql": (
            "CREATE TABLE book (id INTEGER PRIMARY KEY);\n"
            "CREATE TABLE page (id INTEGER PRIMARY KEY, book INTEGER REFERENCES book (id));"
        ),
        "2_rebuild.sql": (
            "DROP TABLE page;\nCREATE TABLE page (id INTEGER PRIMARY KEY, volume INTEGER REFERENCES book (id));\n"
            "CREATE INDEX idx_volume ON page (volume);"
        ),
    }
    result = check_lint(Migrator(":memory:", write_files(tmp_path / "migrations", files)), has_database=False)

    assert "foreign-key-without-index" not in {each.rule for each in result.findings}


def test_the_shipped_schema_has_warnings_only() -> None:
    """Keys without an index, each of which is one."""
    result = check_lint(Migrator(":memory:", SQL), has_database=False)

    assert result.ok
    assert {finding.rule for finding in result.findings} == {"foreign-key-without-index"}


def test_the_command_prints_findings_and_counts_warnings(torc: Torc, here: Path) -> None:
    """Warnings do not make it fail, errors do; SARIF has both levels."""
    migrations_of(here / "migrations", CASES["a key without an index"])
    warned = torc("check", "lint")
    assert warned.status == 0
    assert warned.out.endswith("lint: 1 warning\n")

    migrations_of(here / "migrations", CASES["a rule that does not exist"])
    failed = torc("check", "lint", "--format", "sarif")
    assert failed.status == 1
    (log,) = outcome_of(failed)["runs"]  # type: ignore[misc]
    assert [result["level"] for result in log["results"]] == ["error"]


# Losses against a comparison of everything that was there before and after.


def lost(model: Model, script: str) -> set[str]:
    """Return what a comparison of everything before and after a script finds to be gone."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        connection.executescript(model.first)
        before = {table: count(connection, table) for table in model.names}
        connection.executescript(script)
        names = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
        gone = set()
        for table, now in model.names.items():
            if before[table] and (not now or count(connection, now) < before[table]):
                gone.add(f"table {table} loses")
            if not now:
                continue
            if before[table]:
                gone |= {f"column {table}.{old}" for old, new in model.columns[table].items() if not new}
                gone |= {
                    f"values {table}.{old}"
                    for old, new in model.columns[table].items()
                    if new and (table, old) in model.left_out
                }
            gone |= {f"trigger g_{table} goes"} if f"g_{table}" not in names else set()
            index = f"i_{table}"
            has_columns = all(model.columns[table][old] for old in ("id", "a"))
            gone |= {f"index {index} goes"} if has_columns and index not in names | model.dropped else set()
        return gone


def _named(message: str) -> set[str]:
    """Return what a finding says to be lost."""
    words = message.split()
    if words[:3] == ["the", "values", "of"]:
        return {f"values {word.rstrip(',')}" for word in words[3 : words.index("go,")]}
    if words[0] in ("column", "columns"):
        return {f"column {word.rstrip(',')}" for word in words[1:]}
    return {" ".join(words[:3])}


def count(connection: sqlite3.Connection, table: str) -> int:
    return int(connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0])


@pytest.mark.parametrize("group", range(10))
def test_no_loss_is_missed(tmp_path: Path, group: int) -> None:
    """500 random scripts: what a comparison misses is named: rows, columns, their values, indexes and triggers."""
    seen = 0
    for seed in range(50 * group, 50 * group + 50):
        model = Model(Random(seed))
        script = "".join(model.step() for _ in range(model.random.randint(1, 5)))
        directory = tmp_path / str(seed)
        files = {"1_first.sql": model.first, "2_second.sql": script or "SELECT 1;"}
        migrator = Migrator(directory / "app.db", write_files(directory / "migrations", files))
        migrator.upgrade(1)

        messages = [each.message for each in check_lint(migrator).findings if each.rule == "loses-data"]

        expected = lost(model, script)
        seen += len(expected)
        named = {word for message in messages for word in _named(message)}
        missed = sorted(expected - named)
        assert missed == [], (seed, script, messages)
    assert seen > 20
