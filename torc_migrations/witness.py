"""A database that remembers what scripts do to it: each statement's time, and the rows and columns that it means."""

from __future__ import annotations

from torc_migrations.database import Database
from torc_migrations.driver import sqlite3
from torc_migrations.picture import read_columns, table_names
from torc_migrations.script import first_token
from torc_migrations.values import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from torc_migrations.authorizer import Touched
    from torc_migrations.migration import Script
    from torc_migrations.script import Statement

_WRITES = (sqlite3.SQLITE_INSERT, sqlite3.SQLITE_UPDATE, sqlite3.SQLITE_DELETE)
_DROPS = (sqlite3.SQLITE_DROP_TABLE, sqlite3.SQLITE_DROP_VTABLE)
_CREATES = (sqlite3.SQLITE_CREATE_TABLE, sqlite3.SQLITE_CREATE_VTABLE)
_WORDS = 60


class StatementTime(NamedTuple):
    """A statement of a script: where it begins, its first words, and its time in nanoseconds."""

    path: str
    line: int
    words: str
    elapsed_ns: int


class Deeds:
    """What one script does, as SQLite's parser tells its authorizer.

    Attributes:
        statements: each of its statements, in order.
        written: the tables, in lower case, whose rows or columns it may have changed, itself or by a trigger or a
            cascade, or whose name is now that of other rows.
        named: those that it names itself in a DELETE or a DROP TABLE.
        tables: by the lower name that a table had before the script, the lower name that it has after it.
        columns: by that name, the lower name that each column has after it, by the one that it had before.
    """

    def __init__(self, layout: dict[str, tuple[str, ...]]) -> None:
        self.statements: list[StatementTime] = []
        self.written: set[str] = set()
        self.named: set[str] = set()
        self._layout = _lowered(layout)
        self.tables = {table: table for table in self._layout}
        self.columns = {table: {column: column for column in columns} for table, columns in self._layout.items()}
        self._begun = False
        self._alters = False
        self._changes_schema = False
        self._counted = (0, 1)

    def note(self, action: int, name: str | None, detail: str | None, schema: str | None, by: str | None) -> None:
        """Note what a statement is about to do; SQLite asks about the statement itself before what follows from it."""
        if name is None or name.startswith("sqlite_"):
            return
        if action == sqlite3.SQLITE_ALTER_TABLE and name == "main":
            self._alters = self._changes_schema = True
            self.written.add((detail or "").lower())
        elif schema != "main":
            return
        elif action in _WRITES:
            self.written.add(name.lower())
            # What a cascade deletes has no trigger's name either, but is never the first.
            if action == sqlite3.SQLITE_DELETE and by is None and not self._begun:
                self.named.add(name.lower())
            self._begun = True
        elif action in _DROPS:
            self.written.add(name.lower())
            self.named.add(name.lower())
            self._begun = self._changes_schema = True
        elif action in _CREATES:
            self.written.add(name.lower())
            self._changes_schema = True

    def end_statement(self, database: Database, script: Script, statement: Statement, elapsed_ns: int) -> None:
        """Remember a statement that is done, and what it renamed."""
        begin = first_token(script.sql, statement.offset)
        offset, line = self._counted
        line += script.sql.count(b"\n", offset, begin)
        self._counted = (begin, line)
        end = statement.offset + len(statement.text.encode())
        words = " ".join(script.sql[begin : min(end, begin + 4 * _WORDS)].decode(errors="replace").split())
        self.statements.append(StatementTime(script.path, line, words[:_WORDS], elapsed_ns))
        if self._changes_schema:
            layout = _lowered(read_columns(database, table_names(database)))
            if self._alters:
                self._follow(layout)
            self._layout = layout
        self._begun = self._alters = self._changes_schema = False

    def _follow(self, layout: dict[str, tuple[str, ...]]) -> None:
        """Follow what an ALTER TABLE has renamed: what has gone while one thing came is that thing."""
        renamed = _renamed(tuple(self._layout), tuple(layout))
        self.written.update(renamed, renamed.values())
        for table, now in self.tables.items():
            self.tables[table] = renamed.get(now, now)
            columns = _renamed(self._layout.get(now, ()), layout.get(self.tables[table], ()))
            self.columns[table] = {old: columns.get(new, new) for old, new in self.columns[table].items()}


class WitnessedDatabase(Database):
    """A database that remembers the deeds of the script that was run last."""

    deeds: Deeds

    @property
    def watches_all(self) -> bool:
        """Whether a script is watched even where it only makes something new: what it makes is to be told."""
        return True

    def open_to(self, touched: Touched | None) -> None:
        """Let a script run, and watch it."""
        self.deeds = deeds = Deeds(read_columns(self, table_names(self)))
        super().open_to(touched)
        answer = touched.authorizer if touched else _allow

        def authorizer(action: int, name: str | None, detail: str | None, schema: str | None, by: str | None) -> int:
            if not self._looks:
                deeds.note(action, name, detail, schema, by)
            return answer(action, name, detail, schema, by)

        self._looks = False
        self.connection.set_authorizer(authorizer)
        self.on_statement = self._end_statement

    def _end_statement(self, script: Script, statement: Statement, elapsed_ns: int) -> None:
        text_factory = self.connection.text_factory
        self.connection.text_factory, self._looks = str, True
        try:
            self.deeds.end_statement(self, script, statement, elapsed_ns)
        finally:
            self.connection.text_factory, self._looks = text_factory, False


def _allow(*_: object) -> int:
    return sqlite3.SQLITE_OK


def _lowered(layout: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    return {table.lower(): tuple(column.lower() for column in columns) for table, columns in layout.items()}


def _renamed(before: tuple[str, ...], after: tuple[str, ...]) -> dict[str, str]:
    gone, come = [name for name in before if name not in after], [name for name in after if name not in before]
    return {gone[0]: come[0]} if len(gone) == len(come) == 1 else {}
