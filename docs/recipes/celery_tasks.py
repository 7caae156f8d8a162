"""Tasks of Celery; a worker upgrades its database before it takes the first one."""

from __future__ import annotations

import os
import sqlite3
import sys
from contextlib import closing

from celery import Celery
from celery.signals import worker_init

from torc_migrations import MigrationError, upgrade

DATABASE = os.environ.get("DATABASE", "app.db")

# Messages are files in a directory, so that no server is needed.
QUEUE = {"data_folder_in": "queue", "data_folder_out": "queue", "control_folder": "queue/control"}
application = Celery("celery_tasks", broker="filesystem://", broker_transport_options=QUEUE)


@worker_init.connect
def upgrade_database(**_: object) -> None:
    """Upgrade once in the parent of the pool. Celery only logs other exceptions than SystemExit, and starts."""
    try:
        upgrade(DATABASE, "migrations")
    except MigrationError as error:
        sys.stderr.write(f"error: {error}\n")
        raise SystemExit(error.exit_code) from error


@application.task
def add_book(title: str) -> None:
    """Write one row."""
    with closing(sqlite3.connect(DATABASE)) as connection:
        connection.execute("INSERT INTO book (title) VALUES (?)", (title,))
        connection.commit()
