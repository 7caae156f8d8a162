"""Rows that no tool writes: each is an error that names table, row and column, or decides nothing."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from functools import partial

import pytest
from database_under_test import SQLiteUnderTest, ladder

from torc_migrations import Migrator, errors, rollback, status, upgrade

VERBS: dict[str, Callable[[Migrator], object]] = {
    "status": lambda migrator: json.dumps(migrator.status().as_dict()),
    "upgrade": lambda migrator: migrator.upgrade(),
    "upgrade to": lambda migrator: migrator.upgrade(2),
    "rollback": lambda migrator: migrator.rollback(),
    "apply": lambda migrator: migrator.apply(1),
    "rehearse": lambda migrator: migrator.rehearse(),
    "round trip": lambda migrator: migrator.round_trip(),
    "doctor": lambda migrator: json.dumps(migrator.diagnose().as_dict()),
    "repair": lambda migrator: migrator.repair(1, reason="why"),
    "line endings": lambda migrator: migrator.repair(line_endings=True),
    "trust": lambda migrator: migrator.repair(trust="sqlx"),
    "mark": lambda migrator: migrator.repair(1, mark=True),
    "renamed": lambda migrator: migrator.repair(renamed=True),
    "baseline": lambda migrator: migrator.baseline(1),
    "plan": lambda migrator: migrator.plan("rollback", 0),
}
VALUES = {
    "NULL": "NULL",
    "a text": "'two'",
    "a blob": "x'00ff'",
    "text that is not UTF-8": "CAST(x'ff41' AS TEXT)",
    "a fraction": "1.5",
}
LOOSE = "CREATE TABLE _sqlx_migrations (version, description, installed_on, success, checksum, execution_time)"


@pytest.fixture
def loose(sqlite: SQLiteUnderTest, folder) -> tuple[SQLiteUnderTest, str]:
    """A database with two of three migrations, whose ledgers take any value."""
    source = folder(ladder(3))
    upgrade(sqlite.path, source, target=2)
    sqlite.execute(
        "ALTER TABLE _sqlx_migrations RENAME TO old",
        LOOSE,
        "INSERT INTO _sqlx_migrations SELECT * FROM old",
        "DROP TABLE old",
        "ALTER TABLE _yoyo_migration RENAME TO old",
        "CREATE TABLE _yoyo_migration (migration_hash, migration_id, applied_at_utc)",
        "INSERT INTO _yoyo_migration SELECT * FROM old",
        "DROP TABLE old",
    )
    return sqlite, source


def each_verb(database: SQLiteUnderTest, source: str) -> Iterator[tuple[Callable[[], object], SQLiteUnderTest]]:
    """Yield each verb, and the copy of a database that it is for."""
    for verb in VERBS.values():
        copy = SQLiteUnderTest(database.path.with_name("copy.db"))
        shutil.copy(database.path, copy.path)
        yield partial(verb, Migrator(copy.path, source)), copy


@pytest.mark.parametrize(
    ("column", "value"),
    [
        (column, value)
        for column in ("version", "checksum", "success")
        for value in VALUES
        if (column, value) != ("checksum", "a blob")
    ],
)
def test_what_cannot_be_understood_is_named(loose, column, value):
    """Table, row and column stand in the error, which is one of the ledgers, in every verb; nothing is written."""
    sqlite, source = loose
    sqlite.execute(f"UPDATE _sqlx_migrations SET {column} = {VALUES[value]} WHERE version = 2")

    for verb, copy in each_verb(sqlite, source):
        with pytest.raises(errors.DamagedLedger) as failure:
            verb()

        assert (failure.value.table, failure.value.row, failure.value.column) == ("_sqlx_migrations", 2, column)
        assert failure.value.exit_code == 3
        assert str(failure.value).startswith(f"row 2 of _sqlx_migrations has a {column} that cannot be understood: ")
        assert copy.path.read_bytes() == sqlite.path.read_bytes()


@pytest.mark.parametrize("column", ["description", "installed_on", "execution_time"])
@pytest.mark.parametrize("value", VALUES)
def test_what_decides_nothing_may_be_anything(loose, column, value):
    """Words, moments and durations are for people: a verb does what it does without them."""
    sqlite, source = loose
    sqlite.execute(f"UPDATE _sqlx_migrations SET {column} = {VALUES[value]} WHERE version = 2")

    for verb, copy in each_verb(sqlite, source):
        verb()

        assert status(copy.path, source).as_text().startswith("1/installed make t1\n")


@pytest.mark.parametrize("value", VALUES)
@pytest.mark.parametrize(
    ("change", "column"),
    [
        (change, column)
        for change in (
            "UPDATE _yoyo_migration SET {} = {} WHERE migration_id LIKE '2%'",
            "INSERT INTO _yoyo_migration ({}) VALUES ({})",
        )
        for column in ("migration_hash", "migration_id", "applied_at_utc")
    ]
    + [
        ("UPDATE _yoyo_log SET {} = {} WHERE migration_id LIKE '2%'", column)
        for column in ("migration_hash", "migration_id", "operation", "comment", "created_at_utc")
    ],
)
def test_yoyos_rows_may_be_anything(loose, value, change, column):
    """A row that is nobody's is not ours; no verb ends with anything but an error of ours."""
    sqlite, source = loose
    sqlite.execute(change.format(column, VALUES[value]))

    for verb, copy in each_verb(sqlite, source):
        with suppress(errors.LedgerError, errors.TargetError):
            verb()

        with closing(sqlite3.connect(copy.path)) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


