"""Cutting scripts where MariaDB's own client does, and stored programs where the server does."""

from __future__ import annotations

import os
import subprocess
import time
from contextlib import closing

import pytest
from database_under_test import PATIENCE
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from mariadb_server import MariaDbUnderTest, find

from torc_migrations.databases.mysql.scripts.statements import Kind, Quoting, kind_of, statements, tokens

# Say EXAMPLES=10000 for a long run.
EXAMPLES = int(os.environ.get("EXAMPLES", "60"))

TRIGGER = "CREATE TRIGGER tr BEFORE INSERT ON t FOR EACH ROW"
CASES = {
    "nothing": ("", []),
    "comments only": ("-- a; b\n# c; d\n/* e; f */ ;", []),
    "no last semicolon": ("SELECT 1; SELECT 2", ["SELECT 1", "SELECT 2"]),
    "quotes": ("SELECT 'a;', \"b;\", `c;`; SELECT 2;", ["SELECT 'a;', \"b;\", `c;`", "SELECT 2"]),
    "doubled quotes": ("SELECT 'a'';'; SELECT 2;", ["SELECT 'a'';'", "SELECT 2"]),
    "backslashes": (r"SELECT 'a\';', 'b\\'; SELECT 2;", [r"SELECT 'a\';', 'b\\'", "SELECT 2"]),
    "a backslash in a name": (r"SELECT `a\`; SELECT 2;", [r"SELECT `a\`", "SELECT 2"]),
    "two dashes are no comment": ("SELECT 3--1; SELECT 2;", ["SELECT 3--1", "SELECT 2"]),
    "two dashes at the end of a line": ("SELECT 1 --\n; SELECT 2;", ["SELECT 1 --", "SELECT 2"]),
    "a hash": ("SELECT 1 # ;\n+ 1; SELECT 2;", ["SELECT 1 # ;\n+ 1", "SELECT 2"]),
    "what the server executes": ("/*!40101 SET @a = ';' */; SELECT 2;", ["/*!40101 SET @a = ';' */", "SELECT 2"]),
    "a delimiter": (
        "DELIMITER $$\nSELECT 1; SELECT 2$$\ndelimiter ;\nSELECT 3;",
        ["SELECT 1; SELECT 2", "SELECT 3"],
    ),
    "a quoted delimiter": ("DELIMITER '//'\nSELECT 1//\nDELIMITER ;\nSELECT 3;", ["SELECT 1", "SELECT 3"]),
    "a trigger": (f"{TRIGGER} BEGIN SET NEW.x = 1; SET NEW.x = 2; END; SELECT 2;", 2),
    "a trigger of one statement": (f"{TRIGGER} SET NEW.x = 1; SELECT 2;", 2),
    "a trigger of one IF": (f"{TRIGGER} IF NEW.x > 1 THEN SET NEW.x = 1; END IF; SELECT 2;", 2),
    "IF is a function too": (f"{TRIGGER} SET NEW.x = IF(NEW.x > 1, 1, 2); SELECT 2;", 2),
    "nested blocks": (
        f"{TRIGGER} BEGIN IF NEW.x THEN BEGIN SET NEW.x = CASE WHEN 1 THEN 2 END; END; END IF; END; SELECT 2;",
        2,
    ),
    "a column named end": (
        f"{TRIGGER} BEGIN SET NEW.x = (SELECT end FROM u LIMIT 1); SET NEW.x = 3; END; SELECT 2;",
        2,
    ),
    "a handler": (
        "CREATE PROCEDURE p() BEGIN DECLARE EXIT HANDLER FOR NOT FOUND BEGIN SELECT 1; END; SELECT 2; END; SELECT 2;",
        2,
    ),
    "loops": (
        """CREATE PROCEDURE p() BEGIN a: LOOP LEAVE a; END LOOP a; WHILE 0 DO SELECT 1; END WHILE;
        REPEAT SET @a = 1; UNTIL 1 END REPEAT; FOR i IN 1..2 DO SELECT i; END FOR; END; SELECT 2;""",
        2,
    ),
    "a statement CASE": (
        """CREATE PROCEDURE p(x INT) BEGIN CASE x WHEN 1 THEN SELECT 1; ELSE SELECT 2; END CASE;
        SELECT 3; END; SELECT 2;""",
        2,
    ),
    "labels": ("CREATE PROCEDURE p() b: BEGIN SELECT 1; END b; SELECT 2;", 2),
    "a definer": ("CREATE DEFINER = `root`@`localhost` PROCEDURE p() BEGIN SELECT 1; END; SELECT 2;", 2),
    "an event": ("CREATE EVENT e ON SCHEDULE EVERY 1 DAY DO BEGIN SELECT 1; SELECT 2; END; SELECT 2;", 2),
    "an anonymous block": ("BEGIN NOT ATOMIC SELECT 1; SELECT 2; END; SELECT 2;", 2),
    "a function": ("CREATE FUNCTION f(a INT) RETURNS INT DETERMINISTIC BEGIN RETURN a; END; SELECT 2;", 2),
    "a procedure that may exist": ("CREATE PROCEDURE IF NOT EXISTS p() SELECT 1; SELECT 2;", 2),
    "a table named event": ("CREATE TABLE event (begin INT, end INT); SELECT 2;", 2),
}


