"""Read what the tables of a PostgreSQL database are made of: columns, rows, keys and indexes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from torc_migrations.databases.results.tables import Column, ForeignKey, TableState

if TYPE_CHECKING:
    from torc_migrations.databases.postgresql.connection import PostgreSQLConnection

_OURS = "n.nspname NOT LIKE 'pg!_%' ESCAPE '!' AND n.nspname <> 'information_schema'"
_PARTITIONED, _FOREIGN = "p", "f"
# A domain can have a default too. An identity is one, and a generated column takes no value.
SELECT_COLUMNS = f"""
    SELECT
        c.oid::bigint,
        n.nspname,
        c.relname,
        c.relkind::text,
        a.attname,
        a.attnotnull,
        a.atthasdef OR a.attidentity <> '' OR t.typdefault IS NOT NULL,
        a.attgenerated = ''
    FROM pg_catalog.pg_class c
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    LEFT JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
    WHERE c.relkind IN ('r', 'p', 'f')
    AND {_OURS}
    ORDER BY n.nspname, c.relname, a.attnum
"""
# A partition has the keys of its table.
SELECT_KEYS = """
    SELECT
        k.conrelid::bigint,
        p.relname,
        ARRAY(
            SELECT a.attname::text
            FROM unnest(k.conkey) WITH ORDINALITY AS u (number, place)
            JOIN pg_catalog.pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = u.number
            ORDER BY u.place
        )
    FROM pg_catalog.pg_constraint k
    JOIN pg_catalog.pg_class p ON p.oid = k.confrelid
    WHERE k.contype = 'f'
    AND k.conparentid = 0
    ORDER BY k.conrelid, k.conname
"""
# NULL for an expression. A partial index does not have all rows, and an invalid one is not used.
SELECT_INDEXES = """
    SELECT
        x.indrelid::bigint,
        ARRAY(
            SELECT a.attname::text
            FROM unnest(x.indkey::smallint[]) WITH ORDINALITY AS u (number, place)
            LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = x.indrelid AND a.attnum = u.number
            ORDER BY u.place
        )
    FROM pg_catalog.pg_index x
    WHERE x.indpred IS NULL
    AND x.indisvalid
    ORDER BY x.indexrelid
"""


def read_tables(
    database: PostgreSQLConnection, ignored: Collection[str], known: Mapping[str, TableState]
) -> dict[str, TableState]:
    """Return all tables but the `ignored` ones by name, as `SELECT_STATE` names them; rows of `known` ones stay so."""
    columns: dict[int, list[Column]] = {}
    names: dict[int, tuple[str, str, str]] = {}
    for number, schema, name, kind, column, not_null, has_default, is_written in database.run(SELECT_COLUMNS):
        if name.lower() in ignored:
            continue
        names[number] = (schema, name, kind)
        found = columns.setdefault(number, [])
        if column is not None:
            found.append(Column(column, not_null, has_default, is_key=False, is_written=is_written))
    keys, indexed = _by_table(_keys(database)), _by_table(_indexes(database))
    tables = {}
    for number, (schema, name, kind) in names.items():
        full = name if schema == database.schema else f"{schema}.{name}"
        old = known.get(full) if kind != _PARTITIONED else None
        rows = old.rows if old is not None else _count(database, schema, name, kind)
        parts = tuple(columns[number]), rows, tuple(keys[number]), tuple(indexed[number])
        state = TableState(full, "", *parts)
        tables[full] = old if old == state else state
    return tables


def _count(database: PostgreSQLConnection, schema: str, name: str, kind: str) -> int | None:
    """Return the number of rows of a table; those of a foreign table are elsewhere."""
    if kind == _FOREIGN:
        return None
    place = f"{database.quote_identifier(schema)}.{database.quote_identifier(name)}"
    return int(database.row(f"SELECT count(*) FROM {place}")[0])


def _keys(database: PostgreSQLConnection) -> Iterator[tuple[int, ForeignKey]]:
    for table, parent, columns in database.run(SELECT_KEYS):
        yield table, ForeignKey(tuple(columns), parent)


def _indexes(database: PostgreSQLConnection) -> Iterator[tuple[int, tuple[str | None, ...]]]:
    for table, columns in database.run(SELECT_INDEXES):
        yield table, tuple(columns)


def _by_table(rows: Iterator[tuple[int, Any]]) -> Mapping[int, list[Any]]:
    found: dict[int, list[Any]] = defaultdict(list)
    for table, value in rows:
        found[table].append(value)
    return found
