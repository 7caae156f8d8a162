"""A Galera cluster of three nodes: runners on all of them, a node that is killed, and a minority."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import suppress
from threading import Event, Thread

import galera
import pymysql
import pytest
from database_under_test import PATIENCE, ladder, sized, start_at_once
from galera import Cluster, Node
from throw_away import running

from torc_migrations import Migrator
from torc_migrations.errors import CannotOpen, Dirty

pytestmark = pytest.mark.slow

ROUNDS = sized(3, 30)
RUNNER = """
import json, sys, time
import torc_migrations.databases.mysql.database, torc_migrations.ledgers.yoyo
from torc_migrations import upgrade
url, source = sys.argv[1:]
print("ready", flush=True)
sys.stdin.readline()
print(json.dumps(upgrade(url, source).applied), flush=True)
"""
# Says when a migration is committed, so that the test can kill the process between two of them.
TELLER = """
import sys
from torc_migrations import Migrator
url, source = sys.argv[1:]
Migrator(url, source).upgrade(observer=lambda outcome: print(outcome.step.migration.version, flush=True))
"""
SLOW = "CREATE TABLE slow (x INT);\nSELECT SLEEP(600);\nINSERT INTO slow VALUES (1);\n"


@pytest.fixture(scope="module")
def started() -> Iterator[Cluster]:
    """A cluster for the tests of this file."""
    if not galera.is_installed():
        pytest.skip(galera.MISSING)
    with running(Cluster) as cluster:
        yield cluster


@pytest.fixture
def cluster(started: Cluster) -> Cluster:
    """The cluster, with an empty database."""
    started.fresh_database()
    return started


def sqlx_versions(node: Node) -> list[int]:
    """Return what sqlx's ledger says on a node."""
    return [row[0] for row in node.execute("SELECT version FROM _sqlx_migrations WHERE success ORDER BY version")]


def test_runners_on_all_nodes_apply_each_migration_once(cluster, folder):
    """Two runners on each node begin at one moment; each migration is applied once, and nobody fails."""
    source = folder(ladder(3))
    for _ in range(ROUNDS):
        cluster.fresh_database()
        runners = start_at_once(RUNNER, [node.url for node in cluster.nodes] * 2, source)
        ended = [runner.communicate(timeout=PATIENCE) for runner in runners]

        assert [runner.returncode for runner in runners] == [0] * len(runners), [each[1] for each in ended]
        applied = [version for out, _ in ended for version in json.loads(out.splitlines()[-1])]
        assert sorted(applied) == [1, 2, 3]
        for node in cluster.nodes:
            assert sqlx_versions(node) == [1, 2, 3]
            assert node.execute("SELECT COUNT(*) FROM t2") == [(1,)]
            assert node.execute("SELECT COUNT(*) FROM _torc_migrations_lock") == [(0,)]


def test_a_transaction_that_another_node_ends_is_repeated(cluster, folder):
    """A change of the schema on another node ends our open transactions with error 1213; the run goes on after it."""
    source = folder(ladder(10))
    Migrator(cluster.nodes[0].url, source).upgrade(1)
    ended = Event()

    def change_again_and_again() -> None:
        while not ended.is_set():
            cluster.nodes[1].execute(f"ALTER TABLE _torc_migrations_lock COMMENT = '{time.monotonic()}'")

    changes = Thread(target=change_again_and_again)
    changes.start()
    try:
        report = Migrator(cluster.nodes[0].url, source).upgrade()
    finally:
        ended.set()
        changes.join()
    assert report.applied == tuple(range(2, 11))
    assert sqlx_versions(cluster.nodes[2]) == list(range(1, 11))


