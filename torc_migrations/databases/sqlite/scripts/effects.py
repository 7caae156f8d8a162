"""What a script does, as SQLite's parser reports it to an authorizer."""

from __future__ import annotations

import math
import re
import sqlite3
from typing import NamedTuple

from torc_migrations.databases.sqlite.catalog.definitions import DefinitionChange
from torc_migrations.databases.sqlite.scripts.statements import BLANKS, NAME, Flow, new_table_name
from torc_migrations.formatting import lowered

WRITES = (sqlite3.SQLITE_INSERT, sqlite3.SQLITE_UPDATE, sqlite3.SQLITE_DELETE)
DROPS = (sqlite3.SQLITE_DROP_TABLE, sqlite3.SQLITE_DROP_VTABLE)
CREATES = (sqlite3.SQLITE_CREATE_TABLE, sqlite3.SQLITE_CREATE_VTABLE)
# After one of these an object may fail that worked before: a view, a trigger, or a key.
_MAY_BREAK = frozenset(
    {
        *(*DROPS, sqlite3.SQLITE_DROP_VIEW, sqlite3.SQLITE_DROP_INDEX),
        *(sqlite3.SQLITE_ALTER_TABLE, sqlite3.SQLITE_CREATE_TRIGGER),
    }
)
_CHANGES_OBJECT = frozenset(
    {
        *(*CREATES, *DROPS, sqlite3.SQLITE_CREATE_VIEW, sqlite3.SQLITE_DROP_VIEW, sqlite3.SQLITE_CREATE_INDEX),
        *(sqlite3.SQLITE_DROP_INDEX, sqlite3.SQLITE_CREATE_TRIGGER, sqlite3.SQLITE_DROP_TRIGGER),
    }
)
_MARKS = "sqlite_sequence"
_SCHEMA_TABLE = "sqlite_master"  # what SQLite reads and writes there says no more than the name of the object

# PRAGMAs that set nothing in the connection: they read, act, or write what belongs to the file.
_SETS_NOTHING = frozenset(
    {
        *("application_id", "collation_list", "compile_options", "data_version", "database_list", "foreign_key_check"),
        *("foreign_key_list", "freelist_count", "function_list", "index_info", "index_list", "index_xinfo"),
        *("integrity_check", "module_list", "optimize", "page_count", "pragma_list", "quick_check", "schema_version"),
        *("shrink_memory", "stats", "table_info", "table_list", "table_xinfo", "user_version", "wal_checkpoint"),
    }
)
_FILES = (sqlite3.SQLITE_ATTACH, sqlite3.SQLITE_DETACH)
_MAINTENANCE = (sqlite3.SQLITE_ANALYZE, sqlite3.SQLITE_REINDEX)
_TEMPORARY_ON = (sqlite3.SQLITE_CREATE_TEMP_INDEX, sqlite3.SQLITE_CREATE_TEMP_TRIGGER)
_OF_THE_PROCESS = frozenset({"data_store_directory", "hard_heap_limit", "soft_heap_limit", "temp_store_directory"})
# The modes in the order in which SQLite looks for one that begins as the word of a PRAGMA does.
_JOURNAL_MODES = ("delete", "persist", "off", "truncate", "memory", "wal")
# With these a transaction cannot be rolled back, or not after a kill.
_UNSAFE_JOURNAL_MODES = ("off", "memory")
_AUTO_VACUUM = {"none": 0, "full": 1, "incremental": 2}
OUTSIDE_HINT = "begin the file with `-- no-transaction`, and write this into a migration of its own"
_UNJOURNALED = (
    "remove it; or begin the file with `-- no-transaction`, where a failure or a kill can leave the database damaged"
)
# What a PRAGMA that does nothing in silence is noted with.
DOES_NOTHING = {
    "auto_vacuum": "does nothing to a file that has tables before the next VACUUM; write both into a migration of its "
    "own that begins with `-- no-transaction`",
    "encoding": "does nothing to a file that has tables, and the ledgers are made first; create the file with it, "
    "before the first upgrade",
    "foreign_keys": "does nothing in a transaction: foreign keys are off while a script runs, unless its head says "
    "`-- foreign-keys: on`",
    "journal_mode": "does nothing in a transaction; write it into a migration of its own that begins with "
    "`-- no-transaction`",
    "page_size": "does nothing to a file that has tables before the next VACUUM; write both into a migration of its "
    "own that begins with `-- no-transaction`",
}

