"""Decide which steps lead from a status to a target; a plan depends on nothing but the status."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from torc_migrations.errors import OutOfOrder, TooFewInstalled, VersionTooNew, VersionTooOld
from torc_migrations.history.conditions import (
    check_dependencies,
    check_dependents,
    check_ledgers,
    check_missing_above,
    check_present,
    check_reversible,
    check_unchanged,
)
from torc_migrations.history.records import LINE_ENDINGS
from torc_migrations.history.steps import Action, Direction, Plan, Step

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from torc_migrations.history.status import Entry, Status
    from torc_migrations.sources.migration import Migration


def plan_upgrade(
    status: Status,
    target: int | None = None,
    *,
    ignore_missing: bool = False,
    accept_newer: bool = False,
    in_order: bool = False,
) -> Plan:
    """Plan an upgrade to `target`, or to the newest migration.

    Every pending migration at or below the target is applied, in ascending order, also where newer migrations are
    installed; a note says so, and with `in_order` it is refused.

    Raises:
        TargetError: the target is unknown, or older than what is installed.
        LedgerError: what is installed is missing, edited, dirty or out of step.
        OutOfOrder: with `in_order`, a pending migration is older than an installed one.
    """
    check_present(status, () if target is None else (target,))
    unsettled = status.unsettled
    notes = check_ledgers(status, unsettled, ignore_missing=ignore_missing, accept_newer=accept_newer)
    newest = status.latest
    latest = newest or 0  # sqlx counts a database without migrations as version 0
    if target is not None and target < latest:
        raise VersionTooOld(target, latest)
    check_unchanged(unsettled)
    pending = [entry.migration for entry in unsettled if not entry.installed]
    skipped = () if target is None else tuple(migration for migration in pending if migration.version > target)
    wanted = pending[: len(pending) - len(skipped)]
    late = [migration.version for migration in wanted if newest is not None and migration.version < newest]
    if late and in_order:
        raise OutOfOrder(late[0], latest)
    notes = (*notes, *(f"{version} is older than {latest}, which is installed, and is applied now" for version in late))
    steps = (*_adoptions(unsettled), *[Step(migration, Action.APPLY) for migration in wanted])
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

    RECORD and ERASE also correct what is out of step.

    Raises:
        TargetError: a version is unknown; a dependency is pending and not among them, or to be rolled back while a
            migration that needs it is installed; a migration is irreversible.
        LedgerError: what is installed is missing, edited, dirty or out of step.
    """
    wanted = set(versions)
    check_present(status, sorted(wanted))
    goes_up = action in (Action.APPLY, Action.RECORD)
    chosen = tuple(
        entry
        for entry in status.entries
        if entry.migration.version in wanted
        and (entry.installed is not goes_up or entry.out_of_step or entry.half_done is not None or entry.dirty)
    )
    others = status.unsettled
    corrected = {entry.migration.version for entry in chosen} if action in (Action.RECORD, Action.ERASE) else set()
    if corrected:
        others = tuple(entry for entry in others if entry.migration.version not in corrected)
    dirty = tuple(version for version in status.dirty if version not in corrected)
    notes = check_ledgers(
        replace(status, dirty=dirty),
        others,
        ignore_missing=ignore_missing,
        accept_newer=accept_newer,
        named=frozenset(wanted),
    )
    planner = {Action.APPLY: _apply, Action.ROLL_BACK: _roll_back, Action.RECORD: _record, Action.ERASE: _erase}[action]
    steps = _with_old_ids(status, planner(status, tuple(entry.migration for entry in chosen)))
    return Plan(Direction.UP if goes_up else Direction.DOWN, (*_adoptions(others), *steps), notes=notes)


def _apply(status: Status, migrations: tuple[Migration, ...]) -> tuple[Step, ...]:
    check_unchanged(status.unsettled)
    check_dependencies(status, migrations)
    steps = tuple(Step(migration, Action.APPLY) for migration in migrations)
    return (*steps, *_hooks(status, steps))


def _roll_back(status: Status, migrations: tuple[Migration, ...]) -> tuple[Step, ...]:
    check_missing_above(status, migrations)
    check_reversible(migrations)
    check_dependents(status, migrations)
    return tuple(Step(migration, Action.ROLL_BACK) for migration in reversed(migrations))


def _record(_: Status, migrations: tuple[Migration, ...]) -> tuple[Step, ...]:
    return tuple(Step(migration, Action.RECORD) for migration in migrations)


def _erase(_: Status, migrations: tuple[Migration, ...]) -> tuple[Step, ...]:
    return tuple(Step(migration, Action.ERASE) for migration in reversed(migrations))


def plan_repair(status: Status, versions: Collection[int], reason: str) -> Plan:
    """Plan to accept the files of installed migrations as they are now; those that are unchanged need no step.

    Raises:
        TargetError: a version is unknown.
    """
    check_present(status, versions)
    steps = tuple(
        Step(entry.migration, Action.REPAIR, reason)
        for entry in status.entries
        if entry.changed and entry.migration.version in versions
    )
    return Plan(None, _with_old_ids(status, steps))


