"""Compare the migrations of a source with the ledgers."""

from __future__ import annotations

import re
from collections import deque
from dataclasses import replace
from itertools import takewhile
from typing import TYPE_CHECKING

from torc_migrations.history.records import BEGIN, NO_ROW, Begun, LogEntry, Recorded, SqlxRecord, YoyoRecord
from torc_migrations.history.status import Entry, Rename, Status
from torc_migrations.history.verdict import Verdict, decide, verdict_of
from torc_migrations.sources.migration import Migration
from torc_migrations.sources.source import Source

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from torc_migrations.history.evidence import Evidence


def compare(source: Source, recorded: Recorded) -> Status:
    """Compare the files with the ledgers."""
    entries = tuple([_entry(migration, recorded) for migration in source.migrations])
    unsettled = tuple([entry for entry in entries if not entry.settled])
    missing = tuple(sorted(recorded.sqlx.keys() - {migration.version for migration in source.migrations}))
    dirty = tuple(sorted(_dirty(source, recorded)))
    due = tuple(_due_hooks(source, recorded)) if source.hooks else ()
    due_notes = (f"{hook.id} has not run since migrations were applied; the next upgrade runs it" for hook in due)
    foreign = _foreign(entries, recorded)
    renames = tuple(_renames(unsettled, missing, recorded.sqlx, foreign)) if unsettled and recorded.sqlx else ()
    notes = (*source.notes, *recorded.notes, *_notes(unsettled, missing, dirty, renames), *due_notes)
    return Status(entries, missing, foreign, dirty, notes, source.hooks, due, renames)


def with_kept(status: Status, kept: Iterable[Migration], recorded: Recorded) -> Status:
    """Return the status with what the database keeps of missing versions, where both ledgers have them."""
    found = (_entry(migration, recorded) for migration in kept)
    there = (each for each in found if each.half_done or (each.verdict is Verdict.INSTALLED and each.in_step))
    return replace(status, kept=tuple(there))


def _entry(migration: Migration, recorded: Recorded) -> Entry:
    key = migration.hash
    sqlx, yoyo = recorded.sqlx.get(migration.version), recorded.yoyo.get(key)
    log = recorded.log.get(key, ())
    verdict = decide(sqlx, yoyo, log, has_sqlx_table=recorded.has_sqlx_table)
    if verdict is Verdict.OUT_OF_STEP and recorded.yoyo_running:
        verdict = verdict_of(yoyo is not None)
    half_done = _half_done(sqlx, yoyo, log) if log and key not in recorded.running else None
    changed = sqlx is not None and sqlx.checksum != migration.checksum
    accepts = changed and _accepts_line_endings(log)
    return Entry(migration, verdict, sqlx, yoyo, half_done, accepts_line_endings=accepts)


def _dirty(source: Source, recorded: Recorded) -> Iterator[int]:
    """Find the rows that were begun and not ended, without those of scripts that are running."""
    dirty = {version for version, record in recorded.sqlx.items() if not record.success}
    if not dirty or recorded.runner is not None:
        return
    running = {migration.version for migration in source.migrations if migration.hash in recorded.running}
    yield from dirty - running


def _accepts_line_endings(log: Sequence[LogEntry]) -> bool:
    """Return whether other line endings were accepted since the migration was installed."""
    since = takewhile(lambda entry: entry.operation == "mark", reversed(log))
    return any(entry.accepts_line_endings for entry in since)


def settle(status: Status, found: Mapping[int, Evidence]) -> Status:
    """Return the status after the schema was looked at: `found` is by version, for what is out of step."""
    entries = (
        replace(entry, verdict=found[entry.migration.version].verdict, evidence=found[entry.migration.version])
        if entry.out_of_step and entry.migration.version in found
        else entry
        for entry in status.entries
    )
    return replace(status, entries=tuple(entries))


def _half_done(sqlx: SqlxRecord | None, yoyo: YoyoRecord | None, log: Sequence[LogEntry]) -> Begun | None:
    """Return the script that has begun and has not ended, unless another tool has written since."""
    last = log[-1]
    begun = last.begun
    if begun is None or last.sqlx_row != (NO_ROW if sqlx is None else sqlx.identity):
        return None
    return begun if begun.rolls_back is (yoyo is not None) else None


def _renames(
    unsettled: tuple[Entry, ...], missing: tuple[int, ...], rows: Mapping[int, SqlxRecord], foreign: tuple[str, ...]
) -> Iterator[Rename]:
    """Find the files whose text is that of a row with another version, where that version has another text or none."""
    left = [entry for entry in unsettled if entry.changed or (entry.sqlx is None and not entry.installed)]
    if not left:
        return
    versions = {*missing, *(entry.migration.version for entry in left if entry.changed)}
    old: dict[bytes, deque[SqlxRecord]] = {}
    for version, record in sorted(rows.items()):
        if version in versions and record.success:
            old.setdefault(record.checksum, deque()).append(record)
    names: dict[int | None, list[str]] = {}
    for name in foreign if old else ():
        names.setdefault(_version_in(name), []).append(name)
    for entry in left:
        if found := old.get(entry.migration.checksum):
            record = found.popleft()
            yield Rename(entry.migration, record, tuple(names.get(record.version, ())))


def _version_in(name: str) -> int | None:
    found = re.match(r"\d{1,18}(?!\d)", name)
    return int(found[0]) if found else None


def _due_hooks(source: Source, recorded: Recorded) -> Iterator[Migration]:
    """Find the hooks that failed or were not reached; while a stock yoyo runs, this cannot be known."""
    if recorded.yoyo_running:
        return
    runs = (_last_run(recorded.log.get(migration.hash, ())) for migration in source.migrations)
    newest = max((run.position for run in runs if run), default=None)
    for hook in source.hooks:
        log = recorded.log.get(hook.hash)
        if newest is not None and (not log or log[-1].position < newest):
            yield hook


def _last_run(log: Sequence[LogEntry]) -> LogEntry | None:
    """Return the line of the last run of a script, or None if it was rolled back since; marks do not count."""
    last = next((entry for entry in reversed(log) if entry.operation not in ("mark", BEGIN)), None)
    return last if last and last.operation == "apply" else None


def _foreign(entries: tuple[Entry, ...], recorded: Recorded) -> tuple[str, ...]:
    known = sum([entry.yoyo is not None for entry in entries])
    if known == len(recorded.yoyo):
        return ()
    ids = {entry.migration.id for entry in entries}
    return tuple(sorted(str(record.id) for record in recorded.yoyo.values() if record.id not in ids))


def _notes(
    unsettled: tuple[Entry, ...], missing: tuple[int, ...], dirty: tuple[int, ...], renames: tuple[Rename, ...]
) -> Iterator[str]:
    yield from (entry.note for entry in unsettled if entry.note)
    for entry in unsettled:
        if entry.same_but_for_line_endings:
            version = entry.migration.version
            if entry.accepts_line_endings:
                yield f"{version} differs in its line endings only, which `repair --line-endings` has accepted"
            else:
                yield f"{version} differs in its line endings only; `torc-migrations repair {version} --line-endings`"
    for rename in renames:
        old, new = rename.sqlx.version, rename.migration.version
        yield f"{new} is {old} renamed: it has its checksum; `torc-migrations repair --renamed`"
    yield from (f"{version} is installed, but has no file in the source" for version in missing)
    begun = {entry.migration.version for entry in unsettled if entry.half_done}
    others = [version for version in dirty if version not in begun]
    yield from (f"{version} is dirty: another tool began it and did not finish it" for version in others)
