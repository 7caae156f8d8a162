"""Cut a script into statements as the command-line client of MariaDB does, and read their first words.

Beside what the client knows, a stored program may stand in a script without DELIMITER, as the server reads it in a text
of several statements, and as scripts for sqlx have it.
"""

from __future__ import annotations

import re
from codecs import BOM_UTF8 as BOM
from collections.abc import Callable, Iterator
from enum import Enum, auto
from functools import cache
from typing import NamedTuple

_SEMICOLON = b";"
# A comment that the server executes, `/*! ... */` or `/*M! ... */`, is text for the client.
_COMMENTS = rb"""
    \# [^\n]* | -- (?= [\s\x00-\x1f\x7f] | \Z ) [^\n]* | /\* (?! M?! ) .*? (?: \*/ | \Z )
"""
_BLANK = re.compile(rb"(?: [\s\x00]+ | " + _COMMENTS + rb")*", re.VERBOSE | re.DOTALL)
# A statement's first words are read through what the server executes: `/*!50003 TRIGGER`.
_BLANK_IN_WORDS = re.compile(rb"(?: [\s\x00]+ | /\*M?!\d* | \*/ | " + _COMMENTS + rb")*", re.VERBOSE | re.DOTALL)
_WORD = re.compile(rb"[\w$\x80-\xff]+")
_DELIMITER = re.compile(rb"delimiter(?:[ \t\f\v]+([^\n]*)|(?=\r?\n|\Z))", re.IGNORECASE)
_QUOTED_DELIMITER = re.compile(rb"(['\"`])(.*?)(?:\1|\Z)")

_STORED = frozenset({"PROCEDURE", "FUNCTION", "TRIGGER", "EVENT", "PACKAGE"})
_OTHER_OBJECTS = frozenset(
    {"TABLE", "VIEW", "INDEX", "DATABASE", "SCHEMA", "USER", "ROLE", "SERVER", "SEQUENCE", "TABLESPACE", "LOGFILE"}
)
_LOOPS = frozenset({"IF", "LOOP", "REPEAT", "WHILE", "FOR"})
# What a statement inside a stored program follows.
_BEFORE_STATEMENT = frozenset({";", "THEN", "ELSE", "DO", "LOOP", "REPEAT", "BEGIN", ":"})
_BEFORE_BODY = frozenset({")", "ROW", "DETERMINISTIC", "SQL", "DATA", "DEFINER", "INVOKER"})


class Quoting(NamedTuple):
    """What the session says of quotes: whether a backslash in them escapes, and whether `"` quotes a name."""

    backslash: bool = True
    ansi: bool = False


class Statement(NamedTuple):
    """One statement: where its text begins and ends in the script, in bytes, without blanks, comments and delimiter.

    `after` is where its delimiter ends.
    """

    begin: int
    end: int
    after: int
    text: str


class Kind(Enum):
    """What a statement does to a transaction.

    CHANGES_ROWS can be undone, if its tables can. COMMITS ends a transaction by itself, as DDL does, or may do so, as a
    procedure may. BEGINS, ENDS and ROLLS_BACK are the words for transactions. SESSION sets up the session for the
    statements after it. READS changes nothing.
    """

    CHANGES_ROWS = auto()
    COMMITS = auto()
    BEGINS = auto()
    ENDS = auto()
    ROLLS_BACK = auto()
    SESSION = auto()
    READS = auto()


_KINDS = {
    **dict.fromkeys(("INSERT", "UPDATE", "DELETE", "REPLACE", "WITH", "DO"), Kind.CHANGES_ROWS),
    **dict.fromkeys(("SET", "USE"), Kind.SESSION),
    **dict.fromkeys(("SELECT", "SHOW", "DESCRIBE", "DESC", "EXPLAIN", "HELP", "VALUES", "TABLE"), Kind.READS),
    "COMMIT": Kind.ENDS,
    "ROLLBACK": Kind.ROLLS_BACK,
}


def statements(sql: bytes, quoting: Callable[[], Quoting] = Quoting) -> Iterator[Statement]:
    """Cut a script into its statements, in time linear in its length.

    What follows the last delimiter is a statement too, unless it is blank. `quoting` is asked before each statement,
    because one before it may have set `sql_mode`.
    """
    delimiter = _SEMICOLON
    start = len(BOM) if sql.startswith(BOM) else 0
    while (start := first_token(sql, start)) < len(sql):
        if command := _DELIMITER.match(sql, start):
            delimiter = _delimiter_in(command[1] or b"") or delimiter
            end = sql.find(b"\n", start)
            start = len(sql) if end < 0 else end
            continue
        end = _end_of_statement(sql, start, delimiter, quoting())
        text = sql[start:end].rstrip()
        if text:
            yield Statement(start, start + len(text), end + len(delimiter), text.decode())
        start = end + len(delimiter)


def _delimiter_in(rest: bytes) -> bytes:
    """Return what a DELIMITER command sets, of its text after the word."""
    rest = rest.strip()
    if quoted := _QUOTED_DELIMITER.match(rest):
        return quoted[2]
    return rest.split()[0] if rest else b""


def _end_of_statement(sql: bytes, start: int, delimiter: bytes, quoting: Quoting) -> int:
    """Return where the delimiter of the statement at `start` stands, or the end of the script."""
    if delimiter == _SEMICOLON and is_stored_program(sql, start):
        return _end_of_program(sql, start, quoting)
    for token in tokens(delimiter, quoting).finditer(sql, start):
        if token.lastgroup == "delimiter":
            return token.start()
    return len(sql)


