"""The report on indexes has the size of each, what uses it, and whether it is redundant or a duplicate."""

from __future__ import annotations

import json
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import pytest
from small_shop import SHOP

from torc_migrations import errors, upgrade
from torc_migrations.databases.results.indexes import Column, Index
from torc_migrations.indexes.inspect import inspect_indexes
from torc_migrations.indexes.report import IndexReport


def report_on(schema: str, source: str | None = None) -> dict[str, Index]:
    """Return the report's indexes by name for a schema of its own."""
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.executescript(schema)
        return {index.name: index for index in inspect_indexes(connection, source).indexes}


def test_the_shipped_schema_has_seventeen_on_eleven_tables(torc):
    """The numbers of the document are those of the schema."""
    report = inspect_indexes(torc)

    assert len(report.created) == 17
    assert len({index.table for index in report.created}) == 11
    assert "17 indexes on 11 tables, and 12 automatic indexes\n4 redundant, 0 duplicate, 2 used by no expectation" in (
        report.as_text()
    )


def test_the_four_redundant_ones_are_named_with_their_reason(torc):
    """A prefix of another index, or of the one that guards UNIQUE (job_id, run_id)."""
    redundant = {index.name: index.redundant_to for index in inspect_indexes(torc).created if index.redundant_to}

    assert redundant == {
        "idx_compute_node_workflow_id": "idx_compute_node_workflow_active",
        "idx_job_workflow_id": "idx_job_workflow_status",
        "idx_result_job_id": "sqlite_autoindex_result_1",
        "idx_workflow_user": "idx_workflow_user_archived",
    }


def test_the_text_says_it_in_a_line_each(torc):
    """The line of an index says whether it is redundant, unused or automatic."""
    lines = {line.split()[0]: line for line in inspect_indexes(torc).as_text().splitlines() if line}

    assert "redundant, idx_job_workflow_status begins with the same columns" in lines["idx_job_workflow_id"]
    assert "used by jobs of a workflow, a page of the jobs of a workflow" in lines["idx_job_workflow_id"]
    assert "used by no expectation" in lines["idx_resource_requirements_sort_gpus_memory_runtime"]
    assert "automatic, UNIQUE; used by the result of a job in a run" in lines["sqlite_autoindex_result_1"]


def test_rows_bytes_and_selectivity_are_those_of_sqlite(torc_file: Path):
    """Sizes come from dbstat, rows are counted exactly, and the rows of one value come from ANALYZE."""
    with closing(sqlite3.connect(torc_file)) as connection:
        rows = [(number % 10 + 1, f"{number}") for number in range(2000)]
        connection.executemany("INSERT INTO event (workflow_id, timestamp, data) VALUES (?, ?, 'x')", rows)
        connection.commit()
        connection.execute("ANALYZE")
        ((size,),) = connection.execute("SELECT SUM(pgsize) FROM dbstat WHERE name = 'idx_event_workflow_id'")

    report = inspect_indexes(torc_file)
    (index,) = [index for index in report.indexes if index.name == "idx_event_workflow_id"]
    assert (index.rows, index.size, index.rows_per_value) == (2000, size, (200,))
    assert index.selectivity == 0.1
    assert report.share(index) == size / torc_file.stat().st_size
    assert report.file_size == torc_file.stat().st_size


def test_without_dbstat_sizes_are_said_to_be_unknown(torc):
    """SQLite may be built without dbstat; the rest of the report is complete."""

    def deny_dbstat(action: int, name: str | None, *_: object) -> int:
        return sqlite3.SQLITE_DENY if action == sqlite3.SQLITE_READ and name == "dbstat" else sqlite3.SQLITE_OK

    torc.set_authorizer(deny_dbstat)
    report = inspect_indexes(torc)
    torc.set_authorizer(None)

    assert {index.size for index in report.indexes} == {None}
    assert "has no dbstat" in report.notes[0]
    assert len(report.created) == 17
    assert " - " in report.as_text()


@pytest.mark.parametrize(
    ("definition", "redundant_to"),
    [
        ("CREATE INDEX short ON t (a)", "long"),
        ("CREATE INDEX short ON t (a, b)", "long"),
        ("CREATE INDEX short ON t (b)", None),
        ("CREATE INDEX short ON t (a DESC)", None),
        ("CREATE INDEX short ON t (a COLLATE NOCASE)", None),
        ("CREATE INDEX short ON t (a) WHERE b > 1", None),
        ("CREATE INDEX short ON t (lower(a))", None),
        ("CREATE UNIQUE INDEX short ON t (a)", None),
    ],
)
def test_only_a_plain_prefix_is_redundant(definition, redundant_to):
    """An index with another direction or collation, a condition, an expression or a constraint is not redundant."""
    indexes = report_on(f"CREATE TABLE t (a, b, c); CREATE INDEX long ON t (a, b, c); {definition};")

    assert indexes["short"].redundant_to == redundant_to
    assert indexes["long"].redundant_to is None


