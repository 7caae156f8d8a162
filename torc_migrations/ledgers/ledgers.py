"""Read, record and erase in yoyo's ledger and in sqlx's."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING

from torc_migrations.databases.interface import Cursor, Database, Progress, Row
from torc_migrations.errors import DamagedLedger, DatabaseFailed
from torc_migrations.formatting import lowered
from torc_migrations.history.records import (
    BEGIN,
    NO_ROW,
    Begun,
    LogEntry,
    Recorded,
    SqlxRecord,
    YoyoRecord,
    begun_comment,
    our_comment,
    text_words,
)
from torc_migrations.history.steps import Action, Step
from torc_migrations.ledgers.kept import KeptMigrations
from torc_migrations.ledgers.log_order import in_order
from torc_migrations.ledgers.rows import checked_log_entry, checked_sqlx_record, checked_yoyo_record
from torc_migrations.ledgers.statements import (
    DELETE_BEGUN,
    DELETE_RENAMED_ROW,
    DELETE_SQLX_ROW,
    INSERT_RENAMED_ROW,
    SELECT_LINE,
    SELECT_NO_LINE,
    SELECT_NOTHING,
    SELECT_WRITTEN,
    UPDATE_BEGUN,
    UPDATE_DIRTY_ROW,
    UPDATE_FINISHED_ROW,
    UPDATE_SQLX_ROW,
)
from torc_migrations.ledgers.tables import (
    KEPT_TABLE,
    SQLX_TABLE,
    YOYO_LOCK,
    YOYO_LOG,
    YOYO_TABLE,
    YOYO_VERSION,
    ledger_names,
    unquoted,
)
from torc_migrations.sources.checksums import yoyo_hash
from torc_migrations.sources.migration import Migration

if TYPE_CHECKING:
    from torc_migrations.ledgers.yoyo import LedgerBackend

_UNKNOWN_TIME = -1
_LONGEST_REASON = 150  # yoyo's column holds 255 letters; what else a comment says is taken off
SQLX_COLUMNS = ("version", "description", "installed_on", "success", "checksum", "execution_time")
YOYO_COLUMNS = ("migration_hash", "migration_id", "applied_at_utc")
LOG_COLUMNS = ("id", "migration_hash", "migration_id", "operation", "comment", "created_at_utc")


class Ledgers:
    """Both ledgers of one database. Reading writes nothing; writing needs a transaction of the caller's.

    `yoyo_table` is a name; `sqlx_table` is written as in SQL, because sqlx puts it into its statements as it is.
    """

    def __init__(self, database: Database, yoyo_table: str = YOYO_TABLE, sqlx_table: str = SQLX_TABLE) -> None:
        self._database = database
        self._yoyo_table = yoyo_table
        self._sqlx_table = sqlx_table
        self.tables = frozenset({unquoted(sqlx_table), yoyo_table, YOYO_LOG, YOYO_VERSION, YOYO_LOCK, KEPT_TABLE})
        self.lower_tables = frozenset(lowered(table) for table in self.tables)
        self.begun: Begun | None = None  # what the log says of a script that these ledgers have begun
        self._names = ledger_names(database, yoyo_table, sqlx_table)
        self._own_table = "" if sqlx_table == SQLX_TABLE else unquoted(sqlx_table)  # for comments in yoyo's log
        self._owner: str | None = None
        self._marked: tuple[int, bool] | None = None  # the row that `begin` has made dirty, and whether it was there
        self._begun_line = ""
        self._kept = KeptMigrations(database, sqlx_table)
        self._keeps = False

    def of(self, database: Database) -> Ledgers:
        """Return the ledgers of another database, by the same names."""
        return Ledgers(database, self._yoyo_table, self._sqlx_table)

    def read(self) -> Recorded:
        """Return everything that the ledgers say; a table that does not exist says nothing.

        A script that these ledgers themselves have begun does not count as begun.

        Raises:
            DamagedLedger: a row has a value that cannot be understood, or a table lacks a column.
        """
        yoyo, log = self._read_yoyo(), self._read_log()
        yoyo_is_running = bool(yoyo or log) and self._database.yoyo_holder() is not None
        notes: list[str] = []
        sqlx = self._read_sqlx(notes)
        runner = None if all(row.success for row in sqlx.values()) else self._database.living_owner("")
        has_table = bool(sqlx) or not log or self._rows("SELECT 1 FROM {sqlx} LIMIT 0") is not None
        running = dict(self._running(log))
        return Recorded(sqlx, yoyo, log, yoyo_is_running, running, runner, tuple(notes), has_table, self._own_table)

    def read_kept(self, versions: Iterable[int], recorded: Recorded) -> tuple[Migration, ...]:
        """Return what the database keeps of installed versions, for those that have no file."""
        return self._kept.read(versions, recorded.sqlx)

    def create(self, *, keeps: bool = False) -> bool:
        """Create ledgers that are missing, and with `keeps` the table for older releases; return if none was."""
        if keeps:
            self._keeps = True
            self._kept.create()
        was_there = self._rows(SELECT_NOTHING) is not None
        if not was_there:
            self._execute(self._database.sql.create_sqlx_table)
            self._backend.set_time()
            self._backend.create_tables()
        return was_there

    def lost(self) -> frozenset[str]:
        """Return the tables that a step writes to, and that do not exist."""
        tables = {"sqlx": unquoted(self._sqlx_table), "yoyo": self._yoyo_table, "log": YOYO_LOG}
        tables["version"] = YOYO_VERSION
        gone = (key for key in tables if self._rows(f"SELECT 1 FROM {{{key}}} LIMIT 0") is None)
        kept = {KEPT_TABLE} if self._keeps and not self._kept.exists() else set[str]()
        return frozenset(tables[key] for key in gone) | kept

    def record(self, step: Step, elapsed_ns: int = _UNKNOWN_TIME) -> None:
        """Write that a migration is installed: sqlx's row, yoyo's row, and a line in yoyo's log.

        A row that is there already is left as it is, but for a dirty one, which is successful then.
        """
        migration, facts = step.migration, self._facts(step, elapsed_ns)
        self._erase_old(step)
        is_new = self._execute(self._database.sql.insert_sqlx_row, facts).rowcount == 1
        if not is_new:
            self._execute(UPDATE_FINISHED_ROW, facts)
        self._backend.mark_one(migration, log=False)
        self._log_installed(step)
        self._check(migration, installed=True, checksum=migration.checksum if is_new else None, is_new=is_new)
        self._kept.write(migration)

    def record_all(self, done: Sequence[tuple[Step, int]]) -> None:
        """Write the same as `record` for several steps and their nanoseconds, in fewer statements.

        Only where nothing but the ledgers names the ledgers: what was written is not read back.
        """
        facts, moments = [], []
        for step, elapsed_ns in done:
            facts.append(self._facts(step, elapsed_ns))
            moments.append(self._backend.moment)
        self._database.execute_many(self._sql(self._database.sql.insert_sqlx_row), facts)
        versions = [step.migration.version for step, _ in done]
        sql = f"{self._database.sql.select_sqlx_rows} WHERE version BETWEEN :first AND :last"
        rows = self._execute(sql, {"first": min(versions), "last": max(versions)})
        written = {row[0]: checked_sqlx_record(self._sqlx_table, row, []) for row in rows}
        self._backend.record_all(
            (step, self._comment_installed(step, written[step.migration.version]), moment)
            for (step, _), moment in zip(done, moments, strict=True)
        )
        for step, _ in done:
            self._kept.write(step.migration)

    def _facts(self, step: Step, elapsed_ns: int = _UNKNOWN_TIME) -> dict[str, object]:
        """Return the values of sqlx's row, as of now."""
        return {
            "version": step.migration.version,
            "description": step.migration.description,
            "installed_on": self._backend.set_time()[: self._database.sql.time_digits],
            "checksum": step.migration.checksum,
            "execution_time": elapsed_ns,
        }

    def erase(self, step: Step) -> None:
        """Write that a migration is not installed: no row in a ledger, and a line in yoyo's log."""
        self._backend.set_time()
        self._execute(DELETE_SQLX_ROW, {"version": step.migration.version})
        self._erase_old(step)
        self._backend.unmark_one(step.migration, log=False)
        self._log(step, NO_ROW)
        self._check(step.migration, installed=False)
        self._kept.delete(step.migration)

    def repair(self, step: Step) -> None:
        """Write the checksum of an edited file into sqlx's row, and why into yoyo's log."""
        self._execute(UPDATE_SQLX_ROW, self._facts(step))
        self.record(step)
        self._check(step.migration, installed=True, checksum=step.migration.checksum)

    def rename(self, step: Step) -> None:
        """Give the rows of an installed migration the version and the id that its file has now."""
        rename, migration = step.renamed_from, step.migration
        assert rename is not None
        row = {**self._facts(step, rename.sqlx.execution_time), "installed_on": rename.sqlx.installed_on}
        self._execute(DELETE_SQLX_ROW, {"version": migration.version})
        self._erase_old(step)
        self._execute(INSERT_RENAMED_ROW, row)
        self._backend.mark_one(migration, log=False)
        self._log_installed(step)
        self._check(migration, installed=True, checksum=migration.checksum)
        self._kept.delete(migration, rename.sqlx.version)
        self._kept.write(migration)

    def _erase_old(self, step: Step) -> None:
        """Remove what the ledgers have by other names of a migration; its own line in the log comes after."""
        rename = step.renamed_from
        if rename is not None:
            self._execute(DELETE_RENAMED_ROW, {"version": rename.sqlx.version, "checksum": rename.sqlx.checksum})
        for old_id in (*step.old_ids, *(rename.old_ids if rename else ())):
            old = replace(step.migration, id=old_id, hash=yoyo_hash(old_id))
            self._backend.unmark_one(old, log=False)
            self._execute(DELETE_BEGUN, {"hash": old.hash, "operation": BEGIN})
            self._log(Step(old, Action.ERASE, f"is {step.migration.id}"), NO_ROW)

    def log_hook(self, step: Step) -> None:
        """Write into yoyo's log that a hook has run; no ledger has a row for it."""
        self._backend.set_time()
        self._log(step, None)
        if not self._execute(SELECT_LINE, {"line": self._backend.last_line}).fetchone():
            raise DatabaseFailed(self._database.name, f"a trigger keeps the record of {step.name} out of {YOYO_LOG}")

    def begin(self, step: Step) -> Progress:
        """Return what is called in a script that runs outside a transaction, with each statement that is kept.

        It writes into yoyo's log how far the script is: how many statements are done, and where the next one is. It is
        called in the transaction of the statement, or right after one that can have none. Where DDL commits by itself,
        sqlx's row is written here, with success = false, and the first line.
        """
        self._owner = owner = self._database.begin_to_own()
        self._begun_line = ""
        if self._database.sql.marks_dirty:
            self._mark_dirty(step)
        identity, lines_before = self._identity(step.migration), self._count_log()

        def note(done: int, line: int, *, is_running: bool = False) -> None:
            if self._rows(SELECT_NO_LINE) is None:
                return  # the script has dropped the log, which is made again at its end
            self.begun = Begun(step.action.operation, done, line, owner, is_running)
            comment = begun_comment(self.begun, identity, lines_before, self._own_table)
            facts = {"comment": comment, "line": self._begun_line}
            if not self._begun_line or not self._execute(UPDATE_BEGUN, facts).rowcount:
                self._backend.set_time()
                self._backend.comment = comment
                self._backend.log_migration(step.migration, BEGIN)
                self._begun_line = self._backend.last_line

        if self._database.sql.marks_dirty and not step.resume_after:  # which has a line in the log
            note(0, 1)
        return note

    def _mark_dirty(self, step: Step) -> None:
        """Write sqlx's row with success = false; one that is so already is of a run before this one."""
        before = self._read_sqlx_row(step.migration)
        if before is None or before.success:
            self._marked = step.migration.version, before is not None
        if before is None:
            self._execute(self._database.sql.insert_sqlx_row, self._facts(step))
        self._execute(UPDATE_DIRTY_ROW, {"version": step.migration.version})

    def forget_begun(self, step: Step) -> None:
        """Remove from the log, in the caller's transaction, that a script has begun: it has ended."""
        if self.begun is not None or step.resume_after:
            self._execute(DELETE_BEGUN, {"hash": step.migration.hash, "operation": BEGIN})
            self.begun = None

    def end(self) -> None:
        """Note that the script that was begun runs no longer; what the log says of it stays."""
        if self._owner is not None:
            self._database.end_owning(self._owner)
            self._owner = self.begun = self._marked = None

    @cached_property
    def _backend(self) -> LedgerBackend:
        from torc_migrations.ledgers.yoyo import open_backend

        return open_backend(self._database, self._yoyo_table)

    def _log(self, step: Step, identity: str | None) -> None:
        self._backend.comment = self._comment(step, identity)
        self._backend.log_migration(step.migration, step.action.operation)

    def _log_installed(self, step: Step) -> None:
        self._backend.comment = self._comment_installed(step, self._read_sqlx_row(step.migration))
        self._backend.log_migration(step.migration, step.action.operation)

    def _comment_installed(self, step: Step, row: SqlxRecord | None) -> str:
        """Return the comment about a migration that sqlx's ledger has, if nothing keeps it out."""
        text = step.migration.mixed_text if row and row.checksum == step.migration.checksum else None
        words = text_words(text, step.migration.checksum) if text else ""
        return self._comment(step, row.identity if row else NO_ROW, words)

    def _comment(self, step: Step, identity: str | None, words: str = "") -> str:
        space = _LONGEST_REASON - len(self._own_table) - len(words)
        why = f" ({step.reason[:space]})" if step.reason else ""
        return our_comment(f"{step.action.value}{why}{words}", identity, self._count_log(), self._own_table)

    def _count_log(self) -> int | None:
        """Return how many lines are in the log; None where they have an order of their own."""
        sql = self._database.sql.count_log
        return None if sql is None else int(self._execute(sql).fetchone()[0])

    def _identity(self, migration: Migration) -> str:
        row = self._read_sqlx_row(migration)
        return row.identity if row else NO_ROW

    def _check(
        self, migration: Migration, *, installed: bool, checksum: bytes | None = None, is_new: bool = False
    ) -> None:
        """Read back what was written; a row of sqlx's ledger that `is_new` is successful.

        Raises:
            DatabaseFailed: a trigger on a ledger keeps it out.
        """
        line = self._backend.last_line
        facts = {
            "version": migration.version,
            "hash": migration.hash,
            "line": line,
            "checksum": checksum,
            "is_new": int(is_new),
        }
        found = tuple(map(bool, self._execute(SELECT_WRITTEN, facts).fetchone()))
        wanted = (installed, installed, True)
        if found != wanted:
            tables = dict(
                zip((self._sqlx_table, self._yoyo_table, YOYO_LOG), zip(found, wanted, strict=True), strict=True)
            )
            wrong = ", ".join(table for table, (rows, right) in tables.items() if rows != right)
            verb = "out of" if installed else "in"
            raise DatabaseFailed(
                self._database.name, f"a trigger keeps the record of {migration.version} {verb} {wrong}"
            )

    def _sql(self, template: str) -> str:
        return template.format_map(self._names)

    def _execute(self, template: str, facts: Mapping[str, object] | None = None) -> Cursor:
        return self._database.execute(self._sql(template), facts)

    def _rows(self, template: str) -> list[Row] | None:
        return self._database.rows_or_none(self._sql(template))

    def _read_sqlx(self, notes: list[str]) -> dict[int, SqlxRecord]:
        rows = self._rows(self._database.sql.select_sqlx_rows)
        if rows is None:
            self._refuse_half_a_table("sqlx", SQLX_COLUMNS)
        checked = (checked_sqlx_record(self._sqlx_table, row, notes) for row in rows or ())
        found = {record.version: record for record in checked}
        if self._marked is not None and (mine := found.get(self._marked[0])) is not None and not mine.success:
            if self._marked[1]:
                found[mine.version] = mine._replace(success=True)
            else:
                del found[mine.version]
        return found

    def _read_sqlx_row(self, migration: Migration) -> SqlxRecord | None:
        sql = f"{self._database.sql.select_sqlx_rows} WHERE version = :version"
        row = self._execute(sql, {"version": migration.version}).fetchone()
        return checked_sqlx_record(self._sqlx_table, row, []) if row else None

    def _read_yoyo(self) -> dict[str, YoyoRecord]:
        rows = self._rows(self._database.sql.select_yoyo_rows)
        if rows is None:  # a ledger from before yoyo 6 had neither hashes nor a log
            old = self._rows(self._database.sql.select_old_yoyo_rows)
            if old is None:
                self._refuse_half_a_table("yoyo", YOYO_COLUMNS)
            rows = [(str(name), at, yoyo_hash(str(name))) for name, at in old or ()]
        return {record.hash: record for record in map(checked_yoyo_record, rows)}

    def _read_log(self) -> dict[str, list[LogEntry]]:
        rows = self._rows(self._database.sql.select_log)
        if rows is None:
            self._refuse_half_a_table("log", LOG_COLUMNS)
        log: dict[str, list[LogEntry]] = {}
        entries = map(checked_log_entry, rows or ())
        for entry in entries if self._database.sql.count_log is None else in_order(tuple(entries)):
            begun = entry.begun if self._owner else None
            if begun is None or begun.owner != self._owner:
                log.setdefault(entry.hash, []).append(entry)
        return log

    def _running(self, log: Mapping[str, list[LogEntry]]) -> Iterator[tuple[str, str]]:
        """Find the scripts that living processes run outside a transaction."""
        for key, lines in log.items():
            begun = lines[-1].begun
            if begun is not None and (process := self._database.living_owner(begun.owner)):
                yield key, process

    def _refuse_half_a_table(self, table: str, columns: tuple[str, ...]) -> None:
        """Refuse a table that exists and could not be read; one that does not exist says nothing."""
        if self._rows(f"SELECT 1 FROM {{{table}}} LIMIT 0") is None:
            return
        for column in (*columns, *self._database.sql.extra_columns):
            if self._rows(f"SELECT {{{table}}}.{column} FROM {{{table}}} LIMIT 0") is None:
                name = {"sqlx": self._sqlx_table, "yoyo": self._yoyo_table, "log": YOYO_LOG}[table]
                raise DamagedLedger(name, column)
