"""Read a source of migrations, or combine several that share a database."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, TypeAlias

from torc_migrations.errors import BadDependency, BadScript, DuplicateVersion, MixedLayout, SourceError
from torc_migrations.sources.checksums import checksum, yoyo_hash
from torc_migrations.sources.files import File, directories_with_sql, find_no_files, has_directory_each, list_files
from torc_migrations.sources.migration import Migration, Script
from torc_migrations.sources.names import Layout, Named, read_names, up_of
from torc_migrations.sources.one_file_formats import one_file_note

if TYPE_CHECKING:
    from collections.abc import Iterator
    from importlib.resources.abc import Traversable

ForeignKeysChoice: TypeAlias = Literal["script", "on", "off"]
ForeignKeys: TypeAlias = ForeignKeysChoice | Mapping[int, ForeignKeysChoice]
_OneSource: TypeAlias = "str | os.PathLike[str] | Traversable | Source"
SourceLike: TypeAlias = "_OneSource | Sequence[_OneSource] | None"


@dataclass(frozen=True, slots=True)
class Source:
    """The migrations of a directory.

    `migrations` are by ascending version; `notes` are sentences about files that were ignored, and about directives in
    up scripts that are misspelt; `warnings` are those that an upgrade repeats. `hooks` are yoyo's post-apply scripts,
    which run whenever migrations were applied: migrations of version 0 that are never installed. `foreign_keys` is what
    was chosen for its scripts.
    """

    name: str
    migrations: tuple[Migration, ...]
    layout: Layout
    notes: tuple[str, ...] = ()
    hooks: tuple[Migration, ...] = ()
    warnings: tuple[str, ...] = ()
    foreign_keys: ForeignKeys = "script"

    def with_foreign_keys(self, choice: ForeignKeys) -> Source:
        """Return the same source, whose scripts say of foreign keys what is chosen: for all of them, or by version.

        A version that it does not have is a note, which an upgrade repeats.
        """
        if choice == "script":
            return self
        migrations, hooks = (
            tuple(_with_foreign_keys(each, choice) for each in group) for group in (self.migrations, self.hooks)
        )
        named = set() if isinstance(choice, str) else choice.keys() - {each.version for each in migrations}
        notes = tuple(
            f"foreign keys are chosen for {version}, which the source does not have" for version in sorted(named)
        )
        return replace(
            self,
            migrations=migrations,
            hooks=hooks,
            notes=(*self.notes, *notes),
            warnings=(*self.warnings, *notes),
            foreign_keys=choice,
        )

    def as_chosen(self, migration: Migration) -> Migration:
        """Return a migration that is not of this source, whose scripts say of foreign keys what is chosen for it."""
        return migration if self.foreign_keys == "script" else _with_foreign_keys(migration, self.foreign_keys)


def _with_foreign_keys(migration: Migration, choice: ForeignKeys) -> Migration:
    value = choice if isinstance(choice, str) else choice.get(migration.version, "script")
    return migration if value == "script" else migration.with_foreign_keys(value == "on")


def discover(source: SourceLike = None, *, ignored_chars: str = "") -> Source:
    """Read a source: a directory, `"package:name:directory"`, a `Traversable`, or None for the torc schema.

    A list of these that share a database is one source. Reads each up script once and no down script; opens no
    database. `ignored_chars` are left out of checksums.

    Raises:
        SourceError: the directory is missing, empty or mixes two layouts, or a file cannot be a migration.
    """
    if isinstance(source, Source):
        return source
    if isinstance(source, Sequence) and not isinstance(source, str):
        return combine(tuple(discover(each, ignored_chars=ignored_chars) for each in source))
    name, files = list_files(source)
    no_files = tuple(f"{path} is ignored: it is {kind}" for path, kind in find_no_files(source))
    names = read_names(name, files)
    migrations = tuple([_read(named, ignored_chars) for named in names.migrations])
    if not migrations:
        raise _no_migration(name, files, source)
    _check_dependencies(migrations)
    notes = (*names.notes, *no_files, *(note for migration in migrations for note in _script_notes(migration.up)))
    return Source(name, migrations, names.layout, notes, tuple(map(_hook, names.hooks)), (*names.warnings, *no_files))


def _read(named: Named, ignored_chars: str) -> Migration:
    up = Script(named.up)
    sql = up.sql
    compatible_from = up.directives.compatible_from if sql.find(b"compatible-from") >= 0 else None
    if compatible_from is not None and compatible_from > named.version:
        reason = f"`-- compatible-from: {compatible_from}` is newer than the migration itself, {named.version}"
        raise BadScript(up.path, f"{up.path}: {reason}")
    return Migration(
        named.id,
        named.version,
        named.description,
        up,
        Script(named.down) if named.down else None,
        up.directives.depends if sql.find(b"depends") >= 0 else (),
        checksum(sql, ignored_chars),
        yoyo_hash(named.id),
        named.down_description,
        ignored_chars,
        compatible_from,
    )


def _no_migration(name: str, files: list[File], source: object) -> SourceError:
    """Return the error for a source without a migration, which says where the SQL is that was not read."""
    sql = [file for file, _ in files if file.lower().endswith(".sql")]
    hint, command_hint = "`torc-migrations new DESCRIPTION` writes one", None
    if sql and (up := up_of(sql[0])):
        hint = f"{sql[0]!r} is a down script, and its up script, {up!r}, is missing"
    elif sql:
        hint = (
            f"{sql[0]!r} is no name of a migration: name the files VERSION_DESCRIPTION.sql, as 0001_create_users.sql; "
            "the version is a number"
        )
    elif isinstance(source, (str, os.PathLike)) and (below := directories_with_sql(source)):
        where = ", ".join(map(repr, below))
        hint = f"subdirectories are not read; SQL is in {where}: name one as the source"
        command_hint = f"subdirectories are not read; SQL is in {where}: name one with --source"
        if has_directory_each(below):
            hint = (
                "each migration has a directory of its own here: make one directory of files named "
                "VERSION_DESCRIPTION.up.sql and VERSION_DESCRIPTION.down.sql; the version is a number"
            )
            command_hint = None
    return SourceError(name, f"there is no migration in {name}", hint=hint, command_hint=command_hint)


def _script_notes(script: Script) -> Iterator[str]:
    yield from one_file_note(script.path, script.sql)
    yield from script.warnings


def _hook(file: File) -> Migration:
    name, location = file
    stem = name.removesuffix(".sql")
    return Migration(stem, 0, stem, Script(location), None, (), b"", yoyo_hash(stem))


def _check_dependencies(migrations: tuple[Migration, ...]) -> None:
    if not any(migration.depends for migration in migrations):
        return
    versions = {migration.id: migration.version for migration in migrations}
    for migration in migrations:
        for dependency in migration.depends:
            if dependency not in versions:
                raise BadDependency(migration.up.path, dependency, "is not in this directory")
            if versions[dependency] >= migration.version:
                raise BadDependency(migration.up.path, dependency, "does not come before it")


def combine(sources: tuple[Source, ...]) -> Source:
    """Combine several sources that share a database into one.

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
            names = files[migration.version], migration.up.path
            hint = "name the directory once" if os.path.realpath(names[0]) == os.path.realpath(names[1]) else None
            raise DuplicateVersion(name, migration.version, names, hint=hint)
    if hook := next((hook for hook in two.hooks if hook.id in {other.id for other in one.hooks}), None):
        raise SourceError(name, f"two hooks have the name {hook.id}", hint=f"rename {hook.up.path}")
    migrations = sorted((*one.migrations, *two.migrations), key=lambda migration: migration.version)
    layout = two.layout if one.layout is Layout.SIMPLE else one.layout
    return Source(
        name,
        tuple(migrations),
        layout,
        (*one.notes, *two.notes),
        (*one.hooks, *two.hooks),
        (*one.warnings, *two.warnings),
    )
