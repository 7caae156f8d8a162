"""Foreign keys: off while a script runs, so that a rebuilt table takes no rows with it, and checked before COMMIT."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from contextlib import closing

import pytest
from database_under_test import SQLiteUnderTest

from torc_migrations import errors, rollback, upgrade

FAMILY_TABLES = ("grandparent", "parent", "child", "leaf")

REBUILD_UP = """
CREATE TABLE grandparent_new (id INTEGER PRIMARY KEY, name TEXT NOT NULL DEFAULT '', age INTEGER);
INSERT INTO grandparent_new (id, name) SELECT id, name FROM grandparent;
DROP TABLE grandparent;
ALTER TABLE grandparent_new RENAME TO grandparent;
"""

REBUILD_DOWN = """
CREATE TABLE grandparent_old (id INTEGER PRIMARY KEY, name TEXT);
INSERT INTO grandparent_old SELECT id, name FROM grandparent;
DROP TABLE grandparent;
ALTER TABLE grandparent_old RENAME TO grandparent;
"""

REBUILD = {"1_rebuild": REBUILD_UP, "1_rebuild.rollback": REBUILD_DOWN}


def rows(database: SQLiteUnderTest, tables: Iterable[str] = FAMILY_TABLES) -> list[object]:
    """Return the keys of every row, and what it points to."""
    return [database.execute(f"SELECT * FROM {table} ORDER BY 1, 2")[:9] for table in tables if table != "grandparent"]


def test_the_naive_way_loses_the_children(family: SQLiteUnderTest):
    """What the other tests keep is really lost where foreign keys are on: the rebuild as such deletes."""
    with closing(family.connect()) as connection:
        connection.execute("PRAGMA foreign_keys = ON")
        connection.executescript(f"BEGIN; {REBUILD_UP} COMMIT;")

    assert rows(family) == [[], [], []]


def test_rebuilt_parent_keeps_every_row_below_it(family: SQLiteUnderTest, folder):
    """Up, down and up again: no row of three levels of children is lost."""
    source, before = folder(REBUILD), rows(family)

    upgrade(family.path, source)
    assert rows(family) == before
    rollback(family.path, source)
    assert rows(family) == before
    upgrade(family.path, source)
    assert rows(family) == before
    assert family.execute("PRAGMA foreign_key_check") == []


def test_rebuilt_parent_keeps_every_row_over_a_connection_with_foreign_keys_on(family: SQLiteUnderTest, folder):
    """A lent connection that enforces foreign keys loses nothing either, and enforces them again afterwards."""
    source, before = folder(REBUILD), rows(family)
    with closing(family.connect()) as connection:
        connection.execute("PRAGMA foreign_keys = ON")
        upgrade(connection, source)
        rollback(connection, source)

        assert connection.execute("PRAGMA foreign_keys").fetchone() == (1,)
        with pytest.raises(sqlite3.IntegrityError):
            connection.execute("INSERT INTO child VALUES (9, 99)")
    assert rows(family) == before


def test_script_that_turns_foreign_keys_on_itself_loses_nothing(family: SQLiteUnderTest, folder):
    """The PRAGMA does nothing inside a transaction, and outside of one it does not outlast its script."""
    before = rows(family)
    source = folder(
        {
            "1_on": "-- transactional: false\nPRAGMA foreign_keys = ON;",
            "2_rebuild": f"SELECT 1;\nPRAGMA foreign_keys = ON;\n{REBUILD_UP}",
        }
    )
    upgrade(family.path, source)

    assert rows(family) == before


@pytest.mark.parametrize(
    "script",
    [
        "DELETE FROM grandparent WHERE id = 2;",
        "DELETE FROM parent WHERE id = 1;",
        "UPDATE grandparent SET id = 7 WHERE id = 1;",
        "INSERT INTO leaf VALUES (5, 5, 99);",
        "INSERT INTO child VALUES (9, 99);",
        "REPLACE INTO child VALUES (1, 99);",
        "DROP TABLE parent;",
        "ALTER TABLE child RENAME TO kid;\nUPDATE kid SET up = 99;",
        "CREATE TABLE n (id INTEGER PRIMARY KEY);\nDROP TABLE parent;\nALTER TABLE n RENAME TO parent;",
        "CREATE TABLE late (up REFERENCES nowhere);\nINSERT INTO late VALUES (1);",
        (
            "PRAGMA writable_schema = ON;\n"
            "UPDATE sqlite_master SET sql = replace(sql, 'parent', 'late') WHERE name = 'child';\n"
            "PRAGMA schema_version = 4711;"
        ),
        "CREATE TEMP TABLE child (x);\nDELETE FROM main.parent;",
    ],
)
def test_new_violation_fails_and_keeps_nothing(family: SQLiteUnderTest, folder, script):
    """A script after which a row points to no row fails as a whole."""
    before = rows(family), family.tables()

    with pytest.raises(errors.ForeignKeyViolations) as failure:
        upgrade(family.path, folder({"1_bad": script}))

    assert failure.value.violations
    assert (failure.value.hint or "").startswith("nothing of 1 was kept")
    assert failure.value.exit_code == 6
    assert (rows(family), family.tables()) == before
    assert family.ledgers().agreed == ()


def test_violation_names_table_row_and_parent(family: SQLiteUnderTest, folder):
    """The error's facts are those of PRAGMA foreign_key_check."""
    with pytest.raises(errors.ForeignKeyViolations) as failure:
        upgrade(family.path, folder({"1_bad": "INSERT INTO child VALUES (9, 99), (10, 99);"}))

    assert failure.value.violations == (("child", 9, "parent"), ("child", 10, "parent"))
    assert "child" in str(failure.value)


