"""Run one tool inside a process that has it loaded, and print how long each run took; started by peers.py.

    python -c 'import peer_inside; peer_inside.main()' TOOL WORK RUNS DATABASE FOLDER WARM_FOLDER

WORK is `noop`, `apply`, `at_once` or `script`.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable
from time import perf_counter, process_time

Run = Callable[[str, str], object]


def main() -> None:
    """Print a list of [milliseconds, milliseconds of processor time]."""
    tool, work, runs, database, folder, warm_folder = sys.argv[1:]
    run = RUNNERS[tool](work)
    home = os.path.dirname(database)
    warm = os.path.join(home, "warm", "warm.db")
    _renew(os.path.dirname(warm))
    run(warm, warm_folder)
    print(json.dumps([_timed(run, database, folder, fresh=work != "noop") for _ in range(int(runs))]))


def _timed(run: Run, database: str, folder: str, *, fresh: bool) -> tuple[float, float]:
    if fresh:
        _renew(os.path.dirname(database))
    wall, processor = perf_counter(), process_time()
    run(database, folder)
    return (perf_counter() - wall) * 1e3, (process_time() - processor) * 1e3


def _renew(folder: str) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)


def _floor(work: str) -> Run:
    import peer_floor

    return {"at_once": peer_floor.upgrade_at_once, "script": peer_floor.run_script}.get(work, peer_floor.upgrade)


def _ledgers(work: str) -> Run:
    import peer_floor

    return peer_floor.upgrade_with_ledgers_at_once if work == "at_once" else peer_floor.upgrade_with_ledgers


def _ours(work: str) -> Run:
    from torc_migrations import upgrade

    if work == "at_once":
        return lambda database, folder: upgrade(database, folder, atomic=True)
    return upgrade


def _yoyo(_: str) -> Run:
    from yoyo import get_backend, read_migrations

    def run(database: str, folder: str) -> None:
        backend = get_backend(f"sqlite:///{database}")
        with backend.lock():
            backend.apply_migrations(backend.to_apply(read_migrations(folder)))
        backend.connection.close()

    return run


def _sqlite_utils(_: str) -> Run:
    import runpy

    import sqlite_utils

    def run(database: str, folder: str) -> None:
        db = sqlite_utils.Database(database)
        runpy.run_path(os.path.join(folder, "migrations.py"))["migration"].apply(db)
        db.close()

    return run


def _alembic(_: str) -> Run:
    from alembic import command
    from alembic.config import Config

    def run(database: str, folder: str) -> None:
        config = Config()
        config.set_main_option("script_location", folder)
        config.set_main_option("sqlalchemy.url", f"sqlite:///{database}")
        command.upgrade(config, "head")

    return run


RUNNERS: dict[str, Callable[[str], Run]] = {
    "floor": _floor,
    "floor with ledgers": _ledgers,
    "torc_migrations": _ours,
    "yoyo": _yoyo,
    "sqlite-utils": _sqlite_utils,
    "alembic": _alembic,
}
