"""Start processes from a small one, and tell what each took; part of peers.py.

A child begins its life with its parent's memory, and Linux counts that as its own peak. So the parent is this module
run alone, which holds next to nothing: it reads commands from its standard input and writes what they took.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path
    from typing import Any

_FAILED_TO_START = 127


class Launcher:
    """A process that starts others, one at a time."""

    def __init__(self, folder: Path) -> None:
        from subprocess import PIPE, Popen

        self._output = folder / "output.txt"
        command = [sys.executable, "-I", "-S", os.path.abspath(__file__)]
        self._process = Popen(command, stdin=PIPE, stdout=PIPE, text=True)

    def run(self, command: Sequence[str], cwd: Path, seconds: float) -> Mapping[str, Any]:
        """Run a command to its end, or kill it after so many seconds.

        Returns `status`, `wall_ms`, `cpu_ms` (of all its processes), `peak_mb`, and its `output`.
        """
        import json

        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{[*map(str, command)]!r}\t{str(cwd)!r}\t{str(self._output)!r}\t{seconds}\n")
        self._process.stdin.flush()
        taken: dict[str, Any] = json.loads(self._process.stdout.readline())
        return {**taken, "output": self._output.read_text(errors="replace")}

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


def _serve() -> None:
    import signal
    from time import perf_counter

    running = 0

    def stop(*_: object) -> None:
        if running:
            os.killpg(running, signal.SIGKILL)

    signal.signal(signal.SIGALRM, stop)
    for line in sys.stdin:
        command, cwd, output, seconds = (eval(word) for word in line.split("\t"))  # written by ourselves
        os.chdir(cwd)
        to_file = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
        actions: list[Any] = [(os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0)]
        actions += [(os.POSIX_SPAWN_OPEN, 1, output, to_file, 0o600), (os.POSIX_SPAWN_DUP2, 1, 2)]
        signal.setitimer(signal.ITIMER_REAL, seconds)
        began = perf_counter()
        try:
            running = os.posix_spawnp(command[0], command, os.environ, file_actions=actions, setpgroup=0)
        except OSError:
            print(f'{{"status": {_FAILED_TO_START}, "wall_ms": 0, "cpu_ms": 0, "peak_mb": 0}}', flush=True)
            continue
        _, status, usage = os.wait4(running, 0)
        wall_ms = (perf_counter() - began) * 1e3
        running = 0
        signal.setitimer(signal.ITIMER_REAL, 0)
        cpu_ms = (usage.ru_utime + usage.ru_stime) * 1e3
        print(
            f'{{"status": {os.waitstatus_to_exitcode(status)}, "wall_ms": {wall_ms}, "cpu_ms": {cpu_ms}, '
            f'"peak_mb": {usage.ru_maxrss / 1024}}}',
            flush=True,
        )


if __name__ == "__main__":
    _serve()
