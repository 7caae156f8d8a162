"""The counters for the queries of an application."""

from __future__ import annotations

import sqlite3
from contextlib import suppress
from dataclasses import asdict, dataclass
from logging import DEBUG, getLogger
from threading import RLock
from typing import Protocol

from torc_migrations.databases.results.plans import QueryPlan
from torc_migrations.databases.sqlite.tuning.plans import Parameters, can_be_explained, explain
from torc_migrations.formatting import duration_text

LOGGER = getLogger("torc_migrations.watch")

_MILLISECOND = 1_000_000


class Recorder(Protocol):
    """What a watched connection reports its calls to; a `Watch` is one."""

    def cursor_kind(self, kind: type[sqlite3.Cursor]) -> type[sqlite3.Cursor]:
        """Return the watched class for a class of cursors."""

    def begin(self, sql: str) -> Call:
        """Begin to count one call of a statement."""


@dataclass(frozen=True, slots=True)
class Query:
    """The calls of one SQL text.

    Attributes:
        sql: the text, as the application gave it; parameters are neither kept nor logged.
        calls, failures: how often it ran, and how many of these calls raised an error.
        rows: how many rows were fetched or changed.
        elapsed_ns: the time of all calls in SQLite, in nanoseconds: running, fetching, waiting for locks.
        slowest_ns: the time of the slowest call, in nanoseconds.
        slow_calls: how many calls took at least the `slow` seconds of the watch.
        plan: its plan after the first call that succeeded, or None where it has no plan.
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
        return {**asdict(self), "plan": plan, "scans": list(self.scans)}


class Tally:
    """The counters for one text; changed under the lock of the watch, except for the plan, which is set once."""

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
        """Return what was counted, as a value."""
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
        """Get the plan, once, and log its scans; some statements have no plan."""
        self.is_explained = True
        if not can_be_explained(self.sql):
            return
        with suppress(sqlite3.Error, sqlite3.Warning):
            self.plan = explain(connection, self.sql, parameters)
            if scans := self.plan.scans:
                LOGGER.warning("%s: %s", "; ".join(scans), one_line(self.sql))


class Call:
    """One call of a statement, from its execution to its last row."""

    __slots__ = ("_lock", "_part_ns", "_part_rows", "_spent_ns", "_tally", "is_over")

    def __init__(self, tally: Tally, lock: RLock) -> None:
        self._tally = tally
        self._lock = lock
        self._spent_ns = -1
        self._part_ns = self._part_rows = 0
        self.is_over = False

    def add(self, elapsed_ns: int, rows: int, *, failed: bool = False) -> None:
        """Add time that this call spent in SQLite, and its rows."""
        tally, before = self._tally, self._spent_ns
        first = before < 0
        self._spent_ns = spent_ns = elapsed_ns if first else before + elapsed_ns
        with self._lock:
            tally.calls += first
            tally.failures += failed
            tally.rows += max(rows, 0)  # SQLite returns -1 where the number is unknown
            tally.elapsed_ns += elapsed_ns
            if spent_ns > tally.slowest_ns:
                tally.slowest_ns = spent_ns
            if spent_ns >= tally.slow_ns and (first or before < tally.slow_ns):
                tally.slow_calls += 1

    def add_part(self, elapsed_ns: int, rows: int) -> None:
        """Add the time of a few rows; it is counted when it reaches a millisecond, or at the end."""
        self._part_ns += elapsed_ns
        self._part_rows += rows
        if self._part_ns >= _MILLISECOND:
            self._add_parts()

    def _add_parts(self) -> None:
        elapsed_ns, rows = self._part_ns, self._part_rows
        self._part_ns = self._part_rows = 0
        self.add(elapsed_ns, rows)

    def explain(self, connection: sqlite3.Connection, parameters: Parameters | None) -> None:
        """Keep the plan of the query, unless that was done already."""
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
            LOGGER.warning("slow, %s: %s", duration_text(self._spent_ns), one_line(self._tally.sql))
        elif LOGGER.isEnabledFor(DEBUG):
            LOGGER.debug("%s: %s", duration_text(self._spent_ns), one_line(self._tally.sql))


def one_line(sql: str) -> str:
    """Return a statement on one line, cut to 200 characters."""
    line = " ".join(sql.split())
    return line if len(line) <= 200 else f"{line[:199]}…"
