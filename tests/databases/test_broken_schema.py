"""A schema that a script breaks is refused: what worked before a script and does not after it."""

from __future__ import annotations

import logging
import pickle
from contextlib import closing

import pytest
from database_under_test import SQLiteUnderTest

from torc_migrations import Migrator, errors, rehearse, rollback, upgrade

PARENT = "CREATE TABLE p (id INTEGER PRIMARY KEY, a TEXT)"
CHILD = "CREATE TABLE k (id INTEGER PRIMARY KEY, p REFERENCES p (id))"
RENAMING_REBUILD = """ALTER TABLE p RENAME TO p__old;
CREATE TABLE p (id INTEGER PRIMARY KEY, a TEXT NOT NULL);
INSERT INTO p SELECT * FROM p__old;
DROP TABLE p__old;
"""
SAFE_REBUILD = """CREATE TABLE p__new (id INTEGER PRIMARY KEY, a TEXT NOT NULL);
INSERT INTO p__new SELECT * FROM p;
DROP TABLE p;
ALTER TABLE p__new RENAME TO p;
"""


def test_key_to_a_table_that_was_renamed_and_dropped_is_refused(sqlite: SQLiteUnderTest, folder):
    """SQLite lets the key follow the old table, and then every insert into the child fails."""
    sqlite.execute(PARENT, CHILD)
    before = sqlite.tables()

    with pytest.raises(errors.SchemaBroken) as failure:
        upgrade(sqlite.path, folder({"1_b": RENAMING_REBUILD}))

    error = failure.value
    assert error.broken == (("table k", "its foreign key points to p__old, which does not exist"),)
    assert (error.line, error.column, error.statement) == (4, 1, "DROP TABLE p__old;")
    assert (error.exit_code, error.code) == (6, "schema-broken")
    assert str(error).startswith("while executing migration 1: table k worked before and does not any more: ")
    assert error.hint == "nothing of 1 was kept; allow_broken_schema=True keeps it as it is"
    assert error.command_hint == "nothing of 1 was kept; --allow-broken-schema keeps it as it is"
    assert str(pickle.loads(pickle.dumps(error))) == str(error)
    assert (sqlite.tables(), sqlite.ledgers().agreed) == (before, ())


@pytest.mark.parametrize("drop", ["", "DROP TRIGGER t;\n"])
def test_a_new_trigger_that_fails_is_not_said_to_have_worked(sqlite: SQLiteUnderTest, folder, drop):
    """What has worked are the writes to its table, and after the script each of them would fail."""
    sqlite.execute("CREATE TABLE a (x)", "CREATE TABLE log (x, y)")
    if drop:
        sqlite.execute("CREATE TRIGGER t AFTER DELETE ON a BEGIN DELETE FROM log; END")
    trigger = "CREATE TRIGGER t AFTER DELETE ON a BEGIN INSERT INTO log (x, y) VALUES (old.x); END;"

    with pytest.raises(errors.SchemaBroken) as failure:
        upgrade(sqlite.path, folder({"1_b": drop + trigger}))

    assert failure.value.fires_on == "a"
    assert failure.value.statement == trigger
    assert "trigger t does not work, and with it writing to a, which worked before: 1 values for 2 " in str(
        failure.value
    )


@pytest.mark.parametrize("options", [{}, {"group": 0}, {"atomic": True}])
def test_a_new_key_that_cannot_be_used_is_refused_where_its_parent_was_there(sqlite: SQLiteUnderTest, folder, options):
    """No row of the parent could be changed any more; nothing says so before an application does it."""
    key = 'CREATE TABLE "Kid" (id INTEGER PRIMARY KEY, p REFERENCES p (a));'
    source = folder({"1_a": PARENT + ";", "2_b": f"CREATE TABLE other (x);\n{key}"})
    with pytest.raises(errors.SchemaBroken) as failure:
        upgrade(sqlite.path, source, **options)

    what = "table Kid does not work, and with it writing to p, which worked before: its foreign key cannot be used: "
    assert str(failure.value).endswith(what + 'foreign key mismatch - "Kid" referencing "p"')
    assert (failure.value.fires_on, failure.value.statement, failure.value.line) == ("p", key, 2)
    assert upgrade(sqlite.path, source, allow_broken_schema=True, **options).applied[-1] == 2


