"""Ledgers that are unusual: what stock yoyo and the real sqlx leave there, and what they make of what we leave."""

from __future__ import annotations

from pathlib import Path

import pytest
from histories import Migration, Programs, World
from paired_databases import opened, show
from preloaded_programs import Preloaded
from sqlx_program import Sqlx

SHIPPED = Path(__file__).parents[2] / "sql"
ONE, TWO, THREE = Migration(1, "one"), Migration(2, "two"), Migration(3, "three")
ALL_INSTALLED = {1: "installed", 2: "installed", 3: "installed"}

# The ledger of yoyo before its version 6.
CREATE_OLD_LEDGER = """
    CREATE TABLE _yoyo_migration (
        id VARCHAR(191) NOT NULL PRIMARY KEY,
        ctime TIMESTAMP
    )
"""
INSERT_OLD_ROW = """
    INSERT INTO _yoyo_migration (id, ctime)
    VALUES (:id, '2015-03-04 05:06:07')
"""
# Timestamps with a T, with a blank, and with or without a fraction of the second.
REWRITE_MOMENTS = (
    "UPDATE _yoyo_log SET created_at_utc = replace(created_at_utc, :old, :new)",
    "UPDATE _yoyo_migration SET applied_at_utc = substr(replace(applied_at_utc, :old, :new), 1, 19)",
    "UPDATE _sqlx_migrations SET installed_on = replace(installed_on, :old, :new)",
)


@pytest.fixture
def world(tmp_path: Path, sqlx: Sqlx, yoyo: Preloaded, ours: Preloaded) -> World:
    """Three migrations in both layouts, and an empty database."""
    return World(tmp_path, (ONE, TWO, THREE), Programs(sqlx, yoyo, ours))


def agreed(world: World) -> dict[int, str]:
    """Return what all three list; fails where they differ."""
    status = world.status()
    assert status == world.listed_by_sqlx() == world.listed_by_yoyo()
    return status


def scripts_run(err: str) -> list[str]:
    """Return the lines of standard error that tell of anything but adopting."""
    return [line for line in err.splitlines() if not line.endswith("recorded in the ledgers")]


@pytest.mark.parametrize("layout", ["yoyo", "sqlx"])
def test_what_sqlx_made_is_only_adopted(world: World, layout: str) -> None:
    """On a database that sqlx made, upgrade runs no script and leaves sqlx's rows alone; a second one takes no step."""
    world.sqlx("run")
    before = world.rows("_sqlx_migrations")

    first = world.ours("upgrade", layout=layout)
    after_first = world.ledgers()
    second = world.ours("upgrade", layout=layout)

    assert (first.out, scripts_run(first.err), first.status) == ("", [], 0)
    assert (second.out, second.err, second.status) == ("", "note: nothing to do\n", 0)
    assert world.rows("_sqlx_migrations") == before
    assert world.ledgers() == after_first
    assert agreed(world) == ALL_INSTALLED


@pytest.mark.parametrize("layout", ["yoyo", "sqlx"])
def test_what_yoyo_made_is_only_adopted(world: World, layout: str) -> None:
    """On a database that yoyo made, upgrade runs no script, a second one takes no step, and sqlx has nothing to do."""
    world.yoyo("apply")

    first = world.ours("upgrade", layout=layout)
    after_first = world.ledgers()
    second = world.ours("upgrade", layout=layout)

    assert (first.out, scripts_run(first.err), first.status) == ("", [], 0)
    assert (second.out, second.err, second.status) == ("", "note: nothing to do\n", 0)
    assert world.ledgers() == after_first
    assert agreed(world) == ALL_INSTALLED
    assert world.sqlx("run") == ("", "", 0)


def test_sqlx_has_nothing_to_do_on_ours(world: World, tmp_path: Path) -> None:
    """On a database of ours `sqlx migrate run` prints nothing, and its ledger is what sqlx would have written."""
    world.ours("upgrade")
    theirs = tmp_path / "theirs.db"
    world.sqlx_program.create(theirs)
    world.sqlx_program("run", "--source", "sqlx", "-D", f"sqlite:{theirs}", folder=tmp_path)

    assert world.sqlx("run") == ("", "", 0)
    assert show(world.database) == show(theirs)
    assert agreed(world) == ALL_INSTALLED


