"""Record, on a copy for rehearsals, what a script does in detail: times, renames, tables that it writes."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable
from typing import TypeAlias

from torc_migrations.databases.results.statements import StatementTime
from torc_migrations.databases.sqlite.scripts.effects import CREATES, DROPS, WRITES, ScriptEffects
from torc_migrations.databases.sqlite.scripts.statements import first_token, first_words, names_in, new_table_name
from torc_migrations.formatting import lowered
from torc_migrations.sources.migration import Script

Columns: TypeAlias = Callable[[str], tuple[str, ...]]

_TABLE_CHANGES = (*WRITES, *DROPS, *CREATES)
_DROPS_OBJECT = {sqlite3.SQLITE_DROP_INDEX: "index", sqlite3.SQLITE_DROP_TRIGGER: "trigger"}
_WORDS = 60
_COPIES = frozenset({"INSERT", "REPLACE", "UPDATE", "WITH"})
_GONE = "\0"  # what no name has
# What opens files by itself, wherever it comes from; a copy protects none of them.
_FILE_FUNCTIONS = frozenset(
    {
        *("load_extension", "fts3_tokenizer", "writefile", "edit", "fileio_append", "fileio_mkdir", "fileio_symlink"),
        *("fileio_write", "blobtofile", "exportdbf", "exportdxf", "exportgeojson", "exportgeojson2", "exportkml"),
        *("exportshp", "sqlcipher_export"),
    }
)
_FILE_MODULES = frozenset({"lsm1", "zipfile"})
_FILE_PRAGMAS = frozenset({"lock_proxy_file", "activate_extensions", "cipher_log", "cipher_profile"})
_NO_FILE = ("", ":memory:")


class RecordedScriptEffects(ScriptEffects):
    """What one script does on a copy for rehearsals: a `RecordedEffects`.

    Args:
        columns: returns the columns that a table had before the script, by its lower name; none where there was none.
    """

    def __init__(
        self,
        columns: Columns,
        *,
        may_commit: bool = False,
        lent: frozenset[str] = frozenset(),
        schemas: frozenset[str] = frozenset(),
    ) -> None:
        super().__init__(may_commit=may_commit, lent=lent, schemas=schemas)
        self.statements: list[StatementTime] = []
        self.written: set[str] = set()
        self.dropped_objects: set[str] = set()
        self.stale: tuple[str, ...] = ()
        self._columns_before = columns
        self._columns: dict[str, tuple[str, ...]] = {}  # those that have changed
        self.renamed_tables: dict[str, str] = {}
        self.renamed_columns: dict[str, dict[str, str]] = {}
        self._known_as: dict[str, set[str]] = {}  # by the name that tables have now, their names before the script
        self.left_out: dict[str, set[str]] = {}
        self._read: dict[str, set[str]] = {}  # by the name of now, the columns that statements have read or named
        self._reads: dict[str, set[str]] = {}  # the tables that the statement reads, and their columns
        self._dropped: set[str] = set()  # by the last statement
        self._gone: set[str] = set()  # the names of tables that the script has dropped, and not made again
        self._changed: set[str] = set()
        self.changes_schema = False
        self._rename: tuple[str, str] | None = None
        self._line = (0, 1)

    def note(self, action: int, name: str | None, detail: str | None, schema: str | None, by: str | None) -> None:
        """Note what a statement is about to do, unless it would open other files than the copy."""
        if why := _file_opened(action, name, detail):
            self.unrehearsable, self.denied = why, True
            return
        super().note(action, name, detail, schema, by)
        if name is None or name.startswith("sqlite_"):
            return
        if action == sqlite3.SQLITE_READ and schema == "main":
            self._reads.setdefault(lowered(name), set()).add(lowered(detail or ""))
        elif action == sqlite3.SQLITE_ALTER_TABLE and name == "main":
            self.changes_schema = True
            self.written.add(lowered(detail or ""))
        elif schema == "main" and action in _TABLE_CHANGES:
            self.written.add(lowered(name))
            if action not in WRITES:
                self.changes_schema = True
                self._changed.add(lowered(name))
                if action in DROPS:
                    self._dropped.add(lowered(name))
        elif schema == "main" and action in _DROPS_OBJECT and not self._deletes:
            self.dropped_objects.add(f"{_DROPS_OBJECT[action]} {name}")

    def time_statement(self, script: Script, begin: int, end: int, elapsed_ns: int) -> None:
        """Record the time of a statement, with its line and its first words."""
        begin = first_token(script.sql, begin)
        offset, line = self._line
        line += script.sql.count(b"\n", offset, begin)
        self._line = (begin, line)
        words = " ".join(script.sql[begin : min(end, begin + 4 * _WORDS)].decode(errors="replace").split())
        self.statements.append(StatementTime(script.path, line, words[:_WORDS], elapsed_ns))

    def _note_alter(self, text: str) -> None:
        super()._note_alter(text)
        if self._altered is not None:
            self._rename = (self._altered, lowered(new_table_name(text) or self._altered))

    def follow_schema(self, read: Columns) -> None:
        """Follow what a statement has renamed: where one column went and one came, it is the same one.

        `read` returns the columns that a table has now, by its lower name.
        """
        self._gone = (self._gone - self._changed) | self._dropped
        for table in self._dropped:
            self._follow_drop(table)
        if self._rename is not None:
            self._follow_alter(*self._rename, read)
        for table in self._changed:
            self._columns[table] = _lowered(read(table))
        self._rename = None
        self._dropped.clear()
        self._changed.clear()
        self.changes_schema = False

    def end_statement(self, text: str) -> None:
        """Note that a statement was run; one that transfers a whole table has read each of its columns."""
        for schema, name in self.flow.transferred(text) if "*" in text else ():
            if schema == "main":
                self._reads[name] = set(self._columns_of(name))
        if self._reads:
            self._note_copied(text)
            self._reads.clear()
        super().end_statement(text)

    def _note_copied(self, text: str) -> None:
        """Note the columns that a statement may have copied: those that it has read, or has given a new value."""
        first = first_words(text.encode(), 0)
        if "INDEX" in first[1:]:
            return
        names = names_in(text) if not _COPIES.isdisjoint(first[:1]) else set()
        for table, columns in self._reads.items():
            self._read.setdefault(table, set()).update(columns, names)

    def _follow_drop(self, name: str) -> None:
        """Note which columns of a table that was there before the script no statement has copied until it went.

        Also those of a table of the script's own that has got its rows.
        """
        copied, has = self._read.pop(name, set()), set(self._columns_of(name))
        itself = self._tables_known_as(name) - self.left_out.keys()
        others = {each for each in self.left_out if name in (each, *self.flow.copies_of(self.names_of(each)))}
        for table in itself | others:
            names = self.renamed_columns.get(table, {})
            columns = {column: names.get(column, column) for column in _lowered(self._columns_before(table))}
            left_out = {column for column, now in columns.items() if now in has and now not in copied}
            self.left_out.setdefault(table, set()).update(left_out)

    def _tables_known_as(self, name: str) -> set[str]:
        """Return the names before the script of a table; none where the script has made it."""
        is_elsewhere = name in self.renamed_tables and self.renamed_tables[name] not in self._gone
        itself = not is_elsewhere and self._columns_before(name)
        return self._known_as.get(name, set()) | ({name} if itself else set())

    def _follow_alter(self, old: str, new: str, read: Columns) -> None:
        before, now = self._columns_of(old), _lowered(read(new))
        tables = self._tables_known_as(old)
        self._known_as.pop(old, None)
        self._known_as.setdefault(new, set()).update(tables)
        names = _renamed(before, now)
        for table in tables:
            self.renamed_tables[table] = new
            known = self.renamed_columns.get(table) or {name: name for name in _lowered(self._columns_before(table))}
            self.renamed_columns[table] = {
                first: names.get(last, last if last in now else _GONE + first) for first, last in known.items()
            }
        self._read[new] = {names.get(column, column) for column in self._read.pop(old, ())}
        self.written |= {old, new}
        self._columns[old] = ()
        self._columns[new] = now

    def _columns_of(self, table: str) -> tuple[str, ...]:
        if table not in self._columns:
            self._columns[table] = _lowered(self._columns_before(table))
        return self._columns[table]


def _file_opened(action: int, name: str | None, detail: str | None) -> str | None:
    """Say which file a statement opens that is no part of the copy, or return None.

    A database in memory or in a temporary file, whose name is empty, is no such file: VACUUM attaches one itself.
    """
    if action == sqlite3.SQLITE_ATTACH and name not in _NO_FILE:
        return f"{'a file with a computed name' if name is None else f'the file {name!r}'}, which is not the copy"
    if action == sqlite3.SQLITE_FUNCTION and (detail or "").lower() in _FILE_FUNCTIONS:
        return f"files by the function {detail}()"
    if action == sqlite3.SQLITE_CREATE_VTABLE and (detail or "").lower() in _FILE_MODULES:
        return f"files by the module {detail}"
    if action == sqlite3.SQLITE_PRAGMA and detail is not None and (name or "").lower() in _FILE_PRAGMAS:
        return f"the file {detail!r} by PRAGMA {name}"
    return None


def _lowered(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(map(lowered, names))


def _renamed(before: tuple[str, ...], after: tuple[str, ...]) -> dict[str, str]:
    old, now = set(before), set(after)
    gone, new = [name for name in before if name not in now], [name for name in after if name not in old]
    return {gone[0]: new[0]} if len(gone) == len(new) == 1 else {}
