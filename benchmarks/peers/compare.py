"""Compare torc_migrations with other migration tools and with the floor, in rounds whose order is random.

    python -m benchmarks.peers.compare --minutes 25

Every tool that is installed does the same work: look whether there is something to do, apply migrations of a table and
an index each, and run one long script. Each time is written to the directory of --work at once. A run that was stopped
continues there if it is started again within an hour; older samples are set aside, because the conditions of a machine
change. Then `python -m benchmarks.tables` and `python -m benchmarks.charts` write the results into the documentation.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import shutil
import sqlite3
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.peers.inside import RUNNERS
from benchmarks.peers.tools import BEFORE, EACH, FLOOR, LEDGERS, OURS, Tool, find_tools
from benchmarks.peers.workbench import RESULTS, TORC_SIZE, Sample, Task, Workbench, bare_python
from benchmarks.samples import SECONDS_OF_A_SERIES, is_high, load, ratio_of, spread, warn_of_load

MANY = 5000  # migrations: these tasks come after all others, and only as whole processes
TOO_LONG = 60.0  # seconds: a task is left out if it would take longer, estimated from the next smaller size
ENOUGH = 20.0  # seconds: a task that has taken so long in all its runs does not run again
BARE = (FLOOR, LEDGERS, OURS)  # what is measured in more ways


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    options = _parse(arguments)
    warn_of_load()
    options.work.mkdir(parents=True, exist_ok=True)
    python = bare_python(options.work / "environment")
    tools, absent = find_tools(python, options.before and options.before.resolve())
    tools = [tool for tool in tools if tool.name in (options.tools or [tool.name])]
    bench = Workbench(options.work, tools, python)
    deadline = min(time.time() + options.minutes * 60, bench.began + SECONDS_OF_A_SERIES)
    try:
        tasks = _tasks(tools, options.migrations, options.megabytes)
        for part in ([task for task in tasks if task.size < MANY], [task for task in tasks if task.size >= MANY]):
            _run_rounds(bench, part, tasks, options, deadline)
        fsyncs = _fsyncs(bench, tools) if shutil.which("strace") else {}
    finally:
        bench.close()
    results = {**_facts(bench, options, tools, absent), "rows": _rows(bench, tools), "fsyncs": fsyncs}
    options.results.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    print(f"wrote {options.results}; the samples are in {options.work}")
    return 0


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--minutes", type=float, default=15, help="start no measurement after that, at most 60 (default: %(default)s)"
    )
    parser.add_argument("--runs", type=int, default=9, help="of each task, if it is quick (default: %(default)s)")
    parser.add_argument("--migrations", type=int, nargs="+", default=[20, 200, 1000, 10_000], metavar="N")
    parser.add_argument("--megabytes", type=int, nargs="*", default=[1, 10, 100], metavar="MB")
    parser.add_argument("--tools", nargs="+", metavar="NAME", help="only these (default: all that are installed)")
    parser.add_argument(
        "--before", type=Path, metavar="DIRECTORY", help="compare an older version of torc_migrations too"
    )
    parser.add_argument("--seed", type=int, default=1, help="of the random order (default: %(default)s)")
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "torc_migrations_peers")
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args(arguments)
    options.work = options.work.resolve()
    return options


def _tasks(tools: Sequence[Tool], migrations: Sequence[int], megabytes: Sequence[int]) -> list[Task]:
    """Return what every tool is asked to do."""
    tasks = [Task("start", 0, FLOOR)]
    for tool in tools:
        inside = tool.name in RUNNERS
        tasks += [Task("import", 0, tool.name)] if tool.imports else []
        for size in (size for size in migrations if size <= tool.most):
            tasks += [Task("noop", size, tool.name)] if tool.name != LEDGERS and not tool.only_applies else []
            tasks += [Task("apply", size, tool.name)]
            tasks += [Task("api", size, tool.name)] if tool.api else []
            if inside and size < MANY:
                works = ["apply"] if tool.only_applies else ["noop", "apply"]
                works += ["at_once"] if tool.name in BARE else []
                tasks += [Task(work, size, tool.name, inside=True) for work in works]
        tasks += [Task("torc", TORC_SIZE, tool.name, inside=True)] if tool.name in (*BARE, EACH, BEFORE) else []
        for size in megabytes if tool.scripts else ():
            tasks.append(Task("script", size, tool.name))
            tasks += [Task("script", size, tool.name, inside=True)] if tool.name in (FLOOR, OURS, BEFORE) else []
    return tasks


def _run_rounds(
    bench: Workbench, part: Sequence[Task], tasks: Sequence[Task], options: argparse.Namespace, deadline: float
) -> None:
    """Run every task of a part once in each round, in random order, until the deadline."""
    for number in range(options.runs if part else 0):
        order = list(part)
        random.Random(options.seed * 1000 + number).shuffle(order)
        for task in (task for drawn in order for task in (*_needed_before(drawn, part), drawn)):
            if number in bench.rounds_of(task) or not _may_run(bench, task, tasks):
                continue
            if time.time() > deadline:
                print(f"the time is up in round {number + 1}; start again within the hour to continue")
                return
            bench.measure(task, number)
        print(f"round {number + 1} of {options.runs} done", flush=True)


def _needed_before(task: Task, part: Sequence[Task]) -> Iterator[Task]:
    """Yield what has to run once before a task, the smallest first.

    The time of a smaller size says whether a larger one takes too long. Where a task has nothing to do, the migrations
    have to be installed.
    """
    for other in sorted(part, key=lambda each: each.size):
        is_smaller = other._replace(size=task.size) == task and other.size < task.size
        installs = other._replace(size=task.size) == Task("apply", task.size, task.tool) and other.size <= task.size
        if is_smaller or (task.work in ("noop", "api") and installs):
            yield other


def _may_run(bench: Workbench, task: Task, tasks: Sequence[Task]) -> bool:
    """Tell whether a task may run once more: slow ones run three times, very slow ones once, too slow ones never."""
    if task.name in bench.failures:
        return False
    times = [sample["wall_ms"] / 1e3 for sample in bench.samples[task.name]]
    if not times:
        return _estimate(bench, task, tasks) <= TOO_LONG
    return sum(times) < ENOUGH and (len(times) < 3 or sum(times) * (len(times) + 1) / len(times) <= ENOUGH)


def _estimate(bench: Workbench, task: Task, tasks: Sequence[Task]) -> float:
    """Estimate the seconds of a task: for each migration, or MB, as long as the next smaller size took."""
    smaller = [other for other in tasks if other._replace(size=task.size) == task and other.size < task.size]
    if not smaller:
        return 0.0
    last = max(smaller, key=lambda each: each.size)
    known = [sample["wall_ms"] for sample in bench.samples[last.name]]
    return min(known) / 1e3 * task.size / last.size if known else TOO_LONG * 2


def _fsyncs(bench: Workbench, tools: Sequence[Tool]) -> Mapping[str, float]:
    """Return how often each tool flushes the disk for one migration."""
    known = {name: samples[0]["count"] for name, samples in bench.samples.items() if name.startswith("fsync ")}
    for tool in tools:
        if f"fsync {tool.name}" not in known and (count := bench.count_fsyncs(tool)) is not None:
            bench.keep(f"fsync {tool.name}", count=count)
            known[f"fsync {tool.name}"] = count
    return {name.removeprefix("fsync "): count for name, count in known.items()}


def _facts(
    bench: Workbench, options: argparse.Namespace, tools: Sequence[Tool], absent: Sequence[str]
) -> dict[str, Any]:
    cores = os.cpu_count() or 1
    loads = [sample["load"] for samples in bench.samples.values() for sample in samples if "load" in sample]
    return {
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "machine": f"{platform.system()} {platform.machine()}, {cores} cores",
        "cores": cores,
        "began": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(bench.began)),
        "load": round(median(loads), 1) if loads else load(),
        "samples": len(loads),
        "samples_at_high_load": sum(is_high(each, cores, own=1) for each in loads),
        "seed": options.seed,
        "runs": options.runs,
        "tools": {tool.name: tool.version for tool in tools},
        "absent": list(absent),
    }


def _rows(bench: Workbench, tools: Sequence[Tool]) -> list[dict[str, Any]]:
    """Return what was measured of each task, and the median ratio to the floor in the same rounds."""
    sizes = [(name.split()[0], int(name.split()[1])) for name in bench.samples if not name.startswith("fsync ")]
    migrations = sorted({size for work, size in sizes if work in ("noop", "apply", "api", "at_once", "each")})
    megabytes = sorted({size for work, size in sizes if work == "script"})
    rows: list[dict[str, Any]] = []
    for task in _tasks(tools, migrations, megabytes):
        samples = bench.samples.get(task.name)
        if samples:
            floor = bench.samples.get(task._replace(tool=FLOOR).name, [])
            rows.append({**task._asdict(), "runs": len(samples), **_summary(samples), **_ratio(samples, floor)})
        elif task.name in bench.failures:
            rows.append({**task._asdict(), "runs": 0, "failed": bench.failures[task.name]})
    return rows


def _summary(samples: Sequence[Sample]) -> dict[str, Any]:
    spreads = {name: spread([sample[name] for sample in samples]) for name in ("wall_ms", "cpu_ms")}
    found: dict[str, Any] = {f"best_{name}": each["least"] for name, each in spreads.items()}
    found |= {name: each["median"] for name, each in spreads.items()}
    found["quartiles_ms"] = [spreads["wall_ms"][name] for name in ("lower_quartile", "upper_quartile")]
    if "peak_mb" in samples[0]:
        found["peak_mb"] = round(median(sample["peak_mb"] for sample in samples), 3)
    return found


def _ratio(samples: Sequence[Sample], floor: Sequence[Sample]) -> dict[str, Any]:
    """Divide each time by that of the floor in the same round."""
    floor_ms = {sample["round"]: sample["wall_ms"] for sample in floor}
    pairs = [(each["wall_ms"], floor_ms[each["round"]]) for each in samples if each["round"] in floor_ms]
    return {"ratio": ratio_of(pairs)._asdict()} if pairs and samples is not floor else {}


if __name__ == "__main__":
    sys.exit(main())
