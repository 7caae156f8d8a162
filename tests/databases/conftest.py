"""What the tests of databases share: tables with foreign keys, and SQLite's parser."""

from __future__ import annotations

from collections.abc import Iterator
from ctypes import CDLL

import pytest
from database_under_test import SQLiteUnderTest
from sqlite_parser import Oracle, load_sqlite

FAMILY = (
    "CREATE TABLE grandparent (id INTEGER PRIMARY KEY, name TEXT)",
    "CREATE TABLE parent (id INTEGER PRIMARY KEY, up INTEGER REFERENCES grandparent ON DELETE CASCADE)",
    "CREATE TABLE child (id INTEGER PRIMARY KEY, up INTEGER REFERENCES parent ON DELETE CASCADE)",
    (
        "CREATE TABLE leaf (a INTEGER, b INTEGER, up INTEGER REFERENCES child ON DELETE CASCADE, PRIMARY KEY (a, b))"
        " WITHOUT ROWID"
    ),
    "INSERT INTO grandparent VALUES (1, 'one'), (2, 'two')",
    "INSERT INTO parent VALUES (1, 1), (2, 1), (3, 2)",
    "INSERT INTO child VALUES (1, 1), (2, 2), (3, 3), (4, 3)",
    "INSERT INTO leaf VALUES (1, 1, 1), (1, 2, 2), (2, 1, 3), (2, 2, 4)",
)


@pytest.fixture
def family(sqlite: SQLiteUnderTest) -> SQLiteUnderTest:
    """Three levels of children, each of which goes with its parent when foreign keys are on."""
    sqlite.execute(*FAMILY)
    return sqlite


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
