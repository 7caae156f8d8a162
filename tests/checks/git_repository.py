"""A repository of git, without the settings of the developer."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from shell import Torc, environment, write_files

IDENTITY = {
    "GIT_AUTHOR_NAME": "a",
    "GIT_AUTHOR_EMAIL": "a@example.org",
    "GIT_COMMITTER_NAME": "a",
    "GIT_COMMITTER_EMAIL": "a@example.org",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_EDITOR": "true",
}


class Repository:
    """A repository of git with a directory of migrations."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.migrations = path / "migrations"
        self.git("init", "-b", "main")

    def git(self, *words: str, fails: bool = False) -> str:
        """Run git, which is to fail or not."""
        done = subprocess.run(
            ["git", *words], cwd=self.path, env=environment(self.path, IDENTITY), capture_output=True, check=False
        )
        assert (done.returncode != 0) is fails, done.stdout + done.stderr
        return done.stdout.decode()

    def commit(self, files: dict[str, str], torc: Torc, *, lock: bool) -> None:
        """Commit files, with the line for them."""
        write_files(self.migrations, files)
        if lock:
            assert torc("check", "lock", "--write").status == 0
        self.git("add", "migrations")
        self.git("commit", "-m", "migrations")

    def branches(
        self,
        torc: Torc,
        first: dict[str, str],
        mine: dict[str, str],
        theirs: dict[str, str],
        *,
        lock: bool,
    ) -> None:
        """Make two branches of one commit, each with migrations of its own, and check out `mine`."""
        self.commit(first, torc, lock=lock)
        self.git("checkout", "-b", "mine")
        self.commit(mine, torc, lock=lock)
        self.git("checkout", "main")
        self.commit(theirs, torc, lock=lock)
        self.git("checkout", "mine")
