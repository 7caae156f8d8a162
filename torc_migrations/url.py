"""Read the many spellings of a database's address."""

from __future__ import annotations

import os

from torc_migrations.errors import UrlError
from torc_migrations.values import NamedTuple

SQLITE_SCHEMES = ("sqlite", "torc+sqlite")
SERVER_SCHEMES = ("postgresql", "postgres", "postgresql+psycopg", "mysql", "mariadb")

# To the last `@` there is: a password may hold any sign, and rather too much is hidden than too little.
_BEFORE_AT = r"(?si)(://[^/?#@:]*|\A(?!(?:torc\+)?sqlite:)[^/?#@:]{2,}(?=:(?!//))):.*@"
_PARAMETER = r"(?i)([?&;][^?&;=#]*(?:pass|pwd|secret|token|key)[^?&;=#]*=)[^&;#]*"
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
        """The database's name in messages."""
        return self.path or ":memory:"


def masked(url: str) -> str:
    """Return a URL with every password in it replaced by `***`."""
    import re  # costs as much as reading 200 migrations, and only messages want it

    return re.sub(_PARAMETER, r"\1***", re.sub(_BEFORE_AT, r"\1:***@", url))


def parse_url(text: str) -> Address:
    """Read a SQLite URL or a bare path.

    `sqlite:rel.db`, `sqlite://rel.db` and `sqlite:///rel.db` are relative, as yoyo and SQLAlchemy have the last;
    `sqlite:/abs.db` and `sqlite:////abs.db` are absolute; `sqlite::memory:` and `:memory:` are in memory. In a URL
    `%xx` is decoded and `?mode=ro|rw|rwc|memory` is honoured; `?cache=` changes nothing. A bare path is taken as it is.

    Raises:
        UrlError: an unknown scheme or parameter, a database that we do not support, or a spelling that is a trap.
    """
    if not text:
        raise UrlError(text, "the database's address is empty", hint="say sqlite:///path/to/file.db")
    if "\0" in text:
        raise UrlError(masked(text), "a path cannot hold a NUL")
    scheme, colon, rest = text.partition(":")
    if not (colon and _is_scheme(scheme)):
        return Address(None if text == ":memory:" else text)
    name = scheme.lower()
    if name in SERVER_SCHEMES:
        raise UrlError(
            masked(text),
            f"{name} databases are not supported yet ({masked(text)})",
            hint="SQLite is: sqlite:///path/to/file.db",
        )
    if name not in SQLITE_SCHEMES:
        raise UrlError(
            masked(text),
            f"unknown scheme {name!r} in {masked(text)!r}",
            hint="say sqlite:///path/to/file.db, or ./ before a file whose name has a colon",
        )
    return _sqlite_address(text, rest)


def _is_scheme(name: str) -> bool:
    """Tell a scheme from a path that has a colon in it; one letter is a drive of Windows."""
    letters = name.translate({ord(sign): None for sign in "+.-"})
    return len(name) > 1 and name[0].isalpha() and letters.isalnum() and letters.isascii()


def _sqlite_address(url: str, rest: str) -> Address:
    location, _, query = rest.partition("?")
    mode = _mode(url, query)
    path = _decoded(_path(location))
    if path == ":memory:" or mode == "memory":
        return Address(None)
    if not path:
        raise UrlError(masked(url), f"{masked(url)!r} names no file", hint="say sqlite:///path/to/file.db")
    if "\0" in path:
        raise UrlError(masked(url), "a path cannot hold a NUL")
    if location.startswith("///"):
        _refuse_absolute_by_mistake(url, path)
    return Address(path, mode)


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
            hint=f"say sqlite:////{path} for the absolute path, or sqlite:./{path} to create the relative one",
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
