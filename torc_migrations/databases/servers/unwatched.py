"""What a server reports of its statements: nothing, so far."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from torc_migrations.databases.results.violations import Soundness

if TYPE_CHECKING:
    from collections.abc import Collection, Container, Iterable, Mapping, Sequence

    from torc_migrations.databases.interface import Breaker, Effects
    from torc_migrations.databases.results.violations import BrokenObject, Violation
    from torc_migrations.databases.waiting import Monitor
    from torc_migrations.errors import ExecutionFailed
    from torc_migrations.history.steps import Step


@dataclass(slots=True)
class ServerEffects:
    """What a script may have done, as far as its words show: a server does not report it."""

    tables: frozenset[str] = frozenset()
    all_tables: bool = False
    created: frozenset[str] = frozenset()
    deleted_from: frozenset[str] = frozenset()
    updated: frozenset[str] = frozenset()
    lost: tuple[tuple[str, int, int], ...] = ()
    doubled: tuple[tuple[str, int, int], ...] = ()


class Unwatched:
    """A database whose scripts are not looked at while they run; see `Database` for what each of these promises."""

    monitor: Monitor | None = None
    instructions: int | None = None  # which a server does not count
    statement_timeout: float | None = None

    def execute_many(self, sql: str, values: Sequence[Mapping[str, object]]) -> None:
        """Not used: see `mentions`."""
        raise NotImplementedError

    def mentions(self, tables: Collection[str]) -> bool:  # noqa: ARG002  # it is not known
        """Return True, so that each record is written at once."""
        return True

    def find_violations(
        self,
        effects: Effects | None = None,  # noqa: ARG002
        known: Iterable[Violation] | None = None,  # noqa: ARG002
    ) -> tuple[Violation, ...]:
        """Return nothing: the server checks keys itself, in each statement or at the end of the transaction."""
        return ()

    def find_broken(
        self,
        effects: Effects | None = None,  # noqa: ARG002
        known: Iterable[BrokenObject] | None = None,  # noqa: ARG002
    ) -> Soundness:
        """Return nothing: PostgreSQL refuses to drop what a view needs, and the DDL of MariaDB cannot be undone."""
        return Soundness()

    def find_unfinished(self, names: Container[str]) -> tuple[BrokenObject, ...]:  # noqa: ARG002
        """Return nothing: a server does not create what does not work."""
        return ()

    def combined(self, effects: Iterable[Effects]) -> Effects:
        """Return what the last of several scripts did: nothing is checked after it."""
        return list(effects)[-1]

    def find_breaker(self, steps: Iterable[Step], broken: BrokenObject) -> Breaker | None:  # noqa: ARG002
        """Return None; see `find_broken`."""
        return None

    def refuse_unwritable(self, error: ExecutionFailed) -> None:
        """Do nothing: a server that cannot be written was refused before, or says so itself."""

    def rows_changed_besides(self) -> int:
        """Return 0: a server counts the rows of the statement alone."""
        return 0

    def is_empty(self) -> bool:
        """Return False: no database is created for a run."""
        return False
