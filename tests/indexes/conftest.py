"""What the tests of verify, indexes, optimize and watch share."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from torc_migrations import upgrade

Writer = Callable[[dict[str, str]], str]


@pytest.fixture
def write(tmp_path: Path) -> Writer:
    """A function that writes the files of a source, subdirectories too, and returns its path."""

    def write_files(files: dict[str, str]) -> str:
        for name, text in files.items():
            path = tmp_path / "shop" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return str(tmp_path / "shop")

    return write_files


@pytest.fixture(scope="session")
def template() -> Iterator[sqlite3.Connection]:
    """The shipped schema, upgraded once for all tests."""
    with closing(sqlite3.connect(":memory:")) as connection:
        upgrade(connection)
        yield connection


@pytest.fixture
def torc(template: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    """A fresh database with the shipped schema, in memory."""
    with closing(sqlite3.connect(":memory:")) as connection:
        template.backup(connection)
        yield connection


@pytest.fixture
def torc_file(template: sqlite3.Connection, tmp_path: Path) -> Path:
    """The same in a file."""
    path = tmp_path / "torc.db"
    with closing(sqlite3.connect(path)) as connection:
        template.backup(connection)
    return path
