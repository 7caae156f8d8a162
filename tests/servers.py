"""Throw-away servers for tests: started in a temporary directory, on a Unix socket, by a user who is not root."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import psycopg
from database_under_test import LEDGER_TABLES, Ledgers

USER = "torc-servers"
HOW = "install PostgreSQL (Debian: apt-get install postgresql), or name the directory of its programs in PG_BIN"
_numbers = count()


def find_programs() -> Path | None:
    """Return the directory of the newest PostgreSQL that is installed, or of that in `PG_BIN`."""
    named = os.environ.get("PG_BIN")
    places = [Path(named)] if named else sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=_version, reverse=True)
    on_path = shutil.which("initdb")
    places += [Path(on_path).parent] if on_path else []
    return next((place for place in places if (place / "initdb").exists() and (place / "pg_ctl").exists()), None)


def _version(path: Path) -> int:
    return int(path.parent.name) if path.parent.name.isdigit() else 0


def _as_user(home: Path) -> list[str]:
    """Return what a command begins with that is run by a user who is not root; the directory is given to him."""
    if os.getuid() != 0:
        return []
    try:
        pwd.getpwnam(USER)
    except KeyError:
        subprocess.run(["useradd", "--system", "--no-create-home", USER], check=False, capture_output=True)
    shutil.chown(home, USER)
    return ["runuser", "-u", USER, "--"]


@dataclass(frozen=True)
class Server:
    """A running server: the directory of its socket and its data, and the programs that it was started with."""

    home: Path
    programs: Path

    def url(self, database: str, **parameters: str) -> str:
        """Return the URL of a database."""
        query = "".join(f"&{name}={value}" for name, value in parameters.items())
        return f"postgresql://postgres@/{database}?host={self.home}{query}"

    def connect(self, database: str = "postgres") -> psycopg.Connection:
        """Open a connection without transactions."""
        return psycopg.connect(host=str(self.home), user="postgres", dbname=database, autocommit=True)

    def create_database(self) -> str:
        """Create an empty database, and return its name."""
        name = f"test_{os.getpid()}_{next(_numbers)}"
        with self.connect() as connection:
            connection.execute(f'CREATE DATABASE "{name}" TEMPLATE template0')
        return name


@contextmanager
def postgresql(programs: Path, *settings: str) -> Iterator[Server]:
    """Start a server, and stop it at the end."""
    home = Path(tempfile.mkdtemp(prefix="torc-pg-", dir="/tmp"))  # the path of a socket has at most 107 letters
    prefix = _as_user(home)
    data, log = home / "data", home / "log"
    options = " ".join(f"-c {each}" for each in _settings(home, settings))
    try:
        initdb = [
            programs / "initdb",
            "-D",
            data,
            "-U",
            "postgres",
            "-A",
            "trust",
            "--no-sync",
            "-E",
            "UTF8",
            "--locale=C",
        ]
        _run([*prefix, *initdb], home)
        _run([*prefix, programs / "pg_ctl", "-D", data, "-w", "-t", "120", "-l", log, "-o", options, "start"], home)
        try:
            yield Server(home, programs)
        finally:
            _run([*prefix, programs / "pg_ctl", "-D", data, "-w", "-m", "immediate", "stop"], home)
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _settings(home: Path, settings: tuple[str, ...]) -> list[str]:
    quiet = ("listen_addresses=", "fsync=off", "max_connections=200", "autovacuum=off")
    return [*quiet, f"unix_socket_directories={home}", *settings]


def _run(command: list[object], home: Path) -> None:
    done = subprocess.run([str(word) for word in command], cwd=home, capture_output=True, text=True, timeout=180)
    log = home / "log"
    told = log.read_text() if done.returncode and log.exists() and os.access(log, os.R_OK) else ""
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}{told}"


class PostgreSQLUnderTest:
    """A database of a PostgreSQL server, as a test sees it from outside."""

    def __init__(self, server: Server, name: str) -> None:
        self.server = server
        self.database = name

    @property
    def url(self) -> str:
        """The address that our functions take."""
        return self.server.url(self.database)

    def connect(self) -> psycopg.Connection:
        """Open a connection that commits by itself, and for which the test is responsible."""
        return self.server.connect(self.database)

    def execute(self, *statements: str) -> list[tuple[Any, ...]]:
        """Run statements, each committed by itself, and return the rows of the last one."""
        rows: list[tuple[Any, ...]] = []
        with self.connect() as connection:
            for statement in statements:
                cursor = connection.execute(statement)
                rows = cursor.fetchall() if cursor.description else []
        return rows

    def tables(self) -> dict[str, str]:
        """Return the definition of each table and index by its name, ledgers left out."""
        columns = """
            SELECT c.relname, string_agg(a.attname || ' ' || format_type(a.atttypid, a.atttypmod), ', ' ORDER BY attnum)
            FROM pg_class c LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND attnum > 0 AND NOT attisdropped
            WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'v', 'i')
            GROUP BY c.relname
        """
        rows = self.execute(columns)
        return {name: text or "" for name, text in rows if name.removesuffix("_pkey") not in LEDGER_TABLES}

    def ledgers(self) -> Ledgers:
        """Return what the ledgers say; a table that is missing says nothing."""
        log = "SELECT operation, migration_id FROM _yoyo_log WHERE operation <> 'begin' ORDER BY created_at_utc, id"
        return Ledgers(
            tuple(version for (version,) in self._rows("SELECT version FROM _sqlx_migrations ORDER BY version")),
            tuple(name for (name,) in self._rows("SELECT migration_id FROM _yoyo_migration ORDER BY migration_id")),
            tuple(self._rows(log)),
        )

    def _rows(self, sql: str) -> list[tuple[Any, ...]]:
        try:
            return self.execute(sql)
        except psycopg.errors.UndefinedTable:
            return []


@contextmanager
def standby(primary: Server) -> Iterator[Server]:
    """Start a streaming standby of a server, and stop it at the end."""
    home = Path(tempfile.mkdtemp(prefix="torc-pg-", dir="/tmp"))
    prefix = _as_user(home)
    data, programs = home / "data", primary.programs
    options = " ".join(f"-c {each}" for each in _settings(home, ()))
    try:
        copy = [programs / "pg_basebackup", "-D", data, "-h", primary.home, "-U", "postgres", "-R", "-c", "fast"]
        _run([*prefix, *copy, "--no-sync"], home)
        _run(
            [*prefix, programs / "pg_ctl", "-D", data, "-w", "-t", "120", "-l", home / "log", "-o", options, "start"],
            home,
        )
        try:
            yield Server(home, programs)
        finally:
            _run([*prefix, programs / "pg_ctl", "-D", data, "-w", "-m", "immediate", "stop"], home)
    finally:
        shutil.rmtree(home, ignore_errors=True)


@contextmanager
def pgbouncer(server: Server) -> Iterator[Path]:
    """Start a pooler that gives each transaction another session, and yield the directory of its socket."""
    home = Path(tempfile.mkdtemp(prefix="torc-pool-", dir="/tmp"))
    prefix = _as_user(home)
    (home / "ini").write_text(
        f"[databases]\n* = host={server.home} user=postgres\n[pgbouncer]\nlisten_addr =\nunix_socket_dir = {home}\n"
        f"listen_port = 6543\nauth_type = any\npool_mode = transaction\ndefault_pool_size = 3\nlogfile = {home}/log\n"
        f"pidfile = {home}/pid\n"
    )
    process = subprocess.Popen([*prefix, shutil.which("pgbouncer") or "", str(home / "ini")], stderr=subprocess.DEVNULL)
    try:
        give_up = time.monotonic() + 60
        while not (home / ".s.PGSQL.6543").exists():
            assert time.monotonic() < give_up, (home / "log").read_text()
            time.sleep(0.05)
        yield home
    finally:
        process.terminate()
        process.wait(60)
        shutil.rmtree(home, ignore_errors=True)
