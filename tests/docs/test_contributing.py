"""What CONTRIBUTING.md names is there: targets of make, and files and directories of the tests."""

from __future__ import annotations

import re

import pytest
from shell import ROOT, run

PAGE = (ROOT / "CONTRIBUTING.md").read_text()
AT_THE_TOP = ("tests/", "torc_migrations/")


@pytest.mark.parametrize("target", sorted(set(re.findall(r"\bmake (one|[a-z]+)\b(?=`| T=)", PAGE))))
def test_every_target_that_is_named_exists(target: str) -> None:
    """`make TARGET` is in the Makefile."""
    result = run(["make", "--dry-run", target, "T=tests"], ROOT)

    assert result.status == 0, result.err


def test_the_targets_are_those_of_the_first_table() -> None:
    """None of the targets for daily work is left out."""
    assert {"demo", "test", "quick", "one"} <= set(re.findall(r"\bmake ([a-z]+)\b", PAGE))


def test_every_path_that_is_named_exists() -> None:
    """Files and directories of the tests, the recorded answers included."""
    named = set(re.findall(r"\b(?:tests|docs)/[\w./]*\w", PAGE))
    named |= {f"tests/{name}" for name in re.findall(r"`(\w+(?:/|\.py))`", PAGE) if name not in AT_THE_TOP}

    assert len(named) > 20
    assert [path for path in sorted(named) if not (ROOT / path).exists()] == []


def test_every_directory_of_the_tests_is_described() -> None:
    """A newcomer finds where a test belongs."""
    directories = {path.name for path in (ROOT / "tests").iterdir() if path.is_dir() and path.name[0] not in "._"}

    assert [name for name in sorted(directories) if f"{name}/`" not in PAGE] == []
