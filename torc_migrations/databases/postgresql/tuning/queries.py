"""Find out whether the queries of an application work on the schema that a PostgreSQL database has."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import psycopg

from torc_migrations.databases.postgresql.scripts import statements as cut
from torc_migrations.databases.postgresql.tuning.plans import with_numbers
from torc_migrations.databases.results.queries import SavedQuery

if TYPE_CHECKING:
    from torc_migrations.databases.postgresql.connection import PostgreSQLConnection

_NULL = re.compile(r"NULL::.+", re.DOTALL)
SELECT_PARAMETERS = """
    SELECT coalesce(cardinality(parameter_types), 0)
    FROM pg_catalog.pg_prepared_statements
    WHERE name = 'torc_query'
"""
# A trigger may fill a column before the server looks at it: https://www.postgresql.org/docs/current/catalog-pg-trigger.html
SELECT_NOT_NULL = """
    SELECT a.attnum, a.attname
    FROM pg_catalog.pg_attribute a
    JOIN pg_catalog.pg_class c ON c.oid = a.attrelid
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = :schema
    AND c.relname = :table
    AND a.attnum > 0
    AND a.attnotnull
    AND a.attgenerated = ''
    AND NOT EXISTS (
        SELECT 1
        FROM pg_catalog.pg_trigger t
        WHERE t.tgrelid = c.oid
        AND t.tgtype & 7 = 7
    )
    ORDER BY a.attnum
"""


class PostgreSQLQueries:
    """Tries queries on one database, in transactions that are rolled back: a `QueryTester`."""

    def __init__(self, database: PostgreSQLConnection) -> None:
        self._database = database

    def cut(self, text: bytes) -> Iterator[SavedQuery]:
        """Yield the queries of a file."""
        for each in cut.statements(text):
            yield SavedQuery(text[each.begin : each.end].decode(), each.begin)

    def schema_version(self) -> None:
        """Return None: it is not known whether the schema has changed."""

    def why_not(self, sql: str) -> str | None:
        """Return why a query does not work, in the server's words, or None; it does not run."""
        database = self._database
        database.run("BEGIN")
        try:
            return self._find_missing(self._plan(sql))
        except psycopg.Error as error:
            return str(error.diag.message_primary or error)
        finally:
            database.run("ROLLBACK")
            with suppress(psycopg.errors.InvalidSqlStatementName):  # it could not be prepared
                database.run("DEALLOCATE torc_query")

    def _plan(self, sql: str) -> dict[str, Any]:
        database = self._database
        database.run(f"PREPARE torc_query AS {with_numbers(sql)}")
        parameters = int(database.row(SELECT_PARAMETERS)[0])
        database.run("SET LOCAL plan_cache_mode = force_generic_plan")  # so that a parameter is not the NULL given here
        values = f"({', '.join(['NULL'] * parameters)})" if parameters else ""
        answer = database.row(f"EXPLAIN (VERBOSE, FORMAT JSON) EXECUTE torc_query{values}")[0]
        found: dict[str, Any] = (json.loads(answer) if isinstance(answer, str) else answer)[0]["Plan"]
        return found

    def _find_missing(self, node: dict[str, Any]) -> str | None:
        """Return that an INSERT leaves out a column that is NOT NULL: the plan has NULL in its place."""
        children = node.get("Plans", ())
        if node.get("Operation") == "Insert" and children:
            names = {"schema": node["Schema"], "table": node["Relation Name"]}
            values = next((each.get("Output", ()) for each in children if each["Parent Relationship"] == "Outer"), ())
            for number, column in self._database.run(SELECT_NOT_NULL, names):
                if number <= len(values) and _NULL.fullmatch(values[number - 1]):
                    return f"column {names['table']}.{column} needs a value"
        return next(filter(None, map(self._find_missing, children)), None)
