"""The verb `doctor`: explain what is wrong with a database and a source."""

from __future__ import annotations

from shlex import quote
from typing import TYPE_CHECKING

from torc_migrations.cli.context import make_migrator
from torc_migrations.formatting import masked

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
    diagnosis = make_migrator(options, terminal).diagnose().advising(_command(options))
    terminal.print_report(diagnosis, as_json=options.json)
    return 0 if diagnosis.healthy else WRONG


def _command(options: Namespace) -> str:
    """Return the beginning of a command that names the same database and source as this one."""
    words = ["torc-migrations"]
    if options.database is not None:
        words += ["-d", masked(options.database)]
    for source in options.source or ():
        words += ["-s", source]
    if options.torc:
        words.append("--torc")
    return " ".join(map(quote, words))
