"""The floor: the least that a Python program could do in the place of a migration tool, written out plainly.

One transaction a migration, one row a migration, and the SHA-384 of every file. It checks no name, finds no down
file, knows no second ledger, waits for nobody, and cannot say where a script fails.
"""

from __future__ import annotations

import os
import sqlite3
from hashlib import sha384

CREATE_LEDGER = """
    CREATE TABLE IF NOT EXISTS ledger (
        version INTEGER PRIMARY KEY,
        checksum BLOB NOT NULL
    )
"""
INSERT_ROW = """
    INSERT INTO ledger (version, checksum)
    VALUES (?, ?)
"""
SELECT_ROWS = """
    SELECT version, checksum
    FROM ledger
"""


def upgrade(database: str, folder: str) -> None:
    """Apply what is pending, a transaction a migration; with nothing pending, compare every checksum."""
    scripts = _read(folder)
    connection = sqlite3.connect(database, isolation_level=None)
    connection.execute(CREATE_LEDGER)
    local = {version: sha384(sql).digest() for version, sql in scripts.items()}
    installed = dict(connection.execute(SELECT_ROWS))
    if local != installed:
        for version in sorted(local.keys() - installed.keys()):
            connection.execute("BEGIN IMMEDIATE")
            _run(connection, scripts[version])
            connection.execute(INSERT_ROW, (version, local[version]))
            connection.execute("COMMIT")
    connection.close()


def upgrade_at_once(database: str, folder: str) -> None:
    """Apply everything in one transaction."""
    scripts = _read(folder)
    connection = sqlite3.connect(database, isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    connection.execute(CREATE_LEDGER)
    for _, sql in sorted(scripts.items()):
        _run(connection, sql)
    connection.executemany(INSERT_ROW, ((version, sha384(sql).digest()) for version, sql in scripts.items()))
    connection.execute("COMMIT")
    connection.close()


def run_script(database: str, folder: str) -> None:
    """Hand the only script of a folder to SQLite whole, in one transaction."""
    ((version, sql),) = _read(folder).items()
    connection = sqlite3.connect(database, isolation_level=None)
    connection.execute(CREATE_LEDGER)
    connection.executescript("BEGIN IMMEDIATE;\n" + sql.decode())
    connection.execute(INSERT_ROW, (version, sha384(sql).digest()))
    connection.execute("COMMIT")
    connection.close()


def _read(folder: str) -> dict[int, bytes]:
    scripts = {}
    with os.scandir(folder) as entries:
        for entry in entries:
            if not entry.name.endswith(".rollback.sql"):
                with open(entry.path, "rb", buffering=0) as file:
                    scripts[int(entry.name.partition("_")[0])] = file.read()
    return scripts


def _run(connection: sqlite3.Connection, sql: bytes) -> None:
    for statement in sql.decode().split(";\n"):
        connection.execute(statement)
