"""Cutting scripts where SQLite does, finding places in them, and reading their directives."""

from __future__ import annotations

import os
import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import NamedTuple

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sqlite_parser import Oracle

from torc_migrations.databases.sqlite.scripts.failures import fault_offset
from torc_migrations.databases.sqlite.scripts.statements import (
    BOM,
    Statement,
    first_token,
    statements,
    transaction_words,
)
from torc_migrations.sources.directives import Directives
from torc_migrations.sources.directives import read_directives as directives
from torc_migrations.sources.text import Place, frame, place

# Say EXAMPLES=100000 for a long run.
EXAMPLES = int(os.environ.get("EXAMPLES", "100"))


class Case(NamedTuple):
    """A script as the statements it has to be cut into, and the blank rest behind the last one."""

    pieces: tuple[bytes, ...]
    rest: bytes = b""
    readable: bool = True
    needs: str = ""

    @property
    def sql(self) -> bytes:
        """The whole script."""
        return b"".join(self.pieces) + self.rest


TABLE = b"CREATE TABLE t (a, b);"
TRIGGER = b"CREATE TRIGGER tr AFTER INSERT ON t BEGIN"

CASES = {
    "empty": Case(()),
    "only blanks": Case((), b" \t\r\n\f\n"),
    "only comments": Case((), b"-- one; two\n/* three; */ -- four;"),
    "only a byte order mark": Case((), BOM),
    "no final semicolon": Case((TABLE, b"\nSELECT a FROM t")),
    "no final semicolon but a comment": Case((TABLE, b"\nSELECT a FROM t -- done;")),
    "nothing after the semicolon but comments": Case((TABLE,), b" -- one;\n/* two; */\n"),
    "comment that hides the first semicolon": Case((b"-- a; b\n" + TABLE, b"/* ; */ SELECT 1;")),
    "comment inside a statement": Case((b"SELECT 1 -- ; not yet\n, 2 /* ; nor now */;", b" SELECT 3;")),
    "comment marks inside a literal": Case((b"SELECT '--', '/*';", b"SELECT '*/';")),
    "quote inside a comment": Case((b"-- it's\nSELECT 1;", b'/* " */ SELECT 2;')),
    "slash that opens no comment": Case((b"SELECT 4/2;", b"SELECT 4/ 2;")),
    "minus that opens no comment": Case((b"SELECT 4-2;", b"SELECT 4- -2;")),
    "comment closed by its own star": Case((b"/*/ ; */SELECT 1;", b"/**/SELECT 2;", b"/***/SELECT 3;")),
    "semicolon in every kind of quote": Case(
        (b"CREATE TABLE \"a;b\" (`c;d`, [e;f] DEFAULT 'g;h');", b'INSERT INTO "a;b" VALUES (\';\', ";");')
    ),
    "doubled quotes": Case((b"SELECT 'it''s; so';", b'SELECT 1 AS "a"";b";', b"SELECT 1 AS `c``;d`;")),
    "the other quotes inside quotes": Case((b"SELECT '\";`[';", b'SELECT 1 AS "\';`]";', b"SELECT 1 AS [;'\"`];")),
    "literal that ends in a backslash": Case((b"SELECT 'C:\\';", b"SELECT 'x;\\';", b"SELECT 2;")),
    "blob and number": Case((b"SELECT x'3b', 1e5, .5, 0x3b;", b"SELECT 2;")),
    "carriage return and line feed": Case((b"SELECT 'a\r\nb';\r\n".rstrip(b"\r\n"), b"\r\nSELECT 2;"), b"\r\n"),
    "lone carriage returns": Case((b"SELECT 1;", b"\rSELECT 2;"), b"\r"),
    "letters beyond ASCII": Case(("SELECT 'ä;ö' AS größe;".encode(), "\nSELECT '😀;';".encode())),
    "byte order mark in the middle": Case((b"SELECT 1;", BOM + b"SELECT 2;", BOM + b"-- ;\n" + BOM + b"SELECT 3;")),
    "byte order mark before a trigger": Case((TABLE, BOM + TRIGGER + b" SELECT 1; SELECT 2; END;")),
    "byte order mark inside a literal": Case((b"SELECT '" + BOM + b";';", b"SELECT 2;")),
    "vertical tab before a trigger": Case((TABLE, b"\n\v" + TRIGGER + b" SELECT 1; END;")),
    "columns named as keywords": Case(
        (
            b'CREATE TABLE w ("begin", "end", [declare], GO, "if", loop);',
            b'SELECT "begin", "end", declare, GO, "if", loop FROM w;',
            b"CREATE TABLE x (begin, end, temp, trigger, explain, declare);",
            b"SELECT begin, end FROM x;",
            b"UPDATE x SET end = begin;",
            b"SELECT 1;",
        )
    ),
    "a table named trigger": Case((b"CREATE TABLE trigger (a);", b"CREATE TEMP TABLE begin (a);", b"SELECT 1;")),
    "an index on a column named end": Case((b"CREATE TABLE w (end);", b"CREATE INDEX i ON w (end);", b"SELECT 1;")),
    "a transaction of its own": Case((b"BEGIN;", b"SELECT 1;", b"END;", b"BEGIN IMMEDIATE;", b"COMMIT;")),
    "CASE outside a trigger": Case((b"SELECT CASE WHEN 1 THEN 2 END;", b"SELECT 2;")),
    "trigger": Case((TABLE, b"\n" + TRIGGER + b" INSERT INTO t VALUES (1, 2); DELETE FROM t; END;", b" SELECT 1;")),
    "trigger without a final semicolon": Case((TABLE, TRIGGER + b" SELECT 1; END")),
    "trigger whose END stands apart": Case((TABLE, TRIGGER + b" SELECT 1;\n-- ;\nEND /* ; */\n;", b"SELECT 1;")),
    "trigger with nested CASE": Case(
        (
            TABLE,
            TRIGGER + b" UPDATE t SET a = CASE WHEN b THEN CASE a WHEN 1 THEN 2 END ELSE 3 END; END;",
            b"SELECT 1;",
        )
    ),
    "trigger with WHEN and a literal": Case(
        (TABLE, b"CREATE TRIGGER tr UPDATE ON t WHEN new.a = ';END;' BEGIN SELECT ';END;'; END;", b"SELECT 1;")
    ),
    "trigger in every spelling": Case(
        (
            TABLE,
            b"create/**/trigger a delete on t begin select 1; end;",
            b"CREATE TEMP TRIGGER b INSERT ON t BEGIN SELECT 1; END;",
            b"Create Temporary Trigger if not exists c insert on t Begin select 1; End;",
            b"EXPLAIN CREATE TRIGGER d INSERT ON t BEGIN SELECT 1; END;",
            b"EXPLAIN QUERY PLAN CREATE TRIGGER e INSERT ON t BEGIN SELECT 1; END;",
            b"SELECT 1;",
        )
    ),
    "trigger with WITH RECURSIVE": Case(
        (
            TABLE,
            TRIGGER + b" INSERT INTO t SELECT n, n FROM "
            b"(WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r WHERE n < 3) SELECT n FROM r); END;",
            b"SELECT 1;",
        )
    ),
    "trigger with UPSERT": Case(
        (
            b"CREATE TABLE t (a PRIMARY KEY, b);",
            TRIGGER + b" INSERT INTO t VALUES (1, 2) ON CONFLICT (a) DO UPDATE SET b = ';'; END;",
            b"SELECT 1;",
        )
    ),
    "UPSERT and RETURNING": Case(
        (
            b"CREATE TABLE t (a PRIMARY KEY, b);",
            b"INSERT INTO t VALUES (1, ';') ON CONFLICT (a) DO UPDATE SET b = 2 RETURNING a, b;",
            b"DELETE FROM t RETURNING *;",
        )
    ),
    "generated columns and STRICT": Case(
        (b"CREATE TABLE t (a INTEGER, b TEXT GENERATED ALWAYS AS (a || ';') STORED) STRICT;", b"SELECT b FROM t;")
    ),
    "WITHOUT ROWID and partial index": Case(
        (b"CREATE TABLE t (a PRIMARY KEY) WITHOUT ROWID;", b"CREATE INDEX i ON t (a) WHERE a <> ';';")
    ),
    "full-text search": Case(
        (
            b"CREATE VIRTUAL TABLE f USING fts5(body, tokenize = \"unicode61 tokenchars ';'\");",
            b"INSERT INTO f VALUES ('a;b');",
            b"SELECT * FROM f WHERE f MATCH '\"a;b\"';",
        ),
        needs="ENABLE_FTS5",
    ),
    "window and view": Case(
        (TABLE, b"CREATE VIEW v AS SELECT row_number() OVER (ORDER BY a) FROM t;", b"SELECT * FROM v;")
    ),
    "empty statement inside a trigger": Case((TABLE, TRIGGER + b" SELECT 1;; DELETE FROM t; END;"), readable=False),
    "END that does not end the trigger": Case((TABLE, TRIGGER + b" SELECT 1; END x; SELECT 2; END;"), readable=False),
    "empty statement at the end of a trigger": Case(
        (TABLE, TRIGGER + b" SELECT 1;; END;", b" SELECT 2;"), readable=False
    ),
    "sign behind an END that does not end the trigger": Case(
        (TABLE, TRIGGER + b" SELECT 1; END +; SELECT 2; END;"), readable=False
    ),
    "unclosed comment": Case((b"SELECT 1;",), b" /* DROP TABLE t; -- and so on\n;"),
    "unclosed comment inside a statement": Case((TABLE, b"SELECT 1 /* ; DROP TABLE t;")),
    "unclosed comment with nothing in it": Case((b"SELECT 1;", b" /*"), readable=False),
    "unclosed string": Case((TABLE, b"SELECT 'a; DROP TABLE t;"), readable=False),
    "unclosed bracket": Case((TABLE, b"SELECT [a; DROP TABLE t;\n"), readable=False),
    "unclosed trigger": Case((TABLE, TRIGGER + b" SELECT 1; DROP TABLE t;"), readable=False),
    "lone vertical tab": Case((b"SELECT 1;",), b"\v", readable=False),
    "blanks of Unicode at both ends": Case((b"SELECT 1;",), "\u2003\u3000 \n".encode(), readable=False),
}
BLANKS = b" \t\n\v\f\r"  # at both ends of a script
FRAGMENTS = [
    b";", b"'", b'"', b"`", b"[", b"]", b"--", b"\n", b"/*", b"*/", b" ", b"\t", b"\r\n", b"\v", b"\f", BOM, b"\\",
    b"$", b"-", b"/", b"*", b"''", b'""', b"1", b"a", "é".encode(), b"x'3b'", b"';'", b'";"', b"`;`", b"[;]",
    b"-- ;\n", b"/* ; */", b"--;", b"/*;", b"SELECT 1", b"SELECT a FROM t", b"SELECT [end] FROM t",
    b'SELECT "begin" FROM t', b"SELECT 'a\\'", b"UPDATE t SET a = ';'", b"DELETE FROM t", b"CREATE TABLE u (a)",
    b"CASE WHEN a THEN b END", b"EXPLAIN ", b"EXPLAIN QUERY PLAN ", b"CREATE ", b"CREATE TEMP ",
    b"create/**/temporary ", b"TRIGGER ", b"CREATE TRIGGER x AFTER INSERT ON t BEGIN ",
    b"CREATE TRIGGER x UPDATE ON t BEGIN SELECT CASE WHEN 1 THEN 2 END; END",
    b"CREATE TEMP TRIGGER x DELETE ON t WHEN old.a BEGIN ", b"END", b" end ", b"; END", b";\nEND\n;", b"BEGIN",
    b"COMMIT",
    b"WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r) SELECT 1",
]  # fmt: skip
SCRIPTS = st.lists(st.sampled_from(FRAGMENTS), max_size=16).map(b"".join)
LIKELY_SCRIPTS = st.lists(
    st.tuples(st.sampled_from(FRAGMENTS), st.sampled_from(FRAGMENTS)).map(b"".join), max_size=6
).map(b";".join)


