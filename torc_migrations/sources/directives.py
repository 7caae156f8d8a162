"""Read the directives in a script's leading comments."""

from __future__ import annotations

import re
from codecs import BOM_UTF8 as BOM
from collections.abc import Iterator
from typing import NamedTuple

from torc_migrations.sources.text import comment_lines

_FIRST = b"-- no-transaction"
_DIRECTIVE = re.compile(rb"\s*--\s*(transactional|depends|foreign-keys|compatible-from)\s*:(.*)", re.DOTALL)
_VERSION = re.compile(r"\d{1,18}", re.ASCII)
# What SQLite takes for ON: https://sqlite.org/pragma.html#syntax. Possessive, because otherwise the expression keeps
# where each repetition began: a hundred bytes for each blank.
_HEAD_PRAGMA = re.compile(
    rb"""
    (?: \xef\xbb\xbf | [\s;]++ | --[^\n]*+\n | /\*[^*]*+\*++(?:[^/*][^*]*+\*++)*+/ )*+
    PRAGMA \s+ (?: ["`\[]?main["`\]]? \s*\.\s* )? ["`\[]?foreign_keys["`\]]? \s*
    (?: = | \( ) \s* ['"`\[]? (?: on | yes | true | \+?0*[1-9]\d* ) ['"`\]]? \s* \)?
    \s* (?: ; | -- | /\* | \Z )
    """,
    re.VERBOSE | re.IGNORECASE,
)


class Directives(NamedTuple):
    """The directives in the comments at the head of a script.

    `transactional` is False for `-- no-transaction` and `-- transactional: false`; `foreign_keys` is True for
    `-- foreign-keys: on`, and where the first statement is `PRAGMA foreign_keys = ON`; `depends` are the ids in
    `-- depends:` lines. `says_foreign_keys`: whether a directive, or an option, says what `foreign_keys` is.
    `compatible_from` is the version in `-- compatible-from:`, or None.
    """

    transactional: bool = True
    foreign_keys: bool = False
    depends: tuple[str, ...] = ()
    says_foreign_keys: bool = False
    compatible_from: int | None = None


_NO_DIRECTIVES = Directives()


def read_directives(sql: bytes) -> Directives:
    """Read the directives in a script's leading comments, as yoyo and sqlx read theirs.

    Raises:
        ValueError: a directive has a value that it cannot have.
    """
    foreign_keys = _HEAD_PRAGMA.match(sql) is not None
    if sql.find(b"--") < 0:
        return Directives(foreign_keys=True) if foreign_keys else _NO_DIRECTIVES
    transactional = not sql.startswith(_FIRST)
    says_foreign_keys = False
    compatible_from: int | None = None
    depends: list[str] = []
    for name, value in _directive_lines(sql):
        if name == "transactional":
            transactional = _choice(name, value, {"true": transactional, "false": False})
        elif name == "foreign-keys":
            foreign_keys, says_foreign_keys = _choice(name, value, {"on": True, "off": False}), True
        elif name == "compatible-from":
            compatible_from = _version(name, value)
        else:
            depends += value.split()
    return Directives(transactional, foreign_keys, tuple(depends), says_foreign_keys, compatible_from)


def _directive_lines(sql: bytes) -> Iterator[tuple[str, str]]:
    for line in _leading_comments(sql):
        if found := _DIRECTIVE.match(line):
            yield found[1].decode(), found[2].strip().decode()


def _leading_comments(sql: bytes) -> Iterator[bytes]:
    begin = len(BOM) if sql.startswith(BOM) else 0
    while begin < len(sql):
        end = sql.find(b"\n", begin)
        end = len(sql) if end < 0 else end
        line = sql[begin:end]
        if (bare := line.strip()) and not bare.startswith(b"--"):
            return
        yield line
        begin = end + 1


def _choice(name: str, value: str, choices: dict[str, bool]) -> bool:
    if value.lower() not in choices:
        raise ValueError(f"`-- {name}:` takes {' or '.join(choices)}, not {value!r}")
    return choices[value.lower()]


def _version(name: str, value: str) -> int:
    if not _VERSION.fullmatch(value):
        raise ValueError(f"`-- {name}:` takes a version, not {value!r}")
    return int(value)


