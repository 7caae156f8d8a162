"""What a script makes in the session, and what the owner of a lent connection has there, are kept apart."""

from __future__ import annotations

import sqlite3
from contextlib import closing, suppress

import pytest
from database_under_test import SQLiteUnderTest

from torc_migrations import Migrator, errors, upgrade

STAGE = (
    "CREATE TEMP TABLE stage (id INTEGER PRIMARY KEY AUTOINCREMENT, x);\n"
    "CREATE INDEX temp.by_x ON stage (x);\n"
    "CREATE TEMP VIEW seen AS SELECT x FROM stage;\n"
    "CREATE TEMP TRIGGER copies AFTER INSERT ON a BEGIN INSERT INTO stage (x) VALUES (new.x); END;\n"
    "CREATE VIRTUAL TABLE temp.words USING fts5(w);\n"
    "ANALYZE temp;\n"
)
HEADS = {"in a transaction": "", "outside": "-- no-transaction\n", "with keys": "-- foreign-keys: on\n"}


def temporary(connection: sqlite3.Connection) -> set[str]:
    """Return the names of a connection's TEMP objects."""
    rows = sqlite3.Cursor(connection).execute(
        "SELECT name FROM sqlite_temp_master WHERE name NOT LIKE 'sqlite!_%' ESCAPE '!'"
    )
    return {name for (name,) in rows}


@pytest.mark.parametrize("atomic", [False, True])
def test_a_temp_table_does_not_hide_a_table_from_the_next_script(sqlite: SQLiteUnderTest, folder, atomic):
    """The next script writes into the table of the database, in one run as in two."""
    source = folder(
        {"1_a": "CREATE TABLE t (x);\nCREATE TEMP TABLE t AS SELECT 1 AS x;", "2_b": "INSERT INTO t VALUES ('kept');"}
    )

    Migrator(sqlite.path, source).upgrade(atomic=atomic)

    assert sqlite.execute("SELECT x FROM t") == [("kept",)]


@pytest.mark.parametrize("head", HEADS.values(), ids=HEADS)
def test_two_scripts_make_the_same_temp_objects(sqlite: SQLiteUnderTest, folder, head):
    """Tables, indexes, views, triggers and virtual tables go with their script."""
    source = folder(
        {
            "1_a": "CREATE TABLE a (x);",
            "2_b": f"{head}{STAGE}INSERT INTO a VALUES (1);",
            "3_c": f"{head}{STAGE}INSERT INTO a VALUES (2);\nCREATE TABLE b AS SELECT x FROM seen;",
        }
    )
    with closing(sqlite.connect()) as connection:
        connection.execute("CREATE TEMP TABLE mine (x)")

        assert upgrade(connection, source).applied == (1, 2, 3)
        assert temporary(connection) == {"mine"}

    assert sqlite.execute("SELECT x FROM b") == [(2,)]


@pytest.mark.parametrize(
    "script",
    [
        f"{STAGE}boom;",
        f"-- no-transaction\n{STAGE}boom;",
        f"{STAGE}COMMIT;\nBEGIN;\nboom;",
        f"{STAGE}COMMIT;\nBEGIN;\n{STAGE.replace('TABLE', 'TABLE IF NOT EXISTS', 1)}",
    ],
)
def test_temp_objects_of_a_script_that_fails_are_dropped(sqlite: SQLiteUnderTest, folder, script):
    """What was committed, or not, before the error."""
    sqlite.execute("CREATE TABLE a (x)")
    with closing(sqlite.connect()) as connection:
        connection.execute("CREATE TEMP TABLE mine (x)")
        with suppress(errors.ExecutionFailed):
            upgrade(connection, folder({"1_a": script}))

        assert temporary(connection) == {"mine"}


def test_temp_tables_whose_keys_point_at_each_other_are_dropped(sqlite: SQLiteUnderTest, folder):
    """With foreign keys on neither can be dropped first."""
    circle = (
        "CREATE TEMP TABLE p (id INTEGER PRIMARY KEY, q REFERENCES c (id));\n"
        "CREATE TEMP TABLE c (id INTEGER PRIMARY KEY, p REFERENCES p (id));\n"
        "INSERT INTO p VALUES (1, NULL);\nINSERT INTO c VALUES (1, 1);\nUPDATE p SET q = 1;\n"
    )
    source = folder({"1_a": f"-- foreign-keys: on\n{circle}", "2_b": circle})

    assert upgrade(sqlite.path, source).applied == (1, 2)


def test_temp_store_can_be_set_after_a_script_with_temp_tables(sqlite: SQLiteUnderTest, folder):
    """SQLite changes it in a transaction as long as the connection has had none; so it is for every script."""
    source = folder({"1_a": "CREATE TEMP TABLE t (x);", "2_b": "PRAGMA temp_store = MEMORY;\nCREATE TEMP TABLE t (x);"})

    assert upgrade(sqlite.path, source).applied == (1, 2)


