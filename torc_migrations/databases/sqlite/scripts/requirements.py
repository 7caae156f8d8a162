"""Say what a statement needs that an SQLite does not have: a newer version, or a function of an application."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Sequence

_LONGEST = 10_000  # characters of a statement that are searched for new words, because a search may be quadratic
_OF_APPLICATION = (
    "if an application has it, functions= registers it, on the command line --functions or --load-extension"
)
# What a message says if SQLite is too old for a statement, and from which version on it is understood: words that the
# statement has, and functions. https://sqlite.org/changes.html
_NEW_WORDS = (
    (r"\bON\s+CONFLICT\b.*\bDO\b", (3, 24), "ON CONFLICT ... DO"),
    (r"\bRENAME\s+(?:COLUMN\b|(?!TO\b))", (3, 25), "RENAME COLUMN"),
    (r"\bOVER\b", (3, 25), "window functions"),
    (r"\bFILTER\s*\(", (3, 30), "FILTER"),
    (r"\bNULLS\s+(?:FIRST|LAST)\b", (3, 30), "NULLS FIRST and LAST"),
    (r"\bGENERATED\s+ALWAYS\b|\bAS\s*\(.*\)\s*(?:STORED|VIRTUAL)\b", (3, 31), "generated columns"),
    (r"\bUPDATE\b.*\bSET\b.*\bFROM\b", (3, 33), "UPDATE ... FROM"),
    (r"\bRETURNING\b", (3, 35), "RETURNING"),
    (r"\bDROP\s+COLUMN\b|\bALTER\s+TABLE\b.*\bDROP\b", (3, 35), "DROP COLUMN"),
    (r"\bMATERIALIZED\b", (3, 35), "MATERIALIZED"),
    (r"\)[^()]*\bSTRICT\b", (3, 37), "STRICT tables"),
    (r"->", (3, 38), "the operators -> and ->>"),
    (r"\b(?:RIGHT|FULL)\s+(?:OUTER\s+)?JOIN\b", (3, 39), "RIGHT and FULL JOIN"),
    (r"\bIS\s+(?:NOT\s+)?DISTINCT\s+FROM\b", (3, 39), "IS DISTINCT FROM"),
    (r"\d_\d", (3, 46), "digits with underscores"),
    (r"\([^()]*\bORDER\s+BY\b[^()]*\)", (3, 44), "ORDER BY in an aggregate function"),
)
_NEW_FUNCTIONS = {
    **dict.fromkeys(("iif",), (3, 32)),
    **dict.fromkeys(("ceil", "floor", "ln", "log", "pow", "power", "sqrt", "exp", "pi", "trunc"), (3, 35)),
    **dict.fromkeys(("format", "unixepoch", "json", "json_extract", "json_object", "json_array"), (3, 38)),
    **dict.fromkeys(("unhex",), (3, 41)),
    **dict.fromkeys(("octet_length", "timediff"), (3, 43)),
    **dict.fromkeys(("concat", "concat_ws", "string_agg"), (3, 44)),
    **dict.fromkeys(("jsonb", "jsonb_extract", "jsonb_object", "jsonb_array"), (3, 45)),
    **dict.fromkeys(("if", "unistr"), (3, 48)),
}


def needed_version(statement: str, reason: str, version: Sequence[int] = sqlite3.sqlite_version_info) -> str | None:
    """Return which version of SQLite a statement needs, in words, if it failed because this one is older."""
    here = ".".join(map(str, version))
    called = re.match(r"no such function: (\w+)", reason)
    if called:
        needed = _NEW_FUNCTIONS.get(called[1].lower())
        if needed is None or tuple(version) >= needed:
            return None
        return f"{called[1]}() needs SQLite {needed[0]}.{needed[1]}, and this is SQLite {here}"
    if not any(words in reason for words in ("syntax error", "unknown table option", "not currently supported")):
        return None
    beginning = statement[:_LONGEST]
    for words, needed, feature in _NEW_WORDS:
        if tuple(version) < needed and re.search(words, beginning, re.IGNORECASE | re.DOTALL):
            return f"SQLite {needed[0]}.{needed[1]} and later have {feature}, and this is SQLite {here}"
    return None


def what_is_missing(statement: str, reason: str) -> str | None:
    """Return what a statement needs that is not there, a newer SQLite or a function of an application, or None."""
    if reason.startswith(("no such function", "no such collation", "no such module")):
        return needed_version(statement, reason) or _OF_APPLICATION
    return needed_version(statement, reason)
