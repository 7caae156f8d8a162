"""`dump`, `check schema` and `upgrade --from-dump`: one text for one schema, and an empty database made from it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from random import Random

import pytest
from checks.random_schemas import draw_schema
from shell import SQL, Torc, everything_in, ledgers, query, write_files

from torc_migrations import Migrator, rollback, status, upgrade
from torc_migrations.checks import Dump, check_drift, check_schema, dump, upgrade_from_dump, write_dump
from torc_migrations.databases.opening import open_database
from torc_migrations.databases.sqlite.database import sqlite_only
from torc_migrations.databases.sqlite.schemas.dumping import Dumped, dump_statements
from torc_migrations.errors import BadDump, ExecutionFailed, NotEmpty

SHOP = {
    "1_create_shop.sql": """
CREATE TABLE book (id INTEGER PRIMARY KEY AUTOINCREMENT, title TEXT, shelf REFERENCES shelf (id)) STRICT;
CREATE TABLE shelf (
    id INTEGER PRIMARY KEY, -- of the wall
    place TEXT
);
INSERT INTO shelf (place) VALUES ('kitchen'), ('it''s');
""".replace(" REFERENCES", " INTEGER REFERENCES"),
    "1_create_shop.rollback.sql": "DROP TABLE book; DROP TABLE shelf;",
    "2_add_views.sql": """
CREATE VIEW a_titles AS SELECT title FROM b_books;
CREATE VIEW b_books AS SELECT * FROM book;
CREATE TRIGGER keep AFTER DELETE ON book BEGIN INSERT INTO shelf (place) VALUES ('kept;'); END;
CREATE INDEX idx_title ON book (title);
PRAGMA user_version = 7;
""",
}
TEXT = """\

PRAGMA user_version = 7;

CREATE TABLE shelf (
    id INTEGER PRIMARY KEY, -- of the wall
    place TEXT
);

CREATE TABLE book (id INTEGER PRIMARY KEY AUTOINCREMENT, title TEXT, shelf INTEGER REFERENCES shelf (id)) STRICT;

INSERT INTO "shelf" ("id", "place") VALUES (1, 'kitchen');
INSERT INTO "shelf" ("id", "place") VALUES (2, 'it''s');

CREATE INDEX idx_title ON book (title);

CREATE VIEW b_books AS SELECT * FROM book;

CREATE VIEW a_titles AS SELECT title FROM b_books;

CREATE TRIGGER keep AFTER DELETE ON book BEGIN INSERT INTO shelf (place) VALUES ('kept;'); END;
"""


@pytest.fixture
def shop(tmp_path: Path) -> Migrator:
    """A source, and a database that does not exist."""
    return Migrator(tmp_path / "app.db", write_files(tmp_path / "migrations", SHOP))


@pytest.fixture
def schema(shop: Migrator, tmp_path: Path) -> Path:
    """The dump of it, beside the directory."""
    write_dump(dump(shop), tmp_path / "schema.sql")
    return tmp_path / "schema.sql"


def dumped(connection: sqlite3.Connection) -> Dumped:
    """Return the dump of a database, with its rows."""
    with open_database(connection, lock_timeout=1) as database:
        return dump_statements(sqlite_only(database, "a test"), rows=True)


def execute(connection: sqlite3.Connection, statements: Iterable[str]) -> None:
    """Run statements; a row that does not fit its table is left out."""
    for statement in statements:
        try:
            connection.execute(statement)
        except sqlite3.IntegrityError:
            assert statement.startswith("INSERT ")


def contents(connection: sqlite3.Connection) -> set[tuple[object, ...]]:
    """Return the definitions of a schema, in any order."""
    rows = connection.execute("SELECT type, name, tbl_name, rtrim(sql, char(10) || ' ') FROM sqlite_master")
    return set(rows)


@pytest.mark.parametrize("group", range(20))
def test_a_dump_that_is_loaded_gives_the_same_dump(group: int) -> None:
    """1,000 random schemas: the same bytes, the same definitions, the same rows."""
    for seed in range(50 * group, 50 * group + 50):
        statements = draw_schema(Random(seed))
        with closing(sqlite3.connect(":memory:", isolation_level=None)) as first:
            execute(first, statements)
            before = dumped(first)
            with closing(sqlite3.connect(":memory:", isolation_level=None)) as second:
                second.executescript("\n".join(before.statements))

                assert dumped(second) == before, statements
                assert contents(second) == contents(first), statements


def test_the_order_in_which_a_schema_was_made_does_not_matter() -> None:
    """What depends on nothing else is made in another order."""
    for seed in range(100):
        statements = [each for each in draw_schema(Random(seed)) if not each.startswith("INSERT")]
        tables = [each for each in statements if each.startswith("CREATE TABLE")]
        others = [each for each in statements if not each.startswith("CREATE TABLE")]
        texts = set()
        for order in (tables, tables[::-1]):
            with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
                execute(connection, (*order, *others))
                texts.add(dumped(connection).statements)

        assert len(texts) == 1, statements


def test_the_text_has_one_order_and_keeps_comments(shop: Migrator) -> None:
    """Tables after those that they refer to, rows, indexes, views after those that they use, triggers."""
    made = dump(shop)

    assert (made.version, made.rows, made.left_out) == (2, 2, 0)
    assert "".join(made.text.partition("\n\n")[1:]).removeprefix("\n") == TEXT
    assert made.text.splitlines()[1] == "-- version: 2 add views"


def test_a_view_comes_after_the_view_that_it_uses_whatever_their_names() -> None:
    """Also where a name has to be quoted."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        execute(connection, ('CREATE VIEW "b ""1" AS SELECT 1 AS x', 'CREATE VIEW "a 1" AS SELECT x FROM "b ""1"'))

        assert [each.split(" AS ")[0] for each in dumped(connection).statements] == [
            'CREATE VIEW "b ""1"',
            'CREATE VIEW "a 1"',
        ]


