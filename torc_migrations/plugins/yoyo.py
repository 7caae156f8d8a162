"""The yoyo backends `torc+sqlite` and `torc+postgresql`: yoyo's commands run migrations as this package does.

Use one with `yoyo apply -d torc+sqlite:///torc.db`, or with that URL in yoyo.ini.
"""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from yoyo.backends.base import DatabaseBackend
from yoyo.backends.core.mysql import MySQLBackend
from yoyo.backends.core.postgresql import PostgresqlPsycopgBackend
from yoyo.backends.core.sqlite3 import SQLiteBackend
from yoyo.migrations import Migration as YoyoMigration

from torc_migrations.advice import text_for
from torc_migrations.errors import BadScript, MigrationError, SourceError, UrlError
from torc_migrations.history.steps import Action
from torc_migrations.migrator import Migrator
from torc_migrations.sources.names import Layout
from torc_migrations.sources.source import Source, combine, discover

if TYPE_CHECKING:
    from types import FrameType

    from yoyo.connections import DatabaseURI
    from yoyo.migrations import MigrationList

LOCK_TIMEOUT = 300.0


class TorcBackend(DatabaseBackend):  # type: ignore[misc]  # yoyo has no types
    """Run each migration in one transaction with both ledgers, write no lock row, and write nothing in order to read.

    `--force` and a directory in sqlx's layout are refused with an error.
    """

    def __init__(self, dburi: DatabaseURI, migration_table: str) -> None:
        self.uri = dburi
        self.migration_table = migration_table
        self.DatabaseError = self.driver.DatabaseError
        self.has_transactional_ddl = True
        self._internal_schema_updated = True
        self._url = ""
        with self._errors_of_yoyo():
            self._url = self._read_url(dburi)

    def _read_url(self, dburi: DatabaseURI) -> str:
        """Return the URL that yoyo has split into parts."""
        raise NotImplementedError

    def init_database(self) -> None:
        """Write nothing; the ledgers are created with the first migration."""

    def ensure_internal_schema_updated(self) -> None:
        """Write nothing; see `init_database`."""

    @property
    def connection(self) -> Any:
        """Raise: each operation opens and closes a connection of its own."""
        kind = str(self.uri.scheme)
        yoyos = {"torc+postgresql": "postgresql+psycopg"}.get(kind, kind.removeprefix("torc+"))
        raise NotImplementedError(f"{kind} keeps no connection open; use yoyo's {yoyos} backend for a connection")

    def copy(self) -> TorcBackend:
        """Return another backend for the same database."""
        return type(self)(self.uri, self.migration_table)

    def __enter__(self) -> TorcBackend:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    @contextmanager
    def lock(self, timeout: float = LOCK_TIMEOUT) -> Iterator[None]:  # noqa: ARG002  # each step waits for itself
        """Lock nothing; each step holds a write transaction, which ends when its process ends."""
        yield

    def break_lock(self) -> None:
        """Write nothing; the row of a process that has ended is removed by the next step."""

    def to_apply(self, migrations: MigrationList) -> MigrationList:
        """Return those that are not installed, by ascending version."""
        return self._chosen(migrations, installed=False)

    def to_rollback(self, migrations: MigrationList) -> MigrationList:
        """Return those that are installed, by descending version."""
        return self._chosen(migrations, installed=True)

    def is_applied(self, migration: YoyoMigration) -> bool:
        """Return whether a migration is installed, by both ledgers."""
        return bool(self._chosen([migration], installed=True))

    def get_applied_migration_hashes(self) -> list[str]:
        """Raise: what is installed is known for a list of migrations only."""
        raise NotImplementedError("call to_apply() or to_rollback() with a list of migrations")

    def apply_migrations(self, migrations: MigrationList, force: bool = False) -> None:
        """Apply exactly these, each with its records in one transaction; then run the hooks that are due."""
        self._perform(migrations, Action.APPLY, force, hooks=migrations.post_apply)

    def apply_migrations_only(self, migrations: Iterable[YoyoMigration], force: bool = False) -> None:
        """Apply exactly these, each in one transaction with both ledgers."""
        self._perform(migrations, Action.APPLY, force)

    def run_post_apply(self, migrations: MigrationList, force: bool = False) -> None:
        """Run the post-apply hooks that are due: those that have not run since a migration was applied."""
        self._perform((), Action.APPLY, force, hooks=migrations.post_apply)

    def rollback_migrations(self, migrations: Iterable[YoyoMigration], force: bool = False) -> None:
        """Roll back exactly these, newest first."""
        self._perform(migrations, Action.ROLL_BACK, force)

    def mark_migrations(self, migrations: Iterable[YoyoMigration]) -> None:
        """Record these as installed in both ledgers, and run nothing."""
        self._perform(migrations, Action.RECORD)

    def unmark_migrations(self, migrations: Iterable[YoyoMigration]) -> None:
        """Erase these from both ledgers, and run nothing."""
        self._perform(migrations, Action.ERASE)

    def apply_one(self, migration: YoyoMigration, force: bool = False, mark: bool = True) -> None:
        """Apply one, and record it; to apply it without a record is refused."""
        if not mark:
            raise BadScript(migration.path, f"{migration.path} cannot be run without a record")
        self._perform([migration], Action.APPLY, force)

    def rollback_one(self, migration: YoyoMigration, force: bool = False) -> None:
        """Roll back one."""
        self._perform([migration], Action.ROLL_BACK, force)

    def mark_one(self, migration: YoyoMigration, log: bool = True) -> None:  # noqa: ARG002  # it is always logged
        """Record one as installed, and run nothing."""
        self._perform([migration], Action.RECORD)

    def unmark_one(self, migration: YoyoMigration, log: bool = True) -> None:  # noqa: ARG002  # it is always logged
        """Erase one, and run nothing."""
        self._perform([migration], Action.ERASE)

    def _perform(
        self,
        migrations: Iterable[YoyoMigration],
        action: Action,
        force: bool = False,
        hooks: Iterable[YoyoMigration] = (),
    ) -> None:
        chosen, hooks = list(migrations), list(hooks)
        if not (chosen or hooks):
            return
        with self._errors_of_yoyo([*chosen, *hooks], verb="rollback" if action is Action.ROLL_BACK else "upgrade"):
            if force:
                raise SourceError("", "--force is refused: a run stops at the first error")
            source = _source([*chosen, *hooks])
            source = replace(
                source, hooks=tuple(hook for hook in source.hooks if hook.id in {each.id for each in hooks})
            )
            ids = {migration.id for migration in chosen}
            self._migrator(source).perform(action, [m.version for m in source.migrations if m.id in ids])

    def _chosen(self, migrations: Any, *, installed: bool) -> MigrationList:
        chosen = list(migrations)
        if not chosen:
            return migrations
        with self._errors_of_yoyo(chosen):
            status = self._migrator(_source(chosen)).status()
        order = {entry.migration.id: entry.migration.version for entry in status.entries}
        wanted = {e.migration.id for e in status.entries if e.installed is installed or e.out_of_step}
        ordered = sorted((m for m in chosen if m.id in wanted), key=lambda m: order[m.id], reverse=installed)
        return migrations.replace(ordered) if hasattr(migrations, "replace") else ordered

    @contextmanager
    def _errors_of_yoyo(self, migrations: Iterable[YoyoMigration] = (), *, verb: str = "upgrade") -> Iterator[None]:
        """If the yoyo command is running, raise our errors as errors of yoyo, which it prints without a traceback."""
        try:
            yield
        except MigrationError as error:
            command = _running_command()
            if command is None:
                raise
            directories = list(dict.fromkeys(each.source_dir for each in migrations))
            ours = Namespace(database=self._url or None, source=directories, torc=False)
            raise command.InvalidArgument(text_for("yoyo", error, ours, verb)) from error

    def _migrator(self, source: Source) -> Migrator:
        return Migrator(
            self._url,
            source,
            lock_timeout=LOCK_TIMEOUT,
            migration_table=self.migration_table,
            on_newer="refuse",
        )


