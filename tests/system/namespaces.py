"""Run Python in a world of its own: another list of processes, or disks that nobody else sees."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from functools import cache

from database_under_test import PATIENCE, command, environment


def words(flags: Sequence[str]) -> list[str]:
    """Return what runs a command in new namespaces; a user who is not root becomes root in a user namespace."""
    return ["unshare", *flags, *([] if os.geteuid() == 0 else ["--map-root-user"])]


@cache
def allowed(*flags: str) -> bool:
    """Tell whether this system lets us make such namespaces, and mount there."""
    if shutil.which("unshare") is None:
        return False
    act = ["mount", "-t", "tmpfs", "tmpfs", "/mnt"] if "--mount" in flags else ["true"]
    return subprocess.run([*words(flags), *act], capture_output=True, check=False).returncode == 0


def within(flags: Sequence[str], code: str, *arguments: object) -> str:
    """Run Python code in new namespaces, and return what it printed; fails where it fails."""
    done = subprocess.run(
        [*words(flags), *command(code, *arguments)],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"
    assert not done.stderr, done.stderr
    return done.stdout
