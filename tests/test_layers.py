"""The order of the packages, no circle between files, where other projects' libraries are imported, and sizes."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "torc_migrations"
NAME = PACKAGE.name
FILES = {
    ".".join((NAME, *path.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(".__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
}

# From the lowest to the highest: a file imports from its own package, and from those before it.
ORDER = (
    ("formatting",),
    ("log",),
    ("errors",),
    ("sources",),
    ("history",),
    ("events",),
    ("databases",),
    ("ledgers",),
    ("runs",),
    ("snapshots", "rehearsals", "indexes"),
    ("options",),
    ("configured", "advice"),
    ("migrator", "watch"),
    ("services",),
    ("",),
    ("checks",),
    ("reports",),
    ("aio", "cli", "plugins"),
    ("__main__",),
)
LEVEL = {package: level for level, packages in enumerate(ORDER) for package in packages}

# Which package may import a library that is neither ours nor Python's own.
LIBRARIES = {
    "yoyo": {"ledgers", "databases", "plugins"},
    "click": {"plugins"},  # comes with sqlite-utils, whose commands are click's
    "sqlite_utils": {"plugins", "databases"},
    "dotenv": {"cli"},
    "jinja2": {"reports"},
    "markupsafe": {"reports"},  # comes with jinja2
    "psycopg": {"databases"},
    "pytest": {"plugins"},
    "shtab": {"cli"},
    "trio": {"services"},
    "pymysql": {"databases"},
}
LINES, FILES_IN_PACKAGE = 400, 10


def package_of(module: str) -> str:
    """Return the part of a module's name that stands in `ORDER`."""
    return module.removeprefix(NAME).lstrip(".").partition(".")[0]


def imports_of(module: str) -> Iterator[str]:
    """Yield every module that a file imports, in functions and for type checkers only too."""
    for node in ast.walk(ast.parse(FILES[module].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.module is not None, f"{module}: an import names its module in full"
            names = (f"{node.module}.{alias.name}" for alias in node.names)
            yield from (name if name in FILES else node.module for name in names)


def test_the_files_are_found():
    """The tests below look at every file; none of them passes because there is nothing to look at."""
    assert len(FILES) > 60
    assert {package_of(module) for module in FILES} == set(LEVEL)


@pytest.mark.parametrize("module", FILES)
def test_imports_follow_the_order_of_the_packages(module):
    """A file imports nothing from a higher package, nor from another one on its own level."""
    own = package_of(module)
    ours = {name for name in imports_of(module) if name == NAME or name.startswith(f"{NAME}.")}

    wrong = {name for name in ours if package_of(name) != own and LEVEL[package_of(name)] >= LEVEL[own]}

    assert wrong == set()


def test_no_circle_between_files():
    """Files import each other in no circle, type-only imports included."""
    graph = {module: {name for name in imports_of(module) if name in FILES} - {module} for module in FILES}

    TopologicalSorter(graph).prepare()  # raises CycleError, which names the circle


@pytest.mark.parametrize("module", FILES)
def test_libraries_are_imported_where_the_table_says(module):
    """What is neither ours nor Python's is imported by the packages in the table, and by no other."""
    foreign = {name.partition(".")[0] for name in imports_of(module)} - set(sys.stdlib_module_names) - {NAME}

    assert {name for name in foreign if package_of(module) not in LIBRARIES.get(name, set())} == set()


@pytest.mark.parametrize("module", FILES)
def test_a_file_has_one_duty(module):
    """A file says its duty in its first line, and has at most 400 lines; errors.py is one family on one page."""
    text = FILES[module].read_text(encoding="utf-8")

    assert ast.get_docstring(ast.parse(text))
    assert len(text.splitlines()) <= LINES or module == f"{NAME}.errors"


@pytest.mark.parametrize("directory", sorted({path.parent for path in FILES.values()}), ids=lambda path: path.name)
def test_a_package_has_at_most_ten_files(directory):
    """A package is small enough to be seen at once; `cli/verbs` has one file a verb."""
    files = [path for path in directory.glob("*.py") if path.name != "__init__.py"]

    assert len(files) <= FILES_IN_PACKAGE or directory.name == "verbs"


@pytest.mark.parametrize("module", [each for each in FILES if each != f"{NAME}.cli.terminal"])
def test_only_the_terminal_prints(module):
    """A library never writes to its host's streams."""
    calls = (node for node in ast.walk(ast.parse(FILES[module].read_text("utf-8"))) if isinstance(node, ast.Call))

    assert [call.lineno for call in calls if ast.unparse(call.func) == "print"] == []
