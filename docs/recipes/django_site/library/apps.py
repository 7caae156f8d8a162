"""An application of Django whose tables are made by migrations in SQL."""

from django.apps import AppConfig
from django.conf import settings
from django.db import connections
from django.db.models.signals import post_migrate

from torc_migrations import upgrade


class LibraryConfig(AppConfig):
    """The application."""

    name = "library"

    def ready(self) -> None:
        """Have `manage.py migrate`, and the test database, upgrade after Django's own migrations."""
        post_migrate.connect(_upgrade, sender=self)


def _upgrade(using: str, **_: object) -> None:
    connection = connections[using]
    connection.ensure_connection()
    upgrade(connection.connection, settings.MIGRATIONS)
