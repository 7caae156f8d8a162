"""The command's arguments and its help, which teaches by examples."""

from __future__ import annotations

import sys
from argparse import (
    SUPPRESS,
    Action,
    ArgumentParser,
    ArgumentTypeError,
    RawDescriptionHelpFormatter,
    _SubParsersAction,
)
from collections.abc import Sequence
from functools import partial
from types import SimpleNamespace
from typing import Any, NoReturn

from torc_migrations import inspect_cli, mending_cli, rehearse_cli, snapshot_cli
from torc_migrations._version import __version__
from torc_migrations.errors import MigrationError
from torc_migrations.plain_arguments import DEFAULTS
from torc_migrations.url import masked

_PURPOSE = """\
Plain-SQL migrations: paired up and down files, each in one transaction with
the ledgers of yoyo and sqlx.
"""
_EXAMPLES = """\
examples:
  torc-migrations -d sqlite:///torc.db status     what is installed or pending
  torc-migrations -d sqlite:///torc.db upgrade    apply what is pending
  torc-migrations -d torc.db rollback             take back the newest one
  torc-migrations -s migrations new "add users"   write a new migration's files
  torc-migrations upgrade --help                  more about one verb

The database is that of -d, else of DATABASE_URL in the environment or in .env,
else of yoyo.ini. The source is that of -s, else of yoyo.ini or sqlx.toml, else
./migrations, else the torc schema that ships with the package; -v tells which.

exit status: 0 done, or nothing to do; 1 pending (status --exit-code); 2 the
command, the source or the database's address is wrong; 3 the ledgers forbid
it; 4 the target cannot be reached; 5 somebody else held the database; 6 a
script failed; 130 interrupted.
"""
_STATUS_EXAMPLES = """\
examples:
  torc-migrations -d torc.db status
  torc-migrations -d torc.db status --json
  torc-migrations -d torc.db status --exit-code || echo "not up to date"
"""
_UPGRADE_EXAMPLES = """\
examples:
  torc-migrations -d torc.db upgrade
  torc-migrations -d torc.db -s migrations upgrade
  torc-migrations -d torc.db upgrade --target 20251023160238
  torc-migrations -d torc.db upgrade --dry-run
  torc-migrations -d torc.db upgrade --single-transaction
  torc-migrations -d torc.db upgrade --snapshot=backups --keep 5
"""
_ROLLBACK_EXAMPLES = """\
examples:
  torc-migrations -d torc.db rollback
  torc-migrations -d torc.db rollback --target 20251023160238
  torc-migrations -d torc.db rollback --target 0 --yes
"""
_APPLY_EXAMPLES = """\
examples:
  torc-migrations -d torc.db -s migrations apply 20251105030141
  torc-migrations -d torc.db -s migrations apply 3 5
  torc-migrations -d torc.db -s migrations apply 3 5 --snapshot=backups
"""
_NEW_EXAMPLES = """\
examples:
  torc-migrations --source migrations new "add users"
  torc-migrations --source migrations new -r --sequential "add users"
"""
_EXPORT_EXAMPLES = """\
examples:
  torc-migrations export --layout sqlx exported
  torc-migrations -s migrations export --layout yoyo for-yoyo
"""

_SQLX_VERBS = {"info": "status", "run": "upgrade", "revert": "rollback", "add": "new"}
# What other tools call our verbs.
_FOREIGN_VERBS = {
    "create": "new",
    "down": "rollback",
    "downgrade": "rollback",
    "list": "status",
    "migrate": "upgrade",
    "up": "upgrade",
}
# SQLite counts its wait in milliseconds, in 32 bits.
_LONGEST_WAIT = 1_000_000.0
# As wide as the examples; to ask the terminal, argparse would load what takes a tenth of a short command's time.
_FORMATTER = partial(RawDescriptionHelpFormatter, width=78)


class BadArguments(MigrationError):
    """The command line cannot be understood; what is quoted of it may be a URL, whose password is masked."""

    exit_code = 2

    def __init__(self, sentence: str, *, hint: str) -> None:
        super().__init__(masked(sentence), hint=masked(hint))


