"""The verb `queries`: record the queries of an application, for a release to commit."""

from __future__ import annotations

import os
from argparse import REMAINDER
from importlib.machinery import PathFinder
from importlib.util import find_spec
from typing import TYPE_CHECKING

from torc_migrations.cli.context import make_migrator, refuse_among_scripts
from torc_migrations.errors import BadArguments
from torc_migrations.formatting import counted

if TYPE_CHECKING:
    from argparse import Namespace, _SubParsersAction
    from collections.abc import Sequence
    from typing import Any

    from torc_migrations.cli.options import Parents
    from torc_migrations.cli.terminal import Terminal

_MOST = 1_000_000  # texts
_NAME_ONE = "name a Python script, or -m MODULE, after the file"
_OTHERS = (
    "name a program that does, such as the tests; for PostgreSQL write the file from pg_stat_statements, "
    "for MariaDB by hand, as the reference of `check queries` says"
)

_EXAMPLES = """\
examples:
  torc-migrations queries save queries.sql -m pytest tests
  torc-migrations queries save queries.sql load_test.py --fast
  torc-migrations check queries --previous queries.sql

The program runs in this process, and what it runs with `sqlite3`, itself or through a library, is recorded: the \
texts, and no values. Commit the file with a release. When the next one is made, `check queries` says which of them \
its migrations break. For PostgreSQL write the file from pg_stat_statements.

exit status: that of the program; the file is written where it is 0.
"""


def add_parser(subparsers: _SubParsersAction[Any], parents: Parents) -> None:
    """Add the verb to the command line."""
    parser = subparsers.add_parser(
        "queries",
        parents=[parents.common],
        help="record the queries of an application",
        description="Run a program, and write the queries that it runs on SQLite into a file.",
        epilog=_EXAMPLES,
    )
    parser.add_argument("action", metavar="ACTION", choices=("save",), help="save: write the queries of a program")
    parser.add_argument("file", metavar="FILE", help="the file to write")
    parser.add_argument(
        "program", nargs=REMAINDER, metavar="PROGRAM", help="a Python script, or -m MODULE, and its arguments"
    )
    parser.set_defaults(run=run)


def run(options: Namespace, terminal: Terminal) -> int:
    """Run the verb and return the exit status."""
    from torc_migrations.checks.queries import save_queries
    from torc_migrations.indexes.programs import run_program
    from torc_migrations.indexes.watch import Watch
    from torc_migrations.sources.source import discover

    program = options.program
    if not program or program == ["-m"]:
        raise BadArguments("no program is named", hint=_NAME_ONE)
    if not _exists(program):
        name = " ".join(program[: 2 if program[0] == "-m" else 1])
        raise BadArguments(f"there is no program {name!r}", hint=_NAME_ONE)
    migrator = make_migrator(options, terminal, in_memory=True)
    source = discover(migrator.source, ignored_chars=migrator.ignored_chars)
    refuse_among_scripts(options.file, source)
    newest = source.migrations[-1].version
    watch = Watch(most=_MOST)
    status = run_program(watch, program)
    if status:
        terminal.print_note(f"{options.file} was not written, because the program ended with exit status {status}")
        return status
    if not watch.queries:
        sentence = f"{options.file} was not written, because the program has run no query with sqlite3 in its process"
        raise BadArguments(sentence, hint=_OTHERS)
    number = save_queries(watch.queries, options.file, newest)
    if options.json:
        terminal.print_json({"created": [options.file]})
    terminal.print_note(f"{options.file} was written: {counted(number, 'query', 'queries')} of version {newest}")
    return 0


def _exists(program: Sequence[str]) -> bool:
    """Return whether a script exists, or after `-m` the module or its package, which is not imported."""
    if program[0] != "-m":
        inside = [os.path.join(program[0], "__main__.py")] if os.path.isdir(program[0]) else []
        return all(map(os.path.exists, [program[0], *inside]))
    top = program[1].partition(".")[0]
    return bool(top) and (PathFinder.find_spec(top, [os.getcwd()]) or find_spec(top)) is not None