_ALTERS = re.compile(
    rf"{BLANKS} ALTER {BLANKS} TABLE {BLANKS} {NAME} {BLANKS} (?: \. {BLANKS} {NAME} {BLANKS} )?"
    r"(?: (?P<adds> ADD ) | DROP | RENAME ) \b",
    re.VERBOSE | re.DOTALL | re.IGNORECASE,
)
_REFERENCES = re.compile("REFERENCES", re.IGNORECASE)
_INSERTS_VALUES = re.compile(
    rf"\s* INSERT \s+ INTO \s+ {NAME} (?: \. {NAME} )? \s* (?: \( [^()]* \) \s* )? VALUES \b",
    re.VERBOSE | re.IGNORECASE,
)


class Pragma(NamedTuple):
    """A PRAGMA that sets something: its name in lower case, the value, and the schema, where it names one."""

    name: str
    value: str | None
    schema: str | None

    def __str__(self) -> str:
        schema = f"{self.schema}." if self.schema else ""
        return f"PRAGMA {schema}{self.name}" + (f" = {self.value}" if self.value is not None else "")


class ScriptEffects:
    """What one script does.

    Args:
        lent: the lower names of the TEMP objects that a lent connection had before.
        schemas: the lower names of the files that were attached to it.

    Attributes:
        may_commit: whether it may begin and end transactions; SQLite calls END a COMMIT.
        tables: the tables, in lower case, whose rows it may have changed. all_tables: it may have been any.
        unindexed: the tables, in lower case, that lost an index.
        deleted_from: the tables, in lower case, that it names itself in a DELETE or DROP TABLE; no trigger, no cascade.
        updated: the tables, in lower case, in whose rows an UPDATE has changed something.
        deletes, dropped: those of `deleted_from` that it names in a DELETE, and those that it drops.
        created: the tables and views, in lower case, that it has created, by the names that they have now.
        pointing: those tables of `created` that have foreign keys, by the names that they were created with.
        objects: the lower names of all tables, views, indexes and triggers that it has created, altered or dropped.
        changes: what has changed in the schema, once it was run; None where that is not known.
        rewrites: whether it may have changed the definition of any other object, as an ALTER TABLE does.
        renames: by the lower name that a table had before it, the lower name that it was given.
        may_break: it did what may leave a view, a trigger or a key that does not work.
        sets_marks: it has written AUTOINCREMENT's marks itself.
        flow: which rows it has copied from where to where.
        stood: by table, in lower case, the rows that stood in it when copies of its rows were put back.
        lost, doubled: see `Effects`. marks: the AUTOINCREMENT marks that were kept, by table.
        switches_keys: it has set `foreign_keys`. temporary: it has used what is TEMP.
        attaches: it has attached a file, `attached`, which is None where its name is computed.
        alters: the statement alters a table.
        denied: whether the statement was denied something, which is one of the following.
        refused: the statement of transaction control.
        pragma: a PRAGMA that sets something, which is denied at first, so that what it sets can be read before.
        last_pragma: the last PRAGMA of the statement, whatever it does.
        unrehearsable: what it would open that is not the copy on which it is rehearsed.
        not_its_own: what belongs to the owner of a lent connection, in a sentence.
    """

    def __init__(
        self, *, may_commit: bool = False, lent: frozenset[str] = frozenset(), schemas: frozenset[str] = frozenset()
    ) -> None:
        self.may_commit = may_commit
        self.tables: set[str] = set()
        self.all_tables = False
        self.unindexed: set[str] = set()
        self.deleted_from: set[str] = set()
        self.deletes: set[str] = set()
        self.updated: set[str] = set()
        self.dropped: set[str] = set()
        self.created: set[str] = set()
        self.pointing: set[str] = set()
        self.objects: set[str] = set()
        self.rewrites = False
        self.changes: tuple[DefinitionChange, ...] | None = None
        self._first_names: dict[str, str] = {}  # by the name that a table was given, the one that it had before
        self.renames: dict[str, str] = {}
        self.may_break = self.sets_marks = False
        self.flow = Flow()
        self.stood: dict[str, int] = {}
        self.lost: tuple[tuple[str, int, int], ...] = ()
        self.doubled: tuple[tuple[str, int, int], ...] = ()
        self.marks: dict[str, int] = {}
        self.switches_keys = False
        self.temporary = False
        self.attaches = False
        self.attached: str | None = None
        self.alters = False
        self.denied = False
        self.refused: str | None = None
        self.pragma: Pragma | None = None
        self.last_pragma: Pragma | None = None
        self.unrehearsable: str | None = None
        self.not_its_own: str | None = None
        self._allowed: Pragma | None = None
        self._lent = lent
        self._schemas = schemas
        self._maintains = False
        self._deletes = False
        self._altered: str | None = None
        self._made: str | None = None  # the table that the statement creates
        self._inserts = ("", "")  # the schema and the table of the last INSERT, where its name is in lower case
        self._asks_more = False  # than whether it may insert into that table
        self._head: str | None = None  # of the last statement up to VALUES, where that was all that SQLite has asked

    def authorize(self, action: int, name: str | None, detail: str | None, schema: str | None, by: str | None) -> int:
        """Answer SQLite, which asks about everything that a statement is about to do when it prepares it."""
        if action == sqlite3.SQLITE_TRANSACTION and not (self.may_commit and name != "ROLLBACK"):
            self.refused, self.denied = name, True
        elif name != _SCHEMA_TABLE or schema != "main":  # nine of the 13 questions about a table with an index
            self.note(action, name, detail, schema, by)
        return sqlite3.SQLITE_DENY if self.denied else sqlite3.SQLITE_OK

    def allow(self, action: int, name: str | None, detail: str | None, schema: str | None, by: str | None) -> int:
        """Answer SQLite where a script runs outside of a transaction, and may have transactions of its own."""
        if name != _SCHEMA_TABLE or schema != "main":
            self.note(action, name, detail, schema, by)
        return sqlite3.SQLITE_DENY if self.denied else sqlite3.SQLITE_OK

    def take_pragma(self) -> Pragma | None:
        """Return the PRAGMA that was denied, which is not denied again until the statement has ended."""
        pragma, self.pragma = self.pragma, None
        if pragma:
            self._allowed, self.denied = pragma, False
        return pragma

    def note(self, action: int, name: str | None, detail: str | None, schema: str | None, by: str | None) -> None:
        """Note what a statement is about to do; what the statement itself does comes before what follows from it."""
        if action == sqlite3.SQLITE_INSERT and by is None and (schema, name) == self._inserts:
            self.flow.note_insert(*self._inserts)  # as most statements of a long script
            self._deletes = True
            return
        self._asks_more = True
        if action == sqlite3.SQLITE_ATTACH:
            self.attaches, self.attached = True, name
        elif action == sqlite3.SQLITE_DETACH:
            self._note_detach(name)
        self.flow.note(action, name, schema, by)
        self.may_break |= action in _MAY_BREAK and schema != "temp"
        if action in _CHANGES_OBJECT and name is not None:
            self._note_object(action, name, detail)
        if name is None or action in _FILES:
            return
        if schema == "temp" and action != sqlite3.SQLITE_PRAGMA:
            self._maintains |= action in _MAINTENANCE
            self._note_temporary(name, detail if action in _TEMPORARY_ON else None, by)
        elif action in WRITES or action in DROPS:
            if not name.startswith("sqlite_"):
                table = lowered(name)
                self._note_write(action, table, by)
                if action == sqlite3.SQLITE_INSERT and by is None and schema is not None and table == name:
                    self._inserts = (schema, table)
            elif name == _MARKS:
                self.sets_marks |= not (self._deletes or self.alters)  # a DROP TABLE and an ALTER write them too
        elif action in CREATES or action == sqlite3.SQLITE_CREATE_VIEW:
            self._made = lowered(name)
            self.created.add(self._made)
        elif action == sqlite3.SQLITE_ALTER_TABLE:
            if not self.alters:  # a virtual table alters its own tables after it
                self._altered = lowered(detail) if name == "main" and detail else None
            self.alters = self.rewrites = True
            if name == "temp":
                self._note_temporary(detail or "", None, by)
        elif action == sqlite3.SQLITE_DROP_INDEX and detail:
            self.unindexed.add(lowered(detail))
        elif action == sqlite3.SQLITE_PRAGMA:
            self._note_pragma(Pragma(name.lower(), detail, schema))

    def _note_object(self, action: int, name: str, table: str | None) -> None:
        self.objects.add(lowered(name))
        if action in (sqlite3.SQLITE_CREATE_INDEX, sqlite3.SQLITE_DROP_INDEX) and table:
            self.objects.add(lowered(table))  # keys, and an ON CONFLICT in a trigger, may need the index

    def _note_pragma(self, pragma: Pragma) -> None:
        if pragma.name == "writable_schema":
            self.all_tables = self.rewrites = True
        self.switches_keys |= pragma.name == "foreign_keys" and pragma.value is not None
        self.last_pragma = pragma
        acts = pragma.name == "incremental_vacuum"
        sets = pragma.value is not None and pragma.name not in _SETS_NOTHING
        if (acts or sets) and pragma != self._allowed:
            self.pragma, self.denied = pragma, True

    def _note_temporary(self, name: str, on: str | None, by: str | None) -> None:
        self.temporary = True
        # Left alone: what a trigger of the owner does, and ANALYZE and REINDEX of everything there is.
        if not self._lent or self._maintains or (by and lowered(by) in self._lent):
            return
        for each in filter(None, (name, on)):
            if lowered(each) in self._lent:
                self.denied = True
                self.not_its_own = f"{each!r} is a TEMP object of the connection, and hides what the database has"

    def _note_detach(self, schema: str | None) -> None:
        if self._schemas and (schema is None or schema.lower() in self._schemas):
            what = repr(schema) if schema else "a computed name"
            self.denied = True
            self.not_its_own = f"DETACH of {what} would take a file from the connection, which its owner has attached"

    def _note_write(self, action: int, table: str, by: str | None) -> None:
        self.tables.add(table)
        # A cascade's DELETE has no trigger's name either, but it is never the first of its statement.
        if action in DROPS:
            self.dropped.add(table)
            self.deleted_from.add(table)
        elif action == sqlite3.SQLITE_DELETE and by is None and not self._deletes:
            self.deletes.add(table)
            self.deleted_from.add(table)
        elif action == sqlite3.SQLITE_UPDATE:
            self.updated.add(table)
        self._deletes = True

    def repeats(self, text: str) -> bool:
        """Return whether a statement does nothing but what the one before it has done, so that SQLite need not ask.

        That is an INSERT of values whose text begins as that of the one before. IN reads a table, but copies no rows.
        """
        if self._head is None or not text.startswith(self._head):
            return False
        capitals = text.upper()
        return "SELECT" not in capitals and "CONFLICT" not in capitals

    def end_statement(self, text: str) -> None:
        """Note that a statement was run."""
        only_inserts = self._deletes and not self._asks_more
        self._head = found[0] if only_inserts and (found := _INSERTS_VALUES.match(text)) else None
        self._asks_more = False
        self._deletes = self._maintains = False
        self._allowed = None
        self.flow.end_statement(text)
        if self._made is not None:
            if _REFERENCES.search(text):
                self.pointing.add(self._made)
            self._made = None
        if self.alters:
            self._note_alter(text)
            self.alters = False

    def _note_alter(self, text: str) -> None:
        """Note which keys an ALTER TABLE may break: none for a column without REFERENCES, else those of the table."""
        alters = _ALTERS.match(text)
        if self._altered is None or alters is None:
            self.all_tables = True
            return
        new = new_table_name(text)
        names = {self._altered, lowered(new or self._altered)}
        self.objects |= names
        if not alters["adds"] or _REFERENCES.search(text):
            self.tables |= names
        if new:
            self._note_rename(self._altered, lowered(new))

    def _note_rename(self, old: str, new: str) -> None:
        self.flow.rename(old, new)
        if old in self.created:
            self.created.discard(old)
            self.created.add(new)
            return
        first = self._first_names.pop(old, old)
        self._first_names[new] = first
        self.renames[first] = new

    def add(self, other: ScriptEffects) -> None:
        """Note what another script did, as far as it says what must be checked."""
        self.tables |= other.tables
        self.unindexed |= other.unindexed
        self.pointing |= other.pointing
        self.objects |= other.objects
        self.all_tables |= other.all_tables
        self.rewrites |= other.rewrites
        self.may_break |= other.may_break

    def names_of(self, table: str) -> frozenset[str]:
        """Return, in lower case, the name that a table had before the script, and the one that it was given."""
        return frozenset({lowered(table), self.renames.get(lowered(table), lowered(table))})


