"""While a statement runs: say so several times a second, say who keeps it waiting, and stop what takes too long."""

from __future__ import annotations

from contextlib import suppress
from time import monotonic
from typing import TYPE_CHECKING, Any

import psycopg

if TYPE_CHECKING:
    from collections.abc import Generator

    from torc_migrations.databases.postgresql.connection import PostgreSQLConnection
    from torc_migrations.databases.postgresql.scripts.blockers import BlockerWatch

_TRY_AGAIN_AFTER = 1.0  # seconds, where a statement could not be stopped


class Ticks:
    """What is done while a statement runs, in the thread of the run.

    psycopg looks every tenth of a second whether Ctrl-C was pressed, and resumes its generator then.

    Attributes:
        watch: who knows what a statement waits for, or None.
        has_timed_out: whether the last statement was stopped because it took too long.
    """

    def __init__(self, database: PostgreSQLConnection) -> None:
        self._database = database
        self._deadline: float | None = None
        self.watch: BlockerWatch | None = None
        self.has_timed_out = False

    def during(self, generator: Generator[Any, Any, Any]) -> Generator[Any, Any, Any]:
        """Return a generator of psycopg with what is done while it waits for the server."""
        self.has_timed_out = False
        if self._database.monitor is None and self._database.statement_timeout is None:
            return generator
        timeout = self._database.statement_timeout
        self._deadline = None if timeout is None else monotonic() + timeout
        return self._resumed(generator)

    def _resumed(self, generator: Generator[Any, Any, Any]) -> Generator[Any, Any, Any]:
        try:
            state = next(generator)
            while True:
                ready = yield state
                self._tick()
                state = generator.send(ready)
        except StopIteration as ended:
            return ended.value

    def _tick(self) -> None:
        monitor = self._database.monitor
        if monitor is not None:
            if self.watch is not None and (report := self.watch.take_report()):
                monitor.wait(*report)
            monitor.tick()
        if self._deadline is not None and monotonic() >= self._deadline:
            self._deadline = monotonic() + _TRY_AGAIN_AFTER
            self.has_timed_out = True
            with suppress(psycopg.Error):
                self._database.connection.cancel_safe(timeout=5)
