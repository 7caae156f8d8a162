"""What a script may do, and what it may not: whatever it tries, nothing is half-done and nothing leaks out of it."""

from __future__ import annotations

import contextlib
import sqlite3
from contextlib import closing

import pytest
from database_under_test import Ledgers, SQLiteUnderTest, ladder

from torc_migrations import Migrator, errors, rollback, upgrade
from torc_migrations.history.steps import Action


@pytest.mark.parametrize("directive", ["-- transactional: false", "-- no-transaction"])
def test_script_outside_a_transaction_runs_and_is_recorded(sqlite: SQLiteUnderTest, folder, directive):
    """VACUUM and a change of the journal mode work where the script asks for no transaction."""
    source = folder({**ladder(1), "2_wal": f"{directive}\nVACUUM;\nPRAGMA journal_mode = WAL;\nCREATE TABLE a (x);"})

    assert upgrade(sqlite.path, source).applied == (1, 2)
    assert sqlite.execute("PRAGMA journal_mode") == [("wal",)]
    assert sqlite.ledgers().agreed == (1, 2)


def test_script_outside_a_transaction_that_fails_says_what_it_kept(sqlite: SQLiteUnderTest, folder):
    """What stands before the failing statement is kept, is not recorded, and the error says so."""
    source = folder({"1_a": "-- transactional: false\nCREATE TABLE a (x);\nCREATE TABLE a (x);"})

    with pytest.raises(errors.ExecutionFailed) as failure:
        upgrade(sqlite.path, source)

    assert failure.value.kept
    assert "were kept" in str(failure.value.hint)
    assert sqlite.tables().keys() == {"a"}
    assert sqlite.ledgers().agreed == ()


@pytest.mark.parametrize("verb", [upgrade, rollback])
@pytest.mark.parametrize("before", ["", "PRAGMA cache_size = 100;\n", "BEGIN;\nCREATE TABLE c (x);\n"])
def test_script_outside_a_transaction_that_fails_before_something_is_kept_says_so(
    sqlite: SQLiteUnderTest, folder, before, verb
):
    """Nothing has to be undone where the first statement fails, or one before the first COMMIT."""
    fails = f"-- transactional: false\n{before}CREATE TABLE a (x) BORK;{'COMMIT;' * before.startswith('BEGIN')}"
    files = {"1_a": fails} if verb is upgrade else {"1_a": "CREATE TABLE b (x);", "1_a.rollback": fails}
    source = folder(files)
    if verb is rollback:
        upgrade(sqlite.path, source)
    tables = sqlite.tables()

    with pytest.raises(errors.ExecutionFailed) as failure:
        verb(sqlite.path, source)

    assert not failure.value.kept
    assert str(failure.value.hint).startswith("nothing of 1 before this statement has to be undone")
    assert sqlite.tables() == tables


def test_failure_behind_a_savepoint_outside_a_transaction_is_told_as_it_is(sqlite: SQLiteUnderTest, folder):
    """A savepoint that a failing script leaves open is rolled back, and does not hide the failure."""
    source = folder({"1_a": "-- transactional: false\nSAVEPOINT s;\nCREATE TABLE a (x);\nCREATE TABLE a (x);"})

    with closing(sqlite.connect()) as connection:
        with pytest.raises(errors.ExecutionFailed, match="already exists"):
            upgrade(connection, source)

        assert not connection.in_transaction
    assert sqlite.tables() == {}


def test_open_savepoint_at_the_end_of_a_script_outside_a_transaction_is_refused(sqlite: SQLiteUnderTest, folder):
    """What would stay open, and nobody would ever commit, is rolled back and said."""
    source = folder({"1_a": "-- transactional: false\nSAVEPOINT s;\nCREATE TABLE a (x);"})

    with closing(sqlite.connect()) as connection:
        with pytest.raises(errors.BadScript, match="savepoint"):
            upgrade(connection, source)

        assert not connection.in_transaction
    assert sqlite.tables() == {}


