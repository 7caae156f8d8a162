"""The definitions of everything in a PostgreSQL database, as words that can be compared."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING

from torc_migrations.databases.interface import RowReading
from torc_migrations.databases.postgresql.catalog import read_catalog
from torc_migrations.databases.results.contents import Change, Contents, Table

if TYPE_CHECKING:
    from torc_migrations.databases.interface import RecordedEffects
    from torc_migrations.databases.postgresql.catalog import Catalog, CatalogedConnection
    from torc_migrations.databases.postgresql.connection import PostgreSQLConnection

_TABLES, _SEQUENCE, _PARTITIONED, _FOREIGN = "rpf", "S", "p", "f"


class ContentsTracker:
    """The contents of a database after each script; rows are counted again only where it has written."""

    def __init__(self, database: CatalogedConnection, ignored: Collection[str], rows: RowReading) -> None:
        self._database = database
        self._ignored = ignored
        self._rows = rows
        self.contents = self._read()

    def follow(self, effects: RecordedEffects) -> Change:
        """Take what was read after the script that ran last, and the rows of the tables that it has touched."""
        before = self.contents
        known = {name: table for name, table in before.tables.items() if name not in effects.written}
        catalog = self._database.catalog or read_catalog(self._database)
        self.contents = _contents_of(self._database, catalog, self._ignored, self._rows, known)
        return Change(before, self.contents)

    def begin_again(self) -> None:
        """Read everything again, because what was followed was undone."""
        self.contents = self._read()

    def _read(self) -> Contents:
        self._database.catalog = catalog = read_catalog(self._database)
        return _contents_of(self._database, catalog, self._ignored, self._rows, {})


def read_contents(
    database: PostgreSQLConnection, ignored: Collection[str], rows: RowReading = RowReading.NOTHING
) -> Contents:
    """Read the definitions of all objects, and the rows of all tables.

    Names have their schema, unless it is that of the ledgers.
    """
    return _contents_of(database, read_catalog(database), ignored, rows, {})


def _contents_of(
    database: PostgreSQLConnection,
    catalog: Catalog,
    ignored: Collection[str],
    rows: RowReading,
    known: Mapping[str, Table],
) -> Contents:
    """Return what a catalog defines, and read the rows of all tables that are not `known`."""
    columns: dict[str, list[str]] = {}
    definitions: dict[str, list[tuple[str, ...]]] = {}
    kinds: dict[str, tuple[str, str, str]] = {}
    objects: dict[str, tuple[str, ...]] = {}
    owners: dict[str, str] = {}
    for schema, name, kind, column, definition, *_ in catalog.columns:
        full = _named(database, schema, name)
        if name in ignored:
            continue
        if kind == _SEQUENCE:
            objects[f"sequence {full}"] = ()
        elif kind in _TABLES:
            columns.setdefault(full, [])
            definitions.setdefault(full, [])
            kinds[full] = (schema, name, kind)
            if column is not None:
                columns[full].append(column)
                definitions[full].append((column, *_words(definition)))
    objects |= {f"table {full}": _listed(each) for full, each in definitions.items()}
    for kind, schema, name, definition, table, _ in catalog.objects:
        if table in ignored or (kind == "constraint" and table is None):
            continue
        title = f"{kind} {_named(database, schema, name)}"
        objects[title] = _words(definition)
        if table is not None:
            owners[title] = _named(database, schema, table)
    tables = dict(_read_tables(database, columns, kinds, rows, known))
    others = {schema for schema, name, *_ in catalog.columns if name in ignored and schema != database.schema}
    return Contents(objects, tables, owners, frozenset(others))


def _read_tables(
    database: PostgreSQLConnection,
    columns: Mapping[str, list[str]],
    kinds: Mapping[str, tuple[str, str, str]],
    rows: RowReading,
    known: Mapping[str, Table],
) -> Iterator[tuple[str, Table]]:
    """Read the rows of each table; a foreign table has them elsewhere, and a partitioned one in others."""
    for full, names in columns.items():
        schema, name, kind = kinds[full]
        table = known.get(full)
        if table is not None and kind != _PARTITIONED and table.columns == tuple(names):
            yield full, table
        elif rows is RowReading.NOTHING or kind == _FOREIGN:
            yield full, Table(full, tuple(names))
        else:
            place = f"{database.quote_identifier(schema)}.{database.quote_identifier(name)}"
            digest = "NULL"
            if rows is RowReading.DIGEST:
                # The order of the columns does not matter, and the sum of the rows does not depend on theirs.
                row = ", ".join(map(database.quote_identifier, sorted(names)))
                digest = f"coalesce(sum(hashtextextended(ROW({row})::text, 0)), 0)"
            count, found = database.row(f"SELECT count(*), {digest} FROM {place}")
            yield full, Table(full, tuple(names), int(count), None if found is None else int(found))


def _named(database: PostgreSQLConnection, schema: str, name: str) -> str:
    return name if schema in ("", database.schema) else f"{schema}.{name}"


def _listed(definitions: list[tuple[str, ...]]) -> tuple[str, ...]:
    """Return the words of the columns of a table as CREATE TABLE has them: in brackets, with commas."""
    words = (word for number, each in enumerate(definitions) for word in ((",", *each) if number else each))
    return ("(", *words, ")")


def _words(definition: str | None) -> tuple[str, ...]:
    return tuple(re.findall(r"\w+|[^\w\s]", definition or ""))