def plan_line_endings(status: Status, versions: Collection[int] = ()) -> Plan:
    """Plan to accept files that differ in line endings or a byte order mark only: of these versions, or all of them.

    Raises:
        TargetError: a version is unknown.
    """
    check_present(status, versions)
    chosen = [
        entry.migration.version
        for entry in status.entries
        if entry.same_but_for_line_endings and (not versions or entry.migration.version in versions)
    ]
    return plan_repair(status, chosen, LINE_ENDINGS)


def plan_trust(status: Status, ledger: Literal["yoyo", "sqlx"]) -> Plan:
    """Plan to correct one ledger by what the other one, `ledger`, says, wherever they are out of step."""
    steps = []
    for entry in status.entries:
        if entry.out_of_step or entry.evidence is not None:
            row = entry.yoyo if ledger == "yoyo" else entry.sqlx
            steps.append(Step(entry.migration, Action.ERASE if row is None else Action.RECORD))
    return Plan(None, _with_old_ids(status, tuple(steps)))


def plan_rollback(status: Status, target: int | None = None, *, steps: int = 1, ignore_missing: bool = False) -> Plan:
    """Plan a rollback to `target`, which stays; of everything for 0, version 0 too; of the newest `steps` for None.

    Raises:
        TargetError: the target is unknown or newer than what is installed, a migration above it is irreversible, or
            fewer migrations are installed than are to be rolled back.
        LedgerError: what is installed is missing, dirty or out of step.
    """
    unsettled = status.unsettled
    kept = {entry.migration.version for entry in status.kept}
    check_present(status, (target,) if target and target not in kept else ())
    status = replace(status, missing=tuple(version for version in status.missing if version not in kept))
    notes = check_ledgers(status, unsettled, ignore_missing=ignore_missing, accept_newer=False)
    installed = tuple(reversed(_with_scripts(status)))
    latest = max([status.latest or 0, *kept])  # sqlx counts a database without migrations as version 0
    if target is not None and target > latest:
        raise VersionTooNew(target, latest)
    if target is None and 0 < len(installed) < steps:
        raise TooFewInstalled(installed[-1].version, steps, len(installed))
    down = installed[:steps] if target is None else tuple(m for m in installed if m.version > target or target == 0)
    check_missing_above(status, down)
    check_reversible(down)
    skipped = tuple(m for m in installed if target and m.version <= target and m.reversible)
    way = (*_adoptions(unsettled), *(Step(migration, Action.ROLL_BACK) for migration in down))
    own = tuple(f"{m.version} has no file; the database keeps its down script" for m in down if m.version in kept)
    return Plan(Direction.DOWN, way, skipped, target, (*notes, *own))


def _with_scripts(status: Status) -> tuple[Migration, ...]:
    """Return the installed migrations whose down script is known, from a file or from the database, in order."""
    kept = (entry.migration for entry in status.kept)
    return tuple(sorted((*status.installed, *kept), key=lambda migration: migration.version))


class RollbackOfNewest:
    """Plan to roll back the migrations that were the newest ones when the first plan was made, and no others.

    A run plans again when another process has written. What that process has rolled back is left out then; if it has
    installed a newer one, nothing is left to do.
    """

    def __init__(self, steps: int = 1, *, ignore_missing: bool = False) -> None:
        self._steps = steps
        self._ignore_missing = ignore_missing
        self._chosen: tuple[Migration, ...] | None = None

    def __call__(self, status: Status) -> Plan:
        """Return the plan for a status, as `plan_rollback` does."""
        if self._chosen is None:
            self._chosen = _with_scripts(status)[-self._steps :]
            return plan_rollback(status, steps=self._steps, ignore_missing=self._ignore_missing)
        installed = _with_scripts(status)
        left = tuple(migration for migration in installed if migration in self._chosen)
        if not left or left != installed[-len(left) :]:
            return Plan(Direction.DOWN, ())
        return plan_rollback(status, steps=len(left), ignore_missing=self._ignore_missing)


def plan_settling(status: Status) -> Plan:
    """Plan to correct the ledgers where one of them is known to be right."""
    return Plan(None, tuple(_adoptions(entry for entry in status.unsettled if not entry.out_of_step)))


def _hooks(status: Status, steps: tuple[Step, ...]) -> tuple[Step, ...]:
    """Return the hooks that run after migrations are applied, or those that an earlier run did not reach."""
    applies = any(step.action is Action.APPLY for step in steps)
    return tuple(Step(hook, Action.HOOK) for hook in (status.hooks if applies else status.due_hooks))


def _with_old_ids(status: Status, steps: tuple[Step, ...]) -> tuple[Step, ...]:
    """Let steps that only correct the ledgers also remove what yoyo's ledger has by old names."""
    entries = {entry.migration.version: entry for entry in status.entries if entry.old_ids or entry.unsure_ids}
    return tuple(
        step
        if step.script is not None or step.migration.version not in entries
        else replace(step, old_ids=entries[step.migration.version].ids_to_erase(records=step.action is Action.RECORD))
        for step in steps
    )


def _adoptions(entries: Iterable[Entry]) -> Iterator[Step]:
    """Write the rows that a ledger lacks, and erase those that are wrong."""
    for entry in entries:
        if not entry.in_step and not entry.dirty:
            reason = entry.evidence.sentence if entry.evidence is not None else ""
            action = Action.RECORD if entry.installed else Action.ERASE
            yield Step(entry.migration, action, reason, old_ids=entry.ids_to_erase(records=entry.installed))
