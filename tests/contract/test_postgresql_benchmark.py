"""The comparison with other tools on PostgreSQL runs, and the page shows what it measured."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from database_under_test import environment
from servers import HOW, find_programs

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_a_small_comparison_on_postgresql_runs(tmp_path: Path):
    """Each tool applies and finds nothing to do, and one script is run through the driver and through ours."""
    if find_programs() is None:
        pytest.skip(HOW)
    results = tmp_path / "results.json"
    words = ["--rounds", "1", "--migrations", "2", "--inserts", "3", "--results", str(results)]
    command = [sys.executable, "-m", "benchmarks.services.postgresql", *words]

    subprocess.run(command, cwd=ROOT, env=environment(), check=True, capture_output=True, text=True)

    found = json.loads(results.read_text())
    measured = {(row["work"], row["tool"]) for row in found["rows"] if row["runs"] == 1}
    assert measured >= {(work, tool) for work in ("apply", "noop") for tool in ("torc_migrations", "yoyo")}
    assert {tool for work, tool in measured if work == "script"} == {
        "psycopg execute",
        "torc_migrations",
        "the script in it",
    }
