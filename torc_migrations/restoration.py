"""Put a snapshot in the place of a database; killed at any moment, it is the old one or the new one, never a mix."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing, contextmanager, nullcontext
from shlex import quote
from typing import TYPE_CHECKING, Any, NamedTuple

from torc_migrations.connection import connect, connect_to_copy, explained, write_pragma
from torc_migrations.database import open_database
from torc_migrations.disk import refuse_without_room
from torc_migrations.driver import sqlite3
from torc_migrations.errors import CannotOpen, MigrationError
from torc_migrations.index_report import size_text
from torc_migrations.log import logger
from torc_migrations.run import Safeguard
from torc_migrations.snapshot import Snapshot, patient_progress, refuse_snapshots, size_of, take_snapshot
from torc_migrations.transaction import Transaction

if TYPE_CHECKING:
    from collections.abc import Callable

    from torc_migrations.connection import DatabaseLike
    from torc_migrations.database import Database

_LOCK_TIMEOUT = 10.0
_TO_DELETE_MODE = "`sqlite3 {} 'PRAGMA journal_mode = DELETE'`"


class BadSnapshot(MigrationError):
    """A file cannot be put in the place of a database: missing, damaged, or no database; nothing was changed.

    Attributes:
        path: the file.
    """

    exit_code = 2

    def __init__(self, path: str, reason: str, *, hint: str | None = None) -> None:
        self.path = path
        super().__init__(f"cannot restore {path!r}: {reason}", hint=hint)


class WrittenSince(MigrationError):
    """Somebody else has written since a snapshot was made."""

    exit_code = 5


class Restoration(NamedTuple):
    """What was put in whose place, and how many bytes it has."""

    database: str
    snapshot: str
    size: int

    def as_text(self) -> str:
        """Return a line for people."""
        return f"Restored {self.database} from {self.snapshot} ({size_text(self.size)})\n"

    def as_dict(self) -> dict[str, object]:
        """Return the same as values that `json` takes."""
        return self._asdict()


def restore(
    database: DatabaseLike, snapshot: str | os.PathLike[str], *, lock_timeout: float = _LOCK_TIMEOUT
) -> Restoration:
    """Put a snapshot in the place of a database, which is created where it is missing.

    The snapshot is looked through first. The database is overwritten in one transaction of SQLite's own.

    Raises:
        BadSnapshot: the snapshot is missing, damaged, or no database.
        LockTimeout: others held the database for longer than `lock_timeout` seconds. In WAL mode everybody who has it
            open holds it, elsewhere whoever reads or writes just then.
        NotEnoughSpace: there is no room for what SQLite keeps meanwhile, as large as the larger of the two.
        UrlError: the database cannot be opened or written.
    """
    path = os.fspath(snapshot)
    with open_database(database, lock_timeout=lock_timeout) as opened:
        live = opened.address.path
        if live is None:
            raise CannotOpen(opened.name, "a database in memory cannot be restored")
        if os.path.exists(live) and os.path.exists(path) and os.path.samefile(path, live):
            raise BadSnapshot(path, "it is the database itself")
        with _sound(path) as source:
            opened.make_writable()
            _refuse_if_it_cannot_be(opened, source, path)
            _put_back(opened, source, lambda: None)
            return Restoration(opened.name, path, size_of(source))


class SnapshotGuard(Safeguard):
    """Make a snapshot before the first write of a run, and put it back where a script has failed half-way.

    Args:
        folder: where to put it; None for the folder of the database.
        keep: how many snapshots of the database remain there.
    """

    def __init__(self, folder: str | None, keep: int) -> None:
        self._folder = folder
        self._keep = keep
        self._is_taken = False
        self._version = -1
        self._before: tuple[object, ...] | None = None

    def check(self, database: Database) -> None:
        """Refuse a database that cannot be copied."""
        refuse_snapshots(database, self._folder)

    def begin_step(self) -> None:
        """Forget how the database looked: nothing is half-way."""
        self._before = None

    def begin_writing(self, database: Database, version: int | None) -> None:
        """Make the snapshot, once, as soon as the write lock is held."""
        if not self._is_taken:
            self.snapshot = take_snapshot(database, version or 0, folder=self._folder, keep=self._keep)
            self._version = database.version()
            self._is_taken = True

    def leave_transaction(self, database: Database) -> None:
        """Remember how the database looks before a script changes it in ways that nothing else undoes."""
        self._before = _look(database)

    def put_back(self, database: Database, error: MigrationError) -> bool:
        """Put the snapshot back where a script is half-way and nobody else has written; else say how to do it."""
        if self.snapshot is None or self._before is None or _look(database) == self._before:
            return False
        try:
            with _sound(self.snapshot.path) as source:
                self._restore(database, source, self.snapshot.path)
        except MigrationError as reason:
            self._hint(error, f"{reason}; `{_command(database, self.snapshot)}` puts back the state before this run")
            return False
        self._hint(error, f"the snapshot was put back: nothing of this run was kept ({self.snapshot.path})")
        return True

    def tell(self, database: Database) -> None:
        """Say how to put the snapshot back, after an interruption that leaves no time to do so."""
        if self.snapshot and self._before:
            logger().warning("`%s` puts back the state before this run", _command(database, self.snapshot))

    def _restore(self, database: Database, source: sqlite3.Connection, path: str) -> None:
        _refuse_if_it_cannot_be(database, source, path)
        one_page = _pragma(source, "page_count") == 1
        put = _put_back_beside_readers if _is_wal(database) and not one_page else _put_back
        put(database, source, lambda: self._refuse_if_written(database))

    def _refuse_if_written(self, database: Database) -> None:
        # A script that changes the journal's mode or the pages' size changes this number, too.
        if database.version() != self._version:
            raise WrittenSince("others have written since the snapshot was made, and would lose it")

    @staticmethod
    def _hint(error: MigrationError, words: str) -> None:
        error.hint = words
        error.add_note(f"hint: {words}")
        if hasattr(error, "kept"):
            error.kept = False


def _command(database: Database, snapshot: Snapshot) -> str:
    return f"torc-migrations -d {quote(database.name)} restore {quote(snapshot.path)}"


def _look(database: Database) -> tuple[object, ...]:
    """Return what tells whether a script has changed anything: a table or an index, a row, a number in the header."""
    names = ("schema_version", "user_version", "application_id", "page_count")
    with nullcontext() if database.connection.in_transaction else database.reading():
        header = tuple(database.execute(f"PRAGMA main.{name}").fetchone()[0] for name in names)
    return (*header, database.connection.total_changes)


@contextmanager
def _sound(path: str) -> Iterator[sqlite3.Connection]:
    """Open a snapshot without a trace, and insist that it is whole."""
    if not os.path.isfile(path):
        raise BadSnapshot(path, "there is no such file", hint="`torc-migrations restore` lists the snapshots")
    for beside in (f"{path}-wal", f"{path}-journal"):
        if os.path.exists(beside) and os.path.getsize(beside):
            raise BadSnapshot(path, f"a part of it is in {beside!r}", hint="open it with sqlite3 once, and close it")
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


def _refuse_if_it_cannot_be(database: Database, source: sqlite3.Connection, path: str) -> None:
    """Insist on pages that fit, and on room for SQLite's journal with the old pages, or its WAL with the new ones."""
    folder = os.path.dirname(os.path.abspath(database.name))
    with database.reading():
        sizes = _pragma(source, "page_size"), _pragma(database.connection, "page_size")
        if sizes[0] != sizes[1] and _is_wal(database):
            reason = f"its pages have {sizes[0]} bytes, not {sizes[1]}, which cannot change in WAL mode"
            raise BadSnapshot(path, reason, hint=f"{_TO_DELETE_MODE.format(quote(database.name))}, and try again")
        needed = max(size_of(database.connection), size_of(source))
    refuse_without_room(f"restoring {database.name}", {folder: needed}, hint="make room")


