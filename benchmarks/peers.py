"""Compare torc_migrations with its peers and with the floor, in one run whose turns are drawn by lot.

    python benchmarks/peers.py --minutes 15

Every tool that is found is asked to do the same: to look whether there is anything to do, to apply migrations of a
table and an index each, and to run one long script. What is measured is kept as it comes, in the folder of --work:
a run that was stopped, or whose time was up, goes on there when it is started again.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import re
import shutil
import sqlite3
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median
from time import monotonic
from typing import Any, NamedTuple

from import_time import _bare_environment
from peer_inside import RUNNERS
from peer_runner import Launcher
from peer_tools import FLOOR, LEDGERS, OURS, Pair, Tool, find_tools

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "peers.json"
COLUMN = "name TEXT NOT NULL"
LONG_ROW = "x" * 28  # which makes every line 100 bytes long
LONGEST = 150.0  # seconds that one process may take
MANY = 5000  # migrations: so many come when everything else has had its runs, and only as whole processes
TOO_LONG = 60.0  # seconds: a task that would take more, judging by the smaller size, is left out
ENOUGH = 20.0  # seconds after which a task of three runs has had its share
FSYNCS = (10, 30)  # how many migrations: the difference is what each of them costs


class Task(NamedTuple):
    """What one tool is asked to do: `size` migrations, or MB of a script; `inside` a process that has it loaded."""

    work: str
    size: int
    tool: str
    inside: bool = False

    @property
    def name(self) -> str:
        """Its name in the file of samples."""
        return f"{self.work} {self.size} {'inside' if self.inside else 'process'} {self.tool}"


class Bench:
    """The folder of a run: fixtures, databases, and the samples so far."""

    def __init__(self, folder: Path, tools: Sequence[Tool], python: str) -> None:
        self.folder = folder
        self.tools = {tool.name: tool for tool in tools}
        self.python = python
        self.launcher = Launcher(folder)
        self.samples: dict[str, list[dict[str, float]]] = defaultdict(list)
        self.failures: dict[str, str] = {}
        self._file = folder / "samples.jsonl"
        if self._file.exists():
            for line in self._file.read_text().splitlines():
                self._keep(json.loads(line))

    def _keep(self, sample: Mapping[str, Any]) -> None:
        if "failed" in sample:
            self.failures[sample["task"]] = sample["failed"]
        else:
            self.samples[sample["task"]].append({name: sample[name] for name in sample if name != "task"})

    def note(self, task: str, **facts: object) -> None:
        """Keep a sample, in memory and in the file."""
        sample = {"task": task, **facts}
        self._keep(sample)
        with self._file.open("a") as file:
            file.write(json.dumps(sample) + "\n")

    def source(self, tool: Tool, work: str, size: int) -> Path:
        """Return the folder of migrations for a tool, written at the first call."""
        folder = self.folder / "sources" / tool.layout / f"{work}_{size}"
        if not folder.exists():
            half = folder.with_name(f"{folder.name}.half")
            shutil.rmtree(half, ignore_errors=True)
            half.mkdir(parents=True)
            tool.write(half, [_long_script(size)] if work == "script" else trivial_pairs(size))
            half.rename(folder)
        return folder

    def measure(self, task: Task) -> None:
        """Run one task once, and keep what it took; a task that fails is not tried again."""
        tool = self.tools[task.tool]
        home = self.folder / "run"
        database = home / "peers.db"
        if task.work == "noop":
            database = self.installed(tool, task.size)
        elif not task.inside:
            _renew(home)
        source = self.source(tool, "script" if task.work == "script" else "many", task.size) if task.size else home
        taken = self.launcher.run(self._command(task, tool, database, source), self.folder, LONGEST)
        if taken["status"] != 0:
            self.note(task.name, failed=str(taken["output"]).replace(str(self.folder), "WORK")[-500:])
        elif task.inside:
            times = json.loads(taken["output"])
            wall, cpu = (median(column) for column in zip(*times, strict=True))
            self.note(task.name, wall_ms=wall, cpu_ms=cpu)
        else:
            if task.work == "apply":
                self._keep_installed(tool, task.size, home)
            self.note(task.name, **{name: taken[name] for name in ("wall_ms", "cpu_ms", "peak_mb")})

    def _command(self, task: Task, tool: Tool, database: Path, source: Path) -> list[str]:
        if task.work == "import":
            return [self.python, "-I", "-c", tool.imports or "pass"]
        if task.work == "start":
            return [self.python, "-I", "-c", "pass"]
        if task.inside:
            (database.parent / "warm").mkdir(parents=True, exist_ok=True)
            warm = self.source(tool, "script" if task.work == "script" else "many", 1)
            runs = 5 if task.work == "noop" else 1
            words = (task.tool, task.work, str(runs), str(database), str(source), str(warm))
            return [self.python, "-I", "-c", "import peer_inside; peer_inside.main()", *words]
        if task.work == "api":
            code = (tool.api or "").format(database=str(self.installed(tool, task.size)), folder=str(source))
            return [self.python, "-I", "-c", code]
        return tool.call(tool.program, database, source)

    def installed(self, tool: Tool, size: int) -> Path:
        """Return a database in which everything is installed already, made at the first call."""
        home = self.folder / "installed" / f"{tool.name} {size}"
        if not home.exists():
            _renew(self.folder / "run")
            command = tool.call(tool.program, self.folder / "run" / "peers.db", self.source(tool, "many", size))
            if self.launcher.run(command, self.folder, LONGEST)["status"] == 0:
                self._keep_installed(tool, size, self.folder / "run")
        return home / "peers.db"

    def _keep_installed(self, tool: Tool, size: int, database: Path) -> None:
        home = self.folder / "installed" / f"{tool.name} {size}"
        if not home.exists():
            shutil.copytree(database, home.with_name(f"{home.name}.half"), dirs_exist_ok=True)
            home.with_name(f"{home.name}.half").rename(home)

    def count_fsyncs(self, tool: Tool) -> float | None:
        """Return how often a tool has the disk flushed for each migration; None where strace does not tell."""
        counts = []
        for size in FSYNCS:
            home = self.folder / "run"
            _renew(home)
            trace = self.folder / "trace.txt"
            command = tool.call(tool.program, home / "peers.db", self.source(tool, "many", size))
            strace = ["strace", "-f", "-qq", "-e", "trace=fsync,fdatasync", "-o", str(trace)]
            if self.launcher.run([*strace, *command], self.folder, LONGEST)["status"] != 0:
                return None
            counts.append(len(re.findall(r"f(?:data)?sync\(", trace.read_text())))
        return (counts[1] - counts[0]) / (FSYNCS[1] - FSYNCS[0])


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    options = _parse(arguments)
    deadline = monotonic() + options.minutes * 60
    options.work.mkdir(parents=True, exist_ok=True)
    python = bare_python(options.work / "environment")
    tools, absent = find_tools(python)
    tools = [tool for tool in tools if tool.name in (options.tools or [tool.name])]
    bench = Bench(options.work, tools, python)
    try:
        tasks = _tasks(tools, options)
        for part in ([task for task in tasks if task.size < MANY], [task for task in tasks if task.size >= MANY]):
            _take_turns(bench, part, tasks, options, deadline)
        fsyncs = _fsyncs(bench, tools) if shutil.which("strace") else {}
    finally:
        bench.launcher.close()
    results = {**_facts(options, tools, absent), **_summary(bench, tools, fsyncs)}
    options.results.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    print(f"wrote {options.results}; the samples are in {options.work}")
    return 0


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=15, help="begin nothing after that (default: %(default)s)")
    parser.add_argument("--runs", type=int, default=9, help="of each task, if it is quick (default: %(default)s)")
    parser.add_argument("--migrations", type=int, nargs="+", default=[20, 200, 1000, 10_000], metavar="N")
    parser.add_argument("--megabytes", type=int, nargs="*", default=[1, 10, 100], metavar="MB")
    parser.add_argument("--tools", nargs="+", metavar="NAME", help="only these (default: all that are found)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "torc_migrations_peers")
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args(arguments)
    options.work = options.work.resolve()
    return options


def bare_python(folder: Path) -> str:
    """Return a Python that knows our package, its peers and these benchmarks, and that loads nothing at its start.

    An environment with an editable package in it would load half of the standard library.
    """
    done = folder / "python.txt"
    if not done.exists():
        shutil.rmtree(folder, ignore_errors=True)
        python = _bare_environment(folder)
        site = next(folder.rglob("site-packages"))
        peers = {
            str(Path(str(sys.modules[name].__file__)).parents[1])
            for name in _importable("yoyo", "sqlite_utils", "alembic")
        }
        (site / "peers.pth").write_text("".join(f"{path}\n" for path in (HERE, *sorted(peers))), encoding="utf-8")
        done.write_text(python)
    return done.read_text()


def _importable(*names: str) -> Iterator[str]:
    for name in names:
        try:
            __import__(name)
        except ImportError:
            continue
        yield name


def trivial_pairs(count: int) -> list[Pair]:
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


def _tasks(tools: Sequence[Tool], options: argparse.Namespace) -> list[Task]:
    """Return what every tool is asked to do, the quickest first."""
    tasks = [Task("start", 0, FLOOR)]
    for tool in tools:
        inside = tool.name in RUNNERS
        tasks += [Task("import", 0, tool.name)] if tool.imports else []
        for size in (size for size in options.migrations if size <= tool.most):
            tasks += [Task("noop", size, tool.name)] if tool.name != LEDGERS else []
            tasks += [Task("apply", size, tool.name)]
            tasks += [Task("api", size, tool.name)] if tool.api else []
            if inside and size < MANY:
                tasks += [Task(work, size, tool.name, inside=True) for work in ("noop", "apply")]
                tasks += [Task("at_once", size, tool.name, inside=True)] if tool.name in (FLOOR, LEDGERS, OURS) else []
        for size in options.megabytes if tool.scripts else ():
            tasks.append(Task("script", size, tool.name))
            tasks += [Task("script", size, tool.name, inside=True)] if tool.name in (FLOOR, OURS) else []
    return tasks


def _take_turns(
    bench: Bench, part: Sequence[Task], tasks: Sequence[Task], options: argparse.Namespace, deadline: float
) -> None:
    """Give every task of a part its runs, in rounds whose order is drawn by lot, until the time is up."""
    for number in range(options.runs if part else 0):
        turns = list(part)
        random.Random(options.seed * 1000 + number).shuffle(turns)
        # The first round goes from what is quick to what is slow, so that a short run misses the slow ones only.
        for task in turns if number else sorted(turns, key=_slowness):
            if monotonic() > deadline:
                print(f"the time is up in round {number + 1}; start it again to go on")
                return
            if len(bench.samples[task.name]) <= number and _has_share(bench, task, tasks):
                bench.measure(task)
        print(f"round {number + 1} of {options.runs} done", flush=True)


def _slowness(task: Task) -> tuple[int, bool]:
    return (task.size if task.work != "script" else MANY + task.size, task.work != "apply")


def _has_share(bench: Bench, task: Task, tasks: Sequence[Task]) -> bool:
    """Tell whether a task may run once more: slow ones run three times, very slow ones once, too slow ones never."""
    if task.name in bench.failures:
        return False
    times = [sample["wall_ms"] / 1e3 for sample in bench.samples[task.name]]
    if not times:
        return _guess(bench, task, tasks) <= TOO_LONG
    return sum(times) < ENOUGH and (len(times) < 3 or sum(times) * (len(times) + 1) / len(times) <= ENOUGH)


def _guess(bench: Bench, task: Task, tasks: Sequence[Task]) -> float:
    """Say how many seconds a task takes, if it takes as long for each migration, or MB, as the next smaller one did."""
    smaller = [other for other in tasks if other._replace(size=task.size) == task and other.size < task.size]
    if not smaller:
        return 0.0
    last = smaller[-1]
    known = [sample["wall_ms"] for sample in bench.samples[last.name]]
    return min(known) / 1e3 * task.size / last.size if known else TOO_LONG * 2


def _fsyncs(bench: Bench, tools: Sequence[Tool]) -> Mapping[str, float]:
    known = {name: samples[0]["count"] for name, samples in bench.samples.items() if name.startswith("fsync ")}
    for tool in tools:
        if f"fsync {tool.name}" not in known and (count := bench.count_fsyncs(tool)) is not None:
            bench.note(f"fsync {tool.name}", count=count)
            known[f"fsync {tool.name}"] = count
    return {name.removeprefix("fsync "): count for name, count in known.items()}


def _facts(options: argparse.Namespace, tools: Sequence[Tool], absent: Sequence[str]) -> dict[str, Any]:
    return {
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "load": round(os.getloadavg()[2], 1),
        "seed": options.seed,
        "runs": options.runs,
        "tools": {tool.name: tool.version for tool in tools},
        "absent": list(absent),
    }


def _summary(bench: Bench, tools: Sequence[Tool], fsyncs: Mapping[str, float]) -> dict[str, Any]:
    rows = []
    options = argparse.Namespace(
        migrations=sorted(
            {int(name.split()[1]) for name in bench.samples if name.split()[0] in ("noop", "apply", "api", "at_once")}
        ),
        megabytes=sorted({int(name.split()[1]) for name in bench.samples if name.split()[0] == "script"}),
    )
    for task in _tasks(tools, options):
        samples = bench.samples.get(task.name)
        if samples:
            rows.append({**task._asdict(), "runs": len(samples), **_medians(samples)})
        elif task.name in bench.failures:
            rows.append({**task._asdict(), "runs": 0, "failed": bench.failures[task.name]})
    return {"rows": rows, "fsyncs": dict(fsyncs)}


def _medians(samples: Sequence[Mapping[str, float]]) -> dict[str, float]:
    best = {f"best_{name}": round(min(sample[name] for sample in samples), 3) for name in ("wall_ms", "cpu_ms")}
    names = [name for name in ("wall_ms", "cpu_ms", "peak_mb") if name in samples[0]]
    return {**best, **{name: round(median(sample[name] for sample in samples), 3) for name in names}}


def _renew(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)


if __name__ == "__main__":
    sys.exit(main())
