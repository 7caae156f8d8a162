"""Import the driver of a kind of server."""

from __future__ import annotations

from importlib import import_module

from torc_migrations.errors import MissingDriver


def load_driver(url: str, module: str, *, kind: str, extra: str) -> None:
    """Import a driver, which an extra of this package installs.

    Raises:
        MissingDriver: it is not installed, or a library that it needs cannot be loaded.
    """
    try:
        import_module(module)
    except ImportError as error:
        lines = [] if isinstance(error, ModuleNotFoundError) else str(error).strip().splitlines()
        raise MissingDriver(url, kind, extra, module, lines[-1] if lines else "") from error
