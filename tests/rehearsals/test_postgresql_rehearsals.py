"""A rehearsal on PostgreSQL: what it shows of each statement, a copy or a transaction, and nothing that is left."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections import Counter

import psycopg
import pytest
from database_under_test import PATIENCE, expect_line, start_python

from torc_migrations import Migrator, errors, rehearse, upgrade
from torc_migrations.databases.postgresql.connection import PostgreSQLConnection

SHOP = """
CREATE TABLE shelf (id INT PRIMARY KEY);
CREATE TABLE book (id INT PRIMARY KEY, shelf INT REFERENCES shelf ON DELETE CASCADE, title TEXT);
INSERT INTO shelf SELECT generate_series(1, 10);
INSERT INTO book SELECT n, 1 + n % 10, 'a title' FROM generate_series(1, 1000) n;
"""
CHANGE = """
ALTER TABLE book ALTER COLUMN title TYPE VARCHAR(20);
UPDATE book SET title = 'another' WHERE id <= 4;
DELETE FROM shelf WHERE id = 3;
CREATE INDEX book_title ON book (title);
TRUNCATE shelf CASCADE;
"""
# Stops in the middle of a rehearsal, where it has a copy.
STOPPING = """
import sys, time
from torc_migrations.rehearsals import rehearsal
def stop(*arguments, **options):
    print("ready", flush=True)
    time.sleep(600)
rehearsal._perform = stop
from torc_migrations import Migrator
Migrator(sys.argv[1], sys.argv[2]).rehearse()
"""
RUNGS = [("rung", f"CREATE TABLE rung{n} (x INT);\nINSERT INTO rung{n} VALUES (1);") for n in range(15)]
COPIES = "SELECT datname FROM pg_database WHERE datname LIKE 'torc!_%' ESCAPE '!'"


@pytest.fixture
def shop(postgresql_database, folder):
    """A database with rows, and its source."""
    upgrade(postgresql_database.url, folder({"1_shop": SHOP}))
    return postgresql_database, folder


def statements(rehearsal):
    """Return the statements of the first step."""
    return rehearsal.steps[0].statements


@pytest.mark.parametrize("is_used", [False, True], ids=["copy", "transaction"])
def test_locks_rows_and_rewritten_tables_are_shown(shop, is_used):
    """For each statement, on a copy and in a transaction that is rolled back; the database is as before."""
    database, folder = shop
    source = folder({"2_change": CHANGE})

    with database.connect() as application:
        if not is_used:
            application.close()
        rehearsal = rehearse(database.url, source)

    alter, update, delete, index, truncate = statements(rehearsal)
    assert [each.as_text() for each in alter.locks] == ["book (AccessExclusiveLock)"]
    assert (alter.rewritten, alter.rows) == (("book",), ())
    assert [each.as_text() for each in update.rows] == ["book ~4"]
    assert [each.as_text() for each in delete.rows] == ["book -100", "shelf -1"]
    assert "shelf (RowExclusiveLock)" in [each.as_text() for each in delete.locks]
    assert (index.rewritten, truncate.rewritten) == ((), ())
    assert "shelf (AccessExclusiveLock)" in [each.as_text() for each in truncate.locks]
    assert rehearsal.place.is_undone is is_used
    assert [note for note in rehearsal.place.notes if "1 other session is connected" in note] or not is_used
    assert database.execute("SELECT count(*), count(DISTINCT title) FROM book") == [(1000, 1)]
    assert database.execute(COPIES) == []
    assert {change.table: (change.before, change.after) for change in rehearsal.rows} == {
        "book": (1000, 0),
        "shelf": (10, 0),
    }


def test_rows_that_a_cascade_deletes_are_lost(shop):
    """They are named by table; a DELETE of the script's own is no loss that is refused."""
    database, folder = shop
    source = folder({"2_change": "DELETE FROM shelf WHERE id = 3;"})

    rehearsal = rehearse(database.url, source)

    assert [(loss.table, loss.before, loss.after, loss.named) for loss in rehearsal.losses] == [
        ("book", 1000, 900, False),
        ("shelf", 10, 9, True),
    ]
    with pytest.raises(errors.RowsLost):
        upgrade(database.url, source, on_loss="refuse")
    assert database.execute("SELECT count(*) FROM book") == [(1000,)]
    assert upgrade(database.url, source, on_loss="warn").applied == (2,)


def test_renamed_tables_and_columns_are_followed(shop):
    """A table that is renamed loses no row, and a column that is renamed is not lost."""
    database, folder = shop
    script = """
    ALTER TABLE book RENAME TO volume;
    ALTER TABLE volume RENAME COLUMN title TO name;
    ALTER TABLE volume DROP COLUMN shelf;
    """

    rehearsal = rehearse(database.url, folder({"2_change": script}))

    assert [change.now for change in rehearsal.rows if change.table == "book"] == ["volume"]
    assert rehearsal.losses == ()
    assert rehearsal.steps[0].columns == ("book.shelf",)


