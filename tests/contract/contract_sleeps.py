"""Statements of each kind of server that take a while."""

from __future__ import annotations

SLEEP = {"postgresql": "SELECT pg_sleep({})", "pgbouncer": "SELECT pg_sleep({})", "mariadb": "SELECT SLEEP({})"}
# The same in a statement that changes a row, so that a script of such is one transaction everywhere.
SLOW_CHANGE = {
    "postgresql": "INSERT INTO t1 SELECT 9 FROM pg_sleep(60)",
    "pgbouncer": "INSERT INTO t1 SELECT 9 FROM pg_sleep(60)",
    "mariadb": "INSERT INTO t1 SELECT SLEEP(60)",
}
