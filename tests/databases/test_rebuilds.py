"""What a script loses besides, when it drops a table and makes it again; and names that guards may not overlook."""

from __future__ import annotations

import pytest
from database_under_test import SQLiteUnderTest

from torc_migrations import Migrator, errors, rollback, upgrade

NUMBERED = "CREATE TABLE {name} (id INTEGER PRIMARY KEY AUTOINCREMENT, x)"
WITH_ROWS = (NUMBERED.format(name="t"), "INSERT INTO t VALUES (1, 'a'), (50, 'b')", "DELETE FROM t WHERE id = 50")
NEW_FIRST = f"{NUMBERED.format(name='n')};\nINSERT INTO n SELECT * FROM t;\nDROP TABLE t;\nALTER TABLE n RENAME TO t;"
OLD_FIRST = f"ALTER TABLE t RENAME TO o;\n{NUMBERED.format(name='t')};\nINSERT INTO t SELECT * FROM o;\nDROP TABLE o;"
FROM_NOTHING = f"DROP TABLE t;\n{NUMBERED.format(name='T')};"


def next_id(database: SQLiteUnderTest) -> int:
    """Insert a row, and return its number."""
    return int(database.execute("INSERT INTO t (x) VALUES ('new')", "SELECT max(id) FROM t")[0][0])


@pytest.mark.parametrize("script", [NEW_FIRST, OLD_FIRST, FROM_NOTHING, "DELETE FROM t;"])
@pytest.mark.parametrize("head", ["", "-- transactional: false\n"])
def test_numbers_are_not_given_twice(sqlite: SQLiteUnderTest, folder, script, head):
    """AUTOINCREMENT goes on where it was, though the table was dropped and made again."""
    sqlite.execute(*WITH_ROWS)

    upgrade(sqlite.path, folder({"1_b": head + script}))

    assert next_id(sqlite) == 51


def test_numbers_that_are_larger_afterwards_stay(sqlite: SQLiteUnderTest, folder):
    """The larger of both marks counts."""
    sqlite.execute(*WITH_ROWS)

    upgrade(sqlite.path, folder({"1_b": f"{NEW_FIRST}\nINSERT INTO t VALUES (70, 'c');\nDELETE FROM t WHERE id = 70;"}))

    assert next_id(sqlite) == 71


@pytest.mark.parametrize("head", ["", "-- transactional: false\n"])
def test_a_script_may_set_the_mark_itself(sqlite: SQLiteUnderTest, folder, head):
    """What it writes into sqlite_sequence is meant."""
    sqlite.execute(*WITH_ROWS)

    upgrade(sqlite.path, folder({"1_b": f"{head}{NEW_FIRST}\nUPDATE sqlite_sequence SET seq = 7 WHERE name = 't';"}))

    assert next_id(sqlite) == 8


def test_table_that_numbers_otherwise_afterwards_has_no_mark(sqlite: SQLiteUnderTest, folder):
    """A rebuild without the word AUTOINCREMENT wants none."""
    sqlite.execute(*WITH_ROWS)

    upgrade(sqlite.path, folder({"1_b": NEW_FIRST.replace(" AUTOINCREMENT", "")}))

    assert sqlite.execute("SELECT * FROM sqlite_sequence") == []


