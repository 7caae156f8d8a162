"""The command's arguments, its help, and what is printed for a word that it does not know."""

from __future__ import annotations

import os
import sys
from argparse import Action, ArgumentParser, Namespace, _SubParsersAction
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from importlib import import_module
from typing import Any, NoReturn

from torc_migrations import __version__
from torc_migrations.advice import PROGRAM
from torc_migrations.cli.help import help_formatter
from torc_migrations.cli.options import DEFAULTS, KEEP, Parents
from torc_migrations.errors import BadArguments

_PURPOSE = "Apply plain SQL files to a database, in order, and roll them back."
_EXAMPLES = """\
examples:
  torc-migrations new "add users"      write the files of a migration
  torc-migrations -d app.db upgrade    apply what is pending
  torc-migrations upgrade --help       explain one verb

Without -d the database is that of DATABASE_URL in the environment or in .env, \
else of yoyo.ini. Without -s and --torc the source is that of yoyo.ini or \
sqlx.toml, else ./migrations, else the torc schema if the database has it.

exit status: 0 done, or nothing to do; 1 a check failed, or pending (status \
--exit-code); 2 wrong words, source or address; 3 the ledgers do not allow it; \
4 no such target; 5 locked by another process; 6 a script failed; 130 \
interrupted.
"""
# The verbs by what they are for, as the help lists them; each is a file of `cli/verbs`.
_GROUPS = {
    "run": ("upgrade", "rollback", "apply", "wait", "fleet"),
    "look": ("status", "doctor", "verify", "indexes"),
    "before a release": ("new", "check", "queries", "rehearse", "report", "renumber", "dump", "export", "convert"),
    "repair and maintain": ("repair", "baseline", "restore", "optimize", "completion"),
}
VERBS = tuple(verb for verbs in _GROUPS.values() for verb in verbs)
# What sqlx calls our verbs: names that work too.
ALIASES = {"add": "new", "info": "status", "revert": "rollback", "run": "upgrade"}
# What other tools call our verbs.
_FOREIGN_VERBS = {
    "create": "new",
    "deploy": "upgrade",
    "down": "rollback",
    "downgrade": "rollback",
    "fake": "baseline",
    "history": "status",
    "init": "new",
    "lint": "check",
    "list": "status",
    "mark": "baseline",
    "migrate": "upgrade",
    "undo": "rollback",
    "up": "upgrade",
    "validate": "check",
}
# What other tools call our options; "" is what none of ours does.
_FOREIGN_OPTIONS = {
    "--db": "--database",
    "--dir": "--source",
    "--directory": "--source",
    "--force": "",
    "--migrations": "--source",
    "--path": "--source",
    "--plan": "--dry-run",
    "--timeout": "--lock-timeout",
    "--to": "--target",
    "--uri": "--database",
    "--url": "--database",
}
# Options that were given to another verb, or that other tools give to this one.
_MOVED = {
    ("rollback", "--all"): "rollback --target 0",
    ("upgrade", "--rehearse"): "rehearse",
    ("rollback", "--rehearse"): "rehearse --rollback",
    ("apply", "--rehearse"): "rehearse --target VERSION",
    ("doctor", "--trust"): "repair --trust",
    ("upgrade", "--round-trip"): "rehearse --round-trip",
}


def parse(arguments: Sequence[str]) -> Namespace:
    """Read the command line; `run` is the function of its verb, `words` what was typed.

    Only the verbs among the words get a parser, because all of them take longer than an upgrade with nothing to do.
    The help lists all verbs, and the hint of an error may name any of them; so for these, each gets a parser.

    Raises:
        BadArguments: a verb, an option or a value is unknown, or one is missing.
    """
    if any("\0" in word for word in arguments):  # as only a caller in Python can pass
        raise BadArguments("an argument holds a NUL, which no path and no name can have", hint="leave it out")
    named = {ALIASES.get(word, word) for word in arguments}.intersection(VERBS)
    if named and not {"-h", "--help"}.intersection(arguments):
        with suppress(BadArguments):
            return _parse(arguments, _parser(named))
    return _parse(arguments, _parser())


def _parse(arguments: Sequence[str], parser: _Parser) -> Namespace:
    parser.words = tuple(arguments)
    options, unknown = parser.parse_known_args(arguments, Namespace(**DEFAULTS))
    if unknown:
        raise _unknown(unknown[0], options.verb, parser)
    if options.verb is None:
        raise _no_verb(arguments)
    _check(options)
    if options.keep is None:
        options.keep = KEEP
    options.words = parser.words
    return options


