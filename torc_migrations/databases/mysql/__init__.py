"""MariaDB and MySQL, with PyMySQL; nothing outside of this package knows what they need."""

from torc_migrations.databases.mysql.database import open_database as open_database
