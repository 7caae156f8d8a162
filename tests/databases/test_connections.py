"""An open connection as the database: used as it is, left open, and left in the state it was found in."""

from __future__ import annotations

import sqlite3
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest
import sqlite_utils
from database_under_test import SQLiteUnderTest, ladder, rungs

from torc_migrations import Migrator, errors, rollback, status, upgrade

PRAGMAS = (
    "automatic_index",
    "busy_timeout",
    "cache_size",
    "foreign_keys",
    "ignore_check_constraints",
    "legacy_alter_table",
    "locking_mode",
    "query_only",
    "read_uncommitted",
    "recursive_triggers",
    "reverse_unordered_selects",
    "synchronous",
    "temp_store",
    "trusted_schema",
    "writable_schema",
)
CONVERTERS = sqlite3.converters  # what the driver uses; yoyo, where a test uses it, replaces the attribute by a copy
needs_autocommit = pytest.mark.skipif(sys.version_info < (3, 12), reason="sqlite3.connect(autocommit=) is new in 3.12")


def state(connection: sqlite3.Connection) -> dict[str, object]:
    """Return everything of a connection that a caller could notice."""
    cursor = sqlite3.Cursor(connection)
    pragmas: dict[str, object] = {name: cursor.execute(f"PRAGMA {name}").fetchone()[0] for name in PRAGMAS}
    return {
        **pragmas,
        "isolation_level": connection.isolation_level,
        "text_factory": connection.text_factory,
        "row_factory": connection.row_factory,
        "in_transaction": connection.in_transaction,
        "autocommit": getattr(connection, "autocommit", None),
        "adapters": dict(sqlite3.adapters),
        "converters": dict(sqlite3.converters),
    }


def as_dict(cursor: sqlite3.Cursor, row: tuple[Any, ...]) -> dict[str, Any]:
    """Make a dictionary of a row, as many programs do."""
    return {column[0]: value for column, value in zip(cursor.description, row, strict=True)}


class Unusual(sqlite3.Connection):
    """A connection whose owner has overridden everything that can be."""

    def cursor(self, *_: object) -> Any:
        """Give away no cursor."""
        raise AssertionError("the owner's cursor is the owner's")

    execute = executemany = executescript = commit = rollback = cursor  # type: ignore[assignment]


def set_isolation(level: str | None) -> Callable[[sqlite3.Connection], None]:
    """Return what sets the isolation level."""
    return lambda connection: setattr(connection, "isolation_level", level)


SETTINGS: dict[str, Callable[[sqlite3.Connection], object]] = {
    "default": lambda connection: None,
    "isolation_level None": set_isolation(None),
    "isolation_level EXCLUSIVE": set_isolation("EXCLUSIVE"),
    "text_factory bytes": lambda connection: setattr(connection, "text_factory", bytes),
    "text_factory bytearray": lambda connection: setattr(connection, "text_factory", bytearray),
    "row_factory Row": lambda connection: setattr(connection, "row_factory", sqlite3.Row),
    "row_factory dict": lambda connection: setattr(connection, "row_factory", as_dict),
    "foreign_keys": lambda connection: connection.execute("PRAGMA foreign_keys = ON"),
    "busy_timeout": lambda connection: connection.execute("PRAGMA busy_timeout = 12345"),
    "others": lambda connection: connection.executescript(
        "PRAGMA recursive_triggers = ON; PRAGMA synchronous = OFF; PRAGMA cache_size = -4321;"
        "PRAGMA temp_store = MEMORY; PRAGMA reverse_unordered_selects = ON;"
    ),
}


