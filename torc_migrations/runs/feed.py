"""Report to a callback what happens in a run, as the values of `torc_migrations.events`."""

from __future__ import annotations

from copy import copy
from time import monotonic, perf_counter_ns
from typing import TYPE_CHECKING

from torc_migrations.errors import StepFailed
from torc_migrations.formatting import duration_text
from torc_migrations.history.steps import Action, Outcome, Plan, Step
from torc_migrations.log import log

if TYPE_CHECKING:
    from torc_migrations.databases.interface import Database
    from torc_migrations.events import Event, OnEvent

_PAUSE = 0.1  # seconds between two events that say how far a script is
_INFO = 20  # logging.INFO
_UNDONE = (Action.ROLL_BACK, Action.ERASE)


class Feed:
    """Reports to a callback what a run does; without one it does nothing. It is the monitor of the run's database.

    An error of the callback is kept, and the callback is not called again. The run raises the error once the step that
    is running is committed. What a signal's handler raises is let through.

    Runs that begin and end within a run, as those of a round trip do, are reported as steps of that run.

    Attributes:
        failure: the error of the callback, or None.
    """

    tells_statements = True

    def __init__(self, callback: OnEvent | None = None) -> None:
        self.failure: Exception | None = None
        self._callback = callback
        self._database: Database | None = None
        self._expected: int | None = None
        self._counted_before = 0
        self._rehearsed: str | None = None  # the name of the database whose copy this run is on
        self._runs = 0  # how many have begun and not ended: more than one within each other
        self._step: Step | None = None
        self._begun: set[str] = set()  # the ids of steps that are not committed
        self._applied: list[int] = []
        self._number = self._count = self._statement = self._offset = self._line = self._statements = 0
        self._began_ns = perf_counter_ns()
        self._next_progress = 0.0

    def on_copy(self) -> Feed:
        """Return the feed with the same callback for a run on a copy of the database, which is a rehearsal."""
        feed = copy(self)
        feed._rehearsed = self._name
        feed._runs = 0
        return feed

    def attach(self, database: Database) -> None:
        """Hear from a database; without a callback it reports nothing, which takes less time."""
        self._database = database
        if self._callback is not None:
            database.monitor = self

    def wants(self) -> bool:
        """Return whether the callback is to be called now."""
        return self._callback is not None and self.failure is None

    def raise_failure(self) -> None:
        """Raise what the callback has raised."""
        if self.failure is not None:
            raise self.failure

    def start(self, plan: Plan, expected: int | None = None) -> None:
        """Note that a run begins; `expected` are the instructions that a rehearsal has counted."""
        self._runs += 1
        if self._runs > 1:
            return
        self._began_ns = perf_counter_ns()
        self._begun, self._applied = set(), []
        self._number, self._count = 0, len(plan.steps)
        self._expected = expected
        self._counted_before = (self._database.instructions or 0) if self._database else 0
        if self.wants():
            from torc_migrations.events import RunStarted

            self._tell(RunStarted(self._name, plan, self._is_rehearsal))

    def skip(self, plan: Plan) -> None:
        """Note that a run has nothing to do."""
        self.start(plan)
        self.finish()

    def finish(self) -> None:
        """Note that a run has ended well, and raise what the callback has raised."""
        self.end()
        self.raise_failure()

    @property
    def counted(self) -> int:
        """How many instructions the scripts of the run were so far."""
        return ((self._database.instructions or 0) if self._database else 0) - self._counted_before

    def begin_step(self, step: Step, number: int, count: int) -> None:
        """Note that a step begins."""
        self._step = step
        if self._runs > 1:
            self._number += 1
        else:
            self._number, self._count = number, count
        self._begun.add(step.migration.id)
        self._statement = self._offset = self._statements = 0
        self._line = 1
        if self.wants():
            from torc_migrations.events import MigrationStarted

            self._tell(MigrationStarted(step, self._number, self._count))

    def begin_statement(self, offset: int) -> None:
        """Note that the next statement of the script begins, at this byte of its file."""
        if self._step is None or self._step.script is None:
            return
        script = self._step.script
        if self._statement and offset == self._offset:  # the statement runs once more
            return
        if offset < self._offset:  # the script runs once more
            self._statement, self._line, self._offset = 0, 1, 0
        self._line += script.sql.count(b"\n", self._offset, offset)
        self._statement, self._offset = self._statement + 1, offset
        if self.tells_statements and self.wants():
            from torc_migrations.events import StatementStarted

            self._tell(StatementStarted(self._step, self._statement, script.path, self._line))
        self.tick()

    def tick(self) -> None:
        """Say how far the script is, if that was not said just now."""
        now = monotonic()
        if now >= self._next_progress and self._step and self._step.script and self.wants():
            self._next_progress = now + _PAUSE
            self._tell_progress(self._step)

    def _tell_progress(self, step: Step) -> None:
        from torc_migrations.events import Progress

        script, database = step.script, self._database
        assert script is not None
        assert database is not None
        self._statements = self._statements or database.statement_count(script)
        counted = None if database.instructions is None else database.instructions - self._counted_before
        percent = None
        if self._expected and counted is not None:
            percent = round(min(100.0, 100 * counted / self._expected), 1)
        done = max(0, self._statement - 1)
        elapsed_ns = perf_counter_ns() - self._began_ns
        place = (self._number, self._count, done, self._statements, self._offset, len(script.sql))
        self._tell(Progress(step, *place, counted, percent, elapsed_ns, self._is_rehearsal))

    def wait(self, holder: str, waited: float) -> None:
        """Note that somebody else holds the database."""
        if self.wants():
            from torc_migrations.events import Waiting

            self._tell(Waiting(self._name, holder, int(waited * 1e9)))

    def end_step(self, outcome: Outcome) -> None:
        """Note that a step is committed."""
        step = outcome.step
        if log().isEnabledFor(_INFO):
            log().info("%s %s in %s", step.action.done, step.migration.id, duration_text(outcome.elapsed_ns))
        self._begun.discard(step.migration.id)
        if step.migrates and not self._is_rehearsal:
            self._applied.append(step.migration.version)
        if self.wants():
            from torc_migrations.events import Installed, Rehearsed, RolledBack

            done = RolledBack if step.action in _UNDONE else Installed
            self._tell(Rehearsed(outcome) if self._is_rehearsal else done(outcome))

    def end(self, error: BaseException | None = None, step: Step | None = None) -> None:
        """Note that the run has ended, and which step has failed if one has begun and was not committed."""
        self._runs -= 1
        if isinstance(error, StepFailed) and isinstance(error.step, Step):
            step = error.step
        if self.wants():
            from torc_migrations.events import Failed, RunEnded

            if error is not None and step is not None and step.migration.id in self._begun:
                self._tell(Failed(step, error))
            if self._runs == 0:
                elapsed_ns = perf_counter_ns() - self._began_ns
                self._tell(RunEnded(self._name, tuple(self._applied), error, elapsed_ns, self._is_rehearsal))

    @property
    def _name(self) -> str:
        return self._rehearsed or (self._database.name if self._database else "")

    @property
    def _is_rehearsal(self) -> bool:
        return self._rehearsed is not None

    def _tell(self, event: Event) -> None:
        if self._callback is None or self.failure is not None:
            return
        try:
            self._callback(event)
        except Exception as error:
            log().debug("the callback for events has failed", exc_info=True)
            self.failure = error


class LateFeed(Feed):
    """Reports nothing at the beginning, so that a short run loads and does nothing for it, and no single statements.

    Args:
        delay: seconds after which it begins.
    """

    tells_statements = False

    def __init__(self, callback: OnEvent | None, delay: float) -> None:
        super().__init__(callback)
        self._delay = delay
        self._from = monotonic() + delay

    def start(self, plan: Plan, expected: int | None = None) -> None:
        """Note that a run begins, and wait again: a rehearsal may have come before it."""
        if self._runs == 0:
            self._from = monotonic() + self._delay
        super().start(plan, expected)

    def wants(self) -> bool:
        """Return whether the callback is to be called now."""
        return monotonic() >= self._from and super().wants()
