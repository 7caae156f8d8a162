"""Maintenance refreshes statistics and rebuilds the file, waits for others, and wants room before it begins."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import pytest

from torc_migrations import errors, rollback, status, upgrade
from torc_migrations.disk import NotEnoughSpace
from torc_migrations.maintenance import Sizes, optimize


class Usage(NamedTuple):
    total: int
    used: int
    free: int


def fill(path: Path, rows: int = 3000) -> None:
    """Make a table with holes in it."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE filler (x)")
        connection.executemany("INSERT INTO filler VALUES (?)", [("x" * 500,)] * rows)
        connection.execute("DELETE FROM filler WHERE rowid % 10")
        connection.commit()


def test_analyze_and_optimize_write_statistics_and_no_rows(torc_file: Path):
    """Without VACUUM the file keeps its size, and the planner knows the tables."""
    fill(torc_file)

    maintenance = optimize(torc_file)
    assert [measure.name for measure in maintenance.measures] == ["ANALYZE", "PRAGMA optimize"]
    assert maintenance.before.statistics == 0
    assert maintenance.measures[-1].after.statistics > 0
    assert all(measure.elapsed_ns > 0 for measure in maintenance.measures)
    with closing(sqlite3.connect(torc_file)) as connection:
        assert connection.execute("SELECT COUNT(*) FROM filler").fetchone() == (300,)


@pytest.mark.parametrize("journal_mode", ["DELETE", "WAL"])
def test_vacuum_gives_the_room_back(torc_file: Path, journal_mode):
    """Empty pages are gone afterwards, in either kind of journal, which stays as it was."""
    fill(torc_file)
    with closing(sqlite3.connect(torc_file)) as connection:
        connection.execute(f"PRAGMA journal_mode = {journal_mode}")

    maintenance = optimize(torc_file, vacuum=True)
    after = maintenance.measures[-1].after
    assert after.size < maintenance.before.size / 3
    assert (maintenance.before.free > 0, after.free) == (True, 0)
    assert torc_file.stat().st_size == after.size
    with closing(sqlite3.connect(torc_file)) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == (journal_mode.lower(),)


def test_status_is_right_after_vacuum(torc_file: Path):
    """VACUUM may number rows anew, and our words in yoyo's log name sqlx's rows by number: they still agree.

    Rows of both ledgers are missing at the start and in the middle, so that there is something to number.
    """
    rollback(torc_file, target=20251021113309)
    with closing(sqlite3.connect(torc_file)) as connection:
        connection.execute("DELETE FROM _yoyo_log WHERE rowid % 3 = 1")
        connection.execute("UPDATE _sqlx_migrations SET rowid = rowid + 100")
        connection.commit()
    upgrade(torc_file, target=20251022101926)
    before = status(torc_file)

    optimize(torc_file, vacuum=True)
    assert status(torc_file).as_dict() == before.as_dict()
    assert [entry.note for entry in before.entries if entry.note] == []
    assert upgrade(torc_file).applied == (20251023160238, 20251105030141)
    assert status(torc_file).clean


def test_yoyos_word_still_counts_after_vacuum(torc_file: Path):
    """A row that stock yoyo has taken back in its own ledger stays pending, whatever VACUUM does to sqlx's."""
    with closing(sqlite3.connect(torc_file)) as connection:
        connection.execute("DELETE FROM _sqlx_migrations WHERE version = 20251020140215")
        connection.execute("DELETE FROM _yoyo_migration WHERE migration_id LIKE '20251105030141%'")
        connection.execute(
            "INSERT INTO _yoyo_log (id, migration_hash, migration_id, operation, username, hostname, created_at_utc)"
            " SELECT 'later', migration_hash, migration_id, 'rollback', 'u', 'h', '2999-01-01 00:00:00'"
            " FROM _yoyo_log WHERE migration_id LIKE '20251105030141%'"
        )
        connection.commit()
    before = [(entry.migration.version, entry.verdict) for entry in status(torc_file).entries]

    optimize(torc_file, vacuum=True)
    assert [(entry.migration.version, entry.verdict) for entry in status(torc_file).entries] == before
    assert dict(before)[20251105030141].value == "pending"


