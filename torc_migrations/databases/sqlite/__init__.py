"""An SQLite database."""

from torc_migrations.databases.sqlite.opening import open_database as open_database
