"""Identify files, and refuse a process that was forked during a run."""

# Without `from __future__ import annotations`: typing would compile each annotation of a NamedTuple, at every start.

import os
from typing import NamedTuple

from torc_migrations.errors import CannotOpen


class File(NamedTuple):
    """A file, with its device and inode, which another file of the same name does not have."""

    path: str
    device: int
    inode: int

    @property
    def stands(self) -> bool:
        """Whether its name still leads to this file."""
        try:
            found = os.stat(self.path)
        except OSError:
            return False
        return (found.st_dev, found.st_ino) == (self.device, self.inode)

    @property
    def is_empty(self) -> bool:
        """Whether it exists, and has nothing in it."""
        return self.stands and os.path.getsize(self.path) == 0


def find_file(path: str | None) -> File | None:
    """Return the file of a path, with its absolute path, or None where there is none."""
    if path is None:
        return None
    try:
        found = os.stat(path)
    except OSError:
        return None
    return File(os.path.abspath(path), found.st_dev, found.st_ino)


# The databases in use: the process and the database's name, by the id of the object that uses it.
_in_use: dict[int, tuple[int, str]] = {}


def note_use(user: object, name: str) -> None:
    """Note that an object uses a database."""
    _in_use[id(user)] = (os.getpid(), name)


def note_end_of_use(user: object) -> None:
    """Note that it does not use it any more; may be called again."""
    _in_use.pop(id(user), None)


def refuse_forked() -> None:
    """Refuse to work in a process that was forked from another one while that one worked on a database.

    SQLite keeps its locks in lists and behind mutexes of the process, and a fork copies them as they are. The child
    would take its parent's locks for its own, read unfinished writes, and wait for ever for a thread that does not
    exist in it (https://sqlite.org/howtocorrupt.html, *Carrying an open database connection across a fork*).

    Raises:
        CannotOpen: this process is such a child.
    """
    for pid, name in tuple(_in_use.values()):
        if pid != os.getpid():
            raise CannotOpen(
                name,
                f"this process was forked from process {pid} while that one used {name!r}",
                hint="fork while no migration runs, or start a new process (`spawn` in multiprocessing)",
            )
