"""One operation on one open database: the one place where a database is changed."""

from __future__ import annotations

from time import perf_counter_ns

from torc_migrations.connection import read_tables
from torc_migrations.errors import BadScript, ExecutionFailed, ForeignKeyViolations, MigrationError, OtherSchema
from torc_migrations.log import logger
from torc_migrations.plan import Action, Outcome, Plan, Report, Step, duration_text, plan_settling
from torc_migrations.status import State, Status, compare

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeAlias

    from torc_migrations.authorizer import Touched
    from torc_migrations.database import Database
    from torc_migrations.ledger import Ledgers
    from torc_migrations.migration import Source
    from torc_migrations.snapshot import Snapshot

_INFO = 20  # logging.INFO

Judge: TypeAlias = "Callable[[Status], Plan]"
Observer: TypeAlias = "Callable[[Outcome], None]"


class Overtaken(Exception):
    """Somebody else has written, and what was planned next is not what there is to do now."""


class Safeguard:
    """What keeps a run from leaving a database half-way; this one does nothing.

    `snapshot` is the copy that it has made.
    """

    snapshot: Snapshot | None = None

    def check(self, database: Database) -> None:
        """Refuse, before anything runs, a database that it cannot guard."""

    def begin_step(self) -> None:
        """Be told that what was done before is recorded."""

    def begin_writing(self, database: Database, version: int | None) -> None:
        """Be told in each transaction that nothing has been written in it yet; `version` is the newest installed."""

    def leave_transaction(self, database: Database) -> None:
        """Be told that a script is going to run that ends our transaction, or is outside of it."""

    def put_back(self, database: Database, error: MigrationError) -> bool:  # noqa: ARG002  # this one does nothing
        """Undo everything after an error, and tell whether that was done."""
        return False

    def tell(self, database: Database) -> None:
        """Say after an interruption what can be done."""


