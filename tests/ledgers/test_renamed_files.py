"""Files that are gone or have another name: nothing is run twice, and nothing below what cannot be rolled back."""

from __future__ import annotations

from pathlib import Path

import pytest
from database_under_test import SQLiteUnderTest, ladder
from other_tools import listed, sqlx_revert, yoyo

from torc_migrations import Migrator, errors, rollback, status, upgrade

ADDS = {"1_a": "CREATE TABLE a (x);", "1_a.rollback": "DROP TABLE a;", "2_b": "ALTER TABLE a ADD COLUMN y;"}
TIMES = "SELECT version, installed_on, execution_time, hex(checksum) FROM _sqlx_migrations ORDER BY version"


def rename(source: str, *names: tuple[str, str]) -> None:
    """Rename files; several at once, so that names may be exchanged."""
    texts = {new: Path(source, f"{old}.sql").read_bytes() for old, new in names}
    for old, _ in names:
        Path(source, f"{old}.sql").unlink()
    for new, text in texts.items():
        Path(source, f"{new}.sql").write_bytes(text)


@pytest.mark.parametrize("target", [None, 0])
@pytest.mark.parametrize("ignore_missing", [False, True])
def test_nothing_is_rolled_back_below_what_has_no_file(sqlite: SQLiteUnderTest, folder, target, ignore_missing):
    """The down script of 1 would take the table from under 2, which is installed and cannot be rolled back."""
    source = folder(ADDS)
    upgrade(sqlite.path, source)
    Path(source, "2_b.sql").unlink()
    before = sqlite.path.read_bytes()

    with pytest.raises(errors.VersionMissing) as failure:
        rollback(sqlite.path, source, target=target, ignore_missing=ignore_missing)

    assert failure.value.version == 2
    assert failure.value.exit_code == 3
    assert sqlite.path.read_bytes() == before
    if ignore_missing:
        assert isinstance(failure.value, errors.MissingAbove)
        assert failure.value.below == 1
        assert str(failure.value) == "migration 1 cannot be rolled back below 2, which is installed and has no file"


def test_what_is_newer_than_a_missing_one_is_rolled_back(sqlite: SQLiteUnderTest, folder):
    """A file that is gone below does not keep anybody from rolling back what is above it."""
    source = folder(ladder(3))
    upgrade(sqlite.path, source)
    Path(source, "2_make_t2.sql").unlink()
    Path(source, "2_make_t2.rollback.sql").unlink()

    assert rollback(sqlite.path, source, ignore_missing=True).applied == (3,)
    with pytest.raises(errors.MissingAbove):
        rollback(sqlite.path, source, ignore_missing=True)


def test_a_file_that_is_put_back_is_rolled_back(sqlite: SQLiteUnderTest, folder):
    """The hint works."""
    source = folder(ladder(2))
    upgrade(sqlite.path, source)
    Path(source, "2_make_t2.sql").unlink()
    with pytest.raises(errors.MissingAbove):
        rollback(sqlite.path, source, target=0, ignore_missing=True)

    folder(ladder(2))

    assert rollback(sqlite.path, source, target=0).applied == (2, 1)


# What was renamed, and the versions and names that the ledgers have after `repair --renamed`.
RENAMES = [
    pytest.param([("2_b", "3_b")], ["1_a", "3_b"], id="later"),
    pytest.param([("2_b", "20250101000000_b")], ["1_a", "20250101000000_b"], id="a time"),
    pytest.param([("1_a", "10_a"), ("2_b", "20_b")], ["10_a", "20_b"], id="all"),
    pytest.param([("1_a", "2_a"), ("2_b", "3_b")], ["2_a", "3_b"], id="by one"),
    pytest.param([("1_a", "0_a"), ("2_b", "1_b")], ["0_a", "1_b"], id="earlier"),
    pytest.param([("2_b", "3_other")], ["1_a", "3_other"], id="another description"),
]


@pytest.mark.parametrize(("names", "after"), RENAMES)
@pytest.mark.parametrize("ignore_missing", [False, True])
def test_a_renamed_file_is_recognised_and_not_run_again(sqlite: SQLiteUnderTest, folder, names, after, ignore_missing):
    """Its checksum is that of a row whose version has another file now, or none; nothing is written."""
    source = folder({"1_a": "CREATE TABLE a (x);", "2_b": "INSERT INTO a VALUES (1);"})
    upgrade(sqlite.path, source)
    rename(source, *names)
    before = sqlite.path.read_bytes()

    with pytest.raises(errors.Renamed) as failure:
        upgrade(sqlite.path, source, ignore_missing=ignore_missing)

    version = failure.value.version
    assert str(failure.value).startswith(f"migration {version} is {failure.value.recorded} renamed")
    assert "torc-migrations repair --renamed" in str(failure.value.command_hint)
    assert any(f"{version} is {failure.value.recorded} renamed" in note for note in status(sqlite.path, source).notes)
    assert status(sqlite.path, source).as_dict()["renamed"]
    assert sqlite.path.read_bytes() == before
    assert len(after) == 2