def test_the_shipped_schema_round_trips(tmp_path: Path) -> None:
    """Made by its migrations, and made from its dump, it is the same."""
    migrator = Migrator(tmp_path / "torc.db", SQL)
    text = dump(migrator).text
    (tmp_path / "schema.sql").write_text(text)

    upgrade_from_dump(migrator, tmp_path / "schema.sql")

    assert dump(migrator, from_database=True).text == text
    assert check_drift(migrator).ok


def test_an_empty_database_is_made_with_both_ledgers(shop: Migrator, schema: Path, tmp_path: Path) -> None:
    """Schema, rows and records are as after an upgrade, and rolling back works."""
    report = upgrade_from_dump(shop, schema)

    assert report.applied == (1, 2)
    assert ledgers(tmp_path / "app.db") == ({"1_create_shop", "2_add_views"}, {1, 2})
    assert status(tmp_path / "app.db", shop.source).clean
    assert query(tmp_path / "app.db", "SELECT * FROM shelf") == [(1, "kitchen"), (2, "it's")]
    assert query(tmp_path / "app.db", "PRAGMA user_version") == [(7,)]
    assert check_drift(shop).ok
    assert shop.upgrade().applied == ()


def test_what_is_newer_than_the_dump_is_applied_after_it(shop: Migrator, schema: Path, tmp_path: Path) -> None:
    """So that a dump need not be written at each migration."""
    write_files(
        tmp_path / "migrations", {"3_more.sql": "CREATE TABLE more (x);", "post-apply.sql": "CREATE TABLE h (x);"}
    )

    assert upgrade_from_dump(shop, schema).applied == (1, 2, 3)
    assert status(tmp_path / "app.db", shop.source).clean
    assert query(tmp_path / "app.db", "SELECT count(*) FROM h") == [(0,)]


@pytest.mark.parametrize("left", ["CREATE TABLE other (x)", None])
def test_a_database_with_anything_in_it_is_refused(shop: Migrator, schema: Path, tmp_path: Path, left: str) -> None:
    """A table of somebody's, or an installed migration; nothing is changed."""
    if left:
        with closing(sqlite3.connect(tmp_path / "app.db")) as connection:
            connection.execute(left)
    else:
        shop.upgrade(1)
    before = everything_in(tmp_path)

    with pytest.raises(NotEmpty):
        upgrade_from_dump(shop, schema)
    assert everything_in(tmp_path) == before


def test_a_database_that_was_rolled_back_is_empty_again(shop: Migrator, schema: Path, tmp_path: Path) -> None:
    """The tables of the ledgers are no obstacle."""
    migrations = tmp_path / "migrations"
    (migrations / "2_add_views.sql").unlink()
    upgrade(tmp_path / "app.db", migrations)
    rollback(tmp_path / "app.db", migrations)
    write_files(migrations, SHOP)

    assert upgrade_from_dump(shop, schema).applied == (1, 2)


def test_a_dump_that_fails_leaves_nothing(shop: Migrator, schema: Path, tmp_path: Path) -> None:
    """All of it is one transaction; the error names the line of the dump."""
    schema.write_text(schema.read_text() + "SELECT * FROM nothing;\n")

    with pytest.raises(ExecutionFailed) as failure:
        upgrade_from_dump(shop, schema)
    assert failure.value.path == str(schema)
    assert query(tmp_path / "app.db", "SELECT count(*) FROM sqlite_master WHERE name IN ('book', 'shelf')") == [(0,)]


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("-- version: 2", "-- version: 9", "is for version 9, which is not in the source"),
        ("sha256:", "sha256:" + 64 * "0", "does not begin as"),
        ("-- rows: 2", "-- rows: 2 left out", "lacks rows: 2 left out"),
        ("-- The schema", "SELECT 1; -- The schema", "does not begin as"),
    ],
)
def test_a_file_that_is_no_dump_of_these_scripts_is_refused(
    shop: Migrator, schema: Path, tmp_path: Path, old: str, new: str, reason: str
) -> None:
    """Nothing is created."""
    schema.write_text(schema.read_text().replace(old, new, 1))

    with pytest.raises(BadDump, match=reason):
        upgrade_from_dump(shop, schema)
    assert not (tmp_path / "app.db").exists()


