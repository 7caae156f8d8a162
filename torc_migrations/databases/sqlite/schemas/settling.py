"""Write the statements that make one schema of SQLite into another one."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from torc_migrations.databases.sqlite.catalog.definitions import Definition
from torc_migrations.databases.sqlite.connection import quote_identifier
from torc_migrations.databases.sqlite.scripts.statements import canonical
from torc_migrations.formatting import lowered

_NEW = "torc_new_"
_HEAD = re.compile(r"""CREATE\s+TABLE\s+(?:"(?:[^"]|"")*"|`(?:[^`]|``)*`|\[[^\]]*\]|'(?:[^']|'')*'|[^\s(]+)""")
# Objects are dropped in this order, and made in the opposite one.
_DROPPED = ("trigger", "view", "index", "table")


@dataclass(frozen=True, slots=True)
class Difference:
    """An object that two schemas do not have in common.

    `wanted` is its definition in the schema that is right, and `found` that in the other one; one of them may be None.
    `statements` make it right, after those of the differences before it.
    """

    wanted: Definition | None
    found: Definition | None
    statements: tuple[str, ...]

    @property
    def definition(self) -> Definition:
        """The definition that is right, or else the one that is too many."""
        definition = self.wanted or self.found
        assert definition is not None
        return definition


@dataclass(frozen=True, slots=True)
class Schema:
    """The definitions of a schema, and the columns of its tables, by lower name, that can be written."""

    definitions: tuple[Definition, ...]
    columns: Mapping[str, tuple[str, ...]]

    def by_key(self) -> dict[tuple[str, str], Definition]:
        """Return the definitions by kind and lower name."""
        return {each.key: each for each in self.definitions}


def with_end(sql: str) -> str:
    """Return a definition with a semicolon, behind a comment that may stand at its end."""
    candidates = [sql + end for end in (";", "\n;", "*/;")]
    return next(filter(sqlite3.complete_statement, candidates), candidates[0])


def schema_differences(wanted: Schema, found: Schema) -> tuple[Difference, ...]:
    """Return what differs, with the statements that make `found` into `wanted` if they run in this order.

    Spaces, comments and quotes in a definition do not matter.
    """
    return tuple(_Settling(wanted, found).differences())


class _Settling:
    def __init__(self, wanted: Schema, found: Schema) -> None:
        self._schema = wanted
        self._columns = (wanted.columns, found.columns)
        self._wanted, self._found = wanted.by_key(), found.by_key()
        self._changed = {
            key
            for key, definition in self._wanted.items()
            if key in self._found and _words(definition) != _words(self._found[key])
        }
        self._done: set[tuple[str, str]] = set()  # what is made together with its table or view

    def differences(self) -> Iterator[Difference]:
        for kind in _DROPPED:
            yield from (self._unexpected(key) for key in self._found if key[0] == kind and key not in self._wanted)
        yield from (self._missing(key) for key in self._keys("table") if key not in self._found)
        yield from (self._different_table(key) for key in self._keys("table") if key in self._changed)
        for kind in reversed(_DROPPED[:-1]):
            for key in self._keys(kind):
                if key not in self._found:
                    yield self._missing(key)
                elif key in self._changed:
                    yield self._different(key)

    def _keys(self, kind: str) -> tuple[tuple[str, str], ...]:
        return tuple(key for key in self._wanted if key[0] == kind)

    def _unexpected(self, key: tuple[str, str]) -> Difference:
        found = self._found[key]
        return Difference(None, found, (_drop(found, exists=False),))

    def _missing(self, key: tuple[str, str]) -> Difference:
        wanted = self._wanted[key]
        return Difference(wanted, None, () if key in self._done else (with_end(wanted.sql),))

    def _different(self, key: tuple[str, str]) -> Difference:
        wanted, found = self._wanted[key], self._found[key]
        if key in self._done:
            return Difference(wanted, found, ())
        again = self._made_again(key, ("trigger",)) if key[0] == "view" else ()
        return Difference(wanted, found, (_drop(found), with_end(wanted.sql), *again))

    def _different_table(self, key: tuple[str, str]) -> Difference:
        """Make a table again with its rows: https://sqlite.org/lang_altertable.html#otheralter."""
        wanted, found = self._wanted[key], self._found[key]
        again = self._made_again(key, ("index", "trigger"))
        if wanted.is_virtual or found.is_virtual:
            return Difference(wanted, found, (_drop(found), with_end(wanted.sql), *again))
        old = {lowered(each) for each in self._columns[1].get(key[1], ())}
        columns = [each for each in self._columns[0].get(key[1], ()) if lowered(each) in old]
        new, name = quote_identifier(_NEW + wanted.name), quote_identifier(wanted.name)
        listed = ", ".join(map(quote_identifier, columns))
        copied = (f"INSERT INTO {new} ({listed}) SELECT {listed} FROM {name};",) if columns else ()
        statements = (
            "PRAGMA legacy_alter_table = ON;",
            with_end(_HEAD.sub(lambda _: f"CREATE TABLE {new}", wanted.sql, count=1)),
            *copied,
            f"DROP TABLE {name};",
            f"ALTER TABLE {new} RENAME TO {name};",
            "PRAGMA legacy_alter_table = OFF;",
            *again,
        )
        return Difference(wanted, found, statements)

    def _made_again(self, key: tuple[str, str], kinds: Collection[str]) -> tuple[str, ...]:
        """Return the statements for what goes with a table or view that is dropped, and has to be made again."""
        again = [each for each in self._schema.definitions if lowered(each.table) == key[1] and each.kind in kinds]
        self._done |= {each.key for each in again}
        return tuple(with_end(each.sql) for each in again)


def _words(definition: Definition) -> tuple[str, ...]:
    return canonical(definition.sql.encode())


def _drop(definition: Definition, *, exists: bool = True) -> str:
    condition = "" if exists else "IF EXISTS "  # an index goes with its table
    return f"DROP {definition.kind.upper()} {condition}{quote_identifier(definition.name)};"
