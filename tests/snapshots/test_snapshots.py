"""A copy of the database before a run changes it: when it is made, what it holds, and how many remain."""

from __future__ import annotations

import os
import random
import shutil
import signal
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import pytest
from database_under_test import PATIENCE, SQLiteUnderTest, expect_line, ladder, python, sized, start_python
from killed_runs import FILES, contents, kill_before_each_statement

from torc_migrations import Migrator, errors, rollback, upgrade
from torc_migrations.errors import BadSnapshotDirectory, NotEnoughSpace, SnapshotFailed
from torc_migrations.snapshots.snapshot import find_snapshots


class Usage(NamedTuple):
    total: int
    used: int
    free: int


@pytest.fixture
def begun(sqlite: SQLiteUnderTest, folder, journal: str) -> SQLiteUnderTest:
    """A database with the first two of five migrations, and a row that no migration made."""
    sqlite.execute(f"PRAGMA journal_mode = {journal}")
    upgrade(sqlite.path, folder(ladder(5)), target=2)
    sqlite.execute("INSERT INTO t1 VALUES (99)")
    return sqlite


def rows(path: str | Path) -> dict[str, list[tuple[object, ...]]]:
    """Return all rows of all tables."""
    with closing(sqlite3.connect(f"file:{path}?immutable=1", uri=True)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        names = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {name: connection.execute(f'SELECT * FROM "{name}"').fetchall() for name in names}


def snapshots(database: SQLiteUnderTest) -> list[str]:
    """Return the names of the snapshots beside a database, and of files with similar names."""
    return sorted(each.name for each in database.path.parent.iterdir() if "snapshot" in each.name)


def test_the_copy_is_the_database_before_the_run(begun: SQLiteUnderTest, folder, journal):
    """It is made once a run, beside the database; its name has the database, the time and the version."""
    before = rows(begun.path)

    report = Migrator(begun.path, folder(ladder(5)), snapshot=True).upgrade()

    assert report.applied == (3, 4, 5)
    (snapshot,) = find_snapshots(str(begun.path))
    assert report.snapshot == snapshot.path
    assert report.as_dict()["snapshot"] == snapshot.path
    assert (snapshot.version, snapshot.size) == (2, os.path.getsize(snapshot.path))
    assert os.path.basename(snapshot.path).startswith("app.db.2")
    assert snapshot.path.endswith("Z.v2.snapshot")
    assert rows(snapshot.path) == before
    with closing(sqlite3.connect(snapshot.path)) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("delete",)
    assert begun.execute("PRAGMA journal_mode") == [(journal,)]


def test_there_is_none_where_nothing_is_to_be_done(begun: SQLiteUnderTest, folder):
    """An upgrade that has nothing to do copies nothing."""
    source = folder(ladder(5))
    upgrade(begun.path, source)

    assert Migrator(begun.path, source, snapshot=True).upgrade().snapshot is None
    assert snapshots(begun) == []


@pytest.mark.parametrize("exists", [True, False])
def test_there_is_none_of_an_empty_database(sqlite: SQLiteUnderTest, folder, exists):
    """A database that is missing, or has nothing in it, is not copied."""
    if exists:
        sqlite.path.touch()

    assert Migrator(sqlite.path, folder(ladder(1)), snapshot=True).upgrade().snapshot is None
    assert snapshots(sqlite) == []


def test_it_holds_what_others_wrote_last(begun: SQLiteUnderTest, folder):
    """What another connection wrote after the plan was made, and before the first write of the run, is in it."""
    with closing(begun.connect()) as connection:

        def overtake(sql: str) -> None:
            if sql == "BEGIN IMMEDIATE":
                connection.set_trace_callback(None)
                begun.execute("INSERT INTO t2 VALUES (77)")

        connection.set_trace_callback(overtake)
        report = Migrator(connection, folder(ladder(5)), snapshot=True).upgrade()

    assert report.snapshot is not None
    assert (77,) in rows(report.snapshot)["t2"]
    assert "t3" not in rows(report.snapshot)
    assert len(snapshots(begun)) == 1


@pytest.mark.parametrize("atomic", [False, True])
def test_a_lent_connection_is_copied_too(begun: SQLiteUnderTest, folder, atomic):
    """The file of a connection is copied like a file that is named, before a rollback as before an upgrade."""
    before = rows(begun.path)
    with closing(begun.connect()) as connection:
        report = Migrator(connection, folder(ladder(5)), snapshot=True).rollback(0, atomic=atomic)

    assert report.snapshot is not None
    assert rows(report.snapshot) == before


def test_the_newest_remain(begun: SQLiteUnderTest, folder):
    """The oldest are deleted; a file with another name or of another database is not, and neither is a directory."""
    here = begun.path.parent
    others = {
        "app.db.20200101T000000.000Z.v1.snapshot.bak",
        "app.db.snapshot",
        "app.db.old.20200101T000000.000Z.v1.snapshot",
        "my-app.db.20200101T000000.000Z.v1.snapshot",
    }
    for name in others:
        (here / name).write_text("mine")
    (here / "app.db.20200101T000000.000Z.v7.snapshot").mkdir()
    old = [f"app.db.2021010{day}T000000.000Z.v1.snapshot" for day in range(1, 6)]
    for name in old:
        shutil.copy(begun.path, here / name)

    report = Migrator(begun.path, folder(ladder(5)), snapshot=True, keep=3).upgrade()

    assert report.snapshot is not None
    kept = {*old[-2:], os.path.basename(report.snapshot)}
    assert set(snapshots(begun)) == {*others, "app.db.20200101T000000.000Z.v7.snapshot", *kept}


def test_the_newest_stays_where_the_clock_went_back(begun: SQLiteUnderTest, folder):
    """The snapshot that was just made is never deleted, even where others have later times in their names."""
    future = [begun.path.parent / f"app.db.2999010{day}T000000.000Z.v1.snapshot" for day in range(1, 4)]
    for path in future:
        shutil.copy(begun.path, path)

    report = Migrator(begun.path, folder(ladder(5)), snapshot=True, keep=1).upgrade()

    assert report.snapshot is not None
    assert snapshots(begun) == [os.path.basename(report.snapshot)]


def test_names_of_the_future_do_not_displace_a_snapshot(begun: SQLiteUnderTest, folder):
    """A name with a time in the future counts as the oldest: the snapshots of earlier runs remain."""
    source = folder(ladder(5))
    for number in range(1, 4):
        shutil.copy(begun.path, begun.path.parent / f"app.db.9999010{number}T000000.000Z.v1.snapshot")

    made = [Migrator(begun.path, source, snapshot=True, keep=3).upgrade(target).snapshot for target in (3, 4)]

    assert {os.path.basename(str(path)) for path in made} < set(snapshots(begun))
    assert len(snapshots(begun)) == 3


def test_old_ones_are_deleted_where_the_run_fails_too(begun: SQLiteUnderTest, folder):
    """Runs that fail again and again do not fill the disk."""
    source = folder({"3_make_t3": "CREATE TABLE t3 (x);\nBORK;"})

    for _ in range(5):
        with pytest.raises(errors.ExecutionFailed) as failure:
            Migrator(begun.path, source, snapshot=True, keep=2).upgrade()
        assert failure.value.report is not None
        assert failure.value.report.snapshot is not None
        assert os.path.exists(failure.value.report.snapshot)

    assert len(snapshots(begun)) == 2


def test_two_databases_of_one_name_share_a_directory(tmp_path: Path, folder):
    """In a directory for several databases, each keeps its own."""
    source, backups = folder(ladder(5)), tmp_path / "backups"
    backups.mkdir()
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        database = SQLiteUnderTest(tmp_path / name / "app.db")
        upgrade(database.path, source, target=1)
        for target in (2, 3, 4):
            Migrator(database.path, source, snapshot=backups, keep=2).upgrade(target)

        assert [each.version for each in find_snapshots(str(database.path), str(backups))] == [2, 3]

    assert len(list(backups.iterdir())) == 4


@pytest.mark.skipif(os.name == "nt", reason="Windows has other permissions")
def test_a_copy_has_the_permissions_of_the_database(begun: SQLiteUnderTest, folder):
    """The copy has the permissions of the database, whatever the umask of the process is."""
    begun.path.chmod(0o640)

    report = Migrator(begun.path, folder(ladder(5)), snapshot=True).upgrade()

    assert report.snapshot is not None
    assert Path(report.snapshot).stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize(
    ("setting", "said"),
    [("memory", "it is in memory"), ("exclusive", "locking_mode = EXCLUSIVE")],
)
def test_what_cannot_be_copied_is_refused(begun: SQLiteUnderTest, folder, setting, said):
    """Where no copy can be made nothing is run, and the error says why."""
    connection = sqlite3.connect(":memory:" if setting == "memory" else begun.path, isolation_level=None)
    if setting == "exclusive":
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
    with closing(connection), pytest.raises(SnapshotFailed, match=said) as failure:
        Migrator(connection, folder(ladder(5)), snapshot=True).upgrade()

    assert failure.value.exit_code == 6
    assert begun.ledgers().agreed == (1, 2)
    assert snapshots(begun) == []


def make_file(path: Path) -> None:
    """Create a file with no content."""
    path.touch()


def make_nothing(path: Path) -> None:
    """Create nothing."""


@pytest.mark.parametrize(("make", "said"), [(make_nothing, "there is no directory"), (make_file, "is not a directory")])
def test_a_directory_that_cannot_be_used_is_refused(begun: SQLiteUnderTest, folder, tmp_path: Path, make, said):
    """A wrong name is an error of its own, with the exit status of wrong arguments, and nothing is run."""
    directory = tmp_path / "backups"
    make(directory)

    with pytest.raises(BadSnapshotDirectory, match=said) as failure:
        Migrator(begun.path, folder(ladder(5)), snapshot=directory).upgrade()

    assert failure.value.exit_code == 2
    assert failure.value.hint == "name a directory that exists and may be written; nothing was run"
    assert begun.ledgers().agreed == (1, 2)


def test_missing_disk_space_is_an_error_before_anything_is_written(begun: SQLiteUnderTest, folder, monkeypatch):
    """The free space is checked first; no old snapshot is deleted to get more."""
    source = folder(ladder(5))
    Migrator(begun.path, source, snapshot=True).upgrade(3)
    before = snapshots(begun)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(0, 0, 10_000))

    with pytest.raises(NotEnoughSpace, match=r"a snapshot of .*app\.db may need") as failure:
        Migrator(begun.path, source, snapshot=True).upgrade()

    assert failure.value.free == 10_000
    assert snapshots(begun) == before
    assert begun.ledgers().agreed == (1, 2, 3)


