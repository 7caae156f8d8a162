"""A rehearsal tells what a run would take, change and lose, and leaves the database as it is."""

from __future__ import annotations

import json
import logging
import re
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from book_shop import MADE, REBUILD
from database_under_test import SQLiteUnderTest

from torc_migrations import Migrator, errors, rehearse, rollback, upgrade
from torc_migrations.checks import check_lint
from torc_migrations.rehearsals.comparison import SchemaDifference
from torc_migrations.rehearsals.report import Loss, RowsChange

CASCADE = f"-- foreign-keys: on\n{REBUILD}"


def counts(database: SQLiteUnderTest) -> list[int]:
    """Return the rows of the shop's tables."""
    return [database.execute(f"SELECT count(*) FROM {table}")[0][0] for table in ("shelf", "book", "loan")]


def test_a_rehearsal_leaves_no_trace(shop: SQLiteUnderTest, folder, snapshot):
    """Not a byte of the database changes, and no file is left beside it."""
    before = snapshot()

    rehearsal = rehearse(shop.path, folder({"2_more": "INSERT INTO loan VALUES (1);\nCREATE TABLE t (x);"}))

    assert rehearsal.report.applied == (2,)
    assert snapshot() == before


@pytest.mark.parametrize("journal", ["delete", "wal", "truncate"])
def test_every_kind_of_journal_is_rehearsed(shop: SQLiteUnderTest, folder, snapshot, journal):
    """The copy is of the database's own kind, and none of its files is left."""
    shop.execute(f"PRAGMA journal_mode = {journal}")
    before = snapshot()

    rehearsal = rehearse(shop.path, folder({"2_more": "INSERT INTO loan VALUES (1);"}))

    assert rehearsal.rows[-1] == RowsChange("loan", 4, 5)
    assert snapshot() == before


def test_each_statement_is_timed_at_its_place(shop: SQLiteUnderTest, folder):
    """File, line and first words of each statement, and a time in nanoseconds."""
    source = folder(
        {"2_two": "-- two\n\nCREATE TABLE t (\n  x,\n  y\n);\n\nINSERT INTO t /* ; */ VALUES (1, ';');\n\n"}
    )

    (step,) = rehearse(shop.path, source).steps

    assert [(each.line, each.words) for each in step.statements] == [
        (3, "CREATE TABLE t ( x, y );"),
        (8, "INSERT INTO t /* ; */ VALUES (1, ';');"),
    ]
    assert {each.path for each in step.statements} == {f"{source}/2_two.sql"}
    assert all(0 < each.elapsed_ns <= step.outcome.elapsed_ns for each in step.statements)


def test_rows_and_schema_before_and_after(shop: SQLiteUnderTest, folder):
    """Tables that come, go, grow and change; indexes and columns."""
    source = folder(
        {
            "2_come": "CREATE TABLE visitor (id);\nINSERT INTO visitor VALUES (1), (2);\nCREATE INDEX i ON book (id);",
            "3_change": "ALTER TABLE book ADD COLUMN pages;\nDELETE FROM loan WHERE book = 3;\nDROP TABLE visitor;",
            "4_come": "CREATE TABLE reader (id);\nINSERT INTO reader VALUES (1);",
        }
    )
    rehearsal = rehearse(shop.path, source)

    assert rehearsal.rows == (
        RowsChange("shelf", 2, 2),
        RowsChange("book", 3, 3),
        RowsChange("loan", 4, 2),
        RowsChange("reader", None, 1),
    )
    assert rehearsal.schema == SchemaDifference(
        added=("index i", "table reader"), changed=("table book",), columns=("+ book.pages",)
    )
    assert rehearsal.losses == (Loss("loan", 4, 2, named=True), Loss("visitor", 2, 0, named=True))


