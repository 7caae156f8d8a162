"""What `convert` and `export` write is there as a whole, or not at all."""

from __future__ import annotations

import errno
import os
import resource
import shutil
import signal
from pathlib import Path

import pytest
from shell import python, run, write_files

from torc_migrations import errors
from torc_migrations.sources.converting.writing import write_directory

GOOSE = {
    f"old/{n}_make.sql": f"-- +goose Up\nCREATE TABLE t{n} (x);\n-- +goose Down\nDROP TABLE t{n};\n" for n in (1, 2)
}
YOYO = {f"old/{n}_make.sql": f"CREATE TABLE t{n} (x);\n" for n in (1, 2, 3)}
# Python reports what it is about to do with files; the process ends before the one that is asked for.
KILLED = """
import os, signal, sys
from torc_migrations.cli import main
left = int(sys.argv[1])
def count(event, arguments):
    global left
    if event in ("os.mkdir", "open", "os.rename") and "new" in str(arguments[0]):
        left -= 1
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(count)
sys.exit(main(sys.argv[2:]))
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="there is no SIGKILL here")
@pytest.mark.parametrize(
    ("files", "command"),
    [
        (GOOSE, ("convert", "old", "--output", "new")),
        (YOYO, ("-s", "old", "export", "new", "--layout", "sqlx")),
    ],
    ids=["convert", "export"],
)
@pytest.mark.parametrize("is_there", [False, True])
def test_killed_at_any_file_nothing_keeps_the_next_run_from_it(tmp_path: Path, files, command, is_there) -> None:
    """The directory is not there, or empty as it was, and the next run makes it."""
    write_files(tmp_path, files)
    if is_there:
        (tmp_path / "new").mkdir()
    moment = 1
    while (result := run([*python(KILLED), str(moment), *command], tmp_path)).status == -signal.SIGKILL:
        assert not (tmp_path / "new").exists() or (is_there and os.listdir(tmp_path / "new") == [])
        moment += 1

    assert result.status == 0, result.err
    assert moment > len(files)
    scripts = sum(text.count("CREATE") + text.count("DROP") for text in files.values())
    assert len(list((tmp_path / "new").iterdir())) == scripts


def test_an_error_leaves_nothing_and_names_the_file_that_was_asked_for(tmp_path: Path) -> None:
    """A limit on the size of a file stands for a full disk."""
    directory = str(tmp_path / "new")
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, limits[1]))
        with pytest.raises(errors.SourceError) as caught:
            write_directory(directory, {f"{directory}/1_a.sql": b"x", f"{directory}/2_b.sql": b"x" * 20_000})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)

    assert str(caught.value) == f"cannot write '{directory}/2_b.sql': {os.strerror(errno.EFBIG)}"
    assert caught.value.source == f"{directory}/2_b.sql"
    assert os.listdir(tmp_path) == []


def test_a_directory_that_is_there_is_used(tmp_path: Path) -> None:
    """It may be a link, or where another file system is mounted."""
    (tmp_path / "disk").mkdir(mode=0o750)
    (tmp_path / "link").symlink_to("disk")

    write_directory(str(tmp_path / "link"), {str(tmp_path / "link" / "1_a.sql"): b"SELECT 1;"})

    assert (tmp_path / "disk" / "1_a.sql").read_bytes() == b"SELECT 1;"
    assert ((tmp_path / "disk").stat().st_mode & 0o777, (tmp_path / "link").is_symlink()) == (0o750, True)


def test_what_a_killed_process_of_the_same_number_has_left_is_removed(tmp_path: Path) -> None:
    """In a container the command has the same number each time."""
    left = tmp_path / f"new.{os.getpid()}.new"
    left.mkdir()
    (left / "1_a.sql").write_bytes(b"a part")

    write_directory(str(tmp_path / "new"), {str(tmp_path / "new" / "1_a.sql"): b"SELECT 1;"})

    assert os.listdir(tmp_path) == ["new"]
    assert (tmp_path / "new" / "1_a.sql").read_bytes() == b"SELECT 1;"


def test_the_current_directory_stays_the_current_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No other one takes its place, of which the shell would not know."""
    monkeypatch.chdir(tmp_path)
    number = tmp_path.stat().st_ino

    write_directory(".", {"./1_a.sql": b"SELECT 1;"})

    assert tmp_path.stat().st_ino == number
    assert os.listdir() == ["1_a.sql"]


def test_new_killed_between_its_two_files_leaves_no_migration(tmp_path: Path) -> None:
    """The down script is written first, and is ignored without the other."""
    found, moment = [], 1
    command = ("new", "--source", "new", "add users")
    while run([*python(KILLED), str(moment), *command], tmp_path).status == -signal.SIGKILL:
        found.append([path.name.partition(".")[2] for path in tmp_path.glob("new/*")])
        shutil.rmtree(tmp_path / "new", ignore_errors=True)
        moment += 1

    assert ["rollback.sql"] in found
    assert ["sql"] not in found
