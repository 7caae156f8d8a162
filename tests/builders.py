"""Build migrations, records and statuses by hand, for the tests of what only takes values."""

from __future__ import annotations

from hashlib import sha256, sha384

from torc_migrations.history.comparison import compare
from torc_migrations.history.records import NO_ROW as NO_ROW
from torc_migrations.history.records import LogEntry, Recorded, SqlxRecord, YoyoRecord, our_comment
from torc_migrations.history.status import Entry, Status
from torc_migrations.history.verdict import Verdict
from torc_migrations.sources.migration import Migration, Script
from torc_migrations.sources.names import Layout
from torc_migrations.sources.source import Source

SECOND = "2026-01-01 00:00:00"
LATER = "2026-01-01 00:00:01"


class Text:
    """A file in memory."""

    def __init__(self, path: str, text: str) -> None:
        self._path = path
        self._bytes = text.encode()

    def __str__(self) -> str:
        return self._path

    def read_bytes(self) -> bytes:
        """Return the file's bytes."""
        return self._bytes


def migration(version: int, *, down: bool = True, depends: tuple[str, ...] = ()) -> Migration:
    """Return a migration whose name and checksum follow from its version."""
    stem = f"{version}_step"
    rollback = Script(f"{stem}.rollback.sql") if down else None
    checksum = sha384(stem.encode()).digest()
    up, key = Script(Text(f"{stem}.sql", stem)), sha256(stem.encode()).hexdigest()
    return Migration(stem, version, "step", up, rollback, depends, checksum, key)


def source(*migrations: Migration) -> Source:
    """Return a source that holds these migrations."""
    return Source("migrations", migrations, Layout.YOYO)


def sqlx_row(
    of: Migration, *, at: str = SECOND, checksum: bytes | None = None, success: bool = True, time: int = 1000
) -> SqlxRecord:
    """Return the row that sqlx writes for a migration."""
    return SqlxRecord(of.version, checksum or of.checksum, success, at, time, 1)


def yoyo_row(of: Migration, *, at: str = SECOND) -> YoyoRecord:
    """Return the row that yoyo writes for a migration."""
    return YoyoRecord(of.id, at)


def history(*lines: tuple[str, str] | tuple[str, str, str]) -> tuple[LogEntry, ...]:
    """Return lines of yoyo's log, oldest first; a third value makes a line ours."""
    return tuple(
        LogEntry(operation, at, our_comment("step", *word) if word else None, position)
        for position, (operation, at, *word) in enumerate(lines)
    )


def recorded(
    *,
    sqlx: tuple[SqlxRecord, ...] = (),
    yoyo: tuple[Migration, ...] = (),
    log: dict[Migration, tuple[LogEntry, ...]] | None = None,
    yoyo_running: bool = False,
) -> Recorded:
    """Return what two ledgers say that hold these rows."""
    return Recorded(
        {row.version: row for row in sqlx},
        {of.hash: yoyo_row(of) for of in yoyo},
        {of.hash: told for of, told in (log or {}).items()},
        yoyo_running,
    )


def installed(*migrations: Migration) -> Recorded:
    """Return what both ledgers say after we have applied these."""
    rows = tuple(map(sqlx_row, migrations))
    log = {of: history(("apply", SECOND, row.identity)) for of, row in zip(migrations, rows, strict=True)}
    return recorded(sqlx=rows, yoyo=migrations, log=log)


def status_of(*migrations: Migration, said: Recorded | None = None) -> Status:
    """Compare migrations with what ledgers say of them; nothing by default."""
    return compare(source(*migrations), said or Recorded())


def out_of_step(of: Migration) -> Entry:
    """Return an entry that only yoyo's ledger has, and that nothing can settle."""
    return Entry(of, Verdict.OUT_OF_STEP, None, yoyo_row(of))
