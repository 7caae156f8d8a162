"""Read the indexes of a MariaDB or MySQL database: their columns, their sizes, their statistics."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import TYPE_CHECKING

from torc_migrations.databases.mysql.connection import is_of_driver, message_of
from torc_migrations.databases.results.indexes import Column, FoundIndexes, Index, Key, Origin

if TYPE_CHECKING:
    from torc_migrations.databases.mysql.transactions import MySqlConnection

SELECT_INDEXES = """
    SELECT s.table_name, s.index_name, s.non_unique, s.index_type, s.column_name, s.collation, s.sub_part,
        s.cardinality, t.table_rows
    FROM information_schema.statistics s
    JOIN information_schema.tables t ON t.table_schema = s.table_schema AND t.table_name = s.table_name
    WHERE s.table_schema = :schema
    ORDER BY s.table_name, s.index_name, s.seq_in_index
"""
SELECT_KEYS = """
    SELECT k.table_name, k.constraint_name, k.column_name, k.referenced_table_name, r.delete_rule
    FROM information_schema.key_column_usage k
    JOIN information_schema.referential_constraints r
        ON r.constraint_schema = k.constraint_schema
        AND r.constraint_name = k.constraint_name
        AND r.table_name = k.table_name
    WHERE k.table_schema = :schema
    ORDER BY k.table_name, k.constraint_name, k.ordinal_position
"""
# https://mariadb.com/kb/en/mysqlinnodb_index_stats/
SELECT_SIZES = """
    SELECT table_name, index_name, stat_value * @@innodb_page_size
    FROM mysql.innodb_index_stats
    WHERE database_name = :schema
    AND stat_name = 'size'
"""
SELECT_SIZE = """
    SELECT coalesce(sum(data_length + index_length), 0), coalesce(sum(data_free), 0)
    FROM information_schema.tables
    WHERE table_schema = :schema
"""


def read_indexes(database: MySqlConnection) -> FoundIndexes:
    """Read every index and every foreign key, in the caller's transaction."""
    notes: list[str] = []
    sizes = _sizes(database, notes)
    size, free = database.execute(SELECT_SIZE, {"schema": database.schema}).fetchone()
    return FoundIndexes(
        tuple(_indexes(database, sizes)), tuple(_keys(database)), int(size), int(free), notes=tuple(notes)
    )


def _sizes(database: MySqlConnection, notes: list[str]) -> dict[tuple[str, str], int]:
    """Return the bytes of each index, by the names of its table and its own, where this user may read them."""
    try:
        rows = database.execute(SELECT_SIZES, {"schema": database.schema}).fetchall()
    except Exception as error:
        if not is_of_driver(error):
            raise
        notes.append(f"sizes are unknown: {message_of(error)}")
        return {}
    return {(str(table), str(index)): int(size) for table, index, size in rows}


def _indexes(database: MySqlConnection, sizes: dict[tuple[str, str], int]) -> Iterator[Index]:
    rows = database.execute(SELECT_INDEXES, {"schema": database.schema}).fetchall()
    for (table, name, non_unique, method, number), found in groupby(rows, key=lambda row: (*row[:4], row[8])):
        columns, per_value = [], []
        for *_, column, direction, part, distinct, _ in found:
            columns.append(Column(column, direction == "D", options=f"({part})" if part else ""))
            if distinct and number is not None:
                per_value.append(max(1, int(number) // int(distinct)))
        is_primary = name == "PRIMARY"
        yield Index(
            str(name),
            str(table),
            tuple(columns),
            not non_unique,
            Origin.PRIMARY_KEY if is_primary else Origin.CREATED,
            method=str(method).lower(),
            is_table=is_primary,
            rows=None if number is None else int(number),
            size=sizes.get((str(table), str(name))),
            rows_per_value=tuple(per_value),
        )


def _keys(database: MySqlConnection) -> Iterator[Key]:
    rows = database.execute(SELECT_KEYS, {"schema": database.schema}).fetchall()
    for (table, _), found in groupby(rows, key=lambda row: row[:2]):
        parts = list(found)
        yield Key(str(table), tuple(str(part[2]) for part in parts), str(parts[0][3]), str(parts[0][4]))
