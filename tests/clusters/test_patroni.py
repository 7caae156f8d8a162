"""Three PostgreSQL servers under Patroni: the leader is killed, a planned switchover, a runner on a standby."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Iterator

import patroni_cluster
import pytest
from database_under_test import PATIENCE, ladder, start_at_once
from patroni_cluster import PatroniCluster
from throw_away import running

from torc_migrations import Migrator, status, upgrade
from torc_migrations.errors import CannotOpen, HalfDone

pytestmark = pytest.mark.slow

RUNNER = """
import json, sys, time
import torc_migrations.ledgers.yoyo
from torc_migrations import upgrade
url, source = sys.argv[1:]
print("ready", flush=True)
sys.stdin.readline()
began = time.monotonic()
applied = upgrade(url, source, lock_timeout=110).applied
print(json.dumps({"applied": applied, "seconds": round(time.monotonic() - began, 1)}), flush=True)
"""
SLOW = "CREATE TABLE slow (x int);\nINSERT INTO slow VALUES (1);\nSELECT pg_sleep({});\n"


@pytest.fixture(scope="module")
def started() -> Iterator[PatroniCluster]:
    """A cluster for the tests of this file."""
    if not patroni_cluster.is_installed():
        pytest.skip(patroni_cluster.MISSING)
    with running(PatroniCluster) as cluster:
        yield cluster


@pytest.fixture
def cluster(started: PatroniCluster) -> PatroniCluster:
    """The cluster with three living nodes and an empty database."""
    started.fresh()
    return started


def start_runners(cluster: PatroniCluster, source: str, count: int = 1) -> list[subprocess.Popen[str]]:
    """Start processes that upgrade, all at one moment."""
    return start_at_once(RUNNER, [cluster.url] * count, source)


def wait_for_sleep(cluster: PatroniCluster) -> None:
    """Wait until the slow script sleeps on the primary."""
    query = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep%' AND pid <> pg_backend_pid()"
    query += " AND state = 'active' AND application_name = 'torc-migrations'"
    primary = cluster.primary
    cluster.wait_for(lambda: primary.execute(query)[0][0] > 0)


def ended(runner: subprocess.Popen[str]) -> dict:
    """Return what a runner says at its end; fails where it failed."""
    output, problems = runner.communicate(timeout=PATIENCE)
    assert runner.returncode == 0, problems
    return json.loads(output.splitlines()[-1])


def check_all(cluster: PatroniCluster, source: str, count: int) -> None:
    """Check that both ledgers and the schema say that each migration was applied once, on the primary and a standby."""
    for url in (cluster.url, cluster.synchronous_standby.url):
        found = status(url, source)
        assert (len(found.installed), found.pending, found.clean) == (count, (), True)
    assert cluster.primary.execute("SELECT count(*) FROM slow") == [(1,)]
    assert cluster.primary.execute("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == [(0,)]


@pytest.mark.parametrize("how", ["the leader is killed", "a planned switchover"])
def test_a_run_goes_on_on_the_new_leader(cluster, folder, how, record_property):
    """Nothing of the open transaction is left; what was committed is kept; the script runs again there."""
    source = folder({**ladder(2), "3_slow": SLOW.format(4), "4_more": "CREATE TABLE more (x int);"})
    upgrade(cluster.url, source, target=1)
    (runner,) = start_runners(cluster, source)
    wait_for_sleep(cluster)
    old, new = cluster.primary, cluster.synchronous_standby

    began = time.monotonic()
    if how == "the leader is killed":
        old.kill()
    else:
        cluster.switch_over(new)
    done = ended(runner)

    record_property("seconds", round(time.monotonic() - began, 1))
    assert done["applied"] == [2, 3, 4]
    cluster.settle()
    assert cluster.primary.number == new.number
    check_all(cluster, source, 4)


def test_runners_that_wait_go_on_after_a_failover(cluster, folder):
    """Six runners, of which one runs a script when the leader is killed: nobody fails, each migration is there once."""
    source = folder({**ladder(3), "4_slow": SLOW.format(15), "5_more": "CREATE TABLE more (x int);"})
    upgrade(cluster.url, source, target=1)
    runners = start_runners(cluster, source, 6)
    wait_for_sleep(cluster)
    # The others have looked whether there is anything to do, on a connection that is closed at once, and wait now.
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'torc-migrations'"
    waiting += " AND backend_start < now() - interval '2 s'"
    primary = cluster.primary
    cluster.wait_for(lambda: primary.execute(waiting)[0][0] == 6)

    primary.kill()
    applied = [version for runner in runners for version in ended(runner)["applied"]]

    assert sorted(applied) == [2, 3, 4, 5]
    cluster.settle()
    check_all(cluster, source, 5)


def test_what_a_script_outside_a_transaction_has_done_is_known_after_a_failover(cluster, folder):
    """It is not run again by itself; the new leader knows how far it was."""
    script = "-- no-transaction\nCREATE TABLE slow (x int);\nINSERT INTO slow VALUES (1);\nSELECT pg_sleep({});\n"
    source = folder({**ladder(1), "2_out": script.format(60)})
    (runner,) = start_runners(cluster, source)
    wait_for_sleep(cluster)
    cluster.primary.kill()
    _, problems = runner.communicate(timeout=PATIENCE)
    assert "HalfDone" in problems

    with pytest.raises(HalfDone):
        upgrade(cluster.url, source)
    assert status(cluster.url, source).entries[1].half_done.done == 2
    folder({"2_out": script.format(0)})
    Migrator(cluster.url, source).repair(2, resume_after=2)
    cluster.settle()
    check_all(cluster, source, 2)


def test_a_runner_on_a_standby_holds_no_lock_that_a_later_leader_would_have(cluster, folder):
    """`upgrade` on a standby is refused while it is one, `status` works; it becomes the leader, and nobody waits."""
    source = folder({"1_slow": SLOW.format(0), "2_more": "CREATE TABLE more (x int);"})
    upgrade(cluster.url, source, target=1)
    new = cluster.synchronous_standby
    with pytest.raises(CannotOpen, match="is read-only: it is a standby"):
        upgrade(new.url, source)
    assert [each.version for each in status(new.url, source).installed] == [1]
    assert new.execute("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == [(0,)]

    cluster.switch_over(new)
    cluster.wait_for(_leads(new))

    assert upgrade(new.url, source, lock_timeout=PATIENCE).applied == (2,)
    cluster.settle()
    check_all(cluster, source, 2)


def _leads(node: patroni_cluster.PatroniNode) -> Callable[[], bool]:
    return lambda: node.is_in("primary")
