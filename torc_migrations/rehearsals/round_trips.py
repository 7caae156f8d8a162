"""Take migrations up, down and up again on a scratch database, and report what is not as before."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, NamedTuple, cast

from torc_migrations.databases.interface import RecordedEffects, RowReading
from torc_migrations.databases.results.contents import Change, Contents, Table
from torc_migrations.databases.results.violations import BrokenObject, Violation, new_violations
from torc_migrations.errors import BadScript, MigrationError, NotRehearsable, StepFailed
from torc_migrations.formatting import lowered, one_line, portion
from torc_migrations.history.planning import plan_exactly
from torc_migrations.history.steps import Action, Direction, Plan, Step
from torc_migrations.rehearsals.comparison import (
    SchemaDifference,
    differ_in_order_only,
    schema_difference,
    states_of,
)
from torc_migrations.rehearsals.rehearsal import rehearsing
from torc_migrations.rehearsals.report import stale_text
from torc_migrations.runs.evidence import status_by_schema
from torc_migrations.runs.run import Run

if TYPE_CHECKING:
    from torc_migrations.history.status import Status
    from torc_migrations.runs.planned import Planner
    from torc_migrations.runs.session import Session
    from torc_migrations.sources.migration import Migration


_FEW = 5


@dataclass(frozen=True, slots=True)
class Trip:
    """One migration's way up, down and up again.

    `findings` are sentences about what a down leaves behind, drops or cannot undo, and whether the up can run again;
    `notes` are about what may be right. `path` and `line` are those of the statement that fails, if one does.
    """

    version: int
    id: str
    findings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    path: str | None = None
    line: int | None = None

    @property
    def ok(self) -> bool:
        """Whether everything came back."""
        return not self.findings


@dataclass(frozen=True, slots=True)
class RoundTrip:
    """The result of taking migrations up, down and up again; `untried` are those after one that could not go on.

    `irreversible` are the versions that have no down script; they went up. `irreversible_allowed` says whether that is
    no finding.
    """

    trips: tuple[Trip, ...] = ()
    untried: tuple[int, ...] = ()
    irreversible: tuple[int, ...] = ()
    irreversible_allowed: bool = False
    notes: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether every migration was tried, and everything came back each time."""
        wrong = self.untried or (self.irreversible and not self.irreversible_allowed)
        return all(trip.ok for trip in self.trips) and not wrong

    @property
    def findings(self) -> tuple[str, ...]:
        """Every finding, behind its migration's version; one for all that have no down script."""
        found = tuple(f"{trip.version}: {finding}" for trip in self.trips for finding in trip.findings)
        return found if self.irreversible_allowed or not self.irreversible else (*found, self._irreversible_text())

    def _irreversible_text(self) -> str:
        have = "has" if len(self.irreversible) == 1 else "have"
        return f"{_few(self.irreversible)} {have} no down script, and cannot be undone"

    def as_text(self) -> str:
        """Return a line for each finding, and one that counts."""
        notes = (f"{trip.version}: note: {note}" for trip in self.trips for note in trip.notes)
        lines = [*self.findings, *notes]
        if self.irreversible and self.irreversible_allowed:
            lines.append(f"note: {self._irreversible_text()}")
        if self.untried:
            lines.append(f"not tried, because of what stands above: {', '.join(map(str, self.untried))}")
        lines += [f"note: {note}" for note in self.notes]
        whole = sum(trip.ok and trip.version not in self.irreversible for trip in self.trips)
        number = len(self.trips) + len(self.untried)
        lines.append(f"{portion(whole, number, 'migration')} {'goes' if number == 1 else 'go'} up, down and up again")
        return "".join(f"{one_line(str(line))}\n" for line in lines)

    def as_dict(self) -> dict[str, object]:
        """Return the same as values that `json` takes."""
        return {
            "ok": self.ok,
            "trips": [{**asdict(trip), "ok": trip.ok} for trip in self.trips],
            "untried": list(self.untried),
            "irreversible": list(self.irreversible),
            "notes": list(self.notes),
        }


