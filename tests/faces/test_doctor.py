"""What `doctor` explains, and what `doctor --trust`, `repair` and `baseline` mend, on the command line."""

from __future__ import annotations

import json
import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from shell import PAIRS, Torc, everything_in, query, tables, write_files

AGREE = "the ledgers of yoyo and sqlx agree"
YOYOS_LAYOUT = (
    "migrations is in yoyo's layout: sqlx would take its rollback files for migrations of the same version\n"
    "    keep sqlx away from it; `torc-migrations export --layout sqlx DIR` writes a folder for sqlx\n"
)


@pytest.fixture
def upgraded(torc: Torc, here: Path, migrations: Path) -> Path:
    """A database with three migrations from `migrations`."""
    assert torc("-d", "app.db", "upgrade").status == 0
    return here / "app.db"


def change(database: Path, *statements: str) -> None:
    """Do to a database what nobody should."""
    with closing(sqlite3.connect(database)) as connection, connection:
        for statement in statements:
            connection.execute(statement)


def test_a_healthy_database_is_told_in_a_sentence(torc: Torc, here: Path) -> None:
    """Simple files are read alike by all, so that there is nothing to say of them."""
    write_files(here / "migrations", {"1_a.sql": "CREATE TABLE a (x);\n"})
    torc("-d", "app.db", "upgrade")

    assert torc("-d", "app.db", "doctor") == (0, f"1 of 1 migrations are installed, the newest is 1_a; {AGREE}\n", "")


@pytest.mark.usefixtures("migrations")
def test_a_missing_database_is_explained_and_not_created(torc: Torc, here: Path) -> None:
    """What is pending needs nothing but an upgrade, so that the exit status is 0."""
    result = torc("-d", "app.db", "doctor")

    assert result.status == 0
    assert result.out == (
        f"0 of 3 migrations are installed; {AGREE}\n"
        "3 migrations are pending, the first is 0001_create_book\n    torc-migrations upgrade\n" + YOYOS_LAYOUT
    )
    assert not (here / "app.db").exists()


@pytest.mark.parametrize("dropped", [False, True])
def test_out_of_step_is_settled_by_what_is_there(torc: Torc, here: Path, upgraded: Path, dropped: bool) -> None:
    """Where yoyo's log and ledger contradict each other, the migration's own objects tell which one to trust."""
    change(upgraded, "DELETE FROM _yoyo_migration WHERE migration_id = '0002_add_author'")
    if dropped:
        change(upgraded, "DROP TABLE author")
    before = everything_in(here)
    right, seen, state = (
        ("yoyo", "nothing of what it makes", "pending") if dropped else ("sqlx", "what it makes", "installed")
    )

    explained = torc("-d", "app.db", "doctor")
    dry = torc("-d", "app.db", "doctor", "--trust", right, "--dry-run")
    unchanged = everything_in(here) == before
    settled = torc("-d", "app.db", "doctor", "--trust", right)

    assert explained.status == 3
    assert explained.out.splitlines()[1:3] == [
        f"2 is out of step: yoyo's ledger says not installed, sqlx's ledger says installed; {seen} is there",
        f"    torc-migrations doctor --trust {right}",
    ]
    assert unchanged
    word = "erased" if dropped else "recorded"
    assert dry.err == f"note: 0002_add_author would be {word} in the ledgers\n"
    assert settled.err == f"note: 0002_add_author {word} in the ledgers\n"
    assert f"2/{state} add author\n" in torc("-d", "app.db", "status").out
    assert torc("-d", "app.db", "doctor").status == 0


def test_what_cannot_be_told_is_left_to_a_person(torc: Torc, upgraded: Path) -> None:
    """Where only a part of what a migration makes is there, both ledgers are offered."""
    write_files(upgraded.parent / "migrations", {"0004_more.sql": "CREATE TABLE c (x); CREATE TABLE d (x);\n"})
    torc("-d", "app.db", "upgrade")
    change(upgraded, "DELETE FROM _yoyo_migration WHERE migration_id = '0004_more'", "DROP TABLE d")

    assert "look at its tables, then: torc-migrations doctor --trust yoyo|sqlx\n" in torc("-d", "app.db", "doctor").out