def _is_wal(database: Database) -> bool:
    return bool(_pragma(database.connection, "journal_mode") == "wal")


def _put_back(database: Database, source: sqlite3.Connection, check: Callable[[], None]) -> None:
    """Overwrite a database that nobody else has open, or without WAL, that nobody else uses."""
    connection = database.connection
    write_pragma(connection, "locking_mode", "EXCLUSIVE")  # the lock outlives the transaction that takes it
    try:
        with Transaction(database):
            check()
        _overwrite(database, source, connection)
    finally:
        write_pragma(connection, "locking_mode", "NORMAL")
        database.execute("SELECT 1 FROM sqlite_master").fetchall()  # and goes with the next one that is none


def _put_back_beside_readers(database: Database, source: sqlite3.Connection, check: Callable[[], None]) -> None:
    """Overwrite a database in WAL mode: readers go on reading what was there, and see the new one from then on."""
    with closing(connect(database.address)) as target:
        _overwrite(database, source, target, check)


def _overwrite(
    database: Database,
    source: sqlite3.Connection,
    target: sqlite3.Connection,
    check: Callable[[], None] | None = None,
) -> None:
    """Copy all pages in one transaction; where something is to be checked first, after the first, locked, page."""
    wait = patient_progress(database.address, database.lock_timeout)
    checks = [check] if check else []

    def progress(status: int, remaining: int, total: int) -> None:
        wait(status, remaining, total)
        if checks and status == 0:
            checks.pop()()

    try:
        source.backup(target, pages=1 if check else -1, progress=progress)
    except sqlite3.DatabaseError as error:
        raise explained(error, database.address) from error
