"""What scripts leave in a session: settings, roles, temporary tables, prepared statements."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from psycopg import sql

if TYPE_CHECKING:
    from psycopg import ClientCursor

SELECT_SETTINGS = """
    SELECT name, setting
    FROM pg_catalog.pg_settings
    WHERE source = 'session'
    AND context IN ('user', 'superuser')
    AND name NOT IN ('transaction_isolation', 'transaction_read_only', 'transaction_deferrable')
"""
SELECT_ROLES = "SELECT session_user, current_setting('role')"
# What is left, in an order in which it can be dropped: a view needs its table.
SELECT_TEMPORARY = """
    SELECT
        CASE c.relkind WHEN 'v' THEN 'VIEW' WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END,
        c.oid::regclass::text,
        c.oid::bigint
    FROM pg_catalog.pg_class c
    WHERE c.relnamespace = pg_my_temp_schema()
    AND c.relkind IN ('r', 'p', 'v', 'S')
    ORDER BY c.relkind = 'v' DESC, c.relkind = 'S'
"""


class SessionState:
    """The settings of a session as they were before the first script, and how they are restored.

    A setting belongs to the session, and survives the transaction in which a script has changed it: with another
    `search_path`, or another role, the ledgers would be looked for elsewhere.
    """

    def __init__(self, run: Callable[..., ClientCursor[Any]]) -> None:
        self._run = run
        self._restoring: str | None = None
        self._local = ""
        self._temporary = frozenset[int]()

    def note(self, local: str, *, lent: bool) -> None:
        """Note how the session is; `local` is what is set in each transaction. Outside a transaction.

        What is lent may have settings of its owner's.
        """
        user, role = self._run(SELECT_ROLES).fetchall()[0]
        settings = self._run(SELECT_SETTINGS).fetchall() if lent else []
        self._temporary = frozenset(oid for _, _, oid in self._run(SELECT_TEMPORARY).fetchall())
        set_again = [f"set_config({literal(name)}, {literal(value)}, false)" for name, value in settings]
        self._restoring = "; ".join(
            [
                "RESET ALL",
                "SET client_encoding TO 'UTF8'",
                f"SET SESSION AUTHORIZATION {_name(user)}",
                f"SET ROLE {'NONE' if role == 'none' else _name(role)}",
                *([f"SELECT {', '.join(set_again)}"] if set_again else []),
            ]
        )
        self._local = local

    def restore(self, *, outside: bool) -> None:
        """Undo what a script has left, in the transaction of the caller or `outside` of one."""
        if self._restoring is None:
            return
        local = "" if outside else f"{self._local}; "
        cursor = self._run(f"{self._restoring}; {local}{SELECT_TEMPORARY}")
        while cursor.nextset():  # the last result is that of the query
            pass
        for kind, name, oid in cursor.fetchall():
            if oid not in self._temporary:
                self._run(f"DROP {kind} IF EXISTS {name} CASCADE")


def set_search_path(schemas: str) -> str:
    """Return what sets the search path in a transaction to the names that a URL has, or "" where it has none."""
    return f"SELECT set_config('search_path', {literal(schemas)}, true); " if schemas else ""


def literal(text: str) -> str:
    """Return a text as SQL writes it, whatever `standard_conforming_strings` says."""
    return sql.Literal(text).as_string(None)


def _name(text: str) -> str:
    return sql.Identifier(text).as_string(None)