@pytest.mark.parametrize(
    ("script", "loss"),
    [
        ("DELETE FROM loan;", Loss("loan", 4, 0, named=True)),
        ('with x as (select 1) delete from main."LOAN" where book = 3;', Loss("loan", 4, 2, named=True)),
        ("DROP TRIGGER loud;\nDROP TABLE loan;", Loss("loan", 4, 0, named=True)),
        ("-- foreign-keys: on\nDELETE FROM book WHERE id = 3;", Loss("loan", 4, 2, named=False)),
        ("-- foreign-keys: on\nREPLACE INTO book VALUES (3, 2, 'new');", Loss("loan", 4, 2, named=False)),
        ("UPDATE OR REPLACE book SET id = 1 WHERE id = 2;", Loss("book", 3, 2, named=False)),
        ("INSERT INTO quiet VALUES (1);", Loss("loan", 4, 3, named=False)),
        ("ALTER TABLE loan RENAME TO lent;\nDELETE FROM lent;", Loss("loan", 4, 0, named=True)),
        ("-- 'DELETE FROM loan'\nINSERT INTO quiet VALUES (1);", Loss("loan", 4, 3, named=False)),
    ],
)
def test_what_a_script_names_is_told_from_what_goes_with_it(shop: SQLiteUnderTest, folder, script, loss):
    """A cascade, a trigger and a REPLACE take rows that nobody named; SQLite's parser tells, and not the text."""
    shop.execute(
        "CREATE TABLE quiet (x)",
        "CREATE TRIGGER loud AFTER INSERT ON quiet BEGIN DELETE FROM loan WHERE rowid = 4; END",
    )
    # A loan without its book would fail the run, as it would the real one.
    script = script.replace("SET id = 1 WHERE id = 2;", "SET id = 1 WHERE id = 2;\nUPDATE loan SET book = 1;")

    rehearsal = rehearse(shop.path, folder({"2_script": script}))

    assert loss in rehearsal.losses
    assert (rehearsal.refusal is None) is loss.named


@pytest.mark.parametrize(
    "script",
    [
        REBUILD,
        "ALTER TABLE loan RENAME TO lent;",
        "ALTER TABLE loan RENAME TO kept;\nCREATE TABLE loan (book);",
        "ALTER TABLE loan RENAME TO l;\nALTER TABLE quiet RENAME TO loan;\nALTER TABLE l RENAME TO quiet;",
        "ALTER TABLE book RENAME COLUMN title TO name;",
        (
            "CREATE TABLE n (book REFERENCES book);\nINSERT INTO n SELECT * FROM loan;\nDROP TABLE loan;\n"
            "ALTER TABLE n RENAME TO loan;"
        ),
        (
            "ALTER TABLE loan RENAME TO old;\nCREATE TABLE loan (book REFERENCES book);\n"
            "INSERT INTO loan SELECT * FROM old;\nDROP TABLE old;"
        ),
        "DROP TABLE quiet;",
    ],
)
def test_what_is_rebuilt_or_renamed_is_not_lost(shop: SQLiteUnderTest, folder, script):
    """Rows that are all there, under whatever name, are no loss."""
    shop.execute("CREATE TABLE quiet (x)")

    rehearsal = rehearse(shop.path, folder({"2_script": script}))

    assert rehearsal.losses == ()


def test_a_renamed_table_is_followed(shop: SQLiteUnderTest, folder):
    """The report says what it is called now."""
    source = folder({"2_a": "ALTER TABLE loan RENAME TO x;", "3_b": "ALTER TABLE x RENAME TO lent;"})

    assert rehearse(shop.path, source).rows[-1] == RowsChange("loan", 4, 4, "lent")


@pytest.mark.parametrize(
    ("script", "gone"),
    [
        ("ALTER TABLE book DROP COLUMN title;", ("book.title",)),
        ("ALTER TABLE book DROP COLUMN title;\nALTER TABLE book ADD COLUMN name;", ("book.title",)),
        ("ALTER TABLE book RENAME COLUMN title TO t;\nALTER TABLE book DROP COLUMN t;", ("book.title",)),
        ("ALTER TABLE book RENAME COLUMN title TO t;", ()),
        (REBUILD, ("shelf.name",)),
        ("ALTER TABLE nobody DROP COLUMN y;", ()),
    ],
)
def test_columns_that_go_are_told(shop: SQLiteUnderTest, folder, script, gone):
    """A dropped column with rows in it is a loss; a renamed one is not."""
    shop.execute("CREATE TABLE nobody (x, y)")

    (step,) = rehearse(shop.path, folder({"2_script": script})).steps

    assert step.columns == gone


