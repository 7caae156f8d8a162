"""Find the real sqlx, and run it."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

from preloaded_programs import Said

CACHE = Path(os.environ.get("TORC_SQLX_CACHE") or Path(__file__).parents[2] / ".cache" / "sqlx")
WHY_NOT = "there is no sqlx: run tests/compatibility/build_sqlx.sh, or name one (or several, as in PATH) in TORC_SQLX"


class Sqlx(NamedTuple):
    """One sqlx program, and its version."""

    program: str
    version: str

    @property
    def series(self) -> str:
        """The version without its last number: all of a series behave alike."""
        return self.version.rpartition(".")[0]

    @property
    def can_skip(self) -> bool:
        """Whether there is `migrate override skip`, since 0.9."""
        return tuple(map(int, self.series.split("."))) >= (0, 9)

    @property
    def heeds_no_transaction(self) -> bool:
        """Whether `-- no-transaction` means something on SQLite: before 0.9 every script runs in a transaction."""
        return self.can_skip

    @property
    def names_failed_reverts(self) -> bool:
        """Whether the error of a down script says which migration it was, since 0.9."""
        return self.can_skip

    def __call__(self, *arguments: str, folder: Path) -> Said:
        """Run `sqlx migrate ...` in a folder."""
        return self._run("migrate", *arguments, folder=folder)

    def create(self, database: Path) -> None:
        """Make an empty database, as sqlx wants it before everything else."""
        self.create_at(f"sqlite:{database}", folder=database.parent)

    def create_at(self, url: str, *, folder: Path) -> Said:
        """Make an empty database at a URL."""
        return self._run("database", "create", "-D", url, folder=folder)

    def _run(self, *arguments: str, folder: Path) -> Said:
        environment = {name: value for name, value in os.environ.items() if name != "DATABASE_URL"}
        done = subprocess.run(
            [self.program, *arguments],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            check=False,
        )
        return Said(done.stdout, done.stderr, done.returncode)


def find_programs() -> tuple[Sqlx, ...]:
    """Return every sqlx that is named in TORC_SQLX; else those in the cache; else the one on the PATH."""
    named = [path for path in os.environ.get("TORC_SQLX", "").split(os.pathsep) if path]
    built = sorted(str(path) for path in CACHE.glob("*/bin/sqlx"))
    on_path = [path for path in [shutil.which("sqlx")] if path]
    return tuple(Sqlx(path, _version(path)) for path in named or built or on_path)


def _version(program: str) -> str:
    done = subprocess.run([program, "--version"], capture_output=True, encoding="utf-8", check=True)
    return done.stdout.split()[-1]


SERVERS_WHY_NOT = "there is no sqlx for servers: SERVERS=1 sh tests/compatibility/build_sqlx.sh builds it"


def find_programs_for_servers() -> tuple[Sqlx, ...]:
    """Return every sqlx in the cache that can connect to PostgreSQL and MySQL."""
    built = sorted(str(path) for path in (CACHE / "servers").glob("*/bin/sqlx"))
    return tuple(Sqlx(path, _version(path)) for path in built)
