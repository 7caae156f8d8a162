"""`check drift` on a server: definitions as the server writes them, beside those of a scratch database."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple, cast

from torc_migrations.databases.interface import RecordedEffects, RowReading
from torc_migrations.rehearsals.comparison import schema_difference
from torc_migrations.runs.evidence import run_up, scratch_database
from torc_migrations.runs.session import Session
from torc_migrations.sources.migration import Migration


class Drifted(NamedTuple):
    """An object that differs, as in `table job`.

    `table` is the name of the table that it belongs to, or empty. `wanted` and `found` are the words of its definition,
    in the scratch database and in the one that is compared. `migration` is the one that made or changed it last.
    """

    title: str
    table: str
    wanted: tuple[str, ...] | None
    found: tuple[str, ...] | None
    migration: Migration | None

    @property
    def rule(self) -> str:
        """The name of what is wrong."""
        if self.wanted is None:
            return "unexpected-object"
        return "missing-object" if self.found is None else "different-object"


def find_drift(session: Session, migrations: Sequence[Migration]) -> Iterator[Drifted]:
    """Yield what a database has more, less or otherwise than migrations make; not what belongs to such a table.

    What is in a schema with ledgers of its own belongs to other migrations, unless these ones make something in it too.

    Raises:
        MigrationError: a script does not run on an empty database.
        NotSupported: no scratch database can be made.
    """
    ignored = session.ledgers.tables
    with session.database.reading():
        found = session.database.read_contents(ignored)
    makers: dict[str, Migration] = {}
    with scratch_database(session) as scratch:
        tracker = scratch.track_contents(ignored, RowReading.NOTHING)
        for migration in migrations:
            change = tracker.follow(cast("RecordedEffects", run_up(scratch, migration)))
            difference = schema_difference(change.before, change.after)
            makers.update(dict.fromkeys((*difference.added, *difference.changed), migration))
        wanted = tracker.contents
    others = [schema for schema in found.others if not any(_is_in(title, schema) for title in wanted.objects)]
    difference = schema_difference(wanted, found)
    whole = {*difference.added, *difference.removed}
    for title in sorted((*whole, *difference.changed)):
        if any(_is_in(title, schema) for schema in others):
            continue
        table = found.owners.get(title) or wanted.owners.get(title, "")
        if f"table {table}" not in whole:
            yield Drifted(title, table, wanted.objects.get(title), found.objects.get(title), makers.get(title))


def _is_in(title: str, schema: str) -> bool:
    """Return whether an object is a schema, or is in it: `schema acme`, `table acme.job`."""
    kind, _, name = title.partition(" ")
    return name.startswith(f"{schema}.") or (kind, name) == ("schema", schema)
