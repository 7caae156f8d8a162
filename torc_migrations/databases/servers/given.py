"""What names a server: connections of its drivers, and objects of SQLAlchemy; and how a server is used."""

# Without `from __future__ import annotations`: typing would compile each annotation of a NamedTuple, at every start.

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeAlias

if TYPE_CHECKING:
    import sqlite3


class HasConnection(Protocol):
    """What wraps a connection and keeps it in `conn`, as `sqlite_utils.Database` does."""

    conn: "sqlite3.Connection"


class Connection(Protocol):
    """A connection of a driver, as PEP 249 has it."""

    def cursor(self) -> Any:
        """Return a cursor."""

    def commit(self) -> object:
        """Commit."""


class HasUrl(Protocol):
    """An `Engine` of SQLAlchemy."""

    @property
    def url(self) -> Any:
        """The URL that it connects to."""


class HasDriverName(Protocol):
    """A `URL` of SQLAlchemy."""

    @property
    def drivername(self) -> str:
        """The scheme of the URL."""


class HasEngine(Protocol):
    """A `Connection` of SQLAlchemy."""

    @property
    def engine(self) -> Any:
        """What has opened it."""


SQLAlchemy: TypeAlias = "HasUrl | HasDriverName | HasEngine"


class ServerOptions(NamedTuple):
    """How a server is used; SQLite needs none of these.

    Attributes:
        statement_wise: send a script statement by statement, and not whole; some systems that speak PostgreSQL's
            protocol need it.
        advisory_lock: hold the server's advisory lock, which is also sqlx's, while a migration runs. A system without
            such locks needs False; then the ledgers are not locked either (`LOCK TABLE`), and are read again in each
            transaction. Only one process may run migrations at a time.
        table_lock_timeout: for how many seconds a statement of a script waits for a lock on a table, in front of which
            all later statements of the application queue up. Then the script is undone, and tried again after a pause
            that grows. None: as long as `lock_timeout`, and no second try.
        lock_tries: how often it is tried.
    """

    statement_wise: bool = False
    advisory_lock: bool = True
    table_lock_timeout: float | None = None
    lock_tries: int = 12


DEFAULT = ServerOptions()
