"""Run a source on a scratch database, to learn which objects each migration makes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import cast

from torc_migrations.databases.interface import Database, Effects, RecordedEffects, RowReading, ScriptMode
from torc_migrations.databases.results.contents import Change
from torc_migrations.errors import MigrationError, NotRehearsable, NotThere, StepFailed, VersionNotPresent
from torc_migrations.history.evidence import Made, Trial
from torc_migrations.history.steps import Action, Step
from torc_migrations.runs.session import Session
from torc_migrations.sources.migration import Migration

# What follows for a baseline from a script that cannot be run on an empty database.
_UNKNOWN = (
    "nothing was recorded, because what the migrations create cannot be found out; look at the tables by hand, then "
    "perform(Action.RECORD, versions) records them unchecked"
)
_UNKNOWN_COMMAND = (
    "nothing was recorded, because what the migrations create cannot be found out; look at the tables by hand, then "
    "`yoyo mark` records them unchecked, and the next `upgrade` writes the rows of sqlx's ledger"
)


_ON_EMPTY = "this was a run on an empty database, to learn what the migrations create; {} changed"


@contextmanager
def on_empty_database(name: str | None) -> Iterator[None]:
    """Say of a script that fails that nothing of the database with this name was touched, if there is one."""
    try:
        yield
    except MigrationError as error:
        error.report = None
        if isinstance(error, StepFailed):
            error.replace_hint(_ON_EMPTY.format(f"{name} was not" if name else "no other database was"))
        raise


@contextmanager
def scratch_database(session: Session) -> Iterator[Database]:
    """Yield an empty database with the tables of both ledgers, on which scripts are recorded; remove it afterwards.

    Raises:
        NotSupported: no scratch database of this kind can be made.
    """
    with session.database.empty() as database:
        database.prepare_to_write()
        with database.transaction():
            session.ledgers.of(database).create()
        yield database


def try_migrations(session: Session, last: int | None = None) -> Trial:
    """Run the migrations of a source on an empty database, up to the `last`, or the first that does not run there."""
    made: dict[int, Made] = {}
    ignored = session.ledgers.tables
    try:
        with scratch_database(session) as database:
            tracker = database.track_contents(ignored, RowReading.NOTHING)
            for migration in session.source.migrations:
                if last is not None and migration.version > last:
                    break
                effects = cast("RecordedEffects", run_up(database, migration))
                made[migration.version] = _made(tracker.follow(effects))
    except MigrationError as error:
        return Trial(made, error)
    return Trial(made)


def _made(change: Change) -> Made:
    before, after = change.before, change.after
    changed = {
        name: (words, after.objects[name])
        for name, words in before.objects.items()
        if name in after.objects and after.objects[name] != words
    }
    return Made(after.names - before.names, before.names - after.names, changed)


def objects_made(session: Session, last: int | None = None) -> Mapping[int, Made]:
    """Return what each migration makes, by version, from running them on an empty database, up to the `last` one.

    Raises:
        MigrationError: a script does not run on an empty database.
        NotRehearsable: a script would open other files than that database.
        NotSupported: no scratch database of this kind can be made.
    """
    made, error = try_migrations(session, last)
    if error is not None:
        with on_empty_database(session.database.name):
            raise error
    return made


def check_objects(session: Session, version: int) -> tuple[int, ...]:
    """Return the versions up to one, once it is sure that a database has everything that they leave behind.

    Raises:
        VersionNotPresent: the source has no such version.
        NotThere: something is missing.
        NotRehearsable: what they leave behind cannot be found out.
    """
    if version not in {migration.version for migration in session.source.migrations}:
        raise VersionNotPresent(version)
    wanted: frozenset[str] = frozenset()
    try:
        objects = objects_made(session, version)
    except NotRehearsable as error:
        error.replace_hint(_UNKNOWN)
        error.command_hint = _UNKNOWN_COMMAND
        raise
    for made in objects.values():
        wanted = (wanted - made.removed) | made.added
    if missing := wanted - session.object_names():
        raise NotThere(version, tuple(sorted(_without_columns_of(missing), key=_tables_first)))
    return tuple(each.version for each in session.source.migrations if each.version <= version)


def _without_columns_of(missing: frozenset[str]) -> Iterator[str]:
    """Leave out the columns of tables that are missing themselves."""
    for name in missing:
        kind, _, rest = name.partition(" ")
        if kind != "column" or f"table {rest.partition('.')[0]}" not in missing:
            yield name


def _tables_first(name: str) -> tuple[bool, str]:
    return not name.startswith("table "), name


def run_up(database: Database, migration: Migration) -> Effects:
    """Run the up script of a migration on a scratch database, and return what it did; its ledgers stay empty.

    Raises:
        MigrationError: the script fails.
    """
    step = Step(migration, Action.APPLY)
    mode = database.script_mode(migration.up)
    database.begin_step(migration.up)
    with nullcontext() if mode is ScriptMode.OUTSIDE else database.transaction():
        effects = database.run_script(step, mode)
    database.end_step()
    return effects
