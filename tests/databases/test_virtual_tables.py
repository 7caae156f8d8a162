"""A virtual table that a script leaves unreadable is refused, and a full-text index that it leaves stale is named."""

from __future__ import annotations

import pytest
from database_under_test import SQLiteUnderTest

from torc_migrations import errors, rehearse, round_trip, upgrade

CONTENT = ("CREATE TABLE p (id INTEGER PRIMARY KEY, a TEXT)", "INSERT INTO p VALUES (1, 'x')")
INDEX = "CREATE VIRTUAL TABLE f USING fts5 (a, content = 'p', content_rowid = 'id')"
FILL = "INSERT INTO f (f) VALUES ('rebuild')"
REBUILD = (
    "CREATE TABLE n (id INTEGER PRIMARY KEY, a TEXT, b);\nINSERT INTO n (id, a) SELECT id, {} FROM p;\n"
    "DROP TABLE p;\nALTER TABLE n RENAME TO p;"
)


@pytest.mark.parametrize(
    ("index", "script"),
    [
        ("fts5 (a, content = 'p', content_rowid = 'id')", "DROP TABLE p;"),
        ("fts5 (a, content = 'p', content_rowid = 'id')", "ALTER TABLE p RENAME TO q;"),
        ("fts5 (a, content = 'p', content_rowid = 'id')", "ALTER TABLE p RENAME COLUMN a TO b;"),
        ("FTS5(a, content=p)", "DROP TABLE p;"),
        ("fts4 (content='p', a)", "DROP TABLE p;"),
        ("fts5 (a)", "DROP TABLE f_data;"),
        ("fts5 (a)", "DROP TABLE f_content;"),
        ("rtree (id, low, high)", "DROP TABLE f_node;"),
    ],
)
def test_virtual_table_whose_tables_are_gone_is_refused(sqlite: SQLiteUnderTest, folder, index, script):
    """SQLite itself accepts all of it, and every later search fails."""
    sqlite.execute(*CONTENT, f"CREATE VIRTUAL TABLE f USING {index}")

    with pytest.raises(errors.SchemaBroken) as failure:
        upgrade(sqlite.path, folder({"1_b": script}))

    assert [title for title, _ in failure.value.broken] == ["virtual table f"]
    assert upgrade(sqlite.path, folder({}), allow_broken_schema=True).applied == (1,)


def test_vocabulary_of_an_index_that_is_dropped_is_refused(sqlite: SQLiteUnderTest, folder):
    """One virtual table may need another one."""
    sqlite.execute("CREATE VIRTUAL TABLE f USING fts5 (a)", "CREATE VIRTUAL TABLE w USING fts5vocab (f, row)")

    with pytest.raises(errors.SchemaBroken) as failure:
        upgrade(sqlite.path, folder({"1_b": "DROP TABLE f;"}))

    assert [title for title, _ in failure.value.broken] == ["virtual table w"]


def test_rebuild_of_the_indexed_table_and_a_drop_of_both_pass(sqlite: SQLiteUnderTest, folder):
    """To look at an index neither locks it nor keeps it open."""
    sqlite.execute(*CONTENT, INDEX, FILL)
    scripts = {"1_b": REBUILD.format("a"), "2_c": "DROP TABLE f;\nDROP TABLE p;"}

    assert upgrade(sqlite.path, folder(scripts)).applied == (1, 2)


def test_virtual_table_that_did_not_work_before_is_no_error(sqlite: SQLiteUnderTest, folder):
    """What was broken before a script is not its fault."""
    sqlite.execute(*CONTENT, INDEX, "DROP TABLE p")

    assert upgrade(sqlite.path, folder({"1_b": "CREATE TABLE p (id INTEGER PRIMARY KEY, b);"})).applied == (1,)


@pytest.mark.parametrize(
    ("script", "stale"),
    [
        ("INSERT INTO p VALUES (2, 'y');", ("f",)),
        ("UPDATE p SET a = 'z';", ("f",)),
        ("DELETE FROM p;", ("f",)),
        (REBUILD.format("'z'"), ("f",)),
        (REBUILD.format("upper(a)"), ()),
        ("CREATE VIRTUAL TABLE g USING fts5 (a, content = 'p', content_rowid = 'id');", ("g",)),
        (f"INSERT INTO p VALUES (2, 'y');\n{FILL};", ()),
        ("CREATE TABLE other (x);\nINSERT INTO other VALUES (1);", ()),
    ],
)
def test_rehearsal_names_an_index_that_does_not_match_its_table(sqlite: SQLiteUnderTest, folder, script, stale):
    """FTS5 compares the two on the copy; the text is the same whatever the case of its letters."""
    sqlite.execute(*CONTENT, INDEX, FILL)

    rehearsal = rehearse(sqlite.path, folder({"1_b": script}))

    assert rehearsal.steps[0].stale == stale
    assert rehearsal.as_dict()["steps"][0]["stale"] == list(stale)
    line = "after 1, full-text index {0} does not match its table: INSERT INTO {0} ({0}) VALUES ('rebuild')\n"
    assert [line.format(name) in rehearsal.as_text() for name in stale] == [True] * len(stale)


def test_round_trip_names_an_index_that_is_not_filled(folder):
    """It is a note, because the application may fill it."""
    scripts = {"1_a": ";\n".join((*CONTENT, INDEX)) + ";", "1_a.rollback": "DROP TABLE f;\nDROP TABLE p;"}

    trips = round_trip(None, folder(scripts)).trips

    assert trips[0].ok
    assert trips[0].notes == ("full-text index f does not match its table: INSERT INTO f (f) VALUES ('rebuild')",)
