"""What all tests share: a database of each kind, and folders of migrations."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import mariadb_server as mariadb_servers
import pytest
from database_under_test import DatabaseUnderTest, SQLiteUnderTest, write_folder
from servers import HOW, PostgreSQLUnderTest, Server, find_programs, postgresql
from shell import COMMAND, PAIRS, Result, Torc, run, write_files

FolderWriter = Callable[[Mapping[str, str | bytes]], str]


def pytest_configure() -> None:
    """Hear Ctrl-C also where a shell has started the tests in the background, which ignores it for all they start."""
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def sqlite(tmp_path: Path) -> SQLiteUnderTest:
    """A SQLite file that does not exist yet, for what only SQLite has."""
    return SQLiteUnderTest(tmp_path / "app.db")


@pytest.fixture(params=["sqlite"])
def database(request: pytest.FixtureRequest) -> Iterator[DatabaseUnderTest]:
    """A database with nothing in it, of each kind that is supported, for what all of them promise."""
    return request.getfixturevalue(request.param)


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[Server]:
    """A PostgreSQL server of this process of the tests."""
    programs = find_programs()
    if programs is None:
        pytest.skip(f"there is no PostgreSQL server here: {HOW}")
    with postgresql(programs) as server:
        yield server


@pytest.fixture(scope="session")
def mariadb_server() -> Iterator[mariadb_servers.Server]:
    """A MariaDB server of this process of the tests."""
    if not mariadb_servers.is_installed():
        pytest.skip(mariadb_servers.MISSING)
    with mariadb_servers.running_server() as server:
        yield server


@pytest.fixture
def mariadb(mariadb_server: mariadb_servers.Server) -> mariadb_servers.MariaDbUnderTest:
    """A database with nothing in it, for what only MariaDB has."""
    return mariadb_server.new_database()


@pytest.fixture
def postgresql_database(postgresql_server: Server) -> PostgreSQLUnderTest:
    """A database with nothing in it, for what only PostgreSQL has."""
    return PostgreSQLUnderTest(postgresql_server, postgresql_server.create_database())


@pytest.fixture
def folder(tmp_path: Path) -> FolderWriter:
    """A function that writes a folder of SQL files, given by name without `.sql`, and returns its path.

    Called again it adds to the folder, or overwrites.
    """
    return lambda files: write_folder(tmp_path / "migrations", files)


@pytest.fixture(params=["delete", "wal"])
def journal(request: pytest.FixtureRequest) -> str:
    """Both ways in which SQLite commits."""
    return str(request.param)


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """An empty folder, in which commands are run."""
    folder = tmp_path / "here"
    folder.mkdir()
    return folder


@pytest.fixture
def torc(here: Path) -> Torc:
    """The command, run in `here`."""

    def run_torc(*words: str, env: dict[str, str | None] | None = None, stdin: str = "") -> Result:
        return run([COMMAND, *words], here, env, stdin=stdin)

    return run_torc


@pytest.fixture
def migrations(here: Path) -> Path:
    """Three pairs in yoyo's layout, in the folder that is found without being named."""
    return write_files(here / "migrations", PAIRS)
