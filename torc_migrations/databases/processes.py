"""Describe the processes of this machine."""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from itertools import count
from typing import NamedTuple

from torc_migrations.formatting import masked

_LONGEST_COMMAND = 4096  # bytes
_PYTHON = r"(?:python|pypy)[\d.]*w?(?:\.exe)?$"
_INTERPRETER = r"(?:ba|da|z|k|fi)?sh$|(?:perl|ruby|node|nodejs|php|lua|tclsh|Rscript)[\d.]*(?:\.exe)?$"
# https://docs.python.org/3/using/cmdline.html: options that take the next word, and those that take none. What runs
# after `-c`, and after an option that is not known here, is not shown.
_PYTHON_VALUES = ("-W", "-X", "--check-hash-based-pycs")
_PYTHON_FLAG = r"-[bBdEiIOPqRsSuvx]+|-[WX].+"

_owners: set[str] = set()  # those of this process whose work goes on
_numbers = count()


def begin_to_own() -> str:
    """Return a name for work of this process that others see: `4711-90210-1f2e3d4c-0`; `end_owning` ends it."""
    owner = f"{os.getpid()}-{process_start(os.getpid())}-{this_place()}-{next(_numbers)}"
    _owners.add(owner)
    return owner


def end_owning(owner: str) -> None:
    """Note that work of this process has ended."""
    _owners.discard(owner)


def living_owner(owner: str) -> str | None:
    """Describe the process that began some work and goes on with it; None where it has ended, or cannot be seen."""
    pid, start, place = [*owner.split("-"), "", "", ""][:3]
    if not (pid.isdecimal() and start.isdecimal()) or place != this_place():
        return None
    if int(pid) == os.getpid():
        return describe_process(int(pid)) if owner in _owners else None
    is_alive = process_is_alive(int(pid)) and process_start(int(pid)) == int(start)
    return describe_process(int(pid)) if is_alive else None


@cache
def this_place() -> str:
    """Identify this machine and this container: each has process numbers of its own."""
    from zlib import crc32

    host = os.uname().nodename if hasattr(os, "uname") else os.environ.get("COMPUTERNAME", "")
    namespace = ""
    with suppress(OSError):
        namespace = os.readlink("/proc/self/ns/pid")
    return f"{crc32(f'{host} {namespace}'.encode()):08x}"


def describe_process(pid: int) -> str:
    """Name a process by its number, its program and its host."""
    if pid == os.getpid():
        return "another connection of this process"
    if pid <= 0:
        return "a process in another container"
    return name_process(pid)


def name_process(pid: int) -> str:
    """Name a process of this machine for others, by its number, its program and its host."""
    program = _program_of(pid)
    host = f" on {os.uname().nodename}" if sys.platform != "win32" else ""
    return f"process {pid} ({program}){host}" if program else f"process {pid}{host}"


