"""Which other tools keep ledgers of their own in a database, as `doctor` names them. Nothing reads them otherwise."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from torc_migrations.databases.interface import Database

# The tool and its table, how many migrations it has there, and the name of the newest one.
KNOWN = (
    ("sqlite-utils", "_sqlite_migrations", "SELECT name FROM _sqlite_migrations ORDER BY applied_at, id"),
    ("Django", "django_migrations", "SELECT name FROM django_migrations ORDER BY id"),
    ("Alembic", "alembic_version", "SELECT version_num FROM alembic_version"),
)


class OtherLedger(NamedTuple):
    """A ledger of another tool: its table, how many rows it has, and the newest one."""

    tool: str
    table: str
    rows: int
    newest: str


def find_other_ledgers(database: Database) -> Iterator[OtherLedger]:
    """Yield those that have rows, in the caller's reading."""
    for tool, table, sql in KNOWN:
        if rows := database.rows_or_none(sql):
            yield OtherLedger(tool, table, len(rows), str(rows[-1][0]))
