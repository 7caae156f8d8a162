"""Every exception: its sentence, its facts, its hint and its exit code."""

from __future__ import annotations

from torc_migrations.execution_errors import DatabaseFailed as DatabaseFailed
from torc_migrations.execution_errors import ExecutionFailed as ExecutionFailed
from torc_migrations.execution_errors import ForeignKeyViolations as ForeignKeyViolations
from torc_migrations.execution_errors import RowsLost as RowsLost
from torc_migrations.migration_error import MigrationError as MigrationError


class SourceError(MigrationError):
    """The folder of migrations cannot be used: missing, empty, or with a file that no migration can have."""

    exit_code = 2

    def __init__(self, source: str, reason: str, *, hint: str | None = None, frame: str | None = None) -> None:
        self.source = source
        super().__init__(reason, hint=hint, frame=frame)


class BadName(SourceError):
    """A file's name has no number where sqlx wants the version."""

    def __init__(self, source: str, name: str) -> None:
        self.name = name
        super().__init__(
            source,
            f'while resolving migrations: error parsing migration filename "{name}"; '
            "expected integer version prefix (e.g. `01_foo.sql`)",
            hint=f"rename {name!r} in {source}, or move it into a sub-folder, where nobody reads it",
        )


class DuplicateVersion(SourceError):
    """Two files claim the same version; sqlx's ledger has one row a version."""

    hint = "give one of them a version of its own, unless it is installed somewhere already"

    def __init__(self, source: str, version: int, names: tuple[str, str]) -> None:
        self.version = version
        self.names = names
        super().__init__(source, f"version {version} stands twice in {source}: {names[0]!r} and {names[1]!r}")


class MixedLayout(SourceError):
    """One folder holds both `.rollback.sql` (yoyo's layout) and `.up.sql` or `.down.sql` (sqlx's)."""

    hint = "keep one layout a folder; `torc-migrations export` writes a folder in the other"

    def __init__(self, source: str, names: tuple[str, str]) -> None:
        self.names = names
        super().__init__(source, f"{source} mixes two layouts: {names[0]!r} is yoyo's, {names[1]!r} is sqlx's")


class BadScript(SourceError):
    """A migration's text cannot be run: not UTF-8, Python, or with transaction control of its own.

    Attributes:
        path, line, column: where; counted from 1, in lines and characters; None where the whole file is meant.
    """

    def __init__(
        self,
        path: str,
        reason: str,
        *,
        line: int | None = None,
        column: int | None = None,
        hint: str | None = None,
        frame: str | None = None,
    ) -> None:
        self.path = path
        self.line = line
        self.column = column
        super().__init__(path, reason, hint=hint, frame=frame)


class BadDependency(SourceError):
    """A `-- depends:` line names a migration that does not exist, or one that comes later."""

    def __init__(self, path: str, dependency: str, reason: str) -> None:
        self.path = path
        self.dependency = dependency
        super().__init__(path, f"{path} depends on {dependency!r}, which {reason}")


class UrlError(MigrationError):
    """The database cannot be reached as it was named.

    Attributes:
        url: what was given, with any password masked.
    """

    exit_code = 2

    def __init__(self, url: str, reason: str, *, hint: str | None = None) -> None:
        self.url = url
        super().__init__(reason, hint=hint)


class CannotOpen(UrlError):
    """The database's file cannot be opened, read or written."""


class LedgerError(MigrationError):
    """What is recorded in the database contradicts the source, or itself.

    Attributes:
        version: the migration's version; None where the database as a whole is meant.
    """

    exit_code = 3

    def __init__(self, version: int | None, sentence: str, *, hint: str | None = None) -> None:
        self.version = version
        super().__init__(sentence, hint=hint)


class VersionMissing(LedgerError):
    """An installed version has no file in the source."""

    hint = "bring its file back, name the right folder with --source, or pass --ignore-missing"

    def __init__(self, version: int) -> None:
        sentence = f"migration {version} was previously applied but is missing in the resolved migrations"
        super().__init__(version, sentence)


class VersionMismatch(LedgerError):
    """An installed migration's file has been edited since.

    Attributes:
        recorded, local: the SHA-384 in the ledger and that of the file, 48 bytes each.
    """

    hint = "put the file back as it was applied, and write the change as a new migration"

    def __init__(self, version: int, *, recorded: bytes, local: bytes) -> None:
        self.recorded = recorded
        self.local = local
        super().__init__(version, f"migration {version} was previously applied but has been modified")


