"""Statements that only make something new are run without SQLite's authorizer: it would learn nothing from them."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from torc_migrations.authorizer import Touched
from torc_migrations.script import creates, statements

SQL = Path(__file__).parents[2] / "sql"
SHIPPED = b"".join(path.read_bytes() for path in sorted(SQL.glob("*_*.sql")) if ".rollback." not in path.name)
ANY = b"""
CREATE TABLE parent (x UNIQUE);
CREATE TABLE child (x REFERENCES parent (x) ON DELETE CASCADE);
CREATE TABLE copy AS SELECT * FROM parent;
CREATE TABLE counted (x INTEGER PRIMARY KEY AUTOINCREMENT);
CREATE TABLE IF NOT EXISTS parent (y);
CREATE TABLE keyed (x PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE main.qualified (x);
CREATE TABLE temp.passing (x);
CREATE UNIQUE INDEX i ON parent (x);
CREATE INDEX j ON parent (upper(x)) WHERE x > 1;
CREATE INDEX IF NOT EXISTS i ON parent (x);
CREATE VIEW v AS SELECT * FROM child;
CREATE TRIGGER t AFTER INSERT ON parent BEGIN DELETE FROM child; END;
"""


@pytest.mark.parametrize("script", [ANY, SHIPPED], ids=["of any kind", "the shipped schema"])
def test_the_authorizer_would_learn_nothing(script):
    """Of everything that `creates` lets pass, SQLite's parser tells nothing that we take note of."""
    passed = 0
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        for statement in statements(script):
            touched = Touched()
            connection.set_authorizer(touched.authorizer)
            connection.execute(statement.text)
            connection.set_authorizer(None)
            if creates(script, statement.offset):
                passed += 1
                assert vars(touched) == vars(Touched())

    assert passed >= 13
