"""Run migrations one by one on a database that is nobody's, and note what each of them has done."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import cast

from torc_migrations.checks.linting.states import State, states_of
from torc_migrations.databases.interface import Database, RecordedEffects
from torc_migrations.databases.results.violations import BrokenObject
from torc_migrations.formatting import lowered
from torc_migrations.history.steps import Outcome
from torc_migrations.sources.migration import Migration


@dataclass(frozen=True, slots=True)
class Fact:
    """What one migration has done.

    Attributes:
        migration: it. elapsed_ns: how long its script took.
        before, after: the database before and after it.
        effects: what its script did, as the database reports it.
        broken: what does not work any more after it.
    """

    migration: Migration
    elapsed_ns: int
    before: State
    after: State
    effects: RecordedEffects
    broken: tuple[BrokenObject, ...]

    def name_after(self, table: str) -> str:
        """Return the lower name that a table has afterwards; its own where it was not renamed, or was made again."""
        now = self.effects.renamed_tables.get(table, table)
        return now if now in self.after.tables else table

    def column_after(self, table: str, column: str) -> str:
        """Return the lower name that a column has afterwards."""
        return self.effects.renamed_columns.get(table, {}).get(lowered(column), lowered(column))

    def line(self, *names: str, verbs: Collection[str] = ()) -> int | None:
        """Return the line of the last statement whose first words have one of the names, or of the first statement.

        Of those with a name, one that has one of the `verbs` too is preferred.
        """
        wanted = {lowered(name).rpartition(".")[2] for name in names}
        naming = [each for each in self.effects.statements if wanted.intersection(words(each.words))]
        acting = [each for each in naming if not words(each.words).isdisjoint(verbs)]
        return next((each.line for each in (*acting[-1:], *naming[-1:], *self.effects.statements)), None)


def words(text: str) -> set[str]:
    """Return the words of a text in lower case, without signs and quotes."""
    return set(_words(text))


def _words(text: str) -> Iterator[str]:
    word = ""
    for letter in lowered(text) + " ":
        if letter.isalnum() or letter == "_":
            word += letter
        elif word:
            yield word
            word = ""


class FactReader:
    """Called after each step of a run on a copy: reads what has changed, and keeps a fact for each migration.

    Attributes:
        facts: what each migration has done, in order. state: the database as it is.

    Raises:
        NotSupported: what there is cannot be read on a database of this kind.
    """

    def __init__(self, database: Database, ignored: frozenset[str]) -> None:
        self.facts: list[Fact] = []
        self._database = database
        self._states = states_of(database, ignored)
        self.state = self._states.read(State({}, {}), None)

    def __call__(self, outcome: Outcome) -> None:
        if outcome.step.script is None or outcome.step.is_hook:
            self.state = self._states.read(State({}, {}), None)
            return
        migration, before = outcome.step.migration, self.state
        effects = cast("RecordedEffects", self._database.effects)
        self.state = self._states.read(before, effects.written)
        broken = self._states.find_broken(migration, effects, before, self.state)
        self.facts.append(Fact(migration, outcome.elapsed_ns, before, self.state, effects, broken))
