"""Copy a database as of one moment to try something on, and leave nothing of the copy behind."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from functools import cache

from torc_migrations.connection import connect
from torc_migrations.disk import refuse_without_room
from torc_migrations.driver import sqlite3
from torc_migrations.errors import CannotOpen, DatabaseFailed
from torc_migrations.lock import process_is_alive, process_start
from torc_migrations.log import logger
from torc_migrations.url import Address

TYPE_CHECKING = False
if TYPE_CHECKING:
    from torc_migrations.database import Database

# A copy is named for the process that made it, and for when and where that began:
# `app.db.rehearsal-4711-90210-1f2e3d4c-0`.
_MARK = ".rehearsal-"
_OWNER = re.compile(r"(?P<pid>\d+)-(?P<start>\d+)-(?P<place>[0-9a-f]{8})-\d+(?:-journal|-wal|-shm)?")
_BESIDE = ("-journal", "-wal", "-shm", "")
# Between two such steps Ctrl-C is heard.
_PAGES_A_STEP = 4096


@contextmanager
def copy_of(database: Database) -> Iterator[tuple[sqlite3.Connection, Address]]:
    """Copy a database beside its file, or in memory where it has none; the copy is removed at the end.

    The database is read in one transaction. Without WAL, whoever writes waits until it is copied. Copies that killed
    processes have left are removed first.

    Raises:
        NotEnoughSpace: the disk has no room for the copy, and as much again for what is done to it.
        CannotOpen: its folder cannot be written.
        DatabaseFailed: it could not be copied after all.
    """
    path = None if database.is_missing else database.address.path
    if path is None:
        with closing(connect(Address(None))) as connection:
            _fill(connection, database)
            yield connection, Address(None)
        return
    _remove_leftovers(path)
    _insist_on_space(database)
    address = Address(_new_file(path))
    try:
        with closing(connect(address)) as connection:
            _fill(connection, database)
            yield connection, address
    finally:
        for suffix in _BESIDE:
            _remove(f"{address.path}{suffix}")


def _fill(connection: sqlite3.Connection, database: Database) -> None:
    with database.reading():
        page_size = database.execute("PRAGMA page_size").fetchone()[0]
        connection.execute(f"PRAGMA page_size = {page_size}")  # a copy in memory cannot have another one
        try:
            database.connection.backup(connection, pages=_PAGES_A_STEP, progress=lambda *_: None, sleep=0)
        except sqlite3.DatabaseError as error:
            raise DatabaseFailed(f"copying {database.name}", str(error)) from error


def _insist_on_space(database: Database) -> None:
    path = database.address.path
    assert path is not None
    folder = os.path.dirname(os.path.abspath(path))
    with database.reading():
        pages, size = (database.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "page_size"))
    refuse_without_room(f"a rehearsal on a copy of {database.name}", {folder: 2 * pages * size}, hint="make room")


def _new_file(path: str) -> str:
    """Create an empty file that is nobody else's, and for nobody else to read."""
    owner = f"{os.getpid()}-{process_start(os.getpid())}-{_place()}"
    number = 0
    while True:
        name = f"{path}{_MARK}{owner}-{number}"
        try:
            os.close(os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        except FileExistsError:
            number += 1
        except OSError as error:
            reason = f"cannot make a copy of {path!r} beside it, to rehearse on: {error.strerror}"
            raise CannotOpen(path, reason) from error
        else:
            return name


def _remove_leftovers(path: str) -> None:
    """Remove the copies of processes that are dead, as far as can be told from here."""
    folder, base = os.path.split(os.path.abspath(path))
    for name in os.listdir(folder):
        if not name.startswith(base + _MARK):
            continue
        owner = _OWNER.fullmatch(name, len(base + _MARK))
        if owner is None:
            continue
        if owner["place"] != _place():
            logger().warning(
                "%s was left by a rehearsal on another machine or in another container; remove it if that has ended",
                os.path.join(folder, name),
            )
        elif not _lives(int(owner["pid"]), int(owner["start"])):
            _remove(os.path.join(folder, name))


def _lives(pid: int, start: int) -> bool:
    return process_is_alive(pid) and process_start(pid) == start


@cache
def _place() -> str:
    """Tell this machine, and this container, from others: each numbers its processes for itself."""
    from zlib import crc32

    host = os.uname().nodename if hasattr(os, "uname") else os.environ.get("COMPUTERNAME", "")
    namespace = ""
    with suppress(OSError):
        namespace = os.readlink("/proc/self/ns/pid")
    return f"{crc32(f'{host} {namespace}'.encode()):08x}"


def _remove(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass
    except OSError as error:
        logger().warning("cannot remove %s: %s", path, error.strerror)
