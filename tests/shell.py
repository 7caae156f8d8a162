"""Run commands as somebody at a shell does, and look at what they leave behind."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import sqlite3
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, suppress
from hashlib import sha256
from pathlib import Path
from select import select
from typing import NamedTuple, Protocol

from database_under_test import BECOME_NOBODY

ROOT = Path(__file__).parents[1]
SQL = ROOT / "sql"
COMMANDS = Path(sysconfig.get_path("scripts"))
COMMAND = str(COMMANDS / "torc-migrations")
YOYO = str(COMMANDS / "yoyo")

CTRL_C, CTRL_D = "\x03", "\x04"

NEWEST = 20251105030141
SHIPPED_IDS = tuple(sorted(p.name.removesuffix(".sql") for p in SQL.glob("*.sql") if ".rollback." not in p.name))

# A program that takes the lock of app.db and says so.
HOLD = "import sqlite3, sys, time; c = sqlite3.connect('app.db'); c.execute('BEGIN IMMEDIATE'); print(flush=True)"

# Three migrations in yoyo's layout.
PAIRS = {
    "0001_create_book.sql": "CREATE TABLE book (id INTEGER PRIMARY KEY, title TEXT);\n",
    "0001_create_book.rollback.sql": "DROP TABLE book;\n",
    "0002_add_author.sql": "CREATE TABLE author (id INTEGER PRIMARY KEY);\n",
    "0002_add_author.rollback.sql": "DROP TABLE author;\n",
    "0003_index_titles.sql": "CREATE INDEX idx_title ON book (title);\n",
    "0003_index_titles.rollback.sql": "DROP INDEX idx_title;\n",
}

_DURATION = re.compile(r"\(\d+(?:\.\d+)?(?:ns|µs|ms|s)\)")
# The first terminal that the leader of a session opens is its own, whose Ctrl-C it gets.
_TAKE_THE_TERMINAL = ("import os, sys", "os.open(os.ttyname(0), os.O_RDWR)", "os.execv(sys.argv[1], sys.argv[1:])")
_INHERITED = ("PATH", "SYSTEMROOT", "TMPDIR", "LD_LIBRARY_PATH")


class Result(NamedTuple):
    """How a command ended, and what it said."""

    status: int
    out: str
    err: str

    @property
    def lines(self) -> str:
        """Standard output with every duration masked."""
        return _DURATION.sub("(TIME)", self.out)


class Torc(Protocol):
    """Run `torc-migrations` with these words."""

    def __call__(self, *words: str, env: dict[str, str | None] | None = None, stdin: str = "") -> Result: ...


def environment(home: Path, changes: Mapping[str, str | None] | None = None) -> dict[str, str]:
    """Return an environment that holds nothing of the developer's but where programs are."""
    clean: dict[str, str | None] = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    clean |= {"HOME": str(home), "LC_ALL": "C.UTF-8", **(changes or {})}
    return {name: value for name, value in clean.items() if value is not None}


def run(
    words: Sequence[str | os.PathLike[str]],
    cwd: Path,
    changes: Mapping[str, str | None] | None = None,
    *,
    stdin: str = "",
) -> Result:
    """Run a command to its end, in a clean environment with `changes`."""
    done = subprocess.run(
        words,
        cwd=cwd,
        env=environment(cwd, changes),
        input=stdin.encode(),
        capture_output=True,
        timeout=60,
        check=False,
    )
    return Result(done.returncode, done.stdout.decode(), done.stderr.decode(errors="replace"))


def run_as_nobody(words: Sequence[str], cwd: Path, changes: Mapping[str, str] | None = None) -> Result:
    """Run our command without the rights of root, to whom no file is read-only."""
    return run([*python(BECOME_NOBODY, "sys.exit(torc_migrations.cli.main(sys.argv[1:]))"), *words], cwd, changes)


