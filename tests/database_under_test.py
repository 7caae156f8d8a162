"""What every database under test can be asked, so that one test serves all that are supported."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import torc_migrations

LEDGER_TABLES = {
    "_sqlx_migrations",
    "_yoyo_migration",
    "_yoyo_log",
    "_yoyo_version",
    "yoyo_lock",
    "_torc_migrations",
}

# Bounds that turn a hang into a failure; nothing is measured with them.
PATIENCE = 120.0

# `TORC_MIGRATIONS_TESTS=full` runs every crash and every race as often as docs/reliability.md says.
FULL_SIZE = os.environ.get("TORC_MIGRATIONS_TESTS") == "full"

# Import every module of the package, and what those import when they are first used.
IMPORT_EVERYTHING = """
import configparser, datetime, difflib, encodings.idna, getpass, hashlib, json, locale, logging, os, pkgutil, shutil
import signal, socket, sqlite3, sys, threading, tomllib, traceback, urllib.parse, uuid, zlib
import dotenv, sqlite_utils, torc_migrations, yoyo
for module in pkgutil.walk_packages(torc_migrations.__path__, "torc_migrations."):
    if not module.name.endswith("__main__"):
        __import__(module.name)
"""
# Everything is imported before the rights go, because another user may not be able to read where Python lies.
BECOME_NOBODY = f"""{IMPORT_EVERYTHING}
if os.geteuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
"""


class Ledgers(NamedTuple):
    """What three tables say is installed: sqlx's versions, yoyo's ids, and the lines of yoyo's log, oldest first."""

    sqlx: tuple[int, ...] = ()
    yoyo: tuple[str, ...] = ()
    log: tuple[tuple[str, str], ...] = ()

    @property
    def agreed(self) -> tuple[int, ...]:
        """The versions that both ledgers say are installed; fails where they differ."""
        assert self.sqlx == tuple(sorted(int(name.partition("_")[0]) for name in self.yoyo)), self
        return self.sqlx


class DatabaseUnderTest(Protocol):
    """A database that exists or not yet, as a test sees it: from outside, and never through our own code."""

    @property
    def url(self) -> str:
        """The address that our functions take."""
        ...

    def execute(self, *statements: str) -> list[tuple[Any, ...]]:
        """Run statements, commit, and return the rows of the last one."""
        ...

    def tables(self) -> Mapping[str, str]:
        """Return the definition of each table and index by its name, ledgers left out."""
        ...

    def ledgers(self) -> Ledgers:
        """Return what the ledgers say."""
        ...


class SQLiteUnderTest:
    """A SQLite file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def url(self) -> str:
        """The address that our functions take."""
        return f"sqlite:///{self.path}"

    def connect(self) -> sqlite3.Connection:
        """Open a connection that commits by itself, and for which the test is responsible."""
        return sqlite3.connect(self.path, isolation_level=None, timeout=PATIENCE)

    def execute(self, *statements: str) -> list[tuple[Any, ...]]:
        """Run statements, each committed by itself, and return the rows of the last one."""
        rows: list[tuple[Any, ...]] = []
        with closing(self.connect()) as connection:
            connection.execute("PRAGMA synchronous = OFF")
            for statement in statements:
                rows = connection.execute(statement).fetchall()
        return rows

    def tables(self) -> dict[str, str]:
        """Return the definition of each table and index by its name, ledgers left out."""
        rows = self.execute("SELECT name, tbl_name, sql FROM sqlite_master WHERE name NOT LIKE 'sqlite!_%' ESCAPE '!'")
        return {name: sql for name, table, sql in rows if table not in LEDGER_TABLES}

    def ledgers(self) -> Ledgers:
        """Return what the ledgers say; a table that is missing says nothing."""
        return Ledgers(
            tuple(version for (version,) in self._rows("SELECT version FROM _sqlx_migrations ORDER BY version")),
            tuple(name for (name,) in self._rows("SELECT migration_id FROM _yoyo_migration ORDER BY migration_id")),
            tuple(self._rows("SELECT operation, migration_id FROM _yoyo_log ORDER BY rowid")),
        )

    def _rows(self, sql: str) -> list[tuple[Any, ...]]:
        try:
            return self.execute(sql)
        except sqlite3.OperationalError as error:
            if "no such table" in str(error):
                return []
            raise


def sized(usual: int, full: int) -> int:
    """Return how often to do something: as a rule, or where the full size is asked for."""
    return full if FULL_SIZE else usual


def write_folder(folder: Path, files: Mapping[str, str | bytes]) -> str:
    """Write a folder of SQL files, given by name without `.sql`, and return its path."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        data = content if isinstance(content, bytes) else content.encode()
        (folder / f"{name}.sql").write_bytes(data)
    return str(folder)


