"""SIGINT, SIGTERM and SIGHUP at any moment of the command: nothing is half-done, and the next run goes on.

`TORC_MIGRATIONS_TESTS=full pytest tests/system/test_every_signal.py` sends each of them at 100 random moments.
"""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time

import pytest
from database_under_test import PATIENCE, SQLiteUnderTest, command, environment, ladder, sized

from torc_migrations import rollback, upgrade

COMMAND = "import sys\nfrom torc_migrations.cli import main\nsys.exit(main(sys.argv[1:]))"
NAMES = ["SIGINT", "SIGTERM", "SIGHUP"]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")
@pytest.mark.parametrize("name", NAMES)
def test_command_that_is_signalled_leaves_nothing_half_done(sqlite: SQLiteUnderTest, folder, name):
    """It ends by the signal, as interrupted, or was quicker; schema and both ledgers agree, and no lock stays."""
    source, number = folder(ladder(20)), getattr(signal, name)
    words = command(COMMAND, "-d", sqlite.path, "-s", source)
    subprocess.run([*words, "upgrade"], env=environment(), capture_output=True, check=True)
    began = time.monotonic()
    subprocess.run([*words, "rollback", "--target", "0", "-y"], env=environment(), capture_output=True, check=True)
    longest = time.monotonic() - began
    ends = set()
    for round_ in range(sized(4, 100)):
        verb = ["upgrade"] if round_ % 2 else ["rollback", "--target", "0", "-y"]
        (rollback if round_ % 2 else upgrade)(sqlite.path, source, target=0 if round_ % 2 else None)
        process = subprocess.Popen(
            [*words, *verb],
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            # A background job of a shell begins with SIGINT ignored.
            preexec_fn=lambda: signal.signal(number, signal.SIG_DFL),
        )
        time.sleep(random.uniform(0, longest))
        process.send_signal(number)
        process.communicate(timeout=PATIENCE)

        ends.add(process.returncode)
        installed = sqlite.ledgers().agreed
        assert installed == tuple(range(1, len(installed) + 1))
        assert sqlite.tables().keys() == {f"t{n}" for n in installed}
        assert all(sqlite.execute(f"SELECT x FROM t{n}") == [(n,)] for n in installed[-1:])
        upgrade(sqlite.path, source, lock_timeout=0)
        assert sqlite.ledgers().agreed == tuple(range(1, 21))
    # Python ends with 1 where SIGINT reaches it before our first line.
    assert ends <= {0, -number, *((1, 130) if name == "SIGINT" else ())}
