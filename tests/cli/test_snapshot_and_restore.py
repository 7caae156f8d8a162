"""`--snapshot`, `--keep` and `restore` at the shell."""

from __future__ import annotations

import re
import shlex
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from shell import (
    COMMAND,
    HOLD,
    PAIRS,
    Torc,
    everything_in,
    outcome_of,
    query,
    run,
    run_as_nobody,
    run_on_terminal,
    tables,
    write_files,
)

BROKEN = "-- transactional: false\nCREATE TABLE half (x);\nBORK;\n"


def snapshots(folder: Path) -> list[Path]:
    """Return the snapshots in a folder, oldest first."""
    return sorted(folder.glob("*.snapshot"))


@pytest.mark.usefixtures("migrations")
def test_a_snapshot_is_made_listed_and_restored(torc: Torc, here: Path) -> None:
    """The way from `upgrade --snapshot` to `restore` is what the commands themselves say."""
    torc("-d", "app.db", "upgrade", "--target", "2")

    up = torc("-d", "app.db", "upgrade", "--snapshot")
    listed = torc("-d", "app.db", "restore")
    (snapshot,) = snapshots(here)
    restored = torc("-d", "app.db", "restore", snapshot.name, "--yes")

    assert (up.status, up.err) == (0, f"note: the database as it was before is in {snapshot}\n")
    assert listed.status == 0
    assert re.fullmatch(rf"{re.escape(str(snapshot))}  \d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d UTC  2  \d+ KiB\n", listed.out)
    assert (restored.status, restored.err) == (0, "")
    assert restored.out.startswith(f"Restored app.db from {snapshot.name} (")
    assert torc("-d", "app.db", "status").out.splitlines()[-1] == "3/pending index titles"


@pytest.mark.usefixtures("migrations")
@pytest.mark.parametrize("words", [("2", "--snapshot"), ("--snapshot=backups", "2"), ("--snapshot", "--", "2")])
def test_apply_makes_a_snapshot_too(torc: Torc, here: Path, words: tuple[str, ...]) -> None:
    """Before chosen migrations as before all of them."""
    (here / "backups").mkdir()
    torc("-d", "app.db", "upgrade", "--target", "1")

    applied = torc("-d", "app.db", "apply", *words)
    (snapshot,) = here.rglob("*.snapshot")
    named = snapshot.relative_to(here) if "--snapshot=backups" in words else snapshot

    assert (applied.status, applied.err) == (0, f"note: the database as it was before is in {named}\n")
    with closing(sqlite3.connect(snapshot)) as connection:
        assert connection.execute("SELECT max(version) FROM _sqlx_migrations").fetchall() == [(1,)]


@pytest.mark.usefixtures("migrations")
def test_all_of_it_as_json(torc: Torc, here: Path) -> None:
    """Programs get the same facts."""
    torc("-d", "app.db", "upgrade", "--target", "2")
    (here / "backups").mkdir()

    up = outcome_of(torc("-d", "app.db", "upgrade", "--snapshot=backups", "--keep", "1", "--json"))
    (snapshot,) = snapshots(here / "backups")
    listed = outcome_of(torc("-d", "app.db", "restore", "backups", "--json"))
    restored = outcome_of(torc("-d", "app.db", "restore", str(snapshot), "--yes", "--json"))
    none = outcome_of(torc("-d", "app.db", "restore", "--json"))

    assert up["snapshot"] == str(snapshot.relative_to(here))
    (only,) = listed["snapshots"]  # type: ignore[misc]  # a list
    assert (only["path"], only["version"], only["size"]) == (up["snapshot"], 2, snapshot.stat().st_size)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", only["taken_at"])
    assert restored == {"restored": {"database": "app.db", "snapshot": str(snapshot), "size": only["size"]}}
    assert none == {"snapshots": []}


def test_a_script_that_fails_half_way_is_undone(torc: Torc, here: Path, migrations: Path) -> None:
    """Nothing was done before the error, because the database was restored; as text and as JSON."""
    torc("-d", "app.db", "upgrade", "--target", "2")
    write_files(migrations, {"0004_half.sql": BROKEN})

    failed = torc("-d", "app.db", "upgrade", "--snapshot", "--json")

    assert failed.status == 6
    document = outcome_of(failed)
    (snapshot,) = snapshots(here)
    assert (document["done"], document["snapshot"]) == ([], str(snapshot))
    assert f"hint: the database was restored from {snapshot}: nothing of this run was kept\n" in failed.err
    assert f"note: the database as it was before the run is in {snapshot}\n" in failed.err
    assert tables(here / "app.db") == {"book", "author"}
    assert torc("-d", "app.db", "status").out.splitlines()[2] == "3/pending index titles"


