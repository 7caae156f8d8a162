"""The options `--snapshot` and `--keep`, and the verb `restore` of the command."""

from __future__ import annotations

import os
from argparse import ArgumentTypeError
from collections.abc import Callable
from typing import TYPE_CHECKING

from torc_migrations.errors import CannotOpen
from torc_migrations.url import parse_url

if TYPE_CHECKING:
    from argparse import ArgumentParser
    from types import SimpleNamespace as Namespace

    from torc_migrations.terminal import Terminal

_RESTORE_EXAMPLES = """\
examples:
  torc-migrations -d torc.db restore              list the snapshots beside it
  torc-migrations -d torc.db restore backups      list those in a folder
  torc-migrations -d torc.db restore torc.db.20251105T030141.000Z.v3.snapshot

The snapshot is looked through first, and put in the place of the database in
one transaction. Refused while others hold the database: in WAL mode whoever
has it open, elsewhere whoever reads or writes just then.
"""
_LOCK_TIMEOUT = 10.0


def add_options(parser: ArgumentParser) -> None:
    """Add the options of a verb that changes a database."""
    parser.add_argument(
        "--snapshot",
        metavar="DIR",
        nargs="?",
        const=True,
        default=False,
        help="copy the database first, into this folder or beside it",
    )
    parser.add_argument("--keep", metavar="N", type=_count, default=3, help="keep so many snapshots of it (3)")


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise ArgumentTypeError(f"{text!r} is not a number of snapshots from 1 on")
    return int(text)


def add_arguments(
    add_verb: Callable[[str, None, str, str, str], ArgumentParser],
    add_lock_timeout: Callable[[ArgumentParser, float], None],
) -> None:
    """Add the verb; `add_verb` takes a name, no alias, a purpose, examples, and the short flag of --source."""
    restore = add_verb("restore", None, "put a snapshot back, or list the snapshots", _RESTORE_EXAMPLES, "-s")
    restore.add_argument("snapshot", metavar="SNAPSHOT", nargs="?", help="a snapshot, or a folder of them")
    restore.add_argument(*("-y", "--yes"), action="store_true", help="do not ask")
    add_lock_timeout(restore, _LOCK_TIMEOUT)


def run(options: Namespace, terminal: Terminal, database: str) -> int:
    """Run the verb and return the command's exit status.

    Raises:
        MigrationError: the snapshot or the database cannot be used.
    """
    path = parse_url(database).path
    if path is None:
        raise CannotOpen(":memory:", "a database in memory has no snapshots")
    if options.snapshot is None or os.path.isdir(options.snapshot):
        return _list(options, terminal, path)
    return _restore(options, terminal, database, _found(options.snapshot, path))


def _found(snapshot: str, path: str) -> str:
    """Return where a snapshot is; a name alone is looked for beside the database, too."""
    beside = os.path.join(os.path.dirname(os.path.realpath(path)), snapshot)
    return snapshot if os.path.exists(snapshot) or not os.path.exists(beside) else beside


def _list(options: Namespace, terminal: Terminal, path: str) -> int:
    from torc_migrations.snapshot import find_snapshots

    snapshots = find_snapshots(path, options.snapshot)
    if options.json:
        terminal.write_json({"snapshots": [snapshot.as_dict() for snapshot in snapshots]})
        return 0
    terminal.write_listing("".join(snapshot.as_text() for snapshot in snapshots))
    if not snapshots:
        where = options.snapshot or os.path.dirname(os.path.realpath(path))
        terminal.say("note", f"there is no snapshot of {path} in {where}; `upgrade --snapshot` makes one")
    return 0


def _restore(options: Namespace, terminal: Terminal, database: str, snapshot: str) -> int:
    from torc_migrations.restoration import restore

    question = f"What was written to {database} since {snapshot} was made goes. Go on?"
    if not options.yes and terminal.is_interactive() and not terminal.ask(question):
        terminal.say("note", "nothing was restored")
        return 0
    restoration = restore(database, snapshot, lock_timeout=options.lock_timeout)
    if options.json:
        terminal.write_json({"restored": restoration.as_dict()})
    else:
        terminal.write_listing(restoration.as_text())
    return 0
