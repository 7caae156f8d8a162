"""What is promised of PostgreSQL beside the contract: settings, locks, errors, schemas, standbys, poolers."""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path
from urllib.parse import quote

import psycopg
import pytest
import sqlalchemy
from database_under_test import PATIENCE, environment, ladder, start_yoyo, stock_yoyo, write_folder
from servers import PostgreSQLUnderTest, standby

from torc_migrations import Migrator, ServerOptions, errors, rollback, status, upgrade
from torc_migrations.databases.opening import open_database
from torc_migrations.databases.postgresql.locks import sqlx_key


@pytest.fixture
def database(postgresql_database) -> PostgreSQLUnderTest:
    """A database with nothing in it."""
    return postgresql_database


def failure_of(database: PostgreSQLUnderTest, source: str, **options: object) -> errors.MigrationError:
    """Return the error with which an upgrade ends."""
    with pytest.raises(errors.MigrationError) as failure:
        upgrade(database.url, source, **options)
    return failure.value


LEAKS = {
    "search_path": "SET search_path TO other",
    "role": "SET ROLE leaker",
    "session authorization": "SET SESSION AUTHORIZATION leaker",
    "a setting": "SET default_transaction_read_only = on",
    "a setting of a function": "SELECT set_config('search_path', 'other', false)",
    "a timeout": "SET statement_timeout = '500ms'",
    "a temporary table": "CREATE TEMP TABLE _yoyo_log (x int)",
    "a temporary view": "CREATE TEMP TABLE a (x int); CREATE TEMP VIEW _sqlx_migrations AS SELECT * FROM a",
    "strings": "SET standard_conforming_strings = off",
    "an encoding": "SET client_encoding = 'LATIN1'",
    "constraints": "SET CONSTRAINTS ALL DEFERRED",
    "a savepoint": "SAVEPOINT a; CREATE TABLE in_savepoint (x int)",
    "a prepared statement": "PREPARE a AS SELECT 1",
    "a cursor": "DECLARE c CURSOR FOR SELECT 1",
}


@pytest.mark.parametrize("leak", LEAKS)
@pytest.mark.parametrize("outside", ["", "-- no-transaction\n"])
def test_what_a_script_leaves_in_the_session_does_not_reach_the_ledgers_or_the_next_script(
    database, folder, leak, outside
):
    """The next script has the settings of the database, and makes its table where it should be."""
    if outside and leak in ("a savepoint", "a cursor"):
        pytest.skip("there is none outside a transaction")
    database.execute(
        "CREATE SCHEMA other",
        "DO $$ BEGIN CREATE ROLE leaker; EXCEPTION WHEN duplicate_object THEN NULL; END $$",
        "GRANT CREATE, USAGE ON SCHEMA other TO leaker",
    )
    after = "CREATE TABLE après (x text);\nINSERT INTO après VALUES ('a\\'), (current_user), ('é');"
    if leak == "a timeout":
        after = f"SELECT pg_sleep(0.8);\n{after}"
    source = folder({"1_leak": f"{outside}{LEAKS[leak]};\n", "2_after": after})

    assert upgrade(database.url, source).applied == (1, 2)

    assert database.execute("SELECT x FROM public.après") == [("a\\",), ("postgres",), ("é",)]
    assert database.ledgers().agreed == (1, 2)
    assert status(database.url, source).clean


def test_a_lent_connection_keeps_the_settings_of_its_owner(database, folder):
    """His search path, his role, his temporary table, his own `autocommit`; scripts see them too."""
    database.execute("CREATE SCHEMA app", "CREATE SCHEMA other")
    source = folder(
        {**ladder(1), "2_leak": "SET search_path TO other; SET work_mem = '5MB'; CREATE TEMP TABLE b (x int)"}
    )
    with psycopg.connect(database.url) as connection:
        connection.execute("SET search_path TO app")
        connection.execute("SET work_mem = '7MB'")
        connection.execute("CREATE TEMP TABLE a (x int)")
        connection.commit()

        assert upgrade(connection, source).applied == (1, 2)

        assert connection.autocommit is False
        assert connection.info.transaction_status == psycopg.pq.TransactionStatus.IDLE
        assert connection.execute("SHOW search_path").fetchone() == ("app",)
        assert connection.execute("SHOW work_mem").fetchone() == ("7MB",)
        assert connection.execute("SELECT count(*) FROM a").fetchone() == (0,)
        assert connection.execute("SELECT to_regclass('b')").fetchone() == (None,)
    assert database.execute("SELECT count(*) FROM app._sqlx_migrations") == [(2,)]


