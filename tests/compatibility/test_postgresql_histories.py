"""The real sqlx, stock yoyo and we take turns at a PostgreSQL database; after each turn our status tells the truth.

Between turns the clock goes on by a minute, the clocks of our own lines jump, and the database is dumped and restored.
"""

from __future__ import annotations

import subprocess
import threading
import time
from pathlib import Path
from random import Random

import psycopg
import pytest
from database_under_test import PATIENCE, sized, write_folder
from paired_databases import YOYO_TABLES
from server_turns import VERSIONS, World, a_minute_earlier, take_turns, write_pairs
from servers import PostgreSQLUnderTest

from torc_migrations import errors, status, upgrade
from torc_migrations.databases.postgresql.locks import sqlx_key

pytestmark = pytest.mark.slow
SHOWN = """
    SELECT version, description, success, encode(checksum, 'hex'), execution_time >= 0
    FROM _sqlx_migrations
    ORDER BY version
"""
COLUMNS = """
    SELECT column_name, data_type, is_nullable, column_default
    FROM information_schema.columns
    WHERE table_name = '_sqlx_migrations'
    ORDER BY ordinal_position
"""


@pytest.fixture
def folders(tmp_path: Path) -> tuple[str, str]:
    """The same migrations in yoyo's layout and in sqlx's, each of which makes a table."""
    return write_pairs(tmp_path, "CREATE TABLE t{0} (x int);\n", "DROP TABLE t{0};\n")


def of_sqlx(database: PostgreSQLUnderTest) -> str:
    """Return the URL as sqlx takes it: with a host, though that of the query counts."""
    return database.url.replace("postgres@/", "postgres@localhost/")


def test_a_database_of_sqlx_and_ours_look_the_same(postgresql_server, folders, sqlx_for_servers, tmp_path):
    """The table, its rows and the listing; and sqlx accepts, lists and reverts what we have applied."""
    _, source = folders
    theirs = PostgreSQLUnderTest(postgresql_server, postgresql_server.create_database())
    ours = PostgreSQLUnderTest(postgresql_server, postgresql_server.create_database())

    done = sqlx_for_servers("run", "-D", of_sqlx(theirs), "--source", source, folder=tmp_path)
    upgrade(ours.url, source)

    assert done.status == 0, done
    assert ours.execute(COLUMNS) == theirs.execute(COLUMNS)
    assert ours.execute(SHOWN) == theirs.execute(SHOWN)
    listing = sqlx_for_servers("info", "-D", of_sqlx(ours), "--source", source, folder=tmp_path)
    assert listing.out == status(ours.url, source).as_text() == status(theirs.url, source).as_text()
    reverted = sqlx_for_servers("revert", "-D", of_sqlx(ours), "--source", source, folder=tmp_path)
    assert (reverted.status, ours.tables().keys()) == (0, {"t1", "t2"})
    assert [each.version for each in status(ours.url, source).pending] == [3]
    assert upgrade(ours.url, source).applied == (3,)
    assert upgrade(theirs.url, source).applied == ()
    assert theirs.ledgers().agreed == VERSIONS


def test_the_errors_of_sqlx_are_ours(postgresql_database, folders, sqlx_for_servers, tmp_path):
    """The sentence of a script that fails, but for the words that sqlx puts before the server's."""
    _, source = folders
    write_folder(Path(source), {"4_bad.up": "SELECT nowhere;\n", "4_bad.down": "SELECT 1;\n"})
    done = sqlx_for_servers("run", "-D", of_sqlx(postgresql_database), "--source", source, folder=tmp_path)

    with pytest.raises(errors.ExecutionFailed) as failure:
        upgrade(postgresql_database.url, source)

    said = (done.out + done.err).partition("error: ")[2].strip().replace("error returned from database: ", "")
    assert said == str(failure.value)


class PostgreSQLWorld(World):
    """A database of PostgreSQL, and its truth."""

    def __init__(self, database: PostgreSQLUnderTest, random: Random) -> None:
        self.database: PostgreSQLUnderTest = database
        self.random = random

    @property
    def yoyo_url(self) -> str:
        """The address for psycopg 3."""
        return self.database.url.replace("postgresql:", "postgresql+psycopg:")

    @property
    def sqlx_url(self) -> str:
        """The address with a host."""
        return of_sqlx(self.database)

    def let_time_pass(self) -> None:
        """Move every moment back by a minute, and those of our own lines by up to a day in either direction."""
        with self.database.connect() as connection:
            for table, column in (("_sqlx_migrations", "installed_on"), ("_yoyo_log", "created_at_utc")):
                try:
                    connection.execute(f"UPDATE {table} SET {column} = {column} - interval '1 minute'")
                except psycopg.errors.UndefinedTable:
                    continue
            try:
                lines = connection.execute("SELECT id, comment FROM _yoyo_log WHERE comment IS NOT NULL").fetchall()
            except psycopg.errors.UndefinedTable:
                return
            for key, comment in lines:
                moved = a_minute_earlier(comment)
                jump = f"{self.random.randrange(-1440, 1440)} minutes"
                sql = "UPDATE _yoyo_log SET comment = %s, created_at_utc = created_at_utc + %s::interval WHERE id = %s"
                connection.execute(sql, [moved, jump, key])

    def dump_and_restore(self) -> None:
        """Go on with a copy that has been a text meanwhile."""
        server, programs = self.database.server, self.database.server.programs
        host = ["-h", str(server.home), "-U", "postgres"]
        dump = [str(programs / "pg_dump"), *host, "--no-sync", self.database.database]
        text = subprocess.run(dump, capture_output=True, check=True, timeout=PATIENCE).stdout
        name = server.create_database()
        psql = [str(programs / "psql"), *host, "-q", "-X", "-v", "ON_ERROR_STOP=1", "-o", "/dev/null", name]
        subprocess.run(psql, input=text, check=True, timeout=PATIENCE, capture_output=True)
        self.database = PostgreSQLUnderTest(server, name)


@pytest.mark.parametrize("seed", range(sized(4, 60)))
def test_after_each_turn_of_three_tools_the_status_is_the_truth(
    postgresql_server, folders, sqlx_for_servers, yoyo, tmp_path, seed
):
    """Scripts that run once, in any order of the tools: nothing is ever wrong, or called out of step."""
    database = PostgreSQLUnderTest(postgresql_server, postgresql_server.create_database())
    world = PostgreSQLWorld(database, Random(seed))

    take_turns(world, folders, sqlx_for_servers, yoyo, tmp_path)

    assert not set(world.database.tables()) & set(YOYO_TABLES)


def test_sqlx_in_a_program_and_we_wait_for_each_other(postgresql_database, folders):
    """A program of Rust holds the lock while it migrates, and takes it with a statement that waits."""
    _, source = folders
    reports = []
    with postgresql_database.connect() as program:
        program.execute("SELECT pg_advisory_lock(%s)", [sqlx_key(postgresql_database.database)])
        runner = threading.Thread(target=lambda: reports.append(upgrade(postgresql_database.url, source)))
        runner.start()
        time.sleep(0.5)
        assert postgresql_database.tables() == {}
        program.execute("SELECT pg_advisory_unlock_all()")
        runner.join(PATIENCE)

    assert reports[0].applied == VERSIONS
