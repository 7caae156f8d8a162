"""While a statement runs: count SQLite's instructions, stop what takes too long, and let Ctrl-C through."""

from __future__ import annotations

import sqlite3
from collections.abc import Generator
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING

from torc_migrations.databases.waiting import Monitor

if TYPE_CHECKING:
    from torc_migrations.databases.lent import Interrupter

INSTRUCTIONS = 100_000  # of one statement, between two calls by SQLite


class Clock:
    """What looks at a statement while it runs.

    On a connection of ours SQLite calls it (https://sqlite.org/c3ref/progress_handler.html). A connection that is lent
    keeps the handler of its owner: nothing is counted there, and a thread stops a statement that takes too long.

    Attributes:
        monitor: hears of each call, or None.
        timeout: how many seconds a statement of a script may take, or None.
        instructions: how many of them scripts have run, or None where they are not counted.
        is_counting: whether what runs is a script.
    """

    def __init__(self) -> None:
        self.monitor: Monitor | None = None
        self.timeout: float | None = None
        self.instructions: int | None = None
        self.is_counting = False
        self._interruption: BaseException | None = None
        self._deadline: float | None = None
        self._is_late = False
        self._lent: sqlite3.Connection | None = None
        self._interrupter: Interrupter | None = None

    def watch(self, connection: sqlite3.Connection) -> None:
        """Look at the statements of a connection of ours."""
        self.instructions = self.instructions or 0
        ticks = self._ticks()
        next(ticks)
        # A generator goes on inside of its `try`, so that what a signal's handler raises is not lost; see `Authorizer`.
        connection.set_progress_handler(partial(next, ticks), INSTRUCTIONS)

    def watch_lent(self, connection: sqlite3.Connection) -> None:
        """Look at the statements of a connection that is lent."""
        self._lent = connection

    def _ticks(self) -> Generator[bool, None, None]:
        """Yield, whenever SQLite asks, whether the statement is to be stopped."""
        stop = False
        while True:
            try:
                while True:
                    yield stop
                    stop = self._tick()
            except GeneratorExit:
                return
            except BaseException as interruption:
                self._interruption = interruption
                stop = True

    def _tick(self) -> bool:
        if self.is_counting:
            self.instructions = (self.instructions or 0) + INSTRUCTIONS
            if self.monitor is not None:
                self.monitor.tick()
        self._is_late = self._deadline is not None and monotonic() >= self._deadline
        return self._is_late

    @property
    def has_timed_out(self) -> bool:
        """Whether the last statement was stopped because it took too long."""
        return self._is_late or (self._interrupter is not None and self._interrupter.has_timed_out)

    @property
    def is_timing(self) -> bool:
        """Whether it has to be called when a statement of a script begins and ends."""
        return self.timeout is not None

    def begin(self) -> None:
        """Note that a statement of a script begins."""
        if self.timeout is None:
            return
        if self._lent is None:
            self._is_late = False
            self._deadline = monotonic() + self.timeout
            return
        if self._interrupter is None:
            from torc_migrations.databases.lent import Interrupter

            self._interrupter = Interrupter(self._lent, self.timeout)
        self._interrupter.begin()

    def end(self) -> None:
        """Note that it has ended."""
        self._deadline = None
        if self._interrupter is not None:
            self._interrupter.end()

    def end_script(self) -> None:
        """Note that a script has ended, wherever it was interrupted."""
        self.is_counting = False
        self.end()

    def close(self) -> None:
        """End the thread, if there is one."""
        if self._interrupter is not None:
            self._interrupter.close()
            self._interrupter = None

    def take_interruption(self) -> BaseException | None:
        """Return what a signal's handler has raised in a statement, which was stopped for it; only once."""
        interruption, self._interruption = self._interruption, None
        return interruption


class Clocked:
    """A database with a clock: what `Database` says of these."""

    clock: Clock

    @property
    def monitor(self) -> Monitor | None:
        """Who hears of each statement of a script, and of waiting."""
        return self.clock.monitor

    @monitor.setter
    def monitor(self, monitor: Monitor | None) -> None:
        self.clock.monitor = monitor

    @property
    def statement_timeout(self) -> float | None:
        """How many seconds a statement of a script may take."""
        return self.clock.timeout

    @statement_timeout.setter
    def statement_timeout(self, seconds: float | None) -> None:
        self.clock.timeout = seconds

    @property
    def instructions(self) -> int | None:
        """How many of SQLite's instructions scripts were, in steps of 100,000; None on a connection that is lent."""
        return self.clock.instructions