class Dirty(LedgerError):
    """A row with success = false: another tool began this migration and did not end it."""

    def __init__(self, version: int) -> None:
        sentence = f"migration {version} is partially applied; fix and remove row from `_sqlx_migrations` table"
        super().__init__(version, sentence)


class OutOfStep(LedgerError):
    """The two ledgers contradict each other, and nothing in them tells which is right.

    Attributes:
        yoyo, sqlx: whether yoyo's ledger, and sqlx's, say that the migration is installed.
    """

    hint = "`torc-migrations doctor` looks whether what it makes is there, and says what to type"

    def __init__(self, version: int, *, yoyo: bool, sqlx: bool) -> None:
        self.yoyo = yoyo
        self.sqlx = sqlx
        says = {True: "installed", False: "not installed"}
        super().__init__(
            version,
            f"migration {version} is out of step: yoyo's ledger says {says[yoyo]}, sqlx's says {says[sqlx]}, "
            "and the log cannot settle it",
        )


class OtherSchema(LedgerError):
    """The shipped torc schema was about to be put into a database that carries another one."""

    hint = "name the folder of its own migrations with --source (in Python: source=)"

    def __init__(self, database: str, evidence: str) -> None:
        self.database = database
        self.evidence = evidence
        super().__init__(None, f"{database} does not carry the torc schema that ships with this package: {evidence}")


class TargetError(MigrationError):
    """The version that was asked for cannot be reached.

    Attributes:
        version: the one asked for.
    """

    exit_code = 4

    def __init__(self, version: int, sentence: str, *, hint: str | None = None) -> None:
        self.version = version
        super().__init__(sentence, hint=hint)


class VersionNotPresent(TargetError):
    """The source has no such version."""

    hint = "`torc-migrations status` lists the versions that there are"

    def __init__(self, version: int) -> None:
        super().__init__(version, f"migration {version} is not present in the migration source")


class VersionTooOld(TargetError):
    """An upgrade was asked to end below `latest`, the newest version installed."""

    def __init__(self, version: int, latest: int) -> None:
        self.latest = latest
        super().__init__(
            version,
            f"migration {version} is older than the latest applied migration {latest}",
            hint=f"`torc-migrations rollback --target {version}` goes down to it",
        )


class VersionTooNew(TargetError):
    """A rollback was asked to end above `latest`, the newest version installed."""

    def __init__(self, version: int, latest: int) -> None:
        self.latest = latest
        super().__init__(
            version,
            f"migration {version} is newer than the latest applied migration {latest}",
            hint=f"`torc-migrations upgrade --target {version}` goes up to it",
        )


class Irreversible(TargetError):
    """A rollback meets a migration without a down script; nothing at all is rolled back."""

    hint = "stop above it with --target, or write its down script"

    def __init__(self, version: int) -> None:
        super().__init__(version, f"migration {version} has no down script and cannot be rolled back")


class DependencyPending(TargetError):
    """A migration was asked for whose `dependency`, an id, is neither installed nor asked for."""

    hint = "name both, or upgrade"

    def __init__(self, version: int, dependency: str) -> None:
        self.dependency = dependency
        super().__init__(version, f"migration {version} depends on {dependency}, which is pending")


class NotThere(TargetError):
    """A baseline was asked for, but the database lacks what its migrations make; nothing was recorded.

    Attributes:
        missing: what is not there, as names: `table job`, `column job.name`, `index i`.
    """

    hint = "name an older version, or upgrade"

    def __init__(self, version: int, missing: tuple[str, ...]) -> None:
        self.missing = missing
        some = ", ".join(missing[:3]) + (f" and {len(missing) - 3} more" if len(missing) > 3 else "")
        super().__init__(version, f"the database does not have what migration {version} leaves behind: {some}")


class LockTimeout(MigrationError):
    """Somebody else held the database for longer than we may wait.

    Attributes:
        holder: who, in words, as far as the system tells. waited: seconds.
    """

    exit_code = 5
    hint = "try again when it is done, or wait longer with --lock-timeout"

    def __init__(self, database: str, holder: str, waited: float) -> None:
        self.database = database
        self.holder = holder
        self.waited = waited
        super().__init__(f"{holder} has kept {database} locked for the {waited:.1f} s that we waited")
