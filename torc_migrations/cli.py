"""The command `torc-migrations`: what sqlx prints goes to standard output, everything else to standard error."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from torc_migrations.errors import MigrationError, UrlError
from torc_migrations.log import on_first_use
from torc_migrations.migrator import Migrator
from torc_migrations.plan import Action, plan_text, skipped_text
from torc_migrations.terminal import Terminal
from torc_migrations.url import masked

if TYPE_CHECKING:
    from argparse import Namespace
    from logging import Logger

    from torc_migrations.config import Settings
    from torc_migrations.plan import Outcome, Plan, Report

INTERRUPTED = 130
BROKEN_PIPE = 141


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status; see `torc-migrations --help`."""
    from torc_migrations.arguments import parse

    options = parse(arguments)
    terminal = Terminal()
    on_first_use(lambda log: _show_log(log, terminal, options.verbose))
    try:
        return int(_VERBS[options.verb](options, terminal))
    except MigrationError as error:
        _tell_error(error, options, terminal)
        return error.exit_code
    except KeyboardInterrupt:
        terminal.say("error", "interrupted; nothing of the running migration was kept")
        return INTERRUPTED
    except BrokenPipeError:
        terminal.abandon()
        return BROKEN_PIPE


def _settings(options: Namespace, terminal: Terminal) -> Settings:
    from torc_migrations.config import find_settings

    settings = find_settings(options.database, options.source, dotenv=not options.no_dotenv)
    if options.verbose:
        for name, setting in (("database", settings.database), ("source", settings.source)):
            if setting:
                terminal.say("note", f"{name} {masked(setting.value)}, from {setting.origin}")
    return settings


def _migrator(options: Namespace, terminal: Terminal) -> Migrator:
    settings = _settings(options, terminal)
    if settings.database is None:
        raise UrlError(
            "",
            "no database is named",
            hint="say -d sqlite:///torc.db, or set DATABASE_URL in the environment, in .env, or in yoyo.ini",
        )
    return Migrator(
        settings.database.value,
        settings.source.value if settings.source else None,
        lock_timeout=options.lock_timeout,
        ignore_missing=options.ignore_missing,
        on_newer="refuse",
        **({"migration_table": settings.migration_table} if settings.migration_table else {}),
    )


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
    return 3 if amiss else int(bool(status.pending))


def _upgrade(options: Namespace, terminal: Terminal) -> int:
    migrator = _migrator(options, terminal)
    if options.dry_run:
        return _show_plan(migrator.plan_upgrade(options.target), options, terminal)
    observer = _Progress(options, terminal)
    return _finish(migrator.upgrade(options.target, observer=observer), options, terminal)


def _apply(options: Namespace, terminal: Terminal) -> int:
    observer = _Progress(options, terminal)
    return _finish(_migrator(options, terminal).apply(*options.versions, observer=observer), options, terminal)


def _rollback(options: Namespace, terminal: Terminal) -> int:
    migrator = _migrator(options, terminal)
    if options.dry_run:
        return _show_plan(migrator.plan_rollback(options.target), options, terminal)
    if options.target == 0 and not options.yes and terminal.is_interactive():
        plan = migrator.plan_rollback(0)
        if plan.steps and not _agreed(plan, terminal):
            return 0
    report = migrator.rollback(options.target, observer=_Progress(options, terminal))
    if not options.json and not any(step.action is Action.ROLL_BACK for step in report.plan.steps):
        terminal.write_listing("No migrations available to revert\n")
    return _finish(report, options, terminal)


def _agreed(plan: Plan, terminal: Terminal) -> bool:
    for step in plan.steps:
        terminal.say("note", f"{step.migration.id} will be rolled back")
    return terminal.ask("Everything that these migrations made goes, with the rows in it. Go on?")


def _show_plan(plan: Plan, options: Namespace, terminal: Terminal) -> int:
    if options.json:
        terminal.write_json(plan.as_dict())
    else:
        terminal.write_listing(plan_text(plan))
    return 0


class _Progress:
    """Print each step as soon as it is done, as sqlx does."""

    def __init__(self, options: Namespace, terminal: Terminal) -> None:
        self._silent = options.json
        self._terminal = terminal

    def __call__(self, outcome: Outcome) -> None:
        if self._silent:
            return
        if outcome.step.script:
            self._terminal.write_listing(outcome.as_text())
        else:
            self._terminal.say("note", f"{outcome.step.migration.id} {outcome.step.action.done} in the ledgers")


def _finish(report: Report, options: Namespace, terminal: Terminal) -> int:
    if options.json:
        terminal.write_json(report.as_dict())
    else:
        terminal.write_listing(skipped_text(report.plan))
    if not report.outcomes and terminal.is_interactive() and not options.json:
        terminal.say("note", "nothing to do")
    return 0


def _new(options: Namespace, terminal: Terminal) -> int:
    from torc_migrations.folder import new_migration

    settings = _settings(options, terminal)
    paths = new_migration(
        settings.source.value if settings.source else "migrations",
        options.description,
        reversible=options.reversible,
        sequential=True if options.sequential else False if options.timestamp else None,
    )
    return _created(paths, options, terminal)


def _export(options: Namespace, terminal: Terminal) -> int:
    from torc_migrations.folder import export
    from torc_migrations.migration import Layout, discover

    settings = _settings(options, terminal)
    source = discover(settings.source.value if settings.source else None)
    return _created(export(source, Layout(options.layout), options.folder), options, terminal)


def _created(paths: tuple[str, ...], options: Namespace, terminal: Terminal) -> int:
    if options.json:
        terminal.write_json({"created": list(paths)})
    else:
        terminal.write_listing("".join(f"Creating {path}\n" for path in paths))
    return 0


_VERBS = {
    "status": _status,
    "upgrade": _upgrade,
    "apply": _apply,
    "rollback": _rollback,
    "new": _new,
    "export": _export,
}


def _tell_error(error: MigrationError, options: Namespace, terminal: Terminal) -> None:
    terminal.say("error", str(error))
    if error.frame:
        terminal.tell(error.frame)
    if error.hint:
        terminal.say("hint", error.hint)
    done = error.report.applied if error.report else ()
    if done:
        terminal.say("note", f"done before it, and kept: {', '.join(map(str, done))}")
    if options.json:
        terminal.write_json({"error": error.as_dict(), "done": list(done)})


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
