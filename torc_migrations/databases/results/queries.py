"""The queries of a release, and what says whether they work."""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterator
from typing import NamedTuple, Protocol

_INSERTS = re.compile(r"\s*(?:INSERT|REPLACE)\b", re.IGNORECASE)


class SavedQuery(NamedTuple):
    """A query in a file: its text, and where it begins, in bytes."""

    sql: str
    begin: int


def inserts(sql: str) -> bool:
    """Return whether a query is an INSERT or a REPLACE, which fails where it leaves out a column that needs a value."""
    return _INSERTS.match(sql) is not None


class QueryTester(Protocol):
    """Tries queries on one database, which nobody else uses, and which is as before afterwards."""

    def cut(self, text: bytes) -> Iterator[SavedQuery]:
        """Yield the queries of a file."""

    def schema_version(self) -> Hashable:
        """Return a value that is another one after a change of the schema; None where that is not known."""

    def why_not(self, sql: str) -> str | None:
        """Return why a query does not work, in the words of the database, or None."""
