"""The verb `wait`: wait until another process has brought the database to a version."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torc_migrations.cli.context import make_migrator
from torc_migrations.cli.options import add_progress, seconds, version
from torc_migrations.cli.progress import waiting_lines

if TYPE_CHECKING:
    from argparse import Namespace, _SubParsersAction
    from typing import Any

    from torc_migrations.cli.options import Parents
    from torc_migrations.cli.terminal import Terminal

_EXAMPLES = """\
examples:
  torc-migrations -d app.db wait
  torc-migrations -d app.db wait --version 20251105030141 --timeout 60

One process runs `upgrade`, and the others `wait`; it does not matter which begins first.

exit status: 0 the database is at the version, or newer; 5 the time has passed.
"""


def add_parser(subparsers: _SubParsersAction[Any], parents: Parents) -> None:
    """Add the verb to the command line."""
    parser = subparsers.add_parser(
        "wait",
        parents=[parents.common],
        help="wait until another process has upgraded the database",
        description="Wait until another process has brought the database to a version. Writes nothing.",
        epilog=_EXAMPLES,
    )
    parser.add_argument(
        *("--version", "--target"),
        metavar="VERSION",
        type=version,
        dest="target",
        help="the newest migration that is needed (default: the newest file)",
    )
    parser.add_argument(
        "--timeout", metavar="SECONDS", type=seconds, default=300.0, help="how long to wait (default: 300)"
    )
    add_progress(parser)
    parser.set_defaults(run=run)


def run(options: Namespace, terminal: Terminal) -> int:
    """Run the verb and return the exit status."""
    from torc_migrations.services.waits import wait_for

    say, repeat = waiting_lines(options.progress, terminal)
    migrator = make_migrator(options, terminal)
    try:
        status = wait_for(migrator, version=options.target, timeout=options.timeout, on_wait=say, repeat=repeat)
    finally:
        terminal.clear_line()
    if options.json:
        terminal.print_json({"ok": True, "latest": status.latest})
    else:
        terminal.print_note(f"the database is at version {status.latest}")
    return 0
