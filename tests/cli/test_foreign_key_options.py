"""`--foreign-keys`, its key in yoyo.ini, and `--allow-broken-schema`."""

from __future__ import annotations

from pathlib import Path

import pytest
from shell import Torc, query, write_files

FILES = {
    "1_make.sql": (
        "CREATE TABLE dir (id INTEGER PRIMARY KEY);\nINSERT INTO dir VALUES (1);\n"
        "CREATE TABLE file (dir REFERENCES dir ON DELETE CASCADE);\nINSERT INTO file VALUES (1);\n"
    ),
    "2_empty.sql": "DELETE FROM dir;\n",
}


@pytest.mark.parametrize("flags", [["on"], ["2=on"], ["2=on,1=off"], ["1=off", "2=ON"], ["1=script", "2=off", "2=on"]])
def test_foreign_keys_are_on_for_all_or_by_version(torc: Torc, here: Path, flags: list[str]) -> None:
    """Without a change of the file its cascade works."""
    write_files(here / "migrations", FILES)

    options = [word for flag in flags for word in ("--foreign-keys", flag)]
    result = torc("-d", "app.db", "upgrade", *options)

    assert result.status == 0
    assert query(here / "app.db", "SELECT count(*) FROM file") == [(0,)]


def test_without_it_the_error_names_the_flag(torc: Torc, here: Path) -> None:
    """The hint can be typed as it stands."""
    write_files(here / "migrations", FILES)

    result = torc("-d", "app.db", "upgrade")

    assert result.status == 6
    assert "--foreign-keys 2=on runs it with foreign keys on, as sqlx does" in result.err
    assert torc("-d", "app.db", "upgrade", "--foreign-keys", "2=on").status == 0


def test_a_version_that_the_source_does_not_have_is_noted(torc: Torc, here: Path) -> None:
    """A version that is mistyped has no effect, which an upgrade says."""
    write_files(here / "migrations", FILES)

    result = torc("-d", "app.db", "upgrade", "--target", "1", "--foreign-keys", "3=on")

    assert result.status == 0
    assert result.err == "note: foreign keys are chosen for 3, which the source does not have\n"


@pytest.mark.parametrize(("value", "status"), [("on", 0), ("2=on", 0), ("1 = off, 2 = on", 0), ("off", 6), ("yes", 2)])
def test_yoyo_ini_says_it_too(torc: Torc, here: Path, value: str, status: int) -> None:
    """`foreign_keys` has the same values; a flag is stronger."""
    write_files(here / "migrations", FILES)
    (here / "yoyo.ini").write_text(f"[DEFAULT]\nsources = migrations\nforeign_keys = {value}\n")

    assert torc("-d", "app.db", "upgrade").status == status
    assert torc("-d", "app.db", "upgrade", "--foreign-keys", "on").status == 0


@pytest.mark.parametrize(
    ("flags", "error"),
    [
        (["yes"], "'yes' is not on, off or script"),
        (["2=yes"], "'yes' is not on, off or script"),
        (["two=on"], "'two' is not a version"),
        (["on", "2=off"], "--foreign-keys on is for all migrations, and is given together with others"),
    ],
)
def test_what_cannot_be_meant_is_refused(torc: Torc, here: Path, flags: list[str], error: str) -> None:
    """Nothing runs, and the exit status is 2."""
    write_files(here / "migrations", FILES)

    result = torc("-d", "app.db", "upgrade", *(word for flag in flags for word in ("--foreign-keys", flag)))

    assert result.status == 2
    assert error in result.err
    assert not (here / "app.db").exists()


def test_a_broken_schema_is_allowed_by_a_flag(torc: Torc, here: Path) -> None:
    """The error names object, file, line and flag; with the flag it is a note."""
    write_files(
        here / "migrations",
        {"1_a.sql": "CREATE TABLE a (x);\nCREATE VIEW v AS SELECT x FROM a;\n", "2_b.sql": "\nDROP TABLE a;\n"},
    )
    refused = torc("-d", "app.db", "upgrade")
    rehearsed = torc("-d", "app.db", "rehearse")
    allowed = torc("-d", "app.db", "upgrade", "--allow-broken-schema")

    assert (refused.status, rehearsed.status, allowed.status) == (6, 6, 0)
    assert "view v worked before and does not any more: no such table: main.a" in refused.err
    assert "2_b.sql:2:1" in refused.err
    assert "--allow-broken-schema keeps it as it is" in refused.err
    assert "2: view v does not work any more: no such table: main.a" in allowed.err