def test_a_partial_index_makes_only_one_with_the_same_condition_redundant():
    """A condition excludes rows; two indexes with the same condition are compared like any two."""
    indexes = report_on(
        "CREATE TABLE t (a, b); CREATE INDEX plain ON t (a);"
        "CREATE INDEX some ON t (a, b) WHERE b  IS NOT NULL AND (a > 1);"
        "CREATE INDEX fewer ON t (a) WHERE b IS NOT NULL AND (a > 1);"
    )

    assert indexes["plain"].redundant_to is None
    assert indexes["some"].partial == "b IS NOT NULL AND (a > 1)"
    assert indexes["fewer"].redundant_to == "some"


@pytest.mark.parametrize(
    ("definitions", "duplicates"),
    [
        ("CREATE INDEX one ON t (a, b); CREATE INDEX two ON t (a, b)", {"two": "one"}),
        ("CREATE INDEX one ON t (u)", {"one": "sqlite_autoindex_t_1"}),
        ("CREATE UNIQUE INDEX one ON t (u)", {"one": "sqlite_autoindex_t_1"}),
        ("CREATE INDEX one ON t (a); CREATE UNIQUE INDEX two ON t (a)", {"one": "two"}),
        ("CREATE INDEX one ON t (id)", {"one": "rowid"}),
        ("CREATE INDEX one ON t (a); CREATE INDEX two ON t (a DESC)", {}),
        ("CREATE INDEX one ON t (a + 1); CREATE INDEX two ON t (a + 1)", {}),
        ("CREATE INDEX one ON t (id, a)", {}),
    ],
)
def test_duplicates_are_found_and_the_stronger_one_stays(definitions, duplicates):
    """Of two equal indexes the constraint stays, or else the first; indexes that differ are not duplicates."""
    indexes = report_on(f"CREATE TABLE t (id INTEGER PRIMARY KEY, a, b, u UNIQUE); {definitions};")

    assert {index.name: index.duplicate_of for index in indexes.values() if index.duplicate_of} == duplicates


def test_columns_say_their_direction_collation_and_expressions():
    """The report shows an index as it was defined."""
    indexes = report_on("CREATE TABLE t (a, b); CREATE INDEX i ON t (a COLLATE NOCASE DESC, length(b));")

    assert indexes["i"].columns == (Column("a", descending=True, collation="NOCASE"), Column(None))
    assert [str(column) for column in indexes["i"].columns] == ["a COLLATE NOCASE DESC", "<expression>"]


def test_a_table_without_rowid_is_its_own_index():
    """Its primary key has no pages of its own, and has the size of the table."""
    indexes = report_on("CREATE TABLE t (a, b, PRIMARY KEY (a, b)) WITHOUT ROWID; INSERT INTO t VALUES (1, 2), (3, 4);")

    key = indexes["sqlite_autoindex_t_1"]
    assert key.is_table
    assert (key.rows, key.size) == (2, 4096)


@pytest.mark.parametrize(
    ("definition", "unindexed"),
    [
        ("CREATE INDEX i ON child (p)", False),
        ("CREATE INDEX i ON child (p, x)", False),
        ("CREATE INDEX i ON child (P DESC)", False),
        ("CREATE INDEX i ON child (x, p)", True),
        ("CREATE INDEX i ON child (p) WHERE x > 1", True),
        ("CREATE INDEX i ON child (abs(p))", True),
        ("SELECT 1", True),
    ],
)
def test_a_key_is_indexed_if_an_index_begins_with_it(definition, unindexed):
    """A delete in the parent table looks for its children; without an index SQLite reads all of them."""
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.executescript(
            "CREATE TABLE parent (id INTEGER PRIMARY KEY);"
            f"CREATE TABLE child (x, p REFERENCES parent ON DELETE SET NULL); {definition};"
        )
        keys = inspect_indexes(connection).unindexed_keys

    assert [str(key) for key in keys] == (["child(p) -> parent"] if unindexed else [])


def test_a_key_of_two_columns_is_served_in_either_order():
    """The columns of the key must come first in the index, in any order; the rowid serves a key on itself."""
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.executescript("""
            CREATE TABLE parent (a, b, PRIMARY KEY (a, b));
            CREATE TABLE served (x, y, FOREIGN KEY (x, y) REFERENCES parent(a, b));
            CREATE INDEX i ON served (y, x);
            CREATE TABLE lost (x, y, FOREIGN KEY (x, y) REFERENCES parent(a, b));
            CREATE INDEX j ON lost (x);
            CREATE TABLE same (id INTEGER PRIMARY KEY REFERENCES served(rowid));
        """)
        keys = inspect_indexes(connection).unindexed_keys

    assert [key.table for key in keys] == ["lost"]


