"""The values of expressions that need no running: literals, names of literals, and the calls of yoyo's steps."""

from __future__ import annotations

import ast
from textwrap import dedent
from typing import NamedTuple

# Functions of the standard library that only depend on their argument.
_PURE = {("textwrap", "dedent")}
_YOYO = {"step": "step", "group": "group", "transaction": "group"}
_METHODS = ("strip", "lstrip", "rstrip")
_LONGEST = 60


class NotLiteral(Exception):
    """An expression has no value before Python runs."""

    def __init__(self, node: ast.AST, reason: str) -> None:
        self.line: int | None = getattr(node, "lineno", None)
        self.reason = reason
        super().__init__(reason)


class Step(NamedTuple):
    """A call of `step`: the line where it stands, and its SQL."""

    line: int
    apply: str | None
    rollback: str | None


class Group:
    """What a call of `step` or `group` returns: its steps in their order. Two are equal if they are the same."""

    def __init__(self, steps: tuple[Step, ...]) -> None:
        self.steps = steps


class Steps:
    """The steps that calls have registered, in the order in which yoyo runs them."""

    def __init__(self) -> None:
        self._registered: list[Group] = []

    def register(self, steps: tuple[Step, ...]) -> Group:
        """Add what a call has made to the end."""
        group = Group(steps)
        self._registered.append(group)
        return group

    def take(self, group: Group) -> bool:
        """Remove what becomes a part of another group; return whether it was there."""
        if group not in self._registered:
            return False
        self._registered.remove(group)
        return True

    def in_order(self) -> tuple[Step, ...]:
        """Return every step."""
        return tuple(step for group in self._registered for step in group.steps)


class _Imported(NamedTuple):
    module: str
    name: str | None = None


class _Function(NamedTuple):
    name: str


