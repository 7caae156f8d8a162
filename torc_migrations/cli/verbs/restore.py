"""The verb `restore`: put a snapshot in the place of the database, or list the snapshots."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from torc_migrations.cli.context import database_of, settings_of
from torc_migrations.cli.options import add_lock_timeout, add_yes
from torc_migrations.databases.urls import parse_url
from torc_migrations.errors import CannotOpen

if TYPE_CHECKING:
    from argparse import Namespace, _SubParsersAction
    from typing import Any

    from torc_migrations.cli.options import Parents
    from torc_migrations.cli.terminal import Terminal

_LOCK_TIMEOUT = 10.0
_EXAMPLES = """\
examples:
  torc-migrations -d app.db restore                  list the snapshots
  torc-migrations -d app.db restore backups          list those in a directory
  torc-migrations -d app.db restore SNAPSHOT         restore one, and ask first
  torc-migrations -d app.db restore SNAPSHOT --yes   restore one, without asking

The snapshot is checked first, and then written over the database in one transaction. A database that is missing is \
created. Refused while another process holds the database: in WAL mode while it has the database open, else while it \
reads or writes.
"""


def add_parser(subparsers: _SubParsersAction[Any], parents: Parents) -> None:
    """Add the verb to the command line."""
    parser = subparsers.add_parser(
        "restore",
        parents=[parents.common],
        help="restore a snapshot, or list the snapshots",
        description="Replace the database by a snapshot, or list the snapshots of it.",
        epilog=_EXAMPLES,
    )
    parser.add_argument("path", metavar="SNAPSHOT", nargs="?", help="a snapshot, or a directory to list")
    add_yes(parser)
    add_lock_timeout(parser, _LOCK_TIMEOUT)
    parser.set_defaults(run=run)


def run(options: Namespace, terminal: Terminal) -> int:
    """Run the verb and return the exit status."""
    database = database_of(settings_of(options, terminal))
    path = parse_url(database).path
    if path is None:
        raise CannotOpen(":memory:", "a database in memory has no snapshots")
    if options.path is None or os.path.isdir(options.path):
        return _list(options, terminal, path)
    snapshot = _find(options.path, path)
    if _would_overwrite(path, snapshot) and not options.yes:
        question = f"What was written to {database} after {snapshot} was made will be deleted. Continue?"
        if not terminal.confirm(question, refusal=f"restore overwrites {database}, which exists"):
            terminal.print_note("nothing was restored")
            return 0
    return _restore(options, terminal, database, snapshot)


def _would_overwrite(path: str, snapshot: str) -> bool:
    """Return whether a restore would delete data; what is wrong with the arguments is found by the restore itself."""
    return os.path.exists(path) and os.path.exists(snapshot) and not os.path.samefile(path, snapshot)


def _find(snapshot: str, path: str) -> str:
    """Return the path of a snapshot; a name alone is looked for next to the database, too."""
    neighbour = os.path.join(os.path.dirname(os.path.realpath(path)), snapshot)
    return snapshot if os.path.exists(snapshot) or not os.path.exists(neighbour) else neighbour


def _list(options: Namespace, terminal: Terminal, path: str) -> int:
    from torc_migrations.snapshots.snapshot import find_snapshots

    snapshots = find_snapshots(path, options.path)
    if options.json:
        terminal.print_json({"snapshots": [snapshot.as_dict() for snapshot in snapshots]})
        return 0
    terminal.print_text("".join(snapshot.as_text() for snapshot in snapshots))
    if not snapshots:
        where = options.path or os.path.dirname(os.path.realpath(path))
        terminal.print_note(
            f"there is no snapshot of {path} in {where}; `torc-migrations upgrade --snapshot` makes one"
        )
    return 0


def _restore(options: Namespace, terminal: Terminal, database: str, snapshot: str) -> int:
    from torc_migrations.snapshots.restore import restore

    restoration = restore(database, snapshot, lock_timeout=options.lock_timeout)
    if options.json:
        terminal.print_json({"restored": restoration.as_dict()})
    else:
        terminal.print_text(restoration.as_text())
    return 0
