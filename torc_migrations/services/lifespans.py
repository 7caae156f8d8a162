"""Bring a database to its newest version before a service begins: context managers for `async with` and `with`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Unpack

from torc_migrations.databases.interface import DatabaseLike
from torc_migrations.history.steps import Report
from torc_migrations.migrator import Migrator
from torc_migrations.options.keywords import Options
from torc_migrations.services.asynchronous import AsyncMigrator

if TYPE_CHECKING:
    from types import TracebackType

    from torc_migrations.sources.source import SourceLike


@contextmanager
def migrated(
    database: DatabaseLike, source: SourceLike = None, *, target: int | None = None, **options: Unpack[Options]
) -> Iterator[Report]:
    """Upgrade a database, and then run what is inside `with`; see `Migrator` for the options.

    Raises:
        MigrationError: as for `upgrade`; what is inside `with` does not run then.
    """
    yield Migrator(database, source, **options).upgrade(target)


class AsyncMigrated(AbstractAsyncContextManager[Report]):
    """Upgrade a database when it is entered; it may be entered again.

    It is also what Starlette and FastAPI call a lifespan: a function of the application that returns a context manager.
    """

    def __init__(self, migrator: AsyncMigrator, target: int | None) -> None:
        self._migrator = migrator
        self._target = target

    async def __aenter__(self) -> Report:
        return await self._migrator.upgrade(self._target)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Do nothing: no connection is open."""

    def __call__(self, application: object) -> AbstractAsyncContextManager[None]:  # noqa: ARG002  # as Starlette calls it
        """Return a context manager that upgrades the database before an application begins."""
        return self._lifespan()

    @asynccontextmanager
    async def _lifespan(self) -> AsyncIterator[None]:
        async with self:
            yield


def async_migrated(
    database: DatabaseLike, source: SourceLike = None, *, target: int | None = None, **options: Unpack[Options]
) -> AsyncMigrated:
    """Return what upgrades a database before what is inside `async with`, or before an application begins.

    `FastAPI(lifespan=migrated("sqlite:///app.db", "migrations"))`, or `async with migrated(...)` in a lifespan of your
    own. See `Migrator` for the options.

    Raises:
        BadOption: an argument is wrong. Entering it raises MigrationError as `upgrade` does.
    """
    return AsyncMigrated(AsyncMigrator(database, source, **options), target)
