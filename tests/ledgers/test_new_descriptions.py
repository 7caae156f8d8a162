"""A file that gets another description keeps its version: sqlx sees no change, and yoyo another migration."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from database_under_test import SQLiteUnderTest
from other_tools import key, listed, log, sqlx_revert, sqlx_run, told, yoyo

from torc_migrations import Migrator, errors, rollback, status, upgrade

NAMES = ("1_a", "1_b")
FILES = {"1_a": "CREATE TABLE a (x);", "1_a.rollback": "DROP TABLE a;"}
# Adds no object, so that the schema does not show whether it has run.
INVISIBLE = {"1_a": "INSERT INTO t VALUES (1);", "1_a.rollback": "DELETE FROM t;"}


def describe(source: str, name: str) -> None:
    """Give the files of version 1 this name."""
    (old,) = Path(source).glob("1_?.sql")
    for end in (".sql", ".rollback.sql"):
        Path(source, old.stem + end).rename(Path(source, name + end))


def names_in_ledger(sqlite: SQLiteUnderTest) -> tuple[str, ...]:
    return sqlite.ledgers().yoyo


def test_an_upgrade_gives_yoyos_row_the_new_name(sqlite: SQLiteUnderTest, folder):
    """sqlx's row stays, yoyo's gets the name of the file, and says so in its log; nothing is run."""
    source = folder(FILES)
    upgrade(sqlite.path, source)
    rows = sqlite.execute("SELECT * FROM _sqlx_migrations")
    describe(source, "1_b")
    note = "1 is installed; yoyo's ledger still has it as 1_a, until the next upgrade"
    assert status(sqlite.path, source).notes == (note,)

    report = upgrade(sqlite.path, source)

    assert report.applied == ()
    assert [outcome.note for outcome in report.outcomes] == ["1_b recorded in the ledgers"]
    assert names_in_ledger(sqlite) == ("1_b",)
    assert sqlite.execute("SELECT * FROM _sqlx_migrations") == rows
    assert sqlite.execute("SELECT operation FROM _yoyo_log WHERE migration_id = '1_a'")[-1] == ("unmark",)
    assert listed(sqlite, source) == told(sqlite, source) == "A"
    assert upgrade(sqlite.path, source).outcomes == ()


def test_a_rollback_leaves_no_row_of_the_old_name(sqlite: SQLiteUnderTest, folder):
    """Renamed back, stock yoyo takes it for pending, as it is, and applies it."""
    source = folder(FILES)
    upgrade(sqlite.path, source)
    describe(source, "1_b")

    assert rollback(sqlite.path, source).applied == (1,)

    assert names_in_ledger(sqlite) == ()
    describe(source, "1_a")
    assert listed(sqlite, source) == told(sqlite, source) == "U"
    yoyo(sqlite, "apply", source)
    assert "a" in sqlite.tables()


def test_rows_of_both_names_are_brought_in_order(sqlite: SQLiteUnderTest, folder):
    """Version 0.1 left the row of the old name; the next upgrade removes it, also where nothing is pending."""
    source = folder(FILES)
    upgrade(sqlite.path, source)
    describe(source, "1_b")
    upgrade(sqlite.path, source)
    sqlite.execute(f"INSERT INTO _yoyo_migration VALUES ('{key('1_a')}', '1_a', '2026-01-01 00:00:00')")

    upgrade(sqlite.path, source)

    assert names_in_ledger(sqlite) == ("1_b",)


@pytest.mark.parametrize("repair", ["renamed", "mark", "reason", "line_endings"])
def test_a_repair_removes_the_old_name_too(sqlite: SQLiteUnderTest, folder, repair):
    """Every write of ours leaves the ledgers in agreement."""
    source = folder(FILES)
    upgrade(sqlite.path, source)
    describe(source, "1_b")
    edit = {"reason": b"CREATE TABLE a (x); -- edited", "line_endings": b"CREATE TABLE a (x);\r\n"}
    if repair == "line_endings":
        Path(source, "1_b.sql").write_bytes(b"CREATE TABLE a (x);\n")
        rollback(sqlite.path, source)
        upgrade(sqlite.path, source)
        describe(source, "1_a")
    if repair in edit:
        Path(source, "1_a.sql" if repair == "line_endings" else "1_b.sql").write_bytes(edit[repair])
    ways = {"renamed": True, "mark": True, "reason": "a comment", "line_endings": True}

    Migrator(sqlite.path, source).repair(
        *(() if repair == "renamed" else (1,)),
        **{repair: ways[repair]},  # type: ignore[arg-type]
    )

    upgrade(sqlite.path, source)
    assert names_in_ledger(sqlite) == ("1_a" if repair == "line_endings" else "1_b",)
    assert told(sqlite, source) == "A"
    assert status(sqlite.path, source).clean


def test_what_stock_yoyo_has_rolled_back_before_is_pending(sqlite: SQLiteUnderTest, folder):
    """sqlx's row is left of it; its log by the old name says that it is not installed, and it is applied again."""
    source = folder(FILES)
    upgrade(sqlite.path, source)
    yoyo(sqlite, "rollback", source)
    describe(source, "1_b")
    assert told(sqlite, source) == "U"

    assert upgrade(sqlite.path, source).applied == (1,)

    assert "a" in sqlite.tables()
    assert names_in_ledger(sqlite) == ("1_b",)