@pytest.fixture(scope="module")
def parser(libsqlite3) -> Iterator[Oracle]:
    """SQLite's own parser, on a database whose tables the fragments name."""
    oracle = Oracle(libsqlite3)
    oracle.run(b'CREATE TABLE t (a, b, "begin", "end")')
    yield oracle
    oracle.close()


def ends(sql: bytes) -> tuple[int, ...]:
    """Return where our statements end."""
    return tuple(map(end_of, statements(sql)))


def end_of(statement: Statement) -> int:
    """Return where a statement ends in its script, in bytes."""
    return statement.offset + len(statement.text.encode())


def skip_without(feature: str) -> None:
    """Skip where this SQLite was built without a feature."""
    with closing(sqlite3.connect(":memory:")) as connection:
        options = {name for (name,) in connection.execute("PRAGMA compile_options")}
    if feature and feature not in options:
        pytest.skip(f"this SQLite is built without {feature}")


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_script_is_cut_where_it_should_be(case):
    """Quotes, comments, triggers and odd names never make a script fall into the wrong pieces."""
    found = list(statements(case.sql))

    assert [statement.text.encode() for statement in found] == list(case.pieces)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_sqlite_cuts_the_same(case, oracle):
    """The tail of sqlite3_prepare_v2 stands where our statement ends, as far as SQLite can read."""
    skip_without(case.needs)

    cut = oracle.run(case.sql)

    assert cut.whole is case.readable
    assert ends(case.sql)[: len(cut.ends)] == cut.ends
    assert not case.readable or len(ends(case.sql)) == len(cut.ends)


