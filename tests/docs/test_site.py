"""The documentation site builds without a warning."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from pages import DOCS, PAGES


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built with warnings as errors."""
    directory = tmp_path_factory.mktemp("site")
    words = [sys.executable, "-m", "sphinx", "-b", "html", "-W", "--keep-going", "-q"]
    words += ["-d", str(directory / "doctrees"), str(DOCS), str(directory / "html")]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return directory / "html"


@pytest.mark.slow
def test_every_page_is_built(site: Path) -> None:
    """No warning: no dead link inside the site, no page outside the table of contents."""
    pages = [page.relative_to(DOCS).with_suffix(".html") for page in PAGES if page.is_relative_to(DOCS)]

    assert [str(page) for page in pages if not (site / page).exists()] == []


@pytest.mark.slow
def test_the_reference_has_the_functions_and_the_options(site: Path) -> None:
    """Docstrings and the parser of the command are in it."""
    assert "lock_timeout" in (site / "reference" / "python.html").read_text()
    assert 'id="cmdoption-torc-migrations-upgrade-target"' in (site / "reference" / "command-line.html").read_text()