@pytest.mark.parametrize("function", ["lower", "upper"])
def test_a_checksum_in_hexadecimal_is_understood(sqlite: SQLiteUnderTest, folder, function):
    """`lower(hex(checksum))` is what people write when they repair a row by hand."""
    source = folder(ladder(2))
    upgrade(sqlite.path, source)
    sqlite.execute(f"UPDATE _sqlx_migrations SET checksum = {function}(hex(checksum)) WHERE version = 2")

    found = status(sqlite.path, source)

    assert found.as_text() == "1/installed make t1\n2/installed make t2\n"
    assert "row 2 of _sqlx_migrations has its checksum in hexadecimal, which sqlx cannot read" in found.notes
    assert upgrade(sqlite.path, source).applied == ()


@pytest.mark.parametrize(
    ("table", "column"),
    [
        ("_sqlx_migrations", "success"),
        ("_sqlx_migrations", "execution_time"),
        ("_yoyo_migration", "migration_id"),
        ("_yoyo_log", "comment"),
    ],
)
def test_a_ledger_that_lacks_a_column_is_not_taken_for_an_empty_one(sqlite: SQLiteUnderTest, folder, table, column):
    """What cannot be read says nothing about what is installed; nothing is run a second time."""
    source = folder(ladder(2))
    upgrade(sqlite.path, source)
    sqlite.execute(f"ALTER TABLE {table} DROP COLUMN {column}")
    folder(ladder(3))

    with pytest.raises(errors.DamagedLedger, match=f"the table {table} lacks the column {column}"):
        upgrade(sqlite.path, source)
    with pytest.raises(errors.DamagedLedger):
        status(sqlite.path, source)


def test_a_ledger_without_rowids_is_refused(sqlite: SQLiteUnderTest, folder):
    """The identity of a row is its rowid."""
    source = folder(ladder(1))
    sqlite.execute(LOOSE.replace("version,", "version PRIMARY KEY,") + " WITHOUT ROWID")

    with pytest.raises(errors.DamagedLedger, match="rowid"):
        upgrade(sqlite.path, source)


COLUMNS = (
    *("version", "description", "installed_on", "success", "checksum", "execution_time", "migration_hash"),
    *("migration_id", "applied_at_utc", "id", "operation", "comment", "created_at_utc", "username", "hostname"),
)
OTHERS = [
    f"CREATE TABLE {{}} ({', '.join(COLUMNS)})",
    "CREATE VIEW {} AS SELECT 1 AS version, 'x' AS migration_id, 'x' AS migration_hash, 'y' AS id",
]
TABLES = ("_sqlx_migrations", "_yoyo_migration", "_yoyo_log", "_yoyo_version", "yoyo_lock")


