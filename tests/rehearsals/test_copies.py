"""A rehearsal's copy is of one moment, needs free space, and is deleted with its owner, or by the next rehearsal."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import pytest
from database_under_test import PATIENCE, SQLiteUnderTest, expect_line, python, start_python

from torc_migrations import errors, rehearse
from torc_migrations.databases.processes import process_start, this_place
from torc_migrations.errors import NotEnoughSpace

ENDLESS = "WITH RECURSIVE n (i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n;"
REHEARSE = "import sys; from torc_migrations import rehearse; rehearse(*sys.argv[1:])"
WRITE_PAIRS = """
import sqlite3, sys, time
connection = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=60)
print("ready", flush=True)
number = 0
while True:
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("INSERT INTO one VALUES (randomblob(500))")
    connection.execute("INSERT INTO two VALUES (randomblob(500))")
    connection.execute("COMMIT")
    number += 1
    if number == 20:
        print("writing", flush=True)
    time.sleep(0.001)
"""


class Usage(NamedTuple):
    """What `shutil.disk_usage` returns."""

    total: int
    used: int
    free: int


def copies(folder: Path) -> set[str]:
    """Return the names of the files beside a database that belong to copies of it."""
    return {path.name for path in folder.iterdir() if ".rehearsal-" in path.name}


def wait_for_copies(folder: Path) -> set[str]:
    """Wait until a rehearsal has made a copy, and return its files, journals left out, which come and go."""
    deadline = time.monotonic() + PATIENCE
    while not (found := {name for name in copies(folder) if not name.endswith("-journal")}):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return found


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="there is no SIGKILL here")
@pytest.mark.parametrize("journal", ["delete", "wal"])
def test_a_killed_rehearsal_leaves_a_copy_that_the_next_removes(shop: SQLiteUnderTest, folder, snapshot, journal):
    """A living one's copy is left alone; a dead one's goes, with all files that belong to it."""
    shop.execute(f"PRAGMA journal_mode = {journal}")
    source = folder({"2_endless": f"INSERT INTO loan VALUES (1);\n{ENDLESS}"})
    before = snapshot()
    process = start_python(REHEARSE, shop.path, source)
    found = wait_for_copies(shop.path.parent)
    folder({"2_endless": "INSERT INTO loan VALUES (1);"})

    rehearse(shop.path, source)
    assert copies(shop.path.parent) >= found
    process.kill()
    process.communicate(timeout=PATIENCE)
    assert copies(shop.path.parent) >= found

    rehearse(shop.path, source)
    assert snapshot() == before


def test_a_failed_rehearsal_leaves_no_copy(shop: SQLiteUnderTest, folder, snapshot):
    """Whatever flies, the copy goes."""
    before = snapshot()

    with pytest.raises(errors.ExecutionFailed):
        rehearse(shop.path, folder({"2_boom": "INSERT INTO loan VALUES (1);\nSELECT nothing;"}))
    assert snapshot() == before


def test_only_what_a_dead_process_of_this_place_left_is_removed(shop: SQLiteUnderTest, folder, caplog):
    """A reused process number is told by its start; another machine's copies are named, other files are let be."""
    mine, start, place = os.getpid(), process_start(os.getpid()), this_place()
    source = folder({"2_more": "INSERT INTO loan VALUES (1);"})
    kept = {
        f"app.db.rehearsal-{mine}-{start}-{place}-7",
        f"app.db.rehearsal-{mine}-{start}-{place}-7-wal",
        "app.db.rehearsal-4194305-1-00000000-0",
        "app.db.rehearsal-notes.txt",
        "other.db.rehearsal-4194305-1-" + place + "-0",
    }
    gone = {f"app.db.rehearsal-4194305-1-{place}-0{suffix}" for suffix in ("", "-journal", "-wal", "-shm")}
    gone |= {f"app.db.rehearsal-{mine}-{start + 1}-{place}-0"} if start else set()
    for name in kept | gone:
        (shop.path.parent / name).write_bytes(b"x")

    with caplog.at_level(logging.WARNING, logger="torc_migrations"):
        rehearse(shop.path, source)

    assert copies(shop.path.parent) == kept
    (record,) = caplog.records
    assert "app.db.rehearsal-4194305-1-00000000-0 was left by a rehearsal on another machine" in record.getMessage()


@pytest.mark.parametrize("reason", ["LiteFS", "a name that is too long"])
def test_a_copy_that_cannot_be_beside_the_database_is_elsewhere(
    sqlite: SQLiteUnderTest, folder, tmp_path, monkeypatch, reason
):
    """LiteFS would replicate it. It is in a directory that the next rehearsal removes, if the process was killed."""
    name = "app.db" if reason == "LiteFS" else "x" * 240  # with the name of a copy, more than a file system takes
    database, elsewhere = tmp_path / name, tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(elsewhere))
    sqlite.execute("CREATE TABLE kept (x)")
    sqlite.path.rename(database)
    if reason == "LiteFS":
        Path(f"{database}-pos").write_text("0000000000000001/0000000000000000\n")
        (elsewhere / f"app.db.rehearsal-4194305-1-{this_place()}-0").mkdir()
    source, before = folder({"1_more": "CREATE TABLE t (x);"}), sorted(path.name for path in tmp_path.iterdir())

    if reason == "LiteFS":
        rehearsal = rehearse(database, source)
        assert rehearsal.place.notes == (
            f"the copy was in {elsewhere}, because the directory of the database takes no other file",
        )
    else:
        with pytest.raises(errors.CannotOpen, match="next to it or in TMPDIR, to rehearse on: File name too long"):
            rehearse(database, source)

    assert sorted(path.name for path in tmp_path.iterdir()) == before
    assert list(elsewhere.iterdir()) == []


