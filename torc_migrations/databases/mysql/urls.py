"""Read the URL of a MariaDB or MySQL database: how to connect, as sqlx, yoyo, SQLAlchemy and PyMySQL write it."""

from __future__ import annotations

from typing import Any, NamedTuple

from torc_migrations.databases.servers.urls import ServerUrl, parse_server_url
from torc_migrations.errors import UrlError

_PORT = 3306
_MODES = ("disabled", "preferred", "required", "verify_ca", "verify_identity")
# The names of one parameter, by ours; a hyphen and an underscore are the same. sqlx, yoyo, SQLAlchemy and PyMySQL.
_NAMES = {
    "unix_socket": ("unix_socket", "socket"),
    "ssl_ca": ("ssl_ca", "sslca"),
    "ssl_cert": ("ssl_cert", "sslcert"),
    "ssl_key": ("ssl_key", "sslkey"),
    "ssl_mode": ("ssl_mode", "sslmode"),
    "connect_timeout": ("connect_timeout",),
    "bind_address": ("bind_address",),
}
_OUR_NAMES = {name: ours for ours, names in _NAMES.items() for name in names}
# What changes nothing here: texts are always UTF-8, and how a driver caches or returns rows is its own affair.
_IGNORED = ("charset", "use_unicode", "collation", "statement_cache_capacity", "ssl", "autocommit", "local_infile")


class MySqlAddress(NamedTuple):
    """Where a database is, and how to connect to it.

    Attributes:
        name: the URL for messages, without its password.
        database: the name of the database.
        arguments: what `pymysql.connect` is called with.
    """

    name: str
    database: str
    arguments: dict[str, Any]


def parse_mysql_url(text: str) -> MySqlAddress:
    """Read a URL such as `mysql://user:password@host:3306/database?ssl-mode=required`.

    Raises:
        UrlError: it names no database or several hosts, has an unknown parameter, or a wrong value.
    """
    url = parse_server_url(text)
    if not url.database:
        raise UrlError(url.name, f"{url.name!r} names no database", hint="write mysql://USER@HOST/DATABASE")
    if len(url.hosts) > 1:
        raise UrlError(
            url.name,
            f"{url.name!r} names several hosts, and PyMySQL connects to one",
            hint="name one node, or the address of a proxy",
        )
    parameters = _parameters(url)
    mode = parameters.pop("ssl_mode", "").lower().replace("-", "_")
    arguments: dict[str, Any] = {"database": url.database, **_login(url), **_place(url, parameters)}
    arguments |= _encryption(url, mode, parameters)
    if "connect_timeout" in parameters:
        arguments["connect_timeout"] = _seconds(url, parameters["connect_timeout"])
    if "bind_address" in parameters:
        arguments["bind_address"] = parameters["bind_address"]
    return MySqlAddress(url.name, url.database, arguments)


def _parameters(url: ServerUrl) -> dict[str, str]:
    found = {}
    for name, value in url.parameters.items():
        plain = name.replace("-", "_").lower()
        if plain in _OUR_NAMES:
            found[_OUR_NAMES[plain]] = value
        elif plain not in _IGNORED:
            names = ", ".join(sorted(_NAMES))
            raise UrlError(url.name, f"unknown parameter {name!r} in {url.name!r}", hint=f"there is {names}")
    return found


def _login(url: ServerUrl) -> dict[str, str]:
    login = {"user": url.user, "password": url.password}
    return {name: value for name, value in login.items() if value}


def _place(url: ServerUrl, parameters: dict[str, str]) -> dict[str, Any]:
    """Return the socket, or the host and the port."""
    host, port = url.hosts[0] if url.hosts else ("", "")
    socket = parameters.get("unix_socket") or (host if host.startswith("/") else "")
    if socket:
        return {"unix_socket": socket}
    return {"host": host or "localhost", "port": int(port or _PORT)}


def _encryption(url: ServerUrl, mode: str, parameters: dict[str, str]) -> dict[str, Any]:
    """Return what says how the connection is encrypted, in the words of MySQL's own client: `--ssl-mode`."""
    if mode and mode not in _MODES:
        raise UrlError(url.name, f"unknown ssl-mode in {url.name!r}", hint=f"there is {', '.join(_MODES)}")
    if mode == "disabled":
        return {"ssl_disabled": True}
    files: dict[str, Any] = {name: parameters[name] for name in ("ssl_ca", "ssl_cert", "ssl_key") if name in parameters}
    if mode == "verify_identity":
        return {**files, "ssl_verify_cert": True, "ssl_verify_identity": True}
    if mode == "verify_ca" or (files.get("ssl_ca") and not mode):
        return {**files, "ssl_verify_cert": True}
    if mode == "required":
        return files or {"ssl": {"check_hostname": False}}
    return files


def _seconds(url: ServerUrl, value: str) -> int:
    if not (value.isascii() and value.isdecimal() and int(value)):
        raise UrlError(url.name, f"connect_timeout in {url.name!r} is no number of seconds")
    return int(value)
