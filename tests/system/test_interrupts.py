"""Ctrl-C at every moment: nothing is half-done, no lock stays, and a lent connection is given back.

`TORC_MIGRATIONS_TESTS=full pytest tests/system/test_interrupts.py` interrupts at every single line.
"""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import sys
import threading
import time
from collections.abc import Callable
from contextlib import closing
from types import FrameType
from typing import Any

import pytest
from database_under_test import PATIENCE, SQLiteUnderTest, expect_line, ladder, sized, start_python

import torc_migrations
from torc_migrations import rollback, upgrade
from torc_migrations.databases.sqlite.database import SQLiteDatabase
from torc_migrations.databases.sqlite.opening import open_database

PACKAGE = os.path.dirname(torc_migrations.__file__)

FILES = {
    **ladder(2),
    "3_rebuild": "CREATE TABLE n (x INTEGER PRIMARY KEY);\nDROP TABLE t1;\nALTER TABLE n RENAME TO t1;",
    "3_rebuild.rollback": "PRAGMA recursive_triggers = ON;\nDROP TABLE t1;\nCREATE TABLE t1 (x INTEGER);",
    "4_outside": "-- no-transaction\nVACUUM;\nPRAGMA recursive_triggers = ON;",
    "4_outside.rollback": "-- foreign-keys: on\nSELECT 1;",
}

RUN = """
import signal, sys
from torc_migrations import upgrade
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs begin with SIGINT ignored
import torc_migrations.ledgers.yoyo
print("ready", flush=True)
sys.stdin.readline()
try:
    upgrade(*sys.argv[1:])
    print("done")
except KeyboardInterrupt:
    print("interrupted")
"""


class Interruption:
    """Raise KeyboardInterrupt at the nth moment at which Python could, within our code and the files given."""

    def __init__(self, moment: int) -> None:
        self.moment = moment
        self.seen = 0
        self.place = ""

    def __call__(self, frame: FrameType, event: str, _: object) -> Any:
        """Be called by Python at every call and line; at the end of a call it handles no signals."""
        if not frame.f_code.co_filename.startswith(PACKAGE):
            return None
        self.seen += event in ("call", "line")
        if self.seen == self.moment and not self.place:
            self.place = f"{os.path.basename(frame.f_code.co_filename)}:{frame.f_lineno} {event}"
            raise KeyboardInterrupt
        return self


def interrupted(act: Callable[[], object], moment: int) -> Interruption:
    """Do something, interrupted at one moment, and return what is known about it."""
    interruption = Interruption(moment)
    sys.settrace(interruption)
    try:
        act()
    except KeyboardInterrupt:
        pass
    finally:
        sys.settrace(None)
    return interruption


def settings(connection: sqlite3.Connection) -> tuple[object, ...]:
    """Return what a caller could notice."""
    pragmas = ("foreign_keys", "busy_timeout", "recursive_triggers")
    values = [sqlite3.Cursor(connection).execute(f"PRAGMA {name}").fetchone()[0] for name in pragmas]
    return (connection.isolation_level, connection.text_factory, connection.in_transaction, *values)


@pytest.mark.parametrize("begin", [SQLiteDatabase.reading, SQLiteDatabase.transaction])
def test_what_an_interrupt_has_left_open_ends_in_silence(sqlite: SQLiteUnderTest, begin):
    """Between a `with` and its first line Ctrl-C may leave a generator, which is thrown away after the close."""
    with open_database(sqlite.path, lock_timeout=0) as database:
        database.prepare_to_write()
        left = begin(database)
        left.__enter__()

    if begin is SQLiteDatabase.reading:
        left.gen.close()

    assert sqlite.tables() == {}


# Python itself swallows what flies while it throws a generator away.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.skipif(sys.gettrace() is not None, reason="somebody else traces: a debugger, or coverage")
@pytest.mark.parametrize("direction", ["up", "down"])
def test_interrupted_at_any_line_nothing_is_half_done(sqlite: SQLiteUnderTest, folder, direction):
    """Schema and ledgers agree, the connection is out of its transaction and as it was, and the next run works."""
    source = folder(FILES)

    def act() -> None:
        upgrade(connection, source) if direction == "up" else rollback(connection, source, target=0)

    moment, step = 1, sized(37, 1)
    while True:
        with closing(sqlite3.connect(sqlite.path)) as connection:
            connection.execute("PRAGMA synchronous = OFF")
            connection.execute("PRAGMA foreign_keys = ON")
            upgrade(connection, source) if direction == "down" else None
            before = settings(connection)

            interruption = interrupted(act, moment)

            assert settings(connection) == before, interruption.place
            with closing(sqlite.connect()) as other:
                other.execute("PRAGMA busy_timeout = 0")
                other.execute("BEGIN IMMEDIATE")
                other.execute("ROLLBACK")
            installed = sqlite.ledgers().agreed
            assert sqlite.tables().keys() == {f"t{n}" for n in installed if n < 3}, interruption.place
            upgrade(connection, source)
            rollback(connection, source, target=0)
        sqlite.path.unlink()  # so that the log does not grow
        if not interruption.place:
            break
        moment += step
    assert moment > 1000


def test_interrupted_at_random_moments_a_process_ends_well(sqlite: SQLiteUnderTest, folder):
    """A real SIGINT, at any moment of a real run: it ends as an interrupt, or it was too late, and never otherwise."""
    source, ends = folder(ladder(15)), set()
    for _ in range(sized(8, 300)):
        process = start_python(RUN, sqlite.path, source)
        expect_line(process, "ready")
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
        time.sleep(random.uniform(0, 0.06))
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=PATIENCE)

        if errors:  # after our last line Python is on its way out, where it answers by itself
            assert "KeyboardInterrupt" in errors
        ends.add(output.strip())
        installed = sqlite.ledgers().agreed
        assert sqlite.tables().keys() == {f"t{number}" for number in installed}
        upgrade(sqlite.path, source, lock_timeout=0)
        rollback(sqlite.path, source, target=0)
    assert "interrupted" in ends


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="there is no setitimer here")
@pytest.mark.skipif(threading.current_thread() is not threading.main_thread(), reason="signals reach the main thread")
def test_exception_of_a_signal_handler_is_no_error_of_a_script(sqlite: SQLiteUnderTest, folder):
    """What a host's handler raises while SQLite calls us back flies on as it is.

    Only where it strikes before the first line of a callback SQLite swallows it, and we go on as for Ctrl-C.
    """

    class Enough(Exception):
        pass

    def handle(*_: object) -> None:
        raise Enough

    source = folder({"1_long": "CREATE TABLE a (x);\n" + "INSERT INTO a VALUES (1);\n" * 30_000})
    old, raised = signal.signal(signal.SIGALRM, handle), []
    try:
        for _ in range(sized(10, 200)):
            signal.setitimer(signal.ITIMER_REAL, random.uniform(0.01, 0.06))
            try:
                upgrade(sqlite.path, source)
                raised.append(None)  # Python itself swallows what flies while it throws an object away
            except (Enough, KeyboardInterrupt) as end:
                raised.append(type(end))
            assert sqlite.tables().keys() == ({"a"} if raised[-1] is None else set())
            sqlite.path.unlink(missing_ok=True)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, old)
    assert raised.count(Enough) > len(raised) / 2