@pytest.mark.parametrize("setting", SETTINGS)
def test_connection_is_left_open_and_as_it_was(sqlite: SQLiteUnderTest, folder, setting):
    """Whatever its owner has set, an upgrade, a rollback, a status and an upgrade with nothing to do change nothing."""
    source = folder({**ladder(2), "3_noisy": "PRAGMA recursive_triggers = OFF;\nPRAGMA cache_size = 7;\nSELECT 'é';"})
    with closing(sqlite3.connect(sqlite.path)) as connection:
        SETTINGS[setting](connection)
        before = state(connection)

        applied = upgrade(connection, source).applied
        assert state(connection) == before
        upgrade(connection, source)
        assert state(connection) == before
        assert [entry.installed for entry in status(connection, source).entries] == [True, True, True]
        assert state(connection) == before

    assert applied == (1, 2, 3)
    assert sqlite.ledgers().agreed == (1, 2, 3)


@pytest.mark.parametrize("setting", SETTINGS)
def test_connection_is_left_as_it_was_after_a_failure(sqlite: SQLiteUnderTest, folder, setting):
    """Also where a script fails half-way, in a transaction or outside."""
    source = folder(
        {"1_a": "PRAGMA recursive_triggers = ON;\nCREATE TABLE a (x);\nboom;", "2_b": "-- no-transaction\nboom;"}
    )
    with closing(sqlite3.connect(sqlite.path)) as connection:
        SETTINGS[setting](connection)
        before = state(connection)

        for version in (1, 2):
            with pytest.raises(errors.ExecutionFailed):
                Migrator(connection, source).apply(version)
            assert state(connection) == before

    assert sqlite.tables() == {}


def test_settings_of_a_script_outside_a_transaction_are_put_back(sqlite: SQLiteUnderTest, folder):
    """A script that turns foreign keys on for itself does not turn them on for its caller, or for the next script."""
    source = folder({"1_a": "-- transactional: false\nPRAGMA foreign_keys = ON;\nPRAGMA busy_timeout = 1;\nVACUUM;"})
    with closing(sqlite.connect()) as connection:
        before = state(connection)
        upgrade(connection, source)

        assert state(connection) == before


def test_connection_of_a_subclass_is_driven_past_its_overrides(sqlite: SQLiteUnderTest, folder):
    """What a subclass overrides is not called: neither its cursors nor its transactions are those we count on."""
    with closing(sqlite3.connect(sqlite.path, factory=Unusual)) as connection:
        assert upgrade(connection, folder(ladder(2))).applied == (1, 2)


def test_sqlite_utils_database_is_used_through_its_connection(sqlite: SQLiteUnderTest, folder):
    """A `sqlite_utils.Database` may be handed over, and goes on working."""
    database = sqlite_utils.Database(sqlite.path)

    assert upgrade(database, folder(ladder(2))).applied == (1, 2)
    assert rungs([1, 2]) <= set(database.table_names())
    database["t1"].insert({"x": 5})
    assert database["t1"].count == 2
    database.conn.close()


def test_database_in_memory_is_used_through_its_connection(folder):
    """A database in memory lives as long as its connection, which we leave open."""
    with closing(sqlite3.connect(":memory:")) as connection:
        source = folder(ladder(2))
        upgrade(connection, source)

        assert rollback(connection, source).applied == (2,)
        assert status(connection, source).latest == 1


@pytest.mark.parametrize("url", [":memory:", "sqlite::memory:", "sqlite://x?mode=memory"])
def test_database_in_memory_can_be_named(folder, url):
    """A URL in memory is a fresh database each time; good for trying a folder out."""
    assert upgrade(url, folder(ladder(2))).applied == (1, 2)
    assert len(status(url, folder({})).pending) == 2


def test_connection_inside_a_transaction_is_refused(sqlite: SQLiteUnderTest, folder):
    """We cannot commit what is not ours: the caller's open transaction is left to the caller."""
    sqlite.execute("CREATE TABLE mine (x)")
    with closing(sqlite3.connect(sqlite.path)) as connection:
        connection.execute("INSERT INTO mine VALUES (1)")
        before = state(connection)

        for operation in (upgrade, rollback, status):
            with pytest.raises(errors.CannotOpen, match="inside a transaction") as failure:
                operation(connection, folder(ladder(1)))
            assert failure.value.exit_code == 2
            assert failure.value.hint

        assert state(connection) == before
        connection.commit()
    assert sqlite.execute("SELECT count(*) FROM mine") == [(1,)]


