"""The functions of `torc_migrations`, to be awaited on asyncio or trio; see `AsyncMigrator`."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, Unpack

from torc_migrations.databases.interface import DatabaseLike
from torc_migrations.errors import UrlError
from torc_migrations.history.steps import Report
from torc_migrations.options import Operation, check_seconds, check_versions
from torc_migrations.options.keywords import Options
from torc_migrations.services.asynchronous import AsyncMigrator
from torc_migrations.services.lifespans import AsyncMigrated, async_migrated
from torc_migrations.services.threads import Operation as Thread
from torc_migrations.services.threads import run_in_thread
from torc_migrations.services.waits import OnWait
from torc_migrations.services.waits import wait as wait_in_thread

if TYPE_CHECKING:
    from torc_migrations.history.status import Status
    from torc_migrations.indexes.verify import Finding
    from torc_migrations.rehearsals.report import Rehearsal
    from torc_migrations.rehearsals.round_trips import RoundTrip
    from torc_migrations.snapshots.restore import Restoration
    from torc_migrations.sources.source import SourceLike

__all__ = [
    "AsyncMigrated",
    "AsyncMigrator",
    "apply",
    "migrated",
    "rehearse",
    "restore",
    "rollback",
    "round_trip",
    "status",
    "upgrade",
    "verify",
    "wait",
]

migrated = async_migrated


async def upgrade(
    database: DatabaseLike,
    source: SourceLike = None,
    *,
    target: int | None = None,
    atomic: bool = False,
    **options: Unpack[Options],
) -> Report:
    """Bring a database to the newest version, or to `target`; see `torc_migrations.upgrade`."""
    return await AsyncMigrator(database, source, **options).upgrade(target, atomic=atomic)


async def rollback(
    database: DatabaseLike,
    source: SourceLike = None,
    *,
    target: int | None = None,
    steps: int | None = None,
    atomic: bool = False,
    **options: Unpack[Options],
) -> Report:
    """Roll back the newest migration, or several; see `torc_migrations.rollback`."""
    return await AsyncMigrator(database, source, **options).rollback(target, steps=steps, atomic=atomic)


async def apply(
    database: DatabaseLike, source: SourceLike = None, *, versions: Iterable[int], **options: Unpack[Options]
) -> Report:
    """Apply exactly the migrations with these versions; see `torc_migrations.apply`."""
    return await AsyncMigrator(database, source, **options).apply(*check_versions(versions))


async def rehearse(
    database: DatabaseLike,
    source: SourceLike = None,
    *,
    operation: Operation = "upgrade",
    target: int | None = None,
    atomic: bool = False,
    steps: int | None = None,
    **options: Unpack[Options],
) -> Rehearsal:
    """Run what `upgrade` or `rollback` would run on a copy; see `torc_migrations.rehearse`."""
    return await AsyncMigrator(database, source, **options).rehearse(
        target, operation=operation, atomic=atomic, steps=steps
    )


async def round_trip(
    database: DatabaseLike | None = None,
    source: SourceLike = None,
    *,
    allow_irreversible: bool = False,
    **options: Unpack[Options],
) -> RoundTrip:
    """Apply each migration, roll it back and apply it again; see `torc_migrations.round_trip`."""
    migrator = AsyncMigrator(":memory:" if database is None else database, source, **options)
    return await migrator.round_trip(fresh=database is None, allow_irreversible=allow_irreversible)


async def status(database: DatabaseLike, source: SourceLike = None, **options: Unpack[Options]) -> Status:
    """Return what is installed; see `torc_migrations.status`."""
    return await AsyncMigrator(database, source, **options).status()


async def restore(
    database: DatabaseLike, snapshot: str | os.PathLike[str], *, lock_timeout: float = 10.0
) -> Restoration:
    """Overwrite a database with a snapshot; see `torc_migrations.restore`."""
    check_seconds("lock_timeout", lock_timeout)
    return await AsyncMigrator(database, lock_timeout=lock_timeout).restore(snapshot)


async def verify(
    database: DatabaseLike | None = None, source: SourceLike = None, *, fresh: bool = False, **options: Unpack[Options]
) -> tuple[Finding, ...]:
    """Compare the plans of queries with expectations; see `torc_migrations.verify`."""
    if database is None and not fresh:
        raise UrlError("", "no database is named", hint="name one, or pass fresh=True")
    return await AsyncMigrator(":memory:" if database is None else database, source, **options).verify(fresh=fresh)


async def wait(
    database: DatabaseLike,
    source: SourceLike = None,
    *,
    version: int | None = None,
    timeout: float = 300.0,
    on_wait: OnWait | None = None,
    **options: Unpack[Options],
) -> Status:
    """Wait until a database is at a version; see `torc_migrations.wait`. `on_wait` is called in another thread."""
    return await run_in_thread(
        lambda: wait_in_thread(database, source, version=version, timeout=timeout, on_wait=on_wait, **options),
        Thread("finish"),
    )
