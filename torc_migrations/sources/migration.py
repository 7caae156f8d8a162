"""A migration and its two scripts."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from torc_migrations.errors import BadScript
from torc_migrations.sources.checksums import mixes_line_endings, same_but_for_line_endings, text_digest
from torc_migrations.sources.directives import Directives, misspelt_directives, read_directives
from torc_migrations.sources.files import find_bad_byte, read_bytes
from torc_migrations.sources.text import frame, place

if TYPE_CHECKING:
    from torc_migrations.sources.files import Location


class Script:
    """The up or down script of a migration: a file whose bytes are read once, when they are first needed.

    Two scripts are equal if they have the same path and, as far as they were read, the same bytes.

    Attributes:
        path: the file's path, as messages name it.
    """

    __slots__ = ("_directives", "_foreign_keys", "_location", "_sql", "path")

    def __init__(self, location: Location, *, foreign_keys: bool | None = None) -> None:
        self.path = location if isinstance(location, str) else str(location)
        self._location = location
        self._sql: bytes | None = None
        self._directives: Directives | None = None
        self._foreign_keys = foreign_keys

    @classmethod
    def of_text(cls, path: str, sql: bytes) -> Script:
        """Return a script that is in no file, with a name in the place of a path.

        Raises:
            BadScript: it is not UTF-8, or has a NUL in it.
        """
        if (offset := find_bad_byte(sql)) is not None:
            raise _bad_byte(path, sql, offset)
        script = cls(path)
        script._sql = sql
        return script

    def with_foreign_keys(self, value: bool) -> Script:
        """Return the same script, which says that foreign keys are on, or off, whatever is written in it."""
        script = Script(self._location, foreign_keys=value)
        script._sql = self._sql
        return script

    @property
    def sql(self) -> bytes:
        """The file's bytes, exactly as they are on the disk.

        Raises:
            BadScript: the file cannot be read, is not UTF-8, or has a NUL in it.
        """
        if self._sql is None:
            sql = self._read()
            if (offset := find_bad_byte(sql)) is not None:
                raise _bad_byte(self.path, sql, offset)
            self._sql = sql
        return self._sql

    @property
    def directives(self) -> Directives:
        """The directives in the comments at the head of the script.

        Raises:
            BadScript: a directive has a value that it cannot have.
        """
        if self._directives is None:
            try:
                self._directives = read_directives(self.sql)
            except ValueError as error:
                raise BadScript(self.path, f"{self.path}: {error}") from error
            if self._foreign_keys is not None:
                self._directives = self._directives._replace(foreign_keys=self._foreign_keys, says_foreign_keys=True)
        return self._directives

    @property
    def warnings(self) -> tuple[str, ...]:
        """Sentences about comments that look like directives, and have no effect."""
        return tuple(misspelt_directives(self.path, self.sql, foreign_keys=self._foreign_keys is not None))

    def _read(self) -> bytes:
        try:
            return read_bytes(self._location)
        except OSError as error:
            raise BadScript(self.path, f"cannot read {self.path}: {error.strerror or error}") from error

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Script) or self.path != other.path:
            return False
        return self._sql is None or other._sql is None or self._sql == other._sql

    def __hash__(self) -> int:
        return hash(self.path)

    def __reduce__(self) -> tuple[object, ...]:
        return _restored_script, (self.path, self._sql, self._foreign_keys)

    def __repr__(self) -> str:
        return f"Script({self.path!r})"


def _restored_script(path: str, sql: bytes | None, foreign_keys: bool | None) -> Script:
    script = Script(path, foreign_keys=foreign_keys)
    script._sql = sql
    return script


def _bad_byte(path: str, sql: bytes, offset: int) -> BadScript:
    what = "is not UTF-8" if sql[offset] else "holds a NUL byte"
    where = place(sql, offset)
    return BadScript(
        path,
        f"{path} {what}: byte 0x{sql[offset]:02x} at offset {offset}",
        line=where.line,
        column=where.column,
        frame=frame(path, where),
        hint="save the file as UTF-8",
    )


@dataclass(frozen=True, slots=True)
class Migration:
    """One versioned change of a database.

    Attributes:
        id: the up file's name without its suffix, which is the migration's id in yoyo's ledger.
        version: the number at the beginning of the name, which is the migration's key in sqlx's ledger.
        description: the words after the number.
        up, down: the scripts; `down` is None where there is no file for it.
        depends: the ids in the `-- depends:` lines of the up script.
        checksum: the SHA-384 of the up script's bytes, as in sqlx's ledger.
        hash: the SHA-256 of the id in hexadecimal, which is the migration's key in yoyo's ledger.
        down_description: the words in the down file's name, or empty where they are those of the up file.
        ignored_chars: the characters that are left out of the checksum.
        compatible_from: the version in the `-- compatible-from:` line of the up script, or None: what an older release
            must have at least, to work on a database with this migration.
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
    compatible_from: int | None = None

    @property
    def reversible(self) -> bool:
        """Whether there is a down script."""
        return self.down is not None

    @property
    def kept_down(self) -> bytes | None:
        """The down script that the database keeps for older releases, if the migration says anything to them."""
        return self.down.sql if self.down is not None and self.compatible_from is not None else None

    def with_foreign_keys(self, value: bool) -> Migration:
        """Return the same migration, whose scripts say that foreign keys are on, or off."""
        down = self.down.with_foreign_keys(value) if self.down else None
        return replace(self, up=self.up.with_foreign_keys(value), down=down)

    def same_but_for_line_endings(self, recorded: bytes, digest: str | None = None) -> bool:
        """Return whether a recorded checksum is that of the same up script with other line endings, or another BOM.

        Where the script that was recorded mixed line endings, only the `digest` of its text shows that.
        """
        if digest is not None and digest == text_digest(self.up.sql, self.ignored_chars):
            return True
        return same_but_for_line_endings(self.up.sql, recorded, self.ignored_chars)

    @property
    def mixed_text(self) -> str | None:
        """A digest of the text of an up script that mixes line endings; None for any other script."""
        return text_digest(self.up.sql, self.ignored_chars) if mixes_line_endings(self.up.sql) else None

    def __repr__(self) -> str:
        return f"Migration({self.id!r})"
