"""Time PostgreSQL: one script of 20,000 INSERTs, and 200 migrations beside stock yoyo, on a throw-away server.

`python -m benchmarks.services.postgresql`; it needs a PostgreSQL server's programs, as the tests do.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median
from time import perf_counter

import psycopg

sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))

from database_under_test import ladder, write_folder
from servers import HOW, Server, find_programs, postgresql

from torc_migrations import upgrade
from torc_migrations.plugins.server_templates import ServerTemplates

INSERTS = 20_000
MIGRATIONS = 200
ROUNDS = 5


def timed(act: Callable[[], object]) -> float:
    """Return how many seconds something takes."""
    began = perf_counter()
    act()
    return perf_counter() - began


def main() -> None:
    """Print the medians, and the ratio of the fastest."""
    programs = find_programs()
    if programs is None:
        sys.exit(HOW)
    home = Path(tempfile.mkdtemp())
    sql = "CREATE TABLE t (a int, b text);\n" + "".join(
        f"INSERT INTO t VALUES ({n}, 'row {n}');\n" for n in range(INSERTS)
    )
    large = write_folder(home / "large", {"1_large": sql})
    many = write_folder(home / "many", ladder(MIGRATIONS))
    times: dict[str, list[float]] = {}
    try:
        with postgresql(programs) as server:
            for _ in range(ROUNDS):
                for label, seconds in measure(server, sql, large, many).items():
                    times.setdefault(label, []).append(seconds)
    finally:
        shutil.rmtree(home)
    for label, measured in times.items():
        print(f"{label:45} {median(measured) * 1000:8.0f} ms")
    for label in ("upgrade, one script", "the script in it"):
        print(f"{label + ' / psycopg execute':45} {min(times[label]) / min(times['psycopg execute']):8.2f}")


def measure(server: Server, sql: str, large: str, many: str) -> dict[str, float]:
    """Do everything once, on databases of its own, and return the seconds."""
    plain, one, two, three = (server.create_database() for _ in range(4))
    url, yoyos_url = server.url(two), server.url(three).replace("postgresql:", "postgresql+psycopg:")
    ours = [sys.executable, "-m", "torc_migrations", "-d", url, "-s", many, "upgrade"]
    yoyo = [sys.executable, "-m", "yoyo", "apply", "--batch", "--no-config-file", "-d", yoyos_url, many]
    with server.connect(plain) as connection:
        direct = timed(lambda: execute(connection, sql))
    began = perf_counter()
    report = upgrade(server.url(one), large)
    templates = ServerTemplates(server.url("postgres"), many, {})
    templates.create()  # makes the template, if it is the first round
    return {
        "psycopg execute": direct,
        "upgrade, one script": perf_counter() - began,
        "the script in it": report.outcomes[0].elapsed_ns / 1e9,
        "upgrade, 200 migrations": timed(lambda: upgrade(url, many)),
        "upgrade, nothing to do": timed(lambda: upgrade(url, many)),
        "a database for a test: a copy of the template": timed(templates.create),
        "yoyo apply, 200 migrations": timed(lambda: run(yoyo)),
        "torc-migrations, a process with nothing to do": timed(lambda: run(ours)),
        "yoyo, a process with nothing to do": timed(lambda: run(yoyo)),
    }


def execute(connection: psycopg.Connection, sql: str) -> None:
    """Run a text in one transaction."""
    with connection.transaction():
        connection.execute(sql.encode())


def run(command: list[str]) -> None:
    """Run a command."""
    subprocess.run(command, check=True, capture_output=True)


if __name__ == "__main__":
    main()