def test_violation_that_is_mended_in_the_same_script_is_none(family: SQLiteUnderTest, folder):
    """Only what stands at the end of a script counts."""
    script = "INSERT INTO child VALUES (9, 99);\nINSERT INTO parent VALUES (99, 1);"

    assert upgrade(family.path, folder({"1_fine": script})).applied == (1,)


def test_old_violations_are_tolerated(family: SQLiteUnderTest, folder):
    """Rows that pointed nowhere before do not stop a script that touches their table."""
    family.execute("INSERT INTO child VALUES (9, 99)", "INSERT INTO leaf VALUES (9, 9, 99)")
    script = "UPDATE child SET up = up;\nUPDATE leaf SET up = up;\nCREATE TABLE once (x);\nINSERT INTO once VALUES (1);"

    assert upgrade(family.path, folder({"1_touch": script})).applied == (1,)
    assert family.execute("SELECT count(*) FROM once") == [(1,)]
    assert family.ledgers().agreed == (1,)


def test_new_violation_beside_old_ones_fails(family: SQLiteUnderTest, folder):
    """Among a thousand old violations the one new one is found, and it alone is told."""
    family.execute(*(f"INSERT INTO child VALUES ({n}, {n})" for n in range(1000, 1100)))

    with pytest.raises(errors.ForeignKeyViolations) as failure:
        upgrade(family.path, folder({"1_bad": "INSERT INTO child VALUES (9, 99);"}))

    assert failure.value.violations == (("child", 9, "parent"),)


@pytest.mark.parametrize("script", ["INSERT INTO leaf VALUES (8, 8, 98);", "UPDATE leaf SET up = 98 WHERE a = 1;"])
def test_new_violation_beside_an_old_one_in_a_table_without_rowids_fails(family: SQLiteUnderTest, folder, script):
    """Where rows have no number to tell them apart, their count tells."""
    family.execute("INSERT INTO leaf VALUES (9, 9, 99)")

    with pytest.raises(errors.ForeignKeyViolations):
        upgrade(family.path, folder({"1_bad": script}))