@pytest.mark.parametrize("options", [{}, {"group": 0}, {"atomic": True}])
def test_a_key_that_could_not_be_used_before_is_not_refused(sqlite: SQLiteUnderTest, folder, options):
    """Made again with the same key, or with its parent; one to what is unique by its end is right."""
    sqlite.execute(PARENT, "CREATE TABLE kid (id INTEGER PRIMARY KEY, p REFERENCES p (a))")
    again = "DROP TABLE kid;\nCREATE TABLE kid (id INTEGER PRIMARY KEY, p REFERENCES p (a), more);"
    both = "CREATE TABLE q (a);\nCREATE TABLE of_q (a REFERENCES q (a));"
    late = "CREATE TABLE r (a);\nCREATE TABLE of_r (a REFERENCES r (a));\nCREATE UNIQUE INDEX i ON r (a);"

    report = upgrade(sqlite.path, folder({"1_a": again, "2_b": both, "3_c": late}), **options)

    assert report.applied == (1, 2, 3)


def test_the_usual_rebuild_breaks_nothing(sqlite: SQLiteUnderTest, folder):
    """A new table that takes the name of the old one keeps every key, view and trigger alive."""
    sqlite.execute(PARENT, CHILD, "CREATE VIEW v AS SELECT a FROM p")
    sqlite.execute("CREATE TRIGGER t AFTER INSERT ON k BEGIN UPDATE p SET a = 1; END")

    script = SAFE_REBUILD.replace("ALTER", "PRAGMA legacy_alter_table = ON;\nALTER")

    assert upgrade(sqlite.path, folder({"1_b": script})).applied == (1,)


@pytest.mark.parametrize(
    ("schema", "script", "broken"),
    [
        ("CREATE VIEW v AS SELECT * FROM a", "DROP TABLE a;", ("view v", "no such table: main.a")),
        (
            "CREATE VIEW v (x) AS SELECT * FROM a",
            "ALTER TABLE a ADD y;",
            ("view v", "expected 1 columns for 'v' but got 2"),
        ),
        (
            "CREATE VIEW v AS SELECT x FROM a",
            "CREATE TABLE n (y);\nDROP TABLE a;\nPRAGMA legacy_alter_table = ON;\nALTER TABLE n RENAME TO a;",
            ("view v", "no such column: x"),
        ),
        (
            "CREATE TRIGGER t AFTER INSERT ON a BEGIN INSERT INTO audit VALUES (new.x); END",
            "DROP TABLE audit;",
            ("trigger t", "no such table: main.audit"),
        ),
        (
            "CREATE TRIGGER t AFTER UPDATE OF x ON a BEGIN INSERT INTO audit VALUES (new.x); END",
            "ALTER TABLE audit ADD COLUMN y;",
            ("trigger t", "table audit has 2 columns but 1 values were supplied"),
        ),
        (
            'CREATE TRIGGER "insert" BEFORE DELETE ON a BEGIN DELETE FROM audit; END',
            "DROP TABLE audit;",
            ("trigger insert", "no such table: main.audit"),
        ),
        (
            "CREATE VIEW audited AS SELECT x FROM audit",
            "CREATE TABLE c (x);\nINSERT INTO c SELECT x FROM audit;\nDROP TABLE audit;",
            ("view audited", "no such table: main.audit"),
        ),
        (
            "CREATE VIEW v AS SELECT x FROM a",
            "CREATE VIEW w AS SELECT * FROM v;\nDROP TABLE a;",
            ("view v", "no such table: main.a"),
        ),
        (
            "CREATE VIEW w AS SELECT x FROM (SELECT x FROM a)",
            "DROP VIEW w;\nCREATE VIEW w AS SELECT x FROM nowhere;",
            ("view w", "no such table: main.nowhere"),
        ),
        (
            "CREATE TABLE k (x)",
            "CREATE TRIGGER t AFTER INSERT ON k BEGIN DELETE FROM nowhere; END;",
            ("trigger t", "no such table: main.nowhere"),
        ),
        (
            "CREATE TABLE k (x)",
            "ALTER TABLE k ADD COLUMN y REFERENCES nowhere;",
            ("table k", "its foreign key points to nowhere, which does not exist"),
        ),
        (
            "CREATE TABLE k (x REFERENCES a)",
            "DROP TABLE a;",
            ("table k", "its foreign key points to a, which does not exist"),
        ),
        (
            "CREATE TABLE k (x REFERENCES a)",
            "ALTER TABLE k RENAME TO kid;\nDROP TABLE a;",
            ("table kid", "its foreign key points to a, which does not exist"),
        ),
    ],
)
def test_what_worked_before_and_does_not_any_more_is_named(sqlite: SQLiteUnderTest, folder, schema, script, broken):
    """Views, triggers and keys, whichever way they are broken; nothing is kept."""
    sqlite.execute("CREATE TABLE a (x INTEGER PRIMARY KEY)", "CREATE TABLE audit (x)", schema)

    with pytest.raises(errors.SchemaBroken) as failure:
        upgrade(sqlite.path, folder({"1_b": script}))

    assert failure.value.broken[0] == broken
    assert sqlite.ledgers().agreed == ()


