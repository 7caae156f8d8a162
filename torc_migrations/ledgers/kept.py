"""What the database itself keeps of a migration: which older releases work with it, and its down script.

Only a migration with a `-- compatible-from:` line has a row. The table is no ledger: it does not say what is installed,
and a row counts only where sqlx's ledger has one with the same checksum. yoyo and sqlx do not know it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property

from torc_migrations.databases.interface import Database, Row
from torc_migrations.errors import DamagedLedger
from torc_migrations.history.records import SqlxRecord
from torc_migrations.ledgers.tables import KEPT_TABLE
from torc_migrations.sources.checksums import yoyo_hash
from torc_migrations.sources.migration import Migration, Script

_COLUMNS = ("version", "id", "description", "checksum", "compatible_from", "down_script")
SELECT_NOTHING = """
    SELECT 1
    FROM {kept}
    LIMIT 0
"""
SELECT_KEPT = """
    SELECT version, id, description, checksum, compatible_from, down_script
    FROM {kept}
    WHERE ledger = :ledger
    ORDER BY version
"""
DELETE_KEPT = """
    DELETE FROM {kept}
    WHERE ledger = :ledger
    AND version = :version
"""
INSERT_KEPT = """
    INSERT INTO {kept} (ledger, version, id, description, checksum, compatible_from, down_script)
    VALUES (:ledger, :version, :id, :description, :checksum, :compatible_from, :down_script)
"""


class KeptMigrations:
    """The table of what is kept, as far as it belongs to one ledger of sqlx, whose name is `ledger`.

    Writing needs a transaction of the caller's; what the table does not have to be asked for costs no statement.
    """

    def __init__(self, database: Database, ledger: str) -> None:
        self._database = database
        self._ledger = ledger

    @cached_property
    def _names(self) -> dict[str, str]:
        return {"kept": self._database.qualified(self._database.quote_identifier(KEPT_TABLE))}

    def exists(self) -> bool:
        """Return whether there is the table."""
        return self._database.rows_or_none(SELECT_NOTHING.format_map(self._names)) is not None

    def create(self) -> None:
        """Create the table where it is missing."""
        if not self.exists():
            self._database.execute(self._database.sql.create_kept_table.format_map(self._names))

    def write(self, migration: Migration) -> None:
        """Keep what a migration says, in the place of what was kept of its version; nothing where it says nothing."""
        if migration.compatible_from is None:
            return
        self.delete(migration)
        facts = {
            "ledger": self._ledger,
            "version": migration.version,
            "id": migration.id,
            "description": migration.down_description or migration.description,
            "checksum": migration.checksum,
            "compatible_from": migration.compatible_from,
            "down_script": migration.kept_down,
        }
        self._database.execute(INSERT_KEPT.format_map(self._names), facts)

    def delete(self, migration: Migration, version: int | None = None) -> None:
        """Remove what is kept of a migration, or of the version that it had; nothing where it says nothing."""
        if migration.compatible_from is None:
            return
        facts = {"ledger": self._ledger, "version": migration.version if version is None else version}
        self._database.execute(DELETE_KEPT.format_map(self._names), facts)

    def read(self, versions: Iterable[int], installed: Mapping[int, SqlxRecord]) -> tuple[Migration, ...]:
        """Return what is kept of some versions, by ascending version; the up scripts have no text.

        Raises:
            DamagedLedger: a row has a value that cannot be understood.
        """
        rows = self._database.rows_or_none(SELECT_KEPT.format_map(self._names), {"ledger": self._ledger})
        return tuple(self._of(rows or (), frozenset(versions), installed))

    def _of(
        self, rows: Iterable[Row], versions: frozenset[int], installed: Mapping[int, SqlxRecord]
    ) -> Iterator[Migration]:
        for row in rows:
            version = row[0]
            # Another tool may have rolled the migration back, and applied another one of its version.
            if version in versions and installed[version].checksum == row[3]:
                yield _checked(row)


def _checked(row: Row) -> Migration:
    for column, value, kinds in zip(_COLUMNS, row, (int, str, str, bytes, int, (bytes, type(None))), strict=True):
        if not isinstance(value, kinds):  # type: ignore[arg-type]  # a tuple of classes
            raise DamagedLedger(KEPT_TABLE, column, row=row[0], value=value)
    version, name, description, checksum, compatible_from, down = row
    place = f"{KEPT_TABLE}/{name}"
    return Migration(
        id=name,
        version=version,
        description=description,
        up=Script.of_text(f"{place}.up.sql", b""),
        down=None if down is None else Script.of_text(f"{place}.down.sql", down),
        depends=(),
        checksum=checksum,
        hash=yoyo_hash(name),
        compatible_from=compatible_from,
    )