class Session:
    """One operation on one open database."""

    def __init__(
        self,
        database: Database,
        source: Source,
        ledgers: Ledgers,
        *,
        strict: bool = False,
        safeguard: Safeguard | None = None,
    ) -> None:
        self._database = database
        self.source = source
        self._ledgers = ledgers
        self._strict = strict
        self._safeguard = safeguard or Safeguard()
        self._latest: int | None = None
        self._seen = -1
        self._has_ledgers = False
        self._steps: tuple[Step, ...] = ()

    @property
    def database(self) -> Database:
        """The database that the operation is on."""
        return self._database

    @property
    def ledger_tables(self) -> frozenset[str]:
        """The names of the tables of both ledgers."""
        return self._ledgers.tables

    def on(self, database: Database) -> Session:
        """Return the same on another database, step by step."""
        return Session(database, self.source, self._ledgers.of(database), strict=self._strict)

    def status(self) -> Status:
        """Read both ledgers as of one moment."""
        with self._database.reading():
            return self._read()

    def _read(self) -> Status:
        self._seen = self._database.version()
        status = compare(self.source, self._ledgers.read())
        self._latest = status.latest
        return status

    def interrupt(self) -> None:
        """Stop the statement that is running, from another thread; it fails, and its step is rolled back."""
        self._database.connection.interrupt()

    def objects(self) -> frozenset[str]:
        """Return the names of everything in the schema."""
        from torc_migrations.scratch import objects

        with self._database.reading():
            return objects(self._database)

    def yoyo_holder(self) -> str | None:
        """Say which living process holds yoyo's lock, or return None."""
        with self._database.reading():
            holder = self._database.living_yoyo()
        return str(holder) if holder else None

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
            tables = [name for name in read_tables(self._database.connection) if name not in self._ledgers.tables]
        return f"it has a table {tables[0]!r}" if tables else None

    def perform(self, plan: Plan, judge: Judge, observer: Observer) -> Report:
        """Perform a plan step by step, planning again whenever somebody else has written meanwhile."""
        outcomes: list[Outcome] = []
        self._steps = plan.steps
        creates = self._database.is_missing
        try:
            self._check_scripts()
            self._safeguard.check(self._database)
            self._database.make_writable()
            while self._steps:
                for outcome in self._perform_next(judge):
                    outcomes.append(outcome)
                    _log(outcome)
                    observer(outcome)
        except MigrationError as error:
            kept = () if self._safeguard.put_back(self._database, error) else tuple(outcomes)
            error.report = Report(plan, kept, self._safeguard.snapshot)
            if creates and self._database.is_empty_file:
                # Deleting it would swallow what somebody else may write, who has opened it by now.
                words = f"{self._database.name} was created, and is left empty"
                error.hint = f"{error.hint}; {words}" if error.hint else words
                error.add_note(words)
            raise
        except BaseException:
            self._safeguard.tell(self._database)
            raise
        return Report(plan, tuple(outcomes), self._safeguard.snapshot)

    def _check_scripts(self) -> None:
        """Read every script that will run, so that what is wrong with a file shows before the first step."""
        for step in self._steps:
            if step.script:
                _ = step.script.directives

    def _perform_next(self, judge: Judge) -> tuple[Outcome, ...]:
        step = self._steps[0]
        self._safeguard.begin_step()
        directives = step.script.directives if step.script else None
        perform = self._perform_outside if directives and not directives.transactional else self._perform_whole
        try:
            with self._database.foreign_keys(bool(directives and directives.foreign_keys)):
                outcomes = perform(step, judge)
        except Overtaken:
            return ()
        self._has_ledgers = True
        settled = {outcome.step.migration.id for outcome in outcomes[1:]}
        self._steps = self._steps[1:]
        if settled:
            self._steps = tuple(each for each in self._steps if each.migration.id not in settled)
        return outcomes

    def _perform_whole(self, step: Step, judge: Judge) -> tuple[Outcome, ...]:
        """Run one script and keep both ledgers in step with it, all or nothing."""
        with self._database.transaction():
            self._expect(step, judge)
            started = perf_counter_ns()
            wrote_ledgers = self._run_script(step, judge)
            elapsed_ns = perf_counter_ns() - started
            self._write(step, elapsed_ns)
            return (Outcome(step, elapsed_ns), *(self._settle() if wrote_ledgers else ()))

    def _perform_outside(self, step: Step, judge: Judge) -> tuple[Outcome, ...]:
        """Run one script that asks for no transaction; its records are written right after it."""
        from torc_migrations.execution import run_outside

        with self._database.transaction():
            self._expect(step, judge)
        started = perf_counter_ns()
        self._safeguard.leave_transaction(self._database)
        self._has_ledgers = False  # nobody watches what it drops
        try:
            run_outside(self._database, step, strict=self._strict)
        except ExecutionFailed:
            with self._database.transaction():
                self._expect(step, judge)  # somebody else may have done it while we tried
            raise
        elapsed_ns = perf_counter_ns() - started
        with self._database.transaction():
            self._expect(step, judge)
            self._write(step, elapsed_ns)
            return (Outcome(step, elapsed_ns), *self._settle())

    def _settle(self) -> tuple[Outcome, ...]:
        """Bring both ledgers in step again, after a script that may have written into one of them."""
        steps = plan_settling(self._read()).steps
        for step in steps:
            self._write(step, 0)
        return tuple(Outcome(step, 0) for step in steps)

    def _expect(self, step: Step, judge: Judge) -> None:
        """Make sure, inside the transaction, that a step is still what there is to do next."""
        if self._database.version() != self._seen:
            self._has_ledgers = False
            self._steps = judge(self._read()).steps
        if not self._is_next(step):
            raise Overtaken
        self._safeguard.begin_writing(self._database, self._latest)
        if not self._has_ledgers:
            self._ledgers.create()

    def _is_next(self, step: Step) -> bool:
        return self._steps[:1] == (step,)

    def _run_script(self, step: Step, judge: Judge) -> bool:
        """Run a script, and tell whether it may have written into a ledger.

        Rows that point nowhere are refused, unless they did so before.
        """
        from torc_migrations.execution import commits_by_itself, run, warn_of_switch
        from torc_migrations.foreign_keys import new_violations, violations

        if commits_by_itself(step):
            self._run_in_pieces(step, judge)
            return True
        touched = run(self._database, step)
        warn_of_switch(step, touched)
        broken = violations(self._database, touched)
        if broken:
            self._database.begin_again()
            self._expect(step, judge)
            new = new_violations(broken, violations(self._database, touched))
            if new:
                raise ForeignKeyViolations(step, tuple((each.table, each.rowid, each.parent) for each in new))
            run(self._database, step)
        self._check_ledgers(step, touched)
        return self._wrote_ledgers(touched)

    def _wrote_ledgers(self, touched: Touched) -> bool:
        return not self._ledgers.lower_tables.isdisjoint(touched.tables)

    def _run_in_pieces(self, step: Step, judge: Judge) -> None:
        """Run a script that commits by itself; its records are written in the transaction that it leaves, or after."""
        from torc_migrations.execution import run_in_pieces, unwanted_commit

        if self._strict:
            raise unwanted_commit(step)
        logger().warning("%s commits by itself: killed or failed half-way, it is not undone", step.migration.id)
        self._safeguard.leave_transaction(self._database)
        self._has_ledgers = False
        run_in_pieces(self._database, step)
        self._database.go_on_writing()
        self._expect(step, judge)

    def _check_ledgers(self, step: Step, touched: Touched) -> None:
        """Refuse a script that takes away what its own record is written to."""
        lost = sorted(self._ledgers.lost()) if touched.all_tables or self._wrote_ledgers(touched) else []
        if step.script and lost:
            path = step.script.path
            raise BadScript(path, f"{path} drops {lost[0]!r}, where its own record has to be written")

    def _write(self, step: Step, elapsed_ns: int) -> None:
        if step.action in (Action.APPLY, Action.RECORD):
            self._ledgers.record(step, elapsed_ns if step.script else None)
        elif step.action is Action.REPAIR:
            self._ledgers.repair(step)
        elif step.action is Action.HOOK:
            self._ledgers.log_hook(step)
        else:
            self._ledgers.erase(step)


def _log(outcome: Outcome) -> None:
    log = logger()
    if log.isEnabledFor(_INFO):
        step = outcome.step
        log.info("%s %s in %s", step.action.done, step.migration.id, duration_text(outcome.elapsed_ns))
