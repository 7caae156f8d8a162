"""`rehearse` and `--on-loss`: the report on standard output, and a database that is not changed."""

from __future__ import annotations

import json
import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from shell import (
    COMMAND,
    PAIRS,
    Torc,
    everything_in,
    interrupt_when,
    outcome_of,
    query,
    run_as_nobody,
    start,
    write_files,
)

LIBRARY = {
    "0004_fill.sql": "INSERT INTO author VALUES (1), (2);\n"
    "CREATE TABLE copy (author REFERENCES author ON DELETE CASCADE);\nINSERT INTO copy VALUES (1), (2), (2);\n",
}
CASCADE = "-- foreign-keys: on\nCREATE TABLE a (id INTEGER PRIMARY KEY);\nINSERT INTO a SELECT id FROM author;\n"
CASCADE += "DROP TABLE author;\nALTER TABLE a RENAME TO author;\n"
NOTE = "note: this was a rehearsal on a copy: app.db was not changed\n"
ENDLESS = "WITH RECURSIVE n (i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n;\n"
LOSES = (
    "error: while executing migration 5: 3 of 3 rows of copy were lost without a DELETE or DROP TABLE in the script\n"
)


@pytest.fixture
def library(here: Path, torc: Torc) -> Path:
    """A database with rows, and a migration that would lose some by a cascade."""
    write_files(here / "migrations", {**PAIRS, **LIBRARY})
    assert torc("-d", "app.db", "upgrade").status == 0
    write_files(here / "migrations", {"0005_rebuild.sql": CASCADE})
    return here


@pytest.mark.parametrize("words", ["rehearse", "rehearse --target-version 5", "rehearse --single-transaction"])
def test_what_is_pending_is_rehearsed(library: Path, torc: Torc, words: str) -> None:
    """The report is on standard output, the note on standard error, the database as before."""
    before = everything_in(library)

    result = torc("-d", "app.db", *words.split())

    assert (result.status, result.err) == (0, NOTE)
    assert result.lines.startswith("Rehearsed 5/migrate rebuild (TIME)\n")
    assert " ms  migrations/0005_rebuild.sql:2  CREATE TABLE a (id INTEGER PRIMARY KEY);\n" in result.out
    assert result.out.endswith(
        "rows        before       after\n"
        "book             0           0\n"
        "author           2           2\n"
        "copy             3           0\n"
        "\n"
        "schema: as before\n"
        "\n"
        "new foreign-key violations: none\n"
        "what would be lost:\n"
        "  5: table copy loses 3 of 3 rows, and its script has no DELETE or DROP TABLE for it\n"
    )
    assert everything_in(library) == before


@pytest.mark.usefixtures("migrations")
def test_what_would_be_rolled_back_is_rehearsed(here: Path, torc: Torc) -> None:
    """No question is asked, because nothing is done."""
    torc("-d", "app.db", "upgrade")
    before = everything_in(here)

    result = torc("-d", "app.db", "rehearse", "--rollback", "--target", "0")

    assert (result.status, result.err) == (0, NOTE)
    assert "Rehearsed 1/revert create book (TIME)\n" in result.lines
    assert "schema\n  - index idx_title\n  - table author\n  - table book\n" in result.out
    assert everything_in(here) == before


def test_json_is_one_document(library: Path, torc: Torc) -> None:
    """For programs: the same, with times in nanoseconds."""
    result = torc("-d", "app.db", "rehearse", "--json", "--on-loss", "refuse")

    told = outcome_of(result)
    assert (result.status, told["refused"], told["loses"]) == (6, True, True)
    assert [change["after"] for change in told["rows"]] == [0, 2, 0]
    assert [statement["line"] for statement in told["steps"][0]["statements"]] == [2, 3, 4, 5]


def test_rehearse_may_refuse(library: Path, torc: Torc) -> None:
    """With --on-loss=refuse the report is followed by the error that the real run would not begin for."""
    result = torc("-d", "app.db", "rehearse", "--on-loss=refuse")

    assert (result.status, result.err.startswith(LOSES), result.err.endswith(NOTE)) == (6, True, True)
    assert "what would be lost:\n" in result.out


