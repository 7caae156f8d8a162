"""The commands that sqlite-utils gets, and its databases in and out."""

from __future__ import annotations

from pathlib import Path

import pytest
import sqlite_utils
from shell import COMMAND, COMMANDS, installed, run, write_files

from torc_migrations import status, upgrade

SQLITE_UTILS = str(COMMANDS / "sqlite-utils")


@pytest.mark.usefixtures("migrations")
def test_the_command_upgrades_and_lists(here: Path) -> None:
    """Both commands do what ours do; a second upgrade has nothing to do."""
    before = run([SQLITE_UTILS, "torc-status", "app.db"], here)
    first = run([SQLITE_UTILS, "torc-upgrade", "app.db", "--target", "2"], here)
    second = run([SQLITE_UTILS, "torc-upgrade", "app.db"], here)
    third = run([SQLITE_UTILS, "torc-upgrade", "app.db", "-s", "migrations"], here)
    after = run([SQLITE_UTILS, "torc-status", "app.db"], here)

    assert [result.status for result in (before, first, second, third, after)] == [0] * 5
    assert before.out.count("/pending ") == after.out.count("/installed ") == 3
    assert (first.out.count("Applied"), second.out.count("Applied"), third.out) == (2, 1, "")
    assert third.err == "note: nothing to do\n"
    assert len(installed(here)) == 3


@pytest.mark.usefixtures("migrations")
def test_an_error_has_its_place_and_its_hint(here: Path) -> None:
    """It is printed as sqlite-utils prints errors, without a traceback."""
    write_files(here / "migrations", {"0004_bad.sql": "CREATE TABLE fine (id);\nSELECT FROM;\n"})
    failed = run([SQLITE_UTILS, "torc-upgrade", "app.db"], here)
    lost = run([SQLITE_UTILS, "torc-status", "app.db", "--source", "nowhere"], here)

    assert (failed.status, lost.status) == (1, 1)
    assert failed.err.startswith("Error: while executing migration 4: ")
    assert "0004_bad.sql:2:8" in failed.err
    assert lost.err == "Error: there is no directory 'nowhere'\nhint: name an existing one with --source\n"


def test_a_hint_names_the_command_that_has_an_option(here: Path, migrations: Path) -> None:
    """sqlite-utils has no `--ignore-missing`; with the command that the hint names, it works."""
    assert run([SQLITE_UTILS, "torc-upgrade", "app.db"], here).status == 0
    for file in migrations.glob("0001_*"):
        file.unlink()

    refused = run([SQLITE_UTILS, "torc-upgrade", "app.db"], here).err
    command = refused.partition("sqlite-utils has no --ignore-missing, `")[2].partition("` has it")[0]

    assert command == "torc-migrations -d app.db -s migrations upgrade"
    assert run([COMMAND, *command.split()[1:], "--ignore-missing"], here).status == 0


def test_the_commands_are_listed(here: Path) -> None:
    """`sqlite-utils --help` has them, and its own `migrate` is left alone."""
    listed = run([SQLITE_UTILS, "--help"], here).out
    ours = [line.split()[0] for line in listed.splitlines() if line.strip().startswith("torc-")]

    assert ours == ["torc-status", "torc-upgrade"]


def test_a_database_of_sqlite_utils_goes_in_and_comes_out_usable(here: Path, migrations: Path) -> None:
    """It stays open, and sees the tables that were made."""
    database = sqlite_utils.Database(here / "app.db")

    assert upgrade(database, str(migrations)).applied == (1, 2, 3)
    database["book"].insert({"title": "Emma"})  # type: ignore[union-attr]
    assert database["book"].count == 1
    assert status(database, str(migrations)).clean
    database.close()


@pytest.mark.usefixtures("migrations")
def test_the_ledger_of_sqlite_utils_is_named(here: Path) -> None:
    """`doctor` says that sqlite-utils has migrations of its own in the database; they do not disturb each other."""
    program = """
from sqlite_utils import Migrations

creatures = Migrations("creatures")

@creatures()
def create_table(db): db["creatures"].create({"id": int, "name": str}, pk="id")

@creatures()
def add_weight(db): db["creatures"].add_column("weight", float)
"""
    write_files(here, {"sets/migrations.py": program})
    before = run([COMMAND, "-d", "app.db", "upgrade"], here)
    theirs = run([SQLITE_UTILS, "migrate", "app.db", "sets/migrations.py"], here)
    doctor = run([COMMAND, "-d", "app.db", "doctor"], here)
    again = run([COMMAND, "-d", "app.db", "upgrade"], here)

    assert (before.status, theirs.status, doctor.status, again.status) == (0, 0, 0, 0), theirs.err
    assert (
        "sqlite-utils has a ledger of its own here, _sqlite_migrations: 2 migrations, the newest is add_weight\n"
        "    use sqlite-utils for them; nothing here reads or changes that table\n"
    ) in doctor.out
    assert again.err == "note: nothing to do\n"
    assert len(installed(here)) == 3
