"""Change a module in one place at a time, and report the changes that no test notices.

    python -m benchmarks.reliability.mutants sources/text.py tests/sources/test_sources.py

The first argument is a file of the package, the others are tests of it. Nothing on disk is changed: the changed module
is compiled in memory, in a process of its own, so only tests that run in that process count. Code outside of functions
is changed too, because tables and patterns are half of what many modules contain.
"""

from __future__ import annotations

import argparse
import ast
import os
import resource
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import CodeType
from typing import NamedTuple

import hypothesis
import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = "torc_migrations"
EXAMPLES = "30"  # of each property-based test
MEMORY = 4 << 30  # bytes that the tests of one change may take
SECONDS = 120  # that the tests of one change may take
# Plain: pytest would load the package with a loader of its own, because there is a plugin for pytest in it.
OPTIONS = ("-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "--assert=plain")

SWAPS: dict[type[ast.AST], type[ast.AST]] = {
    ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In, ast.And: ast.Or, ast.Or: ast.And,
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.FloorDiv, ast.FloorDiv: ast.Mult, ast.BitOr: ast.BitAnd,
    ast.BitAnd: ast.BitOr,
}  # fmt: skip


class Mutant(NamedTuple):
    """One change: its line, the code before and after; `apply` and `undo` change the tree."""

    line: int
    before: str
    after: str
    apply: Callable[[], None]
    undo: Callable[[], None]


def mutants(node: ast.AST) -> Iterator[Mutant]:
    """Yield every change below a node; undo each before the next is taken."""
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns", "decorator_list"):
            continue
        if isinstance(value, ast.AST):
            yield from _mutants_at(node, name, value)
        elif isinstance(value, list):
            yield from _mutants_of_list(node, name, value)


def _mutants_of_list(node: ast.AST, name: str, values: list[ast.AST]) -> Iterator[Mutant]:
    if isinstance(node, ast.Tuple | ast.List | ast.Set) and len(values) > 1:
        for index in range(len(values)):
            yield _change(node, name, values, values[:index] + values[index + 1 :], node)
    if isinstance(node, ast.Dict) and name == "keys":
        for index in range(len(values)):
            yield _drop_of_dict(node, index)
    for index, value in enumerate(values):
        if isinstance(value, ast.AST) and not _is_docstring(value) and not _is_for_types(value):
            for new in _replacements(value):
                yield _change(node, name, values, [*values[:index], new, *values[index + 1 :]], value, new)
            yield from mutants(value)


def _mutants_at(node: ast.AST, name: str, value: ast.AST) -> Iterator[Mutant]:
    for new in _replacements(value):
        yield _change(node, name, value, new, value, new)
    if name == "test" and isinstance(value, ast.expr):
        negated = ast.UnaryOp(ast.Not(), value)
        yield _change(node, name, value, negated, value, negated)
    yield from mutants(value)


def _replacements(node: ast.AST) -> Iterator[ast.AST]:
    """Yield what a node may be replaced by."""
    if type(node) in SWAPS:
        yield SWAPS[type(node)]()
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        yield node.operand
    if isinstance(node, ast.Constant):
        yield from _other_constants(node.value)
    if isinstance(node, ast.Return) and node.value and not _is_none(node.value):
        yield ast.Return(ast.Constant(None))
    if isinstance(node, ast.Expr | ast.Raise | ast.AugAssign | ast.Continue | ast.Break):
        yield ast.Pass()


def _other_constants(value: object) -> Iterator[ast.Constant]:
    if isinstance(value, bool):
        yield ast.Constant(not value)
    elif isinstance(value, int):
        yield ast.Constant(value + 1)
    elif isinstance(value, str):
        yield ast.Constant(f"{value}~")
    elif isinstance(value, bytes):
        yield ast.Constant(value + b"~")


def _is_none(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def _is_docstring(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _is_for_types(node: ast.AST) -> bool:
    asked = node.test if isinstance(node, ast.If) else node.targets[0] if isinstance(node, ast.Assign) else None
    return isinstance(asked, ast.Name) and asked.id == "TYPE_CHECKING"


def _change(node: ast.AST, name: str, old: object, new: object, value: ast.AST, other: ast.AST | None = None) -> Mutant:
    """Return one change; an operator, which has no line number, is shown with the expression that it is part of."""
    alone = hasattr(value, "lineno") and other is not None
    before = ast.unparse(value if alone else node)
    setattr(node, name, new)
    after = ast.unparse(other if alone and other else node)
    setattr(node, name, old)
    line = getattr(value if alone else node, "lineno", 0)
    return Mutant(line, before, after, lambda: setattr(node, name, new), lambda: setattr(node, name, old))


def _drop_of_dict(node: ast.Dict, index: int) -> Mutant:
    keys, values = node.keys, node.values

    def apply() -> None:
        node.keys, node.values = keys[:index] + keys[index + 1 :], values[:index] + values[index + 1 :]

    def undo() -> None:
        node.keys, node.values = keys, values

    dropped = keys[index]
    return Mutant(node.lineno, ast.unparse(dropped) if dropped else "**", "dropped", apply, undo)


def load_as(module: str, code: CodeType) -> None:
    """Make Python run this code where it would load the file of one module."""
    usual = SourceFileLoader.get_code

    def get_code(loader: SourceFileLoader, name: str) -> CodeType | None:
        return code if name == module else usual(loader, name)

    # The change stays in this process, which ends with its tests.
    SourceFileLoader.get_code = get_code  # type: ignore[assignment, method-assign]


def passes(module: str, code: CodeType, tests: Sequence[str], seconds: int) -> bool:
    """Run the tests of a changed module in a fork of this process; they fail if they take too long."""
    child = os.fork()
    if child == 0:
        try:
            quiet = os.open(os.devnull, os.O_RDWR)
            for stream in (0, 1, 2):
                os.dup2(quiet, stream)
            resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
            resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
            signal.alarm(SECONDS)
            load_as(module, code)
            os._exit(int(pytest.main([*OPTIONS, *tests])))
        finally:
            os._exit(99)
    return os.waitpid(child, 0)[1] == 0


def run(path: Path, tests: Sequence[str]) -> tuple[int, int]:
    """Try every change of a module and print those that no test noticed; return how many were noticed, of how many."""
    module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
    tree = ast.parse(path.read_text(encoding="utf-8"))
    began = os.times()
    if not passes(module, _compiled(tree, path), tests, SECONDS):
        raise SystemExit(f"error: the tests of {module} fail without any change")
    ended = os.times()
    usual = ended.children_user + ended.children_system - began.children_user - began.children_system
    noticed = count = 0
    for mutant in mutants(tree):
        mutant.apply()
        try:
            code = _compiled(tree, path)
        finally:
            mutant.undo()
        count += 1
        if not passes(module, code, tests, int(usual * 4) + 2):
            noticed += 1
            continue
        print(f"{path.name}:{mutant.line}: {_short(mutant.before)}  ->  {_short(mutant.after)}", flush=True)
    return noticed, count


def _compiled(tree: ast.Module, path: Path) -> CodeType:
    return compile(ast.fix_missing_locations(tree), str(path), "exec")


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 90 else f"{line[:60]} ... {line[-25:]}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("module", help="a file below torc_migrations/, such as sources/text.py")
    parser.add_argument("tests", nargs="+", help="files of tests, or what else pytest takes")
    options = parser.parse_args(arguments)
    path = ROOT / PACKAGE / options.module
    if not path.is_file():
        parser.error(f"there is no file {options.module!r} below {PACKAGE}/")
    os.environ["EXAMPLES"] = EXAMPLES
    os.chdir(ROOT)
    hypothesis.settings.register_profile(
        "mutants", database=None, derandomize=True, phases=[hypothesis.Phase.explicit, hypothesis.Phase.generate]
    )
    hypothesis.settings.load_profile("mutants")
    noticed, count = run(path, options.tests)
    print(f"{options.module}: {noticed} of {count} changes noticed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
