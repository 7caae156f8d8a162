"""Make one source of several that share a database."""

from __future__ import annotations

from torc_migrations.errors import DuplicateVersion, MixedLayout, SourceError
from torc_migrations.migration import Layout, Source


def combine(sources: tuple[Source, ...]) -> Source:
    """Make one source of several that share a database.

    Raises:
        SourceError: two of them have the same version, or different layouts.
    """
    first, *others = sources
    for other in others:
        first = _combined(first, other)
    return first


def _combined(one: Source, two: Source) -> Source:
    name = f"{one.name} and {two.name}"
    if {one.layout, two.layout} == {Layout.YOYO, Layout.SQLX}:
        raise MixedLayout(name, (one.name, two.name) if one.layout is Layout.YOYO else (two.name, one.name))
    files = {migration.version: migration.up.path for migration in one.migrations}
    for migration in two.migrations:
        if migration.version in files:
            raise DuplicateVersion(name, migration.version, (files[migration.version], migration.up.path))
    if hook := next((hook for hook in two.hooks if hook.id in {other.id for other in one.hooks}), None):
        raise SourceError(name, f"two hooks are called {hook.id}", hint=f"rename {hook.up.path}")
    migrations = sorted((*one.migrations, *two.migrations), key=lambda migration: migration.version)
    layout = two.layout if one.layout is Layout.SIMPLE else one.layout
    return Source(name, tuple(migrations), layout, (*one.notes, *two.notes), (*one.hooks, *two.hooks))
