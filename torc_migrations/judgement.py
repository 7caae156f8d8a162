"""Work out what is installed from what two ledgers say; pure, no disk, no database."""

from __future__ import annotations

from enum import Enum

from torc_migrations.migration import Migration, Source
from torc_migrations.values import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

_APPLIED = {"apply": True, "mark": True, "rollback": False, "unmark": False}

# How a line of ours in yoyo's log begins and ends; between stands what was done, after it sqlx's row as we left it.
_BY_US = "torc_migrations"
_WORD = "; sqlx: "
NO_ROW = "none"


class State(Enum):
    """What `sqlx migrate info` calls a migration; the values are its words."""

    PENDING = "pending"
    INSTALLED = "installed"
    CHANGED = "installed (different checksum)"


class Verdict(Enum):
    """What two ledgers amount to for one migration."""

    INSTALLED = "installed"
    PENDING = "pending"
    OUT_OF_STEP = "out of step"


_INSTALLED, _PENDING, _OUT_OF_STEP = Verdict.INSTALLED, Verdict.PENDING, Verdict.OUT_OF_STEP


class SqlxRecord(NamedTuple):
    """A row of sqlx's ledger; `installed_on` in UTC, `execution_time` in nanoseconds (-1: unknown)."""

    version: int
    checksum: bytes
    success: bool
    installed_on: str
    execution_time: int
    rowid: int

    @property
    def identity(self) -> str:
        """What tells this row from another that sqlx writes for the same version later."""
        return row_identity(self.rowid, self.installed_on, self.execution_time)


def row_identity(rowid: int, installed_on: str, execution_time: int) -> str:
    """Return the `identity` of a row."""
    return f"{rowid} {installed_on} {execution_time}"


class YoyoRecord(NamedTuple):
    """A row of yoyo's ledger; `applied_at` in UTC, written with a `T` or a blank; `hash` is its key."""

    id: str
    applied_at: str | None
    hash: str = ""


class LogEntry(NamedTuple):
    """A line of yoyo's log, about the migration whose id has this hash; `position` is its place among the lines.

    A comment may be anything that somebody else has written there.
    """

    operation: str
    created_at: str | None
    comment: object = None
    position: int = 0
    hash: str = ""

    @property
    def word(self) -> str | None:
        """Where we wrote the line, the identity of sqlx's row as it then stood, or `NO_ROW`; else None."""
        comment = self.comment
        if not isinstance(comment, str) or not comment.startswith(_BY_US):
            return None
        _, found, word = comment.rpartition(_WORD)
        return word if found else None


def our_comment(deed: str, word: str | None) -> str:
    """Return the comment of a line of ours: what was done, and the identity of sqlx's row, or `NO_ROW`.

    A hook has no row anywhere, and so there is no word of ours on it.
    """
    return f"{_BY_US} {deed}" if word is None else f"{_BY_US} {deed}{_WORD}{word}"


class Recorded(NamedTuple):
    """Everything the ledgers say.

    `sqlx` is by version, `yoyo` and `log` by the hash of a migration's id; the lines of a log are in order, the oldest
    first. `yoyo_running` tells that a living stock yoyo holds its lock, so that its ledger and its log may be half-way.
    """

    sqlx: Mapping[int, SqlxRecord] = {}
    yoyo: Mapping[str, YoyoRecord] = {}
    log: Mapping[str, Sequence[LogEntry]] = {}
    yoyo_running: bool = False


class Entry(NamedTuple):
    """One migration of the source, and what the ledgers say of it."""

    migration: Migration
    verdict: Verdict
    sqlx: SqlxRecord | None
    yoyo: YoyoRecord | None

    @property
    def installed(self) -> bool:
        """Whether the migration is installed; where nothing can tell, whether sqlx's ledger says so."""
        if self.verdict is _INSTALLED:
            return True
        return self.verdict is _OUT_OF_STEP and self.sqlx is not None

    @property
    def state(self) -> State:
        """The state as sqlx names it."""
        if not self.installed:
            return State.PENDING
        return State.CHANGED if self.changed else State.INSTALLED

    @property
    def changed(self) -> bool:
        """Whether the file was edited after it was installed."""
        return self.sqlx is not None and self.sqlx.checksum != self.migration.checksum and self.installed

    @property
    def is_twin(self) -> bool:
        """Whether the file differs from what was installed in line endings or a byte order mark only."""
        return self.changed and self.sqlx is not None and self.migration.is_twin_of(self.sqlx.checksum)

    @property
    def out_of_step(self) -> bool:
        """Whether the ledgers contradict each other beyond what their log can settle."""
        return self.verdict is _OUT_OF_STEP

    @property
    def settled(self) -> bool:
        """Whether it is installed as it stands in the file, and both ledgers say so: there is nothing to tell of it."""
        return (
            self.verdict is _INSTALLED
            and self.yoyo is not None
            and self.sqlx is not None
            and self.sqlx.checksum == self.migration.checksum
        )

    @property
    def in_step(self) -> bool:
        """Whether both ledgers say what is true."""
        if self.verdict is _INSTALLED:
            return self.sqlx is not None and self.yoyo is not None
        return self.verdict is _PENDING and self.sqlx is None and self.yoyo is None

    @property
    def note(self) -> str | None:
        """What is amiss between the ledgers, in a sentence, or None."""
        if self.in_step:
            return None
        version = self.migration.version
        if self.out_of_step:
            return f"{version} is out of step: {_says('yoyo', self.yoyo)}, {_says('sqlx', self.sqlx)}"
        wrong = [name for name, row in (("yoyo", self.yoyo), ("sqlx", self.sqlx)) if (row is None) == self.installed]
        word = "lacks" if self.installed else "still has"
        return f"{version} is {self.verdict.value}; {' and '.join(wrong)}'s ledger {word} it, until the next upgrade"


