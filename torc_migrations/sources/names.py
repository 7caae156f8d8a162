"""Read versions and descriptions from file names, in yoyo's layout or in sqlx's; no file is opened here."""

from __future__ import annotations

import re
from enum import Enum
from typing import TYPE_CHECKING

from torc_migrations.errors import BadName, BadOrder, BadScript, DuplicateVersion, MixedLayout, SourceError
from torc_migrations.sources.yoyo_names import NameRule, first_difference, rule_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torc_migrations.sources.files import File, Location

LOCK = "migrations.lock"  # see `checks/branches/lock.py`

_UP, _DOWN, _ROLLBACK, _SIMPLE = ".up.sql", ".down.sql", ".rollback.sql", ".sql"
# sqlx's versions are signed 64-bit integers. A file's name has at most 255 bytes, but a name in a zip may be longer.
_OLDEST, _NEWEST = -(2**63), 2**63 - 1
_LONGEST_NUMBER = 255
_SURELY = len(str(_NEWEST)) - 1  # a number of this many digits always fits
_DATE = len("20230101")
_MADE_OF = (
    "the version is the number that a name begins with, or its date and count, and sqlx's ledger has one row a "
    "version; give one of them another version, unless it is installed somewhere already"
)

_FLYWAY = "this is a name of Flyway; convert(directory, output) writes files with names that can be read"
_FLYWAY_COMMAND = (
    "this is a name of Flyway; `torc-migrations convert DIR --output NEW` writes files with names that can be read"
)
_OR_YOYO = "or keep this directory for yoyo"


class Layout(Enum):
    """Which tool's names the files of a directory have; SIMPLE are names that both tools have."""

    YOYO = "yoyo"
    SQLX = "sqlx"
    SIMPLE = "simple"


_YOYO, _SQLX = Layout.YOYO, Layout.SQLX

# How the up and the down file of a pair end, by layout.
SUFFIXES = {Layout.YOYO: (_SIMPLE, _ROLLBACK), Layout.SQLX: (_UP, _DOWN)}


class Named:
    """The files of one migration, and what their names say.

    `id` is the stem of the up file's `name`; `down_description` is empty where it is that of the up file.
    """

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


class Names:
    """The migrations by ascending version, yoyo's post-apply hooks, and notes about files that are neither.

    `warnings` are those of the notes that are about SQL: an upgrade prints them too.
    """

    def __init__(
        self,
        layout: Layout,
        migrations: list[Named],
        hooks: list[File],
        notes: tuple[str, ...],
        warnings: tuple[str, ...],
    ) -> None:
        self.layout = layout
        self.migrations = migrations
        self.hooks = hooks
        self.notes = notes
        self.warnings = warnings


class _Kinds:
    """Files by the end of their names; `others` are no SQL."""

    def __init__(self) -> None:
        self.simples: list[File] = []
        self.ups: list[File] = []
        self.downs: list[File] = []
        self.rollbacks: list[File] = []
        self.hooks: list[File] = []
        self.others: list[File] = []


def read_names(source: str, files: list[File]) -> Names:
    """Read the names of a source's files, and pair the up files with their down files.

    Raises:
        SourceError: the layouts are mixed, a version is used twice, or a name is one that no migration can have.
    """
    kinds = _by_kind(files)
    _refuse_python(kinds.others)
    layout = _layout(source, kinds)
    reader = _Reader(source, layout, rule_for(name for name, _ in kinds.simples))
    ignored = list(_notes(kinds.others))
    suffix, downs = (_ROLLBACK, kinds.rollbacks) if layout is _YOYO else (_DOWN, kinds.downs)
    by_stem = _by_stem(source, downs, suffix)
    reader.read_ups(kinds.simples, _SIMPLE, by_stem)
    reader.read_ups(kinds.ups, _UP, by_stem)
    reader.read_downs(by_stem, suffix)
    named = [reader.named[version] for version in sorted(reader.named)]
    scripts = (file for file in kinds.others if file[0].lower().endswith(_SIMPLE))
    warnings = (*_notes(list(scripts)), *reader.notes)
    reader.check_for_yoyo(named)
    return Names(layout, named, kinds.hooks, (*ignored, *reader.notes), warnings)


def up_of(name: str) -> str | None:
    """Return the name of the up file of a down file that has a version, or None for another file."""
    ups = (name.removesuffix(down) + up for up, down in SUFFIXES.values() if name.endswith(down))
    ends = "-._" if name.endswith(_ROLLBACK) else "_"  # of the number: yoyo's users have others too
    return next((up for up in ups if re.match(rf"\d+[{ends}](?!sql$)", up)), None)


def _by_kind(files: list[File]) -> _Kinds:
    kinds = _Kinds()
    simples, ups, downs, rollbacks = kinds.simples, kinds.ups, kinds.downs, kinds.rollbacks
    for file in files:
        name = file[0]
        if not name.endswith(_SIMPLE) or name.startswith("."):
            kinds.others.append(file)
        elif name.endswith(_ROLLBACK):
            rollbacks.append(file)
        elif name.endswith(_DOWN):
            downs.append(file)
        elif name.startswith("post-apply"):
            kinds.hooks.append(file)
        elif name.endswith(_UP):
            ups.append(file)
        else:
            simples.append(file)
    return kinds


