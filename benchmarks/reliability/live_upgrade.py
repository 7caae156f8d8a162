"""Apply the index migration of the torc schema beside a reader and a writer, and measure how long they wait.

    python -m benchmarks.reliability.live_upgrade

Prints the time of the migration, and how long the clients' operations take before, during and after it: the 99th
percentile, in which an operation counts for as long as it takes. The exit code is 1 if a client had an error, a row
changed or an index is missing.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from contextlib import closing
from pathlib import Path
from statistics import median
from time import perf_counter_ns
from types import TracebackType
from typing import NamedTuple

from benchmarks.indexes.data import fill, row_hashes
from benchmarks.reliability import clients
from benchmarks.samples import percentile_by_time, spread, warn_of_load
from torc_migrations import upgrade

ROOT = Path(__file__).parents[2]
BELOW, INDEXES = 20251023160238, 20251105030141
EXPECTED_INDEXES = 17
BEFORE_S = 3.0
AFTER_S = 1.0
KINDS = {"read": "read by key", "list": "list", "write": "write"}

SELECT_INDEXES = """
    SELECT name
    FROM sqlite_master
    WHERE type = 'index' AND sql IS NOT NULL
"""


class Window(NamedTuple):
    """A span of time, in nanoseconds of `time.perf_counter_ns()`."""

    began: int
    ended: int

    @property
    def length(self) -> int:
        """How long it is."""
        return self.ended - self.began


class Command(NamedTuple):
    """One run of the command: its process from start to exit, and the script's own time in nanoseconds."""

    window: Window
    script_ns: int


class Contents(NamedTuple):
    """The hash of the rows of each table, which must not change, and the names of the indexes, which must."""

    hashes: dict[str, str]
    indexes: frozenset[str]


class Round(NamedTuple):
    """What one round measured, in milliseconds and operations by name, and its faults, as sentences."""

    figures: dict[str, float]
    counts: dict[str, int]
    faults: tuple[str, ...]


