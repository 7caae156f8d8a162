"""Kill a run on MariaDB at each of its statements, and repair what it has left.

A program: SOCKET DIRECTION MOMENT FIRST STEP.

A child is killed before it sends its 1st, 2nd, 3rd ... statement, or right after it has sent it, while the server runs
it. After each death the ledgers have to tell the truth about the schema, and a repair has to lead to the end.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pymysql
from pymysql.connections import Connection
from pymysql.constants import COMMAND

import torc_migrations.databases.mysql  # imported before the forks
import torc_migrations.ledgers.yoyo  # noqa: F401
from torc_migrations import Migrator
from torc_migrations.errors import Dirty

FILES = {
    "1_make.sql": "CREATE TABLE p (id INT PRIMARY KEY);\n"
    "INSERT INTO p VALUES (1);\n"
    "ALTER TABLE p ADD COLUMN y INT;\n"
    "START TRANSACTION;\nINSERT INTO p VALUES (2, 2);\nINSERT INTO p VALUES (3, 3);\nCOMMIT;\n"
    "CREATE TRIGGER tr BEFORE INSERT ON p FOR EACH ROW BEGIN SET NEW.y = 7; SET NEW.y = 8; END;\n"
    "SET sql_mode = 'ANSI_QUOTES', time_zone = '+09:00';\n"
    'UPDATE p SET "y" = 9 WHERE id = 1;\n',
    "1_make.rollback.sql": "DELETE FROM p WHERE id = 1;\nALTER TABLE p DROP COLUMN y, ADD COLUMN z INT;\n"
    "DROP TABLE p;\n",
    "2_rows.sql": "INSERT INTO p VALUES (10, 0);\nINSERT INTO p VALUES (11, 0);\n",
    "2_rows.rollback.sql": "DELETE FROM p WHERE id = 10;\nDELETE FROM p WHERE id = 11;\n",
    "3_view.sql": "CREATE VIEW v AS SELECT id FROM p;\nCREATE INDEX i ON p (y);\n",
    "3_view.rollback.sql": "DROP INDEX i ON p;\nDROP VIEW v;\n",
}


def main() -> None:
    """Kill one child after another, until one gets to its end."""
    logging.disable()
    socket, direction, moment, first, step = sys.argv[1:]
    source = Path(tempfile.mkdtemp())
    for name, text in FILES.items():
        (source / name).write_text(text)
    deaths, states = 0, set[str]()
    for number in range(int(first), 10_000, int(step)):
        name = f"k_{os.getpid()}_{number}"
        admin(socket, f"CREATE DATABASE {name}")
        migrator = Migrator(f"mysql://root@/{name}?unix_socket={socket}", source)
        if direction == "down":
            migrator.upgrade()
        pid = os.fork()
        if pid == 0:
            attempt(migrator, direction, moment, number)
        _, ended = os.waitpid(pid, 0)
        if not os.WIFSIGNALED(ended):
            assert os.WEXITSTATUS(ended) == 0, f"attempt {number} failed"
            break
        deaths += 1
        wait_until_alone(socket, name)
        states.add(check(migrator, Eyes(socket, name), direction))
        admin(socket, f"DROP DATABASE {name}")
    print(json.dumps({"deaths": deaths, "states": sorted(states)}))


def attempt(migrator: Migrator, direction: str, moment: str, last: int) -> None:
    """Run, and die at the statement with this number."""
    execute, seen = Connection._execute_command, 0

    def execute_or_die(self: Any, command: int, sql: Any) -> None:
        nonlocal seen
        if command != COMMAND.COM_QUERY:
            return execute(self, command, sql)
        seen += 1
        if seen == last and moment == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        execute(self, command, sql)
        if seen == last:
            os.kill(os.getpid(), signal.SIGKILL)
        return None

    Connection._execute_command = execute_or_die
    try:
        if direction == "up":
            migrator.upgrade()
        else:
            migrator.rollback(0)
    except BaseException as error:
        print(f"{error!r}", file=sys.stderr)
        os._exit(1)
    os._exit(0)


def check(migrator: Migrator, eyes: Eyes, direction: str) -> str:
    """Compare what the ledgers say with what is there, repair, and go to the end; return what was found."""
    try:
        migrator.plan("upgrade")
        state, before = "clean", None
        installed = {migration.version for migration in migrator.status().installed}
        assert installed == eyes.versions(), (installed, eyes.versions())
    except Dirty as error:
        stop, version = error.stop, error.version
        assert stop is not None, "the dirty row has no line in the log"
        assert version is not None
        assert stop.rolls_back is (direction == "down")
        before = eyes.done(version, direction)
        possible = {stop.done, stop.done + 1} if stop.is_running else {stop.done}
        assert possible & before, (version, stop, before)
        state = "running" if stop.is_running else "stopped"
        migrator.repair(version, resume_after=max(possible & before))
    if direction == "up":
        migrator.upgrade()
        assert eyes.versions() == {1, 2, 3}
        assert eyes.rows() == [(1, 9), (2, 2), (3, 3), (10, 8), (11, 8)], eyes.rows()
    else:
        migrator.rollback(0)
        assert eyes.versions() == set()
        assert not eyes.has("p")
        assert not eyes.has("v")
    assert migrator.status().dirty == ()
    assert migrator.diagnose().healthy, migrator.diagnose()
    return state


class Eyes:
    """What is in a database, seen without our code."""

    def __init__(self, socket: str, name: str) -> None:
        self._socket, self._name = socket, name

    def rows(self, sql: str = "SELECT id, y FROM p ORDER BY id") -> list[tuple[Any, ...]]:
        """Return the rows of a query."""
        return _query(pymysql.connect(unix_socket=self._socket, user="root", database=self._name), sql)

    def has(self, table: str) -> bool:
        """Tell whether there is a table or a view."""
        return (table,) in self.rows("SHOW TABLES")

    def _has(self, kind: str) -> bool:
        """Tell whether the column y or z, the index, or the trigger is there."""
        queries = {
            "y": "SHOW COLUMNS FROM p LIKE 'y'",
            "z": "SHOW COLUMNS FROM p LIKE 'z'",
            "i": "SHOW INDEX FROM p WHERE Key_name = 'i'",
            "tr": "SHOW TRIGGERS",
        }
        return self.has("p") and bool(self.rows(queries[kind]))

    def _ids(self) -> set[int]:
        return {row[0] for row in self.rows("SELECT id FROM p")} if self.has("p") else set()

    def done(self, version: int, direction: str) -> set[int]:
        """Return how many statements of a script may be done, by what is there."""
        ids = self._ids()
        if (version, direction) == (1, "up"):
            if not self.has("p"):
                return {0}
            if 1 not in ids:
                return {1}
            if not self._has("y"):
                return {2}
            if 3 not in ids:
                return {3, 4, 5, 6}
            if not self._has("tr"):
                return {7}
            return {10} if self.rows("SELECT y FROM p WHERE id = 1") == [(9,)] else {8, 9}
        if (version, direction) == (1, "down"):
            if not self.has("p"):
                return {3}
            return {0} if 1 in ids else {2} if self._has("z") else {1}
        if direction == "up":
            return {0} if not self.has("v") else {2} if self._has("i") else {1}
        return {2} if not self.has("v") else {0} if self._has("i") else {1}

    def versions(self) -> set[int]:
        """Return which migrations are there as a whole; fails where one is there in part."""
        found = set[int]()
        for version, done, all_of_it in ((1, self.done(1, "up"), 10), (3, self.done(3, "up"), 2)):
            assert done in ({0}, {all_of_it}), (version, done)
            if done == {all_of_it}:
                found.add(version)
        some = self._ids() & {10, 11}
        assert some in (set(), {10, 11})
        return found | ({2} if some else set())


def wait_until_alone(socket: str, name: str) -> None:
    """Wait until the server has noticed that the session of the dead process is gone."""
    deadline = time.monotonic() + 60
    while admin(socket, f"SELECT 1 FROM information_schema.processlist WHERE db = '{name}'"):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def admin(socket: str, sql: str) -> list[tuple[Any, ...]]:
    """Run a statement outside of any database."""
    return _query(pymysql.connect(unix_socket=socket, user="root", autocommit=True), sql)


def _query(opened: Any, sql: str) -> list[tuple[Any, ...]]:
    with closing(opened) as connection, connection.cursor() as cursor:
        cursor.execute(sql)
        return list(cursor.fetchall())


if __name__ == "__main__":
    main()
