"""What a run has left to do, planned again whenever somebody else has written."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TypeAlias

from torc_migrations.databases.interface import Progress
from torc_migrations.errors import MigrationError
from torc_migrations.history.status import Status
from torc_migrations.history.steps import Action, Plan, Step
from torc_migrations.runs.evidence import settle_by_schema
from torc_migrations.runs.session import Session

Planner: TypeAlias = Callable[[Status], Plan]


class Overtaken(Exception):
    """Somebody else has written, and a step is no longer what is next; its transaction is rolled back."""


class PlannedRun:
    """What a run has left to do.

    Args:
        planner: makes the plan again from a status that has changed.
    """

    def __init__(self, session: Session, planner: Planner) -> None:
        self._session = session
        self._database = session.database
        self._ledgers = session.ledgers
        self._planner = planner
        self._steps = deque[Step]()
        self._failure: BaseException | None = None  # of a step, while what came before it is committed

    def _plan_again(self, status: Status) -> None:
        """Plan again from a status that was read, in the caller's transaction."""
        self._steps = deque(self._planner(settle_by_schema(self._session, status)).steps)

    def _wait_for_runner(self) -> None:
        """Wait while another process runs a script outside a transaction; plan again after it."""
        if not (self._session.runner and any(step.script for step in self._steps)):
            return
        status = self._session.wait_for_runner()
        with self._database.reading():
            self._plan_again(status)

    def _refuse_overtaken(self, step: Step) -> None:
        """Plan again where somebody else has written.

        Raises:
            Overtaken: the step is no longer what is next.
        """
        if status := self._session.refresh():
            self._plan_again(status)
        if not self._is_next(step) or (self._session.runner and step.script):
            raise Overtaken

    def _is_next(self, step: Step) -> bool:
        """Return whether the plan goes on with this step; `AtomicRun` asks for its whole plan."""
        return self._steps[0] == step if self._steps else False

    def _progress(self, step: Step) -> Progress | None:
        """Return what notes how far a script is that commits; a hook may run again, and needs no note.

        Before its first note nobody knows of it: where another process was faster, that is undone.
        """
        if step.is_hook:
            return None
        note = self._ledgers.begin(step)
        if self._database.locks_outside:
            return note

        def note_if_first(done: int, line: int, *, is_running: bool = False) -> None:
            if self._ledgers.begun is None:
                self._refuse_overtaken(step)
            note(done, line, is_running=is_running)

        return note_if_first

    def _begin_recording(self, step: Step) -> None:
        """Prepare the transaction in which a script is recorded that was committed, whatever is next by now.

        Raises:
            Overtaken: another process has recorded it.
        """
        if status := self._session.refresh():
            status = settle_by_schema(self._session, status)
            try:
                self._plan_again(status)
            except MigrationError as error:  # raised once this script is recorded
                self._steps.clear()
                self._failure = self._failure or error
            if _is_done(step, status):
                raise Overtaken
        if not self._is_next(step):
            others = (other for other in self._steps if step.is_hook or other != step)
            self._steps = deque((step, *others))
        self._session.create_ledgers()

    def _forget_begun(self, step: Step) -> None:
        """Remove from the log that a script has begun which somebody else has done meanwhile."""
        if self._ledgers.begun is not None:
            with self._database.transaction():
                self._ledgers.forget_begun(step)


def _is_done(step: Step, status: Status) -> bool:
    """Return whether the ledgers have what the script of a step has done."""
    if step.is_hook:
        return False
    installed = {migration.id for migration in status.installed} | {entry.migration.id for entry in status.kept}
    return (step.migration.id in installed) is (step.action is Action.APPLY)
