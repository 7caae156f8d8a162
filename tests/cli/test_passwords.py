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

from torc_migrations import MigrationError, Migrator
from torc_migrations.databases.processes import program_in
from torc_migrations.formatting import masked

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
    f"sqlite://ann:{PASSWORD}@host/x.db",
    f"sqlite://a:{PASSWORD}@h/x.db",
    f"sqlite://:{PASSWORD}@h/x.db",
    f"sqlite:a:{PASSWORD}@h/x.db",
    f"sqlite:///a:{PASSWORD}@h/x.db",
    f"torc+sqlite:///a:{PASSWORD}@h/x.db",
    f"a:{PASSWORD}@h/x.db",
    f"ann:{PASSWORD}@h:5432/x",
    f"h/x.db?password={PASSWORD}",
    f"no/host=h user=ann password={PASSWORD} dbname=app",
    f"no/host=h password = 'a {PASSWORD}'",
    f"no/Server=h;Uid=ann;Pwd={PASSWORD};",
    f"no/PGPASSWORD={PASSWORD}",
    f"no/API_KEY={PASSWORD}/x.db",
    f"jdbc:postgresql://h/app?user=ann&password={PASSWORD}",
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


def in_a_source(here: Path, url: str) -> tuple[list[str], dict[str, str | None]]:
    """Name a database where a directory is expected."""
    return ["-d", "app.db", "-s", url], {}


def in_yoyo_sources(here: Path, url: str) -> tuple[list[str], dict[str, str | None]]:
    """Name a database where yoyo.ini expects directories."""
    (here / "yoyo.ini").write_text(f"[DEFAULT]\nsources = {url}\ndatabase = app.db\n")
    return [], {}


def in_a_snapshot(here: Path, url: str) -> tuple[list[str], dict[str, str | None]]:
    """Name a database where a snapshot is expected."""
    return ["-d", "app.db", "restore", "--yes", url], {}


def in_a_target(here: Path, url: str) -> tuple[list[str], dict[str, str | None]]:
    """Name a database where a number is expected."""
    return ["upgrade", "--target", url], {}


PLACES = (
    in_the_wrong_place,
    in_an_unknown_flag,
    in_a_target,
    in_a_source,
    in_yoyo_sources,
    in_a_snapshot,
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


@pytest.mark.usefixtures("migrations")
def test_of_a_holder_only_its_program_and_its_script_are_named(torc: Torc, here: Path) -> None:
    """What follows the script may be anything: an option with a password, or a variable with a key."""
    torc("-d", "app.db", "upgrade")
    (here / "hold.py").write_text(f"{HOLD}\ntime.sleep(60)\n")
    words = [sys.executable, "-u", "hold.py", "--password", PASSWORD, f"API_KEY={PASSWORD}", PASSWORD]
    holder = start(words, here)
    assert holder.stdout is not None
    holder.stdout.readline()

    result = torc("-d", "app.db", "rollback", "--lock-timeout", "1.2", "--json", "-v")
    holder.kill()
    holder.communicate()

    assert result.status == 5
    assert f"process {holder.pid} ({Path(sys.executable).name} hold.py)" in result.err
    assert PASSWORD not in result.out + result.err


@pytest.mark.parametrize(
    ("command", "shown"),
    [
        ("/usr/bin/python3.11 app.py --password hunter2", "python3.11 app.py"),
        ("python -m gunicorn app hunter2", "python -m gunicorn"),
        ("python -X dev -W error -u app.py hunter2", "python app.py"),
        ("python -Xdev -I app.py hunter2", "python app.py"),
        ("python -c hunter2 hunter2", "python"),
        ("python --unknown hunter2 app.py", "python"),
        ("python - hunter2", "python"),
        ("pypy3 app.py hunter2", "pypy3 app.py"),
        ("C:/Python/pythonw.exe app.py hunter2", "pythonw.exe app.py"),
        ("/bin/sh deploy.sh hunter2", "sh deploy.sh"),
        ("sh -c hunter2", "sh"),
        ("node --password hunter2 server.js", "node"),
        ("node server.js hunter2", "node server.js"),
        ("/usr/bin/sqlite3 hunter2", "sqlite3"),
        ("env API_KEY=hunter2 x", "env"),
        ("API_KEY=hunter2 x", "API_KEY=***"),
        ("java -Dpassword=hunter2 -jar x.jar", "java"),
        ("", ""),
    ],
)
def test_the_program_of_a_command_line_is_shown_alone(command: str, shown: str) -> None:
    """The program by its name, an interpreter with its script or module, and nothing else."""
    assert program_in(command.split()) == shown
    assert PASSWORD not in program_in([command])


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("host=h password=hunter2 dbname=x", "host=h password=*** dbname=x"),
        ("password = 'a hunter2' x", "password = *** x"),
        ('PASSWORD="a hunter2"', "PASSWORD=***"),
        ("Uid=ann;Pwd=hunter2;x=1", "Uid=ann;Pwd=***;x=1"),
        ("PGPASSWORD=hunter2 psql", "PGPASSWORD=*** psql"),
        ("AWS_SECRET_ACCESS_KEY=hunter2", "AWS_SECRET_ACCESS_KEY=***"),
        ("ENCRYPTION_KEY=hunter2 KEY=hunter2", "ENCRYPTION_KEY=*** KEY=***"),
        ("GITHUB_TOKEN=hunter2", "GITHUB_TOKEN=***"),
        ("passphrase=hunter2 credentials=hunter2", "passphrase=*** credentials=***"),
        ("--password hunter2 --api-key=hunter2", "--password *** --api-key=***"),
        ("password: hunter2", "password: ***"),
        (
            "mysql://ann:***@h/app: Access denied for user 'ann'@'h' (using password: YES)",
            "mysql://ann:***@h/app: Access denied for user 'ann'@'h' (using password: YES)",
        ),
        ("mysql://ann:***@hunter2@h/app", "mysql://ann:***@h/app"),
        ("foreign_keys = ON", "foreign_keys = ON"),
        ("--foreign-keys on", "--foreign-keys on"),
        ("author=me --author me", "author=me --author me"),
    ],
)
def test_every_spelling_of_a_password_is_masked(text: str, shown: str) -> None:
    """Connection strings, variables and options: the name stays, and the value does not."""
    assert masked(text) == shown


@pytest.mark.parametrize("url", URLS_WITH_PASSWORD)
def test_an_error_has_no_password_in_any_of_its_facts(url: str, tmp_path: Path) -> None:
    """Sentence, hint, attributes, repr and JSON of an error are without it, whichever argument it was in."""
    for arguments in ((url, tmp_path), (tmp_path / "x.db", url)):
        with pytest.raises(MigrationError) as failure:
            Migrator(*arguments).status()
        error = failure.value
        assert PASSWORD not in f"{error} {error!r} {vars(error)} {error.as_dict()}"
    with pytest.raises(MigrationError) as failure:
        Migrator("x.db", keep=url)  # type: ignore[arg-type]  # what is tested
    assert PASSWORD not in f"{failure.value!r} {vars(failure.value)}"
