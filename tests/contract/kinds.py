"""What differs between kinds of databases, so that the tests beside this file are the same for all of them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from database_under_test import DatabaseUnderTest


@dataclass(frozen=True)
class Kind:
    """A kind of database.

    Attributes:
        name: its name.
        is_transactional: whether the statements of a script that fails are undone, schema changes too.
        connect: opens a connection of the driver to a database, which commits by itself.
        hold_lock: keeps every run from writing, as another run does, until it is left.
        outside: a script that can run outside a transaction only, and makes the index `i` on `t1 (x)`.
        outside_rollback: the same for its down script.
        quote: what stands around a name.
        bad_statement: a statement that fails, and the database's words for it.
    """

    name: str
    is_transactional: bool
    connect: Callable[[DatabaseUnderTest], Any]
    hold_lock: Callable[[DatabaseUnderTest], AbstractContextManager[object]]
    outside: str
    outside_rollback: str
    bad_statement: tuple[str, str]
    quote: str = '"'