def test_what_stock_yoyo_alone_has_applied_is_recognised_by_the_schema(sqlite: SQLiteUnderTest, folder):
    """Nothing in the ledgers ties the names: what the script makes is there, so it is not run again."""
    source = folder(FILES)
    yoyo(sqlite, "apply", source)
    describe(source, "1_b")

    report = upgrade(sqlite.path, source)

    assert report.applied == ()
    assert "all that it makes is there: table a" in report.plan.notes[0]
    assert names_in_ledger(sqlite) == ("1_b",)
    assert sqlite.ledgers().agreed == (1,)


def test_where_the_schema_shows_nothing_it_is_not_run_twice(sqlite: SQLiteUnderTest, folder):
    """A script that inserts rows would do so twice: it is out of step, and `repair --renamed` says what it is."""
    source = folder(INVISIBLE)
    sqlite.execute("CREATE TABLE t (x)")
    yoyo(sqlite, "apply", source)
    describe(source, "1_b")

    with pytest.raises(errors.OutOfStep) as failure:
        upgrade(sqlite.path, source)

    assert failure.value.version == 1
    Migrator(sqlite.path, source).repair(renamed=True)
    assert sqlite.execute("SELECT x FROM t") == [(1,)]
    assert names_in_ledger(sqlite) == ("1_b",)
    assert rollback(sqlite.path, source).applied == (1,)
    assert names_in_ledger(sqlite) == ()


@pytest.mark.parametrize("third", ["1_a", "1_c"])
def test_a_second_rename_after_stock_yoyo_does_not_run_it_twice(sqlite: SQLiteUnderTest, folder, third):
    """Only yoyo knows the name in between: what is said by it is newer than the rollback by the first name."""
    source = folder(INVISIBLE)
    sqlite.execute("CREATE TABLE t (x)")
    upgrade(sqlite.path, source)
    yoyo(sqlite, "rollback", source)
    describe(source, "1_b")
    yoyo(sqlite, "apply", source)
    describe(source, third)

    with pytest.raises(errors.OutOfStep):
        upgrade(sqlite.path, source)

    assert sqlite.execute("SELECT x FROM t") == [(1,)]
    Migrator(sqlite.path, source).repair(renamed=True)
    assert upgrade(sqlite.path, source).outcomes == ()
    assert sqlite.execute("SELECT x FROM t") == [(1,)]
    assert names_in_ledger(sqlite) == (third,)
    assert sqlite.ledgers().agreed == (1,)


def test_another_directory_of_yoyos_keeps_its_row(sqlite: SQLiteUnderTest, folder, tmp_path):
    """Two directories may have the same versions there: nothing that ours makes exists, so it is applied."""
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    (theirs / "1_other.sql").write_text("CREATE TABLE other (x);")
    yoyo(sqlite, "apply", str(theirs))
    source = folder(FILES)

    assert upgrade(sqlite.path, source).applied == (1,)

    assert names_in_ledger(sqlite) == ("1_a", "1_other")
    assert status(sqlite.path, source).foreign == ("1_other",)
    assert rollback(sqlite.path, source).applied == (1,)
    assert names_in_ledger(sqlite) == ("1_other",)
    assert listed(sqlite, str(theirs)) == "A"


def test_another_directory_that_is_applied_later_keeps_its_row(sqlite: SQLiteUnderTest, folder, tmp_path):
    """What is surely installed is no old name of it, so no note asks for a repair, and none removes the row."""
    source = folder(FILES)
    upgrade(sqlite.path, source)
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    (theirs / "1_other.sql").write_text("CREATE TABLE other (x);")
    yoyo(sqlite, "apply", str(theirs))

    assert status(sqlite.path, source).notes == ()
    Migrator(sqlite.path, source).repair(renamed=True)

    assert names_in_ledger(sqlite) == ("1_a", "1_other")


def test_a_name_as_yoyo_makes_it_is_recognised(sqlite: SQLiteUnderTest, folder):
    """Its version is its date and count, and not the number that it begins with."""
    source = folder({"20260101_01_AbCdE-make-a": "CREATE TABLE a (x);", "20260101_02_AbCdE-b": "CREATE TABLE b (x);"})
    upgrade(sqlite.path, source)
    Path(source, "20260101_01_AbCdE-make-a.sql").rename(Path(source, "20260101_01_AbCdE-make-table-a.sql"))

    upgrade(sqlite.path, source)

    assert names_in_ledger(sqlite) == ("20260101_01_AbCdE-make-table-a", "20260101_02_AbCdE-b")


