"""Rehearse a plan on a copy of a database: what it takes, what it changes, and what it loses."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from torc_migrations.authorizer import Touched
from torc_migrations.connection import find_file
from torc_migrations.copying import copy_of
from torc_migrations.errors import MigrationError
from torc_migrations.foreign_keys import Violation, new_violations, violations
from torc_migrations.picture import Picture, schema_difference, take_picture
from torc_migrations.plan import Outcome, Plan, Report
from torc_migrations.rehearsal_report import Loss, Rehearsal, RehearsedStep, RowsChange
from torc_migrations.run import Run
from torc_migrations.witness import Deeds, WitnessedDatabase

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypeAlias

    from torc_migrations.run import Judge
    from torc_migrations.session import Session

Watch: TypeAlias = "Callable[[Session], AbstractContextManager[None]]"


def rehearse(session: Session, plan: Plan, judge: Judge, watch: Watch) -> Rehearsal:
    """Perform on a copy of a session's database what a judge finds to do there; `watch` is entered meanwhile.

    The database itself is only read, and for an empty plan not even that. An error is the one that the real run would
    end with; its `rehearsed` tells that it was none.

    Raises:
        MigrationError: as for the real run; or the copy cannot be made.
    """
    name = session.database.name
    if not plan.steps:
        return Rehearsal(name, Report(plan, ()))
    with copied(session) as copy, rehearsing(name):
        plan = judge(copy.status())
        return _perform(name, copy, plan, judge, watch)


@contextmanager
def copied(session: Session) -> Iterator[Session]:
    """Have the same session on a copy of its database, which remembers what scripts do.

    Raises:
        MigrationError: the copy cannot be made.
    """
    with copy_of(session.database) as (connection, address):
        file = find_file(address.path)
        yield session.on(WitnessedDatabase(connection, address, file=file, lock_timeout=session.database.lock_timeout))


@contextmanager
def rehearsing(name: str) -> Iterator[None]:
    """Have errors say that they are those of a rehearsal, and that this database was not touched."""
    try:
        yield
    except MigrationError as error:
        error.rehearsed = name
        raise


def all_violations(database: WitnessedDatabase) -> tuple[Violation, ...]:
    """Return every row that points to no row."""
    everything = Touched()
    everything.all_tables = True
    return violations(database, everything)


def _perform(name: str, copy: Session, plan: Plan, judge: Judge, watch: Watch) -> Rehearsal:
    database = copy.database
    assert isinstance(database, WitnessedDatabase)
    old = all_violations(database)
    observer = _Observer(database, copy.ledgers.tables)
    first = observer.picture
    with watch(copy):
        report = Run(copy, judge, observer).perform(plan)
    return Rehearsal(
        name,
        report,
        tuple(observer.steps),
        _rows(first, observer.picture, observer.names),
        schema_difference(first, observer.picture),
        new_violations(all_violations(database), old),
    )


class _Observer:
    """Look at the copy after each step, and tell what it lost.

    Attributes:
        picture: the copy as it is. steps: what was rehearsed so far.
        names: by the lower name that a table had at first, the lower name that it has now.
    """

    def __init__(self, database: WitnessedDatabase, ignored: frozenset[str]) -> None:
        self._database = database
        self._ignored = ignored
        self.picture = take_picture(database, ignored)
        self.names = {table: table for table in self.picture.tables}
        self.steps: list[RehearsedStep] = []

    def __call__(self, outcome: Outcome) -> None:
        if outcome.step.script is None:
            self.steps.append(RehearsedStep(outcome))
            return
        deeds, before = self._database.deeds, self.picture
        self.picture = after = take_picture(self._database, self._ignored, before, deeds.written)
        self.names = {first: _now(deeds, name, after) for first, name in self.names.items()}
        losses = tuple(_losses(deeds, before, after))
        columns = tuple(_lost_columns(deeds, before, after))
        self.steps.append(RehearsedStep(outcome, tuple(deeds.statements), losses, columns))


def _now(deeds: Deeds, table: str, after: Picture) -> str:
    """Return the name that a table has now; one that was renamed and dropped has left its name to its successor."""
    now = deeds.tables.get(table, table)
    return now if now in after.tables else table


def _losses(deeds: Deeds, before: Picture, after: Picture) -> Iterator[Loss]:
    for key, table in before.tables.items():
        now = _now(deeds, key, after)
        left = after.tables[now].rows if now in after.tables else 0
        if table.rows is not None and left is not None and left < table.rows:
            yield Loss(table.name, table.rows, left, named=bool({key, deeds.tables.get(key, key)} & deeds.named))


def _lost_columns(deeds: Deeds, before: Picture, after: Picture) -> Iterator[str]:
    for key, table in before.tables.items():
        now = after.tables.get(_now(deeds, key, after))
        if now is None or not table.rows:
            continue
        left = {column.lower() for column in now.columns}
        names = deeds.columns.get(key, {})
        yield from (
            f"{table.name}.{column}"
            for column in table.columns
            if names.get(column.lower(), column.lower()) not in left
        )


def _rows(before: Picture, after: Picture, names: dict[str, str]) -> tuple[RowsChange, ...]:
    changes = []
    for key, table in before.tables.items():
        now = after.tables.get(names[key])
        renamed = now.name if now and now.name != table.name else None
        changes.append(RowsChange(table.name, table.rows, now.rows if now else None, renamed))
    known = set(names.values())
    changes += [RowsChange(table.name, None, table.rows) for key, table in after.tables.items() if key not in known]
    return tuple(changes)
