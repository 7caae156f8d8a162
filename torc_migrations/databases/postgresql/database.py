"""A PostgreSQL database as the packages above use it: `databases/interface.py`, and how one is opened."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

import psycopg

from torc_migrations.databases.files import refuse_forked
from torc_migrations.databases.interface import DatabaseLike, Functions, OnStatement, Progress, RowReading, ScriptMode
from torc_migrations.databases.lent import used_alone
from torc_migrations.databases.postgresql import locks
from torc_migrations.databases.postgresql.address import Address, connect, name_of, parse_address
from torc_migrations.databases.postgresql.catalog import CatalogedConnection
from torc_migrations.databases.postgresql.ledger_sql import LEDGER_SQL
from torc_migrations.databases.postgresql.rehearsals.rolled_back import RolledBack, RolledBackRunner
from torc_migrations.databases.postgresql.scripts import modes
from torc_migrations.databases.postgresql.scripts.runner import ScriptRunner, cut_is_needed
from torc_migrations.databases.postgresql.scripts.statements import statements
from torc_migrations.databases.results.contents import Contents
from torc_migrations.databases.results.rehearsals import ON_A_COPY, ON_AN_EMPTY_DATABASE, RehearsalPlace, undone
from torc_migrations.databases.servers.given import ServerOptions
from torc_migrations.databases.servers.unwatched import Unwatched
from torc_migrations.errors import CannotOpen, NotSupported

if TYPE_CHECKING:
    from torc_migrations.databases.interface import Database, Effects, RecordedEffects, Tracker
    from torc_migrations.databases.postgresql.rehearsals.recording import ScriptRecorder
    from torc_migrations.databases.postgresql.tuning.plans import PostgreSQLExplainer
    from torc_migrations.databases.results.indexes import FoundIndexes
    from torc_migrations.databases.results.maintenance import Maintenance
    from torc_migrations.databases.results.queries import QueryTester
    from torc_migrations.errors import BadScript
    from torc_migrations.history.steps import Step
    from torc_migrations.sources.migration import Script

_Kind = TypeVar("_Kind", bound="PostgreSQLDatabase")

SELECT_TABLES = """
    SELECT c.relname
    FROM pg_catalog.pg_class c
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p', 'f')
    AND n.nspname = :schema
"""
# What an extension has made is not the user's.
SELECT_FRESH = """
    SELECT NOT EXISTS (
        SELECT 1
        FROM pg_catalog.pg_class c
        JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
        WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f')
        AND n.nspname NOT LIKE 'pg!_%' ESCAPE '!'
        AND n.nspname <> 'information_schema'
        AND NOT (c.relname = ANY (:ledgers))
        AND NOT EXISTS (
            SELECT 1
            FROM pg_catalog.pg_depend d
            WHERE d.classid = 'pg_class'::regclass
            AND d.objid = c.oid
            AND d.deptype = 'e'
        )
    )
