"""Read the URL of a server in the many ways in which drivers and tools write it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import NamedTuple

from torc_migrations.databases.urls import scheme_of
from torc_migrations.errors import UrlError
from torc_migrations.formatting import masked

# What to do where a server cannot be reached, and where it refuses the login.
UNREACHABLE = "start the server, or correct its place in the address"
WRONG_LOGIN = "correct the user or the password; in an address write %40 for @, %2F for / and %23 for #"


class ServerUrl(NamedTuple):
    """A URL in its parts, each of them decoded; an empty text is not given.

    Attributes:
        hosts: host names, addresses or directories of Unix sockets, each with a port or an empty text.
        parameters: the query. `host` and `port` in it are in `hosts`.
    """

    scheme: str
    hosts: tuple[tuple[str, str], ...] = ()
    user: str = ""
    password: str = ""
    database: str = ""
    parameters: Mapping[str, str] = {}
    name: str = ""  # the whole URL for messages, with the password masked


def parse_server_url(text: str, *, known: Collection[str] | None = None, ignored: Collection[str] = ()) -> ServerUrl:
    """Read `scheme://user:password@host:port,host:port/database?name=value`, of which all but the scheme may be absent.

    Hosts may stand in the query instead, as `?host=/run/postgresql&port=5433`, as `?host=a,b`, and several times.

    Args:
        known: the parameters that the driver takes; None for any.
        ignored: parameters of other drivers that mean nothing here; they are left out.

    Raises:
        UrlError: it cannot be read, or has an unknown parameter.
    """
    from urllib.parse import parse_qsl, unquote

    name = masked(text)
    scheme = scheme_of(text) or ""
    rest = text.partition(":")[2].removeprefix("//").partition("#")[0]
    rest, _, query = rest.partition("?")
    place, _, database = rest.partition("/")
    login, _, hosts = place.rpartition("@")
    user, _, password = login.partition(":")
    parameters: dict[str, str] = {}
    for key, value in parse_qsl(query, keep_blank_values=True):
        parameters[key] = f"{parameters[key]},{value}" if key in ("host", "port") and key in parameters else value
    found = [_host(each, name) for each in hosts.split(",")] if hosts else []
    found = _hosts_in_query(parameters.pop("host", ""), parameters.pop("port", ""), found, name) or found
    for key in ignored:
        parameters.pop(key, None)
    for key in parameters:
        if known is not None and key not in known:
            raise UrlError(name, f"unknown parameter {masked(key)!r} in {name!r}", hint=f"there is {_listed(known)}")
    user = unquote(user) or parameters.pop("user", "")
    password = unquote(password) or parameters.pop("password", "")
    database = unquote(database) or parameters.pop("dbname", "")
    if "\0" in user + password + database:
        raise UrlError(name, f"{name!r} holds a NUL")
    return ServerUrl(scheme, tuple(found), user, password, database, parameters, name)


def _hosts_in_query(hosts: str, ports: str, found: list[tuple[str, str]], name: str) -> list[tuple[str, str]]:
    """Return the hosts of `?host=`, which count instead of others, with the ports of `?port=`."""
    numbers = [_port(port, name) for port in ports.split(",")] if ports else []
    if not hosts:
        named = found or [("", "")] if numbers else []
    else:
        named = [(each, "") if each.startswith("/") else _host(each, name) for each in hosts.split(",")]
    return [
        (host, port or (numbers[min(i, len(numbers) - 1)] if numbers else "")) for i, (host, port) in enumerate(named)
    ]


def _host(text: str, name: str) -> tuple[str, str]:
    """Return a host and its port; an address of IPv6 stands in brackets."""
    from urllib.parse import unquote

    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        if not bracket or (rest and not rest.startswith(":")):
            raise UrlError(name, f"{name!r} has an address without its closing bracket")
        return host, _port(rest[1:], name)
    host, _, port = text.partition(":")
    return unquote(host), _port(port, name)


def _port(text: str, name: str) -> str:
    if text and not (text.isascii() and text.isdecimal() and 0 < int(text) < 65536):
        raise UrlError(
            name,
            f"{name!r} has a port that is no number from 1 to 65535",
            hint="write HOST:PORT; in a password write %23 for #, %2F for / and %3F for ?",
        )
    return text


def _listed(names: Collection[str]) -> str:
    *others, last = sorted(names)
    return f"{', '.join(others)} and {last}" if others else last