def test_new_violations_are_told_and_old_ones_are_not(shop: SQLiteUnderTest, folder):
    """A script outside of a transaction can leave rows that point nowhere; the rehearsal counts the new ones."""
    shop.execute("INSERT INTO loan VALUES (77)")
    source = folder({"2_break": "-- transactional: false\nINSERT INTO loan VALUES (88);"})

    (violation,) = rehearse(shop.path, source).violations

    assert (violation.table, violation.rowid, violation.parent) == ("loan", 6, "book")


def test_an_error_is_that_of_the_real_run(shop: SQLiteUnderTest, folder, snapshot):
    """Same sentence, same place, same code; and it says that the database was not touched."""
    source = folder({"2_fine": "CREATE TABLE t (x);", "3_boom": "SELECT 1;\nINSERT INTO nowhere VALUES (1);"})
    before = snapshot()
    with pytest.raises(errors.ExecutionFailed) as rehearsed:
        rehearse(shop.path, source)
    assert snapshot() == before

    with pytest.raises(errors.ExecutionFailed) as real:
        upgrade(shop.path, source)
    assert str(rehearsed.value) == str(real.value)
    assert (rehearsed.value.frame, rehearsed.value.exit_code) == (real.value.frame, real.value.exit_code)
    assert (rehearsed.value.rehearsed, real.value.rehearsed) == (str(shop.path), None)


def test_a_rollback_is_rehearsed(shop: SQLiteUnderTest, folder, snapshot):
    """What a rollback would take with it, before anything is taken."""
    before = snapshot()

    rehearsal = rehearse(shop.path, folder({}), operation="rollback")

    assert [(loss.table, loss.before, loss.after) for loss in rehearsal.losses] == [
        ("shelf", 2, 0),
        ("book", 3, 0),
        ("loan", 4, 0),
    ]
    assert rehearsal.refusal is None
    assert rehearsal.schema.removed == ("table book", "table loan", "table shelf")
    assert snapshot() == before


def test_with_nothing_to_do_nothing_is_copied(shop: SQLiteUnderTest, folder, tmp_path):
    """An up-to-date database is not even read for it: its folder may be unwritable, its disk full."""
    rehearsal = rehearse(shop.path, folder({}))

    assert (rehearsal.steps, rehearsal.rows, rehearsal.as_text()) == ((), (), "")


def test_a_missing_database_stays_missing(sqlite: SQLiteUnderTest, folder):
    """The first upgrade of a new database is rehearsed in memory."""
    rehearsal = rehearse(sqlite.path, folder(MADE))

    assert [change.after for change in rehearsal.rows] == [2, 3, 4]
    assert not sqlite.path.exists()


def test_lent_connections_are_rehearsed_and_left_as_they_were(shop: SQLiteUnderTest, folder):
    """A connection to a file, and one to a database in memory, whose copy is in memory too."""
    source = folder({"2_more": "DELETE FROM loan;"})
    with closing(shop.connect()) as file, closing(sqlite3.connect(":memory:")) as memory:
        memory.execute("PRAGMA page_size = 1024")
        memory.executescript("PRAGMA foreign_keys = ON; CREATE TABLE theirs (x); INSERT INTO theirs VALUES (1);")
        upgrade(memory, source, target=1)
        for connection in (file, memory):
            changes = connection.total_changes
            rehearsal = rehearse(connection, source)

            assert [(loss.table, loss.before, loss.after) for loss in rehearsal.losses] == [("loan", 4, 0)]
            assert (connection.total_changes, connection.in_transaction) == (changes, False)
            assert connection.execute("SELECT count(*) FROM loan").fetchone() == (4,)
        assert memory.execute("PRAGMA foreign_keys").fetchone() == (1,)


