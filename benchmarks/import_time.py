"""Tell what `from torc_migrations import upgrade` costs, and the command that finds nothing to do.

Every figure is the time of a whole process, from start to exit, in a fresh virtual environment that knows nothing but
the package; the processes that are compared take turns.
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
import tempfile
import venv
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import NamedTuple

import torc_migrations

FEWEST_RUNS = 21
SHOWN_MODULES = 30

IMPORT = "from torc_migrations import upgrade"
COMMAND = "import sys; from torc_migrations.cli import main; sys.exit(main())"

# The least that any program could do that wants to be sure that there is nothing to do.
FLOOR = """
import os, sqlite3, sys
from hashlib import sha384

database, folder = sys.argv[1:]
local = {}
with os.scandir(folder) as entries:
    for entry in entries:
        if not entry.name.endswith(".rollback.sql"):
            with open(entry.path, "rb", buffering=0) as file:
                local[int(entry.name.partition("_")[0])] = sha384(file.read()).digest()
connection = sqlite3.connect(database)
recorded = dict(connection.execute("SELECT version, checksum FROM _sqlx_migrations"))
connection.close()
sys.exit(local != recorded)
"""


class Times(NamedTuple):
    """How long the runs of one process took, in milliseconds."""

    best: float
    median: float

    def over(self, other: Times) -> Times:
        """Return how much longer they took than those of another."""
        return Times(self.best - other.best, self.median - other.median)

    def ratio(self, other: Times) -> Times:
        """Return how many times as long they took as those of another."""
        return Times(self.best / other.best, self.median / other.median)


class Module(NamedTuple):
    """A module that is loaded: its time with all that it loads, and its own, in milliseconds under `-X importtime`."""

    name: str
    cumulative: float
    own: float


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    options = _parse(arguments)
    with tempfile.TemporaryDirectory(prefix="import_time_") as folder:
        python = _bare_environment(Path(folder) / "environment")
        database, source = _install(Path(folder), options.migrations)
        nothing_to_do = ("-d", str(database), "-s", str(source), "upgrade")
        times = _take_turns(
            {
                "python -c pass": (python, "-I", "-c", "pass"),
                "import": (python, "-I", "-c", IMPORT),
                "floor": (python, "-I", "-c", FLOOR, str(database), str(source)),
                "command": (python, "-I", "-c", COMMAND, *nothing_to_do),
            },
            options.runs,
            Path(folder),
        )
        modules = _modules(python, IMPORT, options.runs)
    print(_table(times, options))
    print(_module_table(modules))
    return 0


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=41, metavar="N", help="of each process (default: %(default)s)")
    parser.add_argument(
        "--migrations", type=int, default=200, metavar="M", help="that are installed (default: %(default)s)"
    )
    options = parser.parse_args(arguments)
    if options.runs < FEWEST_RUNS:
        parser.error(f"fewer than {FEWEST_RUNS} runs say nothing")
    return options


def _bare_environment(folder: Path) -> str:
    """Make an environment with nothing in it but a path to the package, and return its Python.

    The environment of a developer would not do: what loads an editable package loads half of the standard library.
    """
    builder = venv.EnvBuilder(with_pip=False, symlinks=os.name != "nt")
    builder.create(folder)
    context = builder.ensure_directories(folder)
    site_packages = next(folder.rglob("site-packages"))
    package = Path(torc_migrations.__file__).resolve().parent
    (site_packages / "torc_migrations.pth").write_text(f"{package.parent}\n", encoding="utf-8")
    return str(context.env_exe)


def _install(folder: Path, migrations: int) -> tuple[Path, Path]:
    """Write migrations, each a pair of files, install them all, and return the database and their folder."""
    source = folder / "source"
    source.mkdir()
    for number in range(1, migrations + 1):
        up = f"CREATE TABLE table_{number} (id INTEGER PRIMARY KEY, name TEXT NOT NULL, value REAL);\n"
        (source / f"{number:04}_create_table_{number}.sql").write_text(up, encoding="utf-8")
        (source / f"{number:04}_create_table_{number}.rollback.sql").write_text(
            f"DROP TABLE table_{number};\n", encoding="utf-8"
        )
    database = folder / "installed.db"
    torc_migrations.upgrade(database, source)
    return database, source


def _take_turns(commands: Mapping[str, Sequence[str]], runs: int, folder: Path) -> dict[str, Times]:
    for command in commands.values():  # once unmeasured, so that everything is compiled and in the system's cache
        _time_ms(command, folder)
    rounds = [{name: _time_ms(command, folder) for name, command in commands.items()} for _ in range(runs)]
    taken = {name: [done[name] for done in rounds] for name in commands}
    return {name: Times(min(times), median(times)) for name, times in taken.items()}


def _time_ms(command: Sequence[str], folder: Path) -> float:
    began = perf_counter()
    subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
    return (perf_counter() - began) * 1e3


def _modules(python: str, statement: str, runs: int) -> list[Module]:
    """Return the modules that a statement loads and a bare start does not, the dearest first, each by its best run."""
    bare = {module.name for module in _loaded(python, "pass")}
    best: dict[str, Module] = {}
    for _ in range(runs):
        for module in _loaded(python, statement):
            if module.name not in bare:
                best[module.name] = min(best.get(module.name, module), module, key=lambda one: one.cumulative)
    return sorted(best.values(), key=lambda module: -module.cumulative)


def _loaded(python: str, statement: str) -> Iterator[Module]:
    """Read what `-X importtime` says: `import time: own [us] | cumulative | name`."""
    command = (python, "-I", "-X", "importtime", "-c", statement)
    done = subprocess.run(command, check=True, stderr=subprocess.PIPE, text=True)
    for line in done.stderr.splitlines():
        own, cumulative, name = line.removeprefix("import time:").split("|")
        if own.strip().isdigit():
            yield Module(name.strip(), int(cumulative) / 1e3, int(own) / 1e3)


def _table(times: Mapping[str, Times], options: argparse.Namespace) -> str:
    bare, floor, command = times["python -c pass"], times["floor"], times["command"]
    rows = {
        "python -c pass, ms": bare,
        IMPORT + ", ms": times["import"],
        "    over python -c pass, ms": times["import"].over(bare),
        f"floor: hash {options.migrations} files, read the ledger, ms": floor,
        f"command: upgrade, {options.migrations} installed, ms": command,
        "    times python -c pass": command.ratio(bare),
        "    times the floor": command.ratio(floor),
    }
    title = f"Python {platform.python_version()}, {options.runs} processes each"
    lines = [f"{title:52}{'best':>10}{'median':>10}"]
    lines += [f"{name:52}{time.best:10.2f}{time.median:10.2f}" for name, time in rows.items()]
    return "\n".join(lines)


def _module_table(modules: Sequence[Module]) -> str:
    lines = [f"{'loaded by the import, by cumulative time':52}{'with all':>10}{'own, ms':>10}"]
    lines += [f"{module.name:52}{module.cumulative:10.2f}{module.own:10.2f}" for module in modules[:SHOWN_MODULES]]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