@pytest.mark.parametrize("name", CASES)
def test_scripts_are_cut(name):
    """A script is cut at its delimiters, outside of quotes, comments and stored programs."""
    script, expected = CASES[name]

    found = [statement.text for statement in statements(script.encode())]

    if isinstance(expected, int):
        assert (len(found), found[-1]) == (expected, "SELECT 2")
    else:
        assert found == expected


@pytest.mark.parametrize("name", [name for name, (_, expected) in CASES.items() if isinstance(expected, int)])
def test_the_server_understands_the_pieces(name, mariadb):
    """Each piece of a script with stored programs is one statement for the server."""
    mariadb.execute("CREATE TABLE t (x INT)", "CREATE TABLE u (end INT)")

    mariadb.execute(*(statement.text for statement in statements(CASES[name][0].encode())))


def sent_by_client(mariadb: MariaDbUnderTest, script: bytes, mode: str) -> list[str]:
    """Return the statements that MariaDB's client sends for a script, as the server has logged them."""
    program = find("mariadb")
    assert program is not None
    options = ["--no-defaults", "--skip-comments", "--force", "-uroot", f"-S{mariadb.server.socket}", mariadb.name]
    mark = f"mark {time.monotonic_ns()}"
    begin, end = f"SELECT '{mark} begin';\n", "SELECT 0"
    with closing(mariadb.connect()) as connection, connection.cursor() as cursor:
        cursor.execute("SET GLOBAL log_output = 'TABLE', GLOBAL general_log = 1")
        text = f"SET sql_mode = '{mode}';\n{begin}".encode() + script + f"\n{end}".encode()
        subprocess.run([program, *options], input=text, capture_output=True, check=False, timeout=PATIENCE)
        cursor.execute("SET GLOBAL general_log = 0")
        cursor.execute(
            "SELECT CONVERT(argument USING utf8mb4), thread_id FROM mysql.general_log WHERE command_type = 'Query'"
        )
        rows = cursor.fetchall()
        cursor.execute("TRUNCATE mysql.general_log")
    (thread,) = {thread for text, thread in rows if text == begin.strip().removesuffix(";")}
    mine = [text for text, each in rows if each == thread]
    return mine[mine.index(begin.strip().removesuffix(";")) + 1 :]


