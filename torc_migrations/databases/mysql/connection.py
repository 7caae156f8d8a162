"""A connection of PyMySQL: connect, run statements, keep and restore the settings of its session, name its errors."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from torc_migrations.databases.mysql.scripts.statements import Quoting
from torc_migrations.databases.servers.parameters import to_pyformat
from torc_migrations.databases.servers.urls import UNREACHABLE, WRONG_LOGIN
from torc_migrations.errors import CannotOpen, DatabaseFailed, MigrationError

if TYPE_CHECKING:
    from torc_migrations.databases.mysql.urls import MySqlAddress

# https://mariadb.com/kb/en/mariadb-error-codes/
NO_SUCH_TABLE, NO_SUCH_COLUMN, NEWER_THAN_SNAPSHOT = 1146, 1054, 1412
DUPLICATE_KEY, LOCK_WAIT_TIMEOUT, DEADLOCK, NOT_IN_PRIMARY = 1062, 1205, 1213, 1047
SYNTAX_ERROR, READ_ONLY_TRANSACTION = 1064, 1792
ACCESS = (1044, 1045, 1142, 1143, 1227, 1370)
_READ_ONLY = (1290, READ_ONLY_TRANSACTION, 1836)
_NO_RIGHT = "grant the right to this user, or use another one"
_LOST = (2006, 2013, 2014, 2055, 1927, 4031, 0)

# https://mariadb.com/kb/en/ok_packet/#server-status-flag
_IN_TRANSACTION = 1
# What is set while our own statements run; a script has the settings with which the session began.
_OURS = {
    "autocommit": "1",
    "time_zone": "'+00:00'",
    "sql_mode": "'STRICT_TRANS_TABLES,NO_ENGINE_SUBSTITUTION'",
    "foreign_key_checks": "1",
    "sql_safe_updates": "0",
}
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")
# What `SHOW VARIABLES` lists and no SET restores, or what is no setting.
_NO_SETTINGS = frozenset(
    {
        *("timestamp", "last_insert_id", "insert_id", "identity", "rand_seed1", "rand_seed2", "pseudo_thread_id"),
        *("error_count", "warning_count", "in_transaction", "last_gtid", "gtid_seq_no", "pseudo_slave_mode"),
        *("external_user", "proxy_user", "skip_replication", "gtid_domain_id", "server_id", "gtid_next"),
        *("character_set_system", "character_sets_dir", "in_predicate_conversion_threshold", "wsrep_last_written_id"),
    }
)


def connect(address: MySqlAddress) -> Any:
    """Open a connection that commits by itself, with UTF-8 and several statements in one text.

    Raises:
        CannotOpen: the server refuses, or does not answer.
    """
    import pymysql
    from pymysql.constants import CLIENT

    flags = CLIENT.MULTI_STATEMENTS | CLIENT.FOUND_ROWS
    try:
        return pymysql.connect(**address.arguments, charset="utf8mb4", autocommit=True, client_flag=flags)
    except (pymysql.Error, OSError, RuntimeError) as error:
        hint = _hint(code_of(error), address.database)
        raise CannotOpen(address.name, f"cannot connect to {address.name}: {message_of(error)}", hint=hint) from error


def _hint(code: int, database: str) -> str | None:
    if code == 1049:
        return f"create it first: CREATE DATABASE {quote_identifier(database)}"
    if code in (1045, 1698):
        return WRONG_LOGIN
    if code in ACCESS:
        return _NO_RIGHT
    return UNREACHABLE if code in (2002, 2003) else None


def quote_identifier(name: str) -> str:
    """Quote a name for SQL, whatever `sql_mode` is."""
    return f"`{name.replace('`', '``')}`"


def code_of(error: BaseException) -> int:
    """Return the number of an error of the server or of the driver; 0 where it has none."""
    code = error.args[0] if error.args else 0
    return code if isinstance(code, int) else 0


def message_of(error: BaseException) -> str:
    """Return what the server or the driver says, without the number."""
    return str(error.args[1]) if len(error.args) > 1 else str(error) or repr(error)


def is_of_driver(error: BaseException) -> bool:
    """Return whether PyMySQL has raised an error; without it there is none."""
    return any(kind.__module__.partition(".")[0] == "pymysql" for kind in type(error).__mro__)


def is_lost(error: BaseException) -> bool:
    """Return whether the connection is gone, and its locks and its transaction with it."""
    return is_of_driver(error) and code_of(error) in _LOST


def translate(error: Exception, name: str) -> MigrationError:
    """Return the error of this package for what the driver raises outside of a script."""
    code, reason = code_of(error), message_of(error)
    if is_lost(error):
        failure = DatabaseFailed(name, f"the connection is lost: {reason}")
        failure.is_lost = True
        failure.extend_hint("its locks went with it; run again: everything is read and locked anew")
        return failure
    if code == NOT_IN_PRIMARY:
        return not_in_cluster(name)
    if code in ACCESS:
        return CannotOpen(name, f"{name}: {reason}", hint=_NO_RIGHT)
    if code in _READ_ONLY:
        return CannotOpen(name, f"{name} cannot be written: {reason}", hint="name the primary server")
    failure = DatabaseFailed(name, reason)
    if code in (DEADLOCK, LOCK_WAIT_TIMEOUT):
        failure.is_conflict = code == DEADLOCK
        failure.extend_hint("another transaction was preferred, and this one was rolled back; run again")
    return failure


def not_in_cluster(name: str) -> CannotOpen:
    """Return the error for a node of Galera that has no majority of its cluster around it."""
    return CannotOpen(
        name,
        f"{name}: this node is not in the primary component of its cluster, and answers no statement",
        hint="connect to a node that is; `SHOW STATUS LIKE 'wsrep_cluster_status'` says Primary there",
    )


def run(connection: Any, sql: str, values: Mapping[str, object] | None = None) -> Any:
    """Run one statement of ours, with its values by name, and return a cursor whose rows are tuples."""
    from pymysql.cursors import Cursor

    cursor = Cursor(connection)
    cursor.execute(to_pyformat(sql) if values else sql, values or None)
    return cursor


class MySqlSession:
    """The session of one connection: its statements, and its settings."""

    def __init__(self, connection: Any, name: str) -> None:
        self.connection = connection
        self.name = name
        self._began_with: dict[str, str] | None = None  # the settings, in an order in which they can be restored
        row = self.run("SELECT DATABASE(), CONNECTION_ID(), @@SESSION.sql_mode, VERSION()").fetchone()
        self.schema: str | None = row[0]
        self.number = int(row[1])
        self._quoting = _quoting(str(row[2]))
        self.version = str(row[3])
        found = self.run("SHOW VARIABLES LIKE 'wsrep_on'").fetchone()
        self.is_cluster = found is not None and found[1] == "ON"

    def run(self, sql: str, values: Mapping[str, object] | None = None) -> Any:
        """Run one statement of ours, with its values by name, and return a cursor whose rows are tuples."""
        return run(self.connection, sql, values)

    def run_text(self, text: str) -> None:
        """Run a statement of a script to its end: an error in a later part shows only when its result is read."""
        from pymysql.cursors import SSCursor

        cursor = SSCursor(self.connection)
        try:
            cursor.execute(text)
            while True:
                for _ in cursor:
                    pass
                if not cursor.nextset():
                    return
        finally:
            if self.connection.open:
                cursor.close()

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open, as the server said with its last answer."""
        return bool(self.connection.server_status & _IN_TRANSACTION)

    def quoting_now(self) -> Quoting:
        """Return how the session reads quotes, as of the last statement that may have changed it."""
        return self._quoting

    def note_statement(self, text: str) -> None:
        """Note that a statement of a script was run, which may have changed how quotes are read."""
        if "sql_mode" in text.lower():
            self._quoting = _quoting(str(self.run("SELECT @@SESSION.sql_mode").fetchone()[0]))

    def take(self) -> None:
        """Remember the settings of the session, and set what our own statements need; `give_back` restores them."""
        if self._began_with is None:
            self._began_with = self._settings()
            self.set_ours()

    def set_ours(self) -> None:
        """Set what our own statements need."""
        self._set_all(_OURS)
        if self.is_cluster:
            self.run("SET SESSION wsrep_sync_wait = 1")  # so that a read sees what was committed on another node

    def begin_script(self) -> None:
        """Set what the session began with, and commit statement by statement, as scripts expect."""
        assert self._began_with is not None
        first = {name: _literal(name, self._began_with[name]) for name in _OURS}
        self._set_all({**first, "autocommit": "1"})
        self._quoting = _quoting(self._began_with["sql_mode"])

    def end_script(self, *, may_have_set: bool) -> None:
        """Restore what a script has set, if it has statements that can set anything; then set ours again."""
        if may_have_set:
            self._restore()
        self.set_ours()

    def give_back(self) -> None:
        """Restore every setting that differs from what the session began with, and the current database."""
        if self._began_with is not None and self.connection.open:
            self._restore()
            self._began_with = None

    def _restore(self) -> None:
        began_with, now = self._began_with or {}, self._settings()
        for name, value in began_with.items():
            if now.get(name) != value:
                self._set(name, value)
        if self.schema and self.run("SELECT DATABASE()").fetchone()[0] != self.schema:
            self.run(f"USE {quote_identifier(self.schema)}")

    def _set_all(self, settings: Mapping[str, str]) -> None:
        self.run("SET " + ", ".join(f"SESSION {name} = {value}" for name, value in settings.items()))

    def _settings(self) -> dict[str, str]:
        rows = self.run("SHOW SESSION VARIABLES").fetchall()
        return {str(name): str(value) for name, value in rows if name not in _NO_SETTINGS}

    def _set(self, name: str, value: str) -> None:
        """Set one setting; what no session can set is left, because no script can have changed it."""
        try:
            self.run(f"SET SESSION {name} = {_literal(name, value)}")
        except Exception as error:
            if not is_of_driver(error) or is_lost(error):
                raise


def _quoting(sql_mode: str) -> Quoting:
    modes = sql_mode.split(",")
    return Quoting("NO_BACKSLASH_ESCAPES" not in modes, "ANSI_QUOTES" in modes)


def _literal(name: str, value: str) -> str:
    """Return a value as SET takes it: a number where it is one, and else a text in quotes."""
    if name not in ("time_zone", "sql_mode") and _NUMBER.fullmatch(value):
        return value
    return "'" + value.replace("'", "''") + "'"
