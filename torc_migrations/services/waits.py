"""Wait until another process has brought a database to a version, and say what is waited for."""

from __future__ import annotations

import time
from collections.abc import Callable
from copy import copy
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias, Unpack

from torc_migrations.configured import open_session
from torc_migrations.databases.interface import DatabaseLike
from torc_migrations.databases.waiting import raise_if_stopped
from torc_migrations.errors import (
    BadOptionType,
    CannotOpen,
    DatabaseFailed,
    LockTimeout,
    VersionMismatch,
    VersionNotPresent,
    WaitTimeout,
)
from torc_migrations.formatting import counted, masked
from torc_migrations.history.conditions import check_compatible
from torc_migrations.history.verdict import Verdict
from torc_migrations.migrator import Migrator
from torc_migrations.options import check_seconds, check_version
from torc_migrations.options.keywords import Options

if TYPE_CHECKING:
    from torc_migrations.history.status import Status
    from torc_migrations.sources.source import SourceLike

# Pauses between two looks at the database, which take some milliseconds each, and after how long a line is repeated.
_SHORTEST, _LONGEST, _SLICE = 0.05, 1.0, 0.1
_LOOK = 1.0  # seconds; how long one look waits for a lock
_REPEAT = 10.0


@dataclass(frozen=True, slots=True)
class Awaited:
    """What is waited for, at one moment.

    Attributes:
        database: its name; a password in it is masked.
        pending: the ids of the migrations that are not installed, and of the hooks that have not run.
        obstacle: why the database could not be read, or None.
        waited: seconds since the waiting began.
        installed: how many of the migrations that are waited for are installed.
        wanted: how many migrations are waited for.
        holder: who holds the migration lock, which may be who migrates; None where nobody is known to hold it.
    """

    database: str
    pending: tuple[str, ...]
    obstacle: str | None
    waited: float
    installed: int = 0
    wanted: int = 0
    holder: str | None = None

    @property
    def reason(self) -> str:
        """What is missing, in words."""
        if self.obstacle is not None:
            return self.obstacle
        are = "is" if len(self.pending) == 1 else "are"
        return f"{counted(len(self.pending), 'migration')} {are} pending, the first is {self.pending[0]}"

    def as_text(self) -> str:
        """Return a line for a person."""
        progress = "" if self.obstacle is not None else f"; {self.installed} of {self.wanted} installed"
        holder = "" if self.holder is None else f"; the lock is held by {self.holder}"
        return f"waiting for {self.database}: {self.reason}{progress}{holder} ({self.waited:.0f} s so far)"

    def as_dict(self) -> dict[str, object]:
        """Return the same as values that `json` takes."""
        return {
            "database": self.database,
            "pending": list(self.pending),
            "obstacle": self.obstacle,
            "installed": self.installed,
            "wanted": self.wanted,
            "holder": self.holder,
            "elapsed_ns": int(self.waited * 1e9),
        }


OnWait: TypeAlias = Callable[[Awaited], object]


def wait(
    database: DatabaseLike,
    source: SourceLike = None,
    *,
    version: int | None = None,
    timeout: float = 300.0,
    on_wait: OnWait | None = None,
    **options: Unpack[Options],
) -> Status:
    """Wait until a database is at `version`, or at the newest version of the source, and return its status.

    Another process upgrades it. A database that is newer is accepted, unless it asks for a newer release. Writes
    nothing, and takes no write lock.

    Args:
        database, source, options: as for `Migrator`.
        version: the newest migration that is needed; None for all of the source.
        timeout: how long to wait, in seconds; 0 to look once.
        on_wait: called with an `Awaited` at first, whenever it says something else, and every 10 seconds.

    Raises:
        WaitTimeout: the time has passed.
        TooOld: an installed migration asks for a newer release, in its `-- compatible-from:` line.
        VersionMismatch: a file was edited after it was installed.
        VersionNotPresent: the source has no such version.
        SourceError, UrlError: the source cannot be read, or the address is misspelled.
    """
    return wait_for(Migrator(database, source, **options), version=version, timeout=timeout, on_wait=on_wait)