COPY = "CREATE TABLE copy AS SELECT * FROM t;"
BACK = f"{NUMBERED.format(name='t')};\nINSERT INTO t SELECT * FROM copy;"
NEW = f"{NUMBERED.format(name='n')};\nINSERT INTO n SELECT * FROM t;"
RENAMED = f"ALTER TABLE t RENAME TO o;\n{NUMBERED.format(name='t')};"
TAKE_OVER = "DROP TABLE t;\nALTER TABLE n RENAME TO t;"
SPREAD = {
    "made and filled, dropped and renamed": [NEW, TAKE_OVER],
    "made, filled, dropped and renamed": [NUMBERED.format(name="n"), "INSERT INTO n SELECT * FROM t;", TAKE_OVER],
    "filled and dropped, renamed": [f"{NEW}\nDROP TABLE t;", "ALTER TABLE n RENAME TO t;"],
    "renamed and made, filled and dropped": [RENAMED, "INSERT INTO t SELECT * FROM o;\nDROP TABLE o;"],
    "renamed and filled, dropped": [f"{RENAMED}\nINSERT INTO t SELECT * FROM o;", "DROP TABLE o;"],
    "renamed twice, dropped": [NEW, "ALTER TABLE t RENAME TO o;\nALTER TABLE n RENAME TO t;", "DROP TABLE o;"],
    "copied and dropped, made": [f"{COPY}\nDROP TABLE t;", f"{BACK}\nDROP TABLE copy;"],
    "copied and dropped, made, copy dropped": [f"{COPY}\nDROP TABLE t;", BACK, "DROP TABLE copy;"],
    "copied and dropped, made anew, renamed": [
        f"{COPY}\nDROP TABLE t;",
        BACK.replace("TABLE t", "TABLE n").replace("INTO t", "INTO n"),
        "ALTER TABLE n RENAME TO t;\nDROP TABLE copy;",
    ],
    "copied by way of TEMP": [
        f"CREATE TEMP TABLE s AS SELECT * FROM t;\nDROP TABLE t;\n{COPY.replace('t;', 's;')}",
        f"{BACK}\nDROP TABLE copy;",
    ],
}


@pytest.mark.parametrize("scripts", SPREAD.values(), ids=SPREAD)
@pytest.mark.parametrize("head", ["", "-- transactional: false\n"])
def test_numbers_are_not_given_twice_by_several_migrations(sqlite: SQLiteUnderTest, folder, scripts, head):
    """A rebuild that is spread over migrations keeps the mark too, whether they run together or one by one."""
    sqlite.execute(*WITH_ROWS)
    source = folder({f"{number}_b": head + script for number, script in enumerate(scripts, 1)})

    for number in range(1, len(scripts) + 1):
        upgrade(sqlite.path, source, target=number)

    assert next_id(sqlite) == 51
    assert sqlite.execute("SELECT count(*) FROM t") == [(2,)]


GOES = "the AUTOINCREMENT mark of {name}, 50, goes with it; made again, it gives numbers after its largest one again"


@pytest.mark.parametrize(
    ("scripts", "name"),
    [
        ([COPY, "DROP TABLE t;", BACK], "t"),
        (["ALTER TABLE t RENAME TO o;", BACK.replace("copy", "o"), "DROP TABLE o;"], "o"),
    ],
)
def test_a_mark_that_goes_with_its_table_is_noted(sqlite: SQLiteUnderTest, folder, caplog, scripts, name):
    """Where the rows were copied by a migration before, it is not known that the table is one that is made again."""
    sqlite.execute(*WITH_ROWS)
    migrator = Migrator(sqlite.path, folder({f"{number}_b": script for number, script in enumerate(scripts, 1)}))

    migrator.rehearse()
    rehearsed = [message.partition(": ")[2] for message in caplog.messages]
    caplog.clear()
    migrator.upgrade()

    assert rehearsed == [message.partition(": ")[2] for message in caplog.messages] == [GOES.format(name=name)]


def test_a_mark_that_goes_in_a_rollback_is_not_noted(sqlite: SQLiteUnderTest, folder, caplog):
    """To drop a table is what the down script of its migration is for."""
    source = folder({"1_a": f"{';'.join(WITH_ROWS)};", "1_a.rollback": "DROP TABLE t;"})
    upgrade(sqlite.path, source)

    rollback(sqlite.path, source)

    assert caplog.messages == []
    assert sqlite.execute("SELECT * FROM sqlite_sequence") == []


def test_tables_that_exchange_their_names_never_number_backwards(sqlite: SQLiteUnderTest, folder):
    """A name is not given a smaller mark, even where its rows are others."""
    sqlite.execute(*WITH_ROWS, NUMBERED.format(name="u"), "INSERT INTO u VALUES (7, 'u')")

    upgrade(
        sqlite.path, folder({"1_b": "ALTER TABLE t RENAME TO x;ALTER TABLE u RENAME TO t;ALTER TABLE x RENAME TO u;"})
    )

    assert dict(sqlite.execute("SELECT * FROM sqlite_sequence")) == {"t": 50, "u": 50}


