"""See at a glance that there is nothing to do, as nearly every start of a service finds.

It is the plainest case only, in which `compare` and `plan_upgrade` would find no step and nothing to say; tests hold it
to that. All else is left to them: what is pending or amiss; hooks, dependencies, names of yoyo's own.
"""

from __future__ import annotations

from torc_migrations.checksum import checksum, yoyo_hash
from torc_migrations.connection import quote_identifier
from torc_migrations.database import open_database
from torc_migrations.driver import sqlite3
from torc_migrations.listing import find_bad_byte, list_files, read_once
from torc_migrations.values import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Set

    from torc_migrations.connection import DatabaseLike
    from torc_migrations.database import Database
    from torc_migrations.listing import File, Location

_SURELY = 18  # so many digits are a version that fits into 64 bits
_DATE = len("20230101")  # yoyo's own names may begin with one

# A plus hides a column's declared type, for which the owner of a lent connection may have a converter. An index might
# give two rows of one version in another order than the table does, or say something else if it is damaged.
SELECT_CHECKSUMS = """
    SELECT +version, CASE WHEN success THEN checksum END
    FROM {table} NOT INDEXED
"""
SELECT_MARKED = """
    SELECT +migration_hash
    FROM {table} NOT INDEXED
"""
# Next to max() SQLite gives the other columns of the same row: https://sqlite.org/lang_select.html#bareagg
SELECT_TAKEN_BACK = """
    SELECT +migration_hash
    FROM (
        SELECT migration_hash, operation, max(rowid)
        FROM _yoyo_log NOT INDEXED
        WHERE migration_hash IN (
            SELECT migration_hash
            FROM _yoyo_log NOT INDEXED
            WHERE operation NOT IN ('apply', 'mark')
        )
        GROUP BY migration_hash
    )
    WHERE operation NOT IN ('apply', 'mark')
"""


class _Recorded(NamedTuple):
    """What the ledgers say: checksums by version in sqlx's, the hashes of ids in yoyo's that its log does not deny."""

    checksums: Mapping[int, bytes | None]
    marked: Set[str]


def is_settled(
    database: DatabaseLike,
    source: str | os.PathLike[str] | None,
    *,
    lock_timeout: float,
    yoyo_table: str,
    sqlx_table: str,
    ignored_chars: str = "",
) -> bool:
    """Tell whether every migration of a folder is installed as it stands, and everything says so in the plainest way.

    Writes nothing. The folder is listed where the ledgers say something, and its files are read where no version is
    pending.

    Raises:
        SourceError, UrlError: the folder or the database cannot be read.
        LockTimeout: the database could not be read for `lock_timeout` seconds.
    """
    with open_database(database, lock_timeout=lock_timeout) as opened, opened.reading():
        recorded = _read(opened, yoyo_table, sqlx_table)
    if not recorded or not recorded.checksums:
        return False
    ups = _plain_ups(list_files(source)[1])
    return ups.keys() == recorded.checksums.keys() and _agree(ups, recorded, ignored_chars)


def _plain_ups(files: list[File]) -> dict[int, tuple[str, str]]:
    """Return the up files by version, as their stems and paths, or nothing where there is a name to think about."""
    kinds: dict[str, dict[str, Location]] = {"sql": {}, "rollback.sql": {}, "up.sql": {}, "down.sql": {}}
    others = 0
    for name, path in files:
        stem, _, kind = name.partition(".")
        if kind in kinds:
            kinds[kind][stem] = path
        elif name == "__init__.py" or not name.endswith((".sql", ".py")):
            others += 1
    yoyo_ups, yoyo_downs, sqlx_ups, sqlx_downs = kinds.values()
    ups, downs = (sqlx_ups, sqlx_downs) if sqlx_ups else (yoyo_ups, yoyo_downs)
    # What is missing among them is SQL of another name, of the other layout, or called like another one; or Python.
    if len(ups) + len(downs) + others != len(files) or not ups.keys() >= downs.keys():
        return {}
    by_version = {}
    for stem, path in ups.items():
        number, underscore, _ = stem.partition("_")
        plain = number.isdigit() and number.isascii() and len(number) <= _SURELY and len(number) != _DATE
        if not (underscore and plain and isinstance(path, str)):
            return {}
        by_version[int(number)] = stem, path
    return by_version if len(by_version) == len(ups) else {}


def _read(database: Database, yoyo_table: str, sqlx_table: str) -> _Recorded | None:
    """Read the ledgers, or return None where a table is missing, or is none of ours."""
    try:
        checksums = dict(database.execute(SELECT_CHECKSUMS.format(table=sqlx_table)))
        marked = {key for (key,) in database.execute(SELECT_MARKED.format(table=quote_identifier(yoyo_table)))}
        marked -= {key for (key,) in database.execute(SELECT_TAKEN_BACK)}
        return _Recorded(checksums, marked)
    except sqlite3.OperationalError:
        return None  # who looks closer says what it is


def _agree(ups: Mapping[int, tuple[str, str]], recorded: _Recorded, ignored_chars: str) -> bool:
    """Tell whether the files are those that the ledgers tell of; what is wrong with one is for others to say."""
    checksums, marked = recorded
    for version, (stem, path) in ups.items():
        if yoyo_hash(stem) not in marked:
            return False
        try:
            sql = read_once(path)
        except OSError:
            return False
        # To find a word takes two thirds of the time of `in`, which takes it for a number first.
        if sql.find(b"depends") >= 0 or find_bad_byte(sql) is not None:
            return False
        if checksum(sql, ignored_chars) != checksums[version]:
            return False
    return True