@settings(max_examples=EXAMPLES, deadline=None)
@given(sql=SCRIPTS | LIKELY_SCRIPTS)
@example(sql=b"CREATE TRIGGER x UPDATE ON t BEGIN SELECT 1;" + BOM + b"END;SELECT 1;")
@example(sql=b"CREATE TRIGGER x UPDATE ON t BEGIN SELECT 1; \vEND\t;SELECT 1;")
@example(sql=b"SELECT 1-- ;\n\v")
def test_sqlite_agrees_on_whatever_it_can_read(parser, sql):
    """On any text, each statement that SQLite can prepare ends for us where it ends for SQLite, or the blanks begin."""
    cut = parser.read(sql)

    blanks = len(sql.rstrip(BLANKS))
    ours, theirs = (tuple(min(end, blanks) for end in found) for found in (ends(sql), cut.ends))

    assert ours[: len(theirs)] == theirs
    # A comment that is not closed is none where it is the last thing there, as it is once the blanks are left out.
    assert not cut.whole or ours == theirs or sql.rstrip(BLANKS).endswith(b"/*")


@settings(max_examples=EXAMPLES, deadline=None)
@given(sql=SCRIPTS | LIKELY_SCRIPTS | st.text(alphabet="a;'\"-/*[]\n é\ufeff").map(str.encode))
@example(sql=b"/* ")
def test_nothing_of_a_script_is_lost(sql):
    """Statements follow one another; only blanks, comments and semicolons are left out between them."""
    found = list(statements(sql))

    stop = len(BOM) if sql.startswith(BOM) else 0
    for statement in found:
        between = sql[stop : statement.offset]
        assert is_empty(between if stop > len(BOM) else between.lstrip(BLANKS))
        stop = end_of(statement)
        assert statement.text.encode() == sql[statement.offset : stop]
    rest = sql[stop:] if found else sql[stop:].lstrip(BLANKS)
    # A comment that is not closed is none where it is the last thing there, and may be the last but for blanks.
    assert is_empty(rest) or is_empty(rest.rstrip(BLANKS))


