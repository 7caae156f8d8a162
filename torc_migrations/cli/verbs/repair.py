"""The verb `repair`: correct the ledgers, or run what is left of a script that was interrupted."""

from __future__ import annotations

from argparse import ArgumentTypeError
from typing import TYPE_CHECKING

from torc_migrations.cli.context import make_migrator
from torc_migrations.cli.options import version
from torc_migrations.cli.progress import NOTHING_TO_DO, observed, print_changes, print_end
from torc_migrations.errors import BadArguments

if TYPE_CHECKING:
    from argparse import Namespace, _SubParsersAction
    from typing import Any

    from torc_migrations.cli.options import Parents
    from torc_migrations.cli.terminal import Terminal
    from torc_migrations.migrator import Migrator

_USAGE = """\
torc-migrations repair [OPTION ...] VERSION ... --reason TEXT
torc-migrations repair [OPTION ...] [VERSION ...] --line-endings
torc-migrations repair [OPTION ...] VERSION --resume-after N
torc-migrations repair [OPTION ...] VERSION ... {--mark,--unmark}
torc-migrations repair [OPTION ...] {--renamed,--trust LEDGER [--dry-run]}"""
_EXAMPLES = """\
examples:
  torc-migrations -d app.db repair 20251105030141 --reason "only a comment"
  torc-migrations -d app.db repair --line-endings
  torc-migrations -d app.db repair 20251105030141 --resume-after 3
  torc-migrations -d app.db repair --trust sqlx --dry-run

`torc-migrations doctor` prints which of these is needed. No script is run, but for the rest of one by --resume-after.
"""


def add_parser(subparsers: _SubParsersAction[Any], parents: Parents) -> None:
    """Add the verb to the command line."""
    parser = subparsers.add_parser(
        "repair",
        parents=[parents.waiting, parents.running, parents.common],
        help="correct the ledgers, or resume a script",
        description="Accept an edited or renamed file, go on with an interrupted script, or correct the ledgers.",
        usage=_USAGE,
        epilog=_EXAMPLES,
    )
    parser.add_argument("versions", metavar="VERSION", type=version, nargs="*", help="the version of a migration")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--reason", metavar="TEXT", help="why the edit needs no new migration; written to yoyo's log")
    what.add_argument(
        "--line-endings",
        action="store_true",
        help="accept files that differ only in line endings or a byte order mark; without VERSION all of them",
    )
    what.add_argument(
        "--resume-after",
        metavar="N",
        type=_statement,
        help="run a script that was interrupted from statement N + 1",
    )
    what.add_argument("--mark", action="store_true", help="record migrations as installed")
    what.add_argument("--unmark", action="store_true", help="record them as not installed")
    what.add_argument("--renamed", action="store_true", help="give the records the new names of renamed files")
    what.add_argument("--trust", choices=("yoyo", "sqlx"), help="follow this ledger for all that is out of step")
    parser.add_argument("--dry-run", action="store_true", help="with --trust: print what would be changed")
    parser.set_defaults(run=run)


def run(options: Namespace, terminal: Terminal) -> int:
    """Run the verb and return the exit status."""
    _check(options)
    migrator = make_migrator(options, terminal)
    if options.dry_run:
        _print_plan(migrator, options, terminal)
    elif options.trust:
        print_changes(migrator.repair(trust=options.trust), options, terminal)
    elif options.resume_after is not None:
        _resume(migrator, options, terminal)
    else:
        report = migrator.repair(
            *options.versions,
            reason=options.reason,
            line_endings=options.line_endings,
            mark=options.mark,
            unmark=options.unmark,
            renamed=options.renamed,
        )
        print_changes(report, options, terminal)
    return 0


def _statement(text: str) -> int:
    if not (text.isascii() and text.isdecimal()):
        raise ArgumentTypeError(f"{text!r} is not the number of a statement")
    return int(text)


def _resume(migrator: Migrator, options: Namespace, terminal: Terminal) -> None:
    (version,) = options.versions
    report = observed(
        lambda observer: migrator.repair(version, resume_after=options.resume_after, observer=observer),
        options,
        terminal,
    )
    print_end(report, options, terminal)


def _check(options: Namespace) -> None:
    if options.trust and options.versions:
        raise BadArguments(
            "repair --trust takes no VERSION: it settles everything that is out of step",
            hint="add --dry-run to see what would be changed",
        )
    if options.reason is not None and not options.versions:
        raise BadArguments(
            "repair --reason needs the VERSION of the edited file",
            hint="`torc-migrations status` lists the files that have a different checksum",
        )
    if options.reason is not None and not options.reason.strip():
        raise BadArguments("repair --reason needs a text", hint="say why the edit needs no new migration")
    if options.renamed and options.versions:
        raise BadArguments("repair --renamed takes no VERSION", hint="`torc-migrations status` names the renamed files")
    if options.resume_after is not None and len(options.versions) != 1:
        raise BadArguments(
            "repair --resume-after needs one VERSION", hint="`torc-migrations doctor` prints what to type"
        )
    if (options.mark or options.unmark) and not options.versions:
        raise BadArguments("repair --mark and --unmark need a VERSION", hint="`torc-migrations status` lists them")
    if options.dry_run and not options.trust:
        raise BadArguments("--dry-run has no effect without --trust", hint="leave out --dry-run")


def _print_plan(migrator: Migrator, options: Namespace, terminal: Terminal) -> None:
    plan = migrator.plan("trust", ledger=options.trust)
    if options.json:
        terminal.print_json(plan.as_dict())
        return
    for step in plan.steps:
        terminal.print_note(f"{step.migration.id} would be {step.action.done} in the ledgers")
    if not plan.steps:
        terminal.print_note(NOTHING_TO_DO)
