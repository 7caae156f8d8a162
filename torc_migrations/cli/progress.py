"""Print what a run does while it does it, and what it did at its end."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, TypeVar

from torc_migrations.errors import Interrupted

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Callable

    from torc_migrations.cli.terminal import Terminal
    from torc_migrations.events import Event, OnEvent
    from torc_migrations.history.steps import Outcome, Plan, Report
    from torc_migrations.runs.feed import Feed
    from torc_migrations.runs.run import Observer
    from torc_migrations.services.waits import Awaited, OnWait

T = TypeVar("T")
_LINE_AFTER = 0.5  # seconds; a run that is shorter shows none
_REDRAWN_EVERY = 1.0  # seconds, where nothing has changed
_NOTE_EVERY = 30.0  # seconds, where standard error is no terminal

NOTHING_TO_DO = "nothing to do"


def observed(operation: Callable[[Observer], T], options: Namespace, terminal: Terminal) -> T:
    """Perform an operation, and print each step as soon as it is done, as sqlx does.

    Raises:
        Interrupted: Ctrl-C was pressed; it names the versions that were finished before.
    """
    progress = _Progress(options, terminal)
    try:
        return operation(progress)
    except KeyboardInterrupt as interruption:
        raise Interrupted(tuple(progress.done)) from interruption


class _Progress:
    """Print each step that was performed, and remember which scripts were run."""

    def __init__(self, options: Namespace, terminal: Terminal) -> None:
        self.done: list[int] = []
        self._silent = options.json
        self._terminal = terminal

    def __call__(self, outcome: Outcome) -> None:
        if outcome.step.migrates:
            self.done.append(outcome.step.migration.version)
        if self._silent:
            return
        from torc_migrations.cli.listing import outcome_lines  # not needed with nothing to do

        self._terminal.print_lines(outcome_lines(outcome))
        if outcome.note:
            self._terminal.print_note(outcome.note)


def event_lines(terminal: Terminal) -> OnEvent:
    """Return what prints each event as a line of JSON."""
    return lambda event: terminal.print_event(event.as_dict())


def feed_of(progress: str, terminal: Terminal) -> Feed:
    """Return what hears of a run, and shows it as `--progress` says."""
    from torc_migrations.runs.feed import Feed, LateFeed

    if progress == "off":
        return Feed()
    if terminal.can_redraw():
        return LateFeed(ProgressLine(terminal), _LINE_AFTER)
    return LateFeed(ProgressNotes(terminal, _NOTE_EVERY), _NOTE_EVERY)


class ProgressLine:
    """Show how far a script is in one line of a terminal, which is drawn again and again."""

    def __init__(self, terminal: Terminal) -> None:
        self._terminal = terminal

    def __call__(self, event: Event) -> None:
        if event.name == "progress":
            self._terminal.show_line(_sentence(event))
        elif event.name == "run-ended":
            self._terminal.clear_line()


class ProgressNotes:
    """Print how far a script is in a line every now and then, for a log."""

    def __init__(self, terminal: Terminal, every: float) -> None:
        self._terminal = terminal
        self._every = every
        self._next = 0.0

    def __call__(self, event: Event) -> None:
        if event.name == "progress" and monotonic() >= self._next:
            self._next = monotonic() + self._every
            self._terminal.print_note(_sentence(event))


def waiting_lines(progress: str, terminal: Terminal) -> tuple[OnWait | None, float]:
    """Return what shows that a version is waited for, as `--progress` says, and after how many seconds it is called."""
    if progress == "off":
        return None, _NOTE_EVERY
    if progress == "json":
        return lambda awaited: terminal.print_event({"event": "awaited", **awaited.as_dict()}), _NOTE_EVERY
    if terminal.can_redraw():
        return lambda awaited: terminal.show_line(awaited.as_text()), _REDRAWN_EVERY
    return WaitingNotes(terminal, _NOTE_EVERY), _NOTE_EVERY


class WaitingNotes:
    """Print what is waited for in a line every now and then, and at once if the database cannot be read for now."""

    def __init__(self, terminal: Terminal, every: float) -> None:
        self._terminal = terminal
        self._every = every
        self._next = 0.0
        self._obstacle: str | None = None

    def __call__(self, awaited: Awaited) -> None:
        if awaited.waited >= self._next or awaited.obstacle != self._obstacle:
            self._next = awaited.waited + self._every
            self._obstacle = awaited.obstacle
            self._terminal.print_note(awaited.as_text())


def _sentence(event: Event) -> str:
    from torc_migrations.events import Progress

    assert isinstance(event, Progress)
    number = min(event.statements_done + 1, event.statements)
    percent = "" if event.percent is None else f", {event.percent:.0f} %"
    rehearsal = "rehearsal, " if event.rehearsal else ""
    which = f"{event.number} of {event.count}, {event.step.migration.id}, statement {number} of {event.statements}"
    return f"{rehearsal}{event.elapsed_ns / 1e9:.0f} s{percent}: {which}"


def print_plan(plan: Plan, options: Namespace, terminal: Terminal) -> None:
    """Print what would be done."""
    if options.json:
        terminal.print_json(plan.as_dict())
        return
    from torc_migrations.cli.listing import plan_lines

    terminal.print_lines(plan_lines(plan))
    for step in plan.steps:
        if step.is_hook:
            terminal.print_note(f"{step.name} would be run")
    for note in plan.notes:
        terminal.print_note(note)


def print_end(report: Report, options: Namespace, terminal: Terminal) -> None:
    """Print, after a run whose steps were printed, what was skipped and where the snapshot is."""
    if options.json:
        terminal.print_json(report.as_dict())
    else:
        from torc_migrations.cli.listing import skipped_lines

        terminal.print_lines(skipped_lines(report.plan))
    if report.snapshot:
        terminal.print_note(f"the database as it was before is in {report.snapshot}")


def print_changes(report: Report, options: Namespace, terminal: Terminal) -> None:
    """Print what was changed in the ledgers by a run that ran no script."""
    if options.json:
        terminal.print_json(report.as_dict())
        return
    for outcome in report.outcomes:
        terminal.print_note(outcome.note)
    if not report.outcomes:
        terminal.print_note(NOTHING_TO_DO)
