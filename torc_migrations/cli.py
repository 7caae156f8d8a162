"""The command `torc-migrations`: what sqlx prints goes to standard output, everything else to standard error."""

from __future__ import annotations

import os
import sys
from contextlib import AbstractContextManager, contextmanager, suppress

from torc_migrations.errors import MigrationError, UrlError
from torc_migrations.listing import SHIPPED
from torc_migrations.log import on_first_use
from torc_migrations.migrator import Migrator
from torc_migrations.plain_arguments import parse_plain
from torc_migrations.plan import plan_text, skipped_text
from torc_migrations.terminal import OutputFailed, Terminal
from torc_migrations.url import masked

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from logging import Logger
    from types import SimpleNamespace as Namespace
    from typing import Any

    from torc_migrations.config import Settings
    from torc_migrations.migration import SourceLike
    from torc_migrations.plan import Outcome, Plan, Report
    from torc_migrations.run import Observer
    from torc_migrations.session import Session

INTERRUPTED = 130
BROKEN_PIPE = 141
_NOTHING_TO_REVERT = "No migrations available to revert\n"


class Interrupted(MigrationError):
    """Somebody pressed Ctrl-C; `done` are the versions that were finished before."""

    exit_code = INTERRUPTED
    hint = "what was cut short is not installed; `torc-migrations status` lists what is"

    def __init__(self, done: tuple[int, ...] = ()) -> None:
        self.done = done
        super().__init__("interrupted")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status; see `torc-migrations --help`."""
    words = sys.argv[1:] if arguments is None else arguments
    terminal = Terminal()
    try:
        return _run(words, terminal)
    except BrokenPipeError:
        terminal.abandon()
        return BROKEN_PIPE
    except OutputFailed as error:
        terminal.say("error", str(error))
        return error.exit_code


def _run(words: Sequence[str], terminal: Terminal) -> int:
    try:
        options = parse_plain(words) or _parse(words)
        on_first_use(lambda log: _show_log(log, terminal, options.verbose))
        return int(_VERBS[options.verb](options, terminal))
    except KeyboardInterrupt:
        return _tell_error(Interrupted(), terminal, as_json="--json" in words)
    except MigrationError as error:
        return _tell_error(error, terminal, as_json="--json" in words)


def _parse(words: Sequence[str]) -> Namespace:
    from torc_migrations.arguments import parse

    return parse(words)


def _settings(options: Namespace, terminal: Terminal) -> Settings:
    from torc_migrations.config import find_settings

    settings = find_settings(options.database, options.source, dotenv=not options.no_dotenv)
    if options.verbose:
        _tell_settings(settings, terminal)
    return settings


def _tell_settings(settings: Settings, terminal: Terminal) -> None:
    if settings.database:
        terminal.say("note", f"database {masked(settings.database.value)}, from {settings.database.origin}")
    for source in settings.sources:
        terminal.say("note", f"source {source.value}, from {source.origin}")
    if not settings.sources:
        terminal.say("note", f"source {SHIPPED}, because no other is named")
    if settings.migration_table:
        terminal.say("note", f"yoyo's ledger {settings.migration_table.value}, from {settings.migration_table.origin}")
    if settings.sqlx_table:
        terminal.say("note", f"sqlx's ledger {settings.sqlx_table.value}, from {settings.sqlx_table.origin}")


def _source(settings: Settings) -> SourceLike:
    folders = [source.value for source in settings.sources]
    if len(folders) > 1:
        from torc_migrations.combination import combine
        from torc_migrations.migration import discover

        return combine(tuple(discover(folder, ignored_chars=settings.ignored_chars) for folder in folders))
    return folders[0] if folders else None


def _database(settings: Settings) -> str:
    if settings.database is None:
        raise UrlError(
            "",
            "no database is named",
            hint="say -d sqlite:///torc.db, or set DATABASE_URL in the environment, in .env, or in yoyo.ini",
        )
    return settings.database.value


def _migrator(options: Namespace, terminal: Terminal) -> Migrator:
    settings = _settings(options, terminal)
    return _Interruptible(
        _database(settings),
        _source(settings),
        lock_timeout=options.lock_timeout,
        ignore_missing=options.ignore_missing,
        on_newer="refuse",
        strict=options.strict,
        snapshot=options.snapshot,
        keep=options.keep,
        ignored_chars=settings.ignored_chars,
        **_table_names(settings),
        on_loss=options.on_loss,
    )


def _table_names(settings: Settings) -> dict[str, Any]:
    named = {"migration_table": settings.migration_table, "sqlx_table": settings.sqlx_table}
    return {name: setting.value for name, setting in named.items() if setting}


class _Interruptible(Migrator):
    """Have Ctrl-C stop a statement that SQLite is busy with; Python's own handler runs only after it."""

    def _writing(self, session: Session) -> AbstractContextManager[None]:
        return _watching_for_signals(session.interrupt)


