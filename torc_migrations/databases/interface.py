"""What a database of any kind provides to the packages above; a new kind is one more package next to `sqlite/`.

`runs/`, `ledgers/`, `rehearsals/` and `migrator` use a database through this interface only. What a kind of database
cannot do raises `NotSupported`, whose sentence the user sees.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Container, Hashable, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from torc_migrations.databases.results.rehearsals import RehearsalPlace
from torc_migrations.databases.results.statements import StatementTime
from torc_migrations.databases.values import Functions as Functions
from torc_migrations.databases.values import LedgerSql as LedgerSql
from torc_migrations.databases.values import RowReading as RowReading
from torc_migrations.databases.values import ScriptMode as ScriptMode

if TYPE_CHECKING:
    import os
    import sqlite3

    from torc_migrations.databases.results.contents import Change, Contents
    from torc_migrations.databases.results.indexes import FoundIndexes
    from torc_migrations.databases.results.maintenance import Maintenance
    from torc_migrations.databases.results.plans import Explainer
    from torc_migrations.databases.results.queries import QueryTester
    from torc_migrations.databases.results.violations import BrokenObject, Soundness, Violation
    from torc_migrations.databases.servers.given import Connection, HasConnection, SQLAlchemy
    from torc_migrations.databases.waiting import Monitor
    from torc_migrations.errors import BadScript, ExecutionFailed
    from torc_migrations.history.steps import Step
    from torc_migrations.sources.migration import Script

Row: TypeAlias = tuple[Any, ...]
DatabaseLike: TypeAlias = "str | os.PathLike[str] | sqlite3.Connection | HasConnection | Connection | SQLAlchemy"
# Called after each statement of a script: the script, where its text begins and ends in bytes, and nanoseconds.
OnStatement: TypeAlias = "Callable[[Script, int, int, int], None]"
# Called in a script that runs outside a transaction, with each statement that is kept: how many statements are done,
# the line of the next one, and `is_running=True` if that one has begun.
Progress: TypeAlias = "Callable[..., None]"


class Cursor(Protocol):
    """The result of one statement, as PEP 249 has it."""

    @property
    def rowcount(self) -> int:
        """How many rows an INSERT, UPDATE or DELETE has changed."""

    def fetchone(self) -> Any:
        """Return the next row, or None."""

    def fetchall(self) -> list[Any]:
        """Return the rows that are left."""

    def __iter__(self) -> Iterator[Any]:
        """Iterate over the rows that are left."""


class Effects(Protocol):
    """What a script did, as far as the database reports it."""

    @property
    def tables(self) -> AbstractSet[str]:
        """The tables, in lower case, whose rows it may have changed."""

    @property
    def all_tables(self) -> bool:
        """Whether it may have changed any table, which `tables` does not list."""

    @property
    def created(self) -> AbstractSet[str]:
        """The tables and views, in lower case, that it has created, by the names that they have now."""

    @property
    def deleted_from(self) -> AbstractSet[str]:
        """The tables, in lower case, that it names itself in a DELETE or a DROP TABLE."""

    @property
    def updated(self) -> AbstractSet[str]:
        """The tables, in lower case, in whose rows an UPDATE has changed something."""

    @property
    def lost(self) -> tuple[tuple[str, int, int], ...]:
        """The tables that lost rows which it does not delete itself, with the rows before and after."""

    @property
    def doubled(self) -> tuple[tuple[str, int, int], ...]:
        """The tables into which it has put copies of rows that still stood there, with the rows before and after."""


class RecordedEffects(Effects, Protocol):
    """What a script did on a copy for rehearsals, in detail.

    Attributes:
        statements: each of its statements, in order.
        written: the tables, in lower case, whose rows or columns it may have changed, itself or by a trigger or a
            cascade, or whose name is now that of other rows.
        deletes: the tables that it names itself in a DELETE.
        dropped_objects: the indexes and triggers that it drops itself: `index i`; not those of a table that it drops.
        marks: by table, the AUTOINCREMENT marks that were kept though the table was dropped and made again.
        stale: the full-text indexes that do not match the table which they index, and which it has written.
        renamed_tables: by the lower name that a table had before the script, the lower name that it has after it.
        renamed_columns: by that name, the lower name that each column has after it, by the one that it had before; one
            that no column can have, where an ALTER TABLE has dropped it.
        left_out: by that name of a table that it drops, the columns, in lower case, that it has neither read before nor
            named where it copies rows; a server does not report them.
    """

    statements: list[StatementTime]
    written: set[str]
    deletes: set[str]
    dropped_objects: set[str]
    marks: dict[str, int]
    stale: tuple[str, ...]
    renamed_tables: dict[str, str]
    renamed_columns: dict[str, dict[str, str]]
    left_out: dict[str, set[str]]


class Tracker(Protocol):
    """The contents of a database on which scripts are recorded: read once, and then only what a script has touched."""

    @property
    def contents(self) -> Contents:
        """All there is now."""

    def follow(self, effects: RecordedEffects) -> Change:
        """Read again what the script that ran last may have touched."""

    def begin_again(self) -> None:
        """Read everything again, because what was followed was undone."""


@dataclass(frozen=True, slots=True)
class Breaker:
    """The statement of a step after which something worked no more; line and column are counted from 1."""

    step: Step
    path: str
    line: int
    column: int
    statement: str
    frame: str


class Savepoint(AbstractContextManager["Savepoint"], Protocol):
    """A place in a transaction: what came after it is undone on an exception.

    Attributes:
        has_ended: whether it has ended, so that what is before it may be committed. is_kept: and was not undone then.
    """

    has_ended: bool
    is_kept: bool

    def undo(self) -> None:
        """Undo everything since the savepoint, which stays."""


class Database(Protocol):
    """One open database, whose connection is ours, or is lent to us and is given back as it was found.

    Attributes:
        name: for messages; a password in it is masked.
        lock_timeout: how long to wait for others, in seconds.
        sql: the statements of the ledgers for this kind of database.
        is_missing: whether there is no such database yet, which `prepare_to_write` creates.
        effects: what the script that ran last did; on a copy for rehearsals a `RecordedEffects`.
        on_statement: called after each statement of a script, or None.
        monitor: hears of each statement of a script, and of waiting, or None.
        rehearsal: where it is rehearsed, if this is a copy that says so, or None.
        statement_timeout: how many seconds a statement of a script may take, or None; a longer one is stopped, and its
            step fails with `StatementTimeout`. A kind that sends a script as a whole stops the whole.
    """

    name: str
    lock_timeout: float
    sql: LedgerSql
    is_missing: bool
    effects: Effects | None
    on_statement: OnStatement | None
    monitor: Monitor | None
    statement_timeout: float | None
    rehearsal: RehearsalPlace | None

    @property
    def instructions(self) -> int | None:
        """How much work scripts have been since the opening, in a unit that is always the same; None if not known."""

    @property
    def may_group(self) -> bool:
        """Whether steps may share a transaction: not where DDL commits by itself, nor where others use the tables."""

    @property
    def locks_outside(self) -> bool:
        """Whether the migration lock is held while a script runs outside a transaction."""

    def close(self) -> None:
        """Close the connection, or give a lent one back as it was found."""

    # Reading

    def execute(self, sql: str, values: Mapping[str, object] | None = None) -> Cursor:
        """Run one statement of ours, with its values by name, as in `:name`."""

    def execute_many(self, sql: str, values: Sequence[Mapping[str, object]]) -> None:
        """Run one statement of ours several times; only where `mentions` may return False."""

    def mentions(self, tables: Collection[str]) -> bool:
        """Return whether anything in the schema but these tables may name one of them; their names in lower case."""

    def rows_or_none(self, sql: str, values: Mapping[str, object] | None = None) -> list[Row] | None:
        """Return the rows of a query, or None where a table or a column of it does not exist."""

    def reading(self) -> AbstractContextManager[None]:
        """Read several tables as of one moment. Writes nothing and takes no lock that keeps writers out."""

    def last_change(self) -> Hashable:
        """Return a value that differs once another session may have written since it was asked for."""

    def quote_identifier(self, name: str) -> str:
        """Quote a name for SQL."""

    def qualified(self, table: str) -> str:
        """Return the name of a ledger's table for SQL, which cannot mean a table of another schema."""

    def tables(self) -> frozenset[str]:
        """Return the names of all tables, without those of the database system."""

    def read_contents(self, ignored: Collection[str] = (), *, rows: RowReading = RowReading.NOTHING) -> Contents:
        """Read the schema and the rows without the `ignored` tables."""

    def find_violations(
        self, effects: Effects | None = None, known: Iterable[Violation] | None = None
    ) -> tuple[Violation, ...]:
        """Return the rows that point to no row: in all tables, or in those that a script may have changed.

        With `known`, those before the script, also those of them in all other tables.
        """

    def find_broken(self, effects: Effects | None = None, known: Iterable[BrokenObject] | None = None) -> Soundness:
        """Return the views, triggers and keys that do not work: all of them, or those that a script may have broken.

        With `known`, those before the script, also those of them that it cannot have touched.
        """

    def find_unfinished(self, names: Container[str]) -> tuple[BrokenObject, ...]:
        """Return the tables, views and triggers of these lower names that do not work."""

    def combined(self, effects: Iterable[Effects]) -> Effects:
        """Return what several scripts did, as far as it says what must be checked."""

    def find_breaker(self, steps: Iterable[Step], broken: BrokenObject) -> Breaker | None:
        """Run scripts again, which the caller undoes, and return the statement after which an object works no more."""

    def find_damage(self, effects: RecordedEffects | None = None) -> tuple[str, ...]:
        """Return what the database system finds wrong with its own storage: all of it, or what a script has written."""

    def yoyo_holder(self) -> str | None:
        """Describe the living process that holds yoyo's lock, or return None."""

    def lock_holder(self) -> str | None:
        """Describe the other process or session that holds the migration lock, or return None where none is known."""

    # Writing

    def prepare_to_write(self) -> None:
        """Create what is missing, and prepare the session for scripts; refuse what cannot be written."""

    def transaction(self) -> AbstractContextManager[None]:
        """Hold the migration lock and a write transaction; commit at the end, or roll back on any exception.

        Raises:
            LockTimeout: somebody else held the database for longer than `lock_timeout` seconds.
        """

    def savepoint(self) -> Savepoint:
        """Undo to here on an exception. Its name cannot be guessed by a script."""

    def reconnect(self) -> bool:
        """Connect again after the connection was lost, and wait for the server; return whether that was possible."""

    def begin_step(self, script: Script | None) -> None:
        """Set, outside a transaction, what the directives of a script ask of the session."""

    def must_end_step(self) -> bool:
        """Return whether a script has left something in the session that is restored outside a transaction only."""

    def end_step(self) -> None:
        """Restore, outside a transaction, what a script has left in the session."""

    def script_mode(self, script: Script) -> ScriptMode:
        """Return how a script relates to a transaction."""

    def statement_count(self, script: Script) -> int:
        """Return how many statements a script has."""

    def commit_in(self, script: Script) -> BadScript:
        """Return the error that names the place where a script of mode OWN_COMMITS commits."""

    def run_script(
        self, step: Step, mode: ScriptMode, *, strict: bool = False, progress: Progress | None = None
    ) -> Effects:
        """Run the script of a step, and return what it did.

        Outside a transaction `progress` is called with each statement that is kept, so that it is kept or lost together
        with it; the first `step.resume_after` statements are not run again, but for the settings in them.

        Raises:
            ExecutionFailed: a statement failed; the error names its place.
            BadScript: the script has statements that its mode forbids; with `strict`, any that end a transaction.
            LockTimeout: others kept a statement from going on.
        """

    def refuse_unwritable(self, error: ExecutionFailed) -> None:
        """Raise where it is the database that cannot be written, not the script that is wrong."""

    def rows_changed_besides(self) -> int:
        """Return a number that changes once a statement of ours has had a trigger change rows; 0 if that is unknown."""

    def is_empty(self) -> bool:
        """Return whether a database exists and has nothing in it, not even a ledger."""

    def interrupt(self) -> None:
        """Stop the statement that is running, from another thread; it fails, and its step is rolled back."""

    def begin_to_own(self) -> str:
        """Return a name for work outside a transaction that others see, without a `;`; `end_owning` ends it.

        It is called in a transaction.
        """

    def end_owning(self, owner: str) -> None:
        """Note that the work with this name goes on no longer."""

    def living_owner(self, owner: str) -> str | None:
        """Describe who goes on with the work with this name; None where nobody does, or where that cannot be seen."""

    def yoyo_backend(self) -> type:
        """Return yoyo's class for this kind of database, which `ledgers/yoyo.py` derives its own from."""

    # What not every kind can do

    def track_contents(self, ignored: Collection[str], rows: RowReading) -> Tracker:
        """Read the contents without the `ignored` tables, and follow what scripts do to them."""

    def copy(self) -> AbstractContextManager[Database]:
        """Yield a copy on which scripts are recorded; remove it afterwards.

        Raises:
            NotSupported: this kind of database cannot be copied.
        """

    def empty(self) -> AbstractContextManager[Database]:
        """Yield an empty database of this kind on which scripts are recorded; remove it afterwards.

        Raises:
            NotSupported: no scratch database of this kind can be made.
        """

    def explainer(self) -> Explainer:
        """Return what returns the plans of queries, and explains them; in the caller's transaction."""

    def query_tester(self) -> QueryTester:
        """Return what says whether queries work; only on an empty database, in no transaction."""

    def read_indexes(self) -> FoundIndexes:
        """Read every index and every foreign key; in the caller's transaction."""

    def optimize(self, *, vacuum: bool) -> Maintenance:
        """Refresh the planner's statistics, and with `vacuum` free space; see `indexes/optimize.py`."""
