"""A rehearsal and a round trip report what a table loses that is dropped and made again, and who did it."""

from __future__ import annotations

import pytest
from database_under_test import SQLiteUnderTest

from torc_migrations import Migrator, rehearse
from torc_migrations.rehearsals.report import Loss

TABLES = (
    "CREATE TABLE t (x)",
    "CREATE INDEX i ON t (x)",
    "CREATE INDEX j ON t (x)",
    "CREATE TRIGGER fired AFTER INSERT ON t BEGIN SELECT 1; END",
    "INSERT INTO t VALUES (1), (2), (2)",
)
NEW_FIRST = "CREATE TABLE n (x);\nINSERT INTO n SELECT x FROM t{where};\nDROP TABLE t;\nALTER TABLE n RENAME TO t;\n"
OLD_FIRST = "ALTER TABLE t RENAME TO o;\nCREATE TABLE t (x);\nINSERT INTO t SELECT x FROM o{where};\nDROP TABLE o;\n"


@pytest.fixture
def database(sqlite: SQLiteUnderTest) -> SQLiteUnderTest:
    """A table with rows, two indexes and a trigger."""
    sqlite.execute(*TABLES)
    return sqlite


@pytest.mark.parametrize("rebuild", [NEW_FIRST, OLD_FIRST])
def test_indexes_and_triggers_that_go_with_a_rebuilt_table_are_reported(database: SQLiteUnderTest, folder, rebuild):
    """Those that the script drops itself, or makes again, are not."""
    script = f"DROP INDEX j;\n{rebuild.format(where='')}"
    source = folder({"1_b": script, "2_c": "CREATE TABLE other (x);"})

    rehearsal = rehearse(database.path, source)

    assert sorted(rehearsal.steps[0].objects) == ["index i", "trigger fired"]
    assert rehearsal.steps[1].objects == ()
    assert "1: index i goes with its table, which is made again without it\n" in rehearsal.as_text()
    assert rehearsal.as_dict()["loses"] is True


def test_what_is_made_again_is_not_lost(database: SQLiteUnderTest, folder):
    """Under its own name it is there."""
    script = NEW_FIRST.format(where="") + ";\n".join(TABLES[1:4])

    rehearsal = rehearse(database.path, folder({"1_b": f"{script};"}))

    assert rehearsal.steps[0].objects == ()


@pytest.mark.parametrize("rebuild", [NEW_FIRST, OLD_FIRST])
def test_drop_is_no_excuse_for_rows_of_a_table_that_is_made_again(database: SQLiteUnderTest, folder, rebuild):
    """The loss is one that the script does not name, and `on_loss="refuse"` refuses it."""
    rehearsal = rehearse(database.path, folder({"1_b": rebuild.format(where=" WHERE x = 1")}))

    assert rehearsal.losses == (Loss("t", 3, 1, named=False, rebuilt=True),)
    assert rehearsal.refusal is not None
    assert "no DELETE for it, but makes it again" in rehearsal.as_text()


def test_delete_is_one(database: SQLiteUnderTest, folder):
    """A script that deletes the rows itself means it."""
    script = f"DELETE FROM t WHERE x = 2;\n{NEW_FIRST.format(where='')}"

    (loss,) = rehearse(database.path, folder({"1_b": script})).losses

    assert loss.named


@pytest.mark.parametrize(
    ("up", "down", "finding"),
    [
        (NEW_FIRST, "SELECT 1;", "its up script drops index i, and its down script does not bring it back"),
        ("SELECT 1;", "DROP INDEX i;", "its down script drops index i, which was there before"),
        (
            "DROP TRIGGER fired;",
            "SELECT 1;",
            "its up script drops trigger fired, and its down script does not bring it back",
        ),
        (
            "DELETE FROM t WHERE x = 1;",
            "SELECT 1;",
            "its up script leaves table t with 2 of its 3 rows, and its down script does not undo that",
        ),
        ("SELECT 1;", "DELETE FROM t WHERE x = 1;", "its down script leaves table t with 2 of its 3 rows"),
    ],
)
def test_round_trip_names_the_script_that_did_it(database: SQLiteUnderTest, folder, up, down, finding):
    """What the up script dropped is not laid to the down script."""
    source = folder({"1_b": up.format(where=""), "1_b.rollback": down})

    findings = Migrator(database.path, source).round_trip().findings

    assert f"1: {finding}" in findings