@pytest.mark.parametrize("first", [True, False])
def test_ledgers_of_an_attached_database_are_not_ours(sqlite: SQLiteUnderTest, tmp_path, folder, first):
    """What another file of the connection has installed says nothing about ours, and gets no row from us."""
    source = folder(ladder(2))
    other = SQLiteUnderTest(tmp_path / "other.db")
    upgrade(other.path, source)
    before = other.path.read_bytes()
    if not first:
        upgrade(sqlite.path, source, target=1)

    with closing(sqlite.connect()) as connection:
        connection.execute(f"ATTACH '{other.path}' AS other")
        migrator = Migrator(connection, source)
        assert len(migrator.status().pending) == 1 + first
        assert migrator.upgrade().applied == ((1, 2) if first else (2,))
        assert migrator.upgrade().applied == ()
        assert migrator.rollback().applied == (2,)
        assert migrator.diagnose().healthy

    assert sqlite.ledgers().agreed == (1,)
    assert other.path.read_bytes() == before


@pytest.mark.parametrize("made", OTHERS)
@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("first", [True, False])
def test_temporary_objects_with_a_ledgers_name_take_no_record(sqlite: SQLiteUnderTest, folder, made, table, first):
    """A TEMP table or view hides a table of the file from a name without a schema."""
    source = folder(ladder(2))
    if not first:
        upgrade(sqlite.path, source, target=1)

    with closing(sqlite.connect()) as connection:
        connection.execute(made.format(f"temp.{table}"))
        migrator = Migrator(connection, source)
        migrator.upgrade()
        migrator.rollback()
        assert migrator.status().as_text() == "1/installed make t1\n2/pending make t2\n"

    assert sqlite.ledgers().agreed == (1,)


def test_an_old_ledger_is_brought_up_to_date_beside_an_attached_one(sqlite: SQLiteUnderTest, tmp_path, folder):
    """yoyo's own upgrade of its tables looks at the tables of our file only."""
    source = folder(ladder(2))
    other = SQLiteUnderTest(tmp_path / "other.db")
    upgrade(other.path, source)
    sqlite.execute("CREATE TABLE _yoyo_migration (id VARCHAR(191) NOT NULL PRIMARY KEY, ctime TIMESTAMP)")
    sqlite.execute("INSERT INTO _yoyo_migration VALUES ('1_make_t1', '2020-01-01 00:00:00')", "CREATE TABLE t1 (x)")

    with closing(sqlite.connect()) as connection:
        connection.execute(f"ATTACH '{other.path}' AS other")
        assert upgrade(connection, source).applied == (2,)

    assert sqlite.ledgers().agreed == (1, 2)
    assert sqlite.execute("SELECT max(version) FROM main._yoyo_version") == [(2,)]


KEEPS_OUT = [
    "CREATE {temp} TRIGGER keep_out BEFORE INSERT ON {table} BEGIN SELECT RAISE(IGNORE); END",
    "CREATE {temp} TRIGGER keep_out AFTER INSERT ON {table} BEGIN DELETE FROM {table} WHERE rowid = NEW.rowid; END",
]
KEEPS_IN = [
    "CREATE {temp} TRIGGER keep_in BEFORE DELETE ON {table} BEGIN SELECT RAISE(IGNORE); END",
    "CREATE {temp} TRIGGER keep_in AFTER DELETE ON {table} BEGIN INSERT INTO {table} SELECT OLD.*; END",
]
RECORDS = ("_sqlx_migrations", "_yoyo_migration", "_yoyo_log")


@pytest.mark.parametrize("trigger", KEEPS_OUT)
@pytest.mark.parametrize("table", RECORDS)
@pytest.mark.parametrize("temp", ["", "TEMP"])
def test_a_trigger_that_keeps_a_record_out_is_found(sqlite: SQLiteUnderTest, folder, trigger, table, temp):
    """Nothing of the migration is kept, and the error names the table."""
    source = folder(ladder(2))
    upgrade(sqlite.path, source, target=1)

    with closing(sqlite.connect()) as connection:
        connection.execute(trigger.format(temp=temp, table=table))
        with pytest.raises(errors.DatabaseFailed, match=f"out of {table}"):
            upgrade(connection, source)

    assert sqlite.ledgers().agreed == (1,)
    assert "t2" not in sqlite.tables()


