"""Apply torc's index migration to a database at work; tell its time, and the longest stall of a reader and a writer."""

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

import torc_clients
from torc_data import fill, row_hashes

from torc_migrations import upgrade

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
        return self.ended - self.began


class Command(NamedTuple):
    """One run of the command: its process from start to exit, and the script's own time in nanoseconds."""

    window: Window
    script_ns: int


class Snapshot(NamedTuple):
    """What must stay, and what must come and go: the hash of each table's rows, and the names of the indexes."""

    hashes: dict[str, str]
    indexes: frozenset[str]


class Round(NamedTuple):
    """What one round measured, in milliseconds by name, and what went wrong in it, in sentences."""

    figures: dict[str, float]
    counts: dict[str, int]
    faults: tuple[str, ...]


class Client:
    """A process of torc_clients.py at work for as long as a `with` block lasts; `record` is what it did in there."""

    def __init__(self, role: str, database: Path, *, pause: float = 0.0) -> None:
        self.role = role
        self.record = torc_clients.Record([], [])
        self._command = (sys.executable, torc_clients.__file__, role, str(database), "--pause", str(pause))

    def __enter__(self) -> Client:
        # In a session of its own it gets no Ctrl-C of ours; it ends with its standard input, whatever becomes of us.
        self._process = subprocess.Popen(
            self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
        )
        assert self._process.stdout is not None
        if self._process.stdout.readline().strip() != torc_clients.READY:
            self._process.kill()
            raise RuntimeError(f"the {self.role} did not begin; exit status {self._process.wait()}")
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: BaseException | TracebackType | None) -> None:
        with self._process as process:  # waits, and closes what is left open
            if kind is not None:
                process.kill()
                return
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.close()
            self.record = torc_clients.Record(**json.load(process.stdout))

    def longest_ms(self, kind: str, window: Window) -> float:
        """Return how long the longest operation took that began inside the window; 0 where none did."""
        return max((end - begin for begin, end in self._begun(kind, window)), default=0) / 1e6

    def begun(self, kind: str, window: Window) -> int:
        """Return how many operations began inside the window."""
        return len(self._begun(kind, window))

    def _begun(self, kind: str, window: Window) -> list[tuple[int, int]]:
        operations = self.record.operations
        return [
            (begin, end) for name, begin, end in operations if name == kind and window.began <= begin < window.ended
        ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code: 1 if a client met an error, or a row or an index is not right."""
    options = _parse(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        with tempfile.TemporaryDirectory(prefix="live_upgrade_") as folder:
            template = _fill(Path(folder) / "template.db", options)
            facts = _facts(template, options)
            folders = [Path(folder) / f"round_{number}" for number in range(options.rounds)]
            rounds = [_run_round(template, each, pause=options.pause / 1e3) for each in folders]
    except KeyboardInterrupt:
        return 130
    print(_table(facts, rounds))
    if options.json:
        options.json.write_text(json.dumps(_as_dict(facts, rounds), indent=2) + "\n", encoding="utf-8")
    return int(any(done.faults for done in rounds))


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
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


def _run_round(template: Path, folder: Path, *, pause: float) -> Round:
    folder.mkdir()
    database = Path(shutil.copy(template, folder / "torc.db"))
    with Client("reader", database) as reader:
        with Client("writer", database, pause=pause) as writer:
            began = perf_counter_ns()
            time.sleep(BEFORE_S)
            up = _run_command(database, "upgrade", INDEXES)
            time.sleep(AFTER_S)
        installed = _snapshot(database)
        down = _run_command(database, "rollback", BELOW)
        rolled_back = _snapshot(database)
        again = _run_command(database, "upgrade", INDEXES)
        installed_again = _snapshot(database)
    shutil.rmtree(folder)
    before = Window(began, up.window.began)
    after = Window(up.window.ended, up.window.ended + int(AFTER_S * 1e9))
    phases = {"before": before, "during": up.window, "after": after}
    return Round(
        figures={
            "upgrade: the migration's own time": up.script_ns / 1e6,
            "upgrade: the whole process": up.window.length / 1e6,
            **_stalls((reader, writer), phases),
            **_quiet("rollback", down, reader),
            **_quiet("upgrade again", again, reader),
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
    """Run `torc-migrations` in a process of its own, beside the database, where no configuration is found."""
    command = (sys.executable, "-m", "torc_migrations.cli", "--database", str(database), verb, "--json")
    began = perf_counter_ns()
    done = subprocess.run((*command, "--target", str(target)), cwd=database.parent, stdout=subprocess.PIPE, check=True)
    window = Window(began, perf_counter_ns())
    (step,) = json.loads(done.stdout)["steps"]
    if step["version"] != INDEXES:
        raise RuntimeError(f"{verb} ran {step['version']}, not {INDEXES}")
    return Command(window, step["elapsed_ns"])


def _snapshot(database: Path) -> Snapshot:
    with closing(sqlite3.connect(database)) as connection:
        return Snapshot(row_hashes(connection), frozenset(name for (name,) in connection.execute(SELECT_INDEXES)))


def _stalls(clients: tuple[Client, Client], phases: dict[str, Window]) -> dict[str, float]:
    reader, writer = clients
    return {
        f"longest {words}, {phase}": (writer if kind == "write" else reader).longest_ms(kind, window)
        for kind, words in KINDS.items()
        for phase, window in phases.items()
    }


def _quiet(verb: str, command: Command, reader: Client) -> dict[str, float]:
    """Return the figures of a command that ran beside the reader alone."""
    return {
        f"{verb}, no writer: the migration's own time": command.script_ns / 1e6,
        f"{verb}, no writer: the whole process": command.window.length / 1e6,
        f"{verb}, no writer: longest read by key": reader.longest_ms("read", command.window),
    }


def _errors(clients: Iterable[Client]) -> tuple[str, ...]:
    return tuple(f"the {client.role} met an error: {error}" for client in clients for error in client.record.errors)


def _changes(before: Snapshot, after: Snapshot) -> tuple[str, ...]:
    tables = sorted(before.hashes.keys() | after.hashes.keys())
    changed = (table for table in tables if before.hashes.get(table) != after.hashes.get(table))
    return tuple(f"the rows of {table} are not the same" for table in changed)


def _index_faults(installed: Snapshot, rolled_back: Snapshot, again: Snapshot) -> tuple[str, ...]:
    gone, come = installed.indexes - rolled_back.indexes, again.indexes - rolled_back.indexes
    if len(gone) == EXPECTED_INDEXES and come == gone and not rolled_back.indexes - installed.indexes:
        return ()
    return (f"{len(gone)} indexes went and {len(come)} came, not {EXPECTED_INDEXES}",)


def _table(facts: dict[str, object], rounds: Sequence[Round]) -> str:
    lines = [
        "{workflows} workflows of {jobs} jobs, {megabytes} MB, journal_mode {journal}".format(**facts),
        "{rounds} rounds; the writer pauses {pause_ms} ms between transactions".format(**facts),
        "SQLite {sqlite}, Python {python}, {processors} processors".format(**facts),
        f"{'milliseconds':58}{'median':>10}{'least':>10}{'most':>10}",
    ]
    for name, values in _by_name([done.figures for done in rounds]).items():
        lines.append(f"{name:58}{median(values):10.1f}{min(values):10.1f}{max(values):10.1f}")
    lines.append("operations begun")
    for name, numbers in _by_name([done.counts for done in rounds]).items():
        lines.append(f"{name:58}{median(numbers):10.0f}{min(numbers):10}{max(numbers):10}")
    faults = [fault for done in rounds for fault in done.faults]
    verdict = f"no error of reader or writer; every row the same; {EXPECTED_INDEXES} indexes went and came"
    return "\n".join([*lines, *(faults or [verdict])])


def _by_name(rounds: Sequence[dict[str, float]] | Sequence[dict[str, int]]) -> dict[str, list[float]]:
    return {name: [figures[name] for figures in rounds] for name in rounds[0]}


def _as_dict(facts: dict[str, object], rounds: Sequence[Round]) -> dict[str, object]:
    figures = _by_name([done.figures for done in rounds])
    medians = {name: median(values) for name, values in figures.items()}
    return {**facts, "medians_ms": medians, "each_round": [done._asdict() for done in rounds]}


if __name__ == "__main__":
    sys.exit(main())
