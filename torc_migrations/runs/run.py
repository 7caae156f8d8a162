"""Perform a plan step by step: the one place where a database is changed."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from time import perf_counter, perf_counter_ns
from typing import TypeAlias

from torc_migrations.databases.interface import Effects, Savepoint, ScriptMode
from torc_migrations.databases.results.violations import Soundness, new_violations
from torc_migrations.databases.waiting import raise_if_stopped, stoppable
from torc_migrations.errors import DatabaseFailed, ExecutionFailed, MigrationError, Stopped
from torc_migrations.history.planning import plan_settling
from torc_migrations.history.steps import Outcome, Plan, Report, Step
from torc_migrations.log import log
from torc_migrations.runs.evidence import status_by_schema
from torc_migrations.runs.groups import Records, ignoring_loss, may_share
from torc_migrations.runs.planned import Overtaken, PlannedRun, Planner
from torc_migrations.runs.refusals import (
    error_of_kept,
    hint_at_other_ways,
    note_unfinished,
    refuse_broken,
    refuse_lost_ledger,
    run_guarded,
    say_not_committed,
    say_what_is_kept,
    violations_of,
)
from torc_migrations.runs.safeguard import Safeguard
from torc_migrations.runs.session import Session
from torc_migrations.sources.migration import Script
from torc_migrations.sources.one_file_formats import refuse_one_file_format

Observer: TypeAlias = Callable[[Outcome], object]


class Run(PlannedRun):
    """The steps of one plan, performed one by one, and planned again whenever somebody else has written.

    Steps share a transaction until `group` seconds have passed since it began: as fast as one transaction for many, and
    as safe as one each, because each step after the first can be undone alone.

    Args:
        planner: makes the plan again from a status that has changed.
        observer: called with each step once it is committed.
        group: seconds; 0 for one transaction each.
    """

    def __init__(
        self,
        session: Session,
        planner: Planner,
        observer: Observer,
        safeguard: Safeguard | None = None,
        *,
        group: float = 0.05,
    ) -> None:
        super().__init__(session, planner)
        self._observer = observer
        self._safeguard = safeguard or Safeguard()
        self._modes: dict[Script, ScriptMode] = {}
        self._group = group if session.database.may_group else 0.0
        self._savepoint: Savepoint | None = None  # of the step that is performed, or was performed last
        self._feed = session.feed
        self._records = Records(session)
        self._last: Step  # that was performed last
        self._done = 0  # how many steps are committed, or performed in a transaction that is open
        self._failed: Step | None = None  # that step; what was rolled back with it is performed again, up to this step

    def perform(self, plan: Plan) -> Report:
        """Perform a plan.

        Raises:
            MigrationError: any of them; its `report` says what was done before.
        """
        self._steps = deque(plan.steps)
        self._feed.start(plan, self._session.expected)
        try:
            report = self._perform_plan(plan)
        except BaseException as error:
            self._feed.end(error, self._failed or next(iter(self._steps), None))
            raise
        self._session.note_instructions(self._feed.counted)
        self._feed.finish()
        return report

    def _perform_plan(self, plan: Plan) -> Report:
        outcomes: list[Outcome] = []
        creates = self._database.is_missing
        try:
            self._check_scripts()
            self._safeguard.check(self._database)
            self._database.prepare_to_write()
            while self._steps:
                self._feed.raise_failure()
                try:
                    done = self._perform_next_again() if self._failure else self._perform_next()
                except DatabaseFailed as error:
                    if not self._session.may_go_on_after(error):
                        raise
                    self._steps = deque(self._planner(status_by_schema(self._session)).steps)
                    continue
                self._safeguard.end_step()
                outcomes += done
                for outcome in done:
                    self._feed.end_step(outcome)
                    self._observer(outcome)
                if self._failure is not None and self._is_repeated():
                    raise self._failure
        except MigrationError as error:
            hint_at_other_ways(self._session, error, done=self._done, left=len(self._steps))
            kept = () if self._safeguard.restore(self._database, error) else tuple(outcomes)
            error.report = Report(plan, kept, self._safeguard.snapshot)
            if creates and self._database.is_empty():
                # Deleting it could delete what somebody else writes, who has opened it by now.
                error.extend_hint(f"{self._database.name} was created, and is left empty")
            raise
        except BaseException:
            self._safeguard.log_command(self._database)
            raise
        note_unfinished(self._session)
        return Report(plan, tuple(outcomes), self._safeguard.snapshot)

    def _check_scripts(self) -> None:
        """Read every script that will run, so that what is wrong with a file shows before the first step."""
        for step in self._steps:
            if step.script:
                self._mode(step.script)
            _ = step.migration.kept_down  # is read with them

    def _mode(self, script: Script) -> ScriptMode:
        mode = self._modes.get(script)
        if mode is None:
            refuse_one_file_format(script.path, script.sql)
            mode = self._modes[script] = self._database.script_mode(script)
        return mode

    def _perform_next(self) -> list[Outcome]:
        """Perform what is next, alone or in a group; nothing where somebody else has done it."""
        raise_if_stopped()
        self._wait_for_runner()
        if not self._steps:
            return []
        step = self._steps[0]
        try:
            self._database.begin_step(self._script_for_session())
            return self._perform()
        except Overtaken:
            self._forget_begun(step)
            return []
        except ExecutionFailed as error:
            self._database.refuse_unwritable(error)
            say_what_is_kept(self._session, error, step.resume_after)
            raise
        finally:
            self._ledgers.end()
            self._database.end_step()

    def _perform(self) -> list[Outcome]:
        """Perform the next step outside of a transaction, or a group of steps in one."""
        script = self._steps[0].script
        if script and not self._database.may_group:
            self._modes.pop(script, None)  # on a server, the steps before may have changed what it depends on
        if script and self._mode(script) is ScriptMode.OUTSIDE:
            with stoppable(None):  # what was begun is recorded
                return self._perform_outside()
        return self._perform_group()

    def _script_for_session(self) -> Script | None:
        """Return the script whose directives hold for the session, that of the next step; `AtomicRun` has all."""
        return self._steps[0].script

    def _perform_group(self) -> list[Outcome]:
        """Perform steps in one transaction until `group` seconds have passed; at least one.

        A step that fails is undone alone: what came before it is committed, and then its error is raised. Where the
        database has rolled back the whole transaction with it, what came before is put back into the plan.
        """
        outcomes: list[Outcome] = []
        begun = perf_counter()
        try:
            with self._database.transaction():
                self._begin_writing(self._steps[0])
                before = tuple(self._steps)
                self._begin_records()
                while True:
                    try:
                        outcomes += self._perform_step()
                    except BaseException as error:
                        if not (outcomes and self._savepoint and self._savepoint.has_ended):
                            raise
                        self._records.forget_undone(self._savepoint, self._steps)
                        self._failure, self._failed = self._failure or error, None
                        break
                    if not self._may_continue(begun):
                        break
                self._records.write()
        except Exception as error:
            if not outcomes or not self._put_back(before, error):
                say_not_committed(error, outcomes if self._savepoint else (), self._failure)
                raise
            return []
        return outcomes

    def _may_continue(self, begun: float) -> bool:
        """Return whether the next step belongs to the same transaction."""
        if not self._steps or perf_counter() - begun >= self._group or self._database.must_end_step():
            return False
        stops = self._steps[0] == self._failed or self._feed.failure is not None
        return not stops and may_share(self._last, self._mode) and may_share(self._steps[0], self._mode)

    def _put_back(self, before: tuple[Step, ...], error: Exception) -> bool:
        """Put the steps of a group back that was rolled back as a whole, and return whether they are to be repeated.

        SQLite does that after an interruption, on a full disk, where memory is short, and for ON CONFLICT ROLLBACK.
        Where the commit has failed, each of them has a transaction of its own from now on.
        """
        if self._savepoint is None or (isinstance(error, DatabaseFailed) and error.is_lost):
            return False
        if not self._savepoint.has_ended:
            self._failure, self._failed = self._failure or error, self._steps[0]
        elif isinstance(error, DatabaseFailed) and len(before) - len(self._steps) > 1:
            self._group = 0.0
            self._failed = self._steps[0] if self._failure else None
        else:
            return False
        self._done -= len(before) - len(self._steps)
        self._steps = deque(before)
        return True

    def _is_repeated(self) -> bool:
        """Return whether everything is committed that came before the step that failed."""
        return not self._steps or self._failed not in self._steps or self._steps[0] == self._failed

    def _perform_next_again(self) -> list[Outcome]:
        """Perform what was lost with a step that failed, whose error is raised also where this fails."""
        assert self._failure is not None
        try:
            return self._perform_next()
        except Exception as error:
            if not isinstance(error, Stopped):
                log().error("what was rolled back with it cannot be repeated: %s", error)
            raise self._failure from self._failure.__cause__

    def _perform_step(self) -> list[Outcome]:
        """Perform the next step in the caller's transaction, and remove it from the plan."""
        outcomes = self._run_step(self._steps[0])
        self._remove_first(outcomes[1:])
        return outcomes

    def _remove_first(self, settled: list[Outcome]) -> None:
        """Remove the first step from the plan, and those that its script has settled in the ledgers."""
        self._last = self._steps.popleft()
        self._done += 1
        if settled:
            goals = {outcome.step.goal for outcome in settled}
            self._steps = deque(step for step in self._steps if step.goal not in goals)

    def _run_step(self, step: Step) -> list[Outcome]:
        """Run one script and write its records, all or nothing."""
        script = step.script
        self._feed.begin_step(step, self._done + 1, self._done + len(self._steps))
        self._savepoint = None
        self._records.prepare_for(script)
        if script and self._mode(script) is ScriptMode.OWN_COMMITS:
            started = perf_counter_ns()
            with stoppable(None):
                committed = self._run_with_commits(step)
            return self._record(step, script, committed, perf_counter_ns() - started)
        self._savepoint = savepoint = self._database.savepoint()
        with savepoint:
            started = perf_counter_ns()
            effects = self._run_checked(step, savepoint) if script else None
            return self._record(step, script, effects, perf_counter_ns() - started)

    def _run_with_commits(self, step: Step) -> Effects:
        """Run a script that ends the transaction, and hold one again."""
        if not self._session.strict:
            self._safeguard.leave_transaction(self._database)
        progress, before = self._progress(step), self._database.find_broken()
        effects = self._database.run_script(
            step, ScriptMode.OWN_COMMITS, strict=self._session.strict, progress=progress
        )
        self._records.look_again()
        self._begin_recording(step)
        self._ledgers.forget_begun(step)
        self._failure = error_of_kept(self._session, step, before, effects) or self._failure
        return effects

    def _run_checked(self, step: Step, savepoint: Savepoint) -> Effects:
        """Run a script, and refuse rows that point to no row, and a schema that does not work, unless it was so."""
        effects = run_guarded(self._session, step)
        broken, schema = self._database.find_violations(effects), self._database.find_broken(effects)
        if broken or schema.broken:
            savepoint.undo()
            if broken and (new := new_violations(broken, self._database.find_violations(effects))):
                raise violations_of(step, new, (effects,))
            refuse_broken(self._session, (step,), schema, (effects,))
            run_guarded(self._session, step)
        return effects

    def _begin_records(self) -> None:
        """Note that a transaction begins; on a server a step is never in one with another."""
        self._records.begin(alone=len(self._steps) == 1 or not self._database.may_group)

    def _record(self, step: Step, script: Script | None, effects: Effects | None, elapsed_ns: int) -> list[Outcome]:
        """Write the records of a step, and settle what its script has written into a ledger."""
        wrote_ledgers = script is not None and effects is not None and self._touched_ledgers(step, script, effects)
        self._records.add(step, elapsed_ns, wrote_ledgers=wrote_ledgers)
        return [Outcome(step, elapsed_ns), *(self._settle() if wrote_ledgers else ())]

    def _perform_outside(self) -> list[Outcome]:
        """Run one script that asks for no transaction; its records are written right after it."""
        step = self._steps[0]
        with self._database.transaction():
            self._begin_writing(step)
            progress, before = self._progress(step), self._database.find_broken()
        self._feed.begin_step(step, self._done + 1, self._done + len(self._steps))
        started = perf_counter_ns()
        self._safeguard.leave_transaction(self._database)
        self._records.look_again()
        try:
            effects = self._database.run_script(
                step, ScriptMode.OUTSIDE, strict=self._session.strict, progress=progress
            )
        except ExecutionFailed as error:
            if isinstance(error.__cause__, Overtaken):
                raise error.__cause__ from None
            with ignoring_loss(), self._database.transaction():
                self._begin_recording(step)  # somebody else may have done it meanwhile
            if self._session.runner:
                raise Overtaken from error
            raise
        elapsed_ns = perf_counter_ns() - started
        settled = self._record_outside(step, elapsed_ns, before, effects)
        self._remove_first(settled)
        return [Outcome(step, elapsed_ns), *settled]

    def _record_outside(self, step: Step, elapsed_ns: int, before: Soundness, effects: Effects) -> list[Outcome]:
        """Write the records of a script that has run outside a transaction, again after a conflict with another one."""
        while True:
            try:
                with self._database.transaction():
                    self._begin_recording(step)
                    self._session.write(step, elapsed_ns)
                    self._ledgers.forget_begun(step)
                    self._failure = error_of_kept(self._session, step, before, effects) or self._failure
                    return self._settle()
            except DatabaseFailed as error:
                if error.is_lost or not self._session.may_go_on_after(error):
                    raise

    def _begin_writing(self, step: Step) -> None:
        """Prepare the transaction for a step; plan again where somebody else has written.

        Raises:
            Overtaken: the step is no longer what is next.
        """
        self._refuse_overtaken(step)
        self._safeguard.begin_writing(self._database, self._session.latest)
        self._session.create_ledgers()

    def _touched_ledgers(self, step: Step, script: Script, effects: Effects) -> bool:
        """Return whether a script may have written into a ledger; refuse one that has dropped a table of a ledger."""
        return refuse_lost_ledger(self._session, step, effects) or self._mode(script) is ScriptMode.OWN_COMMITS

    def _settle(self) -> list[Outcome]:
        """Write and erase what a ledger lacks or still has, after a script that may have written into it."""
        for step in (steps := plan_settling(self._session.read()).steps):
            self._session.write(step, 0)
        return [Outcome(step, 0) for step in steps]
