"""Measurements of torc_migrations; see README.md. Nothing in here is installed with the package."""