def test_rehearsal_and_round_trip_say_that_a_mark_was_kept(sqlite: SQLiteUnderTest, folder):
    """Both name the table and the number."""
    sqlite.execute(*WITH_ROWS)
    migrator = Migrator(sqlite.path, folder({"1_b": NEW_FIRST, "1_b.rollback": NEW_FIRST}))

    (step,) = migrator.rehearse().steps
    (trip,) = migrator.round_trip().trips

    assert step.marks == ("t: 50",)
    assert trip.notes == ("AUTOINCREMENT of table t, which is made again, goes on at 50",)
    assert (
        "AUTOINCREMENT goes on where it was, though its table is made again: t: 50\n" in migrator.rehearse().as_text()
    )


@pytest.mark.parametrize(
    "script",
    [
        (
            "CREATE TABLE n (x UNIQUE);\nINSERT OR IGNORE INTO n SELECT x FROM t;\n"
            "DROP TABLE t;\nALTER TABLE n RENAME TO t;"
        ),
        "CREATE TABLE n (x UNIQUE);\nREPLACE INTO n SELECT x FROM t;\nDROP TABLE t;\nALTER TABLE n RENAME TO t;",
        (
            "CREATE TABLE n (x UNIQUE ON CONFLICT IGNORE);\nINSERT INTO n SELECT * FROM t;\n"
            "DROP TABLE t;\nALTER TABLE n RENAME TO t;"
        ),
        (
            "CREATE TABLE n (x UNIQUE);\nINSERT INTO n SELECT x FROM t WHERE 1 ON CONFLICT DO NOTHING;\n"
            "DROP TABLE t;\nALTER TABLE n RENAME TO t;"
        ),
        (
            "ALTER TABLE t RENAME TO o;\nCREATE TABLE t (x UNIQUE);\n"
            "INSERT OR IGNORE INTO t SELECT x FROM o;\nDROP TABLE o;"
        ),
        (
            "CREATE TEMP TABLE o AS SELECT * FROM t;\nDROP TABLE t;\n"
            "CREATE TABLE T (x UNIQUE);\nINSERT OR IGNORE INTO t SELECT x FROM o;"
        ),
    ],
)
def test_rows_that_a_rebuild_leaves_out_in_silence_are_refused(sqlite: SQLiteUnderTest, folder, script):
    """A DROP TABLE is no excuse where the table is there afterwards; a DELETE is, and so is `on_loss="warn"`."""
    sqlite.execute("CREATE TABLE t (x)", "INSERT INTO t VALUES (1), (1), (2)")

    with pytest.raises(errors.RowsLost) as failure:
        upgrade(sqlite.path, folder({"1_b": script}))

    assert failure.value.lost == (("t", 3, 2),)
    assert failure.value.command_hint is not None
    assert "--on-loss warn" in failure.value.command_hint
    assert upgrade(sqlite.path, folder({}), on_loss="warn").applied == (1,)


def test_rows_that_a_script_deletes_before_a_rebuild_may_go(sqlite: SQLiteUnderTest, folder):
    """The DELETE says that it is meant."""
    sqlite.execute("CREATE TABLE t (x)", "INSERT INTO t VALUES (1), (1), (2)")
    script = (
        "DELETE FROM t WHERE rowid = 2;\nCREATE TABLE n (x UNIQUE);\nINSERT OR IGNORE INTO n SELECT x FROM t;\n"
        "DROP TABLE t;\nALTER TABLE n RENAME TO t;"
    )

    assert upgrade(sqlite.path, folder({"1_b": script})).applied == (1,)


