"""What a report consists of: values only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from torc_migrations.checks.findings import CheckFinding, CheckReport
from torc_migrations.databases.results.statements import StatementTime
from torc_migrations.rehearsals.report import RowsChange

Outcome: TypeAlias = Literal["ran", "failed", "not run"]
Kind: TypeAlias = Literal["added", "changed", "dropped", "unchanged"]


@dataclass(frozen=True, slots=True)
class ReportedMigration:
    """A migration that is pending, and what became of it on the copy.

    Attributes:
        version, id, description: what it is. path: the file of its up script. sql: the text of that.
        has_down: whether it can be rolled back.
        outcome: whether it ran. elapsed_ns: how long its script took, during which no other process can write.
        statements: each of its statements, with its time.
    """

    version: int
    id: str
    description: str
    path: str
    sql: str
    has_down: bool
    outcome: Outcome
    elapsed_ns: int = 0
    statements: tuple[StatementTime, ...] = ()


@dataclass(frozen=True, slots=True)
class ColumnChange:
    """A column that a table has more, less or otherwise; `was` is its name before, where it was renamed."""

    name: str
    kind: Kind
    was: str | None = None


@dataclass(frozen=True, slots=True)
class TableChange:
    """A table before and after.

    Attributes:
        name: its name; of a table that is dropped, the one that it had. was: its name before, where it was renamed.
        kind: what happens to it. columns: those that change; of a table that is added or dropped, all.
        parents: the names of the tables that its foreign keys point to.
    """

    name: str
    kind: Kind
    columns: tuple[ColumnChange, ...] = ()
    parents: tuple[str, ...] = ()
    was: str | None = None


@dataclass(frozen=True, slots=True)
class ObjectChange:
    """An index, a view or the like that is added, changed or dropped, and the table that it belongs to, if known."""

    what: str
    name: str
    table: str | None
    kind: Kind


@dataclass(frozen=True, slots=True)
class PlanChange:
    """A query whose plan changes.

    Attributes:
        name: what it is called, or its place. query: its SQL.
        before, after: its plan, or why it has none. had_plan, has_plan: whether it has one.
        more_scans: how many more times it reads a whole table or index than before.
        version: the migration that changed it last.
    """

    name: str
    query: str
    before: str
    after: str
    had_plan: bool
    has_plan: bool
    more_scans: int
    version: int

    @property
    def is_worse(self) -> bool:
        """Whether it reads more than before, or does not work any more."""
        return self.more_scans > 0 or (self.had_plan and not self.has_plan)


@dataclass(frozen=True, slots=True)
class ChangeReport:
    """What migrations would do to a database, and what the checks say.

    Attributes:
        source, database, base: what was looked at; None where there is no database, or no commit to compare with.
        made: when, in UTC. release: the version of this package.
        where: where the migrations ran, as in `on a copy of the database`. notes: what cannot be seen there.
        on_copy: whether the rows of the database were there.
        not_run: why no migration could run, or None.
        migrations: what is pending. failure: the sentence with which a script has ended, or None.
        checks: the findings of all checks that apply.
        rows, tables, objects: what changes in the database.
        plans: the queries whose plan changes. queries: how many were looked at.
        holds_writers: whether no other process can write while a migration runs, as on SQLite.
    """

    source: str
    database: str | None
    base: str | None
    made: str
    release: str
    where: str
    notes: tuple[str, ...]
    on_copy: bool
    not_run: str | None
    migrations: tuple[ReportedMigration, ...]
    failure: str | None
    checks: CheckReport
    rows: tuple[RowsChange, ...] = ()
    tables: tuple[TableChange, ...] = ()
    objects: tuple[ObjectChange, ...] = ()
    plans: tuple[PlanChange, ...] = ()
    queries: int = 0
    holds_writers: bool = False

    @property
    def errors(self) -> tuple[CheckFinding, ...]:
        """The findings that are errors."""
        return tuple(each for each in self.checks.findings if each.level == "error")

    @property
    def warnings(self) -> tuple[CheckFinding, ...]:
        """The findings that are warnings."""
        return tuple(each for each in self.checks.findings if each.level == "warning")

    @property
    def elapsed_ns(self) -> int:
        """How long all scripts took together."""
        return sum(each.elapsed_ns for each in self.migrations)

    @property
    def changed_rows(self) -> tuple[RowsChange, ...]:
        """The tables that gain or lose rows."""
        return tuple(each for each in self.rows if (each.before or 0) != (each.after or 0))

    @property
    def unchanged_rows(self) -> tuple[RowsChange, ...]:
        """The tables that were there before, and have as many rows as before."""
        return tuple(each for each in self.rows if each.before is not None and each.before == (each.after or 0))

    @property
    def changed_tables(self) -> tuple[TableChange, ...]:
        """The tables whose definition changes."""
        return tuple(each for each in self.tables if each.kind != "unchanged")

    @property
    def other_plans(self) -> tuple[PlanChange, ...]:
        """The queries that worked before, and have another plan or none."""
        return tuple(each for each in self.plans if each.had_plan)

    @property
    def first_plans(self) -> tuple[PlanChange, ...]:
        """The queries that work now, and did not before."""
        return tuple(each for each in self.plans if not each.had_plan)
