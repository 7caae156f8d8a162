"""Measure what the index migration of the torc schema gains and costs.

    python -m benchmarks.indexes.effect

For each number of workflows: the time of each query and of each write without and with the indexes, the bytes of each
index, the time of the migration, and how long clients wait while it runs. Then `python -m benchmarks.tables` and
`python -m benchmarks.charts` write the results into the documentation.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter_ns

from benchmarks.indexes import statements
from benchmarks.indexes.data import fill
from benchmarks.samples import ratio_of, spread, warn_of_load
from torc_migrations import upgrade, verify
from torc_migrations.indexes.inspect import inspect_indexes
from torc_migrations.indexes.optimize import optimize

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "benchmarks" / "results" / "index_effect.json"
BELOW, INDEXES = 20251023160238, 20251105030141
WITHOUT, WITH, ANALYZED = "without", "with", "analyzed"
JOURNALS = ("wal", "delete")
SEED = 20251105


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    options = _parse(arguments)
    began = _now()
    sizes = []
    for workflows in options.workflows:
        with tempfile.TemporaryDirectory(prefix="index_effect_", dir=options.directory) as directory:
            sizes.append(_measure(Path(directory), workflows, options))
        results = {"facts": {**_facts(options), "began": began, "ended": _now()}, "sizes": sizes}
        options.json.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    return 0


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workflows", type=int, nargs="+", default=[1, 20, 100], metavar="N", help="sizes (1 20 100)")
    parser.add_argument("--jobs", type=int, default=10_000, metavar="M", help="in each (default: %(default)s)")
    parser.add_argument(
        "--repeats", type=int, default=21, metavar="R", help="runs of each query (default: %(default)s)"
    )
    parser.add_argument("--rounds", type=int, default=15, metavar="R", help="of all writes (default: %(default)s)")
    parser.add_argument("--live", type=int, default=3, metavar="R", help="rounds of live_upgrade.py; 0 for none")
    parser.add_argument("--directory", type=Path, metavar="DIR", help="where to put the databases (default: temporary)")
    parser.add_argument("--json", type=Path, default=RESULTS, metavar="FILE", help="(default: %(default)s)")
    return parser.parse_args(arguments)


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _facts(options: argparse.Namespace) -> dict[str, object]:
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "jobs": options.jobs,
        "repeats": options.repeats,
        "rounds": options.rounds,
        "seed": SEED,
        "sqlite": sqlite3.sqlite_version,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "processors": os.cpu_count(),
    }


def _measure(directory: Path, workflows: int, options: argparse.Namespace) -> dict[str, object]:
    _print_progress(f"{workflows} x {options.jobs}: filling")
    load_before = warn_of_load()
    databases = {name: directory / f"{name}.db" for name in (WITHOUT, WITH, ANALYZED)}
    filled_ns = _fill(databases[WITHOUT], workflows, options.jobs)
    shutil.copy(databases[WITHOUT], databases[WITH])
    migration_ns = _migrate(databases[WITH])
    shutil.copy(databases[WITH], databases[ANALYZED])
    maintenance = optimize(databases[ANALYZED])
    _print_progress("reading")
    return {
        "workflows": workflows,
        "jobs": options.jobs,
        "load_before": load_before,
        "fill_s": filled_ns / 1e9,
        "bytes": {name: path.stat().st_size for name, path in databases.items()},
        "migration_ms": migration_ns / 1e6,
        "analyze_ms": maintenance.measures[0].elapsed_ns / 1e6,
        "queries": _reads(databases, options),
        "indexes": _sizes(databases[WITH]),
        "failing_when_analyzed": [str(finding) for finding in verify(databases[ANALYZED]) if not finding.ok],
        "failing_when_not": [str(finding) for finding in verify(databases[WITH]) if not finding.ok],
        "writes": _writes(directory, databases, options) if options.rounds else [],
        "live": _live(directory, workflows, options) if options.live else {},
    }


def _print_progress(text: str) -> None:
    print(text, file=sys.stderr)


def _fill(path: Path, workflows: int, jobs: int) -> int:
    upgrade(path, target=BELOW)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        started = perf_counter_ns()
        fill(connection, workflows=workflows, jobs=jobs, seed=SEED)
        return perf_counter_ns() - started


def _migrate(path: Path) -> int:
    (outcome,) = upgrade(path, target=INDEXES).outcomes
    return outcome.elapsed_ns


def _reads(databases: Mapping[str, Path], options: argparse.Namespace) -> list[dict[str, object]]:
    with ExitStack() as stack:
        opened = {name: stack.enter_context(closing(sqlite3.connect(path))) for name, path in databases.items()}
        queries = statements.queries(opened[WITHOUT], repeats=options.repeats, seed=SEED)
        return [_read(opened, query) for query in queries]


def _read(opened: Mapping[str, sqlite3.Connection], query: statements.Query) -> dict[str, object]:
    timings = statements.time_query(opened, query)
    rows = {timing.rows for timing in timings.values()}
    if len(rows) != 1:
        raise RuntimeError(f"{query.name} returns different rows with and without the indexes: {rows}")
    times = {name: timing.nanoseconds for name, timing in timings.items()}
    return {
        "name": query.name,
        "rows": rows.pop() / len(query.draws),
        "ms": _spreads(times),
        "times_faster": ratio_of(zip(times[WITHOUT], times[WITH], strict=True))._asdict(),
        "plans": {name: statements.plan_of(connection, query) for name, connection in opened.items()},
    }


def _spreads(times: Mapping[str, Sequence[int]]) -> dict[str, dict[str, float]]:
    """Return the spread of the times on each database, in milliseconds."""
    return {name: spread([nanoseconds / 1e6 for nanoseconds in values]) for name, values in times.items()}


def _sizes(path: Path) -> list[dict[str, object]]:
    return [
        {
            "name": index.name,
            "table": index.table,
            "columns": [str(column) for column in index.columns],
            "bytes": index.size,
            "redundant_to": index.redundant_to,
            "used_by": index.used_by,
        }
        for index in inspect_indexes(path).created
    ]


def _writes(directory: Path, databases: Mapping[str, Path], options: argparse.Namespace) -> list[dict[str, object]]:
    _print_progress("writing")
    with ExitStack() as stack:
        targets = {}
        for name in (WITHOUT, WITH):
            path = Path(shutil.copy(databases[name], directory / f"written_{name}.db"))
            connection = stack.enter_context(closing(sqlite3.connect(path, isolation_level=None)))
            targets[name] = statements.prepare(connection)
        times = statements.time_writes(targets, repeats=options.rounds)
    return [
        {
            "name": write,
            "ms": _spreads(by_database),
            "times_slower": ratio_of(zip(by_database[WITH], by_database[WITHOUT], strict=True))._asdict(),
        }
        for write, by_database in times.items()
    ]


def _live(directory: Path, workflows: int, options: argparse.Namespace) -> dict[str, object]:
    """Run the migration beside a reader and a writer, in a process, and return the median of each figure."""
    results: dict[str, object] = {}
    for journal in JOURNALS:
        _print_progress(f"upgrading beside clients, {journal}")
        path = directory / f"live_{journal}.json"
        sizes = ("--workflows", str(workflows), "--jobs", str(options.jobs), "--rounds", str(options.live))
        command = (sys.executable, "-m", "benchmarks.reliability.live_upgrade", *sizes)
        subprocess.run(
            (*command, "--journal", journal, "--json", str(path)),
            check=True,
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            env={**os.environ, "TMPDIR": str(directory)},
        )
        results[journal] = json.loads(path.read_text(encoding="utf-8"))["medians_ms"]
    return results


if __name__ == "__main__":
    sys.exit(main())
