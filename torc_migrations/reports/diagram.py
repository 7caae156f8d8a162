"""Lay out a diagram of the tables that change: a row for each level of foreign keys, parents above their children."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from torc_migrations.formatting import escaped
from torc_migrations.reports.values import ColumnChange, Kind, TableChange

SIGNS: Mapping[Kind, str] = {"added": "+", "changed": "~", "dropped": "-", "unchanged": ""}

# In the units of the SVG, one of which is a pixel at its natural size.
_WIDTH, _LINE, _PADDING = 200, 18, 10
_GAP, _ROW_GAP = 26, 44
_IN_ROW = 4
_COLUMNS, _LETTERS = 8, 22


@dataclass(frozen=True, slots=True)
class Line:
    """A line of text in a box, and how it is coloured."""

    text: str
    kind: Kind
    y: int


@dataclass(frozen=True, slots=True)
class Box:
    """A table in the diagram; `x` and `y` are of its upper left corner."""

    title: str
    kind: Kind
    x: int
    y: int
    height: int
    lines: tuple[Line, ...]
    width: int = _WIDTH

    @property
    def middle(self) -> int:
        """The x of its middle."""
        return self.x + self.width // 2


@dataclass(frozen=True, slots=True)
class Edge:
    """A foreign key: the path of its line, from the child to the parent."""

    path: str


@dataclass(frozen=True, slots=True)
class Diagram:
    """Boxes and the lines between them, and the names of the tables that are not drawn, because they do not change."""

    width: int
    height: int
    boxes: tuple[Box, ...]
    edges: tuple[Edge, ...]
    left_out: tuple[str, ...]


def drawn_tables(tables: Sequence[TableChange]) -> tuple[TableChange, ...]:
    """Return the tables that change, and those that a foreign key connects with one of them."""
    changed = {each.name for each in tables if each.kind != "unchanged"}
    parents = {parent for each in tables if each.name in changed for parent in each.parents}
    return tuple(each for each in tables if each.name in changed | parents or not changed.isdisjoint(each.parents))


def lay_out(tables: Sequence[TableChange]) -> Diagram:
    """Return the diagram of the tables that change."""
    drawn = drawn_tables(tables)
    rows = [row for level in _levels(drawn) for row in _cut(level)]
    boxes: dict[str, Box] = {}
    y = _PADDING
    width = max((len(row) for row in rows), default=0) * (_WIDTH + _GAP) + _GAP
    for row in rows:
        x = (width - len(row) * (_WIDTH + _GAP) + _GAP) // 2
        for table in row:
            boxes[table.name] = _box(table, x, y)
            x += _WIDTH + _GAP
        y += max(boxes[table.name].height for table in row) + _ROW_GAP
    names = {each.name for each in drawn}
    left_out = tuple(each.name for each in tables if each.name not in names)
    return Diagram(width, y - _ROW_GAP + _PADDING, tuple(boxes.values()), tuple(_edges(drawn, boxes)), left_out)


def _levels(tables: Sequence[TableChange]) -> list[list[TableChange]]:
    """Return the tables by level: each is below its parents, as far as they do not refer to each other in a circle."""
    waiting = {each.name: each for each in tables}
    levels: list[list[TableChange]] = []
    while waiting:
        ready = [each for each in waiting.values() if not (waiting.keys() & set(each.parents) - {each.name})]
        level = ready or [min(waiting.values(), key=lambda each: len(waiting.keys() & set(each.parents)))]
        levels.append(level)
        for each in level:
            del waiting[each.name]
    return levels


def _cut(level: list[TableChange]) -> Iterator[list[TableChange]]:
    for begin in range(0, len(level), _IN_ROW):
        yield level[begin : begin + _IN_ROW]


def _box(table: TableChange, x: int, y: int) -> Box:
    texts = [*_lines(table)]
    top = y + _PADDING + _LINE + 6
    lines = tuple(Line(text, kind, top + _LINE * (number + 1) - 5) for number, (text, kind) in enumerate(texts))
    height = 2 * _PADDING + _LINE + (6 + _LINE * len(lines) if lines else 0)
    return Box(_short(f"{SIGNS[table.kind]} {table.name}".strip()), table.kind, x, y, height, lines)


def _lines(table: TableChange) -> Iterator[tuple[str, Kind]]:
    if table.was is not None:
        yield _short(f"was {table.was}"), "changed"
    shown = table.columns if len(table.columns) <= _COLUMNS else table.columns[: _COLUMNS - 1]
    for column in shown:
        yield _short(column_text(column)), column.kind
    if len(table.columns) > len(shown):
        yield f"{len(table.columns) - len(shown)} more columns", "unchanged"


def column_text(column: ColumnChange) -> str:
    """Return a sign and the name of a column: `+ pages`, `~ name, was title`."""
    was = "" if column.was is None else f", was {column.was}"
    return f"{SIGNS[column.kind]} {column.name}{was}"


def _short(name: str) -> str:
    text = escaped(name)
    return text if len(text) <= _LETTERS else f"{text[: _LETTERS - 1]}…"


def _edges(tables: Sequence[TableChange], boxes: Mapping[str, Box]) -> Iterator[Edge]:
    for table in tables:
        for parent in table.parents:
            if parent in boxes and parent != table.name:
                yield Edge(_curve(boxes[table.name], boxes[parent]))


def _curve(child: Box, parent: Box) -> str:
    """Return a line from the top of a child to the bottom of its parent; from the bottom, where it is not below it."""
    begin, end = child.y, parent.y + parent.height
    if end > begin:
        begin, end = child.y + child.height, parent.y + parent.height
        bend = max(begin, end) + _ROW_GAP // 2
        return f"M{child.middle} {begin} C{child.middle} {bend} {parent.middle} {bend} {parent.middle} {end}"
    half = (begin - end) // 2
    return f"M{child.middle} {begin} C{child.middle} {begin - half} {parent.middle} {end + half} {parent.middle} {end}"