def test_a_dump_of_other_scripts_is_refused(shop: Migrator, schema: Path, tmp_path: Path) -> None:
    """An edited up script; the down scripts do not matter."""
    write_files(tmp_path / "migrations", {"1_create_shop.rollback.sql": "DROP TABLE book;"})
    assert check_schema(shop).ok
    write_files(tmp_path / "migrations", {"1_create_shop.sql": SHOP["1_create_shop.sql"] + "-- more\n"})

    with pytest.raises(BadDump, match="was made from other scripts"):
        upgrade_from_dump(shop, schema)


def test_check_schema_says_when_the_file_is_stale(torc: Torc, here: Path) -> None:
    """With the lines that differ, and the command that writes it again."""
    write_files(here / "migrations", SHOP)
    assert (
        torc("check", "schema").out
        == "schema: not run, because there is no schema.sql; `torc-migrations dump schema.sql` writes one\n"
    )
    assert torc("dump", "schema.sql").status == 0
    assert torc("check", "schema").out == "schema: ok\n"

    write_files(here / "migrations", {"3_more.sql": "CREATE TABLE more (x);"})
    done = torc("check")
    assert done.status == 1
    assert "schema.sql:2: error: schema.sql is not what the migrations make, up to version 3 [stale-schema]" in done.out
    assert "    +CREATE TABLE more (x);\n" in done.out
    assert torc("dump", "schema.sql").status == 0
    assert torc("check", "schema").status == 0


def test_rows_can_be_left_out(torc: Torc, here: Path) -> None:
    """`check schema` compares such a file without rows, and no database is made from it."""
    write_files(here / "migrations", SHOP)

    assert torc("dump", "--no-rows", "schema.sql").status == 0
    assert 'INSERT INTO "shelf"' not in (here / "schema.sql").read_text()
    assert torc("check", "schema").status == 0
    assert torc("-d", "app.db", "upgrade", "--from-dump", "schema.sql").status == 2


def test_rows_of_virtual_tables_are_counted_and_left_out(tmp_path: Path) -> None:
    """A database without them would not be the same."""
    files = {"1_words.sql": "CREATE VIRTUAL TABLE words USING fts5 (word); INSERT INTO words VALUES ('a'), ('b');"}
    made = dump(Migrator(":memory:", write_files(tmp_path, files)))

    assert (made.rows, made.left_out) == (0, 2)
    assert "-- rows: 2 left out\n" in made.text


def test_a_file_that_is_no_dump_is_not_written_over(shop: Migrator, tmp_path: Path) -> None:
    """A mistyped name costs nothing."""
    (tmp_path / "notes.txt").write_text("mine")

    with pytest.raises(BadDump):
        write_dump(Dump(1, "", 0, 0), tmp_path / "notes.txt")
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_the_mark_of_autoincrement_is_kept() -> None:
    """Also where its largest row is gone."""
    script = "CREATE TABLE a (id INTEGER PRIMARY KEY AUTOINCREMENT); INSERT INTO a VALUES (5); DELETE FROM a;"
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        connection.executescript(script)
        statements = dumped(connection).statements
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        connection.executescript("\n".join(statements))
        assert connection.execute("INSERT INTO a DEFAULT VALUES RETURNING id").fetchall() == [(6,)]


def test_the_command_prints_the_same_bytes_as_it_writes(torc: Torc, here: Path) -> None:
    """Control characters in a definition too."""
    files = {"1_a.sql": "CREATE TABLE a (x DEFAULT '\x1b[31m\r\n\t');"}
    write_files(here / "migrations", files)

    printed = torc("dump").out
    torc("dump", "schema.sql")
    assert (here / "schema.sql").read_bytes().decode() == printed


def test_the_installed_schema_can_be_dumped(torc: Torc, here: Path) -> None:
    """As it is, without rows of the application."""
    write_files(here / "migrations", SHOP)
    assert torc("-d", "app.db", "dump", "--from-database").status == 2
    torc("-d", "app.db", "upgrade")

    done = torc("-d", "app.db", "dump", "--from-database")
    assert "-- rows: 2 left out\n" in done.out
    assert 'INSERT INTO "shelf"' not in done.out
