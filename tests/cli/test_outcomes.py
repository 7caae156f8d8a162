"""How the command ends: exit codes, errors with their places, and the same as JSON."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from shell import (
    HOLD,
    Torc,
    outcome_of,
    tables,
    write_files,
)

BAD_SQL = {
    "0001_fine.sql": "CREATE TABLE fine (x);\n",
    "0002_boom.sql": "CREATE TABLE half (x);\nSELECT 1 FROM gone;\n",
}


def test_a_status_of_each_kind_has_its_own_exit_code(torc: Torc, migrations: Path) -> None:
    """`status --exit-code` is 1 where something is pending, 0 where nothing is, 3 where a file was edited."""
    before = torc("-d", "app.db", "status", "--exit-code")
    torc("-d", "app.db", "upgrade")
    after = torc("-d", "app.db", "status", "--exit-code")
    (migrations / "0001_create_book.sql").write_text("CREATE TABLE book (id);\n")
    edited = torc("-d", "app.db", "status", "--exit-code")
    plain = torc("-d", "app.db", "status")

    assert [before.status, after.status, edited.status, plain.status] == [1, 0, 3, 0]


def test_every_error_has_the_exit_code_of_its_kind(torc: Torc, here: Path, migrations: Path) -> None:
    """2 for the command, 3 for the ledgers, 4 for the target, 5 for the lock, 6 for a script."""
    torc("-d", "app.db", "upgrade")
    holder = subprocess.Popen(
        [
            *(sys.executable, "-c"),
            f"{HOLD}; sys.stdin.read()",
        ],
        cwd=here,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert holder.stdout is not None
    holder.stdout.readline()
    locked = torc("-d", "app.db", "rollback", "--lock-timeout", "0.2")
    holder.communicate()
    write_files(here / "boom", BAD_SQL)
    failed = torc("-d", "boom.db", "-s", "boom", "upgrade")
    misspelled = torc("-d", "app.db", "upgarde")
    target = torc("-d", "app.db", "upgrade", "--target", "9")
    (migrations / "0001_create_book.sql").write_text("CREATE TABLE book (id);\n")
    edited = torc("-d", "app.db", "upgrade")

    ended = [misspelled, edited, target, locked, failed]
    assert [result.status for result in ended] == [2, 3, 4, 5, 6]
    assert [result.err.startswith("error: ") for result in ended] == [True] * 5
    assert [result.out for result in ended] == ["", "", "", "", "Applied 1/migrate fine (" + failed.out[24:]]


def test_a_failing_script_is_shown_with_its_place(torc: Torc, here: Path) -> None:
    """The error names file, line and column, draws a caret, and says what is left of it."""
    write_files(here / "boom", BAD_SQL)

    result = torc("-d", "app.db", "-s", "boom", "upgrade")

    assert result.lines == "Applied 1/migrate fine (TIME)\n"
    assert result.err.splitlines() == [
        "error: while executing migration 2: no such table: gone",
        "  --> boom/0002_boom.sql:2:15",
        "   2 | SELECT 1 FROM gone;",
        "     |               ^",
        "hint: nothing of 2 was kept",
        "note: done before it, and kept: 1",
    ]
    assert tables(here / "app.db") == {"fine"}


@pytest.mark.usefixtures("migrations")
def test_json_tells_of_every_verb(torc: Torc, here: Path) -> None:
    """With `--json` each verb prints one document and nothing else, for what it did as for what it would do."""
    planned = outcome_of(torc("-d", "app.db", "upgrade", "--dry-run", "--json"))
    upgraded = outcome_of(torc("-d", "app.db", "upgrade", "--target", "2", "--json"))
    applied = outcome_of(torc("-d", "app.db", "apply", "3", "--json"))
    listed = outcome_of(torc("-d", "app.db", "status", "--json"))
    rolled_back = outcome_of(torc("-d", "app.db", "rollback", "--target", "0", "--yes", "--json"))
    idle = outcome_of(torc("-d", "app.db", "rollback", "--json"))
    made = outcome_of(torc("new", "more", "--json"))
    exported = outcome_of(torc("export", "--layout", "sqlx", "out", "--json"))

    def versions(document: dict[str, object]) -> list[int]:
        steps = document["steps"]
        assert isinstance(steps, list)
        return [step["version"] for step in steps]

    assert versions(planned) == [1, 2, 3]
    assert (versions(upgraded), upgraded["skipped"], upgraded["target"]) == ([1, 2], [3], 2)
    assert versions(applied) == [3]
    assert (listed["latest"], listed["pending"], listed["ok"]) == (3, [], True)
    assert (versions(rolled_back), rolled_back["direction"]) == ([3, 2, 1], "down")
    assert versions(idle) == []
    assert made["created"] == ["migrations/0004_more.sql", "migrations/0004_more.rollback.sql"]
    assert [(here / str(path)).exists() for path in exported["created"]] == [True] * 8  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("words", "kind", "status"),
    [
        ("-d app.db upgrade --target 9", "VersionNotPresent", 4),
        ("-d app.db -s gone upgrade", "SourceError", 2),
        ("-d app.db -s boom upgrade", "ExecutionFailed", 6),
        ("-d mongodb:x upgrade", "UrlError", 2),
        ("upgrade", "UrlError", 2),
        ("upgarde", "BadArguments", 2),
        ("", "BadArguments", 2),
        ("upgrade --frobnicate", "BadArguments", 2),
        ("upgrade --target one", "BadArguments", 2),
    ],
)
@pytest.mark.usefixtures("migrations")
def test_json_tells_of_every_error(torc: Torc, here: Path, words: str, kind: str, status: int) -> None:
    """With `--json` an error is one document as well, and the sentence still stands on standard error."""
    write_files(here / "boom", BAD_SQL)

    result = torc(*words.split(), "--json")

    error = outcome_of(result)["error"]
    assert isinstance(error, dict)
    assert (error["type"], error["exit_code"], result.status) == (kind, status, status)
    assert f"error: {error['message']}" in result.err
    assert f"hint: {error['hint']}" in result.err


def test_json_tells_what_was_done_before_an_error(torc: Torc, here: Path) -> None:
    """The migrations that were finished before one failed are listed as done."""
    write_files(here / "boom", BAD_SQL)

    document = outcome_of(torc("-d", "app.db", "-s", "boom", "upgrade", "--json"))

    assert document["done"] == [1]


PENDING = (
    "2 is pending: `torc-migrations -d x.db -s m upgrade` applies it; "
    "`torc-migrations -d x.db -s m repair 2 --mark` records it and runs nothing"
)
REPAIRED = [
    ("1 --reason typo", ["1 is installed, and its file is accepted as it is", "nothing to do"]),
    ("1 --line-endings", ["1 is installed, and its file is accepted as it is", "nothing to do"]),
    ("1 --mark", ["1 is installed in both ledgers already", "nothing to do"]),
    ("2 --unmark", ["2 is pending in both ledgers already", "nothing to do"]),
    *(
        (
            f"2 {way}",
            [
                PENDING,
                "nothing to do",
            ],
        )
        for way in ("--reason typo", "--line-endings")
    ),
]


@pytest.mark.parametrize(("words", "notes"), REPAIRED, ids=[words for words, _ in REPAIRED])
def test_a_repair_with_nothing_to_do_says_why(torc: Torc, here: Path, words: str, notes: list[str]) -> None:
    """For a version that needs no repair, the note says what it is, and what to type."""
    write_files(here / "m", {"1_a.sql": "CREATE TABLE a (x);", "2_b.sql": "CREATE TABLE b (x);"})
    torc("-d", "x.db", "-s", "m", "upgrade", "--target", "1")

    repaired = torc("-d", "x.db", "-s", "m", "repair", *words.split())

    assert (repaired.status, repaired.out) == (0, "")
    assert repaired.err == "".join(f"note: {note}\n" for note in notes)


def test_a_repair_of_line_endings_names_what_was_edited(torc: Torc, here: Path) -> None:
    """A file that differs in more is left, and what there is to do is said, though no version was named."""
    write_files(here / "m", {"1_a.sql": "CREATE TABLE a (x);"})
    torc("-d", "x.db", "-s", "m", "upgrade")
    write_files(here / "m", {"1_a.sql": "CREATE TABLE a (y);"})

    repaired = torc("-d", "x.db", "-s", "m", "repair", "--line-endings")

    assert repaired.err == (
        "note: 1 was edited, or had mixed line endings when it was installed, which its checksum does not show: "
        "restore the file, or accept it with `torc-migrations -d x.db -s m repair 1 --reason TEXT`\n"
        "note: nothing to do\n"
    )


def test_a_mistyped_database_is_named(torc: Torc, here: Path, migrations: Path) -> None:
    """What does not exist yet has nothing installed; that its name may be wrong is a note, and nothing is created."""
    listed, as_json = torc("-d", "typo.db", "status"), torc("-d", "typo.db", "status", "--json")
    diagnosed = torc("-d", "typo.db", "doctor")

    assert (listed.status, listed.err) == (0, "note: there is no database 'typo.db' yet; upgrade creates it\n")
    assert json.loads(as_json.out)["notes"] == ["there is no database 'typo.db' yet; upgrade creates it"]
    assert "; there is no database 'typo.db' yet\n" in diagnosed.out
    for words in ("rollback", "rollback --target 0 --yes", "rollback --dry-run"):
        rolled_back = torc("-d", "typo.db", *words.split())
        assert rolled_back.out == "No migrations available to revert\n"
        assert (rolled_back.status, rolled_back.err) == (0, "note: there is no database 'typo.db' yet\n")
    assert not (here / "typo.db").exists()
    torc("-d", "typo.db", "upgrade")
    assert torc("-d", "typo.db", "status").err == ""