def wait_for(
    migrator: Migrator,
    *,
    version: int | None = None,
    timeout: float = 300.0,
    on_wait: OnWait | None = None,
    repeat: float = _REPEAT,
) -> Status:
    """Wait as `wait` does, with a migrator; call `on_wait` again after `repeat` seconds where nothing has changed."""
    check_version("version", version, optional=True)
    check_seconds("timeout", timeout)
    if not (on_wait is None or callable(on_wait)):
        raise BadOptionType("on_wait", on_wait, "a function of an Awaited, or None")
    return _Waiting(migrator, version, timeout, on_wait, repeat).wait()


class _Waiting:
    """Look at one database until it is at a version."""

    def __init__(
        self, migrator: Migrator, version: int | None, timeout: float, on_wait: OnWait | None, repeat: float
    ) -> None:
        self._migrator = copy(migrator)
        self._version = version
        self._timeout = timeout
        self._on_wait = on_wait
        self._repeat = repeat
        self._began = time.monotonic()
        self._said: tuple[tuple[str, ...], str | None] | None = None
        self._say_again_at = 0.0
        self._way_out: str | None = None  # the hint of the last error

    def wait(self) -> Status:
        while True:
            status, awaited = self._look()
            if status is not None and not awaited.pending:
                return status
            if awaited.waited >= self._timeout:
                raise self._timed_out(awaited)
            self._say(awaited)
            self._pause()

    def _timed_out(self, awaited: Awaited) -> WaitTimeout:
        failure = WaitTimeout(awaited.database, awaited.reason, awaited.waited)
        if awaited.obstacle is not None and self._way_out is not None:
            failure.replace_hint(self._way_out)
        return failure

    @property
    def _waited(self) -> float:
        return time.monotonic() - self._began

    def _look(self) -> tuple[Status | None, Awaited]:
        self._migrator.lock_timeout = min(_LOOK, max(0.0, self._timeout - self._waited))
        name = _name_of(self._migrator.database)
        try:
            status = self._migrator.status()
        except (CannotOpen, DatabaseFailed, LockTimeout) as error:
            self._way_out = error.hint
            return None, Awaited(name, (), str(error), self._waited)
        if not self._migrator.ignore_missing:
            check_compatible(status)
        pending = self._pending(status)
        wanted = [each for each in status.entries if self._version is None or each.migration.version <= self._version]
        installed = sum(each.installed for each in wanted)
        return status, Awaited(name, pending, None, self._waited, installed, len(wanted))

    def _pending(self, status: Status) -> tuple[str, ...]:
        version = self._version
        if version is not None and version not in {each.migration.version for each in status.entries}:
            if version in status.missing:
                return ()  # a newer release has installed it
            raise VersionNotPresent(version)
        wanted = [each for each in status.entries if version is None or each.migration.version <= version]
        for entry in wanted:
            if entry.refused and entry.sqlx is not None:
                raise VersionMismatch(
                    entry.migration.version, recorded=entry.sqlx.checksum, local=entry.migration.checksum
                )
        return unfinished(status, version)

    def _holder(self) -> str | None:
        try:
            with open_session(self._migrator) as session:
                return session.database.lock_holder()
        except (CannotOpen, DatabaseFailed, LockTimeout):
            return None

    def _say(self, awaited: Awaited) -> None:
        if self._on_wait is None:
            return
        now = (awaited.pending, awaited.obstacle)
        if now != self._said or awaited.waited >= self._say_again_at:
            self._said = now
            self._say_again_at = awaited.waited + self._repeat
            self._on_wait(replace(awaited, holder=self._holder()))

    def _pause(self) -> None:
        """Sleep for a tenth of the time waited so far, in slices, between which the waiting can be stopped."""
        end = time.monotonic() + min(max(self._waited / 10, _SHORTEST), _LONGEST, self._timeout - self._waited)
        while (left := end - time.monotonic()) > 0:
            raise_if_stopped()
            time.sleep(min(left, _SLICE))
        raise_if_stopped()


def unfinished(status: Status, version: int | None = None) -> tuple[str, ...]:
    """Return the ids of what is not installed up to a version, or of everything, with the hooks that have not run."""
    pending = [
        each.migration.id
        for each in status.entries
        if (version is None or each.migration.version <= version)
        and (each.verdict is not Verdict.INSTALLED or each.half_done or each.migration.version in status.dirty)
    ]
    return tuple(pending) if version is not None else (*pending, *(hook.id for hook in status.due_hooks))


def _name_of(database: DatabaseLike) -> str:
    return masked(str(database))
