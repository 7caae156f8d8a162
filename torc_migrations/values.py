"""Named tuples without `typing` and without generated code, which take as long to make as to look for work to do."""

from __future__ import annotations

TYPE_CHECKING = False  # what type checkers take for true; so wherever it stands in this package
if TYPE_CHECKING:
    from typing import NamedTuple as NamedTuple
else:
    try:
        from _collections import _tuplegetter as reader_of  # what namedtuple() has its fields read by
    except ImportError:
        from operator import itemgetter

        def reader_of(place, doc):
            """Return what reads a field by its place."""
            return property(itemgetter(place), doc=doc)

    class _Values(tuple):
        """What all of them have in common."""

        __slots__ = ()

        def __new__(cls, *values, **named):
            tail = cls._tails.get(len(values))
            return tuple.__new__(cls, cls._filled(values, named) if named or tail is None else values + tail)

        @classmethod
        def _filled(cls, values, named):
            """Return all values, in order: those given by place, those by name, and the defaults of the rest."""
            rest = cls._fields[len(values) :]
            if unknown := named.keys() - set(rest) or values[len(cls._fields) :]:
                raise TypeError(f"{cls.__name__}() has no place for {', '.join(map(str, unknown))}")
            try:
                return values + tuple(
                    [named[field] if field in named else cls._field_defaults[field] for field in rest]
                )
            except KeyError as missing:
                raise TypeError(f"{cls.__name__}() lacks {missing}") from None

        _make = classmethod(tuple.__new__)

        def _asdict(self):
            return dict(zip(self._fields, self, strict=True))

        def _replace(self, **changes):
            return type(self)(**{**self._asdict(), **changes})

        __replace__ = _replace  # what copy.replace() calls

        def __getnewargs__(self):
            return tuple(self)

        def __repr__(self):
            fields = (f"{name}={value!r}" for name, value in self._asdict().items())
            return f"{type(self).__name__}({', '.join(fields)})"

    class _FromAnnotations(type):
        """Make a named tuple of a class whose body names its fields, as `typing.NamedTuple` does."""

        def __new__(cls, name, bases, body):  # noqa: ARG004  # the one base is NamedTuple itself, and has done its work
            fields = tuple(body.get("__annotations__", ()))
            defaults = body["_field_defaults"] = {field: body[field] for field in fields if field in body}
            # By how many values are given: the defaults of those that are not.
            optional = range(len(defaults) + 1)
            body["_tails"] = {len(fields) - n: tuple(defaults.values())[len(defaults) - n :] for n in optional}
            body.update({field: reader_of(place, None) for place, field in enumerate(fields)})
            return type(name, (_Values,), {**body, "__slots__": (), "_fields": fields, "__match_args__": fields})

    NamedTuple = type.__new__(_FromAnnotations, "NamedTuple", (), {})
