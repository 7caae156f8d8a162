"""Cursors and connections that measure the time of everything that SQLite does for them."""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import chain, islice
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from types import TracebackType

    from torc_migrations.indexes.recording import Call, Recorder

# How many rows a loop reads ahead at most. To measure each row alone would make narrow rows take two to three times as
# long; to read more rows ahead than this is no faster.
_AHEAD = 256


def mixed(kind: type[Any], plain: type[Any], watched: type[Any], names: dict[str, object]) -> type[Any]:
    """Derive a watched class. It comes after `kind` in the order of the bases, so that it sees what reaches SQLite."""
    bases = (watched,) if kind is plain else (kind, watched)
    return type(f"Watched{kind.__name__}", bases, names)


class WatchedCursor(sqlite3.Cursor):
    """A cursor that measures the time of everything that SQLite does for it.

    Loops and `fetchone` read up to 256 rows ahead; each row is returned once and in order, by whichever method. Where
    SQLite fails after some rows, those that were read ahead are lost.
    """

    # No reference from its attributes back to it: a cursor that waits for the garbage collector keeps its locks.
    _watch: ClassVar[Recorder]
    _call: Call | None = None
    _ahead: list[Any] = []  # noqa: RUF012  # never filled: each batch is a list of its own
    _rest: Iterator[Any] = iter(())
    _size = 1

    def execute(self, sql: str, parameters: Any = (), /) -> Any:
        self._executed(self._run(super().execute, sql, parameters), parameters)
        return self

    def executemany(self, sql: str, parameters: Iterable[Any], /) -> Any:
        self._executed(self._run(super().executemany, sql, parameters), None)
        return self

    def executescript(self, sql: str, /) -> Any:
        self._run(super().executescript, sql).end()
        return self

    def _run(self, execute: Callable[..., object], sql: str, *arguments: object) -> Call:
        """Execute something, and measure its time."""
        self._finish()
        call = self._watch.begin(sql)
        started = perf_counter_ns()
        try:
            execute(sql, *arguments)
        except BaseException:
            call.add(perf_counter_ns() - started, 0, failed=True)
            call.end()
            raise
        call.add(perf_counter_ns() - started, self.rowcount if self.description is None else 0)
        return call

    def _executed(self, call: Call, parameters: Any) -> None:
        call.explain(self.connection, parameters)
        if self.description is None:
            call.end()
        else:
            self._call = call

    def __iter__(self) -> Any:
        return chain.from_iterable(self._batches())

    def _batches(self) -> Iterator[Iterator[Any]]:
        """Yield the rows that were read ahead, then read more, unless another method has done so in between."""
        while True:
            rest = self._rest
            yield rest
            if rest is self._rest and not self._read_ahead():
                return

    def _read_ahead(self) -> bool:
        """Fetch more rows, few at first, and return whether there are any."""
        self._ahead = self._fetched(super().fetchmany, self._size)
        self._rest = iter(self._ahead)
        self._size = min(8 * self._size, _AHEAD)
        if self._ahead:
            return True
        self._end_call()
        return False

    def __next__(self) -> Any:
        for row in self._rest:
            return row
        if self._read_ahead():
            return next(self._rest)
        raise StopIteration

    def fetchone(self) -> Any:
        for row in self._rest:
            return row
        return next(self._rest) if self._read_ahead() else None

    def _fetched(self, fetch: Callable[..., list[Any]], *arguments: int) -> list[Any]:
        """Fetch rows, and measure the time."""
        started = perf_counter_ns()
        try:
            rows = fetch(*arguments)
        except BaseException:
            if self._call:
                self._call.add(perf_counter_ns() - started, 0, failed=True)
            raise
        if self._call:
            self._call.add_part(perf_counter_ns() - started, len(rows))
        return rows

    def fetchmany(self, size: int | None = None) -> list[Any]:
        wanted = self.arraysize if size is None else size
        if wanted < 1:
            return [*self._rest, *self._fetched(super().fetchmany, wanted)]
        rows = list(islice(self._rest, wanted))
        if len(rows) < wanted:
            rows += self._fetched(super().fetchmany, wanted - len(rows))
            if len(rows) < wanted:
                self._end_call()
        return rows

    def fetchall(self) -> list[Any]:
        rows = [*self._rest, *self._fetched(super().fetchall)]
        self._end_call()
        return rows

    def close(self) -> None:
        self._finish()
        super().close()

    def __del__(self) -> None:
        if not sys.is_finalizing():
            self._end_call()

    def _finish(self) -> None:
        """Forget the rows that were read ahead, also where an iterator over them still exists."""
        self._ahead.clear()
        self._rest, self._size = iter(()), 1
        self._end_call()

    def _end_call(self) -> None:
        if self._call:
            self._call.end()
            self._call = None


class _WatchedMethods:
    """The methods that watch a connection: of a `WatchedConnection`, and of a `Proxy`."""

    __slots__ = ()

    _watch: Recorder

    @property
    def _plain(self) -> Any:
        """The connection without these methods."""
        return super()

    def cursor(self, factory: Any = sqlite3.Cursor) -> Any:
        # Only a class can be watched; a cursor that a function returns is not.
        return self._plain.cursor(self._watch.cursor_kind(factory) if isinstance(factory, type) else factory)

    def execute(self, sql: str, parameters: Any = (), /) -> Any:
        return self.cursor().execute(sql, parameters)

    def executemany(self, sql: str, parameters: Iterable[Any], /) -> Any:
        return self.cursor().executemany(sql, parameters)

    def executescript(self, sql: str, /) -> Any:
        return self.cursor().executescript(sql)

    def commit(self) -> None:
        with self._ending("COMMIT"):
            self._plain.commit()

    def rollback(self) -> None:
        with self._ending("ROLLBACK"):
            self._plain.rollback()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> Any:
        with self._ending("ROLLBACK" if kind else "COMMIT"):
            return self._plain.__exit__(kind, error, trace)

    @contextmanager
    def _ending(self, word: str) -> Iterator[None]:
        """Count the end of a transaction, where SQLite waits for the disk."""
        if not self._plain.in_transaction:
            yield
            return
        call = self._watch.begin(word)
        started = perf_counter_ns()
        failed = True
        try:
            yield
            failed = False
        finally:
            call.add(perf_counter_ns() - started, 0, failed=failed)
            call.end()


class WatchedConnection(_WatchedMethods, sqlite3.Connection):
    """A connection whose cursors are watched, and whose commits are measured."""


class Proxy(_WatchedMethods):
    """A watched proxy of an open connection, whose own methods cannot be replaced."""

    __slots__ = ("_watch", "conn")

    def __init__(self, connection: sqlite3.Connection, watch: Recorder) -> None:
        object.__setattr__(self, "conn", connection)
        object.__setattr__(self, "_watch", watch)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.conn, name)

    def __setattr__(self, name: str, value: object) -> None:
        setattr(self.conn, name, value)

    @property
    def _plain(self) -> Any:
        return self.conn

    def __enter__(self) -> Proxy:
        self.conn.__enter__()
        return self