def test_every_kind_of_trouble_is_told_at_once(torc: Torc, here: Path, upgraded: Path) -> None:
    """Dirty, edited, missing, ahead, held: each is a sentence with what to type, and `--json` says the same."""
    write_files(here / "migrations", {"0001_create_book.sql": PAIRS["0001_create_book.sql"] + "-- edited\n"})
    (here / "migrations" / "0002_add_author.sql").unlink()
    (here / "migrations" / "0002_add_author.rollback.sql").unlink()
    change(
        upgraded,
        "UPDATE _sqlx_migrations SET success = FALSE WHERE version = 3",
        "INSERT INTO _sqlx_migrations SELECT 9, 'ahead', installed_on, TRUE, checksum, 0 FROM _sqlx_migrations LIMIT 1",
        "CREATE TABLE yoyo_lock (locked INT DEFAULT 1, ctime TIMESTAMP, pid INT NOT NULL, PRIMARY KEY (locked))",
        f"INSERT INTO yoyo_lock VALUES (1, '2999-01-01', {os.getpid()})",
    )

    result = torc("-d", "app.db", "doctor")
    as_json = json.loads(torc("-d", "app.db", "doctor", "--json").out)

    for sentence in (
        "3 is dirty: another tool began it and did not end it\n    look what of it is there",
        "1 was edited after it was applied\n    put the file back and write the change as a new migration; or, if",
        "2 is installed, but has no file here\n    bring its file back, or pass --ignore-missing",
        "9 is installed, but has no file here, and is newer than every file\n    this is an older release",
        "holds yoyo's lock\n    wait for it; if it hangs, end that process",
    ):
        assert sentence in result.out
    assert f"{os.getpid()}" in result.out
    assert result.status == 3
    assert as_json["healthy"] is False
    assert "".join(f"{each['sentence']}\n    {each['remedy']}\n" for each in as_json["symptoms"]) in result.out


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        ({"1_a.up.sql": "", "1_a.down.sql": ""}, "migrations is in sqlx's layout: stock yoyo would run its down files"),
        ({"1_a.sql": "", "1_a.rollback.sql": ""}, "migrations is in yoyo's layout: sqlx would take its rollback files"),
        ({"1_a.sql": "-- no-transaction\n"}, "1_a.sql asks for no transaction in words that yoyo does not understand"),
        ({"1_a.sql": "-- transactional: false\n"}, "1_a.sql asks for no transaction in words that sqlx does not"),
    ],
)
def test_folders_that_others_would_misread_are_named(
    torc: Torc, here: Path, files: dict[str, str], sentence: str
) -> None:
    """It is no fault of the folder, so that the exit status is 0."""
    write_files(here / "migrations", files)

    result = torc("-d", "app.db", "doctor")

    assert (result.status, sentence in result.out) == (0, True)


def test_both_marks_together_are_understood_by_all(torc: Torc, here: Path) -> None:
    """A script that says it in both tools' words needs no warning."""
    write_files(here / "migrations", {"1_a.sql": "-- no-transaction\n-- transactional: false\nSELECT 1;\n"})

    assert "asks for no transaction" not in torc("-d", "app.db", "doctor").out


def test_migrations_that_do_not_run_are_told_where_they_are_needed(torc: Torc, here: Path, upgraded: Path) -> None:
    """To tell what a migration makes they are run in memory; one that fails there is a symptom, not a crash."""
    change(upgraded, "DELETE FROM _yoyo_migration WHERE migration_id = '0003_index_titles'")
    write_files(here / "migrations", {"0002_add_author.sql": "SELECT FROM;\n"})

    result = torc("-d", "app.db", "doctor")

    assert result.status == 3
    assert "the migrations do not run on an empty database: while executing migration 2: " in result.out


