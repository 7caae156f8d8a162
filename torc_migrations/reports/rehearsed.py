"""What a report takes from a rehearsal on a server, where the migrations do not run in this process."""

from __future__ import annotations

from collections.abc import Iterator

from torc_migrations.rehearsals.comparison import SchemaDifference
from torc_migrations.reports.values import ColumnChange, Kind, ObjectChange, TableChange

_TABLE = "table "


def table_changes_of(schema: SchemaDifference) -> Iterator[TableChange]:
    """Yield the tables that a rehearsal has added, changed or dropped; it does not say which keys they have."""
    for kind, name in _named(schema):
        if name.startswith(_TABLE):
            table = name.removeprefix(_TABLE)
            yield TableChange(table, kind, tuple(_columns(schema, table)) if kind == "changed" else ())


def object_changes_of(schema: SchemaDifference) -> Iterator[ObjectChange]:
    """Yield everything else that it has added, changed or dropped."""
    for kind, name in _named(schema):
        if not name.startswith(_TABLE):
            what, _, own = name.partition(" ")
            yield ObjectChange(what, own, None, kind)


def _named(schema: SchemaDifference) -> Iterator[tuple[Kind, str]]:
    yield from (("added", name) for name in schema.added)
    yield from (("changed", name) for name in schema.changed)
    yield from (("dropped", name) for name in schema.removed)


def _columns(schema: SchemaDifference, table: str) -> Iterator[ColumnChange]:
    for column in schema.columns:
        sign, _, name = column.partition(" ")
        if name.startswith(f"{table}."):
            yield ColumnChange(name.removeprefix(f"{table}."), "added" if sign == "+" else "dropped")
