"""The names of the tables of both ledgers: the defaults, and in SQL."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torc_migrations.databases.interface import Database

YOYO_TABLE = "_yoyo_migration"
YOYO_LOG = "_yoyo_log"
YOYO_VERSION = "_yoyo_version"
YOYO_LOCK = "yoyo_lock"
SQLX_TABLE = "_sqlx_migrations"
KEPT_TABLE = "_torc_migrations"  # ours: see `kept.py`


def ledger_names(database: Database, yoyo_table: str, sqlx_table: str) -> dict[str, str]:
    """Return what stands in SQL for the names in braces in the statements of ledgers."""
    quoted = {"yoyo": yoyo_table, "log": YOYO_LOG, "version": YOYO_VERSION}
    names = {name: database.qualified(database.quote_identifier(table)) for name, table in quoted.items()}
    return {**names, "sqlx": database.qualified(sqlx_table), "installed_on": database.sql.installed_on}


def unquoted(table: str) -> str:
    """Return the name of a table that is written as in SQL: `name`, `"name"` or `schema.name`."""
    parts: list[str] = re.findall(r'"(?:[^"]|"")*"|`(?:[^`]|``)*`|[^.]+', table)
    bare = parts[-1]
    quote = bare[0]
    return bare[1:-1].replace(quote * 2, quote) if quote in '"`' else bare
