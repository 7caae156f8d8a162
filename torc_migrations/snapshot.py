"""Copy a database before it is changed, and find, name and prune the copies."""

from __future__ import annotations

import os
import re
from contextlib import closing, suppress
from time import gmtime, strftime, time_ns
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from torc_migrations.connection import connect
from torc_migrations.disk import refuse_without_room, sync
from torc_migrations.driver import sqlite3
from torc_migrations.errors import MigrationError
from torc_migrations.index_report import size_text
from torc_migrations.lock import Patience, sqlite_holder
from torc_migrations.log import logger
from torc_migrations.url import Address

if TYPE_CHECKING:
    from collections.abc import Callable

    from torc_migrations.database import Database

Progress: TypeAlias = "Callable[[int, int, int], None]"

# How many pages are copied at a time: between two times Ctrl-C is heard.
_PAGES = 4096
_NAME = re.compile(r"\.(\d{8}T\d{6}\.\d{3}Z)\.v(\d+)\.snapshot\Z")
_BUSY = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


class SnapshotFailed(MigrationError):
    """A snapshot could not be made; nothing was run."""

    exit_code = 6
    hint = "nothing was run, because no snapshot could be made"

    def __init__(self, database: str, reason: str) -> None:
        self.database = database
        self.reason = reason
        super().__init__(f"cannot make a snapshot of {database}: {reason}")


class Snapshot(NamedTuple):
    """A copy of a database: where it is, when it was made (UTC), at which version (0: none installed), its bytes."""

    path: str
    taken_at: str
    version: int
    size: int

    def as_text(self) -> str:
        """Return a line for people."""
        return f"{self.path}  {self.taken_at[:19].replace('T', ' ')} UTC  {self.version}  {size_text(self.size)}\n"

    def as_dict(self) -> dict[str, object]:
        """Return the same as values that `json` takes."""
        return self._asdict()


def find_snapshots(database: str, folder: str | None = None) -> tuple[Snapshot, ...]:
    """Return the snapshots of a database's file, oldest first: those beside it, or those in a folder."""
    path = os.path.realpath(database)
    where = os.path.dirname(path) if folder is None else folder
    prefix = _prefix(path, where)
    found = []
    with suppress(FileNotFoundError), os.scandir(where) as entries:
        for entry in entries:
            named = _NAME.match(entry.name, len(prefix)) if entry.name.startswith(prefix) else None
            if named and entry.is_file(follow_symlinks=False):
                found.append(Snapshot(entry.path, _moment(named[1]), int(named[2]), entry.stat().st_size))
    return tuple(sorted(found, key=lambda snapshot: snapshot.taken_at))


def take_snapshot(database: Database, version: int, *, folder: str | None, keep: int) -> Snapshot | None:
    """Copy a database whose write lock the caller holds and has written nothing yet; an empty one needs no copy.

    The copy is on the disk, under its name, before this returns; what a process that was killed has left is replaced.
    Of this database's snapshots in the folder the newest `keep` remain, also where this one cannot be made.

    Raises:
        SnapshotFailed, NotEnoughSpace: there is none; nothing was changed but older ones pruned.
    """
    if database.address.path is None:
        return None
    path = os.path.realpath(database.address.path)
    folder = os.path.dirname(path) if folder is None else folder
    made: str | None = None
    try:
        made = _make(database, path, folder, version)
    except OSError as error:
        raise SnapshotFailed(database.name, f"{error.strerror} ({folder})") from error
    except sqlite3.Error as error:
        raise SnapshotFailed(database.name, f"{error} ({folder})") from error
    finally:
        _prune(path, folder, keep, made)
    return next((each for each in find_snapshots(path, folder) if each.path == made), None)


def refuse_snapshots(database: Database, folder: str | None) -> None:
    """Insist on a database that can be copied, and on a folder to copy it to.

    Raises:
        SnapshotFailed: it is in memory, locked by its own connection, or there is no such folder.
    """
    if database.address.path is None:
        raise SnapshotFailed(database.name, "it is in memory, and has no file")
    if not database.is_missing and database.execute("PRAGMA main.locking_mode").fetchone()[0] == "exclusive":
        raise SnapshotFailed(database.name, "its connection has locking_mode = EXCLUSIVE, and lets nobody read it")
    if folder is not None and not os.path.isdir(folder):
        raise SnapshotFailed(database.name, f"there is no folder {folder!r}")


