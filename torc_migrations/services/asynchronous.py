"""The class `AsyncMigrator`: every operation of `Migrator`, to be awaited."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from copy import copy
from typing import TYPE_CHECKING, TypeVar, Unpack

from torc_migrations.databases.interface import DatabaseLike
from torc_migrations.history.steps import Action, Plan, Report
from torc_migrations.migrator import Migrator
from torc_migrations.options import Ledger, Operation, Planned, check_choice
from torc_migrations.options.keywords import Options, Repair
from torc_migrations.services import threads
from torc_migrations.services.threads import OnCancel, run_in_thread

if TYPE_CHECKING:
    from torc_migrations.history.status import Status
    from torc_migrations.indexes.verify import Finding
    from torc_migrations.rehearsals.report import Rehearsal
    from torc_migrations.rehearsals.round_trips import RoundTrip
    from torc_migrations.runs.diagnosis import Diagnosis
    from torc_migrations.runs.run import Observer
    from torc_migrations.runs.session import Session
    from torc_migrations.snapshots.restore import Restoration
    from torc_migrations.sources.source import SourceLike

T = TypeVar("T")


class AsyncMigrator:
    """`Migrator` with methods to be awaited, on asyncio and on trio.

    Each operation has a thread of its own, in which its connection is opened, used and closed. Methods, arguments,
    results and errors are those of `Migrator`. An `observer` is called in that thread.

    If an operation is cancelled, as by `asyncio.timeout`, the migration that is running ends and is recorded, no other
    one begins, and then the cancellation goes on. Waiting for a lock ends at once.

    Args:
        database, source, options: as for `Migrator`. A connection must have been opened with
            `check_same_thread=False`.
        on_cancel: `"finish"` as described, or `"interrupt"`: the statement that is running is interrupted, and its
            transaction is rolled back, with the migrations that share it (`group`). A script that asked for no
            transaction keeps what it has done.
    """

    def __init__(
        self,
        database: DatabaseLike,
        source: SourceLike = None,
        *,
        on_cancel: OnCancel = "finish",
        **options: Unpack[Options],
    ) -> None:
        check_choice("on_cancel", on_cancel, ("finish", "interrupt"))
        self._on_cancel = on_cancel
        self._migrator = _StoppableMigrator(database, source, **options)

    async def _run(self, call: Callable[[Migrator], T]) -> T:
        operation = threads.Operation(self._on_cancel)
        migrator = copy(self._migrator)
        migrator.operation = operation
        return await run_in_thread(lambda: call(migrator), operation)

    async def status(self) -> Status:
        """Return what is installed; see `Migrator.status`."""
        return await self._run(lambda migrator: migrator.status())

    async def plan(
        self,
        operation: Planned = "upgrade",
        target: int | None = None,
        *,
        ledger: Ledger | None = None,
        steps: int | None = None,
    ) -> Plan:
        """Return what an operation would do; see `Migrator.plan`."""
        return await self._run(lambda migrator: migrator.plan(operation, target, ledger=ledger, steps=steps))

    async def upgrade(
        self, target: int | None = None, *, observer: Observer | None = None, atomic: bool = False
    ) -> Report:
        """Apply what is pending; see `Migrator.upgrade`."""
        return await self._run(lambda migrator: migrator.upgrade(target, observer=observer, atomic=atomic))

    async def apply(self, *versions: int, observer: Observer | None = None) -> Report:
        """Apply exactly these migrations; see `Migrator.apply`."""
        return await self._run(lambda migrator: migrator.apply(*versions, observer=observer))

    async def perform(self, action: Action, versions: Iterable[int], *, observer: Observer | None = None) -> Report:
        """Apply, roll back, record or erase exactly these migrations; see `Migrator.perform`."""
        return await self._run(lambda migrator: migrator.perform(action, versions, observer=observer))

    async def rollback(
        self,
        target: int | None = None,
        *,
        steps: int | None = None,
        observer: Observer | None = None,
        atomic: bool = False,
    ) -> Report:
        """Roll back the newest migration, or several; see `Migrator.rollback`."""
        return await self._run(
            lambda migrator: migrator.rollback(target, steps=steps, observer=observer, atomic=atomic)
        )

    async def rehearse(
        self,
        target: int | None = None,
        *,
        operation: Operation = "upgrade",
        atomic: bool = False,
        steps: int | None = None,
    ) -> Rehearsal:
        """Run what `upgrade` or `rollback` would run on a copy; see `Migrator.rehearse`."""
        return await self._run(
            lambda migrator: migrator.rehearse(target, operation=operation, atomic=atomic, steps=steps)
        )

    async def round_trip(self, *, fresh: bool = False, allow_irreversible: bool = False) -> RoundTrip:
        """Apply each migration on a copy, roll it back and apply it again; see `Migrator.round_trip`."""
        return await self._run(lambda migrator: migrator.round_trip(fresh=fresh, allow_irreversible=allow_irreversible))

    async def baseline(self, version: int) -> Report:
        """Record everything up to `version` as installed; see `Migrator.baseline`."""
        return await self._run(lambda migrator: migrator.baseline(version))

    async def repair(self, *versions: int, observer: Observer | None = None, **way: Unpack[Repair]) -> Report:
        """Correct the ledgers; see `Migrator.repair`."""
        return await self._run(lambda migrator: migrator.repair(*versions, observer=observer, **way))

    async def diagnose(self) -> Diagnosis:
        """Explain the state of the database and of the directory; see `Migrator.diagnose`."""
        return await self._run(lambda migrator: migrator.diagnose())

    async def restore(self, snapshot: str | os.PathLike[str]) -> Restoration:
        """Overwrite the database with a snapshot; see `Migrator.restore`."""
        return await self._run(lambda migrator: migrator.restore(snapshot))

    async def verify(self, *, fresh: bool = False) -> tuple[Finding, ...]:
        """Compare the plans of queries with expectations; see `Migrator.verify`."""
        return await self._run(lambda migrator: migrator.verify(fresh=fresh))


class _StoppableMigrator(Migrator):
    """A migrator of one operation, whose statement can be interrupted from another thread."""

    operation: threads.Operation | None = None

    @contextmanager
    def _session(self) -> Iterator[Session]:
        with super()._session() as session:
            if self.operation is None:
                yield session
                return
            self.operation.interrupt = session.database.interrupt
            try:
                yield session
            finally:
                self.operation.interrupt = None
