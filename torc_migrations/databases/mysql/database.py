"""A MariaDB or MySQL database as the packages above use it: `databases/interface.py`, and how one is opened."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator
from contextlib import closing, contextmanager, nullcontext
from functools import cached_property
from typing import TYPE_CHECKING, Any

from torc_migrations.databases.files import refuse_forked
from torc_migrations.databases.interface import DatabaseLike, Functions, OnStatement, Progress, RowReading, ScriptMode
from torc_migrations.databases.lent import used_alone
from torc_migrations.databases.mysql.connection import connect, quote_identifier
from torc_migrations.databases.mysql.galera import LOCK_TABLE
from torc_migrations.databases.mysql.ledger_sql import LEDGER_SQL
from torc_migrations.databases.mysql.transactions import MySqlConnection
from torc_migrations.databases.mysql.urls import MySqlAddress, parse_mysql_url
from torc_migrations.databases.results.contents import Contents
from torc_migrations.databases.results.rehearsals import ON_AN_EMPTY_DATABASE, RehearsalPlace, without_rows
from torc_migrations.databases.servers.given import DEFAULT, ServerOptions
from torc_migrations.databases.servers.unwatched import ServerEffects, Unwatched
from torc_migrations.errors import BadScript, CannotOpen

if TYPE_CHECKING:
    from torc_migrations.databases.interface import Database, Effects, RecordedEffects, Tracker
    from torc_migrations.databases.mysql.tuning.plans import MySqlExplainer
    from torc_migrations.databases.results.indexes import FoundIndexes
    from torc_migrations.databases.results.maintenance import Maintenance
    from torc_migrations.databases.results.queries import QueryTester
    from torc_migrations.history.steps import Step
    from torc_migrations.sources.migration import Script

_WORDS = re.compile(rb"[\w$]+")


class MySqlDatabase(Unwatched, MySqlConnection):
    """A MariaDB or MySQL database; see `Database` for what each method promises."""

    sql = LEDGER_SQL
    may_group = False  # DDL commits by itself
    locks_outside = True
    effects: Effects | None = None
    on_statement: OnStatement | None = None
    rehearsal: RehearsalPlace | None = None

    @cached_property
    def _ledgers(self) -> set[str]:
        """The names of the ledgers, whose rows are copied for a rehearsal."""
        return set()

    def quote_identifier(self, name: str) -> str:
        """Quote a name for SQL."""
        return quote_identifier(name)

    def qualified(self, table: str) -> str:
        """Return a ledger's name with that of the database before it, unless it names one itself."""
        unquoted_dot = "." in re.sub(r"`(?:[^`]|``)*`", "", table)
        self._ledgers.add(table.strip("`"))
        return table if unquoted_dot else f"{quote_identifier(self.schema)}.{table}"

    def tables(self) -> frozenset[str]:
        """Return the names of all tables, without the lock's."""
        from torc_migrations.databases.mysql.schema import read_tables

        return frozenset(read_tables(self)) - {LOCK_TABLE}

    def read_contents(self, ignored: Collection[str] = (), *, rows: RowReading = RowReading.NOTHING) -> Contents:
        """Read the schema without the `ignored` tables, and the rows of all others, if they are asked for."""
        from torc_migrations.databases.mysql.schema import read_contents

        return read_contents(self, {*ignored, LOCK_TABLE}, rows)

    def track_contents(self, ignored: Collection[str], rows: RowReading) -> Tracker:
        """Read the contents without the `ignored` tables, and again after each script."""
        from torc_migrations.databases.servers.contents import WholeContents

        return WholeContents(lambda: self.read_contents(ignored, rows=rows))

    def find_damage(self, effects: RecordedEffects | None = None) -> tuple[str, ...]:  # noqa: ARG002
        """Return what CHECK TABLE finds in any table."""
        from torc_migrations.databases.mysql.schema import read_tables

        found = []
        for name, kind in read_tables(self).items():
            if kind == "BASE TABLE":
                for table, _, level, text in self.execute(f"CHECK TABLE {self.qualified(quote_identifier(name))}"):
                    if level == "error":
                        found.append(f"{table}: {text}")
        return tuple(found)

    def statement_count(self, script: Script) -> int:
        """Return how many statements a script has."""
        from torc_migrations.databases.mysql.scripts.statements import statements

        return sum(1 for _ in statements(script.sql))

    def begin_step(self, script: Script | None) -> None:
        """Set nothing: the runner sets what a script asks for."""

    def must_end_step(self) -> bool:
        """Return False: every script has transactions of its own."""
        return False

    def end_step(self) -> None:
        """Roll back what a step has left open, as after Ctrl-C."""
        self.ran_script = False
        self.roll_back()

    def script_mode(self, script: Script) -> ScriptMode:
        """Return how a script relates to a transaction: only one that does nothing but change rows can be in one.

        Raises:
            BadScript: it has a ROLLBACK. To find that while it runs would leave it noted as begun.
        """
        from torc_migrations.databases.mysql.schema import SELECT_NOT_TRANSACTIONAL
        from torc_migrations.databases.mysql.scripts.runner import keeps_transaction, refuse_rollbacks

        refuse_rollbacks(script)
        if not script.directives.transactional or not keeps_transaction(script):
            return ScriptMode.OUTSIDE
        with self.translated():
            not_transactional = self.session.run(SELECT_NOT_TRANSACTIONAL).fetchone()
        return ScriptMode.OUTSIDE if not_transactional else ScriptMode.WHOLE

    def commit_in(self, script: Script) -> BadScript:
        """Return the error for a script that cannot be part of a transaction with others."""
        reason = f"{script.path} has statements that commit by themselves, as DDL does on MariaDB and MySQL"
        return BadScript(script.path, reason, hint="run it without one transaction for all")

    def run_script(
        self,
        step: Step,
        mode: ScriptMode,
        *,
        strict: bool = False,  # noqa: ARG002  # no script is refused for its commits, because DDL commits too
        progress: Progress | None = None,
    ) -> Effects:
        """Run the script of a step, and return what it may have done."""
        from torc_migrations.databases.mysql.scripts.runner import ScriptRunner

        assert step.script is not None
        words = frozenset(word.decode(errors="replace") for word in _WORDS.findall(step.script.sql.lower()))
        effects = ServerEffects(words, all_tables=True)
        on_statement = self.on_statement
        if self.rehearsal is not None:
            from torc_migrations.databases.mysql.copies import recorded, refuse_server_wide

            refuse_server_wide(self, step)
            effects = recorded(words, self, step)
            on_statement = effects.time_statement
        self.ran_script = True
        with self.translated():
            self.session.take()
            ScriptRunner(self, step, on_statement, progress).run(mode)
        self.effects = effects
        return effects

    def yoyo_backend(self) -> type:
        """Return yoyo's class for MySQL, whose names are quoted whatever `sql_mode` is."""
        from yoyo.backends.core.mysql import MySQLBackend

        changes = {
            "quote_identifier": lambda _, name: quote_identifier(name),
            "transaction": lambda _: nullcontext(),  # DDL would end it
        }
        return type("MySQLBackend", (MySQLBackend,), changes)

    def explainer(self) -> MySqlExplainer:
        """Return what returns the plans of queries, and explains them."""
        from torc_migrations.databases.mysql.tuning.plans import MySqlExplainer

        return MySqlExplainer(self, self.reconnected)

    def query_tester(self) -> QueryTester:
        """Return what says whether queries work."""
        from torc_migrations.databases.mysql.tuning.queries import MySqlQueries

        return MySqlQueries(self)

    def read_indexes(self) -> FoundIndexes:
        """Read every index and every foreign key."""
        from torc_migrations.databases.mysql.tuning.indexes import read_indexes

        return read_indexes(self)

    def optimize(self, *, vacuum: bool) -> Maintenance:
        """Refresh the planner's statistics, and with `vacuum` rebuild the tables."""
        from torc_migrations.databases.mysql.tuning.maintenance import optimize

        return optimize(self, vacuum=vacuum)

    @contextmanager
    def copy(self) -> Iterator[Database]:
        """Yield a database with the same schema and ledgers, and no other rows; drop it at the end."""
        from torc_migrations.databases.mysql.copies import copy_schema, created

        with self.translated(), created(self, self.reconnected) as name:
            with closing(self._connect_to(self.schema)) as source, closing(self._connect_to(name)) as connection:
                left_out = copy_schema(self.schema, source, connection, self._ledgers)
            with self._scratch(name, without_rows(left_out)) as database:
                yield database

    @contextmanager
    def empty(self) -> Iterator[Database]:
        """Yield an empty database of the same server; drop it afterwards.

        Raises:
            NotSupported: this user may not create databases.
        """
        from torc_migrations.databases.mysql.copies import created

        with (
            self.translated(),
            created(self, self.reconnected) as name,
            self._scratch(name, ON_AN_EMPTY_DATABASE) as database,
        ):
            yield database

    def _connect_to(self, name: str) -> Any:
        connection = self.reconnected()
        connection.select_db(name)
        return connection

    @contextmanager
    def _scratch(self, name: str, place: RehearsalPlace) -> Iterator[MySqlDatabase]:
        opened = MySqlDatabase(
            self._connect_to(name),
            self.name,
            lock_timeout=self.lock_timeout,
            is_lent=False,
            reconnect=lambda: self._connect_to(name),
        )
        opened.rehearsal = place
        opened.statement_timeout = self.statement_timeout
        try:
            yield opened
        finally:
            opened.close()


