"""Draw the results of the benchmarks as SVG files in docs/; needs the extra `plot`.

    python -m benchmarks.charts

The background is transparent. Text has one colour if the reader's system is light and another if it is dark, and every
colour, of text and of data, is readable on both backgrounds.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from io import StringIO
from pathlib import Path
from typing import Any

from benchmarks.indexes.statements import TIMES_FASTER
from benchmarks.indexes.tables import ANALYZED, WITH, WITHOUT, WRITE_COST, times_faster, write_cost
from benchmarks.peers.tables import milliseconds, row
from benchmarks.peers.tools import BEFORE, EACH, FLOOR, OURS

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
# Stands in the drawing for the colour of text, which the style sheet below sets.
INK = "#010203"
# A page may be dark where the system is light, so both colours have enough contrast on both backgrounds.
STYLE = """
<style>
  svg { color: #656d76 }
  @media (prefers-color-scheme: dark) { svg { color: #8b949e } }
</style>
"""
# Each has a contrast of at least 3 on white and on black, which WCAG 2 requires of graphics.
ORANGE, BLUE, GREEN, PURPLE = "#D55E00", "#0A84C6", "#009E73", "#B5679A"
MORE_COLOURS = ("#8A8A00", "#CC3311", "#7A5FB5", "#00959B", "#A0622D", "#777777", "#B8860B")
MARKS = "osD^vPX*<>p"
PANELS = (
    ("noop", 200, "nothing to do, 200 installed"),
    ("apply", 200, "apply 200"),
    ("script", 1, "one script of 1 MB"),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Draw all charts from the stored results, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--docs", type=Path, default=ROOT / "docs", help="the directory to write to (default: docs)")
    parser.add_argument("--results", type=Path, default=RESULTS, help="the directory of results (default: %(default)s)")
    options = parser.parse_args(arguments)
    for name, (results, draw) in CHARTS.items():
        found = json.loads((options.results / f"{results}.json").read_text(encoding="utf-8"))
        (options.docs / name).write_text(draw(found), encoding="utf-8")
    return 0


def _pyplot() -> Any:
    matplotlib = import_module("matplotlib")
    matplotlib.use("svg")
    settings = dict.fromkeys(("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"), INK)
    matplotlib.rcParams.update(settings)
    matplotlib.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "torc", "font.size": 9, "axes.axisbelow": True})
    matplotlib.rcParams.update({"axes.spines.top": False, "axes.spines.right": False})
    return import_module("matplotlib.pyplot")


def _svg(figure: Any, title: str) -> str:
    """Return a figure as text, with the text colour of the style sheet, a title for screen readers, and no date."""
    text = StringIO()
    figure.savefig(text, format="svg", transparent=True, bbox_inches="tight", metadata={"Date": None, "Title": title})
    head, tag, body = text.getvalue().partition("<defs>")
    svg: str = head + STYLE + tag + body.replace(INK, "currentColor")
    return "\n".join(line.rstrip() for line in svg.splitlines()) + "\n"


def looks(results: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    """Return the colour and the mark of every tool, the same in all charts; ours is there once, as it is by default."""
    names = [FLOOR, OURS, *(name for name in results["tools"] if name not in (FLOOR, OURS, EACH, BEFORE))]
    colours = (GREEN, BLUE, ORANGE, PURPLE, *MORE_COLOURS)
    return {name: (colours[number % len(colours)], MARKS[number % len(MARKS)]) for number, name in enumerate(names)}


def _peers(results: Mapping[str, Any]) -> str:
    """Draw how long the process of each tool takes: the median as a mark, the quartiles as a line."""
    figure, columns = _pyplot().subplots(1, len(PANELS), figsize=(11, 3.6))
    for axes, (work, size, title) in zip(columns, PANELS, strict=True):
        rows = {name: row(results, work, size, name) for name in looks(results)}
        known = sorted(((found["wall_ms"], name) for name, found in rows.items() if found), reverse=True)
        for height, (time, name) in enumerate(known):
            colour, mark = looks(results)[name]
            quartiles = (rows[name] or {}).get("quartiles_ms", (time, time))
            axes.plot(quartiles, (height, height), color=colour, linewidth=2.5, alpha=0.6)
            axes.plot([time], [height], color=colour, marker=mark, markersize=6)
            axes.annotate(f"{time:,.0f}", (time, height), (7, 0), textcoords="offset points", va="center", fontsize=8)
        axes.set_yticks(range(len(known)), [name for _, name in known])
        axes.set_title(title)
        axes.margins(x=0.15)
        _set_logarithmic_x(axes, "milliseconds (logarithmic)")
        if known and known[0][0] < 30 * known[-1][0]:  # one power of ten on the axis is not enough to read it
            axes.xaxis.set_major_locator(import_module("matplotlib.ticker").LogLocator(subs=(1, 2, 5)))
        _set_grid(axes, "both")
    figure.tight_layout()
    return _svg(figure, "What each tool takes, as a whole process")


def _set_logarithmic_x(axes: Any, label: str) -> None:
    axes.set_xscale("log")
    axes.minorticks_off()
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,g}")
    axes.set_xlabel(label)


def _set_grid(axes: Any, which: str) -> None:
    axes.grid(visible=True, axis=which, color=INK, alpha=0.2, linewidth=0.6)


def _peers_growth(results: Mapping[str, Any]) -> str:
    """Draw how the times grow with the number of migrations, and with the length of a script."""
    figure, (noop, apply, script) = _pyplot().subplots(1, 3, figsize=(11, 4.6))
    _draw_growth(noop, results, "noop", "nothing to do", "migrations installed (logarithmic)")
    _draw_growth(apply, results, "apply", "apply", "migrations (logarithmic)")
    _draw_growth(script, results, "script", "one script of INSERTs", "MB (logarithmic)")
    handles, labels = noop.get_legend_handles_labels()
    figure.legend(handles, labels, loc="lower center", ncols=6, frameon=False)
    figure.tight_layout(rect=(0, 0.12, 1, 1))
    return _svg(figure, "How the times grow")


def _draw_growth(axes: Any, results: Mapping[str, Any], work: str, title: str, unit: str) -> None:
    sizes = sorted({row["size"] for row in results["rows"] if row["work"] == work and not row["inside"]})
    for name, (colour, mark) in looks(results).items():
        times = [(size, milliseconds(results, work, size, name)) for size in sizes]
        known = [(size, time) for size, time in times if time]
        width = 1.8 if name in (FLOOR, OURS) else 0.9
        axes.plot(
            [size for size, _ in known],
            [time for _, time in known],
            color=colour,
            marker=mark,
            markersize=4.5,
            linewidth=width,
            label=name,
        )
    axes.set_yscale("log")
    _set_logarithmic_x(axes, unit)
    axes.set_xticks(sizes, [f"{size:,}" for size in sizes])
    axes.minorticks_off()
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:,g}")
    axes.set_ylabel("milliseconds, whole process (logarithmic)")
    axes.set_title(title)
    _set_grid(axes, "both")


def _median(query: Mapping[str, Any], name: str) -> float:
    return float(query["ms"][name]["median"])


def _workflows(size: Mapping[str, Any]) -> str:
    return f"{size['workflows']} workflow{'s' if size['workflows'] > 1 else ''}"


def _index_effect(results: Mapping[str, Any]) -> str:
    """Draw how long each query takes without and with the indexes, and how much faster it is at each size."""
    sizes = results["sizes"]
    middle = sizes[len(sizes) // 2]
    queries = sorted(middle["queries"], key=times_faster)
    figure, (left, right) = _pyplot().subplots(1, 2, figsize=(11, 6.5), sharey=True)
    _draw_times(left, queries, middle)
    _draw_gains(right, [query["name"] for query in queries], sizes)
    figure.tight_layout()
    return _svg(figure, "What the 17 indexes of the torc schema gain")


def _draw_times(axes: Any, queries: Sequence[Mapping[str, Any]], size: Mapping[str, Any]) -> None:
    rows = range(len(queries))
    for height, query in zip(rows, queries, strict=True):
        axes.plot([_median(query, WITHOUT), _median(query, WITH)], [height, height], color=INK, alpha=0.5, linewidth=1)
    for name, label, colour, mark in (
        (WITHOUT, "without the indexes", ORANGE, "o"),
        (WITH, "with them", BLUE, "s"),
        (ANALYZED, "with them, after ANALYZE", GREEN, "x"),
    ):
        axes.scatter([_median(query, name) for query in queries], rows, color=colour, marker=mark, s=26, label=label)
    axes.set_yticks(list(rows), [query["name"] for query in queries])
    _set_logarithmic_x(axes, "milliseconds, median (logarithmic)")
    axes.set_title(f"{_workflows(size)} of {size['jobs']:,} jobs")
    _finish(axes)


def _draw_gains(axes: Any, names: Sequence[str], sizes: Sequence[Mapping[str, Any]]) -> None:
    axes.axvspan(*TIMES_FASTER, color=PURPLE, alpha=0.18, label="the document says 10 to 50")
    axes.axvline(1, color=INK, linewidth=0.8)
    for size, colour, mark in zip(sizes, (GREEN, BLUE, ORANGE), MARKS, strict=False):
        times = {query["name"]: times_faster(query) for query in size["queries"]}
        axes.scatter(
            [times[name] for name in names], range(len(names)), color=colour, marker=mark, s=26, label=_workflows(size)
        )
    _set_logarithmic_x(axes, "times faster with the indexes (logarithmic)")
    axes.set_title("by the number of workflows")
    _finish(axes)


def _finish(axes: Any) -> None:
    """Add a grid, and the legend below the axes."""
    _set_grid(axes, "x")
    if axes.get_legend_handles_labels()[0]:
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.09), ncols=2, frameon=False)


def _index_cost(results: Mapping[str, Any]) -> str:
    """Draw the bytes of each index, and how much longer each write takes."""
    sizes = results["sizes"]
    figure, (left, right) = _pyplot().subplots(1, 2, figsize=(11, 4.8))
    _draw_bytes(left, sizes[0])
    _draw_writes(right, sizes)
    figure.tight_layout()
    return _svg(figure, "What the 17 indexes of the torc schema cost")


def _draw_bytes(axes: Any, size: Mapping[str, Any]) -> None:
    indexes = sorted(size["indexes"], key=lambda index: int(index["bytes"]))
    axes.barh([index["name"] for index in indexes], [index["bytes"] / 1024 for index in indexes], color=BLUE)
    total = sum(index["bytes"] for index in indexes)
    axes.set_xlabel("KiB")
    axes.set_title(f"{_workflows(size)} of {size['jobs']:,} jobs: {total / 1e6:.2f} MB together")
    _finish(axes)


def _draw_writes(axes: Any, sizes: Sequence[Mapping[str, Any]]) -> None:
    low, high = WRITE_COST
    axes.axvspan(100 * low, 100 * high, color=PURPLE, alpha=0.25, label="the document says 10 to 15 %")
    axes.axvline(0, color=INK, linewidth=0.8)
    for size, colour, mark in zip(sizes, (GREEN, BLUE, ORANGE), MARKS, strict=False):
        costs = [100 * write_cost(write) for write in size["writes"]]
        names = [write["name"].replace(", and by cascade", "\nand by cascade") for write in size["writes"]]
        axes.scatter(costs, names, color=colour, marker=mark, s=30, label=_workflows(size))
    axes.invert_yaxis()
    axes.set_xlabel("% more time with the indexes")
    axes.set_title("writes")
    _finish(axes)


# By the name of a file: the file of its results, and the function that draws it.
CHARTS: Mapping[str, tuple[str, Callable[[Mapping[str, Any]], str]]] = {
    "peers.svg": ("peers", _peers),
    "peers_growth.svg": ("peers", _peers_growth),
    "index_effect.svg": ("index_effect", _index_effect),
    "index_cost.svg": ("index_effect", _index_cost),
}


if __name__ == "__main__":
    sys.exit(main())
