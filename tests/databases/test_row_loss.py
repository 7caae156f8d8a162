"""A script that drops what other tables point to takes none of their rows with it, unless it deletes them itself."""

from __future__ import annotations

import logging
import sqlite3
from contextlib import closing

import pytest
from database_under_test import SQLiteUnderTest

from torc_migrations import errors, rollback, upgrade

BY_TRIGGER = "CREATE TRIGGER sweep AFTER DELETE ON grandparent BEGIN DELETE FROM parent WHERE up = old.id; END"
REBUILD = """
CREATE TABLE grandparent_new (id INTEGER PRIMARY KEY, name TEXT, age INTEGER);
INSERT INTO grandparent_new (id, name) SELECT id, name FROM grandparent;
DROP TABLE grandparent;
ALTER TABLE grandparent_new RENAME TO grandparent;
"""
EMPTYING_REBUILD = REBUILD.replace("DROP TABLE", "DELETE FROM grandparent;\nDROP TABLE")
LEVELS = ("grandparent", "parent", "child", "leaf")


def counts(database: SQLiteUnderTest) -> list[int]:
    """Return the number of rows of each table of the family."""
    return [database.execute(f"SELECT count(*) FROM {table}")[0][0] for table in LEVELS]


@pytest.fixture
def swept(family: SQLiteUnderTest) -> SQLiteUnderTest:
    """A family whose children go by triggers, which no PRAGMA switches off."""
    family.execute(
        BY_TRIGGER,
        "CREATE TRIGGER sweep_child AFTER DELETE ON parent BEGIN DELETE FROM child WHERE up = old.id; END",
        "CREATE TRIGGER sweep_leaf AFTER DELETE ON child BEGIN DELETE FROM leaf WHERE up = old.id; END",
    )
    return family


def test_rows_that_go_with_a_dropped_parent_are_refused(swept: SQLiteUnderTest, folder):
    """Three levels of children are emptied by triggers; all of them are named, and nothing is kept."""
    with pytest.raises(errors.RowsLost) as failure:
        upgrade(swept.path, folder({"1_rebuild": EMPTYING_REBUILD}))

    assert failure.value.lost == (("child", 4, 0), ("leaf", 4, 0), ("parent", 3, 0))
    assert (failure.value.table, failure.value.before, failure.value.after) == ("child", 4, 0)
    assert failure.value.step.migration.version == 1
    assert counts(swept) == [2, 3, 4, 4]
    assert swept.ledgers().agreed == ()


def test_rows_that_a_script_deletes_itself_may_go(swept: SQLiteUnderTest, folder):
    """A DELETE or DROP TABLE in the script is meant; how the name is written does not matter."""
    deletes = 'DELETE FROM "LEAF";\nDELETE FROM main.child;\nWITH x AS (SELECT 1) DELETE FROM [Parent];\n'

    assert upgrade(swept.path, folder({"1_rebuild": deletes + EMPTYING_REBUILD})).applied == (1,)
    assert counts(swept) == [2, 0, 0, 0]


def test_a_delete_of_another_script_is_no_excuse(swept: SQLiteUnderTest, folder):
    """What counts is what the script says that loses the rows."""
    with pytest.raises(errors.RowsLost):
        upgrade(swept.path, folder({"1_one": "DELETE FROM child WHERE id = 4;", "2_rebuild": EMPTYING_REBUILD}))
    assert swept.ledgers().agreed == (1,)


def test_script_that_asks_for_foreign_keys_wants_its_cascades(family: SQLiteUnderTest, folder):
    """With `-- foreign-keys: on` a dropped parent takes its children with it, and that is what was asked for."""
    upgrade(family.path, folder({"1_rebuild": f"-- foreign-keys: on\n{REBUILD}"}))

    assert counts(family) == [2, 0, 0, 0]


@pytest.mark.parametrize(
    "drop",
    [
        "drop table grandparent;",
        "DROP /* the old one */ TABLE IF EXISTS main.grandparent;",
        "-- the old one\nDrOp\n-- away\ntAbLe [grandparent];",
        'DROP TABLE "GRANDPARENT";',
        "ALTER TABLE grandparent RENAME TO old;\nDROP TABLE old;",
    ],
)
def test_a_dropped_parent_is_noticed_however_it_is_written(swept: SQLiteUnderTest, folder, drop):
    """SQLite's parser says which table a DROP TABLE names; one that is renamed first is watched as well."""
    script = f"DELETE FROM parent WHERE id = 3;\n{drop}"
    with pytest.raises(errors.RowsLost) as failure:
        upgrade(swept.path, folder({"1_drop": f"DELETE FROM grandparent;\n{script}"}))

    assert [table for table, _, _ in failure.value.lost] == ["child", "leaf"]


def test_rows_replaced_away_are_refused(family: SQLiteUnderTest, folder):
    """REPLACE deletes rows, and says so nowhere."""
    script = f"UPDATE OR REPLACE child SET id = 1 WHERE id = 2;\n{REBUILD}"

    with pytest.raises(errors.RowsLost, match="1 of 4 rows of child"):
        upgrade(family.path, folder({"1_rebuild": script}))


def test_rebuilt_child_that_loses_rows_is_the_scripts_own_doing(family: SQLiteUnderTest, folder):
    """A child that is rebuilt itself is named in a DROP TABLE."""
    script = (
        f"{REBUILD}CREATE TABLE leaf_new (a INTEGER, b INTEGER, up INTEGER REFERENCES child);\n"
        "INSERT INTO leaf_new SELECT * FROM leaf WHERE a = 1;\nDROP TABLE leaf;\nALTER TABLE leaf_new RENAME TO leaf;"
    )
    upgrade(family.path, folder({"1_rebuild": script}))

    assert counts(family) == [2, 3, 4, 2]


