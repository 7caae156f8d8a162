"""Fill a torc database with plausible workflows, the same ones for the same seed."""

from __future__ import annotations

import argparse
import hashlib
import sqlite3
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from itertools import chain, count
from pathlib import Path
from random import Random

from torc_rows import ROWS, Row
from torc_workflows import FEWEST_JOBS, imagine


def fill(connection: sqlite3.Connection, *, workflows: int = 20, jobs: int = 10_000, seed: int = 20251105) -> None:
    """Add `workflows` workflows of `jobs` jobs each to empty torc tables, in one transaction.

    The rows depend on the three arguments only, and every table gets some. Foreign keys hold, whether
    SQLite enforces them or not. The connection must be outside a transaction, and is left so.

    Raises:
        LookupError: a table of the torc schema is missing.
        ValueError: there are workflows already, or fewer than one is asked for, or than 50 jobs in each.
    """
    _expect_empty_schema(connection)
    if workflows < 1 or jobs < FEWEST_JOBS:
        raise ValueError(f"at least 1 workflow of {FEWEST_JOBS} jobs is needed, not {workflows} of {jobs}")
    rng = Random(seed)
    result_ids = count(1)
    with _transaction(connection):
        for index in range(workflows):
            workflow = imagine(index, jobs, result_ids, rng)
            for table, rows in ROWS.items():
                _insert(connection, table, rows(workflow))


def row_hashes(connection: sqlite3.Connection) -> dict[str, str]:
    """Return, by table, a SHA-256 in hexadecimal over all its rows in the order of the primary key.

    A table without a primary key is read in the order of its rowid. Ledgers and SQLite's own tables
    are left out: names that start with `_`, `yoyo_` or `sqlite_`.
    """
    return {table: _row_hash(connection, table) for table in _data_tables(connection)}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    options = _parse(arguments)
    try:
        with closing(sqlite3.connect(f"{options.database.resolve().as_uri()}?mode=rw", uri=True)) as connection:
            fill(connection, workflows=options.workflows, jobs=options.jobs, seed=options.seed)
    except (LookupError, ValueError, sqlite3.Error) as error:
        print(f"error: {str(options.database)!r}: {error}", file=sys.stderr)
        if isinstance(error, LookupError) or not options.database.exists():
            print("hint: torc-migrations -d DATABASE upgrade makes the torc schema", file=sys.stderr)
        return 1
    return 0


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("database", type=Path, help="an SQLite file that has the torc schema already")
    parser.add_argument("--workflows", type=int, default=20, metavar="N", help="how many (default: %(default)s)")
    parser.add_argument("--jobs", type=int, default=10_000, metavar="M", help="in each (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=20251105, metavar="S", help="(default: %(default)s)")
    return parser.parse_args(arguments)


def _expect_empty_schema(connection: sqlite3.Connection) -> None:
    missing = sorted(ROWS.keys() - set(_data_tables(connection)))
    if missing:
        raise LookupError(f"tables of the torc schema are missing: {', '.join(missing)}")
    if any(_query(connection, "SELECT 1 FROM workflow LIMIT 1")):
        raise ValueError("there are workflows already")


def _query(connection: sqlite3.Connection, sql: str, parameters: Row | None = None) -> Iterator[tuple[object, ...]]:
    """Yield rows as plain tuples, whatever row factory the connection has."""
    cursor = connection.cursor()
    cursor.row_factory = None
    yield from cursor.execute(sql, parameters or {})


def _data_tables(connection: sqlite3.Connection) -> list[str]:
    rows = _query(connection, "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")
    names = [str(name) for (name,) in rows]
    return [name for name in names if not name.startswith(("_", "yoyo_", "sqlite_"))]


def _row_hash(connection: sqlite3.Connection, table: str) -> str:
    digest = hashlib.sha256()
    for row in _query(connection, f"SELECT * FROM {_quote(table)} ORDER BY {_key(connection, table)}"):
        digest.update(f"{row!r}\n".encode())
    return digest.hexdigest()


def _key(connection: sqlite3.Connection, table: str) -> str:
    sql = "SELECT name FROM pragma_table_info(:table) WHERE pk > 0 ORDER BY pk"
    return ", ".join(_quote(str(name)) for (name,) in _query(connection, sql, {"table": table})) or "rowid"


def _quote(identifier: str) -> str:
    return '"' + identifier.replace('"', '""') + '"'


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def _insert(connection: sqlite3.Connection, table: str, rows: Iterable[Row]) -> None:
    """Insert rows that all have the columns of the first."""
    remaining = iter(rows)
    first = next(remaining, None)
    if first is None:
        return
    columns = ", ".join(first)
    values = ", ".join(f":{column}" for column in first)
    connection.executemany(f"INSERT INTO {table} ({columns}) VALUES ({values})", chain([first], remaining))


if __name__ == "__main__":
    sys.exit(main())