@pytest.mark.parametrize("trigger", KEEPS_IN)
@pytest.mark.parametrize("table", ["_sqlx_migrations", "_yoyo_migration"])
@pytest.mark.parametrize("temp", ["", "TEMP"])
def test_a_trigger_that_keeps_a_record_in_is_found(sqlite: SQLiteUnderTest, folder, trigger, table, temp):
    """After a rollback no ledger may say that it is installed; the tables stay."""
    source = folder(ladder(2))
    upgrade(sqlite.path, source)
    columns = ", ".join(f"OLD.{name}" for _, name, *_ in sqlite.execute(f"PRAGMA table_info({table})"))

    with closing(sqlite.connect()) as connection:
        connection.execute(trigger.format(temp=temp, table=table).replace("OLD.*", columns))
        with pytest.raises(errors.DatabaseFailed, match=f"in {table}"):
            rollback(connection, source)

    assert sqlite.ledgers().agreed == (1, 2)
    assert "t2" in sqlite.tables()


CHANGES = {
    "AFTER INSERT ON _sqlx_migrations BEGIN UPDATE _sqlx_migrations SET checksum = x'00' WHERE version = 3; END": None,
    "AFTER INSERT ON _sqlx_migrations BEGIN UPDATE _sqlx_migrations SET success = 0 WHERE version = 3; END": None,
    "AFTER INSERT ON _sqlx_migrations BEGIN DELETE FROM _yoyo_migration; END": "1, 2",
    "AFTER INSERT ON _yoyo_log BEGIN DELETE FROM _sqlx_migrations WHERE version = 1; END": "1",
    "AFTER INSERT ON _yoyo_migration BEGIN DELETE FROM _sqlx_migrations WHERE version < 3; END": "1, 2",
    "AFTER INSERT ON _yoyo_log BEGIN UPDATE _yoyo_log SET operation = 'rollback' WHERE id = NEW.id; END": "3",
}


@pytest.mark.parametrize("trigger", CHANGES)
@pytest.mark.parametrize("atomic", [False, True])
def test_a_trigger_that_changes_records_is_found(sqlite: SQLiteUnderTest, folder, trigger, atomic):
    """The values of the record count, and so do the records of other migrations."""
    source = folder(ladder(3))
    upgrade(sqlite.path, source, target=2)
    sqlite.execute(f"CREATE TRIGGER changes {trigger}")
    disturbed = CHANGES[trigger]
    reason = (
        f"a trigger changes the records of {disturbed} when that of 3 is written"
        if disturbed
        else "a trigger keeps the record of 3 out of _sqlx_migrations"
    )

    with pytest.raises(errors.DatabaseFailed, match=reason):
        upgrade(sqlite.path, source, atomic=atomic)

    assert sqlite.ledgers().agreed == (1, 2)
    assert "t3" not in sqlite.tables()
    assert status(sqlite.path, source).notes == ()


@pytest.mark.parametrize("atomic", [False, True])
def test_a_trigger_that_only_watches_the_ledgers_is_no_error(sqlite: SQLiteUnderTest, folder, atomic):
    """An application may copy the records elsewhere."""
    source = folder(ladder(3))
    upgrade(sqlite.path, source, target=1)
    sqlite.execute("CREATE TABLE copies (version)")
    for table, column in (("_sqlx_migrations", "version"), ("_yoyo_migration", "migration_id"), ("_yoyo_log", "id")):
        for event, row in (("INSERT", "NEW"), ("DELETE", "OLD")):
            sqlite.execute(
                f"CREATE TRIGGER watch{table}_{event} AFTER {event} ON {table} "
                f"BEGIN INSERT INTO copies VALUES ({row}.{column}); END"
            )

    assert upgrade(sqlite.path, source, atomic=atomic).applied == (2, 3)
    assert len(rollback(sqlite.path, source, target=1, atomic=atomic).outcomes) == 2
    assert sqlite.execute("SELECT count(*) FROM copies") == [(12,)]


@pytest.mark.parametrize("trigger", KEEPS_OUT)
@pytest.mark.parametrize("table", RECORDS)
@pytest.mark.parametrize("atomic", [False, True])
def test_a_trigger_that_a_script_makes_is_found(sqlite: SQLiteUnderTest, folder, trigger, table, atomic):
    """The script itself keeps its own record out."""
    source = folder({**ladder(1), "2_b": f"CREATE TABLE b (x);\n{trigger.format(temp='', table=table)};"})
    upgrade(sqlite.path, source, target=1)

    with pytest.raises(errors.DatabaseFailed, match=f"out of {table}"):
        upgrade(sqlite.path, source, atomic=atomic)

    assert sqlite.ledgers().agreed == (1,)
    assert sqlite.tables().keys() == {"t1"}


