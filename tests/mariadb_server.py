"""A throw-away MariaDB server, and its databases as tests see them."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pymysql
from database_under_test import LEDGER_TABLES, PATIENCE, Ledgers

MISSING = (
    "MariaDB's server is not installed: `apt-get install mariadb-server` (no service needs to run), or the packages "
    "mariadb-server-core and mariadb-client"
)
NOBODY = 65534
OUR_TABLES = LEDGER_TABLES | {"_torc_migrations_lock"}


def find(program: str) -> str | None:
    """Return the path of a program of a server, which may be where only root looks."""
    return shutil.which(program, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")


def is_installed() -> bool:
    """Tell whether a server can be started."""
    return all(find(program) for program in ("mariadbd", "mariadb-install-db", "mariadb", "mariadb-admin"))


def unprivileged(directory: Path) -> list[str]:
    """Give a directory to `nobody` where the tests run as root, which MariaDB refuses; return the option for it."""
    if os.geteuid() != 0:
        return []
    os.chown(directory, NOBODY, NOBODY)
    return ["--user=nobody"]


def install(directory: Path, user: list[str]) -> None:
    """Make the data of a server, in which `root` has no password.

    Its temporary files have a directory of their own, because a server that starts deletes those of others beside it.
    """
    program = find("mariadb-install-db")
    assert program is not None
    temporary = directory / "tmp"
    temporary.mkdir()
    if user:
        os.chown(temporary, NOBODY, NOBODY)
    options = [
        f"--datadir={directory / 'data'}",
        f"--tmpdir={temporary}",
        "--auth-root-authentication-method=normal",
        "--skip-test-db",
    ]
    done = subprocess.run(
        [program, "--no-defaults", *options, *user], capture_output=True, text=True, check=False, timeout=PATIENCE
    )
    assert done.returncode == 0, done.stdout + done.stderr


def answers(socket: str) -> bool:
    """Tell whether a server answers on a socket."""
    program = find("mariadb-admin")
    assert program is not None
    command = [program, "--no-defaults", "-uroot", "-S", socket, "ping"]
    return subprocess.run(command, capture_output=True, check=False, timeout=PATIENCE).returncode == 0


class Server:
    """A server on a Unix socket, in a directory of its own."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.socket = str(directory / "s")
        self._process: subprocess.Popen[bytes] | None = None
        self._user = unprivileged(directory)
        install(directory, self._user)

    def start(self, *options: str) -> None:
        """Start it, and wait until it answers."""
        program = find("mariadbd")
        assert program is not None
        command = [
            *(program, "--no-defaults", f"--datadir={self.directory / 'data'}", f"--socket={self.socket}"),
            *(f"--tmpdir={self.directory / 'tmp'}", f"--pid-file={self.directory / 'pid'}"),
            *(f"--log-error={self.directory / 'log'}", "--skip-networking"),
            *("--innodb-flush-log-at-trx-commit=0", "--innodb-buffer-pool-size=64M", *self._user, *options),
        ]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + PATIENCE
        while not answers(self.socket):
            assert self._process.poll() is None, (self.directory / "log").read_text()
            assert time.monotonic() < deadline, (self.directory / "log").read_text()
            time.sleep(0.05)

    def stop(self) -> None:
        """Stop it, and wait until it has ended."""
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            self._process.wait(PATIENCE)
            self._process = None

    def connect(self, database: str | None, **options: Any) -> Any:
        """Open a connection of the driver."""
        return pymysql.connect(unix_socket=self.socket, user="root", database=database, **options)

    def new_database(self) -> MariaDbUnderTest:
        """Make an empty database."""
        name = f"t_{uuid.uuid4().hex[:12]}"
        with closing(self.connect(None, autocommit=True)) as connection, connection.cursor() as cursor:
            cursor.execute(f"CREATE DATABASE {name}")
        return MariaDbUnderTest(self, name)


@contextmanager
def running_server(*options: str) -> Iterator[Server]:
    """Start a server in a temporary directory; stop it and remove the directory at the end."""
    # Not below pytest's own directories, which no other user may enter, and whose names are too long for a socket.
    directory = Path(tempfile.mkdtemp(prefix="torc-mariadb-"))
    directory.chmod(0o755)
    try:
        server = Server(directory)
        try:
            server.start(*options)
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(directory, ignore_errors=True)


class MariaDbUnderTest:
    """One database of a server."""

    def __init__(self, server: Server, name: str) -> None:
        self.server = server
        self.name = name

    @property
    def url(self) -> str:
        """The address that our functions take."""
        return f"mysql://root@/{self.name}?unix_socket={self.server.socket}"

    @property
    def sqlx_url(self) -> str:
        """The address that sqlx takes."""
        return f"mysql://root@localhost/{self.name}?socket={self.server.socket}"

    @property
    def yoyo_url(self) -> str:
        """The address that yoyo takes."""
        return f"mysql://root@/{self.name}?unix_socket={self.server.socket}"

    def connect(self, **options: Any) -> Any:
        """Open a connection that commits by itself, and for which the test is responsible."""
        return self.server.connect(self.name, **{"autocommit": True, **options})

    def connect_executing(self) -> Any:
        """Open a connection that has the method `execute`, as those of other drivers have."""
        return _Executing(unix_socket=self.server.socket, user="root", database=self.name, autocommit=True)

    def execute(self, *statements: str) -> list[tuple[Any, ...]]:
        """Run statements, each committed by itself, and return the rows of the last one."""
        rows: list[tuple[Any, ...]] = []
        with closing(self.connect()) as connection, connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
                rows = list(cursor.fetchall())
        return rows

    def tables(self) -> Mapping[str, str]:
        """Return the definition of each table, and the table of each index, by its name, ledgers left out."""
        names = [name for (name,) in self.execute("SHOW TABLES") if name not in OUR_TABLES]
        found = {name: self.execute(f"SHOW CREATE TABLE `{name}`")[0][1] for name in names}
        return found | {
            row[2]: row[0] for name in names for row in self.execute(f"SHOW INDEX FROM `{name}`") if row[2] != "PRIMARY"
        }

    def ledgers(self) -> Ledgers:
        """Return what the ledgers say; a table that is missing says nothing, nor does a row that is not successful."""
        log = self._rows("SELECT operation, migration_id, comment, created_at_utc FROM _yoyo_log ORDER BY 4")
        return Ledgers(
            tuple(row[0] for row in self._rows("SELECT version FROM _sqlx_migrations WHERE success ORDER BY version")),
            tuple(row[0] for row in self._rows("SELECT migration_id FROM _yoyo_migration ORDER BY migration_id")),
            tuple((row[0], row[1]) for row in sorted(log, key=_place)),
        )

    def dirty(self) -> list[int]:
        """Return the versions whose row in sqlx's ledger is not successful."""
        return [row[0] for row in self._rows("SELECT version FROM _sqlx_migrations WHERE NOT success")]

    def _rows(self, sql: str) -> list[tuple[Any, ...]]:
        try:
            return self.execute(sql)
        except pymysql.ProgrammingError as error:
            if error.args[0] == 1146:
                return []
            raise


class _Executing(pymysql.connections.Connection):  # type: ignore[misc]  # PyMySQL has no types
    """A connection of the driver with one method more."""

    def execute(self, sql: str) -> None:
        """Run a statement."""
        with self.cursor() as cursor:
            cursor.execute(sql)


def _place(row: tuple[Any, ...]) -> int:
    found = re.search(r"; after (\d+)", row[2] or "")
    return int(found[1]) if found else 0
