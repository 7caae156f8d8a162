"""The migration tools that are compared: where each is found, what its files look like, and how it is called."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import NamedTuple

CACHE = Path.home() / ".cache" / "torc_migrations"
FLOOR, LEDGERS, OURS, EACH, BEFORE, YOYO, SQLITE_UTILS, ALEMBIC = (
    "floor",
    "floor with ledgers",
    "torc_migrations",
    "torc_migrations, group=0",
    "torc_migrations before",
    "yoyo",
    "sqlite-utils",
    "alembic",
)

Write = Callable[[Path, Sequence["Pair"]], None]
Call = Callable[[str, Path, Path], list[str]]


class Pair(NamedTuple):
    """The SQL of one migration."""

    up: str
    down: str


class Tool(NamedTuple):
    """A tool that is compared.

    Attributes:
        write: a function that writes a directory of migrations.
        layout: the name of the layout of this directory; several tools may share one.
        call: a function that returns the command which applies pending migrations. It takes the program (or a Python),
            a database and a directory.
        most: the greatest number of migrations that the tool is asked to apply.
        scripts: whether the tool runs a long SQL script.
        api: Python statements that apply pending migrations, with the fields `{database!r}` and `{directory!r}`.
        imports: the statement that loads the tool.
        only_applies: whether only applying is measured, because all else is the same as with another tool.
        path: the directory from which the tool is loaded, if not the one that the program finds by itself.
    """

    name: str
    version: str
    program: str
    layout: str
    write: Write
    call: Call
    most: int = 10_000
    scripts: bool = True
    api: str | None = None
    imports: str | None = None
    only_applies: bool = False
    path: str | None = None


def find_tools(python: str, before: Path | None = None) -> tuple[list[Tool], list[str]]:
    """Return the tools that are installed here, and the names of those that are not.

    `before` is a directory with an older version of torc_migrations.
    """
    found = [
        Tool(FLOOR, "-", python, "yoyo", write_yoyo, _call_floor, api=_FLOOR_API, imports="import sqlite3"),
        Tool(LEDGERS, "-", python, "yoyo", write_yoyo, _call_ledgers, 1000, scripts=False),
        Tool(OURS, version(OURS), python, "yoyo", write_yoyo, _call_ours, api=_OUR_API, imports=_OUR_IMPORT),
        Tool(EACH, version(OURS), python, "yoyo", write_yoyo, _call_ours_each, scripts=False, only_applies=True),
    ]
    if before is not None:
        found.append(Tool(BEFORE, "-", python, "yoyo", write_yoyo, _caller_from(before), path=str(before)))
    absent = []
    for make in (_yoyo, _sqlite_utils, _alembic):
        try:
            found.append(make(python))
        except PackageNotFoundError as error:
            absent.append(str(error.name))
    for name, names, layout, write, call, most in _PROGRAMS:
        programs = [path for path in map(find_program, names) if path]
        found += [Tool(_title(name, path), program_version(path), path, layout, write, call, most) for path in programs]
        absent += [] if programs else [name]
    return found, absent


def _title(name: str, path: str) -> str:
    return f"{name} {program_version(path)}" if name == "sqlx" else name


def find_program(name: str) -> str | None:
    """Look on the PATH, and in the directories into which the tests and a user install other tools."""
    directories = [os.environ.get("TORC_PEERS", ""), str(CACHE / "peers" / "bin"), str(CACHE / "sqlx")]
    directories += [os.environ.get("TORC_SQLX_CACHE", ""), str(CACHE / "peers" / "node_modules")]
    directories += [str(CACHE / "others" / "bin"), str(Path(sys.executable).parent)]
    on_path = shutil.which(name)
    return on_path or next(
        (str(path) for directory in filter(None, directories) if (path := Path(directory) / name).is_file()), None
    )


def program_version(program: str) -> str:
    """Return the version that a program prints, or `?`."""
    done = subprocess.run([program, "--version"], capture_output=True, text=True, check=False, timeout=60)
    found = re.search(r"\d+\.\d+[.\w]*", done.stdout + done.stderr)
    return found[0] if found else "?"


_OUR_COMMAND = "import sys; from torc_migrations.cli import main; sys.exit(main())"
_OUR_IMPORT = "from torc_migrations import upgrade"
_OUR_API = "from torc_migrations import upgrade; upgrade({database!r}, {directory!r})"
_FLOOR_API = "import floor; floor.upgrade({database!r}, {directory!r})"
_YOYO_API = """
from yoyo import get_backend, read_migrations
backend = get_backend("sqlite:///" + {database!r})
with backend.lock():
    backend.apply_migrations(backend.to_apply(read_migrations({directory!r})))
