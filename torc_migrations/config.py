"""Find out which database and which source the command is meant for, as people expect it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from torc_migrations.errors import SourceError, UrlError

YOYO_INI, SQLX_TOML, DOTENV = "yoyo.ini", "sqlx.toml", ".env"
MIGRATIONS = "migrations"
URL_VARIABLE = "DATABASE_URL"


class Setting(NamedTuple):
    """A value, and where it came from, in words."""

    value: str
    origin: str


class Settings(NamedTuple):
    """What the command works on; a source of None is the shipped schema."""

    database: Setting | None
    source: Setting | None
    migration_table: str | None = None


def find_settings(database: str | None, source: str | None, *, dotenv: bool = True) -> Settings:
    """Look for the database in the flag, the environment, `.env` and yoyo.ini; for the source in the flag, yoyo.ini,
    sqlx.toml and `./migrations`.

    Raises:
        SourceError, UrlError: a configuration file cannot be read, or says what cannot be done.
    """
    yoyo = _read_yoyo_ini()
    return Settings(
        _first(_flag(database, "--database"), _environment(), _dotenv(dotenv), yoyo.get("database")),
        _first(_flag(source, "--source"), yoyo.get("sources"), _sqlx_toml(), _migrations_folder()),
        yoyo["migration_table"].value if "migration_table" in yoyo else None,
    )


def _first(*settings: Setting | None) -> Setting | None:
    return next((setting for setting in settings if setting), None)


def _flag(value: str | None, name: str) -> Setting | None:
    return None if value is None else Setting(value, name)


def _environment() -> Setting | None:
    value = os.environ.get(URL_VARIABLE)
    return Setting(value, f"the environment's {URL_VARIABLE}") if value else None


def _dotenv(wanted: bool) -> Setting | None:
    path = _found_upwards(DOTENV) if wanted else None
    if path is None:
        return None
    from dotenv import dotenv_values

    value = dotenv_values(path).get(URL_VARIABLE)
    return Setting(value, path) if value else None


def _found_upwards(name: str) -> str | None:
    for folder in _upwards():
        path = os.path.join(folder, name)
        if os.path.isfile(path):
            return path
    return None


def _upwards() -> Iterator[str]:
    folder = os.getcwd()
    yield folder
    while folder != (folder := os.path.dirname(folder)):
        yield folder


def _read_yoyo_ini() -> dict[str, Setting]:
    """Read what yoyo would read from the nearest yoyo.ini: here, or in a folder above."""
    path = _found_upwards(YOYO_INI)
    if path is None:
        return {}
    from configparser import ConfigParser, Error

    parser = ConfigParser()
    try:
        parser.read(path, encoding="utf-8")
        given = parser.defaults()
        known = _interpolated(path, given)
        values = {name: parser.get("DEFAULT", name, vars=known) for name in _WANTED if name in given}
    except (Error, UnicodeDecodeError) as error:
        raise UrlError(path, f"cannot read {path}: {error}") from error
    if len(values.get("sources", "").split()) > 1:
        raise SourceError(path, f"{path} names several sources", hint="name one of them with --source")
    return {name: Setting(value, path) for name, value in values.items() if value}


_WANTED = ("database", "sources", "migration_table")


def _interpolated(path: str, given: Mapping[str, str]) -> dict[str, str]:
    """Return what `%(...)s` may stand for in yoyo.ini: the environment, and `here`, the file's folder."""
    names = {name.lower(): value.replace("%", "%%") for name, value in os.environ.items()}
    names["here"] = os.path.dirname(path).replace("%", "%%")
    return {name: value for name, value in names.items() if name not in given}


def _sqlx_toml() -> Setting | None:
    if not os.path.isfile(SQLX_TOML):
        return None
    import tomllib

    try:
        with open(SQLX_TOML, "rb") as file:
            migrate = tomllib.load(file).get("migrate", {})
    except (tomllib.TOMLDecodeError, OSError) as error:
        raise SourceError(SQLX_TOML, f"cannot read {SQLX_TOML}: {error}") from error
    for name in ("table-name", "ignored-chars", "create-schemas"):
        if migrate.get(name):
            raise SourceError(SQLX_TOML, f"[migrate] {name} in {SQLX_TOML} is not supported yet")
    folder = migrate.get("migrations-dir")
    return Setting(str(folder), SQLX_TOML) if folder else None


def _migrations_folder() -> Setting | None:
    return Setting(MIGRATIONS, "the folder here") if os.path.isdir(MIGRATIONS) else None
