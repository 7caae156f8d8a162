"""SIGKILL at every statement that is sent to a server: the schema and both ledgers agree, and the next run goes on."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from database_under_test import PATIENCE, sized, start_python
from servers import PostgreSQLUnderTest

from torc_migrations import Migrator, errors, rollback, status, upgrade

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="there is neither fork nor SIGKILL here"),
]

# A run has so many statements that as a rule every fifth is tried.
STEP = 5
FILES = {
    "1_make": "CREATE TABLE p (id int PRIMARY KEY, x text);\nINSERT INTO p VALUES (1, 'a'), (2, 'b');\n",
    "1_make.rollback": "DELETE FROM p;\nDROP TABLE p;\n",
    "2_enum": "CREATE TYPE kind AS ENUM ('a');\nALTER TABLE p ADD COLUMN k kind DEFAULT 'a';\n"
    "SET search_path TO pg_catalog;",
    "2_enum.rollback": "ALTER TABLE p DROP COLUMN k;\nDROP TYPE kind;\n",
    "3_function": "BEGIN;\nCREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$;\n"
    "CREATE TRIGGER t BEFORE INSERT ON p FOR EACH ROW EXECUTE FUNCTION f();\nCOMMIT;\n",
    "3_function.rollback": "DROP TRIGGER t ON p;\nDROP FUNCTION f();\n",
    "4_rows": "INSERT INTO p SELECT n, 'r' FROM generate_series(10, 200) n;\n",
    "4_rows.rollback": "DELETE FROM p WHERE id >= 10;\n",
}
OUTSIDE = {
    "1_make": "CREATE TABLE p (id int PRIMARY KEY, x text);\n",
    "2_outside": "-- no-transaction\nCREATE TABLE a (x int);\nCREATE INDEX CONCURRENTLY i ON p (x);\n"
    "BEGIN;\nCREATE TABLE b (x int);\nCREATE TABLE c (x int);\nCOMMIT;\nCREATE TABLE d (x int);\n",
    "3_more": "CREATE TABLE e (x int);\n",
}
# What the second script of these makes, in the order of its statements; BEGIN and COMMIT make nothing.
MADE = ((), ("a",), ("a", "i"), ("a", "i"), ("a", "i"), ("a", "i"), ("a", "b", "c", "i"), ("a", "b", "c", "d", "i"))

# For each line of its input a child runs, and kills itself when it is about to wait for the answer to a statement.
KILLER = """
import logging, os, signal, sys
import psycopg
import torc_migrations.ledgers.yoyo, torc_migrations.databases.postgresql, torc_migrations.runs.atomic
import torc_migrations.sources.source
from torc_migrations import rollback, upgrade
logging.disable()
source, direction, group = sys.argv[1:]
seen, wait = 0, psycopg.Connection.wait

def attempt(url, last):
    def wait_or_die(self, *arguments, **options):
        global seen
        seen += 1
        if seen == last:
            os.kill(os.getpid(), signal.SIGKILL)
        return wait(self, *arguments, **options)
    psycopg.Connection.wait = wait_or_die
    if direction == "up":
        upgrade(url, source, group=float(group))
    else:
        rollback(url, source, target=0, group=float(group))

for line in sys.stdin:
    url, last = line.split()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            attempt(url, int(last))
            code = 0
        finally:
            os._exit(code)
    _, ended = os.waitpid(pid, 0)
    print("killed" if os.WIFSIGNALED(ended) else f"ended {ended}", flush=True)
