"""Find out, while a statement waits for a lock, whose lock that is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torc_migrations.databases.mysql.connection import is_of_driver, run
from torc_migrations.databases.mysql.locks import describe_session

SELECT_STATE = """
    SELECT state
    FROM information_schema.processlist
    WHERE id = :number
"""
# https://mariadb.com/kb/en/information-schema-innodb_lock_waits-table/
SELECT_ROW_LOCKS = """
    SELECT DISTINCT blocking.trx_mysql_thread_id
    FROM information_schema.innodb_lock_waits waits
    JOIN information_schema.innodb_trx waiting ON waiting.trx_id = waits.requesting_trx_id
    JOIN information_schema.innodb_trx blocking ON blocking.trx_id = waits.blocking_trx_id
    WHERE waiting.trx_mysql_thread_id = :number
"""
# Who has locked a definition is known to a plugin that is seldom installed:
# https://mariadb.com/kb/en/metadata-lock-info-plugin/
SELECT_DEFINITION_LOCKS = """
    SELECT DISTINCT thread_id
    FROM information_schema.metadata_lock_info
    WHERE thread_id <> :number
    AND table_schema = DATABASE()
"""
# Else: each open transaction keeps the definitions of the tables that it has read.
SELECT_OPEN_TRANSACTIONS = """
    SELECT trx_mysql_thread_id
    FROM information_schema.innodb_trx
    WHERE trx_mysql_thread_id NOT IN (0, :number)
"""


def describe_blockers(connection: Any, number: int) -> str:
    """Describe who keeps a session waiting, or may do so; an empty text where it does not wait."""
    values = {"number": number}
    found = run(connection, SELECT_STATE, values).fetchone()
    if numbers := _first_column(connection, SELECT_ROW_LOCKS, values):
        return _described(connection, numbers)
    if not found or not str(found[0] or "").startswith("Waiting for") or "lock" not in str(found[0]):
        return ""
    for query in (SELECT_DEFINITION_LOCKS, SELECT_OPEN_TRANSACTIONS):
        if numbers := _first_column(connection, query, values):
            return _described(connection, numbers)
    return "another session"


def _first_column(connection: Any, query: str, values: Mapping[str, object]) -> list[int]:
    """Return numbers, or nothing where the table does not exist, or this user may not read it."""
    try:
        return [int(row[0]) for row in run(connection, query, values).fetchall()]
    except Exception as error:
        if not is_of_driver(error):
            raise
        return []


def _described(connection: Any, numbers: list[int]) -> str:
    return " and ".join(describe_session(connection, number) for number in numbers[:3])
