"""The definitions of everything in a PostgreSQL database, as words that can be compared."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING

from torc_migrations.databases.interface import RowReading
from torc_migrations.databases.results.contents import Change, Contents, Table

if TYPE_CHECKING:
    from torc_migrations.databases.interface import RecordedEffects
    from torc_migrations.databases.postgresql.connection import PostgreSQLConnection

_OURS = "n.nspname NOT LIKE 'pg!_%' ESCAPE '!' AND n.nspname <> 'information_schema'"
SELECT_COLUMNS = f"""
    SELECT
        n.nspname,
        c.relname,
        c.relkind::text,
        a.attname,
        concat_ws(
            ' ',
            format_type(a.atttypid, a.atttypmod),
            CASE WHEN a.attnotnull THEN 'NOT NULL' END,
            pg_get_expr(d.adbin, d.adrelid),
            nullif(a.attidentity::text, ''),
            nullif(a.attgenerated::text, '')
        )
    FROM pg_catalog.pg_class c
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
    WHERE c.relkind IN ('r', 'p', 'f', 'v', 'm', 'S')
    AND {_OURS}
    ORDER BY n.nspname, c.relname, a.attnum
"""
# The kind, the schema, the name, the definition, and the table that it belongs to.
SELECT_OBJECTS = f"""
    SELECT 'index', n.nspname, i.relname, pg_get_indexdef(i.oid), t.relname
    FROM pg_catalog.pg_index x
    JOIN pg_catalog.pg_class i ON i.oid = x.indexrelid
    JOIN pg_catalog.pg_class t ON t.oid = x.indrelid
    JOIN pg_catalog.pg_namespace n ON n.oid = i.relnamespace
    WHERE {_OURS}
    UNION ALL
    SELECT 'constraint', n.nspname, t.relname || '.' || k.conname, pg_get_constraintdef(k.oid), t.relname
    FROM pg_catalog.pg_constraint k
    JOIN pg_catalog.pg_class t ON t.oid = k.conrelid
    JOIN pg_catalog.pg_namespace n ON n.oid = t.relnamespace
    WHERE {_OURS}
    UNION ALL
    SELECT 'trigger', n.nspname, g.tgname, pg_get_triggerdef(g.oid), t.relname
    FROM pg_catalog.pg_trigger g
    JOIN pg_catalog.pg_class t ON t.oid = g.tgrelid
    JOIN pg_catalog.pg_namespace n ON n.oid = t.relnamespace
    WHERE NOT g.tgisinternal
    AND {_OURS}
    UNION ALL
    SELECT
        'function',
        n.nspname,
        p.proname || '(' || pg_get_function_identity_arguments(p.oid) || ')',
        CASE WHEN p.prokind IN ('f', 'p') THEN pg_get_functiondef(p.oid) ELSE 'aggregate' END,
        NULL
    FROM pg_catalog.pg_proc p
    JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
    WHERE {_OURS}
    UNION ALL
    SELECT 'view', n.nspname, c.relname, pg_get_viewdef(c.oid), NULL
    FROM pg_catalog.pg_class c
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('v', 'm')
    AND {_OURS}
    UNION ALL
    SELECT
        'type',
        n.nspname,
        t.typname,
        coalesce((SELECT string_agg(e.enumlabel, ' ' ORDER BY e.enumsortorder) FROM pg_catalog.pg_enum e
            WHERE e.enumtypid = t.oid), format_type(t.typbasetype, t.typtypmod)),
        NULL
    FROM pg_catalog.pg_type t
    JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace
    WHERE t.typtype IN ('e', 'd')
    AND {_OURS}
    UNION ALL
    SELECT 'extension', '', e.extname, e.extversion, NULL
    FROM pg_catalog.pg_extension e
    UNION ALL
    SELECT 'schema', '', n.nspname, '', NULL
    FROM pg_catalog.pg_namespace n
    WHERE {_OURS}
"""
_TABLES, _SEQUENCE, _PARTITIONED, _FOREIGN = "rpf", "S", "p", "f"


class ContentsTracker:
    """The contents of a database: the definitions are read after each script, and rows where it has written."""

    def __init__(self, database: PostgreSQLConnection, ignored: Collection[str], rows: RowReading) -> None:
        self._database = database
        self._ignored = ignored
        self._rows = rows
        self.contents = read_contents(database, ignored, rows)

    def follow(self, effects: RecordedEffects) -> Change:
        """Read again what the script that ran last may have touched."""
        before = self.contents
        known = {name: table for name, table in before.tables.items() if name not in effects.written}
        self.contents = read_contents(self._database, self._ignored, self._rows, known)
        return Change(before, self.contents)

    def begin_again(self) -> None:
        """Read everything again, because what was followed was undone."""
        self.contents = read_contents(self._database, self._ignored, self._rows)


def read_contents(
    database: PostgreSQLConnection,
    ignored: Collection[str],
    rows: RowReading = RowReading.NOTHING,
    known: Mapping[str, Table] | None = None,
) -> Contents:
    """Read the definitions of all objects, and the rows of all tables that are not `known`.

    Names have their schema, unless it is that of the ledgers.
    """
    columns: dict[str, list[str]] = {}
    kinds: dict[str, tuple[str, str, str]] = {}
    objects: dict[str, tuple[str, ...]] = {}
    owners: dict[str, str] = {}
    for schema, name, kind, column, definition in database.run(SELECT_COLUMNS):
        full = _named(database, schema, name)
        if name in ignored:
            continue
        if kind == _SEQUENCE:
            objects[f"sequence {full}"] = ()
        elif kind in _TABLES:
            columns.setdefault(full, [])
            kinds[full] = (schema, name, kind)
            if column is not None:
                columns[full].append(column)
                objects[f"table {full}"] = (*objects.get(f"table {full}", ()), column, *_words(definition))
            else:
                objects.setdefault(f"table {full}", ())
    for kind, schema, name, definition, table in database.run(SELECT_OBJECTS):
        if table in ignored or (kind == "constraint" and table is None):
            continue
        title = f"{kind} {_named(database, schema, name)}"
        objects[title] = _words(definition)
        if table is not None:
            owners[title] = _named(database, schema, table)
    tables = dict(_read_tables(database, columns, kinds, rows, known or {}))
    return Contents(objects, tables, owners)


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


def _words(definition: str | None) -> tuple[str, ...]:
    return tuple(re.findall(r"\w+|[^\w\s]", definition or ""))
