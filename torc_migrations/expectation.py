"""Read query-plan expectations: comments above queries in the folder `verify` of a source."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from torc_migrations.errors import BadScript, SourceError
from torc_migrations.listing import SHIPPED, list_files
from torc_migrations.migration import Script, Source
from torc_migrations.script import first_token, frame, place, statements

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

    from torc_migrations.migration import SourceLike

FOLDER = "verify"

_PACKAGE = "package:"
_WORDS = ("name", "expect", "refuse")
_HINT = f"write `-- name:` and `-- expect:` above a query, into a file {FOLDER}/NAME.sql beside the migrations"
_LINE = re.compile(rb"^[ \t]*--[ \t]*(?P<word>[A-Za-z]+)[ \t]*:(?P<value>[^\r\n]*)\r?$", re.MULTILINE)
_ASTRAY = re.compile(rb"--[ \t]*(?P<word>name|expect|refuse)[ \t]*:")


class Expectation(NamedTuple):
    """A query, and what its plan has to say.

    `expects` are beginnings of lines that have to be in the plan, `refuses` of lines that must not be. `path` and
    `line` (counted from 1) tell where it is written.
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
    """Read the expectations of a source, which neither yoyo nor sqlx look at: the `.sql` files in its `verify`.

    Raises:
        SourceError: there is no such folder, nothing is in it, or two expectations have one name.
        BadScript: a file says what cannot be understood; with the line.
    """
    folders = _folders(source)
    found = tuple(expectation for folder in folders for expectation in _read(folder))
    if not found:
        names = " and ".join(str(folder) for folder in folders)
        raise SourceError(names, f"there is no expectation in {names}", hint=_HINT)
    _refuse_twins(found)
    return found


def _read(folder: str | Traversable) -> Iterator[Expectation]:
    try:
        _, files = list_files(folder)
    except SourceError as error:
        is_package = isinstance(folder, str) and folder.startswith(_PACKAGE)
        raise SourceError(error.source, str(error), hint=error.hint if is_package else _HINT) from error
    for name, location in files:
        if _is_sql(name):
            script = Script(location)
            yield from parse(script.path, script.sql)


def _is_sql(name: str) -> bool:
    return name.endswith(".sql") and not name.startswith(".")


def _folders(source: SourceLike) -> list[str | Traversable]:
    """Return where the expectations of a source are; one that was combined of several has several such folders."""
    if not isinstance(source, Source):
        return [_folder(source)]
    if source.name == SHIPPED:
        return [_shipped()]
    folders = dict.fromkeys(os.path.dirname(migration.up.path) for migration in source.migrations)
    there = [path for folder in folders if os.path.isdir(path := os.path.join(folder, FOLDER))]
    return [*there] or [os.path.join(folder, FOLDER) for folder in folders]


def _folder(source: str | os.PathLike[str] | Traversable | None) -> str | Traversable:
    if source is None:
        return _shipped()
    if isinstance(source, str) and source.startswith(_PACKAGE):
        return f"{source}/{FOLDER}" if source.count(":") > 1 else f"{source}:{FOLDER}"
    if isinstance(source, (str, os.PathLike)):
        return os.path.join(os.fspath(source), FOLDER)
    return source / FOLDER


def _shipped() -> str | Traversable:
    """Find the folder beside the shipped migrations; in a zipped package only importlib can read it."""
    _, ((_, first), *_) = list_files(None)
    if isinstance(first, str):
        return os.path.join(os.path.dirname(first), FOLDER)
    from importlib.resources import files

    return files("torc_migrations") / "sql" / FOLDER


def _refuse_twins(found: tuple[Expectation, ...]) -> None:
    places: dict[str, str] = {}
    for expectation in found:
        if expectation.name in places:
            raise SourceError(
                expectation.path,
                f"the expectation {expectation.name!r} stands twice: in {places[expectation.name]} "
                f"and in {expectation.place}",
                hint="give one of them another name",
            )
        places[expectation.name] = expectation.place


def parse(path: str, sql: bytes) -> tuple[Expectation, ...]:
    """Cut a file into expectations.

    Raises:
        BadScript: a query has no name, or expects and refuses nothing; a word is misspelled, stands in the wrong
            place, or has no value.
    """
    found = []
    end = 0
    for statement in statements(sql):
        begin = first_token(sql, statement.offset)
        end = statement.offset + len(statement.text.encode())
        _refuse_words_astray(path, sql, begin, end)
        found.append(_expectation(path, sql, statement.offset, begin, end))
    if astray := next(_words(path, sql, end, len(sql)), None):
        raise _bad(path, sql, astray.offset, "there is no query below", hint="write the query, ending in a semicolon")
    return tuple(found)


class _Word(NamedTuple):
    """A line such as `-- name: jobs of a workflow`, and where in the file it is, in bytes."""

    offset: int
    word: str
    value: str


def _expectation(path: str, sql: bytes, start: int, begin: int, end: int) -> Expectation:
    words = tuple(_words(path, sql, start, begin))
    names = [word for word in words if word.word == "name"]
    expects = tuple(word.value for word in words if word.word == "expect")
    refuses = tuple(word.value for word in words if word.word == "refuse")
    if not names:
        raise _bad(path, sql, begin, "this query has no name", hint="write `-- name: what it is for` above it")
    if len(names) > 1:
        raise _bad(path, sql, names[1].offset, "this query has a second name", hint="end the query before it with `;`")
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
            raise _bad(path, sql, line.start("word"), f"`-- {word}:` says nothing")
        yield _Word(line.start("word"), word, value)


def _refuse_misspelled(path: str, sql: bytes, offset: int, word: str) -> None:
    """Refuse `-- expects:`, which nobody would look at; other words are comments."""
    from difflib import get_close_matches

    if near := get_close_matches(word.lower(), _WORDS, n=1, cutoff=0.75):
        raise _bad(path, sql, offset, f"`-- {word}:` is not known", hint=f"did you mean `-- {near[0]}:`?")


def _refuse_words_astray(path: str, sql: bytes, begin: int, end: int) -> None:
    """Refuse a word inside a query or behind it on its last line, where nobody would look at it."""
    newline = sql.find(b"\n", end)
    if astray := _ASTRAY.search(sql, begin, len(sql) if newline < 0 else newline):
        word = astray["word"].decode()
        raise _bad(path, sql, astray.start("word"), f"`-- {word}:` stands beside the query, and belongs above it")


def _bad(path: str, sql: bytes, offset: int, reason: str, *, hint: str | None = None) -> BadScript:
    where = place(sql, offset)
    return BadScript(
        path,
        f"{path}:{where.line}: {reason}",
        line=where.line,
        column=where.column,
        frame=frame(path, where),
        hint=hint,
    )
