"""`new --edit` opens the new files in an editor, and keeps them whatever the editor does."""

from __future__ import annotations

from pathlib import Path

import pytest
from shell import Torc, outcome_of, python, write_files

from torc_migrations.checks.branches.lock import check_lock, write_lock
from torc_migrations.sources.source import discover

# A program that writes what it was given into `edited`, and a statement into the last file.
EDITOR = "import sys; open('edited', 'a').write(repr(sys.argv[1:])); open(sys.argv[-1], 'w').write('SELECT 1;\\n')"
NEW = ("new", "--sequential", "--edit", "add users")
UP, DOWN = "migrations/0001_add_users.sql", "migrations/0001_add_users.rollback.sql"


@pytest.fixture
def editor(here: Path) -> str:
    """The command of an editor with an argument, one that has a blank in it."""
    write_files(here, {"my editor.py": EDITOR})
    return f"{python()[0]} 'my editor.py' --wait"


def test_both_files_are_opened(torc: Torc, here: Path, editor: str) -> None:
    """In one call, behind the arguments of the editor; what it writes stays."""
    result = torc(*NEW, env={"EDITOR": editor})

    assert (result.status, result.err) == (0, "")
    assert result.out == f"Creating {UP}\nCreating {DOWN}\n"
    assert (here / "edited").read_text() == repr(["--wait", UP, DOWN])
    assert (here / DOWN).read_text() == "SELECT 1;\n"


def test_visual_is_asked_before_editor(torc: Torc, here: Path, editor: str) -> None:
    """As git and others have it; an empty one is none."""
    assert torc(*NEW, env={"VISUAL": editor, "EDITOR": "false"}).status == 0
    assert torc("new", "-e", "more", env={"VISUAL": " ", "EDITOR": editor}).status == 0
    assert (here / "edited").read_text().count("--wait") == 2


@pytest.mark.parametrize(
    ("command", "sentence"),
    [
        ("false", "the editor 'false' has ended with status 1"),
        ("./no-such-editor --wait", "cannot start the editor './no-such-editor --wait': No such file or directory"),
    ],
)
def test_an_editor_that_fails_leaves_the_files(torc: Torc, here: Path, command: str, sentence: str) -> None:
    """The files are named, so that they can be edited by hand."""
    result = torc(*NEW, env={"EDITOR": command})

    assert result.status == 2
    assert f"error: {sentence}\nhint: the new files stay: {UP}, {DOWN}\n" in result.err
    assert (here / UP).read_text() == "-- Up: add users\n"


@pytest.mark.parametrize(
    ("environment", "sentence"),
    [
        ({"VISUAL": None, "EDITOR": None}, "--edit needs an editor"),
        ({"VISUAL": "", "EDITOR": " "}, "--edit needs an editor"),
        ({"EDITOR": "nano 'a"}, "cannot read the editor"),
    ],
)
def test_without_an_editor_nothing_is_written(
    torc: Torc, here: Path, environment: dict[str, str | None], sentence: str
) -> None:
    """It is looked for before a file is made."""
    result = torc(*NEW, env=environment)

    assert result.status == 2
    assert sentence in result.err
    assert not (here / "migrations").exists()


def test_the_lock_file_knows_what_was_edited(torc: Torc, here: Path, editor: str) -> None:
    """`migrations.lock` has the digest of the text that the editor has saved."""
    torc(*NEW, "--simple", env={"EDITOR": editor})
    write_lock(discover(here / "migrations"))

    result = torc("new", "-e", "more", "--json", env={"EDITOR": editor})

    assert outcome_of(result) == {"created": ["migrations/0002_more.sql"]}
    assert (here / "migrations" / "0002_more.sql").read_text() == "SELECT 1;\n"
    assert check_lock(discover(here / "migrations")).findings == ()
