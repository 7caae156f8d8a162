"""Make names, SQL and messages harmless in HTML, Markdown and Mermaid: they may have anything in them."""

from __future__ import annotations

import re

from markupsafe import Markup

from torc_migrations.formatting import escaped

# What begins something in Markdown inside of a line, and the point in `www.`, which begins a link.
# https://spec.commonmark.org/0.31.2/#backslash-escapes and https://github.github.com/gfm/#autolinks-extension-
_MARKS = re.compile(r"""[\\`*_\[\]<>&|~#@!:$]|(?<=www)\.""", re.IGNORECASE)
_IN_HTML = {"<": "&lt;", ">": "&gt;", "&": "&amp;"}
# GitHub makes links of names and numbers behind these; a space of no width behind them ends that.
_LINKS = {"@": "&#64;&#8203;", "#": "&#35;&#8203;"}
_BACKTICKS = re.compile(r"`+")


def html_text(value: object) -> object:
    """Return a value for HTML, where it is escaped afterwards; control characters are written out."""
    return _shown(value, keep="\n") if isinstance(value, str) and not isinstance(value, Markup) else value


def _shown(text: str, *, keep: str = "") -> str:
    """Write out control characters, and what of a file name is not UTF-8."""
    return escaped(text, keep=keep).encode(errors="backslashreplace").decode()


def markdown_text(value: object) -> object:
    """Return a value for one line of Markdown, where it is read as it is, and makes no link, no tag and no cell."""
    if isinstance(value, Markup) or not isinstance(value, str):
        return value
    return Markup(_MARKS.sub(_as_text, _shown(value)))  # noqa: S704  # every mark is escaped


def _as_text(found: re.Match[str]) -> str:
    mark = found[0]
    return _IN_HTML.get(mark) or _LINKS.get(mark) or f"\\{mark}"


def fenced(text: str, language: str = "") -> Markup:
    """Return a text as a block of code in Markdown, between fences longer than any in it."""
    longest = max(map(len, _BACKTICKS.findall(text)), default=0)
    fence = "`" * max(3, longest + 1)
    return Markup(f"{fence}{language}\n{_shown(text, keep=chr(10)).rstrip()}\n{fence}")  # noqa: S704  # as it is shown


def mermaid_text(text: str) -> Markup:
    """Return a text for a label of Mermaid in quotes: what is no letter, digit or space is written by its number.

    https://mermaid.js.org/syntax/flowchart.html#entity-codes-to-escape-characters
    """
    shown = "".join(letter if letter.isalnum() or letter in " _" else f"#{ord(letter)};" for letter in _shown(text))
    return Markup(shown)  # noqa: S704  # only letters, digits and entities
