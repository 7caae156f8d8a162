"""Two throw-away nodes of LiteFS, which replicates SQLite files from a primary to a replica."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

from database_under_test import PATIENCE, SQLiteUnderTest
from galera import free_ports

MISSING = (
    "LiteFS is not installed, or may not mount: `apt-get install fuse3`, "
    "`go install github.com/superfly/litefs/cmd/litefs@v0.5.14`, and the right to use /dev/fuse"
)
SETTINGS = """
fuse: {{dir: "{home}/mount"}}
data: {{dir: "{home}/data"}}
http: {{addr: "127.0.0.1:{port}"}}
lease:
  type: "static"
  hostname: "primary"
  advertise-url: "http://127.0.0.1:{primary}"
  candidate: {is_primary}
"""


def program() -> str | None:
    """Return the path of LiteFS, which may be where Go installs programs."""
    return shutil.which("litefs") or shutil.which("litefs", path=str(Path.home() / "go" / "bin"))


def is_installed() -> bool:
    """Tell whether it can mount."""
    may_mount = os.access("/dev/fuse", os.R_OK | os.W_OK)
    return program() is not None and shutil.which("fusermount3") is not None and may_mount


class LiteFSNode:
    """One node: a directory in which SQLite files are replicated."""

    def __init__(self, home: Path, port: int, primary: int) -> None:
        self._home = home
        self._mount = home / "mount"
        self._mount.mkdir(parents=True)
        settings = SETTINGS.format(
            home=home, port=port, primary=primary, is_primary="true" if port == primary else "false"
        )
        (home / "litefs.yml").write_text(settings)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def database(self) -> SQLiteUnderTest:
        """The file of the tests as it is on this node."""
        return SQLiteUnderTest(self._mount / "app.db")

    def position(self) -> str:
        """Return up to which transaction the file is there."""
        try:
            return (self._mount / "app.db-pos").read_text().strip()
        except OSError:
            return ""

    def databases(self) -> set[str]:
        """Return the names of all files that this node has replicated."""
        return {path.name for path in (self._home / "data" / "dbs").iterdir()}

    def start(self) -> None:
        """Mount, and wait until the directory can be used."""
        found = program()
        assert found is not None
        with (self._home / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [found, "mount", "-config", str(self._home / "litefs.yml")], stdout=log, stderr=log
            )
        deadline = time.monotonic() + PATIENCE
        while not os.path.ismount(self._mount):
            assert self._process.poll() is None, (self._home / "log").read_text()
            assert time.monotonic() < deadline, (self._home / "log").read_text()
            time.sleep(0.05)

    def kill(self) -> None:
        """Kill it, and take its mount away, which nobody serves any more."""
        assert self._process is not None
        self._process.kill()
        self._process.wait(PATIENCE)
        self._process = None
        subprocess.run(["fusermount3", "-u", "-z", str(self._mount)], check=False)

    def stop(self) -> None:
        """Stop it, and unmount."""
        if self._process is None:
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(PATIENCE)
        finally:
            if os.path.ismount(self._mount):
                subprocess.run(["fusermount3", "-u", "-z", str(self._mount)], check=False)
            self._process = None


class LiteFSCluster:
    """A primary and a replica."""

    def __init__(self, home: Path) -> None:
        first, second = free_ports(2)
        self.primary = LiteFSNode(home / "primary", first, first)
        self.replica = LiteFSNode(home / "replica", second, first)

    def start(self) -> None:
        """Start both."""
        self.primary.start()
        self.replica.start()

    def stop(self) -> None:
        """Stop both."""
        self.replica.stop()
        self.primary.stop()

    def replicate(self) -> None:
        """Wait until the replica has what the primary has."""
        deadline = time.monotonic() + PATIENCE
        while not self.primary.position() or self.primary.position() != self.replica.position():
            assert time.monotonic() < deadline, (self.primary.position(), self.replica.position())
            time.sleep(0.05)
