"""The verb `report`: write what is pending, and what is wrong with it, into one file."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

from torc_migrations.checks.overwriting import overwrite
from torc_migrations.cli.context import make_migrator, settings_of
from torc_migrations.cli.options import add_ignore, add_lock_timeout
from torc_migrations.errors import BadArguments

if TYPE_CHECKING:
    from argparse import Namespace, _SubParsersAction
    from typing import Any

    from torc_migrations.cli.options import Parents
    from torc_migrations.cli.terminal import Terminal

STANDARD_OUTPUT = "-"
_TITLE, _HEAD = b"Migration report", 4096  # what a report has in its first bytes

_EXAMPLES = """\
examples:
  torc-migrations report --html report.html
  torc-migrations -d app.db report --html report.html --queries queries.sql
  torc-migrations report --base origin/main --markdown
  torc-migrations report --html report.html --markdown report.md

What is pending runs on a copy of the database, with its rows; without a database all migrations run on an empty one. \
The file loads nothing from elsewhere and runs no script.

exit status: 0 the report was written, whatever it says; `check` ends with 1 where it finds an error.
"""


def add_parser(subparsers: _SubParsersAction[Any], parents: Parents) -> None:
    """Add the verb to the command line."""
    parser = subparsers.add_parser(
        "report",
        parents=[parents.common],
        help="write a report for a reviewer",
        description="Write into one file what is pending, the findings of the checks, times, rows and schema before "
        "and after, and query plans that change. Changes no database.",
        epilog=_EXAMPLES,
    )
    parser.add_argument("--html", metavar="FILE", help="write a page for a browser; - is standard output")
    parser.add_argument(
        "--markdown",
        metavar="FILE",
        nargs="?",
        const=STANDARD_OUTPUT,
        help="write Markdown for a pull request (default: to standard output)",
    )
    parser.add_argument(
        "--base", metavar="REF", help="a branch or commit of git; the report is about migrations that it does not have"
    )
    parser.add_argument(
        "--queries",
        metavar="FILE",
        help="queries, as `save_queries` writes them: whether they still work, and whether their plans change",
    )
    parser.add_argument(
        "--schema", metavar="FILE", help="the file of the check schema (default: schema.sql beside the source)"
    )
    add_ignore(parser)
    add_lock_timeout(parser)
    parser.set_defaults(run=run)


def run(options: Namespace, terminal: Terminal) -> int:
    """Run the verb and return the exit status."""
    targets = [name for name in (options.html, options.markdown) if name is not None]
    if not targets:
        raise BadArguments("no file is named", hint="use --html FILE, or --markdown [FILE]")
    if targets.count(STANDARD_OUTPUT) > 1 or (options.json and STANDARD_OUTPUT in targets):
        raise BadArguments("standard output is named twice", hint="name a file for one of them")
    for path in targets:
        _refuse_others(path)

    from torc_migrations.checks.selection import Subject
    from torc_migrations.reports.gathering import gather
    from torc_migrations.reports.rendering import as_html, as_markdown

    settings = settings_of(options, terminal)
    has_database = settings.database is not None
    migrator = make_migrator(options, terminal, in_memory=not has_database, settings=settings)
    report = gather(
        Subject(migrator, has_database, tuple(options.ignore), options.schema, options.base, (), options.queries)
    )
    if options.html is not None:
        _write(as_html(report), options.html, terminal)
    if options.markdown is not None:
        _write(as_markdown(report), options.markdown, terminal)
    if options.json:
        terminal.print_json({"created": targets})
    return 0


def _refuse_others(path: str) -> None:
    """Refuse to overwrite what is no report, such as a database or a script; an empty file may be overwritten."""
    if not os.path.isfile(path):
        return  # a new file, or a device
    with suppress(OSError), open(path, "rb") as file:  # what cannot be read is refused when it is written
        begin = file.read(_HEAD)
        if begin and _TITLE not in begin:
            raise BadArguments(f"{path!r} exists, and is not a report; it is left as it is", hint="name a new file")


def _write(text: str, path: str, terminal: Terminal) -> None:
    if path == STANDARD_OUTPUT:
        terminal.print_exact(text)
        return
    overwrite(path, text.encode())
    terminal.print_note(f"{path} was written")
