"""A throw-away cluster of three Galera nodes."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pymysql
from database_under_test import PATIENCE
from mariadb_server import find, install, unprivileged

PROVIDERS = ("/usr/lib/galera/libgalera_smm.so", "/usr/lib64/galera-4/libgalera_smm.so")
MISSING = "Galera is not installed: `apt-get install mariadb-server galera-4 rsync` (no service needs to run)"
NAME = "app"


def provider() -> str | None:
    """Return Galera's library."""
    return next((path for path in PROVIDERS if os.path.exists(path)), None)


def is_installed() -> bool:
    """Tell whether a cluster can be started."""
    return provider() is not None and shutil.which("rsync") is not None and find("mariadbd") is not None


def free_ports(count: int) -> list[int]:
    """Return ports on which nobody listens, and to which no other test comes."""
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


class Node:
    """One node, with its data in a directory of its own."""

    def __init__(self, directory: Path, number: int, ports: list[int]) -> None:
        self.number = number
        self.directory = directory / f"n{number}"
        self.directory.mkdir()
        self.port, self.cluster_port, self._ist_port, self._sst_port = ports
        self._user = unprivileged(self.directory)
        self._process: subprocess.Popen[bytes] | None = None
        install(self.directory, self._user)

    @property
    def url(self) -> str:
        """The address of the database that the tests use."""
        return f"mysql://root@127.0.0.1:{self.port}/{NAME}"

    def start(self, members: list[Node], *options: str) -> None:
        """Start it, and wait until it has all that the others have."""
        program = find("mariadbd")
        assert program is not None
        addresses = ",".join(f"127.0.0.1:{node.cluster_port}" for node in members)
        network = f"gmcast.listen_addr=tcp://127.0.0.1:{self.cluster_port};ist.recv_addr=127.0.0.1:{self._ist_port}"
        command = [
            *(program, "--no-defaults", f"--datadir={self.directory / 'data'}", f"--socket={self.directory / 's'}"),
            *(f"--tmpdir={self.directory / 'tmp'}", f"--pid-file={self.directory / 'pid'}"),
            *(f"--log-error={self.directory / 'log'}", *self._user),
            *("--bind-address=127.0.0.1", f"--port={self.port}", "--binlog-format=ROW"),
            *("--default-storage-engine=InnoDB", "--innodb-autoinc-lock-mode=2", "--innodb-buffer-pool-size=64M"),
            *("--innodb-flush-log-at-trx-commit=0", "--wsrep-on=ON", f"--wsrep-provider={provider()}"),
            *("--wsrep-cluster-name=torc", f"--wsrep-cluster-address=gcomm://{addresses}"),
            *(f"--wsrep-node-name=n{self.number}", f"--wsrep-node-address=127.0.0.1:{self.cluster_port}"),
            *(f"--wsrep-node-incoming-address=127.0.0.1:{self.port}", "--wsrep-sst-method=rsync"),
            *(f"--wsrep-provider-options={network};gcache.size=32M",),
            *(f"--wsrep-sst-receive-address=127.0.0.1:{self._sst_port}", *options),
        ]
        self._process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        deadline = time.monotonic() + PATIENCE
        while self.state() != "Synced":
            log = self.directory / "log"
            assert self._process.poll() is None, log.read_text()[-3000:]
            assert time.monotonic() < deadline, log.read_text()[-3000:]
            time.sleep(0.1)

    def state(self) -> str:
        """Return what the node says of itself: `Synced`, or nothing where it does not answer."""
        program = find("mariadb")
        assert program is not None
        options = ["--no-defaults", "-uroot", f"-S{self.directory / 's'}", "-BNe"]
        query = "SHOW STATUS LIKE 'wsrep_local_state_comment'"
        done = subprocess.run([program, *options, query], capture_output=True, text=True, check=False, timeout=PATIENCE)
        return done.stdout.strip().rpartition("\t")[2]

    def execute_status(self, name: str) -> str:
        """Return one value of the node's status, which a minority tells too."""
        with closing(self.connect(None)) as connection, connection.cursor() as cursor:
            cursor.execute(f"SHOW STATUS LIKE '{name}'")
            return str(cursor.fetchone()[1])

    def kill(self) -> None:
        """Kill it."""
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(PATIENCE)
            self._process = None

    def connect(self, database: str | None = NAME) -> Any:
        """Open a connection that commits by itself."""
        return pymysql.connect(host="127.0.0.1", port=self.port, user="root", database=database, autocommit=True)

    def execute(self, *statements: str, database: str | None = NAME) -> list[tuple[Any, ...]]:
        """Run statements, and return the rows of the last one, as they are on all nodes."""
        rows: list[tuple[Any, ...]] = []
        with closing(self.connect(database)) as connection, connection.cursor() as cursor:
            cursor.execute("SET SESSION wsrep_sync_wait = 1")
            for statement in statements:
                cursor.execute(statement)
                rows = list(cursor.fetchall())
        return rows


class Cluster:
    """Three nodes."""

    def __init__(self, directory: Path) -> None:
        ports = free_ports(12)
        self.nodes = [Node(directory, number, ports[number::3]) for number in range(3)]
        self._members = list(self.nodes)

    def start(self) -> None:
        """Start all nodes, one after the other."""
        self.nodes[0].start(self._members, "--wsrep-new-cluster")
        for node in self.nodes[1:]:
            node.start(self._members)

    def restart(self, node: Node) -> None:
        """Start a node again that was killed."""
        node.start(self._members)

    def fresh_database(self) -> None:
        """Empty the database of the tests."""
        self.nodes[0].execute(f"DROP DATABASE IF EXISTS {NAME}", f"CREATE DATABASE {NAME}", database=None)

    def stop(self) -> None:
        """Kill all nodes; nothing of them is needed any more."""
        for node in self.nodes:
            node.kill()
