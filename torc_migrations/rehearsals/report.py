"""What a rehearsal has found: values, and the same as a table and as JSON."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field

from torc_migrations.databases.results.rehearsals import ON_A_COPY, RehearsalPlace
from torc_migrations.databases.results.statements import StatementTime
from torc_migrations.databases.results.violations import BrokenObject, Violation
from torc_migrations.errors import RowsLost
from torc_migrations.formatting import duration_text, one_line
from torc_migrations.history.steps import Outcome, Report, skipped_text
from torc_migrations.rehearsals.comparison import SchemaDifference

# So many statements of a script are listed, the slowest ones.
_LISTED = 20


@dataclass(frozen=True, slots=True)
class RowsChange:
    """A table's rows before and after all that was rehearsed; None where there was, or is, no such table.

    `now` is the name that it has afterwards, where it was renamed.
    """

    table: str
    before: int | None
    after: int | None
    now: str | None = None

    def as_dict(self) -> dict[str, object]:
        """Return the same as values that `json` takes."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Loss:
    """A table that loses rows: how many it had, and how many it has afterwards; 0 too where it is gone.

    `named`: whether the script names it in a DELETE or a DROP TABLE of its own; where the script drops the table
    and makes it again, in a DELETE. `rebuilt`: whether it does that.
    """

    table: str
    before: int
    after: int
    named: bool
    rebuilt: bool = False

    def as_text(self) -> str:
        """Return it in a sentence."""
        missing = "no DELETE for it, but makes it again" if self.rebuilt else "no DELETE or DROP TABLE for it"
        how = "as its script says" if self.named else f"and its script has {missing}"
        return f"table {self.table} loses {self.before - self.after} of {self.before} rows, {how}"


@dataclass(frozen=True, slots=True)
class RehearsedStep:
    """A step that was rehearsed: each statement's time, the tables that lose rows, and the columns that go.

    `columns` are those of tables with rows, as in `job.note`; `objects` the indexes and triggers that go with a table
    that is made again, as in `index i`; `marks` the AUTOINCREMENT marks that were kept for such tables: `job: 50`;
    `stale` the full-text indexes that do not match the table whose rows they index.
    """

    outcome: Outcome
    statements: tuple[StatementTime, ...] = ()
    losses: tuple[Loss, ...] = ()
    columns: tuple[str, ...] = ()
    objects: tuple[str, ...] = ()
    marks: tuple[str, ...] = ()
    stale: tuple[str, ...] = ()

    @property
    def unnamed(self) -> tuple[Loss, ...]:
        """The losses that the script does not name."""
        return tuple(loss for loss in self.losses if not loss.named)

    def as_dict(self) -> dict[str, object]:
        """Return the same as values that `json` takes."""
        return {
            **self.outcome.step.as_dict(),
            "elapsed_ns": self.outcome.elapsed_ns,
            "statements": [asdict(statement) for statement in self.statements],
            "losses": [asdict(loss) for loss in self.losses],
            "columns": list(self.columns),
            "objects": list(self.objects),
            "marks": list(self.marks),
            "stale": list(self.stale),
        }


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """The result of running a plan on a copy of a database, which itself was not touched.

    `violations` are the rows that point to no row and did not before; `broken` are the objects of the schema that work
    no more; `place` says where it ran, and what cannot be seen there.
    """

    database: str
    report: Report
    steps: tuple[RehearsedStep, ...] = ()
    rows: tuple[RowsChange, ...] = ()
    schema: SchemaDifference = field(default_factory=SchemaDifference)
    violations: tuple[Violation, ...] = ()
    broken: tuple[BrokenObject, ...] = ()
    place: RehearsalPlace = ON_A_COPY

    @property
    def losses(self) -> tuple[Loss, ...]:
        """The tables that lose rows, in the order of the steps."""
        return tuple(loss for step in self.steps for loss in step.losses)

    @property
    def refusal(self) -> RowsLost | None:
        """The error for the first step that loses rows which its script does not name, or None."""
        for step in self.steps:
            if step.unnamed:
                error = RowsLost(
                    step.outcome.step, tuple((loss.table, loss.before, loss.after) for loss in step.unnamed)
                )
                error.rehearsed = self.database
                return error
        return None

    def as_text(self) -> str:
        """Return a line for each step and each statement, and what comes of all of them."""
        if not self.steps:
            return skipped_text(self.report.plan)
        return "".join(f"{one_line(line)}\n" for line in self._lines())

    def _lines(self) -> Iterator[str]:
        for step in self.steps:
            if step.outcome.step.script:
                yield _step_line(step.outcome)
                yield from _statement_lines(step.statements)
        if self.place.has_rows:
            yield from _rows_lines(self.rows)
        yield from _schema_lines(self.schema)
        yield from _violation_lines(self.violations)
        yield from _broken_lines(self.broken)
        if self.place.has_rows:
            yield from _loss_lines(self.steps)

    def as_dict(self) -> dict[str, object]:
        """Return the same as values that `json` takes; times are in nanoseconds."""
        return {
            **self.report.plan.as_dict(),
            "steps": [step.as_dict() for step in self.steps],
            "rows": [change.as_dict() for change in self.rows],
            "schema": self.schema.as_dict(),
            "violations": [
                {"table": each.table, "rowid": each.rowid, "parent": each.parent} for each in self.violations
            ],
            "broken": [{"object": each.title, "reason": each.reason} for each in self.broken],
            "loses": bool(self.losses or any(step.columns or step.objects for step in self.steps)),
            "refused": self.refusal is not None,
            "place": {
                "where": self.place.where,
                "notes": list(self.place.notes),
                "is_undone": self.place.is_undone,
                "has_rows": self.place.has_rows,
            },
        }


