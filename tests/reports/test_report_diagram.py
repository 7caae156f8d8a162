"""The diagram of the tables: parents above their children, nothing on top of another, and colours that are read."""

from __future__ import annotations

import re
from importlib.resources import files
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from torc_migrations.reports.diagram import Box, drawn_tables, lay_out
from torc_migrations.reports.values import ColumnChange, Kind, TableChange

CSS = (files("torc_migrations.reports") / "templates" / "report.css").read_text()
KINDS: tuple[Kind, ...] = ("added", "changed", "dropped", "unchanged")


@st.composite
def schemas(draw: st.DrawFn) -> tuple[TableChange, ...]:
    """Tables with keys to each other, in circles too."""
    names = [f"table_{number}" for number in range(draw(st.integers(0, 25)))]
    tables = []
    for name in names:
        kind = draw(st.sampled_from(KINDS))
        count = 0 if kind == "unchanged" else draw(st.integers(0, 12))
        columns = tuple(ColumnChange(f"a_long_name_of_a_column_{number}", "added") for number in range(count))
        parents = tuple(draw(st.lists(st.sampled_from(names), max_size=3, unique=True)))
        tables.append(TableChange(name, kind, columns, parents))
    return tuple(tables)


def overlap(one: Box, other: Box) -> bool:
    """Return whether two boxes have a place in common."""
    apart_x = one.x + one.width <= other.x or other.x + other.width <= one.x
    return not (apart_x or one.y + one.height <= other.y or other.y + other.height <= one.y)


@settings(max_examples=200, deadline=None)
@given(schemas())
def test_boxes_are_beside_each_other_and_inside_of_the_diagram(tables: tuple[TableChange, ...]) -> None:
    """Every line of text is inside of its box, and every table is drawn or named."""
    diagram = lay_out(tables)

    assert not [pair for pair in combinations(diagram.boxes, 2) if overlap(*pair)]
    for box in diagram.boxes:
        assert box.x >= 0
        assert box.x + box.width <= diagram.width
        assert box.y >= 0
        assert box.y + box.height <= diagram.height
        assert all(box.y < line.y < box.y + box.height for line in box.lines)
    assert len(diagram.boxes) + len(diagram.left_out) == len(tables)


def test_parents_are_above_their_children() -> None:
    """As far as there is no circle."""
    tables = (
        TableChange("page", "added", parents=("book",)),
        TableChange("book", "added", parents=("author", "shelf")),
        TableChange("author", "added"),
        TableChange("shelf", "added", parents=("shelf",)),
    )
    tops = {box.title.removeprefix("+ "): box.y for box in lay_out(tables).boxes}

    assert tops["author"] == tops["shelf"] < tops["book"] < tops["page"]


def test_only_what_changes_and_its_neighbours_are_drawn() -> None:
    """A schema of a hundred tables is not drawn for one column."""
    tables = (
        TableChange("parent", "unchanged"),
        TableChange("changed", "changed", parents=("parent",)),
        TableChange("child", "unchanged", parents=("changed",)),
        TableChange("grandchild", "unchanged", parents=("child",)),
        TableChange("other", "unchanged"),
    )

    assert [each.name for each in drawn_tables(tables)] == ["parent", "changed", "child"]
    assert lay_out(tables).left_out == ("grandchild", "other")


def luminance(colour: str) -> float:
    """Return the relative luminance of a colour: https://www.w3.org/TR/WCAG22/#dfn-relative-luminance."""
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    """Return the contrast of two colours."""
    bright, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (bright + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_colours_have_enough_contrast(scheme: int) -> None:
    """4.5 to 1 for text, 3 to 1 for lines, as WCAG AA has it; axe does not look at the text in an SVG."""
    colours = dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6});", CSS.split(":root {")[scheme + 1]))
    texts = [(name, ground) for name in ("text", "muted", "link") for ground in ("ground", "card")]
    texts += [("text", "code"), ("muted", "code"), ("muted", "error-soft"), ("muted", "good-soft")]
    texts += [("muted", "changed-soft")]
    texts += [(name, f"{name}-soft") for name in ("error", "warning", "good", "changed")]
    texts += [("text", f"{name}-soft") for name in ("error", "good", "changed")]
    lines = [(name, "card") for name in ("error", "warning", "good", "changed", "bar", "muted")]

    assert [pair for pair in texts if contrast(*(colours[each] for each in pair)) < 4.5] == []
    assert [pair for pair in lines if contrast(*(colours[each] for each in pair)) < 3] == []
