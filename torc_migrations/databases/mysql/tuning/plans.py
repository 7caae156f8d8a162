"""Ask MariaDB or MySQL for a query's plan, read its rows, and explain why it is so."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from typing import TYPE_CHECKING, Any

from torc_migrations.databases.mysql.connection import READ_ONLY_TRANSACTION, code_of, is_of_driver, message_of, run
from torc_migrations.databases.mysql.scripts.statements import statements
from torc_migrations.databases.results.plans import NoPlan, PlanLine, QueryPlan
from torc_migrations.databases.servers.queries import can_be_explained, with_parameters

if TYPE_CHECKING:
    from torc_migrations.databases.mysql.transactions import MySqlConnection

_INDEX = re.compile(r"(?:\busing|^index) (?P<name>\S+)$")
_AFTER_LIMIT = re.compile(r"\b(?:limit|offset)\s+(?:\S+\s*,\s*)?\Z", re.IGNORECASE)
_SCANS = ("ALL", "index")
_NO_ROW = "Impossible WHERE noticed after reading const tables"
# The columns of EXPLAIN: https://mariadb.com/kb/en/explain/
_COLUMNS = ("select_type", "table", "type", "key", "Extra")
SELECT_INDEXES = """
    SELECT DISTINCT index_name
    FROM information_schema.statistics
    WHERE table_schema = :schema
"""
SELECT_ROWS = """
    SELECT table_rows
    FROM information_schema.tables
    WHERE table_schema = :schema
    AND table_name = :table
"""


class MySqlExplainer:
    """Returns the plans of queries on one database, and explains them: an `Explainer`.

    Args:
        connect: opens another connection to the same database.
    """

    def __init__(self, database: MySqlConnection, connect: Callable[[], Any]) -> None:
        self._database = database
        self._connect = connect

    def explain(self, query: str) -> QueryPlan:
        """Return the plan of a query, in which the text '1' stands for each parameter, and 1 behind LIMIT."""
        if not can_be_explained(query):
            raise NoPlan("only SELECT, INSERT, REPLACE, UPDATE and DELETE have a plan")
        text = with_parameters(query, lambda _, at: "1" if _AFTER_LIMIT.search(query, 0, at) else "'1'")
        if sum(1 for _ in statements(text.encode())) != 1:
            raise NoPlan("this is more than one statement")
        try:
            rows = self._ask(f"EXPLAIN {text}")
        except Exception as error:
            if not is_of_driver(error):
                raise
            raise NoPlan(message_of(error)) from error
        return QueryPlan(tuple(_lines(rows)))

    def _ask(self, text: str) -> list[dict[str, object]]:
        try:
            return _rows(self._database.execute(text))
        except Exception as error:
            if not is_of_driver(error) or code_of(error) != READ_ONLY_TRANSACTION:
                raise
        # In a transaction that reads, the server explains no UPDATE.
        with closing(self._connect()) as connection:
            return _rows(run(connection, text))

    def index_in(self, words: str) -> str | None:
        """Return the index that an expected line names, or None."""
        found = _INDEX.search(" ".join(words.split()))
        return found["name"] if found else None

    def why_no_plan(self, reason: str) -> Iterable[str]:
        """Explain that the query is for another schema."""
        if "doesn't exist" in reason or "Unknown column" in reason:
            yield "this database does not have the schema of the query: upgrade it, or name the source of its schema"

    def why_missing(self, words: str, plan: QueryPlan) -> Iterable[str]:
        """Explain that there is no such index, that another one was taken, or that there is no row to plan for."""
        wanted = self.index_in(words)
        if wanted:
            names = {str(name) for (name,) in self._run(SELECT_INDEXES)}
            if wanted not in names:
                yield f"there is no index {wanted} in this database"
            elif plan.indexes:
                yield f"the server uses {', '.join(plan.indexes)}"
        if _NO_ROW in plan.texts:
            yield (
                "a row that is found by a unique key is read while the plan is made, and there is none with the value "
                "1: no index is named then"
            )

    def why_there(self, text: str) -> Iterable[str]:
        """Explain that a small table is read as a whole."""
        if text.startswith("ALL on "):
            table = text.split()[2]
            for (rows,) in self._run(SELECT_ROWS, table=table):
                yield (
                    f"{table} has about {rows} rows: where a table has few rows, or most of them match, the server "
                    "reads all of it because that is faster"
                )

    def _run(self, sql: str, **values: str) -> list[tuple[object, ...]]:
        rows = self._database.execute(sql, {"schema": self._database.schema, **values}).fetchall()
        return [tuple(row) for row in rows]


def _rows(cursor: Any) -> list[dict[str, object]]:
    names = [column[0] for column in cursor.description]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def _lines(rows: list[dict[str, object]]) -> Iterator[PlanLine]:
    """Yield a line for each row, as in `ref on job using idx_job`, and below it one for each remark in `Extra`."""
    number = 0
    for row in rows:
        select, table, kind, key, extra = (row.get(column) for column in _COLUMNS)
        remarks = [each.strip() for each in str(extra or "").split(";") if each.strip()]
        if table is None:
            for remark in remarks or [str(select)]:
                number += 1
                yield PlanLine(number, 0, remark)
            continue
        number += 1
        parent = number
        index = None if key is None else str(key)
        yield PlanLine(number, 0, f"{kind} on {table}" + (f" using {index}" if index else ""), index, kind in _SCANS)
        for remark in remarks:
            number += 1
            yield PlanLine(number, parent, remark)
