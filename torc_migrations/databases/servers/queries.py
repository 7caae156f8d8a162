"""Queries of an application: whether they can be explained, and what their parameters are replaced by."""

from __future__ import annotations

import re
from collections.abc import Callable

_EXPLAINED = frozenset({"SELECT", "WITH", "VALUES", "TABLE", "INSERT", "REPLACE", "UPDATE", "DELETE", "MERGE"})
_BLANK = re.compile(r"(?:\s|\(|--[^\n]*|#[^\n]*|/\*.*?\*/)*", re.DOTALL)
_WORD = re.compile(r"[A-Za-z]+")
# What hides a parameter: quotes, comments, a cast, and the bounds of a slice.
_PARTS = re.compile(
    r"""
    '(?:[^'\\]|''|\\.)*'
    | "(?:[^"]|"")*"
    | `(?:[^`]|``)*`
    | \$(?P<tag>\w*)\$.*?\$(?P=tag)\$
    | --[^\n]*
    | /\*.*?\*/
    | ::
    | (?<![\w\]:]):(?P<colon>[A-Za-z_]\w*)
    | %\((?P<percent>\w+)\)s
    | (?P<next>%s)
    """,
    re.VERBOSE | re.DOTALL,
)


def can_be_explained(query: str) -> bool:
    """Return whether a statement has a plan, which a server returns without running any part of the statement."""
    begin = _BLANK.match(query)
    word = _WORD.match(query, begin.end() if begin else 0)
    return word is not None and word[0].upper() in _EXPLAINED


def with_parameters(query: str, replacement: Callable[[str, int], str]) -> str:
    """Return a query with what stands for each `:name`, `%(name)s` and `%s`.

    `replacement` is called with the name, which is empty for `%s`, and with the offset of the parameter.
    """

    def replace(found: re.Match[str]) -> str:
        name = found["colon"] or found["percent"]
        if name is None and found["next"] is None:
            return found[0]
        return replacement(name or "", found.start())

    return _PARTS.sub(replace, query)