def _refuse_python(files: list[File]) -> None:
    for name, location in files:
        if name.endswith(".py") and name != "__init__.py":
            raise BadScript(
                str(location),
                f"{location} is a migration in Python; only plain SQL is run",
                hint=f"convert(directory, output) writes its steps as SQL; {_OR_YOYO}",
                command_hint=f"`torc-migrations convert DIR --output NEW` writes its steps as SQL; {_OR_YOYO}",
            )


def _notes(files: list[File]) -> Iterator[str]:
    """Return a note for each of these files, except hidden ones, a package's `__init__.py`, and ours."""
    for name, location in files:
        hidden = name.startswith(".") and not name.endswith(_SIMPLE)
        if not (hidden or name in ("__init__.py", LOCK)):
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
            source, f"two file names in {source} differ only in bytes that are not UTF-8", hint="rename one of them"
        )
    return by_stem


class _Reader:
    """Reads the names of one source; `named` are the migrations that were found so far, by version."""

    def __init__(self, source: str, layout: Layout, rule: NameRule) -> None:
        self.named: dict[int, Named] = {}
        self.notes: list[str] = []
        self._source = source
        self._layout = layout
        self._rule = rule
        self._of_yoyo: str | None = None  # a name that only yoyo's users have
        self._unread: list[str] = []  # names of up files without a version

    def read_ups(self, files: list[File], suffix: str, downs: dict[str, Location]) -> None:
        """Read the names of up files, and take the down file of the same stem, if there is one, out of `downs`."""
        cut = -len(suffix)
        for name, location in files:
            stem = name[:cut]
            read = self._read_stem(name, stem, suffix)
            if read is None:
                self._unread.append(name)
                self.notes.append(_ignored(location))
                continue
            version, description = read
            # If the suffix is there twice, the description of the down file is another one.
            down = None if stem.endswith(_SIMPLE) else downs.pop(stem, None)
            named = Named(version, stem, description, name, location, down)
            other = self.named.setdefault(version, named)
            if other is not named:
                raise self._duplicate(version, name, other.name)

    def read_downs(self, downs: dict[str, Location], suffix: str) -> None:
        """Pair the other down files by version, as sqlx does; in yoyo's layout the stem must be the same too."""
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

    def check_for_yoyo(self, named: list[Named]) -> None:
        """Refuse what yoyo runs and this package does not, or in another order, in a directory that is yoyo's."""
        if self._of_yoyo and self._unread:
            raise self._bad_name(self._unread[0])
        if not (self._of_yoyo or self._layout is _YOYO):
            return
        if names := first_difference([each.name for each in named]):
            if self._of_yoyo:
                raise BadOrder(self._source, names)
            self.notes.append(
                f"{self._source}: yoyo runs {names[0]!r} before {names[1]!r}; here the lower version is first"
            )

    def _bad_name(self, name: str) -> BadName:
        """Return the error for a file that yoyo runs, and sqlx ignores."""
        return BadName(
            self._source,
            name,
            hint=f"yoyo runs {name!r}, and sqlx ignores it: rename it to VERSION_DESCRIPTION.sql, or move it into a "
            "subdirectory, which is not read",
        )

    def _duplicate(self, version: int, one: str, two: str) -> DuplicateVersion:
        hint = _MADE_OF if self._of_yoyo else None
        return DuplicateVersion(self._source, version, (min(one, two), max(one, two)), hint=hint)

    def _read_stem(self, name: str, stem: str, suffix: str) -> tuple[int, str] | None:
        """Return the version and the description in a file's name, or None where there is no version."""
        number, underscore, rest = stem.partition("_")
        # In yoyo's own names the part before the first underscore has eight digits, or is not a number.
        plain = number.isdigit() and len(number) != _DATE
        if not plain and self._layout is not _SQLX and (found := self._rule.read(stem)):
            self._of_yoyo = name
            return self._version(name, found[0]), found[1].replace("-", " ").replace("_", " ").strip()
        if underscore:
            words = (_trimmed(rest, suffix) if rest.endswith(suffix) else rest).replace("_", " ")
            return self._version(name, number), words.strip() if self._layout is _YOYO else words
        if self._layout is _YOYO:
            raise self._bad_name(name)
        return None

    def _version(self, name: str, number: str) -> int:
        if number.isdigit() and number.isascii() and len(number) <= _SURELY:
            return int(number)
        digits = number[1:] if number.startswith(("+", "-")) else number
        if _is_number(digits) and len(digits) <= _LONGEST_NUMBER and _OLDEST <= int(number) <= _NEWEST:
            return int(number)
        if name[0] in "VUR" and "__" in name:
            raise BadName(self._source, name, hint=_FLYWAY, command_hint=_FLYWAY_COMMAND)
        raise BadName(self._source, name)


def read_stem(stem: str, rule: NameRule) -> tuple[int, str] | None:
    """Return the version and the words in the name of a migration that may have no file; None where it has none."""
    number, _, rest = stem.partition("_")
    if not (number.isdigit() and len(number) != _DATE) and (found := rule.read(stem)):
        number, rest = found
    if not (_is_number(number) and len(number) <= _LONGEST_NUMBER and int(number) <= _NEWEST):
        return None
    return int(number), rest


def _trimmed(rest: str, suffix: str) -> str:
    """Remove a suffix as often as it is there, as sqlx does."""
    while rest.endswith(suffix):
        rest = rest.removesuffix(suffix)
    return rest


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit()
