"""The verb `optimize`: refresh the statistics of the query planner."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torc_migrations.cli.context import database_of, functions_of, settings_of
from torc_migrations.cli.options import add_lock_timeout, server_options

if TYPE_CHECKING:
    from argparse import Namespace, _SubParsersAction
    from typing import Any

    from torc_migrations.cli.options import Parents
    from torc_migrations.cli.terminal import Terminal

_EXAMPLES = """\
examples:
  torc-migrations -d app.db optimize
  torc-migrations -d app.db optimize --vacuum --lock-timeout 10

On SQLite ANALYZE reads every index, and blocks writers while it runs; VACUUM rewrites the whole database, and may \
need twice its size on the disk. On PostgreSQL neither blocks anybody. On MariaDB --vacuum runs OPTIMIZE TABLE, which \
rebuilds each table.
"""


def add_parser(subparsers: _SubParsersAction[Any], parents: Parents) -> None:
    """Add the verb to the command line."""
    parser = subparsers.add_parser(
        "optimize",
        parents=[parents.common],
        help="refresh the statistics of the query planner",
        description="Refresh the statistics of the query planner, and report times and sizes.",
        epilog=_EXAMPLES,
    )
    parser.add_argument("--vacuum", action="store_true", help="free the space of deleted rows too")
    add_lock_timeout(parser)
    parser.set_defaults(run=run)


def run(options: Namespace, terminal: Terminal) -> int:
    """Run the verb and return the exit status."""
    from torc_migrations.indexes.optimize import optimize

    database = database_of(settings_of(options, terminal))
    maintenance = optimize(
        database,
        vacuum=options.vacuum,
        lock_timeout=options.lock_timeout,
        functions=functions_of(options),
        server=server_options(options),
    )
    terminal.print_report(maintenance, as_json=options.json)
    return 0
