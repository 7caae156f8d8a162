"""An SQLite database as the packages above use it: `databases/interface.py`, and how one is opened."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Container, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from functools import cached_property
from typing import TYPE_CHECKING

from torc_migrations.databases.files import find_file
from torc_migrations.databases.sqlite.callbacks import primary_code
from torc_migrations.databases.sqlite.clock import Clocked
from torc_migrations.databases.sqlite.connection import (
    connect,
    quote_identifier,
    read_schemas,
    write_pragma,
)
from torc_migrations.databases.sqlite.ledger_sql import LEDGER_SQL
from torc_migrations.databases.sqlite.transactions import SQLiteConnection
from torc_migrations.databases.urls import Address
from torc_migrations.databases.values import RowReading, ScriptMode
from torc_migrations.databases.waiting import Turns
from torc_migrations.errors import CannotOpen, NotSupported
from torc_migrations.log import log

if TYPE_CHECKING:
    from torc_migrations.databases.interface import (
        Breaker,
        Database,
        Effects,
        OnStatement,
        Progress,
        RecordedEffects,
        Tracker,
    )
    from torc_migrations.databases.results.contents import Contents
    from torc_migrations.databases.results.indexes import FoundIndexes
    from torc_migrations.databases.results.maintenance import Maintenance
    from torc_migrations.databases.results.queries import QueryTester
    from torc_migrations.databases.results.rehearsals import RehearsalPlace
    from torc_migrations.databases.results.violations import BrokenObject, Soundness, Violation
    from torc_migrations.databases.sqlite.scripts.effects import ScriptEffects
    from torc_migrations.databases.sqlite.tuning.plans import SQLiteExplainer
    from torc_migrations.errors import BadScript, ExecutionFailed
    from torc_migrations.history.steps import Step
    from torc_migrations.sources.migration import Script


class SQLiteDatabase(Clocked, SQLiteConnection):
    """An SQLite database; see `Database` for what each method promises.

    Attributes:
        is_shared: whether other connections may wait for its lock.
    """

    sql = LEDGER_SQL
    may_group = True
    locks_outside = False
    is_shared = True
    effects: Effects | None = None
    on_statement: OnStatement | None = None
    rehearsal: RehearsalPlace | None = None  # the copy is all that it would say
    is_used = False  # a lent connection, by an operation of this thread that is not at its end

    @cached_property
    def _warned(self) -> set[Script]:
        """The scripts whose notes were logged already."""
        return set()

    @cached_property
    def _turns(self) -> Turns:
        return Turns()

    def prepare_to_write(self) -> None:
        """Create the file where it is missing, and turn foreign keys off, which no transaction can."""
        if self.is_used:
            reason = f"the connection to {self.name} is used by another operation of this thread, such as a run"
            raise CannotOpen(self.name, reason, hint="wait for its end, or use another connection")
        super().prepare_to_write()

    def quote_identifier(self, name: str) -> str:
        """Quote a name for SQL."""
        return quote_identifier(name)

    def qualified(self, table: str) -> str:
        """Return a ledger's name with `main.` before it, unless it names a schema itself."""
        unquoted_dot = "." in table and not table.startswith('"')
        return table if unquoted_dot else f"main.{table}"

    def execute_many(self, sql: str, values: Sequence[Mapping[str, object]]) -> None:
        """Run one statement of ours several times."""
        with closing(sqlite3.Cursor(self.connection)) as cursor:
            self.rows_changed += cursor.executemany(sql, values).rowcount

    def mentions(self, tables: Collection[str]) -> bool:
        """Return whether anything in the schema but these tables may name one of them."""
        if not all(name.isascii() and name.isidentifier() for name in tables):
            return True  # such a name can be written in several ways
        # A plus hides the declared type, for which the owner of a lent connection may have a converter.
        schemas = (quote_identifier(schema) for schema in {*read_schemas(self.connection), "temp"})
        objects = " UNION ALL ".join(f"SELECT +type, +tbl_name, +sql FROM {schema}.sqlite_master" for schema in schemas)
        found = self.rows_or_none(objects) or ()
        others = [str(sql) for kind, table, sql in found if kind == "trigger" or str(table).lower() not in tables]
        text = "\n".join(others).lower()
        return any(name in text for name in tables)

    def tables(self) -> frozenset[str]:
        """Return the names of all tables, without SQLite's own."""
        from torc_migrations.databases.sqlite.schema import read_tables

        return frozenset(read_tables(self))

    def read_contents(self, ignored: Collection[str] = (), *, rows: RowReading = RowReading.NOTHING) -> Contents:
        """Read the schema and the rows without the `ignored` tables."""
        from torc_migrations.databases.sqlite.schema import read_contents

        return read_contents(self, ignored, rows=rows)

    def find_violations(
        self, effects: Effects | None = None, known: Iterable[Violation] | None = None
    ) -> tuple[Violation, ...]:
        """Return the rows that point to no row: in all tables, or in those that a script may have changed."""
        from torc_migrations.databases.sqlite.scripts.effects import ScriptEffects
        from torc_migrations.databases.sqlite.scripts.foreign_keys import find_violations

        if effects is None:
            effects = ScriptEffects()
            effects.all_tables = True
        assert isinstance(effects, ScriptEffects)
        return find_violations(self, effects, known)

    def find_broken(self, effects: Effects | None = None, known: Iterable[BrokenObject] | None = None) -> Soundness:
        """Return what does not work: of all objects, or of those that a script may have broken."""
        from torc_migrations.databases.sqlite.catalog.soundness import find_broken
        from torc_migrations.databases.sqlite.scripts.effects import ScriptEffects

        return find_broken(self, effects if isinstance(effects, ScriptEffects) else None, known)

    def find_unfinished(self, names: Container[str]) -> tuple[BrokenObject, ...]:
        """Return the tables, views and triggers of these lower names that do not work."""
        from torc_migrations.databases.sqlite.catalog.soundness import find_unfinished

        with self.reading():
            return find_unfinished(self, names)

    def combined(self, effects: Iterable[Effects]) -> Effects:
        """Return what several scripts did, as far as it says what must be checked."""
        from torc_migrations.databases.sqlite.scripts.effects import ScriptEffects

        combined = ScriptEffects()
        for each in effects:
            assert isinstance(each, ScriptEffects)
            combined.add(each)
        return combined

    def find_breaker(self, steps: Iterable[Step], broken: BrokenObject) -> Breaker | None:
        """Run the scripts of steps again, and return the statement after which an object worked no more, or None."""
        from torc_migrations.databases.sqlite.catalog.soundness import is_broken as does_not_work
        from torc_migrations.databases.sqlite.scripts.failures import breaker_at
        from torc_migrations.databases.sqlite.scripts.runner import ScriptRunner
        from torc_migrations.databases.sqlite.scripts.statements import changes_schema

        found: Breaker | None = None
        was_broken = False

        def look(script: Script, begin: int, end: int, _: int) -> None:
            nonlocal found, was_broken
            if not changes_schema(script.sql, begin):
                return
            with self.paused_script():
                is_broken = does_not_work(self, broken)
            if is_broken and not was_broken:
                found = breaker_at(step, script, begin, end)
            was_broken = is_broken

        for step in steps:
            effects = self._new_effects(may_commit=False)
            ScriptRunner(self, step, effects, on_statement=look).run(ScriptMode.WHOLE, strict=False)
        return found

    def find_damage(self, effects: RecordedEffects | None = None) -> tuple[str, ...]:
        """Return what `integrity_check` finds: in the whole database, or in the tables that a script has written."""
        from torc_migrations.databases.sqlite.catalog.catalog import catalog_of

        if effects is None or effects.all_tables:
            found = [str(fault) for (fault,) in self.execute("PRAGMA main.integrity_check(3)")]
        else:
            tables = (table for table in map(catalog_of(self).table, sorted(effects.written)) if table)
            names = [quote_identifier(table.name) for table in tables if not table.is_virtual]
            sql = "PRAGMA main.integrity_check({})"
            found = [str(fault) for name in names for (fault,) in self.execute(sql.format(name))]
        return tuple(fault for fault in found if fault != "ok")

    def reconnect(self) -> bool:
        """Return False: a file is not lost."""
        return False

    def begin(self) -> None:
        """Begin a transaction that holds the write lock, and leave it to others for a moment every now and then."""
        if not (self.is_shared and self.file):
            super().begin()
            return
        self._turns.leave_free()
        super().begin()
        self._turns.note_taken()

    def begin_step(self, script: Script | None) -> None:
        """Enforce foreign keys where the script asks for it."""
        if script and script.directives.foreign_keys:
            self.note_change_of_session()
            write_pragma(self.connection, "foreign_keys", 1)

    def must_end_step(self) -> bool:
        """Return whether a script has left something in the session that is restored outside a transaction only."""
        return self._is_changed or self.session.is_changed

    def yoyo_holder(self) -> str | None:
        """Describe the living process that holds yoyo's lock, or return None."""
        from torc_migrations.databases.sqlite.locks import read_yoyo_lock

        row = read_yoyo_lock(self.rows_or_none)
        return str(row) if row and row.alive else None

    def script_mode(self, script: Script) -> ScriptMode:
        """Return how a script relates to a transaction."""
        from torc_migrations.databases.sqlite.scripts.modes import script_mode

        return script_mode(script)

    def statement_count(self, script: Script) -> int:
        """Return how many statements a script has."""
        from torc_migrations.databases.sqlite.scripts.statements import statements

        return sum(1 for _ in statements(script.sql))

    def commit_in(self, script: Script) -> BadScript:
        """Return the error that names the place where a script of mode OWN_COMMITS commits."""
        from torc_migrations.databases.sqlite.scripts.modes import commit_in

        return commit_in(script)

    def run_script(
        self, step: Step, mode: ScriptMode, *, strict: bool = False, progress: Progress | None = None
    ) -> Effects:
        """Run the script of a step, and return what it did."""
        from torc_migrations.databases.sqlite.scripts.runner import ScriptRunner

        effects = self._new_effects(may_commit=mode is ScriptMode.OWN_COMMITS)
        self.effects = effects
        runner = ScriptRunner(
            self, step, effects, on_statement=self.on_statement, monitor=self.monitor, progress=progress
        )
        runner.run(mode, strict=strict)
        if runner.notes and step.script and step.script not in self._warned:
            self._warned.add(step.script)
            for note in runner.notes:
                log().warning("%s", note)
        return effects

    def _new_effects(self, *, may_commit: bool) -> ScriptEffects:
        from torc_migrations.databases.sqlite.scripts.effects import ScriptEffects

        schemas = frozenset(map(str.lower, self.session.lent_schemas))
        return ScriptEffects(may_commit=may_commit, lent=self.session.lent_temporary, schemas=schemas)

    def refuse_unwritable(self, error: ExecutionFailed) -> None:
        """Raise where the file cannot be written, which SQLite finds out only at the first write."""
        cause = error.__cause__
        if cause is not None and primary_code(cause) in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN):
            self.end_step()
            with self.transaction():
                self.write_something()
                raise error

    def rows_changed_besides(self) -> int:
        """Return how many rows were changed by others than statements of ours: scripts, triggers and cascades."""
        return self.connection.total_changes - self.rows_changed

    def is_empty(self) -> bool:
        """Return whether the database's file exists and has nothing in it."""
        return self.file is not None and self.file.is_empty

    def interrupt(self) -> None:
        """Stop the statement that is running, from another thread."""
        try:
            self.connection.interrupt()
        except sqlite3.ProgrammingError:
            return  # closed just now

    def begin_to_own(self) -> str:
        """Return a name for work of this process that others see."""
        from torc_migrations.databases.processes import begin_to_own

        return begin_to_own()

    def end_owning(self, owner: str) -> None:
        """Note that the work with this name goes on no longer."""
        from torc_migrations.databases.processes import end_owning

        end_owning(owner)

    def living_owner(self, owner: str) -> str | None:
        """Describe the process that goes on with the work with this name, or return None."""
        from torc_migrations.databases.processes import living_owner

        return living_owner(owner)

    def yoyo_backend(self) -> type:
        """Return yoyo's class for SQLite."""
        from yoyo.backends.core.sqlite3 import SQLiteBackend

        backend: type = SQLiteBackend
        return backend

    def track_contents(self, ignored: Collection[str], rows: RowReading) -> Tracker:
        """Read the contents without the `ignored` tables, and follow what scripts do to them."""
        from torc_migrations.databases.sqlite.schema import ContentsTracker

        return ContentsTracker(self, ignored, rows)

    def explainer(self) -> SQLiteExplainer:
        """Return what returns the plans of queries, and explains them."""
        from torc_migrations.databases.sqlite.tuning.plans import SQLiteExplainer

        return SQLiteExplainer(self)

    def query_tester(self) -> QueryTester:
        """Return what says whether queries work."""
        from torc_migrations.databases.sqlite.tuning.queries import SQLiteQueries

        return SQLiteQueries(self)

    def read_indexes(self) -> FoundIndexes:
        """Read every index and every foreign key."""
        from torc_migrations.databases.sqlite.tuning.indexes import read_indexes

        return read_indexes(self)

    def optimize(self, *, vacuum: bool) -> Maintenance:
        """Refresh the planner's statistics, and with `vacuum` rebuild the file."""
        from torc_migrations.databases.sqlite.tuning.maintenance import optimize

        return optimize(self, vacuum=vacuum)

    @contextmanager
    def copy(self) -> Iterator[Database]:
        """Yield a copy next to the file or in TMPDIR, or in memory if there is none, on which scripts are recorded."""
        from torc_migrations.databases.sqlite.copies import copy_of, place_of

        with copy_of(self) as (connection, address):
            file = find_file(address.path)
            copy = RecordingDatabase(
                connection, address, file=file, lock_timeout=self.lock_timeout, functions=self.functions
            )
            copy.rehearsal = place_of(self, address)
            copy.statement_timeout = self.statement_timeout
            copy.absent_schemas = frozenset(map(str.lower, read_schemas(self.connection))) - {"main", "temp"}
            yield copy

    @contextmanager
    def empty(self) -> Iterator[Database]:
        """Yield an empty database in memory on which scripts are recorded."""
        address = Address(None)
        with closing(connect(address)) as connection:
            database = RecordingDatabase(connection, address, lock_timeout=0, functions=self.functions)
            database.statement_timeout = self.statement_timeout
            yield database


class RecordingDatabase(SQLiteDatabase):
    """A database for rehearsals: `effects` is a `RecordedEffects`, and no statement opens another file.

    Attributes:
        absent_schemas: the lower names of the files that are attached to the connection that was copied.
    """

    is_shared = False
    absent_schemas: frozenset[str] = frozenset()

    def _new_effects(self, *, may_commit: bool) -> ScriptEffects:
        from torc_migrations.databases.sqlite.catalog.catalog import catalog_of
        from torc_migrations.databases.sqlite.scripts.recording import RecordedScriptEffects

        return RecordedScriptEffects(catalog_of(self).read_all_columns(), may_commit=may_commit)


def sqlite_only(database: Database, purpose: str) -> SQLiteDatabase:
    """Return a database as what it is, an SQLite database.

    Raises:
        NotSupported: it is of another kind.
    """
    if not isinstance(database, SQLiteDatabase):
        raise NotSupported(database.name, f"{purpose} works with SQLite only")
    return database
