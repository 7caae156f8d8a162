"""Plans, indexes and statistics of MariaDB."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest
from database_under_test import write_folder

from torc_migrations import Migrator, errors, upgrade
from torc_migrations.indexes.inspect import inspect_indexes
from torc_migrations.indexes.optimize import optimize

SHOP = """
CREATE TABLE shelf (id INT PRIMARY KEY, name VARCHAR(20) UNIQUE);
CREATE TABLE book (
    id INT PRIMARY KEY, shelf INT, title VARCHAR(100), words TEXT, FOREIGN KEY (shelf) REFERENCES shelf (id)
);
CREATE INDEX titles ON book (title);
CREATE INDEX title_begins ON book (title(10));
CREATE FULLTEXT INDEX words ON book (words);
CREATE INDEX newest ON book (shelf, title DESC);
"""


@pytest.fixture
def shop(mariadb, folder):
    """A database with indexes of many kinds, and its source."""
    source = folder({"1_shop": SHOP})
    upgrade(mariadb.url, source)
    return mariadb, source


def verify(database, source, text):
    """Return the findings of a file of expectations."""
    write_folder(Path(source) / "verify", {"queries": text})
    return Migrator(database.url, source).verify()


def test_lines_are_made_of_the_columns_of_explain(shop):
    """`ref on book using newest`, and each remark in a line of its own."""
    database, source = shop
    text = """
    -- name: title
    -- expect: ref on book using newest
    SELECT * FROM book WHERE shelf = :shelf;
    -- name: whole
    -- refuse: ALL on book
    SELECT * FROM book WHERE words = ? LIMIT :most;
    -- name: sorted
    -- refuse: Using filesort
    SELECT * FROM book ORDER BY words LIMIT %s;
    -- name: nobody
    -- expect: index PRIMARY
    SELECT * FROM book WHERE id = :id;
    """.replace("?", ":word")

    title, whole, in_order, nobody = verify(database, source, text)

    assert title.ok, title.as_text()
    assert whole.refused == ("ALL on book",)
    assert whole.plan.scans == ("ALL on book",)
    assert in_order.refused == ("Using filesort",)
    assert any("read while the plan is made" in note for note in nobody.notes)


def test_indexes_of_all_kinds_are_compared(shop):
    """A prefix of a column and a full-text index replace nothing; the index of a foreign key serves it."""
    database, source = shop

    report = inspect_indexes(database.url, source)

    found = {(index.table, index.name): index for index in report.indexes}
    assert str(found["book", "title_begins"].columns[0]) == "title (10)"
    assert found["book", "words"].method == "fulltext"
    assert {found["book", name].redundant_to for name in ("titles", "title_begins", "words")} == {None}
    assert found["book", "PRIMARY"].origin.automatic
    assert found["shelf", "name"].unique
    assert report.unindexed_keys == ()
    assert found["book", "titles"].size > 0


def test_optimize_waits_no_longer_than_it_is_told(shop):
    """Another session that holds the table is an error after `lock_timeout`."""
    database, _ = shop
    with closing(database.connect()) as other, other.cursor() as cursor:
        cursor.execute("LOCK TABLES book WRITE")
        with pytest.raises(errors.LockTimeout):
            optimize(database.url, lock_timeout=1.0, vacuum=True)
        cursor.execute("UNLOCK TABLES")

    assert [each.name for each in optimize(database.url, vacuum=True).measures] == ["ANALYZE TABLE", "OPTIMIZE TABLE"]