def test_savepoints_of_a_script_are_its_own_affair(sqlite: SQLiteUnderTest, folder):
    """SAVEPOINT, RELEASE and ROLLBACK TO work inside our transaction and outside, also where one stays open inside."""
    body = "SAVEPOINT s;\nCREATE TABLE {0} (x);\nSAVEPOINT r;\nDROP TABLE {0};\nROLLBACK TO r;\nRELEASE s;\n"
    source = folder(
        {
            "1_in": body.format("a") + "SAVEPOINT forgotten;",
            "2_out": "-- no-transaction\n" + body.format("b") + "-- ROLLBACK;\n",
        }
    )

    assert upgrade(sqlite.path, source).applied == (1, 2)
    assert sqlite.tables().keys() == {"a", "b"}


@pytest.mark.parametrize("word", ["COMMIT", "BEGIN", "ROLLBACK", "END", "begin immediate", "/* now */ commit"])
def test_transaction_control_in_a_script_is_refused(sqlite: SQLiteUnderTest, folder, word):
    """A strict Migrator lets no script end the transaction that keeps it whole: the place is told, nothing is kept."""
    source = folder({**ladder(1), "2_a": f"CREATE TABLE a (x);\n  {word};\nCREATE TABLE b (x);"})

    with pytest.raises(errors.BadScript) as failure:
        Migrator(sqlite.path, source, strict=True).upgrade()

    assert failure.value.line == 2
    assert failure.value.path.endswith("2_a.sql")
    assert failure.value.exit_code == 2
    assert sqlite.tables().keys() == {"t1"}
    assert sqlite.ledgers().agreed == (1,)


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ("COMMIT;", 3),
        ("BEGIN;", 3),
        ("end transaction;", 3),
        ("ROLLBACK;", 3),
        ("BEGIN;\nROLLBACK;", 4),
        ("BEGIN;\nBEGIN;\nCOMMIT;", 4),
        ("BEGIN;\nCOMMIT;\nEND;", 5),
        ("BEGIN;\nCOMMIT;\nBEGIN IMMEDIATE;", 5),
    ],
)
def test_transaction_without_its_other_end_is_refused_beforehand(sqlite: SQLiteUnderTest, folder, words, line):
    """Where no transaction would undo what stands before it, a script that cannot go well is not begun."""
    source = folder({"1_a": f"-- transactional: false\nCREATE TABLE a (x);\n{words}\n"})

    with pytest.raises(errors.BadScript) as failure:
        upgrade(sqlite.path, source)

    assert failure.value.line == line
    assert sqlite.tables() == {}


def test_transactions_of_a_script_outside_are_its_own(sqlite: SQLiteUnderTest, folder):
    """What it has committed before it fails is kept, what it has not is undone; and strictly it is not begun."""
    first = "BEGIN;\nCREATE TABLE a (x);\nCOMMIT;\n"
    source = folder({"1_a": f"-- transactional: false\n{first}BEGIN;\nCREATE TABLE b (x);\nDROP TABLE c;\nCOMMIT;\n"})

    with pytest.raises(errors.BadScript) as refused:
        Migrator(sqlite.path, source, strict=True).upgrade()
    tables = sqlite.tables()
    with pytest.raises(errors.ExecutionFailed) as failure:
        upgrade(sqlite.path, source)

    assert (refused.value.line, tables) == (2, {})
    assert (failure.value.line, failure.value.kept) == (7, True)
    assert sqlite.tables().keys() == {"a"}
    assert sqlite.ledgers().agreed == ()


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT OR ROLLBACK INTO u VALUES (1)",
        "INSERT INTO strict_u VALUES (1)",
        "INSERT INTO guarded VALUES (1)",
    ],
)
def test_statement_that_rolls_back_by_itself_keeps_nothing(sqlite: SQLiteUnderTest, folder, statement):
    """OR ROLLBACK, ON CONFLICT ROLLBACK and RAISE(ROLLBACK) end the transaction; what follows is not run."""
    sqlite.execute(
        "CREATE TABLE u (x UNIQUE)",
        "INSERT INTO u VALUES (1)",
        "CREATE TABLE strict_u (x UNIQUE ON CONFLICT ROLLBACK)",
        "INSERT INTO strict_u VALUES (1)",
        "CREATE TABLE guarded (x)",
        "CREATE TRIGGER guard BEFORE INSERT ON guarded BEGIN SELECT RAISE(ROLLBACK, 'not you'); END",
    )
    source = folder({"1_a": f"CREATE TABLE a (x);\n{statement};\nCREATE TABLE b (x);"})

    with pytest.raises(errors.ExecutionFailed) as failure:
        upgrade(sqlite.path, source)

    assert failure.value.line == 2
    assert not {"a", "b"} & sqlite.tables().keys()
    assert sqlite.ledgers() == Ledgers()


