"""A MariaDB or MySQL connection: reading as of one moment, and transactions under the migration lock."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from time import monotonic, sleep
from typing import Any
from uuid import uuid4

from torc_migrations.databases import processes
from torc_migrations.databases.interface import Row
from torc_migrations.databases.mysql.connection import (
    NEWER_THAN_SNAPSHOT,
    NO_SUCH_COLUMN,
    NO_SUCH_TABLE,
    MySqlSession,
    code_of,
    is_of_driver,
    quote_identifier,
    translate,
)
from torc_migrations.databases.mysql.galera import ClusterLock
from torc_migrations.databases.mysql.locks import MigrationLock
from torc_migrations.databases.transactions import Transaction
from torc_migrations.databases.waiting import Monitor, Wait
from torc_migrations.errors import CannotOpen, DatabaseFailed, MigrationError
from torc_migrations.log import log

_PAUSE = 0.2  # seconds, between two attempts to connect again

SELECT_YOYO_LOCK = """
    SELECT pid, CAST(ctime AS CHAR(19))
    FROM {lock}
"""


class MySqlConnection:
    """A connection that is ours, or that is lent to us and is given back as it was found.

    Args:
        is_lent: whether its owner closes it.
        reconnect: opens another connection to the same server.

    Attributes:
        monitor: hears of each statement of a script, and of waiting, or None.
    """

    monitor: Monitor | None = None
    statement_timeout: float | None = None

    def __init__(
        self, connection: Any, name: str, *, lock_timeout: float, is_lent: bool, reconnect: Callable[[], Any]
    ) -> None:
        self.connection = connection
        self.name = name
        self.lock_timeout = lock_timeout
        self.is_missing = False
        self._is_lent = is_lent
        self.reconnected = reconnect
        self._begin_session()
        self.ran_script = False  # in this step
        self._last_change = object()
        self._is_writing = False  # whether a transaction of ours is to be open
        self._has_prepared = False  # to write

    def _begin_session(self) -> None:
        """Read what has to be known of a session. It holds no lock yet."""
        self.session = MySqlSession(self.connection, self.name)
        if self.session.schema is None:
            reason = f"{self.name} has chosen no database"
            raise CannotOpen(self.name, reason, hint="name one in the URL, or with USE")
        self.schema = self.session.schema
        self._lock = MigrationLock(self.session)
        is_cluster = self.session.is_cluster
        self._cluster = ClusterLock(self.session, self._lock, self.reconnected) if is_cluster else None

    def reconnect(self) -> bool:
        """Connect again after the connection was lost, and wait for a server that answers.

        Raises:
            CannotOpen: there was none for `lock_timeout` seconds.
        """
        if self._is_lent:
            return False
        if self._cluster is not None:
            self._cluster.abandon()
        if self.connection.open:
            self.connection.close()
        give_up = monotonic() + self.lock_timeout
        while True:
            try:
                self.connection = self.reconnected()
                with self.translated():
                    self._begin_session()
                if self._has_prepared:
                    self.prepare_to_write()
            except (CannotOpen, DatabaseFailed):
                if self.connection.open:
                    self.connection.close()
                if monotonic() >= give_up:
                    raise
                sleep(_PAUSE)
            else:
                return True

    def execute(self, sql: str, values: Mapping[str, object] | None = None) -> Any:
        """Run one statement of ours. DDL ends a transaction; another one begins then, for what follows."""
        cursor = self.session.run(sql, values)
        if self._is_writing and not self.session.in_transaction:
            self.session.run("START TRANSACTION")
        return cursor

    def rows_or_none(self, sql: str, values: Mapping[str, object] | None = None) -> list[Row] | None:
        """Return the rows of a query, or None where a table or a column of it does not exist at the moment read."""
        try:
            return list(self.execute(sql, values).fetchall())
        except Exception as error:
            if is_of_driver(error) and code_of(error) in (NO_SUCH_TABLE, NO_SUCH_COLUMN, NEWER_THAN_SNAPSHOT):
                return None
            raise

    def close(self) -> None:
        """Close our connection; give a lent one back as it was found. May be called again."""
        connection = self.connection
        if not connection.open:
            return
        try:
            self.roll_back()
            self._release()
            if self._is_lent:
                self.session.give_back()
        except Exception as error:
            if not is_of_driver(error):
                raise
            log().warning("the connection to %s was lost at its end: %s", self.name, error)
        finally:
            if not self._is_lent and connection.open:
                connection.close()

    def _release(self) -> None:
        if self._cluster is not None:
            self._cluster.release()
        self._lock.release()

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Read several tables as of one moment; writes nothing, and takes no lock."""
        with self.translated():
            try:
                with self._causal_reads():
                    self.session.run("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
                    self.session.run("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY")
                    yield
                    self.roll_back()
            finally:
                self.roll_back()

    @contextmanager
    def _causal_reads(self) -> Iterator[None]:
        """On a cluster, read what was committed on any node before; the setting is restored."""
        if self._cluster is None:
            yield
            return
        before = self.session.run("SELECT @@SESSION.wsrep_sync_wait").fetchone()[0]
        self.session.run("SET SESSION wsrep_sync_wait = 1")
        try:
            yield
        finally:
            self.roll_back()
            if self.connection.open:
                self.session.run(f"SET SESSION wsrep_sync_wait = {int(before)}")

    def last_change(self) -> object:
        """Return a value that is like no other: the server does not report cheaply whether anything was written.

        After the script of a step, under the lock, it is the same as before: what has changed is what the script did.
        """
        if not (self.ran_script and self._lock.is_held):
            self._last_change = object()
        return self._last_change

    def prepare_to_write(self) -> None:
        """Set what our statements need."""
        self._has_prepared = True
        with self.translated():
            if self._cluster is not None:
                self._cluster.refuse_minority()
            self.session.take()

    def transaction(self) -> Transaction:
        """Hold the migration lock until the connection is closed; commit at the end, or roll back on any exception."""
        return Transaction(self)

    def begin(self) -> None:
        """Take the migration lock, and begin a transaction."""
        wait = Wait(self.name, self.lock_timeout, self.monitor)
        self._lock.take(wait)
        if self._cluster is not None:
            self._cluster.take(wait)
        while holder := self._yoyo_holder():
            wait.pause(holder.__str__)
        self.session.run("START TRANSACTION")
        self._is_writing = True
        if self._cluster is not None:
            self._cluster.confirm()

    def commit(self) -> None:
        """Keep what the transaction has done."""
        self._is_writing = False
        self.session.run("COMMIT")

    def savepoint(self) -> MySqlSavepoint:
        """Undo to here on an exception."""
        return MySqlSavepoint(self)

    def confirm_lock(self) -> None:
        """Fail where the lock was lost; on a cluster, write that it is held in the transaction that is open."""
        if self._cluster is not None:
            self._cluster.confirm()

    def roll_back(self) -> None:
        """End the transaction without a change, where one is open."""
        self._is_writing = False
        if not self.connection.open:
            return
        try:
            self.session.run("ROLLBACK")
        except Exception as error:
            if not is_of_driver(error):
                raise
            log().debug("cannot roll back %s: %s", self.name, error)

    def yoyo_holder(self) -> str | None:
        """Describe who holds yoyo's lock, or return None."""
        return self._yoyo_holder()

    def _yoyo_holder(self) -> str | None:
        """Describe the row in yoyo's lock. Whether its process lives cannot be seen, because it may be elsewhere."""
        table = f"{quote_identifier(self.schema)}.{quote_identifier('yoyo_lock')}"
        rows = self.rows_or_none(SELECT_YOYO_LOCK.format(lock=table))
        if not rows:
            return None
        return f"yoyo's process {rows[0][0]}, since {rows[0][1]} (`yoyo break-lock` removes its row if it is gone),"

    def begin_to_own(self) -> str:
        """Return a name for work outside a transaction that others see."""
        return processes.begin_to_own()

    def end_owning(self, owner: str) -> None:
        """Note that the work with this name goes on no longer."""
        processes.end_owning(owner)

    def living_owner(self, owner: str) -> str | None:
        """Describe who runs a script: a process of this machine, or the session that holds the migration lock."""
        return processes.living_owner(owner) or self.lock_holder()

    def lock_holder(self) -> str | None:
        """Describe the other session that holds the migration lock; None where no other one does."""
        if self._lock.is_held:
            return None
        return self._lock.holder() or (self._cluster.other_holder() if self._cluster is not None else None)

    def interrupt(self) -> None:
        """Stop the statement that is running, from another thread, by a connection of its own."""
        with suppress(Exception):
            other = self.reconnected()
            try:
                with other.cursor() as cursor:
                    cursor.execute(f"KILL QUERY {self.session.number:d}")
            finally:
                other.close()

    def error_of(self, error: BaseException) -> MigrationError | None:
        """Return the error of this package for what the driver has raised, or None for what is not the driver's."""
        return translate(error, self.name) if isinstance(error, Exception) and is_of_driver(error) else None

    @contextmanager
    def translated(self) -> Iterator[None]:
        """Raise errors of this package for what the driver raises outside of a script."""
        try:
            yield
        except Exception as error:
            if ours := self.error_of(error):
                raise ours from error
            raise


class MySqlSavepoint(AbstractContextManager["MySqlSavepoint"]):
    """A savepoint whose name no script can guess."""

    def __init__(self, database: MySqlConnection) -> None:
        self._database = database
        self._name = f"torc_{uuid4().hex}"
        self.has_ended = self.is_kept = False

    def __enter__(self) -> MySqlSavepoint:
        self._database.execute(f"SAVEPOINT {self._name}")
        return self

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if error is None:
            self._database.execute(f"RELEASE SAVEPOINT {self._name}")
            self.has_ended = True
            return
        with suppress(Exception):  # the whole transaction is rolled back, if there is one still
            self.undo()

    def undo(self) -> None:
        """Undo everything since the savepoint, which stays."""
        self._database.execute(f"ROLLBACK TO SAVEPOINT {self._name}")
