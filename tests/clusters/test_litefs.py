"""A SQLite file that LiteFS replicates: a run on the primary, a listing and a refused run on the replica, kills."""

from __future__ import annotations

import time
from collections.abc import Iterator

import litefs
import pytest
from database_under_test import PATIENCE, expect_line, ladder, rungs, start_python
from litefs import LiteFSCluster
from throw_away import running

from torc_migrations import rehearse, rollback, status, upgrade
from torc_migrations.errors import CannotOpen

pytestmark = pytest.mark.slow

# Says that the last statement of a script has run; its records and its commit follow a second later.
RUNNER = """
import sys, time
from torc_migrations import upgrade
from torc_migrations.runs.groups import Records
add = Records.add
def say_and_add(self, step, elapsed_ns, **facts):
    if step.migration.version == 2:
        print("ran", flush=True)
        time.sleep(600)
    add(self, step, elapsed_ns, **facts)
Records.add = say_and_add
upgrade(sys.argv[1], sys.argv[2], group=0)
"""


@pytest.fixture
def cluster() -> Iterator[LiteFSCluster]:
    """A primary and a replica with nothing in them."""
    if not litefs.is_installed():
        pytest.skip(litefs.MISSING)
    with running(LiteFSCluster) as started:
        yield started


@pytest.mark.parametrize("journal_mode", ["delete", "wal"])
def test_what_the_primary_applies_is_listed_on_the_replica(cluster, folder, journal_mode):
    """Up and down; `status` writes nothing there."""
    source, primary, replica = folder(ladder(3)), cluster.primary.database, cluster.replica.database
    primary.execute("CREATE TABLE kept (x)", f"PRAGMA journal_mode = {journal_mode}")

    assert upgrade(primary.url, source, target=2).applied == (1, 2)
    cluster.replicate()
    found = status(replica.url, source)
    assert ([each.version for each in found.installed], [each.version for each in found.pending]) == ([1, 2], [3])
    assert replica.tables().keys() - {"kept"} == rungs([1, 2])
    assert upgrade(primary.url, source).applied == (3,)
    assert rollback(primary.url, source, target=1).applied == (3, 2)
    cluster.replicate()

    assert replica.ledgers().agreed == (1,)
    assert replica.tables().keys() - {"kept"} == rungs([1])


def test_a_run_on_the_replica_is_refused(cluster, folder):
    """The error says that the file is read-only; nothing is changed."""
    source = folder(ladder(2))
    upgrade(cluster.primary.database.url, source, target=1)
    cluster.replicate()
    replica = cluster.replica.database

    for operation in (upgrade, rollback):
        with pytest.raises(CannotOpen, match="is read-only"):
            operation(replica.url, source)

    assert replica.ledgers().agreed == (1,)
    assert upgrade(cluster.primary.database.url, source).applied == (2,)


@pytest.mark.parametrize("killed", ["the runner", "LiteFS"])
def test_nothing_is_half_done_where_something_is_killed_in_a_script(cluster, folder, killed):
    """Neither on the primary nor on the replica; the next run does the rest."""
    source, primary, replica = folder(ladder(3)), cluster.primary, cluster.replica
    runner = start_python(RUNNER, primary.database.url, source)
    expect_line(runner, "ran")
    if killed == "LiteFS":
        primary.kill()
    runner.kill()
    runner.communicate()
    if killed == "LiteFS":
        primary.start()

    deadline = time.monotonic() + PATIENCE
    while replica.database.ledgers().agreed != (1,):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert replica.database.tables().keys() == rungs([1])
    assert primary.database.ledgers().agreed == (1,)
    assert upgrade(primary.database.url, source).applied == (2, 3)
    cluster.replicate()
    assert replica.database.ledgers().agreed == (1, 2, 3)
    assert replica.database.tables().keys() == rungs([1, 2, 3])


def test_snapshots_lie_outside_of_the_mounted_directory(cluster, folder, tmp_path):
    """In it LiteFS takes nothing but databases."""
    source, primary = folder(ladder(2)), cluster.primary.database
    upgrade(primary.url, source, target=1)

    report = upgrade(primary.url, source, snapshot=tmp_path)

    assert report.applied == (2,)
    assert report.snapshot is not None
    assert report.snapshot.startswith(str(tmp_path))


def test_a_rehearsal_leaves_nothing_to_be_replicated(cluster, folder):
    """Its copy is outside of the mounted directory, on the primary and on the replica, and is removed."""
    source = folder(ladder(2))
    upgrade(cluster.primary.database.url, source, target=1)
    cluster.replicate()

    for node in (cluster.primary, cluster.replica):
        rehearsal = rehearse(node.database.url, source)
        assert [each.outcome.step.migration.version for each in rehearsal.steps] == [2]
        assert node.database.ledgers().agreed == (1,)

    assert cluster.primary.databases() == cluster.replica.databases() == {"app.db"}
