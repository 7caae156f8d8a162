"""The real sqlx, stock yoyo and we take turns at a MariaDB database; after each turn our status tells the truth.

Between turns the clock goes on by a minute, the clocks of our own lines jump, and the database is dumped and restored.
"""

from __future__ import annotations

import subprocess
import threading
import time
from contextlib import closing
from pathlib import Path
from random import Random

import pytest
from database_under_test import PATIENCE, sized, write_folder
from mariadb_server import MariaDbUnderTest, find
from server_turns import VERSIONS, World, a_minute_earlier, take_turns, write_pairs

from torc_migrations import Migrator, errors, status, upgrade
from torc_migrations.databases.mysql.locks import lock_name

pytestmark = pytest.mark.slow
# What sqlx and we have to agree on; the time that a script took differs.
COLUMNS = """
    SELECT column_name, column_type, is_nullable, column_key
    FROM information_schema.columns
    WHERE table_name = '_sqlx_migrations' AND table_schema = DATABASE()
    ORDER BY ordinal_position
"""
SHOWN = "SELECT version, description, success, checksum, execution_time > 0 FROM _sqlx_migrations ORDER BY version"


@pytest.fixture
def folders(tmp_path: Path) -> tuple[str, str]:
    """The same migrations in yoyo's layout and in sqlx's, each of which makes a table."""
    up, down = "CREATE TABLE t{0} (x INT);\nINSERT INTO t{0} VALUES ({0});\n", "DROP TABLE t{0};\n"
    return write_pairs(tmp_path, up, down)


def test_a_database_of_sqlx_and_ours_look_the_same(mariadb_server, folders, sqlx_for_servers, tmp_path):
    """The table, its rows and the listing; and sqlx accepts, lists and reverts what we have applied."""
    _, source = folders
    theirs, ours = mariadb_server.new_database(), mariadb_server.new_database()

    done = sqlx_for_servers("run", "-D", theirs.sqlx_url, "--source", source, folder=tmp_path)
    upgrade(ours.url, source)

    assert done.status == 0, done
    assert ours.execute(COLUMNS) == theirs.execute(COLUMNS)
    assert ours.execute(SHOWN) == theirs.execute(SHOWN)
    listing = sqlx_for_servers("info", "-D", ours.sqlx_url, "--source", source, folder=tmp_path)
    assert listing.out == status(ours.url, source).as_text() == status(theirs.url, source).as_text()
    reverted = sqlx_for_servers("revert", "-D", ours.sqlx_url, "--source", source, folder=tmp_path)
    assert (reverted.status, ours.tables().keys()) == (0, {"t1", "t2"})
    assert [each.version for each in status(ours.url, source).pending] == [3]
    assert upgrade(ours.url, source).applied == (3,)
    assert upgrade(theirs.url, source).applied == ()
    assert theirs.ledgers().agreed == VERSIONS


def test_what_sqlx_leaves_dirty_is_dirty_for_us_and_the_other_way_round(
    mariadb_server, folders, sqlx_for_servers, tmp_path
):
    """Both leave the row of a script that failed after DDL, refuse to go on, and say so in the same words."""
    _, source = folders
    write_folder(Path(source), {"4_bad.up": "CREATE TABLE t4 (x INT);\nSELECT nowhere;\n", "4_bad.down": "SELECT 1;\n"})
    theirs, ours = mariadb_server.new_database(), mariadb_server.new_database()

    done = sqlx_for_servers("run", "-D", theirs.sqlx_url, "--source", source, folder=tmp_path)
    with pytest.raises(errors.ExecutionFailed) as failure:
        upgrade(ours.url, source)

    assert failure.value.reason in done.out + done.err
    assert ours.dirty() == theirs.dirty() == [4]
    with pytest.raises(errors.Dirty) as refusal:
        upgrade(theirs.url, source)
    said = sqlx_for_servers("run", "-D", ours.sqlx_url, "--source", source, folder=tmp_path)
    assert str(refusal.value) in said.out + said.err


