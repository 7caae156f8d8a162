"""A file that is overwritten is the old one or the new one, and never a part of it."""

from __future__ import annotations

import os
import resource
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

import pytest
from shell import python, run

from torc_migrations.checks.overwriting import overwrite
from torc_migrations.errors import SourceError


def test_a_full_disk_leaves_the_old_file(tmp_path: Path):
    """The limit of a process on the size of its files fails as a full disk does; nothing else is left behind."""
    path = tmp_path / "schema.sql"
    path.write_text("old")
    script = python(
        "import signal",
        "from torc_migrations.checks.overwriting import overwrite",
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)",
        f"overwrite({os.fspath(path)!r}, b'x' * 100_000)",
    )

    done = subprocess.run(
        script,
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096)),
    )

    assert "SourceError: cannot write" in done.stderr
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["schema.sql"]


@pytest.mark.parametrize(
    ("words", "name"),
    [
        ("dump schema.sql", "schema.sql"),
        ("report --markdown r.md", "r.md"),
        ("check lock --write", "migrations/migrations.lock"),
    ],
)
def test_the_verbs_leave_the_old_file_on_a_full_disk(here: Path, migrations: Path, words: str, name: str):
    """The dump and the lock are in a repository; the report may be the only one of what was reviewed."""
    command = [*python()[:1], "-m", "torc_migrations", "-d", "app.db", *words.split()]
    assert run(command, here).status in (0, 1)
    old = (here / name).read_bytes()
    (migrations / "0009_z.sql").write_text("CREATE TABLE z (x);")

    done = subprocess.run(
        command, cwd=here, capture_output=True, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (10, 10))
    )

    assert b"cannot write" in done.stderr
    assert old
    assert (here / name).read_bytes() == old


def test_what_a_killed_process_of_the_same_number_has_left_is_overwritten(tmp_path: Path):
    """In a container the command has the same number each time."""
    (tmp_path / f"schema.sql.{os.getpid()}.new").write_text("a part")

    overwrite(os.fspath(tmp_path / "schema.sql"), b"new")

    assert os.listdir(tmp_path) == ["schema.sql"]
    assert (tmp_path / "schema.sql").read_bytes() == b"new"


def test_a_link_and_the_permissions_stay(tmp_path: Path):
    """What the link points to is overwritten, as a shell does it."""
    (tmp_path / "file").write_text("old")
    (tmp_path / "file").chmod(0o640)
    (tmp_path / "link").symlink_to("file")

    overwrite(os.fspath(tmp_path / "link"), b"new")

    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "file").read_bytes() == b"new"
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o640


def test_a_device_is_written_in_place():
    """Nothing takes its name."""
    before = os.stat(os.devnull).st_rdev

    overwrite(os.devnull, b"new")

    assert os.stat(os.devnull).st_rdev == before


@pytest.mark.parametrize("name", ["absent/file", "a\0b", "a\ud800b"])
def test_what_cannot_be_written_is_an_error_of_ours(tmp_path: Path, name: str):
    """With the path as it was given."""
    with pytest.raises(SourceError, match="cannot write"):
        overwrite(f"{tmp_path}/{name}", b"new")

    assert os.listdir(tmp_path) == []


def test_a_database_is_left_as_it_is(tmp_path: Path) -> None:
    """Whatever is to be written has another name."""
    path = tmp_path / "app.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE a (x)")
    before = path.read_bytes()

    with pytest.raises(SourceError, match="is a SQLite database; it is left as it is"):
        overwrite(str(path), b"queries")

    assert path.read_bytes() == before
