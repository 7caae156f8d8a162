"""The verb `convert`: a dry run unless a directory is named, JSON, and what is named as not convertible."""

from __future__ import annotations

from pathlib import Path

import pytest
from shell import Torc, everything_in, installed, outcome_of, write_files

GOOSE = {
    "old/1_create_book.sql": "-- +goose Up\nCREATE TABLE book (id INTEGER);\n-- +goose Down\nDROP TABLE book;\n",
    "old/2_add_author.sql": "-- +goose Up\nCREATE TABLE author (id INTEGER);\n-- +goose Down\n",
}
BAD = {"old/3_bad.sql": "-- +goose Up\nSELECT 1;\n-- +goose Up\n", "old/4_code.go": "package migrations\n"}
WRITTEN = ["new/1_create_book.rollback.sql", "new/1_create_book.sql", "new/2_add_author.sql"]
BOOK = "from yoyo import step\nstep('CREATE TABLE book (id)', 'DROP TABLE book')\n"
YOYO = {
    "old/20240131_01_AbCdE-create-book.py": BOOK,
    "old/20240131_02_FgHiJ.py": "__depends__ = {'20240131_01_AbCdE-create-book'}\nstep('CREATE TABLE author (id)')\n",
    "old/20240201_01_KlMnO-more.sql": "CREATE TABLE more (id);\n",
    "old/20240201_01_KlMnO-more.rollback.sql": "DROP TABLE more;\n",
    "old/post-apply.py": "step('SELECT 1', 'SELECT 2')\n",
    "old/__init__.py": "",
    "old/_tmp_yoyonewx.py": "nonsense",
    "old/README.md": "",
}


def test_nothing_is_written_without_a_directory(torc: Torc, here: Path) -> None:
    """A line for each migration, and a note that says how to write them."""
    write_files(here, GOOSE)
    before = everything_in(here)

    result = torc("convert", "old")

    assert result.status == 0
    assert result.out == (
        "old/1_create_book.sql -> 1_create_book.sql, 1_create_book.rollback.sql\n"
        "old/2_add_author.sql -> 2_add_author.sql\n"
    )
    assert "note: old/2_add_author.sql: its down script has no statement and is left out" in result.err
    assert "note: nothing was written; --output NEW writes these files into the directory NEW" in result.err
    assert "`torc-migrations -s NEW baseline VERSION` once" in result.err
    assert everything_in(here) == before


def test_the_files_are_written_into_a_new_directory(torc: Torc, here: Path) -> None:
    """The old files stay as they are, and the new ones can be run."""
    write_files(here, GOOSE)
    before = everything_in(here / "old")

    result = torc("convert", "old", "--output", "new")

    assert result.status == 0
    assert sorted(result.out.splitlines()) == [f"Creating {path}" for path in WRITTEN]
    assert everything_in(here / "old") == before
    assert torc("-d", "app.db", "-s", "new", "upgrade").status == 0
    assert installed(here) == ["1_create_book", "2_add_author"]
    assert torc("-d", "app.db", "-s", "new", "rollback").status == 4  # there is no down script


def test_what_cannot_be_converted_is_named_and_nothing_is_written(torc: Torc, here: Path) -> None:
    """With file, line and reason; --partial writes the others."""
    write_files(here, {**GOOSE, **BAD})

    result = torc("convert", "old", "--output", "new")

    assert (result.status, result.out) == (2, "")
    assert result.err == (
        "error: 2 files of goose in old cannot be converted, 2 can; nothing was written\n"
        "  old/3_bad.sql:3: goose refuses a second Up section, and one below Down\n"
        "  old/4_code.go: a migration in Go is no SQL\n"
        "hint: write these by hand, or pass --partial to convert the others\n"
    )
    assert not (here / "new").exists()

    result = torc("convert", "old", "--output", "new", "--partial")

    assert result.status == 0
    assert sorted(path for path in everything_in(here) if path.startswith("new/")) == WRITTEN
    assert "note: not converted: old/3_bad.sql:3: goose refuses" in result.err


