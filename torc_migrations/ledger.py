"""Read, record and erase in yoyo's ledger and in sqlx's."""

from __future__ import annotations

from functools import cached_property

from torc_migrations.checksum import yoyo_hash
from torc_migrations.connection import quote_identifier
from torc_migrations.database import Database
from torc_migrations.driver import sqlite3
from torc_migrations.judgement import NO_ROW, LogEntry, Recorded, SqlxRecord, YoyoRecord, our_comment, row_identity
from torc_migrations.tables import SQLX_TABLE, YOYO_TABLE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from typing import Any

    from torc_migrations.backend import LedgerBackend
    from torc_migrations.migration import Migration
    from torc_migrations.plan import Outcome, Step

_UNKNOWN_TIME = -1
_SECONDS = len("2026-01-01 00:00:00")
_LONGEST_REASON = 150  # yoyo's column holds 255 letters

SELECT_TABLES = """
    SELECT +name
    FROM sqlite_master
    WHERE type = 'table'
    AND name IN (:sqlx_table, :yoyo_table, '_yoyo_log', '_yoyo_version')
"""
SELECT_NOTHING = """
    SELECT 1
    FROM {table}, {yoyo_table}, _yoyo_log, _yoyo_version
    LIMIT 0
"""
CREATE_SQLX_TABLE = """
CREATE TABLE IF NOT EXISTS {table} (
    version BIGINT PRIMARY KEY,
    description TEXT NOT NULL,
    installed_on TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP,
    success BOOLEAN NOT NULL,
    checksum BLOB NOT NULL,
    execution_time BIGINT NOT NULL
)
"""
# A plus hides a column's declared type, for which the owner of a lent connection may have a converter.
SELECT_SQLX_ROWS = """
    SELECT +version, +checksum, +success, CAST(installed_on AS TEXT), +execution_time, +rowid
    FROM {table}
"""
SELECT_SQLX_ROW = f"""
    {SELECT_SQLX_ROWS}
    WHERE version = :version
"""
INSERT_SQLX_ROW = """
    INSERT INTO {table} (version, description, installed_on, success, checksum, execution_time)
    VALUES (:version, :description, :installed_on, TRUE, :checksum, :execution_time)
    ON CONFLICT (version) DO NOTHING
"""
INSERT_SQLX_ROW_WITHOUT_KEY = """
    INSERT INTO {table} (version, description, installed_on, success, checksum, execution_time)
    SELECT :version, :description, :installed_on, TRUE, :checksum, :execution_time
    WHERE NOT EXISTS (SELECT 1 FROM {table} WHERE version = :version)
"""
UPDATE_SQLX_ROW = """
    UPDATE {table}
    SET checksum = :checksum, description = :description
    WHERE version = :version
"""
DELETE_SQLX_ROW = """
    DELETE FROM {table}
    WHERE version = :version
"""
SELECT_YOYO_ROWS = """
    SELECT +migration_id, CAST(applied_at_utc AS TEXT), +migration_hash
    FROM {table}
"""
SELECT_OLD_YOYO_ROWS = """
    SELECT +id, CAST(ctime AS TEXT)
    FROM {table}
"""
SELECT_YOYO_LOG = """
    SELECT +operation, CAST(created_at_utc AS TEXT), +comment, +rowid, +migration_hash
    FROM _yoyo_log
    ORDER BY rowid
"""