@pytest.mark.parametrize("head", ["", "-- no-transaction\n"])
@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO mine VALUES (1);",
        "SELECT * FROM mine;",
        "DROP TABLE IF EXISTS mine;",
        "CREATE TABLE mine (y);\nINSERT INTO mine VALUES (1);",
        "ALTER TABLE mine RENAME TO yours;",
        "CREATE TEMP TRIGGER t AFTER INSERT ON mine BEGIN SELECT 1; END;",
        "CREATE INDEX temp.i ON mine (x);",
    ],
)
def test_temp_objects_of_the_owner_are_left_alone(sqlite: SQLiteUnderTest, folder, head, statement):
    """A fresh connection would not see them: a script that means another table by the name is refused."""
    with closing(sqlite.connect()) as connection:
        connection.execute("CREATE TEMP TABLE mine (x)")
        with pytest.raises(errors.ExecutionFailed, match="'mine' is a TEMP object of the connection"):
            upgrade(connection, folder({"1_a": f"{head}{statement}"}))

        assert temporary(connection) == {"mine"}
        assert connection.execute("SELECT * FROM mine").fetchall() == []


def test_a_temp_trigger_of_the_owner_runs(sqlite: SQLiteUnderTest, folder):
    """It is the owner's wish that it writes into his TEMP table."""
    sqlite.execute("CREATE TABLE a (x)")
    with closing(sqlite.connect()) as connection:
        connection.execute("CREATE TEMP TABLE mine (x)")
        connection.execute("CREATE TEMP TRIGGER t AFTER INSERT ON a BEGIN INSERT INTO mine VALUES (new.x); END")
        upgrade(connection, folder({"1_a": "INSERT INTO a VALUES (1);"}))

        assert connection.execute("SELECT x FROM mine").fetchall() == [(1,)]


@pytest.mark.parametrize("statement", ["ANALYZE;", "REINDEX;"])
def test_maintenance_of_everything_passes(sqlite: SQLiteUnderTest, folder, statement):
    """It reads TEMP tables of the owner too, and mistakes them for no other."""
    with closing(sqlite.connect()) as connection:
        connection.execute("CREATE TEMP TABLE mine (x)")
        connection.execute("CREATE INDEX temp.by_x ON mine (x)")
        connection.execute("INSERT INTO mine VALUES (1)")

        assert upgrade(connection, folder({"1_a": statement})).applied == (1,)
        assert temporary(connection) == {"mine", "by_x"}


def test_temp_tables_of_the_owner_survive_temp_store(sqlite: SQLiteUnderTest, folder):
    """Setting it deletes all TEMP tables of the connection."""
    with closing(sqlite.connect()) as connection:
        connection.execute("CREATE TEMP TABLE mine (x)")
        with pytest.raises(errors.BadScript, match="would delete the TEMP tables"):
            upgrade(connection, folder({"1_a": "-- no-transaction\nPRAGMA temp_store = MEMORY;"}))

        assert temporary(connection) == {"mine"}


@pytest.mark.parametrize("name", ["other", "OTHER", "'oth' || 'er'"])
def test_a_file_that_the_owner_has_attached_stays(sqlite: SQLiteUnderTest, folder, tmp_path, name):
    """A script may detach what it has attached itself."""
    with closing(sqlite.connect()) as connection:
        connection.execute(f"ATTACH '{tmp_path / 'other.db'}' AS other")
        with pytest.raises(errors.ExecutionFailed, match="DETACH"):
            upgrade(connection, folder({"1_a": f"-- no-transaction\nDETACH {name};"}))
        upgrade(connection, folder({"1_a": "-- no-transaction\nATTACH ':memory:' AS mine;\nDETACH mine;"}))

        assert "other" in {row[1] for row in connection.execute("PRAGMA database_list")}


def test_two_scripts_attach_two_files_by_one_name(sqlite: SQLiteUnderTest, folder, tmp_path):
    """Each has its own; in one transaction the second is refused, and does not write into the first one's file."""
    scripts = {
        f"{number}_{name}": f"ATTACH '{tmp_path / name}.db' AS o;\nCREATE TABLE o.{name} (x);"
        for number, name in ((1, "a"), (2, "b"))
    }
    source = folder(scripts)
    with pytest.raises(errors.ExecutionFailed, match="database o is already in use"):
        Migrator(sqlite.path, source).upgrade(atomic=True)

    assert upgrade(sqlite.path, source).applied == (1, 2)
    for name in "ab":
        assert SQLiteUnderTest(tmp_path / f"{name}.db").tables().keys() == {name}


def test_a_file_that_one_script_attaches_is_not_there_for_the_next(sqlite: SQLiteUnderTest, folder, tmp_path):
    """In one run as in two."""
    source = folder(
        {"1_a": f"ATTACH '{tmp_path / 'o.db'}' AS o;\nCREATE TABLE o.t (x);", "2_b": "INSERT INTO o.t VALUES (1);"}
    )
    with pytest.raises(errors.ExecutionFailed):
        upgrade(sqlite.path, source)

    assert sqlite.ledgers().agreed == (1,)


@pytest.mark.parametrize("head", ["", "-- no-transaction\n"])
@pytest.mark.parametrize("name", ["'{0}'", "'{1}' || '/base.db'"])
def test_database_attached_to_itself_is_refused_at_once(tmp_path, folder, head, name):
    """A statement that writes to it would wait for a lock of its own connection, until `lock_timeout` ends it."""
    path = tmp_path / "base.db"
    attach = f"ATTACH {name.format(path, tmp_path)} AS me;\nCREATE TABLE me.a (x);"

    with pytest.raises(errors.BadScript, match="ATTACH of the database itself") as failure:
        upgrade(path, folder({"1_a": f"{head}{attach}"}))

    assert failure.value.hint is not None
    assert failure.value.hint.startswith("remove it, and name the tables without a schema")
    assert Migrator(path, folder({})).status().pending
