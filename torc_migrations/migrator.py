"""The engine: status, upgrade, apply, rollback; the one place where a database is changed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from time import perf_counter_ns
from typing import TYPE_CHECKING, Literal, TypeAlias

from torc_migrations.database import Database, DatabaseLike, open_database
from torc_migrations.errors import BadScript, ExecutionFailed, ForeignKeyViolations, MigrationError, OtherSchema
from torc_migrations.execution import run, run_outside
from torc_migrations.foreign_keys import new_violations, violations
from torc_migrations.ledger import YOYO_TABLE, Ledgers
from torc_migrations.log import logger
from torc_migrations.migration import SHIPPED, Migration, Source, SourceLike, discover
from torc_migrations.plan import (
    Action,
    Direction,
    Outcome,
    Plan,
    Report,
    Step,
    duration_text,
    plan_exactly,
    plan_rollback,
    plan_upgrade,
)
from torc_migrations.script import Directives
from torc_migrations.status import State, Status, compare

if TYPE_CHECKING:
    from torc_migrations.authorizer import Touched

OnNewer: TypeAlias = Literal["accept", "refuse"]
Judge: TypeAlias = "Callable[[Status], Plan]"
Observer: TypeAlias = "Callable[[Outcome], None]"


class Migrator:
    """Bring a database to a version, and tell at which one it is.

    Nothing is opened until a method is called, and nothing stays open after it; one object may be used from many
    threads at once.

    Args:
        database: a URL (`sqlite:///torc.db`) or path, an open `sqlite3.Connection`, or a `sqlite_utils.Database`.
            A connection is left open and as it was found, but for an authorizer of its own, which SQLite cannot
            give back; it is refused inside a transaction.
        source: a folder of migrations, `"package:name:folder"`, a `Traversable`, or None for the shipped torc schema.
        lock_timeout: how long to wait for others, in seconds.
        ignore_missing: go on where an installed version has no file in the source.
        on_newer: what to do where a version is installed that is newer than every file, as happens when an older
            release starts again during a rolling deployment: `"accept"` it with a warning in the log, or `"refuse"`.
        migration_table: the name of yoyo's ledger.
    """

    def __init__(
        self,
        database: DatabaseLike,
        source: SourceLike = None,
        *,
        lock_timeout: float = 300.0,
        ignore_missing: bool = False,
        on_newer: OnNewer = "accept",
        migration_table: str = YOYO_TABLE,
    ) -> None:
        self.database = database
        self.source = source
        self.lock_timeout = lock_timeout
        self.ignore_missing = ignore_missing
        self.on_newer = on_newer
        self.migration_table = migration_table

    def status(self) -> Status:
        """Tell what is installed. Writes nothing: no table, no file, no lock, no setting.

        Raises:
            SourceError, UrlError: the source or the database cannot be read.
            LockTimeout: the database could not be read for `lock_timeout` seconds.
        """
        with self._session() as session:
            status = session.status()
            evidence = session.other_schema(status) if self.source is None else None
        if evidence is None:
            return status
        note = f"this is not a database of {SHIPPED} ({evidence}); name its migrations with --source"
        return status._replace(notes=(*status.notes, note))

    def upgrade(self, target: int | None = None, *, observer: Observer | None = None) -> Report:
        """Apply what is pending, up to `target` or to the newest version.

        Idempotent, and safe from many processes at once: each migration is applied once, by one of them. Each
        migration, with its records in both ledgers, is kept whole or not at all. With nothing to do it takes no
        lock and writes nothing.

        Raises:
            MigrationError: any of them; its `report` tells what was done before.
        """
        return self._run(lambda status: plan_upgrade(status, target, **self._leniency()), observer)

    def apply(self, *versions: int, observer: Observer | None = None) -> Report:
        """Apply exactly these migrations; those that are installed already are left alone.

        Raises:
            MigrationError: as for `upgrade`.
        """
        return self.perform(Action.APPLY, versions, observer=observer)

    def perform(self, action: Action, versions: Iterable[int], *, observer: Observer | None = None) -> Report:
        """Do one thing with exactly these migrations: apply, roll back, or only record or erase them in both ledgers.

        Those that are so already are left alone.

        Raises:
            MigrationError: as for `upgrade`.
        """
        wanted = tuple(versions)
        return self._run(lambda status: plan_exactly(status, action, wanted, **self._leniency()), observer)

    def rollback(self, target: int | None = None, *, observer: Observer | None = None) -> Report:
        """Roll back the newest migration, or all above `target`, which stays; 0 means everything.

        Raises:
            Irreversible: a migration on the way has no down script; nothing is rolled back then.
            MigrationError: as for `upgrade`.
        """
        seen: list[tuple[Migration, ...]] = []

        def judge(status: Status) -> Plan:
            seen.append(status.installed[-1:])
            if target is None and seen[-1] != seen[0]:
                return Plan(Direction.DOWN, ())  # the newest is another by now: somebody else was faster
            return plan_rollback(status, target, ignore_missing=self.ignore_missing)

        return self._run(judge, observer)

    def plan_upgrade(self, target: int | None = None) -> Plan:
        """Return what `upgrade` would do. Writes nothing."""
        with self._session() as session:
            return plan_upgrade(session.status(), target, **self._leniency())

    def plan_rollback(self, target: int | None = None) -> Plan:
        """Return what `rollback` would do. Writes nothing."""
        with self._session() as session:
            return plan_rollback(session.status(), target, ignore_missing=self.ignore_missing)

    def _leniency(self) -> dict[str, bool]:
        return {"ignore_missing": self.ignore_missing, "accept_newer": self.on_newer == "accept"}

    @contextmanager
    def _session(self) -> Iterator[_Session]:
        source = discover(self.source)
        with open_database(self.database, lock_timeout=self.lock_timeout) as database:
            yield _Session(database, source, Ledgers(database, self.migration_table))

    def _run(self, judge: Judge, observer: Observer | None) -> Report:
        with self._session() as session:
            status = session.status()
            if self.source is None:
                session.refuse_other_schema(status)
            plan = judge(status)
            for note in plan.notes:
                logger().warning("%s", note)
            if not plan.steps:
                return Report(plan, ())
            return session.perform(plan, judge, observer or _ignore)


def _ignore(outcome: Outcome) -> None:
    pass


class _Overtaken(Exception):
    """Somebody else has written, and what was planned next is not what there is to do now."""


class _Session:
    """One operation on one open database."""

    def __init__(self, database: Database, source: Source, ledgers: Ledgers) -> None:
        self._database = database
        self._source = source
        self._ledgers = ledgers
        self._seen = -1
        self._steps: tuple[Step, ...] = ()

    def status(self) -> Status:
        """Read both ledgers as of one moment."""
        with self._database.reading():
            return self._read()

    def _read(self) -> Status:
        self._seen = self._database.version()
        return compare(self._source, self._ledgers.read())

    def refuse_other_schema(self, status: Status) -> None:
        """Keep the shipped schema out of a database that carries another one.

        Raises:
            OtherSchema: nothing of the shipped schema is installed, but something else is there.
        """
        if evidence := self.other_schema(status):
            raise OtherSchema(self._database.name, evidence)

    def other_schema(self, status: Status) -> str | None:
        """Say what shows that a database carries another schema than the shipped one, or return None."""
        if any(entry.state is State.INSTALLED for entry in status.entries):
            return None
        for entry in status.entries:
            if entry.changed:
                return f"its migration {entry.migration.version} has another text"
        if status.missing:
            return f"its migration {status.missing[0]} is not among ours"
        with self._database.reading():
            tables = [name for name in self._database.tables() if name not in self._ledgers.tables]
        return f"it has a table {tables[0]!r}" if tables else None

    def perform(self, plan: Plan, judge: Judge, observer: Observer) -> Report:
        """Perform a plan step by step, planning again whenever somebody else has written meanwhile."""
        outcomes: list[Outcome] = []
        self._steps = plan.steps
        try:
            self._check_scripts()
            self._database.make_writable()
            while self._steps:
                for outcome in self._perform_next(judge):
                    outcomes.append(outcome)
                    _log(outcome)
                    observer(outcome)
        except MigrationError as error:
            error.report = Report(plan, tuple(outcomes))
            raise
        return Report(plan, tuple(outcomes))

    def _check_scripts(self) -> None:
        """Read every script that will run, so that what is wrong with a file shows before the first step."""
        for step in self._steps:
            if step.script:
                _ = step.script.directives

    def _perform_next(self, judge: Judge) -> tuple[Outcome, ...]:
        step = self._steps[0]
        directives = step.script.directives if step.script else Directives()
        perform = self._perform_whole if directives.transactional else self._perform_outside
        try:
            with self._database.foreign_keys(directives.foreign_keys):
                elapsed_ns = perform(step, judge)
        except _Overtaken:
            return ()
        self._steps = self._steps[1:]
        return (Outcome(step, elapsed_ns),)

    def _perform_whole(self, step: Step, judge: Judge) -> int:
        """Run one script and keep both ledgers in step with it, all or nothing."""
        with self._database.transaction():
            self._expect(step, judge)
            started = perf_counter_ns()
            self._run_script(step, judge)
            elapsed_ns = perf_counter_ns() - started
            self._write(step, elapsed_ns)
        return elapsed_ns

    def _perform_outside(self, step: Step, judge: Judge) -> int:
        """Run one script that asks for no transaction; its records are written right after it."""
        with self._database.transaction():
            self._expect(step, judge)
        started = perf_counter_ns()
        try:
            run_outside(self._database, step)
        except ExecutionFailed:
            with self._database.transaction():
                self._expect(step, judge)  # somebody else may have done it while we tried
            raise
        elapsed_ns = perf_counter_ns() - started
        with self._database.transaction():
            self._expect(step, judge)
            self._write(step, elapsed_ns)
        return elapsed_ns

    def _expect(self, step: Step, judge: Judge) -> None:
        """Make sure, inside the transaction, that a step is still what there is to do next."""
        if self._database.version() != self._seen:
            self._steps = judge(self._read()).steps
        if self._steps[:1] != (step,):
            raise _Overtaken
        self._ledgers.create()

    def _run_script(self, step: Step, judge: Judge) -> None:
        """Run a script, and refuse rows that point nowhere, unless they did so before."""
        touched = run(self._database, step)
        broken = violations(self._database, touched)
        if broken:
            self._database.begin_again()
            self._expect(step, judge)
            new = new_violations(broken, violations(self._database, touched))
            if new:
                raise ForeignKeyViolations(step, tuple((each.table, each.rowid, each.parent) for each in new))
            run(self._database, step)
        self._check_ledgers(step, touched)

    def _check_ledgers(self, step: Step, touched: Touched) -> None:
        """Refuse a script that takes away what its own record is written to."""
        if step.script and (touched.all_tables or touched.tables & self._ledgers.tables):
            for table in sorted(self._ledgers.lost()):
                path = step.script.path
                raise BadScript(path, f"{path} drops {table!r}, where its own record has to be written")

    def _write(self, step: Step, elapsed_ns: int) -> None:
        if step.action is Action.APPLY:
            self._ledgers.record(step.migration, step.action, elapsed_ns)
        elif step.action is Action.RECORD:
            self._ledgers.record(step.migration, step.action)
        else:
            self._ledgers.erase(step.migration, step.action)


def _log(outcome: Outcome) -> None:
    step = outcome.step
    logger().info("%s %s in %s", step.action.done, step.migration.id, duration_text(outcome.elapsed_ns))
