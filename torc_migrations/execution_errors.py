"""The errors of running a script: what failed, where, and what is left of it."""

from __future__ import annotations

from torc_migrations.migration_error import MigrationError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from torc_migrations.plan import Step


class ExecutionFailed(MigrationError):
    """A statement of a script failed.

    Attributes:
        step: the `Step` that was being performed.
        reason: the database's own words.
        path, line, column: where; line and column are counted from 1.
        statement: the statement's text.
        kept: whether statements before it remain in the database, because the script asked for no transaction.
    """

    exit_code = 6

    def __init__(
        self,
        step: Step,
        reason: str,
        *,
        path: str,
        line: int,
        column: int,
        statement: str,
        frame: str,
        kept: bool = False,
    ) -> None:
        self.step = step
        self.reason = reason
        self.path = path
        self.line = line
        self.column = column
        self.statement = statement
        self.kept = kept
        super().__init__(
            f"while executing {step.title}: {reason}",
            frame=frame,
            hint=_what_is_left(step, kept),
        )


class ForeignKeyViolations(MigrationError):
    """A script left rows that point to no row; nothing of it was kept.

    Attributes:
        step: the `Step` that was being performed.
        violations: tuples of (table, rowid or None, table pointed to).
    """

    exit_code = 6

    def __init__(self, step: Step, violations: tuple[tuple[str, int | None, str], ...]) -> None:
        self.step = step
        self.violations = violations
        table, rowid, parent = violations[0]
        row = "a row" if rowid is None else f"row {rowid}"
        count = f"{len(violations)} foreign key violations, first" if violations[1:] else "1 foreign key violation"
        super().__init__(
            f"while executing {step.title}: {count}: {row} of {table} points to no row of {parent}",
            hint=_what_is_left(step, kept=False),
        )


class RowsLost(MigrationError):
    """Tables lost rows though the script itself deletes from none of them; nothing of it was kept.

    Attributes:
        step: the `Step` that was being performed.
        lost: tuples of (table, rows before, rows after); table, before, after: the first of them.
    """

    exit_code = 6

    def __init__(self, step: Step, lost: tuple[tuple[str, int, int], ...]) -> None:
        self.step = step
        self.lost = lost
        self.table, self.before, self.after = lost[0]
        some = ", ".join(f"{before - after} of {before} rows of {table}" for table, before, after in lost[:3])
        more = f" and {len(lost) - 3} more" if lost[3:] else ""
        super().__init__(
            f"while executing {step.title}: {some}{more} were lost without a DELETE or DROP TABLE of its own",
            hint=f"{_what_is_left(step, kept=False)}; if the rows are to go, write the DELETE into the script",
        )


class DatabaseFailed(MigrationError):
    """The database failed outside of any script: a full disk, a damaged or vanished file; `reason` is the driver's."""

    exit_code = 6

    def __init__(self, database: str, reason: str) -> None:
        self.database = database
        self.reason = reason
        super().__init__(f"{database} failed: {reason}")


def _what_is_left(step: Step, kept: bool) -> str:
    if kept:
        return (
            f"{step.name} runs outside a transaction: what stands before this statement was kept, and is not recorded"
        )
    return f"nothing of {step.name} was kept" + ("; the next upgrade runs it again" if step.is_hook else "")