@pytest.mark.parametrize("trigger", KEEPS_OUT)
@pytest.mark.parametrize("table", RECORDS)
@pytest.mark.parametrize("atomic", [False, True])
def test_a_temporary_trigger_that_a_script_makes_is_gone_before_its_record(
    sqlite: SQLiteUnderTest, folder, trigger, table, atomic
):
    """What is TEMP ends with the script, so that its record is written."""
    source = folder({**ladder(1), "2_b": f"CREATE TABLE b (x);\n{trigger.format(temp='TEMP', table=table)};"})

    assert upgrade(sqlite.path, source, atomic=atomic).applied == (1, 2)
    assert sqlite.ledgers().agreed == (1, 2)
    assert len(sqlite.ledgers().log) == 2


def test_a_trigger_that_keeps_a_repair_out_is_found(sqlite: SQLiteUnderTest, folder):
    """A checksum that was to be replaced, and was not, is read back too."""
    source = folder(ladder(1))
    upgrade(sqlite.path, source)
    source = folder({"1_make_t1": ladder(1)["1_make_t1"] + "-- edited\n"})
    sqlite.execute(
        "CREATE TRIGGER keep BEFORE UPDATE ON _sqlx_migrations BEGIN SELECT RAISE(IGNORE); END",
    )

    with pytest.raises(errors.DatabaseFailed, match="out of _sqlx_migrations"):
        Migrator(sqlite.path, source).repair(1, reason="a comment")

    assert status(sqlite.path, source).entries[0].changed


def test_a_trigger_that_keeps_out_the_line_of_a_hook_is_found(sqlite: SQLiteUnderTest, folder):
    """Without its line a hook would run again with every upgrade."""
    source = folder({**ladder(1), "post-apply": "CREATE TABLE IF NOT EXISTS h (x);"})
    trigger = "CREATE TRIGGER keep BEFORE INSERT ON _yoyo_log WHEN NEW.migration_id = 'post-apply' BEGIN "
    upgrade(sqlite.path, folder(ladder(1)), target=1)
    sqlite.execute(f"{trigger} SELECT RAISE(IGNORE); END")
    source = folder({"2_b": "CREATE TABLE b (x);"})

    with pytest.raises(errors.DatabaseFailed, match="_yoyo_log"):
        upgrade(sqlite.path, source)


def test_a_trigger_that_fails_is_an_error_of_ours(sqlite: SQLiteUnderTest, folder):
    """RAISE(ABORT) on a ledger is what the database says; nothing is kept."""
    source = folder(ladder(2))
    upgrade(sqlite.path, source, target=1)
    sqlite.execute("CREATE TRIGGER no BEFORE INSERT ON _yoyo_log BEGIN SELECT RAISE(ABORT, 'not here'); END")

    with pytest.raises(errors.DatabaseFailed, match="not here"):
        upgrade(sqlite.path, source)

    assert sqlite.ledgers().agreed == (1,)


def test_a_view_in_the_place_of_a_ledger_is_an_error_of_ours(sqlite: SQLiteUnderTest, folder):
    """A view takes no record."""
    sqlite.execute("CREATE TABLE real (version, description, installed_on, success, checksum, execution_time)")
    sqlite.execute("CREATE VIEW _sqlx_migrations AS SELECT * FROM real")

    with pytest.raises(errors.MigrationError):
        upgrade(sqlite.path, folder(ladder(1)))

    assert "t1" not in sqlite.tables()


def test_python_would_have_raised_its_own_error(sqlite: SQLiteUnderTest, folder):
    """The driver cannot decode such a text, so that nothing here is tested in vain."""
    sqlite.execute("CREATE TABLE t (x)", "INSERT INTO t VALUES (CAST(x'ff41' AS TEXT))")

    with pytest.raises(sqlite3.OperationalError, match="decode"):
        sqlite.execute("SELECT x FROM t")
