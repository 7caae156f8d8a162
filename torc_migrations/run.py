"""Perform a plan step by step: the one place where a database is changed."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from time import perf_counter_ns
from typing import TYPE_CHECKING, TypeAlias

from torc_migrations.driver import sqlite3
from torc_migrations.errors import BadScript, ExecutionFailed, ForeignKeyViolations, MigrationError
from torc_migrations.execution import (
    commits_by_itself,
    run,
    run_in_pieces,
    run_outside,
    unwanted_commit,
    warn_of_switch,
)
from torc_migrations.foreign_keys import new_violations, violations
from torc_migrations.judgement import Status
from torc_migrations.log import logger
from torc_migrations.plan import Action, Outcome, Plan, Report, Step, duration_text, plan_settling
from torc_migrations.transaction import Transaction

if TYPE_CHECKING:
    from torc_migrations.authorizer import Touched
    from torc_migrations.database import Database
    from torc_migrations.session import Session
    from torc_migrations.snapshot import Snapshot

_INFO = 20  # logging.INFO

Judge: TypeAlias = Callable[[Status], Plan]
Observer: TypeAlias = Callable[[Outcome], None]


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


class Run:
    """The steps of one plan, performed one by one, and planned again whenever somebody else has written meanwhile."""

    def __init__(self, session: Session, judge: Judge, observer: Observer, safeguard: Safeguard | None = None) -> None:
        self._session = session
        self._database = session.database
        self._ledgers = session.ledgers
        self._judge = judge
        self._observer = observer
        self._safeguard = safeguard or Safeguard()
        self._has_ledgers = False
        self._steps = deque[Step]()

    def perform(self, plan: Plan) -> Report:
        """Perform a plan.

        Raises:
            MigrationError: any of them; its `report` tells what was done before.
        """
        outcomes: list[Outcome] = []
        self._steps = deque(plan.steps)
        creates = self._database.is_missing
        try:
            self._check_scripts()
            self._safeguard.check(self._database)
            self._database.make_writable()
            while self._steps:
                for outcome in self._perform_tidily():
                    outcomes.append(outcome)
                    _log(outcome)
                    self._observer(outcome)
        except MigrationError as error:
            kept = () if self._safeguard.put_back(self._database, error) else tuple(outcomes)
            error.report = Report(plan, kept, self._safeguard.snapshot)
            if creates and self._database.file and self._database.file.is_empty:
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
            if script := step.script:
                _ = script.directives
                _ = script.words  # which is faster for all of them in a row than for each between two flushes

    def _perform_tidily(self) -> tuple[Outcome, ...]:
        """Perform what is next, and leave the connection tidy; where somebody else was faster, nothing is done."""
        try:
            return self._perform_next()
        except Overtaken:
            return ()
        except ExecutionFailed as error:
            self._mind_the_file(error)
            raise
        finally:
            self._database.tidy()

    def _perform_next(self) -> tuple[Outcome, ...]:
        step = self._steps[0]
        self._safeguard.begin_step()
        script = step.script
        directives = script.directives if script else None
        perform = self._perform_outside if directives and not directives.transactional else self._perform_whole
        if directives and directives.foreign_keys:
            self._database.enforce_foreign_keys()
        outcomes = perform(step)
        self._has_ledgers = True
        self._steps.popleft()
        if settled := {outcome.step.migration.id for outcome in outcomes[1:]}:
            self._steps = deque(each for each in self._steps if each.migration.id not in settled)
        return outcomes

    def _mind_the_file(self, error: ExecutionFailed) -> None:
        """Say so where the script is right, and it is the file that cannot be written, which BEGIN does not tell."""
        code = getattr(error.__cause__, "sqlite_errorcode", None)
        if code is not None and code & 0xFF in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN):
            self._database.tidy()
            with Transaction(self._database):
                self._database.write_something()
                raise error

    def _perform_whole(self, step: Step) -> tuple[Outcome, ...]:
        """Run one script and keep both ledgers in step with it, all or nothing."""
        with Transaction(self._database):
            self._expect(step)
            started = perf_counter_ns()
            wrote_ledgers = self._run_script(step)
            elapsed_ns = perf_counter_ns() - started
            self._write(step, elapsed_ns)
            return (Outcome(step, elapsed_ns), *(self._settle() if wrote_ledgers else ()))

    def _perform_outside(self, step: Step) -> tuple[Outcome, ...]:
        """Run one script that asks for no transaction; its records are written right after it."""
        with Transaction(self._database):
            self._expect(step)
        started = perf_counter_ns()
        self._safeguard.leave_transaction(self._database)
        self._has_ledgers = False  # nobody watches what it drops
        try:
            run_outside(self._database, step, strict=self._session.strict)
        except ExecutionFailed:
            with Transaction(self._database):
                self._expect(step)  # somebody else may have done it while we tried
            raise
        elapsed_ns = perf_counter_ns() - started
        with Transaction(self._database):
            self._expect(step)
            self._write(step, elapsed_ns)
            return (Outcome(step, elapsed_ns), *self._settle())

    def _settle(self) -> tuple[Outcome, ...]:
        """Bring both ledgers in step again, after a script that may have written into one of them."""
        steps = plan_settling(self._session.read()).steps
        for step in steps:
            self._write(step, 0)
        return tuple(Outcome(step, 0) for step in steps)

    def _expect(self, step: Step) -> None:
        """Make sure, inside the transaction, that a step is still what there is to do next."""
        if self._session.is_stale():
            self._has_ledgers = False
            if status := self._session.read_anew():
                self._steps = deque(self._judge(status).steps)
        if not self._is_next(step):
            raise Overtaken
        self._safeguard.begin_writing(self._database, self._session.latest)
        if not self._has_ledgers:
            self._ledgers.create()

    def _is_next(self, step: Step) -> bool:
        return bool(self._steps) and self._steps[0] == step

    def _run_script(self, step: Step) -> bool:
        """Run a script, and tell whether it may have written into a ledger.

        Rows that point nowhere are refused, unless they did so before.
        """
        if commits_by_itself(step):
            self._run_in_pieces(step)
            return True
        touched = run(self._database, step)
        warn_of_switch(step, touched)
        broken = violations(self._database, touched)
        if broken:
            self._database.begin_again()
            self._expect(step)
            new = new_violations(broken, violations(self._database, touched))
            if new:
                raise ForeignKeyViolations(step, tuple((each.table, each.rowid, each.parent) for each in new))
            run(self._database, step)
        return self._check_ledgers(step, touched)

    def _run_in_pieces(self, step: Step) -> None:
        """Run a script that commits by itself; its records are written in the transaction that it leaves, or after."""
        if self._session.strict:
            raise unwanted_commit(step)
        logger().warning("%s commits by itself: killed or failed half-way, it is not undone", step.migration.id)
        self._safeguard.leave_transaction(self._database)
        self._has_ledgers = False
        run_in_pieces(self._database, step)
        self._database.go_on_writing()
        self._expect(step)

    def _check_ledgers(self, step: Step, touched: Touched) -> bool:
        """Refuse a script that takes away what its own record is written to; tell whether it may have written there."""
        wrote = not self._ledgers.lower_tables.isdisjoint(touched.tables)
        lost = sorted(self._ledgers.lost()) if touched.all_tables or wrote else []
        if lost and step.script:
            path = step.script.path
            raise BadScript(path, f"{path} drops {lost[0]!r}, where its own record has to be written")
        return wrote

    def _write(self, step: Step, elapsed_ns: int) -> None:
        self._session.note_writing()
        if step.action is Action.APPLY:
            self._ledgers.record(step, elapsed_ns)
        elif step.action is Action.RECORD:
            self._ledgers.record(step)
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
