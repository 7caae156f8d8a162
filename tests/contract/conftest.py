"""A database of each kind that is installed here; a skipped test says how to install the others."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from database_under_test import DatabaseUnderTest, SQLiteUnderTest
from kinds import Kind
from mariadb_server import MariaDbUnderTest
from servers import PostgreSQLUnderTest, Server, pgbouncer

from torc_migrations.databases.mysql.locks import lock_name
from torc_migrations.databases.postgresql.locks import sqlx_key


@contextmanager
def _write_locked(database: SQLiteUnderTest) -> Iterator[None]:
    connection = database.connect()
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        connection.close()


@contextmanager
def _advisory_locked(database: PostgreSQLUnderTest) -> Iterator[None]:
    with database.connect() as connection:
        connection.execute("SELECT pg_advisory_lock(%s)", [sqlx_key(database.database)])
        yield


@contextmanager
def _named_locked(database: MariaDbUnderTest) -> Iterator[None]:
    with closing(database.connect()) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT GET_LOCK(%s, 0)", [lock_name(database.name)])
        yield


SQLITE = Kind(
    "sqlite",
    is_transactional=True,
    connect=lambda database: database.connect(),
    hold_lock=_write_locked,
    outside="-- no-transaction\nVACUUM;\nCREATE INDEX i ON t1 (x);\nVACUUM;\n",
    outside_rollback="-- no-transaction\nDROP INDEX i;\nVACUUM;\n",
    bad_statement=("INSERT INTO nowhere VALUES (1)", "no such table: nowhere"),
)
POSTGRESQL = Kind(
    "postgresql",
    is_transactional=True,
    connect=lambda database: database.connect(),
    hold_lock=_advisory_locked,
    outside="-- no-transaction\nVACUUM;\nCREATE INDEX CONCURRENTLY i ON t1 (x);\nVACUUM;\n",
    outside_rollback="-- no-transaction\nDROP INDEX CONCURRENTLY i;\nVACUUM;\n",
    bad_statement=("INSERT INTO nowhere VALUES (1)", 'relation "nowhere" does not exist'),
)
MARIADB = Kind(
    "mariadb",
    is_transactional=False,
    connect=lambda database: database.connect_executing(),
    hold_lock=_named_locked,
    outside="-- no-transaction\nANALYZE TABLE t1;\nCREATE INDEX i ON t1 (x);\nANALYZE TABLE t1;\n",
    outside_rollback="-- no-transaction\nDROP INDEX i ON t1;\nANALYZE TABLE t1;\n",
    bad_statement=("INSERT INTO nowhere VALUES (1)", "Table '{database}.nowhere' doesn't exist"),
    quote="`",
)
PGBOUNCER = replace(POSTGRESQL, name="pgbouncer")
KINDS = {kind.name: kind for kind in (SQLITE, POSTGRESQL, PGBOUNCER, MARIADB)}


class PooledUnderTest(PostgreSQLUnderTest):
    """A database of a PostgreSQL server that our functions reach through a pooler, in transaction mode."""

    def __init__(self, server: Server, name: str, pooler: Path) -> None:
        super().__init__(server, name)
        self.pooler = pooler

    @property
    def direct_url(self) -> str:
        """The address without the pooler."""
        return super().url

    @property
    def url(self) -> str:
        """The address that our functions take."""
        return f"postgresql://postgres@/{self.database}?host={self.pooler}&port=6543"


@pytest.fixture(scope="session")
def pooler(postgresql_server: Server) -> Iterator[Path]:
    """The directory of the socket of a pooler."""
    if shutil.which("pgbouncer") is None:
        pytest.skip("there is no pgbouncer: apt-get install pgbouncer")
    with pgbouncer(postgresql_server) as home:
        yield home


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> Kind:
    """A kind of database."""
    return KINDS[request.param]


@pytest.fixture
def database(kind: Kind, request: pytest.FixtureRequest, tmp_path: Path) -> DatabaseUnderTest:
    """A database of that kind with nothing in it."""
    if kind is SQLITE:
        return SQLiteUnderTest(tmp_path / "app.db")
    if kind is MARIADB:
        return request.getfixturevalue("mariadb")
    server: Server = request.getfixturevalue("postgresql_server")
    if kind is PGBOUNCER:
        return PooledUnderTest(server, server.create_database(), request.getfixturevalue("pooler"))
    return PostgreSQLUnderTest(server, server.create_database())
