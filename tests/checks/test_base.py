"""`check lint --base`: only what a branch has added or edited is looked at."""

from __future__ import annotations

import pytest
from checks.git_repository import Repository
from shell import Torc

FIRST = {
    "1_create_book.sql": "CREATE TABLE book (id INTEGER PRIMARY KEY, title TEXT);\n",
    "2_create_page.sql": "CREATE TABLE page (id INTEGER PRIMARY KEY, book INTEGER REFERENCES book (id));\n",
}
MINE = {"3_create_line.sql": "CREATE TABLE line (id INTEGER PRIMARY KEY, page INTEGER REFERENCES page (id));\n"}
KEY = "2_create_page.sql:1: warning: the foreign key page (book) has no index [foreign-key-without-index]"
OWN_KEY = "3_create_line.sql:1: warning: the foreign key line (page) has no index [foreign-key-without-index]"


@pytest.fixture
def branch(repository: Repository, torc: Torc) -> Repository:
    """A branch with a migration that `main` does not have."""
    repository.branches(torc, FIRST, MINE, {"README.md": ""}, lock=False)
    return repository


def test_findings_are_about_what_the_branch_has_added(branch: Repository, torc: Torc) -> None:
    """What `main` has already runs too, and is not looked at."""
    everything, own = torc("check", "lint").out, torc("check", "lint", "--base", "main").out

    assert KEY in everything
    assert OWN_KEY in everything
    assert KEY not in own
    assert OWN_KEY in own


def test_an_edited_script_is_found(branch: Repository, torc: Torc) -> None:
    """A database that has it would refuse it; other line endings are no edit."""
    script = branch.migrations / "1_create_book.sql"
    script.write_bytes(script.read_bytes().replace(b"\n", b"\r\n"))
    assert torc("check", "lint", "--base", "main").status == 0

    script.write_text("CREATE TABLE book (id INTEGER PRIMARY KEY, title TEXT, isbn TEXT);\n")
    done = torc("check", "lint", "--base", "main")
    assert done.status == 1
    assert "1_create_book.sql is in main with another text" in done.out
    assert "[edited-after-merge]" in done.out


def test_an_edit_can_be_allowed_with_a_reason(branch: Repository, torc: Torc) -> None:
    """As any other rule."""
    script = branch.migrations / "1_create_book.sql"
    script.write_text(
        "-- torc: allow edited-after-merge, because it was never released\nCREATE TABLE book (id INTEGER);\n"
    )

    assert torc("check", "lint", "--base", "main").status == 0


def test_a_branch_that_does_not_exist_is_an_error(branch: Repository, torc: Torc) -> None:
    """It has a hint."""
    done = torc("check", "lint", "--base", "nowhere")

    assert done.status == 2
    assert "git has no commit 'nowhere'" in done.err
