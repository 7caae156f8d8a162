"""What a driver returns: the codes of its errors, and what is raised while it calls an application."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Generator
from functools import partial

from torc_migrations.databases.disk import is_full
from torc_migrations.databases.values import Functions
from torc_migrations.errors import CannotOpen, MigrationError

# What SQLite says with a code, for a driver that leaves the code out.
_CODES = {
    "database is locked": sqlite3.SQLITE_BUSY,
    "database table is locked": sqlite3.SQLITE_LOCKED,
    "not authorized": sqlite3.SQLITE_AUTH,
    "attempt to write a readonly database": sqlite3.SQLITE_READONLY,
    "unable to open database file": sqlite3.SQLITE_CANTOPEN,
    "file is not a database": sqlite3.SQLITE_NOTADB,
}
_ALLOWED, _DENIED = 1, 2  # ranks: of what allows a question, and of what denies it


class Authorizer:
    """An authorizer for SQLite that asks another one.

    Attributes:
        ask: what SQLite calls. interruption: what was raised meanwhile; everything is denied after it.

    A signal's handler runs where Python code begins or goes on. Where a function begins, its `try` does not hold yet,
    and the driver drops what is raised; a generator goes on inside of its `try`. `max` is what calls it with one value
    after the other without Python code of its own: False, which is SQLITE_OK, and the five values of the question. The
    generator yields a rank for each, and `max` returns the first of the greatest: False, or the fifth value, which is
    no number, and so for the driver SQLITE_DENY.
    """

    def __init__(self, authorizer: Callable[..., int]) -> None:
        self.interruption: BaseException | None = None
        ranks = self._ranks(authorizer)
        next(ranks)
        self.ask: Callable[..., int] = partial(max, False, key=ranks.send)

    def _ranks(self, authorizer: Callable[..., int]) -> Generator[int, object, None]:
        rank = 0
        try:
            while True:
                yield rank  # and get False, and then the question
                action = yield _ALLOWED
                name = yield 0
                detail = yield 0
                schema = yield 0
                by = yield 0
                rank = 0 if authorizer(action, name, detail, schema, by) == 0 else _DENIED
        except GeneratorExit:
            return
        except BaseException as interruption:
            self.interruption = interruption
        rank = _DENIED
        while True:
            rank = _ALLOWED if (yield rank) is False else rank + 1  # wherever in a question it was


def register_functions(connection: object, functions: Functions | None, name: str) -> None:
    """Give a connection of our own the functions of the application.

    Raises:
        CannotOpen: they cannot be registered.
    """
    if functions is None:
        return
    try:
        functions(connection)
    except MigrationError:
        raise
    except Exception as error:
        reason = f"the functions for {name} cannot be registered: {type(error).__name__}: {error}"
        raise CannotOpen(name, reason) from error


def is_of_signal_handler(error: BaseException) -> bool:
    """Return whether a handler of a signal has raised an error: Python calls one wherever it is.

    What else is raised while a driver runs a statement comes from a callback that it has called, such as a converter.
    (The driver's own list of converters is not asked: yoyo replaces `sqlite3.converters` by a copy.)
    """
    import signal

    handlers = {_code_of(signal.getsignal(number)) for number in signal.valid_signals()} - {None}
    entry = error.__traceback__
    while entry and entry.tb_frame.f_code not in handlers:
        entry = entry.tb_next
    return entry is not None


def _code_of(function: object) -> object:
    while isinstance(function, partial):
        function = function.func
    called = function if hasattr(function, "__code__") else getattr(function, "__call__", None)  # noqa: B004  # an object
    return getattr(called, "__code__", None)


def code_of(error: BaseException) -> int | None:
    """Return SQLite's extended result code; from its words, the primary one, if the driver does not say."""
    unknown = sqlite3.SQLITE_ERROR if isinstance(error, sqlite3.OperationalError) else None
    said = _CODES.get(str(error), unknown) if isinstance(error, sqlite3.Error) else None
    return getattr(error, "sqlite_errorcode", said)


def primary_code(error: BaseException) -> int | None:
    """Return SQLite's primary result code, or None."""
    return None if (code := code_of(error)) is None else code & 0xFF


def with_full_disk(error: sqlite3.Error, path: str | None) -> str:
    """Return what an error says, and that the disk is full: SQLite has no SQLITE_FULL for a WAL's index."""
    is_io = primary_code(error) == sqlite3.SQLITE_IOERR
    return f"{error}, because the disk is full" if is_io and path and is_full(path) else str(error)
