"""The migration lock of a Galera cluster: a row with one fixed key, which only one node can insert.

`GET_LOCK` is known to one node only. The row names its holder, which changes a number in it every few seconds, on a
connection of its own. A holder is gone when its number has not changed for `LEASE` seconds, by the clock of the one who
waits, so that no two clocks are compared; or earlier, when its node has left the cluster, or is this one and has no
session with the lock any more. A holder that is taken for gone and is not notices it at its next write: each of our
transactions updates the row, and fails where it has another holder.
"""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from threading import Event, Thread
from typing import Any, NamedTuple

from torc_migrations.databases.mysql.connection import (
    DEADLOCK,
    DUPLICATE_KEY,
    NO_SUCH_TABLE,
    MySqlSession,
    code_of,
    is_of_driver,
    not_in_cluster,
    quote_identifier,
    run,
)
from torc_migrations.databases.mysql.locks import MigrationLock
from torc_migrations.databases.processes import name_process
from torc_migrations.databases.waiting import Wait
from torc_migrations.errors import DatabaseFailed
from torc_migrations.log import log

LOCK_TABLE = "_torc_migrations_lock"
LEASE = 30.0
BEAT = 3.0

CREATE_TABLE = """
    CREATE TABLE IF NOT EXISTS {lock} (
        id INT NOT NULL PRIMARY KEY,
        holder VARCHAR(36) NOT NULL,
        description VARCHAR(255) NOT NULL,
        node VARCHAR(64) NOT NULL,
        beat BIGINT NOT NULL
    ) ENGINE = InnoDB
"""
INSERT_ROW = """
    INSERT INTO {lock} (id, holder, description, node, beat)
    VALUES (1, :holder, :description, :node, 0)
"""
SELECT_ROW = """
    SELECT holder, description, node, beat
    FROM {lock}
    WHERE id = 1
"""
UPDATE_BEAT = """
    UPDATE {lock}
    SET beat = beat + 1
    WHERE id = 1
    AND holder = :holder
"""
DELETE_ROW = """
    DELETE FROM {lock}
    WHERE id = 1
    AND holder = :holder
"""
# The row of a holder that is gone; its number shows that it is.
DELETE_DEAD_ROW = """
    DELETE FROM {lock}
    WHERE id = 1
    AND holder = :holder
    AND beat = :beat
"""
SELECT_MEMBERS = """
    SELECT node_uuid
    FROM mysql.wsrep_cluster_members
"""


class Row(NamedTuple):
    """The row: who holds the lock, in words, the node of the session, and a number that grows while it is held."""

    holder: str
    description: str
    node: str
    beat: int


