"""Cut SQL text into statements, read its directives, and find a place in it; bytes in, values out."""

from __future__ import annotations

import re
from codecs import BOM_UTF8 as BOM
from collections.abc import Collection, Iterable, Iterator

from torc_migrations.driver import sqlite3
from torc_migrations.values import NamedTuple

complete_statement = sqlite3.complete_statement

# What SQLite skips. A vertical tab is blank behind another blank only, and a comment that is never closed runs to
# the end of the text, unless it is the last thing there: https://sqlite.org/src/file/src/tokenize.c
_BLANK = rb"[ \t\n\f\r][ \t\n\v\f\r]* | \xef\xbb\xbf | --[^\n]* | /\*(?: .*?\*/ | .+\Z )"

# One token of SQL, as far as the end of a statement is concerned: a quote or a comment hides what is in it.
_TOKEN = re.compile(
    rb"""
      (?P<semicolon> ; )
    | (?P<blank>     """
    + _BLANK
    + rb""" )
    | (?P<quoted>    '[^']*(?:'|\Z) | "[^"]*(?:"|\Z) | `[^`]*(?:`|\Z) | \[[^\]]*(?:\]|\Z) )
    | (?P<word>      [A-Za-z0-9_$\x80-\xff]+ )
    | (?P<sign>      . )
    """,
    re.VERBOSE | re.DOTALL,
)
_LEADING_BLANK = re.compile(rb"(?:" + _BLANK + rb")*", re.VERBOSE | re.DOTALL)

# The states of https://sqlite.org/c3ref/complete.html, and where each kind of token leads.
# A semicolon ends the statement, unless it stands in a trigger's body.
_NEXT_STATE = {
    "start": {"explain": "explain", "create": "create"},
    "explain": {"create": "create", "other": "explain"},
    "create": {"temp": "create", "trigger": "trigger body"},
    "normal": {},
    "trigger body": {"semicolon": "after semicolon", "other": "trigger body"},
    "after semicolon": {"semicolon": "after semicolon", "end": "after end", "other": "trigger body"},
    "after end": {"other": "trigger body"},
}
_IN_TRIGGER = {"trigger body", "after semicolon"}
_KEYWORDS = {
    b"explain": "explain",
    b"create": "create",
    b"temp": "temp",
    b"temporary": "temp",
    b"trigger": "trigger",
    b"end": "end",
}

# What makes something new, and can do nothing else; a virtual table's module runs SQL of its own.
_CREATES = re.compile(
    rb"(?:" + _BLANK + rb")*+ CREATE (?:" + _BLANK + rb")++ (?: TABLE | UNIQUE | INDEX | VIEW | TRIGGER ) \b",
    re.VERBOSE | re.DOTALL | re.IGNORECASE,
)

# How SQLite names the word at which its parser gave up.
_NAMED_WORD = re.compile(r'near "(.+)": syntax error\Z|unrecognized token: "(.+)"\Z', re.DOTALL)

# What a terminal would obey instead of showing it.
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f]")

_TRANSACTION_WORDS = frozenset({"BEGIN", "COMMIT", "END", "ROLLBACK"})
_DROP = "DROP"
_WORDS = tuple(word.encode() for word in (*_TRANSACTION_WORDS, _DROP))
_WHOLE_WORDS = tuple((word, re.compile(rb"\b" + word + rb"\b")) for word in _WORDS)
_LONGEST_WORD = len("ROLLBACK")
_VERTICAL_TAB = ord("\v")
_PIECE = 1 << 16

_DIRECTIVE = re.compile(rb"\s*--\s*(transactional|depends|foreign-keys)\s*:(.*)", re.DOTALL)


class Statement(NamedTuple):
    """One statement: where its text begins in the script, in bytes, and the text, unstripped."""

    offset: int
    text: str


class TransactionWord(NamedTuple):
    """A statement that begins or ends a transaction, and the word that it begins with."""

    statement: Statement
    word: str

    @property
    def commits(self) -> bool:
        """Whether it is COMMIT, or END, which is the same."""
        return self.word in ("COMMIT", "END")


class Place(NamedTuple):
    """A place in a text: line and column counted from 1, the column in characters, and the line itself."""

    line: int
    column: int
    text: str


class Directives(NamedTuple):
    """What a script asks for in the comments at its head."""

    transactional: bool = True
    foreign_keys: bool = False
    depends: tuple[str, ...] = ()


