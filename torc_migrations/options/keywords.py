"""The keywords of functions and methods that take many; for type checkers, and not loaded at a start."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

if TYPE_CHECKING:
    import os

    from torc_migrations.databases.interface import Functions
    from torc_migrations.databases.servers.given import ServerOptions
    from torc_migrations.events import OnEvent
    from torc_migrations.options import Ledger, OnLoss, OnNewer, OutOfOrder
    from torc_migrations.sources.source import ForeignKeys


class Options(TypedDict, total=False):
    """The keywords of `Migrator`, which documents them; every function takes them too."""

    lock_timeout: float
    ignore_missing: bool
    on_newer: OnNewer
    out_of_order: OutOfOrder
    migration_table: str
    sqlx_table: str
    ignored_chars: str
    strict: bool
    snapshot: bool | str | os.PathLike[str]
    keep: int
    on_loss: OnLoss | None
    group: float
    foreign_keys: ForeignKeys
    allow_broken_schema: bool
    functions: Functions | None
    server: ServerOptions
    statement_timeout: float | None
    on_event: OnEvent | None


class Repair(TypedDict, total=False):
    """The ways of `Migrator.repair`, of which it takes exactly one.

    Attributes:
        reason: accept the files of installed migrations as they are now; the reason goes to yoyo's log.
        line_endings: accept files that differ from what was installed in line endings or a byte order mark only, from
            now on in either form; a file that differs otherwise is left alone.
        trust: where the ledgers contradict each other and yoyo's log does not show which is right, believe this.
        mark, unmark: record that migrations are installed, or that they are not.
        resume_after: of a script outside a transaction that has begun and has not ended, run the statements after this
            number of them; PRAGMA and ATTACH before it are run again.
        renamed: give the records of migrations the versions and ids that their files have now.
    """

    reason: str | None
    line_endings: bool
    trust: Ledger | None
    mark: bool
    unmark: bool
    resume_after: int | None
    renamed: bool
