"""The migration tools that peers.py compares: where each is found, what its files look like, and how it is called."""

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
FLOOR, LEDGERS, OURS, YOYO, SQLITE_UTILS, ALEMBIC = (
    "floor",
    "floor with ledgers",
    "torc_migrations",
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
        write: writes a folder of its migrations. layout: the name of that kind of folder, which tools may share.
        call: returns a command that applies what is pending, for a Python (or the tool's program), a database and a
            folder.
        most: the most migrations that it is asked to apply. scripts: whether it runs a long script of SQL.
        api: statements of Python that do the same; the names `database` and `folder` are put into it.
        imports: the statement that loads it.
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


def find_tools(python: str) -> tuple[list[Tool], list[str]]:
    """Return the tools that are here, and the names of those that are not."""
    found = [
        Tool(FLOOR, "-", python, "yoyo", write_yoyo, _call_floor, api=_FLOOR_API, imports="import sqlite3"),
        Tool(LEDGERS, "-", python, "yoyo", write_yoyo, _call_ledgers, 1000, scripts=False),
        Tool(OURS, version(OURS), python, "yoyo", write_yoyo, _call_ours, api=_OUR_API, imports=_OUR_IMPORT),
    ]
    absent = []
    for make in (_yoyo, _sqlite_utils, _alembic):
        try:
            found.append(make(python))
        except PackageNotFoundError as error:
            absent.append(str(error.name))
    for name, names, layout, write, call, most in _PROGRAMS:
        programs = [path for path in map(_find_program, names) if path]
        found += [Tool(_title(name, path), _version(path), path, layout, write, call, most) for path in programs]
        absent += [] if programs else [name]
    return found, absent


def _title(name: str, path: str) -> str:
    return f"{name} {_version(path)}" if name == "sqlx" else name


def _find_program(name: str) -> str | None:
    """Look on the PATH, and where peers and tests keep what they have fetched or built."""
    folders = [os.environ.get("TORC_PEERS", ""), str(CACHE / "peers" / "bin"), str(CACHE / "sqlx")]
    folders += [os.environ.get("TORC_SQLX_CACHE", ""), str(CACHE / "peers" / "node_modules")]
    on_path = shutil.which(name)
    return on_path or next(
        (str(path) for folder in filter(None, folders) if (path := Path(folder) / name).is_file()), None
    )


def _version(program: str) -> str:
    done = subprocess.run([program, "--version"], capture_output=True, text=True, check=False, timeout=60)
    found = re.search(r"\d+\.\d+[.\w]*", done.stdout + done.stderr)
    return found[0] if found else "?"


_OUR_COMMAND = "import sys; from torc_migrations.cli import main; sys.exit(main())"
_OUR_IMPORT = "from torc_migrations import upgrade"
_OUR_API = "from torc_migrations import upgrade; upgrade({database!r}, {folder!r})"
_FLOOR_API = "import peer_floor; peer_floor.upgrade({database!r}, {folder!r})"
_YOYO_API = """
from yoyo import get_backend, read_migrations
backend = get_backend("sqlite:///" + {database!r})
with backend.lock():
    backend.apply_migrations(backend.to_apply(read_migrations({folder!r})))
"""
_SQLITE_UTILS_API = """
import runpy, sqlite_utils
runpy.run_path({folder!r} + "/migrations.py")["migration"].apply(sqlite_utils.Database({database!r}))
"""
_ALEMBIC_API = """
from alembic import command
from alembic.config import Config
config = Config()
config.set_main_option("script_location", {folder!r})
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
        ALEMBIC, version(ALEMBIC), python, ALEMBIC, _write_alembic, _call_alembic, 1000, False, _ALEMBIC_API, imports
    )


def _isolated(python: str, code: str, *words: object) -> list[str]:
    return [python, "-I", "-c", code, *map(str, words)]


def _call_floor(python: str, database: Path, folder: Path) -> list[str]:
    work = "run_script" if len(list(folder.glob("*.sql"))) <= 2 else "upgrade"
    return _isolated(python, f"import peer_floor; peer_floor.{work}({str(database)!r}, {str(folder)!r})")


def _call_ledgers(python: str, database: Path, folder: Path) -> list[str]:
    """Load yoyo too, as whoever writes through it has to."""
    return _isolated(
        python,
        "import yoyo.backends.core.sqlite3, peer_floor; "
        f"peer_floor.upgrade_with_ledgers({str(database)!r}, {str(folder)!r})",
    )


def _call_ours(python: str, database: Path, folder: Path) -> list[str]:
    return _isolated(python, _OUR_COMMAND, "-d", database, "-s", folder, "upgrade")


def _call_yoyo(python: str, database: Path, folder: Path) -> list[str]:
    code = "import sys; from yoyo.scripts.main import main; sys.exit(main())"
    return _isolated(python, code, "apply", "--batch", "--no-config-file", "-d", f"sqlite:///{database}", folder)


def _call_sqlite_utils(python: str, database: Path, folder: Path) -> list[str]:
    code = "from sqlite_utils.cli import cli; cli()"
    return _isolated(python, code, "migrate", database, folder / "migrations.py")


def _call_alembic(python: str, database: Path, folder: Path) -> list[str]:
    code = "from alembic.config import main; main(prog='alembic')"
    return _isolated(python, code, "-c", folder / "alembic.ini", "-x", f"database={database}", "upgrade", "head")


def _call_sqlx(program: str, database: Path, folder: Path) -> list[str]:
    database.touch()  # sqlx itself wants `sqlx database create` first
    return [program, "migrate", "run", "--source", str(folder), "--database-url", f"sqlite://{database}"]


def _call_dbmate(program: str, database: Path, folder: Path) -> list[str]:
    return [program, "--url", f"sqlite:{database}", "--migrations-dir", str(folder), "--no-dump-schema", "up"]


def _call_goose(program: str, database: Path, folder: Path) -> list[str]:
    return [program, "-dir", str(folder), "sqlite3", str(database), "up"]


def _call_sqitch(program: str, database: Path, folder: Path) -> list[str]:
    return [program, "--chdir", str(folder), "deploy", f"db:sqlite:{database}"]


def write_yoyo(folder: Path, pairs: Sequence[Pair]) -> None:
    for number, pair in enumerate(pairs, 1):
        (folder / f"{number:05}_create_table_{number}.sql").write_text(pair.up)
        (folder / f"{number:05}_create_table_{number}.rollback.sql").write_text(pair.down)


def _write_sqlx(folder: Path, pairs: Sequence[Pair]) -> None:
    for number, pair in enumerate(pairs, 1):
        (folder / f"{number:05}_create_table_{number}.up.sql").write_text(pair.up)
        (folder / f"{number:05}_create_table_{number}.down.sql").write_text(pair.down)


def _write_dbmate(folder: Path, pairs: Sequence[Pair]) -> None:
    for number, pair in enumerate(pairs, 1):
        text = f"-- migrate:up\n{pair.up}\n-- migrate:down\n{pair.down}"
        (folder / f"{number:05}_create_table_{number}.sql").write_text(text)


def _write_goose(folder: Path, pairs: Sequence[Pair]) -> None:
    for number, pair in enumerate(pairs, 1):
        text = f"-- +goose Up\n{pair.up}\n-- +goose Down\n{pair.down}"
        (folder / f"{number:05}_create_table_{number}.sql").write_text(text)


def _write_sqitch(folder: Path, pairs: Sequence[Pair]) -> None:
    (folder / "sqitch.conf").write_text("[core]\n\tengine = sqlite\n")
    plan = ["%syntax-version=1.0.0", "%project=peers", ""]
    for kind in ("deploy", "revert"):
        (folder / kind).mkdir()
    for number, pair in enumerate(pairs, 1):
        name = f"create_table_{number}"
        plan.append(f"{name} 2026-01-01T00:00:00Z Peers <peers@example.com> # {name}")
        (folder / "deploy" / f"{name}.sql").write_text(f"BEGIN;\n{pair.up}COMMIT;\n")
        (folder / "revert" / f"{name}.sql").write_text(f"BEGIN;\n{pair.down}COMMIT;\n")
    (folder / "sqitch.plan").write_text("\n".join(plan) + "\n")


def _write_sqlite_utils(folder: Path, pairs: Sequence[Pair]) -> None:
    code = ["from sqlite_utils import Migrations", 'migration = Migrations("peers")']
    for number, pair in enumerate(pairs, 1):
        code += ["@migration()", f"def m{number:05}(db):"]
        code += [f"    db.execute({statement!r})" for statement in pair.up.split(";\n") if statement]
    (folder / "migrations.py").write_text("\n".join(code) + "\n")


_ALEMBIC_INI = """
[alembic]
script_location = %(here)s
"""
_ALEMBIC_ENV = """
from alembic import context
from sqlalchemy import create_engine

url = context.config.get_main_option("sqlalchemy.url")
url = url or "sqlite:///" + context.get_x_argument(as_dictionary=True)["database"]
with create_engine(url).connect() as connection:
    context.configure(connection=connection, transaction_per_migration=True)
    with context.begin_transaction():
        context.run_migrations()
"""


def _write_alembic(folder: Path, pairs: Sequence[Pair]) -> None:
    (folder / "alembic.ini").write_text(_ALEMBIC_INI)
    (folder / "env.py").write_text(_ALEMBIC_ENV)
    (folder / "versions").mkdir()
    for number, pair in enumerate(pairs, 1):
        before = f"'{number - 1:05}'" if number > 1 else None
        code = ["from alembic import op", f"revision = '{number:05}'", f"down_revision = {before}", "def upgrade():"]
        code += [f"    op.execute({statement!r})" for statement in pair.up.split(";\n") if statement]
        (folder / "versions" / f"{number:05}_create_table_{number}.py").write_text("\n".join(code) + "\n")


_SQLX = ("sqlx", "0.8/bin/sqlx", "0.9/bin/sqlx")
_DBMATE = ("dbmate", *(f"@dbmate/{sys.platform}-{kind}/bin/dbmate" for kind in ("x64", "arm64")))
_PROGRAMS: tuple[tuple[str, tuple[str, ...], str, Write, Call, int], ...] = (
    ("sqlx", _SQLX, "sqlx", _write_sqlx, _call_sqlx, 10_000),
    ("dbmate", _DBMATE, "dbmate", _write_dbmate, _call_dbmate, 10_000),
    ("goose", ("goose",), "goose", _write_goose, _call_goose, 10_000),
    ("sqitch", ("sqitch",), "sqitch", _write_sqitch, _call_sqitch, 200),
)