ERRORS = {
    "a syntax error": ("CREATE TABLE a (x int);\n\nSELEC 1;\n", 3, 1, 'syntax error at or near "SELEC"'),
    "a name behind letters of two bytes": ("SELECT 'ééé', nowhere;", 1, 15, 'column "nowhere" does not exist'),
    "a value, without a position": (
        "CREATE TABLE a (x int UNIQUE);\n-- ;\nINSERT INTO a VALUES (1);\n  INSERT INTO a VALUES (1);\n",
        4,
        3,
        'duplicate key value violates unique constraint "a_x_key"',
    ),
    "in a function": (
        "SELECT 1;\nDO $$ BEGIN\n RAISE EXCEPTION 'no; way' USING DETAIL = 'so it is', HINT = 'give up';\nEND $$;",
        2,
        1,
        "no; way",
    ),
    "behind a byte order mark": ("\ufeffSELEC 1;", 1, 1, 'syntax error at or near "SELEC"'),
    "a deferred key": (
        (
            "CREATE TABLE a (x int PRIMARY KEY, y int REFERENCES a DEFERRABLE INITIALLY DEFERRED);\n"
            "INSERT INTO a VALUES (1, 2);\n"
        ),
        2,
        29,
        'insert or update on table "a" violates foreign key constraint "a_y_fkey"',
    ),
}


@pytest.mark.parametrize("statement_wise", [False, True])
@pytest.mark.parametrize("case", ERRORS)
def test_an_error_names_its_place(database, folder, case, statement_wise):
    """File, line and column, in letters; of an error without a position the statement."""
    sql, line, column, reason = ERRORS[case]
    source = folder({"1_bad": sql})

    failure = failure_of(database, source, server=ServerOptions(statement_wise=statement_wise))

    assert isinstance(failure, errors.ExecutionFailed)
    assert (failure.reason, failure.line, failure.column) == (reason, line, column)
    assert f"1_bad.sql:{line}:{column}" in failure.frame
    if case == "in a function":
        assert "detail: so it is" in failure.frame
        assert "the server says: give up" in failure.hint
    assert database.tables() == {}


@pytest.mark.parametrize(
    ("sql", "line", "words"),
    [
        ("SELECT 1;\nCOPY t FROM stdin;\n1\n\\.\n", 2, "COPY ... FROM stdin is for psql"),
        ("SELECT 1;\n\n\\connect app\n", 3, "\\connect is for psql"),
        ("CREATE TABLE a (x int);\nPREPARE TRANSACTION 'a';", 2, "PREPARE in a script"),
    ],
)
def test_what_the_server_does_not_understand_is_refused_by_name(database, folder, sql, line, words):
    """Before anything of the script runs."""
    failure = failure_of(database, folder({"1_bad": sql}))

    assert isinstance(failure, errors.BadScript)
    assert (failure.line, words in str(failure)) == (line, True)
    assert database.tables() == {}


def test_a_script_wrapped_in_begin_and_commit_is_one_with_its_records(database, folder, caplog):
    """It is atomic, though it commits: the pair is left out. Other settings of a transaction are the script's."""
    bad = "BEGIN;\nCREATE TABLE a (x int);\nSELECT nowhere;\nCOMMIT;\n"
    failure = failure_of(database, folder({"1_wrapped": bad}))
    assert (failure.line, failure.column, failure.kept) == (3, 8, False)
    assert database.tables() == {}

    source = folder({"1_wrapped": "-- x\nBEGIN;\nCREATE TABLE a (x int);\nCOMMIT;\n"})
    assert upgrade(database.url, source, strict=True).applied == (1,)
    assert caplog.text == ""