def test_the_command_in_the_hint_does_it(torc: Torc, here: Path, migrations: Path) -> None:
    """Where the database cannot be restored automatically, the command in the hint does it."""
    torc("-d", "app.db", "upgrade", "--target", "2")
    (here / "my backups").mkdir()
    write_files(migrations, {"0004_half.sql": BROKEN.replace("BORK", "PRAGMA journal_mode = WAL;\nBORK")})

    failed = torc("-d", "app.db", "upgrade", "--snapshot", "my backups")
    command = failed.err.split("`")[1]
    restored = run([COMMAND, *shlex.split(command)[1:], "--yes"], here)

    assert command.startswith("torc-migrations -d app.db restore 'my backups/app.db-")
    assert restored.status == 0
    assert tables(here / "app.db") == {"book", "author"}


@pytest.mark.usefixtures("migrations")
def test_who_holds_the_database_is_told(torc: Torc, here: Path) -> None:
    """A database that somebody writes to is not overwritten: exit status 5."""
    torc("-d", "app.db", "upgrade", "--target", "2")
    torc("-d", "app.db", "upgrade", "--snapshot")
    with subprocess.Popen(
        [sys.executable, "-c", f"{HOLD}; sys.stdin.read()"], cwd=here, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        result = torc("-d", "app.db", "restore", snapshots(here)[0].name, "--lock-timeout", "0.2", "--yes")
        holder.communicate()

    assert (result.status, result.out) == (5, "")
    assert f"process {holder.pid}" in result.err
    assert len(query(here / "app.db", "SELECT * FROM _sqlx_migrations")) == 3


@pytest.mark.usefixtures("migrations")
def test_somebody_at_a_terminal_is_asked(torc: Torc, here: Path) -> None:
    """What was written since goes; whoever says no, or does not ask to be spared the question, keeps it."""
    torc("-d", "app.db", "upgrade", "--target", "2")
    torc("-d", "app.db", "upgrade", "--snapshot")
    words = [COMMAND, "-d", "app.db", "restore", snapshots(here)[0].name]

    no = run_on_terminal(words, here, answers=["n\n"])
    kept = query(here / "app.db", "SELECT * FROM _sqlx_migrations")
    yes = run_on_terminal([*words, "--yes"], here)

    assert (no.status, yes.status, len(kept)) == (0, 0, 3)
    assert "What was written to app.db after" in no.out
    assert "nothing was restored" in no.out
    assert len(query(here / "app.db", "SELECT * FROM _sqlx_migrations")) == 2


@pytest.mark.usefixtures("migrations")
def test_overwriting_a_database_needs_yes_without_a_terminal(torc: Torc, here: Path) -> None:
    """Where nobody can be asked, a database is not overwritten unless `--yes` says so; a missing one is created."""
    torc("-d", "app.db", "upgrade", "--target", "2")
    torc("-d", "app.db", "upgrade", "--snapshot")
    name = snapshots(here)[0].name
    before = everything_in(here)

    refused = torc("-d", "app.db", "restore", name)
    unchanged = everything_in(here) == before
    created = torc("-d", "new.db", "restore", name)

    assert (refused.status, refused.out) == (2, "")
    assert refused.err == "error: restore overwrites app.db, which exists\nhint: pass --yes to confirm it\n"
    assert unchanged
    assert (created.status, created.err) == (0, "")
    assert len(query(here / "new.db", "SELECT * FROM _sqlx_migrations")) == 2


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("restore none.snapshot", "error: cannot restore 'none.snapshot': there is no such file\n"),
        ("restore app.db", "error: cannot restore 'app.db': it is the database itself\n"),
        ("upgrade --snapshot=nodir", "error: there is no directory 'nodir' for the snapshot\n"),
        ("upgrade --snapshot --keep 0", "error: argument --keep: '0' is not a number from 1 on\n"),
    ],
)
@pytest.mark.usefixtures("migrations")
def test_what_is_wrong_is_told(torc: Torc, here: Path, words: str, said: str) -> None:
    """A slip is an error of its own, and nothing is written."""
    torc("-d", "app.db", "upgrade", "--target", "2")
    before = everything_in(here)

    result = torc("-d", "app.db", *words.split())

    assert (result.status, result.out) == (2, "")
    assert result.err.startswith(said)
    assert everything_in(here) == before


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
def test_a_full_output_does_not_undo_what_is_recorded(torc: Torc, here: Path, migrations: Path) -> None:
    """Where a line cannot be printed, the migration that it is about stays installed, and no snapshot is restored."""
    torc("-d", "app.db", "upgrade", "--target", "2")
    write_files(migrations, {"0003_index_titles.sql": "-- transactional: false\nCREATE TABLE outside (x);\n"})

    with Path("/dev/full").open("wb") as full:
        words = [COMMAND, "-d", "app.db", "upgrade", "--snapshot"]
        failed = subprocess.run(words, cwd=here, stdout=full, stderr=subprocess.PIPE, text=True, check=False)

    assert failed.returncode == 2
    assert "restored" not in failed.stderr
    assert tables(here / "app.db") == {"book", "author", "outside"}
    assert query(here / "app.db", "SELECT version FROM _sqlx_migrations") == [(1,), (2,), (3,)]


