"""Options that several verbs share, as parents of their parsers, and the types of their values."""

from __future__ import annotations

import re
from argparse import SUPPRESS, Action, ArgumentParser, ArgumentTypeError, Namespace, _ActionsContainer
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from torc_migrations.cli.help import help_formatter
from torc_migrations.databases.servers.given import ServerOptions
from torc_migrations.errors import BadArguments

if TYPE_CHECKING:
    from torc_migrations.sources.source import ForeignKeys, ForeignKeysChoice

# SQLite counts its wait in milliseconds, in 32 bits.
_LONGEST_WAIT = 1_000_000.0
KEEP = 3
_MOST_DIGITS = 40  # of a version that is typed

# What an option is where the command line does not name it. The parsers have no defaults of these, so that a verb does
# not overwrite what was given before it.
DEFAULTS: dict[str, object] = {
    "database": None,
    "source": None,
    "torc": False,
    "no_dotenv": False,
    "functions": None,
    "load_extension": None,
    "json": False,
    "verbose": False,
    "lock_timeout": 300.0,
    "ignore_missing": False,
    "strict": False,
    "group": 0.05,
    "snapshot": False,
    "keep": None,
    "on_loss": None,
    "on_newer": "refuse",
    "out_of_order": "apply",
    "foreign_keys": None,
    "allow_broken_schema": False,
    "statement_wise": False,
    "no_advisory_lock": False,
    "table_lock_timeout": None,
    "lock_tries": 12,
    "statement_timeout": None,
    "progress": "auto",
}


class Parents:
    """Parsers whose options a verb takes over; each is made when the first verb needs it."""

    @cached_property
    def common(self) -> ArgumentParser:
        """What to work on, and how to print."""
        return _common("-s", "--source")

    @cached_property
    def without_s(self) -> ArgumentParser:
        """The same, but `--source` has no short form."""
        return _common("--source")

    @cached_property
    def waiting(self) -> ArgumentParser:
        """How long to wait, and what an operation tolerates."""
        return _waiting()

    @cached_property
    def snapshots(self) -> ArgumentParser:
        """Copy the database."""
        return _snapshots()

    @cached_property
    def running(self) -> ArgumentParser:
        """How long a statement may take, and how far a run is."""
        return _running()


class _Once(Action):
    """Refuse two databases; one that stands after the verb replaces one that stands before it."""

    def __call__(
        self,
        parser: ArgumentParser,  # noqa: ARG002  # argparse's signature
        namespace: Namespace,
        values: object,
        option_string: str | None = None,
    ) -> None:
        """Keep the value."""
        given = getattr(namespace, self.dest, None)
        if given not in (None, values):
            raise BadArguments(
                f"{option_string} names two databases, {given!r} and {values!r}",
                hint="name one; `torc-migrations fleet` works on many",
            )
        setattr(namespace, self.dest, values)


def _common(*source: str) -> ArgumentParser:
    parser = ArgumentParser(add_help=False, formatter_class=help_formatter())
    group = parser.add_argument_group("database, source and output")
    group.add_argument(
        *("-d", "-D", "--database", "--database-url"),
        metavar="URL",
        action=_Once,
        default=SUPPRESS,
        help="the database, a URL or a path: sqlite:///app.db",
    )
    group.add_argument(
        *source,
        metavar="DIR",
        action="append",
        default=SUPPRESS,
        help="a directory of migrations, or package:NAME:DIR; may be given several times",
    )
    group.add_argument(
        "--torc", action="store_true", default=SUPPRESS, help="use the torc schema that ships with this package"
    )
    group.add_argument("--no-dotenv", action="store_true", default=SUPPRESS, help="do not read a .env file")
    group.add_argument(
        "--functions",
        metavar="MODULE:NAME",
        action="append",
        default=SUPPRESS,
        help="call NAME(connection), which registers SQL functions; may be given several times",
    )
    group.add_argument(
        "--load-extension",
        metavar="PATH",
        action="append",
        default=SUPPRESS,
        help="load an extension of SQLite; may be repeated",
    )
    group.add_argument("--json", action="store_true", default=SUPPRESS, help="print JSON")
    group.add_argument(
        *("-v", "--verbose"),
        action="store_true",
        default=SUPPRESS,
        help="print where settings come from, and times",
    )
    return parser


