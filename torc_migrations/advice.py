"""Commands that a hint names, with the database and the source of the command that printed it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from torc_migrations.formatting import masked

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Container

    from torc_migrations.errors import MigrationError

PROGRAM = "torc-migrations"
# What begins with an option names its database or source itself; `convert` takes its source as a word.
_COMMAND = re.compile(rf"`{PROGRAM} (?!convert\b)(?=(\w+))")
_CONVERT = f"`{PROGRAM} convert DIR "
_WITHOUT_DATABASE = ("export", "new")
_OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]*")


def completed(sentence: str, options: Namespace) -> str:
    """Return a sentence whose commands, such as `torc-migrations status`, name the same database and source."""
    from shlex import quote  # here, because most commands print no hint

    if options.source and not options.source[1:]:
        sentence = sentence.replace(_CONVERT, f"`{PROGRAM} convert {quote(options.source[0])} ")
    return _COMMAND.sub(
        lambda found: f"`{command_of(options, with_database=found[1] not in _WITHOUT_DATABASE)} ", sentence
    )


def text_for(program: str, error: MigrationError, options: Namespace, verb: str, known: Container[str] = ()) -> str:
    """Return an error as another program prints it: with the place in the script, and a hint that works there.

    The hint has whole commands, and says whose an option is, unless the program has it too: it is `known`.
    """
    hint = error.command_hint and f"hint: {_completed_for(program, error.command_hint, options, verb, known)}"
    return "\n".join(filter(None, (str(error), error.frame, hint)))


def _completed_for(program: str, sentence: str, options: Namespace, verb: str, known: Container[str]) -> str:
    sentence = completed(sentence, options)
    outside_of_commands = " ".join(sentence.split("`")[::2])
    lacking = next((each for each in _OPTION.findall(outside_of_commands) if each not in known), None)
    if lacking is None:
        return sentence
    return f"{sentence}; {program} has no {lacking}, `{command_of(options)} {verb}` has it"


def command_of(options: Namespace, *, with_database: bool = True) -> str:
    """Return the beginning of a command that names the same database and source as this one."""
    from shlex import quote

    words = [PROGRAM]
    if with_database and options.database is not None:
        words += ["-d", masked(options.database)]
    for source in options.source or ():
        words += ["-s", source]
    if options.torc:
        words.append("--torc")
    return " ".join(map(quote, words))
