"""A clock that jumps, a user without a name, a network without an answer: none of them is needed."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest
from database_under_test import IMPORT_EVERYTHING, SQLiteUnderTest, environment, ladder, python, write_folder

# Sets the clock of a process, before anything else is loaded, and runs the rest of its arguments as code.
AT = """
import datetime, sys, time
seconds = float(sys.argv.pop(1))
class Jumped(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return cls.fromtimestamp(seconds, tz)
    @classmethod
    def utcnow(cls):
        return cls.fromtimestamp(seconds, datetime.UTC).replace(tzinfo=None)
datetime.datetime = Jumped
gmtime = time.gmtime
time.time = lambda: seconds
time.gmtime = lambda at=None: gmtime(seconds if at is None else at)
"""
OURS = "import torc_migrations as t\nprint(eval(sys.argv[3], {'t': t, 'path': sys.argv[1], 'source': sys.argv[2]}))\n"
YOYO = "from yoyo.scripts.main import main\nmain([sys.argv[3], '-b', '-d', f'sqlite:///{sys.argv[1]}', sys.argv[2]])\n"
NOON = 1_767_268_800  # 2026-01-01


def test_clock_that_jumps_back_changes_no_order(sqlite: SQLiteUnderTest, folder):
    """Ours and stock yoyo in turn, each at an earlier moment than the one before: the last word is the last written."""
    source = folder(ladder(3))

    def at(hour: float, code: str, what: str) -> str:
        return python(AT + code, NOON + 3600 * hour, sqlite.path, source, what, options=["-W", "ignore"]).strip()

    assert at(0, OURS, "t.upgrade(path, source).applied") == "(1, 2, 3)"
    assert at(-1, OURS, "t.rollback(path, source).applied") == "(3,)"
    at(-2, YOYO, "rollback")
    assert at(-3, OURS, "[m.version for m in t.status(path, source).pending]") == "[2, 3]"
    assert at(-4, OURS, "t.upgrade(path, source, target=2).applied") == "(2,)"
    at(-24 * 400, YOYO, "apply")
    assert at(-5, OURS, "t.status(path, source).installed[-1].version") == "3"
    assert at(-5, OURS, "t.upgrade(path, source).applied") == "()"
    assert sqlite.ledgers().agreed == (1, 2, 3)
    moments = [moment for (moment,) in sqlite.execute("SELECT created_at_utc FROM _yoyo_log ORDER BY rowid")]
    assert moments != sorted(moments)


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can become a user without a name"
)
def test_user_without_a_name_is_logged_by_number():
    """In many containers nobody is known by the number that a process runs under."""
    code = (
        f"{IMPORT_EVERYTHING}\n"
        "os.setgroups([]); os.setgid(54321); os.setuid(54321)\n"
        "print(torc_migrations.upgrade(*sys.argv[1:]).applied)\n"
    )
    clean = {k: v for k, v in environment().items() if k not in ("LOGNAME", "USER", "LNAME", "USERNAME", "HOME")}
    with tempfile.TemporaryDirectory() as name:
        source = write_folder(Path(name, "sql"), ladder(2))
        os.chown(name, 54321, 54321)
        database = SQLiteUnderTest(Path(name, "app.db"))

        assert python(code, database.path, source, env=clean) == "(1, 2)\n"
        assert database.execute("SELECT DISTINCT username FROM _yoyo_log") == [("54321",)]


def test_nobody_is_asked_over_the_network(sqlite: SQLiteUnderTest, folder):
    """No name is looked up and nothing is connected to, so that a dead name server stalls nothing."""
    code = (
        "import sys\n"
        "asked = []\n"
        "network = {'connect', 'getaddrinfo', 'getnameinfo', 'gethostbyname', 'gethostbyaddr', 'bind', 'sendto'}\n"
        "sys.addaudithook(lambda event, _: asked.append(event) if event.rpartition('.')[2] in network\n"
        "                 and event.startswith('socket.') else None)\n"
        "from torc_migrations import rollback, status, upgrade\n"
        "upgrade(*sys.argv[1:]); rollback(*sys.argv[1:]); status(*sys.argv[1:])\n"
        "print(asked)\n"
        "import socket; socket.gethostbyname('localhost'); print(asked)\n"
    )

    assert python(code, sqlite.path, folder(ladder(2))) == "[]\n['socket.gethostbyname']\n"
