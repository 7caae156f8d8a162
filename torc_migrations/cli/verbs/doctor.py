"""The verb `doctor`: explain what is wrong with a database and a source."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torc_migrations.advice import command_of
from torc_migrations.cli.context import make_migrator

if TYPE_CHECKING:
    from argparse import Namespace, _SubParsersAction
    from typing import Any

    from torc_migrations.cli.options import Parents
    from torc_migrations.cli.terminal import Terminal

WRONG = 3

_EXAMPLES = """\
examples:
  torc-migrations -d app.db doctor
  torc-migrations -d app.db doctor --json

exit status: 0 nothing needs to be done; 3 something does, and the command for it is printed.
"""


def add_parser(subparsers: _SubParsersAction[Any], parents: Parents) -> None:
    """Add the verb to the command line."""
    parser = subparsers.add_parser(
        "doctor",
        parents=[parents.waiting, parents.common],
        help="explain what is wrong, and which command to type",
        description="Explain what is wrong with the database or the source, and which command to type. Writes nothing.",
        epilog=_EXAMPLES,
    )
    parser.set_defaults(run=run)


def run(options: Namespace, terminal: Terminal) -> int:
    """Run the verb and return the exit status."""
    diagnosis = make_migrator(options, terminal).diagnose().advising(command_of(options))
    terminal.print_report(diagnosis, as_json=options.json)
    return 0 if diagnosis.healthy else WRONG
