"""Scripts written for foreign keys that are on: their rows do not stand twice, and they can be run as they are."""

from __future__ import annotations

import pytest
from database_under_test import SQLiteUnderTest

from torc_migrations import Migrator, errors, upgrade
from torc_migrations.sources.directives import read_directives

TABLES = (
    "CREATE TABLE dir (id INTEGER PRIMARY KEY, n)",
    "CREATE TABLE file (dir REFERENCES dir ON DELETE CASCADE, n)",
    "CREATE TABLE word (file)",
    "INSERT INTO dir VALUES (1, 'a')",
    "INSERT INTO file VALUES (1, 'x'), (1, 'y')",
)
SAVE = "CREATE TEMP TABLE saved AS SELECT * FROM file;\n"
REBUILD = (
    "CREATE TABLE dir_new (id INTEGER PRIMARY KEY, n, more);\nINSERT INTO dir_new (id, n) SELECT id, n FROM dir;\n"
    "DROP TABLE dir;\nALTER TABLE dir_new RENAME TO dir;\n"
)
PUT_BACK = "INSERT INTO file SELECT * FROM saved;\nDROP TABLE saved;\n"


@pytest.fixture
def files(sqlite: SQLiteUnderTest) -> SQLiteUnderTest:
    """A table that is pointed to, and two rows that go with it where foreign keys are on."""
    sqlite.execute(*TABLES)
    return sqlite


def count(database: SQLiteUnderTest) -> int:
    """Return the number of files."""
    return int(database.execute("SELECT count(*) FROM file")[0][0])


def test_rows_that_are_put_back_beside_themselves_are_refused(files: SQLiteUnderTest, folder):
    """With foreign keys off nothing had deleted them; the error says how to run the script as it is."""
    with pytest.raises(errors.RowsDoubled) as failure:
        upgrade(files.path, folder({"1_b": SAVE + REBUILD + PUT_BACK}))

    error = failure.value
    assert error.doubled == (("file", 2, 4),)
    assert (error.table, error.before, error.after, error.exit_code, error.code) == ("file", 2, 4, 6, "rows-doubled")
    assert error.hint is not None
    assert 'foreign_keys={1: "on"} runs it with foreign keys on, as sqlx does' in error.hint
    assert error.command_hint is not None
    assert "--foreign-keys 1=on runs it with foreign keys on" in error.command_hint
    assert count(files) == 2


@pytest.mark.parametrize(
    ("save", "put_back"),
    [
        (SAVE, "INSERT INTO file (dir, n) SELECT dir, n FROM saved WHERE 1;"),
        ("CREATE TABLE saved (dir, n);\nINSERT INTO saved SELECT * FROM file;\n", PUT_BACK),
        (
            "CREATE TABLE saved (dir, n);\nINSERT INTO saved SELECT * FROM file;\n",
            "INSERT INTO file SELECT * FROM main.saved;",
        ),
        (f"{SAVE}CREATE TEMP TABLE again AS SELECT n, dir FROM saved;\n", "INSERT INTO file SELECT dir, n FROM again;"),
        (SAVE, "WITH s AS (SELECT * FROM saved) INSERT INTO file SELECT * FROM s;"),
        (
            "CREATE TEMP TABLE file AS SELECT * FROM main.file;\n",
            "INSERT INTO main.file SELECT * FROM temp.file;\nDROP TABLE temp.file;",
        ),
        (SAVE, "INSERT OR REPLACE INTO file SELECT * FROM saved;"),
    ],
)
def test_copies_are_followed_however_they_are_written(files: SQLiteUnderTest, folder, save, put_back):
    """SQLite's parser tells what is read and written, and a table that is transferred whole is read from the text."""
    with pytest.raises(errors.RowsDoubled):
        upgrade(files.path, folder({"1_b": save + REBUILD + put_back}))
    assert count(files) == 2


@pytest.mark.parametrize(
    "emptied",
    [
        "DELETE FROM dir;\nINSERT INTO dir VALUES (1, 'a');\n",
        "REPLACE INTO dir VALUES (1, 'b');\nDELETE FROM dir WHERE 0;\n",
    ],
)
def test_an_emptied_parent_is_as_good_as_a_dropped_one(files: SQLiteUnderTest, folder, emptied):
    """A DELETE counts on the cascade too."""
    with pytest.raises(errors.RowsDoubled):
        upgrade(files.path, folder({"1_b": SAVE + emptied + PUT_BACK}))


@pytest.mark.parametrize(
    "script",
    [
        f"{REBUILD}INSERT INTO file VALUES (1, 'z');",
        f"{SAVE}{REBUILD}DELETE FROM file;\n{PUT_BACK}INSERT INTO file VALUES (1, 'z');",
        f"{SAVE}{PUT_BACK}",
        f"{SAVE}{REBUILD}INSERT INTO file SELECT * FROM saved EXCEPT SELECT * FROM file;",
        f"{SAVE}{REBUILD}INSERT INTO word SELECT n FROM saved;",
    ],
)
def test_rows_that_are_new_are_none_that_stand_twice(files: SQLiteUnderTest, folder, script):
    """Rows may be added, replaced, and copied where no table above was dropped."""
    assert upgrade(files.path, folder({"1_b": script})).applied == (1,)


def test_key_that_conflicts_has_the_hint(sqlite: SQLiteUnderTest, folder):
    """Where rows have a key, putting them back fails; the error says how to run the script as it is."""
    sqlite.execute(*(sql.replace("CASCADE, n", "CASCADE, n UNIQUE") for sql in TABLES))

    with pytest.raises(errors.ExecutionFailed, match="UNIQUE") as failure:
        upgrade(sqlite.path, folder({"1_b": SAVE + REBUILD + PUT_BACK}))

    assert failure.value.command_hint == (
        "nothing of 1 was kept; --foreign-keys 1=on runs it with foreign keys on, as sqlx does"
    )


