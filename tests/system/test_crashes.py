"""SIGKILL at every moment: the schema and both ledgers agree, and the next run goes on where it can.

`TORC_MIGRATIONS_TESTS=full pytest tests/system/test_crashes.py` kills at 500 random moments in each journal mode.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import time
from contextlib import closing
from pathlib import Path

import pytest
from database_under_test import (
    PATIENCE,
    SQLiteUnderTest,
    expect_line,
    ladder,
    python,
    sized,
    start_python,
)
from killed_runs import FILES, contents, kill_before_each_statement

from torc_migrations import Migrator, rollback, status, upgrade

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is neither fork nor SIGKILL here")

RUN = """
import sys
from torc_migrations import upgrade, rollback
path, source, target, group = sys.argv[1:]
group = float(group)
print("ready", flush=True)
sys.stdin.readline()
upgrade(path, source, group=group) if target == "up" else rollback(path, source, target=0, group=group)
print("done", flush=True)
"""


def contents_by_version(path: Path, source: str, start: Path) -> dict[tuple[int, ...], tuple[object, ...]]:
    """Return how a file looks at each version, from undisturbed runs."""
    shutil.copy(start, path)
    rollback(path, source, target=0)
    seen = {(): contents(path)}
    for version in (1, 2, 3, 4):
        upgrade(path, source, target=version)
        seen[tuple(range(1, version + 1))] = contents(path)
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


# One transaction for each migration, for all that 50 ms allow, and for all of them.
GROUPS = [0, 0.05, 10]


@pytest.mark.parametrize("group", GROUPS)
@pytest.mark.parametrize("direction", ["up", "down"])
def test_killed_before_any_statement_nothing_is_half_done(tmp_path: Path, folder, starts, direction, group):
    """Killed before each statement of a run in turn, schema, rows and both ledgers agree every time.

    And the next upgrade ends well without waiting for anybody.
    """
    source, start = folder(FILES), starts[direction]
    right = contents_by_version(tmp_path / "undisturbed.db", source, starts["down"])

    deaths = kill_before_each_statement(tmp_path / "killed", source, direction, start, group=group)

    assert deaths > (60 if group == 0 else 40)
    reached = set()
    for number in range(1, deaths + 1):
        database = SQLiteUnderTest(tmp_path / f"killed{number}")
        installed = database.ledgers().agreed
        reached.add(installed)
        assert contents(database.path) == right[installed], number
        with closing(database.connect()) as connection:
            connection.execute("PRAGMA synchronous = OFF")
            upgrade(connection, source, lock_timeout=0)
        assert database.ledgers().agreed == (1, 2, 3, 4)
        assert contents(database.path) == right[1, 2, 3, 4]
    assert len(reached) >= (4 if group == 0 else 2)


OUTSIDE_FILES = {
    "1_make": FILES["1_make"],
    "1_make.rollback": FILES["1_make.rollback"],
    "2_index": "-- no-transaction\nCREATE INDEX i ON c (p);\nBEGIN;\nCREATE TABLE q (x);\nINSERT INTO q VALUES (1);\n"
    "COMMIT;\nVACUUM;\nALTER TABLE q ADD COLUMN y;\nUPDATE q SET x = x + 1;",
    "2_index.rollback": "-- no-transaction\nDROP TABLE q;\nPRAGMA user_version = 2;\nDROP INDEX i;",
    "3_commits": "CREATE TABLE r (x);\nCOMMIT;\nCREATE TABLE s (x);\nBEGIN;\nINSERT INTO r VALUES (1);\nCOMMIT;\n"
    "BEGIN;\nINSERT INTO s VALUES (1);",
    "3_commits.rollback": "DROP TABLE s;\nCOMMIT;\nDROP TABLE r;\nBEGIN;",
}


@pytest.mark.parametrize("direction", ["up", "down"])
def test_killed_in_a_script_outside_a_transaction_it_is_resumed(sqlite: SQLiteUnderTest, tmp_path, folder, direction):
    """Killed before each statement of scripts that commit, the ledgers know how many statements are done.

    What is half-done is resumed there: no statement is lost, none is run twice.
    """
    source = folder(OUTSIDE_FILES)
    starts = {"up": tmp_path / "empty.db", "down": sqlite.path}
    SQLiteUnderTest(starts["up"]).execute("CREATE TABLE x (x)", "DROP TABLE x")
    upgrade(sqlite.path, source)
    right = contents(sqlite.path)
    resumed = set()

    deaths = kill_before_each_statement(tmp_path / "killed", source, direction, starts[direction])

    assert deaths > 60
    for number in range(1, deaths + 1):
        path = tmp_path / f"killed{number}"
        for entry in status(path, source).entries:
            if begun := entry.half_done:
                resumed.add((entry.migration.version, begun.done))
                Migrator(path, source).repair(entry.migration.version, resume_after=begun.done)
        upgrade(path, source, lock_timeout=0)
        assert SQLiteUnderTest(path).ledgers().agreed == (1, 2, 3)
        assert contents(path) == right, number
    up = {(2, 1), (2, 5), (2, 7), (2, 8), (3, 2), (3, 3), (3, 6)}
    assert resumed == (up if direction == "up" else {(2, 1), (2, 3), (3, 2), (3, 3)})


def kill_at_random(path: Path, source: str, direction: str, longest: float, group: float) -> bool:
    """Start a run, kill it some time later, and tell whether it was quicker."""
    process = start_python(RUN, path, source, direction, group)
    expect_line(process, "ready")
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()
    time.sleep(random.uniform(0, longest))
    process.send_signal(signal.SIGKILL)
    output, errors = process.communicate(timeout=PATIENCE)
    assert not errors
    return "done" in output


def seconds(path: Path, source: str, direction: str, group: float) -> float:
    """Return how long an undisturbed run takes."""
    process = start_python(RUN, path, source, direction, group)
    expect_line(process, "ready")
    assert process.stdin is not None
    began = time.monotonic()
    process.stdin.write("\n")
    process.stdin.flush()
    expect_line(process, "done")
    process.communicate(timeout=PATIENCE)
    return time.monotonic() - began


RANDOM_MOMENTS = range(sized(6, 500))


@pytest.mark.parametrize("group", GROUPS)
@pytest.mark.parametrize("direction", ["up", "down"])
def test_killed_at_random_moments_nothing_is_half_done(sqlite: SQLiteUnderTest, folder, journal, direction, group):
    """Killed at any moment, within a statement or a COMMIT too, schema, rows and both ledgers agree."""
    source = folder(ladder(30))
    sqlite.execute(f"PRAGMA journal_mode = {journal}")
    upgrade(sqlite.path, source)
    longest = max(seconds(sqlite.path, source, way, group) for way in ("down", "up"))

    for _ in RANDOM_MOMENTS:
        if direction == "up":
            rollback(sqlite.path, source, target=0)
        kill_at_random(sqlite.path, source, direction, longest * 1.1, group)

        installed = sqlite.ledgers().agreed
        assert installed == tuple(range(1, len(installed) + 1))
        assert sqlite.tables().keys() == {f"t{number}" for number in installed}
        assert all(sqlite.execute(f"SELECT x FROM t{number}") == [(number,)] for number in installed)
        upgrade(sqlite.path, source, lock_timeout=0)
        assert sqlite.ledgers().agreed == tuple(range(1, 31))


@pytest.mark.parametrize("group", GROUPS)
def test_killed_process_of_a_race_leaves_the_rest_to_the_others(sqlite: SQLiteUnderTest, folder, group):
    """Of two that run at once one is killed; the other does what is left, and no migration is done twice."""
    source = folder(ladder(30))
    for _ in RANDOM_MOMENTS:
        processes = [start_python(RUN, sqlite.path, source, "up", group) for _ in range(2)]
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


@pytest.mark.parametrize("limit", [40_000, 150_000, 400_000])
def test_full_disk_loses_nothing(sqlite: SQLiteUnderTest, folder, journal, limit):
    """Where a file cannot grow any more, in a script or at its COMMIT, the run fails; with space again it ends well."""
    big = "CREATE TABLE big (x);\nWITH RECURSIVE n (i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 1000)\n"
    source = folder({**ladder(2), "3_big": f"{big}INSERT INTO big SELECT randomblob(1000) FROM n;"})
    sqlite.execute(f"PRAGMA journal_mode = {journal}", "CREATE TABLE x (x)", "DROP TABLE x")
    code = (
        "import resource, sys\n"
        "from torc_migrations import errors, upgrade\n"
        "import torc_migrations.ledgers.yoyo\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]), resource.RLIM_INFINITY))\n"
        "try:\n"
        "    upgrade(*sys.argv[1:3])\n"
        "except errors.MigrationError as error:\n"
        "    print(error.exit_code)\n"
    )

    assert python(code, sqlite.path, source, limit) == "6\n"
    assert sqlite.execute("PRAGMA integrity_check") == [("ok",)]
    assert sqlite.tables().keys() == {f"t{number}" for number in sqlite.ledgers().agreed}
    upgrade(sqlite.path, source, lock_timeout=0)
    assert sqlite.ledgers().agreed == (1, 2, 3)
