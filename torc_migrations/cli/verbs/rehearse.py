"""The verb `rehearse`: run on a copy what upgrade or rollback would run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torc_migrations.cli.context import make_migrator
from torc_migrations.cli.options import add_on_loss, add_single_transaction, add_steps, add_target
from torc_migrations.cli.progress import NOTHING_TO_DO
from torc_migrations.errors import BadArguments

if TYPE_CHECKING:
    from argparse import Namespace, _SubParsersAction
    from typing import Any

    from torc_migrations.cli.options import Parents
    from torc_migrations.cli.terminal import Terminal
    from torc_migrations.migrator import Migrator
    from torc_migrations.options import Operation

FAILED = 1

_EXAMPLES = """\
examples:
  torc-migrations -d app.db rehearse
  torc-migrations -d app.db rehearse --on-loss=refuse
  torc-migrations -d app.db rehearse --rollback --target 20251023160238
  torc-migrations -d app.db rehearse --single-transaction
  torc-migrations -d app.db rehearse --round-trip
  torc-migrations rehearse --round-trip --fresh

The copy of an SQLite file is beside it, and needs twice its size. A database of PostgreSQL is copied on its server if \
nobody else is connected; otherwise everything runs in a transaction that is rolled back. On MariaDB the schema is \
copied, without rows. The copy is removed at the end; one that a killed rehearsal left is removed by the next one.

exit status: with --round-trip 1 if a migration cannot be undone or repeated; else as for `upgrade`.
"""


def add_parser(subparsers: _SubParsersAction[Any], parents: Parents) -> None:
    """Add the verb to the command line."""
    parser = subparsers.add_parser(
        "rehearse",
        parents=[parents.waiting, parents.running, parents.common],
        help="run what is pending on a copy, and report the result",
        description="Run on a copy of the database what `upgrade` would run, and report the result: times, rows, "
        "schema, and rows that are lost. The database is not changed.",
        epilog=_EXAMPLES,
    )
    parser.add_argument("--rollback", action="store_true", help="run what `rollback` would run")
    end = parser.add_mutually_exclusive_group()
    add_target(end, "the version to end at")
    add_steps(end, "with --rollback: how many to roll back (default: 1)")
    add_single_transaction(parser)
    add_on_loss(parser, "refuse: exit with 6 if a table loses rows that the script does not delete")
    parser.add_argument(
        "--round-trip", action="store_true", help="run each migration up, down and up again; list what differs"
    )
    parser.add_argument(
        "--fresh",
        action="store_true",
        help="with --round-trip: all migrations, on an empty database: in memory, or on the server",
    )
    parser.add_argument(
        "--allow-irreversible",
        action="store_true",
        help="with --round-trip: a migration without a down script is a note, not a failure",
    )
    parser.set_defaults(run=run)


def run(options: Namespace, terminal: Terminal) -> int:
    """Run the verb and return the exit status."""
    _check(options)
    migrator = make_migrator(options, terminal, is_fresh=options.fresh)
    return _round_trip(migrator, options, terminal) if options.round_trip else _rehearse(migrator, options, terminal)


def _check(options: Namespace) -> None:
    if options.fresh and not options.round_trip:
        raise BadArguments("--fresh has no effect without --round-trip", hint="add --round-trip")
    if options.allow_irreversible and not options.round_trip:
        raise BadArguments("--allow-irreversible has no effect without --round-trip", hint="add --round-trip")
    if options.steps and not (options.rollback or options.round_trip):
        raise BadArguments("--steps has no effect without --rollback", hint="add --rollback")
    given = [
        name for name in ("rollback", "target", "steps", "single_transaction", "on_loss") if getattr(options, name)
    ]
    if options.round_trip and given:
        flag = f"--{given[0].replace('_', '-')}"
        raise BadArguments(f"{flag} has no effect with --round-trip", hint=f"leave out {flag}, or --round-trip")


def _round_trip(migrator: Migrator, options: Namespace, terminal: Terminal) -> int:
    result = migrator.round_trip(fresh=options.fresh, allow_irreversible=options.allow_irreversible)
    if options.json or result.trips:
        terminal.print_report(result, as_json=options.json)
    if not result.trips:
        terminal.print_note("nothing is pending; --fresh runs all migrations, on an empty database")
    return 0 if result.ok else FAILED


def _rehearse(migrator: Migrator, options: Namespace, terminal: Terminal) -> int:
    operation: Operation = "rollback" if options.rollback else "upgrade"
    rehearsal = migrator.rehearse(
        options.target, operation=operation, atomic=options.single_transaction, steps=options.steps
    )
    terminal.print_report(rehearsal, as_json=options.json)
    if not rehearsal.steps:
        terminal.print_note(NOTHING_TO_DO)
        return 0
    refusal = rehearsal.refusal if options.on_loss == "refuse" else None
    if refusal:
        terminal.print_error(refusal)
    for note in rehearsal.place.notes:
        terminal.print_note(note)
    terminal.print_note(f"this was a rehearsal {rehearsal.place.where}: {rehearsal.database} was not changed")
    return refusal.exit_code if refusal else 0
