"""Bad input: each with its sentence, its hint and its exit code, and nothing changed on disk."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import pytest
from shell import COMMAND, PAIRS, everything_in, run, start, tables, write_files

UP, DOWN = "CREATE TABLE t (x);\n", "DROP TABLE t;\n"

FIVE_STATEMENTS = """\
CREATE TABLE one (x);
CREATE TABLE two (x);
CREATE TABEL three (x);
CREATE TABLE four (x);
CREATE TABLE five (x);
"""


class Case(NamedTuple):
    """Something wrong: the files that are there, what was done before, what is typed, and what is answered.

    `{here}` stands for the folder. `later` are files that are written after `before` was done.
    """

    files: Mapping[str, str | bytes]
    words: str
    status: int
    error: str
    hint: str | None
    before: tuple[str, ...] = ()
    later: Mapping[str, str | bytes] = {}


def in_migrations(files: Mapping[str, str | bytes]) -> dict[str, str | bytes]:
    """Put files into the folder that is found without being named."""
    return {f"migrations/{name}": text for name, text in files.items()}


THREE = in_migrations(PAIRS)

UPGRADED = ("-d app.db upgrade",)

CASES = {
    "missing folder": Case(
        {}, "-d app.db -s gone upgrade", 2, "there is no directory 'gone'", "name an existing one with --source"
    ),
    "empty folder": Case(
        {"empty/.keep": ""},
        "-d app.db -s empty upgrade",
        2,
        "there is no migration in empty",
        "`torc-migrations -s empty new DESCRIPTION` writes one",
    ),
    "folder without a migration": Case(
        {"notes/readme.txt": "hello"},
        "-d app.db -s notes upgrade",
        2,
        "there is no migration in notes",
        "`torc-migrations -s notes new DESCRIPTION` writes one",
    ),
    "file where a folder is meant": Case(
        {"1_a.sql": UP},
        "-d app.db -s 1_a.sql upgrade",
        2,
        "'1_a.sql' is not a directory",
        "name the directory that it is in",
    ),
    "no such package": Case(
        {}, "-d app.db -s package:nobody:sql upgrade", 2, "there is no package 'nobody'", "write package:NAME:DIRECTORY"
    ),
    "a directory for each migration": Case(
        {"m/2024-01-01-000000_a/up.sql": "CREATE TABLE a (x);", "m/2024-01-01-000000_a/down.sql": "DROP TABLE a;"},
        "-d app.db -s m upgrade",
        2,
        "there is no migration in m",
        "each migration has a directory of its own here: make one directory of files named VERSION_DESCRIPTION.up.sql "
        "and VERSION_DESCRIPTION.down.sql; the version is a number",
    ),
    "no such database directory": Case(
        THREE,
        "-d sqlite:///no/such/app.db upgrade",
        2,
        "there is no directory 'no/such' for the database 'no/such/app.db'",
        "create the directory, or correct the path of the database",
    ),
    "a file that is no database": Case(
        {**THREE, "app.db": "These are not the bytes you are looking for. " * 50},
        "-d app.db upgrade",
        2,
        "'app.db' is not a SQLite database",
        "name another file",
    ),
    "a folder where a database is meant": Case(
        THREE,
        "-d migrations upgrade",
        2,
        "cannot open 'migrations': it is a directory",
        "name a file; a directory of migrations is named with --source",
    ),
    "duplicate versions": Case(
        in_migrations({"0001_a.sql": UP, "1_b.sql": UP}),
        "-d app.db upgrade",
        2,
        "version 1 is used twice in migrations: '0001_a.sql' and '1_b.sql'",
        "give one of them another version, unless it is installed somewhere already",
    ),
    "a name without a number": Case(
        in_migrations({"1_a.sql": UP, "x_y.sql": UP}),
        "-d app.db upgrade",
        2,
        'while resolving migrations: error parsing migration filename "x_y.sql"; '
        "expected integer version prefix (e.g. `01_foo.sql`)",
        "rename 'x_y.sql' in migrations, or move it into a subdirectory, which is not read",
    ),
    "a version beyond 64 bits": Case(
        in_migrations({"9223372036854775808_a.sql": UP}),
        "-d app.db upgrade",
        2,
        'while resolving migrations: error parsing migration filename "9223372036854775808_a.sql"; '
        "expected integer version prefix (e.g. `01_foo.sql`)",
        "rename '9223372036854775808_a.sql' in migrations, or move it into a subdirectory, which is not read",
    ),
    "mixed layouts": Case(
        in_migrations({"1_a.sql": UP, "1_a.rollback.sql": DOWN, "2_b.up.sql": UP, "2_b.down.sql": DOWN}),
        "-d app.db upgrade",
        2,
        "migrations mixes two layouts: '1_a.rollback.sql' is yoyo's, '2_b.down.sql' is sqlx's",
        "rename the files of one layout: X.up.sql and X.down.sql are X.sql and X.rollback.sql in the other",
    ),
    "a .py migration": Case(
        in_migrations({"1_a.sql": UP, "2_b.py": "steps = []\n"}),
        "-d app.db upgrade",
        2,
        "migrations/2_b.py is a migration in Python; only plain SQL is run",
        "`torc-migrations convert DIR --output NEW` writes its steps as SQL; or keep this directory for yoyo",
    ),
    "text that is not UTF-8": Case(
        in_migrations({"1_a.sql": "CREATE TABLE caf\xe9 (x);\n".encode("latin-1")}),
        "-d app.db upgrade",
        2,
        "migrations/1_a.sql is not UTF-8: byte 0xe9 at offset 16",
        "save the file as UTF-8",
    ),
    "a down script that is not UTF-8": Case(
        in_migrations({"1_a.sql": UP, "1_a.rollback.sql": b"DROP TABLE \xff;\n"}),
        "-d app.db rollback",
        2,
        "migrations/1_a.rollback.sql is not UTF-8: byte 0xff at offset 11",
        "save the file as UTF-8",
        before=UPGRADED,
    ),
    "a NUL in the text": Case(
        in_migrations({"1_a.sql": b"CREATE TABLE t (x);\0\n"}),
        "-d app.db upgrade",
        2,
        "migrations/1_a.sql holds a NUL byte: byte 0x00 at offset 19",
        "save the file as UTF-8",
    ),
    "a dependency that is not there": Case(
        in_migrations({"2_b.sql": "-- depends: 1_a\n" + UP}),
        "-d app.db upgrade",
        2,
        "migrations/2_b.sql depends on '1_a', which is not in this directory",
        None,
    ),
    "a dependency on what comes later": Case(
        in_migrations({"1_a.sql": "-- depends: 2_b\n" + UP, "2_b.sql": UP}),
        "-d app.db upgrade",
        2,
        "migrations/1_a.sql depends on '2_b', which does not come before it",
        None,
    ),
    "a transaction of the script's own": Case(
        in_migrations({"1_a.sql": UP, "2_b.sql": "BEGIN;\nDROP TABLE t;\nCOMMIT;\n"}),
        "-d app.db upgrade",
        2,
        "migrations/2_b.sql: BEGIN in a script would end the transaction that makes it all or nothing",
        "remove it: every script runs in a transaction already",
        before=("-d app.db upgrade --target 1",),
    ),
    "a syntax error in statement 3 of 5": Case(
        in_migrations({"1_a.sql": UP, "2_five.sql": FIVE_STATEMENTS}),
        "-d app.db upgrade",
        6,
        'while executing migration 2: near "TABEL": syntax error',
        "nothing of 2 was kept",
        before=("-d app.db upgrade --target 1",),
    ),
    "an edited applied file": Case(
        THREE,
        "-d app.db upgrade",
        3,
        "migration 2 was previously applied but has been modified",
        "restore the file as it was applied, and write the change as a new migration",
        before=UPGRADED,
        later={"migrations/0002_add_author.sql": "CREATE TABLE author (id, name);\n"},
    ),
    "an applied file that is gone": Case(
        {**THREE, "less/0001_create_book.sql": PAIRS["0001_create_book.sql"]},
        "-d app.db -s less upgrade",
        3,
        "migration 2 was previously applied but is missing in the resolved migrations",
        "restore its file, name the right directory with --source, or pass --ignore-missing",
        before=UPGRADED,
    ),
    "a target that does not exist": Case(
        THREE,
        "-d app.db upgrade --target 7",
        4,
        "migration 7 is not present in the migration source",
        "`torc-migrations -d app.db status` lists the versions of the source",
    ),
    "a target that is too old": Case(
        THREE,
        "-d app.db upgrade --target 1",
        4,
        "migration 1 is older than the latest applied migration 3",
        "`torc-migrations -d app.db rollback --target 1` goes down to it",
        before=UPGRADED,
    ),
    "a target that is too new": Case(
        THREE,
        "-d app.db rollback --target 3",
        4,
        "migration 3 is newer than the latest applied migration 2",
        "`torc-migrations -d app.db upgrade --target 3` goes up to it",
        before=("-d app.db upgrade --target 2",),
    ),
    "an irreversible rollback": Case(
        in_migrations({"1_a.sql": UP}),
        "-d app.db rollback",
        4,
        "migration 1 has no down script and cannot be rolled back",
        "stop above it with --target, or write its down script",
        before=UPGRADED,
    ),
    "a version to apply that does not exist": Case(
        THREE,
        "-d app.db apply 1 7",
        4,
        "migration 7 is not present in the migration source",
        "`torc-migrations -d app.db status` lists the versions of the source",
    ),
    "a dependency that is pending": Case(
        in_migrations({"1_a.sql": UP, "2_b.sql": "-- depends: 1_a\nCREATE TABLE b (x);\n"}),
        "-d app.db apply 2",
        4,
        "migration 2 depends on 1_a, which is pending",
        "apply both in one run, or upgrade",
    ),
    "a row that points nowhere": Case(
        in_migrations(
            {
                "1_a.sql": "CREATE TABLE p (id INTEGER PRIMARY KEY);\nCREATE TABLE c (p_id REFERENCES p);\n",
                "2_b.sql": "INSERT INTO c VALUES (7);\n",
            }
        ),
        "-d app.db upgrade",
        6,
        "while executing migration 2: 1 foreign key violation: row 1 of c points to no row of p",
        "nothing of 2 was kept",
        before=("-d app.db upgrade --target 1",),
    ),
    "a missing database that may not be created": Case(
        THREE,
        "-d sqlite:///app.db?mode=rw upgrade",
        2,
        "there is no database 'app.db', and ?mode=rw creates none",
        None,
    ),
    "a database that may only be read": Case(
        THREE,
        "-d sqlite:///app.db?mode=ro upgrade",
        2,
        "'app.db' is read-only (attempt to write a readonly database)",
        None,
        before=("-d app.db upgrade --target 1",),
    ),
    "an unknown scheme": Case(
        THREE,
        "-d oracle://host/app upgrade",
        2,
        "unknown scheme 'oracle' in 'oracle://host/app'",
        "use sqlite:///FILE, postgresql://HOST/NAME or mysql://HOST/NAME; or ./ before a file with a colon",
    ),
    "a server that does not answer": Case(
        THREE,
        "-d mysql://ann:hunter2@127.0.0.1:1/app upgrade",
        2,
        "cannot connect to mysql://ann:***@127.0.0.1:1/app: Can't connect to MySQL server on '127.0.0.1' "
        "([Errno 111] Connection refused)",
        "start the server, or correct its place in the address",
    ),
    "a URL without a file": Case(
        THREE, "-d sqlite:/// upgrade", 2, "'sqlite:///' names no file", "use sqlite:///path/to/file.db"
    ),
    "a URL with an unknown parameter": Case(
        THREE,
        "-d sqlite:///app.db?vfs=unix-none upgrade",
        2,
        "unknown parameter 'vfs=unix-none' in 'sqlite:///app.db?vfs=unix-none'",
        "there is ?mode=ro, rw, rwc and memory",
    ),
    "three slashes where sqlx means an absolute path": Case(
        THREE,
        "-d sqlite://{here}/app.db upgrade",
        2,
        "'sqlite://{here}/app.db' means the relative path '{relative}/app.db', which does not exist, "
        "but '{here}/app.db' does",
        "use sqlite:///{here}/app.db for the absolute path, or sqlite:./{relative}/app.db to create the relative one",
        before=UPGRADED,
    ),
    "a torc database made by torc's own server": Case(
        {"server/20250101000000_init.sql": "CREATE TABLE workflow (id INTEGER PRIMARY KEY);\n"},
        "-d app.db --torc upgrade",
        3,
        "app.db does not have the torc schema that ships with this package: "
        "its migration 20250101000000 is not among ours",
        "name the directory of its own migrations with --source",
        before=("-d app.db -s server upgrade",),
    ),
    "new without a name": Case(
        THREE, "new ///", 2, "'///' cannot be a file name", "describe the change in a few words"
    ),
    "export into a folder that is not empty": Case(
        THREE, "export --layout sqlx migrations", 2, "'migrations' is not empty", "name a new directory"
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_bad_input_is_answered_in_a_sentence_and_changes_nothing(here: Path, name: str) -> None:
    """The sentence, the hint and the exit code are those of the table; no file is made, none is changed."""
    case = CASES[name]
    names = {"here": str(here), "relative": str(here)[1:]}
    write_files(here, case.files)
    for words in case.before:
        assert run([COMMAND, *words.split()], here).status == 0
    write_files(here, case.later)
    before = everything_in(here)

    result = run([COMMAND, *case.words.format(**names).split()], here)

    first, *rest = result.err.splitlines()
    hints = [line for line in rest if line.startswith("hint: ")]
    assert (result.status, result.out, first) == (case.status, "", f"error: {case.error}".format(**names))
    assert hints == ([f"hint: {case.hint}".format(**names)] if case.hint else [])
    assert everything_in(here) == before


def test_a_syntax_error_is_shown_with_file_line_column_and_caret(here: Path) -> None:
    """The third of five statements is pointed at, and the two before it are undone."""
    write_files(here, CASES["a syntax error in statement 3 of 5"].files)

    result = run([COMMAND, "-d", "app.db", "upgrade"], here)

    assert result.status == 6
    assert result.err.splitlines()[1:4] == [
        "  --> migrations/2_five.sql:3:8",
        "   3 | CREATE TABEL three (x);",
        "     |        ^",
    ]
    assert tables(here / "app.db") == {"t"}


@pytest.mark.parametrize("text", [FIVE_STATEMENTS, "SELECT 1;\nBEGIN;\n", "INSERT INTO gone VALUES (1);\n"])
def test_a_first_migration_that_fails_leaves_no_database(here: Path, text: str) -> None:
    """A database that did not exist before does not exist, or holds nothing, after nothing was kept."""
    write_files(here / "migrations", {"1_a.sql": text})

    result = run([COMMAND, "-d", "app.db", "upgrade"], here)

    assert result.status in (2, 6)
    assert {path.name: path.stat().st_size for path in here.glob("app.db*")} in ({}, {"app.db": 0})


@pytest.mark.parametrize("begin", ["BEGIN IMMEDIATE", "BEGIN EXCLUSIVE"])
def test_a_locked_database_is_left_alone(here: Path, begin: str) -> None:
    """Who holds the lock for longer than we may wait is named, and nothing is written."""
    write_files(here / "migrations", PAIRS)
    run([COMMAND, "-d", "app.db", "upgrade", "--target", "1"], here)
    script = f"import sqlite3, sys; c = sqlite3.connect('app.db'); c.execute('{begin}'); print(flush=True)"
    holder = start([sys.executable, "-c", f"{script}; import time; time.sleep(60)"], here)
    assert holder.stdout is not None
    holder.stdout.readline()
    before = everything_in(here)

    result = run([COMMAND, "-d", "app.db", "upgrade", "--lock-timeout", "0.3"], here)
    holder.kill()
    holder.communicate()

    assert (result.status, result.out) == (5, "")
    assert f"process {holder.pid} (" in result.err or not Path("/proc/locks").exists()
    assert " still holds app.db after a wait of 0." in result.err
    assert "hint: try again later, or wait longer with --lock-timeout" in result.err
    assert everything_in(here) == before
