"""The floor: the least that a Python program could do instead of a migration tool.

One transaction and one row for each migration, and the SHA-384 of every file. It checks no names, reads no down files,
writes one ledger, does not wait for locks, and cannot report where a script fails.

`upgrade_with_ledgers` does the same but writes the ledgers of sqlx and of yoyo, and yoyo's log. The difference between
the two is the cost of being compatible with both tools.
"""

from __future__ import annotations

import os
import sqlite3
from hashlib import sha256, sha384

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
CREATE_SQLX = """
    CREATE TABLE IF NOT EXISTS sqlx (
        version BIGINT PRIMARY KEY,
        description TEXT NOT NULL,
        installed_on TIMESTAMP NOT NULL,
        success BOOLEAN NOT NULL,
        checksum BLOB NOT NULL,
        execution_time BIGINT NOT NULL
    )
"""
CREATE_YOYO = """
    CREATE TABLE IF NOT EXISTS yoyo (
        hash VARCHAR(64) PRIMARY KEY,
        id VARCHAR(255),
        applied_at TIMESTAMP
    )
"""
CREATE_LOG = """
    CREATE TABLE IF NOT EXISTS log (
        id VARCHAR(36) PRIMARY KEY,
        hash VARCHAR(64),
        migration VARCHAR(255),
        operation VARCHAR(10),
        username VARCHAR(255),
        hostname VARCHAR(255),
        comment VARCHAR(255),
        created_at TIMESTAMP
    )
"""
INSERTS = (
    "INSERT INTO sqlx VALUES (?, ?, ?, ?, ?, ?)",
    "INSERT INTO yoyo VALUES (?, ?, ?)",
    "INSERT INTO log VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
)
NOW = "2026-01-01 00:00:00"

Rows = tuple[tuple[object, ...], tuple[object, ...], tuple[object, ...]]


def upgrade(database: str, directory: str) -> None:
    """Apply the pending migrations, each in a transaction; compare the checksums of the installed ones."""
    scripts = _read(directory)
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


def upgrade_at_once(database: str, directory: str) -> None:
    """Apply all migrations in one transaction."""
    scripts = _read(directory)
    connection = sqlite3.connect(database, isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    connection.execute(CREATE_LEDGER)
    for _, sql in sorted(scripts.items()):
        _run(connection, sql)
    connection.executemany(INSERT_ROW, ((version, sha384(sql).digest()) for version, sql in scripts.items()))
    connection.execute("COMMIT")
    connection.close()


def upgrade_with_ledgers(database: str, directory: str) -> None:
    """Apply the pending migrations, each in a transaction with three rows."""
    connection, pending = _pending(database, directory)
    for version, sql in pending:
        connection.execute("BEGIN IMMEDIATE")
        _run(connection, sql)
        for insert, row in zip(INSERTS, _rows(version, sql), strict=True):
            connection.execute(insert, row)
        connection.execute("COMMIT")
    connection.close()


def upgrade_with_ledgers_at_once(database: str, directory: str) -> None:
    """Apply the pending migrations in one transaction, and write the rows at its end."""
    connection, pending = _pending(database, directory)
    connection.execute("BEGIN IMMEDIATE")
    for _, sql in pending:
        _run(connection, sql)
    columns = zip(*(_rows(version, sql) for version, sql in pending), strict=True)
    for insert, rows in zip(INSERTS, columns, strict=False):
        connection.executemany(insert, rows)
    connection.execute("COMMIT")
    connection.close()


def run_script(database: str, directory: str) -> None:
    """Run the only script of a directory with `executescript`, in one transaction."""
    ((version, sql),) = _read(directory).items()
    connection = sqlite3.connect(database, isolation_level=None)
    connection.execute(CREATE_LEDGER)
    connection.executescript("BEGIN IMMEDIATE;\n" + sql.decode())
    connection.execute(INSERT_ROW, (version, sha384(sql).digest()))
    connection.execute("COMMIT")
    connection.close()


def _read(directory: str) -> dict[int, bytes]:
    scripts = {}
    with os.scandir(directory) as entries:
        for entry in entries:
            if entry.name.endswith(".sql") and not entry.name.endswith(".rollback.sql"):
                with open(entry.path, "rb", buffering=0) as file:
                    scripts[int(entry.name.partition("_")[0])] = file.read()
    return scripts


def _run(connection: sqlite3.Connection, sql: bytes) -> None:
    for statement in sql.decode().split(";\n"):
        connection.execute(statement)


def _pending(database: str, directory: str) -> tuple[sqlite3.Connection, list[tuple[int, bytes]]]:
    scripts = _read(directory)
    connection = sqlite3.connect(database, isolation_level=None)
    for create in (CREATE_SQLX, CREATE_YOYO, CREATE_LOG):
        connection.execute(create)
    local = {version: sha384(sql).digest() for version, sql in scripts.items()}
    installed = dict(connection.execute("SELECT version, checksum FROM sqlx"))
    connection.execute("SELECT hash, id, applied_at FROM yoyo").fetchall()
    connection.execute("SELECT hash, operation, comment, created_at FROM log ORDER BY rowid").fetchall()
    pending = local.keys() - installed.keys() if local != installed else ()
    return connection, [(version, scripts[version]) for version in sorted(pending)]


def _rows(version: int, sql: bytes) -> Rows:
    name = f"{version:05}_create_table_{version}"
    key = sha256(name.encode()).hexdigest()
    comment = f"floor apply; sqlx: {version} {NOW} 1000000"
    from uuid import uuid4  # imported only if there is something to do

    return (
        (version, name, NOW, True, sha384(sql).digest(), 1_000_000),
        (key, name, NOW),
        (str(uuid4()), key, name, "apply", "somebody", "somewhere", comment, NOW),
    )
