"""Change a module in one place at a time, and see whether its tests notice: `python benchmarks/mutants.py judgement`.

Prints each change that no test noticed, and how many were noticed. Nothing on disk is touched: the changed module is
compiled in memory, in a process of its own, so only tests that run in that process count.

Unlike mutmut it changes properties and what stands outside of functions too: tables and patterns hold half of what
these modules know.
"""

from __future__ import annotations

import argparse
import ast
import os
import resource
import signal
from collections.abc import Callable, Iterator, Sequence
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import CodeType
from typing import NamedTuple

import hypothesis
import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "torc_migrations"
TESTS = {
    "script": ("tests/core/test_script.py", "tests/database/test_scripts.py"),
    "judgement": ("tests/core/test_judgement.py", "tests/core/test_ledger_model.py"),
    "plan": ("tests/core/test_plan.py", "tests/database/test_ledger_scripts.py"),
    "ledger": (
        "tests/database/test_mending.py",
        "tests/database/test_ledger_scripts.py",
        "tests/database/test_scripts.py",
        "tests/database/test_ledger.py",
    ),
    "url": ("tests/core/test_url.py",),
    "checksum": ("tests/core/test_checksum.py",),
}
EXAMPLES = "30"
MEMORY = 4 << 30
SECONDS = 120

SWAPS: dict[type[ast.AST], type[ast.AST]] = {
    ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In, ast.And: ast.Or, ast.Or: ast.And,
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.FloorDiv, ast.FloorDiv: ast.Mult, ast.BitOr: ast.BitAnd,
    ast.BitAnd: ast.BitOr,
}  # fmt: skip


class Mutant(NamedTuple):
    """One change: where, what was there, what is there now; `apply` and `undo` make it in the tree."""

    line: int
    before: str
    after: str
    apply: Callable[[], None]
    undo: Callable[[], None]


def mutants(node: ast.AST) -> Iterator[Mutant]:
    """Return every change of what is below a node; each is to be undone before the next is asked for."""
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
    """Return what may stand where a node stands."""
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
    """Return one change; an operator, which stands on no line of its own, is shown with what it is part of."""
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
    """Have Python run this code where it would load the file of one module of ours."""
    usual = SourceFileLoader.get_code

    def get_code(loader: SourceFileLoader, name: str) -> CodeType | None:
        return code if name == f"{PACKAGE}.{module}" else usual(loader, name)

    SourceFileLoader.get_code = get_code  # type: ignore[assignment, method-assign]  # in this process, which ends with its tests


def passes(module: str, code: CodeType, tests: Sequence[str], seconds: int) -> bool:
    """Run the tests on a changed module in a fork of this process; what takes far too long has failed."""
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
            os._exit(int(pytest.main(["-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", *tests])))
        finally:
            os._exit(99)
    return os.waitpid(child, 0)[1] == 0


def run(module: str, tests: Sequence[str]) -> tuple[int, int]:
    """Try every change of a module; print those that nothing noticed, and return how many were, and of how many."""
    path = ROOT / PACKAGE / f"{module}.py"
    tree = ast.parse(path.read_text(encoding="utf-8"))
    began = os.times()
    if not passes(module, _compiled(tree, path), tests, SECONDS):
        raise SystemExit(f"the tests of {module} fail without any change")
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
        print(f"{module}.py:{mutant.line}: {_short(mutant.before)}  ->  {_short(mutant.after)}", flush=True)
    return noticed, count


def _compiled(tree: ast.Module, path: Path) -> CodeType:
    return compile(ast.fix_missing_locations(tree), str(path), "exec")


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 90 else f"{line[:60]} ... {line[-25:]}"


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("modules", nargs="+", choices=TESTS)
    os.environ["EXAMPLES"] = EXAMPLES
    os.chdir(ROOT)
    hypothesis.settings.register_profile(
        "mutants", database=None, derandomize=True, phases=[hypothesis.Phase.explicit, hypothesis.Phase.generate]
    )
    hypothesis.settings.load_profile("mutants")
    for module in parser.parse_args().modules:
        noticed, count = run(module, TESTS[module])
        print(f"{module}: {noticed} of {count} changes noticed", flush=True)


if __name__ == "__main__":
    main()
