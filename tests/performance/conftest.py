"""Fixtures for counting what a run does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from process_counts import Installed, write_migrations

from torc_migrations import upgrade


@pytest.fixture
def install(tmp_path: Path) -> Callable[[int], Installed]:
    """Return what makes a database with so many migrations, all of them installed."""

    def make(count: int) -> Installed:
        source = write_migrations(tmp_path / f"source{count}", range(1, count + 1))
        upgrade(tmp_path / f"{count}.db", source)
        return Installed(tmp_path / f"{count}.db", source)

    return make