def start(words: Sequence[str | os.PathLike[str]], cwd: Path) -> subprocess.Popen[bytes]:
    """Start a command and go on."""
    return subprocess.Popen(
        words, cwd=cwd, env=environment(cwd), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def run_on_terminal(
    words: Sequence[str | os.PathLike[str]],
    cwd: Path,
    changes: Mapping[str, str | None] | None = None,
    *,
    answers: Sequence[str] = (),
    keep_line: bool = False,
) -> Result:
    """Run a command on a terminal of its own, and type an answer whenever it ends a line with a question.

    What it says on either stream is in `out`, as the terminal shows it, with plain line ends. A question too many
    ends it. Ctrl-C is typed again when nothing comes of it, as a person would: Python looks for signals before it
    begins to read a line, and one that comes in the microseconds between interrupts nothing.
    """
    terminal, inner = pty.openpty()
    process = subprocess.Popen(
        [*python(*_TAKE_THE_TERMINAL), *words],
        cwd=cwd,
        env=environment(cwd, {"TERM": "xterm", **(changes or {})}),
        stdin=inner,
        stdout=inner,
        stderr=inner,
        start_new_session=True,
    )
    os.close(inner)
    pending = list(answers)
    shown, typed = b"", ""
    deadline = time.monotonic() + 20
    with suppress(OSError), os.fdopen(terminal, "r+b", buffering=0) as screen:  # EIO: the other end has gone
        while time.monotonic() < deadline:
            if not select([screen], [], [], 0.5)[0]:
                if typed == CTRL_C:
                    screen.write(typed.encode())
                continue
            chunk = screen.read(4096)
            if not chunk:
                break
            shown += chunk
            if pending and re.search(rb"\]:? $", shown):
                typed = pending.pop(0)
                screen.write(typed.encode())
    text = shown.decode().replace("\r\n", "\n")
    # A slow machine shows a line for a run that is usually too short for one.
    return Result(process.wait(timeout=20), text if keep_line else re.sub(r"\r[^\r\n]*\x1b\[K", "", text), "")


def interrupt_when(process: subprocess.Popen[bytes], begun: Callable[[], bool], number: int = signal.SIGINT) -> Result:
    """Send a signal once something has begun, and wait for the end."""
    deadline = time.monotonic() + 30
    while not begun() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    time.sleep(0.2)
    process.send_signal(number)
    out, err = process.communicate(timeout=30)
    return Result(process.returncode, out.decode(), err.decode())


def write_files(folder: Path, files: Mapping[str, str | bytes]) -> Path:
    """Write files, given by their path below a folder, and return the folder."""
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    return folder


def everything_in(folder: Path) -> dict[str, str]:
    """Return a digest of every file below a folder, by its path."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file() and not path.is_symlink())
    return {str(path.relative_to(folder)): sha256(path.read_bytes()).hexdigest() for path in files}


def query(database: Path, sql: str) -> list[tuple[object, ...]]:
    """Ask a database something, without creating it."""
    with closing(sqlite3.connect(f"file:{database}?mode=rw", uri=True)) as connection:
        return connection.execute(sql).fetchall()


def tables(database: Path) -> set[str]:
    """Return the names of the tables that are nobody's ledger."""
    names = {str(name) for (name,) in query(database, "SELECT name FROM sqlite_master WHERE type = 'table'")}
    return {name for name in names if not name.startswith(("_", "sqlite_", "yoyo_"))}


def ledgers(database: Path) -> tuple[set[str], set[int]]:
    """Return the ids in yoyo's ledger and the versions in sqlx's."""
    yoyo = {str(name) for (name,) in query(database, "SELECT migration_id FROM _yoyo_migration")}
    sqlx = {int(str(version)) for (version,) in query(database, "SELECT version FROM _sqlx_migrations")}
    return yoyo, sqlx


def outcome_of(result: Result) -> dict[str, object]:
    """Return what stands on standard output, which must be one JSON document and nothing else."""
    document = json.loads(result.out)
    assert isinstance(document, dict)
    return document


def installed(here: Path) -> list[str]:
    """Return the ids that are installed; fails where the two ledgers differ."""
    yoyo_ids, sqlx_versions = ledgers(here / "app.db")
    assert {int(name.split("_")[0]) for name in yoyo_ids} == sqlx_versions
    return sorted(yoyo_ids)


def python(*lines: str) -> list[str]:
    """Return the words that run a few lines of Python."""
    return [sys.executable, "-c", "\n".join(lines)]
