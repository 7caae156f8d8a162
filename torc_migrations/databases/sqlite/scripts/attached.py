"""Files that a script attaches: one that an earlier run has attached already, and the database itself."""

from __future__ import annotations

import os
import sqlite3

from torc_migrations.databases.sqlite.connection import read_schemas
from torc_migrations.databases.sqlite.transactions import SQLiteConnection
from torc_migrations.sources.migration import Script


def is_attached_already(database: SQLiteConnection, script: Script, attached: str | None, error: Exception) -> bool:
    """Return whether an ATTACH failed only because a script has attached the file: a savepoint does not undo it."""
    name = str(error).removeprefix("database ").removesuffix(" is already in use")
    attached_by = database.session.attached_by
    if f"database {name} is already in use" != str(error) or name not in attached_by:
        return False
    if attached_by[name] == script:
        return True
    return bool(attached) and read_schemas(database.connection).get(name) == os.path.abspath(attached or "")


def attaches_itself(connection: sqlite3.Connection) -> bool:
    """Return whether the file of the database is attached to it under another name."""
    files = read_schemas(connection)
    main = files.pop("main", "")
    return bool(main) and any(file and os.path.samefile(file, main) for file in files.values())