def test_rows_that_a_script_returns_are_read_to_the_end(sqlite: SQLiteUnderTest, folder):
    """SELECT, RETURNING and PRAGMA may stand in a script, and do all that they do."""
    source = folder(
        {
            "1_a": """
            PRAGMA table_info(sqlite_master);
            CREATE TABLE a (x INTEGER PRIMARY KEY, y);
            INSERT INTO a (y) VALUES ('p'), ('q'), ('r') RETURNING x, y;
            SELECT * FROM a;
            UPDATE a SET y = upper(y) RETURNING *;
            EXPLAIN SELECT 1;
            ;;
            WITH RECURSIVE n (i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 5000) SELECT i FROM n;
            """
        }
    )
    upgrade(sqlite.path, source)

    assert sqlite.execute("SELECT y FROM a ORDER BY x") == [("P",), ("Q",), ("R",)]


def test_text_that_is_not_utf8_harms_no_script(sqlite: SQLiteUnderTest, folder):
    """Rows with a text that Python could not decode may be selected and moved."""
    sqlite.execute("CREATE TABLE old (x TEXT)", "INSERT INTO old VALUES (CAST(x'ff41' AS TEXT))")
    source = folder({"1_a": "SELECT x FROM old;\nCREATE TABLE a (x);\nINSERT INTO a SELECT x FROM old RETURNING x;"})

    assert upgrade(sqlite.path, source).applied == (1,)
    assert sqlite.execute("SELECT hex(x) FROM a") == [("FF41",)]


def test_script_may_read_and_change_the_ledger(sqlite: SQLiteUnderTest, folder):
    """A script may read `_sqlx_migrations`, and take a row of a forgotten past out of it."""
    upgrade(sqlite.path, folder(ladder(1)))
    sqlite.execute("INSERT INTO _sqlx_migrations VALUES (0, 'past', '2020-01-01 00:00:00', 1, x'00', 1)")
    script = (
        "CREATE TABLE n AS SELECT count(*) AS n FROM _sqlx_migrations;\nDELETE FROM _sqlx_migrations WHERE version = 0;"
    )

    upgrade(sqlite.path, folder({"2_tidy": script}), ignore_missing=True)

    assert sqlite.execute("SELECT n FROM n") == [(2,)]
    assert sqlite.ledgers().agreed == (1, 2)


@pytest.mark.parametrize("table", ["_sqlx_migrations", "_yoyo_migration", "_yoyo_log", "_yoyo_version"])
@pytest.mark.parametrize("change", ["DROP TABLE {}", "ALTER TABLE {} RENAME TO lost"])
def test_script_that_takes_a_ledger_away_is_refused(sqlite: SQLiteUnderTest, folder, table, change):
    """A script cannot leave itself without a record; nothing of it is kept."""
    upgrade(sqlite.path, folder(ladder(1)))
    before = sqlite.ledgers()

    with pytest.raises(errors.BadScript, match=table) as failure:
        upgrade(sqlite.path, folder({"2_bad": f"CREATE TABLE a (x);\n{change.format(table)};"}))

    assert failure.value.path.endswith("2_bad.sql")
    assert sqlite.ledgers() == before
    assert sqlite.tables().keys() == {"t1"}


def test_settings_that_a_script_changes_do_not_leak_into_the_next_one(sqlite: SQLiteUnderTest, folder):
    """PRAGMAs that last as long as the connection are put back after each script."""
    source = folder(
        {
            "1_a": "CREATE TABLE a (x CHECK (x > 0));",
            "2_b": "PRAGMA ignore_check_constraints = ON;\nINSERT INTO a VALUES (-1);",
            "3_c": "INSERT INTO a VALUES (-2);",
        }
    )
    with pytest.raises(errors.ExecutionFailed, match="CHECK constraint failed"):
        upgrade(sqlite.path, source)

    assert sqlite.execute("SELECT x FROM a") == [(-1,)]
    assert sqlite.ledgers().agreed == (1, 2)