class Ledgers:
    """Both ledgers of one database. Reading writes nothing; writing wants a transaction of the caller's.

    `yoyo_table` is a name, `sqlx_table` is written as SQL has it, because sqlx puts it into its SQL as it stands.
    """

    def __init__(self, database: Database, yoyo_table: str = YOYO_TABLE, sqlx_table: str = SQLX_TABLE) -> None:
        self._database = database
        self._yoyo_table = yoyo_table
        self._sqlx_table = sqlx_table
        self._sqlx_name = _unquoted(sqlx_table)
        self.tables = frozenset({self._sqlx_name, yoyo_table, "_yoyo_log", "_yoyo_version", "yoyo_lock"})
        self.lower_tables = frozenset(table.lower() for table in self.tables)

    def of(self, database: Database) -> Ledgers:
        """Return the ledgers of another database, by the same names."""
        return Ledgers(database, self._yoyo_table, self._sqlx_table)

    def read(self) -> Recorded:
        """Return everything that the ledgers say; a table that does not exist says nothing."""
        yoyo, log = self._read_yoyo(), self._read_log()
        yoyo_is_running = bool(yoyo or log) and self._database.living_yoyo() is not None
        return Recorded(self._read_sqlx(), yoyo, log, yoyo_is_running)

    def create(self) -> None:
        """Create the tables of both ledgers where they are missing, in the caller's transaction."""
        if not self._are_there():
            self._in_sqlx(CREATE_SQLX_TABLE)
            self._backend.look_at_clock()
            self._backend.create_tables()

    def _are_there(self) -> bool:
        """Tell whether no table is missing: SQLite knows a table by its name, but to list them reads its schema."""
        sql = SELECT_NOTHING.format(table=self._sqlx_table, yoyo_table=quote_identifier(self._yoyo_table))
        try:
            self._database.execute(sql)
        except sqlite3.OperationalError as error:
            if "no such table" not in str(error):
                raise
            return False
        return True

    def lost(self) -> frozenset[str]:
        """Return the tables that we write to, and that are not there."""
        there = self._database.execute(SELECT_TABLES, {"sqlx_table": self._sqlx_name, "yoyo_table": self._yoyo_table})
        return self.tables - {"yoyo_lock"} - {str(name) for (name,) in there}

    def record(self, step: Step, elapsed_ns: int = _UNKNOWN_TIME) -> None:
        """Write that a migration is installed: sqlx's row, yoyo's row, and a line in yoyo's log.

        A row that stands already is left as it is.
        """
        facts = _facts(step.migration, elapsed_ns, self._backend.look_at_clock())
        identity = self._insert_sqlx_row(step.migration, facts)
        self._backend.mark_one(step.migration, log=False)
        self._log(step, identity)

    def record_all(self, outcomes: Sequence[Outcome]) -> None:
        """Do the same for many that were applied; SQLite prepares each kind of INSERT once, which is faster."""
        now = self._backend.look_at_clock()
        facts = [_facts(step.migration, elapsed, now) for step, elapsed in outcomes]
        self._insert(sqlite3.Cursor(self._database.connection).executemany, facts)
        rows = self._read_sqlx()
        with self._backend.collecting():
            for step, _ in outcomes:
                migration = step.migration
                self._backend.mark_one(migration, log=False)
                self._log(step, self._identity(migration, rows.get(migration.version)))

    def erase(self, step: Step) -> None:
        """Write that a migration is not installed: no row anywhere, and a line in yoyo's log."""
        self._backend.look_at_clock()
        self._in_sqlx(DELETE_SQLX_ROW, {"version": step.migration.version})
        self._backend.unmark_one(step.migration, log=False)
        self._log(step, NO_ROW)

    def repair(self, step: Step) -> None:
        """Write the checksum of an edited file into sqlx's row, and why into yoyo's log."""
        migration = step.migration
        facts = {"version": migration.version, "checksum": migration.checksum, "description": migration.description}
        self._in_sqlx(UPDATE_SQLX_ROW, facts)
        self.record(step)

    def log_hook(self, step: Step) -> None:
        """Write into yoyo's log that a hook has run; no ledger has a row of it."""
        self._backend.look_at_clock()
        self._log(step, None)

    @cached_property
    def _backend(self) -> LedgerBackend:
        from torc_migrations.backend import LedgerBackend

        return LedgerBackend(self._database.connection, self._yoyo_table)

    def _log(self, step: Step, identity: str | None) -> None:
        why = f" ({step.reason[:_LONGEST_REASON]})" if step.reason else ""
        self._backend.comment = our_comment(f"{step.action.value}{why}", identity)
        self._backend.log_migration(step.migration, step.action.operation)

    def _insert_sqlx_row(self, migration: Migration, facts: Mapping[str, Any]) -> str:
        """Insert sqlx's row, unless there is one, and return the identity of that which stands."""
        inserted = self._insert(self._database.execute, facts)
        if inserted.rowcount == 0:
            row = self._in_sqlx(SELECT_SQLX_ROW, {"version": migration.version}).fetchone()
            return self._identity(migration, SqlxRecord._make(row) if row else None)
        return row_identity(inserted.lastrowid or 0, facts["installed_on"], facts["execution_time"])

    @cached_property
    def _inserts(self) -> tuple[str, str]:
        """How sqlx's row is inserted, and how where its table has no key."""
        table = self._sqlx_table
        return INSERT_SQLX_ROW.format(table=table), INSERT_SQLX_ROW_WITHOUT_KEY.format(table=table)

    def _insert(self, run: Callable[[str, Any], sqlite3.Cursor], facts: object) -> sqlite3.Cursor:
        return self._backend.insert(run, *self._inserts, facts)

    def _identity(self, migration: Migration, row: SqlxRecord | None) -> str:
        if row is None:
            raise sqlite3.IntegrityError(f"a trigger keeps version {migration.version} out of {self._sqlx_table}")
        return row.identity

    def _in_sqlx(self, template: str, facts: Mapping[str, object] | None = None) -> sqlite3.Cursor:
        return self._database.execute(template.format(table=self._sqlx_table), facts)

    def _rows(self, sql: str) -> Iterable[tuple[Any, ...]]:
        try:
            return self._database.execute(sql)
        except sqlite3.OperationalError as error:
            if "no such table" in str(error):
                return ()
            raise

    def _read_sqlx(self) -> dict[int, SqlxRecord]:
        rows = self._rows(SELECT_SQLX_ROWS.format(table=self._sqlx_table))
        return {record.version: record for record in map(SqlxRecord._make, rows)}

    def _read_yoyo(self) -> dict[str, YoyoRecord]:
        table = quote_identifier(self._yoyo_table)
        try:
            rows = self._rows(SELECT_YOYO_ROWS.format(table=table))
        except sqlite3.OperationalError as error:
            if "no such column" not in str(error):
                raise
            return self._read_old_yoyo(table)
        return {record.hash: record for record in map(YoyoRecord._make, rows)}

    def _read_old_yoyo(self, table: str) -> dict[str, YoyoRecord]:
        """Read a ledger from before yoyo 6, which had neither hashes nor a log."""
        rows = self._rows(SELECT_OLD_YOYO_ROWS.format(table=table))
        return {(key := yoyo_hash(str(name))): YoyoRecord(str(name), at, key) for name, at in rows}

    def _read_log(self) -> dict[str, list[LogEntry]]:
        """Read the log in the order of its rowids, because clocks jump and two lines may share a second."""
        log: dict[str, list[LogEntry]] = {}
        for entry in map(LogEntry._make, self._rows(SELECT_YOYO_LOG)):
            lines = log.get(entry.hash)
            if lines is None:
                log[entry.hash] = [entry]
            else:
                lines.append(entry)
        return log


def _unquoted(table: str) -> str:
    """Return the name of a table that is written as SQL has it: `name`, `"name"` or `main.name`."""
    bare = table.removeprefix("main.")
    return bare[1:-1].replace('""', '"') if bare.startswith('"') else bare


def _facts(migration: Migration, elapsed_ns: int, now: str) -> dict[str, Any]:
    return {
        "version": migration.version,
        "description": migration.description,
        "installed_on": now[:_SECONDS],
        "checksum": migration.checksum,
        "execution_time": elapsed_ns,
    }