def test_json_has_the_same(torc: Torc, here: Path) -> None:
    """One document, of a conversion or of an error."""
    write_files(here, {**GOOSE, **BAD})

    failed = outcome_of(torc("convert", "old", "--json"))
    made = outcome_of(torc("convert", "old", "--json", "--partial", "--output", "new"))

    problems = [
        {"path": "old/3_bad.sql", "line": 3, "reason": "goose refuses a second Up section, and one below Down"},
        {"path": "old/4_code.go", "line": None, "reason": "a migration in Go is no SQL"},
    ]
    assert failed["error"]["problems"] == made["problems"] == problems  # type: ignore[index]
    assert failed["error"]["code"] == "not-convertible"  # type: ignore[index]
    assert made["tool"] == "goose"
    assert made["created"] == ["new/1_create_book.sql", "new/1_create_book.rollback.sql", "new/2_add_author.sql"]
    assert made["converted"][0] == {  # type: ignore[index]
        "version": 1,
        "id": "1_create_book",
        "from": ["old/1_create_book.sql"],
        "up": "new/1_create_book.sql",
        "down": "new/1_create_book.rollback.sql",
    }


def test_a_directory_of_yoyo_keeps_its_ids(torc: Torc, here: Path) -> None:
    """Names as yoyo writes them, SQL beside Python, a post-apply script, and files that are no migrations."""
    write_files(here, YOYO)

    result = torc("convert", "old", "--output", "new")

    assert result.status == 0
    assert sorted(path.name for path in (here / "new").iterdir()) == [
        "20240131_01_AbCdE-create-book.rollback.sql",
        "20240131_01_AbCdE-create-book.sql",
        "20240131_02_FgHiJ.sql",
        "20240201_01_KlMnO-more.rollback.sql",
        "20240201_01_KlMnO-more.sql",
        "post-apply.sql",
    ]
    assert torc("-d", "app.db", "-s", "new", "status").out.count("/pending ") == 3
    assert torc("-d", "app.db", "-s", "new", "upgrade").status == 0


def test_names_that_sqlx_reads_otherwise_are_not_written_for_it(torc: Torc, here: Path) -> None:
    """They would have another version there; `export` gives them other names."""
    write_files(here, YOYO)

    result = torc("convert", "old", "--output", "new", "--layout", "sqlx")

    assert result.status == 2
    assert result.err.count("sqlx reads its name otherwise") == 3
    assert torc("convert", "old", "--output", "new").status == 0
    assert torc("-s", "new", "export", "--layout", "sqlx", "for_sqlx").status == 0


def test_a_directory_for_sqlx_has_its_names(torc: Torc, here: Path) -> None:
    """`.up.sql` and `.down.sql`; a migration without a down script is a simple one."""
    write_files(here, GOOSE)

    torc("convert", "old", "--output", "new", "--layout", "sqlx")

    names = sorted(path.name for path in (here / "new").iterdir())
    assert names == ["1_create_book.down.sql", "1_create_book.up.sql", "2_add_author.sql"]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("nowhere", "there is no directory 'nowhere'"),
        ("old/1_create_book.sql", "'old/1_create_book.sql' is not a directory"),
        ("package:yoyo:migrations", "'package:yoyo:migrations' is not a directory"),
        ("old --output old", "'old' is not an empty directory"),
        ("old --layout other", "invalid choice: 'other'"),
        ("", "the following arguments are required: DIR"),
    ],
)
def test_a_wrong_command_line_is_refused(words: str, sentence: str, torc: Torc, here: Path) -> None:
    """Each with a sentence, and nothing is written."""
    write_files(here, GOOSE)

    result = torc("convert", *words.split())

    assert result.status == 2
    assert sentence in result.err
    assert sorted(path.name for path in here.iterdir()) == ["old"]


def test_the_hint_names_the_directory_that_was_named(torc: Torc, here: Path) -> None:
    """It can be typed with a name for the new directory."""
    write_files(here, {"old files/V1__a.sql": "SELECT 1;\n"})

    result = torc("-d", "app.db", "-s", "old files", "upgrade")

    assert "`torc-migrations convert 'old files' --output NEW`" in result.err


@pytest.mark.parametrize(
    "files",
    [
        {"migrations/0001_a.py": "step('SELECT 1')\n"},
        {"migrations/1_a.sql": "-- migrate:up\nSELECT 1;\n-- migrate:down\n"},
        {"migrations/V1__a.sql": "SELECT 1;\n"},
    ],
)
def test_the_refusal_of_such_a_directory_names_the_verb(files: dict[str, str], torc: Torc, here: Path) -> None:
    """`upgrade` says what makes the files into some that it runs, and that does so."""
    write_files(here, files)

    result = torc("-d", "app.db", "upgrade")

    assert result.status == 2
    assert "`torc-migrations convert DIR --output NEW`" in result.err
    assert torc("convert", "migrations", "--output", "new").status == 0
    assert torc("-d", "app.db", "-s", "new", "upgrade").status == 0
