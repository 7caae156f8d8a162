"""Compare the migrations of a source with the ledgers."""

from __future__ import annotations

from dataclasses import replace
from itertools import takewhile
from typing import TYPE_CHECKING

from torc_migrations.history.old_names import Rename, YoyoFacts, find_other_names, find_renames, yoyo_facts_of
from torc_migrations.history.records import BEGIN, NO_ROW, Begun, LogEntry, Recorded, SqlxRecord, YoyoRecord
from torc_migrations.history.status import Entry, Status
from torc_migrations.history.verdict import Verdict, decide, verdict_of
from torc_migrations.sources.migration import Migration
from torc_migrations.sources.source import Source

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from torc_migrations.history.evidence import Evidence


def compare(source: Source, recorded: Recorded) -> Status:
    """Compare the files with the ledgers."""
    others = find_other_names(source, recorded)
    entries = tuple(
        [
            _entry(each, recorded, yoyo_facts_of(each, recorded, others.get(each.version, ())))
            for each in source.migrations
        ]
    )
    unsettled = _unsettled(entries)
    missing = tuple(sorted(recorded.sqlx.keys() - {migration.version for migration in source.migrations}))
    dirty = tuple(sorted(_dirty(source, recorded)))
    due = tuple(_due_hooks(source, recorded)) if source.hooks else ()
    due_notes = (f"{hook.id} has not run since migrations were applied; the next upgrade runs it" for hook in due)
    foreign = _foreign(source, recorded)
    left = [(each.migration, each.changed) for each in unsettled if each.changed or not (each.sqlx or each.installed)]
    renames = tuple(find_renames(left, missing, recorded, foreign)) if left and recorded.sqlx else ()
    entries, unsettled = _without_old_ids_of(renames, entries, unsettled)
    notes = (*source.notes, *recorded.notes, *_notes(unsettled, missing, dirty, renames), *due_notes)
    return Status(entries, missing, foreign, dirty, notes, source.hooks, due, renames)


def with_kept(status: Status, kept: Iterable[Migration], recorded: Recorded) -> Status:
    """Return the status with what the database keeps of missing versions, where both ledgers have them."""
    found = (_entry(migration, recorded, yoyo_facts_of(migration, recorded, ())) for migration in kept)
    there = (each for each in found if each.half_done or (each.verdict is Verdict.INSTALLED and each.in_step))
    return replace(status, kept=tuple(there))


def _entry(migration: Migration, recorded: Recorded, facts: YoyoFacts) -> Entry:
    """Return what is known of one migration, before the schema is looked at."""
    sqlx, yoyo, log = recorded.sqlx.get(migration.version), facts.yoyo, facts.log
    verdict = decide(sqlx, yoyo, log, has_sqlx_table=recorded.has_sqlx_table)
    if verdict is Verdict.OUT_OF_STEP and recorded.yoyo_running:
        verdict = verdict_of(yoyo is not None)
    unsure_ids: tuple[str, ...] = ()
    if (unsure := facts.unsure) is not None:
        differs = decide(sqlx, unsure.yoyo, unsure.log, has_sqlx_table=recorded.has_sqlx_table) is not verdict
        if differs:
            verdict, yoyo = Verdict.OUT_OF_STEP, unsure.yoyo
        if differs or not (facts.yoyo or facts.log):
            unsure_ids = unsure.old_ids
    half_done = _half_done(sqlx, yoyo, log) if log and recorded.running.keys().isdisjoint(facts.keys) else None
    accepts, text = False, None
    if sqlx is not None and sqlx.checksum != migration.checksum:
        accepts = _accepts_line_endings(log)
        text = next(filter(None, (line.text_of(sqlx.checksum) for line in reversed(log))), None)
    return Entry(migration, verdict, sqlx, yoyo, half_done, None, accepts, facts.old_ids, unsure_ids, text)


def _without_old_ids_of(
    renames: tuple[Rename, ...], entries: tuple[Entry, ...], unsettled: tuple[Entry, ...]
) -> tuple[tuple[Entry, ...], tuple[Entry, ...]]:
    """Leave out the old names of files that have another version now: they are not those of what took their version."""
    claimed = {name for rename in renames for name in rename.old_ids}
    if not claimed:
        return entries, unsettled
    entries = tuple(
        replace(entry, old_ids=tuple(name for name in entry.old_ids if name not in claimed)) for entry in entries
    )
    return entries, _unsettled(entries)


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


def _foreign(source: Source, recorded: Recorded) -> tuple[str, ...]:
    if not recorded.yoyo.keys() - {migration.hash for migration in source.migrations}:
        return ()
    ids = {migration.id for migration in source.migrations}
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
    for entry in unsettled:
        if entry.unsure_ids and not entry.out_of_step and entry.evidence is None:
            yield (
                f"yoyo's ledger has {entry.unsure_ids[0]}, which has no file and may be {entry.migration.id}; "
                "if it is its old name: `torc-migrations repair --renamed`"
            )
    for rename in renames:
        old, new = rename.sqlx.version, rename.migration.version
        yield f"{new} is {old} renamed: it has its checksum; `torc-migrations repair --renamed`"
    yield from (f"{version} is installed, but has no file in the source" for version in missing)
    begun = {entry.migration.version for entry in unsettled if entry.half_done}
    others = [version for version in dirty if version not in begun]
    yield from (f"{version} is dirty: another tool began it and did not finish it" for version in others)


def _unsettled(entries: Iterable[Entry]) -> tuple[Entry, ...]:
    return tuple([entry for entry in entries if not entry.settled])