@pytest.mark.parametrize(
    "script",
    [
        "DROP TABLE t;\nCREATE TABLE t (x);\n-- Replace the index, or ignore it.",
        "DROP TABLE t;\nCREATE TABLE t (x);\nINSERT OR IGNORE INTO settings VALUES ('a');",
        (
            "INSERT INTO settings SELECT x FROM t;\nDROP TABLE t;\nCREATE TABLE t (x);\n"
            "REPLACE INTO settings VALUES ('a');"
        ),
        (
            "CREATE TABLE n (x);\nINSERT INTO n SELECT replace(x, '1', '2') FROM t WHERE x > 1;\n"
            "DROP TABLE t;\nALTER TABLE n RENAME TO t;"
        ),
        (
            "CREATE TABLE n (x);\nINSERT INTO n SELECT x FROM t WHERE x > 1;\n"
            "DROP TABLE t;\nALTER TABLE n RENAME TO t;\n"
            "CREATE TRIGGER g AFTER INSERT ON t BEGIN INSERT OR IGNORE INTO settings VALUES (new.x); END;"
        ),
    ],
)
def test_a_table_may_be_made_again_with_fewer_rows_than_it_had(sqlite: SQLiteUnderTest, folder, script):
    """Only rows that a conflict leaves out go in silence: those that a WHERE or the DROP TABLE names are meant."""
    sqlite.execute("CREATE TABLE settings (x)", "CREATE TABLE t (x)", "INSERT INTO t VALUES (1), (1), (2)")

    assert upgrade(sqlite.path, folder({"1_b": script})).applied == (1,)


@pytest.mark.parametrize(
    "script",
    [
        "INSERT OR REPLACE INTO n SELECT x FROM t;\nDROP TABLE t;\nALTER TABLE n RENAME TO t;",
        (
            "INSERT OR/* */IGNORE INTO n SELECT x FROM t;\nDROP TABLE t;\n"
            "ALTER TABLE n RENAME TO m;\nALTER TABLE m RENAME TO t;"
        ),
        (
            "CREATE TEMP TABLE o AS SELECT * FROM t;\nDROP TABLE t;\nINSERT OR IGNORE INTO n SELECT x FROM o;\n"
            "ALTER TABLE n RENAME TO t;"
        ),
    ],
)
def test_rows_that_are_left_out_on_the_way_to_an_older_table_are_refused(sqlite: SQLiteUnderTest, folder, script):
    """The table that takes the name of the dropped one may have been there before the script."""
    sqlite.execute("CREATE TABLE n (x UNIQUE)", "CREATE TABLE t (x)", "INSERT INTO t VALUES (1), (1), (2)")

    with pytest.raises(errors.RowsLost) as failure:
        upgrade(sqlite.path, folder({"1_b": script}))

    assert failure.value.lost == (("t", 3, 2),)


@pytest.mark.parametrize("columns", ["_rowid_ TEXT", "rowid TEXT", "oid TEXT", "rowid TEXT, _ROWID_ TEXT, Oid TEXT"])
def test_columns_with_the_names_of_the_rowid_hide_no_violation(sqlite: SQLiteUnderTest, folder, columns):
    """What a query for the broken rows does not find counts as well."""
    sqlite.execute("CREATE TABLE p (id INTEGER PRIMARY KEY)", f"CREATE TABLE t ({columns}, r REFERENCES p)")

    with pytest.raises(errors.ForeignKeyViolations) as failure:
        upgrade(sqlite.path, folder({"1_b": "INSERT INTO t (r) VALUES (99);"}))

    assert failure.value.violations == (("t", 1, "p"),)
    sqlite.execute("INSERT INTO t (r) VALUES (77)")
    assert upgrade(sqlite.path, folder({"1_b": "UPDATE t SET r = 77;"})).applied == (1,)


@pytest.mark.parametrize(
    "table",
    [
        "t (k PRIMARY KEY, r TEXT REFERENCES p (id), s REFERENCES p) WITHOUT ROWID",
        "t (k, r TEXT REFERENCES p (id), s REFERENCES p, rowid, oid, _rowid_)",
    ],
)
def test_violation_without_a_rowid_is_known_by_its_key(sqlite: SQLiteUnderTest, folder, table):
    """A row that points nowhere must not hide behind an older one that the script deletes."""
    sqlite.execute("CREATE TABLE p (id INTEGER PRIMARY KEY)", f"CREATE TABLE {table}")
    sqlite.execute("INSERT INTO t (k, r) VALUES ('old', '97')", "INSERT INTO t (k, s) VALUES ('other', x'37')")
    script = "DELETE FROM t WHERE k = 'old';\nINSERT INTO t (k, r) VALUES ('new', {});"

    with pytest.raises(errors.ForeignKeyViolations) as failure:
        upgrade(sqlite.path, folder({"1_b": script.format("'98'")}))

    assert [(name, parent) for name, _, parent in failure.value.violations] == [("t", "p")]
    assert upgrade(sqlite.path, folder({"1_b": script.format("'97'")})).applied == (1,)