def test_two_rehearsals_at_once_have_a_copy_each(shop: SQLiteUnderTest, folder, snapshot):
    """Threads of one process do not tread on each other's copies."""
    from concurrent.futures import ThreadPoolExecutor

    source, before = folder({"2_more": "INSERT INTO loan VALUES (1);"}), snapshot()
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: rehearse(shop.path, source).rows[-1].after, range(16)))

    assert found == [5] * 16
    assert snapshot() == before


@pytest.mark.parametrize("journal", ["delete", "wal"])
def test_a_copy_is_of_one_moment_while_another_process_writes(sqlite: SQLiteUnderTest, folder, journal):
    """Rows that are written in pairs are seen in pairs, and the writer goes on."""
    sqlite.execute(
        f"PRAGMA journal_mode = {journal}",
        "CREATE TABLE one (x)",
        "CREATE TABLE two (x)",
        "WITH RECURSIVE n (i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 4000)"
        " INSERT INTO one SELECT randomblob(1000) FROM n",
        "INSERT INTO two SELECT * FROM one",
    )
    source = folder({"1_more": "CREATE TABLE t (x);"})
    writer = start_python(WRITE_PAIRS, sqlite.path)
    try:
        expect_line(writer, "ready")
        expect_line(writer, "writing")
        for _ in range(5):
            written = sqlite.execute("SELECT count(*) FROM one")[0][0]
            one, two = rehearse(sqlite.path, source).rows[:2]
            assert one.before == two.before >= written
        assert writer.poll() is None
    finally:
        writer.kill()
        writer.communicate(timeout=PATIENCE)
    assert copies(sqlite.path.parent) == set()
    assert sqlite.execute("PRAGMA integrity_check") == [("ok",)]


def test_a_disk_without_room_is_refused(shop: SQLiteUnderTest, folder, snapshot, monkeypatch):
    """Twice the database is wanted: for the copy, and for what is done to it. Nothing is written without it."""
    size, source = shop.path.stat().st_size, folder({"2_more": "INSERT INTO loan VALUES (1);"})
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(0, 0, 2 * size - 1))
    before = snapshot()

    with pytest.raises(NotEnoughSpace) as failure:
        rehearse(shop.path, source)
    assert (failure.value.needed, failure.value.free) == (2 * size, 2 * size - 1)
    assert (failure.value.directory, failure.value.exit_code) == (str(shop.path.parent), 6)
    assert snapshot() == before

    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(0, 0, 2 * size))
    assert rehearse(shop.path, source).report.applied == (2,)


@pytest.mark.parametrize(("limit", "said"), [(8_000, "copying"), (60_000, "rehearsal")])
@pytest.mark.skipif(sys.platform == "win32", reason="files have no limit there")
def test_a_disk_that_fills_up_meanwhile_loses_nothing(shop: SQLiteUnderTest, folder, snapshot, limit, said):
    """Where the copy, or what is done to it, finds no space after all, it is removed, and nothing else is touched."""
    big = "WITH RECURSIVE n (i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 1000)\n"
    source = folder({"2_big": f"CREATE TABLE big (x);\n{big}INSERT INTO big SELECT randomblob(1000) FROM n;"})
    before = snapshot()
    code = (
        "import resource, sys\n"
        "from torc_migrations import errors, rehearse\n"
        "import torc_migrations.ledgers.yoyo, torc_migrations.rehearsals.rehearsal\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]), resource.RLIM_INFINITY))\n"
        "try:\n"
        "    rehearse(*sys.argv[1:3])\n"
        "except errors.MigrationError as error:\n"
        "    print(error.exit_code, error)\n"
    )

    answer = python(code, shop.path, source, limit)

    assert answer.startswith("6 ")
    assert said in answer
    assert snapshot() == before


def test_a_database_held_by_a_writer_is_waited_for(shop: SQLiteUnderTest, folder):
    """Who keeps even readers out is waited for, up to the limit, and named."""
    code = (
        "import sqlite3, sys\n"
        "connection = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
        "connection.execute('BEGIN EXCLUSIVE')\n"
        "print('held', flush=True)\n"
        "sys.stdin.read()\n"
    )
    source = folder({"2_more": "INSERT INTO loan VALUES (1);"})
    holder = start_python(code, shop.path)
    try:
        expect_line(holder, "held")
        with pytest.raises(errors.LockTimeout):
            rehearse(shop.path, source, lock_timeout=0.2)
    finally:
        holder.communicate("", timeout=PATIENCE)
    assert rehearse(shop.path, source, lock_timeout=0.2).report.applied == (2,)
    assert copies(shop.path.parent) == set()


def test_a_database_that_is_only_written_to_is_copied_at_once(shop: SQLiteUnderTest, folder):
    """A writer that has not come to its commit does not keep a rehearsal waiting."""
    with shop.connect() as writer:
        writer.execute("BEGIN IMMEDIATE")
        writer.execute("DELETE FROM loan")
        rehearsal = rehearse(shop.path, folder({"2_more": "INSERT INTO loan VALUES (1);"}), lock_timeout=0)
        writer.execute("ROLLBACK")
    writer.close()

    assert (rehearsal.rows[-1].before, rehearsal.rows[-1].after) == (4, 5)


def test_the_copy_is_for_its_owner_only(shop: SQLiteUnderTest, folder):
    """A copy of the rows is nobody else's to read, whatever the umask."""
    source = folder({"2_endless": ENDLESS})
    process = start_python(REHEARSE, shop.path, source)
    found = wait_for_copies(shop.path.parent)
    modes = {(shop.path.parent / name).stat().st_mode & 0o777 for name in found}
    process.kill()
    process.communicate(timeout=PATIENCE)

    assert modes == {0o600} or sys.platform == "win32"
