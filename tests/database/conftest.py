"""What the tests of foreign keys share: a family of tables."""

from __future__ import annotations

import pytest
from contract import SQLiteUnderTest

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


@pytest.fixture(params=["delete", "wal"])
def journal(request: pytest.FixtureRequest) -> str:
    """Both ways in which SQLite commits."""
    return str(request.param)
