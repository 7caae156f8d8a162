"""Kill a run before each of its statements, and read what is in the file afterwards."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

from database_under_test import LEDGER_TABLES, python

FILES = {
    "1_make": "CREATE TABLE p (id INTEGER PRIMARY KEY, x);\nCREATE TABLE c (p REFERENCES p ON DELETE CASCADE);\n"
    "INSERT INTO p VALUES (1, 'a'), (2, 'b');\nINSERT INTO c VALUES (1), (2);",
    "1_make.rollback": "DROP TABLE c;\nDROP TABLE p;",
    # Rows that point nowhere, made behind our back, so that what touches them later is looked at twice.
    "2_index": "CREATE INDEX i ON c (p);\nCREATE TRIGGER t AFTER UPDATE ON c BEGIN SELECT 1; SELECT 2; END;",
    "2_index.rollback": "DROP TRIGGER t;\nDROP INDEX i;",
    "3_rebuild": "CREATE TABLE q (id INTEGER PRIMARY KEY, x, y);\nINSERT INTO q SELECT id, x, 7 FROM p;\n"
    "DROP TABLE p;\nALTER TABLE q RENAME TO p;",
    "3_rebuild.rollback": "ALTER TABLE p DROP COLUMN y;\nUPDATE c SET p = p;",
    "4_rows": "WITH RECURSIVE n (i) AS (VALUES (10) UNION ALL SELECT i + 1 FROM n WHERE i < 500)\n"
    "INSERT INTO p SELECT i, hex(randomblob(100)), 1 FROM n;",
    "4_rows.rollback": "DELETE FROM p WHERE id >= 10;",
}

# Forks once for every statement that SQLite begins to run, and has each child kill itself before another one.
_KILLER = """
import json, logging, os, shutil, signal, sqlite3, sys
import torc_migrations.ledgers.yoyo
from torc_migrations import Migrator, rollback, upgrade

logging.disable()
path, source, direction, start, options = sys.argv[1:]
options = json.loads(options)

def operate(connection):
    if direction == "up":
        upgrade(connection, source, **options)
    elif direction in ("repair", "baseline"):
        getattr(Migrator(connection, source, group=10), direction)(*options.pop("versions", ()), **options)
    else:
        rollback(connection, source, target=0, **options)

def attempt(number, last):
    seen = 0
    def trace(sql):
        nonlocal seen
        seen += 1
        if seen == last:
            os.kill(os.getpid(), signal.SIGKILL)
    connection = sqlite3.connect(f"{path}{number}", isolation_level=None)
    connection.execute("PRAGMA synchronous = OFF")  # the system survives, so that nothing needs to reach the disk
    connection.set_trace_callback(trace)
    operate(connection)
    connection.close()

deaths = 0
for number in range(1, 10_000):
    shutil.copy(start, f"{path}{number}")
    pid = os.fork()
    if pid == 0:
        try:
            attempt(number, number)
        finally:
            os._exit(0)
    _, ended = os.waitpid(pid, 0)
    if not os.WIFSIGNALED(ended):
        break
    deaths += 1
print(deaths)
"""


def kill_before_each_statement(path: Path, source: str, direction: str, start: Path, **options: object) -> int:
    """Run an operation on copies of `start`, each killed before another statement; return how many were.

    The copies are `path` with 1, 2, 3 ... behind it. `direction` is "up", "down", "repair" or "baseline", and `options`
    are those of the operation.
    """
    return int(python(_KILLER, path, source, direction, start, json.dumps(options)))


def contents(path: Path) -> tuple[object, ...]:
    """Return the schema and the rows of a file, ledgers left out, and random text only by its length."""
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        # ALTER TABLE puts quotes around a name that it writes.
        sql = "SELECT type, name, tbl_name, replace(sql, '\"', '') FROM sqlite_master ORDER BY name"
        schema = connection.execute(sql).fetchall()
        ours = tuple(row for row in schema if row[2] not in LEDGER_TABLES)
        tables = [name for kind, name, _, _ in ours if kind == "table"]
        counts = {
            t: connection.execute(f"SELECT count(*), sum(length(x)) FROM {t}").fetchone() for t in tables if t != "c"
        }
        return ours, counts
