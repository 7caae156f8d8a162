"""A process is killed at each statement of a run: the dirty row tells the truth, and a repair leads to the end."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path

import pytest
from database_under_test import FULL_SIZE, PATIENCE, environment

PROGRAM = Path(__file__).parent / "killed_mariadb.py"
# A run has about 150 statements, and each attempt makes a database: usually some of them are tried, from a random one.
STEP = 29
FIRSTS = list(range(1, STEP + 1)) if FULL_SIZE else [random.randint(1, STEP)]


@pytest.mark.slow
@pytest.mark.parametrize("first", FIRSTS, ids=lambda _: "")
@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("direction", ["up", "down"])
def test_killed_at_any_statement_and_repaired(mariadb_server, direction, moment, first):
    """Before a statement is sent, and after it, while the server runs it, the note of how far a script is is right."""
    command = [sys.executable, str(PROGRAM), mariadb_server.socket, direction, moment, str(first), str(STEP)]

    done = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=PATIENCE * 2, check=False)

    assert done.returncode == 0, f"from {first} by {STEP}: {done.stderr}"
    assert json.loads(done.stdout)["deaths"] > 2
