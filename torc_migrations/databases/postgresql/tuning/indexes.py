"""Read the indexes of a PostgreSQL database: their columns, their sizes, and how often they were used."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from torc_migrations.databases.results.indexes import Column, FoundIndexes, Index, Key, Origin

if TYPE_CHECKING:
    from torc_migrations.databases.postgresql.connection import PostgreSQLConnection

_OURS = "n.nspname NOT LIKE 'pg!_%' ESCAPE '!' AND n.nspname <> 'information_schema'"
SELECT_INDEXES = f"""
    SELECT
        i.oid::bigint,
        n.nspname,
        t.relname,
        i.relname,
        x.indisunique,
        CASE WHEN x.indisprimary THEN 'pk' WHEN k.oid IS NOT NULL THEN 'u' ELSE 'c' END,
        x.indisvalid,
        m.amname,
        pg_get_expr(x.indpred, x.indrelid),
        i.reltuples::bigint,
        pg_relation_size(i.oid),
        s.idx_scan
    FROM pg_catalog.pg_index x
    JOIN pg_catalog.pg_class i ON i.oid = x.indexrelid
    JOIN pg_catalog.pg_class t ON t.oid = x.indrelid
    JOIN pg_catalog.pg_namespace n ON n.oid = t.relnamespace
    JOIN pg_catalog.pg_am m ON m.oid = i.relam
    LEFT JOIN pg_catalog.pg_constraint k ON k.conindid = i.oid AND k.contype IN ('p', 'u', 'x')
    LEFT JOIN pg_catalog.pg_stat_user_indexes s ON s.indexrelid = i.oid
    WHERE i.relkind = 'i'
    AND {_OURS}
    ORDER BY n.nspname, t.relname, i.relname
"""
# The columns behind `indnkeyatts` are only stored in the index. In `indoption` 1 is for DESC, and 2 for NULLS FIRST.
SELECT_COLUMNS = f"""
    SELECT
        x.indexrelid::bigint,
        k.number > x.indnkeyatts,
        a.attname,
        coalesce(x.indoption[k.number - 1], 0) & 1 = 1,
        coalesce(x.indoption[k.number - 1], 0) & 2 = 2,
        (SELECT c.collname FROM pg_catalog.pg_collation c
            WHERE c.oid = x.indcollation[k.number - 1] AND c.oid IS DISTINCT FROM a.attcollation),
        (SELECT o.opcname FROM pg_catalog.pg_opclass o WHERE o.oid = x.indclass[k.number - 1] AND NOT o.opcdefault)
    FROM pg_catalog.pg_index x
    JOIN pg_catalog.pg_class t ON t.oid = x.indrelid
    JOIN pg_catalog.pg_namespace n ON n.oid = t.relnamespace
    CROSS JOIN LATERAL generate_series(1, x.indnatts) k (number)
    LEFT JOIN pg_catalog.pg_attribute a
        ON a.attrelid = x.indrelid AND a.attnum = x.indkey[k.number - 1] AND x.indkey[k.number - 1] <> 0
    WHERE {_OURS}
    ORDER BY x.indexrelid, k.number
"""
SELECT_KEYS = f"""
    SELECT
        n.nspname,
        t.relname,
        (SELECT array_agg(a.attname::text ORDER BY k.place)
            FROM unnest(f.conkey) WITH ORDINALITY k (number, place)
            JOIN pg_catalog.pg_attribute a ON a.attrelid = f.conrelid AND a.attnum = k.number),
        p.nspname,
        o.relname,
        f.confdeltype::text
    FROM pg_catalog.pg_constraint f
    JOIN pg_catalog.pg_class t ON t.oid = f.conrelid
    JOIN pg_catalog.pg_namespace n ON n.oid = t.relnamespace
    JOIN pg_catalog.pg_class o ON o.oid = f.confrelid
    JOIN pg_catalog.pg_namespace p ON p.oid = o.relnamespace
    WHERE f.contype = 'f'
    AND {_OURS}
    ORDER BY n.nspname, t.relname, f.conname
"""
SELECT_FACTS = """
    SELECT
        pg_database_size(current_database()),
        (SELECT to_char(d.stats_reset AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI "UTC"')
            FROM pg_catalog.pg_stat_database d WHERE d.datname = current_database())
"""
_ACTIONS = {"a": "NO ACTION", "r": "RESTRICT", "c": "CASCADE", "n": "SET NULL", "d": "SET DEFAULT"}


def read_indexes(database: PostgreSQLConnection) -> FoundIndexes:
    """Read every index and every foreign key, in the caller's transaction."""
    size, since = database.row(SELECT_FACTS)
    when = f"since {since}" if since else "since the server was made"
    note = f"scans are counted {when}, on this server; those on its standbys are not among them"
    return FoundIndexes(tuple(_indexes(database)), tuple(_keys(database)), int(size), None, notes=(note,))


def _indexes(database: PostgreSQLConnection) -> Iterator[Index]:
    columns: dict[int, list[Column]] = {}
    included: dict[int, list[str]] = {}
    for number, is_included, name, descending, nulls_first, collation, operators in database.run(SELECT_COLUMNS):
        if is_included:
            included.setdefault(number, []).append(str(name))
        else:
            options = _options(operators, descending=descending, nulls_first=nulls_first)
            columns.setdefault(number, []).append(Column(name, bool(descending), collation or "BINARY", options))
    for row in database.run(SELECT_INDEXES):
        yield _index(database, row, tuple(columns.get(row[0], ())), included.get(row[0], []))


def _index(database: PostgreSQLConnection, row: Any, columns: tuple[Column, ...], included: list[str]) -> Index:
    _, schema, table, name, unique, origin, is_valid, method, condition, rows, size, scans = row
    return Index(
        str(name),
        _named(database, schema, table),
        columns,
        bool(unique),
        Origin(origin),
        method=f"{method} include ({', '.join(included)})" if included else str(method),
        partial=condition,
        rows=None if rows < 0 else int(rows),
        size=int(size),
        scans=None if scans is None else int(scans),
        is_valid=bool(is_valid),
    )


def _options(operators: str | None, *, descending: bool, nulls_first: bool) -> str:
    """Return what is not the default of a column: its operators, and where NULL is."""
    nulls = "" if nulls_first is descending else f"NULLS {'FIRST' if nulls_first else 'LAST'}"
    return " ".join(filter(None, (operators, nulls)))


def _keys(database: PostgreSQLConnection) -> Iterator[Key]:
    for schema, table, columns, other_schema, other, action in database.run(SELECT_KEYS):
        other_table = _named(database, other_schema, other)
        yield Key(_named(database, schema, table), tuple(columns), other_table, _ACTIONS[action])


def _named(database: PostgreSQLConnection, schema: str, name: str) -> str:
    return str(name) if schema == database.schema else f"{schema}.{name}"
