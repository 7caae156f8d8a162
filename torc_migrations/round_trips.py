"""Take migrations up, down and up again on a scratch database, and say what does not come back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager

from torc_migrations.connection import connect
from torc_migrations.errors import BadScript, ExecutionFailed, ForeignKeyViolations, MigrationError, RowsLost
from torc_migrations.foreign_keys import Violation, new_violations
from torc_migrations.picture import Picture, SchemaDifference, Table, schema_difference, take_picture
from torc_migrations.plan import Action, Plan, plan_exactly
from torc_migrations.rehearsal import Watch, all_violations, rehearsing
from torc_migrations.run import Run
from torc_migrations.url import Address
from torc_migrations.values import NamedTuple
from torc_migrations.witness import WitnessedDatabase

TYPE_CHECKING = False
if TYPE_CHECKING:
    from torc_migrations.judgement import Status
    from torc_migrations.migration import Migration
    from torc_migrations.run import Judge
    from torc_migrations.session import Session

CHECK_INTEGRITY = "PRAGMA main.integrity_check(3)"


class Trip(NamedTuple):
    """One migration's way up, down and up again.

    `findings` are sentences about what a down leaves behind, drops or cannot undo, and whether the up can run again;
    `notes` are about what need not be amiss.
    """

    version: int
    id: str
    findings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether everything came back."""
        return not self.findings