def ladder(count: int) -> dict[str, str]:
    """Return reversible migrations 1, 2, 3 ..., each of which makes a table `t1`, `t2`, `t3` ... with a row."""
    files = {}
    for number in range(1, count + 1):
        files[f"{number}_make_t{number}"] = (
            f"CREATE TABLE t{number} (x INTEGER);\nINSERT INTO t{number} VALUES ({number});\n"
        )
        files[f"{number}_make_t{number}.rollback"] = f"DELETE FROM t{number};\nDROP TABLE t{number};\n"
    return files


def rungs(numbers: Iterable[int]) -> set[str]:
    """Return the tables that these steps of a `ladder` make."""
    return {f"t{number}" for number in numbers}


def environment(**changes: str) -> dict[str, str]:
    """Return an environment in which a process finds the package that is under test."""
    root = str(Path(torc_migrations.__file__).parents[1])
    paths = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
    return {**os.environ, "PYTHONPATH": paths, **changes}


def command(code: str, *arguments: object, executable: str = sys.executable, options: Iterable[str] = ()) -> list[str]:
    """Return the command line that runs some Python code; its arguments are in `sys.argv[1:]`."""
    return [executable, *options, "-c", code, *map(str, arguments)]


def python(
    code: str, *arguments: object, executable: str = sys.executable, options: Iterable[str] = (), **settings: Any
) -> str:
    """Run Python code in a process of its own, and return what it printed; fails where the process fails."""
    done = subprocess.run(
        command(code, *arguments, executable=executable, options=options),
        env=settings.pop("env", None) or environment(),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
        **settings,
    )
    assert done.returncode == 0, f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"
    assert not done.stderr, done.stderr
    return done.stdout


def start_python(code: str, *arguments: object, **settings: Any) -> subprocess.Popen[str]:
    """Start Python code in a process of its own, with pipes to it."""
    return subprocess.Popen(
        command(code, *arguments),
        env=settings.pop("env", None) or environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **settings,
    )


def expect_line(process: subprocess.Popen[str], line: str) -> None:
    """Wait until a process prints a line."""
    assert process.stdout is not None
    found = process.stdout.readline().strip()
    if found != line:
        process.kill()
        _, errors = process.communicate()
        raise AssertionError(f"{found!r} instead of {line!r}\n{errors}")


def start_at_once(code: str, urls: Iterable[str], source: str) -> list[subprocess.Popen[str]]:
    """Start processes of Python code, one for each URL, which print `ready` and wait for a line; then let all begin."""
    processes = [start_python(code, url, source) for url in urls]
    for process in processes:
        expect_line(process, "ready")
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    return processes


def start_yoyo(*arguments: object) -> subprocess.Popen[str]:
    """Start yoyo's own command, as it is installed."""
    return subprocess.Popen(
        [sys.executable, "-m", "yoyo", *map(str, arguments)],
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def stock_yoyo(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run yoyo's own command, and wait for its end."""
    process = start_yoyo(*arguments)
    output, errors = process.communicate(timeout=PATIENCE)
    return subprocess.CompletedProcess(arguments, process.returncode, output, errors)
