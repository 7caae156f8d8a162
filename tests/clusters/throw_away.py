"""Start a cluster for the tests of a file, and leave nothing of it."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol, TypeVar


class Startable(Protocol):
    """A cluster whose servers are processes with their data in one directory."""

    def start(self) -> None:
        """Start all of them."""

    def stop(self) -> None:
        """Kill all of them."""


C = TypeVar("C", bound=Startable)


@contextmanager
def running(make: Callable[[Path], C]) -> Iterator[C]:
    """Start a cluster in a temporary directory; stop it and remove the directory at the end."""
    directory = Path(tempfile.mkdtemp(prefix="torc-cluster-", dir="/tmp"))  # a socket's path must be short
    directory.chmod(0o755)  # the servers may run as another user
    try:
        cluster = make(directory)
        try:
            cluster.start()
            yield cluster
        finally:
            cluster.stop()
    finally:
        shutil.rmtree(directory, ignore_errors=True)
