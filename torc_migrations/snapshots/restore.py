"""Restore a database from a snapshot; a process killed meanwhile leaves the old content or the new one, never a mix."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, nullcontext, suppress
from dataclasses import asdict, dataclass
from shlex import quote
from typing import TYPE_CHECKING, Any

from torc_migrations.databases.disk import check_free_space
from torc_migrations.databases.interface import Database
from torc_migrations.databases.sqlite.callbacks import primary_code
from torc_migrations.databases.sqlite.connection import connect, connect_to_copy, translate, write_pragma
from torc_migrations.databases.sqlite.database import SQLiteDatabase, sqlite_only
from torc_migrations.databases.sqlite.opening import open_database
from torc_migrations.errors import BadSnapshot, CannotOpen, DatabaseFailed, MigrationError, WrittenSince
from torc_migrations.formatting import one_line, size_text
from torc_migrations.log import log
from torc_migrations.runs.safeguard import Safeguard
from torc_migrations.snapshots.snapshot import (
    Progress,
    create_like,
    patient_progress,
    refuse_snapshots,
    size_of,
    take_snapshot,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from torc_migrations.databases.interface import DatabaseLike
    from torc_migrations.databases.sqlite.database import SQLiteDatabase

_LOCK_TIMEOUT = 10.0
_UNREADABLE = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_TO_DELETE_MODE = "`sqlite3 {} 'PRAGMA journal_mode = DELETE'`"


@dataclass(frozen=True, slots=True)
class Restoration:
    """The database that was restored, the snapshot that it was restored from, and its size in bytes."""

    database: str
    snapshot: str
    size: int

    def as_text(self) -> str:
        """Return the restoration as a line of text."""
        return one_line(f"Restored {self.database} from {self.snapshot} ({size_text(self.size)})") + "\n"

    def as_dict(self) -> dict[str, object]:
        """Return the same as values that `json` takes."""
        return asdict(self)


def restore(
    database: DatabaseLike, snapshot: str | os.PathLike[str], *, lock_timeout: float = _LOCK_TIMEOUT
) -> Restoration:
    """Overwrite a database with a snapshot, in one transaction; the snapshot is checked first.

    A database that is missing is created, with the permissions of the snapshot.

    Raises:
        BadSnapshot: the snapshot is missing, damaged, or not a database.
        LockTimeout: other connections held the database for longer than `lock_timeout` seconds. In WAL mode every
            open connection holds it, otherwise those that read or write at that time.
        NotEnoughSpace: there is not enough disk for SQLite's journal, which may become as large as the larger of the
            database and the snapshot.
        UrlError: the database cannot be opened or written.
    """
    path = os.fspath(snapshot)
    with _hinting_at_a_new_file(), open_database(database, lock_timeout=lock_timeout) as opened:
        live = opened.address.path
        if live is None:
            raise CannotOpen(opened.name, "a database in memory cannot be restored")
        if os.path.exists(live) and os.path.exists(path) and os.path.samefile(path, live):
            raise BadSnapshot(path, "it is the database itself")
        with _checked(path) as source:
            _check_that_it_fits(opened, source, path)
            if opened.is_missing:
                with suppress(OSError):  # SQLite itself then says why it cannot create the file
                    create_like(path, os.path.realpath(live))
            opened.prepare_to_write()
            _Restore(opened, source).alone()
            return Restoration(opened.name, path, size_of(source))


@contextmanager
def _hinting_at_a_new_file() -> Iterator[None]:
    """Say how to restore a database that SQLite cannot read, and so cannot overwrite."""
    try:
        yield
    except (CannotOpen, DatabaseFailed) as error:
        if isinstance(error.__cause__, sqlite3.DatabaseError) and primary_code(error.__cause__) in _UNREADABLE:
            error.replace_hint("move the database away, with its files -wal and -journal, and restore it again")
        raise


class SnapshotGuard(Safeguard):
    """Make a snapshot before the first write of a run, and restore it where a script has failed half-way.

    Args:
        directory: where to make it; None for the directory of the database.
        keep: how many snapshots of the database remain there.
    """

    def __init__(self, directory: str | None, keep: int) -> None:
        self._directory = directory
        self._keep = keep
        self._is_taken = False
        self._version = -1
        self._before: tuple[object, ...] | None = None

    def check(self, database: Database) -> None:
        """Refuse a database that cannot be copied, and a directory that cannot hold the copy."""
        database = sqlite_only(database, "a snapshot")
        refuse_snapshots(database, self._directory)

    def end_step(self) -> None:
        """Forget the state before the step, whose record is committed: an error after it must not undo the step."""
        self._before = None

    def begin_writing(self, database: Database, version: int | None) -> None:
        """Make the snapshot, once, as soon as the write lock is held."""
        database = sqlite_only(database, "a snapshot")
        if not self._is_taken:
            made = take_snapshot(database, version or 0, directory=self._directory, keep=self._keep)
            self.snapshot = made.path if made else None
            self._version = database.last_change()
            self._is_taken = True

    def leave_transaction(self, database: Database) -> None:
        """Remember the state before a script whose changes no rollback undoes."""
        database = sqlite_only(database, "a snapshot")
        self._before = _state(database)

    def restore(self, database: Database, error: MigrationError) -> bool:
        """Restore the snapshot if a script is half-way and no other connection has written; else say how to do it."""
        database = sqlite_only(database, "a snapshot")
        if self.snapshot is None or self._before is None or _state(database) == self._before:
            return False
        try:
            with _checked(self.snapshot) as source:
                self._overwrite(database, source, self.snapshot)
        except MigrationError as reason:
            _add_hint(error, f"{reason}; `{_command(database, self.snapshot)}` restores the state before this run")
            return False
        _add_hint(error, f"the database was restored from {self.snapshot}: nothing of this run was kept")
        if hasattr(error, "kept"):
            error.kept = False
        return True

    def log_command(self, database: Database) -> None:
        """Log how to restore the snapshot, after an interruption that leaves no time to do so."""
        database = sqlite_only(database, "a snapshot")
        if self.snapshot and self._before:
            log().warning("`%s` restores the state before this run", _command(database, self.snapshot))

    def _overwrite(self, database: SQLiteDatabase, source: sqlite3.Connection, path: str) -> None:
        _check_that_it_fits(database, source, path)
        restore = _Restore(database, source, lambda: self._refuse_if_written(database))
        # A snapshot of one page is copied in one step, during which nothing can be checked.
        if _is_wal(database) and _pragma(source, "page_count") > 1:
            restore.while_others_read()
        else:
            restore.alone()

    def _refuse_if_written(self, database: SQLiteDatabase) -> None:
        # A script that changes the journal mode or the page size changes this number, too.
        if database.last_change() != self._version:
            raise WrittenSince("other connections have written since the snapshot was made, and it lacks their changes")


def _add_hint(error: MigrationError, hint: str) -> None:
    error.replace_hint(hint)


def _command(database: SQLiteDatabase, snapshot: str) -> str:
    return f"torc-migrations -d {quote(database.name)} restore {quote(snapshot)}"


def _state(database: SQLiteDatabase) -> tuple[object, ...]:
    """Return values that differ after a script has changed a table, an index, a row or a number in the header."""
    names = ("schema_version", "user_version", "application_id", "page_count")
    with nullcontext() if database.connection.in_transaction else database.reading():
        header = tuple(_pragma(database.connection, name) for name in names)
    return (*header, database.connection.total_changes)


@contextmanager
def _checked(path: str) -> Iterator[sqlite3.Connection]:
    """Open a snapshot after checking that it is whole; no file is created next to it."""
    if not os.path.isfile(path):
        raise BadSnapshot(path, "there is no such file", hint="`torc-migrations restore` lists the snapshots")
    for other in (f"{path}-wal", f"{path}-journal"):
        if os.path.exists(other) and os.path.getsize(other):
            raise BadSnapshot(path, f"a part of it is in {other!r}", hint="open it with sqlite3 once, and close it")
    try:
        with closing(connect_to_copy(path)) as source:
            if _pragma(source, "page_count") == 0:
                raise BadSnapshot(path, "it is empty")
            if _says_wal(path):
                raise BadSnapshot(
                    path, "it is in WAL mode", hint=f"{_TO_DELETE_MODE.format(quote(path))}, and try again"
                )
            found = str(source.execute("PRAGMA integrity_check(1)").fetchone()[0])
            if found != "ok":
                raise BadSnapshot(path, f"it is damaged: {found}")
            yield source
    except sqlite3.DatabaseError as error:
        raise BadSnapshot(path, str(error)) from error


def _says_wal(path: str) -> bool:
    """Read the mode from the header: https://sqlite.org/fileformat.html#file_format_version_numbers"""
    with open(path, "rb") as file:
        return 2 in file.read(20)[18:]


