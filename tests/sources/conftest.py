"""What the tests of sources share: the directories in `tests/data`, and files of given names."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

DATA = Path(__file__).parent.parent / "data"


@pytest.fixture
def data() -> Path:
    """The folder that holds one folder of SQL files for each situation."""
    return DATA


@pytest.fixture
def named(tmp_path: Path) -> Callable[..., Path]:
    """A function that writes files of these exact names, each with a statement in it, and returns their folder."""

    def write(*names: str) -> Path:
        folder = tmp_path / "migrations"
        folder.mkdir(exist_ok=True)
        for name in names:
            (folder / name).write_bytes(b"SELECT 1;\n")
        return folder

    return write
