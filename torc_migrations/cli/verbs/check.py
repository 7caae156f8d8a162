"""The verb `check`: find what is wrong with migrations before they are merged or released."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from torc_migrations.cli.context import make_migrator, settings_of
from torc_migrations.cli.options import add_ignore, add_lock_timeout
from torc_migrations.errors import BadArguments

if TYPE_CHECKING:
    from argparse import Namespace, _SubParsersAction
    from typing import Any

    from torc_migrations.checks.findings import CheckReport
    from torc_migrations.checks.selection import Subject
    from torc_migrations.cli.options import Parents
    from torc_migrations.cli.terminal import Terminal

FAILED = 1
NAMES = ("lock", "schema", "drift", "lint", "queries")

_EXAMPLES = """\
examples:
  torc-migrations check
  torc-migrations check lock
  torc-migrations check lock --write
  torc-migrations -d app.db check drift --ignore "audit_*"
  torc-migrations check lint --base origin/main
  torc-migrations check --format github

checks:
  lock     migrations.lock is the line for the scripts beside it
  schema   schema.sql, which `dump` has written, is what the migrations make
  drift    the database has the schema that its installed migrations make
  lint     what the migrations lose, break or hold up, found by running them
  queries  the queries of the previous release, in --previous FILE, still work

Without NAME all checks run that apply to what is there: to the files, and to the database if one is named.

exit status: 0 no check has found an error; 1 one of them has; 2 one that is named cannot run.
"""


def add_parser(subparsers: _SubParsersAction[Any], parents: Parents) -> None:
    """Add the verb to the command line."""
    parser = subparsers.add_parser(
        "check",
        parents=[parents.common],
        help="find what is wrong before a merge or a release",
        description="Find what is wrong with migrations before they are merged or released. Changes no database.",
        epilog=_EXAMPLES,
    )
    parser.add_argument("names", metavar="NAME", nargs="*", help=f"a check: {', '.join(NAMES)}")
    parser.add_argument(
        "--format",
        choices=("text", "json", "sarif", "github"),
        default="text",
        help="how the findings are printed; sarif is for code scanning, github for GitHub Actions (default: text)",
    )
    parser.add_argument("--write", action="store_true", help="with lock: write the file that the check compares with")
    parser.add_argument(
        "--schema", metavar="FILE", help="the file of the check schema (default: schema.sql beside the source)"
    )
    add_ignore(parser)
    parser.add_argument(
        "--base", metavar="REF", help="a branch or commit of git; lint looks at migrations that it does not have"
    )
    parser.add_argument("--previous", metavar="FILE", help="the queries of the previous release, for the check queries")
    parser.add_argument(
        "--rule",
        metavar="RULE",
        action="append",
        default=[],
        help="a rule of lint that runs only on request: mixed-schema-and-data; may be given several times",
    )
    add_lock_timeout(parser)
    parser.set_defaults(run=run)


def run(options: Namespace, terminal: Terminal) -> int:
    """Run the verb and return the exit status."""
    from torc_migrations.checks.selection import run_checks

    for name in options.names:
        if name not in NAMES:
            raise BadArguments(f"there is no check {name!r}", hint=f"the checks are {', '.join(NAMES)}")
    subject = _subject(options, terminal)
    if options.write:
        return _write(subject, options, terminal)
    _refuse_without_needs(subject, options)
    report = run_checks(subject, options.names)
    _print(report, options, terminal)
    return 0 if report.ok else FAILED


def _refuse_without_needs(subject: Subject, options: Namespace) -> None:
    """Refuse what was asked for by name and cannot be done, which without a name is only noted."""
    from torc_migrations.checks.linting.rules import ON_REQUEST, RULES

    if "drift" in options.names and not subject.has_database:
        raise BadArguments("the check drift needs a database, and none is named", hint="name it with -d URL")
    if "queries" in options.names and subject.previous is None:
        hint = "name it with --previous FILE; `torc-migrations queries save FILE PROGRAM` writes one"
        raise BadArguments("the check queries needs a file with queries, and none is named", hint=hint)
    for rule in options.rule:
        if rule not in RULES:
            hint = f"--rule takes {', '.join(sorted(ON_REQUEST))}; all other rules run without it"
            raise BadArguments(f"no rule {rule!r} runs on request", hint=hint)


def _subject(options: Namespace, terminal: Terminal) -> Subject:
    from torc_migrations.checks.selection import Subject

    settings = settings_of(options, terminal)
    has_database = settings.database is not None
    migrator = make_migrator(options, terminal, in_memory=not has_database, settings=settings)
    ignore, rules = tuple(options.ignore), tuple(options.rule)
    return Subject(migrator, has_database, ignore, options.schema, options.base, rules, options.previous)


def _write(subject: Subject, options: Namespace, terminal: Terminal) -> int:
    from torc_migrations.checks.branches.lock import write_lock
    from torc_migrations.sources.source import discover

    if options.names != ["lock"]:
        raise BadArguments("--write writes the file of one check", hint="use `torc-migrations check lock --write`")
    migrator = subject.migrator
    paths = write_lock(discover(migrator.source, ignored_chars=migrator.ignored_chars))
    if options.json or options.format == "json":
        terminal.print_json({"created": list(paths)})
    for path in paths:
        terminal.print_note(f"{path} was written")
    return 0


def _print(report: CheckReport, options: Namespace, terminal: Terminal) -> None:
    from torc_migrations.checks.formats import github_annotations, sarif

    if options.format == "sarif":
        terminal.print_json(sarif(report, root=_root()))
    elif options.format == "github":
        terminal.print_text(github_annotations(report, root=_root()))
    else:
        terminal.print_report(report, as_json=options.json or options.format == "json")


def _root() -> str | None:
    """Return the directory of the repository in GitHub Actions, which its paths are relative to."""
    return os.environ.get("GITHUB_WORKSPACE") or None
