"""Find out which database and which source the command is meant for, as people expect it."""

from __future__ import annotations

import os

from torc_migrations.errors import SourceError, UrlError
from torc_migrations.values import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from configparser import ConfigParser

YOYO_INI, SQLX_TOML, DOTENV = "yoyo.ini", "sqlx.toml", ".env"
MIGRATIONS = "migrations"
URL_VARIABLE = "DATABASE_URL"

_FROM_YOYO = ("database", "sources", "migration_table")
# What yoyo.ini takes other files in by.
_YOYO_FILES = ("%inherit", "%include")
# What is wrong with a line of yoyo.ini; told without quoting it, for it may hold a password.
_FAULTS = {
    "MissingSectionHeaderError": "there is no [DEFAULT] above it",
    "ParsingError": "it is not NAME = VALUE",
    "DuplicateOptionError": "it names an option for the second time",
    "DuplicateSectionError": "it names a section for the second time",
}
# A schema before the name of sqlx's ledger; a SQLite file is one, and has no other.
_MAIN = "main."


class Setting(NamedTuple):
    """A value, and where it came from, in words."""

    value: str
    origin: str


class Settings(NamedTuple):
    """What the command works on.

    `sources` are folders that share the database; where there is none, the shipped schema is meant. `migration_table`
    is yoyo's ledger, `sqlx_table` sqlx's. `ignored_chars` do not count in a checksum. `reversible` and `sequential`
    are the kind that sqlx.toml wants a new migration to have, None where it does not say.
    """

    database: Setting | None
    sources: tuple[Setting, ...]
    migration_table: Setting | None = None
    sqlx_table: Setting | None = None
    ignored_chars: str = ""
    reversible: bool | None = None
    sequential: bool | None = None


class _SqlxToml(NamedTuple):
    source: Setting | None = None
    url_variable: str = URL_VARIABLE
    table: Setting | None = None
    ignored_chars: str = ""
    reversible: bool | None = None
    sequential: bool | None = None


