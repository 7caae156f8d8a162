"""The house: which module may import which, who may touch what, and how big a room may be."""

from __future__ import annotations

import ast
import inspect
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

import torc_migrations

PACKAGE = Path(__file__).parent.parent / "torc_migrations"
NAME = PACKAGE.name

# From the ground up: a module imports from floors below its own, never from its own or from above.
FLOORS = (
    ("_version", "driver", "log", "migration_error", "plain_arguments", "tables", "values"),
    ("execution_errors",),
    ("errors",),
    ("authorizer", "index_report", "listing", "script", "url"),
    ("checksum", "disk", "lock", "names", "query_plan"),
    ("migration",),
    ("combination", "connection", "expectation", "judgement"),
    ("database", "plan"),
    ("backend", "copying", "foreign_keys", "glance", "picture", "snapshot", "transaction"),
    ("row_guard", "witness"),
    ("execution",),
    ("ledger",),
    ("scratch",),
    ("doctor", "rehearsal_report", "session"),
    ("run",),
    ("rehearsal", "restoration", "single_transaction"),
    ("round_trips",),
    ("migrator",),
    ("verification",),
    ("inspection", "maintenance"),
    ("config", "folder", "inspect_cli", "mending_cli", "rehearse_cli", "snapshot_cli", "terminal", "watched"),
    ("folder_cli",),
    ("arguments", "watch"),
    ("__init__", "cli", "yoyo_plugin"),
)
FLOOR = {module: number for number, floor in enumerate(FLOORS) for module in floor}

# Who may import what is not ours and not Python's own.
GUESTS = {
    "yoyo": {"backend", "yoyo_plugin"},
    "sqlite_utils": {"inspection"},
    "dotenv": {"config"},
}
# Deciding is done with values: these touch neither a database nor a disk. (`script` asks SQLite's tokenizer.)
PURE = ("errors", "execution_errors", "names", "script", "judgement", "plan", "checksum")
EDGES = {"os", "io", "pathlib", "shutil", "socket", "sqlite3", "subprocess", "tempfile", "threading", "time"}
# What is not loaded with the package, because `upgrade` with nothing to do has no use for it.
DEAR = {
    "argparse",
    "asyncio",
    "configparser",
    "dataclasses",
    "datetime",
    "importlib.resources",
    "inspect",
    "json",
    "logging",
    "pathlib",
    "shutil",
    "sqlite_utils",
    "subprocess",
    "tempfile",
    "urllib.parse",
    "yoyo",
}
LONGEST = 400
NAMES_THAT_SAY_NOTHING = {"base", "common", "helpers", "manager", "misc", "utils"}


class Import(NamedTuple):
    """A module that is imported, and whether only when a function runs."""

    module: str
    lazy: bool


def modules() -> list[str]:
    """Return the names of the package's modules."""
    return sorted(path.stem for path in PACKAGE.glob("*.py"))


@cache
def tree(module: str) -> ast.Module:
    """Return what Python makes of a module's text."""
    return ast.parse((PACKAGE / f"{module}.py").read_text(encoding="utf-8"))


@cache
def imports(module: str) -> frozenset[Import]:
    """Return everything that a module imports, but for what only a type checker reads."""
    return frozenset(_imports(tree(module), lazy=False))


def _imports(node: ast.AST, *, lazy: bool) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and ast.unparse(child.test).endswith("TYPE_CHECKING"):
            continue
        if isinstance(child, ast.Import):
            yield from (Import(alias.name, lazy) for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            yield from (Import(name, lazy) for name in _sources(child))
        yield from _imports(child, lazy=lazy or isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda))


def _sources(node: ast.ImportFrom) -> Iterator[str]:
    """Return the modules behind `from x import y`; y is one itself where x is the package."""
    assert node.module is not None, "an import names its module in full"
    if node.module == NAME:
        yield from (f"{NAME}.{alias.name}" for alias in node.names)
    else:
        yield node.module


def ours(module: str, *, lazy_too: bool = True) -> set[str]:
    """Return the modules of the package that a module imports."""
    named = {name for name, lazy in imports(module) if lazy_too or not lazy}
    return {name.partition(".")[2] for name in named if name.startswith(f"{NAME}.")}


def loaded_with(module: str) -> set[str]:
    """Return the modules of the package that are loaded by importing one of them."""
    loaded, waiting = set[str](), {module}
    while waiting:
        loaded |= waiting
        waiting = {other for each in waiting for other in ours(each, lazy_too=False)} - loaded
    return loaded


@pytest.mark.parametrize("module", modules())
def test_every_module_has_its_floor(module):
    """A new module is given a place in the table before it is given anything else."""
    assert module in FLOOR


def test_every_place_is_taken():
    """The table names no module that has gone, and none twice."""
    assert sorted(module for floor in FLOORS for module in floor) == modules()


@pytest.mark.parametrize("module", modules())
def test_imports_go_down(module):
    """A module knows what stands below it only, also inside its functions; so there is no cycle."""
    floor = FLOOR.get(module, -1)

    above = {other for other in ours(module) if FLOOR.get(other, len(FLOORS)) >= floor}

    assert above == set()


@pytest.mark.parametrize("module", modules())
def test_guests_are_let_in_by_one_door(module):
    """What is neither ours nor Python's is imported where the table says, and nowhere else."""
    foreign = {name.partition(".")[0] for name, _ in imports(module)} - set(sys.stdlib_module_names) - {NAME}

    assert {name for name in foreign if module not in GUESTS.get(name, set())} == set()


@pytest.mark.parametrize("module", PURE)
def test_what_decides_touches_nothing(module):
    """Text, status and plan take values and return values."""
    touched = {name for name, _ in imports(module)} & EDGES

    assert touched <= ({"sqlite3"} if module == "script" else set())


@pytest.mark.parametrize("module", sorted(loaded_with("__init__")))
def test_the_package_loads_nothing_dear(module):
    """Importing the package stays cheap: what costs milliseconds is imported by the function that needs it."""
    assert {name for name, lazy in imports(module) if not lazy} & DEAR == set()


@pytest.mark.parametrize("module", sorted(set(modules()) - {"terminal"}))
def test_only_the_terminal_prints(module):
    """A library never writes to its host's streams."""
    calls = [node for node in ast.walk(tree(module)) if isinstance(node, ast.Call)]

    assert [call.lineno for call in calls if ast.unparse(call.func) == "print"] == []


@pytest.mark.parametrize("module", modules())
def test_no_room_is_too_big(module):
    """A module of more than 400 lines has two duties."""
    assert len((PACKAGE / f"{module}.py").read_text(encoding="utf-8").splitlines()) <= LONGEST


@pytest.mark.parametrize("module", modules())
def test_every_module_says_its_duty(module):
    """A module begins with its duty, and its name says more than that it is useful."""
    assert ast.get_docstring(tree(module)) or module == "_version"
    assert not NAMES_THAT_SAY_NOTHING & set(module.split("_"))


def test_no_module_is_called_like_a_function():
    """Importing a module puts it into the package by its name, where it would take the function's place."""
    functions = {name for name in torc_migrations.__all__ if inspect.isfunction(getattr(torc_migrations, name))}

    assert {"status", "upgrade", "round_trip"} <= functions
    assert functions & set(modules()) == set()
