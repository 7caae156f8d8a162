"""The verb `renumber`: give the migrations of this branch numbers above those of the other one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torc_migrations.cli.configuration import MIGRATIONS
from torc_migrations.cli.context import settings_of
from torc_migrations.cli.options import version
from torc_migrations.errors import SourceError

if TYPE_CHECKING:
    from argparse import Namespace, _SubParsersAction
    from typing import Any

    from torc_migrations.cli.configuration import Settings
    from torc_migrations.cli.options import Parents
    from torc_migrations.cli.terminal import Terminal
    from torc_migrations.history.records import Recorded

_LOCK_TIMEOUT = 10.0

_EXAMPLES = """\
examples:
  torc-migrations renumber
  torc-migrations renumber --base origin/main
  torc-migrations renumber 20260114090000 20260114100000

Without VERSION the migrations are moved that the other branch does not have: that of a merge that stands still at a \
conflict, or that of --base. In a rebase, in a cherry-pick and after `merge --squash` those are moved that HEAD does \
not have. They keep their order. Ids in `-- depends:` lines follow, and migrations.lock is written again, which ends \
its conflict.

If a database is named, nothing is renamed that is installed there.
"""


def add_parser(subparsers: _SubParsersAction[Any], parents: Parents) -> None:
    """Add the verb to the command line."""
    parser = subparsers.add_parser(
        "renumber",
        parents=[parents.common],
        help="number the migrations of this branch above the others",
        description="Give migrations new numbers above all others of the directory. Renames files, and runs nothing.",
        epilog=_EXAMPLES,
    )
    parser.add_argument("versions", metavar="VERSION", type=version, nargs="*", help="a migration to move")
    parser.add_argument("--base", metavar="REF", help="the branch or commit of git that has the other migrations")
    parser.set_defaults(run=run)


def run(options: Namespace, terminal: Terminal) -> int:
    """Run the verb and return the exit status."""
    from torc_migrations.checks.branches.renumber import renumber

    settings = settings_of(options, terminal)
    recorded = _recorded(settings)
    renamed = renumber(_directory(settings, options), options.versions, base=options.base, recorded=recorded)
    if options.json:
        terminal.print_json({"renumbered": [each.as_dict() for each in renamed]})
        return 0
    for each in renamed:
        terminal.print_text("".join(f"{old} -> {new}\n" for old, new in each.paths.items()))
    if not renamed:
        terminal.print_note("no number had to be changed")
    return 0


def _directory(settings: Settings, options: Namespace) -> str:
    if options.torc or len(settings.sources) > 1:
        raise SourceError("", "renumber works in one directory", hint="name it with --source")
    return settings.sources[0].value if settings.sources else MIGRATIONS


def _recorded(settings: Settings) -> Recorded | None:
    """Return what the ledgers of the database say, if one is named."""
    if settings.database is None:
        return None
    from torc_migrations.databases.opening import open_database
    from torc_migrations.ledgers.ledgers import Ledgers
    from torc_migrations.ledgers.tables import SQLX_TABLE, YOYO_TABLE

    yoyo = settings.migration_table.value if settings.migration_table else YOYO_TABLE
    sqlx = settings.sqlx_table.value if settings.sqlx_table else SQLX_TABLE
    with open_database(settings.database.value, lock_timeout=_LOCK_TIMEOUT) as database, database.reading():
        return Ledgers(database, yoyo, sqlx).read()