def test_sqlx_goes_on_after_what_we_have_repaired(mariadb, folders, sqlx_for_servers, tmp_path):
    """A migration that was dirty and was resumed is an installed one for sqlx."""
    _, source = folders
    up = "CREATE TABLE t4 (x INT);\nSELECT 1 FROM u;\n"
    write_folder(Path(source), {"4_bad.up": up, "4_bad.down": "DROP TABLE t4;\n"})
    with pytest.raises(errors.ExecutionFailed):
        upgrade(mariadb.url, source)
    mariadb.execute("CREATE TABLE u (x INT)")

    Migrator(mariadb.url, source).repair(4, resume_after=1)

    done = sqlx_for_servers("run", "-D", mariadb.sqlx_url, "--source", source, folder=tmp_path)
    assert (done.status, done.out) == (0, "")


class MariaDbWorld(World):
    """A database of MariaDB, and its truth."""

    def __init__(self, database: MariaDbUnderTest, random: Random) -> None:
        self.database: MariaDbUnderTest = database
        self.random = random

    @property
    def is_stuck(self) -> bool:
        """Whether sqlx has run a script on what yoyo has: its error, which nobody can go on from."""
        return bool(self.database.dirty())

    @property
    def yoyo_url(self) -> str:
        """The address that yoyo takes."""
        return self.database.yoyo_url

    @property
    def sqlx_url(self) -> str:
        """The address that sqlx takes."""
        return self.database.sqlx_url

    def let_time_pass(self) -> None:
        """Move every moment back by a minute, and those of our own lines by up to a day in either direction."""
        tables = {name for (name,) in self.database.execute("SHOW TABLES")}
        with closing(self.database.connect()) as connection, connection.cursor() as cursor:
            for table, column in (("_sqlx_migrations", "installed_on"), ("_yoyo_log", "created_at_utc")):
                if table in tables:
                    cursor.execute(f"UPDATE {table} SET {column} = {column} - INTERVAL 1 MINUTE")
            if "_yoyo_log" not in tables:
                return
            cursor.execute("SELECT id, comment FROM _yoyo_log WHERE comment IS NOT NULL")
            for key, comment in cursor.fetchall():
                moved = a_minute_earlier(comment)
                jump = self.random.randrange(-1440, 1440)
                moment = "created_at_utc + INTERVAL %s MINUTE"
                sql = f"UPDATE _yoyo_log SET created_at_utc = {moment}, comment = %s WHERE id = %s"
                cursor.execute(sql, [jump, moved, key])

    def dump_and_restore(self) -> None:
        """Go on with a copy that has been a text meanwhile."""
        server = self.database.server
        options = ["--no-defaults", "-uroot", f"-S{server.socket}"]
        dump = [str(find("mariadb-dump")), *options, self.database.name]
        text = subprocess.run(dump, capture_output=True, check=True, timeout=PATIENCE).stdout
        copy = server.new_database()
        client = [str(find("mariadb")), *options, copy.name]
        subprocess.run(client, input=text, check=True, timeout=PATIENCE, capture_output=True)
        self.database = copy


@pytest.mark.parametrize("seed", range(sized(3, 60)))
def test_after_each_turn_of_three_tools_the_status_is_the_truth(
    mariadb, folders, sqlx_for_servers, yoyo, tmp_path, seed
):
    """Scripts that run once, in any order of the tools: nothing is ever wrong, or called out of step."""
    take_turns(MariaDbWorld(mariadb, Random(seed)), folders, sqlx_for_servers, yoyo, tmp_path)


def test_sqlx_in_a_program_and_we_wait_for_each_other(mariadb, folders):
    """A program of Rust holds the lock while it migrates; its name is the same.

    On MariaDB sqlx itself gets none, because GET_LOCK with a negative time returns NULL there, and not on MySQL.
    """
    reports = []
    with closing(mariadb.connect()) as program, program.cursor() as cursor:
        cursor.execute("SELECT GET_LOCK(%s, 0)", [lock_name(mariadb.name)])
        runner = threading.Thread(target=lambda: reports.append(upgrade(mariadb.url, folders[1])))
        runner.start()
        time.sleep(0.5)
        assert mariadb.tables() == {}
        cursor.execute("DO RELEASE_ALL_LOCKS()")
        runner.join(PATIENCE)

    assert reports[0].applied == VERSIONS
