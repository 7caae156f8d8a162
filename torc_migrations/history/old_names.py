"""Find migrations that were installed when their files had other names: of another description, or another version.

sqlx knows a migration by its version and ignores the description, yoyo knows it by the whole name.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from torc_migrations.history.records import NO_ROW, LogEntry, Recorded, SqlxRecord, YoyoRecord
from torc_migrations.history.verdict import Verdict, decide
from torc_migrations.sources.names import read_stem
from torc_migrations.sources.yoyo_names import NameRule, rule_for

if TYPE_CHECKING:
    from torc_migrations.sources.migration import Migration
    from torc_migrations.sources.source import Source

# Under these names stock yoyo runs the files of sqlx's layout as migrations of their own.
_HALVES = (".up", ".down")


class OtherName(NamedTuple):
    """A name in yoyo's ledger or log that no file has: its key, the words behind its version, and its lines.

    `is_others`: another migration has its words, so that it is the name of that one rather.
    """

    key: str
    id: str
    words: str
    log: Sequence[LogEntry]
    is_others: bool = False


class YoyoFacts(NamedTuple):
    """What yoyo's ledger and log say of a migration, under all of its names.

    `yoyo` is the row that decides: that of the name which was written about last. `keys` are the hashes of its names.
    `old_ids` are names of which something is left in the ledger, and nothing should be. `unsure` is what a name says
    that was written about later, and of which it is not known whether it is one of this migration's.
    """

    yoyo: YoyoRecord | None
    log: Sequence[LogEntry]
    keys: tuple[str, ...]
    old_ids: tuple[str, ...] = ()
    unsure: YoyoFacts | None = None


def find_other_names(source: Source, recorded: Recorded) -> Mapping[int, tuple[OtherName, ...]]:
    """Find the names without a file in yoyo's ledger and log, by the version of the migration that may have had them.

    That is the version which a name begins with. Where no row of sqlx's has it, and only stock yoyo has written the
    name, it may also be that of the one migration with the same words, whose number may have changed.
    """
    known = {migration.hash for migration in source.migrations}
    unknown = (recorded.yoyo.keys() | recorded.log.keys()) - known
    found: dict[int, tuple[OtherName, ...]] = {}
    if not unknown:
        return found
    rule = rule_for(migration.id for migration in source.migrations)
    versions = {migration.version for migration in source.migrations}
    by_words: Mapping[str, int] | None = None
    for key in sorted(unknown):
        name = recorded.yoyo[key].id if key in recorded.yoyo else recorded.log[key][0].id
        read = None if name.endswith(_HALVES) else read_stem(name, rule)
        if read is None:
            continue
        log = _since_moved(recorded.log.get(key, ()), read[0], rule)
        if not (log or key in recorded.yoyo):
            continue
        renumbered = None
        if read[0] not in recorded.sqlx and not any(entry.is_ours for entry in log):
            by_words = _versions_by_words(source, recorded) if by_words is None else by_words
            renumbered = by_words.get(_plain(read[1]))
        for version in versions & ({read[0]} if renumbered is None else {read[0], renumbered}):
            is_others = renumbered not in (None, version)
            found[version] = (*found.get(version, ()), OtherName(key, name, read[1], log, is_others))
    return found


def _versions_by_words(source: Source, recorded: Recorded) -> Mapping[str, int]:
    """Return the migrations that sqlx's ledger lacks, by their words, without those that have the words of another."""
    versions: dict[str, list[int]] = {}
    for migration in source.migrations:
        versions.setdefault(_plain(migration.description), []).append(migration.version)
    return {
        words: found[0]
        for words, found in versions.items()
        if words and not found[1:] and found[0] not in recorded.sqlx
    }


def _since_moved(log: Sequence[LogEntry], version: int, rule: NameRule) -> Sequence[LogEntry]:
    """Leave out what is said of a file that has got another version since."""
    for position in reversed(range(len(log))):
        moved_to = log[position].moved_to
        if moved_to is not None and (read_stem(moved_to, rule) or (version,))[0] != version:
            return log[position + 1 :]
    return log


def yoyo_facts_of(migration: Migration, recorded: Recorded, others: Sequence[OtherName]) -> YoyoFacts:
    """Gather what yoyo's ledger and log say of a migration; `others` are the names without a file of its version."""
    key = migration.hash
    row, log = recorded.yoyo.get(key), recorded.log.get(key, ())
    if not others:
        return YoyoFacts(row, log, (key,))
    sqlx = recorded.sqlx.get(migration.version)
    ours = [other for other in others if _is_tied(other, sqlx, log, recorded)]
    logs = {key: log, **{other.key: other.log for other in others}}
    facts = _facts(recorded, (key, *(other.key for other in ours)), logs)
    old = tuple(other.id for other in ours if _is_left(other, recorded))
    if row is not None and facts.yoyo is None:
        old = (*old, migration.id)
    unsure = [each for each in others if each not in ours and each.key in recorded.yoyo and _is_newer(each, facts)]
    if not unsure:
        return facts._replace(old_ids=old)
    named = [other for other in unsure if _plain(other.words) == _plain(migration.description)]
    ids = tuple(other.id for other in named or unsure if not other.is_others)
    return facts._replace(unsure=_facts(recorded, [other.key for other in unsure], logs)._replace(old_ids=ids))


