"""A disk that is full, files whose rights or names change under a run: it ends with an error, and nothing is lost."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from database_under_test import BECOME_NOBODY, SQLiteUnderTest, ladder, python, write_folder
from namespaces import allowed, within

from torc_migrations import upgrade

BIG = (
    "CREATE TABLE big (x);\nWITH RECURSIVE n (i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 1000)\n"
    "INSERT INTO big SELECT randomblob(1000) FROM n;"
)

# Works on a disk of its own, on which another file leaves only `free` bytes, and is deleted later.
SMALL_DISK = """
import os, sqlite3, subprocess, sys
from torc_migrations import errors, upgrade
disk, source, free, journal = sys.argv[1:]
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", disk], check=True)
path = os.path.join(disk, "app.db")
connection = sqlite3.connect(path, isolation_level=None)
connection.execute(f"PRAGMA journal_mode = {journal}")
connection.execute("CREATE TABLE precious (x)")
connection.execute("INSERT INTO precious VALUES ('kept')")

with open(os.path.join(disk, "ballast"), "wb") as ballast:
    ballast.write(bytes(os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize - int(free)))

def state():
    found = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    tables = [name for name in sorted(found) if name[0] == "t" or name == "big"]
    if "_sqlx_migrations" not in found:
        return tables, [], []
    sqlx = [version for (version,) in connection.execute("SELECT version FROM _sqlx_migrations ORDER BY 1")]
    yoyo = [name for (name,) in connection.execute("SELECT migration_id FROM _yoyo_migration ORDER BY 1")]
    return tables, sqlx, yoyo

try:
    upgrade(path, source)
except errors.MigrationError as error:
    print(type(error).__name__, error.exit_code, str(error).replace(disk, ""))
print(connection.execute("PRAGMA integrity_check").fetchone(), connection.execute("SELECT x FROM precious").fetchone())
print(*state())
os.unlink(ballast.name)
print(upgrade(path, source, lock_timeout=0).applied)
print(*state())
"""


@pytest.mark.skipif(not allowed("--mount"), reason="nobody may mount a disk here")
@pytest.mark.parametrize("journal", ["delete", "wal"])
@pytest.mark.parametrize("free", [0, 65_536, 262_144])
def test_disk_that_is_full_loses_nothing(tmp_path: Path, folder, journal, free):
    """No space for the ledgers, the second script or the third: the error says so; with space a run goes on."""
    disk = tmp_path / "disk"
    disk.mkdir()
    source = folder({**ladder(2), "3_big": BIG})

    failed, kept, before, applied, after = within(["--mount"], SMALL_DISK, disk, source, free, journal).splitlines()

    assert failed.split()[0] in ("ExecutionFailed", "DatabaseFailed")
    assert "full" in failed
    assert kept == "('ok',) ('kept',)"
    installed = [version for version in (1, 2, 3) if str(version) not in applied]
    assert before == f"{[f't{n}' for n in installed]} {installed} {[f'{n}_make_t{n}' for n in installed]}"
    assert after == "['big', 't1', 't2'] [1, 2, 3] ['1_make_t1', '2_make_t2', '3_big']"


# No other connection has the database open, so that the WAL and its index have to be created.
FULL_DISK = """
import os, sqlite3, subprocess, sys
from torc_migrations import errors, status, upgrade
disk, source = sys.argv[1:]
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", disk], check=True)
path = os.path.join(disk, "app.db")
connection = sqlite3.connect(path)
connection.execute("PRAGMA journal_mode = WAL")
connection.close()
with open(os.path.join(disk, "ballast"), "wb") as ballast:
    ballast.write(bytes(os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize))
for act in (status, upgrade):
    try:
        act(path, source)
    except errors.DatabaseFailed as error:
        print(str(error).replace(disk, ""), error.hint, sep="; ")
os.unlink(ballast.name)
print(upgrade(path, source).applied)
"""


@pytest.mark.skipif(not allowed("--mount"), reason="nobody may mount a disk here")
def test_wal_that_has_no_space_is_said_to_be_on_a_full_disk(tmp_path: Path, folder):
    """SQLite calls it a disk I/O error; with space the run goes on."""
    disk = tmp_path / "disk"
    disk.mkdir()

    *failed, applied = within(["--mount"], FULL_DISK, disk, folder(ladder(1))).splitlines()

    said = "/app.db failed: disk I/O error, because the disk is full; free space on its disk"
    assert failed == [said, said]
    assert applied == "(1,)"


# Rehearses with more and more space.
SPACES = """
import os, sqlite3, subprocess, sys
from torc_migrations import errors, rehearse
disk, source = sys.argv[1:]
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", disk], check=True)
os.environ["TMPDIR"] = disk
path = os.path.join(disk, "app.db")
connection = sqlite3.connect(path)
connection.execute("PRAGMA journal_mode = WAL")
connection.close()
ballast = os.path.join(disk, "ballast")
said = []
for free in range(0, 400_000, 8192):
    with open(ballast, "wb") as file:
        file.write(bytes(os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize - free))
    try:
        rehearse(path, source)
    except errors.MigrationError as error:
        said.append(" full" in str(error) or isinstance(error, errors.NotEnoughSpace))
    os.unlink(ballast)