"""


class PostgreSQLDatabase(Unwatched, CatalogedConnection):
    """A PostgreSQL database; see `Database` for what each method promises."""

    sql = LEDGER_SQL
    effects: Effects | None = None
    on_statement: OnStatement | None = None
    rehearsal: RehearsalPlace | None = None
    _runner = ScriptRunner
    _must_end_step = False
    locks_outside = True

    @cached_property
    def may_group(self) -> bool:
        """Whether there was no table when this was first asked, so that nobody waits for the locks of a group."""
        names = [name.rpartition(".")[2].strip('"') for name in self.watched]
        return bool(self.row(SELECT_FRESH, {"ledgers": [*names, "yoyo_lock"]})[0])

    def tables(self) -> frozenset[str]:
        """Return the names of all tables in the schema of the ledgers."""
        return frozenset(name for (name,) in self.run(SELECT_TABLES, {"schema": self.schema}))

    def read_contents(self, ignored: Collection[str] = (), *, rows: RowReading = RowReading.NOTHING) -> Contents:
        """Read the schema without the `ignored` tables, and the rows of all others, if they are asked for."""
        from torc_migrations.databases.postgresql.schema import read_contents

        return read_contents(self, ignored, rows)

    def track_contents(self, ignored: Collection[str], rows: RowReading) -> Tracker:
        """Read the contents without the `ignored` tables, and again after each script what it has touched."""
        from torc_migrations.databases.postgresql.schema import ContentsTracker

        return ContentsTracker(self, ignored, rows)

    def find_damage(self, effects: RecordedEffects | None = None) -> tuple[str, ...]:  # noqa: ARG002
        """Return nothing: the server has no such check; `pg_amcheck` is a program of its own."""
        return ()

    def begin_step(self, script: Script | None) -> None:
        """Do nothing: no directive is for the session of a server."""

    def must_end_step(self) -> bool:
        """Return whether a script has changed when constraints are checked, until the end of the transaction."""
        return self._must_end_step

    def note_change_of_session(self) -> None:
        """Note that a script has left something that ends with the transaction."""
        self._must_end_step = True

    def end_step(self) -> None:
        """Restore, outside a transaction, what a script has left in the session."""
        self.roll_back()
        self._must_end_step = False

    def script_mode(self, script: Script) -> ScriptMode:
        """Return how a script relates to a transaction."""
        return modes.script_mode(script)

    def commit_in(self, script: Script) -> BadScript:
        """Return the error that names the place where a script of mode OWN_COMMITS commits."""
        return modes.commit_in(script)

    def run_script(
        self, step: Step, mode: ScriptMode, *, strict: bool = False, progress: Progress | None = None
    ) -> Effects:
        """Run the script of a step, and return what it did."""
        if strict and mode is ScriptMode.OWN_COMMITS and step.script:
            raise modes.commit_in(step.script)
        recorder = self._recorder(step, mode)
        effects = self._runner(self, step, self.on_statement, progress, recorder).run(mode, strict=strict)
        read_again = self._must_end_step or mode is not ScriptMode.WHOLE
        self.effects = recorder.finish(read_again=read_again) if recorder else effects
        return self.effects

    def statement_count(self, script: Script) -> int:
        """Return how many statements a script has; 1 where it is sent as a whole."""
        if cut_is_needed(self) or self.script_mode(script) is not ScriptMode.WHOLE:
            return sum(1 for _ in statements(script.sql))
        return 1

    def _recorder(self, step: Step, mode: ScriptMode) -> ScriptRecorder | None:
        """Return what records a script in a rehearsal, and refuse one that would change more than its database."""
        if self.rehearsal is None:
            return None
        from torc_migrations.databases.postgresql.rehearsals.recording import recorder_of

        return recorder_of(self, step, is_undone=self.rehearsal.is_undone, is_outside=mode is not ScriptMode.WHOLE)

    def reconnect(self) -> bool:
        """Connect again after the connection was lost; a rehearsal does not, because its copy may be lost with it."""
        return self.rehearsal is None and super().reconnect()

    def interrupt(self) -> None:
        """Stop the statement that is running, from another thread."""
        with suppress(psycopg.Error):
            self.connection.cancel_safe(timeout=5)

    def begin_to_own(self) -> str:
        """Hold the migration lock for the session, and return a name for what it does."""
        return locks.begin_to_own(self)

    def end_owning(self, owner: str) -> None:
        """Release the lock that `begin_to_own` holds."""
        locks.end_owning(self, owner)

    def living_owner(self, owner: str) -> str | None:
        """Describe the session that goes on with the work with this name, or return None."""
        return locks.living_owner(self, owner)

    def lock_holder(self) -> str | None:
        """Describe the session that holds the migration lock, or return None."""
        with self._translated():
            return locks.known_holder(self)

    def yoyo_backend(self) -> type:
        """Return yoyo's class for psycopg 3."""
        from yoyo.backends.core.postgresql import PostgresqlPsycopgBackend

        backend: type = PostgresqlPsycopgBackend
        return backend

    def explainer(self) -> PostgreSQLExplainer:
        """Return what returns the plans of queries, and explains them."""
        from torc_migrations.databases.postgresql.tuning.plans import PostgreSQLExplainer

        return PostgreSQLExplainer(self, is_empty=self.rehearsal is ON_AN_EMPTY_DATABASE)

    def query_tester(self) -> QueryTester:
        """Return what says whether queries work."""
        from torc_migrations.databases.postgresql.tuning.queries import PostgreSQLQueries

        return PostgreSQLQueries(self)

    def read_indexes(self) -> FoundIndexes:
        """Read every index and every foreign key."""
        from torc_migrations.databases.postgresql.tuning.indexes import read_indexes

        return read_indexes(self)

    def optimize(self, *, vacuum: bool) -> Maintenance:
        """Refresh the planner's statistics, and with `vacuum` run VACUUM."""
        from torc_migrations.databases.postgresql.tuning.maintenance import optimize

        return optimize(self, vacuum=vacuum)

    @contextmanager
    def copy(self) -> Iterator[Database]:
        """Yield a copy of the database, or where it cannot be copied a transaction that is rolled back at the end."""
        from torc_migrations.databases.postgresql.rehearsals import copies

        if reason := copies.why_no_copy(self):
            with self._undone(reason) as database:
                yield database
            return
        with ExitStack() as stack:
            try:
                name = stack.enter_context(copies.created(self, str(self.database)))
            except copies.NoDatabase as error:
                database = stack.enter_context(self._undone(str(error)))
            else:
                address = copies.address_of(self, name)._replace(schema=self.address.schema)
                database = stack.enter_context(self._opened(PostgreSQLDatabase, address))
                database.rehearsal = ON_A_COPY
            yield database

    @contextmanager
    def _undone(self, reason: str) -> Iterator[Database]:
        """Open another connection on which everything is one transaction that is never committed."""
        from torc_migrations.databases.postgresql.rehearsals import copies

        address = copies.address_of(self, str(self.database))._replace(schema=self.address.schema)
        with self._opened(RolledBackDatabase, address) as database:
            database.rehearsal = undone(reason)
            yield database

    @contextmanager
    def empty(self) -> Iterator[Database]:
        """Yield an empty database of the same server, on which scripts are recorded; drop it afterwards.

        Raises:
            NotSupported: this role may not create databases.
        """
        from torc_migrations.databases.postgresql.rehearsals import copies

        with ExitStack() as stack:
            try:
                name = stack.enter_context(copies.created(self, "template0"))
            except copies.NoDatabase as error:
                reason = "this role may not create a scratch database"
                raise NotSupported(self.name, reason, hint="grant CREATEDB") from error
            with self._translated():
                copies.take_schema(self, name)
            database = stack.enter_context(self._opened(PostgreSQLDatabase, copies.address_of(self, name)))
            database.rehearsal = ON_AN_EMPTY_DATABASE
            yield database

    @contextmanager
    def _opened(self, kind: type[_Kind], address: Address) -> Iterator[_Kind]:
        with open_address(
            address, lock_timeout=self.lock_timeout, server=self.options, functions=self.functions, kind=kind
        ) as opened:
            opened.statement_timeout = self.statement_timeout
            yield opened