class Client:
    """A process of clients.py that runs during a `with` block; `record` is what it did in that time."""

    def __init__(self, role: str, database: Path, *, pause: float = 0.0) -> None:
        self.role = role
        self.record = clients.Record([], [])
        self._command = (sys.executable, "-m", clients.__name__, role, str(database), "--pause", str(pause))

    def __enter__(self) -> Client:
        # In a session of its own it gets no Ctrl-C; it ends with its standard input, however this process ends.
        self._process = subprocess.Popen(
            self._command,
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        assert self._process.stdout is not None
        if self._process.stdout.readline().strip() != clients.READY:
            self._process.kill()
            raise RuntimeError(f"the {self.role} did not start; exit status {self._process.wait()}")
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: BaseException | TracebackType | None) -> None:
        with self._process as process:  # waits for the process and closes its pipes
            if kind is not None:
                process.kill()
                return
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.close()
            self.record = clients.Record(**json.load(process.stdout))

    def p99_ms(self, kind: str, window: Window) -> float:
        """Return how long operations that began in the window take at most in 99 % of their time; 0 if none began."""
        return percentile_by_time([end - begin for begin, end in self._begun(kind, window)], 0.99) / 1e6

    def begun(self, kind: str, window: Window) -> int:
        """Return how many operations began inside the window."""
        return len(self._begun(kind, window))

    def _begun(self, kind: str, window: Window) -> list[tuple[int, int]]:
        operations = self.record.operations
        return [
            (begin, end) for name, begin, end in operations if name == kind and window.began <= begin < window.ended
        ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    options = _parse(arguments)
    load_before = warn_of_load()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        with tempfile.TemporaryDirectory(prefix="live_upgrade_") as directory:
            template = _fill(Path(directory) / "template.db", options)
            facts = {**_facts(template, options), "load_before": load_before}
            directories = [Path(directory) / f"round_{number}" for number in range(options.rounds)]
            rounds = [_run_round(template, each, pause=options.pause / 1e3) for each in directories]
    except KeyboardInterrupt:
        return 130
    print(_table(facts, rounds))
    if options.json:
        options.json.write_text(json.dumps(_as_dict(facts, rounds), indent=2) + "\n", encoding="utf-8")
    return int(any(done.faults for done in rounds))


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workflows", type=int, default=20, metavar="N", help="how many (default: %(default)s)")
    parser.add_argument("--jobs", type=int, default=10_000, metavar="M", help="in each (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=5, metavar="R", help="how often (default: %(default)s)")
    parser.add_argument("--journal", choices=("wal", "delete"), default="wal", help="(default: %(default)s)")
    parser.add_argument(
        "--pause", type=float, default=0.0, metavar="MS", help="of the writer between transactions (default: none)"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure of every round there")
    return parser.parse_args(arguments)


def _fill(database: Path, options: argparse.Namespace) -> Path:
    upgrade(database, target=BELOW)
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        fill(connection, workflows=options.workflows, jobs=options.jobs)
        connection.execute(f"PRAGMA journal_mode = {options.journal}")
    return database


def _facts(database: Path, options: argparse.Namespace) -> dict[str, object]:
    return {
        "workflows": options.workflows,
        "jobs": options.jobs,
        "rounds": options.rounds,
        "journal": options.journal,
        "pause_ms": options.pause,
        "megabytes": round(database.stat().st_size / 1e6, 1),
        "sqlite": sqlite3.sqlite_version,
        "python": platform.python_version(),
        "processors": os.cpu_count(),
    }


def _run_round(template: Path, directory: Path, *, pause: float) -> Round:
    directory.mkdir()
    database = Path(shutil.copy(template, directory / "torc.db"))
    with Client("reader", database) as reader:
        with Client("writer", database, pause=pause) as writer:
            began = perf_counter_ns()
            time.sleep(BEFORE_S)
            up = _run_command(database, "upgrade", INDEXES)
            time.sleep(AFTER_S)
        installed = _contents(database)
        down = _run_command(database, "rollback", BELOW)
        rolled_back = _contents(database)
        again = _run_command(database, "upgrade", INDEXES)
        installed_again = _contents(database)
    shutil.rmtree(directory)
    before = Window(began, up.window.began)
    after = Window(up.window.ended, up.window.ended + int(AFTER_S * 1e9))
    phases = {"before": before, "during": up.window, "after": after}
    return Round(
        figures={
            "upgrade: the migration's own time": up.script_ns / 1e6,
            "upgrade: the whole process": up.window.length / 1e6,
            **_waits((reader, writer), phases),
            **_without_writer("rollback", down, reader),
            **_without_writer("upgrade again", again, reader),
        },
        counts={
            f"{kind}s {phase}": client.begun(kind, window)
            for kind, client in (("read", reader), ("list", reader), ("write", writer))
            for phase, window in phases.items()
        },
        faults=(
            *_errors((reader, writer)),
            *_changes(installed, rolled_back),
            *_changes(rolled_back, installed_again),
            *_index_faults(installed, rolled_back, installed_again),
        ),
    )


def _run_command(database: Path, verb: str, target: int) -> Command:
    """Run `torc-migrations` in the directory of the database, which has no configuration file."""
    command = (sys.executable, "-m", "torc_migrations", "--database", str(database), verb, "--json")
    began = perf_counter_ns()
    done = subprocess.run((*command, "--target", str(target)), cwd=database.parent, stdout=subprocess.PIPE, check=True)
    window = Window(began, perf_counter_ns())
    (step,) = json.loads(done.stdout)["steps"]
    if step["version"] != INDEXES:
        raise RuntimeError(f"{verb} ran {step['version']}, not {INDEXES}")
    return Command(window, step["elapsed_ns"])


def _contents(database: Path) -> Contents:
    with closing(sqlite3.connect(database)) as connection:
        return Contents(row_hashes(connection), frozenset(name for (name,) in connection.execute(SELECT_INDEXES)))


def _waits(clients: tuple[Client, Client], phases: dict[str, Window]) -> dict[str, float]:
    reader, writer = clients
    return {
        f"p99 {words}, {phase}": (writer if kind == "write" else reader).p99_ms(kind, window)
        for kind, words in KINDS.items()
        for phase, window in phases.items()
    }


def _without_writer(verb: str, command: Command, reader: Client) -> dict[str, float]:
    """Return the figures of a command that ran beside the reader only."""
    return {
        f"{verb}, no writer: the migration's own time": command.script_ns / 1e6,
        f"{verb}, no writer: the whole process": command.window.length / 1e6,
        f"{verb}, no writer: p99 read by key": reader.p99_ms("read", command.window),
    }


def _errors(clients: Iterable[Client]) -> tuple[str, ...]:
    return tuple(f"the {client.role} had an error: {error}" for client in clients for error in client.record.errors)


def _changes(before: Contents, after: Contents) -> tuple[str, ...]:
    tables = sorted(before.hashes.keys() | after.hashes.keys())
    changed = (table for table in tables if before.hashes.get(table) != after.hashes.get(table))
    return tuple(f"the rows of {table} changed" for table in changed)


def _index_faults(installed: Contents, rolled_back: Contents, again: Contents) -> tuple[str, ...]:
    gone, created = installed.indexes - rolled_back.indexes, again.indexes - rolled_back.indexes
    if len(gone) == EXPECTED_INDEXES and created == gone and not rolled_back.indexes - installed.indexes:
        return ()
    return (f"{len(gone)} indexes were dropped and {len(created)} created, not {EXPECTED_INDEXES}",)


def _table(facts: dict[str, object], rounds: Sequence[Round]) -> str:
    lines = [
        "workflows: {workflows} of {jobs} jobs, {megabytes} MB; journal_mode {journal}".format(**facts),
        "rounds: {rounds}; the writer pauses {pause_ms} ms between transactions".format(**facts),
        "SQLite {sqlite}, Python {python}, {processors} processors, load {load_before} before".format(**facts),
        f"{'milliseconds':58}{'lower quartile':>16}{'median':>10}{'upper quartile':>16}",
    ]
    for name, values in _by_name([done.figures for done in rounds]).items():
        found = spread(values)
        quartiles = found["lower_quartile"], found["median"], found["upper_quartile"]
        lines.append("{:58}{:16.1f}{:10.1f}{:16.1f}".format(name, *quartiles))
    lines.append("operations, median")
    for name, numbers in _by_name([done.counts for done in rounds]).items():
        lines.append(f"{name:58}{'':16}{median(numbers):10.0f}")
    faults = [fault for done in rounds for fault in done.faults]
    verdict = f"no errors; all rows unchanged; {EXPECTED_INDEXES} indexes dropped and created"
    return "\n".join([*lines, *(faults or [verdict])])


def _by_name(rounds: Sequence[dict[str, float]] | Sequence[dict[str, int]]) -> dict[str, list[float]]:
    return {name: [figures[name] for figures in rounds] for name in rounds[0]}


def _as_dict(facts: dict[str, object], rounds: Sequence[Round]) -> dict[str, object]:
    figures = _by_name([done.figures for done in rounds])
    medians = {name: median(values) for name, values in figures.items()}
    return {**facts, "medians_ms": medians, "each_round": [done._asdict() for done in rounds]}


if __name__ == "__main__":
    sys.exit(main())
