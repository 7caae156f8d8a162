"""The verb `apply`: apply exactly these migrations."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torc_migrations.cli.context import make_migrator
from torc_migrations.cli.options import version
from torc_migrations.cli.progress import NOTHING_TO_DO, observed, print_end

if TYPE_CHECKING:
    from argparse import Namespace, _SubParsersAction
    from typing import Any

    from torc_migrations.cli.options import Parents
    from torc_migrations.cli.terminal import Terminal

_EXAMPLES = """\
examples:
  torc-migrations -d app.db apply 20251105030141
  torc-migrations -d app.db apply 3 5
  torc-migrations -d app.db apply 3 5 --snapshot=backups
"""


def add_parser(subparsers: _SubParsersAction[Any], parents: Parents) -> None:
    """Add the verb to the command line."""
    parser = subparsers.add_parser(
        "apply",
        parents=[parents.snapshots, parents.waiting, parents.running, parents.common],
        help="apply exactly these migrations",
        description="Apply exactly these migrations, in the order of their versions. Those that are installed "
        "already are left as they are.",
        epilog=_EXAMPLES,
    )
    parser.add_argument("versions", metavar="VERSION", type=version, nargs="+", help="the version of a pending one")
    parser.set_defaults(run=run)


def run(options: Namespace, terminal: Terminal) -> int:
    """Run the verb and return the exit status."""
    migrator = make_migrator(options, terminal)
    report = observed(lambda observer: migrator.apply(*options.versions, observer=observer), options, terminal)
    print_end(report, options, terminal)
    if not report.outcomes and not options.json:
        terminal.print_note(NOTHING_TO_DO)
    return 0