def _no_verb(words: Sequence[str]) -> BadArguments:
    hint = f"`{PROGRAM} --help` lists the verbs"
    if words and words[-1] in (*VERBS, *ALIASES):  # as in `-d $DATABASE status` where the variable is empty
        hint = f"{words[-1]!r} was taken for the value of {words[-2]}; write that value before the verb"
    return BadArguments("no verb is given", hint=hint)


def _check(options: Namespace) -> None:
    """Raise for options that do not go together."""
    if options.torc and options.source:
        raise BadArguments("--torc and --source name two sources", hint="leave out one of them")
    if options.keep is not None and not options.snapshot:
        raise BadArguments("--keep has no effect without --snapshot", hint="add --snapshot, or leave out --keep")
    if isinstance(options.snapshot, str) and not os.path.isdir(options.snapshot):
        raise BadArguments(
            f"there is no directory {options.snapshot!r} for the snapshot",
            hint="create it, or name another directory with --snapshot=DIR",
        )


def _unknown(word: str, verb: str | None, parser: _Parser) -> BadArguments:
    """Return the error for a word that the verb does not take."""
    if verb is None:
        return _unknown_option(word, parser)
    if word.startswith("-"):
        return _unknown_option(word, parser, verb)
    hint = f"`{PROGRAM} {verb} --help` lists what it takes"
    if verb in ("new", "add"):
        from torc_migrations.cli.verbs import new

        return new.several_words(verb, word, parser.words)
    if word.isdecimal() and parser.own_name(verb) == "rollback":
        hint = f"--target {word} rolls back what is above {word}; -n N rolls back the newest N"
    elif word.isdecimal() and "--target" in parser.options_of(verb):
        hint = f"use --target {word}"
    elif _names_a_database(word):
        hint = f"use -d {word}"
    return BadArguments(f"{verb} does not take {word!r}", hint=hint)


def _unknown_option(word: str, parser: _Parser, verb: str | None = None) -> BadArguments:
    if verb and parser.own_name(verb) == "new" and len(word) > 2 and not word.startswith("--"):
        return _s_with_value()  # newer versions of argparse take what follows -s in `-sDIR` for an option
    if written := parser.option_with_one_dash():  # newer versions of argparse leave its first letters out
        word = written
    option, program = word.partition("=")[0], f"{PROGRAM} {verb}" if verb else PROGRAM
    known = parser.options_of(verb)
    takers = parser.verbs_with(option)
    if verb and (moved := _MOVED.get((parser.own_name(verb), option))):
        hint = f"use `{PROGRAM} {moved}`"
    elif takers:
        place = "" if verb else "; write it after the verb"
        hint = f"{option} is an option of {', '.join(takers)}{place}"
    elif similar := _similar(option, known, _FOREIGN_OPTIONS):
        hint = f"did you mean {similar}?"
    else:
        hint = f"`{program} --help` lists the options"
    sentence = f"there is no option {option!r}"
    if takers or option == "--rehearse":
        sentence = f"{verb} does not take {option!r}" if verb else f"{option!r} stands before the verb"
    return BadArguments(sentence, hint=hint)


def _s_with_value() -> BadArguments:
    from torc_migrations.cli.verbs.new import s_with_value

    return s_with_value()


def _similar(word: str, known: Collection[str], foreign: dict[str, str]) -> str | None:
    from difflib import get_close_matches

    if word in foreign:
        return foreign[word] if foreign[word] in known else None
    return next(iter(get_close_matches(word.lower(), known)), None)


def _names_a_database(word: str) -> bool:
    return not word.startswith("-") and ("://" in word or word.endswith((".db", ".sqlite", ".sqlite3")))