def test_a_table_that_is_made_again_without_its_index(shop):
    """The index is named that goes with the old table."""
    database, folder = shop
    source = folder({"2_index": "CREATE INDEX book_title ON book (title);"})
    upgrade(database.url, source)
    script = """
    CREATE TABLE book_new (id INT PRIMARY KEY, shelf INT, title TEXT);
    INSERT INTO book_new SELECT * FROM book WHERE id <= 990;
    DROP TABLE book;
    ALTER TABLE book_new RENAME TO book;
    """

    rehearsal = rehearse(database.url, folder({"3_rebuild": script}))

    assert "index book_title" in rehearsal.steps[0].objects
    assert [(loss.table, loss.after, loss.rebuilt, loss.named) for loss in rehearsal.losses] == [
        ("book", 990, True, False)
    ]


def test_a_statement_that_cannot_be_in_a_transaction_is_rehearsed_on_a_copy_only(shop):
    """In a transaction an index is built without CONCURRENTLY, and VACUUM is left out; the statement says so."""
    database, folder = shop
    script = (
        "-- no-transaction\nCREATE INDEX CONCURRENTLY book_title ON book (title);\nVACUUM book;\nDROP INDEX book_title;"
    )
    source = folder({"2_index": script})

    on_copy = rehearse(database.url, source)
    with database.connect():
        undone = rehearse(database.url, source)

    assert [each.note for each in statements(on_copy)] == [None, None, None]
    first, second, third = (each.note for each in statements(undone))
    assert first.startswith("rehearsed without CONCURRENTLY")
    assert second.startswith("not rehearsed")
    assert third is None
    assert "not rehearsed" in undone.as_text()


def test_a_script_that_commits_is_rehearsed_in_a_transaction(shop):
    """Its COMMIT is left out, so that nothing is kept, and a note says what that cannot show."""
    database, folder = shop
    source = folder({"2_commits": "UPDATE book SET title = 'b';\nCOMMIT;\nBEGIN;\nDELETE FROM book WHERE id = 1;"})

    on_copy = rehearse(database.url, source)
    with database.connect():
        rehearsal = rehearse(database.url, source)

    assert rehearsal.report.applied == (2,)
    assert database.execute("SELECT count(*) FROM book WHERE title = 'a title'") == [(1000,)]
    assert [each.note for each in statements(on_copy)] == [None] * 4
    assert [(each.words, each.note and each.note[:52]) for each in statements(rehearsal)] == [
        ("UPDATE book SET title = 'b';", None),
        ("COMMIT;", "not rehearsed: a commit checks deferred constraints "),
        ("DELETE FROM book WHERE id = 1;", None),
    ]
    assert "if a later statement fails" in rehearsal.as_text()


@pytest.mark.parametrize("atomic", [False, True])
def test_a_failed_script_leaves_no_copy(shop, atomic):
    """Neither a database nor a transaction, whether all steps are one transaction or not."""
    database, folder = shop
    source = folder({"2_more": "CREATE TABLE more (x INT);", "3_bad": "CREATE TABLE half (x INT);\nSELECT nowhere;"})

    for connections in (0, 1):
        others = [database.connect() for _ in range(connections)]
        with pytest.raises(errors.ExecutionFailed, match="nowhere"):
            Migrator(database.url, source).rehearse(atomic=atomic)
        for each in others:
            each.close()

    assert database.execute(COPIES) == []
    assert not {"more", "half"} & set(database.tables())
    locks = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"
    assert database.execute(locks) == [(0,)]


@pytest.mark.parametrize(("is_used", "most"), [(False, 29), (True, 23)], ids=["copy", "transaction"])
def test_each_migration_takes_a_bounded_number_of_queries(shop, monkeypatch, is_used, most):
    """The catalog is read once for each script, however many there are; each rung has two statements."""
    database, folder = shop
    counts: Counter[str] = Counter()
    run = PostgreSQLConnection.run

    def counted(self, text, values=None):
        counts[text] += 1
        return run(self, text, values)

    monkeypatch.setattr(PostgreSQLConnection, "run", counted)

    def rehearsed(rungs: int) -> Counter[str]:
        counts.clear()
        source = folder({"1_shop": SHOP} | {f"{n + 1}_{name}": text for n, (name, text) in enumerate(RUNGS[:rungs], 1)})
        assert len(rehearse(database.url, source).steps) == rungs
        return Counter(counts)

    with database.connect() as application:
        if not is_used:
            application.close()
        few, many = rehearsed(5), rehearsed(15)

    assert (many.total() - few.total()) / 10 <= most
    assert sum(count for text, count in (many - few).items() if "pg_get_indexdef" in text) == 10


def test_the_next_rehearsal_drops_the_copy_of_a_killed_one(shop):
    """A copy belongs to a session; that of a living session stays."""
    database, folder = shop
    source = folder({"2_change": CHANGE})
    process = start_python(STOPPING, database.url, source)
    expect_line(process, "ready")
    assert len(database.execute(COPIES)) == 1

    rehearse(database.url, source)  # while the other one goes on
    assert len(database.execute(COPIES)) == 1
    process.send_signal(signal.SIGKILL)
    process.communicate()
    give_up = time.monotonic() + PATIENCE
    while database.execute("SELECT count(*) FROM pg_stat_activity WHERE datname LIKE 'torc%'") != [(0,)]:
        assert time.monotonic() < give_up
        time.sleep(0.05)
    while len(database.execute(COPIES)) > 0:
        assert time.monotonic() < give_up
        rehearse(database.url, source)


