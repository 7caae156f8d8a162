"""The verb `indexes`: report on every index."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torc_migrations.cli.context import database_of, functions_of, settings_of, source_if_any
from torc_migrations.cli.options import add_lock_timeout, server_options

if TYPE_CHECKING:
    from argparse import Namespace, _SubParsersAction
    from typing import Any

    from torc_migrations.cli.options import Parents
    from torc_migrations.cli.terminal import Terminal

_EXAMPLES = """\
examples:
  torc-migrations -d app.db indexes
  torc-migrations -d app.db indexes --json

The source is optional here: its expectations show which query uses an index. PostgreSQL also counts how often each \
index was used.
"""


def add_parser(subparsers: _SubParsersAction[Any], parents: Parents) -> None:
    """Add the verb to the command line."""
    parser = subparsers.add_parser(
        "indexes",
        parents=[parents.common],
        help="report on every index: its size and its use",
        description="Report on every index: its size, its use, and whether another one makes it redundant. Writes "
        "nothing.",
        epilog=_EXAMPLES,
    )
    add_lock_timeout(parser)
    parser.set_defaults(run=run)


def run(options: Namespace, terminal: Terminal) -> int:
    """Run the verb and return the exit status."""
    from torc_migrations.indexes.inspect import inspect_indexes

    settings = settings_of(options, terminal)
    report = inspect_indexes(
        database_of(settings),
        None if options.torc else source_if_any(settings),
        lock_timeout=options.lock_timeout,
        functions=functions_of(options),
        server=server_options(options),
    )
    terminal.print_report(report, as_json=options.json)
    if not options.json:
        for note in report.notes:
            terminal.print_note(note)
    return 0
