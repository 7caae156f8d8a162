"""Refresh the statistics of a MariaDB or MySQL database, and rebuild its tables."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter_ns
from typing import TYPE_CHECKING

from torc_migrations.databases.mysql.connection import LOCK_WAIT_TIMEOUT, code_of, is_of_driver, quote_identifier
from torc_migrations.databases.mysql.schema import read_tables
from torc_migrations.databases.results.maintenance import Maintenance, Measure, Sizes
from torc_migrations.errors import DatabaseFailed, LockTimeout

if TYPE_CHECKING:
    from torc_migrations.databases.mysql.transactions import MySqlConnection

SELECT_SIZE = """
    SELECT coalesce(sum(data_length + index_length), 0), coalesce(sum(data_free), 0)
    FROM information_schema.tables
    WHERE table_schema = :schema
"""
COUNT_STATISTICS = """
    SELECT count(cardinality)
    FROM information_schema.statistics
    WHERE table_schema = :schema
"""
_LONGEST_WAIT = 31_536_000  # seconds, the most that the server takes


def optimize(database: MySqlConnection, *, vacuum: bool) -> Maintenance:
    """Run ANALYZE TABLE for each table, and with `vacuum` OPTIMIZE TABLE, which rebuilds it.

    Raises:
        LockTimeout: another session held a table for longer than `lock_timeout` seconds.
        DatabaseFailed: the server could not do it for a table.
    """
    names = [name for name, kind in read_tables(database).items() if kind == "BASE TABLE"]
    with _waiting_not_too_long(database):
        before = _sizes(database)
        measures = [_measured(database, "ANALYZE TABLE", names)]
        if vacuum:
            measures.append(_measured(database, "OPTIMIZE TABLE", names))
        return Maintenance(before, tuple(measures))


@contextmanager
def _waiting_not_too_long(database: MySqlConnection) -> Iterator[None]:
    """Limit how long a statement waits for a table, and restore the setting."""
    run = database.session.run
    with database.translated():
        before = int(run("SELECT @@SESSION.lock_wait_timeout").fetchone()[0])
        run(f"SET SESSION lock_wait_timeout = {int(min(max(1, database.lock_timeout), _LONGEST_WAIT))}")
        try:
            yield
        except Exception as error:
            if is_of_driver(error) and code_of(error) == LOCK_WAIT_TIMEOUT:
                raise LockTimeout(database.name, "another session", database.lock_timeout) from error
            raise
        finally:
            run(f"SET SESSION lock_wait_timeout = {before}")


def _measured(database: MySqlConnection, statement: str, tables: list[str]) -> Measure:
    started = perf_counter_ns()
    for name in tables:
        table = f"{quote_identifier(database.schema)}.{quote_identifier(name)}"
        for _, _, level, text in database.session.run(f"{statement} {table}").fetchall():
            if str(level).lower() == "error":
                if "lock wait timeout" in str(text).lower():
                    raise LockTimeout(database.name, "another session", database.lock_timeout)
                raise DatabaseFailed(database.name, f"{statement} {name}: {text}")
    elapsed_ns = perf_counter_ns() - started
    return Measure(statement, elapsed_ns, _sizes(database))


def _sizes(database: MySqlConnection) -> Sizes:
    values = {"schema": database.schema}
    size, free = database.session.run(SELECT_SIZE, values).fetchone()
    (statistics,) = database.session.run(COUNT_STATISTICS, values).fetchone()
    return Sizes(int(size), int(free), int(statistics))