def _is_tied(other: OtherName, sqlx: SqlxRecord | None, log: Iterable[LogEntry], recorded: Recorded) -> bool:
    """Return whether a name is one of a migration's: sqlx's row has its words, or a line of ours names its ledger.

    The version alone shows nothing: yoyo's ledger may have migrations of several directories. Each of them has a ledger
    of sqlx's of its own, if their versions are the same. Older lines of ours do not name it, but the row in it.
    """
    if sqlx is not None and _plain(sqlx.description) == _plain(other.words):
        return True
    lines = other.log
    if any(entry.is_ours and entry.sqlx_table == recorded.sqlx_table for entry in lines):
        return True
    rows = {entry.sqlx_row for entry in log} | ({sqlx.identity} if sqlx is not None else set())
    return bool((rows & {entry.sqlx_row for entry in lines}) - {None, NO_ROW})


def _is_newer(other: OtherName, facts: YoyoFacts) -> bool:
    """Return whether a name was written about after all that is surely said of a migration."""
    return not facts.log or bool(other.log and other.log[-1].position > facts.log[-1].position)


def _plain(words: str) -> str:
    return words.replace("-", " ").replace("_", " ").strip()


def _is_left(other: OtherName, recorded: Recorded) -> bool:
    return other.key in recorded.yoyo or bool(other.log and other.log[-1].begun)


def _facts(recorded: Recorded, keys: Sequence[str], all_logs: Mapping[str, Sequence[LogEntry]]) -> YoyoFacts:
    logs = {key: all_logs[key] for key in keys if all_logs[key]}
    rows = [recorded.yoyo[key] for key in keys if key in recorded.yoyo]
    if not logs:
        return YoyoFacts(rows[0] if rows else None, (), tuple(keys))
    newest = max(logs, key=lambda key: logs[key][-1].position)
    lines = sorted(_flat(logs.values()), key=lambda entry: entry.position)
    return YoyoFacts(recorded.yoyo.get(newest), lines, tuple(keys))


def _flat(logs: Iterable[Sequence[LogEntry]]) -> Iterator[LogEntry]:
    for log in logs:
        yield from log


@dataclass(frozen=True, slots=True)
class Rename:
    """A migration whose file had another version when it was installed: `sqlx` is its row, with that version.

    `old_ids` are the ids in yoyo's ledger that begin with that version and have no file. `is_stale`: stock yoyo has
    rolled it back by its old name since, so that it is pending, and the row is wrong.
    """

    migration: Migration
    sqlx: SqlxRecord
    old_ids: tuple[str, ...] = ()
    is_stale: bool = False


def find_renames(
    left: Iterable[tuple[Migration, bool]],
    missing: tuple[int, ...],
    recorded: Recorded,
    foreign: tuple[str, ...],
) -> Iterator[Rename]:
    """Find the files whose text is that of a row with another version, where that version has another text or none.

    `left` are the migrations that are pending, and those whose file was edited, which are marked True. `foreign` are
    the ids in yoyo's ledger that have no file.
    """
    left = tuple(left)
    versions = {*missing, *(migration.version for migration, changed in left if changed)}
    old: dict[bytes, deque[SqlxRecord]] = {}
    for version, record in sorted(recorded.sqlx.items()):
        if version in versions and record.success:
            old.setdefault(record.checksum, deque()).append(record)
    names: dict[int | None, list[str]] = {}
    for name in foreign if old else ():
        names.setdefault(_version_in(name), []).append(name)
    for migration, changed in left:
        if found := old.get(migration.checksum):
            record = found.popleft()
            is_stale = _is_stale(record, recorded)
            if not (is_stale and changed):  # its own row is of another text
                yield Rename(migration, record, tuple(names.get(record.version, ())), is_stale)


def _is_stale(record: SqlxRecord, recorded: Recorded) -> bool:
    """Return whether yoyo's ledger and log say, by the words of a row of sqlx's, that it was rolled back since."""
    ids = {key: str(log[0].id) for key, log in recorded.log.items()}
    words = _plain(record.description)
    keys = [key for key, name in ids.items() if _version_in(name) == record.version and _words_in(name) == words]
    facts = _facts(recorded, keys, recorded.log)
    return decide(record, facts.yoyo, facts.log, has_sqlx_table=recorded.has_sqlx_table) is Verdict.PENDING


def _version_in(name: str) -> int | None:
    found = re.match(r"\d{1,18}(?!\d)", name)
    return int(found[0]) if found else None


def _words_in(name: str) -> str:
    return _plain(re.sub(r"\d+[-_.]+", "", name, count=1))
