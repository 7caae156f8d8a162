"""Run migrations one by one on a database that is nobody's, and note what each of them has done."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import cast

from torc_migrations.databases.interface import Database, RecordedEffects
from torc_migrations.databases.results.violations import BrokenObject, Soundness, newly_broken
from torc_migrations.databases.sqlite.catalog.definitions import Definition
from torc_migrations.databases.sqlite.database import SQLiteDatabase, sqlite_only
from torc_migrations.databases.sqlite.schemas.definitions import (
    Column,
    ForeignKey,
    count_rows,
    read_columns,
    read_definitions,
    read_foreign_keys,
    read_indexed_columns,
)
from torc_migrations.formatting import lowered
from torc_migrations.history.steps import Outcome
from torc_migrations.sources.migration import Migration


@dataclass(frozen=True, slots=True)
class TableState:
    """A table at one moment: its SQL, columns, rows (None where they cannot be counted), keys, and indexed columns."""

    name: str
    sql: str
    columns: tuple[Column, ...]
    rows: int | None
    keys: tuple[ForeignKey, ...]
    indexed: tuple[tuple[str | None, ...], ...]

    def has(self, column: str) -> bool:
        """Return whether it has a column of this name."""
        return lowered(column) in {lowered(each.name) for each in self.columns}


@dataclass(frozen=True, slots=True)
class State:
    """A database at one moment: tables by lower name, and indexes, views and triggers by kind and lower name."""

    tables: Mapping[str, TableState]
    objects: Mapping[tuple[str, str], Definition]


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

    def line(self, *names: str) -> int | None:
        """Return the line of the last statement whose first words have one of the names, or of the first statement."""
        statements = self.effects.statements
        wanted = {lowered(name) for name in names}
        for statement in reversed(statements):
            if wanted.intersection(_words(statement.words)):
                return statement.line
        return statements[0].line if statements else None


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
    """

    def __init__(self, database: Database, ignored: frozenset[str]) -> None:
        self.facts: list[Fact] = []
        self._database: SQLiteDatabase = sqlite_only(database, "check lint")
        self._ignored = ignored
        self.state = self._read(State({}, {}), None)
        self._sound: Soundness = database.find_broken()

    def __call__(self, outcome: Outcome) -> None:
        if outcome.step.script is None or outcome.step.is_hook:
            self.state = self._read(State({}, {}), None)
            return
        effects, before = cast("RecordedEffects", self._database.effects), self.state
        self.state = self._read(before, effects.written)
        soundness = self._database.find_broken(effects)
        broken: tuple[BrokenObject, ...] = ()
        if soundness.relations:
            broken = newly_broken(soundness, self._sound, effects.created)
            self._sound = soundness
        self.facts.append(Fact(outcome.step.migration, outcome.elapsed_ns, before, self.state, effects, broken))

    def _read(self, before: State, written: set[str] | None) -> State:
        definitions = read_definitions(self._database, self._ignored)
        objects = {each.key: each for each in definitions if each.kind != "table"}
        tables = {}
        old, now = _indexes(before.objects), _indexes(objects)
        changed = {key for key in old.keys() | now.keys() if old.get(key) != now.get(key)}
        for each in definitions:
            if each.kind != "table":
                continue
            key = lowered(each.name)
            known = before.tables.get(key)
            if known is None or written is None or key in written or key in changed:
                tables[key] = self._read_table(each.name, each.sql)
            else:
                tables[key] = known
        return State(tables, objects)

    def _read_table(self, name: str, sql: str) -> TableState:
        database = self._database
        return TableState(
            name,
            sql,
            read_columns(database, name),
            count_rows(database, name),
            read_foreign_keys(database, name),
            read_indexed_columns(database, name),
        )


def _indexes(objects: Mapping[tuple[str, str], Definition]) -> dict[str, list[Definition]]:
    """Return the indexes of each table, by its lower name."""
    found: dict[str, list[Definition]] = {}
    for each in objects.values():
        if each.kind == "index":
            found.setdefault(lowered(each.table), []).append(each)
    return found
