"""Plans, indexes and statistics of PostgreSQL."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from database_under_test import write_folder

from torc_migrations import Migrator, errors, upgrade
from torc_migrations.databases.servers.queries import can_be_explained, with_parameters
from torc_migrations.indexes.inspect import inspect_indexes
from torc_migrations.indexes.optimize import optimize

SHOP = """
CREATE TABLE shelf (id INT PRIMARY KEY, name TEXT UNIQUE);
CREATE TABLE book (
    id INT PRIMARY KEY, shelf INT REFERENCES shelf ON DELETE CASCADE, title TEXT, price NUMERIC, tags JSONB
);
CREATE INDEX book_title ON book (title);
CREATE INDEX book_title_id ON book (title, id);
CREATE INDEX book_title_pattern ON book (title text_pattern_ops);
CREATE INDEX book_tags ON book USING gin (tags);
CREATE INDEX book_cheap ON book (price DESC) INCLUDE (title) WHERE price < 10;
CREATE INDEX book_lower ON book (lower(title));
"""


@pytest.fixture
def shop(postgresql_database, folder):
    """A database with indexes of many kinds, and its source."""
    source = folder({"1_shop": SHOP})
    upgrade(postgresql_database.url, source)
    return postgresql_database, source


def verify(database, source, text, **options):
    """Return the findings of a file of expectations."""
    write_folder(Path(source) / "verify", {"queries": text})
    return Migrator(database.url, source).verify(**options)


def test_nodes_are_named_as_explain_names_them(shop):
    """`Index Scan using i on t`, with the alias where there is one; joins, sorts and changes have their names."""
    database, source = shop
    text = """
    -- name: by id
    -- expect: Index Scan using book_pkey on book
    SELECT * FROM book WHERE id = :id;
    -- name: alias
    -- expect: Index Scan using book_pkey on book b
    SELECT * FROM book AS b WHERE b.id = $1;
    -- name: update
    -- expect: Update on book
    -- expect: Index Scan using book_pkey
    UPDATE book SET title = %(title)s WHERE id = %(id)s;
    -- name: whole
    -- refuse: Seq Scan on book
    SELECT * FROM book WHERE price / 2 = 1;
    -- name: sorted
    -- refuse: Sort
    SELECT * FROM book ORDER BY price;
    -- name: left
    -- expect: Hash Left Join
    SELECT * FROM shelf LEFT JOIN book ON book.shelf = shelf.id AND book.price > 1 LIMIT 1000;
    """

    findings = {str(finding): finding for finding in verify(database, source, text)}

    for name in ("by id", "alias", "update"):
        assert findings[name].ok, findings[name].as_text()
    assert findings["whole"].refused == ("Seq Scan on book",)
    assert findings["whole"].plan.scans == ("Seq Scan on book",)
    assert any("verify with --fresh" in note for note in findings["whole"].notes)
    assert findings["sorted"].refused[0].startswith("Sort")
    assert findings["left"].error is None


def test_parameters_need_no_values(shop):
    """Their types are inferred; where that is impossible the note says what to write."""
    database, source = shop
    text = """
    -- name: twice
    -- expect: index book_pkey
    SELECT ':no', tags ? 'a', title::varchar FROM book WHERE id = :id AND (price = :price OR id = :id) LIMIT :most;
    -- name: unclear
    -- expect: index book_pkey
    SELECT jsonb_build_array(:what);
    """

    twice, unclear = verify(database, source, text)

    assert twice.ok, twice.as_text()
    assert unclear.error is not None
    assert "write a type" in " ".join(unclear.notes)
    assert database.execute("SELECT count(*) FROM pg_prepared_statements") == [(0,)]


def test_a_small_table_is_read_as_a_whole_and_fresh_shows_the_index(shop):
    """On an empty database the plan shows whether the index can serve, and no table is left."""
    database, source = shop
    database.execute("INSERT INTO book SELECT n, NULL, 'title ' || n FROM generate_series(1, 3) n", "ANALYZE book")
    text = "-- name: one\n-- expect: index book_pkey\nSELECT title FROM book WHERE id = :id;"

    (small,) = verify(database, source, text)
    (fresh,) = verify(database, source, text, fresh=True)

    assert small.plan.scans == ("Seq Scan on book",)
    assert fresh.ok, fresh.as_text()
    assert database.execute("SELECT datname FROM pg_database WHERE datname LIKE 'torc%'") == []


def test_indexes_of_all_kinds_are_compared(shop):
    """Method, operators, condition and included columns make a difference; scans and validity are listed."""
    database, source = shop
    database.execute("INSERT INTO book SELECT n, NULL, 'a' FROM generate_series(1, 100) n")
    with database.connect() as connection:
        connection.execute("SET enable_seqscan = off")
        connection.execute("SELECT * FROM book WHERE title = 'b'").fetchall()
    with pytest.raises(Exception, match="could not create unique index"):
        database.execute("CREATE UNIQUE INDEX CONCURRENTLY book_unique ON book (title)")

    report = inspect_indexes(database.url, source)

    found = {index.name: index for index in report.indexes}
    assert found["book_title"].redundant_to == "book_title_id"
    assert [found[name].redundant_to for name in ("book_title_pattern", "book_tags", "book_cheap", "book_lower")] == [
        None
    ] * 4
    assert str(found["book_title_pattern"].columns[0]) == "title text_pattern_ops"
    assert (found["book_cheap"].method, found["book_cheap"].partial) == (
        "btree include (title)",
        "(price < (10)::numeric)",
    )
    assert str(found["book_cheap"].columns[0]) == "price DESC"
    assert not found["book_unique"].is_valid
    assert found["book_pkey"].origin.automatic
    assert found["shelf_name_key"].origin.automatic
    assert found["book_title"].size > 0
    assert {index.scans for index in report.created} >= {0}
    text = report.as_text()
    assert "invalid: it serves no query" in text
    assert "never scanned" in text
    assert "1 invalid" in text
    assert [str(key) for key in report.unindexed_keys] == ["book(shelf) -> shelf"]


def test_optimize_waits_no_longer_than_it_is_told(shop):
    """Another session that rewrites the table is an error after `lock_timeout`; the settings are as before."""
    database, _ = shop
    with database.connect() as other:
        other.execute("BEGIN")
        other.execute("LOCK TABLE book IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(errors.LockTimeout):
            optimize(database.url, lock_timeout=0.2)
        other.execute("ROLLBACK")

    with database.connect() as lent:
        lent.execute("SET lock_timeout = '7s'")
        assert [each.name for each in optimize(lent, vacuum=True).measures] == ["ANALYZE", "VACUUM"]
        assert lent.execute("SHOW lock_timeout").fetchone() == ("7s",)


def test_reading_takes_no_lock_that_keeps_a_writer_out(shop):
    """`verify` and `indexes` work while another session writes."""
    database, source = shop
    with database.connect() as other:
        other.execute("BEGIN")
        other.execute("INSERT INTO shelf VALUES (1)")
        reports = []
        reader = threading.Thread(target=lambda: reports.append(inspect_indexes(database.url, source)))
        reader.start()
        reader.join(60)
        assert reports
        other.execute("ROLLBACK")


@pytest.mark.parametrize(
    ("query", "replaced"),
    [
        ("SELECT :a, ':b', x::int, \"c:d\" -- :e", "SELECT <a>, ':b', x::int, \"c:d\" -- :e"),
        ("SELECT %s, %(n)s, 10 % 3", "SELECT <>, <n>, 10 % 3"),
        ("SELECT $$ :a $$, $t$ %s $t$, a[1:n] /* :b */", "SELECT $$ :a $$, $t$ %s $t$, a[1:n] /* :b */"),
        ("SELECT `a:b`, 'it''s :c'", "SELECT `a:b`, 'it''s :c'"),
    ],
)
def test_parameters_are_found_outside_of_quotes(query, replaced):
    """Casts, slices, comments and texts have none."""
    assert with_parameters(query, lambda name, _: f"<{name}>") == replaced


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("  -- a\n SELECT 1", True),
        ("(SELECT 1)", True),
        ("/* x */ WITH a AS (SELECT 1) SELECT 1", True),
        ("VACUUM", False),
        ("", False),
    ],
)
def test_only_queries_are_explained(query, says):
    """By their first word."""
    assert can_be_explained(query) is says
