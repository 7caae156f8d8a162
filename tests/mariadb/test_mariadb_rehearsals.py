"""A rehearsal on MariaDB: on a copy of the schema, which has no rows, and nothing that is left."""

from __future__ import annotations

import signal
import time

import pytest
from database_under_test import PATIENCE, expect_line, start_python

from torc_migrations import Migrator, errors, rehearse, upgrade

SHOP = """
CREATE TABLE shelf (id INT PRIMARY KEY);
CREATE TABLE book (id INT PRIMARY KEY, shelf INT, title TEXT, FOREIGN KEY (shelf) REFERENCES shelf (id));
INSERT INTO shelf VALUES (1), (2);
INSERT INTO book VALUES (1, 1, 'a title');
CREATE FUNCTION twice(n INT) RETURNS INT DETERMINISTIC RETURN 2 * n;
CREATE VIEW titled AS SELECT id, twice(id) AS double_id FROM book;
CREATE VIEW a_view AS SELECT id FROM titled;
CREATE TRIGGER book_title BEFORE INSERT ON book FOR EACH ROW SET NEW.title = TRIM(NEW.title);
CREATE SEQUENCE numbers;
"""
COPIES = r"SELECT schema_name FROM information_schema.schemata WHERE schema_name LIKE 'torc\_scratch\_%'"
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


@pytest.fixture
def shop(mariadb, folder):
    """A database with objects of many kinds, and its source."""
    upgrade(mariadb.url, folder({"1_shop": SHOP}))
    return mariadb, folder


def test_the_copy_has_the_schema_and_no_rows(shop):
    """Views, programs, triggers, keys and sequences are there; the result says that rows are not."""
    database, folder = shop
    script = """
    INSERT INTO shelf VALUES (7);
    INSERT INTO book VALUES (1, 7, ' b ');
    CREATE TABLE found AS SELECT twice(a_view.id) AS n, NEXTVAL(numbers) AS m FROM a_view;
    DROP VIEW a_view;
    """

    rehearsal = rehearse(database.url, folder({"2_change": script}))

    assert rehearsal.place.where == "on a copy of the schema"
    assert not rehearsal.place.has_rows
    assert "no rows" in rehearsal.place.notes[0]
    assert "table found" in rehearsal.schema.added
    assert "view a_view" in rehearsal.schema.removed
    assert "what would be lost" not in rehearsal.as_text()
    assert database.execute("SELECT title FROM book") == [("a title",)]
    assert database.execute(COPIES) == []


def test_the_keys_hold_on_the_copy(shop):
    """A row without its parent is refused there too."""
    database, folder = shop

    with pytest.raises(errors.ExecutionFailed, match="foreign key"):
        rehearse(database.url, folder({"2_bad": "INSERT INTO book VALUES (2, 99, 'b');"}))

    assert database.execute(COPIES) == []


@pytest.mark.parametrize(
    "script",
    [
        "DELETE FROM {database}.book;",
        "DELETE FROM `{database}`.`book`;",
        "USE {database};\nDELETE FROM book;",
        "CREATE USER somebody;",
        "SET GLOBAL max_connections = 7;",
        "GRANT SELECT ON book TO root@localhost;",
        "CREATE DATABASE other_one;",
        "FLUSH TABLES;",
        "REVOKE SELECT ON book FROM root@localhost;",
        "EXECUTE IMMEDIATE 'GRANT SELECT ON book TO root@localhost';",
    ],
)
def test_what_has_an_effect_outside_of_the_copy_is_refused(shop, script):
    """A script that names the database itself would change that, and not the copy."""
    database, folder = shop
    source = folder({"2_change": script.format(database=database.name)})

    with pytest.raises(errors.NotRehearsable) as failure:
        rehearse(database.url, source)

    assert (failure.value.path.rpartition("/")[2], failure.value.line) == ("2_change.sql", 1)
    assert database.execute("SELECT COUNT(*) FROM book") == [(1,)]
    assert database.execute(COPIES) == []