print(len(said) > 5, all(said), sorted(os.listdir(disk)))
"""


@pytest.mark.skipif(not allowed("--mount"), reason="nobody may mount a disk here")
def test_rehearsal_on_a_full_disk_is_an_error_that_says_so(tmp_path: Path, folder):
    """Whatever the copy lacks space for; nothing of it is left."""
    disk = tmp_path / "disk"
    disk.mkdir()
    source = folder({**ladder(2), "3_big": BIG.replace("1000)", "100)"), "3_big.rollback": "DROP TABLE big;"})

    said = within(["--mount"], SPACES, disk, source)

    assert said == "True True ['app.db']\n"


# Upgrades copies of a database with a snapshot, with more and more space.
SNAPSHOTS = """
import os, shutil, sqlite3, subprocess, sys
from torc_migrations import errors, upgrade
disk, source, kept = sys.argv[1:]
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", disk], check=True)
path, ballast = os.path.join(disk, "app.db"), os.path.join(disk, "ballast")
said = []
for free in range(0, 400_000, 8192):
    for name in os.listdir(disk):
        os.unlink(os.path.join(disk, name))
    shutil.copy(kept, path)
    with open(ballast, "wb") as file:
        file.write(bytes(os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize - free))
    try:
        upgrade(path, source, snapshot=disk)
    except errors.MigrationError as error:
        said.append(" full" in str(error) or isinstance(error, errors.NotEnoughSpace))
        os.unlink(ballast)
        connection = sqlite3.connect(path)
        assert connection.execute("SELECT count(*) FROM big").fetchone() == (100,)
        connection.close()
print(len(said) > 5, all(said))
"""


@pytest.mark.skipif(not allowed("--mount"), reason="nobody may mount a disk here")
@pytest.mark.parametrize("journal", ["delete", "wal"])
def test_snapshot_on_a_full_disk_is_an_error_that_says_so(tmp_path: Path, sqlite: SQLiteUnderTest, folder, journal):
    """Also where the copy of a database in WAL mode has no space for the index that SQLite makes for a moment."""
    disk = tmp_path / "disk"
    disk.mkdir()
    source = folder({"1_big": BIG.replace("1000)", "100)"), "2_more": "CREATE TABLE more (x);"})
    upgrade(sqlite.path, source, target=1)
    sqlite.execute(f"PRAGMA journal_mode = {journal}")

    assert within(["--mount"], SNAPSHOTS, disk, source, sqlite.path) == "True True\n"


# Upgrades a lent connection without the rights of root; at the moment before its first write something happens.
MEANWHILE = (
    BECOME_NOBODY
    + """
path, source, meanwhile = sys.argv[1:]
connection = sqlite3.connect(path)
def watch(sql):
    if sql == "BEGIN IMMEDIATE":
        connection.set_trace_callback(None)
        exec(meanwhile)
connection.set_trace_callback(watch)
try:
    print(torc_migrations.upgrade(connection, source).applied)
except torc_migrations.errors.MigrationError as error:
    print(type(error).__name__, error.exit_code, error)
"""
)


@pytest.fixture
def public() -> Iterator[SQLiteUnderTest]:
    """A database with one of three migrations installed, in a folder that is another user's."""
    with tempfile.TemporaryDirectory() as name:
        os.chmod(name, 0o755)
        write_folder(Path(name, "sql"), ladder(3))
        os.mkdir(Path(name, "db"))
        database = SQLiteUnderTest(Path(name, "db", "app.db"))
        upgrade(database.path, str(Path(name, "sql")), target=1)
        if os.geteuid() == 0:
            for path in (database.path.parent, database.path):
                os.chown(path, 65534, 65534)
        yield database
        os.chmod(database.path.parent, 0o755)


def meanwhile(database: SQLiteUnderTest, act: str) -> str:
    """Upgrade, have something happen between plan and first write, and return what the upgrade came to."""
    return python(MEANWHILE, database.path, database.path.parent.parent / "sql", act)


@pytest.mark.skipif(os.name != "posix", reason="rights are told here as POSIX has them")
def test_folder_made_read_only_between_plan_and_run_is_told(public: SQLiteUnderTest):
    """Without a place for its journal SQLite cannot write: the error says so, and the file is as it was."""
    before = public.path.read_bytes()

    said = meanwhile(public, "os.chmod(os.path.dirname(path), 0o555)")

    assert said.startswith("CannotOpen 2 ")
    assert public.path.read_bytes() == before


@pytest.mark.skipif(os.name != "posix", reason="rights are told here as POSIX has them")
def test_file_made_read_only_between_plan_and_run_is_whole(public: SQLiteUnderTest):
    """A process that has opened a file may go on writing to it, as POSIX says; the next run is refused."""
    assert meanwhile(public, "os.chmod(path, 0o444)") == "(2, 3)\n"
    assert public.ledgers().agreed == (1, 2, 3)

    write_folder(public.path.parent.parent / "sql", ladder(4))
    before = public.path.read_bytes()
    assert meanwhile(public, "").startswith("CannotOpen 2 ")
    assert public.path.read_bytes() == before


@pytest.mark.parametrize("journal", ["delete", "wal"])
def test_file_replaced_between_plan_and_run_is_told(public: SQLiteUnderTest, journal):
    """A run that was planned for one file writes to no other, and not to the one that nobody finds any more."""
    public.execute(f"PRAGMA journal_mode = {journal}")
    other = SQLiteUnderTest(public.path.with_name("other.db"))
    other.execute("CREATE TABLE other (x)")
    os.link(public.path, public.path.with_name("kept.db"))
    before = public.path.read_bytes(), other.path.read_bytes()

    said = meanwhile(public, "os.replace(os.path.join(os.path.dirname(path), 'other.db'), path)")

    assert said.startswith("DatabaseFailed ")
    assert "its file was deleted or replaced while it was open" in said
    assert (public.path.with_name("kept.db").read_bytes(), public.path.read_bytes()) == before