class RoundTrip(NamedTuple):
    """What came of taking migrations up, down and up again; `untried` are those behind one that could not go on."""

    trips: tuple[Trip, ...] = ()
    untried: tuple[int, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether every migration was tried, and everything came back each time."""
        return all(trip.ok for trip in self.trips) and not self.untried

    @property
    def findings(self) -> tuple[str, ...]:
        """Every finding, behind its migration's version."""
        return tuple(f"{trip.version}: {finding}" for trip in self.trips for finding in trip.findings)

    def as_text(self) -> str:
        """Return a line for each finding, and one that counts."""
        notes = (f"{trip.version}: note: {note}" for trip in self.trips for note in trip.notes)
        lines = [*self.findings, *notes]
        if self.untried:
            lines.append(f"not tried, because of what stands above: {', '.join(map(str, self.untried))}")
        whole = sum(trip.ok for trip in self.trips)
        lines.append(f"{whole} of {len(self.trips) + len(self.untried)} migrations go up, down and up again")
        return "".join(f"{line}\n" for line in lines)

    def as_dict(self) -> dict[str, object]:
        """Return the same as values that `json` takes."""
        return {
            "ok": self.ok,
            "trips": [{**trip._asdict(), "ok": trip.ok} for trip in self.trips],
            "untried": list(self.untried),
        }


class _Look(NamedTuple):
    """A database at one moment: schema, rows, and the rows that point nowhere."""

    picture: Picture
    violations: tuple[Violation, ...]


@contextmanager
def on_scratch(session: Session) -> Iterator[Session]:
    """Have the same session on an empty database in memory, which remembers what scripts do."""
    address = Address(None)
    with closing(connect(address)) as connection:
        yield session.on(WitnessedDatabase(connection, address, lock_timeout=0))


def make_round_trip(
    copy: Session, name: str, migrations: Iterable[Migration], leniency: dict[str, bool], watch: Watch
) -> RoundTrip:
    """Take migrations, oldest first, up, down and up again on a session's database, which is nobody's.

    Raises:
        MigrationError: its ledgers forbid it; what goes wrong with a script is a finding.
    """
    with rehearsing(name), watch(copy):
        return _Traveller(copy, leniency).go(tuple(migrations))


class _Traveller:
    """Go up, down and up again with one migration after the other."""

    def __init__(self, copy: Session, leniency: dict[str, bool]) -> None:
        self._copy = copy
        assert isinstance(copy.database, WitnessedDatabase)
        self._database = copy.database
        self._leniency = leniency
        picture = take_picture(self._database, copy.ledgers.tables, digests=True)
        self._look = _Look(picture, all_violations(self._database))

    def go(self, migrations: tuple[Migration, ...]) -> RoundTrip:
        trips: list[Trip] = []
        for number, migration in enumerate(migrations):
            findings: list[str] = []
            notes: list[str] = []
            arrived = self._go_round(migration, findings, notes)
            trips.append(Trip(migration.version, migration.id, tuple(findings), tuple(notes)))
            if not arrived:
                return RoundTrip(tuple(trips), tuple(each.version for each in migrations[number + 1 :]))
        return RoundTrip(tuple(trips))

    def _go_round(self, migration: Migration, findings: list[str], notes: list[str]) -> bool:
        """Take one migration round, and tell whether it is up at the end, so that the next can follow."""
        before = self._look
        if error := self._perform(migration, Action.APPLY):
            findings.append(f"its up script fails: {error}")
            return False
        up = self._look
        if not migration.reversible:
            findings.append("it has no down script, so that nothing of it can be undone")
            return True
        if error := self._perform(migration, Action.ROLL_BACK):
            findings.append(f"its down script fails: {error}")
            return True
        findings += _left_by_down(before, up, self._look)
        if error := self._perform(migration, Action.APPLY):
            findings.append(f"its up script cannot run again after its down script: {error}")
            return False
        findings += _second_time(up, self._look)
        notes += _other_values(up.picture, self._look.picture)
        findings += (f"integrity_check: {fault}" for fault in self._faults())
        return True

    def _perform(self, migration: Migration, action: Action) -> MigrationError | None:
        """Do one thing with a migration, look at what came of it, and return why it could not be done."""
        judge = self._judge(migration, action)
        try:
            plan = judge(self._copy.status())
            Run(self._copy, judge, lambda _: None).perform(plan)
        except (BadScript, ExecutionFailed, ForeignKeyViolations, RowsLost) as error:
            return error
        written = self._database.deeds.written
        picture = take_picture(self._database, self._copy.ledgers.tables, self._look.picture, written, digests=True)
        self._look = _Look(picture, all_violations(self._database))
        return None

    def _judge(self, migration: Migration, action: Action) -> Judge:
        def judge(status: Status) -> Plan:
            plan = plan_exactly(status, action, (migration.version,), **self._leniency)
            return plan._replace(steps=tuple(step for step in plan.steps if not step.is_hook))

        return judge

    def _faults(self) -> tuple[str, ...]:
        faults = tuple(str(fault) for (fault,) in self._database.execute(CHECK_INTEGRITY))
        return () if faults == ("ok",) else faults


def _left_by_down(before: _Look, up: _Look, after: _Look) -> Iterator[str]:
    schema = schema_difference(before.picture, after.picture)
    yield from (f"its down script leaves {name} behind" for name in schema.added)
    yield from (f"its down script drops {name}, which was there before" for name in schema.removed)
    yield from _changed_by_down(schema)
    for key, old in before.picture.tables.items():
        now = after.picture.tables.get(key)
        if now is not None and (what := _rows_left(old, up.picture.tables.get(key), now)):
            yield f"its down script {what}"
    yield from _pointing_nowhere("its down script", before, after)


def _changed_by_down(schema: SchemaDifference) -> Iterator[str]:
    signs = {"+": "leaves column {} behind", "-": "does not bring column {} back"}
    told = set()
    for line in schema.columns:
        sign, _, column = line.partition(" ")
        told.add(f"table {column.rpartition('.')[0]}")
        yield f"its down script {signs[sign].format(column)}"
    yield from (f"its down script leaves {name} defined otherwise" for name in schema.changed if name not in told)


def _rows_left(old: Table, up: Table | None, now: Table) -> str | None:
    """Say what a down script has made of the rows of a table, or return None where they are as they were."""
    if old.rows is None or now.rows is None or (old.rows, old.digest) == (now.rows, now.digest):
        return None
    if now.rows < old.rows:
        verb = f"brings table {old.name} back with" if up is None else f"leaves table {old.name} with"
        return f"{verb} {now.rows} of its {old.rows} rows"
    if now.rows > old.rows:
        return f"leaves table {old.name} with {now.rows} rows instead of {old.rows}"
    if sorted(map(str.lower, old.columns)) != sorted(map(str.lower, now.columns)):
        return None
    if up is None:
        return f"brings table {old.name} back with other values"
    missing = [column for column in old.columns if column.lower() not in {each.lower() for each in up.columns}]
    if missing:
        return f"brings column {old.name}.{missing[0]} back, but not its values"
    return f"leaves other values in table {old.name}"


def _second_time(first: _Look, second: _Look) -> Iterator[str]:
    schema = schema_difference(first.picture, second.picture)
    signs = (("+", schema.added), ("-", schema.removed), ("~", schema.changed))
    if lines := [f"{sign} {name}" for sign, names in signs for name in names] + list(schema.columns):
        yield f"its up script makes another schema the second time: {', '.join(lines)}"
    for key, old in first.picture.tables.items():
        now = second.picture.tables.get(key)
        if now is not None and now.rows != old.rows:
            yield f"its up script leaves {now.rows} rows in table {old.name} the second time, {old.rows} the first"
    yield from _pointing_nowhere("its up script, the second time,", first, second)


def _other_values(first: Picture, second: Picture) -> Iterator[str]:
    for key, old in first.tables.items():
        now = second.tables.get(key)
        if now is not None and now.rows == old.rows and now.digest != old.digest:
            yield f"table {old.name} has other values the second time, such as a time or what is random"


def _pointing_nowhere(who: str, before: _Look, after: _Look) -> Iterator[str]:
    if new := new_violations(after.violations, before.violations):
        rows = "1 row that points" if len(new) == 1 else f"{len(new)} rows that point"
        yield f"{who} leaves {rows} nowhere, the first in {new[0].table}, to {new[0].parent}"
