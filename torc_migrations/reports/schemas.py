"""Compare the database before and after some migrations: tables, columns, rows, and the other objects."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from torc_migrations.checks.linting.facts import Fact
from torc_migrations.checks.linting.states import State
from torc_migrations.databases.results.tables import TableState
from torc_migrations.databases.sqlite.scripts.statements import canonical
from torc_migrations.formatting import lowered
from torc_migrations.rehearsals.report import RowsChange
from torc_migrations.reports.values import ColumnChange, Kind, ObjectChange, TableChange


class Names:
    """Which name each table and column, by its lower name before some migrations, has after them."""

    def __init__(self, before: State, facts: Sequence[Fact]) -> None:
        tables = before.tables
        self.tables = {key: key for key in tables}
        self.columns = {key: {lowered(c.name): lowered(c.name) for c in table.columns} for key, table in tables.items()}
        for fact in facts:
            self._follow(fact)

    def _follow(self, fact: Fact) -> None:
        for key, name in self.tables.items():
            self.columns[key] = {old: fact.column_after(name, now) for old, now in self.columns[key].items()}
            self.tables[key] = fact.name_after(name)


def table_changes(before: State, after: State, names: Names) -> Iterator[TableChange]:
    """Yield every table that was there before or is there after."""
    known = {names.tables[key]: key for key in before.tables}
    for key, now in after.tables.items():
        parents = tuple(_parents(now, after))
        if key not in known:
            columns = tuple(ColumnChange(each.name, "added") for each in now.columns)
            yield TableChange(now.name, "added", columns, parents)
            continue
        old = before.tables[known[key]]
        columns = tuple(_column_changes(old, now, names.columns[known[key]]))
        was = old.name if lowered(old.name) != key else None
        changes = columns or was or (old is not now and _words(old) != _words(now))
        yield TableChange(now.name, "changed" if changes else "unchanged", columns, parents, was)
    for key, old in before.tables.items():
        if names.tables[key] not in after.tables:
            columns = tuple(ColumnChange(each.name, "dropped") for each in old.columns)
            yield TableChange(old.name, "dropped", columns, tuple(_parents(old, before)))


def _parents(table: TableState, state: State) -> Iterator[str]:
    """Yield the names of the tables that the keys of a table point to, as they are written where they are made."""
    for each in dict.fromkeys(lowered(key.parent) for key in table.keys):
        if each in state.tables:
            yield state.tables[each].name


def _words(table: TableState) -> tuple[str, ...]:
    return tuple(canonical(table.sql.encode()))


def _column_changes(old: TableState, now: TableState, names: dict[str, str]) -> Iterator[ColumnChange]:
    before = {names[lowered(each.name)]: each for each in old.columns}
    for column in now.columns:
        known = before.pop(lowered(column.name), None)
        if known is None:
            yield ColumnChange(column.name, "added")
        elif lowered(known.name) != lowered(column.name):
            yield ColumnChange(column.name, "changed", was=known.name)
        elif known != column:
            yield ColumnChange(column.name, "changed")
    yield from (ColumnChange(column.name, "dropped") for column in before.values())


def row_changes(before: State, after: State, names: Names) -> Iterator[RowsChange]:
    """Yield the rows of every table that was there before or is there after."""
    for key, table in before.tables.items():
        now = after.tables.get(names.tables[key])
        renamed = now.name if now is not None and lowered(now.name) != key else None
        yield RowsChange(table.name, table.rows, now.rows if now is not None else None, renamed)
    known = set(names.tables.values())
    yield from (RowsChange(table.name, None, table.rows) for key, table in after.tables.items() if key not in known)


def object_changes(before: State, after: State) -> Iterator[ObjectChange]:
    """Yield the indexes, views and triggers that are added, changed or dropped."""
    for key in dict.fromkeys((*after.objects, *before.objects)):
        old, now = before.objects.get(key), after.objects.get(key)
        kind: Kind = "added" if old is None else "dropped" if now is None else "changed"
        each = now or old
        assert each is not None
        if old is None or now is None or canonical(old.sql.encode()) != canonical(now.sql.encode()):
            yield ObjectChange(each.kind, each.name, each.table, kind)
