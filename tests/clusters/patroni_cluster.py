"""A throw-away cluster of three PostgreSQL servers that Patroni looks after, and the etcd that it needs."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
import urllib.error
import urllib.request
from contextlib import suppress
from pathlib import Path
from typing import Any

import psycopg
from database_under_test import PATIENCE
from galera import free_ports
from servers import _as_user, find_programs

MISSING = (
    "Patroni, etcd or PostgreSQL is not installed: `apt-get install postgresql patroni etcd-server` (no service needs "
    "to run), or `pip install patroni[etcd3] psycopg2-binary` and etcd"
)
SETTINGS = """
scope: torc
name: n{number}
restapi: {{listen: "127.0.0.1:{rest}", connect_address: "127.0.0.1:{rest}"}}
etcd3: {{host: "127.0.0.1:{etcd}"}}
bootstrap:
  dcs:
    ttl: 20
    loop_wait: 1
    retry_timeout: 3
    synchronous_mode: true
    postgresql: {{use_pg_rewind: true, parameters: {{fsync: "off"}}}}
  initdb: [{{encoding: UTF8}}, {{locale: C}}]
postgresql:
  listen: "127.0.0.1:{port}"
  connect_address: "127.0.0.1:{port}"
  data_dir: {home}/d{number}
  bin_dir: {programs}
  pgpass: {home}/pgpass{number}
  parameters: {{unix_socket_directories: "{home}", fsync: "off"}}
  authentication:
    superuser: {{username: postgres, password: x}}
    replication: {{username: repl, password: x}}
    rewind: {{username: postgres, password: x}}
  pg_hba: ["local all all trust", "host all all 127.0.0.1/32 trust", "host replication all 127.0.0.1/32 trust"]
"""


def is_installed() -> bool:
    """Tell whether a cluster can be started."""
    return all(map(shutil.which, ("patroni", "etcd"))) and find_programs() is not None


class PatroniNode:
    """One PostgreSQL server, and the Patroni that starts and stops it."""

    def __init__(self, home: Path, number: int, ports: list[int], etcd: int) -> None:
        self.number = number
        self.name = f"n{number}"
        self.port, self.rest = ports
        self._home = home
        self._etcd = etcd
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """The address of this server alone."""
        return f"postgresql://postgres@127.0.0.1:{self.port}/postgres"

    def start(self) -> None:
        """Start Patroni, which starts the server."""
        settings = self._home / f"{self.name}.yml"
        facts = {"number": self.number, "rest": self.rest, "etcd": self._etcd, "port": self.port}
        settings.write_text(SETTINGS.format(**facts, home=self._home, programs=find_programs()))
        with (self._home / f"{self.name}.log").open("ab") as log:
            self._process = subprocess.Popen(
                [*_as_user(self._home), "patroni", str(settings)],
                stdout=log,
                stderr=log,
                start_new_session=True,
                cwd=self._home,
            )

    @property
    def is_alive(self) -> bool:
        """Whether Patroni runs, or was killed by a test; not where it has ended by itself."""
        return self._process is None or self._process.poll() is None

    def is_in(self, role: str) -> bool:
        """Tell whether Patroni says that the server is `primary`, `replica` or `synchronous`."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.rest}/{role}", timeout=5):
                return True
        except (urllib.error.URLError, OSError):
            return False

    def kill(self) -> None:
        """Kill Patroni and the server at once, as where a machine fails."""
        if self._process is None:
            return
        postmaster = self._home / f"d{self.number}" / "postmaster.pid"
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        with suppress(OSError, ValueError, ProcessLookupError):
            os.kill(int(postmaster.read_text().splitlines()[0]), signal.SIGKILL)
        self._process.wait(PATIENCE)
        self._process = None

    def execute(self, statement: str) -> list[tuple[Any, ...]]:
        """Run a statement on this server."""
        with psycopg.connect(self.url, autocommit=True, connect_timeout=10) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []


class PatroniCluster:
    """Three nodes."""

    def __init__(self, home: Path) -> None:
        etcd, peers, *ports = free_ports(8)
        self._home = home
        self._etcd_ports = etcd, peers
        self._etcd: subprocess.Popen[bytes] | None = None
        self.nodes = [PatroniNode(home, number, ports[number * 2 : number * 2 + 2], etcd) for number in range(3)]

    @property
    def url(self) -> str:
        """The address that names all servers, of which the one is taken that may be written to."""
        hosts = ",".join("127.0.0.1" for _ in self.nodes)
        ports = ",".join(str(node.port) for node in self.nodes)
        return f"postgresql://postgres@/postgres?host={hosts}&port={ports}&connect_timeout=10"

    def start(self) -> None:
        """Start etcd and all nodes, and wait until there are a primary and two standbys."""
        client, peer = (f"http://127.0.0.1:{port}" for port in self._etcd_ports)
        command = [
            *(*_as_user(self._home), "etcd", "--name", "e0", "--data-dir", str(self._home / "etcd")),
            *("--unsafe-no-fsync", "--listen-client-urls", client, "--advertise-client-urls", client),
            *("--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", f"e0={peer}"),
        ]
        with (self._home / "etcd.log").open("ab") as log:
            self._etcd = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True, cwd=self._home)
        for node in self.nodes:
            node.start()
        self.settle()

    def settle(self) -> None:
        """Start the nodes that were killed, and wait for a primary, a synchronous standby and another standby."""
        for node in self.nodes:
            if node._process is None:
                node.start()
        self.wait_for(lambda: self._count("primary") == 1 and self._count("replica") == 2)
        self.wait_for(lambda: self._count("synchronous") == 1)

    def _count(self, role: str) -> int:
        return sum(node.is_in(role) for node in self.nodes)

    def wait_for(self, condition: Any) -> None:
        """Wait until a condition holds."""
        deadline = time.monotonic() + PATIENCE
        while not condition():
            assert all(node.is_alive for node in self.nodes), self._logs()
            assert time.monotonic() < deadline, self._logs()
            time.sleep(0.1)

    def _logs(self) -> str:
        return "".join(each.read_text(errors="replace")[-2000:] for each in sorted(self._home.glob("n*.log")))

    @property
    def primary(self) -> PatroniNode:
        """The node that leads."""
        return next(node for node in self.nodes if node.is_in("primary"))

    @property
    def synchronous_standby(self) -> PatroniNode:
        """The standby that has every commit."""
        return next(node for node in self.nodes if node.is_in("synchronous"))

    def switch_over(self, new: PatroniNode) -> None:
        """Have another node lead, as a person does who wants to restart the first one."""
        old = self.primary
        wanted = json.dumps({"leader": old.name, "candidate": new.name}).encode()
        address = f"http://127.0.0.1:{old.rest}/switchover"
        request = urllib.request.Request(address, wanted, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            assert answer.status == 200, answer.read()

    def fresh(self) -> None:
        """Remove everything from the database of the tests."""
        self.settle()
        self.primary.execute("DROP SCHEMA public CASCADE")
        self.primary.execute("CREATE SCHEMA public")

    def stop(self) -> None:
        """Kill everything; nothing of it is needed any more."""
        for node in self.nodes:
            node.kill()
        if self._etcd is not None:
            os.killpg(self._etcd.pid, signal.SIGKILL)
            self._etcd.wait(PATIENCE)