def test_the_invalid_index_of_a_failed_concurrent_build_is_named(database, folder):
    """With the statement that removes it, and then the script is resumed."""
    database.execute("CREATE TABLE t (x int)", "INSERT INTO t VALUES (1), (1)")
    source = folder({"1_index": "-- no-transaction\nSELECT 1;\nCREATE UNIQUE INDEX CONCURRENTLY i ON t (x);\n"})

    failure = failure_of(database, source)

    assert "it has left i as an invalid index: DROP INDEX CONCURRENTLY i first" in failure.hint
    database.execute("DROP INDEX CONCURRENTLY i", "DELETE FROM t")
    Migrator(database.url, source).repair(1, resume_after=1)
    assert status(database.url, source).clean


def test_a_concurrent_build_in_a_transaction_says_how_to_leave_it(database, folder):
    """The hint is the directive."""
    database.execute("CREATE TABLE t (x int)")

    failure = failure_of(database, folder({"1_index": "CREATE INDEX CONCURRENTLY i ON t (x);"}))

    assert "`-- no-transaction`" in failure.hint


def test_a_script_gives_up_its_locks_while_it_waits_for_a_table(database, folder, caplog):
    """It is tried as often as it may be; the error names who holds the table."""
    database.execute("CREATE TABLE t (x int)", "CREATE TABLE other (x int)")
    source = folder({"1_alter": "ALTER TABLE other ADD COLUMN y int;\nALTER TABLE t ADD COLUMN y int;\n"})
    with database.connect() as blocker:
        blocker.execute("SET application_name = 'the blocker'")
        blocker.execute("BEGIN")
        blocker.execute("SELECT * FROM t")
        server = ServerOptions(table_lock_timeout=0.6, lock_tries=2)

        failure = failure_of(database, source, server=server)

        assert isinstance(failure, errors.LockTimeout)
        assert "'the blocker'" in str(failure)
        assert "1_alter.sql:2" in failure.hint
        assert "try 2 of 2" in caplog.text
        assert database.ledgers().agreed == ()
    assert upgrade(database.url, source, server=server).applied == (1,)


def test_a_script_is_tried_again_until_the_table_is_free(database, folder):
    """The application that holds it goes on meanwhile."""
    database.execute("CREATE TABLE t (x int)")
    source = folder({"1_alter": "ALTER TABLE t ADD COLUMN y int;\n"})
    blocker = database.connect()
    blocker.execute("BEGIN")
    blocker.execute("SELECT * FROM t")
    timer = threading.Timer(1.0, blocker.close)
    timer.start()
    try:
        report = upgrade(database.url, source, server=ServerOptions(table_lock_timeout=0.2))
    finally:
        timer.join()

    assert report.applied == (1,)


def test_a_run_waits_for_sqlx_and_a_standing_run_keeps_sqlx_waiting(database, folder):
    """They have one lock: sqlx's number for the name of the database."""
    source = folder(ladder(1))
    with database.connect() as other:
        other.execute("SELECT pg_advisory_lock(%s)", [sqlx_key(database.database)])
        failure = failure_of(database, source, lock_timeout=0.1)
        assert isinstance(failure, errors.LockTimeout)
        assert "session" in failure.holder
        assert upgrade(database.url, source, server=ServerOptions(advisory_lock=False)).applied == (1,)
        other.execute("SELECT pg_advisory_unlock_all()")
        with open_database(database.url, lock_timeout=1) as opened, opened.transaction():
            answer = other.execute("SELECT pg_try_advisory_lock(%s)", [sqlx_key(database.database)]).fetchone()
            assert answer == (False,)


def test_the_lock_has_the_number_that_sqlx_computes():
    """0x3d32ad9e times the CRC-32 of the name, in 64 bits with a sign."""
    assert sqlx_key("postgres") == 368907709894077238
    assert -(1 << 63) <= sqlx_key("é") < 1 << 63


def test_another_process_runs_no_script_twice_while_one_is_outside_a_transaction(database, folder):
    """The second waits until the first one is done, however long it takes."""
    source = folder(
        {"1_slow": "-- no-transaction\nCREATE TABLE a (x int);\nSELECT pg_sleep(1.5);\nCREATE TABLE b (x int);\n"}
    )
    reports = []
    runners = [threading.Thread(target=lambda: reports.append(upgrade(database.url, source))) for _ in range(3)]
    for runner in runners:
        runner.start()
        time.sleep(0.3)
    for runner in runners:
        runner.join(PATIENCE)

    assert sorted(report.applied for report in reports) == [(), (), (1,)]
    assert status(database.url, source).clean


