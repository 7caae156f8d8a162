"""Wait for a database that somebody else holds, with patience, and say who it is."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable

from torc_migrations.errors import LockTimeout
from torc_migrations.log import logger
from torc_migrations.url import masked
from torc_migrations.values import NamedTuple

# Between two tries lies a hundredth of the time waited so far: whoever is let in late is late by that much, and an
# application that writes all the time, and rests for moments only, is met at rest before long.
_SHARE, _SHORTEST_NAP, _LONGEST_NAP = 0.01, 0.001, 0.1
_SAY_AFTER, _SAY_EVERY = 1.0, 10.0

# Where SQLite locks bytes of its file: https://sqlite.org/src/file/src/os.h, and of its -shm file in WAL mode.
_RESERVED_BYTE = 0x40000001
_SHARED_FIRST, _SHARED_LAST = _RESERVED_BYTE + 1, _RESERVED_BYTE + 510
_WAL_WRITE_BYTE = 120


class YoyoHolder(NamedTuple):
    """A row in yoyo's lock table: whose it is, and since when (UTC)."""

    pid: int
    since: str

    @property
    def alive(self) -> bool:
        """Whether that process is still there, and not a younger one that was given the same number."""
        if self.pid == os.getpid() and "yoyo" not in sys.modules:
            return False  # in a container everyone is process 7: it is that of a predecessor
        return process_is_alive(self.pid) and not _started_after(self.pid, self.since)

    def __str__(self) -> str:
        return f"yoyo, {_process(self.pid)}, since {self.since[11:19]} UTC,"


class Patience:
    """A bounded wait: short naps first, longer ones later, a word in the log after a second and then every ten."""

    def __init__(self, database: str, timeout: float) -> None:
        self._database = database
        self._timeout = timeout
        self._began = time.monotonic()
        self._say_at = _SAY_AFTER

    def nap(self, holder: Callable[[], str]) -> None:
        """Sleep a little.

        Raises:
            LockTimeout: all the time that was allowed is used up.
        """
        waited = time.monotonic() - self._began
        if waited >= self._timeout:
            raise LockTimeout(self._database, holder(), waited)
        if waited >= self._say_at:
            self._say_at = waited + _SAY_EVERY
            _say(self._database, holder(), waited)
        nap = min(max(waited * _SHARE, _SHORTEST_NAP), _LONGEST_NAP)
        time.sleep(min(nap, self._timeout - waited))


def _say(database: str, holder: str, waited: float) -> None:
    logger().warning("waiting for %s: %s holds it (%.0f s so far)", database, holder, waited)


def sqlite_holder(path: str | None) -> str:
    """Say who holds a SQLite file's lock, as far as the system tells.

    Linux lists the locks on files in /proc/locks, and which process has each; elsewhere nobody knows.
    """
    if path is None:
        return "another connection"
    writers = _lock_owners(path, _RESERVED_BYTE, _RESERVED_BYTE)
    writers += _lock_owners(f"{path}-shm", _WAL_WRITE_BYTE, _WAL_WRITE_BYTE)
    return _named(writers) or _named(_others(path, _RESERVED_BYTE, _SHARED_LAST)) or "another process"


def sqlite_readers(path: str | None) -> str:
    """Say who reads a SQLite file, and so keeps us, who have written to it, from committing."""
    return (_named(_others(path, _SHARED_FIRST, _SHARED_LAST)) if path is not None else "") or "another connection"


def _others(path: str, first: int, last: int) -> list[int]:
    return [pid for pid in _lock_owners(path, first, last) if pid != os.getpid()]


def _named(owners: list[int]) -> str:
    return " and ".join(dict.fromkeys(_process(pid) + _since(pid) for pid in owners))


def _lock_owners(path: str, first: int, last: int) -> list[int]:
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


def _process(pid: int) -> str:
    if pid == os.getpid():
        return "another connection of this process"
    if pid <= 0:
        return "a process in another container"
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            command = " ".join(file.read(200).replace(b"\0", b" ").decode(errors="replace").split())
    except OSError:
        command = ""
    host = f" on {os.uname().nodename}" if sys.platform != "win32" else ""
    return f"process {pid} ({masked(command)}){host}" if command else f"process {pid}{host}"


def _since(pid: int) -> str:
    """Say since when another process runs, where the system tells."""
    began = _began_at(pid) if pid != os.getpid() else None
    return f", running since {time.strftime('%Y-%m-%d %H:%M:%S', time.gmtime(began))} UTC," if began else ""


def process_is_alive(pid: int) -> bool:
    """Tell whether a process of this machine has this number; one that only waits to be reaped does not count."""
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
    """Return when a process began, in the system's own count since it booted; 0 where it does not tell."""
    status = _status_of(pid)
    return int(status[19]) if len(status) > 19 else 0


def _status_of(pid: int) -> list[str]:
    """Return what Linux tells of a process, from its state on; nothing where there is no /proc.

    https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html, from the third field on: names may hold anything.
    """
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].decode("ascii").split()
    except OSError:
        return []


def _began_at(pid: int) -> float | None:
    """Return when a process began, in seconds since 1970; None where the system does not tell."""
    try:
        ticks = int(_status_of(pid)[19])
        with open("/proc/stat", encoding="ascii") as file:
            boot = next(int(line.split()[1]) for line in file if line.startswith("btime"))
    except (OSError, ValueError, IndexError, StopIteration):
        return None
    return boot + ticks / os.sysconf("SC_CLK_TCK")


def _started_after(pid: int, since: str) -> bool:
    """Tell whether a process began well after a moment (UTC); False where the system does not tell."""
    from datetime import UTC, datetime

    began = _began_at(pid)
    try:
        return began is not None and began > datetime.fromisoformat(since).replace(tzinfo=UTC).timestamp() + 2
    except ValueError:
        return False
