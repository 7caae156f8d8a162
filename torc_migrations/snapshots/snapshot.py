"""Copy a database before it is changed; name, find and delete the copies."""

from __future__ import annotations

import os
import re
import sqlite3
from contextlib import closing, suppress
from dataclasses import asdict, dataclass
from time import gmtime, strftime, time_ns
from typing import TYPE_CHECKING, TypeAlias

from torc_migrations.databases.disk import check_free_space, sync
from torc_migrations.databases.sqlite.callbacks import with_full_disk
from torc_migrations.databases.sqlite.connection import connect
from torc_migrations.databases.sqlite.locks import lock_holder
from torc_migrations.databases.urls import Address
from torc_migrations.databases.waiting import Wait
from torc_migrations.errors import BadSnapshotDirectory, SnapshotFailed
from torc_migrations.formatting import one_line, size_text
from torc_migrations.log import log

if TYPE_CHECKING:
    from collections.abc import Callable

    from torc_migrations.databases.sqlite.database import SQLiteDatabase

Progress: TypeAlias = "Callable[[int, int, int], None]"

# How many pages are copied at a time; Ctrl-C is handled between two of these steps.
_PAGES = 4096
_NAME = re.compile(r"\.(\d{8}T\d{6}\.\d{3}Z)\.v(\d+)\.snapshot\Z")
_BUSY = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A copy of a database.

    Attributes:
        path: the file. taken_at: when it was made, in ISO 8601, UTC. size: its bytes.
        version: the newest version that was installed; 0 for none.
    """

    path: str
    taken_at: str
    version: int
    size: int

    def as_text(self) -> str:
        """Return the snapshot as a line of text."""
        path, time = one_line(self.path), self.taken_at[:19].replace("T", " ")
        return f"{path}  {time} UTC  {self.version}  {size_text(self.size)}\n"

    def as_dict(self) -> dict[str, object]:
        """Return the same as values that `json` takes."""
        return asdict(self)


def find_snapshots(database: str, directory: str | None = None) -> tuple[Snapshot, ...]:
    """Return the snapshots of a database's file, oldest first: those next to it, or those in `directory`."""
    path = os.path.realpath(database)
    where = os.path.dirname(path) if directory is None else directory
    prefix = _prefix(path, where)
    found = []
    with suppress(FileNotFoundError), os.scandir(where) as entries:
        for entry in entries:
            named = _NAME.match(entry.name, len(prefix)) if entry.name.startswith(prefix) else None
            if named and entry.is_file(follow_symlinks=False):
                found.append(Snapshot(entry.path, _moment(named[1]), int(named[2]), entry.stat().st_size))
    return tuple(sorted(found, key=lambda snapshot: snapshot.taken_at))


def take_snapshot(database: SQLiteDatabase, version: int, *, directory: str | None, keep: int) -> Snapshot | None:
    """Copy a database; an empty database or one in memory is not copied.

    The caller holds the write lock and has written nothing yet. The copy is synced to the disk, under its final name,
    before this returns. An unfinished copy of a process that was killed is replaced. The newest `keep` snapshots of
    this database remain in the directory, also where the new one cannot be made.

    Raises:
        SnapshotFailed, NotEnoughSpace: no snapshot was made; the database is unchanged.
    """
    if database.address.path is None:
        return None
    path = os.path.realpath(database.address.path)
    directory = os.path.dirname(path) if directory is None else directory
    made: str | None = None
    try:
        made = _make(database, path, directory, version)
    except OSError as error:
        raise SnapshotFailed(database.name, f"{error.strerror} ({directory})") from error
    except sqlite3.Error as error:
        raise SnapshotFailed(database.name, f"{error} ({directory})") from error
    finally:
        _prune(path, directory, keep, made)
    return next((each for each in find_snapshots(path, directory) if each.path == made), None)


def refuse_snapshots(database: SQLiteDatabase, directory: str | None) -> None:
    """Refuse a database that cannot be copied, and a directory that cannot hold the copy.

    Raises:
        SnapshotFailed: the database is in memory, or locked by its own connection.
        BadSnapshotDirectory: the directory is missing, is a file, or may not be written.
    """
    if database.address.path is None:
        raise SnapshotFailed(database.name, "it is in memory, and has no file")
    if not database.is_missing and database.execute("PRAGMA main.locking_mode").fetchone()[0] == "exclusive":
        reason = "its connection has locking_mode = EXCLUSIVE, so no other connection can read it"
        raise SnapshotFailed(database.name, reason)
    if directory is not None and (problem := _problem(directory)):
        raise BadSnapshotDirectory(database.name, problem)


def _problem(directory: str) -> str | None:
    if not os.path.lexists(directory):
        return f"there is no directory {directory!r}"
    if not os.path.isdir(directory):
        return f"{directory!r} is not a directory"
    return None if os.access(directory, os.W_OK | os.X_OK) else f"the directory {directory!r} may not be written"


