"""Write the schema of an SQLite database as statements, in one order, whatever the order in which it was made."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import NamedTuple

from torc_migrations.databases.sqlite.catalog.definitions import Definition
from torc_migrations.databases.sqlite.connection import quote_identifier
from torc_migrations.databases.sqlite.schema import read_marks
from torc_migrations.databases.sqlite.schemas.definitions import (
    count_rows,
    read_columns,
    read_definitions,
    read_foreign_keys,
    read_writable_columns,
)
from torc_migrations.databases.sqlite.schemas.settling import with_end
from torc_migrations.databases.sqlite.scripts.statements import canonical, names_in
from torc_migrations.databases.sqlite.transactions import SQLiteConnection
from torc_migrations.formatting import lowered

_ROWIDS = ("rowid", "_rowid_", "oid")
_FILE_PRAGMAS = ("application_id", "user_version")
# quote() ends a text at its first NUL. As a blob, because a text may be no UTF-8.
_LITERAL = """
    CAST(
        CASE WHEN typeof({column}) = 'text' AND instr({column}, char(0)) > 0
        THEN 'CAST(x''' || hex({column}) || ''' AS TEXT)'
        ELSE quote({column}) END
        AS BLOB
    )
"""
_INFINITE = {b"Inf": "9e999", b"-Inf": "-9e999"}  # which quote() returns for them, and no statement understands
SELECT_LITERALS = """
    SELECT {literals}
    FROM main.{table}
    ORDER BY {order}
"""
SELECT_LARGEST = """
    SELECT max(rowid)
    FROM main.{table}
"""


class Dumped(NamedTuple):
    """The statements that make a schema, and how many rows they insert, and how many rows were left out."""

    statements: tuple[str, ...]
    rows: int
    left_out: int


def dump_statements(database: SQLiteConnection, ignored: Collection[str] = (), *, rows: bool) -> Dumped:
    """Return the statements that make a schema, and with `rows` also the rows of its tables.

    Tables come first, each after those that it refers to; then rows, indexes, views, each after those that it uses,
    and triggers. Otherwise names decide. Rows of virtual tables are left out.
    """
    definitions = read_definitions(database, ignored)
    kinds = {
        kind: [each for each in definitions if each.kind == kind] for kind in ("table", "index", "view", "trigger")
    }
    tables = _by_dependency(kinds["table"], _parents(database, kinds["table"]))
    tables.sort(key=lambda each: each.is_virtual)
    writer = _RowWriter(database, keep=rows)
    inserted = tuple(statement for table in tables for statement in writer.statements(table))
    views = _by_dependency(kinds["view"], _used_views(kinds["view"]))
    last = sorted(kinds["index"], key=_by_table), views, sorted(kinds["trigger"], key=_by_table)
    statements = (
        *_file_pragmas(database),
        *(with_end(each.sql) for each in tables),
        *inserted,
        *(with_end(each.sql) for group in last for each in group),
    )
    return Dumped(statements, writer.written, writer.left_out)


def _file_pragmas(database: SQLiteConnection) -> Iterator[str]:
    for name in _FILE_PRAGMAS:
        (value,) = database.execute(f"PRAGMA main.{name}").fetchone()
        if value:
            yield f"PRAGMA {name} = {value};"


def _by_table(definition: Definition) -> tuple[str, ...]:
    return lowered(definition.table), *_by_name(definition)


def _by_name(definition: Definition) -> tuple[str, str]:
    return lowered(definition.name), definition.name


def _parents(database: SQLiteConnection, tables: Sequence[Definition]) -> dict[str, set[str]]:
    return {
        lowered(each.name): {lowered(key.parent) for key in read_foreign_keys(database, each.name)} for each in tables
    }


def _used_views(views: Sequence[Definition]) -> dict[str, set[str]]:
    names = {lowered(view.name) for view in views}
    return {lowered(view.name): names.intersection(names_in(view.sql)) for view in views}


def _by_dependency(definitions: Sequence[Definition], needs: Mapping[str, set[str]]) -> list[Definition]:
    """Return definitions by name, but each after those that it needs; a circle is entered at its first name."""
    by_name = {lowered(each.name): each for each in sorted(definitions, key=_by_name)}
    ordered: dict[str, Definition] = {}
    entered: set[str] = set()
    stack = list(reversed(by_name))
    while stack:
        name = stack[-1]
        missing = sorted(needs.get(name, set()).intersection(by_name) - entered - {name}, reverse=True)
        if name not in entered and missing:
            entered.add(name)
            stack += missing
            continue
        entered.add(name)
        stack.pop()
        ordered.setdefault(name, by_name[name])
    return list(ordered.values())


class _RowWriter:
    """Writes the rows of tables as INSERT statements, and counts them."""

    def __init__(self, database: SQLiteConnection, *, keep: bool) -> None:
        self._database = database
        self._keep = keep
        self._marks = read_marks(database)
        self.written = self.left_out = 0

    def statements(self, table: Definition) -> Iterator[str]:
        if not self._keep or table.is_virtual:
            self.left_out += count_rows(self._database, table.name) or 0
            return
        columns = read_writable_columns(self._database, table.name)
        name, listed = quote_identifier(table.name), ", ".join(map(quote_identifier, columns))
        for values in self._literals(table, columns):
            self.written += 1
            yield f"INSERT INTO {name} ({listed}) VALUES ({', '.join(map(_written, values))});"
        yield from self._mark(table)

    def _literals(self, table: Definition, columns: Sequence[str]) -> list[tuple[bytes, ...]]:
        literals = ", ".join(_LITERAL.format(column=quote_identifier(column)) for column in columns)
        sql = SELECT_LITERALS.format(
            literals=literals, table=quote_identifier(table.name), order=self._order(table, columns)
        )
        return self._database.execute(sql).fetchall() if columns else []

    def _order(self, table: Definition, columns: Sequence[str]) -> str:
        """Return the number of each row, or where a table has none, or hides it, all columns."""
        known = {lowered(each.name) for each in read_columns(self._database, table.name)}
        free = next((each for each in _ROWIDS if each not in known), None)
        if free is None or "without" in canonical(table.sql.rpartition(")")[2].encode()):
            return ", ".join(map(quote_identifier, columns))
        return free

    def _mark(self, table: Definition) -> Iterator[str]:
        """Write AUTOINCREMENT's mark, where it is not the largest number in the table."""
        mark = self._marks.get(lowered(table.name))
        if mark is None:
            return
        sql = SELECT_LARGEST.format(table=quote_identifier(table.name))
        if self._database.execute(sql).fetchone()[0] != mark:
            (literal,) = self._database.execute("SELECT quote(:name)", {"name": table.name}).fetchone()
            yield f"DELETE FROM sqlite_sequence WHERE name = {literal};"
            yield f"INSERT INTO sqlite_sequence (name, seq) VALUES ({literal}, {mark});"


def _written(literal: bytes) -> str:
    """Return a literal as a statement can have it, from what `_LITERAL` gives."""
    try:
        return _INFINITE.get(literal) or literal.decode()
    except UnicodeDecodeError:
        text = literal[1:-1].replace(b"''", b"'")
        return f"CAST(x'{text.hex()}' AS TEXT)"
