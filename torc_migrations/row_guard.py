"""Notice tables that lose rows when what they point to is dropped, though their script deletes none of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from torc_migrations.authorizer import Touched
from torc_migrations.connection import quote_identifier, read_tables
from torc_migrations.database import Database
from torc_migrations.driver import sqlite3
from torc_migrations.errors import RowsLost
from torc_migrations.foreign_keys import read_references
from torc_migrations.script import Statement, table_drops

TYPE_CHECKING = False
if TYPE_CHECKING:
    from torc_migrations.migration import Script
    from torc_migrations.plan import Step

COUNT_ROWS = """
    SELECT count(*)
    FROM main.{table}
"""


def count_children(database: Database, script: Script | None) -> Mapping[str, int]:
    """Count, before a script is run, the rows of the tables that point to what it is going to drop.

    A script that drops no such table costs no more than a look at its text. One that has foreign keys on wants its
    cascades, and one outside of a transaction cannot be undone: nothing is counted for them.
    """
    if script is None or not script.words or script.directives.foreign_keys or not script.directives.transactional:
        return {}
    drops = tuple(table_drops(script.sql, script.words))
    references = read_references(database) if drops else []
    if not references:
        return {}
    dropped = [_dropped(database, statement) for statement in drops]
    # A table that is not there yet may be one that the script has renamed by then.
    parents = {parent for _, parent in references} if None in dropped else set(filter(None, dropped))
    return {child: _rows(database, child) for child in sorted(_descendants(parents, references))}


def refuse_losses(database: Database, step: Step, before: Mapping[str, int], touched: Touched) -> None:
    """Refuse that tables have lost rows since they were counted, unless their script deletes from them itself.

    Raises:
        RowsLost: some have.
    """
    if not before:
        return
    watched = [(table, count) for table, count in before.items() if table.lower() not in touched.named]
    there = {name.lower() for name in read_tables(database.connection)} if watched else set()
    now = ((table, count, _rows(database, table)) for table, count in watched if table.lower() in there)
    if lost := tuple(each for each in now if each[2] < each[1]):
        raise RowsLost(step, lost)


def _dropped(database: Database, statement: Statement) -> str | None:
    """Return the table that a DROP TABLE names, in lower case, as SQLite reads it; None where it is not there."""
    seen = Touched()
    try:
        database.open_to(seen)
        database.execute(f"EXPLAIN {statement.text}").fetchall()
    except sqlite3.Error:
        return None
    finally:
        database.close_to_scripts()
    return next(iter(seen.named), None)


def _descendants(parents: set[str], references: Iterable[tuple[str, str]]) -> set[str]:
    found, before = set[str](), -1
    while len(found) > before:
        before = len(found)
        known = parents | {table.lower() for table in found}
        found = {child for child, parent in references if parent in known}
    return found


def _rows(database: Database, table: str) -> int:
    return int(database.execute(COUNT_ROWS.format(table=quote_identifier(table))).fetchone()[0])
