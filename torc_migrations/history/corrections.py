"""Plan what `Migrator.repair` does: correct the ledgers, or run what is left of a script."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from torc_migrations.errors import Irreversible, NothingToResume
from torc_migrations.history.conditions import check_present, error_of_half_done
from torc_migrations.history.planning import plan_exactly, plan_line_endings, plan_repair, plan_trust
from torc_migrations.history.steps import Action, Direction, Plan, Step

if TYPE_CHECKING:
    from torc_migrations.history.old_names import Rename
    from torc_migrations.history.status import Entry, Status


def plan_correction(
    status: Status, way: str, value: Any, versions: tuple[int, ...], leniency: Mapping[str, bool]
) -> Plan:
    """Plan a repair: `way` is the parameter of `Migrator.repair` that was given, and `value` its value."""
    plan = _plan_way(status, way, value, versions, leniency)
    corrected = {step.migration.version for step in plan.steps}
    left = (
        entry
        for entry in status.entries
        if entry.migration.version not in corrected
        and (entry.migration.version in versions or (way == "line_endings" and not versions and entry.refused))
    )
    return replace(plan, notes=(*plan.notes, *(_why_nothing(entry, way) for entry in left)))


def _why_nothing(entry: Entry, way: str) -> str:
    """Say why there is nothing to repair about a migration, and what there may be to do."""
    version = entry.migration.version
    if way in ("mark", "unmark"):
        return f"{version} is {'installed' if entry.installed else 'pending'} in both ledgers already"
    if not entry.installed:
        return (
            f"{version} is pending: `torc-migrations upgrade` applies it; `torc-migrations repair {version} --mark` "
            "records it and runs nothing"
        )
    if not entry.refused:
        return f"{version} is installed, and its file is accepted as it is"
    return (
        f"{version} was edited, or had mixed line endings when it was installed, which its checksum does not show: "
        f"restore the file, or accept it with `torc-migrations repair {version} --reason TEXT`"
    )


def _plan_way(status: Status, way: str, value: Any, versions: tuple[int, ...], leniency: Mapping[str, bool]) -> Plan:
    if way == "reason":
        return plan_repair(status, versions, value)
    if way == "line_endings":
        return plan_line_endings(status, versions)
    if way == "trust":
        return plan_trust(status, value)
    if way == "resume_after":
        return plan_resume(status, versions[0], value)
    if way == "renamed":
        return plan_renames(status)
    return plan_exactly(status, {"mark": Action.RECORD, "unmark": Action.ERASE}[way], versions, **leniency)


def plan_renames(status: Status) -> Plan:
    """Plan to give the records of installed migrations the new names of their files, and to erase stale ones."""
    entries = {entry.migration.version: entry for entry in status.entries if entry.old_ids or entry.unsure_ids}
    renames = tuple(_rename(rename, entries.pop(rename.migration.version, None)) for rename in status.renames)
    return Plan(None, (*renames, *map(_redescribe, entries.values())))


def _redescribe(entry: Entry) -> Step:
    """Give the records of a migration the new description of its file; the caller says that it is the same.

    yoyo's ledger alone knows a migration whose name may be another directory's: it is installed then.
    """
    action = Action.RECORD if entry.installed or entry.out_of_step else Action.ERASE
    names = (*entry.old_ids, *entry.unsure_ids)
    return Step(entry.migration, action, f"was {', '.join(names)}", old_ids=names)


def _rename(rename: Rename, entry: Entry | None) -> Step:
    """Move the records of a migration; what another one has left by the version that it gets is removed."""
    old = ", ".join(rename.old_ids) or str(rename.sqlx.version)
    action = Action.ERASE if rename.is_stale else Action.RENAME
    left = entry.old_ids if entry else ()
    return Step(rename.migration, action, f"was {old}", renamed_from=rename, old_ids=left)


def plan_resume(status: Status, version: int, after: int) -> Plan:
    """Plan to run the statements of a script that come after the first `after` of them.

    Raises:
        HalfDone: more of them are done, and would be run again.
        VersionNotPresent: the source has no such version.
        NothingToResume: it has no script outside a transaction that has begun and has not ended.
    """
    check_present(status, (version,))
    entry = next(entry for entry in status.entries if entry.migration.version == version)
    begun, migration = entry.half_done, entry.migration
    if begun is None:
        raise NothingToResume(version)
    if after < begun.done:
        raise error_of_half_done(entry, begun)
    action, direction = (Action.ROLL_BACK, Direction.DOWN) if begun.rolls_back else (Action.APPLY, Direction.UP)
    if migration.down is None and begun.rolls_back:
        raise Irreversible(version)
    reason = f"resumed after statement {after}"
    return Plan(direction, (Step(migration, action, reason, after, old_ids=entry.old_ids),))
