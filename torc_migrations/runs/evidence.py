"""Learn on a scratch database what each migration makes, and look for it where the ledgers contradict each other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from contextlib import contextmanager, nullcontext
from typing import cast

from torc_migrations.databases.interface import Database, Effects, RecordedEffects, RowReading, ScriptMode
from torc_migrations.databases.results.contents import Change, Contents
from torc_migrations.errors import MigrationError, NotRehearsable, NotThere, StepFailed, VersionNotPresent
from torc_migrations.history.comparison import settle
from torc_migrations.history.evidence import Evidence, Made, Trial
from torc_migrations.history.status import Status
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


def status_by_schema(session: Session) -> Status:
    """Return the status, with what the schema says about each migration that is out of step. Writes nothing."""
    status = session.status()
    if not any(entry.out_of_step for entry in status.entries):
        return status
    with session.database.reading():
        return settle_by_schema(session, status)


def settle_by_schema(session: Session, status: Status) -> Status:
    """Return a status with what the schema says about each migration that is out of step.

    What a migration makes is learned on a scratch database. The schema is read in the caller's transaction.
    """
    if not any(entry.out_of_step for entry in status.entries):
        return status
    trial = session.trial = session.trial or try_migrations(session)
    live = session.database.read_contents(session.ledgers.tables)
    names = live.names
    touched: set[str] = set()  # by migrations that are newer than the one that is looked at
    found = {}
    for entry in reversed(status.entries):
        version = entry.migration.version
        if entry.out_of_step:
            found[version] = _evidence(trial, version, touched, live, names)
        if entry.installed or entry.out_of_step:
            touched |= trial.made.get(version, Made()).names
    return settle(status, found)


def _evidence(trial: Trial, version: int, touched: AbstractSet[str], live: Contents, names: frozenset[str]) -> Evidence:
    made = trial.made.get(version)
    if made is None:
        return Evidence(unknown=str(trial.error))
    return _by_name(made, touched, names) or _by_definition(made, touched, live)


def _by_name(made: Made, touched: AbstractSet[str], live: frozenset[str]) -> Evidence | None:
    """Look for what a migration adds and removes, apart from what a later one adds or removes again."""
    signs = {name: name in live for name in made.added - touched}
    signs |= {f"the removal of {name}": name not in live for name in made.removed - touched}
    return _sorted(signs) if signs else None


def _by_definition(made: Made, touched: AbstractSet[str], live: Contents) -> Evidence:
    """Compare definitions, where a migration adds and removes no name; a third one shows nothing."""
    signs = {
        f"the new definition of {name}": live.objects.get(name) == after
        for name, (before, after) in made.changed.items()
        if name not in touched and live.objects.get(name) in (before, after)
    }
    return _sorted(signs)


def _sorted(signs: dict[str, bool]) -> Evidence:
    names = sorted(_without_columns_of_tables(signs), key=lambda name: ("table " not in name, name))
    return Evidence(tuple(n for n in names if signs[n]), tuple(n for n in names if not signs[n]))


def _without_columns_of_tables(signs: dict[str, bool]) -> Iterator[str]:
    """Leave out a column that is there, or lacking, as its whole table is."""
    for name, is_there in signs.items():
        table = name.replace("column ", "table ").rpartition(".")[0]
        if "column " not in name or signs.get(table) is not is_there:
            yield name
