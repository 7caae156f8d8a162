"""What is installed, pending, changed or missing in a database, as values, as text and as JSON."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from torc_migrations.formatting import time_text
from torc_migrations.history.old_names import Rename
from torc_migrations.history.records import Begun, SqlxRecord, YoyoRecord
from torc_migrations.history.verdict import Verdict
from torc_migrations.sources.migration import Migration

if TYPE_CHECKING:
    from torc_migrations.history.evidence import Evidence


class State(Enum):
    """The state of a migration, in the words of `sqlx migrate info`."""

    PENDING = "pending"
    INSTALLED = "installed"
    CHANGED = "installed (different checksum)"


@dataclass(frozen=True, slots=True)
class Entry:
    """One migration of the source, and its rows in the ledgers.

    `verdict` is what the ledgers and the log say together; `sqlx` and `yoyo` are the rows, or None. `half_done` is a
    script outside a transaction that has begun and has not ended. `evidence` is what the schema says, where the ledgers
    are out of step and it was looked at. `accepts_line_endings`: `repair --line-endings` was called for it. `old_ids`
    are names with another description that are left in yoyo's ledger, `unsure_ids` such that may be another
    directory's. `text` is a digest of the script that was installed, if it mixed line endings and that is known.
    """

    migration: Migration
    verdict: Verdict
    sqlx: SqlxRecord | None
    yoyo: YoyoRecord | None
    half_done: Begun | None = None
    evidence: Evidence | None = None
    accepts_line_endings: bool = False
    old_ids: tuple[str, ...] = ()
    unsure_ids: tuple[str, ...] = ()
    text: str | None = None

    @property
    def installed(self) -> bool:
        """Whether the migration is installed; if the ledgers are out of step, whether sqlx's ledger says so."""
        if self.verdict is Verdict.INSTALLED:
            return True
        return self.verdict is Verdict.OUT_OF_STEP and self.sqlx is not None

    @property
    def installed_on(self) -> str | None:
        """When it was installed, in UTC, as sqlx's ledger says, or else yoyo's; None where neither has it."""
        if self.sqlx is not None:
            return self.sqlx.installed_on
        return self.yoyo.applied_at if self.yoyo is not None else None

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
    def same_but_for_line_endings(self) -> bool:
        """Whether the file differs from what was installed in line endings or a byte order mark only."""
        if self.sqlx is None or not self.changed:
            return False
        return self.migration.same_but_for_line_endings(self.sqlx.checksum, self.text)

    @property
    def refused(self) -> bool:
        """Whether the file was edited, and nobody has accepted it with these line endings."""
        return self.changed and not (self.accepts_line_endings and self.same_but_for_line_endings)

    @property
    def dirty(self) -> bool:
        """Whether sqlx's row says that its script has begun and has not ended."""
        return self.sqlx is not None and not self.sqlx.success

    @property
    def out_of_step(self) -> bool:
        """Whether the ledgers contradict each other, and yoyo's log does not show which is right."""
        return self.verdict is Verdict.OUT_OF_STEP

    @property
    def settled(self) -> bool:
        """Whether it is installed, its file is unchanged, and both ledgers say so."""
        return (
            self.verdict is Verdict.INSTALLED
            and self.yoyo is not None
            and self.sqlx is not None
            and self.sqlx.success
            and self.sqlx.checksum == self.migration.checksum
            and self.half_done is None
            and self.evidence is None
            and not self.old_ids
        )

    @property
    def in_step(self) -> bool:
        """Whether both ledgers are right, and yoyo's log."""
        if self.evidence is not None or self.old_ids:
            return False
        if self.verdict is Verdict.INSTALLED:
            return self.sqlx is not None and self.yoyo is not None
        return self.verdict is Verdict.PENDING and self.sqlx is None and self.yoyo is None

    def ids_to_erase(self, *, records: bool) -> tuple[str, ...]:
        """Return the old names to remove; if it is recorded as installed by what they say, the unsure ones too."""
        is_theirs = records and (self.out_of_step or self.evidence is not None)
        return (*self.old_ids, *(self.unsure_ids if is_theirs else ()))

    @property
    def note(self) -> str | None:
        """What is wrong in the ledgers, in a sentence, or None."""
        version = self.migration.version
        if self.half_done is not None:
            what = f"the rollback of {version}" if self.half_done.rolls_back else f"{version}"
            done, line = self.half_done.done, self.half_done.line
            where = f"in statement {done + 1}, at" if self.half_done.is_running else f"after statement {done}, before"
            return f"{what} has begun and has not ended: it stopped {where} line {line}"
        if self.in_step or self.dirty:
            return None
        if self.evidence is not None and not self.out_of_step:
            return f"{version} was out of step, and is {self.verdict.value}: {self.evidence.sentence}"
        if self.out_of_step:
            name = f", by the name {self.unsure_ids[0]}" if self.unsure_ids else ""
            seen = f"; {self.evidence.sentence}" if self.evidence is not None else ""
            return f"{version} is out of step: {_says('yoyo', self.yoyo)}{name}, {_says('sqlx', self.sqlx)}{seen}"
        if self.old_ids:
            names = ", ".join(self.old_ids)
            return f"{version} is {self.verdict.value}; yoyo's ledger still has it as {names}, until the next upgrade"
        wrong = [name for name, row in (("yoyo", self.yoyo), ("sqlx", self.sqlx)) if (row is None) == self.installed]
        verb = "lacks" if self.installed else "still has"
        return f"{version} is {self.verdict.value}; {' and '.join(wrong)}'s ledger {verb} it, until the next upgrade"


