"""Find the database and the source of a command: its options, the environment, and configuration files."""

# Without `from __future__ import annotations`: typing would compile each annotation of a NamedTuple, at every start.

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from torc_migrations.errors import SourceError, UntrustedFile, UrlError
from torc_migrations.formatting import masked
from torc_migrations.log import log
from torc_migrations.sources.trust import reason_for_distrust, reason_for_distrust_of_directory

if TYPE_CHECKING:
    from configparser import ConfigParser

YOYO_INI, SQLX_TOML, DOTENV = "yoyo.ini", "sqlx.toml", ".env"
MIGRATIONS = "migrations"
URL_VARIABLE = "DATABASE_URL"

_FROM_YOYO = ("database", "sources", "migration_table", "foreign_keys", "prefix")
# With these yoyo.ini includes other files.
_YOYO_FILES = ("%inherit", "%include")
# What is wrong with a line of yoyo.ini. The line is not quoted, because it may contain a password.
_FAULTS = {
    "MissingSectionHeaderError": "[DEFAULT] is missing above it",
    "ParsingError": "it is not NAME = VALUE",
    "DuplicateOptionError": "it sets an option for the second time",
    "DuplicateSectionError": "it begins a section for the second time",
}
# The characters that make the name of a directory a pattern.
_PATTERN = frozenset("*?[")
# What sqlx.toml may set, by its tables. sqlx refuses everything else too: a mistyped name would have no effect.
_SQLX_NAMES = {
    "": ("common", "drivers", "macros", "migrate"),
    "common": ("database-url-var",),
    "migrate": ("create-schemas", "defaults", "ignored-chars", "migrations-dir", "table-name"),
    "migrate.defaults": ("migration-type", "migration-versioning"),
}
# The schema that may stand before the name of sqlx's ledger.
_MAIN = "main."


class Setting(NamedTuple):
    """A value, and the place that it is from, in words."""

    value: str
    origin: str

    def __repr__(self) -> str:
        return f"Setting(value={masked(self.value)!r}, origin={self.origin!r})"


class Settings(NamedTuple):
    """What the command works on.

    Attributes:
        database: None where none is named.
        sources: directories that share the database; empty where none is named.
        migration_table, sqlx_table: the names of the ledgers of yoyo and sqlx, None for the usual ones.
        ignored_chars: characters that are left out of checksums.
        foreign_keys: whether foreign keys are on while scripts run, as for --foreign-keys; None where it is not set.
        reversible, sequential: the kind of new migrations by sqlx.toml; None where it is not set.
        prefix: what stands before the names of new migrations, by yoyo.ini; None where it is not set.
        url_variable: the environment variable that names the database.
    """

    database: Setting | None
    sources: tuple[Setting, ...]
    migration_table: Setting | None = None
    sqlx_table: Setting | None = None
    ignored_chars: str = ""
    reversible: bool | None = None
    sequential: bool | None = None
    foreign_keys: Setting | None = None
    prefix: str | None = None
    url_variable: str = URL_VARIABLE


class _SqlxToml(NamedTuple):
    source: Setting | None = None
    url_variable: str = URL_VARIABLE
    table: Setting | None = None
    ignored_chars: str = ""
    reversible: bool | None = None
    sequential: bool | None = None


def find_settings(
    database: str | None, sources: Sequence[str] | None, *, torc: bool = False, dotenv: bool = True
) -> Settings:
    """Return the database and the sources that are named: on the command line, or else in the first place that does.

    The database is looked for in the environment, `.env` and yoyo.ini; the source in yoyo.ini, sqlx.toml and
    `./migrations`. Changes nothing, the environment included. `torc` means that the source is named already. A file
    that others may have written is ignored if both are named, and is an error otherwise.

    Raises:
        UntrustedFile: a configuration file, or `./migrations`, belongs to another user, or others can write it.
        SourceError, UrlError: a configuration file cannot be read, or says what cannot be done.
    """
    both_named = bool(sources or torc) and bool(database or os.environ.get(URL_VARIABLE))
    yoyo = _read_yoyo_ini(optional=both_named)
    sqlx = _read_sqlx_toml(optional=both_named)
    variable = sqlx.url_variable
    found = None if sources else yoyo.get("sources") or sqlx.source or (None if torc else _migrations_directory())
    return Settings(
        _flag(database, "--database") or _environment(variable) or _dotenv(variable, dotenv) or yoyo.get("database"),
        _expanded(tuple(Setting(source, "--source") for source in sources) if sources else _split(found)),
        yoyo.get("migration_table"),
        sqlx.table,
        sqlx.ignored_chars,
        sqlx.reversible,
        sqlx.sequential,
        yoyo.get("foreign_keys"),
        yoyo["prefix"].value if "prefix" in yoyo else None,
        variable,
    )


def _flag(value: str | None, name: str) -> Setting | None:
    return None if value is None else Setting(value, name)


def _environment(variable: str) -> Setting | None:
    value = os.environ.get(variable)
    return Setting(value, f"{variable} in the environment") if value else None


