"""Look in a database for what a migration makes, where the ledgers contradict each other."""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Set as AbstractSet

from torc_migrations.databases.results.contents import Contents
from torc_migrations.history.comparison import settle
from torc_migrations.history.evidence import Evidence, Made, Trial
from torc_migrations.history.status import Status
from torc_migrations.runs.scratch import try_migrations
from torc_migrations.runs.session import Session


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
