"""The verb `completion`: write the script with which a shell completes the command's words."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from torc_migrations.errors import MissingLibrary

if TYPE_CHECKING:
    from argparse import Action, ArgumentParser, Namespace, _SubParsersAction
    from collections.abc import Iterator
    from typing import Any

    from torc_migrations.cli.options import Parents
    from torc_migrations.cli.terminal import Terminal

SHELLS = ("bash", "zsh", "fish")
_EXAMPLES = """\
examples:
  torc-migrations completion bash > ~/.local/share/bash-completion/completions/torc-migrations
  torc-migrations completion zsh > ~/.zfunc/_torc-migrations
  torc-migrations completion fish > ~/.config/fish/completions/torc-migrations.fish

For zsh, ~/.zfunc must be in fpath before compinit: `fpath+=~/.zfunc; autoload -Uz compinit; compinit` in ~/.zshrc.
Needs `pip install "torc-migrations[completion]"`; the script itself needs nothing, and starts no Python.
"""
# What the value of an option or an argument is, by the word that the help shows for it.
_DIRECTORIES = {"DIR", "NEW"}
_FILES = {"FILE", "PATH", "SNAPSHOT", "URL"}


def add_parser(subparsers: _SubParsersAction[Any], _: Parents) -> None:
    """Add the verb to the command line; it has no database and no source."""
    parser = subparsers.add_parser(
        "completion",
        help="complete words in a shell",
        description="Write the script with which a shell completes verbs, options and their values.",
        epilog=_EXAMPLES,
    )
    parser.add_argument("shell", metavar="SHELL", choices=SHELLS, help="bash, zsh or fish")
    parser.set_defaults(run=run)


def run(options: Namespace, terminal: Terminal) -> int:
    """Run the verb and return the exit status."""
    try:
        import shtab  # only this verb needs it
    except ImportError as error:
        raise MissingLibrary("completion", "shtab", "completion") from error

    root = cast("ArgumentParser", options.make_root())
    for action in _actions(root):
        if action.choices is None and action.metavar in _DIRECTORIES:
            action.complete = shtab.DIRECTORY  # type: ignore[attr-defined]  # shtab reads it
        elif action.choices is None and action.metavar in _FILES:
            action.complete = shtab.FILE  # type: ignore[attr-defined]
    terminal.print_exact(shtab.complete(root, shell=options.shell))
    return 0


def _actions(parser: ArgumentParser) -> Iterator[Action]:
    """Yield the options and arguments of a parser and of those below it."""
    for action in parser._actions:
        yield action
        if isinstance(action.choices, dict):
            for verb in action.choices.values():
                yield from _actions(verb)
