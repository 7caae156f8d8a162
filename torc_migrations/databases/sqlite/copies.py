"""Copy a database as of one moment to try something on, and leave nothing of the copy behind."""

from __future__ import annotations

import os
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager

from torc_migrations.databases.disk import check_free_space
from torc_migrations.databases.processes import process_is_alive, process_start, this_place
from torc_migrations.databases.sqlite.connection import connect
from torc_migrations.databases.sqlite.transactions import SQLiteConnection
from torc_migrations.databases.urls import Address
from torc_migrations.errors import CannotOpen, DatabaseFailed
from torc_migrations.log import log

# A copy is named for the process that made it, and for when and where that began:
# `app.db.rehearsal-4711-90210-1f2e3d4c-0`.
_MARK = ".rehearsal-"
_OWNER = re.compile(r"(?P<pid>\d+)-(?P<start>\d+)-(?P<place>[0-9a-f]{8})-\d+(?:-journal|-wal|-shm)?")
_BESIDE = ("-journal", "-wal", "-shm", "")
# Between two such steps Ctrl-C is heard.
_PAGES_A_STEP = 4096


@contextmanager
def copy_of(database: SQLiteConnection) -> Iterator[tuple[sqlite3.Connection, Address]]:
    """Copy a database next to its file, or in memory where it has none; the copy is removed at the end.

    For a file that does not exist yet the copy is one too, if it can be made, because PRAGMAs are others in memory.

    The database is read in one transaction. Without WAL, writers wait until it is copied. Copies that killed
    processes have left are removed first.

    Raises:
        NotEnoughSpace: the disk has less free space than twice the size of the database.
        CannotOpen: its directory cannot be written.
        DatabaseFailed: it could not be copied after all.
    """
    path = database.address.path
    address = Address(None) if path is None else _address_beside(database, path)
    if address.path is None:
        with closing(connect(Address(None))) as connection:
            _fill(connection, database)
            yield connection, Address(None)
        return
    try:
        with closing(connect(address)) as connection:
            _fill(connection, database)
            yield connection, address
    finally:
        for suffix in _BESIDE:
            _remove(f"{address.path}{suffix}")


def _address_beside(database: SQLiteConnection, path: str) -> Address:
    try:
        _remove_leftovers(path)
        _check_free_space(database)
        return Address(_new_file(path))
    except (CannotOpen, OSError):
        if database.is_missing:
            return Address(None)
        raise


def _fill(connection: sqlite3.Connection, database: SQLiteConnection) -> None:
    with database.reading():
        page_size = database.pragma("page_size")
        connection.execute(f"PRAGMA page_size = {page_size}")  # a copy in memory cannot have another one
        try:
            database.connection.backup(connection, pages=_PAGES_A_STEP, progress=lambda *_: None, sleep=0)
        except sqlite3.DatabaseError as error:
            raise DatabaseFailed(f"copying {database.name}", str(error)) from error


def _check_free_space(database: SQLiteConnection) -> None:
    path = database.address.path
    assert path is not None
    directory = os.path.dirname(os.path.abspath(path))
    with database.reading():
        pages, size = (database.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "page_size"))
    check_free_space(f"a rehearsal on a copy of {database.name}", {directory: 2 * pages * size}, hint="free some space")


def _new_file(path: str) -> str:
    """Create an empty file that belongs to this process, and that no other user can read."""
    owner = f"{os.getpid()}-{process_start(os.getpid())}-{this_place()}"
    number = 0
    while True:
        name = f"{path}{_MARK}{owner}-{number}"
        try:
            os.close(os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        except FileExistsError:
            number += 1
        except OSError as error:
            reason = f"cannot make a copy of {path!r} next to it, to rehearse on: {error.strerror}"
            raise CannotOpen(path, reason) from error
        else:
            return name


def _remove_leftovers(path: str) -> None:
    """Remove the copies of processes that are dead, as far as can be known here."""
    directory, base = os.path.split(os.path.abspath(path))
    for name in os.listdir(directory):
        if not name.startswith(base + _MARK):
            continue
        owner = _OWNER.fullmatch(name, len(base + _MARK))
        if owner is None:
            continue
        if owner["place"] != this_place():
            log().warning(
                "%s was left by a rehearsal on another machine or in another container; remove it if that has ended",
                os.path.join(directory, name),
            )
        elif not _lives(int(owner["pid"]), int(owner["start"])):
            _remove(os.path.join(directory, name))


def _lives(pid: int, start: int) -> bool:
    return process_is_alive(pid) and process_start(pid) == start


def _remove(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass
    except OSError as error:
        log().warning("cannot remove %s: %s", path, error.strerror)