class RolledBackDatabase(RolledBack, PostgreSQLDatabase):
    """A database on which everything is undone at the end: see `Database` for what each method promises."""

    _runner = RolledBackRunner


@contextmanager
def open_database(
    database: DatabaseLike,
    *,
    lock_timeout: float,
    functions: Functions | None = None,
    server: ServerOptions,
) -> Iterator[PostgreSQLDatabase]:
    """Open a database by its URL, or on a lent connection of psycopg, which has one user at a time.

    Raises:
        UrlError: the address is misspelled, or leads to nothing that can be opened.
    """
    refuse_forked()
    if isinstance(database, str):
        with open_address(
            parse_address(database),
            lock_timeout=lock_timeout,
            server=server,
            functions=functions,
            kind=PostgreSQLDatabase,
        ) as own:
            yield own
        return
    lent: Any = getattr(database, "conn", database)
    with used_alone(lent, lock_timeout):
        opened = _borrowed(lent, lock_timeout, server)
        try:
            opened.take()
            yield opened
        finally:
            opened.close()


@contextmanager
def open_address(
    address: Address,
    *,
    lock_timeout: float,
    server: ServerOptions,
    functions: Functions | None = None,
    kind: type[_Kind],
) -> Iterator[_Kind]:
    """Open a connection of ours, and close it at the end."""
    with connect(address) as connection:
        if functions:
            functions(connection)
        opened = kind(connection, address, lent=False, lock_timeout=lock_timeout, options=server)
        opened.functions = functions
        try:
            opened.take()
            yield opened
        finally:
            opened.close()


def _borrowed(connection: Any, lock_timeout: float, server: ServerOptions) -> PostgreSQLDatabase:
    if not isinstance(connection, psycopg.Connection):
        kind = type(connection)
        raise CannotOpen(repr(kind), f"{kind.__name__} of psycopg cannot be used", hint="use psycopg.Connection")
    if connection.closed:
        raise CannotOpen("the connection", "the connection is closed")
    name = name_of(connection)
    if connection.info.transaction_status != psycopg.pq.TransactionStatus.IDLE:
        reason = f"the connection to {name} is inside a transaction"
        raise CannotOpen(name, reason, hint="commit or roll back first")
    return PostgreSQLDatabase(connection, Address({}, "", name), lent=True, lock_timeout=lock_timeout, options=server)
