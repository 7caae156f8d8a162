"""What may copy a database before a run, and restore it after a failure."""

from __future__ import annotations

from torc_migrations.databases.interface import Database
from torc_migrations.errors import MigrationError


class Safeguard:
    """What restores a database where a run has failed half-way; this one does nothing.

    `snapshot` is the path of the copy that it has made.
    """

    snapshot: str | None = None

    def check(self, database: Database) -> None:
        """Refuse, before anything runs, a database that cannot be restored."""

    def end_step(self) -> None:
        """Note that the record of a step is committed, here or by another process: no later error may undo it."""

    def begin_writing(self, database: Database, version: int | None) -> None:
        """Note, in each transaction, that nothing is written in it yet; `version` is the newest one installed."""

    def leave_transaction(self, database: Database) -> None:
        """Note that a script will run that ends our transaction, or that is outside of it."""

    def restore(self, database: Database, error: MigrationError) -> bool:  # noqa: ARG002  # this one does nothing
        """Undo everything after an error, and return whether that was done."""
        return False

    def log_command(self, database: Database) -> None:
        """Log after an interruption how to restore the database."""