"""
_SQLITE_UTILS_API = """
import runpy, sqlite_utils
runpy.run_path({directory!r} + "/migrations.py")["migration"].apply(sqlite_utils.Database({database!r}))
"""
_ALEMBIC_API = """
from alembic import command
from alembic.config import Config
config = Config()
config.set_main_option("script_location", {directory!r})
config.set_main_option("sqlalchemy.url", "sqlite:///" + {database!r})
command.upgrade(config, "head")
"""


def _yoyo(python: str) -> Tool:
    imports = "from yoyo import get_backend, read_migrations"
    found = version("yoyo-migrations")
    return Tool(YOYO, found, python, "yoyo", write_yoyo, _call_yoyo, 1000, True, _YOYO_API, imports)


def _sqlite_utils(python: str) -> Tool:
    found = version(SQLITE_UTILS)
    write, call = _write_sqlite_utils, _call_sqlite_utils
    return Tool(
        SQLITE_UTILS, found, python, SQLITE_UTILS, write, call, 10_000, False, _SQLITE_UTILS_API, "import sqlite_utils"
    )


def _alembic(python: str) -> Tool:
    imports = "import alembic.command, alembic.config"
    return Tool(
        ALEMBIC, version(ALEMBIC), python, ALEMBIC, write_alembic, _call_alembic, 1000, False, _ALEMBIC_API, imports
    )


def _isolated(python: str, code: str, *words: object) -> list[str]:
    return [python, "-I", "-c", code, *map(str, words)]


def _call_floor(python: str, database: Path, directory: Path) -> list[str]:
    work = "run_script" if len(list(directory.glob("*.sql"))) <= 2 else "upgrade"
    return _isolated(python, f"import floor; floor.{work}({str(database)!r}, {str(directory)!r})")


def _call_ledgers(python: str, database: Path, directory: Path) -> list[str]:
    """Load yoyo too, as every program does that writes its ledger with it."""
    return _isolated(
        python,
        f"import yoyo.backends.core.sqlite3, floor; floor.upgrade_with_ledgers({str(database)!r}, {str(directory)!r})",
    )


def _call_ours(python: str, database: Path, directory: Path) -> list[str]:
    return _isolated(python, _OUR_COMMAND, "-d", database, "-s", directory, "upgrade")


def _call_ours_each(python: str, database: Path, directory: Path) -> list[str]:
    return [*_call_ours(python, database, directory), "--group", "0"]


def _caller_from(path: Path) -> Call:
    code = f"import sys; sys.path.insert(0, {str(path)!r}); {_OUR_COMMAND}"
    return lambda python, database, directory: _isolated(python, code, "-d", database, "-s", directory, "upgrade")


def _call_yoyo(python: str, database: Path, directory: Path) -> list[str]:
    code = "import sys; from yoyo.scripts.main import main; sys.exit(main())"
    return _isolated(python, code, "apply", "--batch", "--no-config-file", "-d", f"sqlite:///{database}", directory)


def _call_sqlite_utils(python: str, database: Path, directory: Path) -> list[str]:
    code = "from sqlite_utils.cli import cli; cli()"
    return _isolated(python, code, "migrate", database, directory / "migrations.py")


def _call_alembic(python: str, database: Path, directory: Path) -> list[str]:
    code = "from alembic.config import main; main(prog='alembic')"
    return _isolated(python, code, "-c", directory / "alembic.ini", "-x", f"database={database}", "upgrade", "head")


def _call_sqlx(program: str, database: Path, directory: Path) -> list[str]:
    database.touch()  # sqlx does not create the file without `sqlx database create`
    return [program, "migrate", "run", "--source", str(directory), "--database-url", f"sqlite://{database}"]


def _call_dbmate(program: str, database: Path, directory: Path) -> list[str]:
    return [program, "--url", f"sqlite:{database}", "--migrations-dir", str(directory), "--no-dump-schema", "up"]


def _call_goose(program: str, database: Path, directory: Path) -> list[str]:
    return [program, "-dir", str(directory), "sqlite3", str(database), "up"]


def _call_sqitch(program: str, database: Path, directory: Path) -> list[str]:
    return [program, "--chdir", str(directory), "deploy", f"db:sqlite:{database}"]


def write_yoyo(directory: Path, pairs: Sequence[Pair]) -> None:
    """Write migrations as pairs of files, `N_name.sql` and `N_name.rollback.sql`."""
    for number, pair in enumerate(pairs, 1):
        (directory / f"{number:05}_create_table_{number}.sql").write_text(pair.up)
        (directory / f"{number:05}_create_table_{number}.rollback.sql").write_text(pair.down)


def write_sqlx(directory: Path, pairs: Sequence[Pair]) -> None:
    """Write migrations as pairs of files, `N_name.up.sql` and `N_name.down.sql`."""
    for number, pair in enumerate(pairs, 1):
        (directory / f"{number:05}_create_table_{number}.up.sql").write_text(pair.up)
        (directory / f"{number:05}_create_table_{number}.down.sql").write_text(pair.down)


def write_dbmate(directory: Path, pairs: Sequence[Pair]) -> None:
    """Write each migration as one file, with both scripts behind dbmate's marks."""
    for number, pair in enumerate(pairs, 1):
        text = f"-- migrate:up\n{pair.up}\n-- migrate:down\n{pair.down}"
        (directory / f"{number:05}_create_table_{number}.sql").write_text(text)


