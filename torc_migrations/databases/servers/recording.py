"""What a script does in a rehearsal on a server, and how one of its statements is described."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from torc_migrations.databases.results.statements import StatementTime
from torc_migrations.databases.servers.unwatched import ServerEffects
from torc_migrations.errors import NotRehearsable
from torc_migrations.sources.text import frame, place

if TYPE_CHECKING:
    from torc_migrations.databases.interface import RecordedEffects
    from torc_migrations.history.steps import Step
    from torc_migrations.sources.migration import Script

_WORDS = 60
_SERVER_WIDE = (
    "try it on a server of its own; target= rehearses what comes before it, and without on_loss= an upgrade runs it "
    "without a rehearsal"
)
_SERVER_WIDE_COMMAND = (
    "try it on a server of its own; --target rehearses what comes before it, and without --on-loss `upgrade` runs it "
    "without a rehearsal"
)


@dataclass(slots=True)
class RecordedServerEffects(ServerEffects):
    """What a script did in a rehearsal: a `RecordedEffects`."""

    statements: list[StatementTime] = field(default_factory=list)
    written: set[str] = field(default_factory=set)
    deletes: set[str] = field(default_factory=set)
    dropped_objects: set[str] = field(default_factory=set)
    marks: dict[str, int] = field(default_factory=dict)
    stale: tuple[str, ...] = ()
    renamed_tables: dict[str, str] = field(default_factory=dict)
    renamed_columns: dict[str, dict[str, str]] = field(default_factory=dict)
    left_out: dict[str, set[str]] = field(default_factory=dict)

    def time_statement(self, script: Script, begin: int, end: int, elapsed_ns: int) -> None:
        """Record the time of a statement."""
        line = script.sql.count(b"\n", 0, begin) + 1
        self.statements.append(StatementTime(script.path, line, words_of(script, begin, end), elapsed_ns))


if TYPE_CHECKING:
    _is_recorded: type[RecordedEffects] = RecordedServerEffects  # so that no attribute of it is forgotten


def words_of(script: Script, begin: int, end: int) -> str:
    """Return the first words of a statement, on one line."""
    return " ".join(script.sql[begin : min(end, begin + 4 * _WORDS)].decode(errors="replace").split())[:_WORDS]


def not_rehearsable(step: Step, script: Script, offset: int, reason: str) -> NotRehearsable:
    """Return the error for a statement that would change more than the copy; it was not run."""
    where = place(script.sql, offset)
    error = NotRehearsable(
        step, reason, path=script.path, line=where.line, column=where.column, frame=frame(script.path, where)
    )
    error.replace_hint(_SERVER_WIDE)
    error.command_hint = _SERVER_WIDE_COMMAND
    return error