@pytest.mark.skipif(os.name == "nt", reason="there is no RLIMIT_FSIZE here")
def test_a_full_disk_is_an_error(begun: SQLiteUnderTest, folder):
    """Where the copy cannot be written to its end nothing is run, and the unfinished copy is removed."""
    begun.execute("INSERT INTO t1 SELECT randomblob(300000)")
    code = (
        "import resource, sys\n"
        "from torc_migrations import Migrator, errors\n"
        "import torc_migrations.ledgers.yoyo\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, resource.RLIM_INFINITY))\n"
        "try:\n"
        "    Migrator(*sys.argv[1:3], snapshot=True).upgrade()\n"
        "except errors.MigrationError as error:\n"
        "    print(error.exit_code, type(error).__name__)\n"
    )

    assert python(code, begun.path, folder(ladder(5))) == "6 SnapshotFailed\n"
    assert snapshots(begun) == []
    assert begun.ledgers().agreed == (1, 2)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is neither fork nor SIGKILL here")
def test_killed_before_any_statement_the_copy_is_whole(tmp_path: Path, folder, journal):
    """Killed before each statement of a run in turn, there is a whole copy as soon as anything was written."""
    source, start = folder(FILES), tmp_path / "start.db"
    SQLiteUnderTest(start).execute(f"PRAGMA journal_mode = {journal}", "CREATE TABLE x (x)", "DROP TABLE x")

    deaths = kill_before_each_statement(tmp_path / "killed", source, "up", start, snapshot=True, group=0)

    assert deaths > 60
    for number in range(1, deaths + 1):
        database = SQLiteUnderTest(tmp_path / f"killed{number}")
        found = find_snapshots(str(database.path))
        assert found or database.ledgers().agreed == ()
        assert all(contents(Path(snapshot.path)) == contents(start) for snapshot in found)