def _pragma(connection: sqlite3.Connection, name: str) -> Any:
    return connection.execute(f"PRAGMA main.{name}").fetchone()[0]


def _check_that_it_fits(database: SQLiteDatabase, source: sqlite3.Connection, path: str) -> None:
    """Check the page sizes, and the free disk space: SQLite's journal keeps the old pages, or its WAL the new ones."""
    directory = os.path.dirname(os.path.abspath(database.address.path or ""))
    with database.reading():
        sizes = _pragma(source, "page_size"), _pragma(database.connection, "page_size")
        if sizes[0] != sizes[1] and _is_wal(database):
            reason = f"its pages have {sizes[0]} bytes, not {sizes[1]}, and the page size cannot change in WAL mode"
            raise BadSnapshot(path, reason, hint=f"{_TO_DELETE_MODE.format(quote(database.name))}, and try again")
        needed = max(size_of(database.connection), size_of(source))
    check_free_space(f"restoring {database.name}", {directory: needed}, hint="free disk space")


def _is_wal(database: SQLiteDatabase) -> bool:
    return bool(_pragma(database.connection, "journal_mode") == "wal")


class _Restore:
    """Overwrite a database with a snapshot in one transaction.

    `check` is called when the database is locked, before it is changed; what it raises stops the restoration.
    """

    def __init__(
        self, database: SQLiteDatabase, source: sqlite3.Connection, check: Callable[[], None] = lambda: None
    ) -> None:
        self._database = database
        self._source = source
        self._check = check
        self._wait = patient_progress(database.address, database.lock_timeout)

    def alone(self) -> None:
        """Overwrite a database that no other connection uses; in WAL mode, one that no other connection has open."""
        connection = self._database.connection
        write_pragma(connection, "locking_mode", "EXCLUSIVE")  # keeps the lock after the transaction that takes it
        try:
            with self._database.transaction():
                self._check()
            self._copy(connection, self._wait, pages=-1)
        finally:
            write_pragma(connection, "locking_mode", "NORMAL")
            self._database.execute("SELECT 1 FROM sqlite_master").fetchall()  # the next read gives up the lock

    def while_others_read(self) -> None:
        """Overwrite a database in WAL mode: transactions that read keep the old content, later ones see the new."""
        is_checked = False

        def progress(status: int, remaining: int, total: int) -> None:
            nonlocal is_checked
            self._wait(status, remaining, total)
            if status == 0 and not is_checked:  # the first page is copied, so the database is locked
                self._check()
                is_checked = True

        with closing(connect(self._database.address)) as target:
            self._copy(target, progress, pages=1)

    def _copy(self, target: sqlite3.Connection, progress: Progress, *, pages: int) -> None:
        try:
            self._source.backup(target, pages=pages, progress=progress)
        except sqlite3.DatabaseError as error:
            raise translate(error, self._database.address) from error