def _waiting() -> ArgumentParser:
    parser = ArgumentParser(add_help=False, formatter_class=help_formatter())
    group = parser.add_argument_group("locks and ledgers")
    add_lock_timeout(group)
    group.add_argument(
        "--ignore-missing", action="store_true", default=SUPPRESS, help="allow installed versions that have no file"
    )
    group.add_argument("--strict", action="store_true", default=SUPPRESS, help="refuse scripts that contain a COMMIT")
    group.add_argument(
        "--group",
        metavar="SECONDS",
        type=seconds,
        default=SUPPRESS,
        help="how long migrations share a transaction; 0: one transaction each (default: 0.05)",
    )
    group.add_argument(
        "--foreign-keys",
        metavar="WHEN",
        type=foreign_keys,
        action="append",
        default=SUPPRESS,
        help="on or off while scripts run, or script: as each says (default); VERSION=WHEN for one migration, may be "
        "given several times; foreign_keys in yoyo.ini",
    )
    group.add_argument(
        "--allow-broken-schema",
        action="store_true",
        default=SUPPRESS,
        help="allow scripts that break a view, a trigger or a key",
    )
    return parser


def _running() -> ArgumentParser:
    parser = ArgumentParser(add_help=False, formatter_class=help_formatter())
    group = parser.add_argument_group("long scripts")
    group.add_argument(
        "--statement-timeout",
        metavar="SECONDS",
        type=_timeout,
        default=SUPPRESS,
        help="stop a statement that takes longer",
    )
    add_progress(group)
    _add_server_options(parser)
    return parser


def add_progress(parser: _ActionsContainer) -> None:
    """Add how to show how far a run is."""
    parser.add_argument(
        "--progress",
        choices=("auto", "json", "off"),
        default=SUPPRESS,
        help="how far a run is, on standard error (default: auto)",
    )


def _add_server_options(parser: ArgumentParser) -> None:
    group = parser.add_argument_group("PostgreSQL")
    group.add_argument(
        "--table-lock-timeout",
        metavar="SECONDS",
        type=seconds,
        default=SUPPRESS,
        help="wait so long for a table, then undo the script and retry",
    )
    group.add_argument(
        "--lock-tries", metavar="N", type=_count, default=SUPPRESS, help="tries for a table (default: 12)"
    )
    group.add_argument(
        "--statement-wise",
        action="store_true",
        default=SUPPRESS,
        help="send scripts statement by statement, as for Citus",
    )
    group.add_argument(
        "--no-advisory-lock",
        action="store_true",
        default=SUPPRESS,
        help="for systems without them; run one process only",
    )


def server_options(options: Namespace) -> ServerOptions:
    """Return how a server is used."""
    return ServerOptions(
        options.statement_wise, not options.no_advisory_lock, options.table_lock_timeout, options.lock_tries
    )


def _snapshots() -> ArgumentParser:
    parser = ArgumentParser(add_help=False, formatter_class=help_formatter())
    group = parser.add_argument_group("snapshots")
    group.add_argument(
        "--snapshot",
        metavar="DIR",
        nargs="?",
        const=True,
        default=SUPPRESS,
        help="copy the database first, into this directory or next to the database",
    )
    group.add_argument(
        "--keep", metavar="N", type=_count, default=SUPPRESS, help=f"how many snapshots of it to keep (default: {KEEP})"
    )
    return parser


def add_lock_timeout(parser: _ActionsContainer, default: float = 300.0) -> None:
    """Add how long to wait for a lock."""
    parser.add_argument(
        *("--lock-timeout", "--connect-timeout"),
        metavar="SECONDS",
        type=seconds,
        default=default,
        help=f"how long to wait for a lock of another process (default: {default:.0f})",
    )


