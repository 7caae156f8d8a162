"""What the names of a source's files say, in yoyo's layout or in sqlx's; pure, a file here is a name."""

from __future__ import annotations

from enum import Enum

from torc_migrations.errors import BadName, BadScript, DuplicateVersion, MixedLayout, SourceError
from torc_migrations.values import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from torc_migrations.listing import File, Location

_UP, _DOWN, _ROLLBACK, _SIMPLE = ".up.sql", ".down.sql", ".rollback.sql", ".sql"
# sqlx's versions are signed, of 64 bits; no file's name is longer than 255 bytes, a name in a zip may be.
_OLDEST, _NEWEST = -(2**63), 2**63 - 1
_LONGEST_NUMBER = 255
_SURELY = len(str(_NEWEST)) - 1  # so many digits always fit
_DATE = len("20230101")


class Layout(Enum):
    """How a folder names its files."""

    YOYO = "yoyo"
    SQLX = "sqlx"
    SIMPLE = "simple"


_YOYO, _SQLX = Layout.YOYO, Layout.SQLX


class Named:
    """The files of one migration, and what their names say; there are many, so they are made as fast as can be.

    `id` is the stem of the up file's `name`; `down_description` is empty where the down file has the same stem.
    """

    __slots__ = ("description", "down", "down_description", "id", "name", "up", "version")

    def __init__(
        self, version: int, stem: str, description: str, name: str, up: Location, down: Location | None
    ) -> None:
        self.version = version
        self.id = stem
        self.description = description
        self.name = name
        self.up = up
        self.down = down
        self.down_description = ""


class Names(NamedTuple):
    """What all names say: migrations by ascending version, yoyo's post-apply hooks, and notes about other files."""

    layout: Layout
    migrations: list[Named]
    hooks: list[File]
    notes: tuple[str, ...]


class _Kinds(NamedTuple):
    """Files by what their names end with; `others` are not even SQL."""

    simples: list[File]
    ups: list[File]
    downs: list[File]
    rollbacks: list[File]
    hooks: list[File]
    others: list[File]


def read_names(source: str, files: list[File]) -> Names:
    """Read the names of a source's files, and pair the up files with their down files.

    Raises:
        SourceError: the layouts are mixed, a version stands twice, or a name is one that no migration can have.
    """
    kinds = _by_kind(files)
    _refuse_what_only_yoyo_runs(kinds.others)
    layout = _layout(source, kinds)
    reader = _Reader(source, layout)
    reader.notes += _notes(kinds.others)
    suffix, downs = (_ROLLBACK, kinds.rollbacks) if layout is _YOYO else (_DOWN, kinds.downs)
    by_stem = _by_stem(source, downs, suffix)
    reader.read_ups(kinds.simples, _SIMPLE, by_stem)
    reader.read_ups(kinds.ups, _UP, by_stem)
    reader.read_downs(by_stem, suffix)
    named = [reader.named[version] for version in sorted(reader.named)]
    return Names(layout, named, kinds.hooks, tuple(reader.notes))


def _by_kind(files: list[File]) -> _Kinds:
    kinds = _Kinds([], [], [], [], [], [])
    simples, ups, downs, rollbacks, hooks, others = kinds
    for file in files:
        name = file[0]
        if not name.endswith(_SIMPLE) or name.startswith("."):
            others.append(file)
        elif name.endswith(_ROLLBACK):
            rollbacks.append(file)
        elif name.endswith(_DOWN):
            downs.append(file)
        elif name.startswith("post-apply"):
            hooks.append(file)
        elif name.endswith(_UP):
            ups.append(file)
        else:
            simples.append(file)
    return kinds


def _refuse_what_only_yoyo_runs(files: list[File]) -> None:
    for name, location in files:
        if name.endswith(".py") and name != "__init__.py":
            raise BadScript(
                str(location),
                f"{location} is a migration in Python; only plain SQL is run",
                hint="write it as SQL, or go on running this folder with yoyo",
            )


def _notes(files: list[File]) -> Iterator[str]:
    """Name these files; but for those that are meant to be overlooked, and a package's own."""
    for name, location in files:
        hidden = name.startswith(".") and not name.endswith(_SIMPLE)
        if not (hidden or name == "__init__.py"):
            yield _ignored(location)


