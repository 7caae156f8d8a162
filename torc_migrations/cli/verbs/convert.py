"""The verb `convert`: write the migrations of another tool as paired SQL files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torc_migrations.cli.verbs.new import print_created

if TYPE_CHECKING:
    from argparse import Namespace, _SubParsersAction
    from typing import Any

    from torc_migrations.cli.options import Parents
    from torc_migrations.cli.terminal import Terminal

_EXAMPLES = """\
examples:
  torc-migrations convert migrations                     list what would be written
  torc-migrations convert migrations --output converted  write it
  torc-migrations -s converted -d app.db status          look at the result

Reads the steps of yoyo in Python, without running them, and the files of goose, dbmate, sql-migrate, tern and Flyway. \
The files in DIR stay as they are. Nothing is written if one of them cannot be converted, unless --partial is given; \
each is named with its line and the reason.
"""


def add_parser(subparsers: _SubParsersAction[Any], parents: Parents) -> None:
    """Add the verb to the command line."""
    parser = subparsers.add_parser(
        "convert",
        parents=[parents.common],
        help="convert files of another tool",
        description="Write the migrations of another tool as paired SQL files. Without --output nothing is written.",
        epilog=_EXAMPLES,
    )
    parser.add_argument("directory", metavar="DIR", help="the directory of the other tool's migrations")
    parser.add_argument("--output", metavar="NEW", help="write the files into this directory, which is new or empty")
    parser.add_argument(
        "--layout", choices=("yoyo", "sqlx"), default="yoyo", help="how the files are named (default: yoyo)"
    )
    parser.add_argument("--partial", action="store_true", help="convert what can be, and name the rest")
    parser.set_defaults(run=run)


def run(options: Namespace, terminal: Terminal) -> int:
    """Run the verb and return the exit status."""
    from torc_migrations.sources.converting.convert import convert_directory

    conversion = convert_directory(options.directory, options.output, layout=options.layout, partial=options.partial)
    for problem in conversion.problems:
        terminal.print_note(f"not converted: {problem}")
    for note in conversion.notes:
        terminal.print_note(note)
    if options.json:
        terminal.print_json(conversion.as_dict())
    elif options.output is None:
        terminal.print_text(conversion.as_text())
        terminal.print_note("nothing was written; --output NEW writes these files into the directory NEW")
    else:
        print_created(conversion.written, options, terminal)
    terminal.print_note(conversion.adoption)
    return 0