@cache
def tokens(delimiter: bytes, quoting: Quoting) -> re.Pattern[bytes]:
    """Return what matches the delimiter, and what hides it: quotes and comments."""
    return re.compile(
        rb"(?P<delimiter> " + re.escape(delimiter) + rb") | " + _quotes(quoting) + rb" | " + _COMMENTS,
        re.VERBOSE | re.DOTALL,
    )


def _quotes(quoting: Quoting) -> bytes:
    """Return what matches a text in quotes; a doubled quote is read as the end of one text and the begin of another."""
    escaping = {b"'": quoting.backslash, b'"': quoting.backslash and not quoting.ansi, b"`": False}
    plain, escaped = rb"%(q)s [^%(q)s]*+ (?: %(q)s | \Z )", rb"%(q)s (?: [^%(q)s\\]+ | \\. )*+ (?: %(q)s | \\? \Z )"
    return rb" | ".join((escaped if escapes else plain) % {b"q": sign} for sign, escapes in escaping.items())


@cache
def _program_tokens(quoting: Quoting) -> re.Pattern[bytes]:
    return re.compile(
        rb"(?P<quoted> " + _quotes(quoting) + rb") | (?P<comment> " + _COMMENTS + rb" | /\*M?!\d* | \*/ )"
        rb" | (?P<word> [\w$\x80-\xff@]+ ) | (?P<sign> [^\s\x00] )",
        re.VERBOSE | re.DOTALL,
    )


class _Blocks:
    """The blocks of a stored program that are open: BEGIN and CASE, and IF and the loops where no BEGIN is around them.

    END closes the innermost one. Behind BEGIN it has to be followed by a semicolon, maybe after a label, because `end`
    may be a name of a column as well.
    """

    def __init__(self) -> None:
        self._open: list[str] = []
        self._before = ""
        self._first_word = ""  # of the statement inside the program
        self._ends_at: int | None = None  # how many tokens ago an END was read that may close a BEGIN

    def read(self, word: str, *, is_word: bool) -> bool:
        """Read the next word or sign; return whether it is the semicolon behind the program."""
        before, self._before = self._before, word
        begins = before in _BEFORE_STATEMENT
        if begins:
            self._first_word = word
        if word == ";":
            if self._ends_at is not None:
                self._open.pop()
            self._ends_at = None
            return not self._open
        if self._ends_at is not None:
            self._ends_at = None if word in (*_LOOPS, "CASE") or self._ends_at else self._ends_at + 1
        if is_word and before != ".":
            self._read_word(word, before, begins=begins)
        return False

    def _read_word(self, word: str, before: str, *, begins: bool) -> None:
        innermost = self._open[-1] if self._open else ""
        if word == "END":
            if innermost == "CASE":
                self._open.pop()
            elif innermost == "BEGIN":
                self._ends_at = 0
        elif before == "END":
            if word == innermost:
                self._open.pop()
        elif word == "CASE":
            self._open.append(word)
        elif word == "BEGIN":
            if not self._open or begins or self._first_word == "DECLARE":
                self._open.append(word)
        elif word in _LOOPS and "BEGIN" not in self._open and (begins or (not self._open and before in _BEFORE_BODY)):
            self._open.append(word)


def _end_of_program(sql: bytes, start: int, quoting: Quoting) -> int:
    """Return where the semicolon behind a stored program stands: the first one outside of its blocks."""
    blocks = _Blocks()
    for token in _program_tokens(quoting).finditer(sql, start):
        if token.lastgroup == "comment":
            continue
        word = "''" if token.lastgroup == "quoted" else token.group().decode(errors="replace").upper()
        if blocks.read(word, is_word=token.lastgroup == "word"):
            return token.start()
    return len(sql)


def first_token(sql: bytes, offset: int) -> int:
    """Return where the first thing that is neither blank nor comment stands, at `offset` or after it, in bytes."""
    return _BLANK.match(sql, offset).end()  # type: ignore[union-attr]  # it matches the empty text


def first_words(sql: bytes, offset: int, most: int = 3) -> list[str]:
    """Return the first words of a statement, in capitals, up to the first sign or quote."""
    words: list[str] = []
    while len(words) < most:
        offset = _BLANK_IN_WORDS.match(sql, offset).end()  # type: ignore[union-attr]  # it matches the empty text
        word = _WORD.match(sql, offset)
        if word is None:
            break
        words.append(word.group().decode(errors="replace").upper())
        offset = word.end()
    return words


def is_stored_program(sql: bytes, start: int) -> bool:
    """Return whether a statement may have statements inside: CREATE PROCEDURE and its like, or BEGIN NOT ATOMIC."""
    words = first_words(sql, start)
    if words[:2] == ["BEGIN", "NOT"]:
        return True
    if words[:1] != ["CREATE"]:
        return False
    for token in _program_tokens(Quoting()).finditer(sql, start):  # through DEFINER = `root`@`localhost`
        if token.lastgroup == "word":
            word = token.group().upper().decode(errors="replace")
            if word in _STORED:
                return True
            if word in _OTHER_OBJECTS:
                return False
        elif token.group() in (b"(", b";"):
            return False
    return False


def kind_of(sql: bytes, offset: int) -> Kind:
    """Return what the statement at an offset does to a transaction; what is not known may commit."""
    words = first_words(sql, offset)
    first, second = [*words, "", ""][:2]
    if first == "BEGIN":
        return Kind.COMMITS if second == "NOT" else Kind.BEGINS
    if first == "START":
        return Kind.BEGINS if second == "TRANSACTION" else Kind.COMMITS
    if first == "SET" and second in ("STATEMENT", "PASSWORD"):
        return Kind.COMMITS
    if (first == "ROLLBACK" and "TO" in words) or first == "SAVEPOINT" or (first, second) == ("RELEASE", "SAVEPOINT"):
        return Kind.READS
    return _KINDS.get(first, Kind.COMMITS)
