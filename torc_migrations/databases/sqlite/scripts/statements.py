"""Cut SQL text into statements, read its directives, and find a place in it; bytes in, values out."""

from __future__ import annotations

import re
import sqlite3
from codecs import BOM_UTF8 as BOM
from collections.abc import Iterable, Iterator
from collections.abc import Set as AbstractSet
from itertools import pairwise
from typing import NamedTuple, TypeAlias

from torc_migrations.formatting import lowered

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
    | (?P<quoted>    '(?:[^']++|'')*+(?:'|\Z) | "(?:[^"]++|"")*+(?:"|\Z)
                   | `(?:[^`]++|``)*+(?:`|\Z) | \[[^\]]*(?:\]|\Z) )
    | (?P<word>      [A-Za-z0-9_$\x80-\xff]+ )
    | (?P<sign>      . )
    """,
    re.VERBOSE | re.DOTALL,
)
# Possessive, because otherwise the expression keeps where each repetition began: a hundred bytes for a blank line.
_LEADING_BLANK = re.compile(rb"(?:" + _BLANK + rb")*+", re.VERBOSE | re.DOTALL)
_EMPTY_STATEMENTS = re.compile(rb"(?: (?:" + _BLANK + rb")*+ ; )*+", re.VERBOSE | re.DOTALL)

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

_TRANSACTION_WORDS = frozenset({"BEGIN", "COMMIT", "END", "ROLLBACK"})
_DROP = "DROP"
_WORD = {word: re.compile(rb"\b" + word.encode() + rb"\b") for word in (*_TRANSACTION_WORDS, _DROP)}
_LONGEST_WORD = len("ROLLBACK")
_CONFLICT = re.compile(rb"\bIGNORE\b|\bREPLACE\b|\bCONFLICT\b")
_CONFLICTS = frozenset({(b"OR", b"IGNORE"), (b"OR", b"REPLACE"), (b"REPLACE", b"INTO"), (b"ON", b"CONFLICT")})
_RENAME = re.compile(rb"\bRENAME\b")
_LONGEST_CONFLICT = len("CONFLICT")
# https://doc.rust-lang.org/std/primitive.char.html#method.is_whitespace
_UNICODE_BLANKS = " \t\n\v\f\r\x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(map(chr, range(0x2000, 0x200B)))
_OUTER_BLANKS = re.compile("|".join(_UNICODE_BLANKS).join(("(?:", ")++")).encode())
_LONGEST_END = 1000  # bytes
_VERTICAL_TAB = ord("\v")
_PIECE = 1 << 16

# Names, and what SQLite skips, in the text of a statement.
NAME = r"""(?: "(?:[^"]++|"")*+" | '(?:[^']++|'')*+' | `(?:[^`]++|``)*+` | \[[^\]]*\] | [\w$]+ )"""
# Each alternative begins with another character and has one end, so that matching is linear; possessive as above.
BLANKS = r"(?: [\s\ufeff]++ | --[^\n]*+\n | /\*[^*]*+\*++(?:[^/*][^*]*+\*++)*+/ )*+"
_RENAMES = re.compile(
    rf"{BLANKS} ALTER {BLANKS} TABLE {BLANKS} (?: {NAME} {BLANKS} \. {BLANKS} )? (?P<old> {NAME} ) {BLANKS}"
    rf"RENAME {BLANKS} TO {BLANKS} (?P<name> {NAME} )",
    re.VERBOSE | re.DOTALL | re.IGNORECASE,
)
# A table that is copied whole is transferred, page by page, and the authorizer is not asked about reading it.
_TRANSFERS = re.compile(
    rf"{BLANKS} (?: INSERT | REPLACE ) \b .{{,40}}? \b INTO {BLANKS} {NAME} {BLANKS}"
    rf"(?: \. {BLANKS} {NAME} {BLANKS} )? (?: AS {BLANKS} {NAME} {BLANKS} )? (?: \( [^)]* \) {BLANKS} )?"
    rf"SELECT {BLANKS} (?: ALL {BLANKS} )? \* {BLANKS} FROM {BLANKS}"
    rf"(?: (?P<schema> {NAME} ) {BLANKS} \. {BLANKS} )? (?P<name> {NAME} )",
    re.VERBOSE | re.DOTALL | re.IGNORECASE,
)
_DROPS = re.compile(
    rf"{BLANKS} DROP {BLANKS} TABLE {BLANKS} (?: IF {BLANKS} EXISTS {BLANKS} )?"
    rf"(?: {NAME} {BLANKS} \. {BLANKS} )? (?P<name> {NAME} )",
    re.VERBOSE | re.DOTALL | re.IGNORECASE,
)
_MAKES = (
    *(sqlite3.SQLITE_CREATE_TABLE, sqlite3.SQLITE_CREATE_VTABLE, sqlite3.SQLITE_CREATE_TEMP_TABLE),
    sqlite3.SQLITE_INSERT,
)
_Place: TypeAlias = tuple[str | None, str]  # a table: its schema, and its name in lower case


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


def statements(sql: bytes) -> Iterator[Statement]:
    """Cut a script where SQLite itself would, in time linear in its length.

    What follows the last semicolon is a statement too, unless it is blank; a semicolon alone is none. SQLite is asked
    at the first semicolon of a statement. Only where that one lies in a quote, a comment or a trigger is the statement
    read, once, to its end. Blanks of Unicode at both ends of the script are left out, as by sqlx.
    """
    start = len(BOM) if sql.startswith(BOM) else 0
    if outer := _OUTER_BLANKS.match(sql, start):
        start = outer.end()
    sql = _without_blanks_at_end(sql)
    # A byte order mark and a vertical tab are letters for complete_statement(), and blanks for SQLite's parser.
    trusted = _VERTICAL_TAB not in sql and sql.find(BOM, start) < 0
    while end := sql.find(b";", start) + 1:
        if (first := first_token(sql, start)) >= end - 1:  # a comment may hide the semicolon
            if first == len(sql):
                return
            if sql.startswith(b";", first):
                start = _EMPTY_STATEMENTS.match(sql, start).end()  # type: ignore[union-attr]  # it matches the empty text
                continue
        text = sql[start:end].decode()
        if not (trusted and complete_statement(text)):
            end = _statement_end(sql, start)
            text = sql[start:end].decode()
        yield Statement(start, text)
        start = end
    rest = sql[start:]
    if rest.strip(b" \t\n\f\r") and first_token(sql, start) < len(sql):
        yield Statement(start, rest.decode())


def _without_blanks_at_end(sql: bytes) -> bytes:
    """Leave out the blanks at the end if there are some among them that are none for SQLite."""
    if not sql or sql[-1:].isalnum() or sql.endswith(b";"):
        return sql
    end = sql[-_LONGEST_END:].decode(errors="replace")
    blanks = end[len(end.rstrip(_UNICODE_BLANKS)) :]
    return sql if not blanks.strip(" \t\n\f\r") else sql[: len(sql) - len(blanks.encode())]


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


def _has_one_of(sql: bytes, words: Iterable[str]) -> bool:
    """Return whether one of some words in capitals stands anywhere, in whichever case, quoted or not."""
    sought = [(word.encode(), _WORD[word]) for word in words]
    pieces = _in_capitals(sql, _LONGEST_WORD)
    return any(word in piece and whole.search(piece) for piece in pieces for word, whole in sought)


def _in_capitals(sql: bytes, overlap: int) -> Iterable[bytes]:
    """Return a text in capitals, piece by piece: to look for a word so is ten times as fast as to ignore the case."""
    if len(sql) <= _PIECE:
        return (sql.upper(),)
    return (sql[start : start + _PIECE + overlap].upper() for start in range(0, len(sql), _PIECE))


def transaction_words(sql: bytes) -> Iterator[TransactionWord]:
    """Find the statements of a script that begin or end a transaction; ROLLBACK TO a savepoint does not.

    In time linear in its length.
    """
    if not _has_one_of(sql, _TRANSACTION_WORDS):
        return
    for statement in statements(sql):
        first = first_words(sql, statement.offset)
        if first and first[0] in _TRANSACTION_WORDS and "TO" not in first[1:]:
            yield TransactionWord(statement, first[0])


def table_drops(sql: bytes) -> Iterator[Statement]:
    """Find the DROP TABLE statements of a script."""
    if not _has_one_of(sql, (_DROP,)):
        return
    for statement in statements(sql):
        if first_words(sql, statement.offset)[:2] == [_DROP, "TABLE"]:
            yield statement


def changes_schema(sql: bytes, offset: int) -> bool:
    """Return whether the statement at an offset creates, alters or drops something."""
    return first_words(sql, offset)[:1] in (["CREATE"], ["ALTER"], [_DROP])


def skips_rows(sql: bytes) -> bool:
    """Return whether a script may leave out or replace rows where they conflict; triggers that it creates aside."""
    if not any(_CONFLICT.search(piece) for piece in _in_capitals(sql, _LONGEST_CONFLICT)):
        return False
    return any(_skips_rows(each.text.encode()) for each in statements(sql))


def _skips_rows(statement: bytes) -> bool:
    words = [token.group().upper() for token in _TOKEN.finditer(statement) if token.lastgroup in ("word", "sign")]
    return b"TRIGGER" not in words[:3] and not _CONFLICTS.isdisjoint(pairwise(words))


def first_words(sql: bytes, offset: int) -> list[str]:
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


def names_in(sql: str) -> set[str]:
    """Return, in lower case and without quotes, every word and quoted text of a definition, which may be a name."""
    tokens = (token for token in _TOKEN.finditer(sql.encode()) if token.lastgroup in ("word", "quoted"))
    return {lowered(_unquoted(token.group().decode())) for token in tokens}


def _bare(token: str) -> str:
    """Return a token in lower case and without quotes, where it is a plain name, and as it is where it is a literal."""
    if token[0] == "'":
        return token
    bare = token[1:-1] if token[0] in '"`[' else token
    return lowered(bare) if bare.isidentifier() else token


def first_token(sql: bytes, offset: int) -> int:
    """Return where the first thing that is neither blank nor comment stands, at `offset` or after it, in bytes."""
    return _LEADING_BLANK.match(sql, offset).end()  # type: ignore[union-attr]  # it matches the empty text


def open_comment(sql: bytes) -> int | None:
    """Return where a comment begins that is never closed, as SQLite accepts it at the end of a text, or None."""
    last = sql.rfind(b"/*")
    if last < 0 or sql.find(b"*/", last + 2) >= 0:
        return None
    for token in _TOKEN.finditer(sql):
        if token.lastgroup == "blank" and token.end() == len(sql) and token[0][:2] == b"/*":
            return token.start()
    return None


def dropped_name(text: str) -> str | None:
    """Return the name of a table, in lower case, that a DROP TABLE has, or None for another statement."""
    found = _DROPS.match(text)
    return lowered(_unquoted(found["name"])) if found else None


def table_renames(sql: bytes) -> dict[str, set[str]]:
    """Return which names, in lower case, the tables had to which a script gives a name, by that name."""
    renames: dict[str, set[str]] = {}
    if not any(_RENAME.search(piece) for piece in _in_capitals(sql, len("RENAME"))):
        return renames
    for statement in statements(sql):
        if first_words(sql, statement.offset)[:2] == ["ALTER", "TABLE"] and (found := _RENAMES.match(statement.text)):
            old, new = (lowered(_unquoted(found[part])) for part in ("old", "name"))
            renames.setdefault(new, set()).add(old)
    return renames


def new_table_name(text: str) -> str | None:
    """Return the name that an ALTER TABLE ... RENAME TO gives, or None for another statement."""
    found = _RENAMES.match(text)
    return _unquoted(found["name"]) if found else None


def _unquoted(name: str) -> str:
    if name[0] == "[":
        return name[1:-1]
    return name[1:-1].replace(2 * name[0], name[0]) if name[0] in "\"'`" else name


class Flow:
    """The rows that a script has copied from table to table, however often, and those that it has put back.

    Attributes:
        put_back: the tables in the main file into which the last statement has put copies of their own rows.
        returned: those into which any statement has.
    """

    def __init__(self) -> None:
        self.put_back: frozenset[str] = frozenset()
        self.returned: frozenset[str] = frozenset()
        self._sources: dict[_Place, set[_Place]] = {}
        self._reads: set[_Place] = set()
        self._writes: set[_Place] = set()
        self._temporary: set[str] = set()

    def note(self, action: int, name: str | None, schema: str | None, by: str | None) -> None:
        """Note what a statement is about to read and to write."""
        if name is None or name.startswith("sqlite_"):
            return
        if action == sqlite3.SQLITE_READ:
            self._reads.add((schema, lowered(name)))
        elif action in _MAKES and by is None:
            self._writes.add((schema, lowered(name)))
            if action == sqlite3.SQLITE_CREATE_TEMP_TABLE:
                self._temporary.add(lowered(name))

    def note_insert(self, schema: str, table: str) -> None:
        """Note that a statement is about to write rows into a table, whose name is in lower case."""
        self._writes.add((schema, table))

    def puts_back(self, text: str) -> bool:
        """Return whether the statement that is being run puts copies of a table's rows back."""
        self._reads |= self.transferred(text)
        return bool(self._put_back())

    def copies_of(self, names: AbstractSet[str]) -> frozenset[str]:
        """Return the tables in the main file, in lower case, that have got rows of tables of these names."""
        return frozenset(
            name
            for (schema, name), sources in self._sources.items()
            if schema == "main" and any(of == "main" and source in names for of, source in sources)
        )

    def rename(self, old: str, new: str) -> None:
        """Note that a table in the main file, with the rows that it has got, has another name now."""
        if sources := self._sources.pop(("main", old), None):
            self._sources[("main", new)] = sources

    def transferred(self, text: str) -> set[_Place]:
        """Return the table that a statement copies whole: its schema, and its name in lower case."""
        if not self._writes or not (found := _TRANSFERS.match(text)):
            return set()
        name, schema = lowered(_unquoted(found["name"])), found["schema"] and lowered(_unquoted(found["schema"]))
        table: set[_Place] = {(schema or ("temp" if name in self._temporary else "main"), name)}
        return table if self._reads <= table else set()

    def _put_back(self) -> frozenset[str]:
        copied = set[_Place]().union(*(self._sources.get(place, ()) for place in self._reads))
        return frozenset(name for schema, name in self._writes & copied if schema == "main")

    def end_statement(self, text: str) -> None:
        """Note that a statement was run."""
        self.put_back = frozenset()
        if "*" in text:
            self._reads |= self.transferred(text)
        if self._reads and self._writes:
            self.put_back = self._put_back()
            self.returned |= self.put_back
            origins = self._reads.union(*(self._sources.get(place, ()) for place in self._reads))
            for place in self._writes:
                self._sources.setdefault(place, set()).update(origins - {place})
        self._reads.clear()
        self._writes.clear()


def unpaired(sql: bytes, *, strict: bool) -> TransactionWord | None:
    """Return the first statement that ends no transaction of the script's own, or begins one that has no end."""
    begun = None
    for found in transaction_words(sql):
        if strict or found.word == "ROLLBACK" or found.commits is (begun is None):
            return found
        begun = None if found.commits else found
    return begun
