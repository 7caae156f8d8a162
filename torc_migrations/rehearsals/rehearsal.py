"""Rehearse a plan on a copy of a database: what it takes, what it changes, and what it loses."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import cast

from torc_migrations.databases.interface import Database, Effects, RecordedEffects, RowReading
from torc_migrations.databases.results.contents import Change, Contents
from torc_migrations.databases.results.rehearsals import ON_A_COPY
from torc_migrations.databases.results.violations import new_violations, newly_broken
from torc_migrations.errors import MigrationError, NotRehearsable, NotSupported
from torc_migrations.formatting import lowered
from torc_migrations.history.steps import Outcome, Plan, Report, Step
from torc_migrations.log import log
from torc_migrations.rehearsals.comparison import schema_difference
from torc_migrations.rehearsals.report import Loss, Rehearsal, RehearsedStep, RowsChange
from torc_migrations.runs.atomic import AtomicRun
from torc_migrations.runs.evidence import status_by_schema
from torc_migrations.runs.planned import Planner
from torc_migrations.runs.run import Run
from torc_migrations.runs.session import Session
from torc_migrations.sources.migration import Script


def rehearse(session: Session, plan: Plan, planner: Planner, *, atomic: bool = False) -> Rehearsal:
    """Perform on a copy of a session's database what a planner finds to do there.

    With `atomic` it is performed in one transaction, as the real run would be.

    The database itself is only read, and for an empty plan not even that. An error is the one that the real run would
    end with; its `rehearsed` says that this was a rehearsal.

    Raises:
        MigrationError: as for the real run; or the copy cannot be made.
    """
    name = session.database.name
    if not plan.steps:
        return Rehearsal(name, Report(plan, ()))
    with copied(session) as copy, rehearsing(name):
        return _perform(name, copy, planner, atomic=atomic)


@contextmanager
def copied(session: Session) -> Iterator[Session]:
    """Have the same session on a copy of its database, on which scripts are recorded.

    Raises:
        MigrationError: the copy cannot be made.
    """
    with session.database.copy() as database:
        yield session.on(database)


@contextmanager
def rehearsing(name: str) -> Iterator[None]:
    """Mark errors as those of a rehearsal, in which this database was not touched."""
    try:
        yield
    except MigrationError as error:
        error.rehearsed = name
        raise


def check_losses(rehearse: Callable[[], Rehearsal], on_loss: str) -> None:
    """Rehearse, and refuse scripts that lose rows which they do not delete themselves, or log a warning.

    Raises:
        MigrationError: the rehearsal failed; or with `"refuse"`, rows would be lost, or a script cannot be rehearsed.
    """
    logger = log()
    try:
        rehearsal = rehearse()
    except NotRehearsable as error:
        if on_loss == "refuse":
            raise
        logger.warning("%s; what would be lost is not known", error)
        return
    if rehearsal.steps and not rehearsal.place.has_rows:
        raise NotSupported(rehearsal.database, "a rehearsal has no rows there, and cannot find out which ones are lost")
    if rehearsal.refusal and on_loss == "refuse":
        raise rehearsal.refusal
    for step in rehearsal.steps:
        for loss in step.unnamed:
            logger.warning("%s: %s", step.outcome.step.name, loss.as_text())


def _perform(name: str, copy: Session, planner: Planner, *, atomic: bool) -> Rehearsal:
    database = copy.database
    old, sound = database.find_violations(), database.find_broken()
    recorder = _Recorder(database, copy.ledgers.tables)
    run = _RecordedAtomicRun(copy, planner, recorder) if atomic else Run(copy, planner, recorder, group=0)
    report = run.perform(planner(status_by_schema(copy)))
    last = recorder.contents
    return Rehearsal(
        name,
        report,
        tuple(recorder.steps),
        _rows(recorder.first, last, recorder.names),
        schema_difference(recorder.first, last),
        new_violations(database.find_violations(), old),
        newly_broken(database.find_broken(), sound, recorder.created),
        database.rehearsal or ON_A_COPY,
    )


class _Recorder:
    """Reads after each step what it has touched, and finds what it lost.

    Attributes:
        first: the copy as it was. steps: what was rehearsed so far.
        names: by the lower name that a table had at first, the lower name that it has now.
        created: the tables and views that scripts have created.
    """

    def __init__(self, database: Database, ignored: frozenset[str]) -> None:
        self._database = database
        self._tracker = database.track_contents(ignored, RowReading.COUNT)
        self.first = self._tracker.contents
        self.steps: list[RehearsedStep] = []
        self._forget()

    @property
    def contents(self) -> Contents:
        """The copy as it is."""
        return self._tracker.contents

    def begin_again(self) -> None:
        """Forget what was read since the beginning, because all of it was rolled back."""
        self._tracker.begin_again()
        self._forget()

    def _forget(self) -> None:
        self.names = {table: table for table in self.first.tables}
        self._first_names = {table: {table} for table in self.first.tables}
        self.created: set[str] = set()
        self._read: dict[Step, RehearsedStep] = {}

    def __call__(self, outcome: Outcome) -> None:
        if outcome.step not in self._read:
            self.read(outcome)
        self.steps.append(replace(self._read.pop(outcome.step), outcome=outcome))

    def read(self, outcome: Outcome) -> None:
        """Read the copy right after a step, before the next one runs."""
        if outcome.step.script is None:
            self._read[outcome.step] = RehearsedStep(outcome)
            return
        effects = cast("RecordedEffects", self._database.effects)
        change = self._tracker.follow(effects)
        self._follow_names(effects, change.after)
        self.created |= effects.created
        self._read[outcome.step] = RehearsedStep(
            outcome,
            tuple(effects.statements),
            tuple(_losses(effects, change)),
            tuple(_lost_columns(effects, change)),
            tuple(_lost_objects(effects, change)),
            tuple(f"{table}: {mark}" for table, mark in effects.marks.items()),
            effects.stale,
        )

    def _follow_names(self, effects: RecordedEffects, after: Contents) -> None:
        now = {old: _name_now(effects, old, after) for old in effects.renamed_tables}
        moved = {new: self._first_names.pop(old, set()) for old, new in now.items() if new != old}
        for new, tables in moved.items():
            self._first_names.setdefault(new, set()).update(tables)
            self.names.update(dict.fromkeys(tables, new))


class _RecordedAtomicRun(AtomicRun):
    """Perform all steps in one transaction, and read the copy after each of them."""

    def __init__(self, session: Session, planner: Planner, recorder: _Recorder) -> None:
        super().__init__(session, planner, recorder)
        self._recorder = recorder

    def _run_all(self) -> tuple[list[Outcome], list[Effects]]:
        self._recorder.begin_again()
        return super()._run_all()

    def _record(self, step: Step, script: Script | None, effects: Effects | None, elapsed_ns: int) -> list[Outcome]:
        outcomes = super()._record(step, script, effects, elapsed_ns)
        self._recorder.read(outcomes[0])
        return outcomes


def _name_now(effects: RecordedEffects, table: str, after: Contents) -> str:
    """Return the name that a table has now; one that was renamed and dropped has left its name to its successor."""
    now = effects.renamed_tables.get(table, table)
    return now if now in after.tables else table


def _losses(effects: RecordedEffects, change: Change) -> Iterator[Loss]:
    before, after = change.before, change.after
    for key, table in before.tables.items():
        now = _name_now(effects, key, after)
        left = after.tables[now].rows if now in after.tables else 0
        if table.rows is not None and left is not None and left < table.rows:
            names = {key, effects.renamed_tables.get(key, key)}
            rebuilt = now in after.tables and bool(names & (effects.deleted_from - effects.deletes))
            named = names & (effects.deletes if rebuilt else effects.deleted_from)
            yield Loss(table.name, table.rows, left, named=bool(named), rebuilt=rebuilt)


def _lost_objects(effects: RecordedEffects, change: Change) -> Iterator[str]:
    """Find the indexes and triggers that went with a table that was dropped and made again."""
    before, after = change.before, change.after
    for name, table in before.owners.items():
        gone = name not in after.objects and name not in effects.dropped_objects
        if gone and _name_now(effects, table, after) in after.tables:
            yield name


def _lost_columns(effects: RecordedEffects, change: Change) -> Iterator[str]:
    before, after = change.before, change.after
    for key, table in before.tables.items():
        now = after.tables.get(_name_now(effects, key, after))
        if now is None or not table.rows:
            continue
        left = {lowered(column) for column in now.columns}
        names = effects.renamed_columns.get(key, {})
        yield from (
            f"{table.name}.{column}"
            for column in table.columns
            if names.get(lowered(column), lowered(column)) not in left
        )


def _rows(before: Contents, after: Contents, names: dict[str, str]) -> tuple[RowsChange, ...]:
    changes = []
    for key, table in before.tables.items():
        now = after.tables.get(names[key])
        renamed = now.name if now and now.name != table.name else None
        changes.append(RowsChange(table.name, table.rows, now.rows if now else None, renamed))
    known = set(names.values())
    changes += [RowsChange(table.name, None, table.rows) for key, table in after.tables.items() if key not in known]
    return tuple(changes)
