"""A script outside a transaction, whose database others lock in between."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest

from torc_migrations import Migrator, upgrade
from torc_migrations.databases.processes import begin_to_own, end_owning
from torc_migrations.databases.sqlite.database import SQLiteDatabase
from torc_migrations.events import Event, MigrationStarted, Waiting
from torc_migrations.history.records import BEGIN, NO_ROW, Begun, begun_comment
from torc_migrations.history.steps import Outcome


def test_a_script_outside_a_transaction_waits_for_who_locks_the_database_before_it(tmp_path: Path) -> None:
    """What is read before such a script and after it waits for a lock too."""
    source, path = tmp_path / "source", tmp_path / "x.db"
    source.mkdir()
    (source / "1_a.sql").write_text("CREATE TABLE a (x);\n")
    (source / "2_b.sql").write_text("-- no-transaction\nCREATE TABLE b (x);\n")
    upgrade(path, source, target=1)

    with closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as other:
        ends = threading.Timer(0.3, other.execute, ("COMMIT",))

        def lock(event: Event) -> None:
            if isinstance(event, MigrationStarted):
                other.execute("BEGIN EXCLUSIVE")
                ends.start()

        report = upgrade(path, source, on_event=lock)
        ends.join()

    assert report.applied == (2,)


@pytest.mark.parametrize("seconds", [0.2, 1.0])
def test_a_run_that_is_done_does_not_fail_at_who_locks_the_database_after_it(tmp_path: Path, seconds: float) -> None:
    """What is read for a note at its end waits, and is left out if the lock is not released in time."""
    source, path = tmp_path / "source", tmp_path / "x.db"
    source.mkdir()
    (source / "1_a.sql").write_text("CREATE TABLE a (x);\n")

    with closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as other:
        ends = threading.Timer(seconds, other.execute, ("COMMIT",))

        def lock(_: Outcome) -> None:
            other.execute("BEGIN EXCLUSIVE")
            ends.start()

        report = Migrator(path, source, lock_timeout=0.5).upgrade(observer=lock)
        ends.join()

    assert report.applied == (1,)


def test_a_script_outside_a_transaction_waits_for_who_locks_the_database_after_it(tmp_path: Path) -> None:
    """Whether it has broken something is looked at once it is recorded."""
    source, path = tmp_path / "source", tmp_path / "x.db"
    source.mkdir()
    (source / "1_a.sql").write_text("CREATE TABLE a (x);\nCREATE VIEW v AS SELECT x FROM a;\n")
    upgrade(path, source)
    (source / "2_b.sql").write_text("-- no-transaction\nALTER TABLE a ADD COLUMN y;\n")
    begun: list[threading.Timer] = []

    with closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as other:
        run = Migrator(path, source)
        commit = SQLiteDatabase.commit

        def commit_and_lock(database: SQLiteDatabase) -> None:
            commit(database)
            if not begun and database.effects is not None:
                other.execute("BEGIN EXCLUSIVE")
                begun.append(threading.Timer(0.3, other.execute, ("COMMIT",)))
                begun[0].start()

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(SQLiteDatabase, "commit", commit_and_lock)
            report = run.upgrade()
        begun[0].join()

    assert report.applied == (2,)


def test_a_run_waits_for_a_script_that_begins_while_it_waits_for_the_lock(tmp_path: Path) -> None:
    """The script was not there when the plan was made; it is seen in the first transaction."""
    source, path = tmp_path / "source", tmp_path / "x.db"
    source.mkdir()
    (source / "1_a.sql").write_text("CREATE TABLE a (x);\n")
    (source / "2_b.sql").write_text("CREATE TABLE b (x);\n")
    upgrade(path, source, target=1)
    owner = begin_to_own()
    comment = begun_comment(Begun("apply", 0, 1, owner), NO_ROW)
    columns = "(id, migration_hash, migration_id, operation, comment)"
    seen: list[bool] = []

    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")

        def act(event: Event) -> None:
            if not isinstance(event, Waiting):
                return
            seen.append(bool(other.execute("SELECT 1 FROM sqlite_master WHERE name = 'b'").fetchall()))
            if len(seen) == 1:
                other.execute(
                    f"INSERT INTO _yoyo_log {columns} VALUES ('key', 'hash', '9_other', ?, ?)", (BEGIN, comment)
                )
                other.execute("COMMIT")
            else:
                other.execute("DELETE FROM _yoyo_log WHERE id = 'key'")
                end_owning(owner)

        assert upgrade(path, source, on_event=act).applied == (2,)

    assert seen == [False, False]