class Values:
    """The names of a module, and what they stand for; `steps` are those that were registered.

    `problems` are those of calls of `step` that cannot be read.
    """

    def __init__(self) -> None:
        self.steps = Steps()
        self.problems: list[NotLiteral] = []
        self._names: dict[str, object] = {name: _Imported("yoyo", name) for name in _YOYO}

    def bind(self, name: str, value: object) -> None:
        """Give a name a value."""
        self._names[name] = value

    def bind_module(self, name: str, module: str) -> None:
        """Let a name stand for a module."""
        self._names[name] = _Imported(module)

    def bind_imported(self, name: str, module: str, imported: str) -> None:
        """Let a name stand for what was imported from a module."""
        self._names[name] = _Imported(module, imported)

    def bind_function(self, name: str) -> None:
        """Let a name stand for a function that was defined in the file."""
        self._names[name] = _Function(name)

    def get(self, name: str, default: object) -> object:
        """Return the value of a name."""
        return self._names.get(name, default)

    def read(self, node: ast.expr) -> object:
        """Return the value of an expression.

        Raises:
            NotLiteral: it has none before Python runs.
        """
        match node:
            case ast.Constant(value=value):
                return value
            case ast.Name(id=name):
                return self._name(node, name)
            case ast.BinOp(left=left, op=ast.Add(), right=right):
                return self._sum(node, left, right)
            case ast.JoinedStr(values=parts):
                return "".join(self._part(node, part) for part in parts)
            case ast.List(elts=elements):
                return [self.read(each) for each in elements]
            case ast.Tuple(elts=elements):
                return tuple([self.read(each) for each in elements])
            case ast.Set(elts=elements):
                return {self._hashable(each) for each in elements}
            case ast.Dict(keys=keys, values=values) if None not in keys:
                pairs = zip(keys, values, strict=True)
                return {self._hashable(key): self.read(value) for key, value in pairs if key is not None}
            case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as number)):
                return -number
            case ast.Call():
                return self._call(node)
            case _:
                raise _unknown(node)

    def _name(self, node: ast.expr, name: str) -> object:
        if name not in self._names:
            raise NotLiteral(node, f"the name {name!r} has no value in this file")
        return self._names[name]

    def _sum(self, node: ast.BinOp, left: ast.expr, right: ast.expr) -> object:
        one, two = self.read(left), self.read(right)
        if isinstance(one, str) and isinstance(two, str):
            return one + two
        if isinstance(one, list) and isinstance(two, list):
            return one + two
        raise _unknown(node)

    def _part(self, node: ast.JoinedStr, part: ast.expr) -> str:
        """Return a part of an f-string: text, or a name that stands for a text."""
        if isinstance(part, ast.Constant) and isinstance(part.value, str):
            return part.value
        if isinstance(part, ast.FormattedValue) and part.conversion == -1 and part.format_spec is None:
            value = self.read(part.value)
            if isinstance(value, str):
                return value
        raise _unknown(node)

    def _hashable(self, node: ast.expr) -> object:
        value = self.read(node)
        if isinstance(value, (list, set, dict)):
            raise _unknown(node)
        return value

    def _call(self, node: ast.Call) -> object:
        called = self._called(node.func)
        if isinstance(node.func, ast.Attribute) and called is None:
            return self._method(node, node.func)
        if called == _Imported("yoyo", "step"):
            return self._step_or_problem(node)
        if isinstance(called, _Imported) and called.module == "yoyo" and _YOYO.get(called.name or "") == "group":
            return self._group(node)
        if isinstance(called, _Imported) and (called.module, called.name) in _PURE and _has_one_argument(node):
            text = self.read(node.args[0])
            if isinstance(text, str):
                return dedent(text)
        if isinstance(node.func, ast.Name) and node.func.id in ("set", "frozenset", "tuple", "list", "dict"):
            return self._empty_collection(node)
        raise _unknown(node)

    def _called(self, function: ast.expr) -> object:
        """Return what is called: something that was imported, or None."""
        if isinstance(function, ast.Name):
            return self._names.get(function.id)
        if isinstance(function, ast.Attribute) and isinstance(function.value, ast.Name):
            module = self._names.get(function.value.id)
            if isinstance(module, _Imported) and module.name is None:
                return _Imported(module.module, function.attr)
        return None

    def _empty_collection(self, node: ast.Call) -> object:
        name = getattr(node.func, "id", "")
        if name in self._names or node.args or node.keywords:
            raise _unknown(node)
        return ()

    def _method(self, node: ast.Call, function: ast.Attribute) -> object:
        """Return what a method makes of a text: `.strip()` and its like, without an argument."""
        if function.attr in _METHODS and not node.args and not node.keywords:
            text = self.read(function.value)
            if isinstance(text, str):
                return {"strip": text.strip, "lstrip": text.lstrip, "rstrip": text.rstrip}[function.attr]()
        raise _unknown(node)

    def _step_or_problem(self, node: ast.Call) -> Group:
        """Return a step; note why it cannot be one, so that those behind it are looked at too."""
        try:
            return self._step(node)
        except NotLiteral as error:
            self.problems.append(error)
            return self.steps.register(())

    def _step(self, node: ast.Call) -> Group:
        arguments = self._arguments(node, ("apply", "rollback", "ignore_errors"))
        if "apply" not in arguments:
            raise NotLiteral(node, "step() has no SQL to apply")
        self._check_ignored(node, arguments.pop("ignore_errors", None))
        texts = {name: self._text(name, value) for name, value in arguments.items()}
        return self.steps.register((Step(node.lineno, texts.get("apply"), texts.get("rollback")),))

    def _text(self, name: str, node: ast.expr) -> str | None:
        value = self.read(node)
        if isinstance(value, _Function):
            raise NotLiteral(
                node, f"step() is given the function {value.name!r} as {name}, which is Python, and no SQL"
            )
        if value is not None and not isinstance(value, str):
            raise NotLiteral(node, f"step() is given `{_shortened(node)}` as {name}, which is no text")
        return value

    def _group(self, node: ast.Call) -> Group:
        named = {keyword.arg: keyword.value for keyword in node.keywords}
        self._check_ignored(node, named.pop("ignore_errors", None))
        given = [named.pop("steps")] if "steps" in named and not node.args else node.args
        if named or any(isinstance(each, ast.Starred) for each in given):
            raise _unknown(node)
        members: list[object] = []
        for each in given:
            value = self.read(each)
            members += value if isinstance(value, (list, tuple)) else [value]
        steps: list[Step] = []
        for member in members:
            if not isinstance(member, Group) or not self.steps.take(member):
                raise NotLiteral(node, "group() is given something that is no step, or a step twice")
            steps += member.steps
        return self.steps.register(tuple(steps))

    def _check_ignored(self, node: ast.Call, given: ast.expr | None) -> None:
        if given is not None and self.read(given) is not None:
            raise NotLiteral(node, f"ignore_errors={_shortened(given)} cannot be said in SQL")

    def _arguments(self, node: ast.Call, names: tuple[str, ...]) -> dict[str, ast.expr]:
        """Return the arguments of a call by their names."""
        arguments = dict(zip(names, node.args, strict=False))
        for keyword in node.keywords:
            if keyword.arg is None or keyword.arg not in names or keyword.arg in arguments:
                raise _unknown(node)
            arguments[keyword.arg] = keyword.value
        if len(node.args) > len(names) or any(isinstance(each, ast.Starred) for each in node.args):
            raise _unknown(node)
        return arguments


def _unknown(node: ast.expr) -> NotLiteral:
    if isinstance(node, ast.Lambda):
        return NotLiteral(node, "a function (lambda) is Python, and no SQL")
    return NotLiteral(node, f"the value of `{_shortened(node)}` is only known when Python runs")


def _has_one_argument(node: ast.Call) -> bool:
    return len(node.args) == 1 and not node.keywords


def _shortened(node: ast.AST) -> str:
    text = " ".join(ast.unparse(node).split())
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."