def test_closed_connection_is_refused_in_a_sentence(folder):
    """A connection that its owner has closed is an error of ours, not one of the driver's."""
    connection = sqlite3.connect(":memory:")
    connection.close()

    with pytest.raises(errors.CannotOpen, match="closed"):
        upgrade(connection, folder(ladder(1)))


def test_connection_of_another_thread_is_refused_unchanged(folder):
    """A connection that belongs to another thread is refused before anything of it is touched."""
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.text_factory = bytes
        source, raised = folder(ladder(1)), []

        def use() -> None:
            try:
                upgrade(connection, source)
            except errors.CannotOpen as error:
                raised.append(str(error))

        thread = threading.Thread(target=use)
        thread.start()
        thread.join()

        assert "thread" in raised[0]
        assert connection.text_factory is bytes


@needs_autocommit
def test_connection_with_autocommit_on_is_used(sqlite: SQLiteUnderTest, folder):
    """Python 3.12's `autocommit=True` leaves transactions to the code that begins them."""
    with closing(sqlite3.connect(sqlite.path, autocommit=True)) as connection:
        before = state(connection)

        assert upgrade(connection, folder(ladder(2))).applied == (1, 2)
        assert state(connection) == before
    assert sqlite.ledgers().agreed == (1, 2)


@needs_autocommit
def test_connection_with_autocommit_off_is_refused(sqlite: SQLiteUnderTest, folder):
    """Python 3.12's `autocommit=False` is always inside a transaction; the hint says so."""
    with closing(sqlite3.connect(sqlite.path, autocommit=False)) as connection:
        with pytest.raises(errors.CannotOpen) as failure:
            upgrade(connection, folder(ladder(2)))

        assert "autocommit=False" in str(failure.value.hint)


@pytest.fixture
def converters() -> Iterator[list[str]]:
    """Converters of the host's for every type that a ledger has a column of; the list names those that were called."""
    called: list[str] = []
    kinds = ("TIMESTAMP", "BOOLEAN", "BIGINT", "TEXT", "BLOB", "VARCHAR", "INT")
    before = dict(CONVERTERS)

    def register(kind: str) -> None:
        def convert(value: bytes) -> object:
            called.append(kind)
            raise ValueError(f"{kind} {value!r}")

        sqlite3.register_converter(kind, convert)

    for kind in kinds:
        register(kind)
    yield called
    CONVERTERS.clear()
    CONVERTERS.update(before)


def test_converters_of_the_host_are_never_asked_about_a_ledger(sqlite: SQLiteUnderTest, folder, converters):
    """With `detect_types`, what we read of the ledgers is still what is there."""
    source = folder(ladder(3))
    with closing(sqlite3.connect(sqlite.path, detect_types=sqlite3.PARSE_DECLTYPES)) as connection:
        upgrade(connection, source, target=2)
        upgrade(connection, source)
        rollback(connection, source)
        clean = status(connection, source).entries[1].in_step

    assert clean
    assert converters == []
    assert sqlite.ledgers().agreed == (1, 2)


def test_converter_that_fails_over_a_scripts_row_keeps_nothing(sqlite: SQLiteUnderTest, folder, converters):
    """Where a host's converter cannot read what a script selects, the script has failed, and nothing is kept."""
    source = folder({"1_a": "CREATE TABLE a (at TIMESTAMP);\nINSERT INTO a VALUES ('soon');\nSELECT at FROM a;"})
    with closing(sqlite3.connect(sqlite.path, detect_types=sqlite3.PARSE_DECLTYPES)) as connection:
        before = state(connection)
        with pytest.raises(errors.ExecutionFailed, match="soon") as failure:
            upgrade(connection, source)

        assert isinstance(failure.value.__cause__, ValueError)
        assert state(connection) == before
    assert sqlite.tables() == {}


