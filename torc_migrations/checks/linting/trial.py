"""Run what is pending once, on a copy or on an empty database, for all rules and for a report."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeAlias

from torc_migrations.checks.branches.git import files_in, is_text_of
from torc_migrations.checks.linting.facts import Fact, FactReader
from torc_migrations.checks.linting.states import State, refuse_without_states
from torc_migrations.configured import leniency_of
from torc_migrations.databases.interface import Database
from torc_migrations.errors import BadScript, MigrationError, NotRehearsable, NotSupported, StepFailed
from torc_migrations.history.planning import plan_upgrade
from torc_migrations.history.status import Status
from torc_migrations.history.steps import Action, Outcome, Plan
from torc_migrations.log import unlogged
from torc_migrations.migrator import Migrator
from torc_migrations.rehearsals.rehearsal import copied
from torc_migrations.rehearsals.round_trips import on_scratch
from torc_migrations.runs.evidence import status_by_schema
from torc_migrations.runs.planned import Planner
from torc_migrations.runs.run import Run
from torc_migrations.runs.session import Session
from torc_migrations.sources.migration import Migration

_NO_COPY = "rehearse() shows more, in a transaction that is rolled back; its locks keep the application waiting"
_NO_COPY_COMMAND = _NO_COPY.replace("rehearse()", "`rehearse`")
Look: TypeAlias = Callable[[Database, Migration | None], None]


@dataclass(frozen=True, slots=True)
class Scope:
    """Which migrations are looked at.

    Attributes:
        on_copy: whether what is pending runs on a copy of the database; else all migrations run on an empty one.
        pending: the migrations that run. chosen: those of them that are looked at.
        edited: those, pending or not, whose up script the commit that is compared with has with another text.
    """

    on_copy: bool
    pending: tuple[Migration, ...]
    chosen: tuple[Migration, ...]
    edited: tuple[Migration, ...] = ()

    @property
    def versions(self) -> frozenset[int]:
        """The versions of those that are looked at."""
        return frozenset(each.version for each in self.chosen)


@dataclass(frozen=True, slots=True)
class Trial:
    """What the migrations of a scope have done.

    Attributes:
        scope: which they are. facts: what each of them has done, in order, as far as they ran.
        last: the database after them. failure: the error with which a script has ended, or None.
    """

    scope: Scope
    facts: tuple[Fact, ...]
    last: State
    failure: MigrationError | None = None

    @property
    def chosen(self) -> tuple[Fact, ...]:
        """What those migrations have done that are looked at."""
        return tuple(fact for fact in self.facts if fact.migration.version in self.scope.versions)


def find_scope(session: Session, migrator: Migrator, *, has_database: bool, base: str | None) -> Scope:
    """Find which migrations run and which are looked at; see `check_lint` for the arguments.

    Raises:
        MigrationError: the database or git cannot be used.
    """
    on_copy = has_database and bool(session.status().installed)
    pending = _pending(session, migrator) if on_copy else session.source.migrations
    if base is None:
        return Scope(on_copy, pending, pending)
    changed, edited = _against(base, session.source.migrations)
    return Scope(on_copy, pending, tuple(each for each in pending if each.version in changed), edited)


def run_trial(session: Session, migrator: Migrator, scope: Scope, look: Look | None = None) -> Trial:
    """Run the migrations of a scope where nobody's data is, and note what each of them does.

    Args:
        session, migrator: as they are for the database.
        scope: which migrations; without one that is looked at nothing runs.
        look: called with the database before the first migration, and with each migration after it.

    Raises:
        NotSupported: this is neither SQLite nor PostgreSQL, or it cannot be copied now; nothing has run then.
        MigrationError: the copy cannot be made; an error of a script is the `failure`.
    """
    refuse_without_states(session.database)  # before a server copies its database for it
    if not scope.chosen:
        return Trial(scope, (), State({}, {}))
    with scene(session, scope) as copy:
        reader = FactReader(copy.database, copy.ledgers.tables)
        look = look or _look_at_nothing
        look(copy.database, None)

        def observe(outcome: Outcome) -> None:
            reader(outcome)
            look(copy.database, outcome.step.migration)

        failure = None
        planner = planner_of(migrator)
        try:
            Run(copy, planner, observe, group=0).perform(planner(status_by_schema(copy)))
        except (BadScript, NotRehearsable, StepFailed) as error:
            failure = error
    return Trial(scope, tuple(reader.facts), reader.state, failure)


def _look_at_nothing(_: Database, __: Migration | None) -> None:
    pass


@contextmanager
def scene(session: Session, scope: Scope) -> Iterator[Session]:
    """Have the same session on a copy, or on an empty database; what is broken or lost is not refused, nor logged.

    Raises:
        NotSupported: there can be no copy now. A transaction that is rolled back would keep the application waiting.
    """
    with copied(session) if scope.on_copy else on_scratch(session) as copy, unlogged():
        place = copy.database.rehearsal
        if place is not None and place.no_copy is not None:
            reason = f"check lint runs scripts on a copy, which cannot be made now: {place.no_copy}"
            error = NotSupported(session.database.name, reason, hint=_NO_COPY)
            error.command_hint = _NO_COPY_COMMAND
            raise error
        copy.accept_losses = copy.allow_broken_schema = True
        yield copy


def planner_of(migrator: Migrator, versions: frozenset[int] | None = None) -> Planner:
    """Return what plans an upgrade without hooks, of all pending migrations or of some versions."""

    def plan(status: Status) -> Plan:
        made = plan_upgrade(status, **leniency_of(migrator))
        steps = (step for step in made.steps if not step.is_hook)
        return Plan(made.direction, tuple(s for s in steps if versions is None or s.migration.version in versions))

    return plan


def _pending(session: Session, migrator: Migrator) -> tuple[Migration, ...]:
    plan = plan_upgrade(status_by_schema(session), **leniency_of(migrator))
    return tuple(step.migration for step in plan.steps if step.action is Action.APPLY)


def _against(base: str, migrations: tuple[Migration, ...]) -> tuple[set[int], tuple[Migration, ...]]:
    """Return the versions that a commit lacks or has with another text, and those whose up script has another text."""
    changed: set[int] = set()
    edited = []
    known: dict[str, dict[str, str]] = {}
    for migration in migrations:
        for script in filter(None, (migration.up, migration.down)):
            directory, name = os.path.split(script.path)
            if directory not in known:
                known[directory] = files_in(base, directory or os.curdir)
            blob = known[directory].get(name)
            if blob is None:
                changed.add(migration.version)
            elif not is_text_of(blob, script.sql):
                changed.add(migration.version)
                if script is migration.up:
                    edited.append(migration)
    return changed, tuple(edited)
