"""SQL that is hard to cut, run through `upgrade` on a real database: what SQLite can read we run as it stands."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import Any, NamedTuple

import pytest
from database_under_test import SQLiteUnderTest

from torc_migrations import errors, rollback, status, upgrade

BOM = b"\xef\xbb\xbf"
with closing(sqlite3.connect(":memory:")) as asked:
    OPTIONS = {name for (name,) in asked.execute("PRAGMA compile_options")}


class Case(NamedTuple):
    """A script, a question to the database that it leaves, and the rows that have to answer it."""

    script: str | bytes
    question: str
    answer: list[tuple[Any, ...]]
    needs: str = ""


CASES = {
    "columns named as keywords": Case(
        'CREATE TABLE w (begin, end, declare, GO, "if", loop, commit_, "commit", rollback, trigger, temp, explain);\n'
        'INSERT INTO w (begin, end, declare, GO, "if", loop) VALUES (1, 2, 3, 4, 5, 6);\n'
        'UPDATE w SET end = begin + 10, GO = 40 WHERE loop = 6 AND "if" = 5;\nCREATE INDEX i ON w (begin, end);',
        'SELECT begin, end, declare, GO, "if", loop FROM w',
        [(1, 11, 3, 40, 5, 6)],
    ),
    "tables named as keywords": Case(
        "CREATE TABLE trigger (a);\nCREATE TABLE begin (end);\nINSERT INTO begin VALUES ('end');\n"
        "INSERT INTO trigger SELECT end FROM begin;\nCREATE VIEW loop AS SELECT a AS go FROM trigger;",
        "SELECT go FROM loop",
        [("end",)],
    ),
    "nested CASE in a trigger": Case(
        "CREATE TABLE t (a, b);\nCREATE TRIGGER tr AFTER INSERT ON t BEGIN\n  UPDATE t SET b = CASE WHEN a > 1 THEN\n"
        "    CASE a WHEN 2 THEN 'two; END;' ELSE CASE WHEN a > 5 THEN 'many' END END ELSE 'one' END\n"
        "  WHERE rowid = new.rowid;\n  SELECT CASE WHEN 1 THEN 2 END;\nEND;\nINSERT INTO t (a) VALUES (1), (2), (9);",
        "SELECT b FROM t",
        [("one",), ("two; END;",), ("many",)],
    ),
    "literal that ends in a backslash": Case(
        "CREATE TABLE t (a);\nINSERT INTO t VALUES ('C:\\');\nINSERT INTO t VALUES ('\\\\'), ('it''s \\');",
        "SELECT a FROM t",
        [("C:\\",), ("\\\\",), ("it's \\",)],
    ),
    "a semicolon in every kind of quote": Case(
        'CREATE TABLE "a;b" (`c;d` TEXT DEFAULT \'x;y\', [e;f] TEXT, "g"";h" TEXT);\n'
        "INSERT INTO [a;b] ([e;f], \"g\"\";h\") VALUES (';', '''; --');\n"
        "-- a comment; with a quote '\n/* another; with \"one */ INSERT INTO `a;b` ([e;f]) VALUES (x'3b');",
        'SELECT "c;d", "e;f", "g"";h" FROM "a;b"',
        [("x;y", ";", "'; --"), ("x;y", b";", None)],
    ),
    "marks of comments inside literals": Case(
        "CREATE TABLE t (a);\nINSERT INTO t VALUES ('-- no comment; here'), ('/* nor; here'), ('*/');\n",
        "SELECT a FROM t",
        [("-- no comment; here",), ("/* nor; here",), ("*/",)],
    ),
    "an unclosed comment at the end": Case(
        "CREATE TABLE t (a);\nINSERT INTO t VALUES (1);\n/* DROP TABLE t; INSERT INTO t VALUES (2);\n",
        "SELECT a FROM t",
        [(1,)],
    ),
    "a byte order mark": Case(BOM + b"CREATE TABLE t (a);\nINSERT INTO t VALUES (1);", "SELECT a FROM t", [(1,)]),
    "a byte order mark inside a literal, and before a trigger": Case(
        b"CREATE TABLE t (a);\n" + BOM + b"CREATE TRIGGER tr AFTER INSERT ON t BEGIN SELECT 1; SELECT 2; END;\n"
        b"INSERT INTO t VALUES ('" + BOM + b";');",
        "SELECT hex(a) FROM t",
        [("EFBBBF3B",)],
    ),
    "CRLF inside literals": Case(
        b"CREATE TABLE t (a,\r\n  b);\r\nINSERT INTO t VALUES ('one\r\ntwo\rthree\n', 'x');\r\n-- end\r\n",
        "SELECT hex(a), sql FROM t, sqlite_master WHERE name = 't'",
        [(b"one\r\ntwo\rthree\n".hex().upper(), "CREATE TABLE t (a,\r\n  b)")],
    ),
    "letters beyond ASCII": Case(
        'CREATE TABLE "größe;" ("東京" TEXT);\nINSERT INTO "größe;" VALUES (\'🚀; — \'\'\');',
        'SELECT "東京" FROM "größe;"',
        [("🚀; — '",)],
    ),
    "full-text search": Case(
        "CREATE VIRTUAL TABLE f USING fts5(title, body, tokenize = \"unicode61 tokenchars ';'\");\n"
        "INSERT INTO f VALUES ('one', 'a;b c');\nINSERT INTO f VALUES ('two', 'd');\n"
        "CREATE TABLE n (a);\nCREATE TRIGGER tr AFTER INSERT ON n BEGIN INSERT INTO f VALUES ('n', new.a); END;\n"
        "INSERT INTO n VALUES ('a;b');",
        "SELECT title FROM f WHERE f MATCH 'body : \"a;b\"' ORDER BY rowid",
        [("one",), ("n",)],
        "ENABLE_FTS5",
    ),
    "a virtual table": Case(
        "CREATE VIRTUAL TABLE r USING rtree(id, x0, x1);\nINSERT INTO r VALUES (1, 0, 10), (2, 20, 30);",
        "SELECT id FROM r WHERE x0 > 15",
        [(2,)],
        "ENABLE_RTREE",
    ),
    "generated columns": Case(
        "CREATE TABLE t (a INTEGER, b TEXT GENERATED ALWAYS AS (a || ';') STORED, c AS (CASE a WHEN 1 THEN 'x' END));\n"
        "INSERT INTO t VALUES (1);",
        "SELECT a, b, c FROM t",
        [(1, "1;", "x")],
    ),
    "STRICT and WITHOUT ROWID": Case(
        "CREATE TABLE t (a INTEGER PRIMARY KEY, b ANY, c BLOB) STRICT, WITHOUT ROWID;\n"
        "INSERT INTO t VALUES (1, '2', x'00');\nINSERT INTO t VALUES (2, 3, NULL);",
        "SELECT a, typeof(b), typeof(c) FROM t",
        [(1, "text", "blob"), (2, "integer", "null")],
    ),
    "UPSERT": Case(
        "CREATE TABLE t (a PRIMARY KEY, b);\nINSERT INTO t VALUES (1, 'a');\n"
        "INSERT INTO t VALUES (1, ';') ON CONFLICT (a) DO UPDATE SET b = excluded.b || b WHERE b <> '';\n"
        "INSERT INTO t VALUES (1, 'z') ON CONFLICT DO NOTHING;",
        "SELECT b FROM t",
        [(";a",)],
    ),
    "RETURNING": Case(
        "CREATE TABLE t (a INTEGER PRIMARY KEY, b);\nINSERT INTO t (b) VALUES (1), (2), (3) RETURNING a, b;\n"
        "UPDATE t SET b = b * 10 WHERE a > 1 RETURNING *;\nDELETE FROM t WHERE a = 3 RETURNING ';';",
        "SELECT a, b FROM t",
        [(1, 1), (2, 20)],
    ),
    "WITH RECURSIVE in a trigger": Case(
        "CREATE TABLE t (a);\nCREATE TABLE n (i);\nCREATE TRIGGER tr AFTER INSERT ON t BEGIN\n  INSERT INTO n\n"
        "  SELECT i FROM (WITH RECURSIVE r (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM r WHERE i < new.a)\n"
        "  SELECT i FROM r);\nEND;\nINSERT INTO t VALUES (3);",
        "SELECT i FROM n",
        [(1,), (2,), (3,)],
    ),
    "UPSERT and RAISE in a trigger": Case(
        "CREATE TABLE t (a PRIMARY KEY, b);\nCREATE TABLE log (a PRIMARY KEY, n);\n"
        "CREATE TRIGGER tr AFTER UPDATE OF b ON t WHEN new.b <> ';' BEGIN\n"
        "  SELECT RAISE(IGNORE) WHERE new.b = 'skip';\n"
        "  INSERT INTO log VALUES (new.a, 1) ON CONFLICT (a) DO UPDATE SET n = n + 1;\nEND;\n"
        "INSERT INTO t VALUES (1, '');\nUPDATE t SET b = 'x';\nUPDATE t SET b = 'y';\nUPDATE t SET b = 'skip';",
        "SELECT a, n FROM log",
        [(1, 2)],
    ),
    "a trigger INSTEAD OF, on a view with a window": Case(
        "CREATE TABLE t (a);\nCREATE VIEW v AS SELECT a, row_number() OVER (ORDER BY a DESC) AS n FROM t;\n"
        "CREATE TEMP TABLE begin_end (x);\n"
        "CREATE TRIGGER tr INSTEAD OF INSERT ON v BEGIN INSERT INTO t VALUES (new.a); END;\n"
        "INSERT INTO v (a) VALUES (1), (2);",
        "SELECT a, n FROM v",
        [(2, 1), (1, 2)],
    ),
    "empty statements, and none at the end": Case(
        ";;CREATE TABLE t (a);;\n; ;INSERT INTO t VALUES (1) -- no semicolon;", "SELECT a FROM t", [(1,)]
    ),
    "PRAGMA, ANALYZE, REINDEX and EXPLAIN": Case(
        "PRAGMA user_version = 7;\nPRAGMA application_id = 8;\nCREATE TABLE t (a);\nCREATE INDEX i ON t (a);\n"
        "INSERT INTO t VALUES (1);\nANALYZE;\nREINDEX i;\nEXPLAIN SELECT ';' FROM t;\nEXPLAIN QUERY PLAN SELECT 1;",
        "SELECT user_version, tbl FROM pragma_user_version, sqlite_stat1 WHERE tbl = 't'",
        [(7, "t")],
    ),
    "blobs, numbers and odd blanks": Case(
        b"CREATE\tTABLE\x0ct (a);\r\nINSERT INTO t VALUES(x'3b'),(1e3),(.5),(0x3B),(-+-1);\x0c\n",
        "SELECT a FROM t",
        [(b";",), (1000.0,), (0.5,), (59,), (1,)],
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_script_does_what_sqlite_makes_of_it(sqlite: SQLiteUnderTest, folder, case):
    """Every statement is run, as it stands, and once; the migration is recorded, and the next run has nothing to do."""
    if case.needs and case.needs not in OPTIONS:
        pytest.skip(f"this SQLite is built without {case.needs}")
    source = folder({"1_hard": case.script})

    assert upgrade(sqlite.path, source).applied == (1,)

    assert sqlite.execute(case.question) == case.answer
    assert sqlite.ledgers().agreed == (1,)
    assert status(sqlite.path, source).clean
    assert upgrade(sqlite.path, source).applied == ()


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_script_makes_the_schema_that_sqlite_makes(sqlite: SQLiteUnderTest, folder, case):
    """The text of every table, index, view and trigger is that which SQLite's own command would leave."""
    if case.needs and case.needs not in OPTIONS:
        pytest.skip(f"this SQLite is built without {case.needs}")
    upgrade(sqlite.path, folder({"1_hard": case.script}))
    script = case.script if isinstance(case.script, bytes) else case.script.encode()
    own = sqlite3.connect(":memory:")
    own.executescript(script.removeprefix(BOM).decode().split("/* DROP")[0])

    listing = "SELECT name, sql FROM sqlite_master WHERE tbl_name NOT GLOB '_sqlx_*' AND tbl_name NOT GLOB '_yoyo_*'"
    rows = own.execute(listing).fetchall()
    own.close()
    assert sorted(map(str, sqlite.execute(listing))) == sorted(map(str, rows))