def test_old_violation_without_a_rowid_to_a_table_that_is_gone_is_no_error(sqlite: SQLiteUnderTest, folder):
    """Nothing is compared with a table that does not exist."""
    sqlite.execute("CREATE TABLE t (k PRIMARY KEY, r REFERENCES gone) WITHOUT ROWID", "INSERT INTO t VALUES (1, 2)")

    assert upgrade(sqlite.path, folder({"1_b": "UPDATE t SET k = 3;"})).applied == (1,)


def test_key_that_an_update_breaks_has_the_hint(sqlite: SQLiteUnderTest, folder):
    """ON UPDATE CASCADE needs foreign keys that are on, like ON DELETE."""
    sqlite.execute("CREATE TABLE p (id INTEGER PRIMARY KEY)", "CREATE TABLE t (r REFERENCES p ON UPDATE CASCADE)")
    sqlite.execute("INSERT INTO p VALUES (1)", "INSERT INTO t VALUES (1)")
    source = folder({"1_b": "UPDATE p SET id = id + 10;"})

    with pytest.raises(errors.ForeignKeyViolations) as failure:
        upgrade(sqlite.path, source)

    assert "--foreign-keys 1=on runs it with foreign keys on" in str(failure.value.command_hint)
    assert upgrade(sqlite.path, source, foreign_keys={1: "on"}).applied == (1,)
    assert sqlite.execute("SELECT r FROM t") == [(11,)]


@pytest.mark.parametrize("name", ["kid", '"a b"', '"a""b"', "[x y]", "`k`", "'k'"])
def test_child_that_is_renamed_first_is_still_watched(sqlite: SQLiteUnderTest, folder, name):
    """A trigger that deletes from it is refused, whatever its name is then."""
    sqlite.execute(
        "CREATE TABLE p (id INTEGER PRIMARY KEY)",
        "CREATE TABLE c (p REFERENCES p)",
        "INSERT INTO p VALUES (1)",
        "INSERT INTO c VALUES (1)",
        "CREATE TRIGGER sweep AFTER DELETE ON p BEGIN DELETE FROM c; END",
    )
    script = (
        f"ALTER TABLE main.c RENAME -- first\n TO {name};\nDELETE FROM p;\nDROP TABLE p;\n"
        "CREATE TABLE p (id INTEGER PRIMARY KEY);"
    )
    with pytest.raises(errors.RowsLost) as failure:
        upgrade(sqlite.path, folder({"1_b": script}))

    assert failure.value.lost == (("c", 1, 0),)


def test_names_that_differ_in_the_case_of_other_letters_are_two(sqlite: SQLiteUnderTest, folder):
    """SQLite folds `A` to `Z` only: a DELETE from `é` does not excuse what `É` loses."""
    sqlite.execute(
        "CREATE TABLE p (id INTEGER PRIMARY KEY)",
        "CREATE TABLE é (p REFERENCES p)",
        "CREATE TABLE É (p REFERENCES p)",
        "INSERT INTO p VALUES (1)",
        "INSERT INTO é VALUES (1)",
        "INSERT INTO É VALUES (1)",
        "CREATE TRIGGER sweep AFTER DELETE ON p BEGIN DELETE FROM É; END",
    )
    script = "DELETE FROM é;\nDELETE FROM p;\nDROP TABLE p;\nCREATE TABLE p (id INTEGER PRIMARY KEY);"

    with pytest.raises(errors.RowsLost) as failure:
        upgrade(sqlite.path, folder({"1_b": script}))

    assert failure.value.lost == (("É", 1, 0),)


def test_rehearsal_tells_names_apart_too(sqlite: SQLiteUnderTest, folder):
    """Rows are counted for each of them."""
    sqlite.execute(
        "CREATE TABLE é (x)", "CREATE TABLE É (x, y)", "INSERT INTO é VALUES (1)", "INSERT INTO É VALUES (1, 2)"
    )

    rehearsal = Migrator(sqlite.path, folder({"1_b": "DELETE FROM É;"})).rehearse()

    assert [(change.table, change.before, change.after) for change in rehearsal.rows] == [("é", 1, 1), ("É", 1, 0)]