def test_the_trigger_that_fails_is_named_and_not_its_neighbours(sqlite: SQLiteUnderTest, folder):
    """Triggers of one table are prepared together; each is then looked at alone."""
    sqlite.execute(
        "CREATE TABLE a (x)",
        "CREATE TABLE audit (x)",
        "CREATE TRIGGER first AFTER INSERT ON a BEGIN UPDATE a SET x = 1; END",
        "CREATE TRIGGER second AFTER INSERT ON a BEGIN INSERT INTO audit VALUES (1); END",
        "CREATE TRIGGER third AFTER INSERT ON a BEGIN SELECT 1; END",
    )
    with pytest.raises(errors.SchemaBroken) as failure:
        upgrade(sqlite.path, folder({"1_b": "DROP TABLE audit;"}))

    assert [title for title, _ in failure.value.broken] == ["trigger second"]


def test_what_was_broken_before_stays(sqlite: SQLiteUnderTest, folder, caplog):
    """A view, a trigger and a key that did not work before stop no script, and are not told."""
    sqlite.execute(
        "CREATE TABLE a (x)",
        "CREATE VIEW v AS SELECT * FROM gone",
        "CREATE TRIGGER t AFTER INSERT ON a BEGIN DELETE FROM gone; END",
        "CREATE TABLE k (x REFERENCES gone)",
        "CREATE TABLE other (x)",
    )
    with caplog.at_level(logging.WARNING, logger="torc_migrations"):
        report = upgrade(
            sqlite.path,
            folder({"1_b": "DROP TABLE other;\nPRAGMA legacy_alter_table = ON;\nALTER TABLE k RENAME TO kid;"}),
        )

    assert report.applied == (1,)
    assert caplog.records == []


def test_new_table_may_wait_for_what_it_points_to(sqlite: SQLiteUnderTest, folder, caplog):
    """A new table has not worked before; a later migration may make what it needs. The log says so until then."""
    source = folder(
        {
            "1_a": "CREATE TABLE k (p REFERENCES p);\nCREATE TABLE old (x);\nDROP TABLE old;",
            "2_b": "CREATE TABLE p (id INTEGER PRIMARY KEY);",
        }
    )
    with caplog.at_level(logging.WARNING, logger="torc_migrations"):
        assert upgrade(sqlite.path, source, target=1).applied == (1,)
        assert upgrade(sqlite.path, source).applied == (2,)

    assert [record.getMessage() for record in caplog.records] == [
        "1: table k does not work yet: its foreign key points to p, which does not exist"
    ]


