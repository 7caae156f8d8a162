"""The shipped expectations hold on a fresh database, and the failure names an index that is missing."""

from __future__ import annotations

import json
import re
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from small_shop import SHOP

from torc_migrations import errors, status, upgrade, verify
from torc_migrations.databases.sqlite.tuning.plans import explain
from torc_migrations.indexes.inspect import inspect_indexes
from torc_migrations.indexes.verify import Finding

REDUNDANT = {"idx_compute_node_workflow_id", "idx_job_workflow_id", "idx_result_job_id", "idx_workflow_user"}
UNUSED = {
    "idx_resource_requirements_sort_gpus_memory_runtime",
    "idx_resource_requirements_sort_gpus_runtime_memory",
}
NEEDED = (
    "idx_compute_node_workflow_active",
    "idx_event_workflow_id",
    "idx_job_blocked_by_blocked_by_job_id",
    "idx_job_input_file_file_id",
    "idx_job_input_user_data_user_data_id",
    "idx_job_output_file_file_id",
    "idx_job_output_user_data_user_data_id",
    "idx_job_workflow_status",
    "idx_result_run_id",
    "idx_result_workflow_id",
    "idx_workflow_user_archived",
)


def failed(findings: tuple[Finding, ...]) -> list[Finding]:
    return [finding for finding in findings if not finding.ok]


@pytest.mark.parametrize("finding", verify(fresh=True), ids=str)
def test_every_shipped_expectation_holds_on_a_fresh_database(finding: Finding):
    """Without statistics SQLite has the plan that each expectation describes."""
    assert finding.ok, finding.as_text()


def test_the_seventeen_are_eleven_four_and_two(torc):
    """The report divides the indexes: needed, redundant, used by no expectation."""
    created = inspect_indexes(torc).created
    redundant = {index.name for index in created if index.redundant_to}
    unused = {index.name for index in created if index.unused}

    assert redundant == REDUNDANT
    assert unused == UNUSED
    assert {index.name for index in created} - redundant - unused == set(NEEDED)


@pytest.mark.parametrize("index", NEEDED)
def test_without_a_needed_index_verify_fails_by_its_name(torc, index):
    """Without any one of the eleven a finding fails, and says which index is missing."""
    torc.execute(f"DROP INDEX {index}")

    findings = failed(verify(torc))
    assert findings
    assert all(f"there is no index {index} in this database" in finding.notes for finding in findings)
    assert all(index in finding.as_text() for finding in findings)


@pytest.mark.parametrize("index", sorted(REDUNDANT))
def test_without_a_redundant_index_another_one_is_used(torc, index):
    """The finding fails, but the query searches the same columns in the longer index."""
    torc.execute(f"DROP INDEX {index}")

    findings = failed(verify(torc))
    assert findings
    for finding in findings:
        (missing,) = finding.missing
        searched = re.escape(missing).replace(index, r"\w+")
        assert any(re.fullmatch(searched, text) for text in finding.plan.texts), finding.as_text()


@pytest.mark.parametrize("index", sorted(UNUSED))
def test_without_an_unused_index_nothing_changes(torc, index):
    """No query of the document reads the two indexes on resource_requirements."""
    torc.execute(f"DROP INDEX {index}")

    assert not failed(verify(torc))


def test_a_page_of_jobs_needs_the_redundant_index(torc):
    """An index ends with the rowid: the narrow one has the jobs of a workflow in order, the longer one does not."""
    torc.execute("DROP INDEX idx_job_workflow_id")

    (page,) = [finding for finding in verify(torc) if finding.refused]
    assert str(page) == "a page of the jobs of a workflow"
    assert page.refused == ("USE TEMP B-TREE FOR ORDER BY",)


@pytest.mark.parametrize(
    ("query", "line"),
    [
        ("SELECT * FROM job WHERE workflow_id = 1", "SEARCH job USING INDEX idx_job_workflow_id (workflow_id=?)"),
        (
            "SELECT * FROM job WHERE workflow_id = 1 AND status = 1",
            "SEARCH job USING INDEX idx_job_workflow_status (workflow_id=? AND status=?)",
        ),
    ],
)
def test_the_plans_of_the_document_hold_literally(torc, query, line):
    """The plans in the document are those of the sqlite3 shell, without ANALYZE."""
    assert explain(torc, query).as_text() == f"QUERY PLAN\n`--{line}"


def test_the_line_of_the_document_is_listed(torc):
    """The listing says that the index migration is installed."""
    assert "20251105030141/installed add database indexes\n" in status(torc).as_text()


