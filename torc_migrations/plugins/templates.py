"""Databases for tests: a template that is migrated once, and a copy of it for each test."""

from __future__ import annotations

import os
import shutil
import sqlite3
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torc_migrations.migrator import Migrator
from torc_migrations.options import check_version
from torc_migrations.sources.files import list_files, read_bytes

if TYPE_CHECKING:
    from collections.abc import Callable

    from torc_migrations.history.steps import Report
    from torc_migrations.sources.source import SourceLike

# Changed when a template of an earlier release of this package can be used no more.
_FORMAT = "1"
_SUFFIX = ".db"
_BESIDE = ("-journal", "-wal", "-shm", "")
_LONGEST_BUILD = 3600.0  # seconds; a process that waits for a template gives up then
# A template is removed if it was not used for a week, or if there are many and it was not used for an hour.
_UNUSED, _UNUSED_OF_MANY, _MANY = 7 * 86400.0, 3600.0, 20
# Where the header of a file says whether it is in WAL mode, and what it says if not: https://sqlite.org/fileformat2.html
_VERSIONS, _NO_WAL = slice(18, 20), b"\x01\x01"


class Templates:
    """The migrated databases of one source, each made once, in a directory that processes and runs share.

    A template is a file whose name is a digest of all scripts, the options, and the version of SQLite. It is made under
    the write lock of an SQLite file, which ends with its process, and gets its name when it is complete. So a process
    that is killed leaves nothing that others wait for or use.

    Args:
        directory: an existing directory for the templates.
        source: the migrations, as `Migrator` takes them, but no `Source` that was read already.
        options: the options of `Migrator`. A function counts by its name; what it does is not looked at.
    """

    def __init__(self, directory: str, source: SourceLike, options: Mapping[str, Any]) -> None:
        self._directory = directory
        self._source = source
        self._options = dict(options)
        self._made: dict[int | None, str] = {}
        self._contents: dict[int | None, bytes] = {}

    def migrator(self, database: str) -> Migrator:
        """Return a migrator of the same source with the same options, for another database."""
        return Migrator(database, self._source, **self._options)

    def path(self, version: int | None = None) -> str:
        """Return the path of the template at a version, or at the newest one; make it if there is none.

        Raises:
            MigrationError: as for `Migrator.upgrade`.
            sqlite3.OperationalError: another process has been making a template for an hour.
        """
        check_version("version", version, optional=True)
        if version not in self._made:
            key = digest_of(sqlite3.sqlite_version, self._source, self._options, version)
            path = os.path.join(self._directory, f"{key}{_SUFFIX}")
            if not _is_used(path):
                with _locked(self._directory):
                    if not _is_used(path):
                        self._make(path, version)
                        _remove_old(self._directory)
            self._made[version] = path
        return self._made[version]

    def copy(self, target: str, version: int | None = None) -> None:
        """Copy the template to a file."""
        try:
            shutil.copyfile(self.path(version), target)
        except FileNotFoundError:  # another process has cleared the cache
            del self._made[version]
            shutil.copyfile(self.path(version), target)

    def load(self, version: int | None = None) -> sqlite3.Connection:
        """Return a connection to a copy in memory, which may be used in any thread."""
        if version not in self._contents:
            self._contents[version] = _without_wal(Path(self.path(version)).read_bytes())
        connection = sqlite3.connect(":memory:", check_same_thread=False)
        connection.deserialize(self._contents[version])
        if register := self._options.get("functions"):
            register(connection)
        return connection

    def _make(self, path: str, version: int | None) -> None:
        unfinished = f"{path}.unfinished"
        remove_database(unfinished)  # of a process that was killed
        try:
            self.migrator(unfinished).upgrade(version)
            os.replace(unfinished, path)
        finally:
            remove_database(unfinished)


