"""Watch an application's own queries: how long they take, how SQLite runs them, which are slow, which scan."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from logging import DEBUG, getLogger
from threading import RLock
from typing import TYPE_CHECKING, NamedTuple, TypeVar, cast

from torc_migrations.driver import sqlite3
from torc_migrations.plan import duration_text
from torc_migrations.query_plan import QueryPlan, can_be_explained, explain
from torc_migrations.watched import Proxy, WatchedConnection, WatchedCursor, mixed

if TYPE_CHECKING:
    from torc_migrations.query_plan import Parameters

LOGGER = getLogger("torc_migrations.watch")
OTHERS = "(all other queries)"

_MILLISECOND = 1_000_000

_Connection = TypeVar("_Connection", bound=sqlite3.Connection)


class Query(NamedTuple):
    """What was seen of one SQL text.

    Attributes:
        sql: the text, as the application gave it; parameters are neither kept nor logged.
        calls, failures: how often it ran, and how many of these runs raised an error.
        rows: how many rows were fetched, or changed.
        elapsed_ns: the time spent in SQLite by all calls, in nanoseconds: running, fetching, waiting for locks.
        slowest_ns: that of the slowest call.
        slow_calls: how many calls took as long as the watch's `slow`, or longer.
        plan: how SQLite ran it when it first succeeded, or None where it has no plan.
    """

    sql: str
    calls: int = 0
    failures: int = 0
    rows: int = 0
    elapsed_ns: int = 0
    slowest_ns: int = 0
    slow_calls: int = 0
    plan: QueryPlan | None = None

    @property
    def scans(self) -> tuple[str, ...]:
        """The lines of its plan that read a whole table or index."""
        return self.plan.scans if self.plan else ()

    def as_dict(self) -> dict[str, object]:
        """Return the same as values that `json` takes."""
        plan = list(self.plan.texts) if self.plan else None
        return {**self._asdict(), "plan": plan, "scans": list(self.scans)}


class Watch:
    """Record the queries of any number of connections, in any number of threads.

    Each SQL text is explained once, after its first success, on the connection that ran it: a cursor of its own, no
    transaction, no row factory, nothing counted in `total_changes`, nothing told to a trace callback.
    Queries are told apart by their text, so text with values pasted into it counts as many queries.

    What a cursor that is still open spent in its last millisecond is counted when it is done with, by its last row, its
    next statement, or its end.

    Logged to `torc_migrations.watch`, with the time and without parameters: every query at level DEBUG, slow ones
    at WARNING, and at WARNING too, once for each text, those that scan.

    Args:
        slow: from how many seconds on a call is called slow.
        most: how many texts are told apart; what comes later is counted under `OTHERS`, without plans.
    """

    def __init__(self, *, slow: float = 0.1, most: int = 1000) -> None:
        self.slow = slow
        self.most = most
        self._slow_ns = round(slow * 1e9)
        self._tallies: dict[str, _Tally] = {}
        self._cursors: dict[type[sqlite3.Cursor], type[sqlite3.Cursor]] = {}
        # One that may be taken twice: a signal's handler, or an object that is collected, may run queries meanwhile.
        self._lock = RLock()

    def factory(self, kind: type[_Connection] = sqlite3.Connection) -> type[_Connection]:  # type: ignore[assignment]  # a default is a subtype
        """Return a class for `sqlite3.connect(..., factory=watch.factory())`, or a watched twin of your own class."""
        return cast("type[_Connection]", mixed(kind, sqlite3.Connection, WatchedConnection, {"_watch": self}))

    def wrap(self, connection: sqlite3.Connection) -> sqlite3.Connection:
        """Return a stand-in for an open connection, which behaves like it and is watched.

        It is no instance of `sqlite3.Connection`, which C code such as `backup` insists on: that is in its `conn`.
        """
        return cast("sqlite3.Connection", Proxy(connection, self))

    @property
    def queries(self) -> tuple[Query, ...]:
        """What was seen so far, the most time first."""
        with self._lock:
            queries = [tally.as_query() for tally in self._tallies.values()]
        return tuple(sorted(queries, key=lambda query: query.elapsed_ns, reverse=True))

    @property
    def scans(self) -> tuple[Query, ...]:
        """The queries that read a whole table or index, the most time first."""
        return tuple(query for query in self.queries if query.scans)

    @property
    def slow_queries(self) -> tuple[Query, ...]:
        """The queries that had a slow call, the most time first."""
        return tuple(query for query in self.queries if query.slow_calls)

    def clear(self) -> None:
        """Forget everything that was seen; plans are asked for again, as after a migration they have to be."""
        with self._lock:
            self._tallies = {}

    def as_text(self) -> str:
        """Return a table of the queries, the most time first, with the scans below each."""
        return "".join(f"{line}\n" for line in _table(self.queries))

    def cursor_kind(self, kind: type[sqlite3.Cursor]) -> type[sqlite3.Cursor]:
        found = self._cursors.get(kind)
        if found is None:
            found = self._cursors[kind] = mixed(kind, sqlite3.Cursor, WatchedCursor, {"_watch": self})
        return found

    def _tally(self, sql: str) -> _Tally:
        tally = self._tallies.get(sql)
        if tally is not None:
            return tally
        with self._lock:
            if len(self._tallies) >= self.most and sql not in self._tallies:
                return self._tallies.setdefault(OTHERS, _Tally(OTHERS, self._slow_ns, is_explained=True))
            return self._tallies.setdefault(sql, _Tally(sql, self._slow_ns))

    def begin(self, sql: str) -> Call:
        return Call(self._tally(sql), self._lock)


class _Tally:
    """What is counted for one text; changed under the watch's lock only, but for the plan, which is set once."""

    __slots__ = (
        "calls",
        "elapsed_ns",
        "failures",
        "is_explained",
        "plan",
        "rows",
        "slow_calls",
        "slow_ns",
        "slowest_ns",
        "sql",
    )

    def __init__(self, sql: str, slow_ns: int, *, is_explained: bool = False) -> None:
        self.sql = sql
        self.slow_ns = slow_ns
        self.is_explained = is_explained
        self.calls = self.failures = self.rows = self.elapsed_ns = self.slowest_ns = self.slow_calls = 0
        self.plan: QueryPlan | None = None

    def as_query(self) -> Query:
        return Query(
            self.sql,
            self.calls,
            self.failures,
            self.rows,
            self.elapsed_ns,
            self.slowest_ns,
            self.slow_calls,
            self.plan,
        )

    def explain(self, connection: sqlite3.Connection, parameters: Parameters | None) -> None:
        """Ask for the plan, once, and say so where it scans; a statement without a plan has none."""
        self.is_explained = True
        if not can_be_explained(self.sql):
            return
        with suppress(sqlite3.Error, sqlite3.Warning):
            self.plan = explain(connection, self.sql, parameters)
            if scans := self.plan.scans:
                LOGGER.warning("%s: %s", "; ".join(scans), _one_line(self.sql))


