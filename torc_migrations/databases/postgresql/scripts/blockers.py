"""Find out, while a statement waits for a lock, whose lock that is."""

from __future__ import annotations

from threading import Event, Thread
from time import monotonic
from typing import TYPE_CHECKING, Any

import psycopg

from torc_migrations.databases.postgresql.locks import describe_blockers
from torc_migrations.log import log

if TYPE_CHECKING:
    from torc_migrations.databases.postgresql.connection import PostgreSQLConnection

_REPORT_EVERY = 10.0


class BlockerWatch:
    """Asks from another connection, once a statement takes long, which sessions keep it waiting.

    A session knows that only while it waits. The other connection is opened after a second, or half of the timeout.

    Attributes:
        holder: who was in the way when that was asked last, or an empty text.
    """

    def __init__(self, database: PostgreSQLConnection) -> None:
        wait = database.options.table_lock_timeout
        limit = database.lock_timeout if wait is None else wait
        self._database = database
        self._pid = self._read_pid()
        self._delay = min(1.0, limit / 2)
        self._ended = Event()
        self._thread: Thread | None = None
        self._began = monotonic()
        self.holder = ""
        self._report: tuple[str, float] | None = None

    def _read_pid(self) -> int | None:
        """Return the number of the session; behind a pooler there is one as long as a transaction is open."""
        if not self._database.is_pooled:
            return self._database.connection.info.backend_pid
        if self._database.in_transaction:
            return int(self._database.row("SELECT pg_backend_pid()")[0])
        return None

    def take_report(self) -> tuple[str, float] | None:
        """Return who is in the way, and since how many seconds, if that is to be said now; only once."""
        report, self._report = self._report, None
        return report

    @property
    def seconds(self) -> float:
        """How long it is since the statement began."""
        return monotonic() - self._began

    def words(self) -> str:
        """Say who is in the way, or return an empty text."""
        return f"{self.holder} is in the way" if self.holder else ""

    def __enter__(self) -> BlockerWatch:
        if self._pid is not None and self._delay > 0:
            self._thread = Thread(target=self._watch, name="torc-migrations blockers", daemon=True)
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()

    def _watch(self) -> None:
        if self._ended.wait(self._delay):
            return
        try:
            with self._connected() as connection:
                self._look(connection)
        except (psycopg.Error, OSError):
            log().debug("cannot look for blockers", exc_info=True)

    def _connected(self) -> psycopg.Connection[Any]:
        info = self._database.connection.info
        parameters = {**info.get_parameters(), "password": info.password} if info.password else info.get_parameters()
        parameters = {**parameters, "application_name": "torc-migrations", "connect_timeout": "5"}
        return psycopg.connect(psycopg.conninfo.make_conninfo(**parameters), autocommit=True)

    def _look(self, connection: psycopg.Connection[Any]) -> None:
        reported = -_REPORT_EVERY
        while not self._ended.is_set():
            holder = describe_blockers(connection, self._pid) if self._pid is not None else ""
            self.holder = holder or self.holder
            if holder and self.seconds - reported >= _REPORT_EVERY and self.seconds >= 1:
                reported = self.seconds
                self._report = (holder, reported)
                log().warning("a statement waits (%.0f s so far): %s", self.seconds, self.words())
            self._ended.wait(min(1.0, self._delay))