def _few(versions: tuple[int, ...]) -> str:
    """Return a few versions, and how many more there are."""
    shown = ", ".join(map(str, versions[:_FEW]))
    return shown if len(versions) <= _FEW else f"{shown} and {len(versions) - _FEW} more"


class _State(NamedTuple):
    """A database at one moment: of its schema and rows what a migration touches, and what was wrong in all of it."""

    contents: Contents
    violations: tuple[Violation, ...]
    broken: tuple[BrokenObject, ...]


@contextmanager
def on_scratch(session: Session) -> Iterator[Session]:
    """Have the same session on an empty database, on which scripts are recorded."""
    with session.database.empty() as database:
        yield session.on(database)


def make_round_trip(copy: Session, name: str, migrations: Iterable[Migration], leniency: dict[str, bool]) -> RoundTrip:
    """Take migrations, oldest first, up, down and up again on a session's database, which is a copy or empty.

    Raises:
        MigrationError: its ledgers forbid it; what goes wrong with a script is a finding.
    """
    place, chosen = copy.database.rehearsal, tuple(migrations)
    with rehearsing(name):
        copy.feed.start(Plan(Direction.UP, tuple(step for migration in chosen for step in _steps(migration))))
        try:
            trip = _RoundTripper(copy, leniency).run(chosen)
        except BaseException as error:
            copy.feed.end(error)
            raise
        copy.feed.finish()
    return replace(trip, notes=place.notes if place else ())


def _steps(migration: Migration) -> Iterator[Step]:
    yield Step(migration, Action.APPLY)
    if migration.reversible:
        yield Step(migration, Action.ROLL_BACK)
        yield Step(migration, Action.APPLY)