def test_renamed_child_keeps_its_rows(family: SQLiteUnderTest, folder):
    """A child that has another name afterwards has not lost its rows."""
    upgrade(family.path, folder({"1_rebuild": f"{REBUILD}ALTER TABLE leaf RENAME TO leaves;"}))

    assert family.execute("SELECT count(*) FROM leaves") == [(4,)]


def test_losses_are_told_beside_old_violations(swept: SQLiteUnderTest, folder):
    """Rows that pointed nowhere before make a script run twice; the rows are counted both times."""
    swept.execute("INSERT INTO leaf VALUES (9, 9, 99)")
    upgrade(swept.path, folder({"1_rebuild": REBUILD}))
    assert counts(swept) == [2, 3, 4, 5]
    swept.execute(BY_TRIGGER)

    with pytest.raises(errors.RowsLost):
        upgrade(swept.path, folder({"2_rebuild": EMPTYING_REBUILD.replace(", age", ", age INTEGER, more")}))
    assert counts(swept) == [2, 3, 4, 5]


@pytest.mark.parametrize(
    ("script", "counted"),
    [
        ("CREATE INDEX i ON child (up);", False),
        ("CREATE TABLE note (x DEFAULT 'drop table');\nINSERT INTO note VALUES ('DROP TABLE child;');", False),
        ("DROP TABLE alone;", False),
        (REBUILD, True),
    ],
)
def test_nothing_is_counted_where_no_parent_is_dropped(family: SQLiteUnderTest, folder, script, counted):
    """The guard costs no reading of tables unless something is dropped that others point to."""
    family.execute("CREATE TABLE alone (x)")
    seen: list[str] = []
    with closing(family.connect()) as connection:
        connection.set_trace_callback(seen.append)
        upgrade(connection, folder({"1_script": script}))

    assert any("count(*)" in sql for sql in seen) is counted


@pytest.mark.parametrize("value", ["ON", "OFF"])
def test_a_pragma_that_does_nothing_is_named(family: SQLiteUnderTest, folder, caplog, value):
    """SQLite ignores PRAGMA foreign_keys inside a transaction, silently; the log says so, once."""
    family.execute("INSERT INTO leaf VALUES (9, 9, 99)")  # makes the script run twice
    with caplog.at_level(logging.WARNING, logger="torc_migrations"):
        upgrade(
            family.path, folder({"1_touch": f"SELECT 1;\nPRAGMA foreign_keys = {value};\nUPDATE leaf SET up = up;"})
        )

    (record,) = caplog.records
    assert record.getMessage().startswith(folder({}))
    assert "1_touch.sql: its PRAGMA foreign_keys does nothing in a transaction" in record.getMessage()


@pytest.mark.parametrize(
    "script",
    [
        "PRAGMA foreign_keys;",
        "PRAGMA defer_foreign_keys = ON;",
        "-- transactional: false\nPRAGMA foreign_keys = ON;",
        "COMMIT;\nPRAGMA foreign_keys = OFF;\nBEGIN;",
    ],
)
def test_a_pragma_that_does_something_is_not(family: SQLiteUnderTest, folder, caplog, script):
    """Asking is no switch, and outside of a transaction the switch works."""
    with caplog.at_level(logging.WARNING, logger="torc_migrations"):
        upgrade(family.path, folder({"1_ask": script}))

    assert [record for record in caplog.records if "does nothing" in record.getMessage()] == []


def test_a_run_in_one_transaction_is_guarded_too(swept: SQLiteUnderTest, folder, caplog):
    """The script that loses the rows is the one that is named, the other's DELETE is no excuse, and all is undone."""
    source = folder(
        {"1_one": "PRAGMA foreign_keys = OFF;\nDELETE FROM child WHERE id = 4;", "2_rebuild": EMPTYING_REBUILD}
    )
    with caplog.at_level(logging.WARNING, logger="torc_migrations"), pytest.raises(errors.RowsLost) as failure:
        upgrade(swept.path, source, atomic=True)

    assert failure.value.step.migration.version == 2
    assert failure.value.lost[0] == ("child", 3, 0)
    assert (counts(swept), swept.ledgers().agreed) == ([2, 3, 4, 4], ())
    assert ["1_one.sql: its PRAGMA" in record.getMessage() for record in caplog.records] == [True]


def test_side_by_side_naive_and_ours(family: SQLiteUnderTest, folder, tmp_path):
    """The table of docs/reliability.md: the same rebuild, up and down, by hand with foreign keys on, and by us."""
    down = REBUILD.replace(", age INTEGER)", ")")
    before = counts(family)
    with closing(family.connect()) as source, closing(sqlite3.connect(tmp_path / "naive.db")) as target:
        source.backup(target)
    naive = SQLiteUnderTest(tmp_path / "naive.db")
    with closing(naive.connect()) as connection:
        connection.execute("PRAGMA foreign_keys = ON")
        connection.executescript(f"BEGIN; {REBUILD} COMMIT; BEGIN; {down} COMMIT;")

    source = folder({"1_rebuild": REBUILD, "1_rebuild.rollback": down})
    upgrade(family.path, source)
    rollback(family.path, source)

    assert (before, counts(naive), counts(family)) == ([2, 3, 4, 4], [2, 0, 0, 0], [2, 3, 4, 4])
    assert naive.execute("PRAGMA foreign_key_check") == []
