"""Named tuples without `typing`, whose import alone takes half as long as an upgrade with nothing to do."""

from __future__ import annotations

TYPE_CHECKING = False  # what type checkers take for true; so wherever it stands in this package
if TYPE_CHECKING:
    from typing import NamedTuple as NamedTuple
else:
    from collections import namedtuple

    class _FromAnnotations(type):
        """Make a named tuple of a class whose body names its fields, as `typing.NamedTuple` does."""

        def __new__(cls, name, bases, body):  # noqa: ARG004  # the one base is NamedTuple itself, and has done its work
            fields = body.get("__annotations__", {})
            defaults = [body[field] for field in fields if field in body]
            made = namedtuple(name, fields, defaults=defaults, module=body["__module__"])
            for key, value in body.items():
                if key not in fields:
                    setattr(made, key, value)
            return made

    NamedTuple = type.__new__(_FromAnnotations, "NamedTuple", (), {})