def test_allowed_it_is_kept_with_a_warning(sqlite: SQLiteUnderTest, folder, caplog):
    """`allow_broken_schema` keeps what the script did."""
    sqlite.execute(PARENT, CHILD)
    with caplog.at_level(logging.WARNING, logger="torc_migrations"):
        report = upgrade(sqlite.path, folder({"1_b": RENAMING_REBUILD}), allow_broken_schema=True)

    assert report.applied == (1,)
    assert [record.getMessage() for record in caplog.records] == [
        "1: table k does not work any more: its foreign key points to p__old, which does not exist"
    ]


@pytest.mark.parametrize("script", ["-- no-transaction\nDROP TABLE a;\n", "COMMIT;\nDROP TABLE a;\nBEGIN;\n"])
def test_script_outside_a_transaction_that_breaks_something_is_recorded_and_reported(
    sqlite: SQLiteUnderTest, folder, script
):
    """It cannot be undone: it is installed, the run ends with the error, and the next run goes on."""
    sqlite.execute("CREATE TABLE a (x)", "CREATE VIEW v AS SELECT x FROM a")
    source = folder({"1_b": script, "2_c": "CREATE TABLE c (x);"})

    with pytest.raises(errors.SchemaBroken) as failure:
        upgrade(sqlite.path, source)
    after = sqlite.ledgers().agreed
    again = upgrade(sqlite.path, source)

    error = failure.value
    assert (error.kept, error.broken) == (True, (("view v", "no such table: main.a"),))
    assert error.hint is not None
    assert error.hint.startswith("the script runs outside a transaction, so it is done and recorded: ")
    assert str(pickle.loads(pickle.dumps(error))) == str(error)
    assert error.report is not None
    assert (error.report.applied, after, again.applied) == ((1,), (1,), (2,))


@pytest.mark.parametrize("script", ["-- no-transaction\n{}\n", "COMMIT;\n{}\nBEGIN;\n"])
def test_script_outside_a_transaction_that_leaves_rows_without_parents_is_noted(
    sqlite: SQLiteUnderTest, folder, caplog, script
):
    """They cannot be undone, and which of them are new cannot be known, so that it is no error."""
    sqlite.execute(PARENT, CHILD)

    report = upgrade(sqlite.path, folder({"1_b": script.format("INSERT INTO k VALUES (7, 99);")}))

    assert report.applied == (1,)
    words = "1: after it there is 1 foreign key violation: row 7 of k points to no row of p, perhaps from before it"
    assert words in caplog.messages


def test_script_outside_a_transaction_may_break_what_is_allowed(sqlite: SQLiteUnderTest, folder, caplog):
    """With `allow_broken_schema` there is a warning."""
    sqlite.execute("CREATE TABLE a (x)", "CREATE VIEW v AS SELECT x FROM a")

    report = upgrade(sqlite.path, folder({"1_b": "-- no-transaction\nDROP TABLE a;\n"}), allow_broken_schema=True)

    assert report.applied == (1,)
    assert "1: view v does not work any more: no such table: main.a" in caplog.messages


def test_one_transaction_is_checked_at_its_end(sqlite: SQLiteUnderTest, folder):
    """With `atomic` a state in the middle may be broken; without it each script is looked at."""
    sqlite.execute("CREATE TABLE a (x)", "CREATE VIEW v AS SELECT x FROM a")
    source = folder({"1_drop": "DROP TABLE a;", "2_make": "CREATE TABLE a (x, y);"})

    with pytest.raises(errors.SchemaBroken):
        upgrade(sqlite.path, source)
    assert upgrade(sqlite.path, source, atomic=True).applied == (1, 2)


