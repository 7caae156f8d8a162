"""Measure a test suite with the pytest plugin, and the same suite that runs every migration in each test."""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

SQL = Path(__file__).parents[2] / "sql"
# Both tests write one row and read it.
SUITE = """
import sqlite3
from contextlib import closing

import pytest
from torc_migrations import upgrade

{fixture}

@pytest.mark.parametrize("number", range({tests}))
def test_one(number, {name}):
    with closing(sqlite3.connect({name})) as connection:
        connection.execute("INSERT INTO workflow_status (run_id) VALUES (7)")
        connection.commit()
        assert connection.execute("SELECT run_id FROM workflow_status").fetchone() == (7,)
"""
REPLAY = """
@pytest.fixture
def replayed(tmp_path):
    upgrade(tmp_path / "app.db", {source!r})
    return tmp_path / "app.db"
"""
KINDS = {"copy of a template": ("", "migrated_database"), "replay in each test": (REPLAY, "replayed")}


def main() -> None:
    """Run both suites several times and print the times."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tests", type=int, default=1000, help="how many tests the suite has")
    parser.add_argument("--rounds", type=int, default=3, help="how often each suite runs")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        here = Path(directory)
        times: dict[str, list[float]] = {kind: [] for kind in KINDS}
        for _ in range(options.rounds):
            for kind, (fixture, name) in KINDS.items():
                text = SUITE.format(fixture=fixture.format(source=str(SQL)), name=name, tests=options.tests)
                times[kind].append(_run(here, text))
    for kind, taken in times.items():
        print(f"{kind}: {median(taken):.2f} s for {options.tests} tests ({', '.join(f'{each:.2f}' for each in taken)})")


def _run(here: Path, text: str) -> float:
    (here / "test_suite.py").write_text(text)
    words = [sys.executable, "-m", "pytest", "-q", "-o", f"torc_migrations_source={SQL}", "test_suite.py"]
    began = time.perf_counter()
    subprocess.run(words, cwd=here, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
