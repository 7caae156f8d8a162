"""Write the reference of the command line from its own parser, so that no flag is copied by hand.

A page that contains the line `<!-- verbs -->` gets in its place the general options, and a section for each verb.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sphinx.application import Sphinx

PLACE = "<!-- verbs -->\n"
COMMAND = "torc-migrations"


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the extension with Sphinx."""
    app.connect("env-get-outdated", _pages)
    app.connect("source-read", _fill_in)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _pages(app: Sphinx, *_: object) -> list[str]:
    """Name the pages to read again at every build, because the parser may have changed and they have not."""
    return [name for name in app.env.found_docs if PLACE in Path(app.env.doc2path(name)).read_text(encoding="utf-8")]


def _fill_in(_: Sphinx, __: str, source: list[str]) -> None:
    """Replace the line in a page that Sphinx has just read; the one string of `source` is its text."""
    if PLACE in source[0]:
        source[0] = source[0].replace(PLACE, "\n".join(reference()))


def verbs() -> dict[str, tuple[argparse.ArgumentParser, tuple[str, ...]]]:
    """Return the parser of each verb and its other names, in the order of `torc-migrations --help`."""
    actions = _command_parser()._actions
    choices = next(action.choices for action in actions if isinstance(action, argparse._SubParsersAction))
    names: dict[int, list[str]] = {}
    for name, parser in choices.items():
        names.setdefault(id(parser), []).append(name)
    return {name: (choices[name], tuple(others)) for name, *others in names.values()}


def reference() -> Iterator[str]:
    """Return the lines of the reference, in Markdown."""
    general = _command_parser()
    yield from _options(COMMAND, general, known=set())
    known = {option for action in general._actions for option in action.option_strings}
    for name, (parser, others) in verbs().items():
        yield from (f"## {name}", "", f"{parser.description}".strip(), "")
        if others:
            yield from (f"sqlx calls it {' or '.join(f'`{other}`' for other in others)}; both names work.", "")
        yield from ("```text", parser.format_usage().rstrip(), "```", "")
        yield from _options(f"{COMMAND} {name}", parser, known)
        yield from _paragraphs(f"{parser.epilog}".strip())


def flags() -> set[str]:
    """Return every long and short option that the command and its verbs have."""
    parsers = [_command_parser(), *(parser for parser, _ in verbs().values())]
    return {option for parser in parsers for action in parser._actions for option in action.option_strings}


def _paragraphs(text: str) -> Iterator[str]:
    """Return the paragraphs of a text; those with indented lines, such as examples, stay as they are."""
    for paragraph in text.split("\n\n"):
        is_literal = any(line.startswith(" ") for line in paragraph.splitlines())
        yield from ("```text", paragraph, "```", "") if is_literal else (paragraph, "")


def _command_parser() -> argparse.ArgumentParser:
    from torc_migrations.cli.arguments import _parser

    return _parser()


def _options(program: str, parser: argparse.ArgumentParser, known: set[str]) -> Iterator[str]:
    """Describe the options of a parser, but for those that are `known`, and its positional arguments."""
    yield from (f"```{{program}} {program}", "```", "")
    for action in parser._actions:
        if _is_shown(action) and not (action.option_strings and known.issuperset(action.option_strings)):
            yield from (f"```{{option}} {_signature(action, parser)}", _sentence(action), "```", "")


def _is_shown(action: argparse.Action) -> bool:
    return not isinstance(action, argparse._SubParsersAction) and action.help != argparse.SUPPRESS


def _signature(action: argparse.Action, parser: argparse.ArgumentParser) -> str:
    """Return `-d URL, --database URL` for an option, and `VERSION [VERSION ...]` for a positional argument."""
    formatter = parser._get_formatter()
    if not action.option_strings:
        return formatter._format_args(action, formatter._get_default_metavar_for_positional(action))
    if action.nargs == 0:
        return ", ".join(action.option_strings)
    words = formatter._format_args(action, formatter._get_default_metavar_for_optional(action))
    return ", ".join(f"{option} {words}" for option in action.option_strings)


def _sentence(action: argparse.Action) -> str:
    words = f"{action.help}"
    return f"{words[0].upper()}{words[1:]}{'' if words.endswith('.') else '.'}"
