"""Ask PostgreSQL for a query's plan, read its nodes, and explain why it is so."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import count
from typing import TYPE_CHECKING, Any

import psycopg

from torc_migrations.databases.postgresql.scripts import statements as cut
from torc_migrations.databases.results.plans import NoPlan, PlanLine, QueryPlan
from torc_migrations.databases.servers.queries import can_be_explained, with_parameters

if TYPE_CHECKING:
    from torc_migrations.databases.postgresql.connection import PostgreSQLConnection

_NAME = "torc_plan"
_GENERIC = 120000  # the first version that plans without values for the parameters when it is asked to
_INDEX = re.compile(r"(?:\busing|^Bitmap Index Scan on|^index) (?P<name>\S+)")
_TABLE = re.compile(r"\bScan\b.*? on (\S+)")
_STRATEGIES = {"Sorted": "GroupAggregate", "Hashed": "HashAggregate", "Mixed": "MixedAggregate"}
_WHOLE_INDEX = ("Index Scan", "Index Only Scan", "Bitmap Index Scan")

SELECT_PARAMETERS = f"""
    SELECT coalesce(cardinality(parameter_types), 0)
    FROM pg_catalog.pg_prepared_statements
    WHERE name = '{_NAME}'
"""
SELECT_INDEXES = """
    SELECT i.relname, x.indisvalid
    FROM pg_catalog.pg_index x
    JOIN pg_catalog.pg_class i ON i.oid = x.indexrelid