@pytest.mark.parametrize(("names", "after"), RENAMES)
def test_the_records_get_the_new_names(sqlite: SQLiteUnderTest, folder, names, after):
    """Both ledgers have the versions and ids of the files; when and how long it ran stays as it was."""
    source = folder({"1_a": "CREATE TABLE a (x);", "2_b": "INSERT INTO a VALUES (1);"})
    upgrade(sqlite.path, source)
    times = [row[1:] for row in sqlite.execute(TIMES)]
    rename(source, *names)

    report = Migrator(sqlite.path, source).repair(renamed=True)

    assert report.applied == ()
    assert sqlite.ledgers().yoyo == tuple(sorted(after))
    assert sqlite.ledgers().agreed == tuple(int(name.partition("_")[0]) for name in after)
    assert [row[1:] for row in sqlite.execute(TIMES)] == times
    assert status(sqlite.path, source).clean
    assert status(sqlite.path, source).foreign == ()
    assert upgrade(sqlite.path, source).applied == ()
    assert sqlite.execute("SELECT x FROM a") == [(1,)]
    assert listed(sqlite, source) == "AA"


def test_names_that_were_exchanged_are_exchanged_in_the_ledgers(sqlite: SQLiteUnderTest, folder):
    """Two files that have each other's version are not taken for two that were edited."""
    source = folder({"1_a": "CREATE TABLE a (x);", "2_b": "CREATE TABLE b (x);"})
    upgrade(sqlite.path, source)
    rename(source, ("1_a", "2_a"), ("2_b", "1_b"))
    with pytest.raises(errors.Renamed):
        upgrade(sqlite.path, source)

    Migrator(sqlite.path, source).repair(renamed=True)

    assert sqlite.ledgers().yoyo == ("1_b", "2_a")
    assert status(sqlite.path, source).clean


def test_another_file_in_its_place_is_pending(sqlite: SQLiteUnderTest, folder):
    """A new file took the version of the renamed one: after the repair it is applied."""
    source = folder({"1_a": "CREATE TABLE a (x);", "2_b": "INSERT INTO a VALUES (1);"})
    upgrade(sqlite.path, source)
    rename(source, ("2_b", "3_b"))
    folder({"2_new": "CREATE TABLE new (x);"})
    with pytest.raises(errors.Renamed):
        upgrade(sqlite.path, source)

    Migrator(sqlite.path, source).repair(renamed=True)

    assert upgrade(sqlite.path, source).applied == (2,)
    assert sqlite.ledgers().yoyo == ("1_a", "2_new", "3_b")
    assert sqlite.execute("SELECT x FROM a") == [(1,)]


def test_what_stock_yoyo_alone_has_applied_is_known_by_its_words(sqlite: SQLiteUnderTest, folder):
    """Its ledger has no checksum: what the script makes is there, so it is recorded and not run."""
    source = folder({"1_a": "CREATE TABLE a (x);", "2_b-c": "CREATE TABLE b (x);"})
    yoyo(sqlite, "apply", source)
    rename(source, ("2_b-c", "3_b-c"))

    report = upgrade(sqlite.path, source)

    assert report.applied == ()
    assert "all that it makes is there: table b" in report.plan.notes[0]
    assert sqlite.ledgers().yoyo == ("1_a", "3_b-c")
    assert sqlite.ledgers().agreed == (1, 3)
    assert listed(sqlite, source) == "AA"


def test_the_new_place_of_a_renamed_file_may_have_been_that_of_a_reverted_one(sqlite: SQLiteUnderTest, folder):
    """What yoyo's ledger still has of the other one is removed, and not what was moved there."""
    source = folder(ladder(3))
    upgrade(sqlite.path, source)
    sqlx_revert(sqlite, source, "3_make_t3")
    moves = (("3_make_t3", "4_make_t3"), ("2_make_t2", "3_make_t2"))
    rename(source, *moves, *((f"{old}.rollback", f"{new}.rollback") for old, new in moves))
    folder({"2_new": "CREATE TABLE new (x);"})

    Migrator(sqlite.path, source).repair(renamed=True)

    assert sqlite.ledgers().agreed == (1, 3)
    assert upgrade(sqlite.path, source).applied == (2, 4)
    assert sqlite.ledgers().agreed == (1, 2, 3, 4)


