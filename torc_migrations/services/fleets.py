"""The class `Fleet`: the status and the upgrade of many databases that have the same migrations."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, Unpack

from torc_migrations.errors import BadOptionType, BadOptionValue
from torc_migrations.formatting import one_line
from torc_migrations.migrator import Migrator
from torc_migrations.options import check_choice, check_version
from torc_migrations.options.keywords import Options
from torc_migrations.services.tenants import (
    Databases,
    Tenant,
    TenantResult,
    TenantState,
    TenantStatus,
    find_tenant,
    tenants_of,
)
from torc_migrations.services.workers import Job, perform_all
from torc_migrations.sources.source import discover

if TYPE_CHECKING:
    from torc_migrations.sources.source import SourceLike

OnError: TypeAlias = Literal["stop", "continue"]
OnResult: TypeAlias = Callable[[TenantResult], object]

_LOCK_TIMEOUT = 10.0  # a database that is locked holds up one worker so long


@dataclass(frozen=True, slots=True)
class FleetStatus:
    """How many databases are in which state.

    Attributes:
        newest: the newest version of the source. current: how many databases have everything.
        others: the status of each other database.
    """

    newest: int
    current: int
    others: tuple[TenantStatus, ...]

    @property
    def ok(self) -> bool:
        """Whether every database has everything."""
        return not self.others

    def named(self, state: TenantState) -> tuple[str, ...]:
        """Return the names of the databases in a state other than CURRENT."""
        return tuple(each.name for each in self.others if each.state is state)

    def as_text(self) -> str:
        """Return a line of counts, and a line for each database that needs to be looked at."""
        counts = Counter(each.state for each in self.others)
        parts = [f"{self.current:,} at {self.newest}"]
        parts += [f"{counts[state]:,} {state.value}" for state in TenantState if counts[state]]
        wrong = (each for each in self.others if each.state is not TenantState.PENDING)
        return "".join([f"{', '.join(parts)}\n", *(f"{one_line(f'{each.name}: {each.reason}')}\n" for each in wrong)])

    def as_dict(self) -> dict[str, object]:
        """Return the same as values that `json` takes."""
        others = [
            {"name": each.name, "state": each.state.value, "latest": each.latest, "reason": each.reason}
            for each in self.others
        ]
        return {"ok": self.ok, "newest": self.newest, "current": self.current, "others": others}


@dataclass(frozen=True, slots=True)
class FleetReport:
    """What an upgrade of many databases has done.

    Attributes:
        upgraded: how many databases were upgraded. unchanged: how many had nothing to do.
        failures: the result of each that failed. complete: whether every database was tried.
    """

    upgraded: int = 0
    unchanged: int = 0
    failures: tuple[TenantResult, ...] = ()
    complete: bool = True

    @property
    def ok(self) -> bool:
        """Whether every database has everything."""
        return self.complete and not self.failures

    def as_text(self) -> str:
        """Return a line of counts, and a line for each database that failed."""
        line = f"{self.upgraded:,} upgraded, {self.unchanged:,} unchanged, {len(self.failures):,} failed"
        failures = (f"{one_line(f'{each.name}: {each.error}')}\n" for each in self.failures)
        return "".join([f"{line}{'' if self.complete else '; stopped before the others'}\n", *failures])

    def as_dict(self) -> dict[str, object]:
        """Return the same as values that `json` takes."""
        failures = [each.as_dict() for each in self.failures]
        counts = {"upgraded": self.upgraded, "unchanged": self.unchanged}
        return {"ok": self.ok, **counts, "complete": self.complete, "failures": failures}


@dataclass(slots=True)
class _Tally:
    """The counts of an upgrade while it runs."""

    on_error: OnError
    stop_after: int | None
    upgraded: int = 0
    unchanged: int = 0
    failures: list[TenantResult] = field(default_factory=list)

    def add(self, result: TenantResult) -> None:
        if result.error is not None:
            self.failures.append(result)
        elif result.applied:
            self.upgraded += 1
        else:
            self.unchanged += 1

    def is_enough(self) -> bool:
        if self.on_error == "stop":
            return bool(self.failures)
        return self.stop_after is not None and len(self.failures) >= self.stop_after


class Fleet:
    """Many databases that have the same migrations, as one for each tenant.

    The source is read once for each operation. There is no state beside the ledgers of each database: an upgrade that
    was stopped or killed is continued by the next one.

    Args:
        databases: a pattern of files (`"tenants/*.db"`, as of `glob`); or addresses, or pairs of a name and an address;
            or a function that returns these, which is called for each operation. An iterator is read at once.
        source, options: as for `Migrator`. `lock_timeout` is 10 seconds.
    """

    def __init__(self, databases: Databases, source: SourceLike = None, **options: Unpack[Options]) -> None:
        if not (isinstance(databases, str) or callable(databases) or hasattr(databases, "__iter__")):
            raise BadOptionType("databases", databases, "a pattern, addresses, or a function that returns addresses")
        self.databases = tuple(databases) if isinstance(databases, Iterator) else databases
        options.setdefault("lock_timeout", _LOCK_TIMEOUT)
        self._migrator = Migrator(":memory:", source, **options)
        self._opened: set[str] = set()
        self._lock = Lock()

    def tenants(self) -> Iterator[Tenant]:
        """Yield the name and the address of each database."""
        return tenants_of(self.databases)

    def status(self, *, workers: int = 1) -> FleetStatus:
        """Read the status of each database. Writes nothing.

        Args:
            workers: how many processes read.

        Raises:
            SourceError: the source cannot be read. What is wrong with a database is in the result.
        """
        _check_count("workers", workers)
        migrator, newest = self._prepared()
        current, others = 0, []
        job = Job(migrator, newest, upgrades=False)
        for each in perform_all(job, self.tenants(), workers, is_enough=lambda: False):
            if each.state is TenantState.CURRENT:
                current += 1
            else:
                others.append(each)
        return FleetStatus(newest, current, tuple(sorted(others, key=lambda each: each.name)))

    def upgrade(
        self,
        *,
        target: int | None = None,
        canary: int = 0,
        workers: int = 1,
        on_error: OnError = "stop",
        stop_after: int | None = None,
        on_result: OnResult | None = None,
    ) -> FleetReport:
        """Upgrade each database to the newest version, or to `target`.

        Args:
            canary: so many databases are upgraded first, one after the other; if one fails, no other is begun.
            workers: how many processes upgrade at the same time; 1 for this process, which is also used where an
                option cannot be sent to another one, such as a function of the main program.
            on_error: `"stop"`: begin no other database after one has failed; `"continue"`: upgrade the others.
            stop_after: with `"continue"`, begin no other database after so many have failed.
            on_result: called with the result of each database, in this thread.

        Raises:
            SourceError: the source cannot be read. What is wrong with a database is in the result.
        """
        check_version("target", target, optional=True)
        _check_count("canary", canary, least=0)
        _check_count("workers", workers)
        check_choice("on_error", on_error, ("stop", "continue"))
        if stop_after is not None:
            _check_count("stop_after", stop_after)
        if not (on_result is None or callable(on_result)):
            raise BadOptionType("on_result", on_result, "a function of a TenantResult, or None")
        migrator, newest = self._prepared()
        job = Job(migrator, newest, upgrades=True, target=target, first_failure_ends=on_error == "stop")
        tenants = _Counted(self.tenants())
        tally = _Tally(on_error, stop_after)
        first = _Tally("stop", None)
        for tenant in tenants.first(canary):
            _note(job.perform(tenant), (first, tally), on_result)
            if first.is_enough():
                break
        if not first.is_enough():
            for result in perform_all(job, tenants, workers, is_enough=tally.is_enough):
                _note(result, (tally,), on_result)
        done = tally.upgraded + tally.unchanged + len(tally.failures)
        complete = tenants.given == done and not tenants.has_more()
        return FleetReport(tally.upgraded, tally.unchanged, tuple(tally.failures), complete)

    def open(self, name: str) -> str:
        """Upgrade the database of one tenant if this was not done yet, and return its address.

        Safe in many threads and processes. With a pattern that has one `*`, the name stands for it, and a file that
        does not exist is created.

        Raises:
            UrlError: the fleet has no such database.
            MigrationError: as for `Migrator.upgrade`.
        """
        tenant = find_tenant(self.databases, name)
        if tenant.address not in self._opened:
            migrator, _ = self._prepared()
            migrator.database = tenant.address
            migrator.upgrade()
            with self._lock:
                self._opened.add(tenant.address)
        return tenant.address

    def _prepared(self) -> tuple[Migrator, int]:
        """Return a migrator whose source was read, and the newest version of it."""
        from copy import copy

        migrator = copy(self._migrator)
        source = discover(migrator.source, ignored_chars=migrator.ignored_chars)
        migrator.source = source
        return migrator, source.migrations[-1].version


class _Counted(Iterator[Tenant]):
    """Databases, and how many of them were given."""

    def __init__(self, tenants: Iterator[Tenant]) -> None:
        self._tenants = tenants
        self.given = 0

    def __next__(self) -> Tenant:
        tenant = next(self._tenants)
        self.given += 1
        return tenant

    def first(self, number: int) -> Iterator[Tenant]:
        for _, tenant in zip(range(number), self, strict=False):
            yield tenant

    def has_more(self) -> bool:
        return next(self._tenants, None) is not None


def _note(result: Any, tallies: tuple[_Tally, ...], on_result: OnResult | None) -> None:
    for tally in tallies:
        tally.add(result)
    if on_result is not None:
        on_result(result)


def _check_count(option: str, value: object, *, least: int = 1) -> None:
    allowed = f"a number from {least} on"
    if isinstance(value, bool) or not isinstance(value, int):
        raise BadOptionType(option, value, allowed)
    if value < least:
        raise BadOptionValue(option, value, allowed)
