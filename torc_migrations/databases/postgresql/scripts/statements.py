"""Cut a script into its statements, as PostgreSQL's own lexer sees them.

https://www.postgresql.org/docs/current/sql-syntax-lexical.html
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

_NAME = rb"[A-Za-z_\x80-\xff][A-Za-z0-9_$\x80-\xff]*"
_TOKEN = re.compile(
    rb"""
    (?P<word> %(name)s )
    | (?P<number> \$?[0-9][A-Za-z0-9_.]* )
    | (?P<dollar> \$(?:[A-Za-z_\x80-\xff][A-Za-z0-9_\x80-\xff]*)?\$ )
    | (?P<sign> --[^\r\n]* | /\* | ['"();\\.] )
    """
    % {b"name": _NAME},
    re.VERBOSE,
)
_COMMENT = re.compile(rb"/\*|\*/")
_TEXT = re.compile(rb"'[^']*(?:''[^']*)*(?:'|\Z)")
_ESCAPES = re.compile(rb"'(?:[^'\\]|''|\\.)*(?:'|\Z)", re.DOTALL)
_QUOTED_NAME = re.compile(rb'"[^"]*(?:""[^"]*)*(?:"|\Z)')
# Two texts with a line break between them are one: https://www.postgresql.org/docs/current/sql-syntax-lexical.html
_CONTINUED = re.compile(rb"(?:[ \t\f\v]|--[^\r\n]*)*[\r\n](?:[ \t\r\n\f\v]+|--[^\r\n]*[\r\n])*(?=')")
_FEW_WORDS = 8
_ROUTINES = (
    (b"CREATE", b"FUNCTION"),
    (b"CREATE", b"PROCEDURE"),
    (b"CREATE", b"OR", b"REPLACE", b"FUNCTION"),
    (b"CREATE", b"OR", b"REPLACE", b"PROCEDURE"),
)
# What only psql understands: its commands, and rows in the script itself.
_BEGINS = (b"BEGIN", b"START")
_COMMITS = (b"COMMIT", b"END")
_ROLLS_BACK = (b"ROLLBACK", b"ABORT")
# If none of these is anywhere in a script, it has nothing that has to be looked at before it is sent whole.
_NOTABLE_WORDS = (b"begin", b"start", b"commit", b"end", b"rollback", b"abort", b"prepare", b"copy")
_NOTABLE = re.compile(rb"\b(?:%b)\b" % b"|".join(_NOTABLE_WORDS))


class Statement(NamedTuple):
    r"""A statement of a script, from its first word to the `;`, which is part of it.

    `words` are its first words in capitals, up to eight. `begin` and `end` count bytes. `stray` is what only psql
    understands in it: `\connect`, `COPY ... FROM stdin`.
    """

    begin: int
    end: int
    words: tuple[bytes, ...]
    stray: str | None = None

    @property
    def control(self) -> str | None:
        """`BEGIN`, `COMMIT`, `ROLLBACK` or `PREPARE` where it begins or ends a transaction, else None."""
        first = self.words[0] if self.words else b""
        if first == b"PREPARE":
            return "PREPARE" if self.words[1:2] == (b"TRANSACTION",) else None
        if first == b"START":
            return "BEGIN" if self.words[1:2] == (b"TRANSACTION",) else None
        if first in _BEGINS:
            return "BEGIN"
        if self.words[1:2] == (b"PREPARED",):
            return None
        if first in _COMMITS:
            return "COMMIT"
        if first in _ROLLS_BACK and b"TO" not in self.words[1:3]:
            return "ROLLBACK"
        return None

    @property
    def is_plain(self) -> bool:
        """Whether it is a BEGIN or a COMMIT that says nothing else."""
        return self.words in ((b"BEGIN",), (b"COMMIT",), (b"END",)) or (
            len(self.words) == 2 and self.words[1] in (b"TRANSACTION", b"WORK")
        )


def needs_a_look(sql: bytes) -> bool:
    """Return whether a script may have transaction control, or what only psql understands."""
    lowered = sql.lower()
    if b"\\" in sql:
        return True
    # The search for a plain word is many times faster than that for a pattern.
    return any(word in lowered for word in _NOTABLE_WORDS) and _NOTABLE.search(lowered) is not None


def statements(sql: bytes, standard_strings: Callable[[], bool] = lambda: True) -> Iterator[Statement]:
    r"""Yield the statements of a script; what has no word in it is none.

    `standard_strings` says whether a `\` in a text is just that, as `standard_conforming_strings` says; a script
    that is run statement by statement may change it.
    """
    at = 0
    while (found := _statement(sql, at, standard_strings)) is not None:
        yield found
        at = found.end


def _statement(sql: bytes, at: int, standard_strings: Callable[[], bool]) -> Statement | None:
    """Return the statement that begins at an offset or after it, or None at the end."""
    state = _State()
    end = len(sql)
    while (token := _TOKEN.search(sql, at)) is not None:
        at = token.end()
        kind = token.lastgroup
        if kind == "word":
            word = token[0]
            state.add_word(token.start(), word.upper())
            if sql[at : at + 1] == b"'" and len(word) == 1:
                escapes = word in b"eE" or (word not in b"bBxXnN" and not standard_strings())
                at = _end_of_text(sql, at, escapes=escapes)
            continue
        sign = token[0]
        if sign == b";":
            if state.begin is None:
                continue
            if not state.is_inside:
                end = at
                break
            state.add_sign(token.start(), sign)
            continue
        if sign.startswith(b"--"):
            continue
        if sign == b"/*":
            at = _end_of_comment(sql, at)
            continue
        state.add_sign(token.start(), sign)
        if kind == "dollar":
            closing = sql.find(sign, at)
            at = len(sql) if closing < 0 else closing + len(sign)
        elif sign == b"'":
            escapes = not standard_strings() and sql[max(0, token.start() - 2) : token.start()].upper() != b"U&"
            at = _end_of_text(sql, token.start(), escapes=escapes)
        elif sign == b'"':
            found = _QUOTED_NAME.match(sql, token.start())
            at = found.end() if found else len(sql)
        elif sign == b"\\":
            state.stray = state.stray or _command_of_psql(sql, token.start())
    if state.begin is None:
        return None
    return Statement(state.begin, end, tuple(state.words), state.stray or state.copies)


class _State:
    """What is known of a statement while it is read."""

    def __init__(self) -> None:
        self.begin: int | None = None
        self.words: list[bytes] = []
        self.stray: str | None = None
        self.copies: str | None = None
        self._parentheses = 0
        self._blocks = 0  # BEGIN ATOMIC and CASE that have not ended
        self._is_routine = False
        self._before = b""  # the word or sign before
        self._only_words = True

    @property
    def is_inside(self) -> bool:
        """Whether a `;` does not end the statement."""
        return self._parentheses > 0 or self._blocks > 0

    def add_word(self, at: int, word: bytes) -> None:
        if self.begin is None:
            self.begin = at
        if self._only_words and len(self.words) < _FEW_WORDS:
            self.words.append(word)
            self._is_routine = self._is_routine or tuple(self.words) in _ROUTINES
        last = self._before
        if last not in (b".", b"AS") and self._is_routine:
            if word == b"ATOMIC" and last == b"BEGIN" and self._blocks == 0:
                self._blocks = 1
            elif self._blocks and word == b"CASE":
                self._blocks += 1
            elif self._blocks and word == b"END":
                self._blocks -= 1
        if self.words[:1] == [b"COPY"] and self._parentheses == 0:
            if last == b"FROM" and word == b"STDIN":
                self.copies = "COPY ... FROM stdin"
            elif last == b"TO" and word == b"STDOUT":
                self.copies = "COPY ... TO stdout"
        self._before = word

    def add_sign(self, at: int, sign: bytes) -> None:
        if self.begin is None:
            self.begin = at
        self._only_words = False
        if sign == b"(":
            self._parentheses += 1
        elif sign == b")":
            self._parentheses = max(0, self._parentheses - 1)
        self._before = sign


def _end_of_text(sql: bytes, at: int, *, escapes: bool) -> int:
    r"""Return where a text ends whose first quote is at an offset; in one with escapes a `\` hides a quote."""
    found = (_ESCAPES if escapes else _TEXT).match(sql, at)
    end = found.end() if found else len(sql)
    if escapes and (more := _CONTINUED.match(sql, end)):
        return _end_of_text(sql, more.end(), escapes=True)
    return end


def _end_of_comment(sql: bytes, at: int) -> int:
    """Return where a comment ends, after its first `/*`; comments may be nested."""
    depth = 1
    while depth and (found := _COMMENT.search(sql, at)):
        at = found.end()
        depth += 1 if found[0] == b"/*" else -1
    return len(sql) if depth else at


def _command_of_psql(sql: bytes, at: int) -> str:
    found = re.compile(rb"\\[^\s;'\"]*").match(sql, at)
    return found[0].decode(errors="replace") if found else "\\"