@contextmanager
def _watching_for_signals(interrupt: Callable[[], None]) -> Iterator[None]:
    """Call something from another thread as soon as a signal arrives that Python handles.

    https://docs.python.org/3/library/signal.html#signal.set_wakeup_fd
    """
    import signal
    from threading import Thread

    from torc_migrations.driver import sqlite3

    reading, writing = os.pipe()
    if os.name == "posix":
        os.set_blocking(writing, False)  # as set_wakeup_fd() demands there

    def watch() -> None:
        while os.read(reading, 1):
            with suppress(sqlite3.ProgrammingError):  # closed in this very moment
                interrupt()

    watcher = Thread(target=watch, daemon=True)
    watcher.start()
    before = signal.set_wakeup_fd(writing)
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
        os.close(writing)
        watcher.join()
        os.close(reading)


def _status(options: Namespace, terminal: Terminal) -> int:
    status = _migrator(options, terminal).status()
    if options.json:
        terminal.write_json(status.as_dict())
    else:
        terminal.write_listing(status.as_text())
    for note in status.notes:
        terminal.say("note", note)
    if not options.exit_code:
        return 0
    amiss = status.missing or status.dirty or any(entry.out_of_step or entry.changed for entry in status.entries)
    return 3 if amiss else int(bool(status.pending or status.due_hooks))


def _upgrade(options: Namespace, terminal: Terminal) -> int:
    migrator = _migrator(options, terminal)
    if options.dry_run:
        plan = migrator.plan_upgrade(options.target)
        return _show_plan(plan, plan_text(plan), options, terminal)
    if options.rehearse:
        return _rehearse(options, terminal)
    report = _observed(
        lambda observer: migrator.upgrade(options.target, observer=observer, atomic=options.single_transaction),
        options,
        terminal,
    )
    return _finish(report, skipped_text(report.plan), options, terminal)


def _apply(options: Namespace, terminal: Terminal) -> int:
    migrator = _migrator(options, terminal)
    report = _observed(lambda observer: migrator.apply(*options.versions, observer=observer), options, terminal)
    return _finish(report, "", options, terminal)


def _rollback(options: Namespace, terminal: Terminal) -> int:
    migrator = _migrator(options, terminal)
    if options.dry_run:
        plan = migrator.plan_rollback(options.target)
        return _show_plan(plan, plan_text(plan) or _NOTHING_TO_REVERT, options, terminal)
    if options.rehearse:
        return _rehearse(options, terminal)
    if options.target == 0 and not options.yes and terminal.is_interactive():
        plan = migrator.plan_rollback(0)
        if plan.steps and not _agreed(plan, terminal):
            terminal.say("note", "nothing was rolled back")
            return 0
    report = _observed(
        lambda observer: migrator.rollback(options.target, observer=observer, atomic=options.single_transaction),
        options,
        terminal,
    )
    left = skipped_text(report.plan)
    return _finish(report, left if left or report.applied else _NOTHING_TO_REVERT, options, terminal)


def _agreed(plan: Plan, terminal: Terminal) -> bool:
    for step in plan.steps:
        terminal.say("note", f"{step.migration.id} will be {step.action.done}")
    return terminal.ask("Everything that these migrations made goes, with the rows in it. Go on?")