def _program_of(pid: int) -> str:
    """Return the name of a process's program and of the script that it runs, without any other argument."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            line = file.read(_LONGEST_COMMAND)
    except OSError:
        return ""
    return program_in([word.decode(errors="replace") for word in line.split(b"\0")])


def program_in(command: Sequence[str]) -> str:
    """Return the program of a command line, and the script or module if the program is an interpreter.

    Any other argument may be a password, or follow an option whose value is one.
    """
    first = command[0] if command else ""
    if not os.path.exists(first):
        first = (first.split() or [""])[0]  # a process may write a sentence there, with all of its arguments
    program = os.path.basename(first)
    arguments = [word for word in command[1:] if word]
    if re.match(_PYTHON, program, re.IGNORECASE):
        script = _script_of_python(arguments)
    elif re.match(_INTERPRETER, program) and arguments and not arguments[0].startswith("-"):
        script = arguments[0]
    else:
        script = ""
    return masked(" ".join(f"{program} {script}".split()))


def _script_of_python(arguments: Sequence[str]) -> str:
    words = iter(arguments)
    for word in words:
        if word in _PYTHON_VALUES:
            next(words, None)
        elif word == "-m":
            return f"-m {next(words, '')}"
        elif not word.startswith("-"):
            return word
        elif not re.fullmatch(_PYTHON_FLAG, word):
            return ""
    return ""


def running_since(pid: int) -> str:
    """Say since when another process runs, or nothing where the system does not report it."""
    began = _began_at(pid) if pid != os.getpid() else None
    return f", running since {time.strftime('%Y-%m-%d %H:%M:%S', time.gmtime(began))} UTC," if began else ""


def process_is_alive(pid: int) -> bool:
    """Return whether a process of this machine has this number; a zombie does not count."""
    if sys.platform == "win32":
        return _is_alive_on_windows(pid)
    if pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except (ProcessLookupError, OverflowError):
        return False
    return _status_of(pid)[:1] != ["Z"]


def _is_alive_on_windows(pid: int) -> bool:
    """Ask the kernel for a handle; os.kill(pid, 0) would end the process there."""
    import ctypes

    query, access_denied, still_active = 0x1000, 5, 259
    kernel = ctypes.WinDLL("kernel32", use_last_error=True)  # type: ignore[attr-defined]  # there on Windows only
    handle = kernel.OpenProcess(query, False, pid)
    if not handle:
        return bool(ctypes.get_last_error() == access_denied)  # type: ignore[attr-defined]  # there on Windows only
    code = ctypes.c_ulong()
    kernel.GetExitCodeProcess(handle, ctypes.byref(code))
    kernel.CloseHandle(handle)
    return code.value == still_active


def process_start(pid: int) -> int:
    """Return when a process began, in the system's own count since it booted; 0 where it does not report it."""
    status = _status_of(pid)
    return int(status[19]) if len(status) > 19 else 0


def _status_of(pid: int) -> list[str]:
    """Return what Linux reports of a process, from its state on; nothing where there is no /proc.

    https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html, from the third field on: names may hold anything.
    """
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].decode("ascii").split()
    except OSError:
        return []


def _began_at(pid: int) -> float | None:
    """Return when a process began, in seconds since 1970; None where the system does not report it."""
    try:
        ticks = int(_status_of(pid)[19])
        with open("/proc/stat", encoding="ascii") as file:
            boot = next(int(line.split()[1]) for line in file if line.startswith("btime"))
    except (OSError, ValueError, IndexError, StopIteration):
        return None
    return boot + ticks / os.sysconf("SC_CLK_TCK")


def started_after(pid: int, since: str) -> bool:
    """Return whether a process began well after a moment (UTC); False where the system does not report it."""
    from datetime import UTC, datetime

    began = _began_at(pid)
    try:
        return began is not None and began > datetime.fromisoformat(since).replace(tzinfo=UTC).timestamp() + 2
    except ValueError:
        return False


def lock_owners(path: str, first: int, last: int) -> list[int]:
    """Return the processes that have locked bytes of a file, from `first` to `last`.

    Linux lists the locks on files in /proc/locks; elsewhere nothing is found.
    """
    try:
        found = os.stat(path)
        with open("/proc/locks", encoding="ascii") as table:
            rows = [line.split() for line in table]
    except (OSError, UnicodeDecodeError):
        return []
    file = f"{os.major(found.st_dev):02x}:{os.minor(found.st_dev):02x}:{found.st_ino}"
    held = (row for row in rows if len(row) == 8 and row[1] == "POSIX" and row[5] == file)
    return [int(row[4]) for row in held if _overlaps(row, first, last)]


def _overlaps(row: list[str], first: int, last: int) -> bool:
    end = sys.maxsize if row[7] == "EOF" else int(row[7])
    return int(row[6]) <= last and end >= first


class YoyoHolder(NamedTuple):
    """A row in yoyo's lock table: whose it is, and since when (UTC)."""

    pid: int
    since: str

    @property
    def alive(self) -> bool:
        """Whether that process is still there, and not a younger one that was given the same number."""
        if self.pid == os.getpid() and "yoyo" not in sys.modules:
            return False  # in containers process numbers repeat: the row is that of a process before this one
        return process_is_alive(self.pid) and not started_after(self.pid, self.since)

    def __str__(self) -> str:
        return f"yoyo, {describe_process(self.pid)}, since {self.since[11:19]} UTC,"