def test_upgrade_is_refused_before_it_begins(library: Path, torc: Torc) -> None:
    """`upgrade --on-loss=refuse` rehearses, and then does not run."""
    before = everything_in(library)

    result = torc("-d", "app.db", "upgrade", "--on-loss=refuse")

    assert (result.status, result.out) == (6, "")
    assert (result.err.startswith(LOSES), result.err.endswith(NOTE)) == (True, True)
    assert everything_in(library) == before
    told = outcome_of(torc("-d", "app.db", "upgrade", "--on-loss=refuse", "--json"))
    assert (told["error"]["type"], told["error"]["rehearsed"], told["done"]) == ("RowsLost", "app.db", [])


def test_upgrade_may_warn(library: Path, torc: Torc) -> None:
    """`--on-loss=warn` says what is lost, and runs."""
    result = torc("-d", "app.db", "upgrade", "--on-loss=warn")

    assert (result.status, result.lines) == (0, "Applied 5/migrate rebuild (TIME)\n")
    assert result.err == ("note: 5: table copy loses 3 of 3 rows, and its script has no DELETE or DROP TABLE for it\n")
    assert query(library / "app.db", "SELECT count(*) FROM copy") == [(0,)]


def test_an_error_is_shown_as_the_real_run_shows_it(library: Path, torc: Torc) -> None:
    """Place, caret and hint, the code of a failed script, and no word of anything that was done before it."""
    write_files(library / "migrations", {"0006_boom.sql": "SELECT 1;\nSELECT nowhere;\n"})

    result = torc("-d", "app.db", "rehearse")

    assert (result.status, result.out) == (6, "")
    assert result.err == (
        "error: while executing migration 6: no such column: nowhere\n"
        "  --> migrations/0006_boom.sql:2:8\n"
        "   2 | SELECT nowhere;\n"
        "     |        ^\n"
        "hint: nothing of 6 was kept\n" + NOTE
    )


def test_with_nothing_to_do_it_says_so(here: Path, migrations: Path, torc: Torc) -> None:
    """Nothing is pending: nothing is copied, and that is no error."""
    torc("-d", "app.db", "upgrade")

    assert torc("-d", "app.db", "rehearse")[:3] == (0, "", "note: nothing to do\n")
    assert outcome_of(torc("-d", "app.db", "rehearse", "--json"))["steps"] == []


def test_a_missing_database_is_rehearsed_and_stays_missing(here: Path, migrations: Path, torc: Torc) -> None:
    """Before the first upgrade there is nothing to copy; the migrations are rehearsed in memory."""
    result = torc("-d", "app.db", "rehearse")

    assert result.status == 0
    assert "  + index idx_title\n  + table author\n  + table book\n" in result.out
    assert os.listdir(here) == ["migrations"]


def test_ctrl_c_ends_a_rehearsal_and_leaves_no_copy(library: Path, torc: Torc) -> None:
    """A statement that would never end is stopped, and the copy removed."""
    write_files(library / "migrations", {"0006_endless.sql": ENDLESS})
    before = everything_in(library)
    process = start([COMMAND, "-d", "app.db", "rehearse"], library)

    result = interrupt_when(process, lambda: any(".rehearsal-" in name for name in os.listdir(library)))

    assert (result.status, result.out) == (130, "")
    assert result.err.startswith("error: interrupted\n")
    assert everything_in(library) == before


@pytest.mark.parametrize("journal", ["delete", "wal"])
@pytest.mark.skipif(os.name == "nt", reason="Windows has other rights")
def test_where_the_folder_cannot_be_written_the_copy_is_elsewhere(shared: Path, journal: str) -> None:
    """It is in TMPDIR, and a note says so; nothing is changed or left."""
    with closing(sqlite3.connect(shared / "app.db")) as connection:
        connection.execute(f"PRAGMA journal_mode = {journal}")
    elsewhere = shared / "elsewhere"
    elsewhere.mkdir()
    elsewhere.chmod(0o777)
    shared.chmod(0o555)
    before = everything_in(shared)

    result = run_as_nobody(["-d", "app.db", "rehearse"], shared, {"TMPDIR": str(elsewhere)})

    moved = f"note: the copy was in {elsewhere}, because the directory of the database takes no other file\n"
    assert (result.status, result.err) == (0, moved + NOTE)
    assert "  + index idx_title\n" in result.out
    assert everything_in(shared) == before


