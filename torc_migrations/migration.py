"""Read a folder of migrations, in yoyo's layout or in sqlx's; the only room that reads SQL files."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from enum import Enum
from hashlib import sha256, sha384
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from torc_migrations.errors import (
    BadDependency,
    BadName,
    BadScript,
    DuplicateVersion,
    MixedLayout,
    SourceError,
)
from torc_migrations.script import Directives, directives, frame, place

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable
    from pathlib import Path

SourceLike: TypeAlias = "str | os.PathLike[str] | Traversable | Source | None"

SHIPPED = "the torc schema that ships with this package"

_UP, _DOWN, _ROLLBACK, _SIMPLE = ".up.sql", ".down.sql", ".rollback.sql", ".sql"
_LARGEST_VERSION = 2**63 - 1
_NUMBER = re.compile(r"[+-]?[0-9]+\Z")
# `20230101_01_AbCdE-some-words`, as `yoyo new` names its files: date, count, five random letters.
_YOYO_GENERATED = re.compile(r"([0-9]{8})_([0-9]{2})_[A-Za-z0-9]{5}(?:-(.*))?\Z")
# `0001.create-foo`, `001-create`: what else folders for yoyo are named like.
_YOYO_WILD = re.compile(r"([0-9]+)[.-]+(.+)\Z")


class Layout(Enum):
    """How a folder names its files."""

    YOYO = "yoyo"
    SQLX = "sqlx"
    SIMPLE = "simple"


class Script:
    """The SQL of one direction: a file whose bytes are read once, when first asked for.

    Attributes:
        path: the file, as messages name it.
    """

    __slots__ = ("_file", "_sql", "path")

    def __init__(self, path: str, file: Path | Traversable | None = None) -> None:
        self.path = path
        self._file = file
        self._sql: bytes | None = None

    @property
    def sql(self) -> bytes:
        """The file's bytes, exactly as they are on the disk.

        Raises:
            BadScript: the file cannot be read, is not UTF-8, or holds a NUL.
        """
        if self._sql is None:
            self._sql = _checked(self.path, self._read())
        return self._sql

    @property
    def directives(self) -> Directives:
        """What the script asks for in the comments at its head.

        Raises:
            BadScript: a directive has a value that it cannot have.
        """
        try:
            return directives(self.sql)
        except ValueError as error:
            raise BadScript(self.path, f"{self.path}: {error}") from error

    def _read(self) -> bytes:
        try:
            if self._file is not None:
                return self._file.read_bytes()
            with open(self.path, "rb", buffering=0) as file:
                return file.read()
        except OSError as error:
            raise BadScript(self.path, f"cannot read {self.path}: {error.strerror or error}") from error

    def __reduce__(self) -> tuple[object, ...]:
        return _restored_script, (self.path, self._sql)

    def __repr__(self) -> str:
        return f"Script({self.path!r})"


def _restored_script(path: str, sql: bytes | None) -> Script:
    script = Script(path)
    script._sql = sql
    return script


def _checked(path: str, sql: bytes) -> bytes:
    """Return the bytes if they can be run; most files are ASCII, and that is seen fastest."""
    if b"\0" in sql:
        raise _bad_byte(path, sql, sql.index(b"\0"), "holds a NUL byte")
    if not sql.isascii():
        try:
            sql.decode()
        except UnicodeDecodeError as error:
            raise _bad_byte(path, sql, error.start, "is not UTF-8") from error
    return sql


def _bad_byte(path: str, sql: bytes, offset: int, what: str) -> BadScript:
    where = place(sql, offset)
    return BadScript(
        path,
        f"{path} {what}: byte 0x{sql[offset]:02x} at offset {offset}",
        line=where.line,
        column=where.column,
        frame=frame(path, where),
        hint="save the file as UTF-8",
    )


class Migration(NamedTuple):
    """One versioned change.

    `id` is what yoyo's ledger calls it, the file's stem; `checksum` is sqlx's, the SHA-384 of the up script's bytes.
    """

    id: str
    version: int
    description: str
    up: Script
    down: Script | None
    depends: tuple[str, ...]
    checksum: bytes

    @property
    def hash(self) -> str:
        """The key of this migration in yoyo's ledger: the SHA-256 of its id, in hexadecimal."""
        return sha256(self.id.encode("utf-8", "surrogateescape")).hexdigest()

    @property
    def reversible(self) -> bool:
        """Whether there is a down script."""
        return self.down is not None

    def __repr__(self) -> str:
        return f"Migration({self.id!r})"


