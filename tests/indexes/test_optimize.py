"""Maintenance refreshes statistics and rebuilds the file, waits for locks, and checks the free disk space first."""

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
from torc_migrations.databases.results.maintenance import Sizes
from torc_migrations.errors import NotEnoughSpace
from torc_migrations.indexes.optimize import optimize


class Usage(NamedTuple):
    total: int
    used: int
    free: int


def fill(path: Path, rows: int = 3000) -> None:
    """Make a table that leaves free pages."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE filler (x)")
        connection.executemany("INSERT INTO filler VALUES (?)", [("x" * 500,)] * rows)
        connection.execute("DELETE FROM filler WHERE rowid % 10")
        connection.commit()


def test_analyze_and_optimize_write_statistics_and_no_rows(torc_file: Path):
    """Without VACUUM only the statistics change."""
    fill(torc_file)

    maintenance = optimize(torc_file)
    assert [measure.name for measure in maintenance.measures] == ["ANALYZE", "PRAGMA optimize"]
    assert maintenance.before.statistics == 0
    assert maintenance.measures[-1].after.statistics > 0
    assert all(measure.elapsed_ns > 0 for measure in maintenance.measures)
    with closing(sqlite3.connect(torc_file)) as connection:
        assert connection.execute("SELECT COUNT(*) FROM filler").fetchone() == (300,)


@pytest.mark.parametrize("journal_mode", ["DELETE", "WAL"])
def test_vacuum_removes_free_pages(torc_file: Path, journal_mode):
    """There are no free pages afterwards, and the journal mode is the same."""
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
    """VACUUM may change rowids, and the log of yoyo refers to rows of sqlx by rowid: both ledgers still agree.

    Rows of both ledgers are missing at the start and in the middle, so that rowids would change.
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


def test_what_yoyo_rolled_back_stays_pending_after_vacuum(torc_file: Path):
    """A migration that stock yoyo has rolled back in its ledger stays pending, whatever VACUUM does to that of sqlx."""
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
    """Another process that writes is waited for up to the limit, and named in the error; nothing was done."""
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


def test_vacuum_waits_for_a_reader(torc_file: Path):
    """Without WAL a reader locks out VACUUM."""
    with closing(sqlite3.connect(torc_file, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM workflow").fetchall()
        with pytest.raises(errors.LockTimeout):
            optimize(torc_file, vacuum=True, lock_timeout=0.2)
    optimize(torc_file, vacuum=True, lock_timeout=0.2)


def test_vacuum_is_refused_where_the_disk_is_too_full(torc_file: Path, monkeypatch):
    """Twice the size is needed where the database and temporary files are on one disk; else nothing is done."""
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


def test_the_directory_of_temporary_files_is_checked_too(torc_file: Path, monkeypatch, tmp_path: Path):
    """The copy is a temporary file; on another disk it needs the pages that are not free."""
    fill(torc_file)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.setenv("SQLITE_TMPDIR", str(elsewhere))
    monkeypatch.setattr("torc_migrations.databases.sqlite.tuning.maintenance._one_disk", lambda one, other: False)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(0, 0, 5 if path == str(elsewhere) else 10**12))

    with pytest.raises(NotEnoughSpace) as failure:
        optimize(torc_file, vacuum=True)
    with closing(sqlite3.connect(torc_file)) as connection:
        pages, free, size = (
            connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count", "page_size")
        )
    assert (failure.value.directory, failure.value.needed) == (str(elsewhere), (pages - free) * size)


def test_a_lent_connection_with_temporary_files_in_memory_needs_space_once(torc_file: Path, monkeypatch):
    """With PRAGMA temp_store = MEMORY only the journal needs disk space."""
    monkeypatch.setenv("SQLITE_TMPDIR", str(torc_file.parent))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(0, 0, torc_file.stat().st_size))
    with closing(sqlite3.connect(torc_file)) as connection:
        with pytest.raises(NotEnoughSpace):
            optimize(connection, vacuum=True)
        connection.execute("PRAGMA temp_store = MEMORY")
        optimize(connection, vacuum=True)


def test_a_database_in_memory_needs_no_disk(torc, monkeypatch):
    """A database without a file is maintained as well."""
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(0, 0, 0))

    assert optimize(torc, vacuum=True).measures[-1].name == "VACUUM"


def test_a_missing_database_stays_missing(tmp_path: Path):
    """There is nothing to maintain, and nothing is created."""
    with pytest.raises(errors.CannotOpen, match="there is no database"):
        optimize(tmp_path / "none.db")
    assert os.listdir(tmp_path) == []


def test_a_database_for_reading_only_is_refused(torc_file: Path):
    """`?mode=ro` prevents every write."""
    before = torc_file.read_bytes()
    with pytest.raises(errors.CannotOpen, match="read-only"):
        optimize(f"sqlite:///{torc_file}?mode=ro", vacuum=True)
    assert torc_file.read_bytes() == before


def test_a_statement_in_progress_is_an_error(torc_file: Path):
    """VACUUM cannot run beside an open cursor of the same connection; that is an error with the message of SQLite."""
    with closing(sqlite3.connect(torc_file)) as connection:
        cursor = connection.execute("SELECT * FROM sqlite_master")
        cursor.fetchone()
        with pytest.raises(errors.DatabaseFailed, match="SQL statements in progress"):
            optimize(connection, vacuum=True)


def test_the_report_is_a_table_and_json(torc_file: Path):
    """The table has a line before and one after each statement; the JSON has the same."""
    maintenance = optimize(torc_file)
    lines = maintenance.as_text().splitlines()

    assert [line.split("  ")[0] for line in lines[1:]] == ["before", "ANALYZE", "PRAGMA optimize"]
    told = json.loads(json.dumps(maintenance.as_dict()))
    assert Sizes(**told["before"]) == maintenance.before
    assert [measure["name"] for measure in told["measures"]] == ["ANALYZE", "PRAGMA optimize"]


def test_the_error_survives_pickle():
    """Like every error it can be sent from a worker process to its parent."""
    import pickle

    error = NotEnoughSpace("VACUUM of torc.db", "/tmp", needed=3 * 1024**2, free=1024, hint="make room")
    again = pickle.loads(pickle.dumps(error))

    assert str(again) == str(error) == "VACUUM of torc.db may need 3072 KiB in /tmp, where 1 KiB are free"
    assert (again.needed, again.exit_code, again.hint) == (3 * 1024**2, 6, error.hint)
