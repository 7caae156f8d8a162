"""Learn from SQLite's own parser what a script does."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache

from torc_migrations.driver import sqlite3

_DML = (sqlite3.SQLITE_INSERT, sqlite3.SQLITE_UPDATE, sqlite3.SQLITE_DELETE)
_TAKES_ROWS = (sqlite3.SQLITE_DELETE, sqlite3.SQLITE_DROP_TABLE)

_NAME = r"""(?: "(?:[^"]|"")*" | `(?:[^`]|``)*` | \[[^\]]*\] | [\w$]+ )"""
# Each of these begins otherwise, and ends at its first end: what could be read in two ways would be tried in all.
_BLANKS = r"(?: \s | --[^\n]*\n | /\*[^*]*\*+(?:[^/*][^*]*\*+)*/ )*"
_ADDS_COLUMN = rf"{_BLANKS} ALTER \s+ TABLE \s+ {_NAME} (?: \s*\.\s* {_NAME} )? \s+ ADD \b"


class Touched:
    """What a script does, as SQLite's parser tells its authorizer; a guess at the text would be a guess.

    Attributes:
        may_commit: it may begin and end transactions; SQLite calls END a COMMIT.
        tables: the tables, in lower case, whose rows it may have changed. all_tables: it may have been any.
        unindexed: the tables, in lower case, that lost an index.
        named: the tables, in lower case, that it names itself in a DELETE or DROP TABLE; no trigger's doing.
        pragmas: the settings that it has touched. switches_keys: it has set `foreign_keys`. told: the
            scripts of which that was said.
        savepoints: those that it has set. attaches: it has attached a file. alters: it has altered a table.
        refused: the statement of transaction control that it was denied.
        interruption: what flew, such as Ctrl-C, while SQLite was asking; SQLite swallows it.
    """

    def __init__(self, *, may_commit: bool = False) -> None:
        self.may_commit = may_commit
        self.tables: set[str] = set()
        self.all_tables = False
        self.unindexed: set[str] = set()
        self.named: set[str] = set()
        self.pragmas: set[str] = set()
        self.savepoints: set[str] = set()
        self.switches_keys = False
        self.attaches = False
        self.told: set[str] = set()
        self.refused: str | None = None
        self.interruption: BaseException | None = None
        self.alters = False

    @property
    def authorizer(self) -> Callable[..., int]:
        """What SQLite is to ask about everything that a statement is about to do.

        It remembers its answers, which is faster, and while no code of ours runs no signal is handled: SQLite would
        swallow what its handler raises.
        """
        return cache(self._authorize)

    def _authorize(self, action: int, name: str | None, detail: str | None, schema: str | None, by: str | None) -> int:
        try:
            if action == sqlite3.SQLITE_TRANSACTION and not (self.may_commit and name != "ROLLBACK"):
                self.refused = name
                return sqlite3.SQLITE_DENY
            if action == sqlite3.SQLITE_ATTACH:
                self.attaches = True  # under no name, where it is empty or an expression
            elif name and schema != "temp":
                self._note(action, name, detail, by)
        except BaseException as interruption:  # a signal's handler may run here; SQLite only knows "not authorized"
            self.interruption = interruption
            return sqlite3.SQLITE_DENY
        return sqlite3.SQLITE_OK

    def _note(self, action: int, name: str, detail: str | None, by: str | None) -> None:
        if action in _DML or action == sqlite3.SQLITE_DROP_TABLE:
            if not name.startswith("sqlite_"):
                self.tables.add(name.lower())
                if by is None and action in _TAKES_ROWS:
                    self.named.add(name.lower())
        elif action == sqlite3.SQLITE_ALTER_TABLE:
            self.alters = True
        elif action == sqlite3.SQLITE_DROP_INDEX and detail:
            self.unindexed.add(detail.lower())
        elif action == sqlite3.SQLITE_SAVEPOINT and detail:
            self.savepoints.add(detail)
        elif action == sqlite3.SQLITE_PRAGMA:
            self.pragmas.add(name.lower())
            self.all_tables |= name.lower() == "writable_schema"
            self.switches_keys |= name.lower() == "foreign_keys" and detail is not None

    def note_alter(self, text: str) -> None:
        """Judge an ALTER TABLE: a new column without REFERENCES can break no key, everything else might."""
        words = text.upper()
        if "ALTER" in words:
            self.all_tables |= not re.match(_ADDS_COLUMN, words, re.VERBOSE | re.DOTALL) or "REFERENCES" in words
