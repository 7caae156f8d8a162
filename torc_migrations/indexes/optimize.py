"""Refresh the statistics of the query planner, and rebuild the files without free space."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torc_migrations.databases.opening import open_database
from torc_migrations.databases.results.maintenance import Maintenance
from torc_migrations.databases.servers.given import DEFAULT, ServerOptions
from torc_migrations.indexes.verify import refuse_missing

if TYPE_CHECKING:
    from torc_migrations.databases.interface import DatabaseLike, Functions


def optimize(
    database: DatabaseLike,
    *,
    vacuum: bool = False,
    lock_timeout: float = 300.0,
    functions: Functions | None = None,
    server: ServerOptions = DEFAULT,
) -> Maintenance:
    """Refresh the planner's statistics, and with `vacuum` free space.

    SQLite: ANALYZE and PRAGMA optimize; VACUUM. ANALYZE reads every index once. VACUUM rewrites the whole database.
    Both lock out other writers while they run; without WAL, VACUUM locks out readers too. PostgreSQL: ANALYZE of the
    tables that the role may analyze; VACUUM, which makes the space of deleted rows usable again and locks nobody out.
    MariaDB and MySQL: ANALYZE TABLE of each table; OPTIMIZE TABLE, which rebuilds each. The schema, the rows and both
    ledgers do not change.

    Raises:
        NotEnoughSpace: there is not enough free disk space for VACUUM of SQLite; nothing was done.
        LockTimeout: another connection held the database for longer than `lock_timeout` seconds.
        UrlError: the database cannot be opened or written, or does not exist.
        DatabaseFailed: the database failed, such as on a full disk.
    """
    with open_database(database, lock_timeout=lock_timeout, functions=functions, server=server) as opened:
        refuse_missing(opened)
        return opened.optimize(vacuum=vacuum)