@pytest.mark.parametrize("group", [0, 0.05])
def test_numbers_that_were_moved_up_are_known_to_stock_yoyo_by_their_words(sqlite: SQLiteUnderTest, folder, group):
    """A new migration has come between those that are installed: each old name has the version of another file now."""
    source = folder(
        {
            "1_a": "CREATE TABLE a (x);",
            "2_b": "CREATE TABLE IF NOT EXISTS b (x);\nINSERT INTO b VALUES (1);",
            "3_c": "CREATE TABLE IF NOT EXISTS c (x);\nINSERT INTO c VALUES (1);",
        }
    )
    yoyo(sqlite, "apply", source)
    rename(source, ("2_b", "3_b"), ("3_c", "4_c"))
    folder({"2_new": "CREATE TABLE new (x);"})

    report = Migrator(sqlite.path, source, group=group).upgrade()

    assert report.applied == (2,)
    assert sqlite.execute("SELECT * FROM b UNION ALL SELECT * FROM c") == [(1,), (1,)]
    assert sqlite.ledgers().agreed == (1, 2, 3, 4)
    assert listed(sqlite, source) == "AAAA"


def test_an_older_release_keeps_what_yoyo_has_by_newer_numbers(sqlite: SQLiteUnderTest, folder):
    """Stock yoyo has applied what a newer release inserted: its name has the version of another file here."""
    files = {"1_a": "CREATE TABLE a (x);", "2_new": "CREATE TABLE new (x);", "3_b": "CREATE TABLE b (x);"}
    source = folder(files)
    yoyo(sqlite, "apply", source)
    Path(source, "2_new.sql").unlink()
    rename(source, ("3_b", "2_b"))
    upgrade(sqlite.path, source)
    rename(source, ("2_b", "3_b"))
    folder({"2_new": files["2_new"]})

    Migrator(sqlite.path, source).repair(renamed=True)
    report = upgrade(sqlite.path, source)

    assert report.applied == ()
    assert sqlite.ledgers().agreed == (1, 2, 3)


def test_new_words_are_not_those_of_a_new_file_with_the_old_words(sqlite: SQLiteUnderTest, folder):
    """A file was described anew, and another one has its old words: the schema shows which of both is installed."""
    source = folder({"1_a": "CREATE TABLE a (x);", "2_fix": "CREATE TABLE b (x);"})
    yoyo(sqlite, "apply", source)
    rename(source, ("2_fix", "2_fix_login"))
    folder({"3_fix": "CREATE TABLE c (x);"})

    assert upgrade(sqlite.path, source).applied == (3,)
    assert status(sqlite.path, source).clean
    assert sqlite.ledgers().sqlx == (1, 2, 3)
    assert listed(sqlite, source) == "AAA"


@pytest.mark.parametrize("is_renamed", [True, False])
def test_rows_that_stock_yoyo_alone_has_inserted_are_not_inserted_again(sqlite: SQLiteUnderTest, folder, is_renamed):
    """The schema does not show whether the script has run: a person says so, and both answers work."""
    source = folder({"1_a": "CREATE TABLE a (x);", "2_b": "INSERT INTO a VALUES (1);"})
    yoyo(sqlite, "apply", source)
    rename(source, ("2_b", "3_b"))

    with pytest.raises(errors.OutOfStep) as failure:
        upgrade(sqlite.path, source)

    assert failure.value.name == "2_b"
    assert sqlite.execute("SELECT x FROM a") == [(1,)]
    repair = Migrator(sqlite.path, source).repair
    repair(renamed=True) if is_renamed else repair(3, unmark=True)
    assert upgrade(sqlite.path, source).applied == (() if is_renamed else (3,))
    assert sqlite.ledgers().yoyo == (("1_a", "3_b") if is_renamed else ("1_a", "2_b", "3_b"))
    assert sqlite.ledgers().sqlx == (1, 3)


@pytest.mark.parametrize("files", [{"7_b": "CREATE TABLE b (x);"}, {"2_b": "CREATE TABLE b (x);", "7_b": "SELECT 1;"}])
def test_another_directory_with_the_same_words_keeps_its_row(sqlite: SQLiteUnderTest, folder, tmp_path, files):
    """Nothing of what the file makes is there, or two files have the words: it is applied, as before."""
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    (theirs / "20250101_b.sql").write_text("CREATE TABLE other (x);")
    yoyo(sqlite, "apply", str(theirs))
    source = folder(files)

    assert upgrade(sqlite.path, source).applied == tuple(int(name[0]) for name in files)

    assert sqlite.ledgers().yoyo == tuple(sorted(("20250101_b", *files)))
    assert upgrade(sqlite.path, source).outcomes == ()