def test_of_two_equal_indexes_the_later_one_is_used_and_the_finding_says_so(torc):
    """An index that is created again comes last, and SQLite uses it for a query that another one should serve."""
    torc.executescript("DROP INDEX idx_result_run_id; CREATE INDEX idx_result_run_id ON result(run_id);")

    (finding,) = failed(verify(torc))
    assert str(finding) == "results of a run of a workflow"
    assert "SQLite uses idx_result_run_id" in finding.notes[0]
    assert "created last" in finding.notes[0]
    assert "idx_result_workflow_id was created before it" in finding.notes[0]


def test_statistics_of_few_rows_make_sqlite_scan_and_a_fresh_database_does_not(torc):
    """For a single row a scan is right, which says nothing about the schema."""
    torc.execute("INSERT INTO workflow_status DEFAULT VALUES")
    torc.execute("INSERT INTO workflow (name, user, timestamp, status_id) VALUES ('w', 'u', 'now', 1)")
    torc.commit()
    torc.execute("ANALYZE")

    live = failed(verify(torc))
    assert {str(finding) for finding in live} == {
        "workflows of a user",
        "workflows of a user that are not archived",
    }
    assert all(note.startswith("workflow had 1 row when ANALYZE ran: ") for finding in live for note in finding.notes)
    assert not failed(verify(torc, fresh=True))


def test_a_live_database_is_only_read(torc_file: Path):
    """Verifying changes no byte of the file, and leaves no file beside it."""
    with closing(sqlite3.connect(torc_file)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
    before = torc_file.read_bytes()

    assert not failed(verify(f"sqlite:///{torc_file}"))
    assert torc_file.read_bytes() == before
    assert [path.name for path in torc_file.parent.iterdir()] == ["torc.db"]


def test_a_connection_is_given_back_as_it_was(torc):
    """A lent connection keeps its row factory, and no transaction stays open."""
    torc.row_factory = sqlite3.Row
    verify(torc)

    assert torc.row_factory is sqlite3.Row
    assert not torc.in_transaction


def test_after_a_change_of_the_schema_the_plan_is_the_new_one(torc):
    """The driver caches statements, and a cached EXPLAIN would return the plan of the old schema."""
    assert not failed(verify(torc))
    torc.execute("DROP INDEX idx_event_workflow_id")

    assert [str(finding) for finding in failed(verify(torc))] == ["events of a workflow"]


def test_a_missing_database_is_an_error_and_stays_missing(tmp_path: Path):
    """An empty file is not created and then verified."""
    with pytest.raises(errors.CannotOpen, match="there is no database") as failure:
        verify(tmp_path / "none.db")

    assert "fresh=True" in failure.value.hint
    assert "--fresh" in failure.value.command_hint
    assert list(tmp_path.iterdir()) == []


def test_no_database_is_needed_for_a_fresh_one_only():
    """Without a database and without `fresh` there is nothing to verify."""
    with pytest.raises(errors.UrlError, match="no database is named"):
        verify()


def test_any_source_is_verified(write):
    """Another schema's expectations work as the shipped ones do, fresh and on a database of its own."""
    source = write(SHOP)
    with closing(sqlite3.connect(":memory:")) as connection:
        upgrade(connection, source)
        (live,) = verify(connection, source)
    (fresh,) = verify(source=source, fresh=True)

    assert live == fresh
    assert fresh.ok
    assert fresh.indexes == ("idx_purchase_customer",)


def test_a_query_without_a_plan_is_a_finding(write):
    """A query that SQLite cannot compile fails with its message; the others are still verified."""
    source = write({**SHOP, "verify/z.sql": "-- name: lost\n-- expect: SCAN x\nSELECT * FROM nowhere;"})

    good, lost = verify(source=source, fresh=True)
    assert good.ok
    assert lost.error == "no such table: nowhere"
    assert "does not have the schema of the query" in lost.notes[0]


@pytest.mark.parametrize("query", ["PRAGMA user_version = 7", "SELECT 1; SELECT 2", "DROP TABLE purchase", "SELEC 1"])
def test_nothing_but_a_query_is_explained(write, query):
    """A statement that could change something is refused, and not run."""
    text = f"-- name: odd\n-- refuse: SCAN\n{query};".replace("; SELECT", " UNION SELEC")
    source = write({**SHOP, "verify/z.sql": text})

    _, odd = verify(source=source, fresh=True)
    assert odd.error


def test_a_finding_can_be_written_as_json(torc):
    """The JSON has everything that the text has."""
    torc.execute("DROP INDEX idx_event_workflow_id")
    (finding,) = failed(verify(torc))

    told = json.loads(json.dumps(finding.as_dict()))
    assert told["name"] == "events of a workflow"
    assert told["ok"] is False
    assert told["tree"] == "QUERY PLAN\n`--SCAN event"
    assert told["missing"] == ["SEARCH event USING INDEX idx_event_workflow_id (workflow_id=?)"]
    assert told["path"].endswith("results.sql")