class TorcSQLiteBackend(TorcBackend, SQLiteBackend):  # type: ignore[misc]  # yoyo has no types
    """The backend `torc+sqlite`; see `TorcBackend`."""

    def _read_url(self, dburi: DatabaseURI) -> str:
        if not dburi.database or dburi.hostname:
            raise UrlError(
                dburi.database or "", "a torc+sqlite URL needs three slashes", hint="use torc+sqlite:///path/to/file.db"
            )
        query = "&".join(f"{name}={value}" for name, value in dburi.args.items())
        return f"sqlite:///{dburi.database}" + (f"?{query}" if query else "")


class TorcPostgreSQLBackend(TorcBackend, PostgresqlPsycopgBackend):  # type: ignore[misc]  # yoyo has no types
    """The backend `torc+postgresql`; see `TorcBackend`."""

    def _read_url(self, dburi: DatabaseURI) -> str:
        return str(dburi.uri).replace("torc+postgresql:", "postgresql:", 1)


class TorcMySQLBackend(TorcBackend, MySQLBackend):  # type: ignore[misc]  # yoyo has no types
    """The backend `torc+mysql`; see `TorcBackend`."""

    def _read_url(self, dburi: DatabaseURI) -> str:
        return str(dburi.uri).replace("torc+mysql:", "mysql:", 1)


def _source(migrations: list[YoyoMigration]) -> Source:
    """Read the directories that yoyo has read: all of their files, by the rules of this package."""
    directories = dict.fromkeys(migration.source_dir for migration in migrations)
    if _running_command():
        # The files that `-m` and `-r` leave out may be installed. yoyo keeps a list of every file that it has seen.
        seen = getattr(YoyoMigration, "_Migration__all_migrations", {}).values()
        directories |= dict.fromkeys(migration.source_dir for migration in seen)
    source = combine(tuple(discover(directory) for directory in directories))
    if source.layout is Layout.SQLX:
        raise SourceError(
            source.name,
            f"{source.name} is in sqlx's layout: yoyo would run its down files as migrations",
            hint="use `torc-migrations`, or write a directory for yoyo with `torc-migrations export --layout yoyo DIR`",
        )
    return source


def _running_command() -> Any:
    """Return the module of yoyo's command if it is running, or None. A program may import it without running it."""
    command = sys.modules.get("yoyo.scripts.main")
    frame: FrameType | None = sys._getframe()
    while frame is not None:
        if command and frame.f_globals is vars(command):
            return command
        frame = frame.f_back
    return None
