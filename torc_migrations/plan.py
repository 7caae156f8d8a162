"""Decide which steps lead from a status to a target; pure, a plan is a function of a status."""

from __future__ import annotations

from enum import Enum

from torc_migrations.errors import (
    DependencyPending,
    Dirty,
    Irreversible,
    OutOfStep,
    VersionMismatch,
    VersionMissing,
    VersionNotPresent,
    VersionTooNew,
    VersionTooOld,
)
from torc_migrations.values import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from torc_migrations.judgement import Entry, Status
    from torc_migrations.migration import Migration, Script
    from torc_migrations.snapshot import Snapshot


class Direction(Enum):
    """The way a plan goes."""

    UP = "up"
    DOWN = "down"


class Action(Enum):
    """What one step does.

    `operation` is what yoyo's log calls it, `done` is its past tense.
    """

    operation: str
    done: str

    APPLY = "apply", "apply", "applied"
    ROLL_BACK = "rollback", "rollback", "rolled back"
    RECORD = "record", "mark", "recorded"
    ERASE = "erase", "unmark", "erased"
    REPAIR = "repair", "mark", "repaired"
    HOOK = "hook", "apply", "run"

    def __new__(cls, word: str, operation: str, done: str) -> Action:
        """Make a member whose value is its word."""
        member = object.__new__(cls)
        member._value_ = word
        member.operation = operation
        member.done = done
        return member


# In Python 3.11 to look a member up takes three times as long as this.
_APPLY, _ROLL_BACK, _HOOK = Action.APPLY, Action.ROLL_BACK, Action.HOOK


class Step(NamedTuple):
    """One migration, and what is done with it in one transaction.

    RECORD, ERASE and REPAIR run no SQL: they write what a ledger lacks, remove what is stale in one, and accept a file
    that was edited, for a `reason` that goes to yoyo's log. HOOK runs a script that is no migration.
    """

    migration: Migration
    action: Action
    reason: str = ""

    @property
    def script(self) -> Script | None:
        """The script that the step runs, or None."""
        action = self.action
        if action is _APPLY or action is _HOOK:
            return self.migration.up
        return self.migration.down if action is _ROLL_BACK else None

    @property
    def is_hook(self) -> bool:
        """Whether it runs a script that is no migration, and has no version."""
        return self.action is Action.HOOK

    @property
    def migrates(self) -> bool:
        """Whether it runs the script of a migration, up or down: what sqlx has a line for."""
        return self.script is not None and not self.is_hook

    @property
    def name(self) -> str:
        """What messages call it: the version of a migration, the id of a hook."""
        return self.migration.id if self.is_hook else str(self.migration.version)

    @property
    def title(self) -> str:
        """Its name, and what it is: `migration 3`, `hook post-apply`."""
        return f"{'hook' if self.is_hook else 'migration'} {self.name}"

    def as_dict(self) -> dict[str, object]:
        """Return the same as values that `json` takes."""
        version = None if self.is_hook else self.migration.version
        return {"version": version, "id": self.migration.id, "action": self.action.value}


class Plan(NamedTuple):
    """The steps that lead to a target, in order.

    `skipped` are the migrations that a target leaves as they are; `notes` are sentences for people.
    """

    direction: Direction
    steps: tuple[Step, ...]
    skipped: tuple[Migration, ...] = ()
    target: int | None = None
    notes: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, object]:
        """Return the same as values that `json` takes."""
        return {
            "direction": self.direction.value,
            "target": self.target,
            "steps": [step.as_dict() for step in self.steps],
            "skipped": [migration.version for migration in self.skipped],
            "notes": list(self.notes),
        }


class Outcome(NamedTuple):
    """A step that was performed, and its time in nanoseconds."""

    step: Step
    elapsed_ns: int

    def as_text(self) -> str:
        """Return the line that sqlx prints; empty for what sqlx does not know: a step that ran no SQL, or a hook."""
        return _line("Applied", self.step, self.elapsed_ns) if self.step.migrates else ""

    @property
    def note(self) -> str:
        """What there is to say beside sqlx's line; empty for a migration's script."""
        if self.step.is_hook:
            return f"{self.step.name} {self.step.action.done} in {duration_text(self.elapsed_ns)}"
        return "" if self.step.script else f"{self.step.migration.id} {self.step.action.done} in the ledgers"


class Report(NamedTuple):
    """What a run set out to do, what it did, and the snapshot that it made before."""

    plan: Plan
    outcomes: tuple[Outcome, ...]
    snapshot: Snapshot | None = None

    @property
    def applied(self) -> tuple[int, ...]:
        """The versions whose scripts were run, in order, whether up or down; not the hooks."""
        steps = (outcome.step for outcome in self.outcomes)
        return tuple(step.migration.version for step in steps if step.migrates)

    def as_text(self) -> str:
        """Return what `sqlx migrate run` and `revert` print, without colours."""
        return "".join(outcome.as_text() for outcome in self.outcomes) + skipped_text(self.plan)

    def as_dict(self) -> dict[str, object]:
        """Return the same as values that `json` takes; the steps are those that were performed."""
        steps = [{**outcome.step.as_dict(), "elapsed_ns": outcome.elapsed_ns} for outcome in self.outcomes]
        made = {"snapshot": self.snapshot.path} if self.snapshot else {}
        return {**self.plan.as_dict(), "steps": steps, **made}


