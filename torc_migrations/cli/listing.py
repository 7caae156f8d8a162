"""The lines that sqlx prints, from their parts: escaped, and coloured for a terminal, before they are joined."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from torc_migrations.formatting import CONTROL, duration_text, escaped
from torc_migrations.history.steps import Action, Direction

if TYPE_CHECKING:
    from torc_migrations.history.status import Status
    from torc_migrations.history.steps import Outcome, Plan
    from torc_migrations.sources.migration import Migration

_COLOURS = {"cyan": "36", "green": "32", "yellow": "33", "red": "31", "dim": "2"}
_STATES = {
    "installed (different checksum)": "red",
    "installed": "green",
    "pending": "yellow",
    "migrate": "green",
    "revert": "green",
}


def escaped_json(document: str) -> str:
    """Escape in a JSON document what `json` leaves as it is, which can only stand in its strings."""
    return re.sub(CONTROL, lambda found: "\n" if found[0] == "\n" else f"\\u{ord(found[0]):04x}", document)


def has_control_characters(text: str) -> bool:
    """Return whether a text has a tab, or a character that `escaped` replaces."""
    return "\t" in text or re.search(CONTROL, text) is not None


def paint(text: str, colour: str) -> str:
    """Colour a text for a terminal."""
    return f"\033[{_COLOURS[colour]}m{text}\033[0m"


class Line(NamedTuple):
    """A line of sqlx: `Applied 3/migrate add users (1.2ms)`, or `3/pending add users`."""

    version: int
    state: str
    text: str
    word: str = ""
    time: str = ""

    def as_text(self, *, colours: bool = False) -> str:
        """Return the line with its end."""
        version, state, time = str(self.version), self.state, f"({self.time})"
        if colours:
            version, state, time = paint(version, "cyan"), paint(state, _STATES[state]), paint(time, "dim")
        word = f"{self.word} " if self.word else ""
        return f"{word}{version}/{state} {escaped(self.text)}{f' {time}' if self.time else ''}\n"


class Checksum(NamedTuple):
    """A line below a changed migration: where a checksum is from, and the checksum."""

    origin: str
    checksum: bytes

    def as_text(self, *, colours: bool = False) -> str:  # noqa: ARG002  # sqlx has no colour for it
        """Return the line with its end."""
        return (
            f"{self.origin} migration {'had' if self.origin == 'applied' else 'has'} checksum {self.checksum.hex()}\n"
        )


def status_lines(status: Status) -> Iterator[Line | Checksum]:
    """Yield the lines of `sqlx migrate info`."""
    for entry in status.entries:
        yield Line(entry.migration.version, entry.state.value, entry.migration.description)
        if entry.changed and entry.sqlx is not None:
            yield Checksum("applied", entry.sqlx.checksum)
            yield Checksum("local", entry.migration.checksum)


def outcome_lines(outcome: Outcome) -> Iterator[Line]:
    """Yield the line of `sqlx migrate run` or `revert` for a step; none for what sqlx does not know."""
    if outcome.step.migrates:
        yield _line("Applied", outcome.step.migration, outcome.step.action, outcome.elapsed_ns)


def plan_lines(plan: Plan) -> Iterator[Line]:
    """Yield the lines of `sqlx migrate run --dry-run` or `revert --dry-run`."""
    for step in plan.steps:
        if step.migrates:
            yield _line("Can apply", step.migration, step.action)
    yield from skipped_lines(plan)


def skipped_lines(plan: Plan) -> Iterator[Line]:
    """Yield the lines of sqlx for the migrations that a plan leaves as they are."""
    action = Action.APPLY if plan.direction is Direction.UP else Action.ROLL_BACK
    for migration in plan.skipped:
        yield _line("Skipped", migration, action)


def _line(word: str, migration: Migration, action: Action, elapsed_ns: int = 0) -> Line:
    if action is Action.APPLY:
        state, text = "migrate", migration.description
    else:
        state, text = "revert", migration.down_description or migration.description
    return Line(migration.version, state, text, word, duration_text(elapsed_ns))