@pytest.mark.parametrize("name", ["''", "':mem' || 'ory:'", "NULL"])
def test_a_file_without_a_name_is_let_go_of_too(sqlite: SQLiteUnderTest, folder, name):
    """SQLite does not say under what name a file is attached where that is empty or has to be computed."""
    script = f"ATTACH {name} AS scratch;\nCREATE TABLE scratch.t (x);\n"

    report = upgrade(sqlite.path, folder({f"{number}_a": f"{script}CREATE TABLE a{number} (x);" for number in (1, 2)}))

    assert report.applied == (1, 2)
    assert sqlite.ledgers().agreed == (1, 2)


@pytest.mark.parametrize("group", [0, 10])
@pytest.mark.parametrize("head", ["-- transactional: false", "CREATE TABLE a (x); COMMIT; BEGIN;"])
def test_ledgers_that_a_script_drops_by_itself_are_made_again(sqlite: SQLiteUnderTest, folder, head, group):
    """Outside of our transaction a script can drop what its own record has to be written to."""
    names = ("_yoyo_log", "_yoyo_version", "_yoyo_migration", "_sqlx_migrations")
    drops = "".join(f"DROP TABLE {name};\n" for name in names)
    source = folder({**ladder(2), "3_drop": f"{head}\n{drops}", "4_x": "CREATE TABLE x (y);"})

    report = upgrade(sqlite.path, source, group=group)

    assert report.applied == (1, 2, 3, 4)
    assert sqlite.ledgers().agreed == (3, 4)


def test_file_that_a_script_attaches_is_let_go_of(sqlite: SQLiteUnderTest, folder, tmp_path):
    """A script cannot DETACH inside its transaction; done for it, the next may attach the same, or run twice."""
    other = SQLiteUnderTest(tmp_path / "other.db")
    other.execute("CREATE TABLE y (x)")
    sqlite.execute(
        "CREATE TABLE p (id INTEGER PRIMARY KEY)", "CREATE TABLE c (p REFERENCES p)", "INSERT INTO c VALUES (9)"
    )
    script = f'ATTACH \'{other.path}\' AS "an other";\nINSERT INTO "an other".y VALUES (1);\n'
    source = folder(
        {
            "1_a": f"{script}CREATE TEMP TABLE kept (x);",
            "2_b": f"{script}UPDATE c SET p = p;",
            "3_c": f"-- no-transaction\n{script}",
            "4_d": f"{script}boom;",
        }
    )
    with closing(sqlite.connect()) as connection:
        connection.execute(f"ATTACH '{tmp_path / 'mine.db'}' AS mine")
        for versions in ((1, 2, 3), (4,)):
            with contextlib.suppress(errors.ExecutionFailed):
                Migrator(connection, source).apply(*versions)
        schemas = {row[1] for row in connection.execute("PRAGMA database_list")}

    assert schemas - {"temp"} == {"main", "mine"}
    assert sqlite.ledgers().agreed == (1, 2, 3)
    assert other.execute("SELECT count(*) FROM y") == [(3,)]


@pytest.mark.parametrize(
    ("then", "error"),
    [
        ("DELETE FROM parent;", errors.ForeignKeyViolations),
        ("DROP TABLE parent;", errors.ForeignKeyViolations),
        ("DROP TABLE _yoyo_log;", errors.BadScript),
        ("SAVEPOINT s;\nROLLBACK;", errors.BadScript),
        ("EXPLAIN COMMIT;\nCOMMIT;", errors.BadScript),
        ("-- create index later\nDELETE FROM parent;", errors.ForeignKeyViolations),
        ("-- create table p\nDROP TABLE parent;\n-- create table parent\n", errors.ForeignKeyViolations),
        ("/* 1 */ DROP TABLE _yoyo_log; /* 2 */ CREATE TABLE two (x);", errors.BadScript),
        ("-- create table two\nROLLBACK;\n-- create table two\nCREATE TABLE two (x);", errors.BadScript),
    ],
)
@pytest.mark.parametrize("atomic", [False, True])
def test_what_follows_new_tables_is_watched_all_the_same(sqlite: SQLiteUnderTest, folder, then, error, atomic):
    """Nobody watches a script as long as it only makes something new, and everybody from then on."""
    new = "-- one\nCREATE TABLE new (x);\n/* two */ CREATE INDEX i ON new (x);\n"
    tables = "CREATE TABLE parent (x PRIMARY KEY); CREATE TABLE child (x REFERENCES parent (x));"
    rows = "INSERT INTO parent VALUES (1); INSERT INTO child VALUES (1);"
    source = folder({"1_a": tables + rows})
    upgrade(sqlite.path, source)
    source = folder({"1_a": tables + rows, "2_b": new + then})

    with pytest.raises(error):
        Migrator(sqlite.path, source, strict=True).upgrade(atomic=atomic)

    assert sqlite.ledgers().agreed == (1,)
    assert sqlite.tables().keys() == {"parent", "child"}


