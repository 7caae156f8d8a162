"""The README, followed from top to bottom in an empty directory."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from pages import ROOT, blocks, problems

README = ROOT / "README.md"
LAST_LINE = "20251105030141/installed add database indexes\n"


def test_every_command_and_every_python_block_does_what_is_shown(here: Path) -> None:
    """In order, in one shell, in an empty directory; what stands below a command is its output."""
    assert problems(README, here) == []


def test_the_listing_of_the_indexes_is_shown() -> None:
    """The line that the announcement of the indexes promises."""
    assert LAST_LINE in README.read_text()


@pytest.mark.parametrize("target", ["demo", "test", "docs"])
def test_every_target_of_make_that_is_named_exists(target: str) -> None:
    """The README names it, and the Makefile has it."""
    done = subprocess.run(["make", "--dry-run", target], cwd=ROOT, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    assert f"make {target}" in README.read_text()


def test_the_two_commands_stand_near_the_top() -> None:
    """In the first block of the page, before anything else is explained."""
    assert [line.split("#")[0].strip() for line in next(blocks(README)).text.splitlines()] == ["make demo", "make test"]


def test_the_exit_statuses_are_those_of_the_errors() -> None:
    """Each exit status of an error stands in the table, and no other but 0, 1 and 130."""
    from torc_migrations import errors

    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, Exception)]
    table = {int(status) for status in re.findall(r"^\| (\d+) \|", README.read_text(), re.MULTILINE)}

    assert table == {0, 1, 130} | {kind.exit_code for kind in kinds}
