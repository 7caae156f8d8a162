"""The logger of the package. `logging` takes long to import, and an upgrade with nothing to do logs nothing."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from functools import cache
from typing import TYPE_CHECKING

from torc_migrations.formatting import escaped

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from logging import Logger, LogRecord

_DEBUG = 10  # logging.DEBUG
_not_entered: list[Callable[[Logger], None]] = []


def log() -> Logger:
    """Return the logger `torc_migrations`, which escapes the control characters of names."""
    logger = _logger()
    while _not_entered:
        _not_entered.pop()(logger)
    return logger


@cache
def _logger() -> Logger:
    from logging import getLogger

    logger = getLogger("torc_migrations")
    logger.addFilter(_escape_names)
    return logger


@contextmanager
def log_changed_by(change: Callable[[Logger], AbstractContextManager[None]]) -> Iterator[None]:
    """Change the logger when something is logged, if anything is, until the end of the block."""
    with ExitStack() as stack:

        def enter(logger: Logger) -> None:
            stack.enter_context(change(logger))

        _not_entered.append(enter)
        try:
            yield
        finally:
            if enter in _not_entered:
                _not_entered.remove(enter)


@contextmanager
def unlogged() -> Iterator[None]:
    """Log nothing in this thread until the end of the block: what happens on a copy is a finding, and no warning."""
    from threading import get_ident

    thread = get_ident()

    def other_threads(record: LogRecord) -> bool:
        return record.thread != thread

    logger = log()
    logger.addFilter(other_threads)
    try:
        yield
    finally:
        logger.removeFilter(other_threads)


def _escape_names(record: LogRecord) -> bool:
    """Escape control characters of names in a line of the log; the text of a statement, at DEBUG, keeps its lines."""
    keep = "\n" if record.levelno == _DEBUG else ""
    if isinstance(record.args, tuple):
        record.args = tuple(escaped(each, keep=keep) if isinstance(each, str) else each for each in record.args)
    return True