def test_a_connection_inside_a_transaction_is_refused(shop: SQLiteUnderTest, folder):
    """As for every operation: nobody knows what the transaction holds."""
    with closing(shop.connect()) as connection:
        connection.execute("BEGIN")
        with pytest.raises(errors.CannotOpen, match="inside a transaction"):
            rehearse(connection, folder({"2_more": "DELETE FROM loan;"}))


def test_on_loss_refuse_does_not_begin(shop: SQLiteUnderTest, folder):
    """A cascade that nobody named stops the run before its first statement; none of the earlier migrations is run."""
    source = folder({"2_fine": "CREATE TABLE t (x);", "3_cascade": CASCADE})

    with pytest.raises(errors.RowsLost) as failure:
        Migrator(shop.path, source, on_loss="refuse").upgrade()

    assert failure.value.lost == (("book", 3, 0), ("loan", 4, 0))
    assert failure.value.step.migration.version == 3
    assert failure.value.rehearsed == str(shop.path)
    assert (counts(shop), shop.ledgers().agreed, "t" in shop.tables()) == ([2, 3, 4], (1,), False)


def test_on_loss_refuse_lets_pass_what_is_named(shop: SQLiteUnderTest, folder):
    """A DELETE in the script is meant."""
    source = folder({"2_cascade": CASCADE.replace("CREATE", "DELETE FROM loan;\nDELETE FROM book;\nCREATE", 1)})

    assert Migrator(shop.path, source, on_loss="refuse").upgrade().applied == (2,)
    assert counts(shop) == [2, 0, 0]


def test_on_loss_warn_goes_on(shop: SQLiteUnderTest, folder, caplog):
    """The log names each table, and the run is done."""
    with caplog.at_level(logging.WARNING, logger="torc_migrations"):
        Migrator(shop.path, folder({"2_cascade": CASCADE}), on_loss="warn").upgrade()

    assert [record.getMessage().partition(",")[0] for record in caplog.records] == [
        "2: table book loses 3 of 3 rows",
        "2: table loan loses 4 of 4 rows",
    ]
    assert counts(shop) == [2, 0, 0]


def test_on_loss_minds_a_rollback_too(shop: SQLiteUnderTest, folder):
    """A down script is a script."""
    source = folder({"2_t": "CREATE TABLE t (x);", "2_t.rollback": f"{CASCADE}\nDROP TABLE t;"})
    upgrade(shop.path, source)

    with pytest.raises(errors.RowsLost):
        Migrator(shop.path, source, on_loss="refuse").rollback()
    assert shop.ledgers().agreed == (1, 2)
    assert rollback(shop.path, source).applied == (2,)


def test_a_rehearsal_in_one_transaction_fails_as_the_run_would(shop: SQLiteUnderTest, folder):
    """A script that cannot be part of one transaction is refused in the rehearsal too."""
    source = folder({"2_fine": "CREATE TABLE t (x);", "3_alone": "-- transactional: false\nCREATE TABLE u (x);"})
    migrator = Migrator(shop.path, source)

    assert migrator.rehearse().report.applied == (2, 3)
    with pytest.raises(errors.BadScript) as rehearsed:
        migrator.rehearse(atomic=True)
    with pytest.raises(errors.BadScript) as real:
        migrator.upgrade(atomic=True)

    assert str(rehearsed.value) == str(real.value)
    assert (rehearsed.value.rehearsed, real.value.rehearsed) == (str(shop.path), None)


def test_one_transaction_is_checked_at_its_end_in_a_rehearsal_too(shop: SQLiteUnderTest, folder):
    """A row without a parent, which a later migration of the same transaction adds, is right."""
    source = folder({"2_loan": "INSERT INTO loan VALUES (9);", "3_book": "INSERT INTO book VALUES (9, 1, 'late');"})

    with pytest.raises(errors.ForeignKeyViolations):
        rehearse(shop.path, source)
    assert rehearse(shop.path, source, atomic=True).violations == ()
    assert Migrator(shop.path, source, on_loss="refuse").upgrade(atomic=True).applied == (2, 3)


