"""Connect to a PostgreSQL server: what a URL means to psycopg, and what a failure means to the user."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

from torc_migrations.databases.servers.urls import UNREACHABLE, WRONG_LOGIN, ServerUrl, parse_server_url
from torc_migrations.errors import CannotOpen, DatabaseFailed, LockTimeout, MigrationError, UrlError
from torc_migrations.formatting import masked

if TYPE_CHECKING:
    import psycopg

_APPLICATION = "torc-migrations"
# What other drivers call the parameters of libpq, and what they have besides. Of sqlx:
# https://docs.rs/sqlx/latest/sqlx/postgres/struct.PgConnectOptions.html
_OTHER_NAMES = {
    "ssl-mode": "sslmode",
    "ssl": "sslmode",
    "ssl-root-cert": "sslrootcert",
    "ssl-ca": "sslrootcert",
    "ssl-cert": "sslcert",
    "ssl-key": "sslkey",
    "hostaddr": "hostaddr",
    "timeout": "connect_timeout",
}
_OF_OTHER_DRIVERS = (
    *("statement-cache-capacity", "statement_cache_size", "prepared_statement_cache_size", "prepare_threshold"),
    *("async_fallback", "autocommit", "server_settings", "command_timeout"),
)
# A connection that fails has no code, only words: https://github.com/psycopg/psycopg/issues/411
_MISSING_DATABASE = re.compile(r'database ("[^"]+") does not exist')
_LOGIN_FAILED = ("authentication failed", "no password supplied", "no pg_hba.conf entry", 'role "')
_NOT_REACHED = ("refused", "No such file or directory", "resolve host", "translate host", "timed out", "timeout")
_SSL = {"true": "require", "false": "disable", "1": "require", "0": "disable"}


class Address(NamedTuple):
    """Where a database is: what libpq is given, the schema that a URL names, and the name for messages."""

    parameters: dict[str, str]
    schema: str
    name: str


def parse_address(text: str) -> Address:
    """Read the URL of a PostgreSQL database; `?schema=` is yoyo's, `?options[NAME]=VALUE` is sqlx's.

    With several hosts the one is taken that may be written to, unless the URL says otherwise.

    Raises:
        UrlError: it cannot be read, or has an unknown parameter.
    """
    from psycopg import ProgrammingError, conninfo

    url = parse_server_url(text, ignored=_OF_OTHER_DRIVERS)
    schema, options = "", []
    parameters = _login(url)
    for key, value in url.parameters.items():
        if key == "schema":
            schema = value
        elif key == "options":
            options.append(value)
        elif key.startswith("options[") and key.endswith("]"):
            written = value.replace("\\", "\\\\").replace(" ", "\\ ")
            options.append(f"-c {key[len('options[') : -1]}={written}")
        elif key == "ssl":
            parameters["sslmode"] = _SSL.get(value.lower(), value)
        else:
            parameters[_OTHER_NAMES.get(key, key)] = value
    if options:
        parameters["options"] = " ".join(options)
    if len(url.hosts) > 1:
        parameters.setdefault("target_session_attrs", "read-write")
    try:
        conninfo.make_conninfo(**parameters)
    except ProgrammingError as error:
        raise UrlError(url.name, f"cannot read {url.name!r}: {_first_line(error)}") from error
    return Address(parameters, schema, url.name)


def _login(url: ServerUrl) -> dict[str, str]:
    found = {"user": url.user, "password": url.password, "dbname": url.database}
    if url.hosts:
        found["host"] = ",".join(host for host, _ in url.hosts)
        if any(port for _, port in url.hosts):
            found["port"] = ",".join(port for _, port in url.hosts)
    return {key: value for key, value in found.items() if value}


def connect(address: Address) -> psycopg.Connection[tuple[object, ...]]:
    """Open a connection that begins no transaction by itself and prepares no statements.

    Raises:
        CannotOpen: the server cannot be reached, or refuses the login.
    """
    import psycopg

    parameters = {"fallback_application_name": _APPLICATION, **address.parameters, "client_encoding": "utf8"}
    try:
        return psycopg.connect(psycopg.conninfo.make_conninfo(**parameters), autocommit=True, prepare_threshold=None)
    except psycopg.Error as error:
        reason = masked(" ".join(str(error).split())).removeprefix("connection failed: ")
        hint = None if isinstance(error, psycopg.ProgrammingError) else _hint(reason)  # the value of a parameter
        raise CannotOpen(address.name, f"cannot connect to {address.name}: {reason}", hint=hint) from error


def _hint(reason: str) -> str | None:
    if "read-only" in reason or "not accept" in reason or "in recovery" in reason:
        return "no host that is named may be written to; ?target_session_attrs=any reads from a standby"
    if missing := _MISSING_DATABASE.search(reason):
        return f"create it first: CREATE DATABASE {missing[1]}"
    if any(words in reason for words in _LOGIN_FAILED):
        return WRONG_LOGIN
    return UNREACHABLE if any(words in reason for words in _NOT_REACHED) else None


def name_of(connection: psycopg.Connection[tuple[object, ...]]) -> str:
    """Return the name of a lent connection for messages."""
    info = connection.info
    host = info.host or "localhost"
    place = "" if host.startswith("/") else f"{host}:{info.port}"
    return f"postgresql://{place}/{info.dbname}"


def translate(error: psycopg.Error, name: str, holder: str = "another session") -> MigrationError:
    """Return the error of this package for an error of the driver that did not come from a script."""
    import psycopg

    reason = masked(_first_line(error))
    if isinstance(error, (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected)):
        return LockTimeout(name, holder, 0)
    if isinstance(error, psycopg.errors.InsufficientPrivilege):
        return CannotOpen(name, f"{name}: {reason}", hint="grant the right to this role, or use another one")
    if isinstance(error, psycopg.errors.ReadOnlySqlTransaction):
        return read_only(name)
    if isinstance(error, psycopg.errors.InvalidParameterValue):  # of `?schema=`, or of an option
        return CannotOpen(name, f"{name}: {reason}")
    failure = DatabaseFailed(name, reason)
    if is_lost(error):
        failure.is_lost = True
    return failure


def is_lost(error: psycopg.Error) -> bool:
    """Return whether an error means that the connection is gone: the server was stopped, or the network failed."""
    import psycopg

    state = error.sqlstate or ""
    lost = isinstance(error, psycopg.OperationalError) and (not state or state.startswith("08"))
    return lost or state in ("57P01", "57P02", "57P03", "57P05")


def read_only(name: str) -> CannotOpen:
    """Return the error for a server that cannot be written to."""
    return CannotOpen(
        name,
        f"{name} is read-only: it is a standby, or default_transaction_read_only is on",
        hint="name the primary, or all hosts, of which the one is taken that may be written to",
    )


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else repr(error)


def is_broken(connection: psycopg.Connection[Any]) -> bool:
    """Return whether a connection is of no more use; one that the server has ended is found out by asking it."""
    import psycopg

    if connection.closed:
        return True
    try:
        connection.execute("SELECT 1")
    except psycopg.OperationalError:
        return True
    except psycopg.Error:
        return False
    return False