def test_a_script_that_was_interrupted_under_its_old_name_is_resumed(sqlite: SQLiteUnderTest, folder):
    """How far it is stands in the log by the name that the file had then."""
    source = folder({"1_a": "-- no-transaction\nCREATE TABLE a (x);\nCREATE TABLE b (x) oops;\n"})
    with pytest.raises(errors.ExecutionFailed):
        upgrade(sqlite.path, source)
    Path(source, "1_a.sql").rename(Path(source, "1_b.sql"))
    Path(source, "1_b.sql").write_text("-- no-transaction\nCREATE TABLE a (x);\nCREATE TABLE b (x);\n")

    with pytest.raises(errors.HalfDone):
        upgrade(sqlite.path, source)
    Migrator(sqlite.path, source).repair(1, resume_after=1)

    assert {"a", "b"} <= set(sqlite.tables())
    assert status(sqlite.path, source).clean
    assert upgrade(sqlite.path, source).outcomes == ()


def their_turn(sqlite: SQLiteUnderTest, source: str, turn: str, year: int = 2100) -> None:
    """Do what a tool does that believes its own ledger only; a script that would fail changes nothing."""
    (name,) = (path.stem for path in Path(source).glob("1_?.sql"))
    exists, ledgers = "a" in sqlite.tables(), sqlite.ledgers()
    if turn == "upgrade":
        upgrade(sqlite.path, source)
    elif turn == "rollback" and told(sqlite, source) != "U":
        rollback(sqlite.path, source)
    elif turn == "rename":
        describe(source, NAMES[1 - NAMES.index(name)])
    elif turn == "yoyo apply" and name not in ledgers.yoyo and not exists:
        sqlite.execute("CREATE TABLE a (x)", f"INSERT INTO _yoyo_migration VALUES ('{key(name)}', '{name}', '')")
        log(sqlite, "apply", name, f"{year}-01-01 00:00:00")
    elif turn == "yoyo rollback" and name in ledgers.yoyo and exists:
        sqlite.execute("DROP TABLE a", f"DELETE FROM _yoyo_migration WHERE migration_id = '{name}'")
        log(sqlite, "rollback", name, f"{year}-01-01 00:00:00")
    elif turn == "sqlx run" and not ledgers.sqlx and not exists:
        sqlx_run(sqlite, source, name, f"'{year}-01-01 00:00:00'")
    elif turn == "sqlx revert" and ledgers.sqlx and exists:
        sqlx_revert(sqlite, source, name)


TURNS = ("upgrade", "rollback", "rename", "yoyo apply", "yoyo rollback", "sqlx run", "sqlx revert")


def is_known_to_yoyo_only(sqlite: SQLiteUnderTest, source: str) -> bool:
    """Return whether only stock yoyo has written by the present name: by another name that is another directory's."""
    (name,) = (path.stem for path in Path(source).glob("1_?.sql"))
    ours = sqlite.execute(f"SELECT 1 FROM _yoyo_log WHERE migration_id = '{name}' AND comment LIKE 'torc%'")
    described = sqlite.execute("SELECT 1 FROM _sqlx_migrations WHERE description = substr('" + name + "', 3)")
    return name in sqlite.ledgers().yoyo and not (ours or described)


@pytest.mark.slow
@pytest.mark.parametrize("first", TURNS)
def test_every_history_of_three_tools_and_two_names_ends_in_agreement(tmp_path, first):
    """After three turns of whom ever, and a new name, an upgrade or a rollback leaves both ledgers right."""
    for number, (turns, last) in enumerate(
        itertools.product(itertools.product(TURNS, repeat=2), ("upgrade", "rollback"))
    ):
        place = tmp_path / f"{number}"
        place.mkdir()
        source, sqlite = str(place / "m"), SQLiteUnderTest(place / "x.db")
        Path(source).mkdir()
        for name, text in FILES.items():
            Path(source, f"{name}.sql").write_text(text)
        upgrade(sqlite.path, source)
        for year, turn in enumerate((first, *turns), 2100):
            their_turn(sqlite, source, turn, year)
        unsure = is_known_to_yoyo_only(sqlite, source)
        their_turn(sqlite, source, "rename")

        exists = "a" in sqlite.tables()
        opinion = told(sqlite, source)
        assert opinion == ("A" if exists else "U") or (unsure and opinion == "?"), (first, turns)
        their_turn(sqlite, source, last)

        (name,) = (path.stem for path in Path(source).glob("1_?.sql"))
        is_installed = last == "upgrade"
        assert ("a" in sqlite.tables()) is is_installed, turns
        if is_installed or exists:  # else the rollback had nothing to do, and wrote nothing
            assert sqlite.ledgers().yoyo == ((name,) if is_installed else ()), (turns, last)
            assert sqlite.ledgers().sqlx == ((1,) if is_installed else ()), (turns, last)