def test_second_key_of_a_row_with_an_old_violation_is_watched_too(sqlite: SQLiteUnderTest, folder):
    """A row may point to one table with two keys; that one of them was broken before excuses only that one."""
    sqlite.execute(
        "CREATE TABLE p (id INTEGER PRIMARY KEY)",
        "INSERT INTO p VALUES (1)",
        "CREATE TABLE c (a REFERENCES p, b REFERENCES p)",
        "INSERT INTO c VALUES (77, 1)",
    )
    with pytest.raises(errors.ForeignKeyViolations):
        upgrade(sqlite.path, folder({"1_bad": "UPDATE c SET b = 88;"}))

    assert upgrade(sqlite.path, folder({"1_bad": "UPDATE c SET b = 1;"})).applied == (1,)


@pytest.mark.parametrize(
    "rebuild",
    [
        (
            "CREATE TABLE n (p REFERENCES p);\nINSERT INTO n SELECT p FROM c ORDER BY p;\n"
            "DROP TABLE c;\nALTER TABLE n RENAME TO c;"
        ),
        ("CREATE TABLE n (p REFERENCES P);\nINSERT INTO n SELECT p FROM c;\nDROP TABLE c;\nALTER TABLE n RENAME TO c;"),
        "ALTER TABLE c RENAME TO kid;",
        "ALTER TABLE c RENAME COLUMN p TO up;",
        "CREATE TABLE moved (p REFERENCES p);\nINSERT INTO moved SELECT p FROM c;\nDELETE FROM c;",
    ],
)
def test_old_violation_is_known_again_after_a_rebuild(sqlite: SQLiteUnderTest, folder, rebuild):
    """A rebuilt, renumbered, renamed or moved row that pointed nowhere before is no new violation."""
    sqlite.execute(
        "CREATE TABLE p (id INTEGER PRIMARY KEY)",
        "INSERT INTO p VALUES (1)",
        "CREATE TABLE c (p REFERENCES p)",
        "INSERT INTO c VALUES (1), (1), ('ghost'), (1), (CAST(x'ff' AS TEXT)), (x'ff'), (2.5)",
        "DELETE FROM c WHERE rowid IN (1, 4)",
    )
    assert upgrade(sqlite.path, folder({"1_rebuild": rebuild})).applied == (1,)


def test_check_that_is_interrupted_is_an_error(sqlite: SQLiteUnderTest, folder):
    """A check of the keys that cannot be finished says nothing of them: nothing is kept, and no key is blamed."""
    sqlite.execute(
        "CREATE TABLE p (id INTEGER PRIMARY KEY)", "CREATE TABLE c (p REFERENCES p)", "INSERT INTO c VALUES (7)"
    )
    checks: list[str] = []
    with closing(sqlite.connect()) as connection:
        connection.set_trace_callback(lambda sql: checks.append(sql) if "foreign_key_check" in sql else checks.clear())
        connection.set_progress_handler(lambda: bool(checks), 1)

        with pytest.raises(errors.DatabaseFailed, match="interrupted"):
            upgrade(connection, folder({"1_new": "INSERT INTO c VALUES (8);"}))

    assert sqlite.execute("SELECT p FROM c") == [(7,)]
    assert sqlite.ledgers().agreed == ()


def test_old_mismatch_is_tolerated(family: SQLiteUnderTest, folder):
    """A key whose parent's column is not unique is an old schema's fault, and not ours to fail on."""
    family.execute(
        "CREATE TABLE loose (x)", "CREATE TABLE bound (x REFERENCES loose (x))", "INSERT INTO bound VALUES (1)"
    )

    script = "INSERT INTO bound VALUES (2);\nDELETE FROM loose;"
    assert upgrade(family.path, folder({"1_touch": script, "2_rename": "ALTER TABLE leaf RENAME TO leaves;"})).applied


