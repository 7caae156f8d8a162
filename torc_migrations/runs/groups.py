"""Which steps may share a transaction, and the records that are written at its end."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager

from torc_migrations.databases.interface import Savepoint
from torc_migrations.databases.values import ScriptMode
from torc_migrations.databases.waiting import is_stopped
from torc_migrations.errors import DatabaseFailed
from torc_migrations.history.steps import Action, Step
from torc_migrations.runs.session import Session
from torc_migrations.sources.migration import Script

# SQLite sets the journal mode, does nothing or fails, by what else the transaction has written.
_ALONE = b"journal_mode"
_LARGE_SCRIPT = 1_000_000  # bytes; a larger script has a transaction of its own


class Records:
    """The records of the steps of a group, which are written before its COMMIT, and not after each script.

    That takes fewer statements, and SQLite would prepare each of them again after every script that changes the schema.
    What a script, a view or a trigger names could see the difference: then each record is written at once.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._names = frozenset(name.encode() for name in session.ledgers.lower_tables)
        self._waiting: list[tuple[Step, int]] = []
        self._may_wait = False
        self._known_at: Hashable = None  # the `read_at` of the session when the schema was looked at, or None

    def begin(self, *, alone: bool) -> None:
        """Note that a transaction begins; `alone`: for a single step, for which the schema is not looked at."""
        self._waiting = []
        if self._known_at is None or self._known_at != self._session.read_at:
            self._may_wait = not (alone or self._session.database.mentions(self._session.ledgers.lower_tables))
            self._known_at = None if alone else self._session.read_at

    def look_again(self) -> None:
        """Note that a script may have changed what names a ledger, or have dropped one and committed that."""
        self._known_at = None
        self._session.look_again()

    def prepare_for(self, script: Script | None) -> None:
        """Write what waits if a script may look at it, and from then on each record at once."""
        if script is None or not self._may_wait:
            return
        text = script.sql[: _LARGE_SCRIPT + 1].lower()
        if len(text) > _LARGE_SCRIPT or any(name in text for name in self._names):
            self.write()
            self._may_wait = False
            self.look_again()

    def add(self, step: Step, elapsed_ns: int, *, wrote_ledgers: bool) -> None:
        """Let the record of a step wait, or write it now, after those before it.

        `wrote_ledgers`: whether its script may have written into a ledger.

        Raises:
            DatabaseFailed: a trigger on a ledger keeps it out, or has changed another one.
        """
        if self._may_wait and step.action is Action.APPLY and not wrote_ledgers:
            self._waiting.append((step, elapsed_ns))
            return
        self.write()
        if self._session.write(step, elapsed_ns) and step.script is not None and not wrote_ledgers:
            self._session.refuse_disturbed(step)

    def forget_undone(self, savepoint: Savepoint, steps: Sequence[Step]) -> None:
        """Note that a step was interrupted; if its savepoint was undone, it is the first of those that are left."""
        if steps and self._waiting and not savepoint.is_kept and self._waiting[-1][0] == steps[0]:
            self._waiting.pop()

    def write(self) -> None:
        """Write what waits."""
        if self._waiting:
            self._session.note_writing()
            self._session.ledgers.record_all(self._waiting)
            self._waiting = []


def may_share(step: Step, mode_of: Callable[[Script], ScriptMode]) -> bool:
    """Return whether a step may share its transaction with others."""
    script = step.script
    if is_stopped():
        return False
    return script is None or (
        mode_of(script) is ScriptMode.WHOLE
        and not script.directives.foreign_keys
        and not step.is_hook
        and len(script.sql) <= _LARGE_SCRIPT
        and _ALONE not in script.sql.lower()
    )


@contextmanager
def ignoring_loss() -> Iterator[None]:
    """Ignore that the connection is lost, where the error of a script says so already."""
    try:
        yield
    except DatabaseFailed as error:
        if not error.is_lost:
            raise
