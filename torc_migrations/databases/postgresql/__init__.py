"""A PostgreSQL database."""

from torc_migrations.databases.postgresql.database import open_database as open_database