def _step_line(outcome: Outcome) -> str:
    if outcome.step.is_hook:
        return f"Rehearsed {outcome.step.title} ({duration_text(outcome.elapsed_ns)})"
    return outcome.as_text().replace("Applied", "Rehearsed", 1).rstrip()


def _statement_lines(statements: tuple[StatementTime, ...]) -> Iterator[str]:
    slowest = sorted(range(len(statements)), key=lambda number: -statements[number].elapsed_ns)[:_LISTED]
    for number in sorted(slowest):
        statement = statements[number]
        yield f"{statement.elapsed_ns / 1e6:12.3f} ms  {statement.path}:{statement.line}  {statement.words}"
        yield from (f"{'':17}{what}" for what in statement_details(statement))
    if rest := [statements[number].elapsed_ns for number in set(range(len(statements))) - set(slowest)]:
        yield f"{sum(rest) / 1e6:12.3f} ms  in {len(rest)} more statements, none of them slower"


def statement_details(statement: StatementTime) -> Iterator[str]:
    """Yield what is known of a statement beside its time: rows, locks, tables that it writes anew."""
    if statement.note:
        yield statement.note
    if statement.rows:
        yield f"rows: {', '.join(each.as_text() for each in statement.rows)}"
    if statement.locks:
        yield f"locks: {', '.join(each.as_text() for each in statement.locks)}"
    if statement.rewritten:
        yield f"rewrites: {', '.join(statement.rewritten)}"


def _rows_lines(rows: tuple[RowsChange, ...]) -> Iterator[str]:
    names = [change.table if change.now is None else f"{change.table}, now {change.now}" for change in rows]
    width = max(map(len, (*names, "rows")))
    yield ""
    yield f"{'rows':<{width}}  {'before':>10}  {'after':>10}"
    for name, change in zip(names, rows, strict=True):
        yield f"{name:<{width}}  {_count(change.before):>10}  {_count(change.after):>10}"


def _count(rows: int | None) -> str:
    return "-" if rows is None else str(rows)


def _schema_lines(schema: SchemaDifference) -> Iterator[str]:
    yield ""
    if schema == SchemaDifference():
        yield "schema: as before"
        return
    yield "schema"
    yield from (f"  + {name}" for name in schema.added)
    yield from (f"  - {name}" for name in schema.removed)
    yield from (f"  ~ {name}" for name in schema.changed)
    yield from (f"    {column}" for column in schema.columns)


def _violation_lines(violations: tuple[Violation, ...]) -> Iterator[str]:
    yield ""
    yield f"new foreign-key violations: {len(violations) or 'none'}"
    for each in violations[:_LISTED]:
        row = "a row" if each.rowid is None else f"row {each.rowid}"
        yield f"  {each.wrong_key or f'{row} of {each.table} points to no row of {each.parent}'}"


def _broken_lines(broken: tuple[BrokenObject, ...]) -> Iterator[str]:
    if broken:
        yield "what does not work any more"
        yield from (f"  {each.title}: {each.reason}" for each in broken)


def _loss_lines(steps: tuple[RehearsedStep, ...]) -> Iterator[str]:
    lines = [
        f"  {step.outcome.step.name}: {what}"
        for step in steps
        for what in (
            *(loss.as_text() for loss in step.losses),
            *(f"column {name} goes" for name in step.columns),
            *(f"{name} goes with its table, which is made again without it" for name in step.objects),
        )
    ]
    yield f"what would be lost: {'' if lines else 'nothing'}".rstrip()
    yield from lines
    for step in steps:
        for mark in step.marks:
            yield f"AUTOINCREMENT goes on where it was, though its table is made again: {mark}"
        for index in step.stale:
            yield f"after {step.outcome.step.name}, {stale_text(index)}"


def stale_text(index: str) -> str:
    """Say that a full-text index does not match its table, and what corrects it."""
    name = index if index.isidentifier() else '"' + index.replace('"', '""') + '"'
    return f"full-text index {index} does not match its table: INSERT INTO {name} ({name}) VALUES ('rebuild')"
