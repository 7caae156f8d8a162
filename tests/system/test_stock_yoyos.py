"""Several stock `yoyo apply` at one moment: the next upgrade finds a database that it can complete.

`TORC_MIGRATIONS_TESTS=full pytest tests/system/test_stock_yoyos.py --log-cli-level=INFO` runs 20 rounds of each race
and shows how many stock yoyos failed.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from pathlib import Path

import pytest
from database_under_test import PATIENCE, SQLiteUnderTest, expect_line, ladder, sized, start_python

from torc_migrations import upgrade

LOG = logging.getLogger(__name__)
MIGRATIONS = 6
PROCESSES = 8
ROUNDS = sized(1, 20)

# Loads the command of yoyo, prints that it has, and waits for the moment in its standard input.
STOCK_YOYO = """
import sys, time
from yoyo.scripts.main import main
print("ready", flush=True)
moment = float(sys.stdin.readline())
while time.monotonic() < moment:
    pass
main(["apply", "-b", "-d", *sys.argv[1:]])
"""


def failures_of_race(path: Path, source: str) -> list[str]:
    """Run stock yoyo in eight processes at one moment, and return the last line of each that failed."""
    processes = [start_python(STOCK_YOYO, f"sqlite:///{path}", source) for _ in range(PROCESSES)]
    for process in processes:
        expect_line(process, "ready")
    moment = f"{time.monotonic() + 0.1}\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write(moment)
        process.stdin.flush()
    ended = [(process.communicate(timeout=PATIENCE)[1], process.returncode) for process in processes]
    return [printed.strip().rpartition("\n")[2] for printed, status in ended if status]


@pytest.mark.slow
@pytest.mark.parametrize("journal", ["delete", "wal"])
@pytest.mark.parametrize("installed", [0, 2])
def test_upgrade_completes_what_racing_stock_yoyos_leave(sqlite: SQLiteUnderTest, folder, installed, journal):
    """Stock yoyos may fail, but after the next upgrade every migration is there once, and both ledgers agree."""
    source = folder(ladder(MIGRATIONS))
    failures: Counter[str] = Counter()
    for _ in range(ROUNDS):
        sqlite.execute(f"PRAGMA journal_mode = {journal}")
        if installed:
            upgrade(sqlite.path, source, target=installed)
        failures.update(failures_of_race(sqlite.path, source))
        upgrade(sqlite.path, source)

        versions = tuple(range(1, MIGRATIONS + 1))
        assert sqlite.ledgers().agreed == versions
        assert [sqlite.execute(f"SELECT x FROM t{version}") for version in versions] == [[(n,)] for n in versions]
        for file in sqlite.path.parent.glob(f"{sqlite.path.name}*"):
            file.unlink()

    runs = ROUNDS * PROCESSES
    LOG.info("%s, %d installed: %d of %d failed: %s", journal, installed, failures.total(), runs, dict(failures))
