"""Cutting scripts into statements, judged by PostgreSQL itself.

A piece is right if the server takes it for exactly one statement: it prepares one, and refuses two. A script that the
server runs has as many pieces as there are results.
"""

from __future__ import annotations

from random import Random

import psycopg
import pytest
from database_under_test import sized

from torc_migrations.databases.postgresql.scripts.statements import needs_a_look, statements

ROUNDS = sized(800, 20_000)

# Parts of statements that are right by themselves, whatever is next to them; each is one value.
VALUES = (
    "1",
    "'a;b'",
    "'it''s; -- no comment'",
    "'/* none */'",
    "'a\\b'",
    "E'a\\'; b'",
    "e'\\\\'",
    "E'a'\n  '; b\\'c'",
    "E'a' -- x;\n '\\';'",
    "'a'\n'b;'",
    "U&'\\0061;'",
    "u&'d!0061;' UESCAPE '!'",
    "B'01'::text",
    "X'1f'::text",
    "N'a;'",
    "$$a;'b$$",
    "$a$ $$;$$ $b$ ; $a$",
    "$_x1$;$_x1$",
    "$é$;$é$",
    '(SELECT \';\' AS "a;""b")',
    "/* ; */ 2",
    "/* /* ; */ ; ' */ 3",
    "-- ; '\n 4",
    "(1 /* ( */ + 2)",
    "1 */* ; */ 2",
    "1 +-- ;\n 2",
    "CASE WHEN true THEN 1 ELSE 2 END",
    "array[1, 2]::text",
    "'x'::text COLLATE \"C\"",
    "5.5e3",
    "1 - - 1",
    "'\u00e9;'",
    "e''",
    "''",
)
BODIES = (
    "CREATE OR REPLACE FUNCTION f() RETURNS int LANGUAGE plpgsql AS $$ BEGIN PERFORM 1; RETURN 2; END $$",
    "CREATE OR REPLACE FUNCTION g() RETURNS int LANGUAGE sql AS 'SELECT 1; SELECT 2'",
    "CREATE OR REPLACE FUNCTION h() RETURNS int BEGIN ATOMIC SELECT 1; SELECT CASE WHEN true THEN 1 ELSE 2 END; END",
    "CREATE OR REPLACE PROCEDURE p() BEGIN ATOMIC INSERT INTO t VALUES (1); INSERT INTO t VALUES (2); END",
    "CREATE FUNCTION i(begin int) RETURNS int LANGUAGE sql RETURN begin",
    "CREATE OR REPLACE RULE r AS ON INSERT TO t DO ALSO (SELECT 1; SELECT 2)",
    "DO $do$ BEGIN PERFORM ';'; END; $do$",
    "DO LANGUAGE plpgsql 'BEGIN PERFORM 1; END'",
    'SELECT 1 AS begin, 2 AS "end"',
    "SELECT begin FROM (VALUES (1)) AS v (begin)",
    "CREATE TEMP TABLE atomic (begin int, atomic int)",
    "WITH x AS (SELECT 1) SELECT * FROM x",
    "COMMENT ON TABLE t IS 'a;b'",
    "SELECT 1 AS a$b$c",
    "SELECT 'a'\n'b'",
    'SELECT "t"."a" FROM t AS "t"',
    "SELECT $$a$$ || $b$;$b$",
    "SET LOCAL work_mem = '4MB'",
)
SEPARATORS = (";", ";\n", "; ;\n", ";-- a; b\n", ";/* ; */", " ;\n\n", "\r\n;\r\n")


@pytest.fixture(scope="module")
def judge(postgresql_server):
    """A connection to a database with a table."""
    name = postgresql_server.create_database()
    with postgresql_server.connect(name) as connection:
        connection.execute("CREATE TABLE t (a int)")
        yield connection


def random_statement(random: Random) -> str:
    """Return a statement that the server takes for one."""
    if random.random() < 0.3:
        return random.choice(BODIES)
    values = ", ".join(random.choice(VALUES) for _ in range(random.randrange(1, 4)))
    return f"SELECT {values}"


def is_one(connection: psycopg.Connection, text: bytes) -> str | None:
    """Return None if the server prepares a text as one statement, else what it says."""
    result = connection.pgconn.prepare(b"", text)
    if result.status == psycopg.pq.ExecStatus.COMMAND_OK:
        return None
    return result.error_message.decode()


