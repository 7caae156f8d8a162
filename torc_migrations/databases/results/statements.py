"""What a rehearsal reports of one statement."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RowCounts:
    """How many rows of a table a statement has inserted, updated and deleted, itself or by a trigger or a cascade."""

    table: str
    inserted: int = 0
    updated: int = 0
    deleted: int = 0

    def as_text(self) -> str:
        """Return it as in `job +3 ~2 -1`."""
        signs = (("+", self.inserted), ("~", self.updated), ("-", self.deleted))
        return " ".join([self.table, *(f"{sign}{number}" for sign, number in signs if number)])


@dataclass(frozen=True, slots=True)
class TableLock:
    """The strongest lock on a table that a statement has taken, and that the script did not hold before it.

    `mode` is a word of https://www.postgresql.org/docs/current/explicit-locking.html#LOCKING-TABLES
    """

    table: str
    mode: str

    def as_text(self) -> str:
        """Return it as in `job (AccessExclusiveLock)`."""
        return f"{self.table} ({self.mode})"


@dataclass(frozen=True, slots=True)
class StatementTime:
    """A statement of a script: the file and line where it begins, its first words, and its time in nanoseconds.

    Attributes:
        rows: the rows that it has changed, by table. locks: the tables that were there before the script, and that it
            has locked. rewritten: the tables whose files it has written anew. PostgreSQL alone reports these three.
        note: why it was not run, or what cannot be seen of it, or None.
    """

    path: str
    line: int
    words: str
    elapsed_ns: int
    rows: tuple[RowCounts, ...] = ()
    locks: tuple[TableLock, ...] = ()
    rewritten: tuple[str, ...] = ()
    note: str | None = None