class _Parser(ArgumentParser):
    """Raise our errors, instead of ending the process with a page of usage."""

    words: tuple[str, ...] = ()
    verbs: _SubParsersAction[_Parser] | None = None

    def __init__(self, **options: Any) -> None:
        super().__init__(formatter_class=help_formatter(), allow_abbrev=False, **options)

    def options_of(self, verb: str | None) -> dict[str, Action]:
        """Return the options of a verb, or those that stand before a verb."""
        return self._parser_of(verb)._option_string_actions

    def _parser_of(self, verb: str | None) -> _Parser:
        return self if verb is None or self.verbs is None else self.verbs.choices[verb]

    def verbs_with(self, option: str) -> list[str]:
        """Return the verbs that take an option; each by its first name."""
        return [name for name, parser in self._own_verbs() if option in parser._option_string_actions]

    def own_name(self, verb: str) -> str:
        """Return our name of a verb that may be named as sqlx names it."""
        return next(name for name, parser in self._own_verbs() if parser is self._parser_of(verb))

    def _own_verbs(self) -> Iterator[tuple[str, _Parser]]:
        seen: set[int] = set()
        for name, parser in self.verbs.choices.items() if self.verbs else ():
            if id(parser) not in seen:
                seen.add(id(parser))
                yield name, parser

    def error(self, message: str) -> NoReturn:
        """Raise an error of ours."""
        if message.startswith("argument -s/--sequential: ignored explicit argument"):
            raise _s_with_value()
        if "ignored explicit argument" in message and (word := self.option_with_one_dash()):
            raise BadArguments(f"there is no option {word!r}", hint=f"did you mean -{word}?")
        raise BadArguments(message, hint=f"`{self.prog} --help` lists what it takes")

    def option_with_one_dash(self) -> str | None:
        """Return the first word like `-version`: an option, but for one of its two dashes."""
        words = (word for word in self.words if not word.startswith("--"))
        return next((word for word in words if f"-{word}" in self.options_of(None)), None)

    def exit(self, status: int = 0, message: str | None = None) -> NoReturn:
        """Flush standard output before the end, so that a broken pipe is found where it is handled."""
        if sys.stdout is not None:
            sys.stdout.flush()
        super().exit(status, message)

    def _check_value(self, action: Action, value: Any) -> None:
        """Find a verb that does not exist before argparse does, which would list them all."""
        if action.dest == "verb" and action.choices is not None and value not in action.choices:
            raise self._wrong_option_before(value) or self._no_such_verb(value, list(action.choices))
        super()._check_value(action, value)

    def _wrong_option_before(self, verb: str) -> BadArguments | None:
        """Return an error for the option before a word that was taken for a verb, as in `--db x.db status`."""
        for word in self.words[: self.words.index(verb)]:
            option = word.partition("=")[0] if word.startswith("--") else word[:2]
            if option.startswith("-") and option not in self._option_string_actions:
                return _unknown_option(word, self)
        return None

    def _no_such_verb(self, word: str, verbs: list[str]) -> BadArguments:
        sentence = f"there is no verb {word!r}"
        if _names_a_database(word):
            return BadArguments(sentence, hint=f"use -d {word}, and then the verb")
        after = self.words[self.words.index(word) + 1 :][:1]
        if word == "migrate" and after and after[0] in verbs:
            return BadArguments(sentence, hint=f"leave it out: `{PROGRAM} {after[0]}`")
        if word == "help" and after and after[0] in verbs:
            return BadArguments(sentence, hint=f"use `{PROGRAM} {after[0]} --help`")
        similar = _similar(word, verbs, _FOREIGN_VERBS)
        return BadArguments(
            sentence, hint=f"did you mean `{similar}`?" if similar else f"`{PROGRAM} --help` lists the verbs"
        )


def _parser(named: Collection[str] = VERBS) -> _Parser:
    """Return the parser of the command with those of some verbs."""
    parents = Parents()
    parser = _Parser(prog=PROGRAM, description=_PURPOSE, epilog=_EXAMPLES, parents=[parents.common])
    parser.add_argument("--version", action="version", version=f"{PROGRAM} {__version__}")
    parser.verbs = parser.add_subparsers(
        dest="verb", metavar="VERB", title="verbs (and their names in sqlx)", prog=PROGRAM
    )
    parser._action_groups.insert(0, parser._action_groups.pop())  # what a user looks for first
    for title, verbs in _GROUPS.items():
        for verb in verbs:
            if verb in named:
                import_module(f"torc_migrations.cli.verbs.{verb}").add_parser(parser.verbs, parents)
                if verb == verbs[0]:
                    action = parser.verbs._choices_actions[-1]
                    action.group_title = title  # type: ignore[attr-defined]  # for cli/help.py
    if "completion" in named:
        parser.verbs.choices["completion"].set_defaults(make_root=_parser)
    return parser
