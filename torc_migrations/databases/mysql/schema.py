"""Read the schema of a MariaDB or MySQL database: its tables, views, triggers and stored programs."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from typing import Any, Protocol

from torc_migrations.databases.interface import RowReading
from torc_migrations.databases.mysql.connection import quote_identifier
from torc_migrations.databases.results.contents import Contents, Table

SELECT_TABLES = """
    SELECT table_name, table_type
    FROM information_schema.tables
    WHERE table_schema = :schema
    ORDER BY table_name
"""
SELECT_COLUMNS = """
    SELECT table_name, column_name
    FROM information_schema.columns
    WHERE table_schema = :schema
    ORDER BY table_name, ordinal_position
"""
SELECT_INDEXES = """
    SELECT DISTINCT table_name, index_name
    FROM information_schema.statistics
    WHERE table_schema = :schema
    AND index_name <> 'PRIMARY'
"""
SELECT_TRIGGERS = """
    SELECT trigger_name, event_object_table, action_timing, event_manipulation, action_statement
    FROM information_schema.triggers
    WHERE trigger_schema = :schema
"""
SELECT_ROUTINES = """
    SELECT routine_type, routine_name, routine_definition
    FROM information_schema.routines
    WHERE routine_schema = :schema
"""
SELECT_EVENTS = """
    SELECT event_name, event_definition
    FROM information_schema.events
    WHERE event_schema = :schema
"""
# Tables whose changes no ROLLBACK undoes.
SELECT_NOT_TRANSACTIONAL = """
    SELECT 1
    FROM information_schema.tables t
    JOIN information_schema.engines e ON e.engine = t.engine
    WHERE t.table_schema NOT IN ('mysql', 'information_schema', 'performance_schema', 'sys')
    AND e.transactions <> 'YES'
    LIMIT 1
"""
_WORDS = re.compile(r"`(?:[^`]|``)*`|'(?:[^'\\]|\\.|'')*'|\w+|[^\w\s]")
_COUNTER = re.compile(r" AUTO_INCREMENT=\d+")
_DEFINER = re.compile(r" DEFINER=`[^`]*`@`[^`]*`")


class Reads(Protocol):
    """What is used here of a `MySqlConnection`."""

    schema: str

    def execute(self, sql: str, values: dict[str, object] | None = None) -> Any:
        """Run one statement of ours."""


def read_tables(database: Reads) -> dict[str, str]:
    """Return the kind of each table and view by its name."""
    return {str(name): str(kind) for name, kind in _rows(database, SELECT_TABLES)}


def read_contents(database: Reads, ignored: Collection[str], rows: RowReading) -> Contents:
    """Read the schema without the `ignored` tables; of the rows of a table their number, or their checksum too."""
    names = {name: kind for name, kind in read_tables(database).items() if name not in ignored}
    columns: dict[str, list[str]] = {name: [] for name in names}
    for table, column in _rows(database, SELECT_COLUMNS):
        if table in columns:
            columns[table].append(str(column))
    objects = dict(_definitions(database, names))
    owners = {}
    for table, index in _rows(database, SELECT_INDEXES):
        if table in names:
            objects[f"index {index}"] = (table,)
            owners[f"index {index}"] = str(table).lower()
    for trigger, table, *definition in _rows(database, SELECT_TRIGGERS):
        objects[f"trigger {trigger}"] = _words(" ".join(map(str, definition)))
        owners[f"trigger {trigger}"] = str(table).lower()
    tables = {
        name.lower(): Table(name, tuple(columns[name]), *_read_rows(database, name, rows))
        for name, kind in names.items()
        if kind != "VIEW"
    }
    return Contents(objects, tables, owners)


def _definitions(database: Reads, names: dict[str, str]) -> Iterator[tuple[str, tuple[str, ...]]]:
    for name, kind in names.items():
        table = f"{quote_identifier(database.schema)}.{quote_identifier(name)}"
        definition = str(database.execute(f"SHOW CREATE TABLE {table}").fetchone()[1])
        word = "view" if kind == "VIEW" else "table"
        yield f"{word} {name}", _words(_DEFINER.sub("", _COUNTER.sub("", definition)))
    for kind, name, definition in _rows(database, SELECT_ROUTINES):
        yield f"{str(kind).lower()} {name}", _words(str(definition))
    for name, definition in _rows(database, SELECT_EVENTS):
        yield f"event {name}", _words(str(definition))


def _read_rows(database: Reads, name: str, rows: RowReading) -> tuple[int | None, int | None]:
    if rows is RowReading.NOTHING:
        return None, None
    table = f"{quote_identifier(database.schema)}.{quote_identifier(name)}"
    count = int(database.execute(f"SELECT COUNT(*) FROM {table}").fetchone()[0])
    if rows is RowReading.COUNT:
        return count, None
    return count, int(database.execute(f"CHECKSUM TABLE {table}").fetchone()[1] or 0)


def _words(definition: str) -> tuple[str, ...]:
    return tuple(_WORDS.findall(definition))


def _rows(database: Reads, sql: str) -> list[Any]:
    return list(database.execute(sql, {"schema": database.schema}).fetchall())
