"""The verb `baseline`: record migrations as installed, and run nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torc_migrations.cli.context import make_migrator
from torc_migrations.cli.options import version
from torc_migrations.cli.progress import print_changes

if TYPE_CHECKING:
    from argparse import Namespace, _SubParsersAction
    from typing import Any

    from torc_migrations.cli.options import Parents
    from torc_migrations.cli.terminal import Terminal

_EXAMPLES = """\
examples:
  torc-migrations -d app.db -s migrations baseline 20251105030141

Refused if the database lacks anything that these migrations create.
"""


def add_parser(subparsers: _SubParsersAction[Any], parents: Parents) -> None:
    """Add the verb to the command line."""
    parser = subparsers.add_parser(
        "baseline",
        parents=[parents.waiting, parents.common],
        help="record migrations as installed, and run nothing",
        description="Record all migrations up to a version as installed, and run nothing: for a database that was made "
        "without the ledgers.",
        epilog=_EXAMPLES,
    )
    parser.add_argument("version", metavar="VERSION", type=version, help="the newest version that the database has")
    parser.set_defaults(run=run)


def run(options: Namespace, terminal: Terminal) -> int:
    """Run the verb and return the exit status."""
    print_changes(make_migrator(options, terminal).baseline(options.version), options, terminal)
    return 0
