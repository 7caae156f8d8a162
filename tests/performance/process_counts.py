"""Count what a fresh process does: which modules it loads, and which files it opens."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]

# Without `site`, because what loads an editable package loads half of the standard library.
BEGIN = f"""
import sys
sys.path[:0] = [{str(ROOT)!r}]
bare, events = set(sys.modules), []
"""
WATCH = """
def watch(event, facts):
    if event in ("open", "sqlite3.connect", "os.scandir", "os.listdir"):
        events.append((event, str(facts[0])))
sys.addaudithook(watch)
"""
END = """
print(repr((sorted(set(sys.modules) - bare), events)))
"""


class Counted(NamedTuple):
    """The modules that a piece of Python has loaded, and the audit events that came while it was watched."""

    modules: frozenset[str]
    events: tuple[tuple[str, str], ...]

    @property
    def ours(self) -> set[str]:
        """Those of the modules that are of this package."""
        return {name.partition(".")[2] for name in self.modules if name.startswith("torc_migrations.")}

    def of(self, event: str) -> list[str]:
        """Return what each event of a kind was about, in order."""
        return [what for kind, what in self.events if kind == event]


class Installed(NamedTuple):
    """A database in which every migration of a folder is installed."""

    database: Path
    source: Path


def run(code: str, *, before_watching: str = "") -> Counted:
    """Run Python in a process of its own that has loaded nothing else."""
    program = BEGIN + before_watching + WATCH + code + END
    done = subprocess.run([sys.executable, "-I", "-S", "-c", program], capture_output=True, text=True, check=True)
    modules, events = ast.literal_eval(done.stdout.splitlines()[-1])
    return Counted(frozenset(modules), tuple(events))


def write_migrations(folder: Path, numbers: Iterable[int]) -> Path:
    """Write migrations of a table and an index each, as pairs of files."""
    folder.mkdir(exist_ok=True)
    for number in numbers:
        up = f"CREATE TABLE t{number} (id INTEGER PRIMARY KEY, x TEXT);\nCREATE INDEX i{number} ON t{number} (x);\n"
        (folder / f"{number:04}_make_t{number}.sql").write_text(up)
        (folder / f"{number:04}_make_t{number}.rollback.sql").write_text(f"DROP TABLE t{number};\n")
    return folder
