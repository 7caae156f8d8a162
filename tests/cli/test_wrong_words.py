"""What a new user types wrong: the hint says what to type, and that works."""

from __future__ import annotations

import re
import shlex
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from shell import PAIRS, Torc, everything_in, write_files


def _commands(text: str) -> list[list[str]]:
    """Return the words of each command that a text names, after the program."""
    return [shlex.split(found)[1:] for found in re.findall(r"`(torc-migrations [^`]*)`", text)]


def test_the_command_in_a_hint_can_be_typed_as_it_is(torc: Torc, here: Path) -> None:
    """It names the database and the source that were named before, quoted where the shell needs it."""
    write_files(here / "the files", PAIRS)

    refused = torc("-d", "my app.db", "-s", "the files", "upgrade", "--target", "7")
    (advised,) = _commands(refused.err)
    listed = torc(*advised)

    assert advised == ["-d", "my app.db", "-s", "the files", "status"]
    assert (listed.status, listed.out.count("pending")) == (0, 3)


# What is typed where three migrations are in ./migrations and in the database app.db; the error and its hint.
WRONG = {
    "-n 2 rollback": (
        "'-n' stands before the verb",
        "-n is an option of rollback, rehearse; write it after the verb",
    ),
    "--foreign-keys on -d app.db upgrade": (
        "'--foreign-keys' stands before the verb",
        (
            "--foreign-keys is an option of upgrade, rollback, apply, fleet, doctor, rehearse, repair, baseline; "
            "write it after the verb"
        ),
    ),
    "-d app.db history": ("there is no verb 'history'", "did you mean `status`?"),
    "-d app.db STATUS": ("there is no verb 'STATUS'", "did you mean `status`?"),
    "-d app.db undo": ("there is no verb 'undo'", "did you mean `rollback`?"),
    "-d status": ("no verb is given", "'status' was taken for the value of -d; write that value before the verb"),
    "-d app.db -d other.db status": (
        "-d names two databases, 'app.db' and 'other.db'",
        "name one; `torc-migrations fleet` works on many",
    ),
    "-d app.db -s migrations -s ./migrations status": (
        (
            "version 1 is used twice in migrations and ./migrations: "
            "'migrations/0001_create_book.sql' and './migrations/0001_create_book.sql'"
        ),
        "name the directory once",
    ),
    "-d app.db fleet status other.db": ("fleet does not take -d", "name each database as a PATTERN, after the ACTION"),
    "-d app.db repair 1 --reason=": ("repair --reason needs a text", "say why the edit needs no new migration"),
    "convert nowhere": ("there is no directory 'nowhere'", "name the directory of the other tool's migrations"),
    "-d migrations -s app.db status": (
        "'app.db' is not a directory, but a SQLite database",
        "name a database with --database, and the directory of migrations with --source",
    ),
    "-d migrations status": (
        "cannot open 'migrations': it is a directory",
        "name a file; a directory of migrations is named with --source",
    ),
    "-d app.db -s . status": (
        "there is no migration in .",
        "subdirectories are not read; SQL is in './migrations': name one with --source",
    ),
    "-d ~/app.db status": (
        "there is no directory '~' for the database '~/app.db'",
        "write the path of the home directory; only a shell replaces ~ by it",
    ),
    "-d app.db repair 1 --resume-after x": (
        "argument --resume-after: 'x' is not the number of a statement",
        "`torc-migrations repair --help` lists what it takes",
    ),
    "completion powershell": (
        "argument SHELL: invalid choice: 'powershell' (choose from 'bash', 'zsh', 'fish')",
        "`torc-migrations completion --help` lists what it takes",
    ),
    "-version": ("there is no option '-version'", "did you mean --version?"),
    "-d app.db rollback 1": (
        "rollback does not take '1'",
        "--target 1 rolls back what is above 1; -n N rolls back the newest N",
    ),
    "-d app.db rollback --all": ("there is no option '--all'", "use `torc-migrations rollback --target 0`"),
    "-d app.db upgrade --force": (
        "there is no option '--force'",
        "`torc-migrations upgrade --help` lists the options",
    ),
    "renumber 2 --to 9": ("there is no option '--to'", "`torc-migrations renumber --help` lists the options"),
    "-d app.db upgrade --target 0002_add_author": (
        "argument --target/--target-version: '0002_add_author' is not a version, but a name; its version is 2",
        "`torc-migrations upgrade --help` lists what it takes",
    ),
    "new create/book": ("'create/book' cannot be a file name", "leave out /"),
    "new book.sql": ("'book.sql' cannot be a file name", "leave out .sql"),
    "new caf\udce9": ("'caf\\udce9' has bytes that are not UTF-8", "describe the change in a few words"),
}