_NO_DIRECTIVES = Directives()


def statements(sql: bytes) -> Iterator[Statement]:
    """Cut a script where SQLite itself would, in time linear in its length.

    What follows the last semicolon is a statement too, unless it is blank.
    """
    return map(Statement._make, cut(sql))


def cut(sql: bytes) -> Iterator[tuple[int, str]]:
    """Do the same for many statements: an offset and a text are made in half the time of a `Statement`.

    SQLite's own judgement is asked at the first semicolon. Only where that one lies in a quote, a comment or a
    trigger is the statement walked through, once, to its true end.
    """
    start = len(BOM) if sql.startswith(BOM) else 0
    # A mark and a vertical tab are letters for complete_statement(), and blanks for SQLite's parser.
    trusted = _VERTICAL_TAB not in sql and sql.find(BOM, start) < 0
    while end := sql.find(b";", start) + 1:
        text = sql[start:end].decode()
        if not (trusted and complete_statement(text)):
            end = _statement_end(sql, start)
            if first_token(sql, start) == len(sql):
                return
            text = sql[start:end].decode()
        yield start, text
        start = end
    rest = sql[start:]
    if rest.strip(b" \t\n\f\r") and first_token(sql, start) < len(sql):
        yield start, rest.decode()


def _statement_end(sql: bytes, start: int) -> int:
    state = "start"
    for token in _TOKEN.finditer(sql, start):
        kind = token.lastgroup
        if kind == "blank":
            continue
        if kind == "semicolon" and state not in _IN_TRIGGER:
            return token.end()
        if kind == "word":
            kind = _KEYWORDS.get(token.group().lower(), "other")
        moves = _NEXT_STATE[state]
        state = moves.get(kind or "other") or moves.get("other", "normal")
    return len(sql)


def creates(sql: bytes, offset: int) -> bool:
    """Tell whether the statement that stands at `offset` makes something new, and can do nothing else."""
    return _CREATES.match(sql, offset) is not None


def words_in(sql: bytes) -> frozenset[str]:
    """Return which of the words that begin or end a transaction, or drop a table, stand anywhere, quoted or not."""
    found: set[str] = set()
    for piece in _in_capitals(sql, _LONGEST_WORD):
        if max(map(piece.find, _WORDS)) >= 0:
            found.update(word.decode() for word, whole in _WHOLE_WORDS if whole.search(piece))
    return frozenset(found)


def names_one_of(texts: Iterable[bytes], names: Collection[bytes]) -> bool:
    """Tell whether one of some names, which are in capitals, stands in any of some texts, whatever its case."""
    overlap = max(map(len, names))
    pieces = (piece for text in _lumped(texts) for piece in _in_capitals(text, overlap))
    return any(max(map(piece.find, names)) >= 0 for piece in pieces)


def _lumped(texts: Iterable[bytes]) -> Iterator[bytes]:
    """Lump short texts together, which are looked through faster so; a NUL, which none has, keeps them apart."""
    lump: list[bytes] = []
    size = 0
    for text in texts:
        if len(text) > _PIECE:
            yield text
            continue
        lump.append(text)
        size += len(text)
        if size > _PIECE:
            yield b"\0".join(lump)
            lump, size = [], 0
    yield b"\0".join(lump)


def _in_capitals(sql: bytes, overlap: int) -> Iterable[bytes]:
    """Return a text in capitals, piece by piece: to look for a word so is ten times as fast as to ignore the case."""
    if len(sql) <= _PIECE:
        return (sql.upper(),)
    return (sql[start : start + _PIECE + overlap].upper() for start in range(0, len(sql), _PIECE))


def transaction_words(sql: bytes, words: frozenset[str] | None = None) -> Iterator[TransactionWord]:
    """Find the statements of a script that begin or end a transaction; ROLLBACK TO a savepoint does not.

    In time linear in its length, and at once where `words`, its `words_in`, has none.
    """
    if _TRANSACTION_WORDS.isdisjoint(words_in(sql) if words is None else words):
        return
    for statement in statements(sql):
        first = _first_words(sql, statement.offset)
        if first and first[0] in _TRANSACTION_WORDS and "TO" not in first[1:]:
            yield TransactionWord(statement, first[0])


