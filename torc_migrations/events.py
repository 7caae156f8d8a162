"""What happens in a run, as values that `on_event` is called with; each has `as_dict()`, its line of JSON."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, TypeAlias

from torc_migrations.errors import MigrationError
from torc_migrations.history.steps import Outcome, Plan, Step


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happens in a run; `name` is its name for programs, and part of the API."""

    name: ClassVar[str] = "event"

    def as_dict(self) -> dict[str, object]:
        """Return the same as values that `json` takes."""
        return {"event": self.name}


@dataclass(frozen=True, slots=True)
class RunStarted(Event):
    """A run begins. `plan` has the steps that are pending; it may change where another process does some of them.

    Attributes:
        database: the name of the database; a password in it is masked.
        rehearsal: whether the run is on a copy of the database, or on an empty one.
    """

    name: ClassVar[str] = "run-started"
    database: str
    plan: Plan
    rehearsal: bool = False

    def as_dict(self) -> dict[str, object]:
        """Return the same as values that `json` takes."""
        return {"event": self.name, "database": self.database, "rehearsal": self.rehearsal, **self.plan.as_dict()}


@dataclass(frozen=True, slots=True)
class MigrationStarted(Event):
    """A step begins. It may begin again, after the transaction that it shared with others was rolled back.

    Attributes:
        number, count: which step of the run it is, from 1 on, and how many there are.
    """

    name: ClassVar[str] = "migration-started"
    step: Step
    number: int
    count: int

    def as_dict(self) -> dict[str, object]:
        """Return the same as values that `json` takes."""
        return {"event": self.name, **self.step.as_dict(), "number": self.number, "count": self.count}


@dataclass(frozen=True, slots=True)
class StatementStarted(Event):
    """A statement of a script begins.

    Attributes:
        number: which statement of the script it is, from 1 on. line: where it begins in the file, from 1 on.
    """

    name: ClassVar[str] = "statement-started"
    step: Step
    number: int
    path: str
    line: int

    def as_dict(self) -> dict[str, object]:
        """Return the same as values that `json` takes."""
        place = {"number": self.number, "path": self.path, "line": self.line}
        return {"event": self.name, **self.step.as_dict(), **place}


@dataclass(frozen=True, slots=True)
class Progress(Event):
    """A script is running; comes at most ten times a second.

    Attributes:
        number, count: which step of the run it is, from 1 on, and how many there are.
        statements_done, statements: how many statements of the script are done, and how many it has.
        bytes_done, bytes: how much of the file is done, and its size.
        instructions: how many instructions SQLite has run for the scripts of this run, in steps of 100,000 for each
            statement; None on a connection that is lent.
        percent: the same as a share of what a rehearsal has counted (`on_loss`), or None without one.
        elapsed_ns: nanoseconds since the run began.
        rehearsal: whether the run is on a copy of the database, or on an empty one.
    """

    name: ClassVar[str] = "progress"
    step: Step
    number: int
    count: int
    statements_done: int
    statements: int
    bytes_done: int
    bytes: int
    instructions: int | None
    percent: float | None
    elapsed_ns: int
    rehearsal: bool = False

    def as_dict(self) -> dict[str, object]:
        """Return the same as values that `json` takes."""
        return {
            "event": self.name,
            **self.step.as_dict(),
            "number": self.number,
            "count": self.count,
            "statements_done": self.statements_done,
            "statements": self.statements,
            "bytes_done": self.bytes_done,
            "bytes": self.bytes,
            "instructions": self.instructions,
            "percent": self.percent,
            "elapsed_ns": self.elapsed_ns,
            "rehearsal": self.rehearsal,
        }


@dataclass(frozen=True, slots=True)
class Waiting(Event):
    """The run waits for a lock; comes after a second, and then every ten.

    On a server also while a statement waits for a lock on a table or a row.

    Attributes:
        holder: who holds it. waited_ns: nanoseconds waited so far.
    """

    name: ClassVar[str] = "waiting"
    database: str
    holder: str
    waited_ns: int

    def as_dict(self) -> dict[str, object]:
        """Return the same as values that `json` takes."""
        return {"event": self.name, "database": self.database, "holder": self.holder, "waited_ns": self.waited_ns}


@dataclass(frozen=True, slots=True)
class _Committed(Event):
    outcome: Outcome

    def as_dict(self) -> dict[str, object]:
        """Return the same as values that `json` takes."""
        return {"event": self.name, **self.outcome.step.as_dict(), "elapsed_ns": self.outcome.elapsed_ns}


@dataclass(frozen=True, slots=True)
class Installed(_Committed):
    """A step is committed that applies or records a migration, corrects its records, or runs a hook."""

    name: ClassVar[str] = "installed"


@dataclass(frozen=True, slots=True)
class RolledBack(_Committed):
    """A step is committed that rolls a migration back, or erases its records."""

    name: ClassVar[str] = "rolled-back"


@dataclass(frozen=True, slots=True)
class Rehearsed(_Committed):
    """A step is done on a copy of the database; the database itself is as it was."""

    name: ClassVar[str] = "rehearsed"


@dataclass(frozen=True, slots=True)
class Failed(Event):
    """A step has failed, and is not recorded. What it did is undone, unless its script asked for no transaction.

    Attributes:
        error: what is raised: a MigrationError, KeyboardInterrupt, or what a callback has raised.
    """

    name: ClassVar[str] = "failed"
    step: Step
    error: BaseException

    def as_dict(self) -> dict[str, object]:
        """Return the same as values that `json` takes."""
        return {"event": self.name, **self.step.as_dict(), "error": _error(self.error)}


@dataclass(frozen=True, slots=True)
class RunEnded(Event):
    """A run has ended. No event follows, unless it was a rehearsal before a run.

    Attributes:
        applied: the versions whose scripts were run and committed; none in a rehearsal.
        error: what is raised, or None.
        elapsed_ns: nanoseconds since the run began.
        rehearsal: whether the run was on a copy of the database, or on an empty one.
    """

    name: ClassVar[str] = "run-ended"
    database: str
    applied: tuple[int, ...]
    error: BaseException | None
    elapsed_ns: int
    rehearsal: bool = False

    def as_dict(self) -> dict[str, object]:
        """Return the same as values that `json` takes."""
        return {
            "event": self.name,
            "database": self.database,
            "rehearsal": self.rehearsal,
            "applied": list(self.applied),
            "ok": self.error is None,
            **({} if self.error is None else {"error": _error(self.error)}),
            "elapsed_ns": self.elapsed_ns,
        }


OnEvent: TypeAlias = Callable[[Event], object]


def _error(error: BaseException) -> dict[str, object]:
    code = "interrupted" if isinstance(error, KeyboardInterrupt) else "host-error"
    return {
        "type": type(error).__name__,
        "code": error.code if isinstance(error, MigrationError) else code,
        "message": str(error),
    }
