"""The definitions of everything in a PostgreSQL database, as the server's catalog has them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torc_migrations.databases.postgresql.connection import PostgreSQLConnection

_OF_USERS = "n.nspname NOT LIKE 'pg!_%' ESCAPE '!' AND n.nspname <> 'information_schema'"


def _ours(catalog: str, alias: str) -> str:
    """Return the condition that a row is neither the server's own nor made by an extension, which is an object too."""
    return f"""{_OF_USERS}
    AND NOT EXISTS (
        SELECT 1
        FROM pg_catalog.pg_depend
        WHERE classid = 'pg_catalog.{catalog}'::regclass
        AND objid = {alias}.oid
        AND deptype = 'e'
    )"""


# Also how the server numbers the table and the column, and the type alone.
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
        ),
        c.oid::bigint,
        a.attnum,
        format_type(a.atttypid, a.atttypmod)
    FROM pg_catalog.pg_class c
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
    WHERE c.relkind IN ('r', 'p', 'f', 'v', 'm', 'S')
    AND {_ours("pg_class", "c")}
    ORDER BY n.nspname, c.relname, a.attnum
"""
# The kind, the schema, the name, the definition, and the table that it belongs to, with the number of that.
SELECT_OBJECTS = f"""
    SELECT 'index', n.nspname, i.relname, pg_get_indexdef(i.oid), t.relname, t.oid::bigint
    FROM pg_catalog.pg_index x
    JOIN pg_catalog.pg_class i ON i.oid = x.indexrelid
    JOIN pg_catalog.pg_class t ON t.oid = x.indrelid
    JOIN pg_catalog.pg_namespace n ON n.oid = i.relnamespace
    WHERE {_ours("pg_class", "t")}
    UNION ALL
    SELECT 'constraint', n.nspname, t.relname || '.' || k.conname, pg_get_constraintdef(k.oid), t.relname, t.oid::bigint
    FROM pg_catalog.pg_constraint k
    JOIN pg_catalog.pg_class t ON t.oid = k.conrelid
    JOIN pg_catalog.pg_namespace n ON n.oid = t.relnamespace
    WHERE {_ours("pg_class", "t")}
    UNION ALL
    SELECT 'trigger', n.nspname, g.tgname, pg_get_triggerdef(g.oid), t.relname, t.oid::bigint
    FROM pg_catalog.pg_trigger g
    JOIN pg_catalog.pg_class t ON t.oid = g.tgrelid
    JOIN pg_catalog.pg_namespace n ON n.oid = t.relnamespace
    WHERE NOT g.tgisinternal
    AND {_ours("pg_class", "t")}
    UNION ALL
    SELECT
        'function',
        n.nspname,
        p.proname || '(' || pg_get_function_identity_arguments(p.oid) || ')',
        CASE WHEN p.prokind IN ('f', 'p') THEN pg_get_functiondef(p.oid) ELSE 'aggregate' END,
        NULL,
        NULL
    FROM pg_catalog.pg_proc p
    JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
    WHERE {_ours("pg_proc", "p")}
    UNION ALL
    SELECT 'view', n.nspname, c.relname, pg_get_viewdef(c.oid), NULL, NULL
    FROM pg_catalog.pg_class c
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('v', 'm')
    AND {_ours("pg_class", "c")}
    UNION ALL
    SELECT
        'type',
        n.nspname,
        t.typname,
        coalesce((SELECT string_agg(e.enumlabel, ' ' ORDER BY e.enumsortorder) FROM pg_catalog.pg_enum e
            WHERE e.enumtypid = t.oid), format_type(t.typbasetype, t.typtypmod)),
        NULL,
        NULL
    FROM pg_catalog.pg_type t
    JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace
    WHERE t.typtype IN ('e', 'd')
    AND {_ours("pg_type", "t")}
    UNION ALL
    SELECT 'extension', '', e.extname, e.extversion, NULL, NULL
    FROM pg_catalog.pg_extension e
    UNION ALL
    SELECT 'schema', '', n.nspname, '', NULL, NULL
    FROM pg_catalog.pg_namespace n
    WHERE {_ours("pg_namespace", "n")}
"""


# With an empty search path the server writes the schema of each name, in every database and after every script.
LEAVE_PATH = """
    SELECT
        set_config('torc.search_path', current_setting('search_path'), true),
        set_config('search_path', '', true)
"""
RESTORE_PATH = "SELECT set_config('search_path', current_setting('torc.search_path'), true)"


@dataclass(frozen=True, slots=True)
class Catalog:
    """The rows of `SELECT_COLUMNS` and of `SELECT_OBJECTS`."""

    columns: list[tuple[Any, ...]]
    objects: list[tuple[Any, ...]]


class CatalogedConnection(PostgreSQLConnection):
    """A connection that knows what the recorder of a rehearsal has read last.

    Attributes:
        catalog: what there was after the last script of a rehearsal, or None, where that may have been undone.
    """

    catalog: Catalog | None = None

    def forget_ledgers(self) -> None:
        """Forget what is undone, or may be."""
        super().forget_ledgers()
        self.catalog = None


def read_catalog(database: PostgreSQLConnection) -> Catalog:
    """Read all definitions, at once."""
    cursor = database.run(f"{LEAVE_PATH}; {SELECT_COLUMNS}; {SELECT_OBJECTS}; {RESTORE_PATH}")
    cursor.nextset()
    columns = cursor.fetchall()
    cursor.nextset()
    return Catalog(columns, cursor.fetchall())