def _says(name: str, row: object | None) -> str:
    return f"{name}'s ledger says {'not installed' if row is None else 'installed'}"


@dataclass(frozen=True, slots=True)
class Status:
    """What is installed, pending or wrong in one database.

    Attributes:
        entries: the source's migrations by ascending version.
        missing: the versions in sqlx's ledger that have no file.
        foreign: the ids in yoyo's ledger that have no file.
        dirty: the versions that another tool began and did not finish.
        notes: sentences for people.
        hooks: the source's post-apply scripts.
        due_hooks: the hooks that have not run since a migration was applied.
        renames: the migrations whose file had another version when they were installed.
        kept: those of the missing versions of which the database keeps what they say to older releases, and their down
            scripts.
    """

    entries: tuple[Entry, ...]
    missing: tuple[int, ...] = ()
    foreign: tuple[str, ...] = ()
    dirty: tuple[int, ...] = ()
    notes: tuple[str, ...] = ()
    hooks: tuple[Migration, ...] = ()
    due_hooks: tuple[Migration, ...] = ()
    renames: tuple[Rename, ...] = ()
    kept: tuple[Entry, ...] = ()

    @property
    def unsettled(self) -> tuple[Entry, ...]:
        """The entries that are pending, changed, or not the same in both ledgers."""
        return tuple([entry for entry in self.entries if not entry.settled])

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
        """Whether everything is installed, no file has changed, and nothing is wrong; `ok` in JSON."""
        wrong = any(entry.refused or not entry.changed for entry in self.unsettled)
        return not (wrong or self.missing or self.dirty or self.due_hooks)

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
            "renamed": {str(rename.sqlx.version): rename.migration.version for rename in self.renames},
            "due_hooks": [hook.id for hook in self.due_hooks],
            "ok": self.clean,
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
        "installed_on": time_text(entry.installed_on),
        "elapsed_ns": sqlx.execution_time if sqlx and sqlx.execution_time >= 0 else None,
        "yoyo": entry.yoyo is not None,
        "sqlx": sqlx is not None,
        "in_step": entry.in_step,
        "out_of_step": entry.out_of_step,
        "half_done": {"done": half_done.done, "line": half_done.line, "rolls_back": half_done.rolls_back}
        if (half_done := entry.half_done)
        else None,
    }
