"""Verify that queries use their indexes: compare query plans with expectations."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from torc_migrations.databases.interface import Database
from torc_migrations.databases.results.plans import Explainer, NoPlan, PlanLine, QueryPlan, begins_with
from torc_migrations.errors import CannotOpen
from torc_migrations.indexes.expectations import Expectation


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one expectation on one database.

    Attributes:
        plan: the plan of the query there.
        missing: the expected lines that the plan lacks. refused: the lines of the plan that must not be there.
        error: the message of the database if the query has no plan there, or None.
        notes: sentences that explain why the expectation failed.
    """

    expectation: Expectation
    plan: QueryPlan
    missing: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()
    error: str | None = None
    notes: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether the expectation holds."""
        return not (self.missing or self.refused or self.error)

    @property
    def indexes(self) -> tuple[str, ...]:
        """The names of the indexes that the query uses."""
        return self.plan.indexes

    def __str__(self) -> str:
        """Return the name of the expectation, which serves as the id of a test."""
        return self.expectation.name

    def as_text(self) -> str:
        """Return a line with the indexes in use; or, on a failure, what was expected, the plan, and the reason."""
        if self.ok:
            return f"ok      {self}: {', '.join(self.indexes) or 'no index'}"
        return "\n        ".join([f"failed  {self} ({self.expectation.place})", *self._reasons()])

    def _reasons(self) -> Iterator[str]:
        yield from (f"expected  {line}" for line in self.missing)
        yield from (f"refused   {line}" for line in self.refused)
        if self.error:
            yield f"error     {self.error}"
        else:
            yield from self.plan.as_text().splitlines()
        yield from self.notes

    def as_dict(self) -> dict[str, object]:
        """Return the same as values that `json` takes."""
        expectation = self.expectation
        return {
            "name": expectation.name,
            "path": expectation.path,
            "line": expectation.line,
            "query": expectation.query,
            "ok": self.ok,
            "indexes": list(self.indexes),
            "plan": list(self.plan.texts),
            "tree": self.plan.as_text(),
            "missing": list(self.missing),
            "refused": list(self.refused),
            "error": self.error,
            "notes": list(self.notes),
        }


def verify(database: Database, expectations: tuple[Expectation, ...]) -> tuple[Finding, ...]:
    """Compare the plan of each query with its expectation, in a transaction that reads; no query is run.

    Returns:
        A finding for each expectation, in the order of the files, whether it holds or not.
    """
    explainer = database.explainer()
    return tuple(_find(explainer, expectation) for expectation in expectations)


def verify_existing(database: Database, expectations: tuple[Expectation, ...]) -> tuple[Finding, ...]:
    """Do the same as of one moment, with a database that must exist.

    Raises:
        CannotOpen: its file does not exist.
    """
    refuse_missing(
        database,
        otherwise="; verify(fresh=True) needs none",
        command_otherwise="; `torc-migrations verify --fresh` needs none",
    )
    with database.reading():
        return verify(database, expectations)


def refuse_missing(database: Database, *, otherwise: str = "", command_otherwise: str = "") -> None:
    """Refuse a database that does not exist; `otherwise` is added to the hint, and to the command's hint the other.

    Raises:
        CannotOpen: its file does not exist.
    """
    if database.is_missing:
        raise CannotOpen(
            database.name,
            f"there is no database {database.name!r}",
            hint=f"upgrade() creates it{otherwise}",
            command_hint=f"`torc-migrations upgrade` creates it{command_otherwise}",
        )


def _find(explainer: Explainer, expectation: Expectation) -> Finding:
    """Return the plan of one query, compared with its expectation."""
    try:
        plan = explainer.explain(expectation.query)
    except NoPlan as error:
        return Finding(expectation, QueryPlan(), error=str(error), notes=tuple(explainer.why_no_plan(str(error))))
    missing = tuple(words for words in expectation.expects if not any(_is_of(line, words) for line in plan.lines))
    refused = tuple(line.text for line in plan.lines if any(_is_of(line, words) for words in expectation.refuses))
    notes = [note for words in missing for note in explainer.why_missing(words, plan)]
    notes += [note for text in refused for note in explainer.why_there(text)]
    return Finding(expectation, plan, missing, refused, notes=tuple(dict.fromkeys(notes)))


def _is_of(line: PlanLine, words: str) -> bool:
    """Return whether a line begins with some words, or with `index NAME` whether it uses this index in any way."""
    kind, _, name = words.partition(" ")
    return begins_with(line.text, words) or (kind == "index" and line.index == name.strip())