def _ignored(location: Location) -> str:
    return f"{location} is ignored: its name is not VERSION_DESCRIPTION.sql"


def _layout(source: str, kinds: _Kinds) -> Layout:
    sqlx = sorted(name for name, _ in (*kinds.ups[:1], *kinds.downs[:1]))
    if kinds.rollbacks and sqlx:
        raise MixedLayout(source, (kinds.rollbacks[0][0], sqlx[0]))
    return _YOYO if kinds.rollbacks else _SQLX if sqlx else Layout.SIMPLE


def _by_stem(source: str, downs: list[File], suffix: str) -> dict[str, Location]:
    cut = -len(suffix)
    by_stem = {name[:cut]: location for name, location in downs}
    if len(by_stem) < len(downs):
        raise SourceError(
            source, f"two names in {source} differ only where they are no UTF-8", hint="rename one of them"
        )
    return by_stem


class _Reader:
    """Reads the names of one source; `named` are its migrations by version, so far."""

    def __init__(self, source: str, layout: Layout) -> None:
        self.named: dict[int, Named] = {}
        self.notes: list[str] = []
        self._source = source
        self._layout = layout

    def read_ups(self, files: list[File], suffix: str, downs: dict[str, Location]) -> None:
        """Read the names of up files, and take each one's down file, if it has the same stem, out of `downs`."""
        cut = -len(suffix)
        for name, location in files:
            stem = name[:cut]
            read = self._read_stem(name, stem, suffix)
            if read is None:
                self.notes.append(_ignored(location))
                continue
            version, description = read
            # Where a suffix stands twice the down file's description is another.
            down = None if stem.endswith(_SIMPLE) else downs.pop(stem, None)
            named = Named(version, stem, description, name, location, down)
            other = self.named.setdefault(version, named)
            if other is not named:
                raise self._duplicate(version, name, other.name)

    def read_downs(self, downs: dict[str, Location], suffix: str) -> None:
        """Pair down files that have no up file of their stem, as sqlx does, by version; yoyo wants the stem too."""
        names: dict[int, str] = {}
        for stem, location in downs.items():
            name = stem + suffix
            read = self._read_stem(name, stem, suffix)
            if read is None:
                self.notes.append(_ignored(location))
                continue
            version, description = read
            up = self.named.get(version)
            if up and up.down is not None:
                raise self._duplicate(version, name, names.get(version) or up.id + suffix)
            if version in names:
                raise self._duplicate(version, name, names[version])
            names[version] = name
            if up is None or (self._layout is _YOYO and up.id != stem):
                self.notes.append(f"{location} is ignored: it has no up script")
            else:
                up.down = location
                up.down_description = "" if description == up.description else description

    def _duplicate(self, version: int, one: str, two: str) -> DuplicateVersion:
        return DuplicateVersion(self._source, version, (min(one, two), max(one, two)))

    def _read_stem(self, name: str, stem: str, suffix: str) -> tuple[int, str] | None:
        """Return the version and the description that a file's name tells, or None where it tells none."""
        number, underscore, rest = stem.partition("_")
        # Only a number of eight digits, or what is none, can begin one of the names that are yoyo's own.
        plain = number.isdigit() and len(number) != _DATE
        if not plain and self._layout is not _SQLX and (found := _generated(stem) or _wild(stem)):
            return self._version(name, found[0]), found[1].replace("-", " ").replace("_", " ").strip()
        if underscore:
            words = (_trimmed(rest, suffix) if rest.endswith(suffix) else rest).replace("_", " ")
            return self._version(name, number), words.strip() if self._layout is _YOYO else words
        if self._layout is _YOYO:
            raise BadName(self._source, name)  # stock yoyo would run it
        return None

    def _version(self, name: str, number: str) -> int:
        if number.isdigit() and number.isascii() and len(number) <= _SURELY:
            return int(number)
        digits = number[1:] if number.startswith(("+", "-")) else number
        if _is_number(digits) and len(digits) <= _LONGEST_NUMBER and _OLDEST <= int(number) <= _NEWEST:
            return int(number)
        raise BadName(self._source, name)


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


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit()
