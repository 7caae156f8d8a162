"""Reading leaves no trace, and what cannot be read or written is said in a sentence."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from database_under_test import BECOME_NOBODY, SQLiteUnderTest, ladder, python, start_python, write_folder

from torc_migrations import Migrator, errors, rollback, status, upgrade

posix = pytest.mark.skipif(os.name != "posix", reason="rights are told here as POSIX has them")

# Everything that can be asked and writes nothing.
READINGS = {
    "status": lambda migrator: migrator.status(),
    "plan upgrade": lambda migrator: migrator.plan(),
    "plan rollback": lambda migrator: migrator.plan("rollback"),
}

# Reads and tries to write as another user, and says what came of it.
AS_ANOTHER = (
    BECOME_NOBODY
    + """
from torc_migrations import errors, status, upgrade
for operation in (status, upgrade):
    try:
        result = operation(*sys.argv[1:])
        print("ok", len(getattr(result, "pending", ())))
    except errors.MigrationError as error:
        print(type(error).__name__, error.exit_code, error)
"""
)


def trace(database: SQLiteUnderTest) -> tuple[object, ...]:
    """Return everything that reading could leave behind: the file's bytes and times, and its neighbours."""
    folder = database.path.parent
    return (database.path.read_bytes(), database.path.stat().st_mtime_ns, sorted(os.listdir(folder)))