def parse(arguments: Sequence[str]) -> SimpleNamespace:
    """Read the command line; `verb` is one of ours, whichever name it was called by.

    Raises:
        BadArguments: a verb, an option or a value is unknown, or one is missing.
    """
    parser = _parser()
    parser.words = tuple(arguments)
    options, unknown = parser.parse_known_args(arguments, SimpleNamespace())
    if unknown:
        raise _unknown(unknown[0], options.verb)
    if not getattr(options, "snapshot", True) and any(word.partition("=")[0] == "--keep" for word in arguments):
        raise BadArguments("--keep is of no use without --snapshot", hint="say --snapshot too")
    if options.verb is None:
        raise BadArguments("no verb is given", hint="`torc-migrations --help` shows them")
    options.verb = _SQLX_VERBS.get(options.verb, options.verb)
    return options


def _unknown(word: str, verb: str | None) -> BadArguments:
    if verb is None:
        return _no_such_option(word)
    hint = f"`torc-migrations {verb} --help` shows what it takes"
    if word.isdecimal() and _SQLX_VERBS.get(verb, verb) in ("upgrade", "rollback"):
        hint = f"say --target {word}"
    elif _names_a_database(word):
        hint = f"say -d {word}"
    elif verb in ("new", "add") and not word.startswith("-"):
        hint = "put the description into quotes"
    return BadArguments(f"{verb} does not take {word!r}", hint=hint)


def _names_a_database(word: str) -> bool:
    return not word.startswith("-") and ("://" in word or word.endswith((".db", ".sqlite", ".sqlite3")))


class _Parser(ArgumentParser):
    """Raise errors of ours, instead of ending the process with a page of usage."""

    words: tuple[str, ...] = ()

    def __init__(self, **options: Any) -> None:
        super().__init__(formatter_class=_FORMATTER, allow_abbrev=False, **options)

    def error(self, message: str) -> NoReturn:
        raise BadArguments(message, hint=f"`{self.prog} --help` shows what it takes")

    def exit(self, status: int = 0, message: str | None = None) -> NoReturn:
        if sys.stdout is not None:
            sys.stdout.flush()  # so that a reader who has gone shows here, where it is dealt with
        super().exit(status, message)

    def _check_value(self, action: Action, value: Any) -> None:
        """Be asked by argparse before it tells of a verb that does not exist; it would list them all."""
        if action.dest == "verb" and action.choices is not None and value not in action.choices:
            raise self._strange_option(value) or _no_such_verb(value, list(action.choices))
        super()._check_value(action, value)

    def _strange_option(self, verb: str) -> BadArguments | None:
        """Blame the option before a word that was taken for a verb, as in `--db x.db status`."""
        before = self.words[: self.words.index(verb)]
        for word in before:
            if word.startswith("--") and word.partition("=")[0] not in self._option_string_actions:
                return _no_such_option(word)
        return None


def _no_such_option(word: str) -> BadArguments:
    return BadArguments(f"there is no option {word!r}", hint="`torc-migrations --help` shows the options")


def _no_such_verb(word: str, verbs: list[str]) -> BadArguments:
    from difflib import get_close_matches

    if _names_a_database(word):
        return BadArguments(f"there is no verb {word!r}", hint=f"say -d {word}, and then the verb")
    meant = _FOREIGN_VERBS.get(word) or next(iter(get_close_matches(word, verbs)), None)
    hint = f"did you mean `{meant}`?" if meant else "`torc-migrations --help` shows the verbs"
    return BadArguments(f"there is no verb {word!r}", hint=hint)


def _parser() -> _Parser:
    parser = _Parser(prog="torc-migrations", description=_PURPOSE, epilog=_EXAMPLES)
    parser.add_argument("--version", action="version", version=f"torc-migrations {__version__}")
    parser.set_defaults(**DEFAULTS)
    _add_common(parser, "-s")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", title="verbs, and what sqlx calls them")
    _add_status(verbs)
    _add_upgrade(verbs)
    _add_rollback(verbs)
    _add_apply(verbs)
    _add_new(verbs)
    _add_export(verbs)
    add_verb = partial(_verb, verbs)
    inspect_cli.add_arguments(add_verb, _add_lock_timeout)
    mending_cli.add_arguments(add_verb, _add_waiting, _version)
    snapshot_cli.add_arguments(add_verb, _add_lock_timeout)
    rehearse_cli.add_arguments(add_verb, _add_waiting, _version)
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
        *("-v", "--verbose"),
        action="store_true",
        default=SUPPRESS,
        help="tell where database and source were named, and each statement's time",
    )


