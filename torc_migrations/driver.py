"""Python's driver for SQLite: that which its host has loaded, or else its core alone."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    import sqlite3 as sqlite3
else:
    import sys

    # Some hosts put a newer SQLite in its place, and lend us connections of that one.
    sqlite3 = sys.modules.get("sqlite3")
    if sqlite3 is None:
        # What Python lays around the core, `datetime` and its adapters, takes as long to load again.
        try:
            import _sqlite3 as sqlite3
        except ImportError:
            import sqlite3  # a Python whose driver has another core
