"""A process that holds the lock and is killed does not delay the upgrade that waits for it.

`TORC_MIGRATIONS_TESTS=full pytest tests/system/test_killed_holders.py --log-cli-level=INFO` kills 30 holders and shows
the times.
"""

from __future__ import annotations

import logging
import threading
import time
from pathlib import Path
from statistics import median

import pytest
from database_under_test import FULL_SIZE, PATIENCE, SQLiteUnderTest, expect_line, ladder, sized, start_python

from torc_migrations import rollback, upgrade

LOG = logging.getLogger(__name__)

# How long a holder lives after the upgrade has begun to wait: the pauses between two attempts grow with the wait.
SECONDS_HELD = (0.5, 2.0, 5.0) if FULL_SIZE else (0.5,)
KILLS = sized(1, 5)

# Takes the write lock and changes something, and holds the lock until it is killed.
HOLDER = """
import sqlite3, sys, time
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
connection.execute("CREATE TABLE half_way (x)")
print("ready", flush=True)
time.sleep(600)
"""


def seconds_after_kill(path: Path, source: str, seconds_held: float) -> float:
    """Return the time from the kill of a holder to the end of the upgrade that waits for it."""
    holder = start_python(HOLDER, path)
    expect_line(holder, "ready")
    waiter = threading.Thread(target=upgrade, args=(path, source))
    waiter.start()
    time.sleep(seconds_held)
    assert waiter.is_alive()
    holder.kill()
    killed = time.monotonic()
    waiter.join(PATIENCE)
    seconds = time.monotonic() - killed
    holder.communicate(timeout=PATIENCE)
    return seconds


@pytest.mark.slow
@pytest.mark.parametrize("journal", ["delete", "wal"])
def test_upgrade_goes_on_at_once_when_the_holder_is_killed(sqlite: SQLiteUnderTest, folder, journal):
    """The time from the kill to the end of the upgrade is under two seconds, after a wait of any length."""
    source = folder(ladder(1))
    sqlite.execute(f"PRAGMA journal_mode = {journal}", "CREATE TABLE x (x)")
    times = []
    for seconds_held in SECONDS_HELD * KILLS:
        times.append(seconds_after_kill(sqlite.path, source, seconds_held))

        assert sqlite.ledgers().agreed == (1,)
        assert "half_way" not in sqlite.tables()
        rollback(sqlite.path, source)

    LOG.info("%s: %d kills, median %.2f s, longest %.2f s", journal, len(times), median(times), max(times))
    assert max(times) < 2