@pytest.mark.parametrize("words", WRONG)
@pytest.mark.usefixtures("migrations")
def test_a_wrong_command_line_has_a_way_out(torc: Torc, here: Path, words: str) -> None:
    """Each is an error of two lines, the second of which says what to type; nothing is written."""
    assert torc("-d", "app.db", "upgrade").status == 0
    before = everything_in(here)
    error, hint = WRONG[words]

    result = torc(*words.split())

    first, second = result.err.splitlines()
    assert (result.status, result.out, first) == (2, "", f"error: {error}")
    assert second == f"hint: {hint}"
    assert everything_in(here) == before


def test_two_layouts_are_one_after_the_renaming_that_the_hint_names(torc: Torc, here: Path, migrations: Path) -> None:
    """What is installed stays installed, and `export`, which reads the directory too, is not advised."""
    assert torc("-d", "app.db", "upgrade").status == 0
    write_files(migrations, {"0004_x.up.sql": "CREATE TABLE x (y);", "0004_x.down.sql": "DROP TABLE x;"})

    refused = torc("-d", "app.db", "upgrade")
    (migrations / "0004_x.up.sql").rename(migrations / "0004_x.sql")
    (migrations / "0004_x.down.sql").rename(migrations / "0004_x.rollback.sql")
    done = torc("-d", "app.db", "upgrade")

    assert "X.up.sql and X.down.sql are X.sql and X.rollback.sql in the other" in refused.err
    assert (done.status, done.out.count("Applied"), "Applied 4/migrate x" in done.out) == (0, 1, True)


def test_a_database_that_has_the_tables_already_is_recorded_by_what_the_hints_say(torc: Torc, here: Path) -> None:
    """`upgrade` names `doctor`, which names `baseline` with the version; then the rest is applied."""
    write_files(here / "migrations", {"1_a.sql": "CREATE TABLE a (x);", "2_b.sql": "CREATE TABLE b (x);"})
    with closing(sqlite3.connect(here / "app.db")) as connection:
        connection.execute("CREATE TABLE a (x)")

    refused = torc("-d", "app.db", "upgrade")
    (doctor,) = _commands(refused.err)
    baseline = next(line for line in torc(*doctor).out.splitlines() if " baseline " in line)
    recorded = torc(*shlex.split(baseline)[1:])

    assert (recorded.status, recorded.err) == (0, "note: 1_a recorded in the ledgers\n")
    assert torc("-d", "app.db", "upgrade").out.startswith("Applied 2/migrate b")


@pytest.mark.parametrize("first", ["CREATE TABLE a (x); CREATE TABLE a (y);", "CREATE TABLE a (x);"])
def test_a_table_that_the_migrations_make_twice_is_no_reason_for_a_baseline(torc: Torc, here: Path, first: str) -> None:
    """Only what was there before the first migration is recorded."""
    write_files(here / "migrations", {"1_a.sql": first, "2_b.sql": "CREATE TABLE a (x);"})

    refused = torc("-d", "app.db", "upgrade")

    assert "table a already exists" in refused.err
    assert "doctor" not in refused.err


@pytest.mark.parametrize("is_text", [False, True])
@pytest.mark.usefixtures("migrations")
def test_a_damaged_database_is_restored_by_what_the_hints_say(torc: Torc, here: Path, is_text: bool) -> None:
    """`restore` lists the snapshots of a file that SQLite cannot read, and says that it is to be moved away first."""
    torc("-d", "app.db", "upgrade", "--target", "1")
    torc("-d", "app.db", "upgrade", "--snapshot")
    (here / "app.db").write_bytes(b"text" if is_text else (here / "app.db").read_bytes()[:5000])

    refused = torc("-d", "app.db", "status").err
    snapshot = next(word for word in torc("-d", "app.db", "restore").out.split() if "app.db." in word)
    first = torc("-d", "app.db", "restore", snapshot, "--yes")
    (here / "app.db").rename(here / "away.db")
    second = torc("-d", "app.db", "restore", snapshot)

    assert is_text or _commands(refused) == [["-d", "app.db", "restore"]]
    assert "hint: move the database away, with its files -wal and -journal, and restore it again" in first.err
    assert (second.status, torc("-d", "app.db", "status").out.count("installed")) == (0, 1), second.err
