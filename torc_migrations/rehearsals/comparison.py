"""Compare two schemas."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TypeVar

from torc_migrations.databases.results.contents import Change, Contents
from torc_migrations.formatting import lowered
from torc_migrations.history.evidence import Words

_Value = TypeVar("_Value")


@dataclass(frozen=True, slots=True)
class SchemaDifference:
    """What a schema has more, less, and otherwise than another, as names: `table job`, `index i`.

    `columns` are the columns that changed tables have more or less: `+ job.note`, `- job.age`.
    """

    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, object]:
        """Return the same as values that `json` takes."""
        return {name: list(value) for name, value in asdict(self).items()}


def schema_difference(before: Contents, after: Contents) -> SchemaDifference:
    """Return what was added, removed and changed; the spaces and quotes of a definition do not matter."""
    both = [name for name in after.objects if name in before.objects]
    columns = [
        sign + f" {table.name}.{column}"
        for key, table in after.tables.items()
        if (old := before.tables.get(key))
        for sign, column in _column_difference(old.columns, table.columns)
    ]
    return SchemaDifference(
        added=tuple(sorted(after.objects.keys() - before.objects.keys())),
        removed=tuple(sorted(before.objects.keys() - after.objects.keys())),
        changed=tuple(name for name in both if before.objects[name] != after.objects[name]),
        columns=tuple(columns),
    )


def differ_in_order_only(old: Words, new: Words) -> bool:
    """Return whether two definitions of a table have the same columns and constraints, in any order."""
    return _parts(old) == _parts(new)


def _parts(words: Words) -> tuple[list[Words], tuple[Words, ...]]:
    """Return what stands between the commas of a definition of a table, sorted, and what stands around its brackets."""
    depth, begin, parts = 0, 0, []
    for place, word in enumerate(words):
        depth += (word == "(") - (word == ")")
        if (depth, word) in ((1, "("), (1, ","), (0, ")")):
            parts.append(words[begin:place])
            begin = place + 1
    return sorted(parts[1:]), (*parts[:1], words[begin:])


def states_of(changes: Sequence[Change]) -> tuple[Contents, ...]:
    """Return what was there before the first of some changes and after each, as far as any of them has touched it."""
    state = Contents({}, {}, {})
    for change in reversed(changes):
        state = _replaced(state, change.after, change.before)
    states = [state]
    for change in changes:
        states.append(_replaced(states[-1], change.before, change.after))
    return tuple(states)


def _replaced(state: Contents, old: Contents, new: Contents) -> Contents:
    return Contents(
        _with(state.objects, old.objects, new.objects),
        _with(state.tables, old.tables, new.tables),
        _with(state.owners, old.owners, new.owners),
    )


def _with(state: Mapping[str, _Value], old: Mapping[str, _Value], new: Mapping[str, _Value]) -> dict[str, _Value]:
    return {**{key: value for key, value in state.items() if key not in old or key in new}, **new}


def _column_difference(before: tuple[str, ...], after: tuple[str, ...]) -> Iterable[tuple[str, str]]:
    old, new = ({lowered(column) for column in columns} for columns in (before, after))
    yield from (("+", column) for column in after if lowered(column) not in old)
    yield from (("-", column) for column in before if lowered(column) not in new)