@pytest.mark.parametrize(
    "script",
    [
        "DROP INDEX unique_x;",
        "CREATE TABLE n (x);\nINSERT INTO n SELECT x FROM wide;\nDROP TABLE wide;\nALTER TABLE n RENAME TO wide;",
    ],
)
def test_new_mismatch_fails(sqlite: SQLiteUnderTest, folder, script):
    """A script after which a key could not be checked any more, so that every write would fail, fails itself."""
    sqlite.execute(
        "CREATE TABLE wide (x)",
        "CREATE UNIQUE INDEX unique_x ON wide (x)",
        "CREATE TABLE narrow (x REFERENCES wide (x))",
        "INSERT INTO wide VALUES (1)",
        "INSERT INTO narrow VALUES (1)",
    )
    with pytest.raises(errors.ForeignKeyViolations) as failure:
        upgrade(sqlite.path, folder({"1_bad": script}))

    assert failure.value.wrong_key == "narrow points to columns of wide that are not unique"
    assert str(failure.value).endswith("1 foreign key violation: narrow points to columns of wide that are not unique")
    assert failure.value.hint == "nothing of 1 was kept"


def test_unique_index_may_be_replaced(sqlite: SQLiteUnderTest, folder):
    """What stands at the end of a script counts: another unique index serves the key as well."""
    sqlite.execute(
        "CREATE TABLE wide (x)",
        "CREATE UNIQUE INDEX unique_x ON wide (x)",
        "CREATE TABLE narrow (x REFERENCES wide (x))",
    )
    script = "DROP INDEX unique_x;\nCREATE UNIQUE INDEX other ON wide (x);"

    assert upgrade(sqlite.path, folder({"1_fine": script})).applied == (1,)


def test_table_that_points_to_itself_is_checked(sqlite: SQLiteUnderTest, folder):
    """A tree in one table may be moved as a whole, and may not lose a root."""
    sqlite.execute("CREATE TABLE tree (id INTEGER PRIMARY KEY, up REFERENCES tree ON DELETE CASCADE)")
    sqlite.execute("INSERT INTO tree VALUES (1, NULL), (2, 1), (3, 2)")

    upgrade(sqlite.path, folder({"1_move": "UPDATE tree SET id = id + 10, up = up + 10;"}))
    with pytest.raises(errors.ForeignKeyViolations):
        upgrade(sqlite.path, folder({"2_cut": "DELETE FROM tree WHERE id = 11;"}))

    assert sqlite.execute("SELECT id, up FROM tree") == [(11, None), (12, 11), (13, 12)]


def test_composite_keys_are_checked(sqlite: SQLiteUnderTest, folder):
    """A key of two columns points to a pair; one with a NULL points nowhere, and may."""
    sqlite.execute(
        "CREATE TABLE p (a, b, PRIMARY KEY (a, b)) WITHOUT ROWID",
        "CREATE TABLE c (x, y, FOREIGN KEY (x, y) REFERENCES p (a, b))",
        "INSERT INTO p VALUES (1, 1), (1, 2)",
        "INSERT INTO c VALUES (1, 1), (9, 9)",
    )
    upgrade(sqlite.path, folder({"1_fine": "INSERT INTO c VALUES (1, 2), (5, NULL);"}))

    with pytest.raises(errors.ForeignKeyViolations) as failure:
        upgrade(sqlite.path, folder({"2_bad": "INSERT INTO c VALUES (2, 1);"}))
    assert len(failure.value.violations) == 1


def test_rows_that_a_trigger_changes_are_checked(family: SQLiteUnderTest, folder):
    """What a script changes through a trigger or a view counts as its own doing."""
    family.execute(
        "CREATE TABLE quiet (x)",
        "CREATE TRIGGER loud AFTER INSERT ON quiet BEGIN DELETE FROM parent WHERE id = new.x; END",
        "CREATE VIEW door AS SELECT id FROM parent",
        "CREATE TRIGGER push INSTEAD OF DELETE ON door BEGIN DELETE FROM parent WHERE id = old.id; END",
    )
    for script in ("INSERT INTO quiet VALUES (1);", "DELETE FROM door WHERE id = 2;"):
        with pytest.raises(errors.ForeignKeyViolations):
            upgrade(family.path, folder({"1_bad": script}))


