"""Two releases of one service on one database, as they are while a new one is rolled out."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from database_under_test import PATIENCE, SQLiteUnderTest, ladder, rungs, sized, start_python, write_folder

from torc_migrations import Migrator, errors, upgrade

# A worker of a service: brings the database up as it starts, and says what it did.
WORKER = """
import sys, logging
logging.basicConfig(format="%(levelname)s %(message)s", level=logging.WARNING)
from torc_migrations import upgrade
path, source, on_newer = sys.argv[1:]
sys.stdin.readline()
print(*upgrade(path, source, on_newer=on_newer).applied)
"""


@pytest.fixture
def old(tmp_path: Path) -> str:
    """The migrations of release A, 1 to 3."""
    return write_folder(tmp_path / "release A", ladder(3))


@pytest.fixture
def new(tmp_path: Path) -> str:
    """Those of release B, which has two more."""
    return write_folder(tmp_path / "release B", ladder(5))


def start_together(*workers: tuple[Path, str, str]) -> list[tuple[str, str, int]]:
    """Start workers at once, and return what each printed, what it logged, and how it ended."""
    processes = [start_python(WORKER, *worker) for worker in workers]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    ended = [process.communicate(timeout=PATIENCE) for process in processes]
    return [(out.strip(), err, process.returncode) for (out, err), process in zip(ended, processes, strict=True)]


def test_both_releases_start_at_once(sqlite: SQLiteUnderTest, old, new):
    """Several workers of each on one new database: none fails, and each migration is applied by one of them."""
    for _ in range(sized(3, 30)):
        workers = [(sqlite.path, source, "accept") for source in (old, new) * 3]

        ended = start_together(*workers)

        assert [code for _, _, code in ended] == [0] * 6, ended
        applied = [int(version) for out, _, _ in ended for version in out.split()]
        assert sorted(applied) == [1, 2, 3, 4, 5]
        assert sqlite.ledgers().agreed == (1, 2, 3, 4, 5)
        assert sqlite.tables().keys() == rungs(range(1, 6))
        for path in sqlite.path.parent.glob("app.db*"):
            path.unlink()


def test_the_old_release_restarts_after_the_new_one(sqlite: SQLiteUnderTest, old, new):
    """It finds nothing to do, says in the log what it has found, and the new one's tables stay."""
    upgrade(sqlite.path, old)
    upgrade(sqlite.path, new)
    before = sqlite.tables(), sqlite.ledgers()

    ended = start_together(*[(sqlite.path, old, "accept")] * 3)

    for out, err, code in ended:
        assert (out, code) == ("", 0)
        ahead = "2 versions from 4 to 5 are installed, but newer than every file: the database is ahead of this release"
        assert err.splitlines() == [f"WARNING {ahead}"]
    assert (sqlite.tables(), sqlite.ledgers()) == before


def test_the_old_release_refuses_if_it_is_told_to(sqlite: SQLiteUnderTest, old, new):
    """With `on_newer="refuse"` a worker that meets a database ahead of it does not start."""
    upgrade(sqlite.path, new)
    before = sqlite.tables(), sqlite.ledgers()

    ended = start_together(*[(sqlite.path, old, "refuse")] * 2)

    assert all(code == 1 and "VersionMissing: migration 4 was previously applied" in err for _, err, code in ended)
    assert (sqlite.tables(), sqlite.ledgers()) == before


@pytest.mark.parametrize("target", [None, 1, 0])
def test_the_old_release_rolls_nothing_back(sqlite: SQLiteUnderTest, old, new, target):
    """What it does not know stands on what it would take away, whatever `on_newer` says."""
    upgrade(sqlite.path, new)
    before = sqlite.tables(), sqlite.ledgers()

    with pytest.raises(errors.VersionMissing) as failure:
        Migrator(sqlite.path, old, on_newer="accept").rollback(target)

    assert failure.value.version == 4
    assert (sqlite.tables(), sqlite.ledgers()) == before


def test_a_gap_in_what_the_old_release_knows_is_refused(sqlite: SQLiteUnderTest, old, new):
    """Only what is newer than every file is accepted: a version that is missing in between is not."""
    upgrade(sqlite.path, new)
    (Path(old) / "2_make_t2.sql").unlink()
    (Path(old) / "2_make_t2.rollback.sql").unlink()

    with pytest.raises(errors.VersionMissing) as failure:
        upgrade(sqlite.path, old, on_newer="accept")

    assert failure.value.version == 2


def test_the_old_release_adds_what_it_lacks_below(sqlite: SQLiteUnderTest, old, new, caplog):
    """A hotfix of the old release that has a migration of its own number is applied, though the database is ahead."""
    upgrade(sqlite.path, old, target=2)
    for number in (4, 5):
        Migrator(sqlite.path, new).apply(number)

    with caplog.at_level(logging.WARNING, "torc_migrations"):
        assert upgrade(sqlite.path, old).applied == (3,)

    assert "the database is ahead of this release" in caplog.text
    assert sqlite.ledgers().agreed == (1, 2, 3, 4, 5)
