"""The package's logger, loaded only where there is something to tell."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from logging import Logger


def logger() -> Logger:
    """Return the package's logger; the host decides where it goes."""
    from logging import getLogger

    return getLogger("torc_migrations")