NAMES = (
    "select",
    "Grüße",
    "GRÜSSE",
    "a b",
    'a"b',
    "a'b",
    "[a]",
    "a`b",
    "a.b",
    "a;b",
    "--",
    "%s",
    "{0}",
    "1",
    "tábla ADD x",
)


@pytest.mark.parametrize("name", NAMES)
def test_odd_names_are_quoted(sqlite: SQLiteUnderTest, folder, name):
    """Tables and columns may be called anything."""
    quoted = '"' + name.replace('"', '""') + '"'
    parent, child = f'"p{quoted[1:]}', f'"c{quoted[1:]}'
    sqlite.execute(
        f"CREATE TABLE {parent} ({quoted} INTEGER PRIMARY KEY)",
        f"CREATE TABLE {child} ({quoted} REFERENCES {parent} ON DELETE CASCADE)",
        f"INSERT INTO {parent} VALUES (1)",
        f"INSERT INTO {child} VALUES (1), (99)",
    )
    upgrade(sqlite.path, folder({"1_fine": f"UPDATE {child} SET {quoted} = {quoted};"}))
    upgrade(sqlite.path, folder({"2_fine": f"ALTER TABLE {child} RENAME COLUMN {quoted} TO plain;"}))

    for script in (f"DELETE FROM {parent};", f"INSERT INTO {child} VALUES (7);"):
        with pytest.raises(errors.ForeignKeyViolations):
            upgrade(sqlite.path, folder({"3_bad": script}))


def test_script_may_ask_for_foreign_keys(family: SQLiteUnderTest, folder):
    """`-- foreign-keys: on` is for a script that lives on cascades; the next script has them off again."""
    source = folder(
        {
            "1_cascade": "-- foreign-keys: on\nDELETE FROM grandparent WHERE id = 1;",
            "2_rebuild": REBUILD_UP,
        }
    )
    upgrade(family.path, source)

    assert rows(family) == [[(3, 2)], [(3, 3), (4, 3)], [(2, 1, 3), (2, 2, 4)]]


def test_enforced_foreign_key_fails_at_its_statement(family: SQLiteUnderTest, folder):
    """With `-- foreign-keys: on` SQLite itself refuses, at the line that breaks the key."""
    source = folder({"1_bad": "-- foreign-keys: on\nSELECT 1;\nINSERT INTO child VALUES (9, 99);"})

    with pytest.raises(errors.ExecutionFailed, match="FOREIGN KEY constraint failed") as failure:
        upgrade(family.path, source)
    assert failure.value.line == 3


@pytest.mark.parametrize("head", ["", "PRAGMA defer_foreign_keys = ON;\n"])
def test_enforced_deferred_key_fails_before_the_commit(family: SQLiteUnderTest, folder, head):
    """A deferred key that is broken at the end is told as the violation that it is."""
    deferred = "CREATE TABLE d (up REFERENCES child DEFERRABLE INITIALLY DEFERRED);\nINSERT INTO d VALUES (99);"

    with pytest.raises(errors.ForeignKeyViolations):
        upgrade(family.path, folder({"1_bad": f"-- foreign-keys: on\n{head}{deferred}"}))
    assert "d" not in family.tables()


def test_renamed_parent_keeps_its_children(family: SQLiteUnderTest, folder):
    """A rename changes what the children point to, and loses no row."""
    before = rows(family, ("child", "leaf"))
    source = folder(
        {"1_up": "ALTER TABLE parent RENAME TO elder;", "1_up.rollback": "ALTER TABLE elder RENAME TO parent;"}
    )

    upgrade(family.path, source)
    assert 'REFERENCES "elder"' in family.tables()["child"]
    rollback(family.path, source)

    assert rows(family, ("child", "leaf")) == before
