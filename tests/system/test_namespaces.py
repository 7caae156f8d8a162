"""Others in another container: their process numbers mean nothing here, their locks do."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time

import pytest
from database_under_test import (
    PATIENCE,
    SQLiteUnderTest,
    command,
    environment,
    expect_line,
    ladder,
    sized,
    start_python,
)
from namespaces import allowed, within, words

from torc_migrations import errors, upgrade

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or not allowed("--pid", "--fork"), reason="no namespaces of processes can be made here"
)

HOLDER = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
connection.execute("CREATE TABLE half_way (x)")
print("ready", flush=True)
sys.stdin.read()
"""
WAITER = """
import sys
from torc_migrations import errors, upgrade
try:
    print(upgrade(sys.argv[1], sys.argv[2], lock_timeout=0.3).applied)
except errors.LockTimeout as error:
    print(error.holder, error.waited >= 0.3)
"""


@pytest.mark.parametrize("journal", ["delete", "wal"])
def test_holder_inside_is_named_outside(sqlite: SQLiteUnderTest, folder, journal):
    """From outside, the processes of a container are seen under other numbers."""
    source = folder(ladder(2))
    sqlite.execute(f"PRAGMA journal_mode = {journal}", "CREATE TABLE x (x)")
    holder = subprocess.Popen(
        [*words(["--pid", "--fork"]), *command(HOLDER, sqlite.path)],
        env=environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    expect_line(holder, "ready")

    with pytest.raises(errors.LockTimeout) as failure:
        upgrade(sqlite.path, source, lock_timeout=0.3)
    holder.communicate(timeout=PATIENCE)

    assert failure.value.holder.startswith("process ")
    assert "(python" in failure.value.holder
    assert upgrade(sqlite.path, source, lock_timeout=0).applied == (1, 2)
    assert "half_way" not in sqlite.tables()


@pytest.mark.parametrize("journal", ["delete", "wal"])
def test_holder_outside_is_waited_for_inside(sqlite: SQLiteUnderTest, folder, journal):
    """From inside a container nobody outside can be seen; that there is somebody can, and he is waited for."""
    source = folder(ladder(2))
    sqlite.execute(f"PRAGMA journal_mode = {journal}", "CREATE TABLE x (x)")
    holder = start_python(HOLDER, sqlite.path)
    expect_line(holder, "ready")

    said = within(["--pid", "--fork", "--mount-proc"], WAITER, sqlite.path, source)
    holder.communicate(timeout=PATIENCE)

    assert said == "another process True\n"
    assert within(["--pid", "--fork", "--mount-proc"], WAITER, sqlite.path, source) == "(1, 2)\n"


def test_stock_yoyo_in_another_container_loses_nothing(sqlite: SQLiteUnderTest, folder):
    """Its row looks like that of a dead process here, so it is not waited for; a run that then fails keeps nothing."""
    source = folder(ladder(12))
    apply = ["-m", "yoyo", "apply", "-b", "-d", f"sqlite:///{sqlite.path}", source]
    for number in range(sized(2, 40)):
        yoyo = subprocess.Popen(
            [*words(["--pid", "--fork"]), sys.executable, *apply],
            env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        time.sleep(0.2 + 0.02 * (number % 20))
        with contextlib.suppress(errors.ExecutionFailed, errors.OutOfStep):
            upgrade(sqlite.path, source)
        yoyo.communicate(timeout=PATIENCE)

        for version in range(1, 13):
            assert sqlite.execute(f"SELECT x FROM t{version}") in ([], [(version,)])
        upgrade(sqlite.path, source)
        assert sqlite.ledgers().agreed == tuple(range(1, 13))
        assert all(sqlite.execute(f"SELECT x FROM t{version}") == [(version,)] for version in range(1, 13))
        sqlite.path.unlink()
