"""Values of the interface of a database that opening one needs; the classes of `interface.py` take long to make."""

# Without `from __future__ import annotations`: typing would compile each annotation of a NamedTuple, at every start.

from enum import Enum
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable

# Called with a connection of the driver, to register functions, collations and extensions.
Functions: TypeAlias = "Callable[[Any], object]"


class ScriptMode(Enum):
    """How a script relates to a transaction.

    WHOLE runs in our transaction. OWN_COMMITS begins in it, and ends it by a COMMIT of its own. OUTSIDE asks, by a
    directive, for no transaction.
    """

    WHOLE = "whole"
    OWN_COMMITS = "own commits"
    OUTSIDE = "outside"


class LedgerSql(NamedTuple):
    """The statements of the two ledgers that differ between kinds of databases.

    `{sqlx}` and `{yoyo}` stand for the names of the ledgers, `{log}` for yoyo's log. The columns are those of
    `SqlxRecord`, `YoyoRecord` and `LogEntry`, in their order.
    """

    create_sqlx_table: str
    # Of the table `ledgers/kept.py`, `{kept}`.
    create_kept_table: str
    select_sqlx_rows: str
    select_yoyo_rows: str
    select_old_yoyo_rows: str
    select_log: str
    # For `ledgers/fast_path.py`: versions with the checksums of successful rows, hashes in yoyo's ledger, and the
    # hashes whose newest line in the log takes a migration back.
    select_checksums: str
    select_marked: str
    select_taken_back: str
    # The columns that the tables have besides those of yoyo and sqlx: SQLite's rowid.
    extra_columns: tuple[str, ...] = ()
    # How many lines are in the log, without those whose operation is `begin`. None where rows have an order of their
    # own, in which `select_log` returns them.
    count_log: str | None = None
    insert_sqlx_row: str = """
    INSERT INTO {sqlx} (version, description, installed_on, success, checksum, execution_time)
    SELECT :version, :description, {installed_on}, TRUE, :checksum, :execution_time
    WHERE NOT EXISTS (SELECT 1 FROM {sqlx} WHERE version = :version)
"""
    # Whether sqlx's row is written before a script, with success = false, because DDL commits by itself.
    marks_dirty: bool = False
    # How much of `2026-01-01 00:00:00.123456` is written to `installed_on`, and how.
    time_digits: int = 19
    installed_on: str = ":installed_on"


class RowReading(Enum):
    """What `read_contents` reads of the rows of a table: nothing, their number, or a digest of their values too."""

    NOTHING = "nothing"
    COUNT = "count"
    DIGEST = "digest"