@pytest.mark.skipif(os.name == "nt", reason="Windows has other rights")
def test_a_file_that_may_only_be_read_is_rehearsed(shared: Path) -> None:
    """A rehearsal wants no right to write the database, only its folder."""
    (shared / "app.db").chmod(0o444)
    shared.chmod(0o777)
    before = everything_in(shared)

    result = run_as_nobody(["-d", "app.db", "rehearse"], shared)

    assert (result.status, result.err) == (0, NOTE)
    assert "  + index idx_title\n" in result.out
    assert everything_in(shared) == before


def test_a_pragma_that_does_nothing_is_a_note(here: Path, migrations: Path, torc: Torc) -> None:
    """The command shows what the log has to tell."""
    write_files(migrations, {"0004_pragma.sql": "PRAGMA foreign_keys = OFF;\nSELECT 1;\n"})

    result = torc("-d", "app.db", "upgrade")

    assert result.err == (
        "note: migrations/0004_pragma.sql: its PRAGMA foreign_keys does nothing in a transaction: "
        "foreign keys are off while a script runs, unless its head says `-- foreign-keys: on`\n"
    )


def test_lost_rows_are_an_error_with_facts(here: Path, migrations: Path, torc: Torc) -> None:
    """A parent that is dropped, and takes rows with it by a trigger: table and rows are there for programs."""
    write_files(
        migrations,
        {
            "0004_child.sql": "CREATE TABLE kid (up REFERENCES author);\nINSERT INTO author VALUES (1);\n"
            "INSERT INTO kid VALUES (1);\n"
            "CREATE TRIGGER t AFTER DELETE ON author BEGIN DELETE FROM kid WHERE up = old.id; END;\n",
            "0005_drop.sql": "DELETE FROM author;\nDROP TABLE author;\n",
        },
    )
    result = torc("-d", "app.db", "upgrade", "--json")

    error = json.loads(result.out)["error"]
    assert (result.status, error["type"]) == (6, "RowsLost")
    assert (error["table"], error["before"], error["after"]) == ("kid", 1, 0)


def test_a_round_trip_is_a_verdict(library: Path, torc: Torc) -> None:
    """Findings on standard output, and the status tells; the database is not touched."""
    write_files(library / "migrations", {"0005_rebuild.rollback.sql": "DROP TABLE book;\n"})
    before = everything_in(library)

    result = torc("-d", "app.db", "rehearse", "--round-trip")

    assert (result.status, result.err) == (1, "")
    assert result.out == (
        "5: its down script drops index idx_title, which was there before\n"
        "5: its down script drops table book, which was there before\n"
        "5: its up script leaves table copy with 0 of its 3 rows, and its down script does not undo that\n"
        "5: its up script makes another schema the second time: - index idx_title, - table book\n"
        "0 of 1 migration goes up, down and up again\n"
    )
    told = outcome_of(torc("-d", "app.db", "rehearse", "--round-trip", "--json"))
    assert (told["ok"], len(told["trips"][0]["findings"])) == (False, 4)
    assert everything_in(library) == before


def test_a_round_trip_needs_no_database(here: Path, migrations: Path, torc: Torc) -> None:
    """With --fresh nothing has to be named, and nothing is made."""
    result = torc("rehearse", "--round-trip", "--fresh")

    assert (result.status, result.out, result.err) == (0, "3 of 3 migrations go up, down and up again\n", "")
    assert os.listdir(here) == ["migrations"]


def test_a_round_trip_with_nothing_pending_says_so(here: Path, migrations: Path, torc: Torc) -> None:
    """And how to try them all."""
    torc("-d", "app.db", "upgrade")

    result = torc("-d", "app.db", "rehearse", "--round-trip")

    assert (result.status, result.out) == (0, "")
    assert result.err == "note: nothing is pending; --fresh runs all migrations, on an empty database\n"