def refusal(pragma: Pragma, *, transactional: bool, lent_temporary: bool) -> tuple[str, str] | None:
    """Say why a PRAGMA is refused, and what to do; None where it is not.

    `lent_temporary`: whether the owner of a lent connection has TEMP objects in it.
    """
    name, value = pragma.name, (pragma.value or "").lower()
    if name in _OF_THE_PROCESS:
        return "is for the whole process, and not only for this database", "remove it"
    if name == "temp_store" and lent_temporary:
        return "would delete the TEMP tables of the connection", "remove it, or upgrade on another connection"
    if not transactional:
        return None
    if name == "journal_mode" and journal_mode_of(value) in _UNSAFE_JOURNAL_MODES:
        return "in a transaction would keep a script that fails from being rolled back", _UNJOURNALED
    if name == "locking_mode" and value == "exclusive":
        return "in a transaction would keep others out after its end", OUTSIDE_HINT
    return None


def journal_mode_of(value: str) -> str | None:
    """Return the journal mode that SQLite takes a word for: the beginning of its name is enough."""
    return next((mode for mode in _JOURNAL_MODES if mode.startswith(value.lower())), None)


def is_in_effect(pragma: Pragma, now: object, *, on_a_file: bool = False) -> bool:
    """Return, for a PRAGMA that can do nothing in silence, whether the setting that is read is what it asked for.

    `on_a_file`: what is read in memory is taken for the setting of a file.
    """
    value = (pragma.value or "").lower()
    if pragma.name == "journal_mode":
        # The others are of the connection only, and one in memory has a mode of its own.
        return (now in ("memory", "off") and not on_a_file) or journal_mode_of(value) not in {"delete", "wal"} - {now}
    if pragma.name == "auto_vacuum":
        return str(_AUTO_VACUUM.get(value, value)) == str(now)
    if pragma.name == "encoding":
        return str(now).lower().replace("-", "").startswith(value.replace("-", ""))
    return value == str(now)


def pages_of(value: str | None) -> float:
    """Return how many pages an incremental_vacuum frees, as SQLite reads its argument: all where that is no number."""
    try:
        return int(value or "") if int(value or "") > 0 else math.inf
    except ValueError:
        return math.inf