@pytest.mark.parametrize(
    ("ending", "line"),
    [
        ("SELECT 'never closed; DROP TABLE t;\n", 2),
        ('SELECT "never closed; DROP TABLE t;\n', 2),
        ("SELECT [never closed; DROP TABLE t;\n", 2),
        ("CREATE TRIGGER tr AFTER INSERT ON t BEGIN SELECT 1; DROP TABLE t;\n", 2),
        ("CREATE TRIGGER tr AFTER INSERT ON t BEGIN SELECT CASE WHEN 1 THEN 2; END;\nDROP TABLE t;\n", 2),
        ("SELECT 1 /* closed */ */;\nDROP TABLE t;\n", 2),
        ("GO\nDROP TABLE t;\n", 2),
        ("DELIMITER //\nDROP TABLE t;\n", 2),
        ("SELECT $$a;b$$;\nDROP TABLE t;\n", 2),
        ("\\d t\nDROP TABLE t;\n", 2),
    ],
)
def test_what_sqlite_cannot_read_keeps_nothing(sqlite: SQLiteUnderTest, folder, ending, line):
    """What is never closed, and what is another database's, is an error at its place; nothing behind it is run."""
    sqlite.execute("CREATE TABLE t (a)")
    source = folder({"1_hard": f"CREATE TABLE made (x);\n{ending}"})

    with pytest.raises(errors.ExecutionFailed) as failure:
        upgrade(sqlite.path, source)

    assert failure.value.line == line
    assert sqlite.tables().keys() == {"t"}
    assert sqlite.ledgers().agreed == ()


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_down_scripts_are_cut_the_same(sqlite: SQLiteUnderTest, folder, case):
    """The way back may be as hard to read as the way up."""
    if case.needs and case.needs not in OPTIONS:
        pytest.skip(f"this SQLite is built without {case.needs}")
    source = folder({"1_hard": "SELECT 1;", "1_hard.rollback": case.script})
    upgrade(sqlite.path, source)

    assert rollback(sqlite.path, source).applied == (1,)

    assert sqlite.execute(case.question) == case.answer
    assert sqlite.ledgers().agreed == ()


