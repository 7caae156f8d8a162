"""The command's arguments and its help, which teaches by examples."""

from __future__ import annotations

import sys
from argparse import SUPPRESS, ArgumentParser, Namespace, RawDescriptionHelpFormatter, _SubParsersAction
from collections.abc import Sequence

from torc_migrations._version import __version__

_DESCRIPTION = """\
Plain-SQL migrations: paired up and down files, each in one transaction with the ledgers of yoyo and sqlx.
"""
_EXAMPLES = """\
examples:
  torc-migrations -d sqlite:///torc.db status             what is installed, and what is pending
  torc-migrations -d sqlite:///torc.db upgrade            apply everything that is pending
  torc-migrations -d torc.db -s migrations upgrade --target 20251105030141
  torc-migrations -d torc.db rollback                     take back the newest migration
  torc-migrations -d torc.db rollback --target 0          take back all of them
  torc-migrations -s migrations new "add users"           write the files of a new migration
  torc-migrations export --layout sqlx exported           write a folder for sqlx

The database is that of -d, of DATABASE_URL in the environment or in .env, or of yoyo.ini; the source is that of -s,
of yoyo.ini or sqlx.toml, or ./migrations; without any of them it is the torc schema that ships with the package.
sqlx's verbs work too: info, run, revert, add.

exit status: 0 done, or nothing to do; 1 pending (with --exit-code); 2 the command, the source or the database's
address is wrong; 3 the ledgers forbid it; 4 the target cannot be reached; 5 somebody else held the database;
6 a script failed; 130 interrupted.
"""
_SQLX_VERBS = {"info": "status", "run": "upgrade", "revert": "rollback", "add": "new"}


def parse(arguments: Sequence[str] | None = None) -> Namespace:
    """Read the command line; `verb` is one of ours, whichever name it was called by."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.verb is None:
        parser.print_help(sys.stderr)
        parser.exit(2)
    options.verb = _SQLX_VERBS.get(options.verb, options.verb)
    return options


def _parser() -> ArgumentParser:
    parser = ArgumentParser(
        prog="torc-migrations",
        description=_DESCRIPTION,
        epilog=_EXAMPLES,
        formatter_class=RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"torc-migrations {__version__}")
    parser.set_defaults(
        database=None,
        source=None,
        no_dotenv=False,
        json=False,
        verbose=False,
        lock_timeout=300.0,
        ignore_missing=False,
    )
    _add_common(parser, "-s")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", title="verbs")
    _add_status(verbs)
    _add_upgrade(verbs)
    _add_rollback(verbs)
    _add_apply(verbs)
    _add_new(verbs)
    _add_export(verbs)
    return parser


def _add_common(parser: ArgumentParser, *short_source: str) -> None:
    """Add what may stand before the verb and after it; what is not given after it leaves what was given before."""
    group = parser.add_argument_group("what to work on")
    group.add_argument(
        *("-d", "-D", "--database", "--database-url"),
        metavar="URL",
        default=SUPPRESS,
        help="the database, a URL or a path: sqlite:///torc.db",
    )
    group.add_argument(
        *(*short_source, "--source"), metavar="FOLDER", default=SUPPRESS, help="the migrations, or package:NAME:FOLDER"
    )
    group.add_argument("--no-dotenv", action="store_true", default=SUPPRESS, help="do not look for a .env file")
    group.add_argument("--json", action="store_true", default=SUPPRESS, help="print JSON")
    group.add_argument(
        *("-v", "--verbose"), action="store_true", default=SUPPRESS, help="tell each statement and its time"
    )


def _verb(
    verbs: _SubParsersAction[ArgumentParser], name: str, alias: str | None, purpose: str, *short_source: str
) -> ArgumentParser:
    parser = verbs.add_parser(
        name, aliases=[alias] if alias else [], help=purpose, description=purpose, allow_abbrev=False
    )
    _add_common(parser, *short_source)
    return parser


def _add_waiting(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--ignore-missing",
        action="store_true",
        default=SUPPRESS,
        help="go on where an installed version has no file",
    )
    parser.add_argument(
        *("--lock-timeout", "--connect-timeout"),
        metavar="SECONDS",
        type=float,
        default=SUPPRESS,
        help="how long to wait for others (300)",
    )


def _add_target(parser: ArgumentParser, purpose: str) -> None:
    parser.add_argument(*("--target", "--target-version"), metavar="VERSION", type=int, help=purpose)
    parser.add_argument("--dry-run", action="store_true", help="name the migrations, and run nothing")


def _add_status(verbs: _SubParsersAction[ArgumentParser]) -> None:
    parser = _verb(verbs, "status", "info", "list every migration, installed or pending; writes nothing", "-s")
    parser.add_argument(
        "--exit-code",
        action="store_true",
        help="end with 1 where something is pending, with 3 where something is amiss",
    )


def _add_upgrade(verbs: _SubParsersAction[ArgumentParser]) -> None:
    parser = _verb(verbs, "upgrade", "run", "apply what is pending", "-s")
    _add_target(parser, "the version to end at")
    _add_waiting(parser)


def _add_rollback(verbs: _SubParsersAction[ArgumentParser]) -> None:
    parser = _verb(verbs, "rollback", "revert", "take back the newest migration, or more", "-s")
    _add_target(parser, "the version to go down to, which stays; 0 for everything")
    parser.add_argument(*("-y", "--yes"), action="store_true", help="do not ask")
    _add_waiting(parser)


def _add_apply(verbs: _SubParsersAction[ArgumentParser]) -> None:
    parser = _verb(verbs, "apply", None, "apply exactly these migrations", "-s")
    parser.add_argument("versions", metavar="VERSION", type=int, nargs="+")
    _add_waiting(parser)


def _add_new(verbs: _SubParsersAction[ArgumentParser]) -> None:
    parser = _verb(verbs, "new", "add", "write the files of a new migration, of the kind of the newest one")
    parser.add_argument("description", help="what it does, in a few words")
    parser.add_argument("-r", dest="reversible", action="store_true", help="write an up and a down file")
    number = parser.add_mutually_exclusive_group()
    number.add_argument(*("-s", "--sequential"), action="store_true", help="give it the next number")
    number.add_argument(*("-t", "--timestamp"), action="store_true", help="give it the time, in UTC")


def _add_export(verbs: _SubParsersAction[ArgumentParser]) -> None:
    parser = _verb(verbs, "export", None, "write the migrations into a new folder, named for yoyo or for sqlx", "-s")
    parser.add_argument("--layout", choices=("sqlx", "yoyo"), required=True)
    parser.add_argument("folder", metavar="DIR")