def is_empty(sql: bytes) -> bool:
    """Return whether a text has nothing but blanks, comments and semicolons."""
    at = 0
    while (at := first_token(sql, at)) < len(sql):
        if not sql.startswith(b";", at):
            return False
        at += 1
    return True


def test_empty_statements_are_left_out():
    """A semicolon too many is no statement."""
    found = list(statements(b";SELECT 1;;\n; -- ;\n; SELECT 2;/* ; */ ;"))

    assert [statement.text for statement in found] == ["SELECT 1;", " SELECT 2;"]


@pytest.mark.parametrize(
    ("sql", "questions"),
    [
        (TRIGGER + b" SELECT 1;" * 5000 + b" END;", 1),
        (b"SELECT '" + b";" * 5000 + b"';", 1),
        (b"/* " + b";" * 5000 + b" */ SELECT 1;", 1),
        (b"SELECT ';';\n" * 500, 500),
        (b"SELECT 1;\n" * 500, 500),
    ],
    ids=["one trigger", "one literal", "one comment", "many literals", "many statements"],
)
def test_sqlite_is_asked_once_a_statement(sql, questions):
    """However many semicolons a statement holds, complete_statement() reads each byte once at most."""
    asked = calls_of(sqlite3.complete_statement, lambda: list(statements(sql)))

    assert asked == questions