def test_an_edit_is_accepted_for_a_reason(torc: Torc, here: Path, upgraded: Path) -> None:
    """`repair` wants a reason and keeps it in yoyo's log; afterwards the listing and the next upgrade are content."""
    write_files(here / "migrations", {"0001_create_book.sql": PAIRS["0001_create_book.sql"] + "-- edited\n"})

    refused = torc("-d", "app.db", "upgrade")
    unexplained = torc("-d", "app.db", "repair", "1")
    repaired = torc("-d", "app.db", "repair", "1", "--reason", "a comment only")

    assert (refused.status, unexplained.status) == (3, 2)
    assert (repaired.status, repaired.err) == (0, "note: 0001_create_book repaired in the ledgers\n")
    (comment,) = query(upgraded, "SELECT comment FROM _yoyo_log ORDER BY rowid DESC LIMIT 1")
    assert "a comment only" in str(comment)
    assert torc("-d", "app.db", "status", "--exit-code").status == 0
    assert torc("-d", "app.db", "repair", "1", "--reason", "again").err == "note: nothing to do\n"
    assert torc("-d", "app.db", "repair", "9", "--reason", "a typo").status == 4


@pytest.mark.parametrize("version", [(), ("1",)])
def test_line_endings_are_accepted_and_nothing_else(
    torc: Torc, here: Path, upgraded: Path, version: tuple[str, ...]
) -> None:
    """A twin is listed as sqlx lists it, named in a note, and accepted; what was edited otherwise is left alone."""
    windows = PAIRS["0001_create_book.sql"].replace("\n", "\r\n")
    write_files(here / "migrations", {"0001_create_book.sql": "\ufeff" + windows})
    write_files(here / "migrations", {"0002_add_author.sql": PAIRS["0002_add_author.sql"] + "-- edited\n"})

    listed = torc("-d", "app.db", "status")
    repaired = torc("-d", "app.db", "repair", "--line-endings", *version)

    assert listed.out.startswith("1/installed (different checksum) create book\n")
    assert "note: 1 differs in its line endings only; `torc-migrations repair 1 --line-endings`\n" in listed.err
    assert repaired.err == "note: 0001_create_book repaired in the ledgers\n"
    assert [line for line in torc("-d", "app.db", "status").out.splitlines() if "different" in line] == [
        "2/installed (different checksum) add author"
    ]


def test_a_baseline_records_what_is_there(torc: Torc, here: Path, migrations: Path) -> None:
    """Nothing is run; what comes after it is pending, and applied by the next upgrade."""
    change(here / "app.db", "CREATE TABLE book (id INTEGER PRIMARY KEY, title TEXT)", "CREATE TABLE author (id)")

    based = torc("-d", "app.db", "baseline", "2")
    listed = torc("-d", "app.db", "status")

    assert (
        based.err == "note: 0001_create_book recorded in the ledgers\nnote: 0002_add_author recorded in the ledgers\n"
    )
    assert listed.out == "1/installed create book\n2/installed add author\n3/pending index titles\n"
    assert torc("-d", "app.db", "upgrade").lines == "Applied 3/migrate index titles (TIME)\n"


@pytest.mark.usefixtures("migrations")
def test_a_baseline_of_what_is_not_there_is_refused(torc: Torc, here: Path) -> None:
    """What is lacking is named, down to the columns, and nothing is recorded."""
    change(here / "app.db", "CREATE TABLE book (id INTEGER PRIMARY KEY)")

    result = torc("-d", "app.db", "baseline", "3")

    assert result.status == 4
    assert result.err.startswith("error: the database does not have what migration 3 leaves behind: ")
    assert "column book.title" in result.err
    assert "table author" in result.err
    assert tables(here / "app.db") == {"book"}
    assert query(here / "app.db", "SELECT count(*) FROM sqlite_master") == [(1,)]


def test_a_baseline_of_scripts_that_commit_by_themselves(torc: Torc, here: Path) -> None:
    """On the scratch database they are run as an upgrade would run them."""
    write_files(
        here / "migrations",
        {
            "1_a.sql": "CREATE TABLE a (x);\n",
            "2_b.sql": "COMMIT; PRAGMA foreign_keys = OFF; BEGIN; CREATE TABLE b (x);\n",
            "3_c.sql": "-- transactional: false\nBEGIN; CREATE TABLE c (x); COMMIT;\n",
        },
    )
    change(here / "app.db", "CREATE TABLE a (x)", "CREATE TABLE b (x)")

    refused = torc("-d", "app.db", "baseline", "3")
    based = torc("-d", "app.db", "baseline", "2")

    assert refused.err.startswith("error: the database does not have what migration 3 leaves behind: table c\n")
    assert based.status == 0
    assert torc("-d", "app.db", "status").out == "1/installed a\n2/installed b\n3/pending c\n"