def _make(database: SQLiteDatabase, path: str, directory: str, version: int) -> str | None:
    """Copy what was committed last; no other connection can commit meanwhile, because the caller holds the lock."""
    prefix = os.path.join(directory, _prefix(path, directory))
    partial = f"{prefix}.snapshot.partial"
    with closing(connect(database.address)) as source:
        size = size_of(source)
        if size == 0:
            return None
        hint = "free disk space, or name a directory on another disk with --snapshot (in Python: snapshot=)"
        check_free_space(f"a snapshot of {database.name}", {directory: size}, hint=hint)
        try:
            _remove(partial)  # of a process that was killed
            create_like(path, partial)
            _copy(source, partial, patient_progress(database.address, database.lock_timeout))
            sync(partial)
            snapshot = _free_name(prefix, version)
            os.rename(partial, snapshot)
        except BaseException as error:
            reason = with_full_disk(error, partial) if isinstance(error, sqlite3.Error) else None
            with suppress(OSError):
                _remove(partial)
            if reason is not None:
                raise SnapshotFailed(database.name, f"{reason} ({directory})") from error
            raise
    sync(directory)
    return snapshot


def create_like(path: str, new: str) -> None:
    """Create an empty file with the permissions of another one, and where that is allowed with its owner and group.

    The owner may always write it.
    """
    found = os.stat(path)
    mode = found.st_mode & 0o777 | 0o200
    descriptor = os.open(new, os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode & 0o600)
    try:
        if os.name == "posix":
            with suppress(PermissionError):
                os.fchown(descriptor, found.st_uid, found.st_gid)
                os.fchmod(descriptor, mode)
    finally:
        os.close(descriptor)


def _remove(partial: str) -> None:
    for suffix in ("", "-journal", "-wal", "-shm"):
        with suppress(FileNotFoundError):
            os.unlink(f"{partial}{suffix}")


def _copy(source: sqlite3.Connection, copy: str, progress: Progress) -> None:
    with closing(connect(Address(copy, "rw"))) as target:
        target.execute("PRAGMA journal_mode = OFF")
        target.execute("PRAGMA synchronous = OFF")  # the whole file is synced at the end
        source.backup(target, pages=_PAGES, progress=progress)
    with closing(connect(Address(copy, "rw"))) as target:
        target.execute("PRAGMA journal_mode = DELETE")  # in WAL mode a reader would create files next to it


def _free_name(prefix: str, version: int) -> str:
    """Return a name that no file has yet: two runs may end within one millisecond, and the clock may be set back."""
    nanoseconds = time_ns()
    while os.path.lexists(path := f"{prefix}.{_stamp(nanoseconds)}.v{version}.snapshot"):
        nanoseconds += 1_000_000
    return path


def _stamp(nanoseconds: int) -> str:
    seconds, rest = divmod(nanoseconds, 1_000_000_000)
    return f"{strftime('%Y%m%dT%H%M%S', gmtime(seconds))}.{rest // 1_000_000:03}Z"


def _moment(stamp: str) -> str:
    """Return the time in a name in the format of ISO 8601."""
    day, time = stamp.split("T")
    return f"{day[:4]}-{day[4:6]}-{day[6:]}T{time[:2]}:{time[2:4]}:{time[4:]}"


def _prefix(path: str, directory: str) -> str:
    """Return how the names of a database's snapshots begin.

    In another directory than its own they have a hash of its path: databases of one name may share the directory.
    """
    name = os.path.basename(path)
    if os.path.realpath(directory) == os.path.dirname(path):
        return name
    from hashlib import sha256

    return f"{name}-{sha256(os.fsencode(path)).hexdigest()[:8]}"


def _prune(path: str, directory: str, keep: int, made: str | None) -> None:
    """Delete the oldest snapshots of one database, but never the one that was just made.

    A name with a time in the future is deleted first: a wrong clock or another program made it, so it must not count
    as newer than the others.
    """
    now = _moment(_stamp(time_ns()))
    others = [each for each in find_snapshots(path, directory) if each.path != made]
    others.sort(key=lambda snapshot: (snapshot.taken_at <= now, snapshot.taken_at))
    for snapshot in others[: max(0, len(others) - keep + (made is not None))]:
        try:
            os.unlink(snapshot.path)
        except OSError as error:
            log().warning("cannot delete the old snapshot %s: %s", snapshot.path, error.strerror)


def size_of(connection: sqlite3.Connection) -> int:
    """Return the size of a database in bytes."""
    pages, page = (connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "page_size"))
    return int(pages) * int(page)


def patient_progress(address: Address, timeout: float) -> Progress:
    """Return the progress handler for `backup`, which by itself would wait for a locked database without an end."""
    wait = Wait(address.name, timeout)

    def progress(status: int, _remaining: int, _total: int) -> None:
        if status in _BUSY:
            wait.pause(lambda: lock_holder(address.path))

    return progress
