"""A service of Flask that upgrades its database before it answers."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing

from flask import Flask

from torc_migrations import upgrade

DATABASE = os.environ.get("DATABASE", "app.db")


def create_application() -> Flask:
    """Upgrade the database, and return the application."""
    upgrade(DATABASE, "migrations")
    application = Flask(__name__)

    @application.get("/books")
    def books() -> list[str]:
        with closing(sqlite3.connect(DATABASE)) as connection:
            return [title for (title,) in connection.execute("SELECT title FROM book ORDER BY id")]

    return application
