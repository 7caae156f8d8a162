"""The pytest plugin with a server: a suite of a project of somebody else's, run as a process of its own."""

from __future__ import annotations

import re
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from subprocess import DEVNULL, Popen

import mariadb_server as mariadb_servers
import psycopg
import pytest
from servers import Server
from shell import Result, environment, run, write_files

from torc_migrations import errors
from torc_migrations.plugins.server_templates import ServerTemplates

Suite = Callable[..., Result]

PATIENCE = 240.0
# Writes which process makes a template, and waits there if the file `slow` exists.
NOTE_MAKERS = """
import os, pathlib, pytest, time

def note_maker(connection):
    if connection.info.dbname.endswith("_unfinished"):
        with open("made", "a") as made:
            made.write(f"{os.getpid()}\\n")
        while pathlib.Path("slow").exists():
            time.sleep(0.02)

@pytest.fixture(scope="session")
def migrations_options():
    return {"functions": note_maker}
"""
POSTGRESQL = """
import psycopg, pytest

@pytest.mark.parametrize("number", range(12))
def test_one(migrated_database, number):
    with psycopg.connect(migrated_database, autocommit=True) as connection:
        connection.execute("INSERT INTO book (title) VALUES ('x')")
        assert connection.execute("SELECT COUNT(*) FROM book").fetchone() == (1,)
        assert connection.execute("SELECT COUNT(*) FROM _sqlx_migrations").fetchone() == (3,)
"""
MIGRATIONS = {
    "0001_create_book.sql": "CREATE TABLE book (id INT, title VARCHAR(100));\n",
    "0002_add_author.sql": "CREATE TABLE author (id INT);\n",
    "0003_index_titles.sql": "CREATE INDEX idx_title ON book (title);\n",
    "0003_index_titles.rollback.sql": "DROP INDEX idx_title;\n",
}


@pytest.fixture
def suite(here: Path, postgresql_server: Server) -> Suite:
    """A function that writes test files and runs pytest with the server of PostgreSQL."""
    write_files(here / "migrations", MIGRATIONS)
    ini = "[pytest]\nfilterwarnings = error\ntorc_migrations_server = $SERVER\n"
    write_files(here, {"pytest.ini": ini, "conftest.py": NOTE_MAKERS})
    forget(postgresql_server)

    def run_suite(*words: str, **files: str) -> Result:
        write_files(here, {f"{name}.py": text for name, text in files.items()})
        return run(command(*words), here, {"SERVER": postgresql_server.url("postgres")})

    return run_suite


def command(*words: str) -> list[str]:
    return [sys.executable, "-B", "-m", "pytest", "-q", "-p", "no:cacheprovider", *words]


def databases(server: Server) -> list[str]:
    """Return the databases that the plugin has made and that are there."""
    with server.connect() as connection:
        rows = connection.execute("SELECT datname FROM pg_database WHERE datname LIKE 'torc%' ORDER BY 1")
        return [str(name) for (name,) in rows]


def forget(server: Server) -> None:
    """Remove what an earlier test has left on the server."""
    with server.connect() as connection:
        for name in databases(server):
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


def makers(here: Path) -> int:
    """Return how many processes have made a template, and forget them."""
    made = here / "made"
    found = set(made.read_text().split()) if made.exists() else set[str]()
    made.unlink(missing_ok=True)
    return len(found)


@pytest.mark.slow
def test_four_workers_share_a_template_of_postgresql(suite: Suite, here: Path, postgresql_server: Server) -> None:
    """One makes it; the next run makes none; a changed script makes a new one. The copies are removed."""
    runs = [suite("-n", "4", test_many=POSTGRESQL)]
    made = [makers(here)]
    runs.append(suite())
    made.append(makers(here))
    write_files(here / "migrations", {"0003_index_titles.sql": "CREATE INDEX idx_title ON book (title, id);\n"})
    runs.append(suite())
    made.append(makers(here))

    assert ["12 passed" in each.out for each in runs] == [True] * 3, [each.out for each in runs]
    assert made == [1, 0, 1]
    assert [re.sub("[0-9a-f]{32}", "KEY", name) for name in databases(postgresql_server)] == ["torc_template_KEY"] * 2


