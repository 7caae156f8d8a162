"""A wrong address, a missing right, a lost server: a sentence without a password, and a hint that says what to do."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from database_under_test import ladder
from mariadb_server import MariaDbUnderTest
from servers import PostgreSQLUnderTest

from torc_migrations import Migrator, errors, upgrade, wait
from torc_migrations.formatting import masked

UNREACHABLE = "start the server, or correct its place in the address"
LOGIN = "correct the user or the password"


def failure_of(url: str, source: str) -> errors.MigrationError:
    """Return the error with which an upgrade ends."""
    with pytest.raises(errors.MigrationError) as failure:
        upgrade(url, source)
    assert "hunter2" not in str(failure.value)
    return failure.value


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://ann:hunter2@127.0.0.1:1/app",
        "postgresql://ann:hunter2@no-such-host.invalid/app",
        "postgresql://ann:hunter2@/app?host=/nowhere",
        "mysql://ann:hunter2@127.0.0.1:1/app",
        "mysql://ann:hunter2@no-such-host.invalid/app",
    ],
)
def test_a_server_that_cannot_be_reached_has_a_hint(url, folder):
    """The name of the server is in the sentence, and the hint says what to correct."""
    failure = failure_of(url, folder(ladder(1)))

    assert str(failure).startswith(f"cannot connect to {masked(url)}: ")
    assert UNREACHABLE in (failure.hint or "")


def test_a_wait_for_a_server_that_does_not_start_says_so(folder):
    """No other process has to upgrade what cannot be reached."""
    with pytest.raises(errors.WaitTimeout, match="Connection refused") as failure:
        wait("postgresql://ann@127.0.0.1:1/app", folder(ladder(1)), timeout=0)

    assert failure.value.hint == failure.value.command_hint == UNREACHABLE


def test_a_database_that_is_missing_has_a_hint(postgresql_database: PostgreSQLUnderTest, folder):
    """The hint is the statement that creates it."""
    url = postgresql_database.server.url("none_of_these")

    assert failure_of(url, folder(ladder(1))).hint == 'create it first: CREATE DATABASE "none_of_these"'


def test_an_unknown_role_has_a_hint(postgresql_database: PostgreSQLUnderTest, folder):
    """The login is what has to be corrected."""
    url = postgresql_database.url.replace("//postgres@", "//nobody_here:hunter2@")

    assert LOGIN in (failure_of(url, folder(ladder(1))).hint or "")


def test_a_wrong_password_on_mariadb_keeps_the_words_of_the_server(mariadb: MariaDbUnderTest, folder):
    """Only the password is masked: the server says who was refused."""
    name = f"ann_{mariadb.name}"[:32]
    mariadb.execute(f"CREATE USER {name}@localhost IDENTIFIED BY 'other'")
    url = mariadb.url.replace("//root@", f"//{name}:{quote('hunter2')}@")

    failure = failure_of(url, folder(ladder(1)))

    assert f"Access denied for user '{name}'@'localhost' (using password: YES)" in str(failure)
    assert LOGIN in (failure.hint or "")


def test_a_user_of_mariadb_without_rights_is_told_what_is_missing(mariadb: MariaDbUnderTest, folder, caplog):
    """The words of the server stay, and nothing is dropped that was not created."""
    name = f"bob_{mariadb.name}"[:32]
    mariadb.execute(f"CREATE USER {name}@localhost IDENTIFIED BY 'hunter2'")
    mariadb.execute(f"GRANT SELECT ON {mariadb.name}.* TO {name}@localhost")
    url, source = mariadb.url.replace("//root@", f"//{name}:hunter2@"), folder(ladder(1))

    failure = failure_of(url, source)
    with pytest.raises(errors.NotSupported, match="may not create a scratch database"):
        Migrator(url, source).rehearse()

    assert f"denied to user '{name}'@'localhost' for table" in str(failure)
    assert failure.hint == "grant the right to this user, or use another one"
    assert "DROP DATABASE" not in caplog.text


def test_a_rehearsal_that_loses_its_server_does_not_wait_for_another_one(
    postgresql_database: PostgreSQLUnderTest, folder, caplog
):
    """Its copy may be lost too, so it fails at once."""
    source = folder({"1_end": "SELECT pg_terminate_backend(pg_backend_pid());"})

    with pytest.raises(errors.MigrationError):
        Migrator(postgresql_database.url, source).rehearse()

    assert "connected again" not in caplog.text


def test_a_schema_that_cannot_be_copied_is_an_error_of_this_package(mariadb: MariaDbUnderTest, folder):
    """What the server says while a copy is made for a rehearsal names the right that is missing."""
    name, source = f"eve_{mariadb.name}"[:32], folder(ladder(2))
    upgrade(mariadb.url, source, target=1)
    mariadb.execute(f"CREATE USER {name}@localhost", "CREATE VIEW v AS SELECT 1 AS x")
    mariadb.execute(f"GRANT SELECT ON {mariadb.name}.* TO {name}@localhost")
    mariadb.execute(f"GRANT ALL ON `torc\\_scratch\\_%`.* TO {name}@localhost")

    with pytest.raises(errors.CannotOpen, match="SHOW VIEW command denied"):
        Migrator(mariadb.url.replace("//root@", f"//{name}@"), source).rehearse()


def test_a_script_that_releases_the_lock_of_mariadb_ends_the_run(mariadb: MariaDbUnderTest, folder):
    """What follows would run beside another process."""
    source = folder({"1_release": "CREATE TABLE a (x INT);\nDO RELEASE_ALL_LOCKS();", "2_b": "SELECT 1;"})

    with pytest.raises(errors.DatabaseFailed, match="holds the migration lock no longer"):
        upgrade(mariadb.url, source)
