"""Read a source of migrations, in yoyo's layout or in sqlx's; the only room that reads SQL files."""

from __future__ import annotations

import os
from functools import cache

from torc_migrations.checksum import checksum, is_twin, yoyo_hash
from torc_migrations.errors import BadDependency, BadScript, SourceError
from torc_migrations.listing import find_bad_byte, list_files, read_bytes
from torc_migrations.names import Layout as Layout
from torc_migrations.names import Named, read_names
from torc_migrations.values import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from importlib.resources.abc import Traversable
    from types import ModuleType
    from typing import TypeAlias

    from torc_migrations.listing import File, Location
    from torc_migrations.script import Directives

SourceLike: TypeAlias = "str | os.PathLike[str] | Traversable | Source | None"


@cache
def _reader() -> ModuleType:
    """Load what reads SQL, where there is some to read, and once: to say `import` for each script takes its time."""
    from torc_migrations import script

    return script


class Script:
    """The SQL of one direction: a file whose bytes are read once, when first asked for.

    Attributes:
        path: the file, as messages name it.
    """

    __slots__ = ("_directives", "_location", "_sql", "_words", "path")

    def __init__(self, location: Location) -> None:
        self.path = location if isinstance(location, str) else str(location)
        self._location = location
        self._sql: bytes | None = None
        self._directives: Directives | None = None
        self._words: frozenset[str] | None = None

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
        if self._directives is None:
            try:
                self._directives = _reader().directives(self.sql)
            except ValueError as error:
                raise BadScript(self.path, f"{self.path}: {error}") from error
        return self._directives

    @property
    def words(self) -> frozenset[str]:
        """What `script.words_in` says of the script."""
        if self._words is None:
            self._words = _reader().words_in(self.sql)
        return self._words

    def _read(self) -> bytes:
        try:
            return read_bytes(self._location) if isinstance(self._location, str) else self._location.read_bytes()
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
    offset = find_bad_byte(sql)
    if offset is None:
        return sql
    raise _bad_byte(path, sql, offset)


def _bad_byte(path: str, sql: bytes, offset: int) -> BadScript:
    what = "is not UTF-8" if sql[offset] else "holds a NUL byte"
    where = _reader().place(sql, offset)
    return BadScript(
        path,
        f"{path} {what}: byte 0x{sql[offset]:02x} at offset {offset}",
        line=where.line,
        column=where.column,
        frame=_reader().frame(path, where),
        hint="save the file as UTF-8",
    )


class Migration(NamedTuple):
    """One versioned change.

    `id` is what yoyo's ledger calls it, the file's stem, and `hash` is its key there: the SHA-256 of the id, in
    hexadecimal. `checksum` is sqlx's, the SHA-384 of the up script's bytes. `down_description` is empty where the down
    file is named like the up file. `ignored_chars` are left out of what is hashed.
    """

    id: str
    version: int
    description: str
    up: Script
    down: Script | None
    depends: tuple[str, ...]
    checksum: bytes
    hash: str
    down_description: str = ""
    ignored_chars: str = ""

    @property
    def reversible(self) -> bool:
        """Whether there is a down script."""
        return self.down is not None

    def is_twin_of(self, recorded: bytes) -> bool:
        """Tell whether a recorded checksum is that of the same up script with other line endings, or another BOM."""
        return is_twin(self.up.sql, recorded, self.ignored_chars)

    def __repr__(self) -> str:
        return f"Migration({self.id!r})"


class Source(NamedTuple):
    """A folder that has been read.

    `migrations` are by ascending version; `notes` say in sentences what was ignored. `hooks` are yoyo's post-apply
    scripts, which run whenever migrations were applied: migrations of version 0 that are never installed.
    """

    name: str
    migrations: tuple[Migration, ...]
    layout: Layout
    notes: tuple[str, ...] = ()
    hooks: tuple[Migration, ...] = ()


def discover(source: SourceLike = None, *, ignored_chars: str = "") -> Source:
    """Read a source: a folder, `"package:name:folder"`, a `Traversable`, or None for the shipped torc schema.

    Reads each up script once and no down script; touches no database. `ignored_chars` are left out of what is hashed.

    Raises:
        SourceError: the folder is missing, empty or mixed, or has a file that no migration can have.
    """
    if isinstance(source, Source):
        return source
    name, files = list_files(source)
    names = read_names(name, files)
    migrations = tuple([_read(named, ignored_chars) for named in names.migrations])
    if not migrations:
        raise SourceError(name, f"there is no migration in {name}", hint="`torc-migrations new DESCRIPTION` writes one")
    _check_dependencies(migrations)
    return Source(name, migrations, names.layout, names.notes, tuple(map(_hook, names.hooks)))


def _read(named: Named, ignored_chars: str) -> Migration:
    up = Script(named.up)
    sql = up.sql
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
    )


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
                raise BadDependency(migration.up.path, dependency, "is not in this folder")
            if versions[dependency] >= migration.version:
                raise BadDependency(migration.up.path, dependency, "does not come before it")
