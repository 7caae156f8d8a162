"""Say what a statement needs that an SQLite does not have: a newer version, a function of an application, a PRAGMA."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Sequence

from torc_migrations.databases.sqlite.scripts.effects import Pragma
from torc_migrations.databases.sqlite.transactions import SQLiteConnection

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
    (r"\bRAISE\s*\(\s*\w+\s*,(?!\s*'(?:[^']|'')*'\s*\))", (3, 47), "expressions in RAISE"),
)
_NOT_UNDERSTOOD = r"syntax error|unknown table option|not currently supported|unrecognized token: \"\w*\d_\d"
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

_NEW_OPTIONS = {
    "contentless_delete": (3, 43),
    "tokendata": (3, 45),
    **dict.fromkeys(("contentless_unindexed", "locale"), (3, 47)),
}
# By what SQLite says where it does not know a name, and what is said behind the name.
_NEW_NAMES = (
    (r"no such function: (\w+)", _NEW_FUNCTIONS, "()"),
    (r'unrecognized option: "(\w+)"', _NEW_OPTIONS, " as an option of FTS5"),
    (r"no such tokenizer: (\w+)", {"trigram": (3, 34)}, " as a tokenizer of FTS5"),
)


def needed_version(statement: str, reason: str, version: Sequence[int] = sqlite3.sqlite_version_info) -> str | None:
    """Return which version of SQLite a statement needs, in words, if it failed because this one is older."""
    here = ".".join(map(str, version))
    for pattern, versions, what in _NEW_NAMES:
        if found := re.match(pattern, reason):
            needed = versions.get(found[1].lower())
            if needed is None or tuple(version) >= needed:
                return None
            return f"{found[1]}{what} needs SQLite {needed[0]}.{needed[1]}, and this is SQLite {here}"
    if not re.search(_NOT_UNDERSTOOD, reason):
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


# The words that a PRAGMA takes; another one means 0, or changes nothing. https://sqlite.org/pragma.html
_ON_OFF = ("on", "yes", "true", "off", "no", "false")
_WORDS = {
    "auto_vacuum": ("none", "full", "incremental"),
    "journal_mode": ("delete", "truncate", "persist", "memory", "wal", "off"),
    "locking_mode": ("normal", "exclusive"),
    "secure_delete": (*_ON_OFF, "fast"),
    "synchronous": (*_ON_OFF, "normal", "full", "extra"),
    "temp_store": ("default", "file", "memory"),
    **dict.fromkeys(
        ("automatic_index", "case_sensitive_like", "cell_size_check", "checkpoint_fullfsync", "count_changes"), _ON_OFF
    ),
    **dict.fromkeys(
        ("defer_foreign_keys", "empty_result_callbacks", "foreign_keys", "full_column_names", "fullfsync"), _ON_OFF
    ),
    **dict.fromkeys(
        ("ignore_check_constraints", "legacy_alter_table", "query_only", "read_uncommitted", "recursive_triggers"),
        _ON_OFF,
    ),
    **dict.fromkeys(
        ("reverse_unordered_selects", "short_column_names", "trusted_schema", "writable_schema"),
        (*_ON_OFF, "reset"),
    ),
    **dict.fromkeys(
        ("analysis_limit", "application_id", "busy_timeout", "cache_size", "journal_size_limit", "max_page_count"), ()
    ),
    **dict.fromkeys(("mmap_size", "page_size", "threads", "user_version", "wal_autocheckpoint"), ()),
}
_NO_WORD = frozenset({"journal_mode", "locking_mode"})  # these take no number
_NUMBER = re.compile(r"[+-]?(?:\d+|0x[0-9a-f]+)")
# SQLite with encryption has these, and does not list them.
_OF_ENCRYPTION = re.compile(r"key|rekey|hexkey|hexrekey|textkey|textrekey|cipher\w*|kdf_iter|activate_extensions")


def ignored_pragma(database: SQLiteConnection, pragma: Pragma) -> str | None:
    """Say that SQLite ignores a PRAGMA, or its value, or return None; it accepts any name and any word in silence."""
    name, value = pragma.name, pragma.value
    known = [str(each) for (each,) in database.execute("PRAGMA pragma_list")]
    if known and name not in known and not _OF_ENCRYPTION.fullmatch(name):
        from difflib import get_close_matches  # seldom needed

        close = get_close_matches(name, known, 1)
        return f"PRAGMA {name} is not known to SQLite, which ignores it" + (f"; is {close[0]} meant?" if close else "")
    if value is None or name not in _WORDS:
        return None
    words, given = _WORDS[name], value.strip().lower()
    if given in words or (name not in _NO_WORD and _NUMBER.fullmatch(given)):
        return None
    if name == "journal_mode" and given and any(word.startswith(given) for word in words):
        return None
    takes = f"{', '.join(words[:-1])} or {words[-1]}" if words else "a number"
    return f"PRAGMA {name} does not know {value!r}: it takes {takes}"
