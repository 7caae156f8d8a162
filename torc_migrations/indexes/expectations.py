"""Read expectations of query plans: comments above queries in the directory `verify` of a source."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torc_migrations.databases.sqlite.scripts.statements import first_token, statements
from torc_migrations.errors import BadScript, SourceError
from torc_migrations.sources.files import SHIPPED, list_files
from torc_migrations.sources.migration import Script
from torc_migrations.sources.source import Source
from torc_migrations.sources.text import bad_script, place

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

    from torc_migrations.sources.source import SourceLike

DIRECTORY = "verify"

_PACKAGE = "package:"
_WORDS = ("name", "expect", "refuse")
_HINT = f"write `-- name:` and `-- expect:` above a query, in a file {DIRECTORY}/NAME.sql next to the migrations"
_LINE = re.compile(rb"^[ \t]*--[ \t]*(?P<word>[A-Za-z]+)[ \t]*:(?P<value>[^\r\n]*)\r?$", re.MULTILINE)
_MISPLACED = re.compile(rb"--[ \t]*(?P<word>name|expect|refuse)[ \t]*:")


@dataclass(frozen=True, slots=True)
class Expectation:
    """A query, and what its plan must contain.

    Attributes:
        name: what it is called; unique in a source. query: its SQL, without the semicolon.
        expects: beginnings of lines that must be in the plan.
        refuses: beginnings of lines that must not be in the plan.
        path, line: where it is written; lines are counted from 1.
    """

    name: str
    query: str
    expects: tuple[str, ...]
    refuses: tuple[str, ...]
    path: str
    line: int

    @property
    def place(self) -> str:
        """Where it is written: file and line."""
        return f"{self.path}:{self.line}"


def find_expectations(source: SourceLike = None) -> tuple[Expectation, ...]:
    """Read the expectations of a source: the `.sql` files in its directory `verify`, which yoyo and sqlx do not read.

    Raises:
        SourceError: there is no such directory, it is empty, or two expectations have the same name.
        BadScript: a file cannot be understood; with the line.
    """
    directories = _directories(source)
    found = tuple(expectation for directory in directories for expectation in _read(directory))
    if not found:
        names = " and ".join(str(directory) for directory in directories)
        raise SourceError(names, f"there is no expectation in {names}", hint=_HINT)
    _refuse_duplicates(found)
    return found


def _read(directory: str | Traversable) -> Iterator[Expectation]:
    try:
        _, files = list_files(directory)
    except SourceError as error:
        is_package = isinstance(directory, str) and directory.startswith(_PACKAGE)
        raise SourceError(error.source, str(error), hint=error.hint if is_package else _HINT) from error
    for name, location in files:
        if _is_sql(name):
            script = Script(location)
            yield from parse(script.path, script.sql)


def _is_sql(name: str) -> bool:
    return name.endswith(".sql") and not name.startswith(".")


def _directories(source: SourceLike) -> list[str | Traversable]:
    """Return where the expectations of a source are; a source that combines several may have several directories."""
    if isinstance(source, Sequence) and not isinstance(source, str):
        return [directory for each in source for directory in _directories(each)]
    if not isinstance(source, Source):
        return [_directory(source)]
    if source.name == SHIPPED:
        return [_shipped()]
    parents = dict.fromkeys(os.path.dirname(migration.up.path) for migration in source.migrations)
    directories = [os.path.join(parent, DIRECTORY) for parent in parents]
    return [*filter(os.path.isdir, directories)] or [*directories]


def _directory(source: str | os.PathLike[str] | Traversable | None) -> str | Traversable:
    if source is None:
        return _shipped()
    if isinstance(source, str) and source.startswith(_PACKAGE):
        return f"{source}/{DIRECTORY}" if source.count(":") > 1 else f"{source}:{DIRECTORY}"
    if isinstance(source, (str, os.PathLike)):
        return os.path.join(os.fspath(source), DIRECTORY)
    return source / DIRECTORY


def _shipped() -> str | Traversable:
    """Return the directory next to the shipped migrations; in a zipped package only importlib can read it."""
    _, ((_, first), *_) = list_files(None)
    if isinstance(first, str):
        return os.path.join(os.path.dirname(first), DIRECTORY)
    from importlib.resources import files

    return files("torc_migrations") / "sql" / DIRECTORY


def _refuse_duplicates(found: tuple[Expectation, ...]) -> None:
    places: dict[str, str] = {}
    for expectation in found:
        if expectation.name in places:
            raise SourceError(
                expectation.path,
                f"two expectations are named {expectation.name!r}: in {places[expectation.name]} "
                f"and in {expectation.place}",
                hint="give one of them another name",
            )
        places[expectation.name] = expectation.place


def parse(path: str, sql: bytes) -> tuple[Expectation, ...]:
    """Return the expectations in a file.

    Raises:
        BadScript: a query has no name, or expects and refuses nothing; a word is misspelled, is in the wrong place,
            or has no value.
    """
    found = []
    end = 0
    for statement in statements(sql):
        start, begin = end, first_token(sql, statement.offset)
        end = statement.offset + len(statement.text.encode())
        _refuse_misplaced_words(path, sql, begin, end)
        found.append(_expectation(path, sql, start, begin, end))
    if extra := next(_words(path, sql, end, len(sql)), None):
        hint = "write the query below it, and end it with a semicolon"
        raise _bad(path, sql, extra.offset, f"there is no query below this `-- {extra.word}:`", hint=hint)
    return tuple(found)


@dataclass(frozen=True, slots=True)
class _Word:
    """A line such as `-- name: jobs of a workflow`, and its offset in the file, in bytes."""

    offset: int
    word: str
    value: str


def _expectation(path: str, sql: bytes, start: int, begin: int, end: int) -> Expectation:
    words = tuple(_words(path, sql, start, begin))
    names = [word for word in words if word.word == "name"]
    expects = tuple(word.value for word in words if word.word == "expect")
    refuses = tuple(word.value for word in words if word.word == "refuse")
    if not names:
        raise _bad(path, sql, begin, "this query has no name", hint="write `-- name:` and what it is for above it")
    if len(names) > 1:
        raise _bad(path, sql, names[1].offset, "this query has a second name", hint="end the query above with `;`")
    if not expects and not refuses:
        raise _bad(path, sql, begin, "this query expects nothing", hint="write `-- expect:` and a line of its plan")
    query = sql[begin:end].decode().rstrip().removesuffix(";")
    return Expectation(names[0].value, query, expects, refuses, path, place(sql, names[0].offset).line)


def _words(path: str, sql: bytes, start: int, end: int) -> Iterator[_Word]:
    for line in _LINE.finditer(sql, start, end):
        word, value = line["word"].decode(), line["value"].strip(b" \t").decode()
        if word not in _WORDS:
            _refuse_misspelled(path, sql, line.start("word"), word)
            continue
        if not value:
            raise _bad(path, sql, line.start("word"), f"`-- {word}:` has no value")
        yield _Word(line.start("word"), word, value)


def _refuse_misspelled(path: str, sql: bytes, offset: int, word: str) -> None:
    """Refuse a word such as `-- expects:`, which would be ignored; other words are comments."""
    from difflib import get_close_matches

    if near := get_close_matches(word.lower(), _WORDS, n=1, cutoff=0.75):
        raise _bad(path, sql, offset, f"unknown word `-- {word}:`", hint=f"did you mean `-- {near[0]}:`?")


def _refuse_misplaced_words(path: str, sql: bytes, begin: int, end: int) -> None:
    """Refuse a word inside a query or after it on its last line, where it would be ignored."""
    newline = sql.find(b"\n", end)
    if found := _MISPLACED.search(sql, begin, len(sql) if newline < 0 else newline):
        word = found["word"].decode()
        raise _bad(path, sql, found.start("word"), f"`-- {word}:` must be above the query")


def _bad(path: str, sql: bytes, offset: int, reason: str, *, hint: str | None = None) -> BadScript:
    return bad_script(path, sql, offset, f"{path}:{place(sql, offset).line}: {reason}", hint=hint)