@pytest.mark.slow
def test_a_worker_that_is_killed_leaves_nothing_that_blocks(
    suite: Suite, here: Path, postgresql_server: Server
) -> None:
    """pytest is killed while it makes the template; the next run makes it, and removes what was left."""
    write_files(here, {"test_many.py": POSTGRESQL, "slow": ""})
    words, variables = command(), {"SERVER": postgresql_server.url("postgres")}
    with Popen(words, cwd=here, env=environment(here, variables), stdout=DEVNULL, stderr=DEVNULL) as process:
        deadline = time.monotonic() + PATIENCE
        while not (here / "made").exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
    left = databases(postgresql_server)
    (here / "slow").unlink()
    result = suite()

    assert [name.endswith("_unfinished") for name in left] == [True]
    assert "12 passed" in result.out, result.out
    assert databases(postgresql_server) == [left[0].removesuffix("_unfinished")]


@pytest.mark.slow
def test_a_migration_of_data_on_postgresql(suite: Suite, postgresql_server: Server) -> None:
    """A test fills a database at one version, upgrades it, and looks at the rows; one that fails is kept."""
    text = """
import psycopg

def test_data(migrated_at):
    database = migrated_at(2)
    with psycopg.connect(database.url) as connection:
        connection.execute("INSERT INTO book VALUES (1, 'abc')")
    assert database.upgrade().applied == (3,)
    assert database.rollback().applied == (3,)

def test_fails(migrated_database):
    with psycopg.connect(migrated_database) as connection:
        connection.execute("INSERT INTO book VALUES (2, 'kept')")
    raise ValueError
"""
    result = suite(test_data=text)
    (kept,) = (name for name in databases(postgresql_server) if name.startswith("torc_test_"))

    assert "1 failed, 1 passed" in result.out, result.out
    assert f"kept as postgresql://postgres@/{kept}?" in result.out
    with postgresql_server.connect(kept) as connection:
        assert connection.execute("SELECT title FROM book").fetchall() == [("kept",)]


def test_what_was_not_used_for_long_is_removed(here: Path, postgresql_server: Server) -> None:
    """Templates by the time of their last use, and databases of tests by the time in their names."""
    forget(postgresql_server)
    source = write_files(here / "migrations", MIGRATIONS)
    now, month = int(time.time()), 30 * 86400
    names = {
        "torc_template_old": now - month,
        "torc_template_new": now,
        "torc_test_1_a_0": 0,
        f"torc_test_{now}_a_0": 0,
    }
    with postgresql_server.connect() as connection:
        for name, used in names.items():
            connection.execute(f"CREATE DATABASE {name} TEMPLATE template0")
            if used:
                connection.execute(f"COMMENT ON DATABASE {name} IS '{used}'")
    templates = ServerTemplates(postgresql_server.url("postgres"), str(source), {})
    url = templates.create()
    found = databases(postgresql_server)
    with psycopg.connect(url):
        templates.remove(url)  # also while a connection is open

    assert "torc_template_new" in found
    assert f"torc_test_{now}_a_0" in found
    assert {"torc_template_old", "torc_test_1_a_0"}.isdisjoint(found)
    assert len(found) == 4
    assert len(databases(postgresql_server)) == 3
    forget(postgresql_server)


@pytest.mark.slow
def test_mariadb_runs_the_migrations_for_each_test(here: Path, mariadb_server: mariadb_servers.Server) -> None:
    """Each has a database of its own, which is removed; also with workers of pytest-xdist."""
    write_files(here / "migrations", MIGRATIONS)
    text = f"""
import pymysql, pytest

@pytest.mark.parametrize("number", range(4))
def test_one(migrated_database, number):
    name = migrated_database.split("/")[3].split("?")[0]
    connection = pymysql.connect(unix_socket={mariadb_server.socket!r}, user="root", database=name)
    with connection, connection.cursor() as cursor:
        cursor.execute("INSERT INTO book VALUES (1, 'x')")
        cursor.execute("SELECT COUNT(*) FROM book")
        assert cursor.fetchone() == (1,)

def test_at(migrated_at):
    assert migrated_at(2).upgrade().applied == (3,)
"""
    server = f"mysql://root@/mysql?unix_socket={mariadb_server.socket}"
    write_files(here, {"pytest.ini": f"[pytest]\ntorc_migrations_server = {server}\n", "test_many.py": text})
    alone, shared = (run(command(*words), here) for words in ((), ("-n", "2")))

    assert "5 passed" in alone.out, alone.out
    assert "5 passed" in shared.out, shared.out
    with mariadb_server.connect(None) as connection, connection.cursor() as cursor:
        cursor.execute("SHOW DATABASES LIKE 'torc%'")
        assert cursor.fetchall() == ()


def test_a_server_is_named_by_a_url(tmp_path: Path) -> None:
    """Another address raises at once."""
    for address in ("tests.db", "sqlite:///tests.db"):
        with pytest.raises(errors.UrlError, match="is not the URL of a server"):
            ServerTemplates(address, str(tmp_path), {})