def test_one_transaction_that_breaks_what_it_made_is_refused(sqlite: SQLiteUnderTest, folder):
    """What worked after the first script and does not after the last is broken, and the step that broke it is named."""
    source = folder({"1_make": f"{PARENT};\n{CHILD};", "2_break": RENAMING_REBUILD, "3_more": "CREATE TABLE m (x);"})

    with pytest.raises(errors.SchemaBroken) as failure:
        upgrade(sqlite.path, source, atomic=True)

    assert (failure.value.step.name, failure.value.line) == ("2", 4)
    assert (failure.value.hint or "").startswith(
        "nothing of the run was kept: it is one transaction; allow_broken_schema=True keeps it as it is"
    )
    assert sqlite.tables() == {}


def test_rollback_that_breaks_the_schema_is_refused(sqlite: SQLiteUnderTest, folder):
    """A down script is held to the same."""
    sqlite.execute(PARENT, CHILD)
    source = folder({"1_a": "CREATE TABLE other (x);", "1_a.rollback": RENAMING_REBUILD})
    upgrade(sqlite.path, source)

    with pytest.raises(errors.SchemaBroken):
        rollback(sqlite.path, source)
    assert sqlite.ledgers().agreed == (1,)


def test_rehearsal_ends_with_the_same_error_or_lists_what_is_allowed(sqlite: SQLiteUnderTest, folder):
    """A rehearsal fails as the run would; where it is allowed, the report has it."""
    sqlite.execute(PARENT, CHILD)
    source = folder({"1_b": RENAMING_REBUILD})

    with pytest.raises(errors.SchemaBroken) as failure:
        rehearse(sqlite.path, source)
    rehearsal = rehearse(sqlite.path, source, allow_broken_schema=True)

    assert failure.value.rehearsed == str(sqlite.path)
    assert [each.title for each in rehearsal.broken] == ["table k"]
    assert "  table k: its foreign key points to p__old, which does not exist\n" in rehearsal.as_text()


def test_scripts_that_only_add_prepare_nothing(sqlite: SQLiteUnderTest, folder):
    """The check costs nothing where nothing was dropped, renamed or altered."""
    sqlite.execute("CREATE TABLE a (x)", "CREATE VIEW v AS SELECT x FROM a")
    seen: list[str] = []
    with closing(sqlite.connect()) as connection:
        connection.set_trace_callback(seen.append)
        upgrade(connection, folder({"1_b": "CREATE TABLE b (x);\nINSERT INTO a VALUES (1);\nCREATE INDEX i ON a (x);"}))

    assert [sql for sql in seen if sql.startswith("EXPLAIN")] == []


def test_lent_connection_that_keeps_its_statements_is_asked_anew(sqlite: SQLiteUnderTest, folder):
    """A statement that sqlite3 has kept from a check before is not taken for an answer after the change."""
    sqlite.execute("CREATE TABLE a (x)", "CREATE TABLE b (x)", "CREATE VIEW v AS SELECT x FROM a")
    with closing(sqlite.connect()) as connection:
        assert upgrade(connection, folder({"1_b": "DROP TABLE b;"})).applied == (1,)
        with pytest.raises(errors.SchemaBroken):
            upgrade(connection, folder({"1_b": "DROP TABLE b;", "2_a": "DROP TABLE a;"}))


def test_shipped_schema_breaks_nothing(sqlite: SQLiteUnderTest):
    """Every migration of the torc schema goes up and down without an exception."""
    migrator = Migrator(sqlite.path)

    assert migrator.upgrade().applied
    assert migrator.rollback(0).applied


