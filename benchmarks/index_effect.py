"""Measure what torc's index migration brings and costs: reads, writes, bytes, its own time, and who has to wait."""

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
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from time import perf_counter_ns

import index_queries
import index_writes
import live_upgrade
from torc_data import fill

from torc_migrations import upgrade
from torc_migrations.inspection import inspect_indexes
from torc_migrations.maintenance import optimize
from torc_migrations.verification import verify

BELOW, INDEXES = 20251023160238, 20251105030141
WITHOUT, WITH, ANALYZED = "without", "with", "analyzed"
RESULTS = Path(__file__).parent / "results" / "index_effect.json"
SEED = 20251105


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    options = _parse(arguments)
    sizes = []
    for workflows in options.workflows:
        with tempfile.TemporaryDirectory(prefix="index_effect_", dir=options.folder) as folder:
            sizes.append(_measure(Path(folder), workflows, options))
        results = {"facts": _facts(options), "sizes": sizes}
        options.json.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    return 0


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workflows", type=int, nargs="+", default=[1, 20, 100], metavar="N", help="sizes (1 20 100)")
    parser.add_argument("--jobs", type=int, default=10_000, metavar="M", help="in each (default: %(default)s)")
    parser.add_argument(
        "--repeats", type=int, default=21, metavar="R", help="runs of each query (default: %(default)s)"
    )
    parser.add_argument("--rounds", type=int, default=15, metavar="R", help="of all writes (default: %(default)s)")
    parser.add_argument("--live", type=int, default=3, metavar="R", help="rounds of live_upgrade.py; 0 for none")
    parser.add_argument("--folder", type=Path, metavar="DIR", help="where to put the databases (default: temporary)")
    parser.add_argument("--json", type=Path, default=RESULTS, metavar="FILE", help="(default: %(default)s)")
    return parser.parse_args(arguments)


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


def _measure(folder: Path, workflows: int, options: argparse.Namespace) -> dict[str, object]:
    print(f"{workflows} x {options.jobs}: filling", file=sys.stderr)
    load = os.getloadavg()[0]
    databases = {name: folder / f"{name}.db" for name in (WITHOUT, WITH, ANALYZED)}
    filled_ns = _fill(databases[WITHOUT], workflows, options.jobs)
    shutil.copy(databases[WITHOUT], databases[WITH])
    migration_ns = _migrate(databases[WITH])
    shutil.copy(databases[WITH], databases[ANALYZED])
    maintenance = optimize(databases[ANALYZED])
    print(f"{workflows} x {options.jobs}: reading", file=sys.stderr)
    return {
        "workflows": workflows,
        "jobs": options.jobs,
        "load_average_before": round(load, 2),
        "fill_s": filled_ns / 1e9,
        "bytes": {name: path.stat().st_size for name, path in databases.items()},
        "migration_ms": migration_ns / 1e6,
        "analyze_ms": maintenance.measures[0].elapsed_ns / 1e6,
        "queries": _reads(databases, options),
        "indexes": _sizes(databases[WITH]),
        "failing_when_analyzed": [str(finding) for finding in verify(databases[ANALYZED]) if not finding.ok],
        "failing_when_not": [str(finding) for finding in verify(databases[WITH]) if not finding.ok],
        "writes": _writes(folder, databases, options),
        "live": _live(folder, workflows, options),
    }


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
        questions = index_queries.questions(opened[WITHOUT], repeats=options.repeats, seed=SEED)
        return [_read(opened, question) for question in questions]


def _read(opened: Mapping[str, sqlite3.Connection], question: index_queries.Question) -> dict[str, object]:
    times = index_queries.take_times(opened, question)
    rows = {timing.rows for timing in times.values()}
    if len(rows) != 1:
        raise RuntimeError(f"{question.name} returns {rows} rows, not the same with every index")
    return {
        "name": question.name,
        "rows": rows.pop() / len(question.draws),
        "ms": {name: _spread(timing.nanoseconds) for name, timing in times.items()},
        "plans": {name: index_queries.plan_of(connection, question) for name, connection in opened.items()},
    }


def _spread(nanoseconds: Sequence[int]) -> dict[str, float]:
    """Return median, least and most in milliseconds."""
    return {
        "median": round(median(nanoseconds) / 1e6, 4),
        "least": round(min(nanoseconds) / 1e6, 4),
        "most": round(max(nanoseconds) / 1e6, 4),
    }


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


def _writes(folder: Path, databases: Mapping[str, Path], options: argparse.Namespace) -> list[dict[str, object]]:
    if not options.rounds:
        return []
    print("writing", file=sys.stderr)
    with ExitStack() as stack:
        targets = {}
        for name in (WITHOUT, WITH):
            path = Path(shutil.copy(databases[name], folder / f"written_{name}.db"))
            connection = stack.enter_context(closing(sqlite3.connect(path, isolation_level=None)))
            targets[name] = index_writes.prepare(connection)
        times = index_writes.take_times(targets, repeats=options.rounds)
    return [{"name": what, "ms": {name: _spread(ns) for name, ns in by.items()}} for what, by in times.items()]


def _live(folder: Path, workflows: int, options: argparse.Namespace) -> dict[str, object]:
    """Have live_upgrade.py apply the migration while a reader and a writer are at work."""
    results: dict[str, object] = {}
    for journal in _journals(options):
        print(f"upgrading live, {journal}", file=sys.stderr)
        path = folder / f"live_{journal}.json"
        sizes = ("--workflows", str(workflows), "--jobs", str(options.jobs), "--rounds", str(options.live))
        words = (sys.executable, live_upgrade.__file__, *sizes, "--journal", journal, "--json", str(path))
        subprocess.run(words, check=True, stdout=subprocess.DEVNULL, env={**os.environ, "TMPDIR": str(folder)})
        results[journal] = json.loads(path.read_text(encoding="utf-8"))["medians_ms"]
    return results


def _journals(options: argparse.Namespace) -> Iterator[str]:
    if options.live:
        yield from ("wal", "delete")


if __name__ == "__main__":
    sys.exit(main())
