"""Find out whether the queries of an application work on the schema that an SQLite database has."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator, Mapping
from itertools import count
from typing import TYPE_CHECKING

from torc_migrations.databases.results.queries import SavedQuery, inserts
from torc_migrations.databases.sqlite.scripts.statements import first_token, statements

if TYPE_CHECKING:
    from torc_migrations.databases.sqlite.transactions import SQLiteConnection

_NOT_NULL = re.compile(r"NOT NULL constraint failed: (?P<column>.+)")
_NUMBERS = count()


class _AnyValue(dict[str, object]):
    """A value for each named parameter."""

    def __missing__(self, name: str) -> object:
        return 1


def cut(text: bytes) -> Iterator[SavedQuery]:
    """Yield the queries of a file."""
    for statement in statements(text):
        begin = first_token(text, statement.offset)
        sql = statement.text.encode()[begin - statement.offset :].decode().strip()
        if sql:
            yield SavedQuery(sql, begin)


class SQLiteQueries:
    """Tries queries on one database: a `QueryTester`."""

    def __init__(self, database: SQLiteConnection) -> None:
        self._database = database

    def cut(self, text: bytes) -> Iterator[SavedQuery]:
        """Yield the queries of a file."""
        return cut(text)

    def schema_version(self) -> int:
        """Return the number that SQLite counts up at each change of the schema."""
        return int(self._database.execute("PRAGMA main.schema_version").fetchone()[0])

    def why_not(self, sql: str) -> str | None:
        """Return why a query does not work, in SQLite's words, or None; an INSERT runs, and is undone."""
        # Another text each time: sqlite3 keeps prepared statements, and SQLite does not prepare an EXPLAIN again.
        if reason := self._failure(f"EXPLAIN {sql.rstrip(';')} -- {next(_NUMBERS)}"):
            return reason
        if not inserts(sql):
            return None
        self._database.execute("SAVEPOINT torc_query")
        try:
            found = _NOT_NULL.fullmatch(self._failure(sql) or "")
            return f"column {found['column']} needs a value" if found else None
        finally:
            self._database.execute("ROLLBACK TO torc_query")
            self._database.execute("RELEASE torc_query")

    def _failure(self, sql: str) -> str | None:
        connection = self._database.connection
        parameters: Mapping[str, object] | tuple[object, ...] = _AnyValue()
        for _ in range(3):  # by name; by position, to learn their number; with that number
            try:
                connection.execute(sql, parameters).fetchone()
            except sqlite3.ProgrammingError as error:
                parameters = (1,) * int((re.search(r"uses (\d+)", str(error)) or ["", "0"])[1])
            except sqlite3.Error as error:
                return str(error)
            else:
                return None
        return None
