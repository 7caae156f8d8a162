"""Run one tool in a process that has loaded it, and print how long each run took; `compare.py` starts this.

    python -c 'import benchmarks.peers.inside as inside; inside.main()' TOOL WORK RUNS DATABASE DIRECTORY WARM_DIRECTORY

WORK is `noop`, `apply`, `at_once`, `torc` or `script`. The migrations of WARM_DIRECTORY are applied first, without
being timed.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable
from time import perf_counter, process_time

from benchmarks.peers import floor

Run = Callable[[str, str], object]


def main() -> None:
    """Print a JSON list with a pair for each run: milliseconds, and milliseconds of processor time."""
    tool, work, runs, database, directory, warm_directory = sys.argv[1:]
    run = RUNNERS[tool](work)
    parent = os.path.dirname(database)
    warm = os.path.join(parent, "warm", "warm.db")
    _empty(os.path.dirname(warm))
    run(warm, warm_directory)
    print(json.dumps([_timed(run, database, directory, fresh=work != "noop") for _ in range(int(runs))]))


def _timed(run: Run, database: str, directory: str, *, fresh: bool) -> tuple[float, float]:
    if fresh:
        _empty(os.path.dirname(database))
    wall, processor = perf_counter(), process_time()
    run(database, directory)
    return (perf_counter() - wall) * 1e3, (process_time() - processor) * 1e3


def _empty(directory: str) -> None:
    shutil.rmtree(directory, ignore_errors=True)
    os.makedirs(directory)


def _floor(work: str) -> Run:
    return {"at_once": floor.upgrade_at_once, "script": floor.run_script}.get(work, floor.upgrade)


def _ledgers(work: str) -> Run:
    return floor.upgrade_with_ledgers_at_once if work == "at_once" else floor.upgrade_with_ledgers


def _ours(work: str) -> Run:
    from torc_migrations import upgrade

    if work == "at_once":
        return lambda database, directory: upgrade(database, directory, atomic=True)
    return upgrade


def _ours_each(_: str) -> Run:
    from torc_migrations import upgrade

    return lambda database, directory: upgrade(database, directory, group=0)


def _yoyo(_: str) -> Run:
    from yoyo import get_backend, read_migrations

    def run(database: str, directory: str) -> None:
        backend = get_backend(f"sqlite:///{database}")
        with backend.lock():
            backend.apply_migrations(backend.to_apply(read_migrations(directory)))
        backend.connection.close()

    return run


def _sqlite_utils(_: str) -> Run:
    import runpy

    import sqlite_utils

    def run(database: str, directory: str) -> None:
        db = sqlite_utils.Database(database)
        runpy.run_path(os.path.join(directory, "migrations.py"))["migration"].apply(db)
        db.close()

    return run


def _alembic(_: str) -> Run:
    from alembic import command
    from alembic.config import Config

    def run(database: str, directory: str) -> None:
        config = Config()
        config.set_main_option("script_location", directory)
        config.set_main_option("sqlalchemy.url", f"sqlite:///{database}")
        command.upgrade(config, "head")

    return run


RUNNERS: dict[str, Callable[[str], Run]] = {
    "floor": _floor,
    "floor with ledgers": _ledgers,
    "torc_migrations": _ours,
    "torc_migrations, group=0": _ours_each,
    "torc_migrations before": _ours,
    "yoyo": _yoyo,
    "sqlite-utils": _sqlite_utils,
    "alembic": _alembic,
}