def plan_text(plan: Plan) -> str:
    """Return what `sqlx migrate run --dry-run` prints for a plan."""
    return "".join(_line("Can apply", step, 0) for step in plan.steps if step.migrates) + skipped_text(plan)


def skipped_text(plan: Plan) -> str:
    """Return sqlx's lines for the migrations that a plan leaves as they are."""
    action = Action.APPLY if plan.direction is Direction.UP else Action.ROLL_BACK
    return "".join(_line("Skipped", Step(migration, action), 0) for migration in plan.skipped)


def _line(word: str, step: Step, elapsed_ns: int) -> str:
    migration = step.migration
    if step.action is Action.APPLY:
        what = f"migrate {migration.description}"
    else:
        what = f"revert {migration.down_description or migration.description}"
    return f"{word} {migration.version}/{what} ({duration_text(elapsed_ns)})\n"


def duration_text(nanoseconds: int) -> str:
    """Write a duration as Rust's `Duration` does: `1.234567ms`, `12µs`, `0ns`.

    https://doc.rust-lang.org/std/time/struct.Duration.html#impl-Debug-for-Duration
    """
    for unit, size, digits in (("s", 1_000_000_000, 9), ("ms", 1_000_000, 6), ("µs", 1_000, 3)):
        if nanoseconds >= size:
            whole, rest = divmod(nanoseconds, size)
            fraction = f"{rest:0{digits}}".rstrip("0")
            return f"{whole}.{fraction}{unit}" if fraction else f"{whole}{unit}"
    return f"{nanoseconds}ns"


def plan_upgrade(
    status: Status, target: int | None = None, *, ignore_missing: bool = False, accept_newer: bool = False
) -> Plan:
    """Plan the way up to `target`, or to the newest migration; every check comes before the first step.

    Whatever is pending at or below the target is applied, in ascending order, whether newer migrations are installed
    or not.

    Raises:
        TargetError: the target is unknown, or older than what is installed.
        LedgerError: what is installed is missing, edited, dirty or out of step.
    """
    _check_present(status, () if target is None else (target,))
    unsettled = status.unsettled
    notes = _check_ledgers(status, unsettled, ignore_missing=ignore_missing, accept_newer=accept_newer)
    if target is not None and target < (status.latest or 0):
        raise VersionTooOld(target, status.latest or 0)
    _check_unchanged(unsettled)
    pending = [entry.migration for entry in unsettled if not entry.installed]
    skipped = () if target is None else tuple(migration for migration in pending if migration.version > target)
    wanted = pending[: len(pending) - len(skipped)]
    steps = (*_adoptions(unsettled), *[Step._make((migration, _APPLY, "")) for migration in wanted])
    return Plan(Direction.UP, (*steps, *_hooks(status, steps)), skipped, target, notes)


def plan_exactly(
    status: Status,
    action: Action,
    versions: Iterable[int],
    *,
    ignore_missing: bool = False,
    accept_newer: bool = False,
) -> Plan:
    """Plan to do one thing with exactly these migrations; those that are so already need no step.

    RECORD and ERASE settle what is out of step.

    Raises:
        TargetError: a version is unknown; a dependency is pending and not among them; a migration is irreversible.
        LedgerError: what is installed is missing, edited, dirty or out of step.
    """
    wanted = set(versions)
    _check_present(status, sorted(wanted))
    goes_up = action in (Action.APPLY, Action.RECORD)
    chosen = tuple(
        entry
        for entry in status.entries
        if entry.migration.version in wanted and (entry.installed is not goes_up or entry.out_of_step)
    )
    unsettled = status.unsettled
    if action in (Action.RECORD, Action.ERASE):
        about_to_be = {entry.migration.version for entry in chosen}
        unsettled = tuple(entry for entry in unsettled if entry.migration.version not in about_to_be)
    notes = _check_ledgers(status, unsettled, ignore_missing=ignore_missing, accept_newer=accept_newer)
    migrations = tuple(entry.migration for entry in chosen)
    if action is Action.APPLY:
        _check_unchanged(unsettled)
        _check_dependencies(status, migrations)
    elif action is Action.ROLL_BACK:
        _check_reversible(migrations)
    steps = tuple(Step(migration, action) for migration in (migrations if goes_up else reversed(migrations)))
    hooks = _hooks(status, steps) if action is Action.APPLY else ()
    direction = Direction.UP if goes_up else Direction.DOWN
    return Plan(direction, (*_adoptions(unsettled), *steps, *hooks), notes=notes)


