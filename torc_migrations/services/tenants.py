"""The databases of a fleet: their names and addresses, and what was found out about each."""

from __future__ import annotations

import glob
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias

from torc_migrations.configured import has_all_installed, open_session
from torc_migrations.errors import BadOptionType, MigrationError, Stopped, UrlError
from torc_migrations.formatting import counted, masked
from torc_migrations.migrator import Migrator
from torc_migrations.services.waits import unfinished

OneDatabase: TypeAlias = "str | os.PathLike[str] | tuple[str, str | os.PathLike[str]]"
Databases: TypeAlias = "str | Iterable[OneDatabase] | Callable[[], Iterable[OneDatabase]]"


@dataclass(frozen=True, slots=True)
class Tenant:
    """One database of a fleet: its name, and its URL or path."""

    name: str
    address: str


class TenantState(Enum):
    """What can be said of one database.

    CURRENT: everything is installed. PENDING: something is not. EDITED: a file was edited after it was installed.
    WRONG: the ledgers need to be looked at. UNREACHABLE: the database cannot be read.
    """

    CURRENT = "current"
    PENDING = "pending"
    EDITED = "edited"
    WRONG = "wrong"
    UNREACHABLE = "unreachable"


@dataclass(frozen=True, slots=True)
class TenantStatus:
    """The status of one database.

    Attributes:
        latest: the newest version that is installed, or None. reason: what is wrong, in words, or None.
    """

    name: str
    state: TenantState
    latest: int | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class TenantResult:
    """The upgrade of one database.

    Attributes:
        applied: the versions whose scripts were run. error: why it ended early, or None.
    """

    name: str
    applied: tuple[int, ...] = ()
    error: MigrationError | None = None

    def as_dict(self) -> dict[str, object]:
        """Return it as values that `json` takes."""
        error = self.error.as_dict() if self.error else None
        return {"name": self.name, "applied": list(self.applied), "error": error}


def tenants_of(databases: Databases) -> Iterator[Tenant]:
    """Yield the databases: the files of a glob in the order of their names, or what an iterable or a function gives.

    Raises:
        BadOptionType: something is neither an address nor a name with an address.
    """
    if isinstance(databases, str):
        for path in sorted(glob.iglob(databases, recursive=True)):
            if not path.endswith(("-wal", "-shm", "-journal")):
                yield Tenant(path, path)
        return
    for each in databases() if callable(databases) else databases:
        name, address = _pair_of(each)
        if not isinstance(address, (str, os.PathLike)):
            raise BadOptionType("databases", each, "addresses, or pairs of a name and an address")
        address = os.fspath(address)
        yield Tenant(masked(address) if name is None else name, address)


def _pair_of(given: object) -> tuple[str | None, object]:
    match given:
        case (name, address):
            return None if name is None else str(name), address  # a number, where a query gives one
    return None, given


def find_tenant(databases: Databases, name: str) -> Tenant:
    """Return one database by its name; for a glob the name replaces its `*`, and the file need not exist.

    Raises:
        UrlError: there is none with this name, or it cannot be the name of a file.
    """
    if isinstance(databases, str) and databases.count("*") == 1:
        if not name or name.startswith(".") or any(sign in name for sign in ("/", "\\", "\0", *filter(None, [os.sep]))):
            raise UrlError(name, f"{name!r} cannot be the name of a database in {databases!r}")
        return Tenant(databases.replace("*", name), databases.replace("*", name))
    for tenant in tenants_of(databases):
        if name in (tenant.name, tenant.address):
            return tenant
    raise UrlError(name, f"there is no database {name!r} in the fleet")


def look_at(migrator: Migrator, name: str, newest: int) -> TenantStatus:
    """Return the status of one database; what is wrong with it is in the result.

    `newest` is the newest version of the migrator's source, which was read already.
    """
    try:
        with open_session(migrator) as session:
            if has_all_installed(migrator, session.database):  # half of the time
                return TenantStatus(name, TenantState.CURRENT, newest)
            status = session.status()
    except Stopped:
        raise
    except MigrationError as error:
        return TenantStatus(name, TenantState.UNREACHABLE, reason=str(error))
    edited = [entry.migration.version for entry in status.entries if entry.refused]
    older = [version for version in status.missing if status.entries and version < status.entries[-1].migration.version]
    if edited:
        reason = f"the file of {edited[0]} was edited after it was installed"
        return TenantStatus(name, TenantState.EDITED, status.latest, reason)
    if status.dirty or older or any(entry.out_of_step or entry.half_done for entry in status.entries):
        return TenantStatus(name, TenantState.WRONG, status.latest, next(iter(status.notes), "the ledgers disagree"))
    pending = unfinished(status)
    if not pending:
        return TenantStatus(name, TenantState.CURRENT, status.latest)
    return TenantStatus(name, TenantState.PENDING, status.latest, f"{counted(len(pending), 'migration')} pending")


def upgrade_one(migrator: Migrator, name: str, target: int | None) -> TenantResult:
    """Upgrade one database, and return what was done; an error is in the result."""
    try:
        return TenantResult(name, migrator.upgrade(target).applied)
    except Stopped:
        raise
    except MigrationError as error:
        return TenantResult(name, error.report.applied if error.report else (), error)
