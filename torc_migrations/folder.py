"""Write migration files: a new migration, or a whole folder in the other layout."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from time import gmtime, strftime

from torc_migrations.errors import SourceError
from torc_migrations.migration import Layout, Migration, Source, discover

# How the up and the down file of a pair end, by layout.
_SUFFIXES = {Layout.YOYO: (".sql", ".rollback.sql"), Layout.SQLX: (".up.sql", ".down.sql")}
# A description that ends like this would make a name that says something else.
_TELLING_END = re.compile(r"\.(up|down|rollback|sql|py)\Z")
# The names that sqlx reads as we do.
_PLAIN_ID = re.compile(r"[+-]?[0-9]+_")
_UP_TEXT = "-- What {description} changes.\n"
_DOWN_TEXT = "-- What undoes it, in the opposite order.\n"


def new_migration(
    folder: str, description: str, *, reversible: bool | None = None, sequential: bool | None = None
) -> tuple[str, ...]:
    """Write the file or files of a new migration, of the kind of the newest one that is there, and return their paths.

    An empty folder gets a pair in yoyo's layout; `reversible` says otherwise. The version is the time in UTC, or the
    next number where the last two versions differ by one; `sequential` says otherwise.

    Raises:
        SourceError: the folder cannot be read or written, or the description makes no file name.
    """
    words = re.sub(r"\s", "_", description)
    if not words.strip("_") or re.search(r"[/\\\0]", words) or _TELLING_END.search(words):
        raise SourceError(folder, f"{description!r} makes no file name", hint="describe the change in a few words")
    source = _existing(folder)
    stem = os.path.join(folder, f"{_next_version(source, sequential)}_{words}")
    up, down = _kind(source, reversible)
    texts = {stem + up: _UP_TEXT.format(description=" ".join(words.replace("_", " ").split())).encode()}
    if down:
        texts[stem + down] = _DOWN_TEXT.encode()
    return _write(folder, texts)


def _existing(folder: str) -> Source:
    """Read a folder; one that is missing or holds no SQL is only empty here."""
    if folder.startswith("package:"):
        raise SourceError(folder, f"{folder!r} is no folder to write to", hint="name the folder itself with --source")
    try:
        empty = not any(name.endswith(".sql") for name in os.listdir(folder))
    except FileNotFoundError:
        empty = True
    except OSError:
        empty = False  # what is wrong with it is told where it is read
    return Source(folder, (), Layout.YOYO) if empty else discover(folder)


def _kind(source: Source, reversible: bool | None) -> tuple[str, str | None]:
    newest = source.migrations[-1] if source.migrations else None
    if reversible is None:
        reversible = newest is None or newest.reversible
    if not reversible:
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

    The bytes stay the same, and with them sqlx's checksums; so do the names, but for their ends, and for those that
    sqlx would not read as we do.

    Raises:
        SourceError: the folder is not empty, or cannot be written.
    """
    if os.path.isdir(folder) and os.listdir(folder):
        raise SourceError(folder, f"{folder!r} is not empty", hint="name a new folder")
    texts = {name: sql for migration in source.migrations for name, sql in _files(migration, layout).items()}
    return _write(folder, {os.path.join(folder, name): sql for name, sql in texts.items()})


def _files(migration: Migration, layout: Layout) -> dict[str, bytes]:
    stem = migration.id if layout is Layout.YOYO else _sqlx_stem(migration)
    if migration.down is None:
        return {f"{stem}.sql": migration.up.sql}
    up, down = _SUFFIXES[layout]
    return {stem + up: migration.up.sql, stem + down: migration.down.sql}


def _sqlx_stem(migration: Migration) -> str:
    """Return an id that sqlx reads as we do: `0001.create-foo` and `20230101_01_AbCdE-foo` are names of yoyo's own."""
    number, _, rest = migration.id.partition("_")
    if _PLAIN_ID.match(migration.id) and int(number) == migration.version:
        return migration.id if rest else f"{number}_"
    return f"{migration.version}_{migration.description.replace(' ', '_')}"


def _write(folder: str, texts: Mapping[str, bytes]) -> tuple[str, ...]:
    """Write new files into a folder, which is made where it is missing; overwrite none."""
    try:
        os.makedirs(folder, exist_ok=True)
    except OSError as error:
        raise SourceError(folder, f"cannot make the folder {folder!r}: {error.strerror}") from error
    for path, text in texts.items():
        _write_new(path, text)
    return tuple(texts)


def _write_new(path: str, text: bytes) -> None:
    try:
        with open(path, "xb") as file:
            file.write(text)
    except OSError as error:
        raise SourceError(path, f"cannot write {path!r}: {error.strerror}") from error