# Comments that nobody writes but for a directive. Words behind them make them prose.
_NO = rb"(?:false|off|none|no|0|disabled?)"
_YES = rb"(?:on|true|yes|1|enabled?)"
_END = rb"[ \t]*[.;:]?[ \t]*\Z"
_MEANT = {
    "transactional": (
        rb"(?:(?:no|non|not|without|disable|skip)[-_ ]?(?:in[-_ ])?(?:a[-_ ])?transact(?:ions?|ional|ion[-_]?mode)"
        rb"(?:[ \t]*[:=]?[ \t]*"
        + _YES
        + rb")?|(?:use[-_ ]?|in[-_ ]?)?transact\w*[ \t]*[:=]?[ \t]*"
        + _NO
        + rb"|(?:atomic|tx|txn|disable[-_]?tx|no[-_]?tx)(?:[ \t]*[:=][ \t]*"
        + _NO
        + rb")?)"
        + _END
    ),
    "foreign-keys": rb"(?:enable[-_ ])?foreign[-_ ]?keys?[ \t]*(?:[:=]|[ \t])[ \t]*" + _YES + _END,
    "depends": rb"(?:depend\w*|requires?)(?:[-_ ]on)?[ \t]*[:=][ \t]*[0-9]\S*.*\Z"
    rb"|depend\w*(?:[-_ ]on)?[ \t]+[0-9]\S*\Z",
    "compatible-from": rb"compatible[-_ ]?from[ \t]*[:=]?[ \t]*[0-9]+[ \t]*\Z",
}
_MEANT_NAMES = tuple(_MEANT)
_DASHES = re.compile(rb"-+[ \t]*")
_BLOCK = re.compile(rb"(?:\xef\xbb\xbf)?\s*/\*[ \t]*([^\n]*?)[ \t]*\*/")
_LIKE = re.compile("|".join(f"({each.decode()})" for each in _MEANT.values()).encode(), re.IGNORECASE)
_NAMED = re.compile(rb"([A-Za-z][A-Za-z_-]{4,})[ \t]*[:=][ \t]*(\S.*)")
_VALUES = {
    "transactional": re.compile(_NO + _END, re.IGNORECASE),
    "foreign-keys": re.compile(_YES + _END, re.IGNORECASE),
    "depends": re.compile(rb"[0-9]"),
    "compatible-from": re.compile(rb"[0-9]+[ \t]*\Z"),
}
_CLOSE = 0.8
_NOW = {
    "transactional": "the script runs inside a transaction; write `-- no-transaction` as the first bytes of the file",
    "foreign-keys": "foreign keys are off while the script runs; write `-- foreign-keys: on` above the first statement",
    "depends": "no dependency is checked; write `-- depends: ID` above the first statement",
    "compatible-from": "every older release is let in; write `-- compatible-from: VERSION` above the first statement",
}


def misspelt_directives(path: str, sql: bytes, *, foreign_keys: bool = False) -> Iterator[str]:
    """Yield a note for each comment that looks like a directive, and has no effect: misspelt, or at a wrong place."""
    if sql.find(b"-") < 0 and sql.find(b"/*") < 0:
        return
    head_end = _end_of_head(sql)
    directives: Directives | None = None
    counted, number = 0, 1
    for offset, line in _candidates(sql):
        name = _meant(line, in_head=offset < head_end)
        if name is None or (offset < head_end and _DIRECTIVE.match(line)) or (offset == 0 and line.startswith(_FIRST)):
            continue
        directives = directives or _directives_if_right(sql)
        if (name == "transactional" and not directives.transactional) or (
            name == "foreign-keys" and (foreign_keys or directives.foreign_keys)
        ):
            continue
        number += sql.count(b"\n", counted, offset)
        counted = max(counted, offset)
        yield f"{path}:{number}: `{line.decode()}` has no effect: {_NOW[name]}"


def _directives_if_right(sql: bytes) -> Directives:
    """Return the directives; none where one has a value that it cannot have, which is an error when it is run."""
    try:
        return read_directives(sql)
    except ValueError:
        return _NO_DIRECTIVES


def _candidates(sql: bytes) -> Iterator[tuple[int, bytes]]:
    if found := _BLOCK.match(sql):
        yield sql.index(b"/*"), found[0].removeprefix(BOM).strip()
    yield from comment_lines(sql, lambda line: _meant(line, in_head=True))


def _meant(line: bytes, *, in_head: bool) -> str | None:
    """Return the directive that a comment seems to mean, or None."""
    block = _BLOCK.match(line)
    words = block[1] if block else line[_DASHES.match(line).end() :]  # type: ignore[union-attr]  # it begins with dashes
    if found := _LIKE.match(words):
        return _MEANT_NAMES[(found.lastindex or 1) - 1]
    named = _NAMED.match(words) if in_head else None
    if named is None:
        return None
    from difflib import SequenceMatcher  # seldom needed

    written = named[1].decode().lower().replace("_", "-")
    for name, value in _VALUES.items():
        if value.match(named[2]) and SequenceMatcher(None, written, name).ratio() >= _CLOSE:
            return name
    return None


def _end_of_head(sql: bytes) -> int:
    """Return the offset at which the leading comments end."""
    begin = len(BOM) if sql.startswith(BOM) else 0
    return begin + sum(len(line) + 1 for line in _leading_comments(sql))