def test_every_piece_of_a_random_script_is_one_statement(judge):
    """As many pieces as statements, and the server prepares each of them."""
    random = Random(ROUNDS)
    for _ in range(ROUNDS):
        wanted = [random_statement(random) for _ in range(random.randrange(1, 5))]
        script = "".join(f"{each}{random.choice(SEPARATORS)}" for each in wanted).encode()

        pieces = [script[each.begin : each.end] for each in statements(script)]

        problems = [problem for piece in pieces if (problem := is_one(judge, piece))]
        assert (problems, len(pieces)) == ([], len(wanted)), script.decode()


@pytest.mark.parametrize("standard", [True, False])
def test_mangled_scripts_are_cut_where_the_server_cuts_them(judge, standard):
    """A script that the server runs gives one result for each piece, also after random letters were put into it."""
    random = Random(ROUNDS + standard)
    letters = ["'", '"', "$$", "$a$", "/*", "*/", "--", "\n", ";", "(", ")", "E'", "\\", "a", " ", "1", "END", " AS "]
    accepted = 0
    judge.execute(f"SET standard_conforming_strings = {'on' if standard else 'off'}")
    try:
        for _ in range(ROUNDS):
            text = "".join(
                f"SELECT {random.choice(VALUES)}{random.choice(SEPARATORS)}" for _ in range(random.randrange(1, 4))
            )
            for _ in range(random.randrange(0, 3)):
                at = random.randrange(len(text) + 1)
                text = text[:at] + random.choice(letters) + text[at:]
            script = text.encode()
            judge.pgconn.send_query(b"BEGIN;" + script)
            results = judge.wait(psycopg.generators.execute(judge.pgconn))
            judge.execute("ROLLBACK")
            if results[-1].status in (psycopg.pq.ExecStatus.FATAL_ERROR, psycopg.pq.ExecStatus.EMPTY_QUERY):
                continue
            accepted += 1

            pieces = list(statements(script, lambda: standard))

            assert (len(pieces), [each.stray for each in pieces if each.stray]) == (len(results) - 1, []), text
    finally:
        judge.execute("RESET standard_conforming_strings")
    assert accepted > ROUNDS / 5


@pytest.mark.parametrize(
    ("sql", "stray"),
    {
        "SELECT 1;\n\\connect app\nSELECT 2;": "\\connect",
        "\\set ON_ERROR_STOP on\nSELECT 1;": "\\set",
        "COPY t (a) FROM stdin;\n1\n2\n\\.\n": "COPY ... FROM stdin",
        "copy t from STDIN with (format csv);": "COPY ... FROM stdin",
        "COPY (SELECT 1) TO STDOUT;": "COPY ... TO stdout",
        "COPY t FROM '/tmp/stdin';": None,
        "SELECT '\\connect', E'\\'', $$\\d$$; -- \\x\n": None,
    }.items(),
)
def test_what_only_psql_understands_is_found(sql, stray):
    """Its commands, and rows in the script itself."""
    assert next((each.stray for each in statements(sql.encode()) if each.stray), None) == stray
    assert stray is None or needs_a_look(sql.encode())


@pytest.mark.parametrize(
    ("sql", "control"),
    {
        "BEGIN": "BEGIN",
        "begin transaction isolation level serializable": "BEGIN",
        "START TRANSACTION": "BEGIN",
        "/* x */ commit": "COMMIT",
        "END": "COMMIT",
        "COMMIT AND CHAIN": "COMMIT",
        "ABORT": "ROLLBACK",
        "ROLLBACK": "ROLLBACK",
        "ROLLBACK TO SAVEPOINT a": None,
        "ROLLBACK WORK TO a": None,
        "COMMIT PREPARED 'a'": None,
        "PREPARE TRANSACTION 'a'": "PREPARE",
        "PREPARE a AS SELECT 1": None,
        "SAVEPOINT a": None,
        "SELECT 1 AS begin": None,
        "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; END": None,
        "DO $$ BEGIN COMMIT; END $$": None,
    }.items(),
)
def test_transaction_control_is_found(sql, control):
    """In a statement's own words, and not in a body."""
    (found,) = statements(sql.encode())

    assert found.control == control