def table_drops(sql: bytes, words: frozenset[str] | None = None) -> Iterator[Statement]:
    """Find the DROP TABLE statements of a script; at once where `words`, its `words_in`, has no DROP."""
    if _DROP not in (words_in(sql) if words is None else words):
        return
    for statement in statements(sql):
        if _first_words(sql, statement.offset)[:2] == [_DROP, "TABLE"]:
            yield statement


def _first_words(sql: bytes, offset: int) -> list[str]:
    """Return the first three words of a statement, in capitals; BEGIN and its like are never longer before a TO."""
    words: list[str] = []
    for token in _TOKEN.finditer(sql, offset):
        if token.lastgroup == "blank":
            continue
        if token.lastgroup != "word" or len(words) == 3:
            break
        words.append(token.group().decode().upper())
    return words


def canonical(sql: bytes) -> tuple[str, ...]:
    """Return the words and signs of a statement, however it is spaced, quoted and commented."""
    tokens = (token for token in _TOKEN.finditer(sql) if token.lastgroup != "blank")
    return tuple(_bare(token.group().decode()) for token in tokens)


def _bare(token: str) -> str:
    """Return a token in lower case and without quotes, where it is a plain name, and as it is where it is a literal."""
    if token[0] == "'":
        return token
    bare = token[1:-1] if token[0] in '"`[' else token
    return bare.lower() if bare.isidentifier() else token


def first_token(sql: bytes, offset: int) -> int:
    """Return where the first thing that is neither blank nor comment stands, at `offset` or after it, in bytes."""
    return _LEADING_BLANK.match(sql, offset).end()  # type: ignore[union-attr]  # it matches the empty text


def fault_offset(sql: bytes, statement: Statement, reason: str) -> int:
    """Return where a failed statement is wrong, in bytes: at the word that SQLite names, if it stands there once."""
    begin = first_token(sql, statement.offset)
    named = _NAMED_WORD.match(reason)
    if named is None:
        return begin
    text = named[1] or named[2]
    word = re.escape(text.encode())
    pattern = rb"(?<!\w)" + word + rb"(?!\w)" if text.isidentifier() else word
    end = statement.offset + len(statement.text.encode())
    hits = [hit.start() for hit in re.compile(pattern).finditer(sql, begin, end)]
    return hits[0] if len(hits) == 1 else begin


def place(sql: bytes, offset: int) -> Place:
    """Return the line and column of a byte of a text."""
    begin = sql.rfind(b"\n", 0, offset) + 1
    end = sql.find(b"\n", offset)
    line = sql[begin : end if end >= 0 else len(sql)].removesuffix(b"\r")
    if begin == 0 and line.startswith(BOM):
        begin, line = len(BOM), line[len(BOM) :]
    column = len(sql[begin:offset].decode(errors="replace")) + 1
    return Place(sql.count(b"\n", 0, offset) + 1, column, line.decode(errors="replace"))


def frame(path: str, where: Place) -> str:
    """Draw a place in a file: its name, the line, and a caret below the column."""
    number = str(where.line)
    width = max(4, len(number) + 3)
    shown, before = _window(_CONTROL.sub("\N{REPLACEMENT CHARACTER}", where.text), where.column - 1)
    # Tabs stay tabs below, so that the caret stands under its letter whatever their width.
    blank = "".join(letter if letter == "\t" else " " for letter in before)
    return f"  --> {path}:{where.line}:{where.column}\n{number:>{width}} | {shown}\n{'':{width}} | {blank}^"


def _window(line: str, at: int, width: int = 120) -> tuple[str, str]:
    """Return the part of a line that is shown, and what of it stands before `at`; long lines are cut."""
    if len(line) <= width:
        return line, line[:at]
    begin = max(0, at - width // 2)
    return line[begin : begin + width], line[begin:at]


def directives(sql: bytes) -> Directives:
    """Read the directives in a script's leading comments, as yoyo and sqlx read theirs.

    Raises:
        ValueError: a directive has a value that it cannot have.
    """
    if sql.find(b"--") < 0:
        return _NO_DIRECTIVES
    transactional = not sql.startswith(b"-- no-transaction")
    foreign_keys = False
    depends: list[str] = []
    for name, value in _directive_lines(sql):
        if name == "transactional":
            transactional = _choice(name, value, {"true": transactional, "false": False})
        elif name == "foreign-keys":
            foreign_keys = _choice(name, value, {"on": True, "off": False})
        else:
            depends += value.split()
    return Directives(transactional, foreign_keys, tuple(depends))


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
