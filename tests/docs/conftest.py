"""What the tests of the pages share: an empty directory to follow a page in."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from pages import DOCS

sys.path.append(str(DOCS / "extensions"))  # the generator of the command line's reference is tested too


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker, also where these tests run alone."""
    config.addinivalue_line("markers", "slow: takes more than some seconds")


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """An empty directory."""
    directory = tmp_path / "here"
    directory.mkdir()
    return directory