"""
SELECT_ROWS = "SELECT reltuples::bigint FROM pg_catalog.pg_class WHERE relname = :table AND relkind IN ('r', 'p', 'm')"


class PostgreSQLExplainer:
    """Returns the plans of queries on one database, and explains them: an `Explainer`.

    Args:
        is_empty: whether the database is an empty one, of which the plan is to show which index can serve a query: a
            whole table is then read only where nothing else is possible, because reading an empty one costs nothing.
    """

    def __init__(self, database: PostgreSQLConnection, *, is_empty: bool = False) -> None:
        self._database = database
        self._is_empty = is_empty

    def explain(self, query: str) -> QueryPlan:
        """Return the plan of a query, which is the same for all values of its parameters."""
        return self._plan(query, avoids_scans=self._is_empty)

    def index_in(self, words: str) -> str | None:
        """Return the index that an expected line names, or None."""
        found = _INDEX.search(" ".join(words.split()))
        return found["name"] if found else None

    def why_no_plan(self, reason: str) -> Iterable[str]:
        """Explain that the query is for another schema, or that a parameter needs a type."""
        if "does not exist" in reason:
            yield "this database does not have the schema of the query: upgrade it, or name the source of its schema"
        if "could not determine data type" in reason:
            yield "write a type behind the parameter, as in :name::text"

    def why_missing(self, words: str, plan: QueryPlan) -> Iterable[str]:
        """Explain that there is no such index, that another one was taken, or that the table is small."""
        wanted = self.index_in(words)
        valid = dict(self._database.run(SELECT_INDEXES).fetchall()) if wanted else {}
        if wanted and wanted not in valid:
            yield f"there is no index {wanted} in this database"
        elif wanted and not valid[wanted]:
            yield f"the index {wanted} is invalid, and serves no query: drop it, and create it again"
        elif wanted and plan.indexes:
            yield f"PostgreSQL uses {', '.join(plan.indexes)}"

    def why_there(self, text: str) -> Iterable[str]:
        """Explain that a small table is read as a whole."""
        table = _TABLE.search(text)
        if not text.startswith(("Seq Scan", "Parallel Seq Scan")) or table is None or self._is_empty:
            return
        for (rows,) in self._database.run(SELECT_ROWS, {"table": table[1].rpartition(".")[2]}).fetchall():
            how_many = "was never analyzed" if rows < 0 else f"has about {rows} rows"
            yield (
                f"{table[1]} {how_many}: where a table has few rows, or most of them match, PostgreSQL reads all of it "
                "because that is faster; verify with --fresh (in Python: fresh=True) to see whether an index can serve"
            )

    def _plan(self, query: str, *, avoids_scans: bool) -> QueryPlan:
        if not can_be_explained(query):
            raise NoPlan("only SELECT, INSERT, UPDATE, DELETE and MERGE have a plan")
        text = with_numbers(query)
        if sum(1 for _ in cut.statements(text.encode())) != 1:
            raise NoPlan("this is more than one statement")
        try:
            self._database.run("SAVEPOINT torc_plan")
            return QueryPlan(tuple(_lines(self._ask(text, avoids_scans=avoids_scans))))
        except psycopg.Error as error:
            raise NoPlan(str(error.diag.message_primary or error)) from error
        finally:
            with suppress(psycopg.Error):
                self._database.run("ROLLBACK TO SAVEPOINT torc_plan; RELEASE SAVEPOINT torc_plan")
                if self._database.run(SELECT_PARAMETERS).fetchall():
                    self._database.run(f"DEALLOCATE {_NAME}")

    def _ask(self, text: str, *, avoids_scans: bool) -> dict[str, Any]:
        database = self._database
        if avoids_scans:
            database.run("SET LOCAL enable_seqscan = off")
        if database.connection.info.server_version >= _GENERIC:
            database.run("SET LOCAL plan_cache_mode = force_generic_plan")
        database.run(f"PREPARE {_NAME} AS {text}")
        parameters = int(database.row(SELECT_PARAMETERS)[0])
        values = f"({', '.join(['NULL'] * parameters)})" if parameters else ""
        answer = database.row(f"EXPLAIN (FORMAT JSON) EXECUTE {_NAME}{values}")[0]
        found: dict[str, Any] = (json.loads(answer) if isinstance(answer, str) else answer)[0]["Plan"]
        return found


def with_numbers(query: str) -> str:
    """Return a query with `$1`, `$2` and so on; a name that comes again has the same number."""
    numbers: dict[str, int] = {}
    first = 1 + max((int(number) for number in re.findall(r"\$(\d+)", query)), default=0)
    return with_parameters(query, lambda name, at: f"${numbers.setdefault(name or str(at), first + len(numbers))}")


def _lines(plan: dict[str, Any]) -> Iterator[PlanLine]:
    numbers = count(1)

    def walk(node: dict[str, Any], parent: int) -> Iterator[PlanLine]:
        number = next(numbers)
        yield PlanLine(number, parent, _text(node), node.get("Index Name"), _is_scan(node))
        for child in node.get("Plans", ()):
            yield from walk(child, number)

    return walk(plan, 0)


def _text(node: dict[str, Any]) -> str:
    """Return a node as EXPLAIN writes it in its text format, without costs and conditions."""
    kind = str(node["Node Type"])
    join = str(node.get("Join Type", "Inner"))
    if join != "Inner":
        kind = f"{kind} {join} Join" if kind == "Nested Loop" else kind.replace("Join", f"{join} Join")
    elif kind == "Aggregate":
        kind = _STRATEGIES.get(str(node.get("Strategy")), kind)
    elif kind == "ModifyTable":
        kind = str(node.get("Operation", kind))
    if node.get("Parallel Aware"):
        kind = f"Parallel {kind}"
    if node.get("Scan Direction") == "Backward":
        kind += " Backward"
    index, table = (
        node.get("Index Name"),
        node.get("Relation Name") or node.get("CTE Name") or node.get("Function Name"),
    )
    if index is not None:
        kind += f" using {index}" if table else f" on {index}"
    if table is not None:
        alias = str(node.get("Alias", table))
        kind += f" on {table}" + (f" {alias}" if alias != table else "")
    return kind


def _is_scan(node: dict[str, Any]) -> bool:
    kind = node["Node Type"]
    return kind == "Seq Scan" or (kind in _WHOLE_INDEX and "Index Cond" not in node and "Order By" not in node)
