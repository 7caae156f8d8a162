"""What must hold before steps are planned: ledgers that agree, files that are there, scripts that fit each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torc_migrations.errors import (
    DependencyPending,
    DependentInstalled,
    Dirty,
    HalfDone,
    Irreversible,
    MissingAbove,
    OutOfStep,
    Renamed,
    Stop,
    TooOld,
    VersionMismatch,
    VersionMissing,
    VersionNotPresent,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from torc_migrations.history.records import Begun
    from torc_migrations.history.status import Entry, Status
    from torc_migrations.sources.migration import Migration


def check_missing_above(status: Status, chosen: Iterable[Migration]) -> None:
    """Refuse to run a down script below a migration that may need what it takes away, and cannot be rolled back."""
    lowest = min((migration.version for migration in chosen), default=None)
    above = [] if lowest is None else [version for version in status.missing if version > lowest]
    if lowest is not None and above:
        raise MissingAbove(above[0], max(m.version for m in chosen if m.version < above[0]))


def check_present(status: Status, versions: Collection[int]) -> None:
    """Refuse versions that have no file."""
    present = {entry.migration.version for entry in status.entries} if versions else set[int]()
    for version in versions:
        if version not in present:
            raise VersionNotPresent(version)


def check_ledgers(
    status: Status,
    unsettled: Iterable[Entry],
    *,
    ignore_missing: bool,
    accept_newer: bool,
    named: frozenset[int] = frozenset(),
) -> tuple[str, ...]:
    """Check, in sqlx's order, that the ledgers allow a run; return notes about what is accepted nevertheless.

    Renamed files are refused, unless the migrations of the run are `named`: then it is known that they are meant.
    """
    if status.dirty:
        raise _dirty(status, status.dirty[0])
    if status.renames and not named:
        rename = status.renames[0]
        old = rename.sqlx.version
        raise Renamed(rename.migration.version, old, is_missing=old in status.missing, is_stale=rename.is_stale)
    newest = status.entries[-1].migration.version if status.entries else 0
    refused = [v for v in status.missing if not ignore_missing and not (accept_newer and v > newest)]
    if refused:
        raise VersionMissing(refused[0], compatible_from=_allowed_from(status) if refused[0] > newest else None)
    found = []
    for entry in unsettled if ignore_missing else (*unsettled, *status.kept):
        if entry.half_done is not None:
            raise error_of_half_done(entry, entry.half_done)
        if entry.out_of_step:
            raise _out_of_step(entry)
        if entry.evidence is not None and entry.note:
            found.append(entry.note)
    ahead = [version for version in status.missing if accept_newer and version > newest]
    if ahead and not ignore_missing:
        check_compatible(status)
    if ahead:
        are = f"{ahead[0]} is" if len(ahead) == 1 else f"{len(ahead)} versions from {ahead[0]} to {ahead[-1]} are"
        found.append(f"{are} installed, but newer than every file: the database is ahead of this release")
    return tuple(found)


def check_compatible(status: Status) -> None:
    """Refuse a release that is older than the installed migrations allow.

    Raises:
        TooOld: it is; the migration that asks for most is named.
    """
    newest = status.entries[-1].migration.version if status.entries else 0
    compatible_from, version = max(_asked(status), default=(newest, 0))
    if newest < compatible_from:
        raise TooOld(version, compatible_from, newest)


def _asked(status: Status) -> Iterator[tuple[int, int]]:
    """Yield which version each installed migration without a file asks for, and its own."""
    for entry in status.kept:
        yield entry.migration.compatible_from or 0, entry.migration.version


def _allowed_from(status: Status) -> int | None:
    """Return the version that the installed newer migrations ask for, if this release has it and they say so."""
    newest = status.entries[-1].migration.version if status.entries else 0
    compatible_from, _ = max(_asked(status), default=(0, 0))
    return compatible_from if 0 < compatible_from <= newest else None


def _dirty(status: Status, version: int) -> Dirty:
    """Return the error for a row that was not finished, with how far its script is, where we have begun it."""
    entry = next((each for each in (*status.entries, *status.kept) if each.migration.version == version), None)
    if entry is None or entry.half_done is None:
        return Dirty(version)
    return Dirty(version, _stop(entry, entry.half_done))


def error_of_half_done(entry: Entry, begun: Begun) -> HalfDone:
    """Return the error for a script that has begun and has not ended, which says where it has stopped."""
    return HalfDone(entry.migration.version, **_stop(entry, begun)._asdict())


def _stop(entry: Entry, begun: Begun) -> Stop:
    """Return where a script has stopped."""
    migration = entry.migration
    script = migration.down if begun.rolls_back and migration.down else migration.up
    return Stop(
        path=script.path, done=begun.done, line=begun.line, rolls_back=begun.rolls_back, is_running=begun.is_running
    )


def _out_of_step(entry: Entry) -> OutOfStep:
    found = entry.evidence
    return OutOfStep(
        entry.migration.version,
        yoyo=entry.yoyo is not None,
        sqlx=entry.sqlx is not None,
        there=found.there if found else (),
        lacking=found.lacking if found else (),
        unknown=found.unknown if found else None,
        name=entry.unsure_ids[0] if entry.unsure_ids else None,
    )


def check_unchanged(entries: Iterable[Entry]) -> None:
    """Refuse an installed migration whose file was edited, unless the edit is accepted."""
    for entry in entries:
        if entry.refused and entry.sqlx is not None:
            migration = entry.migration
            raise VersionMismatch(
                migration.version,
                recorded=entry.sqlx.checksum,
                local=migration.checksum,
                line_endings=entry.same_but_for_line_endings,
            )


def check_reversible(migrations: Iterable[Migration]) -> None:
    """Refuse to roll back a migration that has no down script."""
    for migration in migrations:
        if not migration.reversible:
            raise Irreversible(migration.version)


def check_dependencies(status: Status, chosen: Iterable[Migration]) -> None:
    """Refuse to apply a migration that depends on one which is neither installed nor applied with it."""
    there = {migration.id for migration in (*status.installed, *chosen)}
    for migration in chosen:
        for dependency in migration.depends:
            if dependency not in there:
                raise DependencyPending(migration.version, dependency)


def check_dependents(status: Status, chosen: tuple[Migration, ...]) -> None:
    """Refuse to roll back a migration on which an installed one depends that is not rolled back with it."""
    versions = {migration.id: migration.version for migration in chosen}
    for migration in status.installed:
        for dependency in migration.depends:
            if dependency in versions and migration.id not in versions:
                raise DependentInstalled(versions[dependency], migration.id)
