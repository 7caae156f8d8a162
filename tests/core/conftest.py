"""What the pure tests share: SQLite's parser as an oracle, and the folders in `tests/data`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from ctypes import CDLL
from pathlib import Path

import pytest
from oracle import Oracle, load_sqlite

DATA = Path(__file__).parent.parent / "data"


@pytest.fixture
def data() -> Path:
    """The folder that holds one folder of SQL files for each situation."""
    return DATA


@pytest.fixture(scope="session")
def libsqlite3() -> CDLL:
    """The library that holds SQLite's parser."""
    library = load_sqlite()
    if library is None:
        pytest.skip("ctypes finds no libsqlite3; install it (Debian: libsqlite3-0) to check against SQLite's parser")
    return library


@pytest.fixture
def oracle(libsqlite3: CDLL) -> Iterator[Oracle]:
    """SQLite's own parser, on an empty database in memory."""
    oracle = Oracle(libsqlite3)
    yield oracle
    oracle.close()


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
