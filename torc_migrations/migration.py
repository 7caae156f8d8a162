"""Read a source of migrations, in yoyo's layout or in sqlx's; the only room that reads SQL files."""

from __future__ import annotations

import os
from codecs import utf_8_decode
from collections.abc import Iterable, Iterator
from enum import Enum

from torc_migrations.checksum import checksum, is_twin, sha256
from torc_migrations.errors import BadDependency, BadName, BadScript, DuplicateVersion, MixedLayout, SourceError
from torc_migrations.listing import SHIPPED as SHIPPED  # where the other rooms look for it
from torc_migrations.listing import File, list_files, read_bytes
from torc_migrations.values import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from importlib.resources.abc import Traversable
    from pathlib import Path
    from typing import TypeAlias

    from torc_migrations.script import Directives

SourceLike: TypeAlias = "str | os.PathLike[str] | Traversable | Source | None"

_UP, _DOWN, _ROLLBACK, _SIMPLE = ".up.sql", ".down.sql", ".rollback.sql", ".sql"
# sqlx's versions are signed, of 64 bits; no file's name is longer than 255 bytes, a name in a zip may be.
_VERSIONS = range(-(2**63), 2**63)
_LONGEST_NUMBER = 255
_PIECE = 65_536


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

    __slots__ = ("_directives", "_file", "_sql", "path")

    def __init__(self, path: str, file: Path | Traversable | None = None) -> None:
        self.path = path
        self._file = file
        self._sql: bytes | None = None
        self._directives: Directives | None = None

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
            from torc_migrations.script import directives

            try:
                self._directives = directives(self.sql)
            except ValueError as error:
                raise BadScript(self.path, f"{self.path}: {error}") from error
        return self._directives

    def _read(self) -> bytes:
        try:
            if self._file is not None:
                return self._file.read_bytes()
            return read_bytes(self.path)
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
    begin = len(sql) if sql.isascii() else 0
    while begin < len(sql):  # piece by piece, because as text a letter may take four times its bytes
        piece = sql[begin : begin + _PIECE]
        try:
            begin += utf_8_decode(piece, "strict", begin + len(piece) == len(sql))[1]
        except UnicodeDecodeError as error:
            raise _bad_byte(path, sql, begin + error.start, "is not UTF-8") from error
    return sql


def _bad_byte(path: str, sql: bytes, offset: int, what: str) -> BadScript:
    from torc_migrations.script import frame, place

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
    `down_description` is empty where the down file is named like the up file. `ignored_chars` are left out of what is
    hashed.
    """

    id: str
    version: int
    description: str
    up: Script
    down: Script | None
    depends: tuple[str, ...]
    checksum: bytes
    down_description: str = ""
    ignored_chars: str = ""

    @property
    def hash(self) -> str:
        """The key of this migration in yoyo's ledger: the SHA-256 of its id, in hexadecimal."""
        return sha256(self.id.encode("utf-8", "surrogateescape")).hexdigest()

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
    scripts, hooks, others = _parted(files)
    _refuse_what_only_yoyo_runs(others)
    layout = _layout(name, scripts)
    halves = _sorted_out(name, scripts, layout)
    migrations = tuple(_migrations(halves, ignored_chars))
    if not migrations:
        raise SourceError(name, f"there is no migration in {name}", hint="`torc-migrations new DESCRIPTION` writes one")
    _check_dependencies(migrations)
    return Source(name, migrations, layout, (*_notes(others), *halves.notes), tuple(map(_hook, hooks)))


def _parted(files: list[File]) -> tuple[list[File], list[File], list[File]]:
    """Part the scripts of migrations from yoyo's hooks, and from what is not even SQL."""
    scripts, hooks, others = list[File](), list[File](), list[File]()
    for file in files:
        if not file.name.endswith(_SIMPLE) or file.name.startswith("."):
            others.append(file)
        elif file.name.startswith("post-apply") and not file.name.endswith((_ROLLBACK, _DOWN)):
            hooks.append(file)
        else:
            scripts.append(file)
    return scripts, hooks, others


def _refuse_what_only_yoyo_runs(files: list[File]) -> None:
    for file in files:
        if file.name.endswith(".py") and file.name != "__init__.py":
            raise BadScript(
                file.path,
                f"{file.path} is a migration in Python; only plain SQL is run",
                hint="write it as SQL, or go on running this folder with yoyo",
            )


def _hook(file: File) -> Migration:
    name = file.name.removesuffix(_SIMPLE)
    return Migration(name, 0, name, Script(file.path, file.file), None, (), b"")


