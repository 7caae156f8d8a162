"""Read a migration that is written for yoyo in Python, without running it.

Only what has one possible meaning is read: literal texts, and what joins them. Everything else is named with its line.
How yoyo collects steps: class StepCollector in yoyo/migrations.py of yoyo-migrations 9.0.
"""

from __future__ import annotations

import ast
import sys
import warnings
from textwrap import dedent

from torc_migrations.sources.converting.scripts import (
    CannotConvert,
    Scripts,
    bare,
    ends_inside,
    has_statement,
    terminated,
)
from torc_migrations.sources.converting.yoyo.literals import NotLiteral, Step, Values
from torc_migrations.sources.directives import Directives, read_directives

# Modules whose import does nothing that a migration could need.
_HARMLESS = sys.stdlib_module_names - {"this", "antigravity"}


def read_python(source: bytes) -> tuple[Scripts | None, list[CannotConvert]]:
    """Return the scripts of a file, or None and what cannot be converted in it."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # an escape like "\d" is the author's
            module = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        return None, [CannotConvert(getattr(error, "lineno", None), f"Python cannot read it: {_reason(error)}")]
    reader = _Reader()
    for statement in module.body:
        reader.read(statement)
    scripts = None if reader.problems else reader.scripts(ast.get_docstring(module) or "")
    return (None, reader.problems) if reader.problems else (scripts, [])


def _reason(error: BaseException) -> str:
    return getattr(error, "msg", None) or str(error) or type(error).__name__


class _Reader:
    """Reads the statements of a module in their order."""

    def __init__(self) -> None:
        self.problems: list[CannotConvert] = []
        self._values = Values()

    def read(self, statement: ast.stmt) -> None:
        """Read one statement; what it cannot be is noted."""
        try:
            self._read(statement)
        except NotLiteral as error:
            self._values.problems.append(error)
        except RecursionError:
            self._values.problems.append(NotLiteral(statement, "an expression is too deep"))
        self.problems += [CannotConvert(each.line, each.reason) for each in self._values.problems]
        self._values.problems.clear()

    def _read(self, statement: ast.stmt) -> None:
        match statement:
            case ast.Pass() | ast.AnnAssign(value=None):
                pass
            case ast.Import():
                self._import(statement)
            case ast.ImportFrom():
                self._import_from(statement)
            case ast.Expr(value=value):
                self._values.read(value)
            case ast.Assign(targets=targets, value=value):
                self._assign(targets, value)
            case ast.AnnAssign(target=target, value=ast.expr() as value):
                self._assign([target], value)
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                self._define(statement)
            case _:
                raise NotLiteral(statement, f"`{_keyword(statement)}` is decided when Python runs")

    def _import(self, statement: ast.Import) -> None:
        for alias in statement.names:
            top = alias.name.partition(".")[0]
            if top != "yoyo" and top not in _HARMLESS:
                raise NotLiteral(statement, f"the import of {alias.name!r} runs code of that module")
            self._values.bind_module(alias.asname or top, alias.name if alias.asname else top)

    def _import_from(self, statement: ast.ImportFrom) -> None:
        module = statement.module or ""
        top = module.partition(".")[0]
        if statement.level or (top != "yoyo" and top not in _HARMLESS):
            raise NotLiteral(statement, f"the import of {'.' * statement.level + module!r} runs code of that module")
        for alias in statement.names:
            if alias.name == "*" and top != "yoyo":
                raise NotLiteral(statement, f"`from {module} import *` gives names that are not in the file")
            if alias.name != "*":
                self._values.bind_imported(alias.asname or alias.name, module, alias.name)

    def _assign(self, targets: list[ast.expr], value: ast.expr) -> None:
        for target in targets:
            if not isinstance(target, ast.Name):
                raise NotLiteral(target, f"an assignment to `{ast.unparse(target)}` is decided when Python runs")
        read = self._values.read(value)
        for target in targets:
            assert isinstance(target, ast.Name)
            self._values.bind(target.id, read)

    def _define(self, statement: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        if statement.decorator_list:
            raise NotLiteral(statement.decorator_list[0], "a decorator runs code")
        defaults = (*statement.args.defaults, *statement.args.kw_defaults)
        if any(not isinstance(each, (ast.Constant, type(None))) for each in defaults):
            raise NotLiteral(statement, f"the function {statement.name!r} has a default value that runs code")
        self._values.bind_function(statement.name)

    def scripts(self, docstring: str) -> Scripts | None:
        """Return the scripts that the steps make; a text that cannot be joined with others is noted."""
        steps = self._values.steps.in_order()
        up = b"".join(self._sql(step.line, step.apply) for step in steps)
        down = b"".join(self._sql(step.line, step.rollback) for step in reversed(steps))
        depends = self._depends()
        transactional = self._values.get("__transactional__", True)
        if not isinstance(transactional, bool):
            self.problems.append(CannotConvert(None, "__transactional__ is neither True nor False"))
        if self.problems:
            return None
        return Scripts(
            _description(docstring) + up,
            down if has_statement(down) else None,
            bool(transactional),
            bool(transactional),
            depends,
            _notes(steps) if has_statement(down) else (),
        )

    def _sql(self, line: int, text: str | None) -> bytes:
        try:
            sql = _bytes(text)
        except UnicodeEncodeError:
            self.problems.append(CannotConvert(line, "a text has a character that UTF-8 does not have"))
            return b""
        if b"\0" in sql:
            self.problems.append(CannotConvert(line, "a text has a NUL character in it"))
        elif ends_inside(sql):
            self.problems.append(CannotConvert(line, "a text ends inside of quotes or a block comment"))
        stripped = sql.strip()
        if bare(stripped) == b"":
            return stripped + b"\n" if stripped else b""
        return terminated(stripped).rstrip() + b"\n"

    def _depends(self) -> tuple[str, ...]:
        depends = self._values.get("__depends__", ())
        ids = [depends] if isinstance(depends, str) else depends
        if not isinstance(ids, (list, tuple, set, frozenset, dict)) or not all(isinstance(each, str) for each in ids):
            self.problems.append(CannotConvert(None, "__depends__ is no collection of ids"))
            return ()
        if bad := [each for each in ids if not each or each.split() != [each]]:
            self.problems.append(CannotConvert(None, f"the id {bad[0]!r} in __depends__ has a blank in it"))
        return tuple(sorted(ids))


def _keyword(statement: ast.stmt) -> str:
    """Return the first words of a statement."""
    first = ast.unparse(statement).partition("\n")[0]
    return first if len(first) <= 60 else f"{first[:57]}..."


def _notes(steps: tuple[Step, ...]) -> tuple[str, ...]:
    lacking = [step.line for step in steps if has_statement(_bytes(step.apply)) and not step.rollback]
    return (
        (f"the step in line {lacking[0]} has no rollback, and stays when the others are rolled back",)
        if lacking
        else ()
    )


def _bytes(text: str | None) -> bytes:
    return (text or "").encode()


def _description(docstring: str) -> bytes:
    """Return the description of a migration as comments; none where a line of it would be a directive."""
    lines = dedent(docstring).replace("\0", "").strip().splitlines()
    comments = "".join(f"-- {line}".rstrip() + "\n" for line in lines).encode(errors="replace")
    try:
        return comments if read_directives(comments) == Directives() else b""
    except ValueError:
        return b""