def _dotenv(variable: str, wanted: bool) -> Setting | None:
    path = _found_upwards(DOTENV) if wanted else None
    if path is None:
        return None
    if reason := reason_for_distrust(path):
        raise UntrustedFile(path, reason, hint="name the database with -d; --no-dotenv ignores the file")
    from io import StringIO

    from dotenv import dotenv_values
    from dotenv.parser import parse_stream

    try:
        with open(path, encoding="utf-8") as file:
            bindings = list(parse_stream(file))
        for binding in bindings:
            if binding.error:
                log().warning("%s:%d: this line is not NAME=VALUE, and is ignored", path, binding.original.line)
        # Without the lines about which dotenv would print a message of its own.
        text = "".join(binding.original.string for binding in bindings if not binding.error)
        value = dotenv_values(stream=StringIO(text)).get(variable)
    except (OSError, UnicodeDecodeError) as error:
        raise UrlError(path, f"cannot read {path}: {_reason(error)}", hint="--no-dotenv ignores it") from error
    return Setting(value, path) if value else None


def _found_upwards(name: str) -> str | None:
    for directory in _upwards():
        path = os.path.join(directory, name)
        if os.path.isfile(path):
            return path
    return None


def _upwards() -> Iterator[str]:
    try:
        directory = os.getcwd()
    except FileNotFoundError as error:
        raise SourceError(".", "the current directory was deleted", hint="change to another directory") from error
    yield directory
    while directory != (directory := os.path.dirname(directory)):
        yield directory


def _is_believed(path: str, *, optional: bool) -> bool:
    """Return whether a file may say what the command does; a file that may not is ignored if it is `optional`.

    Raises:
        UntrustedFile: it may not, and is needed.
    """
    reason = reason_for_distrust(path)
    if reason is None:
        return True
    if not optional:
        raise UntrustedFile(path, reason, hint="name the database with -d and the source with -s; it is ignored then")
    log().warning("%s is ignored: %s", path, reason)
    return False


def _reason(error: OSError | UnicodeDecodeError) -> str:
    return (error.strerror or str(error)) if isinstance(error, OSError) else "it is not UTF-8"


def _read_yoyo_ini(*, optional: bool) -> dict[str, Setting]:
    """Read what yoyo would read from the nearest yoyo.ini: in the current directory, or above it."""
    path = _found_upwards(YOYO_INI)
    if path is None or not _is_believed(path, optional=optional):
        return {}
    parser = _parsed(path)
    given = parser.defaults()
    for name in _YOYO_FILES:
        if name in given:
            raise SourceError(
                path,
                f"{path} includes other files with {name}, which is not supported",
                hint=f"write database and sources into {YOYO_INI} itself",
            )
    known = _interpolated(path, given)
    values = {name: _value(parser, name, known, path) for name in _FROM_YOYO if name in given}
    return {name: Setting(value, path) for name, value in values.items() if value}


def _parsed(path: str) -> "ConfigParser":
    from configparser import ConfigParser, Error

    parser = ConfigParser()
    try:
        with open(path, encoding="utf-8") as file:
            parser.read_file(file)
    except (OSError, UnicodeDecodeError) as error:
        raise SourceError(path, f"cannot read {path}: {_reason(error)}") from error
    except Error as error:
        line = getattr(error, "lineno", None) or next(number for number, _ in getattr(error, "errors", ((0, ""),)))
        fault = _FAULTS.get(type(error).__name__, "it is not an INI file")
        raise SourceError(path, f"cannot read {path}, line {line}: {fault}") from error
    return parser


def _value(parser: "ConfigParser", name: str, known: Mapping[str, str], path: str) -> str:
    from configparser import InterpolationError

    try:
        return parser.get("DEFAULT", name, vars=known)
    except InterpolationError as error:
        raise SourceError(
            path,
            f"cannot read {name} in {path}: a % in it has no meaning",
            hint="write %% for a percent sign; %(here)s is the file's directory, %(NAME)s an environment variable",
        ) from error


def _interpolated(path: str, given: Mapping[str, str]) -> dict[str, str]:
    """Return what `%(...)s` may stand for in yoyo.ini: the environment, and `here`, the file's directory."""
    names = {name.lower(): value.replace("%", "%%") for name, value in os.environ.items()}
    names["here"] = os.path.dirname(path).replace("%", "%%")
    return {name: value for name, value in names.items() if name not in given}


def _split(sources: Setting | None) -> tuple[Setting, ...]:
    """Split yoyo's list of directories at its blanks, unless all of it is one directory with a blank in its name."""
    if sources is None or os.path.isdir(sources.value):
        return (sources,) if sources else ()
    return tuple(Setting(directory, sources.origin) for directory in sources.value.split())


def _expanded(sources: tuple[Setting, ...]) -> tuple[Setting, ...]:
    """Replace each pattern, such as `app/*/migrations`, by the directories with SQL that it matches, as yoyo does.

    Raises:
        SourceError: a pattern matches no directory.
    """
    return tuple(each for source in sources for each in _matches(source))


