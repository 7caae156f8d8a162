"""A URL with a password: wherever it stands, nobody gets to see it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from shell import (
    HOLD,
    Torc,
    start,
)

PASSWORD = "hunter2"

URLS_WITH_PASSWORD = (
    f"postgresql://ann:{PASSWORD}@db.example.com/app",
    f"mysql://ann:{PASSWORD}@db.example.com/app?charset=utf8",
    f"postgres://ann:{PASSWORD}@db.example.com:5432/app",
    f"oracle://ann:{PASSWORD}@db.example.com/app",
    f"sqlite://ann:{PASSWORD}@host/app.db?bad=1",
    f"sqlite:///app.db?password={PASSWORD}",
    f"postgresql://ann:p@{PASSWORD}@db.example.com/app",
    f"postgresql://ann:p/{PASSWORD}@db.example.com/app",
    f"postgresql://:{PASSWORD}@db.example.com/app",
    f"postgresql+psycopg://ann:{PASSWORD}@[::1]/app",
)


def in_flag(here: Path, url: str) -> tuple[list[str], dict[str, str | None]]:
    """Name a database with a flag."""
    return ["-d", url], {}


def in_environment(here: Path, url: str) -> tuple[list[str], dict[str, str | None]]:
    """Name a database in the environment."""
    return [], {"DATABASE_URL": url}


def in_dotenv(here: Path, url: str) -> tuple[list[str], dict[str, str | None]]:
    """Name a database in .env."""
    (here / ".env").write_text(f"DATABASE_URL={url}\n")
    return [], {}


def in_yoyo_ini(here: Path, url: str) -> tuple[list[str], dict[str, str | None]]:
    """Name a database in yoyo.ini."""
    (here / "yoyo.ini").write_text(f"[DEFAULT]\nsources = migrations\ndatabase = {url}\n")
    return [], {}


def in_broken_yoyo_ini(here: Path, url: str) -> tuple[list[str], dict[str, str | None]]:
    """Name a database in a yoyo.ini that lacks its section, so that the line itself is what is wrong."""
    (here / "yoyo.ini").write_text(f"database = {url}\n")
    return [], {}


def in_yoyo_ini_with_a_percent(here: Path, url: str) -> tuple[list[str], dict[str, str | None]]:
    """Name a database in a yoyo.ini whose password holds a percent sign."""
    (here / "yoyo.ini").write_text(f"[DEFAULT]\ndatabase = {url.replace(PASSWORD, '%' + PASSWORD)}\n")
    return [], {}


def in_the_wrong_place(here: Path, url: str) -> tuple[list[str], dict[str, str | None]]:
    """Name a database where the verb is expected."""
    return [url], {}


def in_an_unknown_flag(here: Path, url: str) -> tuple[list[str], dict[str, str | None]]:
    """Name a database with a flag that there is not."""
    return ["status", f"--db={url}"], {}


def in_a_target(here: Path, url: str) -> tuple[list[str], dict[str, str | None]]:
    """Name a database where a number is expected."""
    return ["upgrade", "--target", url], {}


PLACES = (
    in_the_wrong_place,
    in_an_unknown_flag,
    in_a_target,
    in_flag,
    in_environment,
    in_dotenv,
    in_yoyo_ini,
    in_broken_yoyo_ini,
    in_yoyo_ini_with_a_percent,
)

PLACED = [
    *((place, url) for place in PLACES for url in URLS_WITH_PASSWORD[:2]),
    *((in_flag, url) for url in URLS_WITH_PASSWORD[2:]),
]


@pytest.mark.parametrize(
    ("place", "url"), PLACED, ids=[f"{place.__name__}-{PLACED.index((place, url))}" for place, url in PLACED]
)
@pytest.mark.usefixtures("migrations")
def test_a_password_is_never_shown(
    torc: Torc, here: Path, place: Callable[[Path, str], tuple[list[str], dict[str, str | None]]], url: str
) -> None:
    """Wherever a URL with a password stands, no stream shows it, not even with `-v` and `--json`."""
    words, env = place(here, url)

    result = torc(*words, "status", "-v", "--json", env=env)

    assert result.status == 2
    assert PASSWORD not in result.out + result.err
    assert "Traceback" not in result.err


@pytest.mark.usefixtures("migrations")
def test_a_holder_with_a_password_on_its_command_line_is_named_without_it(torc: Torc, here: Path) -> None:
    """The process that holds the lock is named by its command line, passwords masked."""
    torc("-d", "app.db", "upgrade")
    url = f"postgresql://ann:{PASSWORD}@db.example.com/app"
    holder = start([sys.executable, "-c", f"{HOLD}; time.sleep(60)", url], here)
    assert holder.stdout is not None
    holder.stdout.readline()

    result = torc("-d", "app.db", "rollback", "--lock-timeout", "1.2", "--json", "-v")
    holder.kill()
    holder.communicate()

    assert result.status == 5
    assert PASSWORD not in result.out + result.err