def test_a_living_yoyo_is_waited_for_and_a_dead_one_is_not(database, folder):
    """The row in its lock outlives a kill; without a session that can be its own it is deleted."""
    slow = write_folder(Path(folder({})).parent / "slow", {"1_slow": "SELECT pg_sleep(30)"})
    source = folder(ladder(1))
    url = database.url.replace("postgresql:", "postgresql+psycopg:")
    process = start_yoyo("apply", "--batch", "--no-config-file", "-d", url, slow)
    give_up = time.monotonic() + PATIENCE
    while database.tables() == {} and not database._rows("SELECT 1 FROM yoyo_lock"):
        assert time.monotonic() < give_up
        time.sleep(0.05)

    failure = failure_of(database, source, lock_timeout=0.2)
    process.kill()
    process.communicate()
    database.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() "
        "AND pid <> pg_backend_pid()"
    )

    assert f"process {process.pid}" in failure.holder
    assert upgrade(database.url, source, lock_timeout=PATIENCE).applied == (1,)
    assert database.execute("SELECT * FROM yoyo_lock") == []


@pytest.mark.parametrize("query", ["&schema=app", "&options=-csearch_path%3Dapp", "&options[search_path]=app"])
def test_the_ledgers_are_in_the_schema_that_the_url_names(database, folder, query):
    """As yoyo and sqlx write it in a URL; scripts make their tables there too."""
    source, url = folder(ladder(1)), database.url + query
    with pytest.raises(errors.CannotOpen, match="names no schema that exists"):
        status(url, source)
    database.execute("CREATE SCHEMA app")

    assert upgrade(url, source).applied == (1,)

    assert database.execute("SELECT x FROM app.t1") == [(1,)]
    assert database.execute("SELECT version FROM app._sqlx_migrations") == [(1,)]
    assert status(url, source).clean
    assert status(database.url, source).pending
    assert database.tables() == {}


@pytest.mark.parametrize("name", ["my-app", '"App"', "pub'lic", "nowhere, App, app"])
def test_a_schema_is_named_as_search_path_names_it(database, folder, name):
    """Names with other characters need no quotes, those with capitals do; of several the first that exists is taken."""
    schema = name.rpartition(" ")[2].strip('"')
    database.execute(f'CREATE SCHEMA "{schema}"')

    assert upgrade(f"{database.url}&schema={quote(name)}", folder(ladder(1))).applied == (1,)

    assert database.execute(f'SELECT x FROM "{schema}".t1') == [(1,)]


def test_the_name_of_a_schema_is_never_run_as_sql(database, folder):
    """A name from a table of tenants cannot end the transaction that only reads, and change the database."""
    database.execute("CREATE TABLE kept (x int)")
    name = quote("public; COMMIT; DROP TABLE kept; BEGIN READ ONLY")

    for operation in (status, upgrade):
        with pytest.raises(errors.CannotOpen, match="invalid value for parameter"):
            operation(f"{database.url}&schema={name}", folder(ladder(1)))

    assert database.execute("SELECT * FROM kept") == []


def test_a_value_that_no_parameter_can_have_is_not_a_server_that_is_down(database, folder):
    """The hint does not say to start the server."""
    with pytest.raises(errors.CannotOpen, match="bad value for connect_timeout: 'soon'") as failure:
        status(f"{database.url}&connect_timeout=soon", folder(ladder(1)))

    assert failure.value.hint is None


def test_a_schema_that_a_script_creates_before_the_others_does_not_hide_the_ledgers(database, folder):
    """They stay where they are, though `$user` comes first in the search path."""
    source = folder({**ladder(1), "2_schema": "CREATE SCHEMA postgres;", "3_table": "CREATE TABLE t3 (x int);"})

    assert upgrade(database.url, source, group=0).applied == (1, 2, 3)
    assert status(database.url, source).clean
    assert upgrade(database.url, source).applied == ()