def _says(name: str, row: object | None) -> str:
    return f"{name}'s ledger says {'not installed' if row is None else 'installed'}"


class Status(NamedTuple):
    """What is installed, pending and amiss in one database.

    `entries` are the source's migrations by ascending version; `missing` are the versions in sqlx's ledger that have
    no file; `foreign` are the ids in yoyo's ledger that have none; `dirty` are the versions that another tool began
    and did not end; `notes` are sentences for people. `hooks` are the source's post-apply scripts, `due_hooks` those
    that have not run since a migration was applied.
    """

    entries: tuple[Entry, ...]
    missing: tuple[int, ...] = ()
    foreign: tuple[str, ...] = ()
    dirty: tuple[int, ...] = ()
    notes: tuple[str, ...] = ()
    hooks: tuple[Migration, ...] = ()
    due_hooks: tuple[Migration, ...] = ()

    @property
    def unsettled(self) -> tuple[Entry, ...]:
        """The entries of which there is something to tell: pending, changed, or not the same in both ledgers."""
        return _unsettled(self.entries)

    @property
    def pending(self) -> tuple[Migration, ...]:
        """The migrations that are not installed, by ascending version."""
        return tuple(entry.migration for entry in self.entries if not entry.installed)

    @property
    def installed(self) -> tuple[Migration, ...]:
        """The migrations that are installed, by ascending version."""
        return tuple(entry.migration for entry in self.entries if entry.installed)

    @property
    def latest(self) -> int | None:
        """The newest installed version, whether it has a file or not; None where nothing is installed."""
        newest = next((entry.migration.version for entry in reversed(self.entries) if entry.installed), None)
        return max([*self.missing, *(() if newest is None else (newest,))], default=None)

    @property
    def clean(self) -> bool:
        """Whether everything is installed as it stands in the files, and nothing is amiss."""
        return not (self.unsettled or self.missing or self.dirty or self.due_hooks)

    def as_text(self) -> str:
        """Return the listing of `sqlx migrate info`, byte for byte, without colours."""
        return "".join(f"{line}\n" for entry in self.entries for line in _lines(entry))

    def as_dict(self) -> dict[str, object]:
        """Return the same as values that `json` takes."""
        return {
            "migrations": [_entry_dict(entry) for entry in self.entries],
            "latest": self.latest,
            "pending": [migration.version for migration in self.pending],
            "missing": list(self.missing),
            "foreign": list(self.foreign),
            "dirty": list(self.dirty),
            "due_hooks": [hook.id for hook in self.due_hooks],
            "clean": self.clean,
            "notes": list(self.notes),
        }


def _lines(entry: Entry) -> list[str]:
    migration = entry.migration
    lines = [f"{migration.version}/{entry.state.value} {migration.description}"]
    if entry.changed and entry.sqlx is not None:
        lines.append(f"applied migration had checksum {entry.sqlx.checksum.hex()}")
        lines.append(f"local migration has checksum {migration.checksum.hex()}")
    return lines


def _entry_dict(entry: Entry) -> dict[str, object]:
    migration, sqlx = entry.migration, entry.sqlx
    return {
        "version": migration.version,
        "id": migration.id,
        "description": migration.description,
        "state": entry.state.value,
        "reversible": migration.reversible,
        "checksum": migration.checksum.hex(),
        "installed_checksum": sqlx.checksum.hex() if sqlx else None,
        "installed_on": sqlx.installed_on if sqlx else entry.yoyo.applied_at if entry.yoyo else None,
        "execution_time_ns": sqlx.execution_time if sqlx else None,
        "yoyo": entry.yoyo is not None,
        "sqlx": sqlx is not None,
        "in_step": entry.in_step,
        "out_of_step": entry.out_of_step,
    }


