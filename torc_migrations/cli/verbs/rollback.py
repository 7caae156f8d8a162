"""The verb `rollback`: roll back the newest migration, or all above a target."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torc_migrations.cli.context import make_migrator
from torc_migrations.cli.options import add_on_loss, add_single_transaction, add_steps, add_target, add_yes
from torc_migrations.cli.progress import observed, print_end, print_plan

if TYPE_CHECKING:
    from argparse import Namespace, _SubParsersAction
    from typing import Any

    from torc_migrations.cli.options import Parents
    from torc_migrations.cli.terminal import Terminal
    from torc_migrations.migrator import Migrator

_NOTHING_TO_REVERT = "No migrations available to revert\n"
_EXAMPLES = """\
examples:
  torc-migrations -d app.db rollback
  torc-migrations -d app.db rollback -n 3
  torc-migrations -d app.db rollback --target 20251023160238
  torc-migrations -d app.db rollback --target 0 --yes
  torc-migrations -d app.db rollback --dry-run

`torc-migrations rehearse --rollback` runs the same on a copy of the database.
"""


def add_parser(subparsers: _SubParsersAction[Any], parents: Parents) -> None:
    """Add the verb to the command line."""
    parser = subparsers.add_parser(
        "rollback",
        aliases=["revert"],
        parents=[parents.snapshots, parents.waiting, parents.running, parents.common],
        help="roll back the newest migrations, or all above a target",
        description="Roll back the newest migration, the newest N, or all above a target. Refused before anything "
        "runs if one of them has no down script.",
        epilog=_EXAMPLES,
    )
    end = parser.add_mutually_exclusive_group()
    add_target(end, "the version to go down to, which stays installed; 0 for everything")
    add_steps(end, "how many to roll back (default: 1)")
    parser.add_argument("--dry-run", action="store_true", help="list the migrations, and run nothing")
    add_single_transaction(parser)
    add_on_loss(parser, "rehearse first; refuse or warn if a table loses rows that the script does not delete")
    add_yes(parser)
    parser.set_defaults(run=run)


def run(options: Namespace, terminal: Terminal) -> int:
    """Run the verb and return the exit status."""
    migrator = make_migrator(options, terminal)
    if options.dry_run:
        plan = migrator.plan("rollback", options.target, steps=options.steps)
        print_plan(plan, options, terminal)
        _print_nothing(bool(plan.steps or plan.skipped), options, terminal)
        return 0
    if not options.yes and _leaves_nothing(migrator, options) and not _is_confirmed(migrator, options, terminal):
        terminal.print_note("nothing was rolled back")
        return 0
    report = observed(
        lambda observer: migrator.rollback(
            options.target, steps=options.steps, observer=observer, atomic=options.single_transaction
        ),
        options,
        terminal,
    )
    print_end(report, options, terminal)
    _print_nothing(bool(report.applied or report.plan.skipped), options, terminal)
    return 0


def _leaves_nothing(migrator: Migrator, options: Namespace) -> bool:
    """Return whether no migration stays installed; the one that `rollback` rolls back by default does not count."""
    if options.steps is None or options.steps == 1:
        return bool(options.target == 0)
    return bool(options.steps >= len(migrator.status().installed))


def _is_confirmed(migrator: Migrator, options: Namespace, terminal: Terminal) -> bool:
    steps = migrator.plan("rollback", options.target, steps=options.steps).steps
    if not steps:
        return True
    if terminal.is_interactive():
        for step in steps:
            terminal.print_note(f"{step.migration.id} will be {step.action.done}")
    return terminal.confirm(
        "Everything that these migrations created will be deleted, with its rows. Continue?",
        refusal=f"rollback {'--target 0' if options.steps is None else f'-n {options.steps}'} "
        f"deletes everything that {len(steps)} "
        f"{'migration has' if len(steps) == 1 else 'migrations have'} created",
    )


def _print_nothing(found: bool, options: Namespace, terminal: Terminal) -> None:
    if not found and not options.json:
        terminal.print_text(_NOTHING_TO_REVERT)