def test_a_runner_waits_for_one_on_another_node(cluster, folder):
    """While a script runs on one node, a runner on another one waits, although that node's own lock is free."""
    source = folder({"1_slow": SLOW.replace("600", "3")})
    (first,) = start_at_once(RUNNER, [cluster.nodes[0].url], source)
    wait_for_table(cluster.nodes[1])

    report = Migrator(cluster.nodes[1].url, source, lock_timeout=PATIENCE).upgrade()

    out, errors = first.communicate(timeout=PATIENCE)
    assert json.loads(out.splitlines()[-1]) == [1], errors
    assert report.applied == ()
    assert cluster.nodes[2].execute("SELECT COUNT(*) FROM slow") == [(1,)]


def test_a_killed_holder_is_replaced_from_another_node(cluster, folder):
    """Its row is deleted once its number has not changed for the time of a lease; what it has begun is dirty."""
    source = folder({"1_slow": SLOW})
    (holder,) = start_at_once(RUNNER, [cluster.nodes[0].url], source)
    wait_for_table(cluster.nodes[1])
    holder.kill()
    holder.communicate()
    end_sessions(cluster.nodes[0])

    with pytest.raises(Dirty) as refusal:
        Migrator(cluster.nodes[1].url, source, lock_timeout=PATIENCE).upgrade()

    stop = refusal.value.stop
    assert stop is not None
    assert stop.done == 1
    folder({"1_slow": SLOW.replace("600", "0")})
    Migrator(cluster.nodes[1].url, source).repair(1, resume_after=1)
    assert sqlx_versions(cluster.nodes[2]) == [1]


def test_a_node_is_killed_in_the_middle_of_a_run(cluster, folder):
    """Another node goes on: the ledgers are right there, and what was running is dirty and is repaired."""
    source = folder({**ladder(2), "3_slow": SLOW, "4_more": "CREATE TABLE more (x INT);"})
    (runner,) = start_at_once(RUNNER, [cluster.nodes[2].url], source)
    wait_for_table(cluster.nodes[0])
    cluster.nodes[2].kill()
    _, errors = runner.communicate(timeout=PATIENCE)
    assert runner.returncode != 0
    assert "ExecutionFailed" in errors or "DatabaseFailed" in errors

    with pytest.raises(Dirty) as refusal:
        Migrator(cluster.nodes[0].url, source, lock_timeout=PATIENCE).upgrade()

    assert refusal.value.version == 3
    folder({"3_slow": SLOW.replace("600", "0")})
    Migrator(cluster.nodes[0].url, source, lock_timeout=PATIENCE).repair(3, resume_after=1)
    assert Migrator(cluster.nodes[1].url, source, lock_timeout=PATIENCE).upgrade().applied == (4,)
    cluster.restart(cluster.nodes[2])
    assert sqlx_versions(cluster.nodes[2]) == [1, 2, 3, 4]
    assert cluster.nodes[2].execute("SELECT COUNT(*) FROM slow") == [(1,)]


def test_a_minority_refuses(cluster, folder):
    """A node that is left alone writes nothing and answers nothing, although its own lock can be had."""
    source = folder(ladder(2))
    Migrator(cluster.nodes[0].url, source).upgrade(1)
    for node in cluster.nodes[1:]:
        node.kill()
    deadline = time.monotonic() + PATIENCE
    while cluster.nodes[0].execute_status("wsrep_cluster_status") == "Primary":
        assert time.monotonic() < deadline
        time.sleep(0.1)

    for operation in ("status", "upgrade"):
        with pytest.raises(CannotOpen, match="is not in the primary component of its cluster"):
            getattr(Migrator(cluster.nodes[0].url, source), operation)()


def wait_for_table(node: Node) -> None:
    """Wait until the slow script has made its table."""
    deadline = time.monotonic() + PATIENCE
    while not node.execute("SHOW TABLES LIKE 'slow'"):
        assert time.monotonic() < deadline
        time.sleep(0.1)


def end_sessions(node: Node) -> None:
    """End the session that runs SLEEP for a client that is gone, as the server does once it writes to it."""
    for number, _ in node.execute("SELECT id, info FROM information_schema.processlist WHERE info LIKE '%SLEEP(600)%'"):
        if number:
            with suppress(pymysql.Error):  # it may have ended just now
                node.execute(f"KILL {number}")