def calls_of(function: object, work: Callable[[], object]) -> int:
    """Count how often a function written in C is called."""
    count = 0

    def watch(_frame: object, event: str, callee: object) -> None:
        nonlocal count
        count += event == "c_call" and callee is function

    before = sys.getprofile()
    sys.setprofile(watch)
    try:
        work()
    finally:
        sys.setprofile(before)
    return count


@pytest.mark.parametrize(
    ("sql", "offset", "expected"),
    [
        (b"", 0, Place(1, 1, "")),
        (b"SELECT 1;", 7, Place(1, 8, "SELECT 1;")),
        (b"\nab", 0, Place(1, 1, "")),
        (b"\nab", 2, Place(2, 2, "ab")),
        (b"a\nbc\nd", 0, Place(1, 1, "a")),
        (b"a\nbc\nd", 3, Place(2, 2, "bc")),
        (b"a\nbc\nd", 6, Place(3, 2, "d")),
        (b"a\nbc\n", 5, Place(3, 1, "")),
        (b"a\r\nbc\r\n", 4, Place(2, 2, "bc")),
        ("äö\nü😀x".encode(), 11, Place(2, 3, "ü😀x")),
        (BOM + b"ab", 4, Place(1, 2, "ab")),
        (BOM + b"ab", 0, Place(1, 1, "ab")),
        (b"a\n" + BOM + b"b", 5, Place(2, 2, "\ufeffb")),
        (b"a\rbc\rd", 3, Place(2, 2, "bc")),
        (b"a\rbc\r", 5, Place(3, 1, "")),
        (b"a\rbc\nd", 3, Place(1, 4, "a\rbc")),
        (b"a\xffb\n", 2, Place(1, 3, "a\N{REPLACEMENT CHARACTER}b")),
    ],
)
def test_place_counts_lines_and_characters_from_one(sql, offset, expected):
    """A line ends in LF, or in CR where there is no LF; a column is a character; a mark at the beginning is not one."""
    assert place(sql, offset) == expected


def test_frame_puts_the_caret_under_the_place():
    """A frame shows the file, the line, and a caret below the column."""
    drawn = frame("sql/3_boom.sql", Place(12, 8, "SELECT oops;"))

    assert drawn == "  --> sql/3_boom.sql:12:8\n   12 | SELECT oops;\n      |        ^"


def test_frame_keeps_its_edge_straight_for_long_numbers():
    """The bars stand below each other, whatever the number of the line."""
    drawn = frame("x.sql", Place(123456, 1, "a"))

    assert drawn == "  --> x.sql:123456:1\n   123456 | a\n          | ^"


def test_frame_keeps_tabs_as_tabs():
    """The caret stands under its letter however wide a tab is shown."""
    drawn = frame("x.sql", Place(1, 4, "\ta\tb"))

    assert drawn == "  --> x.sql:1:4\n   1 | \ta\tb\n     | \t \t^"


def test_frame_counts_wide_letters_twice():
    """The caret stands under its letter behind Chinese, which takes two columns, and an accent, which takes none."""
    drawn = frame("x.sql", Place(1, 8, "'\u6f22\u5b57e\u0301',!"))

    assert drawn == "  --> x.sql:1:8\n   1 | '\u6f22\u5b57e\u0301',!\n     | " + " " * (1 + 2 + 2 + 1 + 0 + 2) + "^"


def test_frame_shows_a_line_of_120_letters_whole():
    """A line is cut only where it is longer than a screen is wide."""
    line = "x" * 99 + "!" + "x" * 20

    drawn = frame("x.sql", Place(1, 100, line))

    assert drawn == f"  --> x.sql:1:100\n   1 | {line}\n     | {' ' * 99}^"


def test_frame_cuts_a_long_line_around_the_place():
    """A line of a megabyte is shown as 120 characters with the place among them."""
    line = "x" * 500_000 + "!" + "x" * 500_000

    drawn = frame("x.sql", Place(1, 500_001, line))

    _, shown, caret = drawn.split("\n")
    assert len(shown) == len("   1 | ") + 120
    assert shown.index("!") == caret.index("^") == len("   1 | ") + 60


def test_frame_shows_the_beginning_of_a_long_line():
    """Where the place is near its beginning, a long line is cut at its end only."""
    drawn = frame("x.sql", Place(1, 3, "ab!" + "x" * 500))

    assert drawn == f"  --> x.sql:1:3\n   1 | ab!{'x' * 117}\n     |   ^"


