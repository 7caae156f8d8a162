"""Plain-SQL migrations for Python: paired up and down files, in one transaction with the ledgers of yoyo and sqlx."""

from __future__ import annotations

from torc_migrations import errors
from torc_migrations.connection import DatabaseLike
from torc_migrations.migrator import Migrator, OnNewer, Operation
from torc_migrations.plan import Report

TYPE_CHECKING = False
if TYPE_CHECKING:
    import os

    from torc_migrations.judgement import Status
    from torc_migrations.migration import SourceLike
    from torc_migrations.rehearsal_report import Rehearsal
    from torc_migrations.restoration import Restoration
    from torc_migrations.round_trips import RoundTrip
    from torc_migrations.verification import Finding

__all__ = [
    "Migrator",
    "apply",
    "errors",
    "rehearse",
    "restore",
    "rollback",
    "round_trip",
    "status",
    "upgrade",
    "verify",
]


def upgrade(
    database: DatabaseLike,
    source: SourceLike = None,
    *,
    target: int | None = None,
    lock_timeout: float = 300.0,
    ignore_missing: bool = False,
    on_newer: OnNewer = "accept",
    atomic: bool = False,
) -> Report:
    """Bring a database to the newest version, or to `target`; see `Migrator` for every argument.

    Idempotent, and safe from many processes at once. With `atomic` all pending migrations are one transaction.

    Raises:
        MigrationError: any of `torc_migrations.errors`; nothing is half-done then.
    """
    migrator = Migrator(database, source, lock_timeout=lock_timeout, ignore_missing=ignore_missing, on_newer=on_newer)
    return migrator.upgrade(target, atomic=atomic)


def rollback(
    database: DatabaseLike,
    source: SourceLike = None,
    *,
    target: int | None = None,
    lock_timeout: float = 300.0,
    ignore_missing: bool = False,
    atomic: bool = False,
) -> Report:
    """Roll back the newest migration; or all above `target`, which stays; or everything for `target=0`.

    With `atomic` all that is rolled back is one transaction.

    Raises:
        MigrationError: any of `torc_migrations.errors`; nothing is half-done then.
    """
    migrator = Migrator(database, source, lock_timeout=lock_timeout, ignore_missing=ignore_missing)
    return migrator.rollback(target, atomic=atomic)


def apply(
    database: DatabaseLike,
    *versions: int,
    source: SourceLike = None,
    lock_timeout: float = 300.0,
    ignore_missing: bool = False,
    on_newer: OnNewer = "accept",
) -> Report:
    """Apply exactly these pending migrations.

    Raises:
        MigrationError: any of `torc_migrations.errors`; nothing is half-done then.
    """
    migrator = Migrator(database, source, lock_timeout=lock_timeout, ignore_missing=ignore_missing, on_newer=on_newer)
    return migrator.apply(*versions)


def rehearse(
    database: DatabaseLike,
    source: SourceLike = None,
    *,
    operation: Operation = "upgrade",
    target: int | None = None,
    lock_timeout: float = 300.0,
    ignore_missing: bool = False,
    on_newer: OnNewer = "accept",
) -> Rehearsal:
    """Run what `upgrade` or `rollback` would run on a copy of the database; see `Migrator.rehearse`.

    Raises:
        MigrationError: any of `torc_migrations.errors`; the database was not touched.
    """
    migrator = Migrator(database, source, lock_timeout=lock_timeout, ignore_missing=ignore_missing, on_newer=on_newer)
    return migrator.rehearse(target, operation=operation)


def round_trip(
    database: DatabaseLike | None = None, source: SourceLike = None, *, lock_timeout: float = 300.0
) -> RoundTrip:
    """Take each migration up, down and up again, on an empty database in memory; for tests.

    With a `database` it is those that are pending there, on a copy of it; see `Migrator.round_trip`.

    Raises:
        MigrationError: the source or the database cannot be used; what is wrong with a script is a finding.
    """
    migrator = Migrator(":memory:" if database is None else database, source, lock_timeout=lock_timeout)
    return migrator.round_trip(fresh=database is None)


def status(database: DatabaseLike, source: SourceLike = None, *, lock_timeout: float = 300.0) -> Status:
    """Tell what is installed; writes nothing, and takes no write lock.

    Raises:
        SourceError, UrlError: the source or the database cannot be read.
    """
    return Migrator(database, source, lock_timeout=lock_timeout).status()


def restore(database: DatabaseLike, snapshot: str | os.PathLike[str], *, lock_timeout: float = 10.0) -> Restoration:
    """Put a snapshot that `Migrator(snapshot=...)` has made in the place of a database.

    The snapshot is looked through first. The database is overwritten in one transaction of SQLite's own: killed at any
    moment, it is the old one or the new one. Where it is missing it is created.

    Raises:
        UrlError, MigrationError: the snapshot or the database cannot be used; nothing was changed.
        LockTimeout: others held the database for longer than `lock_timeout` seconds. In WAL mode everybody who has it
            open holds it, elsewhere whoever reads or writes just then.
    """
    from torc_migrations.restoration import restore as put_back

    return put_back(database, snapshot, lock_timeout=lock_timeout)


def verify(
    database: DatabaseLike | None = None,
    source: SourceLike = None,
    *,
    fresh: bool = False,
    lock_timeout: float = 300.0,
) -> tuple[Finding, ...]:
    """Compare the plans of the queries in the source's `verify` folder with what is expected; runs no query.

    With `fresh` the questions go to an empty twin in memory, upgraded from the source, and `database` may be None.

    Raises:
        SourceError, UrlError: the expectations or the database cannot be read.
    """
    from torc_migrations.verification import verify as find

    return find(database, source, fresh=fresh, lock_timeout=lock_timeout)
