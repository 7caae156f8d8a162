"""A service of FastAPI that upgrades its database before it answers."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing

from fastapi import FastAPI

from torc_migrations.aio import migrated

DATABASE = os.environ.get("DATABASE", "app.db")

application = FastAPI(lifespan=migrated(DATABASE, "migrations"))


@application.get("/books")
def books() -> list[str]:
    """Return the titles of all books."""
    with closing(sqlite3.connect(DATABASE)) as connection:
        return [title for (title,) in connection.execute("SELECT title FROM book ORDER BY id")]
