"""A transaction that cannot begin or cannot commit is over: it holds no lock, while its database is still open."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from database_under_test import SQLiteUnderTest

from torc_migrations import errors
from torc_migrations.databases.opening import open_database


def is_locked(path: Path) -> bool:
    """Return whether another connection cannot write."""
    with closing(sqlite3.connect(path, isolation_level=None, timeout=0)) as other:
        try:
            other.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            return True
    return False


def test_transaction_holds_the_lock(sqlite: SQLiteUnderTest):
    """The question that the other tests ask can be answered with yes."""
    with open_database(sqlite.path, lock_timeout=0.1) as database:
        database.prepare_to_write()
        with database.transaction():
            assert is_locked(sqlite.path)

        assert not is_locked(sqlite.path)


def test_commit_that_fails_is_rolled_back(sqlite: SQLiteUnderTest):
    """Where readers keep it from committing for too long, others can write at once."""
    sqlite.execute("CREATE TABLE x (x)")
    with open_database(sqlite.path, lock_timeout=0.1) as database, closing(sqlite.connect()) as reader:
        database.prepare_to_write()
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM x").fetchall()

        with pytest.raises(errors.LockTimeout), database.transaction():
            database.execute("INSERT INTO x VALUES (1)")

        reader.execute("COMMIT")
        assert not is_locked(sqlite.path)
    assert sqlite.execute("SELECT x FROM x") == []


def test_commit_that_breaks_a_key_is_rolled_back(sqlite: SQLiteUnderTest):
    """The same where SQLite refuses the COMMIT, which leaves a transaction open."""
    sqlite.execute("CREATE TABLE c (p REFERENCES p DEFERRABLE INITIALLY DEFERRED)", "CREATE TABLE p (p PRIMARY KEY)")
    with open_database(sqlite.path, lock_timeout=0.1) as database:
        database.prepare_to_write()
        database.execute("PRAGMA foreign_keys = ON")

        with (
            pytest.raises(errors.DatabaseFailed, match="FOREIGN KEY constraint failed"),
            database.transaction(),
        ):
            database.execute("INSERT INTO c VALUES (1)")

        assert not is_locked(sqlite.path)
    assert sqlite.execute("SELECT * FROM c") == []


def test_transaction_that_fails_while_it_begins_is_rolled_back(sqlite: SQLiteUnderTest):
    """An error after SQLite's BEGIN, here of a file that was replaced, ends the transaction too."""
    sqlite.execute("CREATE TABLE x (x)")
    opened = sqlite.path.with_suffix(".old")
    with open_database(sqlite.path, lock_timeout=0.1) as database:
        database.prepare_to_write()
        os.rename(sqlite.path, opened)
        sqlite.execute("CREATE TABLE y (y)")

        with pytest.raises(errors.DatabaseFailed, match="replaced"), database.transaction():
            pytest.fail("it has begun")

        assert not is_locked(opened)