@pytest.mark.parametrize(
    "script",
    [
        "CREATE ROLE somebody;",
        "DO $$ BEGIN EXECUTE 'ALTER ROLE postgres NOLOGIN'; END $$;",
        "-- no-transaction\nALTER SYSTEM SET work_mem = '1MB';",
        "COPY book TO '/tmp/books';",
        "GRANT pg_monitor TO postgres;",
    ],
)
def test_what_has_an_effect_outside_of_a_copy_is_refused(shop, script):
    """Before it is run; the error names the place."""
    database, folder = shop

    with pytest.raises(errors.NotRehearsable, match="has an effect outside of the copy") as failure:
        rehearse(database.url, folder({"2_role": script}))

    assert failure.value.path.endswith("2_role.sql")
    assert database.execute(COPIES) == []
    assert database.execute("SELECT count(*) FROM pg_roles WHERE rolname = 'somebody'") == [(0,)]


def test_a_grant_on_a_table_can_be_rehearsed(shop):
    """It is a part of the copy."""
    database, folder = shop

    rehearsal = rehearse(
        database.url, folder({"2_grant": "GRANT SELECT ON book TO PUBLIC;\nGRANT ALL ON shelf TO postgres;"})
    )

    assert rehearsal.report.applied == (2,)


def test_a_role_that_may_not_create_databases_rehearses_in_a_transaction(shop):
    """The note says why there was no copy."""
    database, folder = shop
    role = f"plain_{database.database}"
    database.execute(
        f"CREATE ROLE {role} LOGIN",
        f"GRANT ALL ON SCHEMA public TO {role}",
        f"GRANT ALL ON ALL TABLES IN SCHEMA public TO {role}",
    )
    url = database.url.replace("postgres@", f"{role}@")

    rehearsal = rehearse(url, folder({"2_more": "CREATE TABLE more (x INT);"}))

    assert "this role may not create databases" in rehearsal.place.notes[0]
    assert rehearsal.report.applied == (2,)
    assert "more" not in database.tables()


def test_a_lent_connection_is_given_back(shop):
    """Its settings are as before, and it is not the one that the scripts run on."""
    database, folder = shop
    with psycopg.connect(host=str(database.server.home), user="postgres", dbname=database.database) as lent:
        lent.execute("SET search_path TO public, pg_temp")
        lent.commit()
        rehearsal = rehearse(lent, folder({"2_change": CHANGE}))

        assert lent.execute("SHOW search_path").fetchone() == ("public, pg_temp",)
        assert not lent.autocommit
    assert rehearsal.report.applied == (2,)


def test_the_command_says_where_it_was_rehearsed(shop, tmp_path):
    """On standard error; standard output has the statements."""
    database, folder = shop
    source = folder({"2_change": CHANGE})
    command = [sys.executable, "-m", "torc_migrations", "-d", database.url, "-s", source, "rehearse"]
    with database.connect():
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path, timeout=PATIENCE)

    assert done.returncode == 0, done.stderr
    assert "rewrites: book" in done.stdout
    assert "note: this was a rehearsal in a transaction that was rolled back" in done.stderr


def test_the_settings_of_the_database_hold_on_the_copy(postgresql_database, folder):
    """`ALTER DATABASE ... SET search_path` is not a part of the template; without it the ledgers would not be found."""
    database, source = postgresql_database, folder({"1_a": "CREATE TABLE a (x INT);"})
    database.execute("CREATE SCHEMA app", f'ALTER DATABASE "{database.database}" SET search_path TO app, public')
    upgrade(database.url, source)

    rehearsal = rehearse(database.url, folder({"2_b": "CREATE TABLE b AS SELECT * FROM a;"}))

    assert rehearsal.report.applied == (2,)
    assert rehearsal.schema.added == ("table b",)
    assert not rehearsal.place.is_undone


def test_a_schema_of_the_url_holds_on_the_copy(postgresql_database, folder):
    """`?schema=` as for the database itself, on a copy and in a transaction."""
    database, source = postgresql_database, folder({"1_a": "CREATE TABLE a (x INT);"})
    database.execute("CREATE SCHEMA app")
    url = f"{database.url}&schema=app"
    upgrade(url, source)
    folder({"2_b": "CREATE TABLE b AS SELECT * FROM a;"})

    on_copy = rehearse(url, source)
    with database.connect():
        undone = rehearse(url, source)

    assert [each.schema.added for each in (on_copy, undone)] == [("table b",)] * 2
    assert [each.place.is_undone for each in (on_copy, undone)] == [False, True]
    assert database.execute("SELECT count(*) FROM app._sqlx_migrations") == [(1,)]
