"""What all tests share: a database of each kind, and folders of migrations."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
from contract import DatabaseUnderTest, SQLiteUnderTest, write_folder

FolderWriter = Callable[[Mapping[str, str | bytes]], str]


def pytest_configure() -> None:
    """Hear Ctrl-C also where a shell has started the tests in the background, which ignores it for all they start."""
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def sqlite(tmp_path: Path) -> SQLiteUnderTest:
    """A SQLite file that does not exist yet, for what only SQLite has."""
    return SQLiteUnderTest(tmp_path / "app.db")


@pytest.fixture(params=["sqlite"])
def database(request: pytest.FixtureRequest) -> Iterator[DatabaseUnderTest]:
    """A database with nothing in it, of each kind that is supported, for what all of them promise."""
    return request.getfixturevalue(request.param)


@pytest.fixture
def folder(tmp_path: Path) -> FolderWriter:
    """A function that writes a folder of SQL files, given by name without `.sql`, and returns its path.

    Called again it adds to the folder, or overwrites.
    """
    return lambda files: write_folder(tmp_path / "migrations", files)