def write_hot_journal(path: Path) -> None:
    """Make a file that a crash has left with a rollback journal which has to be played back."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA cache_size = 1")
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("CREATE TABLE half_way (x)")
        connection.execute("INSERT INTO half_way SELECT randomblob(100000) FROM (VALUES (1), (2), (3), (4), (5))")
        shutil.copy(path, f"{path}.copy")
        shutil.copy(f"{path}-journal", f"{path}.journal")
        connection.execute("ROLLBACK")
    os.replace(f"{path}.copy", path)
    os.replace(f"{path}.journal", f"{path}-journal")


@pytest.mark.parametrize("reading", READINGS)
@pytest.mark.parametrize("journal", ["delete", "truncate", "persist", "wal"])
def test_reading_leaves_no_trace(sqlite: SQLiteUnderTest, folder, reading, journal):
    """No byte, no time and no file changes, whatever the journal mode, with and without ledgers."""
    source = folder(ladder(2))
    sqlite.execute(f"PRAGMA journal_mode = {journal}", "CREATE TABLE x (x)")
    for prepare in (lambda: None, lambda: upgrade(sqlite.path, source, target=1)):
        prepare()
        before = trace(sqlite)

        READINGS[reading](Migrator(sqlite.path, source))

        assert trace(sqlite) == before


@pytest.mark.parametrize("reading", READINGS)
def test_missing_file_is_listed_as_pending_and_not_created(sqlite: SQLiteUnderTest, folder, reading):
    """A database that is not there yet has everything pending; only an upgrade creates it."""
    source = folder(ladder(2))
    READINGS[reading](Migrator(sqlite.path, source))

    assert [m.version for m in status(sqlite.path, source).pending] == [1, 2]
    assert rollback(sqlite.path, source).applied == ()
    assert not sqlite.path.exists()
    assert upgrade(sqlite.path, source).applied == (1, 2)


def test_upgrade_that_is_refused_creates_no_file(sqlite: SQLiteUnderTest, folder):
    """A mistake that shows before the first script leaves nothing behind."""
    source = folder({**ladder(1), "2_bad": b"\xff"})
    with pytest.raises(errors.BadScript):
        upgrade(sqlite.path, source)
    with pytest.raises(errors.VersionNotPresent):
        upgrade(sqlite.path, folder({"2_bad": "SELECT 1;"}), target=7)

    assert not sqlite.path.exists()


def test_empty_file_is_an_empty_database(sqlite: SQLiteUnderTest, folder):
    """A file of 0 bytes stays one while it is only listed."""
    sqlite.path.touch()
    source = folder(ladder(2))
    before = trace(sqlite)

    assert len(status(sqlite.path, source).pending) == 2
    assert trace(sqlite) == before
    assert upgrade(sqlite.path, source).applied == (1, 2)


def test_reading_beside_an_open_wal_leaves_it_alone(sqlite: SQLiteUnderTest, folder):
    """While an application has the file open, its WAL stays, and the file is not written to."""
    source = folder(ladder(2))
    sqlite.execute("PRAGMA journal_mode = WAL")
    with closing(sqlite.connect()) as connection:
        connection.execute("CREATE TABLE x (x)")
        before = (trace(sqlite), Path(f"{sqlite.path}-wal").read_bytes())

        status(sqlite.path, source)

        assert (trace(sqlite), Path(f"{sqlite.path}-wal").read_bytes()) == before


def test_wal_of_a_crash_is_read(sqlite: SQLiteUnderTest, folder):
    """What a killed process had committed to its WAL is installed, with the index that it left and without."""
    source = folder(ladder(3))
    sqlite.execute("PRAGMA journal_mode = WAL")
    kill = (
        "import os, signal, sqlite3, sys\n"
        "from torc_migrations import upgrade\n"
        "connection = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
        "upgrade(connection, sys.argv[2], target=2)\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    process = start_python(kill, sqlite.path, source)
    process.communicate()
    assert Path(f"{sqlite.path}-wal").stat().st_size > 0
    os.remove(f"{sqlite.path}-shm")

    assert [m.version for m in status(sqlite.path, source).pending] == [3]
    assert upgrade(sqlite.path, source).applied == (3,)


@pytest.mark.parametrize("url", ["sqlite:///{}", "sqlite:///{}?mode=ro"])
def test_crash_without_wal_is_recovered(sqlite: SQLiteUnderTest, folder, url):
    """A hot journal is played back, as SQLite has to; then status tells what was there before the crash."""
    source = folder(ladder(2))
    upgrade(sqlite.path, source, target=1)
    before = sqlite.path.read_bytes()
    write_hot_journal(sqlite.path)
    assert sqlite.path.read_bytes() != before

    assert [m.version for m in status(url.format(sqlite.path), source).pending] == [2]
    assert sqlite.path.read_bytes() == before
    assert os.listdir(sqlite.path.parent).count("app.db-journal") == 0


@pytest.mark.parametrize("journal", ["delete", "wal"])
def test_read_only_url_reads_and_never_writes(sqlite: SQLiteUnderTest, folder, journal):
    """`?mode=ro` lists without a trace, is content where nothing is to do, and refuses to write."""
    source = folder(ladder(2))
    sqlite.execute(f"PRAGMA journal_mode = {journal}")
    upgrade(sqlite.path, source, target=1)
    before, url = trace(sqlite), f"{sqlite.url}?mode=ro"

    assert [m.version for m in status(url, source).pending] == [2]
    assert upgrade(url, source, target=1).applied == ()
    with pytest.raises(errors.CannotOpen, match="read-only") as failure:
        upgrade(url, source)

    assert failure.value.exit_code == 2
    assert trace(sqlite) == before


@pytest.mark.parametrize("mode", ["ro", "rw"])
def test_modes_that_create_nothing_say_so(sqlite: SQLiteUnderTest, folder, mode):
    """`?mode=ro` and `?mode=rw` want a file that is there."""
    for operation in (status, upgrade):
        with pytest.raises(errors.CannotOpen, match=f"mode={mode}"):
            operation(f"{sqlite.url}?mode={mode}", folder(ladder(1)))

    assert not sqlite.path.exists()


@pytest.mark.parametrize("content", [b"no database, but quite a long text\n" * 200, b"xy", os.urandom(5000)])
def test_file_that_is_no_database_is_refused_unchanged(sqlite: SQLiteUnderTest, folder, content):
    """Somebody else's file is named in the error, and stays as it is."""
    source = folder(ladder(1))
    sqlite.path.write_bytes(content)
    before = trace(sqlite)
    for operation in (status, upgrade, rollback):
        with pytest.raises(errors.CannotOpen, match="is not a SQLite database") as failure:
            operation(sqlite.path, source)
        assert failure.value.exit_code == 2

    assert trace(sqlite) == before