class _RoundTripper:
    """Go up, down and up again with one migration after the other."""

    def __init__(self, copy: Session, leniency: dict[str, bool]) -> None:
        self._copy = copy
        copy.is_piecewise = True
        self._database = copy.database
        self._leniency = leniency
        self._marks: dict[str, int] = {}
        self._stale: dict[str, None] = {}
        self._failed_at: tuple[str | None, int | None] = (None, None)
        self._irreversible: list[int] = []
        self._faults: dict[str, None] = {}
        self._needs_no_status = not (
            any(migration.depends for migration in copy.source.migrations) or copy.status().missing
        )
        self._plans_alone = False
        self._tracker = self._database.track_contents(copy.ledgers.tables, RowReading.DIGEST)
        self._violations = self._database.find_violations()
        self._broken = self._database.find_broken().broken

    def run(self, migrations: tuple[Migration, ...]) -> RoundTrip:
        trips: list[Trip] = []
        untried: tuple[int, ...] = ()
        for number, migration in enumerate(migrations):
            findings: list[str] = []
            notes: list[str] = []
            arrived = self._go_round(migration, findings, notes)
            self._plans_alone = self._needs_no_status  # each look at the ledgers takes the longer the more there are
            if not arrived:
                untried = tuple(each.version for each in migrations[number + 1 :])
            if number == len(migrations) - 1:
                findings += self._new_faults(None)
            notes += map(stale_text, self._stale)
            trips.append(Trip(migration.version, migration.id, tuple(findings), tuple(notes), *self._failed_at))
            if not arrived:
                break
        return RoundTrip(tuple(trips), untried, tuple(self._irreversible))

    def _go_round(self, migration: Migration, findings: list[str], notes: list[str]) -> bool:
        """Take one migration up, down and up, and return whether it is up at the end, so that the next can follow."""
        changes: list[Change] = []
        faults = [self._all_faults()]
        self._marks.clear()
        self._stale.clear()
        self._failed_at = (None, None)
        if error := self._perform(migration, Action.APPLY, changes):
            findings.append(f"its up script fails: {error}")
            return False
        faults.append(self._all_faults())
        if not migration.reversible:
            self._irreversible.append(migration.version)
            return True
        if error := self._perform(migration, Action.ROLL_BACK, changes):
            findings.append(f"its down script fails: {error}")
            return True
        faults.append(self._all_faults())
        before, up, after = _states(changes, faults)
        findings += _left_by_down(before, up, after)
        notes += _reordered_by_down(before.contents, after.contents)
        if error := self._perform(migration, Action.APPLY, changes):
            findings.append(f"its up script cannot run again after its down script: {error}")
            return False
        faults.append(self._all_faults())
        _, up, _, again = _states(changes, faults)
        findings += _second_time(up, again)
        notes += _other_values(up.contents, again.contents)
        notes += _marks(self._marks)
        findings += self._new_faults(cast("RecordedEffects", self._database.effects))
        return True

    def _perform(self, migration: Migration, action: Action, changes: list[Change]) -> MigrationError | None:
        """Do one thing with a migration, look at what it has changed, and return why it could not be done."""
        planner = self._planner(migration, action)
        try:
            plan = self._plan_alone(migration, action) if self._plans_alone else planner(status_by_schema(self._copy))
            Run(self._copy, planner, lambda _: None, group=0).perform(plan)
        except (BadScript, NotRehearsable, StepFailed) as error:
            self._failed_at = (getattr(error, "path", None), getattr(error, "line", None))
            return error
        effects = cast("RecordedEffects", self._database.effects)
        self._marks.update(effects.marks)
        self._stale.update(dict.fromkeys(effects.stale))
        changes.append(self._tracker.follow(effects))
        self._violations = self._database.find_violations(effects, self._violations)
        self._broken = self._database.find_broken(effects, self._broken).broken
        return None

    def _planner(self, migration: Migration, action: Action) -> Planner:
        def plan(status: Status) -> Plan:
            plan = plan_exactly(status, action, (migration.version,), **self._leniency)
            return replace(plan, steps=tuple(step for step in plan.steps if not step.is_hook))

        return plan

    def _plan_alone(self, migration: Migration, action: Action) -> Plan:
        direction = Direction.UP if action is Action.APPLY else Direction.DOWN
        return Plan(direction, (Step(migration, action),))

    def _all_faults(self) -> tuple[tuple[Violation, ...], tuple[BrokenObject, ...]]:
        return self._violations, self._broken

    def _new_faults(self, effects: RecordedEffects | None) -> list[str]:
        """Return what `integrity_check` finds now and has not found before: in what a script wrote, or everywhere."""
        new = [fault for fault in self._database.find_damage(effects) if fault not in self._faults]
        self._faults |= dict.fromkeys(new)
        return [f"integrity_check: {fault}" for fault in new]


def _states(
    changes: Sequence[Change], faults: Sequence[tuple[tuple[Violation, ...], tuple[BrokenObject, ...]]]
) -> tuple[_State, ...]:
    return tuple(_State(contents, *each) for contents, each in zip(states_of(changes), faults, strict=True))


def _left_by_down(before: _State, up: _State, after: _State) -> Iterator[str]:
    schema = schema_difference(before.contents, after.contents)
    yield from (f"its down script leaves {name} behind" for name in schema.added)
    for name in schema.removed:
        if name in up.contents.objects:
            yield f"its down script drops {name}, which was there before"
        else:
            yield f"its up script drops {name}, and its down script does not bring it back"
    yield from _changed_by_down(schema, before.contents, up.contents, after.contents)
    for key, old in before.contents.tables.items():
        now = after.contents.tables.get(key)
        there = up.contents.tables.get(key)
        if now is None or not (what := _rows_left(old, there, now)):
            continue
        if there is not None and (there.rows, there.digest) == (now.rows, now.digest):
            yield f"its up script {what}, and its down script does not undo that"
        else:
            yield f"its down script {what}"
    yield from _faults_left("its down script", before, after)