def test_each_step_of_one_transaction_is_told_apart(shop: SQLiteUnderTest, folder):
    """A table that loses rows is told of the step that took them, also where rows pointed to no row before."""
    shop.execute("INSERT INTO loan VALUES (77)")
    source = folder(
        {"2_loans": "DELETE FROM loan WHERE book < 9;", "3_books": "DELETE FROM book;", "4_t": "CREATE TABLE t (x);"}
    )

    rehearsal = rehearse(shop.path, source, atomic=True)

    assert [step.losses for step in rehearsal.steps] == [
        (Loss("loan", 5, 1, named=True),),
        (Loss("book", 3, 0, named=True),),
        (),
    ]
    assert [[each.line for each in step.statements] for step in rehearsal.steps] == [[1], [1], [1]]
    assert Migrator(shop.path, source, on_loss="refuse").upgrade(atomic=True).applied == (2, 3, 4)


def test_a_copy_of_stock_yoyos_database_is_adopted_on_the_copy_only(shop: SQLiteUnderTest, folder):
    """What a ledger lacks is written in the rehearsal as in the run, and not into the database."""
    shop.execute("DROP TABLE _sqlx_migrations", "DELETE FROM _yoyo_log")

    rehearsal = rehearse(shop.path, folder({"2_more": "CREATE TABLE t (x);"}))

    assert [step.outcome.step.action.value for step in rehearsal.steps] == ["record", "apply"]
    assert shop.ledgers().sqlx == ()


def test_hooks_are_rehearsed(shop: SQLiteUnderTest, folder):
    """What yoyo runs after every upgrade is a part of it, and may lose rows too."""
    source = folder({"2_more": "CREATE TABLE t (x);", "post-apply": "DELETE FROM loan WHERE book = 1;"})

    rehearsal = rehearse(shop.path, source)

    assert rehearsal.losses == (Loss("loan", 4, 3, named=True),)
    assert "\nRehearsed hook post-apply (" in rehearsal.as_text()
    assert "  post-apply: table loan loses 1 of 4 rows, as its script says\n" in rehearsal.as_text()
    assert rehearsal.as_dict()["steps"][1]["version"] is None


def test_virtual_tables_are_counted_and_their_shadows_are_not(shop: SQLiteUnderTest, folder):
    """FTS5 keeps its index in tables of its own, which are nobody's rows."""
    shop.execute("CREATE VIRTUAL TABLE found USING fts5 (text)", "INSERT INTO found VALUES ('a'), ('b')")

    rehearsal = rehearse(shop.path, folder({"2_less": "DELETE FROM found WHERE text = 'a';"}))

    assert [change.table for change in rehearsal.rows] == ["shelf", "book", "loan", "found"]
    assert rehearsal.losses == (Loss("found", 2, 1, named=True),)


def test_the_shipped_schema_is_rehearsed_with_its_rows(tmp_path, snapshot):
    """On a torc database with rows in every table: the indexes come and go, and then everything."""
    database = SQLiteUnderTest(tmp_path / "torc.db")
    upgrade(database.path, target=20251023160238)
    fill = [sys.executable, "-m", "benchmarks.indexes.data", database.path, "--workflows", "1", "--jobs", "50"]
    subprocess.run(fill, cwd=Path(__file__).parents[2], check=True)
    before = snapshot()

    up = rehearse(database.path)
    down = rehearse(database.path, operation="rollback", target=0)

    assert (len(up.schema.added), up.losses, up.violations, len(up.rows)) == (17, (), (), 20)
    assert all(change.before == change.after and change.before > 0 for change in up.rows)
    assert {(loss.table, loss.before) for loss in down.losses} >= {(each.table, each.before) for each in up.rows}
    assert (down.refusal, {change.after for change in down.rows}) == (None, {None})
    assert snapshot() == before


