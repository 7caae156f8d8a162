"""Query plans are read without running the query, and in the format of any version of SQLite."""

from __future__ import annotations

import sqlite3

import pytest

from torc_migrations.databases.results.plans import PlanLine, QueryPlan, begins_with, normalised
from torc_migrations.databases.sqlite.tuning.plans import can_be_explained, explain, index_in

SCHEMA = """
    CREATE TABLE job (id INTEGER PRIMARY KEY, workflow INTEGER, name TEXT UNIQUE, status INTEGER);
    CREATE INDEX "an index (odd)" ON job (status);
    CREATE INDEX idx_workflow ON job (workflow);
    CREATE TABLE plain (x, y);
    CREATE TABLE pair (a, b, PRIMARY KEY (a, b)) WITHOUT ROWID;
"""


@pytest.fixture
def connection():
    connection = sqlite3.connect(":memory:")
    connection.executescript(SCHEMA)
    yield connection
    connection.close()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("SEARCH TABLE job USING INDEX i (a=?)", "SEARCH job USING INDEX i (a=?)"),
        ("SCAN TABLE job", "SCAN job"),
        ("SCAN TABLE job AS j", "SCAN j"),
        ("SEARCH   job  USING INDEX i", "SEARCH job USING INDEX i"),
        ("SCAN tables", "SCAN tables"),
    ],
)
def test_old_lines_are_read_as_new_ones(old, new):
    """SQLite before 3.36 wrote TABLE and AS where it now writes the alias alone."""
    assert normalised(old) == new


@pytest.mark.parametrize(
    ("line", "words", "says"),
    [
        ("SCAN job", "SCAN job", True),
        ("SCAN job USING INDEX i", "SCAN job", True),
        ("SCAN jobs", "SCAN job", False),
        ("SCAN job", "SCAN job USING INDEX i", False),
        ("SEARCH job USING INDEX i (a=?)", "SEARCH TABLE job USING INDEX i", True),
        ("SEARCH job USING INDEX i2 (a=?)", "SEARCH job USING INDEX i", False),
    ],
)
def test_a_line_is_compared_word_by_word(line, words, says):
    """A line matches if it is the same, or goes on after a space."""
    assert begins_with(line, words) is says


@pytest.mark.parametrize(
    ("query", "indexes", "scans"),
    [
        ("SELECT * FROM job WHERE workflow = 1", ("idx_workflow",), ()),
        ("SELECT workflow FROM job", ("idx_workflow",), ("SCAN job USING COVERING INDEX idx_workflow",)),
        ("SELECT * FROM job", (), ("SCAN job",)),
        ("DELETE FROM job WHERE name LIKE '%x'", (), ("SCAN job",)),
        ("SELECT * FROM job WHERE name = 'x'", ("sqlite_autoindex_job_1",), ()),
        ("SELECT * FROM job WHERE id IN (SELECT a FROM pair WHERE a = 1)", (), ()),
        ("SELECT * FROM pair WHERE a = 1", (), ()),
        ("SELECT 1", (), ()),
        ("VALUES (1), (2)", (), ()),
        ("WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n LIMIT 9) SELECT * FROM n", (), ()),
        ("SELECT * FROM json_each('[1]')", (), ()),
        ("SELECT * FROM job WHERE workflow = 1 OR name = 'x'", ("idx_workflow", "sqlite_autoindex_job_1"), ()),
    ],
)
def test_indexes_and_scans_are_found(connection, query, indexes, scans):
    """A plan has its indexes and its scans; to read what the query itself made is no scan of a table."""
    plan = explain(connection, query)

    assert plan.indexes == indexes
    assert plan.scans == scans


def test_an_index_that_is_built_for_one_query_counts_as_a_scan(connection):
    """SQLite builds an automatic index at every call if there is none."""
    plan = explain(connection, "SELECT * FROM plain AS one JOIN plain AS two ON one.x = two.y")

    assert [scan.partition("(")[0].strip() for scan in plan.scans] == [
        "SCAN one",
        "SEARCH two USING AUTOMATIC COVERING INDEX",
    ]


@pytest.mark.parametrize(
    "query",
    [
        "SELECT * FROM job WHERE workflow = :workflow AND status = @status OR name = $name",
        "SELECT * FROM job WHERE workflow = ? AND status = ? LIMIT ?",
        "SELECT * FROM job WHERE workflow = ?2 AND status = ?1",
        "SELECT * FROM job",
        "UPDATE job SET status = ? WHERE workflow = ?",
        "INSERT INTO job (name) VALUES (:name)",
    ],
)
def test_parameters_need_no_values(connection, query):
    """Each parameter is NULL, whether it has a name, a number or neither."""
    explain(connection, query)

    assert connection.execute("SELECT COUNT(*) FROM job").fetchone() == (0,)


def test_explaining_changes_nothing(connection):
    """The row factory, the text factory, an open transaction and the count of changes stay as they are."""
    connection.execute("INSERT INTO job (name) VALUES ('a')")
    connection.row_factory = sqlite3.Row
    connection.text_factory = bytes
    changes = connection.total_changes

    plan = explain(connection, "UPDATE job SET name = 'b' WHERE workflow = 1")

    assert plan.texts == ("SEARCH job USING INDEX idx_workflow (workflow=?)",)
    assert connection.in_transaction
    assert (connection.total_changes, connection.row_factory, connection.text_factory) == (changes, sqlite3.Row, bytes)
    connection.rollback()


@pytest.mark.parametrize("sql", ["PRAGMA foreign_keys = ON", "DROP TABLE job", "ATTACH ':memory:' AS x", "", "-- only"])
def test_what_may_take_effect_is_never_explained(connection, sql):
    """A PRAGMA may take effect while it is compiled, so only queries are given to SQLite."""
    assert not can_be_explained(sql)
    with pytest.raises(ValueError, match="have a plan"):
        explain(connection, sql)


def test_a_comment_before_a_query_hides_nothing():
    """The first word counts, after any comments."""
    assert can_be_explained("/* jobs */ -- all\n  select 1")


def test_the_tree_has_the_format_of_the_shell():
    """Branches begin with `|--`, the last one with `--`, and their children are indented."""
    lines = ((2, 0, "CO-ROUTINE n"), (5, 2, "SETUP"), (6, 5, "SCAN CONSTANT ROW"), (17, 2, "STEP"), (28, 0, "SCAN n"))
    plan = QueryPlan(tuple(PlanLine(*line) for line in lines))

    assert plan.as_text() == "\n".join(
        [
            "QUERY PLAN",
            "|--CO-ROUTINE n",
            "|  |--SETUP",
            "|  |  `--SCAN CONSTANT ROW",
            "|  `--STEP",
            "`--SCAN n",
        ]
    )
    assert QueryPlan().as_text() == "QUERY PLAN"


@pytest.mark.parametrize(
    ("line", "index"),
    [
        ("SEARCH job USING INDEX i (a=?)", "i"),
        ("SEARCH job USING COVERING INDEX i (a=? AND b>?) LEFT-JOIN", "i"),
        ("SCAN job USING COVERING INDEX i", "i"),
        ("USING INDEX i FOR IN-OPERATOR", "i"),
        ("SEARCH job USING INTEGER PRIMARY KEY (rowid=?)", None),
        ("SEARCH job USING AUTOMATIC COVERING INDEX (a=?)", None),
        ("SCAN job", None),
    ],
)
def test_an_index_is_found_in_a_line(line, index):
    """The name comes after INDEX; a rowid and an automatic index have none."""
    assert index_in(line) == index
