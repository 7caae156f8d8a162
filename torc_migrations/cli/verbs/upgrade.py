"""The verb `upgrade`: apply what is pending."""

from __future__ import annotations

from argparse import SUPPRESS
from typing import TYPE_CHECKING

from torc_migrations.cli.context import make_migrator
from torc_migrations.cli.options import add_ignore, add_on_loss, add_single_transaction, add_target
from torc_migrations.cli.progress import NOTHING_TO_DO, observed, print_end, print_plan
from torc_migrations.errors import BadArguments, SchemaDrifted

if TYPE_CHECKING:
    from argparse import Namespace, _SubParsersAction
    from typing import Any

    from torc_migrations.cli.context import CommandMigrator
    from torc_migrations.cli.options import Parents
    from torc_migrations.cli.terminal import Terminal
    from torc_migrations.history.steps import Report
    from torc_migrations.migrator import Migrator
    from torc_migrations.runs.run import Observer

_EXAMPLES = """\
examples:
  torc-migrations -d app.db upgrade
  torc-migrations -d app.db -s db/migrations upgrade
  torc-migrations -d torc.db --torc upgrade
  torc-migrations -d app.db upgrade --target 20251023160238
  torc-migrations -d app.db upgrade --dry-run
  torc-migrations -d app.db upgrade --single-transaction
  torc-migrations -d app.db upgrade --snapshot=backups --keep 5
  torc-migrations -d app.db upgrade --on-loss=refuse

`torc-migrations rehearse` runs the same on a copy of the database.
"""


def add_parser(subparsers: _SubParsersAction[Any], parents: Parents) -> None:
    """Add the verb to the command line."""
    parser = subparsers.add_parser(
        "upgrade",
        aliases=["run"],
        parents=[parents.snapshots, parents.waiting, parents.running, parents.common],
        help="apply what is pending",
        description="Apply what is pending, in the order of the versions. Creates a SQLite file that is missing.",
        epilog=_EXAMPLES,
    )
    add_target(parser, "the last version to apply")
    parser.add_argument("--dry-run", action="store_true", help="list the migrations, and run nothing")
    add_single_transaction(parser)
    add_on_loss(parser, "rehearse first; refuse or warn if a table loses rows that the script does not delete")
    parser.add_argument(
        "--out-of-order",
        choices=("apply", "refuse"),
        default=SUPPRESS,
        help="what comes before installed ones (default: apply)",
    )
    parser.add_argument(
        "--on-newer",
        choices=("accept", "refuse"),
        default=SUPPRESS,
        help="a database that is ahead (default: refuse)",
    )
    parser.add_argument(
        "--on-drift",
        choices=("refuse", "warn"),
        help="a schema that the installed ones do not make",
    )
    add_ignore(parser)
    parser.add_argument("--from-dump", metavar="FILE", help="make an empty database from a `dump`, then apply the rest")
    parser.set_defaults(run=run)


def run(options: Namespace, terminal: Terminal) -> int:
    """Run the verb and return the exit status."""
    _check(options)
    migrator = make_migrator(options, terminal)
    if options.on_drift:
        _look_for_drift(migrator, options, terminal)
    if options.dry_run:
        print_plan(migrator.plan("upgrade", options.target), options, terminal)
        return 0
    report = observed(lambda observer: _upgrade(migrator, options, observer), options, terminal)
    if report:
        print_end(report, options, terminal)
    if not (report and report.outcomes) and not options.json:
        terminal.print_note(NOTHING_TO_DO)
    return 0


def _check(options: Namespace) -> None:
    if options.ignore and not options.on_drift:
        raise BadArguments("--ignore has no effect without --on-drift", hint="add --on-drift=refuse")
    names = ("target", "dry_run", "single_transaction", "on_drift", "on_loss", "snapshot")
    if options.from_dump and (given := [name for name in names if getattr(options, name)]):
        flag = f"--{given[0].replace('_', '-')}"
        raise BadArguments(f"{flag} has no effect with --from-dump", hint=f"leave out {flag}, or --from-dump")


def _upgrade(migrator: CommandMigrator, options: Namespace, observer: Observer) -> Report | None:
    """Return the report of the upgrade; None if there was nothing to do, and if no JSON is wanted."""
    if options.from_dump:
        from torc_migrations.checks.dump import upgrade_from_dump

        return upgrade_from_dump(migrator, options.from_dump, observer=observer)
    upgrade = migrator.upgrade if options.json else migrator.upgrade_if_needed
    return upgrade(options.target, observer=observer, atomic=options.single_transaction)


def _look_for_drift(migrator: Migrator, options: Namespace, terminal: Terminal) -> None:
    """Compare the schema with that which the installed migrations make.

    Raises:
        SchemaDrifted: it is another one, and that is refused.
    """
    from torc_migrations.checks.drift import check_drift

    differences = tuple(finding.message for finding in check_drift(migrator, options.ignore).findings)
    if differences and options.on_drift == "refuse":
        raise SchemaDrifted(str(migrator.database), differences)
    for difference in differences:
        terminal.print_note(difference)