def test_the_shipped_schema_is_the_same_from_sqlx(sqlx: Sqlx, yoyo: Preloaded, ours: Preloaded, tmp_path: Path) -> None:
    """The torc schema comes out alike, ledger and all, from us and from sqlx with the exported folder."""
    for name in ("ours.db", "theirs.db"):
        sqlx.create(tmp_path / name)
    ours("export", "-s", str(SHIPPED), "--layout", "sqlx", "exported", folder=tmp_path)

    assert ours("upgrade", "-s", str(SHIPPED), "-d", "ours.db", folder=tmp_path).status == 0
    assert sqlx("run", "--source", "exported", "-D", "sqlite:theirs.db", folder=tmp_path).status == 0

    assert show(tmp_path / "ours.db") == show(tmp_path / "theirs.db")
    assert sqlx("run", "--source", "exported", "-D", "sqlite:ours.db", folder=tmp_path) == ("", "", 0)
    assert ours("status", "-s", "exported", "-d", "theirs.db", "--exit-code", folder=tmp_path).status == 0


def test_yoyos_ledger_may_have_another_name(world: World) -> None:
    """The `migration_table` of yoyo.ini is read and written, and no table of the usual name is made."""
    (world.root / "yoyo.ini").write_text("[DEFAULT]\nmigration_table = history\n")
    world.yoyo("apply", "--migration-table", "history", "-r", ONE.id)

    before = world.status()
    upgraded = world.ours("upgrade")

    assert before == {1: "installed", 2: "pending", 3: "pending"}
    assert [line.split("(")[0] for line in upgraded.out.splitlines()] == [
        "Applied 2/migrate two ",
        "Applied 3/migrate three ",
    ]
    assert world.rows("_yoyo_migration") == []
    assert len(world.rows("history")) == 3
    assert world.status() == world.listed_by_sqlx() == world.listed_by_yoyo("--migration-table", "history")


def test_a_ledger_of_an_old_yoyo_is_read_and_renewed(world: World) -> None:
    """A yoyo before 6 kept neither hashes nor a log; its rows count, and our first write renews its tables."""
    with opened(world.database) as connection:
        connection.execute(CREATE_OLD_LEDGER)
        for migration in (ONE, TWO):
            connection.execute(INSERT_OLD_ROW, {"id": migration.id})
            connection.execute(f"CREATE TABLE {migration.table} (x INTEGER)")

    before = world.status()
    upgraded = world.ours("upgrade")

    assert before == {1: "installed", 2: "installed", 3: "pending"}
    assert upgraded.out.startswith("Applied 3/migrate three (")
    assert agreed(world) == ALL_INSTALLED


def test_a_ledger_that_yoyo_renewed_is_read_alike(world: World) -> None:
    """The same where stock yoyo brings its old tables up to date before we come."""
    with opened(world.database) as connection:
        connection.execute(CREATE_OLD_LEDGER)
        connection.execute(INSERT_OLD_ROW, {"id": ONE.id})
        connection.execute(f"CREATE TABLE {ONE.table} (x INTEGER)")
    world.yoyo("apply", "-r", TWO.id)

    upgraded = world.ours("upgrade")

    assert upgraded.out.startswith("Applied 3/migrate three (")
    assert agreed(world) == ALL_INSTALLED


def test_rows_of_another_folder_are_foreign(world: World) -> None:
    """What another folder put into yoyo's ledger is listed as foreign, stays, and is no error."""
    (world.root / "other").mkdir()
    (world.root / "other" / "9_elsewhere.sql").write_text("CREATE TABLE elsewhere (x);")
    world.yoyo("apply", source="other")

    upgraded = world.ours("upgrade")
    listed = world.facts()
    rolled_back = world.ours("rollback", "--target", "0")

    assert (upgraded.status, rolled_back.status) == (0, 0)
    assert listed["foreign"] == ["9_elsewhere"]
    assert listed["ok"] is True
    assert [row[1] for row in world.rows("_yoyo_migration")] == ["9_elsewhere"]
    assert agreed(world) == {1: "pending", 2: "pending", 3: "pending"}


