"""What a schema of SQLite consists of."""

from __future__ import annotations

from typing import NamedTuple

from torc_migrations.databases.sqlite.scripts.statements import canonical
from torc_migrations.formatting import lowered


class Definition(NamedTuple):
    """An object of the schema: its kind, its name, the table that it belongs to, and its SQL as it was written."""

    kind: str
    name: str
    table: str
    sql: str

    @property
    def title(self) -> str:
        """Its kind and its name: `table job`."""
        return f"{self.kind} {self.name}"

    @property
    def key(self) -> tuple[str, str]:
        """What identifies it in a schema: its kind and its lower name."""
        return self.kind, lowered(self.name)

    @property
    def owner(self) -> str:
        """The table that it belongs to, in lower case."""
        return lowered(self.table)

    @property
    def is_virtual(self) -> bool:
        """Whether it is a virtual table."""
        return self.sql.startswith("CREATE VIRTUAL ")  # SQLite writes these words itself

    @property
    def module(self) -> str:
        """The lower name of the module of a virtual table."""
        return canonical(self.sql.encode())[5]  # behind CREATE VIRTUAL TABLE name USING


class DefinitionChange(NamedTuple):
    """An object of the schema, before and after a script; None where it does not exist."""

    before: Definition | None
    after: Definition | None
