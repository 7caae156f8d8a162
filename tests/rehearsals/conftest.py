"""What the tests of rehearsals share: a shop with rows in it, and a look at a folder."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest
from book_shop import MADE
from database_under_test import SQLiteUnderTest

from torc_migrations import upgrade

Snapshot = Callable[[], dict[str, str]]


@pytest.fixture
def shop(sqlite: SQLiteUnderTest, folder) -> SQLiteUnderTest:
    """Three tables, each of which goes with the one before it when foreign keys are on; nine rows."""
    upgrade(sqlite.path, folder(MADE))
    return sqlite


@pytest.fixture
def snapshot(tmp_path: Path) -> Snapshot:
    """A function that returns a digest of every file of the test's folder, by its name."""

    def look() -> dict[str, str]:
        return {p.name: sha256(p.read_bytes()).hexdigest() for p in sorted(tmp_path.iterdir()) if p.is_file()}

    return look