class Call:
    """One run of a statement, from its execution to its last row."""

    __slots__ = ("_lock", "_part_ns", "_part_rows", "_spent_ns", "_tally", "is_over")

    def __init__(self, tally: _Tally, lock: RLock) -> None:
        self._tally = tally
        self._lock = lock
        self._spent_ns = -1
        self._part_ns = self._part_rows = 0
        self.is_over = False

    def add(self, elapsed_ns: int, rows: int, *, failed: bool = False) -> None:
        """Count time that this call spent in SQLite, and what came of it."""
        tally, before = self._tally, self._spent_ns
        first = before < 0
        self._spent_ns = spent_ns = elapsed_ns if first else before + elapsed_ns
        with self._lock:
            tally.calls += first
            tally.failures += failed
            tally.rows += max(rows, 0)  # SQLite counts -1 where nothing can be counted
            tally.elapsed_ns += elapsed_ns
            if spent_ns > tally.slowest_ns:
                tally.slowest_ns = spent_ns
            if spent_ns >= tally.slow_ns and (first or before < tally.slow_ns):
                tally.slow_calls += 1

    def add_part(self, elapsed_ns: int, rows: int) -> None:
        """Count the time of a few rows, which is passed on when it amounts to a millisecond, or at the end."""
        self._part_ns += elapsed_ns
        self._part_rows += rows
        if self._part_ns >= _MILLISECOND:
            self._add_parts()

    def _add_parts(self) -> None:
        elapsed_ns, rows = self._part_ns, self._part_rows
        self._part_ns = self._part_rows = 0
        self.add(elapsed_ns, rows)

    def explain(self, connection: sqlite3.Connection, parameters: Parameters | None) -> None:
        if not self._tally.is_explained:
            self._tally.explain(connection, parameters)

    def end(self) -> None:
        """Log the call, once."""
        if self.is_over:
            return
        self.is_over = True
        if self._part_ns:
            self._add_parts()
        if self._spent_ns >= self._tally.slow_ns:
            LOGGER.warning("slow, %s: %s", duration_text(self._spent_ns), _one_line(self._tally.sql))
        elif LOGGER.isEnabledFor(DEBUG):
            LOGGER.debug("%s: %s", duration_text(self._spent_ns), _one_line(self._tally.sql))


def _table(queries: tuple[Query, ...]) -> Iterator[str]:
    yield f"{'calls':>7} {'total':>12} {'slowest':>12} {'rows':>9}  query"
    for query in queries:
        times = f"{_milliseconds(query.elapsed_ns):>12} {_milliseconds(query.slowest_ns):>12}"
        marks = f"  [{query.slow_calls} slow]" if query.slow_calls else ""
        yield f"{query.calls:>7} {times} {query.rows:>9}  {_one_line(query.sql)}{marks}"
        yield from (f"{'':>44}{scan}" for scan in query.scans)


def _milliseconds(nanoseconds: int) -> str:
    return f"{nanoseconds / 1e6:.3f} ms"


def _one_line(sql: str) -> str:
    line = " ".join(sql.split())
    return line if len(line) <= 200 else f"{line[:199]}…"
