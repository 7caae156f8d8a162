"""Find out with little work that there is nothing to do, as nearly every start of a service does.

It covers the plainest case, in which `compare` and `plan_upgrade` find no step and nothing to report; a test compares
the two. Everything else is left to them: what is pending or wrong, hooks, and dependencies.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

from torc_migrations.databases.opening import open_database
from torc_migrations.databases.servers.given import DEFAULT, ServerOptions
from torc_migrations.errors import DatabaseFailed
from torc_migrations.ledgers.tables import ledger_names
from torc_migrations.sources.checksums import checksum, yoyo_hash
from torc_migrations.sources.files import find_bad_byte, list_files, read_to_compare
from torc_migrations.sources.names import Named, read_names

if TYPE_CHECKING:
    from torc_migrations.databases.interface import Database, DatabaseLike
    from torc_migrations.sources.source import Source

# Most logs have no such line, and then nothing is taken back.
SELECT_OTHER_LINE = """
    SELECT 1
    FROM {log}
    WHERE operation NOT IN ('apply', 'mark')
    LIMIT 1
"""


class _Recorded:
    """What the ledgers say: checksums by version in sqlx's, and the hashes in yoyo's that its log does not take back.

    A checksum is None where the row was not successful. `rows` is how many yoyo's ledger has: more than files, where it
    has names that may be old ones.
    """

    def __init__(self, checksums: Mapping[int, bytes | None], marked: frozenset[str], rows: int) -> None:
        self.checksums = checksums
        self.marked = marked
        self.rows = rows


def nothing_to_do(
    database: DatabaseLike,
    source: str | os.PathLike[str] | None,
    *,
    lock_timeout: float,
    yoyo_table: str,
    sqlx_table: str,
    ignored_chars: str = "",
    server: ServerOptions = DEFAULT,
) -> bool:
    """Return whether every migration is installed with its present text, and both ledgers and the log agree on it.

    Writes nothing. False means only that a closer look is needed. A directory is listed only where the ledgers have
    rows, and files are read only where no version is pending.

    Raises:
        SourceError, UrlError: the directory or the database cannot be read.
        LockTimeout: the database could not be read for `lock_timeout` seconds.
    """
    recorded = _open_and_read(database, lock_timeout, server, yoyo_table, sqlx_table)
    if not recorded or not recorded.checksums:
        return False
    name, files = list_files(source)
    names = read_names(name, files)
    if (
        names.hooks
        or len(names.migrations) != recorded.rows
        or {named.version for named in names.migrations} != recorded.checksums.keys()
    ):
        return False
    if not recorded.marked.issuperset([yoyo_hash(named.id) for named in names.migrations]):
        return False
    return _have_checksums(names.migrations, recorded.checksums, ignored_chars)


def has_everything(opened: Database, source: Source, *, yoyo_table: str, sqlx_table: str) -> bool:
    """Return the same as `nothing_to_do` for an open database and a source that was read already; reads no file.

    Raises:
        UrlError: the database cannot be read.
        LockTimeout: the database could not be read for `lock_timeout` seconds.
    """
    if source.hooks or any(migration.depends for migration in source.migrations):
        return False
    recorded = _read_at_once(opened, yoyo_table, sqlx_table)
    if not recorded or recorded.rows != len(source.migrations):
        return False
    if recorded.checksums != {each.version: each.checksum for each in source.migrations}:
        return False
    return all(each.hash in recorded.marked for each in source.migrations)


def _open_and_read(
    database: DatabaseLike, lock_timeout: float, server: ServerOptions, yoyo_table: str, sqlx_table: str
) -> _Recorded | None:
    """Open a database and read its ledgers."""
    with open_database(database, lock_timeout=lock_timeout, server=server) as opened:
        return _read_at_once(opened, yoyo_table, sqlx_table)


def _read_at_once(database: Database, yoyo_table: str, sqlx_table: str) -> _Recorded | None:
    """Read the ledgers as of one moment; None where a table is missing, or where the connection was lost."""
    try:
        with database.reading():
            return _read(database, yoyo_table, sqlx_table)
    except DatabaseFailed as error:
        if not error.is_lost:
            raise
        return None


def _read(database: Database, yoyo_table: str, sqlx_table: str) -> _Recorded | None:
    """Read the ledgers, or return None where a table or a column is missing."""
    names = ledger_names(database, yoyo_table, sqlx_table)
    sql = database.sql
    templates = (sql.select_checksums, sql.select_marked, SELECT_OTHER_LINE)
    checksums, marked, others = (database.rows_or_none(template.format_map(names)) for template in templates)
    if checksums is None or marked is None or others is None:
        return None
    hashes = frozenset(key for (key,) in marked)
    if others:
        hashes -= {key for (key,) in database.rows_or_none(sql.select_taken_back.format_map(names)) or ()}
    return _Recorded(dict(checksums), hashes, len(marked))


def _have_checksums(migrations: list[Named], checksums: Mapping[int, bytes | None], ignored_chars: str) -> bool:
    """Return whether each up script has its checksum; also False for one that cannot be read or may have directives."""
    try:
        for named in migrations:
            sql = read_to_compare(named.up)
            # `in` takes longer: it first tries to take the word for a number.
            if sql.find(b"depends") >= 0 or find_bad_byte(sql) is not None:
                return False
            if checksum(sql, ignored_chars) != checksums[named.version]:
                return False
    except OSError:
        return False  # the closer look says why it cannot be read
    return True