def test_no_snapshot_is_told(torc: Torc, here: Path) -> None:
    """An empty list says where it looked, and how to make one."""
    result = torc("-d", "app.db", "restore")

    assert (result.status, result.out) == (0, "")
    assert (
        result.err
        == f"note: there is no snapshot of app.db in {here}; `torc-migrations -d app.db upgrade --snapshot` makes one\n"
    )
    assert not (here / "app.db").exists()


def test_a_directory_that_may_not_be_written() -> None:
    """A user who may write the database, but not the directory for snapshots, gets an error before anything is run."""
    with TemporaryDirectory() as name:
        shared = Path(name)
        shared.chmod(0o777)
        write_files(shared / "migrations", PAIRS)
        run([COMMAND, "-d", "app.db", "upgrade", "--target", "2"], shared)
        (shared / "app.db").chmod(0o666)
        (shared / "backups").mkdir()
        (shared / "backups").chmod(0o555)

        result = run_as_nobody(["-d", "app.db", "upgrade", "--snapshot=backups"], shared)

        assert (result.status, result.out) == (2, "")
        assert result.err == (
            "error: cannot make a snapshot of app.db: the directory 'backups' may not be written\n"
            "hint: name a directory that exists and may be written; nothing was run\n"
        )
        assert snapshots(shared / "backups") == []
        assert len(query(shared / "app.db", "SELECT * FROM _sqlx_migrations")) == 2


def test_a_database_that_may_not_be_written_is_not_restored() -> None:
    """Who may only read the database is told that it is read-only."""
    with TemporaryDirectory() as name:
        shared = Path(name)
        write_files(shared / "migrations", PAIRS)
        run([COMMAND, "-d", "app.db", "upgrade", "--target", "2"], shared)
        run([COMMAND, "-d", "app.db", "upgrade", "--snapshot"], shared)
        shared.chmod(0o755)
        (shared / "app.db").chmod(0o444)
        (snapshot,) = snapshots(shared)
        snapshot.chmod(0o444)
        before = everything_in(shared)

        result = run_as_nobody(["-d", "app.db", "restore", snapshot.name, "--yes"], shared)

        assert (result.status, result.out) == (2, "")
        assert result.err.startswith("error: 'app.db' is read-only (")
        assert everything_in(shared) == before
        with closing(sqlite3.connect(shared / "app.db")) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


@pytest.mark.usefixtures("migrations")
@pytest.mark.parametrize("words", [["--keep", "2"], ["--keep=2"]])
def test_keep_without_a_snapshot_is_refused(torc: Torc, here: Path, words: list[str]) -> None:
    """A user who says how many to keep expects that one is made."""
    refused = torc("-d", "app.db", "upgrade", *words)

    assert (refused.status, refused.err) == (
        2,
        "error: --keep has no effect without --snapshot\nhint: add --snapshot, or leave out --keep\n",
    )
    assert not (here / "app.db").exists()
