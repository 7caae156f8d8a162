"""The verb `status`: list what is installed and what is pending."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torc_migrations.cli.context import make_migrator
from torc_migrations.cli.listing import status_lines

if TYPE_CHECKING:
    from argparse import Namespace, _SubParsersAction
    from typing import Any

    from torc_migrations.cli.options import Parents
    from torc_migrations.cli.terminal import Terminal
    from torc_migrations.history.status import Status

PENDING, WRONG = 1, 3

_EXAMPLES = """\
examples:
  torc-migrations -d app.db status
  torc-migrations -d app.db status --json
  torc-migrations -d app.db status --exit-code || echo "not up to date"
"""


def add_parser(subparsers: _SubParsersAction[Any], parents: Parents) -> None:
    """Add the verb to the command line."""
    parser = subparsers.add_parser(
        "status",
        aliases=["info"],
        parents=[parents.common],
        help="list what is installed and what is pending",
        description="List what is installed and what is pending. Writes nothing.",
        epilog=_EXAMPLES,
    )
    parser.add_argument(
        "--exit-code",
        action="store_true",
        help="exit with 1 if a migration is pending, with 3 if a file or a ledger needs to be corrected",
    )
    parser.set_defaults(run=run)


def run(options: Namespace, terminal: Terminal) -> int:
    """Run the verb and return the exit status."""
    status = make_migrator(options, terminal).status()
    if options.json:
        terminal.print_json(status.as_dict())
    else:
        terminal.print_lines(status_lines(status))
    for note in status.notes:
        terminal.print_note(note)
    return _exit_code(status) if options.exit_code else 0


def _exit_code(status: Status) -> int:
    if status.missing or status.dirty or any(entry.out_of_step or entry.changed for entry in status.entries):
        return WRONG
    return PENDING if status.pending or status.due_hooks else 0
