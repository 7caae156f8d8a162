"""How a database runs a query: the lines of its plan, and what explains them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

# SQLite before 3.36 wrote `SEARCH TABLE job AS j`; later versions write `SEARCH j`.
_OLD_TABLE = re.compile(r"^(SCAN|SEARCH) TABLE (?:\S+ AS )?")


class NoPlan(Exception):  # it never leaves this package and `indexes`
    """A query has no plan on this database; the words are those of the database."""


@dataclass(frozen=True, slots=True)
class PlanLine:
    """A line of a plan: its number, the number of its parent line (0 for none), its text.

    `index` is the index that it uses, or None. `is_scan` says whether it reads a whole table or a whole index, or
    builds an index for this query only.
    """

    number: int
    parent: int
    text: str
    index: str | None = None
    is_scan: bool = False


@dataclass(frozen=True, slots=True)
class QueryPlan:
    """How a database runs a query: the lines of its EXPLAIN."""

    lines: tuple[PlanLine, ...] = ()

    @property
    def texts(self) -> tuple[str, ...]:
        """The text of every line, in order."""
        return tuple(line.text for line in self.lines)

    @property
    def indexes(self) -> tuple[str, ...]:
        """The names of the indexes that are used, each once; a rowid and an automatic index have no name."""
        return tuple(dict.fromkeys(line.index for line in self.lines if line.index is not None))

    @property
    def scans(self) -> tuple[str, ...]:
        """The lines that read a whole table or a whole index, or build an index for this query only."""
        return tuple(line.text for line in self.lines if line.is_scan)

    def as_text(self) -> str:
        """Draw the plan as the sqlite3 shell does, a line each, without a final newline."""
        return "\n".join(["QUERY PLAN", *self._branches(0, "")])

    def _branches(self, parent: int, indent: str) -> Iterator[str]:
        children = [line for line in self.lines if line.parent == parent]
        for line in children:
            is_last = line is children[-1]
            yield f"{indent}{'`--' if is_last else '|--'}{line.text}"
            yield from self._branches(line.number, indent + ("   " if is_last else "|  "))


class Explainer(Protocol):
    """Returns the plans of queries on one database, and explains them."""

    def explain(self, query: str) -> QueryPlan:
        """Return the plan of a query, which is not run; its parameters have no values.

        Raises:
            NoPlan: it has none on this database.
        """

    def index_in(self, words: str) -> str | None:
        """Return the index that an expected line names, or None."""

    def why_missing(self, words: str, plan: QueryPlan) -> Iterable[str]:
        """Yield sentences that explain why an expected line is not in a plan."""

    def why_there(self, text: str) -> Iterable[str]:
        """Yield sentences that explain why a line is in a plan that must not be there."""

    def why_no_plan(self, reason: str) -> Iterable[str]:
        """Yield sentences that explain why a query has no plan; `reason` is what the database has said."""


def normalised(line: str) -> str:
    """Return a line of a plan with single spaces, and one of SQLite as 3.36 and later write it."""
    return _OLD_TABLE.sub(r"\1 ", " ".join(line.split()))


def begins_with(line: str, words: str) -> bool:
    """Return whether a line of a plan begins with these words; the last of them must match as a whole."""
    line, words = normalised(line), normalised(words)
    return line == words or line.startswith(f"{words} ")
