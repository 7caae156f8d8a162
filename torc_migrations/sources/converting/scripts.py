"""What a file of another tool consists of: the SQL of both directions; and how SQL is put into a file of its own."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

# A text in quotes or a comment; MySQL runs what is in `/*! */`.
_TAG = rb"\$(?:[A-Za-z_]\w*)?\$"
_OTHERS = (
    rb'"[^"]*+" | `[^`]*+` | (?P<tag>' + _TAG + rb") .*? (?P=tag) | /\*! .*? \*/"
    rb" | (?P<comment> /\*(?!!) .*? \*/ | --[^\n]*+ %b)"
)
# Bytes that begin neither.
_PLAIN = rb"[^'\"`/$\-\#]++ | /(?!\*) | \$(?!(?:[A-Za-z_]\w*)?\$) | -(?!-)"


class _Reading:
    """How a database reads quotes and comments."""

    def __init__(self, quoted: bytes, hash_comment: bytes) -> None:
        hidden = quoted + b" | " + _OTHERS % hash_comment
        plain = _PLAIN + (b"" if hash_comment else rb" | \#")
        self.hidden = re.compile(hidden, re.VERBOSE | re.DOTALL)
        self._closed = re.compile(b"(?: %b | %b )*+" % (plain, hidden), re.VERBOSE | re.DOTALL)

    def is_open(self, sql: bytes) -> bool:
        """Return whether a text ends inside of quotes or a block comment."""
        found = self._closed.match(sql)
        return found is None or found.end() < len(sql)


# SQLite and PostgreSQL; MySQL, with backslashes; and MySQL, with `#` for comments.
_READINGS = (
    _Reading(rb"'[^']*+'", b""),
    _Reading(rb"'(?:[^'\\]|\\.)*+'", b""),
    _Reading(rb"'(?:[^'\\]|\\.)*+'", rb"| \#[^\n]*+"),
)
_NO_TRANSACTION = b"-- no-transaction\n-- transactional: false\n"


class CannotConvert(Exception):
    """A place in a file that has no equivalent in SQL files; only inside this package."""

    def __init__(self, line: int | None, reason: str) -> None:
        self.line = line
        self.reason = reason
        super().__init__(reason)


class Scripts(NamedTuple):
    """The SQL of a migration: its up script, and its down script or None. `notes` are sentences about what is lost.

    `depends` are ids of migrations that come before it.
    """

    up: bytes
    down: bytes | None
    transactional_up: bool = True
    transactional_down: bool = True
    depends: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


class Line(NamedTuple):
    """A line of a file, with its end, and its number from 1 on."""

    number: int
    text: bytes


def lines_of(sql: bytes) -> Iterator[Line]:
    """Yield the lines of a text; only a line feed ends one."""
    for number, text in enumerate(sql.split(b"\n"), 1):
        yield Line(number, text + b"\n")


def ends_inside(sql: bytes) -> bool:
    """Return whether a text ends inside quotes or a block comment, however a database reads it."""
    return all(reading.is_open(sql) for reading in _READINGS)


def bare(sql: bytes) -> bytes:
    """Return a text without its comments and the blanks around it."""
    return _reading_of(sql).hidden.sub(lambda found: b" " if found["comment"] else found[0], sql).strip()


def _reading_of(sql: bytes) -> _Reading:
    return next((each for each in _READINGS if not each.is_open(sql)), _READINGS[0])


def has_statement(sql: bytes | None) -> bool:
    """Return whether a text has something in it that is no comment."""
    return sql is not None and bare(sql).strip(b"; \t\r\n\f\v") != b""


def terminated(sql: bytes) -> bytes:
    """Return a text whose last statement ends with a semicolon, which is put outside of a comment behind it."""
    text = bare(sql)
    if not text or text.endswith(b";"):
        return sql
    kept = sql.rstrip()
    in_comment = any(found["comment"] and found.end() == len(kept) for found in _reading_of(kept).hidden.finditer(kept))
    return kept + (b"\n;\n" if in_comment else b";\n")


def as_file(sql: bytes, *, transactional: bool, depends: tuple[str, ...] = ()) -> bytes:
    """Return the bytes of a script: directives, and the SQL without blank lines around it."""
    head = b"" if transactional else _NO_TRANSACTION
    if depends:
        head += b"-- depends: " + " ".join(depends).encode() + b"\n"
    body = _without_blank_lines(sql)
    return head + body + (b"" if not body or body.endswith(b"\n") else b"\n")


def _without_blank_lines(sql: bytes) -> bytes:
    return re.sub(rb"\A(?:[ \t\r\f\v]*\n)+", b"", sql).rstrip()
