"""What a lent connection needs: one thread that uses it at a time, and another that stops long statements."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Lock, RLock, Thread
from time import monotonic
from typing import Protocol

from torc_migrations.databases.waiting import Wait

_LONGEST = 1_000_000.0  # seconds; threads cannot wait for much more
_SHORTEST = 0.001


class _Turn:
    """The lock of one lent connection, how many threads have it or wait for it, and how often its holder has it.

    It keeps the connection, so that no other one gets its id: an interruption may leave it here.
    """

    def __init__(self, connection: object) -> None:
        self.connection = connection
        self.lock = RLock()
        self.users = 0
        self.depth = 0


# By the id of a connection.
_turns: dict[int, _Turn] = {}
_guard = RLock()  # a debugger's or a test's trace function may raise between the end of a `with` and the release


@contextmanager
def used_alone(connection: object, timeout: float) -> Iterator[bool]:
    """Have other threads that are lent the same connection wait; yield whether the same thread uses it already.

    Raises:
        LockTimeout: another thread has used it for `timeout` seconds.
    """
    with _guard:
        turn = _turns.setdefault(id(connection), _Turn(connection))
        turn.users += 1
    wait = Wait("the connection", timeout)
    try:
        while not turn.lock.acquire(blocking=False):
            wait.pause(lambda: "another thread of this process")
        turn.depth += 1
        try:
            yield turn.depth > 1
        finally:
            turn.depth -= 1
            turn.lock.release()
    finally:
        with _guard:
            turn.users -= 1
            if not turn.users:
                del _turns[id(connection)]


class Interruptible(Protocol):
    """A connection of SQLite."""

    def interrupt(self) -> None:
        """Stop the statement that is running, from any thread: https://sqlite.org/c3ref/interrupt.html."""


class Interrupter:
    """A thread that interrupts statements which take too long, where the progress handler is that of the owner.

    Attributes:
        has_timed_out: whether the last statement was stopped because it took too long.
    """

    def __init__(self, connection: Interruptible, timeout: float) -> None:
        self.has_timed_out = False
        self._connection = connection
        self._timeout = timeout
        self._deadline: float | None = None
        self._guard = Lock()
        self._closed = Event()
        self._thread = Thread(target=self._stop_late, daemon=True)
        self._thread.start()

    def begin(self) -> None:
        """Note that a statement begins."""
        with self._guard:
            self.has_timed_out = False
            self._deadline = monotonic() + self._timeout

    def end(self) -> None:
        """Note that it has ended."""
        with self._guard:
            self._deadline = None

    def close(self) -> None:
        """End the thread."""
        self._closed.set()
        self._thread.join()

    def _stop_late(self) -> None:
        pause = min(self._timeout, _LONGEST)
        while not self._closed.wait(pause):
            with self._guard:
                left = self._timeout if self._deadline is None else self._deadline - monotonic()
                if left <= 0:
                    self._deadline = None
                    self.has_timed_out = True
                    self._connection.interrupt()
            pause = min(max(left, _SHORTEST), _LONGEST) if left > 0 else min(self._timeout, _LONGEST)
