"""Start processes one after another, and print what each took; `compare.py` runs this file as a process of its own.

Linux counts the memory that a child has of its parent as the child's peak. So all measured processes are started by
this file, which imports next to nothing.

Each line of standard input is a command, a directory, a file for the output and a limit in seconds, as Python literals
with tabs between them. The answer is one line of JSON: `status`, `wall_ms`, `cpu_ms` and `peak_mb`.
"""

import os
import signal
import sys
from time import perf_counter

FAILED_TO_START = 127
ANSWER = '{{"status": {}, "wall_ms": {}, "cpu_ms": {}, "peak_mb": {}}}'

running = 0


def _kill(*_: object) -> None:
    """Kill the running process and its children: the time is up."""
    if running:
        os.killpg(running, signal.SIGKILL)


def _run(command: list[str], directory: str, output: str, seconds: float) -> str:
    global running
    os.chdir(directory)
    to_file = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    actions: list[tuple[int, int, str, int, int] | tuple[int, int, int]] = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, output, to_file, 0o600),
        (os.POSIX_SPAWN_DUP2, 1, 2),
    ]
    signal.setitimer(signal.ITIMER_REAL, seconds)
    began = perf_counter()
    try:
        running = os.posix_spawnp(command[0], command, os.environ, file_actions=actions, setpgroup=0)
    except OSError:
        return ANSWER.format(FAILED_TO_START, 0, 0, 0)
    _, status, usage = os.wait4(running, 0)
    wall_ms = (perf_counter() - began) * 1e3
    running = 0
    signal.setitimer(signal.ITIMER_REAL, 0)
    cpu_ms = (usage.ru_utime + usage.ru_stime) * 1e3
    return ANSWER.format(os.waitstatus_to_exitcode(status), wall_ms, cpu_ms, usage.ru_maxrss / 1024)


if __name__ == "__main__":
    signal.signal(signal.SIGALRM, _kill)
    for line in sys.stdin:
        # The words come from compare.py; `ast` and `json` would add to the memory that every child begins with.
        print(_run(*(eval(word) for word in line.split("\t"))), flush=True)