def _observed(operation: Callable[[Observer], Report], options: Namespace, terminal: Terminal) -> Report:
    """Perform an operation, printing each step as soon as it is done, as sqlx does."""
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
        self._terminal.write_listing(outcome.as_text())
        if outcome.note:
            self._terminal.say("note", outcome.note)


def _show_plan(plan: Plan, text: str, options: Namespace, terminal: Terminal) -> int:
    if options.json:
        terminal.write_json(plan.as_dict())
    else:
        terminal.write_listing(text)
        for step in plan.steps:
            if step.is_hook:
                terminal.say("note", f"{step.name} would be run")
    return 0


def _finish(report: Report, last_lines: str, options: Namespace, terminal: Terminal) -> int:
    if options.json:
        terminal.write_json(report.as_dict())
    else:
        terminal.write_listing(last_lines)
    if report.snapshot:
        terminal.say("note", f"the state before is in {report.snapshot.path}")
    if not report.outcomes and terminal.is_interactive() and not options.json:
        terminal.say("note", "nothing to do")
    return 0


def _new(options: Namespace, terminal: Terminal) -> int:
    from torc_migrations.folder_cli import new

    return new(options, terminal, _settings(options, terminal))


def _export(options: Namespace, terminal: Terminal) -> int:
    from torc_migrations.folder_cli import export
    from torc_migrations.migration import discover

    return export(options, terminal, discover(_source(_settings(options, terminal))))


def _inspect(options: Namespace, terminal: Terminal) -> int:
    from torc_migrations.inspect_cli import run

    settings = _settings(options, terminal)
    database = settings.database.value if settings.database else None
    return run(options, terminal, database, _source(settings))


def _mend(options: Namespace, terminal: Terminal) -> int:
    from torc_migrations.mending_cli import run

    return run(options, terminal, _migrator(options, terminal))


def _restore(options: Namespace, terminal: Terminal) -> int:
    from torc_migrations.snapshot_cli import run

    return run(options, terminal, _database(_settings(options, terminal)))


def _rehearse(options: Namespace, terminal: Terminal) -> int:
    from torc_migrations.rehearse_cli import run

    if options.verb == "rehearse" and options.fresh:
        options.database = ":memory:"
    return run(options, terminal, _migrator(options, terminal))


_VERBS = {
    "status": _status,
    "upgrade": _upgrade,
    "apply": _apply,
    "rollback": _rollback,
    "new": _new,
    "export": _export,
    "verify": _inspect,
    "indexes": _inspect,
    "optimize": _inspect,
    "doctor": _mend,
    "repair": _mend,
    "baseline": _mend,
    "restore": _restore,
    "rehearse": _rehearse,
}


def _tell_error(error: MigrationError, terminal: Terminal, *, as_json: bool) -> int:
    terminal.say("error", str(error))
    if error.frame:
        terminal.tell(error.frame)
    if error.hint:
        terminal.say("hint", error.hint)
    done = _done_before(error)
    if error.rehearsed is not None:
        terminal.say("note", f"this was a rehearsal on a copy: nothing is kept, and {error.rehearsed} was not touched")
    elif done:
        terminal.say("note", f"done before it, and kept: {', '.join(map(str, done))}")
    snapshot = error.report.snapshot if error.report else None
    if snapshot:
        terminal.say("note", f"the state before the run is in {snapshot.path}")
    if as_json:
        made = {"snapshot": snapshot.path} if snapshot else {}
        terminal.write_json({"error": error.as_dict(), "done": list(done), **made})
    return error.exit_code


def _done_before(error: MigrationError) -> tuple[int, ...]:
    if isinstance(error, Interrupted):
        return error.done
    if error.rehearsed is not None:
        return ()
    return error.report.applied if error.report else ()


def _show_log(log: Logger, terminal: Terminal, verbose: bool) -> None:
    """Send the package's log to standard error, as notes."""
    import logging

    class Notes(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            terminal.say("note", record.getMessage())

    log.addHandler(Notes())
    log.setLevel(logging.DEBUG if verbose else logging.WARNING)
    log.propagate = False


if __name__ == "__main__":
    sys.exit(main())
