"""A process that forks while it migrates: its child is told, and neither can harm the other."""

from __future__ import annotations

import os

import pytest
from database_under_test import SQLiteUnderTest, ladder, python

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")

LONG = (
    "CREATE TABLE long (x);\nINSERT INTO long VALUES (1);\n"
    "INSERT INTO long WITH RECURSIVE n (i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 1000000)\n"
    "SELECT count(*) FROM n;"
)

# Begins an upgrade in a thread, forks in the middle of its long script, and has the child do something.
FORK = """
import os, sqlite3, sys, threading, time, warnings
import torc_migrations.ledgers.yoyo
from torc_migrations import Migrator, errors, status, upgrade
warnings.simplefilter("ignore")  # since 3.12 Python itself warns of a fork beside a thread
path, source, other, act = sys.argv[1:]
if "lent" in act:  # before the fork: to connect in the child, SQLite itself might wait for a thread that is not there
    lent = sqlite3.connect(path, check_same_thread=False)
thread = threading.Thread(target=upgrade, args=(path, source))
thread.start()
while not os.path.exists(path + "-journal") and thread.is_alive():
    time.sleep(0.001)
assert thread.is_alive()
pid = os.fork()
if pid == 0:
    try:
        exec(act)
    except errors.MigrationError as error:
        print(type(error).__name__, error.exit_code, str(error).replace(path, "app.db"), "|", error.hint, flush=True)
    finally:
        os._exit(0)
assert os.waitpid(pid, 0)[1] == 0
thread.join()
assert status(path, source).clean
"""


@pytest.mark.parametrize(
    "act",
    [
        "status(path, source)",
        "upgrade(lent, source)",
        "upgrade(other, source)",
    ],
)
def test_child_of_a_fork_in_the_middle_of_an_upgrade_is_told_at_once(sqlite: SQLiteUnderTest, folder, act):
    """SQLite would have the child wait for itself or for a thread that is not there, and read what is half-written."""
    source = folder({**ladder(2), "3_long": LONG})
    sqlite.execute("CREATE TABLE there_already (x)")

    said = python(FORK, sqlite.path, source, sqlite.path.with_name("other.db"), act)

    assert said.startswith("CannotOpen 2 this process was forked from process ")
    assert "while that one used 'app.db'" in said
    assert "spawn" in said
    assert sqlite.ledgers().agreed == (1, 2, 3)
    assert sqlite.execute("SELECT x FROM long") == [(1,), (1000000,)]


def test_child_of_a_fork_that_ends_as_python_ends_harms_nothing(sqlite: SQLiteUnderTest, folder):
    """What the child clears away at its end is its own."""
    source = folder({**ladder(2), "3_long": LONG})

    assert python(FORK, sqlite.path, source, "", "os._exit = sys.exit") == ""
    assert sqlite.execute("PRAGMA integrity_check") == [("ok",)]
    assert sqlite.ledgers().agreed == (1, 2, 3)


def test_child_of_a_fork_between_two_upgrades_is_free(sqlite: SQLiteUnderTest, folder):
    """What was closed before the fork is open to everybody again."""
    source = folder(ladder(3))
    code = (
        "import os, sys\nfrom torc_migrations import upgrade\n"
        "upgrade(*sys.argv[1:], target=1)\n"
        "if os.fork() == 0:\n    print(upgrade(*sys.argv[1:]).applied, flush=True)\n    os._exit(0)\n"
        "os.wait()\n"
    )

    assert python(code, sqlite.path, source) == "(2, 3)\n"