class MigratedAt:
    """A database of one test at a version, which the test fills and then upgrades.

    Attributes:
        path: the path of its file.
    """

    def __init__(self, path: Path, migrator: Migrator) -> None:
        self.path = path
        self._migrator = migrator
        self._connections: list[sqlite3.Connection] = []

    def connect(self) -> sqlite3.Connection:
        """Return a new connection, which is closed at the end of the test."""
        connection = sqlite3.connect(self.path, check_same_thread=False)
        if self._migrator.functions is not None:
            self._migrator.functions(connection)
        self._connections.append(connection)
        return connection

    def upgrade(self, target: int | None = None) -> Report:
        """Commit what the connections have begun, and upgrade to `target` or to the newest version.

        Raises:
            MigrationError: as for `Migrator.upgrade`.
        """
        self._commit()
        return self._migrator.upgrade(target)

    def rollback(self, target: int | None = None) -> Report:
        """Commit what the connections have begun, and roll back as `Migrator.rollback` does.

        Raises:
            MigrationError: as for `Migrator.rollback`.
        """
        self._commit()
        return self._migrator.rollback(target)

    def close(self) -> None:
        """Close the connections."""
        for connection in self._connections:
            connection.close()

    def _commit(self) -> None:
        for connection in self._connections:
            with suppress(sqlite3.ProgrammingError):  # the test has closed it
                connection.commit()


def digest_of(made_with: str, source: SourceLike, options: Mapping[str, Any], version: int | None) -> str:
    """Return a name for a template: a digest of all scripts, the options, and what it is made with."""
    digest = sha256()
    for part in _parts(made_with, source, options, version):
        digest.update(b"%d\n" % len(part))
        digest.update(part)
    return digest.hexdigest()[:32]


def _parts(made_with: str, source: SourceLike, options: Mapping[str, Any], version: int | None) -> Iterator[bytes]:
    from torc_migrations import __version__

    given = sorted((name, _name_of(value)) for name, value in options.items())
    yield repr((_FORMAT, __version__, made_with, version, given)).encode()
    for each in source if isinstance(source, (list, tuple)) else (source,):
        for name, location in list_files(each)[1]:
            if name.endswith(".sql"):
                yield name.encode("utf-8", "surrogateescape")
                yield read_bytes(location)


def remove_database(path: str) -> None:
    """Remove an SQLite file and what SQLite keeps beside it, as far as they exist."""
    for suffix in _BESIDE:
        with suppress(FileNotFoundError):
            os.unlink(f"{path}{suffix}")


def _without_wal(contents: bytes) -> bytes:
    """Return the contents of a file without WAL mode, which a database in memory cannot have."""
    return contents[: _VERSIONS.start] + _NO_WAL + contents[_VERSIONS.stop :]


def _name_of(value: object) -> str:
    function: Callable[..., object] | None = value if callable(value) else None
    return repr(value) if function is None else f"{function.__module__}.{getattr(function, '__qualname__', '')}"


def _is_used(path: str) -> bool:
    """Return whether a template exists, and note that it is used."""
    try:
        os.utime(path)
    except FileNotFoundError:
        return False
    return True


@contextmanager
def _locked(directory: str) -> Iterator[None]:
    """Let one process at a time make a template. SQLite's lock ends with its process, on every system."""
    os.makedirs(directory, exist_ok=True)
    lock = sqlite3.connect(os.path.join(directory, "lock"), timeout=_LONGEST_BUILD, isolation_level=None)
    with closing(lock):
        lock.execute("BEGIN EXCLUSIVE")
        yield


def _remove_old(directory: str) -> None:
    """Remove the templates that nobody has used for long, and what killed processes have left of others."""
    now = time.time()
    with os.scandir(directory) as entries:
        found = sorted((now - entry.stat().st_mtime, entry.path) for entry in entries if entry.name != "lock")
    for place, (unused, path) in enumerate(found):
        if unused > (_UNUSED if place < _MANY else _UNUSED_OF_MANY) or not path.endswith(_SUFFIX):
            with suppress(OSError):  # another system keeps a file that is being copied
                os.unlink(path)
