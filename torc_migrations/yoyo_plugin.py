"""yoyo's face: the `torc+sqlite` backend, so that `yoyo apply` and its kin go through our transaction.

Used by `yoyo apply -d torc+sqlite:///torc.db`, or by naming that URL in yoyo.ini.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from yoyo.backends.core.sqlite3 import SQLiteBackend
from yoyo.migrations import Migration as YoyoMigration

from torc_migrations.combination import combine
from torc_migrations.driver import sqlite3
from torc_migrations.errors import BadScript, MigrationError, SourceError, UrlError
from torc_migrations.migration import Layout, Source, discover
from torc_migrations.migrator import Migrator
from torc_migrations.plan import Action

if TYPE_CHECKING:
    from types import FrameType

    from yoyo.connections import DatabaseURI
    from yoyo.migrations import MigrationList

LOCK_TIMEOUT = 300.0


class TorcSQLiteBackend(SQLiteBackend):  # type: ignore[misc]  # yoyo has no types
    """Do what yoyo's commands ask for in our way: one transaction, both ledgers, no lock row, nothing for reading.

    What cannot be honoured is refused in a sentence: `--force`, and a folder in sqlx's layout.
    """

    def __init__(self, dburi: DatabaseURI, migration_table: str) -> None:
        self.uri = dburi
        self.migration_table = migration_table
        self.DatabaseError = sqlite3.DatabaseError
        self.has_transactional_ddl = True
        self._internal_schema_updated = True
        with _in_yoyos_words():
            self._url = _url(dburi)

    def init_database(self) -> None:
        """Write nothing: no lock table, no probe; what is needed is made with the first migration."""

    def ensure_internal_schema_updated(self) -> None:
        """Write nothing; see `init_database`."""

    @property
    def connection(self) -> sqlite3.Connection:
        """Refuse: everything goes through operations that open and close a connection of their own."""
        raise NotImplementedError("torc+sqlite keeps no connection open; use yoyo's sqlite backend for that")

    def copy(self) -> TorcSQLiteBackend:
        """Return another backend for the same database."""
        return type(self)(self.uri, self.migration_table)

    def __enter__(self) -> TorcSQLiteBackend:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    @contextmanager
    def lock(self, timeout: float = LOCK_TIMEOUT) -> Iterator[None]:  # noqa: ARG002  # each step waits for itself
        """Hold nothing: the lock is the write transaction of each step, and goes with its holder."""
        yield

    def break_lock(self) -> None:
        """Write nothing: a stock yoyo's row is respected while it lives, and cleared when it is dead."""

    def to_apply(self, migrations: MigrationList) -> MigrationList:
        """Return those that are not installed, by ascending version."""
        return self._chosen(migrations, installed=False)

    def to_rollback(self, migrations: MigrationList) -> MigrationList:
        """Return those that are installed, by descending version."""
        return self._chosen(migrations, installed=True)

    def is_applied(self, migration: YoyoMigration) -> bool:
        """Tell whether a migration is installed, from both ledgers."""
        return bool(self._chosen([migration], installed=True))

    def get_applied_migration_hashes(self) -> list[str]:
        """Refuse: what is installed can only be told of a list of migrations."""
        raise NotImplementedError("ask to_apply() or to_rollback() of a list of migrations")

    def apply_migrations(self, migrations: MigrationList, force: bool = False) -> None:
        """Apply exactly these, each in one transaction with both ledgers, and then the hooks that are due."""
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
        """Apply one; not without its records."""
        if not mark:
            raise BadScript(migration.path, f"{migration.path} would be run without a record, which is refused")
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
        with _in_yoyos_words():
            if force:
                raise SourceError("", "--force is refused: after an error nothing goes on, and nothing is half-done")
            source = _source([*chosen, *hooks])
            source = source._replace(
                hooks=tuple(hook for hook in source.hooks if hook.id in {each.id for each in hooks})
            )
            ids = {migration.id for migration in chosen}
            self._migrator(source).perform(action, [m.version for m in source.migrations if m.id in ids])

    def _chosen(self, migrations: Any, *, installed: bool) -> MigrationList:
        chosen = list(migrations)
        if not chosen:
            return migrations
        with _in_yoyos_words():
            status = self._migrator(_source(chosen)).status()
        order = {entry.migration.id: entry.migration.version for entry in status.entries}
        wanted = {e.migration.id for e in status.entries if e.installed is installed or e.out_of_step}
        ordered = sorted((m for m in chosen if m.id in wanted), key=lambda m: order[m.id], reverse=installed)
        return migrations.replace(ordered) if hasattr(migrations, "replace") else ordered

    def _migrator(self, source: Source) -> Migrator:
        return Migrator(
            self._url,
            source,
            lock_timeout=LOCK_TIMEOUT,
            migration_table=self.migration_table,
            on_newer="refuse",
        )


def _url(dburi: DatabaseURI) -> str:
    """Put together again what yoyo took apart; it has dropped what follows a `#`, and one letter after `sqlite:`."""
    if not dburi.database or dburi.hostname:
        raise UrlError(
            dburi.database or "", "a torc+sqlite URL needs three slashes", hint="say torc+sqlite:///path/to/file.db"
        )
    query = "&".join(f"{name}={value}" for name, value in dburi.args.items())
    return f"sqlite:///{dburi.database}" + (f"?{query}" if query else "")


def _source(migrations: list[YoyoMigration]) -> Source:
    """Read the folders that yoyo read, whole, by our rules."""
    folders = dict.fromkeys(migration.source_dir for migration in migrations)
    if _yoyos_command():
        # What `-m` and `-r` leave out is installed all the same; yoyo remembers every file that it has seen.
        seen = getattr(YoyoMigration, "_Migration__all_migrations", {}).values()
        folders |= dict.fromkeys(migration.source_dir for migration in seen)
    source = combine(tuple(discover(folder) for folder in folders))
    if source.layout is Layout.SQLX:
        raise SourceError(
            source.name,
            f"{source.name} is in sqlx's layout, which yoyo takes for twice as many migrations, down files first",
            hint="use `torc-migrations`, or `torc-migrations export --layout yoyo` a folder for yoyo",
        )
    return source


@contextmanager
def _in_yoyos_words() -> Iterator[None]:
    """Have the yoyo command, where it is running, print our errors as its own instead of a traceback."""
    try:
        yield
    except MigrationError as error:
        command = _yoyos_command()
        if command is None:
            raise
        lines = [str(error), error.frame or "", f"hint: {error.hint}" if error.hint else ""]
        raise command.InvalidArgument("\n".join(filter(None, lines))) from error


def _yoyos_command() -> Any:
    """Return the module of yoyo's command if that is what is running, or None; to be loaded says little."""
    command = sys.modules.get("yoyo.scripts.main")
    frame: FrameType | None = sys._getframe()
    while frame is not None:
        if command and frame.f_globals is vars(command):
            return command
        frame = frame.f_back
    return None