PIECES = (
    *("SELECT 1", "SELECT 'a;b'", 'SELECT "a;b"', "SELECT `a;b`", "SELECT `a;\\`", "SELECT 'it''s;'", "SELECT '\n;'"),
    *(", 2", " + 1", " + 3--1", "-- c ; '\n", "--\n", '# c ; "\n', "/* c ; ' */", "/* /* ; */", "/**/", "/***/"),
    *("/*! + 1 */", "/*!99999 ; */", "/*M! + 2 */", "/* *;/ */", ";", ";", ";", ";;", "$$", "//", "||", "\n", " ", "é"),
    *("\nDELIMITER $$\n", "\ndelimiter //\n", "\nDELIMITER ;\n", "\n  DELIMITER ;;\n", "\nDELIMITER '||'\n"),
)
# Texts with a backslash, which end in each mode. Outside of quotes a backslash would be a command of the client.
OF_MODE = {
    "": (r"SELECT 'a\'b;'", r'SELECT "\";"', r"SELECT '\\'"),
    "NO_BACKSLASH_ESCAPES": (r"SELECT 'a;\'", r'SELECT "a;\"'),
    "ANSI_QUOTES": (r"SELECT 'a\'b;'", r'SELECT "a;\"'),
}
OPEN = ("", "'", '"', "`", "/*", "-- '")  # at the end of a script
SCRIPTS = st.sampled_from(sorted(OF_MODE)).flatmap(
    lambda mode: st.tuples(st.just(mode), st.lists(st.sampled_from(PIECES + OF_MODE[mode])), st.sampled_from(OPEN))
)


@example(("", ["SELECT 1", "-- c ; '\n", ";"], "'"))
@example(("", ["\nDELIMITER $$\n", "SELECT 1", ";", "$$", "\nDELIMITER ;\n", "SELECT 1", ";"], ""))
@given(SCRIPTS)
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
def test_scripts_are_cut_as_the_client_cuts_them(mariadb, case):
    """What is sent is what MariaDB's client sends, for texts of whatever is special to it."""
    mode, pieces, last = case
    script = "".join([*pieces, last]).encode()
    quoting = Quoting(mode != "NO_BACKSLASH_ESCAPES", mode == "ANSI_QUOTES")

    sent = sent_by_client(mariadb, script, mode)
    found = [statement.text for statement in statements(script + b"\nSELECT 0", lambda: quoting)]

    # The last statement has the mark at the end of the script, whatever quote is open there.
    assert _bare(sent, quoting)[:-1] == _bare(found, quoting)[:-1]


def _bare(texts: list[str], quoting: Quoting) -> list[str]:
    """Return statements without comments and blanks, some of which the client adds or removes, if anything is left."""
    hidden = tokens(b"\0", quoting)
    plain = (hidden.sub(lambda found: found[0] if found[0][:1] in b"'\"`" else b" ", text.encode()) for text in texts)
    bare = ("".join(text.decode().split()).rstrip(";") for text in plain)
    return [text for text in bare if text]


@pytest.mark.parametrize(
    ("sql", "kind"),
    [
        ("INSERT INTO t VALUES (1)", Kind.CHANGES_ROWS),
        ("with a AS (SELECT 1) SELECT * FROM a", Kind.CHANGES_ROWS),
        ("/*!40101 SET @a = 1 */", Kind.SESSION),
        ("SET STATEMENT max_statement_time = 1 FOR SELECT 1", Kind.COMMITS),
        ("SET PASSWORD = ''", Kind.COMMITS),
        ("BEGIN", Kind.BEGINS),
        ("BEGIN NOT ATOMIC SELECT 1; END", Kind.COMMITS),
        ("START TRANSACTION", Kind.BEGINS),
        ("START SLAVE", Kind.COMMITS),
        ("COMMIT", Kind.ENDS),
        ("ROLLBACK", Kind.ROLLS_BACK),
        ("ROLLBACK TO SAVEPOINT a", Kind.READS),
        ("CALL p()", Kind.COMMITS),
        ("/* a */ CREATE TABLE t (x INT)", Kind.COMMITS),
    ],
)
def test_statements_are_of_a_kind(sql, kind):
    """What a statement does to a transaction is known by its first words; what is not known may commit."""
    assert kind_of(sql.encode(), 0) is kind
