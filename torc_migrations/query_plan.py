"""Ask SQLite for a query's plan, and read it: its tree, the indexes in it, what it scans."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import count
from typing import NamedTuple, TypeAlias

from torc_migrations.driver import sqlite3
from torc_migrations.script import first_token

Parameters: TypeAlias = "Sequence[object] | Mapping[str, object]"

# What EXPLAIN only looks at. A PRAGMA may take effect while it is compiled, so it is never explained.
_EXPLAINED = frozenset({b"SELECT", b"WITH", b"VALUES", b"INSERT", b"REPLACE", b"UPDATE", b"DELETE"})
_FIRST_WORD = re.compile(rb"[A-Za-z]+")

# Before 3.36 SQLite wrote `SEARCH TABLE job AS j`, where it says `SEARCH j` now.
_OLD_TABLE = re.compile(r"^(SCAN|SEARCH) TABLE (?:\S+ AS )?")
_INDEX = re.compile(r"USING (?:COVERING )?INDEX (.+?)(?: \(| FOR IN-OPERATOR| LEFT-JOIN|$)")
_SCAN = re.compile(
    r"SCAN (?!SUBQUERY |CONSTANT ROW|\d+ CONSTANT ROWS|\(|.* VIRTUAL TABLE INDEX )(?P<name>.+?)(?: USING |$)"
)
_TABLE = re.compile(r"(?:SCAN|SEARCH) (\S+)")
_MADE_HERE = re.compile(r"(?:MATERIALIZE|CO-ROUTINE) (.+)")
_AUTOMATIC = re.compile(r"SEARCH .* USING AUTOMATIC ")
_COUNT = re.compile(r"statement uses (\d+)")

_questions = count(1)


class PlanLine(NamedTuple):
    """A line of a plan: its number, the number of the line above it (0 for none), its words."""

    number: int
    parent: int
    text: str


class QueryPlan(NamedTuple):
    """What SQLite is going to do for a query, in its own words."""

    lines: tuple[PlanLine, ...] = ()

    @property
    def texts(self) -> tuple[str, ...]:
        """The words of every line, from the top."""
        return tuple(line.text for line in self.lines)

    @property
    def indexes(self) -> tuple[str, ...]:
        """The names of the indexes that are used, each once; rowids and automatic indexes have none."""
        found = (_INDEX.search(text) for text in self.texts)
        return tuple(dict.fromkeys(hit[1] for hit in found if hit))

    @property
    def scans(self) -> tuple[str, ...]:
        """The lines that read a whole table or a whole index, or build an index for this one query."""
        made_here = {hit[1] for text in self.texts if (hit := _MADE_HERE.match(text))}
        return tuple(text for text in self.texts if _is_scan(text, made_here))

    def as_text(self) -> str:
        """Draw the plan as the sqlite3 shell does, a line each, without a final newline."""
        return "\n".join(["QUERY PLAN", *self._branches(0, "")])

    def _branches(self, parent: int, indent: str) -> Iterator[str]:
        children = [line for line in self.lines if line.parent == parent]
        for line in children:
            is_last = line is children[-1]
            yield f"{indent}{'`--' if is_last else '|--'}{line.text}"
            yield from self._branches(line.number, indent + ("   " if is_last else "|  "))


def _is_scan(text: str, made_here: set[str]) -> bool:
    if _AUTOMATIC.match(text):
        return True
    scan = _SCAN.match(text)
    return scan is not None and scan["name"] not in made_here


def index_in(line: str) -> str | None:
    """Return the index that a line of a plan names, or None."""
    found = _INDEX.search(normalised(line))
    return found[1] if found else None


def table_in(line: str) -> str | None:
    """Return the table, or what the query calls it, that a line of a plan scans or searches, or None."""
    found = _TABLE.match(normalised(line))
    return found[1] if found else None


def normalised(line: str) -> str:
    """Return a line of a plan as SQLite has written it since 3.36, with single blanks."""
    return _OLD_TABLE.sub(r"\1 ", " ".join(line.split()))


def begins_with(line: str, words: str) -> bool:
    """Tell whether a line of a plan says this: the same, or the same and more behind a blank."""
    line, words = normalised(line), normalised(words)
    return line == words or line.startswith(f"{words} ")


def can_be_explained(sql: str) -> bool:
    """Tell whether a statement has a plan that can be asked for without running anything of it."""
    text = sql.encode(errors="replace")
    word = _FIRST_WORD.match(text, first_token(text, 0))
    return word is not None and word[0].upper() in _EXPLAINED


def explain(connection: sqlite3.Connection, sql: str, parameters: Parameters | None = None) -> QueryPlan:
    """Return the plan of one statement, which is not run; without parameters each of them counts as NULL.

    The connection stays as it is: its transaction, its row factory, its `total_changes`. See
    https://sqlite.org/eqp.html for the words.

    Raises:
        ValueError: this is no statement with a plan; see `can_be_explained`.
        sqlite3.Error: SQLite cannot compile it.
    """
    if not can_be_explained(sql):
        raise ValueError("only SELECT, INSERT, UPDATE and DELETE have a plan")
    # Not connection.cursor(), which a subclass may have made its own.
    cursor = sqlite3.Cursor(connection)
    # Every question is another text: a statement that the driver kept would tell the plan of an older schema, which
    # SQLite checks only where a statement really runs.
    question = f"EXPLAIN QUERY PLAN /* {next(_questions)} */ {sql}"
    rows = _bound_to_nothing(cursor, question) if parameters is None else cursor.execute(question, parameters)
    return QueryPlan(tuple(PlanLine(int(row[0]), int(row[1]), normalised(_text(row[3]))) for row in rows))


class _Nothing(dict[str, None]):
    """NULL for every name."""

    def __missing__(self, name: str) -> None:
        return None


def _bound_to_nothing(cursor: sqlite3.Cursor, question: str) -> sqlite3.Cursor:
    try:
        return cursor.execute(question, _Nothing())
    except sqlite3.ProgrammingError as error:
        if "has no name" not in str(error):
            raise
    return cursor.execute(question, (None,) * _parameter_count(cursor, question))


def _parameter_count(cursor: sqlite3.Cursor, question: str) -> int:
    """Learn from the driver's own complaint how many parameters a statement takes; only SQLite's parser knows."""
    try:
        cursor.execute(question, ())
    except sqlite3.ProgrammingError as error:
        if found := _COUNT.search(str(error)):
            return int(found[1])
        raise
    return 0


def _text(detail: object) -> str:
    return detail.decode(errors="replace") if isinstance(detail, bytes) else str(detail)
