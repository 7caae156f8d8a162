"""Write migration files: a new migration, or a whole folder in the other layout."""

from __future__ import annotations

import os
import re
from time import gmtime, strftime

from torc_migrations.errors import SourceError
from torc_migrations.migration import Layout, Migration, Source, discover

# How the up and the down file of a pair end, by layout.
_SUFFIXES = {Layout.YOYO: (".sql", ".rollback.sql"), Layout.SQLX: (".up.sql", ".down.sql")}
_UP_TEXT = "-- What {description} changes.\n"
_DOWN_TEXT = "-- What undoes it, in the opposite order.\n"


def new_migration(
    folder: str, description: str, *, reversible: bool = False, sequential: bool | None = None
) -> tuple[str, ...]:
    """Write the file or files of a new migration, of the kind of the newest one that is there, and return their paths.

    An empty folder gets a pair in yoyo's layout. The version is the time in UTC, or the next number where the last
    two versions differ by one; `sequential` says otherwise.

    Raises:
        SourceError: the folder cannot be read or written, or the description makes no file name.
    """
    source = _existing(folder)
    words = re.sub(r"\s+", "_", description.strip())
    if not re.fullmatch(r"[^/\\\0]+", words):
        raise SourceError(folder, f"{description!r} makes no file name", hint="describe the change in a few words")
    stem = os.path.join(folder, f"{_next_version(source, sequential)}_{words}")
    up, down = _kind(source, reversible)
    texts = {stem + up: _UP_TEXT.format(description=" ".join(words.split("_")))}
    if down:
        texts[stem + down] = _DOWN_TEXT
    os.makedirs(folder, exist_ok=True)
    for path, text in texts.items():
        _write_new(path, text.encode())
    return tuple(texts)


def _existing(folder: str) -> Source:
    """Read a folder; one that is missing or has no migration in it is only empty here."""
    if not os.path.isdir(folder) or not any(name.endswith(".sql") for name in os.listdir(folder)):
        return Source(folder, (), Layout.YOYO)
    return discover(folder)


def _kind(source: Source, reversible: bool) -> tuple[str, str | None]:
    newest = source.migrations[-1] if source.migrations else None
    if not (reversible or newest is None or newest.reversible):
        return ".sql", None
    return _SUFFIXES[Layout.YOYO if source.layout is Layout.YOYO else Layout.SQLX]


def _next_version(source: Source, sequential: bool | None) -> str:
    versions = [migration.version for migration in source.migrations]
    newest = versions[-1] if versions else 0
    if _counts(versions) if sequential is None else sequential:
        return f"{newest + 1:04d}"
    # A second migration within the same second, or a clock that is behind, must not come first.
    return str(max(int(strftime("%Y%m%d%H%M%S", gmtime())), newest + 1))


def _counts(versions: list[int]) -> bool:
    if len(versions) == 1:
        return versions[0] in (0, 1)
    return len(versions) > 1 and versions[-1] - versions[-2] == 1


def export(source: Source, layout: Layout, folder: str) -> tuple[str, ...]:
    """Write every migration of a source into an empty or new folder, in the layout asked for, and return the paths.

    The bytes stay the same, and with them sqlx's checksums.

    Raises:
        SourceError: the folder is not empty, or cannot be written.
    """
    if os.path.isdir(folder) and os.listdir(folder):
        raise SourceError(folder, f"{folder!r} is not empty", hint="name a new folder")
    texts = {name: sql for migration in source.migrations for name, sql in _files(migration, layout).items()}
    try:
        os.makedirs(folder, exist_ok=True)
    except OSError as error:
        raise SourceError(folder, f"cannot make the folder {folder!r}: {error.strerror}") from error
    for name, sql in texts.items():
        _write_new(os.path.join(folder, name), sql)
    return tuple(os.path.join(folder, name) for name in texts)


def _files(migration: Migration, layout: Layout) -> dict[str, bytes]:
    if migration.down is None:
        return {f"{migration.id}.sql": migration.up.sql}
    up, down = _SUFFIXES[layout]
    return {migration.id + up: migration.up.sql, migration.id + down: migration.down.sql}


def _write_new(path: str, text: bytes) -> None:
    try:
        with open(path, "xb") as file:
            file.write(text)
    except OSError as error:
        raise SourceError(path, f"cannot write {path!r}: {error.strerror}") from error
