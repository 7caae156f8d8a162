"""A connection to MariaDB that is lost in a run: everything is read and locked anew, or a person decides."""

from __future__ import annotations

import threading
import time
from contextlib import closing

import pytest
from database_under_test import PATIENCE, ladder

from torc_migrations import Migrator, status, upgrade
from torc_migrations.databases.mysql.transactions import MySqlConnection
from torc_migrations.errors import DatabaseFailed, Dirty, ExecutionFailed, LockTimeout

OURS = "SELECT id FROM information_schema.processlist WHERE db = '{}' AND id <> CONNECTION_ID()"


def kill_sessions(mariadb) -> None:
    """End every other session of the database."""
    for (number,) in mariadb.execute(OURS.format(mariadb.name)):
        mariadb.execute(f"KILL CONNECTION {number}")


def kill_in_sleep(mariadb) -> None:
    """End the session that sleeps, once it does."""
    query = f"SELECT id FROM information_schema.processlist WHERE db = '{mariadb.name}' AND info LIKE '%SLEEP(%'"
    query += " AND id <> CONNECTION_ID()"
    deadline = time.monotonic() + PATIENCE
    while not (found := mariadb.execute(query)):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    mariadb.execute(f"KILL CONNECTION {found[0][0]}")


def test_a_script_that_is_one_transaction_runs_again(mariadb, folder, caplog):
    """Nothing of it is kept; the run goes on on another connection, and the script has run once."""
    rows = "INSERT INTO t1 VALUES (7);\nINSERT INTO t1 SELECT SLEEP(3);\n"
    source = folder({**ladder(1), "2_rows": rows, "3_make_t3": "CREATE TABLE t3 (x INT);"})
    killer = threading.Thread(target=kill_in_sleep, args=[mariadb])
    killer.start()

    report = upgrade(mariadb.url, source)
    killer.join()

    assert report.applied == (1, 2, 3)
    assert "connected again" in caplog.text
    assert mariadb.execute("SELECT x FROM t1 ORDER BY x") == [(0,), (1,), (7,)]
    assert mariadb.ledgers().agreed == (1, 2, 3)
    assert status(mariadb.url, source).clean


@pytest.mark.parametrize("when", ["before", "after"])
def test_the_commit_of_the_records_may_be_lost(mariadb, folder, caplog, monkeypatch, when):
    """Whether it was done is read from the ledgers: where it was, the script does not run again."""
    source = folder({**ladder(1), "2_rows": "INSERT INTO t1 VALUES (7);\n", "3_rows": "INSERT INTO t1 VALUES (8);\n"})
    upgrade(mariadb.url, source, target=1)
    commit = MySqlConnection.commit

    def lose(self: MySqlConnection) -> None:
        is_first = "connected again" not in caplog.text
        if is_first and when == "before":
            kill_sessions(mariadb)
        commit(self)
        if is_first and when == "after":
            kill_sessions(mariadb)
            self.session.run("SELECT 1")

    monkeypatch.setattr(MySqlConnection, "commit", lose)
    report = upgrade(mariadb.url, source)

    assert report.applied == ((2, 3) if when == "before" else (3,))
    assert mariadb.execute("SELECT x FROM t1 ORDER BY x") == [(1,), (7,), (8,)]
    assert mariadb.ledgers().agreed == (1, 2, 3)


def test_a_script_of_which_parts_are_kept_is_dirty(mariadb, folder):
    """It is not run again by itself: the error says where it stopped, and a repair leads to the end."""
    source = folder({"1_slow": "CREATE TABLE a (x INT);\nSELECT SLEEP(60);\nCREATE TABLE b (x INT);\n"})
    killer = threading.Thread(target=kill_in_sleep, args=[mariadb])
    killer.start()

    with pytest.raises(ExecutionFailed) as failure:
        upgrade(mariadb.url, source)
    killer.join()

    assert "the connection is lost" in (failure.value.hint or "")
    with pytest.raises(Dirty) as refusal:
        upgrade(mariadb.url, source)
    assert refusal.value.stop is not None
    assert refusal.value.stop.done == 1
    folder({"1_slow": "CREATE TABLE a (x INT);\nSELECT SLEEP(0);\nCREATE TABLE b (x INT);\n"})
    Migrator(mariadb.url, source).repair(1, resume_after=1)
    assert mariadb.ledgers().agreed == (1,)


def test_another_runner_that_was_faster_is_noticed(mariadb, folder, caplog, monkeypatch):
    """The lock went with the connection; what another process did meanwhile is not done again."""
    source = folder({**ladder(1), "2_rows": "INSERT INTO t1 VALUES (7);\n", "3_rows": "INSERT INTO t1 VALUES (8);\n"})
    upgrade(mariadb.url, source, target=1)
    reconnect = MySqlConnection.reconnect

    def let_another_one_run(self: MySqlConnection) -> bool:
        monkeypatch.setattr(MySqlConnection, "reconnect", reconnect)
        assert upgrade(mariadb.url, source, target=2).applied == (2,)
        return reconnect(self)

    commit = MySqlConnection.commit

    def lose(self: MySqlConnection) -> None:
        monkeypatch.setattr(MySqlConnection, "commit", commit)
        kill_sessions(mariadb)
        commit(self)

    monkeypatch.setattr(MySqlConnection, "commit", lose)
    monkeypatch.setattr(MySqlConnection, "reconnect", let_another_one_run)

    assert upgrade(mariadb.url, source).applied == (3,)
    assert mariadb.execute("SELECT x FROM t1 ORDER BY x") == [(1,), (7,), (8,)]


def test_the_lock_is_taken_again(mariadb, folder, monkeypatch):
    """Where another session has it by then, the run waits for it."""
    source = folder({**ladder(1), "2_rows": "INSERT INTO t1 VALUES (7);\n"})
    upgrade(mariadb.url, source, target=1)
    commit, reconnect = MySqlConnection.commit, MySqlConnection.reconnect
    from torc_migrations.databases.mysql.locks import lock_name

    with closing(mariadb.connect()) as other, other.cursor() as cursor:

        def take_it_first(self: MySqlConnection) -> bool:
            cursor.execute("SELECT GET_LOCK(%s, 60)", [lock_name(mariadb.name)])
            return reconnect(self)

        def lose(self: MySqlConnection) -> None:
            monkeypatch.setattr(MySqlConnection, "commit", commit)
            mariadb.execute(f"KILL CONNECTION {self.session.number}")
            commit(self)

        monkeypatch.setattr(MySqlConnection, "commit", lose)
        monkeypatch.setattr(MySqlConnection, "reconnect", take_it_first)
        with pytest.raises(LockTimeout):
            upgrade(mariadb.url, source, lock_timeout=1)

    assert mariadb.ledgers().agreed == (1,)


def test_a_lent_connection_is_not_replaced(mariadb, folder, monkeypatch):
    """Its owner opens another one."""
    source = folder({**ladder(1), "2_rows": "INSERT INTO t1 VALUES (7);\n"})
    upgrade(mariadb.url, source, target=1)
    commit = MySqlConnection.commit

    def lose(self: MySqlConnection) -> None:
        kill_sessions(mariadb)
        commit(self)

    monkeypatch.setattr(MySqlConnection, "commit", lose)
    with pytest.raises(DatabaseFailed) as failure:
        upgrade(mariadb.connect(), source)

    assert failure.value.is_lost
    assert mariadb.execute("SELECT x FROM t1") == [(1,)]