RUN = """
import sys
from torc_migrations import Migrator
import torc_migrations.ledgers.yoyo, torc_migrations.snapshots.restore
migrator = Migrator(*sys.argv[1:3], snapshot=True)
print("ready", flush=True)
sys.stdin.readline()
migrator.upgrade(3)
print("done", flush=True)
"""


def test_killed_while_it_copies_the_database_is_untouched(begun: SQLiteUnderTest, folder, tmp_path: Path):
    """Killed at random moments of the copy, nothing was written; the next run removes the unfinished copy."""
    begun.execute("CREATE TABLE big (x)", *["INSERT INTO big VALUES (randomblob(2000000))"] * 15)
    source, start = folder(ladder(5)), tmp_path / "start"
    shutil.copy(begun.path, start)
    partial = begun.path.parent / "app.db.snapshot.partial"
    hits = 0
    for _ in range(sized(6, 100)):
        process = start_python(RUN, begun.path, source)
        expect_line(process, "ready")
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
        deadline = time.monotonic() + PATIENCE
        while not partial.exists() and process.poll() is None and time.monotonic() < deadline:
            pass
        time.sleep(random.uniform(0, 0.02))
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=PATIENCE)

        hits += partial.exists()
        found = find_snapshots(str(begun.path))
        assert found or begun.ledgers().agreed == (1, 2)
        assert all(rows(each.path)["big"] == rows(start)["big"] for each in found)
        if begun.ledgers().agreed != (1, 2):
            rollback(begun.path, source, target=2)

    assert hits
    report = Migrator(begun.path, source, snapshot=True, keep=1).upgrade()
    assert report.snapshot is not None
    assert snapshots(begun) == [os.path.basename(report.snapshot)]


def test_report_of_a_run_that_was_put_back_names_nothing(begun: SQLiteUnderTest, folder):
    """What was applied before the failure is undone with it."""
    before = rows(begun.path)
    source = folder({"6_c": "-- no-transaction\nCREATE TABLE c (x);\nINSERT INTO nowhere VALUES (1);"})

    with pytest.raises(errors.ExecutionFailed) as failure:
        upgrade(begun.path, source, snapshot=True)

    assert failure.value.report is not None
    assert failure.value.report.applied == ()
    assert failure.value.report.snapshot is not None
    assert rows(begun.path) == before