def test_damaged_database_is_an_error_of_ours(sqlite: SQLiteUnderTest, folder):
    """A file that is broken inside is an error that names it."""
    source = folder(ladder(30))
    upgrade(sqlite.path, source, target=29)
    content = bytearray(sqlite.path.read_bytes())
    content[4096 + 20 : 4096 * 20] = b"\x5a" * (4096 * 19 - 20)
    sqlite.path.write_bytes(content)

    for operation in (status, upgrade):
        with pytest.raises(errors.DatabaseFailed, match="malformed"):
            operation(sqlite.path, source)


def test_folder_is_no_database(tmp_path: Path, folder):
    """A folder where a file is meant is told apart from other failures."""
    for operation in (status, upgrade):
        with pytest.raises(errors.CannotOpen, match="it is a directory"):
            operation(tmp_path, folder(ladder(1)))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes in Windows's file systems")
def test_a_pipe_is_no_database(tmp_path: Path, folder):
    """A pipe or a device is an address that cannot be used, and not a failure of a disk."""
    os.mkfifo(tmp_path / "app.db")

    for operation in (status, upgrade):
        with pytest.raises(errors.CannotOpen, match="it is a device, a pipe or a socket"):
            operation(tmp_path / "app.db", folder(ladder(1)))


def test_a_connection_of_another_thread_has_a_hint(folder):
    """sqlite3 refuses it, as where an operation is awaited; the hint says how to open it."""
    source = folder(ladder(1))
    with closing(sqlite3.connect(":memory:")) as connection, ThreadPoolExecutor() as threads:
        failure = threads.submit(upgrade, connection, source).exception()

    assert isinstance(failure, errors.CannotOpen)
    assert failure.hint == "open it with check_same_thread=False"


def test_missing_folder_is_named(tmp_path: Path, folder):
    """A file cannot be created in a folder that is not there; the folder is not created either."""
    for operation in (status, upgrade):
        with pytest.raises(errors.CannotOpen, match="there is no directory") as failure:
            operation(tmp_path / "nowhere" / "app.db", folder(ladder(1)))
        assert "nowhere" in str(failure.value)

    assert not (tmp_path / "nowhere").exists()


@pytest.fixture
def public() -> Iterator[SQLiteUnderTest]:
    """A database with one of two migrations installed, in a folder that any user may enter."""
    with tempfile.TemporaryDirectory() as name:
        os.chmod(name, 0o755)
        write_folder(Path(name, "sql"), ladder(2))
        os.mkdir(Path(name, "db"))
        database = SQLiteUnderTest(Path(name, "db", "app.db"))
        upgrade(database.path, str(Path(name, "sql")), target=1)
        yield database
        for path in (database.path.parent, *database.path.parent.iterdir()):
            with contextlib.suppress(OSError):
                os.chmod(path, 0o700)


def as_another(database: SQLiteUnderTest) -> list[str]:
    """Return what status and upgrade come to for a user without rights of their own."""
    return python(AS_ANOTHER, database.path, database.path.parent.parent / "sql").splitlines()


def set_rights(database: SQLiteUnderTest, file: int, folder: int) -> None:
    """Set the rights of a database, of its neighbours, and of its folder."""
    for path in database.path.parent.iterdir():
        os.chmod(path, file)
    os.chmod(database.path.parent, folder)