def _notes(files: list[File]) -> Iterator[str]:
    """Name these files; but for those that are meant to be overlooked, and a package's own."""
    for file in files:
        hidden = file.name.startswith(".") and not file.name.endswith(_SIMPLE)
        if not (hidden or file.name == "__init__.py"):
            yield _ignored(file)


def _ignored(file: File) -> str:
    return f"{file.path} is ignored: its name is not VERSION_DESCRIPTION.sql"


def _layout(source: str, files: list[File]) -> Layout:
    yoyo = next((file.name for file in files if file.name.endswith(_ROLLBACK)), None)
    sqlx = next((file.name for file in files if file.name.endswith((_UP, _DOWN))), None)
    if yoyo and sqlx:
        raise MixedLayout(source, (yoyo, sqlx))
    return Layout.YOYO if yoyo else Layout.SQLX if sqlx else Layout.SIMPLE


class _Named(NamedTuple):
    """A file, and what its name says."""

    file: File
    id: str
    version: int
    description: str


class _Halves(NamedTuple):
    """The up files and the down files by version, and notes about the files that are neither."""

    ups: dict[int, _Named]
    downs: dict[int, _Named]
    notes: tuple[str, ...]


def _sorted_out(source: str, files: list[File], layout: Layout) -> _Halves:
    ups: dict[int, _Named] = {}
    downs: dict[int, _Named] = {}
    notes = []
    suffixes = (_ROLLBACK,) if layout is Layout.YOYO else (_UP, _DOWN)
    twin: _Named | None = None
    for file in files:
        suffix = _suffix(file.name, suffixes)
        stem = file.name.removesuffix(suffix)
        if twin and twin.id == stem and not stem.endswith(suffix):
            named = _Named(file, stem, twin.version, twin.description)
        elif read := _read_stem(source, file, stem, suffix, layout):
            named = _Named(file, stem, *read)
        else:
            notes.append(_ignored(file))
            continue
        twin = named
        half = ups if suffix in (_UP, _SIMPLE) else downs
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


def _suffix(name: str, suffixes: tuple[str, ...]) -> str:
    for suffix in suffixes:
        if name.endswith(suffix):
            return suffix
    return _SIMPLE


def _read_stem(source: str, file: File, stem: str, suffix: str, layout: Layout) -> tuple[int, str] | None:
    """Return the version and the description that a file's name tells, or None where it tells none."""
    if layout is not Layout.SQLX and (found := _generated(stem) or _wild(stem)):
        number, words = found
        return _version(source, file.name, number), words.replace("-", " ").replace("_", " ").strip()
    number, underscore, rest = stem.partition("_")
    if underscore:
        words = _trimmed(rest, suffix).replace("_", " ")
        return _version(source, file.name, number), words.strip() if layout is Layout.YOYO else words
    if layout is Layout.YOYO:
        raise BadName(source, file.name)  # stock yoyo would run it
    return None


def _generated(stem: str) -> tuple[str, str] | None:
    """Read `20230101_01_AbCdE-some-words`, as `yoyo new` names its files: date, count, five random letters."""
    if stem[8:9] != "_" or stem[11:12] != "_":
        return None
    number = stem[:8] + stem[9:11]
    letters, _, words = stem[12:].partition("-")
    fits = _is_number(number) and len(letters) == 5 and letters.isascii() and letters.isalnum()
    return (number, words) if fits else None


def _wild(stem: str) -> tuple[str, str] | None:
    """Read `0001.create-foo` or `001-create`: what else folders for yoyo are named like."""
    rest = stem.lstrip("0123456789")
    words = rest.lstrip(".-")
    return (stem.removesuffix(rest), words) if rest != stem and rest != words and words else None


def _trimmed(rest: str, suffix: str) -> str:
    """Take a suffix off as often as it stands there, as sqlx does."""
    while rest.endswith(suffix):
        rest = rest.removesuffix(suffix)
    return rest


def _version(source: str, name: str, number: str) -> int:
    digits = number[1:] if number.startswith(("+", "-")) else number
    if not _is_number(digits) or len(digits) > _LONGEST_NUMBER or int(number) not in _VERSIONS:
        raise BadName(source, name)
    return int(number)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit()


def _migrations(halves: _Halves, ignored_chars: str) -> Iterator[Migration]:
    for version, named in sorted(halves.ups.items()):
        up = Script(named.file.path, named.file.file)
        sql = up.sql
        down = halves.downs.get(version)
        yield Migration(
            named.id,
            version,
            named.description,
            up,
            Script(down.file.path, down.file.file) if down else None,
            up.directives.depends if b"depends" in sql else (),
            checksum(sql, ignored_chars),
            down.description if down and down.description != named.description else "",
            ignored_chars,
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
