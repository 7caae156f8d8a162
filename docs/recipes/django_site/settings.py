"""The settings of a Django project: one database for Django's migrations and for those in SQL."""

import os
from pathlib import Path

SECRET_KEY = "only for this example"  # noqa: S105  # no secret
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": os.environ.get("DATABASE", "app.db")}}
DEFAULT_AUTO_FIELD = "django.db.models.AutoField"
INSTALLED_APPS = ["django.contrib.contenttypes", "django.contrib.auth", "library"]
MIGRATIONS = Path(__file__).parent / "migrations"