@pytest.mark.parametrize(("old", "new"), [("T", " "), (" ", "T")])
@pytest.mark.parametrize("later", ["yoyo", "sqlx"])
def test_the_form_of_a_timestamp_does_not_count(world: World, old: str, new: str, later: str) -> None:
    """A moment means the same with a T and with a blank, in either ledger and in the log."""
    world.yoyo("apply")
    world.let_pass(60)
    if later == "yoyo":
        world.sqlx("run")  # fails at the first script, because its table is there
        world.yoyo("rollback", "--all")
        expected = {1: "pending", 2: "pending", 3: "pending"}
    else:
        world.yoyo("rollback", "--all")
        world.let_pass(60)
        world.sqlx("run")
        expected = ALL_INSTALLED
    with opened(world.database) as connection:
        for statement in REWRITE_MOMENTS:
            connection.execute(statement, {"old": old, "new": new})

    assert world.status() == expected
    assert world.ours("upgrade").status == 0
    assert agreed(world) == ALL_INSTALLED


def test_a_script_may_read_sqlxs_ledger(world: World) -> None:
    """It sees the rows of those before it, from whichever tool they are."""
    world.write("3_three", "CREATE TABLE t3 AS SELECT version FROM _sqlx_migrations;", "DROP TABLE t3;")
    world.sqlx("run", "--target-version", "1")

    world.ours("upgrade")

    assert world.rows("t3") == [(1,), (2,)]
    assert agreed(world) == ALL_INSTALLED


def test_a_script_may_delete_from_sqlxs_ledger(world: World) -> None:
    """What a script erases is pending for all three after the next write of ours, and nothing runs behind our back."""
    world.write("2_two", "DELETE FROM _sqlx_migrations; DROP TABLE t1;", "SELECT 1;")

    first = world.ours("upgrade")

    assert first.status == 0
    assert world.status() == world.listed_by_sqlx() == {1: "pending", 2: "installed", 3: "installed"}
    assert world.ours("upgrade").out.startswith("Applied 1/migrate one (")
    assert agreed(world) == ALL_INSTALLED


def test_after_a_script_that_deletes_all_three_agree(world: World) -> None:
    """After the very write of ours whose script erased a row of sqlx's, yoyo agrees too."""
    world.write("2_two", "DELETE FROM _sqlx_migrations; DROP TABLE t1;", "SELECT 1;")

    world.ours("upgrade")

    assert agreed(world) == {1: "pending", 2: "installed", 3: "installed"}


def test_an_accepted_edit_is_accepted_by_sqlx(world: World) -> None:
    """After `repair` sqlx lists an edited file as installed, and runs on."""
    world.ours("upgrade")
    world.write("2_two", "CREATE TABLE t2 (x INTEGER); -- a comment\n", "DROP TABLE t2;")
    refused = world.sqlx("run")

    repaired = world.ours("repair", "2", "--reason", "a comment")

    assert refused.status == 1
    assert repaired.status == 0, repaired
    assert world.sqlx("run") == ("", "", 0)
    assert agreed(world) == ALL_INSTALLED


def test_a_baseline_is_believed_by_both(world: World) -> None:
    """After `baseline` nobody runs a script up to its version again."""
    with opened(world.database) as connection:
        for migration in (ONE, TWO):
            connection.execute(f"CREATE TABLE {migration.table} (x INTEGER)")

    based = world.ours("baseline", "2")

    assert based.status == 0, based
    assert agreed(world) == {1: "installed", 2: "installed", 3: "pending"}
    assert world.sqlx("run").out.startswith("Applied 3/migrate three (")


@pytest.mark.parametrize("verb", ["apply", "mark"])
def test_yoyos_command_with_our_backend_keeps_sqlxs_ledger(world: World, verb: str) -> None:
    """With `torc+sqlite` stock yoyo's command writes both ledgers, as our own command does."""
    world.yoyo(verb, scheme="torc+sqlite")

    assert agreed(world) == ALL_INSTALLED