def compare(source: Source, recorded: Recorded) -> Status:
    """Compare the files with the ledgers."""
    sqlx, yoyo, log, yoyo_is_running = recorded
    found = []
    for migration in source.migrations:
        key = migration.hash
        in_sqlx, in_yoyo = sqlx.get(migration.version), yoyo.get(key)
        verdict = judge(in_sqlx, in_yoyo, log.get(key, ()))
        if verdict is _OUT_OF_STEP and yoyo_is_running:
            verdict = _verdict(in_yoyo is not None)
        found.append(Entry._make((migration, verdict, in_sqlx, in_yoyo)))
    entries = tuple(found)
    unsettled = _unsettled(entries)
    missing = tuple(sorted(recorded.sqlx.keys() - {migration.version for migration in source.migrations}))
    dirty = tuple(sorted([version for version, record in recorded.sqlx.items() if not record.success]))
    due = tuple(_due_hooks(source, recorded)) if source.hooks else ()
    due_notes = (f"{hook.id} has not run since migrations were applied; the next upgrade runs it" for hook in due)
    notes = (*source.notes, *_notes(unsettled, missing, dirty), *due_notes)
    return Status(entries, missing, _foreign(entries, recorded), dirty, notes, source.hooks, due)


def _unsettled(entries: Iterable[Entry]) -> tuple[Entry, ...]:
    return tuple([entry for entry in entries if not entry.settled])


def _due_hooks(source: Source, recorded: Recorded) -> Iterator[Migration]:
    """Find the hooks that a run did not come to, or that failed; while a stock yoyo is at it, that cannot be told."""
    if recorded.yoyo_running:
        return
    runs = (_last_run(recorded.log.get(migration.hash, ())) for migration in source.migrations)
    newest = max((run.position for run in runs if run), default=None)
    for hook in source.hooks:
        log = recorded.log.get(hook.hash)
        if newest is not None and (not log or log[-1].position < newest):
            yield hook


def _last_run(log: Sequence[LogEntry]) -> LogEntry | None:
    """Return the line with which a script was run last, unless it was taken back; a mark changes nothing in that."""
    last = next((entry for entry in reversed(log) if entry.operation != "mark"), None)
    return last if last and last.operation == "apply" else None


def _foreign(entries: tuple[Entry, ...], recorded: Recorded) -> tuple[str, ...]:
    known = sum([entry.yoyo is not None for entry in entries])
    if known == len(recorded.yoyo):
        return ()
    ids = {entry.migration.id for entry in entries}
    return tuple(sorted(str(record.id) for record in recorded.yoyo.values() if record.id not in ids))


def _notes(unsettled: tuple[Entry, ...], missing: tuple[int, ...], dirty: tuple[int, ...]) -> Iterator[str]:
    yield from (entry.note for entry in unsettled if entry.note)
    for entry in unsettled:
        if entry.is_twin:
            version = entry.migration.version
            yield f"{version} differs in its line endings only; `torc-migrations repair {version} --line-endings`"
    yield from (f"{version} is installed, but has no file in the source" for version in missing)
    yield from (f"{version} is dirty: another tool began it and did not end it" for version in dirty)


def judge(sqlx: SqlxRecord | None, yoyo: YoyoRecord | None, log: Sequence[LogEntry]) -> Verdict:
    """Tell whether a migration is installed from its rows in two ledgers and its lines in yoyo's log.

    The rule is that of docs/architecture.md, *Two ledgers, one truth*.
    """
    marked = yoyo is not None
    if not log:
        return _verdict(marked or sqlx is not None)
    last = log[-1]
    if _APPLIED.get(last.operation, marked) is not marked:
        return _OUT_OF_STEP  # a stock yoyo was killed between its log and its ledger
    if marked is (sqlx is not None):
        return _verdict(marked)
    word, since = last.word, 0
    while word is None and since < len(log) - 1:
        since += 1
        word = log[-1 - since].word
    if word is None:
        return _INSTALLED if sqlx is None else _later(sqlx, last)
    if word == (sqlx.identity if sqlx else NO_ROW):
        return _verdict(marked)  # sqlx has not written; yoyo's last word is in the log
    return _since_our_word(sqlx, log[len(log) - since :])


def _verdict(installed: bool) -> Verdict:
    return _INSTALLED if installed else _PENDING


def _since_our_word(sqlx: SqlxRecord | None, since: Sequence[LogEntry]) -> Verdict:
    """Judge by the lines since ours, where sqlx has written too."""
    if not since:
        return _verdict(sqlx is not None)
    if sqlx is None:
        return _vanished(since)
    return _later(sqlx, since[-1])


def _vanished(since: Sequence[LogEntry]) -> Verdict:
    """Judge where yoyo applied again and sqlx's row went, at a time that nothing tells.

    A down script runs only on what is there: had sqlx gone first, yoyo could not have rolled back. Only a mark
    leaves it open.
    """
    claimed = any(entry.operation in ("mark", "unmark") for entry in since)
    return _OUT_OF_STEP if claimed else _PENDING


def _later(sqlx: SqlxRecord, last: LogEntry) -> Verdict:
    """Judge where sqlx has a row and yoyo has none: whoever wrote later is right; without a time nobody knows."""
    if last.created_at is None:
        return _OUT_OF_STEP
    installed, removed = _second(sqlx.installed_on), _second(last.created_at)
    return _OUT_OF_STEP if installed == removed else _verdict(installed > removed)


def _second(timestamp: str) -> str:
    """Return a timestamp to the second; stock yoyo writes some with a `T` and some with a blank."""
    return timestamp[:19].replace("T", " ")