def _matches(source: Setting) -> Iterator[Setting]:
    pattern = source.value
    if pattern.startswith("package:") or not _PATTERN.intersection(pattern) or os.path.exists(pattern):
        yield source
        return
    from glob import escape, glob

    directories = sorted(each for each in glob(pattern) if glob(os.path.join(escape(each), "*.sql")))
    if not directories:
        raise SourceError(
            pattern,
            f"no directory with migrations matches {pattern!r}, from {source.origin}",
            hint="name an existing directory",
        )
    for directory in directories:
        yield Setting(directory, source.origin)


def _read_sqlx_toml(*, optional: bool) -> _SqlxToml:
    if not os.path.isfile(SQLX_TOML) or not _is_believed(SQLX_TOML, optional=optional):
        return _SqlxToml()
    import tomllib

    try:
        with open(SQLX_TOML, "rb") as file:
            document = tomllib.load(file)
    except tomllib.TOMLDecodeError as error:
        raise SourceError(SQLX_TOML, f"cannot read {SQLX_TOML}: {error}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise SourceError(SQLX_TOML, f"cannot read {SQLX_TOML}: {_reason(error)}") from error
    common, migrate = _table(document, "common"), _table(document, "migrate")
    if migrate.get("create-schemas"):
        raise SourceError(SQLX_TOML, f"[migrate] create-schemas in {SQLX_TOML}: a SQLite file has no schemas to create")
    defaults = _table(migrate, "defaults")
    for place, table in (("", document), ("common", common), ("migrate", migrate), ("migrate.defaults", defaults)):
        _refuse_unknown(table, place)
    directory = migrate.get("migrations-dir")
    return _SqlxToml(
        Setting(str(directory), SQLX_TOML) if directory else None,
        str(common.get("database-url-var", URL_VARIABLE)),
        _table_name(migrate),
        _ignored_chars(migrate),
        _choice(defaults, "migration-type", reversible=True, simple=False),
        _choice(defaults, "migration-versioning", sequential=True, timestamp=False),
    )


def _refuse_unknown(table: Mapping[str, object], place: str) -> None:
    prefix = f"{place}." if place else ""
    for name in table:
        if name not in _SQLX_NAMES[place]:
            known = ", ".join(f"{prefix}{each}" for each in _SQLX_NAMES[place])
            raise SourceError(
                SQLX_TOML, f"{prefix}{name} in {SQLX_TOML} is no setting of sqlx", hint=f"there is {known}"
            )


def _choice(defaults: Mapping[str, object], name: str, **meanings: bool) -> bool | None:
    """Return what a word of [migrate.defaults] means; None for the kind of the migrations that are there."""
    written = defaults.get(name, "inferred")
    if written not in (*meanings, "inferred"):
        words = ", ".join(f'"{word}"' for word in meanings)
        reason = f"migrate.defaults.{name} in {SQLX_TOML} is {written!r}"
        raise SourceError(SQLX_TOML, reason, hint=f'write {words} or "inferred"')
    return meanings.get(str(written))


def _table(document: Mapping[str, object], name: str) -> Mapping[str, object]:
    table = document.get(name, {})
    if not isinstance(table, dict):
        raise SourceError(SQLX_TOML, f"cannot read {SQLX_TOML}: {name} is not a table", hint=f"write [{name}]")
    return table


def _table_name(migrate: Mapping[str, object]) -> Setting | None:
    """Return the name of sqlx's ledger, which sqlx takes as it stands: bare, in quotes, or after `main.`."""
    written = migrate.get("table-name")
    if written is None:
        return None
    bare = str(written).removeprefix(_MAIN)
    in_quotes = len(bare) > 2 and bare.startswith('"') and bare.endswith('"')
    if not (bare.isidentifier() or in_quotes):
        reason = f"[migrate] table-name in {SQLX_TOML} is {written!r}, which is not a table of a SQLite file"
        raise SourceError(SQLX_TOML, reason, hint='write "name", or "\\"a name in quotes\\""')
    return Setting(str(written), SQLX_TOML)


def _ignored_chars(migrate: Mapping[str, object]) -> str:
    characters = migrate.get("ignored-chars", [])
    if not isinstance(characters, list) or not all(isinstance(each, str) and len(each) == 1 for each in characters):
        reason = f"[migrate] ignored-chars in {SQLX_TOML} is not a list of single characters"
        raise SourceError(SQLX_TOML, reason, hint='write [" ", "\\t", "\\r", "\\n"]')
    return "".join(characters)


def _migrations_directory() -> Setting | None:
    if not os.path.isdir(MIGRATIONS):
        return None
    if reason := reason_for_distrust_of_directory(MIGRATIONS):
        raise UntrustedFile(os.path.abspath(MIGRATIONS), reason, hint=f"name it with -s {MIGRATIONS}")
    return Setting(MIGRATIONS, "the current directory")