def test_a_lent_connection_is_watched_from_the_first_statement_on(sqlite: SQLiteUnderTest, folder):
    """A function of its owner's may run SQL of its own, wherever it stands."""
    source = folder({"1_a": "CREATE TABLE a (x);", "2_b": "CREATE TABLE b AS SELECT commits() AS x;"})
    with closing(sqlite.connect()) as connection:
        connection.create_function("commits", 0, lambda: connection.execute("COMMIT").rowcount)

        with pytest.raises(errors.MigrationError):
            upgrade(connection, source)

    assert sqlite.ledgers().agreed == (1,)
    assert sqlite.tables().keys() == {"a"}


@pytest.mark.parametrize(("head", "atomic"), [("", False), ("", True), ("-- transactional: false\n", False)])
@pytest.mark.parametrize(
    ("attached", "reason"), [("nowhere/x.db", "unable to open"), ("other.db?mode=ro", "readonly database")]
)
def test_a_file_that_a_script_cannot_use_is_its_own_affair(
    sqlite: SQLiteUnderTest, folder, tmp_path, head, atomic, attached, reason
):
    """The driver's error is that of a database which cannot be written; ours can be, and is found as it was."""
    SQLiteUnderTest(tmp_path / "other.db").execute("CREATE TABLE y (x)")
    script = f"{head}CREATE TABLE a (x);\nATTACH 'file:{tmp_path}/{attached}' AS other; INSERT INTO other.y VALUES (1);"
    source = folder({**ladder(1), "2_b": script})
    upgrade(sqlite.path, source, target=1)
    before = sqlite.execute("PRAGMA user_version")

    with pytest.raises(errors.ExecutionFailed, match=reason) as caught:
        upgrade(sqlite.path, source, atomic=atomic)

    assert (caught.value.line, caught.value.kept) == (2 + bool(head), bool(head))
    assert sqlite.ledgers().agreed == (1,)
    assert sqlite.execute("PRAGMA user_version") == before


def test_nobody_who_holds_an_attached_file_hides_what_is_wrong_with_a_script(sqlite: SQLiteUnderTest, folder, tmp_path):
    """To ask whether our own file can be written, what the script has attached is let go of first."""
    for name in ("held", "other"):
        SQLiteUnderTest(tmp_path / f"{name}.db").execute("CREATE TABLE y (x)")
    attach = f"ATTACH '{tmp_path}/held.db' AS held; ATTACH 'file:{tmp_path}/other.db?mode=ro' AS other;"
    source = folder({"1_a": f"{attach} INSERT INTO other.y VALUES (1);"})

    with closing(sqlite3.connect(tmp_path / "held.db", isolation_level=None)) as holder:
        holder.execute("BEGIN IMMEDIATE")
        with pytest.raises(errors.ExecutionFailed, match="readonly"):
            upgrade(sqlite.path, source, lock_timeout=1)


def test_what_others_record_while_a_script_is_between_its_own_transactions_is_seen(sqlite: SQLiteUnderTest, folder):
    """A script that ends our transaction and begins another lets others in, who may record it in the meantime."""
    script = "CREATE TABLE a (x);\nCOMMIT;\nSELECT record();\nBEGIN;\nINSERT INTO a VALUES (1);"
    source = folder({"1_a": script})

    def record() -> None:
        Migrator(sqlite.path, source).perform(Action.RECORD, [1])

    with closing(sqlite.connect()) as connection:
        connection.create_function("record", 0, record)
        report = upgrade(connection, source)

    assert report.applied == ()
    assert [operation for operation, _ in sqlite.ledgers().log] == ["mark"]
    assert sqlite.execute("SELECT count(*) FROM a") == [(0,)]
