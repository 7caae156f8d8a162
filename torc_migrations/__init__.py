"""Plain-SQL migrations for Python: paired up and down files, in one transaction with the ledgers of yoyo and sqlx."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, Unpack

from torc_migrations import errors
from torc_migrations.databases.servers.given import ServerOptions
from torc_migrations.errors import MigrationError
from torc_migrations.migrator import Migrator
from torc_migrations.options import (
    Operation,
    check_choice,
    check_flag,
    check_path,
    check_seconds,
    check_versions,
)

if TYPE_CHECKING:
    from torc_migrations.databases.interface import DatabaseLike
    from torc_migrations.history.status import Status
    from torc_migrations.history.steps import Report
    from torc_migrations.indexes.verify import Finding
    from torc_migrations.options.keywords import Options
    from torc_migrations.rehearsals.report import Rehearsal
    from torc_migrations.rehearsals.round_trips import RoundTrip
    from torc_migrations.services.asynchronous import AsyncMigrator
    from torc_migrations.services.fleets import Fleet
    from torc_migrations.services.lifespans import migrated
    from torc_migrations.services.waits import wait
    from torc_migrations.snapshots.restore import Restoration
    from torc_migrations.sources.converting.convert import LayoutName
    from torc_migrations.sources.converting.results import Conversion
    from torc_migrations.sources.source import SourceLike
else:
    _LOADED_LATER = {
        "Conversion": "torc_migrations.sources.converting.results",
        "AsyncMigrator": "torc_migrations.services.asynchronous",
        "Fleet": "torc_migrations.services.fleets",
        "Finding": "torc_migrations.indexes.verify",
        "Rehearsal": "torc_migrations.rehearsals.report",
        "Report": "torc_migrations.history.steps",
        "RoundTrip": "torc_migrations.rehearsals.round_trips",
        "Status": "torc_migrations.history.status",
        "migrated": "torc_migrations.services.lifespans",
        "wait": "torc_migrations.services.waits",
    }

    def __getattr__(name: str) -> object:
        """Import the class of a result when it is first asked for: an upgrade with nothing to do needs none of them."""
        if name not in _LOADED_LATER:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib import import_module

        return getattr(import_module(_LOADED_LATER[name]), name)

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})


__version__ = "0.1.0"

__all__ = [
    "AsyncMigrator",
    "Conversion",
    "Finding",
    "Fleet",
    "MigrationError",
    "Migrator",
    "Rehearsal",
    "Report",
    "RoundTrip",
    "ServerOptions",
    "Status",
    "__version__",
    "apply",
    "convert",
    "errors",
    "migrated",
    "rehearse",
    "restore",
    "rollback",
    "round_trip",
    "status",
    "upgrade",
    "verify",
    "wait",
]


def upgrade(
    database: DatabaseLike,
    source: SourceLike = None,
    *,
    target: int | None = None,
    atomic: bool = False,
    **options: Unpack[Options],
) -> Report:
    """Bring a database to the newest version, or to `target`; see `Migrator` for the options.

    Idempotent, and safe from many processes at once. With `atomic` all pending migrations are one transaction.

    Raises:
        MigrationError: any of `torc_migrations.errors`; a migration that failed is not installed.
    """
    return Migrator(database, source, **options).upgrade(target, atomic=atomic)


def rollback(
    database: DatabaseLike,
    source: SourceLike = None,
    *,
    target: int | None = None,
    steps: int | None = None,
    atomic: bool = False,
    **options: Unpack[Options],
) -> Report:
    """Roll back the newest migration; or all above `target`, which stays; or everything for `target=0`.

    With `steps` the newest so many are rolled back, and `target` must be None.
    With `atomic` all that is rolled back is one transaction. See `Migrator` for the options.

    Raises:
        MigrationError: any of `torc_migrations.errors`; a migration that failed is still installed.
    """
    return Migrator(database, source, **options).rollback(target, steps=steps, atomic=atomic)


def apply(
    database: DatabaseLike,
    source: SourceLike = None,
    *,
    versions: Iterable[int],
    **options: Unpack[Options],
) -> Report:
    """Apply exactly the migrations with these versions; those that are installed are left alone.

    See `Migrator` for the options.

    Raises:
        MigrationError: any of `torc_migrations.errors`; a migration that failed is not installed.
    """
    return Migrator(database, source, **options).apply(*check_versions(versions))


def rehearse(
    database: DatabaseLike,
    source: SourceLike = None,
    *,
    operation: Operation = "upgrade",
    target: int | None = None,
    atomic: bool = False,
    steps: int | None = None,
    **options: Unpack[Options],
) -> Rehearsal:
    """Run what `upgrade` or `rollback` would run on a copy of the database; see `Migrator.rehearse`.

    See `Migrator` for the options; `snapshot` and `keep` change nothing here, because nothing is changed.

    Raises:
        MigrationError: any of `torc_migrations.errors`; the database was not changed.
    """
    return Migrator(database, source, **options).rehearse(target, operation=operation, atomic=atomic, steps=steps)


def round_trip(
    database: DatabaseLike | None = None,
    source: SourceLike = None,
    *,
    allow_irreversible: bool = False,
    **options: Unpack[Options],
) -> RoundTrip:
    """Apply each migration, roll it back and apply it again, on an empty database in memory; for tests.

    With a `database` it is those that are pending there, on a copy of it; see `Migrator.round_trip`. See `Migrator`
    for the options.

    Raises:
        MigrationError: the source or the database cannot be used; what is wrong with a script is a finding.
    """
    migrator = Migrator(":memory:" if database is None else database, source, **options)
    return migrator.round_trip(fresh=database is None, allow_irreversible=allow_irreversible)


def status(database: DatabaseLike, source: SourceLike = None, **options: Unpack[Options]) -> Status:
    """Return what is installed; writes nothing, and takes no write lock. See `Migrator` for the options.

    If a writer was killed, SQLite first repairs the file, as for every reader.

    Raises:
        SourceError, UrlError: the source or the database cannot be read.
    """
    return Migrator(database, source, **options).status()


def restore(database: DatabaseLike, snapshot: str | os.PathLike[str], *, lock_timeout: float = 10.0) -> Restoration:
    """Overwrite a database with a snapshot that `Migrator(snapshot=...)` has made; takes no other option.

    The snapshot is checked first. The database is overwritten in one transaction of SQLite's own: if the process is
    killed, the database is the old one or the new one. A database that does not exist is created.

    Raises:
        UrlError, MigrationError: the snapshot or the database cannot be used; nothing was changed.
        LockTimeout: others held the database for longer than `lock_timeout` seconds. In WAL mode every connection
            that is open holds it, in other modes every connection that reads or writes at that moment.
    """
    from torc_migrations.snapshots.restore import restore as overwrite

    check_path("snapshot", snapshot)
    check_seconds("lock_timeout", lock_timeout)
    return overwrite(database, snapshot, lock_timeout=lock_timeout)


def verify(
    database: DatabaseLike | None = None,
    source: SourceLike = None,
    *,
    fresh: bool = False,
    **options: Unpack[Options],
) -> tuple[Finding, ...]:
    """Compare the plans of the queries in the source's `verify` directory with what is expected; runs no query.

    With `fresh` the plans come from an empty database in memory, upgraded from the source, and `database` may be None.
    See `Migrator` for the options.

    Raises:
        SourceError, UrlError: the expectations or the database cannot be read.
    """
    if database is None and not fresh:
        raise errors.UrlError("", "no database is named", hint="name one, or pass fresh=True")
    migrator = Migrator(":memory:" if database is None else database, source, **options)
    return migrator.verify(fresh=fresh)


def convert(
    directory: str | os.PathLike[str],
    output: str | os.PathLike[str] | None = None,
    *,
    layout: LayoutName = "yoyo",
    partial: bool = False,
) -> Conversion:
    """Convert migrations of another tool into paired SQL files: yoyo's in Python, goose, dbmate, Flyway and others.

    Nothing is run, and the files in `directory` stay as they are. Without `output` nothing is written.

    Args:
        directory: the migrations of the other tool.
        output: a directory that is new or empty, for the files.
        layout: how the files are named: as `"yoyo"` or as `"sqlx"` expects them.
        partial: convert what can be; the rest is in the result's `problems`.

    Raises:
        NotConvertible: something has no equivalent in SQL files; nothing was written.
        SourceError: there is nothing to convert, or a directory cannot be read or written.
    """
    from torc_migrations.sources.converting.convert import convert_directory

    check_path("directory", directory)
    if output is not None:
        check_path("output", output)
    check_choice("layout", layout, ("yoyo", "sqlx"))
    check_flag("partial", partial)
    written = None if output is None else os.fspath(output)
    return convert_directory(os.fspath(directory), written, layout=layout, partial=partial)