@contextmanager
def open_database(
    database: DatabaseLike,
    *,
    lock_timeout: float,
    functions: Functions | None = None,  # noqa: ARG001  # SQL calls functions of the server only
    server: ServerOptions = DEFAULT,  # noqa: ARG001  # what it has is PostgreSQL's
) -> Iterator[MySqlDatabase]:
    """Open a database by its URL, or on a PyMySQL connection that is lent.

    A lent connection has one user at a time: other threads wait.

    Raises:
        UrlError: the address is misspelled, or the server cannot be reached.
    """
    refuse_forked()
    lent = None if isinstance(database, (str, os.PathLike)) else getattr(database, "conn", database)
    with nullcontext() if lent is None else used_alone(lent, lock_timeout):
        opened = _owned(str(database), lock_timeout) if lent is None else _borrowed(lent, lock_timeout)
        try:
            yield opened
        finally:
            opened.close()


def _owned(url: str, lock_timeout: float) -> MySqlDatabase:
    address = parse_mysql_url(url)
    connection = connect(address)
    try:
        return MySqlDatabase(
            connection, address.name, lock_timeout=lock_timeout, is_lent=False, reconnect=lambda: connect(address)
        )
    except BaseException:
        connection.close()
        raise


def _borrowed(connection: Any, lock_timeout: float) -> MySqlDatabase:
    name = f"the connection to {connection.host}"
    if not connection.open:
        raise CannotOpen(name, f"{name} is closed")
    if connection.server_status & 1:
        raise CannotOpen(
            name, f"{name} is inside a transaction", hint="commit or roll back first; a SELECT begins one too"
        )
    return MySqlDatabase(
        connection, name, lock_timeout=lock_timeout, is_lent=True, reconnect=lambda: _same_again(connection)
    )


def _same_again(connection: Any) -> Any:
    """Open another connection to the server of one that is lent, with its own parameters."""
    arguments = {
        "user": connection.user,
        "password": connection.password,
        "database": connection.db,
        "unix_socket": connection.unix_socket,
        "host": connection.host,
        "port": connection.port,
    }
    return connect(MySqlAddress(f"the connection to {connection.host}", "", arguments))