class Source(NamedTuple):
    """A folder that has been read: its migrations by ascending version, and what was ignored in it, in sentences."""

    name: str
    migrations: tuple[Migration, ...]
    layout: Layout
    notes: tuple[str, ...] = ()


class _File(NamedTuple):
    name: str
    path: str
    file: Path | Traversable | None = None


def discover(source: SourceLike = None) -> Source:
    """Read a source: a folder, `"package:name:folder"`, a `Traversable`, or None for the shipped torc schema.

    Reads each up script once and no down script; touches no database.

    Raises:
        SourceError: the folder is missing, empty or mixed, or has a file that no migration can have.
    """
    if isinstance(source, Source):
        return source
    name, files = _listing(source)
    found = [file for file in files if file.name.endswith(_SIMPLE) and not file.name.startswith(".")]
    _refuse_what_only_yoyo_runs(files)
    layout = _layout(name, found)
    halves = _sorted_out(name, found, layout)
    migrations = tuple(_migrations(halves))
    if not migrations:
        raise SourceError(name, f"there is no migration in {name}", hint="`torc-migrations new DESCRIPTION` writes one")
    _check_dependencies(migrations)
    return Source(name, migrations, layout, halves.notes)


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
        raise MixedLayout(name, (one.name, two.name))
    files = {migration.version: migration.up.path for migration in one.migrations}
    for migration in two.migrations:
        if migration.version in files:
            raise DuplicateVersion(name, migration.version, (files[migration.version], migration.up.path))
    migrations = sorted((*one.migrations, *two.migrations), key=lambda migration: migration.version)
    layout = two.layout if one.layout is Layout.SIMPLE else one.layout
    return Source(name, tuple(migrations), layout, (*one.notes, *two.notes))


def _listing(source: str | os.PathLike[str] | Traversable | None) -> tuple[str, list[_File]]:
    if source is None:
        return SHIPPED, _shipped_files()
    if isinstance(source, str) and source.startswith("package:"):
        return source, _resource_files(source, _package_folder(source))
    if isinstance(source, (str, os.PathLike)):
        return os.fspath(source), _folder_files(os.fspath(source))
    return str(source), _resource_files(str(source), source)


def _shipped_files() -> list[_File]:
    """Find the shipped SQL: inside the installed package, or beside it in a clone that is installed editable."""
    here = os.path.dirname(os.path.abspath(__file__))
    for folder in (os.path.join(here, "sql"), os.path.join(os.path.dirname(here), "sql")):
        if os.path.isdir(folder):
            return _folder_files(folder)
    from importlib.resources import files  # a zipped package; costs more than all else on the way here

    return _resource_files(SHIPPED, files("torc_migrations") / "sql")


def _package_folder(source: str) -> Traversable:
    from importlib.resources import files

    name, _, folder = source.removeprefix("package:").partition(":")
    try:
        return files(name).joinpath(folder) if folder else files(name)
    except (ModuleNotFoundError, ValueError, TypeError) as error:
        raise SourceError(source, f"there is no package {name!r}", hint="say package:NAME:FOLDER") from error


def _folder_files(folder: str) -> list[_File]:
    try:
        with os.scandir(folder) as entries:
            return sorted(_File(entry.name, entry.path) for entry in entries if entry.is_file())
    except FileNotFoundError as error:
        raise SourceError(folder, f"there is no folder {folder!r}", hint="name it with --source") from error
    except NotADirectoryError as error:
        raise SourceError(folder, f"{folder!r} is a file, not a folder", hint="name the folder it is in") from error
    except OSError as error:
        raise SourceError(folder, f"cannot read the folder {folder!r}: {error.strerror}") from error


def _resource_files(name: str, folder: Traversable) -> list[_File]:
    if not folder.is_dir():
        raise SourceError(name, f"there is no folder {str(folder)!r}", hint="say package:NAME:FOLDER")
    files = (_File(file.name, str(file), file) for file in folder.iterdir() if file.is_file())
    return sorted(files, key=lambda file: file.name)


def _refuse_what_only_yoyo_runs(files: list[_File]) -> None:
    for file in files:
        if file.name.endswith(".py") and file.name != "__init__.py":
            raise BadScript(
                file.path,
                f"{file.path} is a migration in Python; only plain SQL is run",
                hint="write it as SQL, or go on running this folder with yoyo",
            )
        if file.name.startswith("post-apply") and file.name.endswith(_SIMPLE):
            raise BadScript(
                file.path,
                f"{file.path} is one of yoyo's post-apply hooks, which are not supported yet",
                hint="move it out of the folder, and run it after the upgrade",
            )


