"""The real sqlx does not mind the table in which a database keeps what migrations say to older releases."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from shell import write_files
from sqlx_program import Sqlx

from torc_migrations import Migrator, errors, upgrade

FILES = {
    "1_first.up.sql": "CREATE TABLE first (x INTEGER);",
    "1_first.down.sql": "DROP TABLE first;",
    "2_second.up.sql": "-- compatible-from: 2\nCREATE TABLE second (x INTEGER);",
    "2_second.down.sql": "DROP TABLE second;",
}


def lives_beside(sqlx: Sqlx, url: str, sqlx_url: str, directory: Path) -> None:
    """Upgrade with ours, list, revert and run with sqlx, and roll back with ours without the files."""
    source, old = (write_files(directory / name, FILES) for name in ("new", "old"))
    for end in ("up", "down"):
        (Path(old) / f"2_second.{end}.sql").unlink()
    words = ("--source", source, "-D", sqlx_url)

    upgrade(url, source)
    listed = sqlx("info", *words, folder=directory)
    with pytest.raises(errors.TooOld):
        upgrade(url, old)
    reverted = sqlx("revert", *words, folder=directory)
    assert upgrade(url, old).applied == ()  # what sqlx has reverted asks for nothing any more
    again = sqlx("run", *words, folder=directory)
    assert Migrator(url, old).rollback().applied == (2,)
    left = sqlx("info", *words, folder=directory)

    assert (listed.status, reverted.status, again.status, left.status) == (0, 0, 0, 0), (listed, reverted, again, left)
    assert [line.split()[0] for line in listed.out.splitlines()] == ["1/installed", "2/installed"]
    assert "2/revert second" in reverted.out
    assert "2/migrate second" in again.out
    assert [line.split()[0] for line in left.out.splitlines()] == ["1/installed", "2/pending"]


def test_on_sqlite(sqlx: Sqlx, tmp_path: Path) -> None:
    """With each sqlx that was found."""
    lives_beside(sqlx, str(tmp_path / "app.db"), f"sqlite:{tmp_path / 'app.db'}", tmp_path)


@pytest.mark.parametrize("kind", ["postgresql_database", "mariadb"])
def test_on_servers(sqlx_for_servers: Sqlx, request: pytest.FixtureRequest, kind: str, tmp_path: Path) -> None:
    """With the newest one that connects to servers."""
    database: Any = request.getfixturevalue(kind)
    # With a host, though on PostgreSQL that of the query counts.
    sqlx_url = getattr(database, "sqlx_url", database.url.replace("postgres@/", "postgres@localhost/"))
    lives_beside(sqlx_for_servers, database.url, sqlx_url, tmp_path)
