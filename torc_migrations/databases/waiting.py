"""Wait for a database that somebody else holds, and say who holds it; stop an operation from another thread."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Protocol

from torc_migrations.errors import LockTimeout, Stopped
from torc_migrations.log import log

# A pause is a hundredth of the time waited so far, so that the delay after the lock is free stays about 1 %.
_SHARE, _SHORTEST, _LONGEST = 0.01, 0.001, 0.1
SHORT = 0.01  # seconds, the longest pause where a lock is free for moments only
_REPORT_AFTER, _REPORT_EVERY = 1.0, 10.0
_TURN_EVERY = 2.0  # seconds; less than half of the busy timeout that Python's sqlite3 and sqlx have by default, 5 s
_TURN = 0.12  # seconds; a connection that waits for SQLite's lock asks again after at most 0.1

# What the operation of this thread asks whether it is to stop, or None.
_asked: ContextVar[Callable[[], bool] | None] = ContextVar("_asked", default=None)


@contextmanager
def stoppable(is_stopped: Callable[[], bool] | None) -> Iterator[None]:
    """Let an operation of this thread end between two migrations, or while it waits, once `is_stopped` returns True.

    With None it ends by itself only, as long as that lasts.
    """
    before = _asked.set(is_stopped)
    try:
        yield
    finally:
        _asked.reset(before)


def is_stopped() -> bool:
    """Return whether the operation of this thread is to stop."""
    asked = _asked.get()
    return asked is not None and asked()


def raise_if_stopped() -> None:
    """End the operation of this thread if it is to stop.

    Raises:
        Stopped: it is.
    """
    if is_stopped():
        raise Stopped


class Monitor(Protocol):
    """Who hears from a database, in the thread of the run, while it runs a script or waits for others.

    It raises nothing of its own, only what a signal's handler raises.

    Attributes:
        tells_statements: whether each statement is to be heard of. Else a server may be sent a script as a whole.
    """

    tells_statements: bool

    def begin_statement(self, offset: int) -> None:
        """Note that the next statement of the script begins, at this byte of its file."""

    def tick(self) -> None:
        """Note that a statement is still running; called several times a second by a database that can."""

    def wait(self, holder: str, waited: float) -> None:
        """Note that a holder of the database has been waited for, for so many seconds; see `waiting.Wait`."""


class Wait:
    """A wait of at most `timeout` seconds; the log, and a monitor, hear of it after a second and then every ten.

    Args:
        longest: seconds of a pause at most. A lock without a queue is only free for moments beside one who never rests.
    """

    def __init__(
        self, database: str, timeout: float, monitor: Monitor | None = None, *, longest: float = _LONGEST
    ) -> None:
        self._database = database
        self._timeout = timeout
        self._monitor = monitor
        self._longest = longest
        self._began = time.monotonic()
        self._report_at = _REPORT_AFTER

    def pause(self, holder: Callable[[], str]) -> None:
        """Sleep a little; `holder` describes who holds the database.

        Raises:
            LockTimeout: `timeout` seconds have passed.
            Stopped: the operation was stopped from another thread.
        """
        raise_if_stopped()
        waited = time.monotonic() - self._began
        if waited >= self._timeout:
            raise LockTimeout(self._database, holder(), waited)
        if waited >= self._report_at:
            self._report_at = waited + _REPORT_EVERY
            name = holder()
            log().warning("waiting for %s: %s holds it (%.0f s so far)", self._database, name, waited)
            if self._monitor is not None:
                self._monitor.wait(name, waited)
        pause = min(max(waited * _SHARE, _SHORTEST), self._longest)
        time.sleep(min(pause, self._timeout - waited))


class Turns:
    """Leaves a lock without a queue free for a moment, every two seconds of a run, so that others who ask get it.

    Where somebody then holds it almost all the time, the run keeps it for as long as it had to wait for it.
    """

    def __init__(self) -> None:
        self._left: float | None = time.monotonic()
        self._next = math.inf

    def leave_free(self) -> None:
        """Sleep a little if the last time is long ago; called between two transactions."""
        if time.monotonic() >= self._next:
            time.sleep(_TURN)
            self._left = time.monotonic()

    def note_taken(self) -> None:
        """Note that the lock is held."""
        if self._left is not None:
            now = time.monotonic()
            self._next = now + max(_TURN_EVERY, now - self._left)
            self._left = None