def _make(database: Database, path: str, folder: str, version: int) -> str | None:
    """Copy what was committed last; nobody can commit meanwhile, because the caller holds the lock."""
    prefix = os.path.join(folder, _prefix(path, folder))
    partial = f"{prefix}.snapshot.partial"
    with closing(connect(database.address)) as source:
        size = size_of(source)
        if size == 0:
            return None
        hint = "make room, or name a folder on another disk with --snapshot"
        refuse_without_room(f"a snapshot of {database.name}", {folder: size}, hint=hint)
        try:
            _remove(partial)  # which a process that was killed has left
            _create_like(path, partial)
            _copy(source, partial, patient_progress(database.address, database.lock_timeout))
            sync(partial)
            snapshot = _free_name(prefix, version)
            os.rename(partial, snapshot)
        except BaseException:
            with suppress(OSError):
                _remove(partial)
            raise
    sync(folder)
    return snapshot


def _create_like(path: str, copy: str) -> None:
    """Create an empty file that only those can read who can read the database."""
    found = os.stat(path)
    descriptor = os.open(copy, os.O_CREAT | os.O_EXCL | os.O_WRONLY, found.st_mode & 0o600)
    try:
        if os.name == "posix":
            with suppress(PermissionError):
                os.fchown(descriptor, found.st_uid, found.st_gid)
                os.fchmod(descriptor, found.st_mode & 0o777)
    finally:
        os.close(descriptor)


def _remove(partial: str) -> None:
    for suffix in ("", "-journal", "-wal", "-shm"):
        with suppress(FileNotFoundError):
            os.unlink(f"{partial}{suffix}")


def _copy(source: sqlite3.Connection, copy: str, progress: Progress) -> None:
    with closing(connect(Address(copy, "rw"))) as target:
        target.execute("PRAGMA journal_mode = OFF")
        target.execute("PRAGMA synchronous = OFF")  # it is synced as a whole at the end
        source.backup(target, pages=_PAGES, progress=progress)
    with closing(connect(Address(copy, "rw"))) as target:
        target.execute("PRAGMA journal_mode = DELETE")  # in WAL mode whoever looks at it would leave files beside it


def _free_name(prefix: str, version: int) -> str:
    """Return a name that nothing has yet: two runs may end within a millisecond, and clocks jump."""
    nanoseconds = time_ns()
    while os.path.lexists(path := f"{prefix}.{_stamp(nanoseconds)}.v{version}.snapshot"):
        nanoseconds += 1_000_000
    return path


def _stamp(nanoseconds: int) -> str:
    seconds, rest = divmod(nanoseconds, 1_000_000_000)
    return f"{strftime('%Y%m%dT%H%M%S', gmtime(seconds))}.{rest // 1_000_000:03}Z"


def _moment(stamp: str) -> str:
    """Write the time in a name as ISO 8601 has it."""
    day, time = stamp.split("T")
    return f"{day[:4]}-{day[4:6]}-{day[6:]}T{time[:2]}:{time[2:4]}:{time[4:]}"


def _prefix(path: str, folder: str) -> str:
    """Begin the names of a database's snapshots; in a folder that others may share, its whole path counts."""
    name = os.path.basename(path)
    if os.path.realpath(folder) == os.path.dirname(path):
        return name
    from hashlib import sha256

    return f"{name}-{sha256(os.fsencode(path)).hexdigest()[:8]}"


def _prune(path: str, folder: str, keep: int, made: str | None) -> None:
    """Delete the oldest snapshots of one database, but never the one that was just made."""
    older = [each for each in find_snapshots(path, folder) if each.path != made]
    for snapshot in older[: max(0, len(older) - keep + (made is not None))]:
        try:
            os.unlink(snapshot.path)
        except OSError as error:
            logger().warning("cannot delete the old snapshot %s: %s", snapshot.path, error.strerror)


def size_of(connection: sqlite3.Connection) -> int:
    """Return how many bytes a database has."""
    pages, page = (connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "page_size"))
    return int(pages) * int(page)


def patient_progress(address: Address, timeout: float) -> Progress:
    """Return what `backup` is to call after every try; by itself it would wait for others for ever."""
    patience = Patience(address.name, timeout)

    def progress(status: int, _remaining: int, _total: int) -> None:
        if status in _BUSY:
            patience.nap(lambda: sqlite_holder(address.path))

    return progress
