"""The command `torc-migrations`: what sqlx prints goes to standard output, everything else to standard error."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

from torc_migrations.cli.arguments import parse
from torc_migrations.cli.terminal import Terminal
from torc_migrations.errors import Interrupted, MigrationError, OutputFailed
from torc_migrations.log import log_changed_by

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from logging import Logger

BROKEN_PIPE = 141


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status; see `torc-migrations --help`.

    May be called several times in a process, and in any thread, but not in two threads at once. Outside of the main
    thread Ctrl-C does not stop a statement that is running.
    """
    words = sys.argv[1:] if arguments is None else arguments
    terminal = Terminal()
    try:
        return _run(words, terminal)
    except BrokenPipeError:
        terminal.abandon()
        return BROKEN_PIPE
    except OutputFailed as error:
        terminal.print_error(error)
        return error.exit_code


def _run(words: Sequence[str], terminal: Terminal) -> int:
    try:
        options = terminal.options = parse(words)
        with log_changed_by(partial(_print_as_notes, terminal=terminal, verbose=options.verbose)):
            return int(options.run(options, terminal))
    except KeyboardInterrupt:
        return _print_failure(Interrupted(), terminal, as_json="--json" in words)
    except MigrationError as error:
        return _print_failure(error, terminal, as_json="--json" in words)


def _print_failure(error: MigrationError, terminal: Terminal, *, as_json: bool) -> int:
    """Print an error and what was done before it, and return the exit status."""
    terminal.print_error(error)
    done = _done_before(error)
    if error.rehearsed is not None:
        terminal.print_note(f"this was a rehearsal on a copy: {error.rehearsed} was not changed")
    elif done:
        terminal.print_note(f"done before it, and kept: {', '.join(map(str, done))}")
    snapshot = error.report.snapshot if error.report else None
    if snapshot:
        terminal.print_note(f"the database as it was before the run is in {snapshot}")
    if as_json:
        made = {"snapshot": snapshot} if snapshot else {}
        hint = terminal.completed(error.command_hint) if error.command_hint else None
        facts = error.as_dict() | ({"hint": hint} if hint else {})
        terminal.print_json({"error": facts, "done": list(done), **made})
    return error.exit_code


def _done_before(error: MigrationError) -> tuple[int, ...]:
    if isinstance(error, Interrupted):
        return error.done
    if error.rehearsed is not None:
        return ()
    return error.report.applied if error.report else ()


@contextmanager
def _print_as_notes(log: Logger, terminal: Terminal, *, verbose: bool) -> Iterator[None]:
    """Print the package's log while the command runs, and leave the logger as it was."""
    from logging import DEBUG, WARNING, Handler, LogRecord

    class Notes(Handler):
        """Write the package's log to standard error, as notes."""

        def emit(self, record: LogRecord) -> None:
            """Write one record."""
            terminal.print_note(record.getMessage())

    notes = Notes()
    level, propagate = log.level, log.propagate
    log.addHandler(notes)
    log.setLevel(DEBUG if verbose else WARNING)
    log.propagate = False
    try:
        yield
    finally:
        log.removeHandler(notes)
        log.setLevel(level)
        log.propagate = propagate