def write_goose(directory: Path, pairs: Sequence[Pair]) -> None:
    """Write each migration as one file, with both scripts behind goose's marks."""
    for number, pair in enumerate(pairs, 1):
        text = f"-- +goose Up\n{pair.up}\n-- +goose Down\n{pair.down}"
        (directory / f"{number:05}_create_table_{number}.sql").write_text(text)


def _write_sqitch(directory: Path, pairs: Sequence[Pair]) -> None:
    (directory / "sqitch.conf").write_text("[core]\n\tengine = sqlite\n")
    plan = ["%syntax-version=1.0.0", "%project=peers", ""]
    for kind in ("deploy", "revert"):
        (directory / kind).mkdir()
    for number, pair in enumerate(pairs, 1):
        name = f"create_table_{number}"
        plan.append(f"{name} 2026-01-01T00:00:00Z Peers <peers@example.com> # {name}")
        (directory / "deploy" / f"{name}.sql").write_text(f"BEGIN;\n{pair.up}COMMIT;\n")
        (directory / "revert" / f"{name}.sql").write_text(f"BEGIN;\n{pair.down}COMMIT;\n")
    (directory / "sqitch.plan").write_text("\n".join(plan) + "\n")


def _write_sqlite_utils(directory: Path, pairs: Sequence[Pair]) -> None:
    code = ["from sqlite_utils import Migrations", 'migration = Migrations("peers")']
    for number, pair in enumerate(pairs, 1):
        code += ["@migration()", f"def m{number:05}(db):"]
        code += [f"    db.execute({statement!r})" for statement in pair.up.split(";\n") if statement]
    (directory / "migrations.py").write_text("\n".join(code) + "\n")


_ALEMBIC_INI = """
[alembic]
script_location = %(here)s
"""
_ALEMBIC_ENV = """
from alembic import context
from sqlalchemy import create_engine

url = context.config.get_main_option("sqlalchemy.url")
database = context.get_x_argument(as_dictionary=True).get("database", "")
url = url or (database if "://" in database else f"sqlite:///{database}")
with create_engine(url).connect() as connection:
    context.configure(connection=connection, transaction_per_migration=True)
    with context.begin_transaction():
        context.run_migrations()
"""


def write_alembic(directory: Path, pairs: Sequence[Pair]) -> None:
    """Write Alembic's configuration and environment, and each migration as a revision that only goes up."""
    (directory / "alembic.ini").write_text(_ALEMBIC_INI)
    (directory / "env.py").write_text(_ALEMBIC_ENV)
    (directory / "versions").mkdir()
    for number, pair in enumerate(pairs, 1):
        before = f"'{number - 1:05}'" if number > 1 else None
        code = ["from alembic import op", f"revision = '{number:05}'", f"down_revision = {before}", "def upgrade():"]
        code += [f"    op.execute({statement!r})" for statement in pair.up.split(";\n") if statement]
        (directory / "versions" / f"{number:05}_create_table_{number}.py").write_text("\n".join(code) + "\n")


_SQLX = ("sqlx", "0.8/bin/sqlx", "0.9/bin/sqlx")
_DBMATE = ("dbmate", *(f"@dbmate/{sys.platform}-{kind}/bin/dbmate" for kind in ("x64", "arm64")))
_PROGRAMS: tuple[tuple[str, tuple[str, ...], str, Write, Call, int], ...] = (
    ("sqlx", _SQLX, "sqlx", write_sqlx, _call_sqlx, 10_000),
    ("dbmate", _DBMATE, "dbmate", write_dbmate, _call_dbmate, 10_000),
    ("goose", ("goose",), "goose", write_goose, _call_goose, 10_000),
    ("sqitch", ("sqitch",), "sqitch", _write_sqitch, _call_sqitch, 200),
)
