"""Convert a directory of another tool's migrations: read it, check what comes of it, and write it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Literal, TypeAlias

from torc_migrations.errors import BadDependency, DuplicateVersion, NotConvertible, Problem, SourceError
from torc_migrations.sources.converting.results import Conversion, Converted
from torc_migrations.sources.converting.tools import FLYWAY, YOYO, Directory, Unit, find_tool, read_units
from torc_migrations.sources.converting.writing import write_directory
from torc_migrations.sources.files import directories_with_sql, list_files
from torc_migrations.sources.names import SUFFIXES, Layout
from torc_migrations.sources.source import discover
from torc_migrations.sources.yoyo_names import first_difference, read_generated

LayoutName: TypeAlias = Literal["yoyo", "sqlx"]

_NUMBER = re.compile(r"\d+")
_FOR_SQLX = re.compile(r"\d+_")
# Where each tool keeps the newest version that it has applied.
_NEWEST = {
    "goose": "SELECT max(version_id) FROM goose_db_version WHERE is_applied",
    "dbmate": "SELECT max(version) FROM schema_migrations",
    "sql-migrate": "SELECT id FROM gorp_migrations",
    "tern": "SELECT version FROM public.schema_version",
    FLYWAY: "SELECT version FROM flyway_schema_history WHERE success ORDER BY installed_rank",
}


def convert_directory(
    directory: str, output: str | None = None, *, layout: LayoutName = "yoyo", partial: bool = False
) -> Conversion:
    """Do what `torc_migrations.convert` promises."""
    _check_places(directory, output)
    name, files = list_files(directory)
    read = Directory(name, {file: str(location) for file, location in files})
    tool = find_tool(read)
    units = read_units(read, tool)
    if tool != YOYO:
        units = _padded(units)
    elif layout == "sqlx":
        units = list(_readable_for_sqlx(units, read))
    migrations = [_converted(unit, output or "", SUFFIXES[Layout(layout)]) for unit in units]
    kept, notes = _checked(output or directory, migrations, read.problems)
    problems = tuple(sorted(read.problems, key=lambda each: (each.path, each.line or 0)))
    if problems and not (partial and kept):
        raise NotConvertible(name, tool, problems, len(kept))
    notes = (*(note for unit in units for note in unit.notes), *notes, *_unread(directory))
    conversion = Conversion(name, tool, tuple(kept), problems, notes, _adoption(tool, output or "NEW"))
    if output is None:
        return conversion
    return replace(conversion, written=write_directory(output, dict(_files(kept))))


def _check_places(directory: str, output: str | None) -> None:
    if directory.startswith("package:"):
        raise SourceError(directory, f"{directory!r} is not a directory", hint="name the directory itself")
    if not os.path.exists(directory):
        hint = "name the directory of the other tool's migrations"
        raise SourceError(directory, f"there is no directory {directory!r}", hint=hint)
    try:
        free = output is None or not os.path.lexists(output) or not os.listdir(output)
    except OSError:
        free = False
    if output is not None and not free:
        raise SourceError(output, f"{output!r} is not an empty directory", hint="name a new directory")


def _readable_for_sqlx(units: list[Unit], directory: Directory) -> Iterator[Unit]:
    """Yield those whose names sqlx reads as yoyo's users do; note the others."""
    for unit in units:
        if unit.is_hook or (_FOR_SQLX.match(unit.stem) and read_generated(unit.stem) is None):
            yield unit
        else:
            reason = "sqlx reads its name otherwise: convert with the layout yoyo, and then export with the layout sqlx"
            directory.note(os.path.basename(unit.origins[0]), None, reason)


def _padded(units: list[Unit]) -> list[Unit]:
    """Return migrations by version; with zeros before the numbers, if yoyo would run them in another order."""
    ordered = sorted(units, key=lambda unit: (unit.version or 0, unit.stem))
    if first_difference([f"{unit.stem}.sql" for unit in ordered]) is None:
        return ordered
    width = max(len(str(unit.version)) for unit in ordered)
    return [unit._replace(stem=_NUMBER.sub(str(unit.version).zfill(width), unit.stem, count=1)) for unit in ordered]


