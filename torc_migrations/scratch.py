"""Run a source on a scratch database in memory, to learn which objects each migration makes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from torc_migrations.database import Database, open_database
from torc_migrations.errors import NotThere, VersionNotPresent
from torc_migrations.execution import commits_by_itself, run, run_in_pieces, run_outside
from torc_migrations.ledger import Ledgers
from torc_migrations.migration import Migration, Source
from torc_migrations.plan import Action, Step
from torc_migrations.transaction import Transaction

SELECT_OBJECTS = """
    SELECT type || ' ' || name
    FROM sqlite_master
    WHERE name NOT LIKE 'sqlite!_%' ESCAPE '!'
"""
SELECT_COLUMNS = """
    SELECT 'column ' || object.name || '.' || field.name
    FROM sqlite_master AS object
    JOIN pragma_table_xinfo(object.name) AS field
    WHERE object.type = 'table'
"""
LEDGER_TABLES = ("_sqlx_migrations", "_yoyo_migration", "_yoyo_log", "_yoyo_version", "yoyo_lock")


class Made(NamedTuple):
    """What a migration adds to the schema and takes from it, as names: `table job`, `column job.name`, `index i`."""

    added: frozenset[str]
    removed: frozenset[str]

    def stands_in(self, live: frozenset[str]) -> bool | None:
        """Tell whether a live schema shows this migration; None where it shows neither, or half of it."""
        if not self.added and not self.removed:
            return None
        if self.added <= live and not self.removed & live:
            return True
        return False if not self.added & live and self.removed <= live else None


def objects(database: Database) -> frozenset[str]:
    """Return the names of everything in a schema, ledgers left out."""
    found = {str(name) for sql in (SELECT_OBJECTS, SELECT_COLUMNS) for (name,) in database.execute(sql)}
    return frozenset(name for name in found if not _is_ledger(name))


def _is_ledger(name: str) -> bool:
    return name.partition(" ")[2].partition(".")[0] in LEDGER_TABLES


def objects_made(source: Source) -> dict[int, Made]:
    """Return what each migration makes, by version, from running all of them in memory.

    Raises:
        MigrationError: a script does not run on an empty database.
    """
    made: dict[int, Made] = {}
    with open_database(":memory:", lock_timeout=0) as database:
        database.make_writable()
        with Transaction(database):
            Ledgers(database).create()
        for migration in source.migrations:
            before = objects(database)
            _run_up(database, migration)
            after = objects(database)
            made[migration.version] = Made(after - before, before - after)
    return made


def check_objects(source: Source, version: int, live: frozenset[str]) -> None:
    """Make sure that a live schema has everything that the migrations up to `version` leave behind.

    Raises:
        VersionNotPresent: the source has no such version.
        NotThere: something is missing.
    """
    if version not in {migration.version for migration in source.migrations}:
        raise VersionNotPresent(version)
    wanted: frozenset[str] = frozenset()
    for made_at, made in objects_made(source).items():
        if made_at <= version:
            wanted = (wanted - made.removed) | made.added
    if missing := wanted - live:
        raise NotThere(version, tuple(sorted(_telling(missing), key=_tables_first)))


def _telling(missing: frozenset[str]) -> Iterator[str]:
    """Leave out the columns of tables that are missing themselves."""
    for name in missing:
        kind, _, rest = name.partition(" ")
        if kind != "column" or f"table {rest.partition('.')[0]}" not in missing:
            yield name


def _tables_first(name: str) -> tuple[bool, str]:
    return not name.startswith("table "), name


def _run_up(database: Database, migration: Migration) -> None:
    step = Step(migration, Action.APPLY)
    if not migration.up.directives.transactional:
        run_outside(database, step, strict=False)
        return
    with Transaction(database):
        if commits_by_itself(step):
            run_in_pieces(database, step)
            database.go_on_writing()
        else:
            run(database, step)