def test_names_that_are_like_such_words_are_names(shop):
    """Columns are called `revoked` and `grant_type` in many applications."""
    database, folder = shop
    columns = "revoked BOOLEAN, grant_type INT, flush INT, killed INT, `grant` INT, `use` INT COMMENT 'do not use it'"
    script = f"CREATE TABLE token ({columns});\nINSERT INTO token (grant_type) VALUES (1);"

    assert rehearse(database.url, folder({"2_token": script})).report.applied == (2,)


def test_a_program_that_names_the_database_is_not_copied(shop):
    """It would change the database; the notes say that it is not there."""
    database, folder = shop
    database.execute(f"CREATE PROCEDURE clear_all() DELETE FROM {database.name}.book")

    rehearsal = rehearse(database.url, folder({"2_more": "CREATE TABLE more (x INT);"}))

    assert any("procedure clear_all is not on the copy" in note for note in rehearsal.place.notes)


def test_losses_are_not_known_without_rows(shop):
    """So an upgrade that asks for them is refused, before anything is done."""
    database, folder = shop

    with pytest.raises(errors.NotSupported, match="no rows"):
        upgrade(database.url, folder({"2_delete": "DELETE FROM book;"}), on_loss="refuse")

    assert database.execute("SELECT COUNT(*) FROM book") == [(1,)]


def test_an_index_that_is_dropped_is_not_one_that_goes_with_its_table(shop):
    """Only what goes with a table that is made again is named so."""
    database, folder = shop
    upgrade(database.url, folder({"2_index": "CREATE INDEX titles ON book (title(10));"}))

    dropped = rehearse(database.url, folder({"3_drop": "DROP INDEX titles ON book;"}))
    script = "CREATE TABLE book_new (id INT PRIMARY KEY);\nDROP TABLE book;\nRENAME TABLE book_new TO book;"
    rebuilt = rehearse(database.url, folder({"3_drop": script}))

    assert dropped.steps[0].objects == ()
    assert "index titles" in rebuilt.steps[0].objects


def test_a_user_without_the_right_is_told_which_one(shop):
    """To create a database of this name; the rest works without it."""
    database, folder = shop
    database.execute("CREATE USER IF NOT EXISTS plain@localhost", f"GRANT ALL ON {database.name}.* TO plain@localhost")
    url = database.url.replace("root@", "plain@")
    source = folder({"2_more": "CREATE TABLE more (x INT);"})

    with pytest.raises(errors.NotSupported) as failure:
        rehearse(url, source)
    assert "torc" in failure.value.hint
    database.execute(r"GRANT ALL ON `torc\_scratch\_%`.* TO plain@localhost")

    assert rehearse(url, source).report.applied == (2,)
    assert database.execute(COPIES) == []


def test_the_next_rehearsal_drops_the_copy_of_a_killed_one(shop):
    """A copy belongs to a session; that of a living session stays."""
    database, folder = shop
    source = folder({"2_more": "CREATE TABLE more (x INT);"})
    process = start_python(STOPPING, database.url, source)
    expect_line(process, "ready")

    rehearse(database.url, source)
    assert len(database.execute(COPIES)) == 1
    process.send_signal(signal.SIGKILL)
    process.communicate()
    give_up = time.monotonic() + PATIENCE
    while len(database.execute(COPIES)) > 0:
        assert time.monotonic() < give_up
        rehearse(database.url, source)


def test_a_lent_connection_is_given_back(shop):
    """With its database and its settings."""
    database, folder = shop
    with database.connect() as lent, lent.cursor() as cursor:
        cursor.execute("SET SESSION sql_mode = 'ANSI_QUOTES'")
        Migrator(lent, folder({"2_more": "CREATE TABLE more (x INT);"})).rehearse()

        cursor.execute("SELECT DATABASE(), @@SESSION.sql_mode, @@SESSION.foreign_key_checks")
        assert cursor.fetchone() == (database.name, "ANSI_QUOTES", 1)