def add_target(parser: _ActionsContainer, purpose: str) -> None:
    """Add the version at which a verb ends."""
    parser.add_argument(*("--target", "--target-version"), metavar="VERSION", type=version, help=purpose)


def add_steps(parser: _ActionsContainer, purpose: str) -> None:
    """Add how many migrations are rolled back."""
    parser.add_argument(*("-n", "--steps"), metavar="N", type=_count, help=purpose)


def add_single_transaction(parser: ArgumentParser) -> None:
    """Add the choice to run all migrations in one transaction."""
    parser.add_argument("--single-transaction", action="store_true", help="apply all of them, or none")


def add_yes(parser: ArgumentParser) -> None:
    """Add the confirmation of a verb that deletes data."""
    parser.add_argument(*("-y", "--yes"), action="store_true", help="do not ask for confirmation")


def add_on_loss(parser: ArgumentParser, purpose: str) -> None:
    """Add what to do where a table loses rows that the script does not delete."""
    parser.add_argument("--on-loss", choices=("refuse", "warn"), help=purpose)


def add_ignore(parser: ArgumentParser) -> None:
    """Add the names that a comparison of schemas leaves out."""
    parser.add_argument(
        "--ignore",
        metavar="GLOB",
        action="append",
        default=[],
        help="names that are not compared, such as audit_*; may be given several times",
    )


def version(text: str) -> int:
    """Return a version that was typed, in the digits that sqlx takes."""
    digits = text.removeprefix("-").removeprefix("+")
    if not (digits.isascii() and digits.isdigit() and len(digits) <= _MOST_DIGITS):
        shown = text if len(text) <= _MOST_DIGITS else f"{text[:_MOST_DIGITS]}..."
        if named := re.match(r"(\d{1,19})_[^\W\d]", text, re.ASCII):
            raise ArgumentTypeError(f"{shown!r} is not a version, but a name; its version is {int(named[1])}")
        raise ArgumentTypeError(f"{shown!r} is not a version; a version is a number, like 20251105030141")
    return int(text)


def seconds(text: str) -> float:
    """Return a number of seconds that was typed."""
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number <= _LONGEST_WAIT:
        raise ArgumentTypeError(f"{text!r} is not a number of seconds from 0 to {_LONGEST_WAIT:.0f}")
    return number


def _timeout(text: str) -> float:
    number = seconds(text)
    if number == 0:
        raise ArgumentTypeError(f"{text!r} is not a number of seconds above 0")
    return number


def foreign_keys(text: str) -> ForeignKeys:
    """Return whether foreign keys are on, for all scripts or by version: `on`, or `3=on, 7=off`."""
    if "=" not in text:
        return _word(text)
    pairs = [pair.partition("=") for pair in text.split(",") if pair.strip()]
    return {version(number.strip()): _word(word) for number, _, word in pairs}


def join_foreign_keys(given: Sequence[ForeignKeys]) -> ForeignKeys:
    """Return one choice for several that were given.

    Raises:
        BadArguments: one is for all scripts, and there are others.
    """
    joined: dict[int, ForeignKeysChoice] = {}
    for choice in given:
        if isinstance(choice, str):
            if len(given) > 1:
                raise BadArguments(
                    f"--foreign-keys {choice} is for all migrations, and is given together with others",
                    hint="give it once, or give VERSION=WHEN for each migration",
                )
            return choice
        joined.update(choice)
    return joined


def _word(text: str) -> ForeignKeysChoice:
    choices: dict[str, ForeignKeysChoice] = {"on": "on", "off": "off", "script": "script"}
    word = text.strip().lower()
    if word not in choices:
        raise ArgumentTypeError(f"{text.strip()!r} is not on, off or script")
    return choices[word]


def _count(text: str) -> int:
    if not (text.isascii() and text.isdecimal()) or int(text) == 0:
        raise ArgumentTypeError(f"{text!r} is not a number from 1 on")
    return int(text)
