"""Copy a database as of one moment to try something on, and leave nothing of the copy behind."""

from __future__ import annotations

import os
import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress

from torc_migrations.databases.disk import check_free_space
from torc_migrations.databases.processes import process_is_alive, process_start, this_place
from torc_migrations.databases.results.rehearsals import RehearsalPlace, on_a_copy_in
from torc_migrations.databases.sqlite.connection import connect, translate
from torc_migrations.databases.sqlite.transactions import SQLiteConnection
from torc_migrations.databases.urls import Address
from torc_migrations.errors import CannotOpen, DatabaseFailed
from torc_migrations.log import log

# A copy is named for the process that made it, and for when and where that began:
# `app.db.rehearsal-4711-90210-1f2e3d4c-0`. In the directory for temporary files that is a directory, which is nobody
# else's, with the copy in it.
_MARK = ".rehearsal-"
_OWNER = re.compile(r"(?P<pid>\d+)-(?P<start>\d+)-(?P<place>[0-9a-f]{8})-\d+(?:-journal|-wal|-shm)?")
_BESIDE = ("-journal", "-wal", "-shm", "")
# Between two such steps Ctrl-C is heard.
_PAGES_A_STEP = 4096


@contextmanager
def copy_of(database: SQLiteConnection) -> Iterator[tuple[sqlite3.Connection, Address]]:
    """Copy a database next to its file, or in memory where it has none; the copy is removed at the end.

    Where no file can be made next to it, or LiteFS would replicate it, it is made in the directory for temporary files.
    For a file that does not exist yet the copy is one too, if it can be made there, because PRAGMAs are others in
    memory.

    The database is read in one transaction. Without WAL, writers wait until it is copied. Copies that killed
    processes have left are removed first.

    Raises:
        NotEnoughSpace: the disk has less free space than twice the size of the database.
        CannotOpen: neither directory can be written.
        DatabaseFailed: it could not be copied after all, or the copy cannot be read.
    """
    path = database.address.path
    made = None if path is None else _make_place(path, is_missing=database.is_missing)
    if path is None or made is None:
        with closing(connect(Address(None))) as connection:
            _fill(connection, database)
            yield connection, Address(None)
        return
    is_beside = os.path.isfile(made)
    address = Address(made if is_beside else os.path.join(made, os.path.basename(path)))
    try:
        _remove_leftovers(os.path.dirname(made), os.path.basename(path))
        _check_free_space(database, os.path.dirname(made))
        with closing(connect(address)) as connection:
            _fill(connection, database)
            with _translated(database, address):
                yield connection, address
    finally:
        for suffix in _BESIDE if is_beside else ("",):
            _remove(f"{made}{suffix}")


@contextmanager
def _translated(database: SQLiteConnection, copy: Address) -> Iterator[None]:
    """Raise an error of this package for what the driver raises while a copy is read, as on a full disk."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        found = translate(error, copy)
        reason, hint = (found.reason, found.hint) if isinstance(found, DatabaseFailed) else (str(error), None)
        raise DatabaseFailed(f"the copy of {database.name}", reason, hint=hint) from error


def place_of(database: SQLiteConnection, copy: Address) -> RehearsalPlace | None:
    """Return what is to be said of where a copy is: nothing, if it is in memory or next to the database."""
    if copy.path is None or database.address.path is None:
        return None
    directory = os.path.dirname(os.path.dirname(copy.path))  # it is in a directory of its own, if it is elsewhere
    is_beside = os.path.dirname(copy.path) == os.path.dirname(os.path.abspath(database.address.path))
    return None if is_beside else on_a_copy_in(directory)


def _fill(connection: sqlite3.Connection, database: SQLiteConnection) -> None:
    with database.reading():
        page_size = database.pragma("page_size")
        connection.execute(f"PRAGMA page_size = {page_size}")  # a copy in memory cannot have another one
        try:
            database.connection.backup(connection, pages=_PAGES_A_STEP, progress=lambda *_: None, sleep=0)
        except sqlite3.DatabaseError as error:
            raise DatabaseFailed(f"copying {database.name}", str(error)) from error


def _check_free_space(database: SQLiteConnection, directory: str) -> None:
    with database.reading():
        pages, size = (database.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "page_size"))
    check_free_space(f"a rehearsal on a copy of {database.name}", {directory: 2 * pages * size}, hint="free some space")


def _make_place(path: str, *, is_missing: bool) -> str | None:
    """Make what belongs to this process and no other user can read: a file next to a database, or else a directory.

    None where no file can be made next to a database that is missing.
    """
    beside = os.path.abspath(path)
    # LiteFS replicates every database in its directory, and has there such a file for each.
    if not os.path.exists(f"{os.path.realpath(path)}-pos"):
        with suppress(OSError):
            return _make(beside, _make_file)
    if is_missing:
        return None
    try:
        return _make(os.path.join(_temporary_directory(), os.path.basename(path)), _make_directory)
    except OSError as error:
        reason = f"cannot make a copy of {path!r}, next to it or in TMPDIR, to rehearse on: {error.strerror}"
        raise CannotOpen(path, reason) from error


def _temporary_directory() -> str:
    import tempfile

    return os.path.abspath(tempfile.gettempdir())


def _make(prefix: str, make: Callable[[str], None]) -> str:
    owner = f"{os.getpid()}-{process_start(os.getpid())}-{this_place()}"
    number = 0
    while True:
        name = f"{prefix}{_MARK}{owner}-{number}"
        try:
            make(name)
        except FileExistsError:
            number += 1
        else:
            return name


def _make_file(name: str) -> None:
    os.close(os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))


def _make_directory(name: str) -> None:
    os.mkdir(name, 0o700)


def _remove_leftovers(directory: str, base: str) -> None:
    """Remove the copies of processes that are dead, as far as can be known here."""
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
        if os.path.isdir(path):
            _remove_directory(path)
        else:
            os.unlink(path)
    except FileNotFoundError:
        pass
    except OSError as error:
        log().warning("cannot remove %s: %s", path, error.strerror)


def _remove_directory(path: str) -> None:
    import shutil

    if os.access(path, os.W_OK):  # else it is another user's
        shutil.rmtree(path)