def test_whoever_means_another_migration_applies_it_by_its_version(sqlite: SQLiteUnderTest, folder):
    """Two migrations may have the same text: the hint says how to apply the second one."""
    source = folder({"1_a": "CREATE TABLE a (x);", "2_b": "INSERT INTO a VALUES (1);"})
    upgrade(sqlite.path, source)
    rename(source, ("2_b", "3_b"))

    report = Migrator(sqlite.path, source, ignore_missing=True).apply(3)

    assert report.applied == (3,)
    assert sqlite.execute("SELECT x FROM a") == [(1,), (1,)]


def test_what_yoyo_has_rolled_back_by_its_old_name_is_applied_after_the_repair(sqlite: SQLiteUnderTest, folder):
    """Only sqlx's row is left of it, and is removed: it is not said to be installed."""
    source = folder(ladder(2))
    upgrade(sqlite.path, source)
    yoyo(sqlite, "rollback", source, "2_make_t2")
    rename(source, ("2_make_t2", "3_make_t2"), ("2_make_t2.rollback", "3_make_t2.rollback"))
    with pytest.raises(errors.Renamed, match="3 is 2 renamed: yoyo has rolled 2 back, but sqlx's ledger") as failure:
        upgrade(sqlite.path, source)

    Migrator(sqlite.path, source).repair(renamed=True)

    assert failure.value.is_stale
    assert sqlite.ledgers().agreed == (1,)
    assert upgrade(sqlite.path, source).applied == (3,)
    assert sqlite.ledgers().agreed == (1, 3)
    assert "t2" in sqlite.tables()


def test_what_yoyo_has_applied_again_by_its_old_name_is_renamed(sqlite: SQLiteUnderTest, folder):
    """The last line of yoyo's log decides."""
    source = folder(ladder(2))
    upgrade(sqlite.path, source)
    yoyo(sqlite, "rollback", source, "2_make_t2")
    yoyo(sqlite, "apply", source)
    rename(source, ("2_make_t2", "3_make_t2"), ("2_make_t2.rollback", "3_make_t2.rollback"))

    Migrator(sqlite.path, source).repair(renamed=True)

    assert sqlite.ledgers().agreed == (1, 3)
    assert upgrade(sqlite.path, source).applied == ()


def test_apply_is_not_kept_back_by_other_renamed_files(sqlite: SQLiteUnderTest, folder):
    """The hint of each of them works as it is printed."""
    source = folder({"1_a": "CREATE TABLE a (x);", "2_b": "INSERT INTO a VALUES (1);", "3_c": "SELECT 1;"})
    upgrade(sqlite.path, source)
    rename(source, ("2_b", "4_b"), ("3_c", "5_c"))
    with pytest.raises(errors.Renamed) as failure:
        upgrade(sqlite.path, source)

    report = Migrator(sqlite.path, source, ignore_missing=True).apply(4)

    assert str(failure.value.command_hint).endswith("`torc-migrations apply 4 --ignore-missing` applies it")
    assert report.applied == (4,)
    assert sqlite.execute("SELECT x FROM a") == [(1,), (1,)]


def test_the_same_text_twice_is_no_rename(sqlite: SQLiteUnderTest, folder):
    """A migration with the text of one that is installed and has its file is pending, and applied."""
    source = folder({"1_a": "CREATE TABLE a (x);", "2_b": "INSERT INTO a VALUES (1);"})
    upgrade(sqlite.path, source)
    folder({"3_c": "INSERT INTO a VALUES (1);"})

    assert upgrade(sqlite.path, source).applied == (3,)


@pytest.mark.parametrize("files", [{"0_init": "CREATE TABLE a (x);", "0_init.rollback": "DROP TABLE a;"}, {}])
def test_target_zero_means_everything_also_version_zero(sqlite: SQLiteUnderTest, folder, files):
    """A migration of version 0 is a migration: rolled back by `--target 0`, and by nothing else but the newest."""
    source = folder({**files, **ladder(2)})
    upgrade(sqlite.path, source)

    report = rollback(sqlite.path, source, target=0)

    assert report.applied == (2, 1, 0)[: len(files) // 2 + 2]
    assert report.plan.skipped == ()
    assert sqlite.ledgers().agreed == ()
    assert sqlite.tables() == {}


def test_version_zero_is_upgraded_to_listed_and_rolled_back(sqlite: SQLiteUnderTest, folder):
    """It is the first one, and a target of `upgrade`."""
    source = folder({"0_init": "CREATE TABLE a (x);", "0_init.rollback": "DROP TABLE a;", **ladder(1)})

    assert upgrade(sqlite.path, source, target=0).applied == (0,)
    assert status(sqlite.path, source).as_text() == "0/installed init\n1/pending make t1\n"
    assert upgrade(sqlite.path, source).applied == (1,)
    assert rollback(sqlite.path, source, target=1).applied == ()
    assert rollback(sqlite.path, source).applied == (1,)
    assert rollback(sqlite.path, source).applied == (0,)