MISMATCH = 'its foreign key cannot be used: foreign key mismatch - "c" referencing "{parent}"'
NOWHERE = "its foreign key points to p, which does not exist"
# What is created, what does not work of it, and why; nothing of it can be written or read.
UNFINISHED = {
    "a column that is not unique": ("CREATE TABLE p(a, b); CREATE TABLE c(x REFERENCES p(a));", MISMATCH),
    "a column that does not exist": ("CREATE TABLE p(a UNIQUE); CREATE TABLE c(x REFERENCES p(b));", MISMATCH),
    "no primary key": ("CREATE TABLE p(a); CREATE TABLE c(x REFERENCES p);", MISMATCH),
    "a part of a primary key": (
        "CREATE TABLE p(a, b, PRIMARY KEY (a, b)) WITHOUT ROWID; CREATE TABLE c(x REFERENCES p(a));",
        MISMATCH,
    ),
    "a partial index": (
        "CREATE TABLE p(a, b); CREATE UNIQUE INDEX i ON p(a) WHERE b; CREATE TABLE c(x REFERENCES p(a));",
        MISMATCH,
    ),
    "another collation": (
        "CREATE TABLE p(a TEXT COLLATE NOCASE, UNIQUE (a COLLATE BINARY)); CREATE TABLE c(x REFERENCES p(a));",
        MISMATCH,
    ),
    "a view": ("CREATE VIEW v AS SELECT 1 AS a; CREATE TABLE c(x REFERENCES v(a));", MISMATCH),
    "a virtual table": ("CREATE VIRTUAL TABLE v USING fts5(a); CREATE TABLE c(x REFERENCES v(a));", MISMATCH),
    "no table": ("CREATE TABLE c(x REFERENCES p);", NOWHERE),
    "no table, in the second of two keys": (
        "CREATE TABLE o(a UNIQUE); CREATE TABLE c(x REFERENCES o(a), y REFERENCES p);",
        NOWHERE,
    ),
}


@pytest.mark.parametrize(("script", "reason"), UNFINISHED.values(), ids=UNFINISHED)
@pytest.mark.parametrize("head", ["", "-- no-transaction\n"])
def test_a_key_that_cannot_be_used_is_noted(sqlite: SQLiteUnderTest, folder, caplog, script, reason, head):
    """SQLite reports it when rows are written, and only where keys are on; a run says it at its end."""
    parent = "v" if "v(" in script else "p"

    upgrade(sqlite.path, folder({"1_a": head + script}))

    assert caplog.messages == [f"1: table c does not work yet: {reason.format(parent=parent)}"]


@pytest.mark.parametrize("options", [{}, {"atomic": True}, {"group": 0}])
def test_what_works_at_the_end_of_a_run_is_not_noted(sqlite: SQLiteUnderTest, folder, caplog, options):
    """A key, a view and a trigger may be created before what they need."""
    first = (
        "CREATE TABLE c(x REFERENCES p(a)); CREATE VIEW v AS SELECT * FROM p; "
        "CREATE TRIGGER t AFTER INSERT ON c BEGIN INSERT INTO p VALUES (1); END;"
    )
    source = folder({"1_a": first, "2_b": "CREATE TABLE p(a);", "3_c": "CREATE UNIQUE INDEX i ON p(a);"})

    upgrade(sqlite.path, source, **options)

    assert caplog.messages == []


@pytest.mark.parametrize("options", [{}, {"atomic": True}])
def test_views_and_triggers_that_wait_are_noted(sqlite: SQLiteUnderTest, folder, caplog, options):
    """A view on no table is silent otherwise, until somebody reads it."""
    trigger = "CREATE TABLE a(x); CREATE TRIGGER t AFTER INSERT ON a BEGIN INSERT INTO k VALUES (1); END;"

    upgrade(sqlite.path, folder({"1_a": "CREATE VIEW v AS SELECT * FROM k;", "2_b": trigger}), **options)

    assert caplog.messages == [
        "1: view v does not work yet: no such table: main.k",
        "2: trigger t does not work yet: no such table: main.k",
    ]
