"""The verbs `verify`, `indexes` and `optimize`: their tables, their JSON, and their exit statuses."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import pytest
from small_shop import SHOP

from torc_migrations.cli import main


class Result(NamedTuple):
    status: int
    out: str
    err: str


Run = Callable[..., Result]


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """A function that runs a verb with these words on a database and a source, where no configuration file is found."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DATABASE_URL", raising=False)

    def run_verb(*words: str, database: Path | None = None, source: str | None = None) -> Result:
        named = ["-d", str(database)] if database else []
        status = main([*words, *named, *(["-s", source] if source else ["--torc"]), "--no-dotenv"])
        return Result(status, *capfd.readouterr())

    return run_verb


def test_verify_says_which_index_each_query_uses(run: Run, torc_file: Path):
    """A line for each expectation and a sum; all of them hold, and the status says so."""
    result = run("verify", database=torc_file)

    assert result.status == 0
    assert "ok      jobs of a workflow: idx_job_workflow_id\n" in result.out
    assert result.out.endswith("22 of 22 expectations hold\n")
    assert result.err == ""


def test_verify_fails_with_the_plan_and_the_reason(run: Run, torc_file: Path):
    """A failure has its place, what was expected, the plan in the format of the sqlite3 shell, and the reason."""
    with closing(sqlite3.connect(torc_file)) as connection:
        connection.execute("DROP INDEX idx_event_workflow_id")

    result = run("verify", database=torc_file)
    assert result.status == 1
    failure = result.out[result.out.index("failed") :].splitlines()[:5]
    assert failure[0].startswith("failed  events of a workflow (")
    assert [line.strip() for line in failure[1:]] == [
        "expected  SEARCH event USING INDEX idx_event_workflow_id (workflow_id=?)",
        "QUERY PLAN",
        "`--SCAN event",
        "there is no index idx_event_workflow_id in this database",
    ]
    assert result.out.endswith("21 of 22 expectations hold\n")


def test_verify_fresh_needs_no_database(run: Run, write):
    """An empty database is made from the source, in memory."""
    result = run("verify", "--fresh", source=write(SHOP))

    assert (result.status, result.out) == (
        0,
        "ok      purchases of a customer: idx_purchase_customer\n1 of 1 expectation holds\n",
    )


@pytest.mark.parametrize("verb", ["verify", "indexes", "optimize"])
def test_without_a_database_each_is_an_error(run: Run, verb):
    """Every verb says how to name one."""
    result = run(verb)

    assert (result.status, result.out) == (2, "")
    assert result.err.startswith("error: no database is named\nhint: ")
    assert "DATABASE_URL" in result.err


def test_verify_writes_json(run: Run, torc_file: Path):
    """A program gets every finding, and the status is the same."""
    with closing(sqlite3.connect(torc_file)) as connection:
        connection.execute("DROP INDEX idx_job_workflow_id")

    result = run("--json", "verify", database=torc_file)
    told = json.loads(result.out)
    assert (result.status, told["ok"], len(told["findings"])) == (1, False, 22)
    assert sum(not finding["ok"] for finding in told["findings"]) == 2


def test_indexes_prints_the_table(run: Run, torc_file: Path):
    """Seventeen on eleven tables, and in JSON the same."""
    result = run("indexes", database=torc_file)
    told = json.loads(run("--json", "indexes", database=torc_file).out)

    assert "17 indexes on 11 tables" in result.out
    assert sum(not index["automatic"] for index in told["indexes"]) == 17


def test_what_is_unknown_is_a_note(run: Run, write, torc_file: Path):
    """Notes go to standard error, so that standard output has only the table."""
    result = run("indexes", database=torc_file, source=write({"1_a.sql": "CREATE TABLE a (x);"}))

    assert result.err.startswith("note: which index is used is unknown: ")


def test_optimize_prints_before_and_after(run: Run, torc_file: Path):
    """A line for each statement, with its time and the sizes after it; the JSON has the same."""
    lines = run("optimize", "--vacuum", database=torc_file).out.splitlines()
    told = json.loads(run("--json", "optimize", database=torc_file).out)

    assert [line.split("  ")[0] for line in lines[1:]] == ["before", "ANALYZE", "PRAGMA optimize", "VACUUM"]
    assert [measure["name"] for measure in told["measures"]] == ["ANALYZE", "PRAGMA optimize"]


def test_the_command_knows_the_verbs(torc_file: Path):
    """From the shell: the exit status tells whether the expectations hold, and the help shows how to write one."""
    with closing(sqlite3.connect(torc_file)) as connection:
        connection.execute("DROP INDEX idx_event_workflow_id")

    def command(*words: str) -> subprocess.CompletedProcess[str]:
        line = [sys.executable, "-m", "torc_migrations", *words]
        return subprocess.run(line, cwd=torc_file.parent, capture_output=True, text=True, check=False)

    failed = command("-d", str(torc_file), "verify")
    assert (failed.returncode, failed.stderr) == (1, "")
    assert "there is no index idx_event_workflow_id in this database" in failed.stdout
    assert command("verify", "--fresh", "--torc").returncode == 0
    assert "-- expect: SEARCH job USING INDEX" in command("verify", "--help").stdout
    assert command("indexes").returncode == 2
    assert command("-d", str(torc_file), "optimize", "--lock-timeout", "1").returncode == 0