def test_a_role_that_may_only_read_can_list(database, folder):
    """An upgrade with it is refused."""
    source = folder(ladder(2))
    upgrade(database.url, source, target=1)
    database.execute(
        "DROP ROLE IF EXISTS reader",
        "CREATE ROLE reader LOGIN",
        "GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader",
    )
    url = database.url.replace("postgres@", "reader@")

    assert [each.version for each in status(url, source).pending] == [2]
    with pytest.raises(errors.CannotOpen, match="permission denied"):
        upgrade(url, source)
    database.execute("DROP OWNED BY reader", "DROP ROLE reader")


def test_a_read_only_database_is_refused_before_anything_runs(database, folder):
    """`default_transaction_read_only` is a protection that is kept."""
    database.execute(f'ALTER DATABASE "{database.database}" SET default_transaction_read_only = on')

    failure = failure_of(database, folder(ladder(1)))

    assert isinstance(failure, errors.CannotOpen)
    assert "read-only" in str(failure)
    assert status(database.url, folder(ladder(1))).pending


@pytest.mark.slow
def test_a_standby_is_listed_and_never_locked(postgresql_server, folder, caplog):
    """`status` works there, an upgrade is refused and leaves no lock, and of several hosts the primary is taken."""
    database = PostgreSQLUnderTest(postgresql_server, postgresql_server.create_database())
    source = folder(ladder(2))
    upgrade(database.url, source, target=1)
    with standby(postgresql_server) as copy:
        replica = PostgreSQLUnderTest(copy, database.database)
        give_up = time.monotonic() + PATIENCE
        while replica.ledgers().agreed != (1,):
            assert time.monotonic() < give_up
            time.sleep(0.1)

        assert [each.version for each in status(replica.url, source).pending] == [2]
        failure = failure_of(replica, source)
        assert isinstance(failure, errors.CannotOpen)
        assert "is a standby" in str(failure)
        assert replica.execute("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == [(0,)]
        with pytest.raises(errors.CannotOpen, match="is a standby"):
            Migrator(replica.url, source).rehearse()
        assert "DROP DATABASE" not in caplog.text
        both = f"postgresql://postgres@/{database.database}?host={copy.home},{postgresql_server.home}"
        assert upgrade(both, source).applied == (2,)


def test_engines_connections_and_urls_of_sqlalchemy_are_taken(database, folder):
    """With our driver in common a connection is borrowed, and given back to its pool."""
    source = folder(ladder(3))
    engine = sqlalchemy.create_engine(database.url.replace("postgresql:", "postgresql+psycopg:"))
    try:
        assert upgrade(engine, source, target=1).applied == (1,)
        with engine.connect() as connection:
            assert upgrade(connection, source, target=2).applied == (2,)
            assert connection.execute(sqlalchemy.text("SELECT x FROM t2")).scalar() == 2
            with pytest.raises(errors.CannotOpen, match="inside a transaction"):
                upgrade(connection, source)
        assert upgrade(engine.url, source).applied == (3,)
        assert engine.pool.checkedout() == 0
    finally:
        engine.dispose()


def test_without_the_driver_the_error_names_the_extra(tmp_path, folder):
    """And nothing else of the package needs it."""
    (tmp_path / "psycopg.py").write_text("raise ModuleNotFoundError('no psycopg', name='psycopg')")
    code = "import sys, torc_migrations as t\ntry:\n t.status('postgresql://host/app', sys.argv[1])\n"
    code += "except t.errors.MissingDriver as error:\n print(error, '|', error.hint)\n"
    paths = os.pathsep.join([str(tmp_path), environment()["PYTHONPATH"]])

    done = subprocess.run(
        [sys.executable, "-c", code, folder(ladder(1))],
        env=environment(PYTHONPATH=paths),
        capture_output=True,
        text=True,
        check=True,
    )

    words = "PostgreSQL needs the library psycopg, which cannot be imported"
    assert done.stdout == f'{words} | pip install "torc-migrations[postgresql]"\n'


def test_a_server_that_is_not_there_is_named_without_the_password(tmp_path, folder):
    """With the reason of the driver."""
    with pytest.raises(errors.CannotOpen) as failure:
        status(f"postgresql://me:hunter2@/app?host={tmp_path}", folder(ladder(1)))

    assert "hunter2" not in str(failure.value)
    assert "cannot connect to postgresql://me:***@/app" in str(failure.value)


def test_only_a_fresh_database_gets_groups(database, folder):
    """Where others use tables, each migration has its own transaction, so that no lock outlives its script."""
    source = folder(ladder(2))
    with open_database(database.url, lock_timeout=1) as opened:
        assert opened.may_group
    upgrade(database.url, source)
    with open_database(database.url, lock_timeout=1) as opened:
        assert not opened.may_group
    transactions = database.execute("SELECT count(DISTINCT xmin::text) FROM _sqlx_migrations")
    rollback(database.url, source, target=0)

    assert database.ledgers().agreed == ()
    assert transactions


def test_what_only_sqlite_can_do_says_so(database, folder, tmp_path):
    """In a sentence."""
    source = folder(ladder(1))
    with pytest.raises(errors.NotSupported, match="SQLite only"):
        Migrator(database.url, source).restore(tmp_path / "x.db")
    with pytest.raises(errors.NotSupported, match="a snapshot works with SQLite only"):
        upgrade(database.url, source, snapshot=True)
    assert database.ledgers().agreed == ()


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("pgbouncer") is None, reason="there is no pgbouncer: apt-get install pgbouncer")
def test_behind_a_pooler_each_transaction_holds_the_lock(postgresql_server, folder, caplog):
    """A warning says that a pooler was seen; several runners apply each migration once."""
    from servers import pgbouncer

    database = PostgreSQLUnderTest(postgresql_server, postgresql_server.create_database())
    source = folder(ladder(4))
    with pgbouncer(postgresql_server) as home:
        url = f"postgresql://postgres@/{database.database}?host={home}&port=6543"
        reports = []
        runners = [threading.Thread(target=lambda: reports.append(upgrade(url, source, group=0))) for _ in range(8)]
        with caplog.at_level(logging.WARNING):
            for runner in runners:
                runner.start()
            for runner in runners:
                runner.join(PATIENCE)

        applied = sorted(version for report in reports for version in report.applied)
        assert (len(reports), applied) == (8, [1, 2, 3, 4])
        assert status(url, source).clean
        assert "is behind a pooler" in caplog.text
        assert database.execute("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == [(0,)]


def test_yoyo_runs_migrations_as_we_do(database, folder):
    """Through the backend `torc+postgresql`: both ledgers are written, and no lock row."""
    source = folder(ladder(2))
    url = database.url.replace("postgresql:", "torc+postgresql:")

    applied = stock_yoyo("apply", "--batch", "--no-config-file", "-d", url, source)
    assert (applied.returncode, applied.stderr) == (0, "")
    assert database.ledgers().agreed == (1, 2)
    undone = stock_yoyo("rollback", "--batch", "--no-config-file", "-r", "2_make_t2", "-d", url, source)

    assert undone.returncode == 0, undone.stderr
    assert database.ledgers().agreed == (1,)
    assert database.execute("SELECT to_regclass('yoyo_lock')") == [(None,)]


KILL_OTHERS = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'torc-migrations'"


def kill_in_sleep(database) -> None:
    """End our sessions as soon as one of them sleeps."""
    sleeping = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep%' AND state = 'active'"
    sleeping += " AND datname = current_database() AND pid <> pg_backend_pid()"
    give_up = time.monotonic() + PATIENCE
    while database.execute(sleeping) == [(0,)]:
        assert time.monotonic() < give_up
        time.sleep(0.05)
    database.execute(KILL_OTHERS)


@pytest.mark.parametrize("at", ["a script", "the commit"])
def test_after_a_lost_connection_everything_is_read_and_locked_anew(database, folder, caplog, monkeypatch, at):
    """The run goes on on another connection, and each script has run once."""
    source = folder({**ladder(3), "2_make_t2": "CREATE TABLE t2 (x int);\nSELECT pg_sleep(3);\n"})
    database.execute("CREATE TABLE kept (x int)")
    if at == "the commit":
        from torc_migrations.databases.postgresql.connection import PostgreSQLConnection

        commit = PostgreSQLConnection.commit

        def commit_and_lose(self: PostgreSQLConnection) -> None:
            commit(self)
            if database.ledgers().sqlx == (1, 2) and "connected again" not in caplog.text:
                database.execute(KILL_OTHERS)
                raise errors_of_loss()

        monkeypatch.setattr(PostgreSQLConnection, "commit", commit_and_lose)
        report = upgrade(database.url, source)
        assert report.applied == (1, 3)
    else:
        killer = threading.Thread(target=kill_in_sleep, args=[database])
        killer.start()
        report = upgrade(database.url, source)
        killer.join()
        assert report.applied == (1, 2, 3)

    assert "connected again" in caplog.text
    assert database.ledgers().agreed == (1, 2, 3)
    assert status(database.url, source).clean


def errors_of_loss() -> psycopg.Error:
    """Return what the driver raises where the answer to a COMMIT is lost."""
    return psycopg.OperationalError("consuming input failed: server closed the connection unexpectedly")


def test_a_script_outside_a_transaction_is_not_run_again_after_a_lost_connection(database, folder):
    """What it has done is known, and a person decides."""
    sql = "-- no-transaction\nCREATE TABLE a (x int);\nSELECT pg_sleep(60);\nCREATE TABLE b (x int);\n"
    source = folder({"1_slow": sql})
    killer = threading.Thread(target=kill_in_sleep, args=[database])
    killer.start()

    failure = failure_of(database, source)
    killer.join()

    assert isinstance(failure, errors.HalfDone)
    assert status(database.url, source).entries[0].half_done.done == 1
    assert set(database.tables()) == {"a"}


def test_a_run_without_advisory_locks_uses_nothing_that_other_systems_lack(database, folder, monkeypatch):
    """No lock, no LOCK TABLE, no system column; what another one has done is seen nevertheless."""
    from torc_migrations.databases.postgresql.connection import PostgreSQLConnection

    server = ServerOptions(statement_wise=True, advisory_lock=False)
    source, sent, run = folder(ladder(4)), [], PostgreSQLConnection.run
    upgrade(database.url, source, target=1, server=server)

    def run_and_note(self: PostgreSQLConnection, text: str, values: object = None) -> object:
        sent.append(text)
        return run(self, text, values)

    def let_another_one_run(outcome: object) -> None:
        if database.ledgers().sqlx == (1, 2):
            monkeypatch.setattr(PostgreSQLConnection, "run", run)
            assert upgrade(database.url, source, target=3).applied == (3,)
            monkeypatch.setattr(PostgreSQLConnection, "run", run_and_note)

    monkeypatch.setattr(PostgreSQLConnection, "run", run_and_note)
    report = Migrator(database.url, source, server=server).upgrade(observer=let_another_one_run)

    assert report.applied == (2, 4)
    assert [text for text in sent if any(word in text for word in ("advisory", "LOCK TABLE", "xmin", "ctid"))] == []
    assert database.ledgers().agreed == (1, 2, 3, 4)


def test_a_migration_takes_few_queries_and_leaves_no_error_in_the_log(database, folder):
    """A transaction of its own has eighteen queries at most; only before the first one yoyo's table is looked for."""
    source = folder(ladder(12))
    url = database.server.url(database.database, options="-clog_statement=all")
    upgrade(url, source, target=2, group=0)
    log = database.server.home / "log"
    before = len(log.read_bytes())

    upgrade(url, source, group=0)

    written = log.read_bytes()[before:].decode()
    assert written.count("ERROR:") <= 1
    assert written.count("LOG:  statement:") <= 18 * 10 + 20


def test_what_an_extension_makes_is_not_the_users(postgresql_database: PostgreSQLUnderTest, folder):
    """Its functions and tables come and go with it."""
    source = folder({"1_ext": "CREATE EXTENSION pgcrypto;", "1_ext.rollback": "SELECT 1;"})
    migrator = Migrator(postgresql_database.url, source)

    assert migrator.rehearse().schema.added == ("extension pgcrypto",)
    assert migrator.round_trip().findings[0] == "1: its down script leaves extension pgcrypto behind"
    assert len(migrator.round_trip().findings) == 2  # and it cannot be made again
