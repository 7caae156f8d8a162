"""Two databases that get the same treatment, one from sqlx and one from us; what they show is compared."""

from __future__ import annotations

import re
import shutil
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from hashlib import sha384
from pathlib import Path
from typing import NamedTuple

from preloaded_programs import Said

YOYO_TABLES = ("_yoyo_migration", "_yoyo_log", "_yoyo_version", "yoyo_lock")
SQLX_TABLE = "_sqlx_migrations"

_DURATION = re.compile(r"\((?!0ns\))[0-9.]+(?:ns|µs|ms|s)\)$", re.MULTILINE)
_DATABASES_WORDS = re.compile(r"error returned from database: \(code: \d+\) ")

SELECT_LEDGER = f"""
    SELECT version, description, success, hex(checksum)
    FROM {SQLX_TABLE}
    ORDER BY version
"""
SELECT_STRANGE_TIMES = f"""
    SELECT installed_on, execution_time
    FROM {SQLX_TABLE}
    WHERE installed_on NOT GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9] [0-9][0-9]:[0-9][0-9]:[0-9][0-9]'
    OR typeof(execution_time) <> 'integer'
    OR execution_time < -1
"""
SELECT_SCHEMA = """
    SELECT type, name, tbl_name, sql
    FROM sqlite_master
    ORDER BY type, name
"""


class Shown(NamedTuple):
    """What a database shows: sqlx's ledger but for times, the schema without ledgers, all rows, the journal mode."""

    ledger: tuple[tuple[object, ...], ...]
    schema: tuple[tuple[object, ...], ...]
    rows: tuple[str, ...]
    journal_mode: str


def show(database: Path) -> Shown:
    """Look at a database. A ledger of sqlx's that is not there counts as an empty one: only sqlx makes it to read."""
    with opened(database) as connection:
        schema = tuple(row for row in connection.execute(SELECT_SCHEMA) if row[2] not in (*YOYO_TABLES, SQLX_TABLE))
        tables = [name for kind, name, *_ in schema if kind == "table"]
        rows = tuple(f"{name}: {row}" for name in tables for row in connection.execute(f'SELECT * FROM "{name}"'))
        (mode,) = connection.execute("PRAGMA journal_mode").fetchone()
        return Shown(tuple(_ledger(connection)), schema, rows, mode)


def _ledger(connection: sqlite3.Connection) -> Iterable[tuple[object, ...]]:
    if not connection.execute(f"PRAGMA table_info({SQLX_TABLE})").fetchall():
        return ()
    assert connection.execute(SELECT_STRANGE_TIMES).fetchall() == []
    return connection.execute(SELECT_LEDGER).fetchall()


def ledger_table(database: Path) -> str:
    """Return the statement that made sqlx's ledger, its blanks made one."""
    with opened(database) as connection:
        (sql,) = connection.execute("SELECT sql FROM sqlite_master WHERE name = ?", (SQLX_TABLE,)).fetchone()
        return " ".join(sql.split())


class Told(NamedTuple):
    """What a command told: its listing with durations masked, whether it failed, and the error's sentence."""

    listing: str
    failed: bool
    sentence: str


def told_by_sqlx(said: Said) -> Told:
    """Take the error apart from the listing: sqlx prints it to standard output too, as the last thing."""
    start = f"\n{said.out}".rfind("\nerror: ") if said.status != 0 else -1
    listing, error = (said.out, "") if start < 0 else (said.out[:start], said.out[start + len("error: ") : -1])
    return Told(masked(listing), said.status != 0, _DATABASES_WORDS.sub("", error))


def told_by_us(said: Said) -> Told:
    """Read the sentence from standard error, where a frame, a hint and notes may stand below it."""
    below = r"(?=\n  --> |\nhint: |\nnote: |\n?\Z)"
    error = re.search(rf"^error: (.*?){below}", said.err, re.DOTALL | re.MULTILINE)
    return Told(masked(said.out), said.status != 0, error[1] if error else "")


def masked(text: str) -> str:
    """Replace the durations that are measured; `0ns` is not."""
    return _DURATION.sub("(TIME)", text)


class Files(NamedTuple):
    """What sqlx sees in a folder: the checksums of the up files, and which versions have a down file."""

    ups: dict[int, str]
    downs: frozenset[int]


def read_files(files: dict[str, bytes]) -> Files:
    """Read names and bytes, by sqlx's rules and without our code."""
    ups = {version_of(name): sha384(text).hexdigest().upper() for name, text in files.items() if not _is_down(name)}
    return Files(ups, frozenset(version_of(name) for name in files if _is_down(name)))


def version_of(name: str) -> int:
    """Return the version that a file's name begins with."""
    return int(name.partition("_")[0])


def _is_down(name: str) -> bool:
    return name.endswith(".down.sql")


@contextmanager
def opened(database: Path) -> Iterator[sqlite3.Connection]:
    """Open a database, commit at the end, and close it."""
    with closing(sqlite3.connect(database)) as connection, connection:
        yield connection


def settle(database: Path) -> Path:
    """Fold the write-ahead log that a failed process left behind into the file; closing does it."""
    with opened(database) as connection:
        connection.execute("SELECT 1 FROM sqlite_master")
    return database


def copied(database: Path) -> Path:
    """Return a copy of a database that nobody has open."""
    return Path(shutil.copy(settle(database), database.with_suffix(".copy")))
