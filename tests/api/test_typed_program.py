"""A program that uses every public name: mypy --strict accepts it, and it runs."""

from __future__ import annotations

import ast
import inspect
import sys
from collections.abc import Iterator
from pathlib import Path
from subprocess import run as run_process
from types import ModuleType

import pytest
import typed_program
from shell import ROOT, run, write_files

import torc_migrations
from torc_migrations import AsyncMigrator, Fleet, Migrator, aio, errors, events, watch
from torc_migrations.options.keywords import Options

PROGRAM = Path(typed_program.__file__)
# What a wrong program looks like to mypy, one line each.
WRONG = {
    "upgrade('a.db', 'm', lock_timeout='long')": "arg-type",
    "upgrade('a.db', 'm', colour='red')": "call-arg",
    "status('a.db', 7)": "arg-type",
    "Migrator('a.db', on_newer='ignore')": "arg-type",
    "Fleet('*.db').upgrade(on_error='ask')": "arg-type",
    "status('a.db').newest": "attr-defined",
}


def public(thing: type | ModuleType) -> Iterator[str]:
    """Yield the names of what a class or a module shows, and what is its own."""
    for name, value in vars(thing).items():
        own = getattr(value, "__module__", "") == getattr(thing, "__module__", thing.__name__)
        if not name.startswith("_") and (own or isinstance(value, property)):
            yield name


def check(program: Path) -> tuple[int, str]:
    """Run mypy --strict as the project does, and return its exit status and its output."""
    words = [sys.executable, "-m", "mypy", "--strict", str(program)]
    done = run_process(words, cwd=ROOT, capture_output=True, text=True, timeout=600, check=False)
    return done.returncode, done.stdout + done.stderr


def test_the_program_names_everything() -> None:
    """Every public name is in it: functions, classes, their methods, the options, and the fixtures of pytest."""
    tree = ast.parse(PROGRAM.read_text())
    named = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    named |= {alias.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names}
    named |= {node.arg for node in ast.walk(tree) if isinstance(node, ast.keyword) and node.arg}
    named |= {node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)}
    wanted = {*torc_migrations.__all__, *aio.__all__, *Options.__annotations__, "Query", "Watch", "OTHERS", "OnEvent"}
    for each in (Migrator, AsyncMigrator, Fleet, watch.Watch):
        wanted |= set(public(each))
    wanted |= {name for name in public(events) if inspect.isclass(getattr(events, name))}
    wanted |= {"migrated_database", "migrated_memory", "migrated_at"}

    assert wanted - named - {"cursor_kind", "begin"} == set()  # of Watch, for its own connections


@pytest.mark.slow
def test_mypy_accepts_the_program() -> None:
    """With --strict; each result has the type that the program asserts."""
    status, output = check(PROGRAM)

    assert status == 0, output


@pytest.mark.slow
def test_mypy_knows_every_error(tmp_path: Path) -> None:
    """A program that catches each class and reads its facts, and one that is wrong in each line."""
    kinds = [name for name in public(errors) if inspect.isclass(getattr(errors, name))]
    lines = ["from torc_migrations import Fleet, Migrator, errors, status, upgrade"]
    for name in kinds:
        if issubclass(getattr(errors, name), Exception):
            lines.append(f"def of_{name}(error: errors.{name}) -> tuple[str, str | None, int]:")
            lines.append("    return error.code, error.hint, error.exit_code")
    right = tmp_path / "right.py"
    right.write_text("\n".join([*lines, ""]))
    wrong = tmp_path / "wrong.py"
    wrong.write_text("\n".join([*lines, *WRONG, ""]))
    found, output = check(wrong)
    reported = [line for line in output.splitlines() if ": error: " in line]

    assert check(right) == (0, "Success: no issues found in 1 source file\n")
    assert len(kinds) > 40
    assert found == 1
    assert [line.rpartition("[")[2].rstrip("]") for line in reported] == list(WRONG.values()), output


@pytest.mark.slow
def test_the_program_runs(tmp_path: Path) -> None:
    """So what it uses is not only typed; its tests pass too."""
    (tmp_path / "here").mkdir()
    done = run([sys.executable, "-W", "error", PROGRAM, tmp_path / "here"], tmp_path)
    suite = write_files(tmp_path / "suite", {f"migrations/{name}": text for name, text in typed_program.FILES.items()})
    (suite / "test_typed.py").write_text(PROGRAM.read_text())
    tests = run([sys.executable, "-m", "pytest", "-q"], suite)

    # Its two repairs have nothing to do, and its `Watch` warns.
    notes = ["1 is installed, and its file is accepted as it is"] * 2
    assert (done.status, done.err.splitlines()) == (0, [*notes, "SCAN book: SELECT title FROM book"])
    assert "3 passed" in tests.out
