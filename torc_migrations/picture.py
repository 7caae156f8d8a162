"""Take a picture of a database, its schema and its rows, and tell two of them apart."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from torc_migrations.connection import quote_identifier
from torc_migrations.database import Database
from torc_migrations.driver import sqlite3
from torc_migrations.script import canonical
from torc_migrations.values import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

SELECT_OBJECTS = """
    SELECT +type, +name, +tbl_name, coalesce(sql, '')
    FROM main.sqlite_master
    ORDER BY rowid
"""
COUNT_ROWS = """
    SELECT count(*)
    FROM main.{table}
"""
SELECT_ROWS = """
    SELECT {columns}
    FROM main.{table}
"""
# The tables in which SQLite's own virtual tables keep what is theirs.
_SHADOWS = (
    *("config", "content", "data", "docsize", "idx", "instance", "row", "col"),
    *("node", "parent", "rowid", "segdir", "segments", "stat"),
)
_DIGEST_BITS = 128


class Table(NamedTuple):
    """A table: its name as it is written, its columns, its number of rows, and a digest of them in any order.

    `rows` is None where the table cannot be read, as when its module is missing; `digest` where nobody asked for it.
    """

    name: str
    columns: tuple[str, ...]
    rows: int | None
    digest: int | None = None


class Picture(NamedTuple):
    """A schema, by kind and name as in `table job`, and what was written to make each; the tables by lower name."""

    objects: Mapping[str, str]
    tables: Mapping[str, Table]


class SchemaDifference(NamedTuple):
    """What a schema has more, less, and otherwise than another, as names: `table job`, `index i`.

    `columns` are the columns that changed tables have more or less: `+ job.note`, `- job.age`.
    """

    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, object]:
        """Return the same as values that `json` takes."""
        return {name: list(value) for name, value in self._asdict().items()}


def take_picture(
    database: Database,
    ignored: Collection[str],
    before: Picture | None = None,
    written: Collection[str] | None = None,
    *,
    digests: bool = False,
) -> Picture:
    """Look at everything but the `ignored` tables; rows only in those that were `written` to since `before`."""
    objects, names = _read_objects(database, ignored)
    known = before.tables if before is not None and written is not None else {}
    tables = {
        name.lower(): known[name.lower()]._replace(name=name, columns=columns)
        if name.lower() in known and name.lower() not in (written or ())
        else Table(name, columns, *_read_rows(database, name, columns, digests=digests))
        for name, columns in read_columns(database, names).items()
    }
    return Picture(objects, tables)


def schema_difference(before: Picture, after: Picture) -> SchemaDifference:
    """Tell what has come, gone and changed; how a definition is spaced and quoted does not matter."""
    both = [name for name in after.objects if name in before.objects]
    columns = [
        sign + f" {table.name}.{column}"
        for key, table in after.tables.items()
        if (old := before.tables.get(key))
        for sign, column in _column_difference(old.columns, table.columns)
    ]
    return SchemaDifference(
        added=tuple(sorted(after.objects.keys() - before.objects.keys())),
        removed=tuple(sorted(before.objects.keys() - after.objects.keys())),
        changed=tuple(
            name for name in both if canonical(before.objects[name].encode()) != canonical(after.objects[name].encode())
        ),
        columns=tuple(columns),
    )


def _column_difference(before: tuple[str, ...], after: tuple[str, ...]) -> Iterable[tuple[str, str]]:
    old, new = ({column.lower() for column in columns} for columns in (before, after))
    yield from (("+", column) for column in after if column.lower() not in old)
    yield from (("-", column) for column in before if column.lower() not in new)


def table_names(database: Database, ignored: Collection[str] = ()) -> tuple[str, ...]:
    """Return the names of the tables that hold somebody's rows."""
    return _read_objects(database, ignored)[1]


def read_columns(database: Database, tables: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Return the columns of tables; none where a table's module is missing."""
    return {table: _columns(database, table) for table in tables}


def _columns(database: Database, table: str) -> tuple[str, ...]:
    try:
        rows = database.execute(f"PRAGMA main.table_xinfo({quote_identifier(table)})").fetchall()
    except sqlite3.OperationalError:
        return ()
    return tuple(str(name) for _, name, _, _, _, _, hidden in rows if hidden != 1)


def _read_objects(database: Database, ignored: Collection[str]) -> tuple[dict[str, str], tuple[str, ...]]:
    rows = [(str(kind), str(name), str(table), str(sql)) for kind, name, table, sql in database.execute(SELECT_OBJECTS)]
    virtual = [name.lower() for kind, name, _, sql in rows if kind == "table" and _is_virtual(sql)]
    hidden = {f"{name}_{part}" for name in virtual for part in _SHADOWS} | {name.lower() for name in ignored}
    seen = [row for row in rows if not row[1].startswith("sqlite_") and row[2].lower() not in hidden]
    objects = {f"{kind} {name}": sql for kind, name, _, sql in seen}
    return objects, tuple(name for kind, name, _, _ in seen if kind == "table")


def _is_virtual(sql: str) -> bool:
    return canonical(sql.encode())[:2] == ("create", "virtual")


def _read_rows(
    database: Database, table: str, columns: tuple[str, ...], *, digests: bool
) -> tuple[int | None, int | None]:
    try:
        if digests:
            return _digest(database, table, columns)
        return int(database.execute(COUNT_ROWS.format(table=quote_identifier(table))).fetchone()[0]), None
    except sqlite3.OperationalError:
        return None, None


def _digest(database: Database, table: str, columns: tuple[str, ...]) -> tuple[int, int]:
    """Add up a hash of each row, so that neither the order of rows nor that of columns matters."""
    from hashlib import blake2b

    names = ", ".join(f"+{quote_identifier(column)}" for column in sorted(columns, key=str.lower)) or "NULL"
    sql = SELECT_ROWS.format(columns=names, table=quote_identifier(table))
    count, total = 0, 0
    text_factory = database.connection.text_factory
    database.connection.text_factory = bytearray  # so that a text differs from a blob, and need not be UTF-8
    try:
        for row in database.execute(sql):
            count += 1
            total += int.from_bytes(blake2b(repr(row).encode(), digest_size=_DIGEST_BITS // 8).digest(), "big")
    finally:
        database.connection.text_factory = text_factory
    return count, total % 2**_DIGEST_BITS
