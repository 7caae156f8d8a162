"""The page about the indexes says what was measured, and its examples run."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from shell import write_files
from small_shop import SHOP

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "DATABASE_INDEXES.md"


def example(word: str) -> str:
    """Return the one example in Python that has a word in it."""
    (found,) = [code for code in re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL) if word in code]
    return found


def run(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *words], cwd=cwd, capture_output=True, text=True, check=False)


def test_the_tables_are_those_of_the_results():
    """No number of a table is written by hand."""
    done = run("-m", "benchmarks.tables", "--check", cwd=ROOT)

    assert done.returncode == 0, done.stderr or "run python -m benchmarks.tables"


def test_the_example_for_pytest_is_a_test(tmp_path: Path):
    """Three lines make a test of each expectation, named after it."""
    write_files(tmp_path / "migrations", SHOP)
    (tmp_path / "test_plans.py").write_text(example("pytest.mark.parametrize"))

    done = run("-m", "pytest", "-v", "-p", "no:cacheprovider", "test_plans.py", cwd=tmp_path)
    assert "test_plans.py::test_query_plan[purchases of a customer] PASSED" in done.stdout


def test_the_example_of_watching_runs(tmp_path: Path):
    """It prints a table with its one query."""
    done = run("-c", example("watch.factory()"), cwd=tmp_path)

    assert done.stderr == ""
    assert re.search(r"^ +1 .* SELECT 1$", done.stdout, re.MULTILINE)


@pytest.mark.parametrize("name", ["index_effect.svg", "index_cost.svg"])
def test_the_pictures_adapt_to_the_page(name):
    """Their text has the colour of the page's, light or dark, and their background is the page's own."""
    picture = (ROOT / "docs" / name).read_text()

    assert "prefers-color-scheme: dark" in picture
    assert "currentColor" in picture
    assert "<text" in picture
    assert f"]({name})" in PAGE.read_text()
