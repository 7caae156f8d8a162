"""Watch the queries of an application: their times, their plans, which are slow, and which scan."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from threading import RLock
from typing import TypeVar, cast, overload

from torc_migrations.formatting import table_text
from torc_migrations.indexes.recording import Call, Query, Tally, one_line
from torc_migrations.indexes.watched import Proxy, WatchedConnection, WatchedCursor, mixed

OTHERS = "(all other queries)"

_Connection = TypeVar("_Connection", bound=sqlite3.Connection)


class Watch:
    """Record the queries of any number of connections, in any number of threads.

    Each SQL text is explained once, after its first call that succeeds, on the connection that ran it, with a cursor
    of its own: its transaction, its row factory and its `total_changes` do not change.
    Each text counts as one query, so a text with values written into it counts as many queries.

    The last millisecond of a cursor that is still open is counted after its last row, at its next statement, or when
    it is closed.

    The log `torc_migrations.watch` gets each query with its time, without parameters: at level DEBUG, or at WARNING
    if the call was slow. A text whose plan has a scan is logged once at WARNING.

    Args:
        slow: the seconds from which a call counts as slow.
        most: the number of texts that are counted one by one; the others are counted together as `OTHERS`, without
            plans.
    """

    def __init__(self, *, slow: float = 0.1, most: int = 1000) -> None:
        self.slow = slow
        self.most = most
        self._slow_ns = round(slow * 1e9)
        self._tallies: dict[str, Tally] = {}
        self._cursors: dict[type[sqlite3.Cursor], type[sqlite3.Cursor]] = {}
        # Reentrant: a signal handler or a finalizer may run queries in the thread that holds the lock.
        self._lock = RLock()

    @overload
    def factory(self) -> type[sqlite3.Connection]: ...

    @overload
    def factory(self, kind: type[_Connection]) -> type[_Connection]: ...

    def factory(self, kind: type[sqlite3.Connection] = sqlite3.Connection) -> type[sqlite3.Connection]:
        """Return a watched class for `sqlite3.connect(..., factory=...)`, derived from the class `kind`."""
        return cast("type[sqlite3.Connection]", mixed(kind, sqlite3.Connection, WatchedConnection, {"_watch": self}))

    def wrap(self, connection: sqlite3.Connection) -> sqlite3.Connection:
        """Return a watched proxy of an open connection.

        It is not an instance of `sqlite3.Connection`, which methods such as `backup` need; that is its `conn`.
        """
        return cast("sqlite3.Connection", Proxy(connection, self))

    @property
    def queries(self) -> tuple[Query, ...]:
        """The queries so far; those that took the most time come first."""
        with self._lock:
            queries = [tally.as_query() for tally in self._tallies.values()]
        return tuple(sorted(queries, key=lambda query: query.elapsed_ns, reverse=True))

    @property
    def scans(self) -> tuple[Query, ...]:
        """The queries that read a whole table or index; those that took the most time come first."""
        return tuple(query for query in self.queries if query.scans)

    @property
    def slow_queries(self) -> tuple[Query, ...]:
        """The queries with a slow call; those that took the most time come first."""
        return tuple(query for query in self.queries if query.slow_calls)

    def clear(self) -> None:
        """Forget all queries; each is explained again, which is necessary after a migration."""
        with self._lock:
            self._tallies = {}

    def as_text(self) -> str:
        """Return a table of the queries, with the scans of each below it."""
        return table_text([("calls", "total", "slowest", "rows", "query"), *_rows(self.queries)], right=range(4))

    def cursor_kind(self, kind: type[sqlite3.Cursor]) -> type[sqlite3.Cursor]:
        """Return the watched class for a class of cursors."""
        found = self._cursors.get(kind)
        if found is None:
            found = self._cursors[kind] = mixed(kind, sqlite3.Cursor, WatchedCursor, {"_watch": self})
        return found

    def _tally(self, sql: str) -> Tally:
        tally = self._tallies.get(sql)
        if tally is not None:
            return tally
        with self._lock:
            if len(self._tallies) >= self.most and sql not in self._tallies:
                return self._tallies.setdefault(OTHERS, Tally(OTHERS, self._slow_ns, is_explained=True))
            return self._tallies.setdefault(sql, Tally(sql, self._slow_ns))

    def begin(self, sql: str) -> Call:
        """Begin to count one call of a statement."""
        return Call(self._tally(sql), self._lock)


def _rows(queries: tuple[Query, ...]) -> Iterator[tuple[str, ...]]:
    for query in queries:
        times = _milliseconds(query.elapsed_ns), _milliseconds(query.slowest_ns)
        slow = f"  [{query.slow_calls} slow]" if query.slow_calls else ""
        yield (str(query.calls), *times, str(query.rows), f"{one_line(query.sql)}{slow}")
        yield from (("", "", "", "", f"  {scan}") for scan in query.scans)


def _milliseconds(nanoseconds: int) -> str:
    return f"{nanoseconds / 1e6:.3f} ms"