def _converted(unit: Unit, where: str, suffixes: tuple[str, str]) -> Converted:
    up, down = (".sql", ".sql") if unit.is_hook or unit.down is None else suffixes
    stem = os.path.join(where, unit.stem)
    down_text = None if unit.is_hook else unit.down
    down_path = None if down_text is None else stem + down
    return Converted(unit.stem, unit.version, unit.origins, unit.up, down_text, stem + up, down_path)


def _checked(
    where: str, migrations: list[Converted], problems: list[Problem]
) -> tuple[list[Converted], tuple[str, ...]]:
    """Read what would be written as a source, and return it by version, with the notes of the source.

    A name from which another version is read, and comments that are taken for directives, become problems.

    Raises:
        SourceError: the files cannot be a source, as where a version is used twice.
    """
    _check_names(where, migrations)
    if problems and all(each.id.startswith("post-apply") for each in migrations):
        return [], ()
    try:
        source = discover(_InMemory(where, dict(_files(migrations))))  # type: ignore[arg-type]  # as far as it is used
    except BadDependency as error:
        if not problems:
            raise
        return migrations, (str(error),)  # what it depends on may be among the problems
    versions: dict[str, int | None] = {migration.id: migration.version for migration in source.migrations}
    hooks = {hook.id for hook in source.hooks}
    kept = []
    for each in migrations:
        version = versions.get(each.id)
        reason = None if each.id in hooks else _misread(each, version)
        if reason:
            problems.append(Problem(each.origins[0], None, reason))
        else:
            kept.append(replace(each, version=version))
    return sorted(kept, key=lambda each: (each.version is None, each.version or 0)), source.notes


def _check_names(where: str, migrations: list[Converted]) -> None:
    """Refuse two migrations that would have the same files, such as `1_a.sql` and `1-a.sql` of dbmate."""
    files: dict[str, Converted] = {}
    for each in migrations:
        other = files.setdefault(each.up_path, each)
        if other is not each:
            raise DuplicateVersion(where, each.version or 0, (other.origins[0], each.origins[0]))


def _misread(migration: Converted, version: int | None) -> str | None:
    """Return what is wrong with a migration as a source reads it."""
    if version is None:
        return "its name has no version; rename it to VERSION_DESCRIPTION"
    if migration.version not in (None, version):
        return f"its name would be read as version {version}; rename it"
    return None


def _unread(directory: str) -> Iterator[str]:
    below = directories_with_sql(directory)
    if below:
        yield f"subdirectories are not read: {', '.join(below)}"


def _adoption(tool: str, where: str) -> str:
    if tool == YOYO:
        return (
            "the ids are the same: a database that yoyo has migrated goes on with the new files, and the next upgrade "
            "writes sqlx's ledger"
        )
    numbers = "; a version with dots has the number in the new file's name" if tool == FLYWAY else ""
    return (
        f"for a database that {tool} has migrated: `torc-migrations -s {where} baseline VERSION` once; VERSION is the "
        f"newest one there ({_NEWEST[tool]}){numbers}"
    )


def _files(migrations: list[Converted]) -> Iterator[tuple[str, bytes]]:
    for each in migrations:
        yield each.up_path, each.up
        if each.down is not None and each.down_path is not None:
            yield each.down_path, each.down


class _InMemory:
    """Files that are not written yet, as a source reads them."""

    def __init__(self, path: str, files: dict[str, bytes]) -> None:
        self._path = path
        self._files = files

    def __str__(self) -> str:
        return self._path

    @property
    def name(self) -> str:
        """The last part of the path."""
        return os.path.basename(self._path)

    def is_dir(self) -> bool:
        """Return whether it is the directory."""
        return self._path not in self._files

    def is_file(self) -> bool:
        """Return whether it is one of the files."""
        return self._path in self._files

    def iterdir(self) -> Iterator[_InMemory]:
        """Yield the files."""
        for path in self._files:
            yield _InMemory(path, self._files)

    def read_bytes(self) -> bytes:
        """Return the bytes of the file."""
        return self._files[self._path]
