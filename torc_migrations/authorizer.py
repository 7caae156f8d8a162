"""Learn from SQLite's own parser what a script does."""

from __future__ import annotations

import sqlite3

_DML = (sqlite3.SQLITE_INSERT, sqlite3.SQLITE_UPDATE, sqlite3.SQLITE_DELETE)


class Touched:
    """What a script does, as SQLite's parser tells its authorizer; a guess at the text would be a guess."""

    def __init__(self) -> None:
        self.tables: set[str] = set()
        self.all_tables = False
        self.refused: str | None = None
        self._alters = False

    def authorize(self, action: int, name: str | None, _: str | None, schema: str | None, __: str | None) -> int:
        """Be called by SQLite for everything that a statement is about to do."""
        if action == sqlite3.SQLITE_TRANSACTION:
            self.refused = name
            return sqlite3.SQLITE_DENY
        if action in _DML or action == sqlite3.SQLITE_DROP_TABLE:
            if name and schema != "temp" and not name.startswith("sqlite_"):
                self.tables.add(name.lower())
        elif action == sqlite3.SQLITE_ALTER_TABLE:
            self._alters = True
        return sqlite3.SQLITE_OK

    def note_alter(self, text: str) -> None:
        """Judge an ALTER TABLE: a new column without REFERENCES can break no key, everything else might."""
        if self._alters:
            self._alters = False
            words = text.upper()
            self.all_tables |= "REFERENCES" in words or " ADD " not in " ".join(words.split())
