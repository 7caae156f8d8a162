"""How help is written: as wide as the terminal, with the examples line by line."""

from __future__ import annotations

import os
from argparse import Action, HelpFormatter, _SubParsersAction
from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

_WIDTH = 78


def help_formatter() -> Callable[..., HelpFormatter]:
    """Return the class of argparse's `formatter_class`, for the terminal as it is now."""
    return partial(_Help, width=_width())


def _width() -> int:
    """Return the width of help; argparse would import shutil to ask for it, and for more than this."""
    try:
        columns = int(os.environ.get("COLUMNS", 0)) or os.get_terminal_size().columns
    except (OSError, ValueError):
        columns = _WIDTH + 2
    return max(20, min(_WIDTH, columns - 2))


class _Help(HelpFormatter):
    """Wrap text to the terminal's width; keep the lines of examples, which are indented."""

    def _format_action(self, action: Action) -> str:
        """Write the verbs below titles, which `arguments` has given to the first verb of each group."""
        if isinstance(action, _SubParsersAction):
            return "".join(map(self._format_action, self._iter_indented_subactions(action)))
        title = getattr(action, "group_title", None)
        return (f"  {title}:\n" if title else "") + super()._format_action(action)

    def _format_action_invocation(self, action: Action) -> str:
        """Name the value of an option once, not after each of its names."""
        if not action.option_strings or action.nargs == 0:
            return super()._format_action_invocation(action)
        value = self._format_args(action, self._get_default_metavar_for_optional(action))
        return f"{', '.join(action.option_strings)} {value}"

    def _format_usage(self, usage: str | None, actions: Any, groups: Any, prefix: str | None) -> str:  # noqa: ARG002
        """Write what a verb needs; the options are listed below. A verb may write several lines itself."""
        import textwrap  # here, so that only help loads it

        if usage is None:
            needed = " ".join(
                self._needed(action) for action in actions if action.required or not action.option_strings
            )
            usage = f"{self._prog} [OPTION ...] {needed}"
        label = prefix or "usage: "
        indents = [label, *(" " * len(label) for _ in usage.splitlines())]
        lines = (
            textwrap.fill(line, self._width, initial_indent=indent, subsequent_indent=" " * 14, break_on_hyphens=False)
            for indent, line in zip(indents, usage.splitlines(), strict=False)
        )
        return "\n".join(lines) + "\n\n"

    def _needed(self, action: Action) -> str:
        if action.option_strings:
            return self._format_action_invocation(action)
        return self._format_args(action, self._get_default_metavar_for_positional(action))

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        lines = [
            line for paragraph in text.strip().splitlines() for line in self._wrapped(paragraph, width - len(indent))
        ]
        return "".join(f"{indent}{line}\n" for line in lines)

    def _wrapped(self, line: str, width: int) -> list[str]:
        if len(line) <= width:
            return [line]
        import textwrap

        deeper = "      " if line.startswith(" ") else ""
        return textwrap.wrap(line, width, subsequent_indent=deeper, break_on_hyphens=False)
