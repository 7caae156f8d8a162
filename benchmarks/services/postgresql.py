"""Compare torc_migrations on PostgreSQL with the driver alone and with other tools, in rounds, on a throw-away server.

    python -m benchmarks.services.postgresql

It needs a PostgreSQL server's programs, as the tests do. Each round runs one long script through psycopg and through
`upgrade`, and lets every tool that is installed apply migrations to a database of its own, twice: the second time there
is nothing to do. The server flushes the disk at each commit, as one in production does.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any, NamedTuple

import psycopg

sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))

from servers import HOW, Server, find_programs, postgresql

from benchmarks.peers.tools import CACHE, EACH, OURS, Pair, Tool, find_tools, program_version, write_sqlx
from benchmarks.peers.workbench import bare_python, trivial_pairs
from benchmarks.samples import in_turn, load, ratio_of, spread, warn_of_load
from torc_migrations import upgrade
from torc_migrations.plugins.server_templates import ServerTemplates

RESULTS = Path(__file__).parents[1] / "results" / "postgresql.json"
PSYCOPG, SCRIPT, TEMPLATE = "psycopg execute", "the script in it", "copy of a template"
TOOLS = (OURS, EACH, "yoyo", "alembic", "sqlx", "dbmate", "goose")

# By work and tool, the milliseconds of each round.
Times = dict[tuple[str, str], list[float]]
# Does something, and yields works, tools and milliseconds.
Act = Callable[[], Iterator[tuple[str, str, float]]]


class Work(NamedTuple):
    """What is measured: the directory of the tools, the text of the long script, and how often all is done."""

    home: Path
    script: str
    pairs: Sequence[Pair]
    rounds: int


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    options = _parse(arguments)
    programs = find_programs()
    if programs is None:
        sys.exit(HOW)
    warn_of_load()
    home = Path(tempfile.mkdtemp(prefix="torc-bench-"))
    try:
        work = Work(home, insert_script(options.inserts), trivial_pairs(options.migrations), options.rounds)
        tools, absent = find_server_tools(bare_python(home / "environment"))
        with postgresql(programs, "fsync=on") as server:
            times, loads = run_rounds(server, tools, work)
            version = _server_version(server)
    finally:
        shutil.rmtree(home)
    facts = _facts(version, loads, tools, absent, options)
    options.results.write_text(json.dumps({**facts, "rows": list(rows_of(times))}, indent=1) + "\n", encoding="utf-8")
    print(f"wrote {options.results}")
    return 0


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9, help="(default: %(default)s)")
    parser.add_argument("--migrations", type=int, default=200, metavar="N", help="(default: %(default)s)")
    parser.add_argument("--inserts", type=int, default=20_000, metavar="N", help="(default: %(default)s)")
    parser.add_argument("--results", type=Path, default=RESULTS)
    return parser.parse_args(arguments)


def insert_script(count: int) -> str:
    """Return a script of so many INSERTs."""
    lines = (f"INSERT INTO t VALUES ({n}, 'row {n}');\n" for n in range(count))
    return "CREATE TABLE t (a int, b text);\n" + "".join(lines)


def find_server_tools(python: str) -> tuple[list[Tool], list[str]]:
    """Return the tools that can use PostgreSQL and are installed here, and the names of the others."""
    found = [tool for tool in find_tools(python)[0] if tool.name in TOOLS]
    caches = (Path(os.environ.get("TORC_SQLX_CACHE") or CACHE / "sqlx"), CACHE / "sqlx")
    sqlx = [str(path) for cache in caches for path in sorted((cache / "servers").glob("*/bin/sqlx"))][:1]
    found += [Tool("sqlx", program_version(path), path, "sqlx", write_sqlx, lambda *_: []) for path in sqlx]
    names = {tool.name for tool in found}
    return found, [name for name in TOOLS if name not in names]


def command(tool: Tool, server: Server, database: str, directory: Path) -> list[str]:
    """Return the command with which a tool applies what is pending."""
    url, host = server.url(database), server.home
    if tool.name in (OURS, EACH, "yoyo"):
        words = tool.call(tool.program, Path(database), directory)
        place = _with_driver(url) if tool.name == "yoyo" else url
        return [place if str(word) in (database, f"sqlite:///{database}") else str(word) for word in words]
    if tool.name == "alembic":
        words = tool.call(tool.program, Path(database), directory)
        return [word.replace(f"database={database}", f"database={_with_driver(url)}") for word in words]
    if tool.name == "sqlx":
        where = f"postgres://postgres@localhost/{database}?host={host}"
        return [tool.program, "migrate", "run", "--source", str(directory), "--database-url", where]
    if tool.name == "dbmate":
        where = f"postgres://postgres@/{database}?socket={host}&sslmode=disable"
        return [tool.program, "--url", where, "--migrations-dir", str(directory), "--no-dump-schema", "up"]
    return [tool.program, "-dir", str(directory), "postgres", f"host={host} user=postgres dbname={database}", "up"]


def _with_driver(url: str) -> str:
    return url.replace("postgresql:", "postgresql+psycopg:")


def run_rounds(server: Server, tools: Sequence[Tool], work: Work) -> tuple[Times, list[float]]:
    """Do everything once in each round, beginning with another tool each time, and return the times and the loads."""
    directories = {tool.name: _write(work, tool) for tool in tools}
    large = work.home / "large"
    large.mkdir()
    (large / "1_large.sql").write_text(work.script)
    templates = ServerTemplates(server.url("postgres"), str(directories[OURS]), {})
    templates.create()
    times: Times = {}
    loads = []
    for number in range(work.rounds):
        loads.append(load())
        acts: dict[str, Act] = {tool.name: partial(measure, tool, server, directories[tool.name]) for tool in tools}
        acts["script"] = partial(measure_script, server, work.script, large, number)
        acts["template"] = partial(measure_template, templates)
        for _, act in in_turn(acts, number):
            for what, name, milliseconds in act():
                times.setdefault((what, name), []).append(milliseconds)
        print(f"round {number + 1} of {work.rounds} done", flush=True)
    return times, loads


def _write(work: Work, tool: Tool) -> Path:
    directory = work.home / tool.name.replace(",", "").replace(" ", "_")
    directory.mkdir()
    tool.write(directory, work.pairs)
    return directory


def measure(tool: Tool, server: Server, directory: Path) -> Iterator[tuple[str, str, float]]:
    """Apply all migrations as a process, and run the same process again."""
    words = command(tool, server, server.create_database(), directory)
    yield "apply", tool.name, timed(lambda: run(words))
    if not tool.only_applies:
        yield "noop", tool.name, timed(lambda: run(words))


def measure_script(server: Server, script: str, large: Path, number: int) -> Iterator[tuple[str, str, float]]:
    """Run the long script through the driver and through ours, the one that begins changes with the round."""

    def ours(database: str) -> Iterator[tuple[str, str, float]]:
        reports = []
        yield "script", OURS, timed(lambda: reports.append(upgrade(server.url(database), large)))
        yield "script", SCRIPT, reports[0].outcomes[0].elapsed_ns / 1e6

    def driver(database: str) -> Iterator[tuple[str, str, float]]:
        with server.connect(database) as connection:
            yield "script", PSYCOPG, timed(lambda: execute(connection, script))

    for _, act in in_turn({"driver": driver, "ours": ours}, number):
        yield from act(server.create_database())


def measure_template(templates: ServerTemplates) -> Iterator[tuple[str, str, float]]:
    """Make a database for a test, as the plugin for pytest does."""
    yield "template", TEMPLATE, timed(templates.create)


def timed(act: Callable[[], object]) -> float:
    """Return how many milliseconds something takes."""
    began = perf_counter()
    act()
    return (perf_counter() - began) * 1e3


def execute(connection: psycopg.Connection, sql: str) -> None:
    """Run a text in one transaction."""
    with connection.transaction():
        connection.execute(sql.encode())


def run(words: Sequence[str]) -> None:
    """Run a command.

    Raises:
        SystemExit: it failed.
    """
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"{words}: {done.stdout}{done.stderr}")


def rows_of(times: Mapping[tuple[str, str], Sequence[float]]) -> Iterator[dict[str, Any]]:
    """Yield what was measured of each work and tool, with the median of the ratios to the first one in same rounds."""
    for (what, name), measured in times.items():
        beside = times.get((what, PSYCOPG if what == "script" else OURS), measured)
        pairs = list(zip(measured, beside, strict=True))
        quartiles = spread(measured)
        yield {
            "work": what,
            "tool": name,
            "runs": len(measured),
            "wall_ms": quartiles["median"],
            "quartiles_ms": [quartiles["lower_quartile"], quartiles["upper_quartile"]],
            "ratio": ratio_of(pairs)._asdict(),
        }


def _server_version(server: Server) -> str:
    with server.connect() as connection:
        (found,) = connection.execute("SHOW server_version").fetchone() or ("?",)
    return str(found).partition(" ")[0]


def _facts(
    version: str, loads: Sequence[float], tools: Sequence[Tool], absent: Sequence[str], options: argparse.Namespace
) -> dict[str, Any]:
    return {
        "python": platform.python_version(),
        "postgresql": version,
        "psycopg": psycopg.__version__,
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "cores": os.cpu_count() or 1,
        "load": round(median(loads), 1),
        "rounds": options.rounds,
        "migrations": options.migrations,
        "inserts": options.inserts,
        "tools": {tool.name: tool.version for tool in tools},
        "absent": list(absent),
    }


if __name__ == "__main__":
    sys.exit(main())