@posix
@pytest.mark.parametrize("journal", ["delete", "wal"])
@pytest.mark.parametrize(("file", "folder"), [(0o444, 0o555), (0o444, 0o777), (0o666, 0o555)])
def test_file_that_may_only_be_read_is_listed_and_not_upgraded(public: SQLiteUnderTest, journal, file, folder):
    """With rights to read, status works and leaves no trace; upgrade refuses, with exit code 2, and changes nothing."""
    public.execute(f"PRAGMA journal_mode = {journal}")
    set_rights(public, file, folder)
    before = trace(public)

    read, written = as_another(public)

    assert read == "ok 1"
    assert written.startswith("CannotOpen 2 ")
    assert trace(public) == before


@posix
def test_file_that_may_not_be_read_is_refused(public: SQLiteUnderTest):
    """Without rights to read, the error says that it is permission that is lacking."""
    set_rights(public, 0o000, 0o555)

    for line in as_another(public):
        assert line.startswith("CannotOpen 2 ")
        assert "permission denied" in line


@posix
def test_folder_that_may_not_be_written_gets_no_database(public: SQLiteUnderTest):
    """Where no file can be created, status lists everything as pending, and upgrade says what is in the way."""
    public.path.unlink()
    set_rights(public, 0o444, 0o555)

    read, written = as_another(public)

    assert read == "ok 2"
    assert written.startswith("CannotOpen 2 ")
    assert "cannot be written" in written


@posix
def test_wal_of_a_running_application_in_a_folder_that_may_only_be_read(public: SQLiteUnderTest):
    """While the application has its file open, another user reads what is in its WAL."""
    public.execute("PRAGMA journal_mode = WAL")
    with closing(public.connect()) as connection:
        upgrade(connection, str(public.path.parent.parent / "sql"))
        set_rights(public, 0o444, 0o555)

        read, written = as_another(public)

        assert read == "ok 0"
        assert written == "ok 0"


@posix
def test_rights_that_go_between_plan_and_run_are_noticed(public: SQLiteUnderTest):
    """A file that becomes read-only during a run ends it with an error; what was done stays."""
    code = BECOME_NOBODY + (
        "path, source = sys.argv[1:]\n"
        "def forbid(_):\n"
        "    os.chmod(os.path.dirname(path), 0o555)\n"
        "try:\n"
        "    torc_migrations.Migrator(path, source, group=0).upgrade(observer=forbid)\n"
        "except torc_migrations.errors.MigrationError as error:\n"
        "    print(type(error).__name__, error.report.applied)\n"
    )
    shutil.copytree(public.path.parent.parent / "sql", public.path.parent / "sql")
    write_folder(public.path.parent / "sql", ladder(4))
    set_rights(public, 0o777, 0o777)
    if os.geteuid() == 0:
        os.chown(public.path.parent, 65534, 65534)

    outcome = python(code, public.path, public.path.parent / "sql")

    assert outcome == "CannotOpen (2,)\n"
    assert public.ledgers().agreed == (1, 2)


@posix
@pytest.mark.parametrize(
    ("script", "atomic"),
    [
        ("CREATE TABLE b (x);", False),
        ("CREATE TABLE b (x);", True),
        ("SELECT 1;", False),
        ("SELECT 1;", True),
        ("-- transactional: false\nCREATE TABLE b (x);", False),
    ],
)
def test_a_script_is_not_blamed_for_a_file_that_cannot_be_written(public: SQLiteUnderTest, script, atomic):
    """SQLite begins a transaction on such a file, and fails at the first statement that writes."""
    source = public.path.parent.parent / "sql"
    upgrade(public.path, str(source))
    write_folder(source, {"3_b": script})
    set_rights(public, 0o444, 0o555)
    code = BECOME_NOBODY + (
        "path, source = sys.argv[1:]\n"
        "try:\n"
        f"    torc_migrations.upgrade(path, source, atomic={atomic})\n"
        "except torc_migrations.errors.MigrationError as error:\n"
        "    print(type(error).__name__, error.report.applied)\n"
    )

    assert python(code, public.path, source) == "CannotOpen ()\n"
    assert public.ledgers().agreed == (1, 2)