# What sqlx 0.8.6 does: it takes the blanks of Unicode off both ends, and SQLite refuses them elsewhere.
BLANKS = {
    "vertical tab": "\v",
    "no-break": "\xa0",
    "next line": "\x85",
    "em": "\u2003",
    "line": "\u2028",
    "wide": "\u3000",
}


@pytest.mark.parametrize("blank", BLANKS.values(), ids=BLANKS)
@pytest.mark.parametrize(
    "place", ["{}CREATE TABLE a(x);", "CREATE TABLE a(x);{}", "CREATE TABLE a(x)\n{} \n", "CREATE TABLE a(x);-- c\n{}"]
)
def test_blanks_of_unicode_at_the_ends_of_a_script_are_left_out(sqlite: SQLiteUnderTest, folder, blank, place):
    """An editor writes them, and sqlx does not see them; SQLite alone would refuse them."""
    assert upgrade(sqlite.path, folder({"1_a": place.format(blank)})).applied == (1,)

    assert list(sqlite.tables()) == ["a"]


@pytest.mark.parametrize("sql", ["CREATE TABLE a(x);{}CREATE TABLE b(x);", "CREATE TABLE{}a(x);"])
@pytest.mark.parametrize("blank", ["\xa0", "\u3000", "\u200b"])
def test_blanks_of_unicode_elsewhere_are_letters_for_sqlite(sqlite: SQLiteUnderTest, folder, blank, sql):
    """They are refused, as by sqlx."""
    with pytest.raises(errors.ExecutionFailed):
        upgrade(sqlite.path, folder({"1_a": sql.format(blank)}))
