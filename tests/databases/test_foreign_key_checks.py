"""What a script does decides which tables are checked: a check reads every row of them."""

from __future__ import annotations

from contextlib import closing

import pytest
from database_under_test import SQLiteUnderTest

from torc_migrations import errors, upgrade


def checks(database: SQLiteUnderTest, source: str) -> list[str]:
    """Return the foreign-key checks, by table, that an upgrade makes."""
    seen: list[str] = []
    with closing(database.connect()) as connection:
        connection.set_trace_callback(seen.append)
        upgrade(connection, source)
    return [sql for sql in seen if "foreign_key_check" in sql]


@pytest.mark.parametrize(
    "script",
    [
        "ALTER TABLE child ADD COLUMN note TEXT;",
        "-- a note\n/* and another */ ALTER TABLE main.child ADD note TEXT DEFAULT 'x';",
        'ALTER TABLE "child" ADD COLUMN note TEXT;',
        "ALTER TABLE [child]\nADD COLUMN note TEXT;",
        "CREATE INDEX i ON child (up);",
        "CREATE TABLE fresh (x REFERENCES child ON DELETE CASCADE);",
        "CREATE VIEW v AS SELECT * FROM child;",
        "CREATE TRIGGER t AFTER INSERT ON child BEGIN DELETE FROM parent; END;",
        "SELECT * FROM child;",
        "ANALYZE;",
        "CREATE TABLE alone (x);\nINSERT INTO alone VALUES (1);\nDROP TABLE alone;",
    ],
)
def test_what_can_break_no_key_costs_no_check(family: SQLiteUnderTest, folder, script):
    """A check reads every row of a table; a script that only adds to the schema does not pay for it."""
    assert checks(family, folder({"1_cheap": script})) == []


def test_check_is_limited_to_tables_that_were_touched(family: SQLiteUnderTest, folder):
    """A change of one table has its own rows checked and those that point to it, and no others."""
    asked = checks(family, folder({"1_touch": "UPDATE parent SET up = up;"}))

    assert len(asked) == 2
    assert '"parent"' in "".join(asked)
    assert '"child"' in "".join(asked)


@pytest.mark.parametrize(
    "script",
    [
        "ALTER TABLE child ADD COLUMN other REFERENCES parent;",
        "ALTER TABLE child RENAME TO kid;",
        'ALTER TABLE child RENAME COLUMN up TO "x ADD y";',
        "ALTER TABLE leaf DROP COLUMN up;",
        "SELECT 1; \N{ZERO WIDTH NO-BREAK SPACE}ALTER TABLE child RENAME TO kid;",
        "ALTER TABLE child ADD COLUMN a; ALTER TABLE child ADD COLUMN b; ALTER TABLE child RENAME COLUMN a TO c;",
    ],
)
def test_other_changes_of_a_table_are_checked(family: SQLiteUnderTest, folder, script):
    """What may break a key is checked, and passes where it does not."""
    if "DROP COLUMN" in script:
        family.execute("DROP TABLE leaf", "CREATE TABLE leaf (a REFERENCES parent, up)")

    assert checks(family, folder({"1_alter": script}))


def test_collation_that_only_the_application_has_stops_no_script(sqlite: SQLiteUnderTest, folder):
    """A key that we cannot compare, and could not before, is left alone; another key of the script's is not."""
    with closing(sqlite.connect()) as connection:
        connection.create_collation("mine", lambda one, two: (one > two) - (one < two))
        connection.execute("CREATE TABLE p (id TEXT COLLATE mine PRIMARY KEY)")
        connection.execute("CREATE TABLE c (id INTEGER PRIMARY KEY, p TEXT REFERENCES p, note TEXT)")
        connection.execute("INSERT INTO p VALUES ('a')")
        connection.execute("INSERT INTO c VALUES (1, 'a', '')")
    sqlite.execute("CREATE TABLE q (id INTEGER PRIMARY KEY)", "CREATE TABLE d (q REFERENCES q)")

    assert upgrade(sqlite.path, folder({"1_a": "UPDATE c SET note = 'x';"})).applied == (1,)
    with pytest.raises(errors.ForeignKeyViolations, match=" d"):
        upgrade(sqlite.path, folder({"2_b": "UPDATE c SET note = 'y';\nINSERT INTO d VALUES (1);"}))


def test_tables_of_an_extension_that_is_not_loaded_do_not_matter(sqlite: SQLiteUnderTest, folder):
    """A virtual table whose module only the application has is left alone by every check."""
    sqlite.execute(
        "CREATE TABLE p (id INTEGER PRIMARY KEY)",
        "CREATE TABLE c (p REFERENCES p)",
        "CREATE TABLE v (x)",
        "PRAGMA writable_schema = ON",
    )
    with closing(sqlite.connect()) as connection:
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute(
            "UPDATE sqlite_master SET sql = 'CREATE VIRTUAL TABLE v USING nobody(x)', rootpage = 0 WHERE name = 'v'"
        )
    script = "INSERT INTO p VALUES (1);\nINSERT INTO c VALUES (1);\nALTER TABLE c RENAME TO kid;"

    assert upgrade(sqlite.path, folder({"1_a": script})).applied == (1,)
