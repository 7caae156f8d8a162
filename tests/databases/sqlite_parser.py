"""Ask SQLite itself where a statement ends: the tail of `sqlite3_prepare_v2`, through ctypes."""

from __future__ import annotations

import _sqlite3
import ctypes
from collections.abc import Iterator
from ctypes.util import find_library
from typing import NamedTuple

_OK, _ROW = 0, 100
_POINTER = ctypes.c_void_p


class Cut(NamedTuple):
    """Where SQLite ends each statement, in bytes, and whether it could read the script to its end."""

    ends: tuple[int, ...]
    whole: bool


def load_sqlite() -> ctypes.CDLL | None:
    """Load the library that this Python's own sqlite3 module uses, or else the system's; None where there is none."""
    own = getattr(_sqlite3, "__file__", None)  # None where it is built into the interpreter
    for name in (own, find_library("sqlite3"), "libsqlite3.so.0"):
        try:
            library = ctypes.CDLL(name)
            library.sqlite3_prepare_v2.argtypes = [
                _POINTER,
                _POINTER,
                ctypes.c_int,
                ctypes.POINTER(_POINTER),
                ctypes.POINTER(_POINTER),
            ]
        except (OSError, AttributeError):
            continue
        library.sqlite3_open.argtypes = [ctypes.c_char_p, ctypes.POINTER(_POINTER)]
        for function in (library.sqlite3_step, library.sqlite3_finalize, library.sqlite3_close):
            function.argtypes = [_POINTER]
        return library
    return None


class Oracle:
    """A database in memory whose parser can be asked."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self._library = library
        self._database = _POINTER()
        library.sqlite3_open(b":memory:", ctypes.byref(self._database))

    def close(self) -> None:
        """Close the database."""
        self._library.sqlite3_close(self._database)

    def run(self, sql: bytes) -> Cut:
        """Cut a script and run it, so that a statement may build upon those before it."""
        return self._cut(sql, run=True)

    def read(self, sql: bytes) -> Cut:
        """Cut a script without running it."""
        return self._cut(sql, run=False)

    def _cut(self, sql: bytes, *, run: bool) -> Cut:
        ends = []
        for end in self._tails(sql, run=run):
            if end is None:
                return Cut(tuple(ends), whole=False)
            ends.append(end)
        return Cut(tuple(ends), whole=True)

    def _tails(self, sql: bytes, *, run: bool) -> Iterator[int | None]:
        text = ctypes.create_string_buffer(sql)
        begin = at = ctypes.addressof(text)
        while True:
            statement, tail = _POINTER(), _POINTER()
            code = self._library.sqlite3_prepare_v2(self._database, at, -1, ctypes.byref(statement), ctypes.byref(tail))
            if code != _OK:
                yield None
                return
            if not statement.value:
                return
            while run and self._library.sqlite3_step(statement) == _ROW:
                pass
            self._library.sqlite3_finalize(statement)
            at = tail.value or at
            yield at - begin
