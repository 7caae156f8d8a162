"""`queries save`: what a program runs on SQLite is written into a file, which `check queries` reads."""

from __future__ import annotations

from pathlib import Path

import pytest
from shell import Torc, write_files

FIRST = {"1_book.sql": "CREATE TABLE book (id INTEGER PRIMARY KEY, title TEXT);"}
# An application that upgrades its database and uses it in several ways.
PROGRAM = """
import sys, sqlite3
from contextlib import closing
from sqlite3 import dbapi2
from torc_migrations import upgrade

upgrade("app.db", "migrations")
with closing(sqlite3.connect("app.db")) as connection:
    connection.execute("INSERT INTO book (title) VALUES (?)", ("Dune",))
    connection.commit()

class Own(sqlite3.Connection):
    pass

with closing(dbapi2.connect("app.db", 5, 0, None, True, Own)) as connection:
    assert isinstance(connection, Own)
    assert connection.execute("SELECT title FROM book WHERE id = 1").fetchall() == [("Dune",)]
print(sys.argv, __name__)
sys.exit(int(sys.argv[1]) if sys.argv[1:] else None)
"""
SAVED = """\
-- The queries of a release; `torc-migrations check queries` compiles each of them.
-- version: 1

INSERT INTO book (title) VALUES (?);

SELECT title FROM book WHERE id = 1;
"""


@pytest.fixture
def program(here: Path) -> Path:
    """A directory with migrations and an application, which is a script and a module."""
    write_files(here / "migrations", FIRST)
    (here / "app.py").write_text(PROGRAM)
    return here


@pytest.mark.parametrize(("words", "name"), [(("app.py",), "app.py"), (("-m", "app"), "app.py")])
def test_the_queries_of_a_program_are_saved(torc: Torc, program: Path, words: tuple[str, ...], name: str) -> None:
    """Those of the application, by whatever way it connects, and neither our own nor those of migrations."""
    done = torc("queries", "save", "queries.sql", *words, "0", "--flag")

    assert done.status == 0, done.err
    assert done.out.endswith(f"{name}', '0', '--flag'] __main__\n")
    assert done.err == "note: queries.sql was written: 2 queries of version 1\n"
    assert (program / "queries.sql").read_text() == SAVED
    assert torc("check", "queries", "--previous", "queries.sql").status == 0


@pytest.mark.parametrize(
    ("text", "status", "words"),
    [
        ("raise SystemExit(7)", 7, ""),
        ("raise SystemExit('no luck')", 1, "no luck"),
        ("1 / 0", 1, "ZeroDivisionError: division by zero"),
    ],
)
def test_a_program_that_fails_saves_nothing(torc: Torc, program: Path, text: str, status: int, words: str) -> None:
    """Its exit status is that of the command, and the file that was there stays."""
    (program / "app.py").write_text(f"{PROGRAM.replace('sys.exit', 'str')}\n{text}\n")
    (program / "queries.sql").write_text("SELECT 1;\n")

    done = torc("queries", "save", "queries.sql", "app.py")

    assert done.status == status
    assert words in done.err
    assert done.err.endswith(f"queries.sql was not written, because the program ended with exit status {status}\n")
    assert (program / "queries.sql").read_text() == "SELECT 1;\n"


def test_a_program_without_queries_on_sqlite_saves_nothing(torc: Torc, program: Path) -> None:
    """An empty file would say that no query can break; the hint says what to do for a server."""
    (program / "quiet.py").write_text("print('done')\n")

    done = torc("queries", "save", "queries.sql", "quiet.py")

    assert (done.status, done.out) == (2, "done\n")
    assert "error: queries.sql was not written, because the program has run no query with sqlite3" in done.err
    assert "hint: name a program that does" in done.err
    assert "pg_stat_statements" in done.err
    assert not (program / "queries.sql").exists()


def test_a_command_without_a_program_is_refused(torc: Torc, program: Path) -> None:
    """As is one that names only the way to run it."""
    for words in ((), ("-m",)):
        done = torc("queries", "save", "queries.sql", *words)
        assert (done.status, done.err.splitlines()[0]) == (2, "error: no program is named")
    assert not (program / "queries.sql").exists()


@pytest.mark.parametrize(
    "words", [("nofile.py",), ("migrations",), ("-m", "nomodule"), ("-m", "nopackage.app"), ("-m", ".app")]
)
def test_a_program_that_does_not_exist_is_named(torc: Torc, program: Path, words: tuple[str, ...]) -> None:
    """It is an error of the command line, and no traceback of a program."""
    done = torc("queries", "save", "queries.sql", *words, "--flag")

    assert (done.status, done.err) == (
        2,
        f"error: there is no program {' '.join(words)!r}\nhint: name a Python script, or -m MODULE, after the file\n",
    )
    assert not (program / "queries.sql").exists()


def test_a_migration_that_says_so_only_warns(torc: Torc, program: Path) -> None:
    """It is compatible from a newer version on than the release that the queries are of."""
    torc("queries", "save", "queries.sql", "app.py")
    drop = "ALTER TABLE book DROP COLUMN title;"
    write_files(program / "migrations", {"2_drop.sql": f"-- compatible-from: 1\n{drop}"})
    assert torc("check", "queries", "--previous", "queries.sql").status == 1
    write_files(program / "migrations", {"2_drop.sql": f"-- compatible-from: 2\n{drop}"})

    done = torc("check", "queries", "--previous", "queries.sql")

    assert done.status == 0
    assert "queries.sql:4: warning: migration 2 breaks a query of the previous release" in done.out
    assert "hint: it is compatible from 2 on: end the processes of 1 first" in done.out


@pytest.mark.parametrize("words", [("dump", "{}"), ("queries", "save", "{}", "app.py", "0")])
@pytest.mark.parametrize("file", ["migrations/made.sql", "migrations/../migrations/9_made.sql"])
def test_no_file_of_sql_is_written_among_the_migrations(
    torc: Torc, program: Path, words: tuple[str, ...], file: str
) -> None:
    """yoyo would run it as a migration, and every later command would end with an error."""
    done = torc(*(word.format(file) for word in words))

    assert (done.status, done.out) == (2, "")
    assert f"error: '{file}' is not written among the migrations, because yoyo would run it as one" in done.err
    assert "hint: name a file beside the directory, such as " in done.err
    assert [path.name for path in (program / "migrations").iterdir()] == ["1_book.sql"]
