"""What a migration says to older releases: which of them start on its database, and how they roll it back."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from database_under_test import ladder, rungs, stock_yoyo, write_folder

from torc_migrations import Migrator, errors, status, upgrade
from torc_migrations.history.steps import Action


def releases(tmp_path: Path, asks: int) -> tuple[str, str]:
    """Return the directories of an old release, 1 and 2, and of a new one, whose 3 and 4 are compatible from `asks`."""
    files = ladder(4)
    for number in (3, 4):
        name = f"{number}_make_t{number}"
        files[name] = f"-- compatible-from: {min(asks, number)}\n{files[name]}"
    old = {name: text for name, text in files.items() if name[0] in "12"}
    return write_folder(tmp_path / "old", old), write_folder(tmp_path / "new", files)


def kept(database) -> list[tuple[int, int]]:
    """Return the versions and what they ask for, as the table has them."""
    return [tuple(row) for row in database.execute("SELECT version, compatible_from FROM _torc_migrations")]


def test_a_release_that_is_new_enough_is_let_in_with_one_warning(database, tmp_path, caplog):
    """Two versions are ahead of it, and both are compatible with it: it says so once, and writes nothing."""
    old, new = releases(tmp_path, asks=2)
    upgrade(database.url, new)
    before = database.ledgers()

    with caplog.at_level(logging.WARNING, "torc_migrations"):
        report = upgrade(database.url, old)

    assert report.applied == ()
    assert [message for message in caplog.messages if "pooler" not in message] == [
        "2 versions from 3 to 4 are installed, but newer than every file: the database is ahead of this release"
    ]
    assert (database.ledgers(), set(database.tables())) == (before, rungs(range(1, 5)))


def test_a_release_that_is_too_old_is_refused(database, tmp_path):
    """The error names the version that it lacks, and who asks for it; `ignore_missing` starts it anyway."""
    old, new = releases(tmp_path, asks=3)
    upgrade(database.url, new)

    with pytest.raises(errors.TooOld) as failure:
        upgrade(database.url, old)

    assert (failure.value.version, failure.value.compatible_from, failure.value.newest) == (4, 3, 2)
    assert upgrade(database.url, old, ignore_missing=True).applied == ()


def test_the_old_release_rolls_back_what_it_has_no_file_for(database, tmp_path, caplog):
    """By the down script that the database keeps, which is erased with its records; then it is not too old any more."""
    old, new = releases(tmp_path, asks=3)
    upgrade(database.url, new)
    assert kept(database) == [(3, 3), (4, 3)]

    with caplog.at_level(logging.WARNING, "torc_migrations"):
        assert Migrator(database.url, old).rollback().applied == (4,)
    assert Migrator(database.url, old).rollback(2).applied == (3,)

    assert "4 has no file; the database keeps its down script" in caplog.messages
    assert kept(database) == []
    assert database.ledgers().agreed == (1, 2)
    assert set(database.tables()) == rungs([1, 2])
    assert [operation for operation, _ in database.ledgers().log][-2:] == ["rollback", "rollback"]
    assert upgrade(database.url, old).applied == ()
    assert upgrade(database.url, new).applied == (3, 4)


def test_everything_is_rolled_back_through_what_is_kept(database, tmp_path):
    """Down to 0: first what the database keeps, then what has files; a rehearsal and a plan say the same before."""
    old, new = releases(tmp_path, asks=1)
    upgrade(database.url, new)
    migrator = Migrator(database.url, old)

    planned = [step.migration.version for step in migrator.plan("rollback", 0).steps]
    rehearsed = migrator.rehearse(0, operation="rollback")

    assert planned == [4, 3, 2, 1]
    assert [step.outcome.step.migration.version for step in rehearsed.steps] == planned
    assert set(database.tables()) == rungs(range(1, 5))
    assert migrator.rollback(0).applied == (4, 3, 2, 1)
    assert database.tables() == {}


def test_a_script_that_fails_keeps_the_row(database, tmp_path, kind):
    """The down script that the database keeps fails: its records stay, and the error names its place in the table."""
    old, new = releases(tmp_path, asks=3)
    statement, _ = kind.bad_statement
    write_folder(Path(new), {"4_make_t4.rollback": f"DROP TABLE t4;\n{statement};\n"})
    upgrade(database.url, new)

    with pytest.raises(errors.ExecutionFailed) as failure:
        Migrator(database.url, old).rollback()

    assert (failure.value.path, failure.value.line) == ("_torc_migrations/4_make_t4.down.sql", 2)
    if kind.is_transactional:
        assert kept(database) == [(3, 3), (4, 3)]
        assert database.ledgers().agreed == (1, 2, 3, 4)
    else:  # the first statement is kept, and it is not run again
        with pytest.raises(errors.Dirty) as again:
            Migrator(database.url, old).rollback()
        assert again.value.stop is not None
        assert (again.value.stop.path, again.value.stop.done) == (failure.value.path, 1)


def test_a_migration_that_says_nothing_leaves_no_table(database, tmp_path):
    """And one without a file is missing, as before, for `rollback`."""
    old = write_folder(tmp_path / "old", ladder(1))
    upgrade(database.url, write_folder(tmp_path / "new", ladder(2)))

    with pytest.raises(errors.VersionMissing):
        Migrator(database.url, old).rollback()

    with pytest.raises(Exception, match="_torc_migrations"):
        kept(database)


def test_a_row_counts_only_while_its_migration_is_installed(database, tmp_path):
    """Another tool rolled 4 back, and applied another 4: what is kept of the first one says nothing of it."""
    old, new = releases(tmp_path, asks=3)
    upgrade(database.url, new)
    database.execute("UPDATE _torc_migrations SET checksum = (SELECT checksum FROM _sqlx_migrations WHERE version = 1)")

    assert upgrade(database.url, old).applied == ()
    with pytest.raises(errors.VersionMissing) as failure:
        Migrator(database.url, old).rollback()

    assert failure.value.version == 3


def test_records_without_a_script_keep_it_too(database, tmp_path):
    """As `baseline` and `repair --mark` make them; what erases them erases it."""
    _, new = releases(tmp_path, asks=2)
    migrator = Migrator(database.url, new)

    migrator.perform(Action.RECORD, [1, 2, 3])
    assert kept(database) == [(3, 2)]
    migrator.perform(Action.ERASE, [3])

    assert kept(database) == []


def test_two_ledgers_keep_their_own(database, tmp_path):
    """Two sources in one database, each with a ledger of its own, may have the same versions."""
    _, one = releases(tmp_path, asks=2)
    files = {
        "3_other": "-- compatible-from: 1\nCREATE TABLE other (x INTEGER);",
        "3_other.rollback": "DROP TABLE other;",
    }
    two = write_folder(tmp_path / "two", {"1_first": "CREATE TABLE first (x INTEGER);", **files})
    tables = {"migration_table": "_other_yoyo", "sqlx_table": "_other_sqlx"}

    upgrade(database.url, one)
    upgrade(database.url, two, **tables)

    assert sorted(kept(database)) == [(3, 1), (3, 2), (4, 2)]
    Path(two, "3_other.sql").unlink()
    Path(two, "3_other.rollback.sql").unlink()
    assert Migrator(database.url, two, **tables).rollback().applied == (3,)
    assert sorted(kept(database)) == [(3, 2), (4, 2)]


def test_stock_yoyo_does_not_mind_the_table(database, tmp_path):
    """It lists, rolls back and applies as before; our listing agrees with it."""
    _, new = releases(tmp_path, asks=2)
    upgrade(database.url, new)
    # psycopg prepares statements, which fails behind a pooler; ours prepares none.
    url = getattr(database, "direct_url", database.url).replace("postgresql:", "postgresql+psycopg:")

    listed = stock_yoyo("list", "--batch", "--no-config-file", "-d", url, new)
    rolled_back = stock_yoyo("rollback", "--batch", "--no-config-file", "-d", url, "-r", "4_make_t4", new)

    assert (listed.returncode, rolled_back.returncode) == (0, 0), (listed.stderr, rolled_back.stderr)
    assert sum(line.startswith("A") for line in listed.stdout.splitlines()) == 4
    assert [migration.version for migration in status(database.url, new).pending] == [4]
    assert upgrade(database.url, new).applied == (4,)


@pytest.mark.parametrize(("asks", "allows"), [(2, True), (3, False)])
def test_what_refuses_newer_versions_says_how_a_compatible_release_is_let_in(database, tmp_path, asks, allows):
    """Where the lines of the newer migrations allow it; and what the hint names lets it in."""
    old, new = releases(tmp_path, asks)
    upgrade(database.url, new)

    with pytest.raises(errors.VersionMissing) as failure:
        upgrade(database.url, old, on_newer="refuse")

    assert failure.value.compatible_from == (2 if allows else None)
    assert ("on_newer='accept'" in str(failure.value.hint)) is allows
    assert ("`upgrade --on-newer=accept`" in str(failure.value.command_hint)) is allows
    if allows:
        assert upgrade(database.url, old, on_newer="accept").applied == ()


def test_an_older_version_without_a_file_has_another_hint(database, tmp_path):
    """Which `--on-newer=accept` would not accept."""
    _, new = releases(tmp_path, asks=2)
    upgrade(database.url, new)
    (tmp_path / "new" / "3_make_t3.sql").unlink()
    (tmp_path / "new" / "3_make_t3.rollback.sql").unlink()

    with pytest.raises(errors.VersionMissing) as failure:
        upgrade(database.url, new)

    assert (failure.value.version, failure.value.compatible_from) == (3, None)
    assert "ignore_missing=True" in str(failure.value.hint)