def _verb(
    verbs: _SubParsersAction[Any], name: str, alias: str | None, purpose: str, examples: str, *short_source: str
) -> ArgumentParser:
    parser: ArgumentParser = verbs.add_parser(
        name, aliases=[alias] if alias else [], help=purpose, description=f"{purpose}.".capitalize(), epilog=examples
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
        "--strict", action="store_true", default=SUPPRESS, help="refuse scripts with a COMMIT of their own"
    )
    _add_lock_timeout(parser)


def _add_lock_timeout(parser: ArgumentParser, default: float = 300.0) -> None:
    parser.add_argument(
        *("--lock-timeout", "--connect-timeout"),
        metavar="SECONDS",
        type=_seconds,
        default=default,
        help=f"how long to wait for others ({default:.0f})",
    )


def _add_target(parser: ArgumentParser, purpose: str) -> None:
    parser.add_argument(*("--target", "--target-version"), metavar="VERSION", type=_version, help=purpose)
    parser.add_argument("--dry-run", action="store_true", help="name the migrations, and run nothing")
    parser.add_argument("--single-transaction", action="store_true", help="keep all of them, or none")
    rehearse_cli.add_flags(parser)


def _version(text: str) -> int:
    try:
        return int(text)
    except ValueError as error:
        raise ArgumentTypeError(f"{text!r} is no version; a version is a number, like 20251105030141") from error


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= _LONGEST_WAIT:
        raise ArgumentTypeError(f"{text!r} is not a number of seconds from 0 to {_LONGEST_WAIT:.0f}")
    return seconds


def _add_status(verbs: _SubParsersAction[Any]) -> None:
    purpose = "list what is installed and what is pending, and write nothing"
    parser = _verb(verbs, "status", "info", purpose, _STATUS_EXAMPLES, "-s")
    parser.add_argument(
        "--exit-code",
        action="store_true",
        help="end with 1 where something is pending, with 3 where something is amiss",
    )


def _add_upgrade(verbs: _SubParsersAction[Any]) -> None:
    parser = _verb(verbs, "upgrade", "run", "apply what is pending", _UPGRADE_EXAMPLES, "-s")
    _add_target(parser, "the version to end at")
    snapshot_cli.add_options(parser)
    _add_waiting(parser)


def _add_rollback(verbs: _SubParsersAction[Any]) -> None:
    parser = _verb(verbs, "rollback", "revert", "take back the newest migration, or more", _ROLLBACK_EXAMPLES, "-s")
    _add_target(parser, "the version to go down to, which stays; 0 for everything")
    parser.add_argument(*("-y", "--yes"), action="store_true", help="do not ask")
    snapshot_cli.add_options(parser)
    _add_waiting(parser)


def _add_apply(verbs: _SubParsersAction[Any]) -> None:
    parser = _verb(verbs, "apply", None, "apply exactly these migrations", _APPLY_EXAMPLES, "-s")
    parser.add_argument("versions", metavar="VERSION", type=_version, nargs="+", help="a pending migration's number")
    snapshot_cli.add_options(parser)
    _add_waiting(parser)


def _add_new(verbs: _SubParsersAction[Any]) -> None:
    purpose = "write the files of a new migration, named like the newest one"
    parser = _verb(verbs, "new", "add", purpose, _NEW_EXAMPLES)
    parser.add_argument("description", metavar="DESCRIPTION", help="what it does, in a few words")
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument(*("-r", "--reversible"), action="store_const", const=True, help="write an up and a down file")
    kind.add_argument(
        "--simple", dest="reversible", action="store_const", const=False, help="write one file, no way back"
    )
    number = parser.add_mutually_exclusive_group()
    number.add_argument(*("-s", "--sequential"), action="store_const", const=True, help="give it the next number")
    number.add_argument(
        *("-t", "--timestamp"), dest="sequential", action="store_const", const=False, help="give it the time, in UTC"
    )


def _add_export(verbs: _SubParsersAction[Any]) -> None:
    purpose = "write the migrations into a new folder, named for sqlx or for yoyo"
    parser = _verb(verbs, "export", None, purpose, _EXPORT_EXAMPLES, "-s")
    parser.add_argument("--layout", choices=("sqlx", "yoyo"), required=True, help="whose names the files get")
    parser.add_argument("folder", metavar="DIR", help="a folder that is new or empty")
