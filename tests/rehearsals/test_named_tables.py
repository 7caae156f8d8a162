"""What a script for PostgreSQL names itself, as far as its words tell."""

from __future__ import annotations

import pytest

from torc_migrations.databases.postgresql.rehearsals.named import names_in, server_wide


@pytest.mark.parametrize(
    ("script", "deletes", "drops"),
    [
        ("DELETE FROM book;", {"book"}, set()),
        ("delete from only public.book where true", {"book"}, set()),
        ('DELETE FROM "Book" WHERE true', {"Book"}, set()),
        ("DELETE FROM app.book", {"app.book"}, set()),
        ("TRUNCATE TABLE a, ONLY b CASCADE", {"a", "b"}, set()),
        ("WITH gone AS (DELETE FROM a RETURNING *) INSERT INTO b SELECT * FROM gone", {"a"}, set()),
        ("DO $$ BEGIN DELETE FROM a; END $$", {"a"}, set()),
        ("MERGE INTO a USING b ON a.x = b.x WHEN MATCHED THEN DELETE", {"a"}, set()),
        ("DROP TABLE IF EXISTS a, app.b CASCADE", set(), {"a", "app.b"}),
        ("DROP SCHEMA app CASCADE", set(), {"app.*"}),
        ("-- DELETE FROM book\n/* DROP TABLE book */ SELECT 1", set(), set()),
        ("UPDATE book SET x = 1; INSERT INTO book VALUES (1)", set(), set()),
    ],
)
def test_deleted_and_dropped_tables_are_found(script, deletes, drops):
    """In statements and in the bodies of functions, without the schema of the ledgers; not in comments."""
    assert names_in(script.encode(), "public") == (deletes, drops)


@pytest.mark.parametrize(
    ("script", "words", "undone"),
    [
        ("CREATE ROLE a", "CREATE ROLE", None),
        ("SELECT 1;\nalter system set a = 1", "ALTER SYSTEM", None),
        ("GRANT admin TO ann", "GRANT ADMIN TO", None),
        ("GRANT SELECT ON book TO ann", None, None),
        ("REVOKE ALL ON SCHEMA public FROM PUBLIC", None, None),
        ("CREATE USER MAPPING FOR ann SERVER other", None, None),
        ("SELECT dblink('host=other', 'DELETE FROM a')", "DBLINK", "DBLINK"),
        ("COPY book TO PROGRAM 'cat'", "COPY BOOK TO", "COPY BOOK TO"),
        ("COPY book TO '/tmp/x'", "COPY BOOK TO", "COPY BOOK TO"),
        ("COPY book FROM '/tmp/x'", None, None),
        ("-- CREATE ROLE a\nSELECT 1", None, None),
        ("CREATE TABLE user_role (role text, database text)", None, None),
    ],
)
def test_what_has_an_effect_elsewhere_is_found(script, words, undone):
    """With its place in bytes; a transaction that is rolled back undoes roles, and not what other programs did."""
    found, in_transaction = server_wide(script.encode(), is_undone=False), server_wide(script.encode(), is_undone=True)

    assert (found and found[1]) == words
    assert (in_transaction and in_transaction[1]) == undone


def test_the_place_counts_bytes():
    """Also behind letters of several bytes."""
    script = "SELECT 'über';\nCREATE ROLE a;".encode()

    assert server_wide(script, is_undone=False) == (script.index(b"CREATE"), "CREATE ROLE")