@pytest.mark.parametrize("choice", ["on", {1: "on"}, {1: "on", 7: "off"}])
@pytest.mark.parametrize("unique", ["", " UNIQUE"])
def test_from_outside_a_script_runs_as_it_is_meant(sqlite: SQLiteUnderTest, folder, choice, unique):
    """`foreign_keys` turns them on without an edit of the file, whose checksum stays."""
    sqlite.execute(*(sql.replace("CASCADE, n", f"CASCADE, n{unique}") for sql in TABLES))

    assert upgrade(sqlite.path, folder({"1_b": SAVE + REBUILD + PUT_BACK}), foreign_keys=choice).applied == (1,)
    assert count(sqlite) == 2


def test_off_from_outside_is_taken_as_said(files: SQLiteUnderTest, folder):
    """Where foreign keys are said to be off, copies are meant."""
    assert upgrade(files.path, folder({"1_b": SAVE + REBUILD + PUT_BACK}), foreign_keys="off").applied == (1,)
    assert count(files) == 4


def test_a_choice_beats_the_directive(files: SQLiteUnderTest, folder):
    """What is said from outside holds, whatever the file says."""
    source = folder({"1_b": "-- foreign-keys: on\nDELETE FROM dir;\nINSERT INTO dir VALUES (1, 'a');"})

    assert upgrade(files.path, source, foreign_keys={1: "off"}).applied == (1,)
    assert count(files) == 2


def test_pragma_at_the_head_is_taken_as_said(files: SQLiteUnderTest, folder, caplog):
    """A script that turns foreign keys on counts on the cascade of its DELETE; its PRAGMA does something."""
    upgrade(files.path, folder({"1_b": "PRAGMA foreign_keys = ON;\nDELETE FROM dir;"}))

    assert count(files) == 0
    assert caplog.records == []


def test_pragma_at_the_head_of_a_rebuild_loses_nothing(files: SQLiteUnderTest, folder):
    """What a DROP TABLE takes with it is not meant by a PRAGMA; it is refused, and the error says how to go on."""
    with pytest.raises(errors.RowsLost) as failure:
        upgrade(files.path, folder({"1_b": f"PRAGMA foreign_keys = ON;\n{REBUILD}"}))

    assert failure.value.command_hint is not None
    assert "--foreign-keys 1=off runs it with foreign keys off" in failure.value.command_hint
    assert count(files) == 2
    assert upgrade(files.path, folder({}), foreign_keys={1: "off"}).applied == (1,)
    assert count(files) == 2


def test_a_cascade_that_is_missing_has_the_hint(files: SQLiteUnderTest, folder):
    """Without the PRAGMA the rows would point to no row; the error says how sqlx would have run the script."""
    with pytest.raises(errors.ForeignKeyViolations) as failure:
        upgrade(files.path, folder({"1_b": "DELETE FROM dir;"}))

    assert failure.value.command_hint == (
        "nothing of 1 was kept; --foreign-keys 1=on runs it with foreign keys on, as sqlx does"
    )


def test_losses_can_be_accepted(files: SQLiteUnderTest, folder, caplog):
    """`on_loss="warn"` goes on, and the log has the numbers."""
    assert upgrade(files.path, folder({"1_b": SAVE + REBUILD + PUT_BACK}), on_loss="warn").applied == (1,)

    assert count(files) == 4
    assert "4 rows of file instead of 2" in caplog.text


def test_rehearsal_and_round_trip_tell_it(files: SQLiteUnderTest, folder):
    """A rehearsal ends with the error, and a round trip finds it."""
    migrator = Migrator(files.path, folder({"1_b": SAVE + REBUILD + PUT_BACK}))

    with pytest.raises(errors.RowsDoubled) as failure:
        migrator.rehearse()
    (finding,) = migrator.round_trip().findings

    assert failure.value.rehearsed == str(files.path)
    assert "4 rows of file instead of 2" in finding


@pytest.mark.parametrize(
    ("sql", "on"),
    [
        ("PRAGMA foreign_keys = ON;", True),
        ("pragma foreign_keys=1", True),
        ("-- a note\n/* another */ ;\n PRAGMA main.foreign_keys ( 'yes' ) ;", True),
        ('\N{ZERO WIDTH NO-BREAK SPACE}PRAGMA "foreign_keys" = TRUE;', True),
        ("PRAGMA foreign_keys = OFF;", False),
        ("PRAGMA foreign_keys = 0;", False),
        ("PRAGMA foreign_keys;", False),
        ("SELECT 1; PRAGMA foreign_keys = ON;", False),
        ("-- PRAGMA foreign_keys = ON;", False),
        ("-- foreign-keys: off\nPRAGMA foreign_keys = ON;", False),
        ("PRAGMA foreign_keys = only;", False),
    ],
)
def test_only_the_first_statement_counts(sql, on):
    """A PRAGMA further down does nothing in a transaction, and a directive is stronger."""
    assert read_directives(sql.encode()).foreign_keys is on


def test_a_choice_for_a_version_that_is_not_there_is_a_note(sqlite: SQLiteUnderTest, folder):
    """A typing error would choose nothing, in silence."""
    sqlite.path.touch()
    source = folder({"1_b": "CREATE TABLE b (x);"})

    status = Migrator(sqlite.path, source, foreign_keys={1: "on", 99: "on"}).status()

    assert status.notes == ("foreign keys are chosen for 99, which the source does not have",)
