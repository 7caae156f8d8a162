"""A plan and its steps, and the report of the steps that were performed."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from torc_migrations.formatting import duration_text

if TYPE_CHECKING:
    from torc_migrations.history.old_names import Rename
    from torc_migrations.sources.migration import Migration, Script


class Direction(Enum):
    """Whether a plan installs migrations or rolls them back."""

    UP = "up"
    DOWN = "down"


class Action(Enum):
    """What one step does; `operation` is its name in yoyo's log, `done` its past tense."""

    operation: str
    done: str

    APPLY = "apply", "apply", "applied"
    ROLL_BACK = "rollback", "rollback", "rolled back"
    RECORD = "record", "mark", "recorded"
    ERASE = "erase", "unmark", "erased"
    REPAIR = "repair", "mark", "repaired"
    RENAME = "rename", "mark", "renamed"
    HOOK = "hook", "apply", "run"

    def __new__(cls, word: str, operation: str, done: str) -> Action:
        """Make a member whose value is its word."""
        member = object.__new__(cls)
        member._value_ = word
        member.operation = operation
        member.done = done
        return member


@dataclass(frozen=True, slots=True)
class Step:
    """One migration, and what is done with it in one transaction.

    RECORD, ERASE, REPAIR and RENAME run no script: they write the rows that a ledger lacks, remove rows that are wrong,
    accept a file that was edited, and give the rows of a migration the new name of its file, for a `reason` that goes
    to yoyo's log; `renamed_from` is the old name, and what yoyo's ledger has by `old_ids` is removed. HOOK runs a
    script that is no migration. The first `resume_after` statements of a script outside a transaction are not run
    again.
    """

    migration: Migration
    action: Action
    reason: str = ""
    resume_after: int = 0
    renamed_from: Rename | None = None
    old_ids: tuple[str, ...] = ()

    @property
    def script(self) -> Script | None:
        """The script that the step runs, or None."""
        if self.action in (Action.APPLY, Action.HOOK):
            return self.migration.up
        return self.migration.down if self.action is Action.ROLL_BACK else None

    @property
    def is_hook(self) -> bool:
        """Whether it runs a script that is no migration, and has no version."""
        return self.action is Action.HOOK

    @property
    def migrates(self) -> bool:
        """Whether it runs the up or down script of a migration; for this sqlx prints a line."""
        return self.script is not None and not self.is_hook

    @property
    def goal(self) -> tuple[str, bool]:
        """The id of the migration, and whether it is installed after this step."""
        return self.migration.id, self.action not in (Action.ROLL_BACK, Action.ERASE)

    @property
    def name(self) -> str:
        """Its name in messages: the version of a migration, the id of a hook."""
        return self.migration.id if self.is_hook else str(self.migration.version)

    @property
    def title(self) -> str:
        """Its name with its kind: `migration 3`, `hook post-apply`."""
        return f"{'hook' if self.is_hook else 'migration'} {self.name}"

    def as_dict(self) -> dict[str, object]:
        """Return the same as values that `json` takes."""
        version = None if self.is_hook else self.migration.version
        return {"version": version, "id": self.migration.id, "action": self.action.value}


@dataclass(frozen=True, slots=True)
class Plan:
    """The steps that lead to a target, in order.

    `direction` is None where only the ledgers are corrected. `skipped` are the migrations that a target leaves as they
    are; `notes` are sentences for people.
    """

    direction: Direction | None
    steps: tuple[Step, ...]
    skipped: tuple[Migration, ...] = ()
    target: int | None = None
    notes: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, object]:
        """Return the same as values that `json` takes."""
        direction = {} if self.direction is None else {"direction": self.direction.value}
        return {
            **direction,
            "target": self.target,
            "steps": [step.as_dict() for step in self.steps],
            "skipped": [migration.version for migration in self.skipped],
            "notes": list(self.notes),
        }


@dataclass(frozen=True, slots=True)
class Outcome:
    """A step that was performed, and its time in nanoseconds."""

    step: Step
    elapsed_ns: int

    def as_text(self) -> str:
        """Return the line that sqlx prints; empty for a step that ran no script, and for a hook."""
        return _line("Applied", self.step, self.elapsed_ns) if self.step.migrates else ""

    @property
    def note(self) -> str:
        """A sentence where sqlx prints no line; empty for a migration's script."""
        if self.step.is_hook:
            return f"{self.step.name} {self.step.action.done} in {duration_text(self.elapsed_ns)}"
        return "" if self.step.script else f"{self.step.migration.id} {self.step.action.done} in the ledgers"


@dataclass(frozen=True, slots=True)
class Report:
    """The plan of a run, the steps that were performed, and the path of the snapshot that was made before."""

    plan: Plan
    outcomes: tuple[Outcome, ...]
    snapshot: str | None = None

    @property
    def applied(self) -> tuple[int, ...]:
        """The versions whose up or down scripts were run, in order, without the hooks."""
        steps = (outcome.step for outcome in self.outcomes)
        return tuple(step.migration.version for step in steps if step.migrates)

    def as_text(self) -> str:
        """Return what `sqlx migrate run` and `revert` print, without colours."""
        return "".join(outcome.as_text() for outcome in self.outcomes) + skipped_text(self.plan)

    def as_dict(self) -> dict[str, object]:
        """Return the same as values that `json` takes; the steps are those that were performed."""
        steps = [{**outcome.step.as_dict(), "elapsed_ns": outcome.elapsed_ns} for outcome in self.outcomes]
        made = {"snapshot": self.snapshot} if self.snapshot else {}
        return {**self.plan.as_dict(), "steps": steps, **made}


def skipped_text(plan: Plan) -> str:
    """Return sqlx's lines for the migrations that a plan leaves as they are."""
    action = Action.ROLL_BACK if plan.direction is Direction.DOWN else Action.APPLY
    return "".join(_line("Skipped", Step(migration, action), 0) for migration in plan.skipped)


def _line(word: str, step: Step, elapsed_ns: int) -> str:
    migration = step.migration
    if step.action is Action.APPLY:
        what = f"migrate {migration.description}"
    else:
        what = f"revert {migration.down_description or migration.description}"
    return f"{word} {migration.version}/{what} ({duration_text(elapsed_ns)})\n"