def test_frame_shows_control_characters_instead_of_sending_them():
    """What a terminal would obey, an escape or a carriage return or a NUL, is shown as a mark."""
    drawn = frame("x.sql", Place(1, 6, "a\x1b[1m\0\rb\x85"))

    assert drawn == "  --> x.sql:1:6\n   1 | a\ufffd[1m\ufffd\ufffdb\ufffd\n     |      ^"


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        (b"SELECT 1;\n  SELEC 2;", Place(2, 3, "  SELEC 2;")),
        (b"SELECT 1;\n-- two\nCREATE TABLE x (a b !);", Place(3, 21, "CREATE TABLE x (a b !);")),
        (b"SELECT 1\n  FROM nowhere;", Place(2, 8, "  FROM nowhere;")),
        (b"-- x\n\nSELECT 1 AS y z;", Place(3, 15, "SELECT 1 AS y z;")),
        (b"SELECT 1 AS abc b;", Place(1, 17, "SELECT 1 AS abc b;")),
        (b"INSERT INTO a a VALUES (1);", Place(1, 15, "INSERT INTO a a VALUES (1);")),
        (b"CREATE TABLE u (\n  id INTEGER,\n  name TEXT,,\n  age INTEGER, x\n);", Place(3, 13, "  name TEXT,,")),
        (b"CREATE TABLE u (a, b /* , */,, ',' x);", Place(1, 30, "CREATE TABLE u (a, b /* , */,, ',' x);")),
        (b"CREATE TABLE u (a, b,\n);", Place(2, 1, ");")),
        (b"SELECT 1, nme FROM sqlite_master;", Place(1, 11, "SELECT 1, nme FROM sqlite_master;")),
        (b"SELECT nme FROM sqlite_master WHERE nme = 1;", Place(1, 1, "SELECT nme FROM sqlite_master WHERE nme = 1;")),
        (b"INSERT INTO main.nowhere VALUES (1);", Place(1, 18, "INSERT INTO main.nowhere VALUES (1);")),
        ("SELECT 'größe' FROM x WHERE WHERE2 wo y;".encode(), Place(1, 36, "SELECT 'größe' FROM x WHERE WHERE2 wo y;")),
        (b"CREATE TABLE a (b", Place(1, 1, "CREATE TABLE a (b")),
        (b"SELECT 1;\nSELECT 2,\n  'abc", Place(3, 3, "  'abc")),
        (b"SELECT 1 FROM a!b;", Place(1, 16, "SELECT 1 FROM a!b;")),
    ],
)
def test_fault_is_found_at_the_word_that_sqlite_names(sql, expected):
    """A syntax error is placed at its word, and an unknown name where it stands once; else it is the first word."""
    *_, last = statements(sql)

    with closing(sqlite3.connect(":memory:")) as connection, pytest.raises(sqlite3.OperationalError) as failure:
        connection.execute(last.text)

    assert place(sql, fault_offset(sql, last, str(failure.value))) == expected


@settings(max_examples=EXAMPLES, deadline=None)
@given(sql=SCRIPTS | LIKELY_SCRIPTS)
@example(sql=b"/*\v")
def test_every_fault_lies_inside_its_statement(sql):
    """Whatever SQLite says, the place lies in the statement that failed, and a frame can be drawn there."""
    with closing(sqlite3.connect(":memory:")) as connection:
        for statement in statements(sql):
            try:
                connection.execute(statement.text)
            except sqlite3.Error as error:
                offset = fault_offset(sql, statement, str(error))

                assert statement.offset <= offset < end_of(statement)
                assert frame("x.sql", place(sql, offset)).endswith("^")