"""


@contextmanager
def killer(source: str, direction: str, group: float = 0) -> Iterator[Callable[[PostgreSQLUnderTest, int], bool]]:
    """Yield a function that runs an upgrade or a rollback, killed at a statement, and tells whether it was."""
    process = start_python(KILLER, source, direction, group)
    assert process.stdin is not None
    assert process.stdout is not None
    stdin, stdout = process.stdin, process.stdout

    def run(database: PostgreSQLUnderTest, last: int) -> bool:
        stdin.write(f"{database.url} {last}\n")
        stdin.flush()
        answer = stdout.readline().strip()
        assert answer in ("killed", "ended 0"), process.communicate()
        wait_for_the_end(database)
        return answer == "killed"

    try:
        yield run
    finally:
        process.communicate(timeout=PATIENCE)


def wait_for_the_end(database: PostgreSQLUnderTest) -> None:
    """Wait until the server has noticed that a client is gone, and has ended its session."""
    sessions = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    give_up = time.monotonic() + PATIENCE
    while database.execute(sessions) != [(0,)]:
        assert time.monotonic() < give_up
        time.sleep(0.01)


def copies(database: PostgreSQLUnderTest) -> Iterator[PostgreSQLUnderTest]:
    """Yield copies of a database."""
    while True:
        name = f"{database.database}_copy"
        with database.server.connect() as connection:
            connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
            connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{database.database}"')
        yield PostgreSQLUnderTest(database.server, name)


def contents(database: PostgreSQLUnderTest) -> tuple[object, ...]:
    """Return the schema and how many rows there are."""
    functions = database.execute("SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace")
    types = database.execute("SELECT typname FROM pg_type WHERE typtype = 'e'")
    rows = database.execute("SELECT count(*) FROM p") if "p" in database.tables() else []
    return database.tables(), functions, types, rows


@pytest.mark.parametrize("first", range(1, sized(1, STEP) + 1))
@pytest.mark.parametrize("group", [0, 10])
@pytest.mark.parametrize("direction", ["up", "down"])
def test_killed_at_any_statement_nothing_is_half_done(postgresql_database, folder, direction, group, first):
    """Schema, rows and both ledgers agree every time, and the next run ends well without waiting for anybody."""
    database, source = postgresql_database, folder(FILES)
    right = {(): contents(database)}
    if direction == "up":
        database.execute("CREATE TABLE IF NOT EXISTS zzz (x int)", "DROP TABLE zzz")
    start = PostgreSQLUnderTest(database.server, database.server.create_database())
    for version in (1, 2, 3, 4):
        upgrade(start.url, source, target=version)
        right[tuple(range(1, version + 1))] = contents(start)
    begins = database if direction == "up" else start
    deaths = 0

    with killer(source, direction, group) as run_killed:
        for number, copy in enumerate(copies(begins)):
            last = first + number * STEP
            if not run_killed(copy, last):
                break
            deaths += 1
            installed = copy.ledgers().agreed
            assert contents(copy) == right[installed], last
            assert [each.version for each in status(copy.url, source).installed] == list(installed)
            if direction == "up":
                upgrade(copy.url, source, lock_timeout=PATIENCE)
                assert contents(copy) == right[1, 2, 3, 4]
            else:
                rollback(copy.url, source, target=0, lock_timeout=PATIENCE)
                assert contents(copy) == right[()]

    assert deaths > 10 if group == 0 else deaths > 3


@pytest.mark.parametrize("first", range(1, sized(1, STEP) + 1))
def test_killed_at_any_statement_outside_a_transaction_it_is_known_how_far_it_was(postgresql_database, folder, first):
    """At most one statement more is done than the log says, if it cannot be in a transaction with its note."""
    source, deaths, behind = folder(OUTSIDE), 0, 0

    with killer(source, "up") as run_killed:
        for number, copy in enumerate(copies(postgresql_database)):
            if not run_killed(copy, first + number * STEP):
                break
            deaths += 1
            entry = status(copy.url, source).entries[1]
            there = tuple(sorted(set(copy.tables()) - {"p", "p_pkey", "e"}))
            done = len(MADE) - 1 if entry.installed else entry.half_done.done if entry.half_done else 0
            if there != MADE[done]:
                assert (done, there) == (1, MADE[2])  # the index that is built concurrently
                behind += 1
                continue
            migrator = Migrator(copy.url, source)
            if entry.half_done is not None:
                with pytest.raises(errors.HalfDone):
                    migrator.upgrade()
                migrator.repair(2, resume_after=done)
            migrator.upgrade()
            assert copy.ledgers().agreed == (1, 2, 3)
            assert set(copy.tables()) >= {"a", "b", "c", "d", "e", "i"}

    assert deaths > 7
    assert behind <= 2  # killed between the end of the build and the commit of its note
