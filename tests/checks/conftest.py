"""What the tests of the checks share: a repository of git."""

from __future__ import annotations

from pathlib import Path

import pytest
from checks.git_repository import Repository


@pytest.fixture
def repository(here: Path) -> Repository:
    """An empty one, in the directory in which commands run."""
    return Repository(here)
