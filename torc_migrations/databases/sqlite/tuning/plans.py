"""Ask SQLite for a query's plan, read the indexes in it and what it scans, and explain why it is so."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import count
from typing import TYPE_CHECKING, TypeAlias

from torc_migrations.databases.results.plans import NoPlan, PlanLine, QueryPlan, normalised
from torc_migrations.databases.sqlite.scripts.statements import first_token
from torc_migrations.formatting import counted

if TYPE_CHECKING:
    from torc_migrations.databases.sqlite.transactions import SQLiteConnection

Parameters: TypeAlias = "Sequence[object] | Mapping[str, object]"

# Statements that EXPLAIN does not run. A PRAGMA may take effect while it is compiled, so it is never explained.
_EXPLAINED = frozenset({b"SELECT", b"WITH", b"VALUES", b"INSERT", b"REPLACE", b"UPDATE", b"DELETE"})
_FIRST_WORD = re.compile(rb"[A-Za-z]+")

_INDEX = re.compile(r"USING (?:COVERING )?INDEX (.+?)(?: \(| FOR IN-OPERATOR| LEFT-JOIN|$)")
_SCAN = re.compile(
    r"SCAN (?!SUBQUERY |CONSTANT ROW|\d+ CONSTANT ROWS|\(|.* VIRTUAL TABLE INDEX )(?P<name>.+?)(?: USING |$)"
)
_TABLE = re.compile(r"(?:SCAN|SEARCH) (\S+)")
_MADE_HERE = re.compile(r"(?:MATERIALIZE|CO-ROUTINE) (.+)")
_AUTOMATIC = re.compile(r"SEARCH .* USING AUTOMATIC ")
_COUNT = re.compile(r"statement uses (\d+)")

_numbers = count(1)

SELECT_INDEXES = """
    SELECT +name, +tbl_name
    FROM sqlite_master
    WHERE type = 'index'
    ORDER BY rowid
"""
SELECT_STATISTICS = """
    SELECT tbl, MAX(CAST(stat AS INTEGER))
    FROM sqlite_stat1
    GROUP BY tbl