class ClusterLock:
    """The lock row, beside the lock of the node, which is taken first.

    Args:
        node_lock: the lock of the node.
        connect: opens another connection to the same node, for the beats.
    """

    def __init__(self, session: MySqlSession, node_lock: MigrationLock, connect: Callable[[], Any]) -> None:
        assert session.schema is not None
        self._session = session
        self._node_lock = node_lock
        self._connect = connect
        self._table = f"{quote_identifier(session.schema)}.{quote_identifier(LOCK_TABLE)}"
        self._holder = str(uuid.uuid4())
        self._watched = _Watched()
        self._beats: _Beats | None = None

    @property
    def is_held(self) -> bool:
        """Whether this session has inserted the row."""
        return self._beats is not None

    def refuse_minority(self) -> None:
        """Refuse a node that has no majority of its cluster around it, where `GET_LOCK` succeeds all the same.

        Raises:
            CannotOpen: it is such a node.
        """
        if self._status("wsrep_cluster_status") != "Primary" or self._status("wsrep_ready") != "ON":
            raise not_in_cluster(self._session.name)

    def take(self, wait: Wait) -> None:
        """Insert the row; wait while it is another's, and delete that of a holder that is gone.

        Raises:
            LockTimeout: another session has held it for too long.
            CannotOpen: the node has no majority around it.
        """
        self.refuse_minority()
        if self.is_held:
            return
        if not self._is_created():
            self._run(CREATE_TABLE)
        while not self._insert():
            row = self._read()
            if row is None:
                continue
            if self._is_gone(row):
                log().warning("the lock of %s is deleted: it is gone", row.description)
                self._retried(DELETE_DEAD_ROW, {"holder": row.holder, "beat": row.beat})
            else:
                wait.pause(row.description.__str__)
        self._beats = _Beats(self._connect, self._sql(UPDATE_BEAT), self._holder)
        self._beats.start()

    def release(self) -> None:
        """Delete the row, if it is this session's."""
        if self._beats is not None:
            self._beats.stop()
            self._beats = None
            self._retried(DELETE_ROW, {"holder": self._holder})

    def abandon(self) -> None:
        """Keep the row no longer, after the connection was lost: others delete it, because its session is gone."""
        if self._beats is not None:
            self._beats.stop()
            self._beats = None

    def confirm(self) -> None:
        """Update the row in the transaction of the caller, so that it cannot be committed after the lock was lost.

        Raises:
            DatabaseFailed: the lock was lost.
        """
        if self.is_held and not self._run(UPDATE_BEAT, {"holder": self._holder}).rowcount:
            raise DatabaseFailed(self._session.name, "another node has taken the migration lock from this session")

    def other_holder(self) -> str | None:
        """Describe the other session that holds the lock; None where there is none, or where it is gone."""
        row = self._read()
        return None if row is None or row.holder == self._holder or self._is_gone(row) else row.description

    def _is_created(self) -> bool:
        """Return whether the table exists; to create it once more would end every transaction that writes the row."""
        try:
            self._run(SELECT_ROW)
        except Exception as error:
            if is_of_driver(error) and code_of(error) == NO_SUCH_TABLE:
                return False
            raise
        return True

    def _insert(self) -> bool:
        session = self._session
        description = f"{name_process(os.getpid())}, session {session.number} of node {self._status('wsrep_node_name')}"
        values = {"holder": self._holder, "description": description[:255], "node": self._node()}
        try:
            self._run(INSERT_ROW, values)
        except Exception as error:
            if is_of_driver(error) and code_of(error) in (DUPLICATE_KEY, DEADLOCK):
                return False
            raise
        return True

    def _read(self) -> Row | None:
        try:
            found = self._run(SELECT_ROW).fetchone()
        except Exception as error:
            if is_of_driver(error) and code_of(error) == NO_SUCH_TABLE:
                return None
            raise
        return Row(*found) if found else None

    def _is_gone(self, row: Row) -> bool:
        """Return whether a holder is gone: its node has left the cluster, or is this one; or its number has stopped."""
        if row.node == self._node():
            return self._node_lock.holder() is None
        try:
            members = {str(node) for (node,) in self._run(SELECT_MEMBERS)}
        except Exception as error:
            if not is_of_driver(error):
                raise
            members = set()  # without the right to read them only the number is known
        return (bool(members) and row.node not in members) or self._watched.has_stopped(row)

    def _node(self) -> str:
        return self._status("wsrep_gcomm_uuid")

    def _retried(self, template: str, values: dict[str, object]) -> None:
        """Delete a row, again where another node was faster with the same row."""
        for _ in range(5):
            try:
                self._run(template, values)
            except Exception as error:
                if not is_of_driver(error) or code_of(error) != DEADLOCK:
                    raise
            else:
                return

    def _status(self, name: str) -> str:
        found = self._session.run("SHOW STATUS LIKE :name", {"name": name}).fetchone()
        if found is None:
            found = self._session.run("SHOW VARIABLES LIKE :name", {"name": name}).fetchone()
        return str(found[1]) if found else ""

    def _sql(self, template: str) -> str:
        return template.format(lock=self._table)

    def _run(self, template: str, values: Mapping[str, object] | None = None) -> Any:
        return self._session.run(self._sql(template), values)


class _Watched:
    """The row of another as it was seen, and since when it has been the same, by the clock of this process."""

    def __init__(self) -> None:
        self._seen: tuple[str, int] | None = None
        self._since = 0.0

    def has_stopped(self, row: Row) -> bool:
        """Return whether nothing has changed in the row for the time of a lease."""
        now = time.monotonic()
        if (row.holder, row.beat) != self._seen:
            self._seen, self._since = (row.holder, row.beat), now
        return now - self._since > LEASE


class _Beats(Thread):
    """Changes the number in the row every few seconds, on a connection of its own, while a long statement runs."""

    def __init__(self, connect: Callable[[], Any], sql: str, holder: str) -> None:
        super().__init__(name="torc_migrations lock", daemon=True)
        self._connection_of = connect
        self._sql = sql
        self._holder = holder
        self._ended = Event()

    def run(self) -> None:
        """Beat until `stop` is called; a connection that is lost is opened again."""
        connection: Any = None
        while not self._ended.wait(BEAT):
            try:
                connection = connection or self._connection_of()
                run(connection, self._sql, {"holder": self._holder})
            except Exception as error:
                log().debug("the lock could not be kept: %s", error)
                if connection is not None:
                    with suppress(Exception):
                        connection.close()
                connection = None
        if connection is not None:
            with suppress(Exception):
                connection.close()

    def stop(self) -> None:
        """Beat no more."""
        self._ended.set()
        self.join()
