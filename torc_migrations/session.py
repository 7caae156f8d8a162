"""What both ledgers of one open database say, beside one source; nothing is changed here."""

from __future__ import annotations

from torc_migrations.connection import read_tables
from torc_migrations.errors import OtherSchema
from torc_migrations.judgement import State, Status, compare

TYPE_CHECKING = False
if TYPE_CHECKING:
    from torc_migrations.database import Database
    from torc_migrations.judgement import Recorded
    from torc_migrations.ledger import Ledgers
    from torc_migrations.migration import Source


class Session:
    """One operation on one open database.

    Attributes:
        database: the database that the operation is on. ledgers: its two ledgers. source: the migrations.
        strict: whether scripts that commit by themselves are refused.
        latest: the newest version that was installed when the ledgers were read last.
    """

    def __init__(self, database: Database, source: Source, ledgers: Ledgers, *, strict: bool = False) -> None:
        self.database = database
        self.source = source
        self.ledgers = ledgers
        self.strict = strict
        self.latest: int | None = None
        self._planned: Recorded | None = None
        self._seen = -1

    def on(self, database: Database) -> Session:
        """Return the same on another database."""
        return Session(database, self.source, self.ledgers.of(database), strict=self.strict)

    def status(self) -> Status:
        """Read both ledgers as of one moment, to plan from."""
        with self.database.reading():
            self._planned = self.ledgers.read()
            return self._compare(self._planned)

    def read(self) -> Status:
        """Read both ledgers, in the caller's transaction."""
        self._planned = None
        return self._compare(self.ledgers.read())

    def is_stale(self) -> bool:
        """Tell whether another connection wrote after the ledgers were read and before our transaction began."""
        return self.database.begun_at != self._seen

    def read_anew(self) -> Status | None:
        """Read both ledgers, in the caller's transaction, to plan again; None where they say what they said before."""
        recorded = self.ledgers.read()
        if recorded == self._planned:
            self._seen = self.database.version()
            return None
        self._planned = recorded
        return self._compare(recorded)

    def note_writing(self) -> None:
        """Note that we write, so that what was planned from is not what there is any more."""
        self._planned = None

    def _compare(self, recorded: Recorded) -> Status:
        self._seen = self.database.version()
        status = compare(self.source, recorded)
        self.latest = status.latest
        return status

    def interrupt(self) -> None:
        """Stop the statement that is running, from another thread; it fails, and its step is rolled back."""
        self.database.connection.interrupt()

    def objects(self) -> frozenset[str]:
        """Return the names of everything in the schema."""
        from torc_migrations.scratch import objects

        with self.database.reading():
            return objects(self.database)

    def yoyo_holder(self) -> str | None:
        """Say which living process holds yoyo's lock, or return None."""
        with self.database.reading():
            holder = self.database.living_yoyo()
        return str(holder) if holder else None

    def refuse_other_schema(self, status: Status) -> None:
        """Keep the shipped schema out of a database that carries another one.

        Raises:
            OtherSchema: nothing of the shipped schema is installed, but something else is there.
        """
        if evidence := self.other_schema(status):
            raise OtherSchema(self.database.name, evidence)

    def other_schema(self, status: Status) -> str | None:
        """Say what shows that a database carries another schema than the shipped one, or return None."""
        if any(entry.state is State.INSTALLED for entry in status.entries):
            return None
        for entry in status.entries:
            if entry.changed:
                return f"its migration {entry.migration.version} has another text"
        if status.missing:
            return f"its migration {status.missing[0]} is not among ours"
        with self.database.reading():
            tables = [name for name in read_tables(self.database.connection) if name not in self.ledgers.tables]
        return f"it has a table {tables[0]!r}" if tables else None
