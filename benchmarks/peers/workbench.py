"""Measure one task of `compare.py` at a time, and keep the samples in a directory."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import time
import venv
from collections import defaultdict
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from benchmarks.peers.tools import Pair, Tool
from benchmarks.samples import SECONDS_OF_A_SERIES, load

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
TORC = ROOT / "sql"
TORC_SIZE = sum(not name.endswith(".rollback.sql") for name in map(str, TORC.glob("*.sql")))
RESULTS = HERE.parent / "results" / "peers.json"
LONG_ROW = "x" * 28  # which makes every line 100 bytes long
LONGEST = 150.0  # seconds that one process may take
FSYNCS = (10, 30)  # how many migrations: the difference is what each of them costs

Sample = dict[str, float]


class Task(NamedTuple):
    """What one tool is asked to do.

    `size` is a number of migrations, or the MB of a script. `inside`: in a process that has loaded the tool.
    """

    work: str
    size: int
    tool: str
    inside: bool = False

    @property
    def name(self) -> str:
        """Its name in the file of samples."""
        return f"{self.work} {self.size} {'inside' if self.inside else 'process'} {self.tool}"


class Workbench:
    """The directory of a run: migrations, databases, and the samples so far."""

    def __init__(self, directory: Path, tools: Sequence[Tool], python: str) -> None:
        self.directory = directory
        self.tools = {tool.name: tool for tool in tools}
        self.python = python
        self.samples: dict[str, list[Sample]] = defaultdict(list)
        self.failures: dict[str, str] = {}
        self.began = time.time()
        self._file = directory / "samples.jsonl"
        self._read_samples()
        self._launcher = subprocess.Popen(
            [sys.executable, "-I", "-S", HERE / "launcher.py"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def _read_samples(self) -> None:
        """Read the samples of a run that was stopped; set them aside if the first of them is over an hour old."""
        if not self._file.exists():
            return
        samples = [json.loads(line) for line in self._file.read_text().splitlines()]
        began = min((sample["time"] for sample in samples), default=self.began)
        if self.began - began > SECONDS_OF_A_SERIES:
            aside = self._file.rename(self._file.with_name(f"samples_{int(began)}.jsonl"))
            print(f"the samples in {self._file} are more than an hour old: moved to {aside.name}, starting anew")
            return
        self.began = began
        for sample in samples:
            self._add(sample)

    def _add(self, sample: Mapping[str, Any]) -> None:
        if "failed" in sample:
            self.failures[sample["task"]] = sample["failed"]
        else:
            self.samples[sample["task"]].append({name: sample[name] for name in sample if name != "task"})

    def keep(self, task: str, **facts: object) -> None:
        """Keep a sample, in memory and in the file."""
        sample = {"task": task, "time": round(time.time(), 1), **facts}
        self._add(sample)
        with self._file.open("a") as file:
            file.write(json.dumps(sample) + "\n")

    def rounds_of(self, task: Task) -> set[float]:
        """Return the rounds in which a task has run."""
        return {sample["round"] for sample in self.samples[task.name]}

    def close(self) -> None:
        """End the process that starts others."""
        assert self._launcher.stdin is not None
        self._launcher.stdin.close()
        self._launcher.wait()

    def measure(self, task: Task, round_number: int) -> None:
        """Run one task once, and keep its times; a task that fails is not tried again."""
        tool = self.tools[task.tool]
        place = self.directory / "run"
        database = place / "peers.db"
        if task.work == "noop":
            database = self._installed(tool, task.size)
        elif not task.inside:
            _empty(place)
        source = self._source_of(task, tool) if task.size else place
        load_before = load()
        taken = self._launch(self._command(task, tool, database, source))
        facts = {"round": round_number, "load": load_before}
        if taken["status"] != 0:
            self.keep(task.name, failed=str(taken["output"]).replace(str(self.directory), "WORK")[-500:])
        elif task.inside:
            wall_ms, cpu_ms = (median(column) for column in zip(*json.loads(taken["output"]), strict=True))
            self.keep(task.name, **facts, wall_ms=wall_ms, cpu_ms=cpu_ms)
        else:
            if task.work == "apply":
                self._keep_installed(tool, task.size, place)
            self.keep(task.name, **facts, **{name: taken[name] for name in ("wall_ms", "cpu_ms", "peak_mb")})

    def _launch(self, command: Sequence[str]) -> Mapping[str, Any]:
        """Run a command and return `status`, `wall_ms`, `cpu_ms` (of all its processes), `peak_mb` and `output`."""
        output = self.directory / "output.txt"
        output.unlink(missing_ok=True)
        assert self._launcher.stdin is not None
        assert self._launcher.stdout is not None
        words = [*map(str, command)], str(self.directory), str(output), LONGEST
        self._launcher.stdin.write("\t".join(map(repr, words)) + "\n")
        self._launcher.stdin.flush()
        taken = json.loads(self._launcher.stdout.readline())
        return {**taken, "output": output.read_text(errors="replace") if output.exists() else ""}

    def _source_of(self, task: Task, tool: Tool) -> Path:
        if task.work == "torc":
            return TORC
        return self._source(tool, "script" if task.work == "script" else "many", task.size)

    def _source(self, tool: Tool, work: str, size: int) -> Path:
        """Return the directory of migrations for a tool, written at the first call."""
        directory = self.directory / "sources" / tool.layout / f"{work}_{size}"
        if not directory.exists():
            half = directory.with_name(f"{directory.name}.half")
            _empty(half)
            tool.write(half, [_long_script(size)] if work == "script" else trivial_pairs(size))
            half.rename(directory)
        return directory

    def _command(self, task: Task, tool: Tool, database: Path, source: Path) -> list[str]:
        if task.work == "import":
            return [self.python, "-I", "-c", tool.imports or "pass"]
        if task.work == "start":
            return [self.python, "-I", "-c", "pass"]
        if task.inside:
            (database.parent / "warm").mkdir(parents=True, exist_ok=True)
            warm = self._source(tool, "script" if task.work == "script" else "many", 1)
            runs = 5 if task.work == "noop" else 1
            words = (task.tool, task.work, str(runs), str(database), str(source), str(warm))
            path = f"import sys; sys.path.insert(0, {tool.path!r}); " if tool.path else ""
            return [self.python, "-I", "-c", f"import benchmarks.peers.inside as inside; {path}inside.main()", *words]
        if task.work == "api":
            code = (tool.api or "").format(database=str(self._installed(tool, task.size)), directory=str(source))
            return [self.python, "-I", "-c", code]
        return tool.call(tool.program, database, source)

    def _installed(self, tool: Tool, size: int) -> Path:
        """Return a database in which all migrations are installed, made at the first call."""
        place = self.directory / "installed" / f"{tool.name} {size}"
        if not place.exists():
            run = self.directory / "run"
            _empty(run)
            if self._launch(tool.call(tool.program, run / "peers.db", self._source(tool, "many", size)))["status"] == 0:
                self._keep_installed(tool, size, run)
        return place / "peers.db"

    def _keep_installed(self, tool: Tool, size: int, run: Path) -> None:
        place = self.directory / "installed" / f"{tool.name} {size}"
        if not place.exists():
            half = place.with_name(f"{place.name}.half")
            shutil.copytree(run, half, dirs_exist_ok=True)
            half.rename(place)

    def count_fsyncs(self, tool: Tool) -> float | None:
        """Return how often a tool flushes the disk for each migration; None if strace cannot trace it."""
        counts = []
        for size in FSYNCS:
            run = self.directory / "run"
            _empty(run)
            trace = self.directory / "trace.txt"
            command = tool.call(tool.program, run / "peers.db", self._source(tool, "many", size))
            strace = ["strace", "-f", "-qq", "-e", "trace=fsync,fdatasync", "-o", str(trace)]
            if self._launch([*strace, *command])["status"] != 0:
                return None
            counts.append(len(re.findall(r"f(?:data)?sync\(", trace.read_text())))
        return (counts[1] - counts[0]) / (FSYNCS[1] - FSYNCS[0])


def bare_python(directory: Path) -> str:
    """Return a Python that can import this project and the other tools, and that imports nothing at its start.

    In an environment with an editable package, Python imports half of the standard library at its start.
    """
    done = directory / "python.txt"
    if not done.exists():
        shutil.rmtree(directory, ignore_errors=True)
        builder = venv.EnvBuilder(with_pip=False)
        builder.create(directory)
        others = {
            str(Path(spec.origin).parents[1])
            for spec in map(find_spec, ("torc_migrations", "yoyo", "sqlite_utils", "alembic"))
            if spec and spec.origin
        }
        # benchmarks/peers itself, so that `import floor` imports no package above it.
        paths = dict.fromkeys((str(HERE), str(ROOT), *sorted(others)))
        site_packages = next(directory.rglob("site-packages"))
        (site_packages / "peers.pth").write_text("".join(f"{path}\n" for path in paths), encoding="utf-8")
        done.write_text(str(builder.ensure_directories(directory).env_exe))
    return done.read_text()


def trivial_pairs(count: int) -> list[Pair]:
    """Return migrations of a table and an index each."""
    return [
        Pair(
            f"CREATE TABLE table_{number} (id INTEGER PRIMARY KEY, name TEXT NOT NULL, value REAL);\n"
            f"CREATE INDEX index_{number} ON table_{number} (name);\n",
            f"DROP TABLE table_{number};\n",
        )
        for number in range(1, count + 1)
    ]


def _long_script(megabytes: int) -> Pair:
    lines = ["CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT NOT NULL, note TEXT);\n"]
    lines += (
        f"INSERT INTO item (id, name, note) VALUES ({row:07}, 'item {row:07}', '{LONG_ROW}');\n"
        for row in range(megabytes * 10_000)
    )
    return Pair("".join(lines), "DROP TABLE item;\n")


def _empty(directory: Path) -> None:
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
