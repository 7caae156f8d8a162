"""SIGKILL at every moment: the schema and both ledgers agree, and the next run goes on where it can.

`TORC_MIGRATIONS_TESTS=full pytest tests/database/test_crash.py` kills at 500 random moments in each journal mode.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest
from contract import LEDGER_TABLES, PATIENCE, SQLiteUnderTest, expect_line, ladder, python, sized, start_python

from torc_migrations import rollback, upgrade

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is neither fork nor SIGKILL here")

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
KILLER = """
import json, os, shutil, signal, sqlite3, sys
import torc_migrations.backend
from torc_migrations import rollback, upgrade

path, source, operation, start = sys.argv[1:]
operate = {"up": lambda c: upgrade(c, source), "down": lambda c: rollback(c, source, target=0)}[operation]

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

RUN = """
import sys
from torc_migrations import upgrade, rollback
path, source, target = sys.argv[1:]
print("ready", flush=True)
sys.stdin.readline()
upgrade(path, source) if target == "up" else rollback(path, source, target=0)
print("done", flush=True)
"""


def picture(path: Path) -> tuple[object, ...]:
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


def pictures(path: Path, source: str, start: Path) -> dict[tuple[int, ...], tuple[object, ...]]:
    """Return how a file looks at each version, from undisturbed runs."""
    shutil.copy(start, path)
    rollback(path, source, target=0)
    seen = {(): picture(path)}
    for version in (1, 2, 3, 4):
        upgrade(path, source, target=version)
        seen[tuple(range(1, version + 1))] = picture(path)
    return seen


@pytest.fixture
def starts(tmp_path: Path, folder, journal: str) -> dict[str, Path]:
    """A file with nothing installed, and one with everything and a few rows that point nowhere."""
    files = {"up": tmp_path / "empty.db", "down": tmp_path / "full.db"}
    for file in files.values():
        SQLiteUnderTest(file).execute(f"PRAGMA journal_mode = {journal}", "CREATE TABLE x (x)", "DROP TABLE x")
    upgrade(files["down"], folder(FILES))
    SQLiteUnderTest(files["down"]).execute("INSERT INTO c VALUES (7001), (7002)")
    return files


@pytest.mark.parametrize("direction", ["up", "down"])
def test_killed_before_any_statement_nothing_is_half_done(tmp_path: Path, folder, starts, direction):
    """Killed before each statement of a run in turn, schema, rows and both ledgers agree every time.

    And the next upgrade ends well without waiting for anybody.
    """
    source, start = folder(FILES), starts[direction]
    right = pictures(tmp_path / "undisturbed.db", source, starts["down"])

    deaths = int(python(KILLER, tmp_path / "killed", source, direction, start))

    assert deaths > 60
    reached = set()
    for number in range(1, deaths + 1):
        database = SQLiteUnderTest(tmp_path / f"killed{number}")
        installed = database.ledgers().agreed
        reached.add(installed)
        assert picture(database.path) == right[installed], number
        with closing(database.connect()) as connection:
            connection.execute("PRAGMA synchronous = OFF")
            upgrade(connection, source, lock_timeout=0)
        assert database.ledgers().agreed == (1, 2, 3, 4)
        assert picture(database.path) == right[1, 2, 3, 4]
    assert len(reached) >= 4


def kill_at_random(path: Path, source: str, direction: str, longest: float) -> bool:
    """Start a run, kill it some time later, and tell whether it was quicker."""
    process = start_python(RUN, path, source, direction)
    expect_line(process, "ready")
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()
    time.sleep(random.uniform(0, longest))
    process.send_signal(signal.SIGKILL)
    output, errors = process.communicate(timeout=PATIENCE)
    assert not errors
    return "done" in output


def seconds(path: Path, source: str, direction: str) -> float:
    """Return how long an undisturbed run takes."""
    process = start_python(RUN, path, source, direction)
    expect_line(process, "ready")
    assert process.stdin is not None
    began = time.monotonic()
    process.stdin.write("\n")
    process.stdin.flush()
    expect_line(process, "done")
    process.communicate(timeout=PATIENCE)
    return time.monotonic() - began


RANDOM_MOMENTS = range(sized(6, 500))


@pytest.mark.parametrize("direction", ["up", "down"])
def test_killed_at_random_moments_nothing_is_half_done(sqlite: SQLiteUnderTest, folder, journal, direction):
    """Killed at any moment, within a statement or a COMMIT too, schema, rows and both ledgers agree."""
    source = folder(ladder(30))
    sqlite.execute(f"PRAGMA journal_mode = {journal}")
    upgrade(sqlite.path, source)
    longest = max(seconds(sqlite.path, source, way) for way in ("down", "up"))

    for _ in RANDOM_MOMENTS:
        if direction == "up":
            rollback(sqlite.path, source, target=0)
        kill_at_random(sqlite.path, source, direction, longest * 1.1)

        installed = sqlite.ledgers().agreed
        assert installed == tuple(range(1, len(installed) + 1))
        assert sqlite.tables().keys() == {f"t{number}" for number in installed}
        assert all(sqlite.execute(f"SELECT x FROM t{number}") == [(number,)] for number in installed)
        upgrade(sqlite.path, source, lock_timeout=0)
        assert sqlite.ledgers().agreed == tuple(range(1, 31))


def test_killed_process_of_a_race_leaves_the_rest_to_the_others(sqlite: SQLiteUnderTest, folder):
    """Of two that run at once one is killed; the other does what is left, and no migration is done twice."""
    source = folder(ladder(30))
    for _ in RANDOM_MOMENTS:
        processes = [start_python(RUN, sqlite.path, source, "up") for _ in range(2)]
        for process in processes:
            expect_line(process, "ready")
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("\n")
            process.stdin.flush()
        time.sleep(random.uniform(0, 0.3))
        processes[0].kill()
        processes[0].communicate(timeout=PATIENCE)
        output, errors = processes[1].communicate(timeout=PATIENCE)

        assert (output, errors, processes[1].returncode) == ("done\n", "", 0)
        assert sqlite.ledgers().agreed == tuple(range(1, 31))
        assert sorted(sqlite.ledgers().log) == sorted(("apply", f"{n}_make_t{n}") for n in range(1, 31))
        sqlite.path.unlink()


@pytest.mark.parametrize("room", [40_000, 150_000, 400_000])
def test_full_disk_loses_nothing(sqlite: SQLiteUnderTest, folder, journal, room):
    """Where a file cannot grow any more, in a script or at its COMMIT, the run fails; with room again it ends well."""
    big = "CREATE TABLE big (x);\nWITH RECURSIVE n (i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 1000)\n"
    source = folder({**ladder(2), "3_big": f"{big}INSERT INTO big SELECT randomblob(1000) FROM n;"})
    sqlite.execute(f"PRAGMA journal_mode = {journal}", "CREATE TABLE x (x)", "DROP TABLE x")
    code = (
        "import resource, sys\n"
        "from torc_migrations import errors, upgrade\n"
        "import torc_migrations.backend\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]), resource.RLIM_INFINITY))\n"
        "try:\n"
        "    upgrade(*sys.argv[1:3])\n"
        "except errors.MigrationError as error:\n"
        "    print(error.exit_code)\n"
    )

    assert python(code, sqlite.path, source, room) == "6\n"
    assert sqlite.execute("PRAGMA integrity_check") == [("ok",)]
    assert sqlite.tables().keys() == {f"t{number}" for number in sqlite.ledgers().agreed}
    upgrade(sqlite.path, source, lock_timeout=0)
    assert sqlite.ledgers().agreed == (1, 2, 3)