def test_timestamps_survive_a_connection_that_detects_types(sqlite: SQLiteUnderTest, folder):
    """TIMESTAMP columns of a script and of the ledgers hold text afterwards, whatever the connection detects."""
    detect = sqlite3.PARSE_DECLTYPES | sqlite3.PARSE_COLNAMES
    with closing(sqlite3.connect(sqlite.path, detect_types=detect)) as connection:
        upgrade(connection, folder({"1_a": "CREATE TABLE a (at TIMESTAMP DEFAULT CURRENT_TIMESTAMP);"}))

    kinds = sqlite.execute(
        "SELECT typeof(installed_on), typeof(applied_at_utc), typeof(created_at_utc)"
        " FROM _sqlx_migrations, _yoyo_migration, _yoyo_log"
    )
    assert kinds == [("text", "text", "text")]


def test_cursor_that_is_still_open_keeps_nobody_waiting(sqlite: SQLiteUnderTest, folder):
    """The caller's own half-read cursor is in the way of a DROP TABLE for ever: that is said at once."""
    sqlite.execute("CREATE TABLE a (x)", "INSERT INTO a VALUES (1), (2), (3)")
    with closing(sqlite.connect()) as connection:
        half_read = connection.execute("SELECT x FROM a")
        half_read.fetchone()

        with pytest.raises(errors.ExecutionFailed, match="locked"):
            upgrade(connection, folder({"1_drop": "DROP TABLE a;"}))

        half_read.close()
        assert upgrade(connection, folder({})).applied == (1,)


def test_cursor_that_reads_the_past_keeps_nobody_waiting(sqlite: SQLiteUnderTest, folder):
    """In WAL mode a half-read cursor pins an old snapshot, from which nobody can write: that too is said at once."""
    sqlite.execute("PRAGMA journal_mode = WAL", "CREATE TABLE a (x)", "INSERT INTO a VALUES (1), (2), (3)")
    with closing(sqlite.connect()) as connection:
        half_read = connection.execute("SELECT x FROM a")
        half_read.fetchone()
        sqlite.execute("INSERT INTO a VALUES (4)")

        with pytest.raises(errors.MigrationError, match="locked"):
            upgrade(connection, folder(ladder(1)))
        half_read.close()

        assert upgrade(connection, folder({})).applied == (1,)


def test_authorizer_of_the_owner_is_lost(sqlite: SQLiteUnderTest, folder):
    """SQLite cannot tell which authorizer was there, so an owner sets it again; as documented."""
    asked = []

    def authorize(*action: object) -> int:
        asked.append(action)
        return sqlite3.SQLITE_OK

    with closing(sqlite.connect()) as connection:
        connection.set_authorizer(authorize)
        upgrade(connection, folder(ladder(1)))
        asked.clear()
        connection.execute("SELECT * FROM t1")

    assert asked == []
    assert "authorizer" in str(Migrator.__doc__)


def test_temporary_tables_of_the_owner_are_not_taken_for_others(sqlite: SQLiteUnderTest, folder):
    """A temporary table of the same name as a child hides no violation."""
    sqlite.execute("CREATE TABLE p (id INTEGER PRIMARY KEY)", "CREATE TABLE c (p REFERENCES p)")
    with closing(sqlite.connect()) as connection:
        connection.execute("CREATE TEMP TABLE c (x)")

        with pytest.raises(errors.ForeignKeyViolations):
            upgrade(connection, folder({"1_a": "INSERT INTO main.c VALUES (1);"}))


@pytest.mark.parametrize("thing", [7, None, b"app.db", object()])
def test_what_is_no_database_is_refused(folder, thing):
    """Anything else is an error of ours that names what was given."""
    with pytest.raises(errors.UrlError):
        upgrade(thing, folder(ladder(1)))
