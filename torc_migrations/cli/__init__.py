"""The command `torc-migrations`."""

from torc_migrations.cli.command import main as main

__all__ = ["main"]
