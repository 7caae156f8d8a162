"""The service of the tutorial answers over HTTP."""

from __future__ import annotations

import socket
import subprocess
import time
from contextlib import closing
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import pytest
from pages import COMMANDS, DOCS, acts, perform

TUTORIAL = DOCS / "tutorial.md"


def free_port() -> int:
    """Return a port of this machine that no program listens on."""
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def answer(port: int, service: subprocess.Popen[str]) -> str:
    """Return what the service answers as soon as it does."""
    deadline = time.monotonic() + 30
    while True:
        try:
            with urlopen(f"http://127.0.0.1:{port}/", timeout=5) as response:
                return str(response.read().decode())
        except URLError:
            if service.poll() is not None or time.monotonic() > deadline:
                raise
            time.sleep(0.05)


@pytest.mark.slow
def test_the_service_upgrades_and_answers(here: Path) -> None:
    """Started as the page says, after everything else on it."""
    perform(list(acts(TUTORIAL)), here)
    port = free_port()
    words = [COMMANDS / "python", "service.py", str(port)]

    with subprocess.Popen(words, cwd=here, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as service:
        try:
            assert answer(port, service) == "Dune: Ada\n"
        finally:
            service.terminate()
        assert service.stdout is not None
        assert service.stdout.read() == "applied: ()\n"
