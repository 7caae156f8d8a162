"""While a statement runs: say so several times a second, say who keeps it waiting, and stop what takes too long."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from threading import Thread
from time import monotonic
from typing import Any, Protocol

from torc_migrations.databases.mysql.connection import MySqlSession, code_of, is_of_driver
from torc_migrations.databases.mysql.scripts.blockers import describe_blockers
from torc_migrations.databases.waiting import Monitor
from torc_migrations.log import log

INTERRUPTED = 1317  # https://mariadb.com/kb/en/mariadb-error-codes/
_PAUSE = 0.1
_LOOK_AFTER, _LOOK_EVERY = 1.0, 10.0
_TRY_AGAIN_AFTER = 1.0  # seconds, where a statement could not be stopped
_LONGEST_STOP = 5.0


class Ticking(Protocol):
    """What is used here of a `MySqlConnection`."""

    session: MySqlSession
    monitor: Monitor | None
    statement_timeout: float | None

    def interrupt(self) -> None:
        """Stop the statement that is running, by a connection of its own."""

    def reconnected(self) -> Any:
        """Open another connection to the same server."""


class Ticks:
    """Runs statements; where somebody watches, in another thread, while this one does what is to be done meanwhile.

    PyMySQL waits for the server until it answers, and calls nobody.

    Attributes:
        has_timed_out: whether the last statement was stopped because it took too long.
    """

    def __init__(self, database: Ticking) -> None:
        self._database = database
        self._began = self._look_at = 0.0
        self._deadline: float | None = None
        self.has_timed_out = False

    def run(self, text: str) -> None:
        """Run a statement of a script to its end."""
        database, session = self._database, self._database.session
        self.has_timed_out = False
        if database.monitor is None and database.statement_timeout is None:
            session.run_text(text)
            return
        self._began = monotonic()
        self._look_at = self._began + _LOOK_AFTER
        self._deadline = None if database.statement_timeout is None else self._began + database.statement_timeout
        work = _Work(lambda: session.run_text(text))
        try:
            work.start()
            while not work.has_ended(_PAUSE):
                self._tick()
        except BaseException:
            self._stop(work)
            raise
        if self.has_timed_out:
            self._take_late_stop(work)
        if work.error is not None:
            raise work.error

    def _tick(self) -> None:
        now, monitor = monotonic(), self._database.monitor
        if monitor is not None:
            if now >= self._look_at:
                self._look_at = now + _LOOK_EVERY
                self._look(monitor)
            monitor.tick()
        if self._deadline is not None and now >= self._deadline:
            self._deadline = now + _TRY_AGAIN_AFTER
            self.has_timed_out = True
            self._database.interrupt()

    def _look(self, monitor: Monitor) -> None:
        """Say who keeps the statement waiting, if it waits."""
        holder = ""
        try:
            connection = self._database.reconnected()
            try:
                holder = describe_blockers(connection, self._database.session.number)
            finally:
                connection.close()
        except Exception as error:
            log().debug("cannot look for who is in the way: %s", error)
        if holder:
            waited = monotonic() - self._began
            log().warning("a statement waits (%.0f s so far): %s is in the way", waited, holder)
            monitor.wait(holder, waited)

    def _stop(self, work: _Work) -> None:
        """Stop a statement after an interruption, so that the connection can be used again."""
        give_up = monotonic() + _LONGEST_STOP
        while not work.has_ended(0):
            self._database.interrupt()
            if work.has_ended(_TRY_AGAIN_AFTER):
                break
            if monotonic() >= give_up:
                with suppress(Exception):
                    self._database.session.connection.close()
                return
        self._take_late_stop(work)

    def _take_late_stop(self, work: _Work) -> None:
        """Run a statement that does nothing where the stop may have come after the end of that which it was for."""
        if work.error is not None and is_of_driver(work.error) and code_of(work.error) == INTERRUPTED:
            return
        if self._database.session.connection.open:
            try:
                self._database.session.run("DO 0")
            except Exception as error:
                if not is_of_driver(error):
                    raise


class _Work(Thread):
    """Something that is done in another thread.

    Attributes:
        error: what it has raised, or None.
    """

    def __init__(self, act: Callable[[], None]) -> None:
        super().__init__(name="torc_migrations statement", daemon=True)
        self._act = act
        self.error: BaseException | None = None

    def run(self) -> None:
        """Do it."""
        try:
            self._act()
        except BaseException as error:
            self.error = error

    def has_ended(self, seconds: float) -> bool:
        """Wait at most so many seconds for its end, and return whether it has come."""
        self.join(seconds)
        return not self.is_alive()