def _changed_by_down(schema: SchemaDifference, before: Contents, up: Contents, after: Contents) -> Iterator[str]:
    signs = {"+": "leaves column {} behind", "-": "does not bring column {} back"}
    named = set()
    for line in schema.columns:
        sign, _, column = line.partition(" ")
        named.add(f"table {column.rpartition('.')[0]}")
        yield f"its down script {signs[sign].format(column)}"
    named.update(_reordered(before, after))
    for name in schema.changed:
        if name in named:
            continue
        if up.objects.get(name) == after.objects[name]:
            yield f"its up script defines {name} otherwise, and its down script leaves it so"
        else:
            yield f"its down script leaves {name} defined otherwise"


def _reordered(before: Contents, after: Contents) -> Iterator[str]:
    """Yield the tables with the same columns as before in another order, in which ALTER TABLE puts them back."""
    for name, old in before.objects.items():
        now = after.objects.get(name)
        if now is not None and now != old and name.startswith("table ") and differ_in_order_only(old, now):
            yield name


def _reordered_by_down(before: Contents, after: Contents) -> Iterator[str]:
    yield from (f"its down script leaves the columns of {name} in another order" for name in _reordered(before, after))


def _rows_left(old: Table, up: Table | None, now: Table) -> str | None:
    """Say what a down script has made of the rows of a table, or return None where they are as they were."""
    if old.rows is None or now.rows is None or (old.rows, old.digest) == (now.rows, now.digest):
        return None
    if now.rows < old.rows:
        verb = f"brings table {old.name} back with" if up is None else f"leaves table {old.name} with"
        return f"{verb} {now.rows} of its {old.rows} rows"
    if now.rows > old.rows:
        return f"leaves table {old.name} with {now.rows} rows instead of {old.rows}"
    if sorted(map(lowered, old.columns)) != sorted(map(lowered, now.columns)):
        return None
    if up is None:
        return f"brings table {old.name} back with other values"
    missing = [column for column in old.columns if lowered(column) not in {lowered(each) for each in up.columns}]
    if missing:
        return f"brings column {old.name}.{missing[0]} back, but not its values"
    return f"leaves other values in table {old.name}"


def _second_time(first: _State, second: _State) -> Iterator[str]:
    schema = schema_difference(first.contents, second.contents)
    signs = (("+", schema.added), ("-", schema.removed), ("~", schema.changed))
    if lines := [f"{sign} {name}" for sign, names in signs for name in names] + list(schema.columns):
        yield f"its up script makes another schema the second time: {', '.join(lines)}"
    for key, old in first.contents.tables.items():
        now = second.contents.tables.get(key)
        if now is not None and now.rows != old.rows:
            yield f"its up script leaves {now.rows} rows in table {old.name} the second time, {old.rows} the first"
    yield from _faults_left("its up script, the second time,", first, second)


def _other_values(first: Contents, second: Contents) -> Iterator[str]:
    for key, old in first.tables.items():
        now = second.tables.get(key)
        if now is not None and now.rows == old.rows and now.digest != old.digest:
            yield f"table {old.name} has other values the second time, such as a time or what is random"


def _marks(marks: dict[str, int]) -> Iterator[str]:
    yield from (
        f"AUTOINCREMENT of table {table}, which is made again, goes on at {mark}" for table, mark in marks.items()
    )


def _faults_left(who: str, before: _State, after: _State) -> Iterator[str]:
    if new := new_violations(after.violations, before.violations):
        rows = "1 row that points" if len(new) == 1 else f"{len(new)} rows that point"
        yield f"{who} leaves {rows} nowhere, the first in {new[0].table}, to {new[0].parent}"
    known = {each.pointer for each in before.broken}
    for each in after.broken:
        if each.pointer not in known:
            yield f"{who} leaves {each.title}, which does not work: {each.reason}"