@pytest.mark.parametrize("vacuum", [False, True])
def test_who_holds_the_database_is_named(torc_file: Path, vacuum):
    """A writer in another process is waited for, up to the limit, and then named; nothing was done."""
    code = (
        "import sqlite3, sys\n"
        "connection = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
        "connection.execute('BEGIN IMMEDIATE')\n"
        "print('held', flush=True)\n"
        "sys.stdin.read()\n"
    )
    words = [sys.executable, "-c", code, str(torc_file)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        holder.stdout.readline()
        began = time.monotonic()
        with pytest.raises(errors.LockTimeout) as failure:
            optimize(torc_file, vacuum=vacuum, lock_timeout=0.3)
        holder.stdin.close()

    assert 0.3 <= time.monotonic() - began < 20
    if sys.platform == "linux":
        assert f"process {holder.pid}" in failure.value.holder


def test_vacuum_waits_for_a_reader_to_leave(torc_file: Path):
    """Without WAL a reader keeps VACUUM out, and its name is told when the time is up."""
    with closing(sqlite3.connect(torc_file, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM workflow").fetchall()
        with pytest.raises(errors.LockTimeout):
            optimize(torc_file, vacuum=True, lock_timeout=0.2)
    optimize(torc_file, vacuum=True, lock_timeout=0.2)


def test_vacuum_is_refused_where_the_disk_is_too_full(torc_file: Path, monkeypatch):
    """Twice the size is wanted where database and temporary files share a disk; nothing is done without it."""
    size = torc_file.stat().st_size
    monkeypatch.setenv("SQLITE_TMPDIR", str(torc_file.parent))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(0, 0, 2 * size - 1))
    before = torc_file.read_bytes()

    with pytest.raises(NotEnoughSpace) as failure:
        optimize(torc_file, vacuum=True)
    assert (failure.value.needed, failure.value.free) == (2 * size, 2 * size - 1)
    assert str(torc_file.parent) in str(failure.value)
    assert torc_file.read_bytes() == before

    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(0, 0, 2 * size))
    optimize(torc_file, vacuum=True)


def test_the_folder_of_temporary_files_is_measured_too(torc_file: Path, monkeypatch, tmp_path: Path):
    """The copy goes where SQLite puts temporary files; on a disk of its own it wants only what is not free."""
    fill(torc_file)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.setenv("SQLITE_TMPDIR", str(elsewhere))
    monkeypatch.setattr("torc_migrations.maintenance._one_disk", lambda one, other: False)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(0, 0, 5 if path == str(elsewhere) else 10**12))

    with pytest.raises(NotEnoughSpace) as failure:
        optimize(torc_file, vacuum=True)
    with closing(sqlite3.connect(torc_file)) as connection:
        pages, free, size = (
            connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count", "page_size")
        )
    assert (failure.value.folder, failure.value.needed) == (str(elsewhere), (pages - free) * size)


def test_a_lent_connection_that_keeps_temporary_files_in_memory_needs_room_once(torc_file: Path, monkeypatch):
    """PRAGMA temp_store = MEMORY spares the copy's disk, so only the journal's is wanted."""
    monkeypatch.setenv("SQLITE_TMPDIR", str(torc_file.parent))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(0, 0, torc_file.stat().st_size))
    with closing(sqlite3.connect(torc_file)) as connection:
        with pytest.raises(NotEnoughSpace):
            optimize(connection, vacuum=True)
        connection.execute("PRAGMA temp_store = MEMORY")
        optimize(connection, vacuum=True)


def test_a_database_in_memory_needs_no_disk(torc, monkeypatch):
    """What has no file is maintained all the same."""
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(0, 0, 0))

    assert optimize(torc, vacuum=True).measures[-1].name == "VACUUM"


def test_a_missing_database_stays_missing(tmp_path: Path):
    """There is nothing to maintain, and nothing is created."""
    with pytest.raises(errors.CannotOpen, match="there is no database"):
        optimize(tmp_path / "none.db")
    assert os.listdir(tmp_path) == []


def test_a_database_for_reading_only_is_refused(torc_file: Path):
    """`?mode=ro` is a promise, also here."""
    before = torc_file.read_bytes()
    with pytest.raises(errors.CannotOpen, match="read-only"):
        optimize(f"sqlite:///{torc_file}?mode=ro", vacuum=True)
    assert torc_file.read_bytes() == before


def test_a_statement_in_progress_is_told(torc_file: Path):
    """VACUUM cannot run beside an open cursor of the same connection; that is an error with SQLite's words."""
    with closing(sqlite3.connect(torc_file)) as connection:
        cursor = connection.execute("SELECT * FROM sqlite_master")
        cursor.fetchone()
        with pytest.raises(errors.DatabaseFailed, match="SQL statements in progress"):
            optimize(connection, vacuum=True)


def test_the_report_is_a_table_and_json(torc_file: Path):
    """A line before, a line for each measure; and the same for programs."""
    maintenance = optimize(torc_file)
    lines = maintenance.as_text().splitlines()

    assert [line.split("  ")[0] for line in lines[1:]] == ["before", "ANALYZE", "PRAGMA optimize"]
    told = json.loads(json.dumps(maintenance.as_dict()))
    assert Sizes(**told["before"]) == maintenance.before
    assert [measure["name"] for measure in told["measures"]] == ["ANALYZE", "PRAGMA optimize"]


def test_the_error_survives_pickle():
    """Like every error of ours it crosses from a worker to its parent."""
    import pickle

    error = NotEnoughSpace("VACUUM of torc.db", "/tmp", needed=3 * 1024**2, free=1024, hint="make room")
    again = pickle.loads(pickle.dumps(error))

    assert str(again) == str(error) == "VACUUM of torc.db may need 3072 KiB in /tmp, where 1 KiB are free"
    assert (again.needed, again.exit_code, again.hint) == (3 * 1024**2, 6, error.hint)
