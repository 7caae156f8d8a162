"""Folders that change while they are read, that are huge, that loop, and whose names hold every sign."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest
from database_under_test import SQLiteUnderTest, ladder, sized, write_folder

from torc_migrations import errors, rollback, status, upgrade
from torc_migrations.sources.source import discover

posix = pytest.mark.skipif(os.name != "posix", reason="links and names are told here as POSIX has them")
PRINTABLE = "".join(chr(number) for number in range(32, 127) if chr(number) not in "/")


def test_folder_that_changes_while_it_is_read_is_read_or_refused(tmp_path: Path):
    """Files that come, go and change their names meanwhile are there whole, or not, or named in an error of ours."""
    folder = tmp_path / "migrations"
    write_folder(folder, ladder(30))
    over = threading.Event()

    def churn() -> None:
        while not over.is_set():
            for number in range(20, 31):
                file = folder / f"{number}_make_t{number}.sql"
                os.rename(file, folder / f"{number}_renamed.sql")
                (folder / f"{number + 100}_more.sql").write_text("SELECT 1;")
                os.rename(folder / f"{number}_renamed.sql", file)
                os.unlink(folder / f"{number + 100}_more.sql")

    thread = threading.Thread(target=churn)
    thread.start()
    refused = 0
    try:
        for _ in range(sized(100, 5000)):
            try:
                migrations = discover(folder).migrations
            except errors.SourceError:
                refused += 1
                continue
            versions = [migration.version for migration in migrations]
            assert versions == sorted(set(versions))
            assert versions[:19] == list(range(1, 20))
            assert all(
                migration.up.sql.endswith((b";\n", b"SELECT 1;")) or not migration.up.sql for migration in migrations
            )
    finally:
        over.set()
        thread.join()
    assert len(discover(folder).migrations) == 30


@posix
def test_source_may_be_a_link_to_a_folder_of_links(sqlite: SQLiteUnderTest, tmp_path: Path):
    """Links are followed, to the folder and to each file, wherever they lead."""
    real = Path(write_folder(tmp_path / "real", ladder(2)))
    (tmp_path / "links").mkdir()
    for file in real.iterdir():
        (tmp_path / "links" / file.name).symlink_to(os.path.relpath(file, tmp_path / "links"))
    (tmp_path / "source").symlink_to("links")

    assert upgrade(sqlite.path, tmp_path / "source").applied == (1, 2)
    assert rollback(sqlite.path, tmp_path / "source", target=0).applied == (2, 1)


@posix
def test_links_that_lead_in_a_circle_are_errors_that_name_them(sqlite: SQLiteUnderTest, tmp_path: Path):
    """A source, a file in it, and a database that are links to themselves are refused, and nothing is made."""
    folder = Path(write_folder(tmp_path / "migrations", ladder(1)))
    for link in (tmp_path / "round", tmp_path / "round.db"):
        link.symlink_to(link)

    with pytest.raises(errors.SourceError, match="round"):
        upgrade(sqlite.path, tmp_path / "round")
    with pytest.raises(errors.UrlError, match=r"round\.db"):
        upgrade(tmp_path / "round.db", folder)
    (folder / "2_round.sql").symlink_to(folder / "2_round.sql")
    with pytest.raises(errors.SourceError, match=r"2_round\.sql"):
        upgrade(sqlite.path, folder)
    assert sorted(os.listdir(tmp_path)) == ["migrations", "round", "round.db"]


@posix
def test_link_to_a_database_that_cannot_be_made_is_refused(tmp_path: Path, folder):
    """A link into a folder that is not there says so, and stays a link."""
    link = tmp_path / "link.db"
    link.symlink_to(tmp_path / "nowhere" / "app.db")

    with pytest.raises(errors.UrlError, match=r"link\.db"):
        upgrade(link, folder(ladder(1)))
    assert link.is_symlink()
    assert not (tmp_path / "nowhere").exists()


def test_ten_thousand_files_are_migrations_like_others(sqlite: SQLiteUnderTest, tmp_path: Path):
    """Ten thousand pairs are listed, applied and rolled back, in order."""
    count = sized(300, 10_000)
    folder = write_folder(tmp_path / "migrations", ladder(count))
    sqlite.execute("PRAGMA journal_mode = WAL")

    assert len(status(sqlite.path, folder).pending) == count
    assert upgrade(sqlite.path, folder).applied == tuple(range(1, count + 1))
    assert sqlite.ledgers().agreed == tuple(range(1, count + 1))
    assert rollback(sqlite.path, folder, target=count - 100).applied == tuple(range(count, count - 100, -1))


@posix
@pytest.mark.parametrize("name", [PRINTABLE, "a\nb\tc", "größe 東京 🚀", "-rf", " ", "~", "$HOME", "%00"])
def test_source_folder_may_be_called_anything(sqlite: SQLiteUnderTest, tmp_path: Path, name):
    """A `Path` is taken as it is, whatever is in it, and an error names it."""
    folder = write_folder(tmp_path / name, {**ladder(2), "3_boom": "CREATE TABLE a (x);\nboom;"})

    with pytest.raises(errors.ExecutionFailed) as failure:
        upgrade(sqlite.path, Path(folder))

    assert failure.value.path == os.path.join(folder, "3_boom.sql")
    assert failure.value.line == 2
    assert sqlite.ledgers().agreed == (1, 2)