"""


def _is_scan(text: str, made_here: set[str]) -> bool:
    if _AUTOMATIC.match(text):
        return True
    scan = _SCAN.match(text)
    return scan is not None and scan["name"] not in made_here


def _index_in(text: str) -> str | None:
    found = _INDEX.search(text)
    return found[1] if found else None


def index_in(line: str) -> str | None:
    """Return the name of the index in a line of a plan, or behind the word `index`, or None."""
    kind, _, name = line.partition(" ")
    return name.strip() if kind == "index" else _index_in(normalised(line))


def table_in(line: str) -> str | None:
    """Return the table (or its alias in the query) that a line of a plan scans or searches, or None."""
    found = _TABLE.match(normalised(line))
    return found[1] if found else None


def can_be_explained(sql: str) -> bool:
    """Return whether a statement has a plan that SQLite returns without running any part of the statement."""
    text = sql.encode(errors="replace")
    word = _FIRST_WORD.match(text, first_token(text, 0))
    return word is not None and word[0].upper() in _EXPLAINED


def explain(connection: sqlite3.Connection, sql: str, parameters: Parameters | None = None) -> QueryPlan:
    """Return the plan of one statement, which is not run; without `parameters` each parameter is NULL.

    The connection does not change: its transaction, its row factory and its `total_changes` stay the same.
    https://sqlite.org/eqp.html describes the text of a plan.

    Raises:
        ValueError: the statement has no plan; see `can_be_explained`.
        sqlite3.Error: SQLite cannot compile it.
    """
    if not can_be_explained(sql):
        raise ValueError("only SELECT, INSERT, UPDATE and DELETE have a plan")
    # Not connection.cursor(), which a subclass may override.
    cursor = sqlite3.Cursor(connection)
    # Each text is different, because the driver caches statements: a cached one would return the plan of an older
    # schema, which SQLite checks only when a statement runs.
    explained = f"EXPLAIN QUERY PLAN /* {next(_numbers)} */ {sql}"
    rows = _with_nulls(cursor, explained) if parameters is None else cursor.execute(explained, parameters)
    found = [(int(row[0]), int(row[1]), normalised(_text(row[3]))) for row in rows]
    made_here = {hit[1] for _, _, text in found if (hit := _MADE_HERE.match(text))}
    return QueryPlan(
        tuple(
            PlanLine(number, parent, text, _index_in(text), _is_scan(text, made_here)) for number, parent, text in found
        )
    )


class _Nulls(dict[str, None]):
    """NULL for every name."""

    def __missing__(self, name: str) -> None:
        return None


def _with_nulls(cursor: sqlite3.Cursor, explained: str) -> sqlite3.Cursor:
    try:
        return cursor.execute(explained, _Nulls())
    except sqlite3.ProgrammingError as error:
        if "has no name" not in str(error):
            raise
    return cursor.execute(explained, (None,) * _parameter_count(cursor, explained))


def _parameter_count(cursor: sqlite3.Cursor, explained: str) -> int:
    """Return how many parameters a statement has, from the driver's error: only SQLite's parser knows."""
    try:
        cursor.execute(explained, ())
    except sqlite3.ProgrammingError as error:
        if found := _COUNT.search(str(error)):
            return int(found[1])
        raise
    return 0


def _text(detail: object) -> str:
    return detail.decode(errors="replace") if isinstance(detail, bytes) else str(detail)


class SQLiteExplainer:
    """Returns the plans of queries on one database, and explains them: an `Explainer`."""

    def __init__(self, database: SQLiteConnection) -> None:
        self._connection = database.connection
        # The table of each index, in the order of creation, and the rows of each table when ANALYZE ran.
        self._tables = {str(name): str(table) for name, table in database.execute(SELECT_INDEXES)}
        self._analyzed = _statistics(database)

    def explain(self, query: str) -> QueryPlan:
        """Return the plan of a query, whose parameters are NULL."""
        try:
            return explain(self._connection, query)
        except (ValueError, sqlite3.OperationalError, sqlite3.ProgrammingError, sqlite3.Warning) as error:
            raise NoPlan(str(error)) from error

    def index_in(self, words: str) -> str | None:
        """Return the index that an expected line names, or None."""
        return index_in(words)

    def why_no_plan(self, reason: str) -> Iterable[str]:
        """Explain that the query is for another schema."""
        if "no such table" in reason or "no such column" in reason:
            yield "this database does not have the schema of the query: upgrade it, or name the source of its schema"

    def why_missing(self, words: str, plan: QueryPlan) -> Iterable[str]:
        """Explain that there is no such index, that SQLite took another one, or that statistics decided."""
        wanted = index_in(words)
        if wanted and wanted not in self._tables:
            yield f"there is no index {wanted} in this database"
            return
        if wanted:
            taken = (name for name in plan.indexes if name != wanted and self._tables.get(name) == self._tables[wanted])
            yield from (self._why_another(wanted, name) for name in taken)
        yield from self._statistics_note(self._tables[wanted] if wanted else table_in(words))

    def why_there(self, text: str) -> Iterable[str]:
        """Explain that statistics decided."""
        yield from self._statistics_note(table_in(text))

    def _statistics_note(self, table: str | None) -> Iterator[str]:
        if table in self._analyzed:
            yield (
                f"{table} had {counted(self._analyzed[table], 'row')} when ANALYZE ran: where a table has few rows, or "
                "most of them match, SQLite reads all of it because that is faster; verify with --fresh (in Python: "
                "fresh=True) to use no statistics"
            )

    def _why_another(self, wanted: str, taken: str) -> str:
        order = list(self._tables)
        if order.index(taken) > order.index(wanted) and self._tables[taken] not in self._analyzed:
            return (
                f"SQLite uses {taken}: of indexes with the same estimated cost it uses the one that was created last, "
                f"and {wanted} was created before it"
            )
        return f"SQLite uses {taken}"


def _statistics(database: SQLiteConnection) -> dict[str | None, int]:
    """Return how many rows each table had when ANALYZE last ran; before it ran there is no such table."""
    return {str(table): int(str(rows)) for table, rows in database.rows_or_none(SELECT_STATISTICS) or ()}
