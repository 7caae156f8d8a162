"""The package's logger, loaded only where there is something to tell."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from logging import Logger

_logger: list[Logger] = []
_on_first_use: list[Callable[[Logger], None]] = []


def logger() -> Logger:
    """Return the package's logger; the host decides where it goes."""
    if _logger and not _on_first_use:
        return _logger[0]
    from logging import getLogger

    found = getLogger("torc_migrations")
    while _on_first_use:
        _on_first_use.pop()(found)
    _logger[:] = [found]
    return found


def on_first_use(prepare: Callable[[Logger], None]) -> None:
    """Have the logger prepared before its first line: the command's way to load logging only where it is wanted."""
    _on_first_use.append(prepare)
