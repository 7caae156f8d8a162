"""Read the many spellings of a database's address."""

# Without `from __future__ import annotations`: typing would compile each annotation of a NamedTuple, at every start.

import os
from typing import NamedTuple

from torc_migrations.errors import NotSupported, UrlError
from torc_migrations.formatting import masked

# The kind of database that a scheme names. Behind a plus is a driver, as SQLAlchemy and yoyo write it; which driver is
# used is up to this package. Before a plus is `torc`, for yoyo's command.
_KINDS = {
    "sqlite": "sqlite",
    "postgresql": "postgresql",
    "postgres": "postgresql",
    "mysql": "mysql",
    "mariadb": "mysql",
}
_DRIVERS = {
    "sqlite": ("", "pysqlite", "aiosqlite"),
    "postgresql": ("", "psycopg", "psycopg_async", "psycopg2", "psycopg2cffi", "asyncpg", "pg8000"),
    "mysql": ("", "pymysql", "mysqldb", "mysqlconnector", "mariadbconnector", "aiomysql", "asyncmy", "cymysql"),
}

_MODES = ("ro", "rw", "rwc", "memory")
_SQLX_CACHES = ("cache=private", "cache=shared")  # each operation has its own connection, and shares nothing


class Address(NamedTuple):
    """Where a SQLite database is: its file (None: in memory) and how it may be opened.

    `mode` is that of https://sqlite.org/uri.html: `ro`, `rw` (the file has to exist) or `rwc`.
    """

    path: str | None
    mode: str = "rwc"

    @property
    def name(self) -> str:
        """The database's name in messages, with any password masked."""
        return masked(self.path) if self.path else ":memory:"


def parse_url(text: str) -> Address:
    """Read a SQLite URL or a bare path.

    `sqlite:rel.db`, `sqlite://rel.db` and `sqlite:///rel.db` are relative, as yoyo and SQLAlchemy have the last;
    `sqlite:/abs.db` and `sqlite:////abs.db` are absolute; `sqlite::memory:` and `:memory:` are in memory. In a URL
    `%xx` is decoded and `?mode=ro|rw|rwc|memory` is honoured; `?cache=` changes nothing. A bare path is taken as it is.

    Raises:
        UrlError: an unknown scheme or parameter, a database that we do not support, or a spelling that is a trap.
    """
    if not text.strip():
        raise UrlError(text, "the database's address is empty", hint="use sqlite:///path/to/file.db")
    if text[0] == text[-1] and text[0] in "\"'" and text[1:]:
        raise UrlError(masked(text), "the database's address is in quotation marks", hint="remove them")
    if "\0" in text:
        raise UrlError(masked(text), "a path cannot hold a NUL")
    name = scheme_of(text)
    if name is None:
        _refuse_missing_colon(text)
        return Address(None if text == ":memory:" else text)
    kind = kind_of(name)
    if kind not in (None, "sqlite"):
        raise NotSupported(masked(text), "this works with SQLite only")
    if kind is None:
        raise UrlError(
            masked(text),
            f"unknown scheme {name!r} in {masked(text)!r}",
            hint=_known_scheme(name),
        )
    return _sqlite_address(text, text.partition(":")[2])


def _refuse_missing_colon(text: str) -> None:
    """Refuse `postgresql//user:password@host/name`, which would be a path that shows the password."""
    name, slashes, rest = text.partition("//")
    if slashes and "@" in rest and kind_of(name.lower()) is not None:
        corrected = masked(f"{name}://{rest}")
        raise UrlError(corrected, f"there is no colon after {name!r} in the address", hint=f"write {corrected}")


def _known_scheme(word: str) -> str:
    """Return what to write instead of an unknown scheme."""
    from difflib import get_close_matches  # only for an error

    similar = get_close_matches(word, _KINDS, n=1)
    if similar:
        return f"did you mean {similar[0]}://?"
    return "use sqlite:///FILE, postgresql://HOST/NAME or mysql://HOST/NAME; or ./ before a file with a colon"


def kind_of(scheme: str) -> str | None:
    """Return the kind of database that a scheme names, `sqlite`, `postgresql` or `mysql`, or None."""
    name, _, driver = scheme.removeprefix("torc+").partition("+")
    kind = _KINDS.get(name)
    return kind if kind and driver in _DRIVERS[kind] else None


def scheme_of(text: str) -> str | None:
    """Return the scheme of a URL in lower case, or None for a path, which may have a colon too."""
    scheme, colon, _ = text.partition(":")
    return scheme.lower() if colon and _is_scheme(scheme) else None


def _is_scheme(name: str) -> bool:
    """Return whether this is a scheme and not a path that has a colon in it; one letter is a drive of Windows."""
    letters = name.translate({ord(sign): None for sign in "+.-"})
    return len(name) > 1 and name[0].isalpha() and letters.isalnum() and letters.isascii()


def _sqlite_address(url: str, rest: str) -> Address:
    location, _, query = rest.partition("?")
    _refuse_login(url, location)
    mode = _mode(url, query)
    path = _decoded(_path(location))
    if path == ":memory:" or mode == "memory":
        return Address(None)
    if not path:
        raise UrlError(masked(url), f"{masked(url)!r} names no file", hint="use sqlite:///path/to/file.db")
    if "\0" in path:
        raise UrlError(masked(url), "a path cannot hold a NUL")
    if location.startswith("///"):
        _refuse_absolute_by_mistake(url, path)
    return Address(path, mode)


def _refuse_login(url: str, location: str) -> None:
    """Refuse a user with a password before a host, as the URL of a server has it."""
    user, colon, rest = location.removeprefix("//").partition(":")
    if location.startswith("//") and "/" not in user and colon and "@" in rest:
        raise UrlError(
            masked(url),
            f"{masked(url)!r} names a user and a host, and an SQLite database is a file",
            hint="use sqlite:///path/to/file.db",
        )


def _path(location: str) -> str:
    if location.startswith("///"):
        return location[3:]
    return location.removeprefix("//")


def _refuse_absolute_by_mistake(url: str, path: str) -> None:
    """Refuse three slashes where sqlx's reading of them, an absolute path, is the only one that finds a file."""
    if not os.path.exists(path) and os.path.exists(f"/{path}"):
        raise UrlError(
            masked(url),
            f"{masked(url)!r} means the relative path {path!r}, which does not exist, but {'/' + path!r} does",
            hint=f"use sqlite:////{path} for the absolute path, or sqlite:./{path} to create the relative one",
        )


def _mode(url: str, query: str) -> str:
    mode = "rwc"
    for parameter in filter(None, query.split("&")):
        if parameter in _SQLX_CACHES:
            continue
        name, _, value = parameter.partition("=")
        if name != "mode" or value not in _MODES:
            raise UrlError(
                masked(url),
                f"unknown parameter {masked('?' + parameter)[1:]!r} in {masked(url)!r}",
                hint="there is ?mode=ro, rw, rwc and memory",
            )
        mode = value
    return mode


def _decoded(path: str) -> str:
    if "%" not in path:
        return path
    from urllib.parse import unquote  # costs as much as reading 200 migrations, and is seldom wanted

    return unquote(path, errors="surrogateescape")