def _layout(source: str, files: list[_File]) -> Layout:
    yoyo = next((file.name for file in files if file.name.endswith(_ROLLBACK)), None)
    sqlx = next((file.name for file in files if file.name.endswith((_UP, _DOWN))), None)
    if yoyo and sqlx:
        raise MixedLayout(source, (yoyo, sqlx))
    return Layout.YOYO if yoyo else Layout.SQLX if sqlx else Layout.SIMPLE


class _Named(NamedTuple):
    """A file, and what its name says."""

    file: _File
    id: str
    version: int
    description: str


class _Halves(NamedTuple):
    """The up files and the down files by version, and notes about the files that are neither."""

    ups: dict[int, _Named]
    downs: dict[int, _Named]
    notes: tuple[str, ...]


def _sorted_out(source: str, files: list[_File], layout: Layout) -> _Halves:
    ups: dict[int, _Named] = {}
    downs: dict[int, _Named] = {}
    notes = []
    for file in files:
        stem, is_down = _stem(file.name, layout)
        named = _named(source, file, stem, layout)
        if named is None:
            notes.append(f"{file.path} is ignored, as sqlx ignores it: its name is not VERSION_DESCRIPTION.sql")
            continue
        half = downs if is_down else ups
        if named.version in half:
            raise DuplicateVersion(source, named.version, (half[named.version].file.name, file.name))
        half[named.version] = named
    notes += [f"{down.file.path} is ignored: it has no up script" for down in _without_up(ups, downs, layout)]
    return _Halves(ups, downs, tuple(notes))


def _without_up(ups: dict[int, _Named], downs: dict[int, _Named], layout: Layout) -> Iterable[_Named]:
    """Take out and return the downs that belong to no up: by version for sqlx, by the whole stem for yoyo."""
    alone = [
        down
        for version, down in downs.items()
        if version not in ups or (layout is Layout.YOYO and ups[version].id != down.id)
    ]
    for down in alone:
        del downs[down.version]
    return alone


def _stem(name: str, layout: Layout) -> tuple[str, bool]:
    down = _ROLLBACK if layout is Layout.YOYO else _DOWN
    if name.endswith(down):
        return name.removesuffix(down), True
    return name.removesuffix(_UP if name.endswith(_UP) else _SIMPLE), False


def _named(source: str, file: _File, stem: str, layout: Layout) -> _Named | None:
    if layout is not Layout.SQLX:
        if generated := _YOYO_GENERATED.match(stem):
            words = (generated[3] or "").replace("-", " ").replace("_", " ")
            return _Named(file, stem, int(generated[1] + generated[2]), words)
        if wild := _YOYO_WILD.match(stem):
            return _Named(file, stem, _version(source, file.name, wild[1]), _words(wild[2]))
    number, underscore, rest = stem.partition("_")
    if underscore:
        description = rest.replace("_", " ")
        if layout is Layout.YOYO:
            description = description.strip()
        return _Named(file, stem, _version(source, file.name, number), description)
    if layout is Layout.YOYO:
        raise BadName(source, file.name)  # stock yoyo would run it
    return None


def _words(text: str) -> str:
    return text.replace("-", " ").replace("_", " ").strip()


def _version(source: str, name: str, number: str) -> int:
    if not _NUMBER.match(number) or abs(int(number)) > _LARGEST_VERSION:
        raise BadName(source, name)
    return int(number)


def _migrations(halves: _Halves) -> Iterator[Migration]:
    for version, named in sorted(halves.ups.items()):
        up = Script(named.file.path, named.file.file)
        down = halves.downs.get(version)
        yield Migration(
            named.id,
            version,
            named.description,
            up,
            Script(down.file.path, down.file.file) if down else None,
            up.directives.depends if b"depends" in up.sql else (),
            sha384(up.sql).digest(),
        )


def _check_dependencies(migrations: tuple[Migration, ...]) -> None:
    if not any(migration.depends for migration in migrations):
        return
    versions = {migration.id: migration.version for migration in migrations}
    for migration in migrations:
        for dependency in migration.depends:
            if dependency not in versions:
                raise BadDependency(migration.up.path, dependency, "is not in this folder")
            if versions[dependency] >= migration.version:
                raise BadDependency(migration.up.path, dependency, "does not come before it")