def test_the_keys_of_the_shipped_schema_without_an_index_are_sixteen(torc):
    """Deleting a workflow reads nine whole tables; the report names them."""
    report = inspect_indexes(torc)

    assert len(report.unindexed_keys) == 16
    assert sum(key.other_table == "workflow" for key in report.unindexed_keys) == 9
    assert "job_blocked_by(workflow_id) -> workflow, on delete cascade" in report.as_text()
    assert not [key for key in report.unindexed_keys if key.table in ("job_internal", "event")]


def test_without_expectations_use_is_unknown(write):
    """Without expectations it is unknown which index is used, and no index is reported as unused."""
    source = write({name: text for name, text in SHOP.items() if not name.startswith("verify")})
    with closing(sqlite3.connect(":memory:")) as connection:
        upgrade(connection, source)
        report = inspect_indexes(connection, source)

    assert not any(index.unused for index in report.indexes)
    assert "which index is used is unknown" in report.notes[0]


def test_with_another_schema_than_that_of_the_expectations_use_is_unknown():
    """The shipped expectations say nothing about a database with another schema."""
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.executescript("CREATE TABLE t (a); CREATE INDEX i ON t (a);")
        report = inspect_indexes(connection)

    assert not report.indexes[0].unused
    assert "no expectation of this source fits this database" in report.notes[0]


def test_a_broken_expectation_is_an_error(write):
    """A mistake in the files of the source is an error."""
    source = write({**SHOP, "verify/z.sql": "SELECT 1;"})
    with closing(sqlite3.connect(":memory:")) as connection, pytest.raises(errors.BadScript, match="has no name"):
        inspect_indexes(connection, source)


def test_a_connection_is_given_back_as_it_was(torc):
    """The row factory and the settings of the owner are restored, and nothing is written."""
    torc.row_factory = lambda cursor, row: {"row": row}
    before = torc.total_changes, torc.execute("PRAGMA recursive_triggers").fetchone()
    factory = torc.row_factory

    assert len(inspect_indexes(torc).created) == 17
    assert torc.row_factory is factory
    assert (torc.total_changes, torc.execute("PRAGMA recursive_triggers").fetchone()) == before


@pytest.mark.skipif(sys.version_info < (3, 12), reason="sqlite3 has no `autocommit` before 3.12")
def test_a_connection_in_autocommit_mode_is_as_good_as_any(torc_file: Path):
    """sqlite-utils refuses it, so it is in the old mode meanwhile."""
    with closing(sqlite3.connect(torc_file, autocommit=True)) as connection:
        assert len(inspect_indexes(connection).created) == 17
        assert connection.autocommit is True
        assert not connection.in_transaction


def test_unusual_names_and_objects_are_reported():
    """Quotes, blanks, virtual tables, views and an empty database."""
    indexes = report_on("""
        CREATE TABLE "it's odd" (`a "b"`, 'c');
        CREATE INDEX "an 'index'" ON "it's odd" (`a "b"`);
        CREATE VIEW v AS SELECT 1;
        CREATE VIRTUAL TABLE words USING fts5 (text);
    """)

    assert indexes["an 'index'"].columns == (Column('a "b"'),)
    assert IndexReport((), (), 0, 0).as_text().startswith("no indexes\n")


def test_a_table_that_cannot_be_read_is_left_out_with_a_note(torc_file: Path):
    """A virtual table without its module does not prevent the report on the others."""
    with closing(sqlite3.connect(torc_file)) as connection:
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute(
            "INSERT INTO sqlite_master VALUES ('table', 'ghost', 'ghost', 0, 'CREATE VIRTUAL TABLE ghost USING gone')"
        )
        connection.commit()

    report = inspect_indexes(torc_file)
    assert len(report.created) == 17
    assert report.notes == ("table ghost is left out: no such module: gone",)


def test_one_index_is_counted_in_the_singular():
    """Each number is followed by the right form of its noun."""
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.executescript("CREATE TABLE t (a, b UNIQUE); CREATE INDEX i ON t (a);")

        assert "1 index on 1 table, and 1 automatic index\n" in inspect_indexes(connection).as_text()


def test_the_report_can_be_written_as_json(torc):
    """The JSON has everything that the table has."""
    told = json.loads(json.dumps(inspect_indexes(torc).as_dict()))

    (index,) = [index for index in told["indexes"] if index["name"] == "idx_result_job_id"]
    assert index["redundant_to"] == "sqlite_autoindex_result_1"
    assert index["used_by"] == ["results of a job"]
    assert index["foreign_keys"] == [
        {"table": "result", "columns": ["job_id"], "other_table": "job", "on_delete": "CASCADE"}
    ]
    assert len(told["foreign_keys_without_index"]) == 16