DIRECTIVES = {
    b"": Directives(),
    b"SELECT 1;": Directives(),
    b"-- no-transaction": Directives(transactional=False),
    b"-- no-transaction, because of VACUUM\nVACUUM;": Directives(transactional=False),
    b"--no-transaction\n": Directives(),
    b"-- no-transactio\n": Directives(),
    b" -- no-transaction\n": Directives(),
    BOM + b"-- no-transaction\n": Directives(),
    b"-- transactional: false\n": Directives(transactional=False),
    b"--transactional:FALSE\r\n": Directives(transactional=False),
    BOM + b"-- transactional: false\n": Directives(transactional=False),
    b"\n-- transactional: false\n": Directives(transactional=False),
    b"\n-- why\n-- transactional: false\n": Directives(transactional=False),
    b"-- transactional: true\n": Directives(),
    b"-- no-transaction\n-- transactional: true\n": Directives(transactional=False),
    b"-- transactional: false\n-- transactional: true\n": Directives(transactional=False),
    b"-- What it does.\n\n  -- transactional : false\n": Directives(transactional=False),
    b"SELECT 1;\n-- transactional: false\n": Directives(),
    b"/* why */\n-- transactional: false\n": Directives(),
    b"-- Transactional: false\n": Directives(),
    b"-- not transactional: false\n": Directives(),
    b"-- foreign-keys: on\n": Directives(foreign_keys=True, says_foreign_keys=True),
    b"-- foreign-keys: off\n": Directives(says_foreign_keys=True),
    b"PRAGMA foreign_keys = ON;\n": Directives(foreign_keys=True),
    b"-- depends: 1_a 2_b\n-- depends:\t3_c  \r\nSELECT 1;": Directives(depends=("1_a", "2_b", "3_c")),
    b"-- depends:\n": Directives(),
    "-- depends: 1_größe\n".encode(): Directives(depends=("1_größe",)),
}


@pytest.mark.parametrize(("sql", "expected"), DIRECTIVES.items())
def test_directives_are_read_from_the_leading_comments(sql, expected):
    """yoyo's directives count anywhere among the leading comments, sqlx's as the very first bytes."""
    assert directives(sql) == expected


@pytest.mark.parametrize(
    ("sql", "sentence"),
    [
        (b"-- transactional: no\n", "`-- transactional:` takes true or false, not 'no'"),
        (b"-- transactional:\n", "`-- transactional:` takes true or false, not ''"),
        (b"-- foreign-keys: maybe\n", "`-- foreign-keys:` takes on or off, not 'maybe'"),
    ],
)
def test_directive_with_a_wrong_value_is_refused(sql, sentence):
    """A misspelled value is never taken for the default."""
    with pytest.raises(ValueError) as failure:  # noqa: PT011  # the sentence is compared whole
        directives(sql)

    assert str(failure.value) == sentence


@pytest.mark.parametrize(
    ("sql", "words"),
    {
        "none": (b"CREATE TABLE a (x);", []),
        "all": (
            b"begin; SELECT 1; Commit; BEGIN IMMEDIATE; end transaction; ROLLBACK;",
            "BEGIN COMMIT BEGIN END ROLLBACK",
        ),
        "comments between": (
            b"COMMIT/**/;ROLLBACK--x\n;BEGIN/* */IMMEDIATE;/* now */ END",
            "COMMIT ROLLBACK BEGIN END",
        ),
        "savepoints": (b"SAVEPOINT s; ROLLBACK TO s; ROLLBACK TRANSACTION /* why */ TO SAVEPOINT s; RELEASE s;", []),
        "a TO further on": (b"ROLLBACK; ALTER TABLE a RENAME TO b;", "ROLLBACK"),
        "a trigger": (TRIGGER + b" SELECT CASE WHEN 1 THEN 2 END; END; COMMIT;", "COMMIT"),
        "names and texts": (b'CREATE TABLE "commit" ("end" DEFAULT \'ROLLBACK;\'); -- BEGIN;\n', []),
    }.values(),
)
def test_transaction_control_is_found(sql, words):
    """BEGIN, COMMIT, END and ROLLBACK are found at the head of a statement, and nowhere else."""
    found = list(transaction_words(sql))

    assert [each.word for each in found] == (words.split() if words else [])
    assert [each.word for each in found if each.commits] == [each.word for each in found if each.word in "COMMIT END"]


@pytest.mark.parametrize("before", range(2**16 - 9, 2**16 + 3))
def test_transaction_words_are_found_wherever_they_stand(before):
    """A long script is searched piece by piece, and a word may lie across two pieces."""
    comment = b"--" + b" " * (before - 4) + b"\n\n"

    (found,) = transaction_words(comment + b"Rollback;")

    assert (found.word, len(comment)) == ("ROLLBACK", before)


def test_a_directive_costs_no_more_than_its_length():
    """However many blanks its line has."""
    blanks = b" " * 200_000

    found = directives(b"--" + blanks + b"depends:" + blanks + b"a" + blanks + b"b" + blanks + b"\r\nSELECT 1;")

    assert found.depends == ("a", "b")
