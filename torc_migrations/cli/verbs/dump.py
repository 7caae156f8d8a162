"""The verb `dump`: write the schema that migrations make into one file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torc_migrations.cli.context import make_migrator, refuse_among_scripts

if TYPE_CHECKING:
    from argparse import Namespace, _SubParsersAction
    from typing import Any

    from torc_migrations.cli.options import Parents
    from torc_migrations.cli.terminal import Terminal

_EXAMPLES = """\
examples:
  torc-migrations dump
  torc-migrations dump schema.sql
  torc-migrations -d app.db dump --from-database

The migrations run on an empty database in memory. The order of what is written depends on the objects alone, \
so that the same schema gives the same bytes. `check schema` compares a file with it; `upgrade --from-dump FILE` makes \
an empty database from it.
"""


def add_parser(subparsers: _SubParsersAction[Any], parents: Parents) -> None:
    """Add the verb to the command line."""
    parser = subparsers.add_parser(
        "dump",
        parents=[parents.common],
        help="write the schema that the migrations make to a file",
        description="Write the schema that the migrations make into one file, with the rows that they insert.",
        epilog=_EXAMPLES,
    )
    parser.add_argument("file", metavar="FILE", nargs="?", help="a new file, or a dump (default: standard output)")
    parser.add_argument("--no-rows", action="store_true", help="leave out the rows that the migrations insert")
    parser.add_argument(
        "--from-database", action="store_true", help="write the schema of the database as it is, without rows"
    )
    parser.set_defaults(run=run)


def run(options: Namespace, terminal: Terminal) -> int:
    """Run the verb and return the exit status."""
    from torc_migrations.checks.dump import dump, write_dump
    from torc_migrations.sources.source import discover

    migrator = make_migrator(options, terminal, is_fresh=not options.from_database)
    if options.file:
        refuse_among_scripts(options.file, discover(migrator.source, ignored_chars=migrator.ignored_chars))
    made = dump(migrator, rows=not options.no_rows, from_database=options.from_database)
    if options.file:
        write_dump(made, options.file)
        terminal.print_note(f"{options.file} was written, up to version {made.version}")
    if options.json:
        terminal.print_json(made.as_dict())
    elif not options.file:
        terminal.print_exact(made.text)
    return 0
