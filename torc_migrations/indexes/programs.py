"""Run a program in this process, and record the queries that it runs on SQLite."""

from __future__ import annotations

import os
import runpy
import sqlite3
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from sqlite3 import dbapi2
from typing import Any

from torc_migrations.indexes.recording import LOGGER
from torc_migrations.indexes.watch import Watch

_OURS = "torc_migrations"
_FACTORY = 5  # the place of `factory` among the arguments of `sqlite3.connect`


def run_program(watch: Watch, words: Sequence[str]) -> int:
    """Run a script, or a module after `-m`, with its arguments, as `python` runs it; return its exit status.

    Every connection is watched that it opens with `sqlite3.connect`, itself or through a library, but not those of this
    package, which upgrade a database. The queries of processes that it starts are not seen.
    """
    is_module = words[0] == "-m"
    name, arguments = (words[1], words[1:]) if is_module else (words[0], words)
    before = sys.argv, list(sys.path)
    sys.argv = list(arguments)
    sys.path.insert(0, os.getcwd() if is_module else os.path.dirname(os.path.abspath(name)))
    try:
        with _watched(watch):
            if is_module:
                runpy.run_module(name, run_name="__main__", alter_sys=True)
            else:
                runpy.run_path(name, run_name="__main__")
    except SystemExit as ended:
        return _status(ended.code)
    except Exception:
        traceback.print_exc()  # of the program, as Python prints it
        return 1
    finally:
        sys.argv, sys.path[:] = before
    return 0


@contextmanager
def _watched(watch: Watch) -> Iterator[None]:
    """Put a function into the place of `sqlite3.connect` that opens watched connections."""
    connect: Callable[..., Any] = dbapi2.connect

    def connect_watched(*arguments: Any, **options: Any) -> Any:
        kind = arguments[_FACTORY] if len(arguments) > _FACTORY else options.get("factory", sqlite3.Connection)
        caller = str(sys._getframe(1).f_globals.get("__name__", ""))
        if caller.partition(".")[0] == _OURS or not (isinstance(kind, type) and issubclass(kind, sqlite3.Connection)):
            return connect(*arguments, **options)
        if len(arguments) > _FACTORY:
            return connect(*arguments[:_FACTORY], watch.factory(kind), *arguments[_FACTORY + 1 :], **options)
        return connect(*arguments, **{**options, "factory": watch.factory(kind)})

    modules: tuple[Any, ...] = (sqlite3, dbapi2)
    was_disabled, LOGGER.disabled = LOGGER.disabled, True
    for module in modules:
        module.connect = connect_watched
    try:
        yield
    finally:
        LOGGER.disabled = was_disabled
        for module in modules:
            module.connect = connect


def _status(code: object) -> int:
    """Return the exit status for what a program ends with, as Python does."""
    if code is None or isinstance(code, int):
        return code or 0
    sys.stderr.write(f"{code}\n")
    return 1
