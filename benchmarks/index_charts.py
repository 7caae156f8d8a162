"""Draw the results of index_effect.py as SVG, readable on light and dark pages; needs the extra `plot`."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from io import StringIO
from pathlib import Path
from typing import Any

from index_queries import TIMES_FASTER
from index_tables import ANALYZED, WITH, WITHOUT, WRITE_COST

HERE = Path(__file__).parent
IMAGES = HERE.parent / "docs"
RESULTS = HERE / "results" / "index_effect.json"

# A colour that stands in the drawing for the page's own text colour, which a style sheet puts there.
INK = "#010203"
STYLE = """
<style>
  svg { color: #1f2328 }
  @media (prefers-color-scheme: dark) { svg { color: #e6edf3 } }
</style>
"""
# Told apart by the colour-blind, and bright enough on white and on black: Okabe and Ito.
ORANGE, BLUE, GREEN, PURPLE = "#D55E00", "#0A84C6", "#009E73", "#B5679A"
MARKS = ("o", "s", "D")


def main() -> int:
    """Draw both charts from the results file and return the exit code."""
    results = json.loads(RESULTS.read_text(encoding="utf-8"))
    (IMAGES / "index_effect.svg").write_text(_effect(results["sizes"]), encoding="utf-8")
    (IMAGES / "index_cost.svg").write_text(_cost(results["sizes"]), encoding="utf-8")
    return 0


def _pyplot() -> Any:
    matplotlib = import_module("matplotlib")
    matplotlib.use("svg")
    settings = dict.fromkeys(("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"), INK)
    matplotlib.rcParams.update(settings)
    matplotlib.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "torc", "font.size": 9, "axes.axisbelow": True})
    return import_module("matplotlib.pyplot")


def _svg(figure: Any, title: str) -> str:
    """Return a figure's text, with the page's colour for ink, a title for screen readers, and no date in it."""
    text = StringIO()
    figure.savefig(text, format="svg", transparent=True, bbox_inches="tight", metadata={"Date": None, "Title": title})
    head, tag, body = text.getvalue().partition("<defs>")
    svg = head + STYLE + tag + body.replace(INK, "currentColor")
    return "\n".join(line.rstrip() for line in svg.splitlines()) + "\n"


def _median(query: Mapping[str, Any], name: str) -> float:
    return float(query["ms"][name]["median"])


def _times(query: Mapping[str, Any]) -> float:
    return _median(query, WITHOUT) / _median(query, WITH)


def _middle(sizes: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    return sizes[len(sizes) // 2]


def _effect(sizes: Sequence[Mapping[str, Any]]) -> str:
    """Draw how long each query takes without and with the indexes, and how much faster it is at each size."""
    pyplot = _pyplot()
    middle = sorted(_middle(sizes)["queries"], key=_times)
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(11, 6.5), sharey=True)
    _draw_times(left, middle, _middle(sizes))
    _draw_gains(right, [query["name"] for query in middle], sizes)
    figure.tight_layout()
    return _svg(figure, "What torc's 17 indexes bring")


def _draw_times(axes: Any, queries: Sequence[Mapping[str, Any]], size: Mapping[str, Any]) -> None:
    rows = range(len(queries))
    for row, query in zip(rows, queries, strict=True):
        axes.plot([_median(query, WITHOUT), _median(query, WITH)], [row, row], color=INK, alpha=0.35, linewidth=1)
    for name, label, colour, mark in (
        (WITHOUT, "without the indexes", ORANGE, "o"),
        (WITH, "with them", BLUE, "s"),
        (ANALYZED, "with them, after ANALYZE", GREEN, "x"),
    ):
        axes.scatter([_median(query, name) for query in queries], rows, color=colour, marker=mark, s=26, label=label)
    axes.set_yticks(list(rows), [query["name"] for query in queries])
    axes.set_xscale("log")
    axes.set_xlabel("milliseconds, median (logarithmic)")
    axes.set_title(f"{size['workflows']} workflows of {size['jobs']:,} jobs")
    _finish(axes)


def _draw_gains(axes: Any, names: Sequence[str], sizes: Sequence[Mapping[str, Any]]) -> None:
    axes.axvspan(*TIMES_FASTER, color=PURPLE, alpha=0.18, label="the document says 10 to 50")
    axes.axvline(1, color=INK, linewidth=0.8)
    for size, colour, mark in zip(sizes, (GREEN, BLUE, ORANGE), MARKS, strict=False):
        times = {query["name"]: _times(query) for query in size["queries"]}
        label = f"{size['workflows']} workflow{'s' if size['workflows'] > 1 else ''}"
        axes.scatter([times[name] for name in names], range(len(names)), color=colour, marker=mark, s=26, label=label)
    axes.set_xscale("log")
    axes.set_xlabel("times faster with the indexes (logarithmic)")
    axes.set_title("by the number of workflows")
    _finish(axes)


def _finish(axes: Any) -> None:
    """Put a light grid behind the marks, and the legend below them, where it hides none."""
    axes.grid(visible=True, axis="x", color=INK, alpha=0.15)
    axes.spines[["top", "right"]].set_visible(False)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.09), ncols=2, frameon=False)


def _cost(sizes: Sequence[Mapping[str, Any]]) -> str:
    """Draw the bytes of each index, and what each write takes longer."""
    pyplot = _pyplot()
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(11, 4.8))
    _draw_bytes(left, sizes[0])
    _draw_writes(right, sizes)
    figure.tight_layout()
    return _svg(figure, "What torc's 17 indexes cost")


def _draw_bytes(axes: Any, size: Mapping[str, Any]) -> None:
    indexes = sorted(size["indexes"], key=lambda index: int(index["bytes"]))
    axes.barh([index["name"] for index in indexes], [index["bytes"] / 1024 for index in indexes], color=BLUE)
    total = sum(index["bytes"] for index in indexes)
    axes.set_xlabel("KiB")
    axes.set_title(f"{size['workflows']} workflow of {size['jobs']:,} jobs: {total / 1e6:.2f} MB in all")
    _finish(axes)


def _draw_writes(axes: Any, sizes: Sequence[Mapping[str, Any]]) -> None:
    low, high = WRITE_COST
    axes.axvspan(100 * low, 100 * high, color=PURPLE, alpha=0.25, label="the document says 10 to 15 %")
    axes.axvline(0, color=INK, linewidth=0.8)
    for size, colour, mark in zip(sizes, (GREEN, BLUE, ORANGE), MARKS, strict=False):
        costs = [100 * (_median(write, WITH) / _median(write, WITHOUT) - 1) for write in size["writes"]]
        label = f"{size['workflows']} workflow{'s' if size['workflows'] > 1 else ''}"
        axes.scatter(costs, [write["name"] for write in size["writes"]], color=colour, marker=mark, s=30, label=label)
    axes.invert_yaxis()
    axes.set_xlabel("% more time with the indexes")
    axes.set_title("writes")
    _finish(axes)


if __name__ == "__main__":
    sys.exit(main())
