"""A program that upgrades its database, and then does its work."""

from __future__ import annotations

import sqlite3
import sys
from contextlib import closing

from torc_migrations import MigrationError, migrated

DATABASE = "app.db"


def main() -> int:
    """Run the program, and return its exit status."""
    try:
        with migrated(DATABASE, "migrations"), closing(sqlite3.connect(DATABASE)) as connection:
            (number,) = connection.execute("SELECT COUNT(*) FROM book").fetchone()
            sys.stdout.write(f"{number} books\n")
    except MigrationError as error:
        sys.stderr.write(f"error: {error}\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