def plan_repair(status: Status, versions: Collection[int], reason: str) -> Plan:
    """Plan to accept the files of installed migrations as they are now; those that are unchanged need no step.

    Raises:
        TargetError: a version is unknown.
    """
    _check_present(status, versions)
    steps = tuple(
        Step(entry.migration, Action.REPAIR, reason)
        for entry in status.entries
        if entry.changed and entry.migration.version in versions
    )
    return Plan(Direction.UP, steps)


def plan_trust(status: Status, *, yoyo: bool) -> Plan:
    """Plan to settle what is out of step by what yoyo's ledger says, or else by what sqlx's says."""
    steps = []
    for entry in status.entries:
        if entry.out_of_step:
            row = entry.yoyo if yoyo else entry.sqlx
            steps.append(Step(entry.migration, Action.ERASE if row is None else Action.RECORD))
    return Plan(Direction.UP, tuple(steps))


def plan_rollback(status: Status, target: int | None = None, *, ignore_missing: bool = False) -> Plan:
    """Plan the way down: to `target`, which stays; everything for 0; the newest migration for None.

    Raises:
        TargetError: the target is unknown or newer than what is installed, or a migration on the way is irreversible.
        LedgerError: what is installed is missing, dirty or out of step.
    """
    _check_present(status, (target,) if target else ())
    unsettled = status.unsettled
    notes = _check_ledgers(status, unsettled, ignore_missing=ignore_missing, accept_newer=False)
    installed = tuple(reversed(status.installed))
    latest = status.latest or 0
    if target is not None and target > latest:
        raise VersionTooNew(target, latest)
    down = installed[:1] if target is None else tuple(m for m in installed if m.version > target)
    _check_reversible(down)
    skipped = () if target is None else tuple(m for m in installed if m.version <= target and m.reversible)
    steps = [*_adoptions(unsettled), *(Step(migration, Action.ROLL_BACK) for migration in down)]
    return Plan(Direction.DOWN, tuple(steps), skipped, target, notes)


def _check_present(status: Status, versions: Collection[int]) -> None:
    present = {entry.migration.version for entry in status.entries} if versions else set[int]()
    for version in versions:
        if version not in present:
            raise VersionNotPresent(version)


def _check_ledgers(
    status: Status, unsettled: Iterable[Entry], *, ignore_missing: bool, accept_newer: bool
) -> tuple[str, ...]:
    """Check, in sqlx's order, that the ledgers can be built upon; return what is accepted all the same."""
    if status.dirty:
        raise Dirty(status.dirty[0])
    newest = status.entries[-1].migration.version if status.entries else 0
    refused = [v for v in status.missing if not ignore_missing and not (accept_newer and v > newest)]
    if refused:
        raise VersionMissing(refused[0])
    for entry in unsettled:
        if entry.out_of_step:
            raise OutOfStep(entry.migration.version, yoyo=entry.yoyo is not None, sqlx=entry.sqlx is not None)
    return tuple(
        f"{version} is installed, but newer than every file: the database is ahead of this release"
        for version in status.missing
        if accept_newer and version > newest
    )


def _check_unchanged(entries: Iterable[Entry]) -> None:
    for entry in entries:
        if entry.changed and entry.sqlx is not None:
            migration = entry.migration
            raise VersionMismatch(migration.version, recorded=entry.sqlx.checksum, local=migration.checksum)


def _check_reversible(migrations: Iterable[Migration]) -> None:
    for migration in migrations:
        if not migration.reversible:
            raise Irreversible(migration.version)


def _check_dependencies(status: Status, chosen: Iterable[Migration]) -> None:
    there = {migration.id for migration in (*status.installed, *chosen)}
    for migration in chosen:
        for dependency in migration.depends:
            if dependency not in there:
                raise DependencyPending(migration.version, dependency)


def plan_settling(status: Status) -> Plan:
    """Plan to write and erase what one ledger lacks or still has, where it is known which of the two is right."""
    return Plan(Direction.UP, tuple(_adoptions(entry for entry in status.unsettled if not entry.out_of_step)))


def _hooks(status: Status, steps: tuple[Step, ...]) -> tuple[Step, ...]:
    """Return what runs after migrations were applied, now, or by a run that did not come to it."""
    applies = any(step.action is Action.APPLY for step in steps)
    return tuple(Step(hook, Action.HOOK) for hook in (status.hooks if applies else status.due_hooks))


def _adoptions(entries: Iterable[Entry]) -> Iterator[Step]:
    """Write what a ledger lacks, and erase what is stale in one."""
    for entry in entries:
        if not entry.in_step:
            yield Step(entry.migration, Action.RECORD if entry.installed else Action.ERASE)
