"""What may not be read or written: named in a sentence, and left as it is."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from shell import Result, everything_in, run_as_nobody


def test_a_read_only_file_is_refused(shared: Path) -> None:
    """Who may not write the database is told so; root, whom nothing stops, is not asked."""
    (shared / "app.db").chmod(0o444)
    before = everything_in(shared)

    result = run_as_nobody(["-d", "app.db", "upgrade"], shared)

    assert (result.status, result.out) == (2, "")
    assert result.err.startswith("error: 'app.db' is read-only (")
    assert everything_in(shared) == before


def test_a_read_only_file_is_listed(shared: Path) -> None:
    """Who may only read the database may list it, in a folder that cannot be written either."""
    (shared / "app.db").chmod(0o444)
    shared.chmod(0o555)

    result = run_as_nobody(["-d", "app.db", "status"], shared)

    assert result == Result(0, "1/installed create book\n2/installed add author\n3/pending index titles\n", "")


def test_a_read_only_wal_file_is_listed(shared: Path) -> None:
    """The same for a database in WAL mode that was closed properly."""
    with closing(sqlite3.connect(shared / "app.db")) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
    shared.chmod(0o555)

    result = run_as_nobody(["-d", "app.db", "status"], shared)

    assert (result.status, len(result.out.splitlines()), result.err) == (0, 3, "")


@pytest.mark.parametrize(
    ("secret", "words", "said"),
    [
        ("app.db", "-d app.db status", "error: cannot open 'app.db': permission denied"),
        ("migrations", "-d app.db status", "error: cannot read the directory 'migrations': Permission denied"),
        ("migrations/0001_create_book.sql", "-d app.db status", "error: cannot read migrations/0001_create_book.sql"),
        ("yoyo.ini", "-d app.db status", "error: cannot read {here}/yoyo.ini: Permission denied"),
        ("sqlx.toml", "-d app.db status", "error: cannot read sqlx.toml: Permission denied"),
        (".env", "status", "error: cannot read {here}/.env: Permission denied"),
    ],
)
@pytest.mark.skipif(os.name == "nt", reason="Windows has other rights")
def test_what_may_not_be_read_is_named(shared: Path, secret: str, words: str, said: str) -> None:
    """A file that the user has no right to read is an error that names it, and not taken for a missing one."""
    if not (shared / secret).exists():
        (shared / secret).touch()
    (shared / secret).chmod(0)

    result = run_as_nobody(words.split(), shared)

    assert (result.status, result.out) == (2, "")
    assert result.err.startswith(said.format(here=shared))


@pytest.mark.parametrize("verb", ["status", "upgrade"])
@pytest.mark.skipif(os.name == "nt", reason="Windows has other rights")
def test_a_database_in_a_directory_that_may_not_be_searched_is_not_missing(shared: Path, verb: str) -> None:
    """What cannot be seen is not listed as all pending, nor called missing."""
    (shared / "data").mkdir()
    (shared / "app.db").rename(shared / "data/app.db")
    (shared / "data").chmod(0)

    result = run_as_nobody(["-d", "data/app.db", verb], shared)

    assert (result.status, result.out) == (2, "")
    assert result.err == "error: cannot open 'data/app.db': permission denied in a directory above it\n"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("-d new.db upgrade", "error: cannot open 'new.db': the directory {here!r} cannot be written"),
        ("--source fresh new thing", "error: cannot create the directory 'fresh': Permission denied"),
        ("new thing", "error: cannot write 'migrations/0003_thing.rollback.sql': Permission denied"),
        ("export --layout sqlx out", "error: cannot create the directory 'out': Permission denied"),
    ],
)
def test_where_nothing_may_be_written_nothing_is(shared: Path, words: str, said: str) -> None:
    """A folder that the user may not write to is named."""
    (shared / "migrations/0003_index_titles.sql").unlink()
    (shared / "migrations/0003_index_titles.rollback.sql").unlink()
    (shared / "migrations").chmod(0o555)
    shared.chmod(0o555)
    before = everything_in(shared)

    result = run_as_nobody(words.split(), shared)

    assert (result.status, result.out) == (2, "")
    assert result.err.startswith(said.format(here=str(shared)))
    assert everything_in(shared) == before