def find_settings(database: str | None, source: str | None, *, dotenv: bool = True) -> Settings:
    """Look for the database in the flag, the environment, `.env` and yoyo.ini; for the source in the flag, yoyo.ini,
    sqlx.toml and `./migrations`. Changes nothing, the environment neither.

    Raises:
        SourceError, UrlError: a configuration file cannot be read, or says what cannot be done.
    """
    yoyo = _read_yoyo_ini()
    sqlx = _read_sqlx_toml()
    variable = sqlx.url_variable
    sources = yoyo.get("sources") or sqlx.source or _migrations_folder()
    return Settings(
        _flag(database, "--database") or _environment(variable) or _dotenv(variable, dotenv) or yoyo.get("database"),
        (Setting(source, "--source"),) if source is not None else _split(sources),
        yoyo.get("migration_table"),
        sqlx.table,
        sqlx.ignored_chars,
        sqlx.reversible,
        sqlx.sequential,
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
    from dotenv import dotenv_values

    try:
        value = dotenv_values(path).get(variable)
    except (OSError, UnicodeDecodeError) as error:
        raise UrlError(path, f"cannot read {path}: {_reason(error)}", hint="--no-dotenv leaves it unread") from error
    return Setting(value, path) if value else None


def _found_upwards(name: str) -> str | None:
    for folder in _upwards():
        path = os.path.join(folder, name)
        if os.path.isfile(path):
            return path
    return None


def _upwards() -> Iterator[str]:
    try:
        folder = os.getcwd()
    except FileNotFoundError as error:
        raise SourceError(".", "the folder that you are in does not exist any more", hint="go to another") from error
    yield folder
    while folder != (folder := os.path.dirname(folder)):
        yield folder


def _reason(error: OSError | UnicodeDecodeError) -> str:
    return (error.strerror or str(error)) if isinstance(error, OSError) else "it is not UTF-8"


def _read_yoyo_ini() -> dict[str, Setting]:
    """Read what yoyo would read from the nearest yoyo.ini: here, or in a folder above."""
    path = _found_upwards(YOYO_INI)
    if path is None:
        return {}
    parser = _parsed(path)
    given = parser.defaults()
    for name in _YOYO_FILES:
        if name in given:
            raise SourceError(
                path,
                f"{path} takes in other files with {name}, which is not supported",
                hint=f"write into {YOYO_INI} itself what they say of database and sources",
            )
    known = _interpolated(path, given)
    values = {name: _value(parser, name, known, path) for name in _FROM_YOYO if name in given}
    return {name: Setting(value, path) for name, value in values.items() if value}


def _parsed(path: str) -> ConfigParser:
    from configparser import ConfigParser, Error

    parser = ConfigParser()
    try:
        with open(path, encoding="utf-8") as file:
            parser.read_file(file)
    except (OSError, UnicodeDecodeError) as error:
        raise SourceError(path, f"cannot read {path}: {_reason(error)}") from error
    except Error as error:
        line = getattr(error, "lineno", None) or next(number for number, _ in getattr(error, "errors", ((0, ""),)))
        fault = _FAULTS.get(type(error).__name__, "it is no INI file")
        raise SourceError(path, f"cannot read {path}, line {line}: {fault}") from error
    return parser


def _value(parser: ConfigParser, name: str, known: Mapping[str, str], path: str) -> str:
    from configparser import InterpolationError

    try:
        return parser.get("DEFAULT", name, vars=known)
    except InterpolationError as error:
        raise SourceError(
            path,
            f"cannot read {name} in {path}: a % in it stands for nothing",
            hint="write %% for a percent sign; %(here)s and %(NAME)s stand for the file's folder and the environment",
        ) from error


def _interpolated(path: str, given: Mapping[str, str]) -> dict[str, str]:
    """Return what `%(...)s` may stand for in yoyo.ini: the environment, and `here`, the file's folder."""
    names = {name.lower(): value.replace("%", "%%") for name, value in os.environ.items()}
    names["here"] = os.path.dirname(path).replace("%", "%%")
    return {name: value for name, value in names.items() if name not in given}


def _split(sources: Setting | None) -> tuple[Setting, ...]:
    """Split yoyo's list of folders at its blanks, unless all of it is one folder with a blank in its name."""
    if sources is None or os.path.isdir(sources.value):
        return (sources,) if sources else ()
    return tuple(Setting(folder, sources.origin) for folder in sources.value.split())


def _read_sqlx_toml() -> _SqlxToml:
    if not os.path.isfile(SQLX_TOML):
        return _SqlxToml()
    import tomllib

    try:
        with open(SQLX_TOML, "rb") as file:
            document = tomllib.load(file)
    except tomllib.TOMLDecodeError as error:
        raise SourceError(SQLX_TOML, f"cannot read {SQLX_TOML}: {error}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise SourceError(SQLX_TOML, f"cannot read {SQLX_TOML}: {_reason(error)}") from error
    migrate = _table(document, "migrate")
    if migrate.get("create-schemas"):
        raise SourceError(SQLX_TOML, f"[migrate] create-schemas in {SQLX_TOML}: a SQLite file has no schemas to create")
    defaults = _table(migrate, "defaults")
    folder = migrate.get("migrations-dir")
    return _SqlxToml(
        Setting(str(folder), SQLX_TOML) if folder else None,
        str(_table(document, "common").get("database-url-var", URL_VARIABLE)),
        _table_name(migrate),
        _ignored_chars(migrate),
        {"reversible": True, "simple": False}.get(str(defaults.get("migration-type"))),
        {"sequential": True, "timestamp": False}.get(str(defaults.get("migration-versioning"))),
    )


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
        reason = f"[migrate] table-name in {SQLX_TOML} is {written!r}, which is no table of a SQLite file"
        raise SourceError(SQLX_TOML, reason, hint='write "name", or "\\"a name in quotes\\""')
    return Setting(str(written), SQLX_TOML)


def _ignored_chars(migrate: Mapping[str, object]) -> str:
    characters = migrate.get("ignored-chars", [])
    if not isinstance(characters, list) or not all(isinstance(each, str) and len(each) == 1 for each in characters):
        reason = f"[migrate] ignored-chars in {SQLX_TOML} is no list of single characters"
        raise SourceError(SQLX_TOML, reason, hint='write [" ", "\\t", "\\r", "\\n"]')
    return "".join(characters)


def _migrations_folder() -> Setting | None:
    return Setting(MIGRATIONS, "the folder here") if os.path.isdir(MIGRATIONS) else None