def test_text_and_json_tell_the_same(shop: SQLiteUnderTest, folder):
    """The report as a table, times left out, and as JSON."""
    source = folder({"2_cascade": CASCADE, "3_index": "CREATE INDEX i ON book (title);"})
    rehearsal = rehearse(shop.path, source)

    text = re.sub(r"\(.*?s\)$|^ +[\d.]+ ms", "TIME", rehearsal.as_text(), flags=re.MULTILINE)
    assert text.replace(source, "migrations") == (
        "Rehearsed 2/migrate cascade TIME\n"
        "TIME  migrations/2_cascade.sql:2  CREATE TABLE shelf_new (id INTEGER PRIMARY KEY, label TEXT);\n"
        "TIME  migrations/2_cascade.sql:3  INSERT INTO shelf_new SELECT id, name FROM shelf;\n"
        "TIME  migrations/2_cascade.sql:4  DROP TABLE shelf;\n"
        "TIME  migrations/2_cascade.sql:5  ALTER TABLE shelf_new RENAME TO shelf;\n"
        "Rehearsed 3/migrate index TIME\n"
        "TIME  migrations/3_index.sql:1  CREATE INDEX i ON book (title);\n"
        "\n"
        "rows       before       after\n"
        "shelf           2           2\n"
        "book            3           0\n"
        "loan            4           0\n"
        "\n"
        "schema\n"
        "  + index i\n"
        "  ~ table shelf\n"
        "    + shelf.label\n"
        "    - shelf.name\n"
        "\n"
        "new foreign-key violations: none\n"
        "what would be lost:\n"
        "  2: table book loses 3 of 3 rows, and its script has no DELETE or DROP TABLE for it\n"
        "  2: table loan loses 4 of 4 rows, and its script has no DELETE or DROP TABLE for it\n"
        "  2: column shelf.name goes\n"
    )
    told = json.loads(json.dumps(rehearsal.as_dict()))
    assert told["steps"][0]["losses"][0] == {"table": "book", "before": 3, "after": 0, "named": False, "rebuilt": False}
    assert told["steps"][1]["statements"][0]["line"] == 1
    assert told["rows"][1] == {"table": "book", "before": 3, "after": 0, "now": None}
    assert told["schema"]["columns"] == ["+ shelf.label", "- shelf.name"]
    assert (told["loses"], told["refused"], told["violations"]) == (True, True, [])


def test_many_statements_are_summed_up(shop: SQLiteUnderTest, folder):
    """Of a long script the slowest statements are listed, in their order; JSON has them all."""
    rehearsal = rehearse(shop.path, folder({"2_rows": "INSERT INTO loan VALUES (1);\n" * 50}))

    assert len(re.findall(r" ms  .*2_rows.sql:", rehearsal.as_text())) == 20
    assert " ms  in 30 more statements, none of them slower\n" in rehearsal.as_text()
    assert len(rehearsal.steps[0].statements) == 50


def test_a_key_that_cannot_be_used_is_said_to_be_wrong(shop: SQLiteUnderTest, folder):
    """No row of the new table points anywhere: the key itself is wrong."""
    source = folder({"2_more": "CREATE TABLE page (id INTEGER PRIMARY KEY, book REFERENCES book (title));"})

    rehearsal = rehearse(shop.path, source, allow_broken_schema=True)

    lines = rehearsal.as_text().splitlines()
    assert "  page points to columns of book that are not unique" in lines
    assert not any("points to no row" in line for line in lines)


@pytest.mark.parametrize("bad", [2, 3])
def test_a_rehearsal_says_what_an_upgrade_keeps_of_a_script_outside_a_transaction(sqlite: SQLiteUnderTest, folder, bad):
    """Nothing is kept of the copy, and nothing is there to be resumed."""
    lines = ["-- no-transaction", "CREATE TABLE a (x);", "CREATE TABLE b (x);"]
    lines[bad - 1] = "BORK;"
    migrator = Migrator(sqlite.path, folder({"1_a": "\n".join(lines)}))

    with pytest.raises(errors.ExecutionFailed) as failure:
        migrator.rehearse()
    (finding,) = (each for each in check_lint(migrator).findings if each.rule == "fails")

    said = "1 runs outside a transaction: an upgrade keeps what is done before this statement"
    assert (failure.value.hint, failure.value.line) == (said, bad)
    assert finding.hint == said
