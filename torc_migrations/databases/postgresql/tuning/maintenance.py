"""Refresh the statistics of a PostgreSQL database, and make the space of deleted rows usable again."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter_ns
from typing import TYPE_CHECKING

import psycopg

from torc_migrations.databases.postgresql.address import translate
from torc_migrations.databases.results.maintenance import Maintenance, Measure, Sizes

if TYPE_CHECKING:
    from torc_migrations.databases.postgresql.connection import PostgreSQLConnection

SELECT_SIZES = """
    SELECT
        pg_database_size(current_database()),
        (SELECT count(*) FROM pg_catalog.pg_stats WHERE schemaname NOT IN ('pg_catalog', 'information_schema'))
"""
_NO_LIMIT = 2_000_000  # seconds; the server counts milliseconds in 32 bits


def optimize(database: PostgreSQLConnection, *, vacuum: bool) -> Maintenance:
    """Run ANALYZE, and with `vacuum` VACUUM, on all tables that the role may analyze.

    Raises:
        LockTimeout: another session held a table for longer than `lock_timeout` seconds.
        CannotOpen: the server is a standby.
    """
    with _waiting_not_too_long(database):
        before = _sizes(database)
        measures = [_measured(database, "ANALYZE")]
        if vacuum:
            measures.append(_measured(database, "VACUUM"))
        return Maintenance(before, tuple(measures))


@contextmanager
def _waiting_not_too_long(database: PostgreSQLConnection) -> Iterator[None]:
    """Limit how long a statement waits for a table, and restore the setting."""
    limit = database.lock_timeout
    milliseconds = 0 if math.isinf(limit) or limit >= _NO_LIMIT else max(1, round(limit * 1000))
    try:
        before = database.row("SELECT current_setting('lock_timeout')")[0]
        database.run("SELECT set_config('lock_timeout', :value, false)", {"value": str(milliseconds)})
        try:
            yield
        finally:
            database.run("SELECT set_config('lock_timeout', :value, false)", {"value": before})
    except psycopg.Error as error:
        raise translate(error, database.name) from error


def _measured(database: PostgreSQLConnection, statement: str) -> Measure:
    started = perf_counter_ns()
    database.run(statement)
    elapsed_ns = perf_counter_ns() - started
    return Measure(statement, elapsed_ns, _sizes(database))


def _sizes(database: PostgreSQLConnection) -> Sizes:
    size, statistics = database.row(SELECT_SIZES)
    return Sizes(int(size), None, int(statistics))
