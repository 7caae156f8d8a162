"""Databases for tests on a server: on PostgreSQL copies of a template, on MariaDB and MySQL each one upgraded."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import count
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from torc_migrations.databases.opening import open_database
from torc_migrations.databases.urls import kind_of, scheme_of
from torc_migrations.errors import UrlError
from torc_migrations.formatting import masked
from torc_migrations.migrator import Migrator
from torc_migrations.options import check_version
from torc_migrations.plugins.templates import digest_of

if TYPE_CHECKING:
    from torc_migrations.databases.interface import Database
    from torc_migrations.history.steps import Report
    from torc_migrations.sources.source import SourceLike

_TEMPLATE, _TEST = "torc_template_", "torc_test_"
_LONGEST_WAIT = 300.0  # seconds; for the server
_UNUSED = 7 * 86400  # seconds, after which a template that nobody uses, or a test's database, is removed

# One number for all: it is held while a template is made, and ends with its session.
LOCK = "SELECT pg_advisory_lock(6075110437021950307)"
SELECT_DATABASES = """
    SELECT datname, coalesce(shobj_description(oid, 'pg_database'), '')
    FROM pg_database
    WHERE starts_with(datname, 'torc_te')
"""
SELECT_SCHEMAS = """
    SELECT schema_name, ''
    FROM information_schema.schemata
    WHERE schema_name LIKE 'torc\\_test\\_%'
"""


class ServerTemplates:
    """Migrated databases on one server, for tests.

    On PostgreSQL a template is a database whose name is a digest of all scripts and the options. It is made under an
    advisory lock, which ends with its session, and gets its name when it is complete. So a process that is killed
    leaves nothing that others wait for or use. MariaDB and MySQL cannot copy a database; each one is upgraded.

    Args:
        server: the URL of a database of the server that exists, of a user who may create databases.
        source, options: as for `Templates`.
    """

    def __init__(self, server: str, source: SourceLike, options: Mapping[str, Any]) -> None:
        self._server = server
        self._source = source
        self._options = dict(options)
        scheme = scheme_of(server)
        kind = kind_of(scheme) if scheme else None
        if kind not in ("postgresql", "mysql"):
            raise UrlError(masked(server), f"{masked(server)!r} is not the URL of a server")
        self._copies = kind == "postgresql"
        self._made: dict[int | None, str] = {}
        self._numbers = count()
        self._token = f"{int(time.time())}_{os.getpid()}_{secrets.token_hex(3)}"

    def migrator(self, database: str) -> Migrator:
        """Return a migrator of the same source with the same options, for another database."""
        return Migrator(database, self._source, **self._options)

    def create(self, version: int | None = None) -> str:
        """Create a database at a version, or at the newest one, and return its URL.

        Raises:
            MigrationError: as for `Migrator.upgrade`.
        """
        check_version("version", version, optional=True)
        name = f"{_TEST}{self._token}_{next(self._numbers)}"
        if self._copies:
            template = self._template(version)
            with self._administration() as server:
                server.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
            return self._url(name)
        with self._administration() as server:
            if name.endswith("_0"):
                self._remove_old(server, server.execute(SELECT_SCHEMAS).fetchall())
            server.execute(f"CREATE DATABASE {name}")
        self.migrator(self._url(name)).upgrade(version)
        return self._url(name)

    def remove(self, url: str) -> None:
        """Remove a database that `create` has returned, also where a test has left a connection to it open."""
        with self._administration() as server:
            self._drop(server, urlsplit(url).path.removeprefix("/"))

    def _template(self, version: int | None) -> str:
        if version not in self._made:
            with self._administration() as server:
                server.execute(LOCK)
                self._made[version] = self._find_or_make(server, version)
        return self._made[version]

    def _find_or_make(self, server: Database, version: int | None) -> str:
        name = f"{_TEMPLATE}{digest_of('postgresql', self._source, self._options, version)}"
        databases = server.execute(SELECT_DATABASES).fetchall()
        if name not in dict(databases):
            unfinished = f"{name}_unfinished"
            self._drop(server, unfinished)  # of a process that was killed
            server.execute(f"CREATE DATABASE {unfinished} TEMPLATE template0")
            try:
                self.migrator(self._url(unfinished)).upgrade(version)
                # Nobody may connect, because a database with a connection cannot be copied.
                server.execute(f"ALTER DATABASE {unfinished} ALLOW_CONNECTIONS false")
                server.execute(f"ALTER DATABASE {unfinished} RENAME TO {name}")
            finally:
                self._drop(server, unfinished)
            self._remove_old(server, [row for row in databases if row[0] != unfinished])
        server.execute(f"COMMENT ON DATABASE {name} IS '{int(time.time())}'")
        return name

    def _remove_old(self, server: Database, databases: list[tuple[str, str]]) -> None:
        """Remove the templates that nobody has used for long, and what tests have left."""
        for name, comment in databases:
            used = name.removeprefix(_TEST).partition("_")[0] if name.startswith(_TEST) else comment
            if used.isdecimal() and int(used) < time.time() - _UNUSED:
                self._drop(server, name)

    def _drop(self, server: Database, name: str) -> None:
        server.execute(f"DROP DATABASE IF EXISTS {name}{' WITH (FORCE)' if self._copies else ''}")

    @contextmanager
    def _administration(self) -> Iterator[Database]:
        with open_database(self._server, lock_timeout=_LONGEST_WAIT) as server:
            yield server

    def _url(self, name: str) -> str:
        """Return the URL of another database of the server."""
        parts = urlsplit(self._server)
        return f"{parts.scheme}://{parts.netloc}/{name}{'?' if parts.query else ''}{parts.query}"


class MigratedUrlAt:
    """A database of one test on a server at a version, which the test fills and then upgrades.

    Attributes:
        url: its address.
    """

    def __init__(self, url: str, migrator: Migrator) -> None:
        self.url = url
        self._migrator = migrator

    def upgrade(self, target: int | None = None) -> Report:
        """Upgrade to `target` or to the newest version.

        Raises:
            MigrationError: as for `Migrator.upgrade`.
        """
        return self._migrator.upgrade(target)

    def rollback(self, target: int | None = None) -> Report:
        """Roll back as `Migrator.rollback` does.

        Raises:
            MigrationError: as for `Migrator.rollback`.
        """
        return self._migrator.rollback(target)

    def close(self) -> None:
        """Do nothing: no connection is open."""
