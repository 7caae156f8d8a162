"""Draw the results of peers.py as SVG, readable on light and dark pages; needs the extra `plot`."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from index_charts import BLUE, GREEN, INK, ORANGE, PURPLE, _pyplot, _svg
from peer_tables import RESULTS, milliseconds
from peer_tools import FLOOR, OURS

IMAGES = Path(__file__).parent.parent / "docs"
BARS = (
    ("noop", 200, False, "nothing to do, 200 installed"),
    ("apply", 200, False, "apply 200"),
    ("script", 1, False, "one script of 1 MB"),
)
COLOURS = {FLOOR: GREEN, OURS: BLUE}
OTHERS = (ORANGE, PURPLE, "#8A8A00", "#CC3311", "#7A5195", "#00A0A0", "#A0522D", "#666666", "#E0A800")
MARKS = "osD^vPX*<>p"


def main() -> int:
    """Draw both charts from the results file and return the exit code."""
    results = json.loads(RESULTS.read_text(encoding="utf-8"))
    (IMAGES / "peers.svg").write_text(_bars(results), encoding="utf-8")
    (IMAGES / "peers_growth.svg").write_text(_growth(results), encoding="utf-8")
    return 0


def _looks(results: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    """Return the colour and the mark of every tool, the same in all charts."""
    names = [FLOOR, OURS, *(name for name in results["tools"] if name not in COLOURS)]
    colours = [*COLOURS.values(), *OTHERS]
    return {name: (colours[number % len(colours)], MARKS[number % len(MARKS)]) for number, name in enumerate(names)}


def _bars(results: Mapping[str, Any]) -> str:
    """Draw how long each tool's whole process takes, one column of bars a work."""
    pyplot = _pyplot()
    looks = _looks(results)
    figure, columns = pyplot.subplots(1, len(BARS), figsize=(11, 3.6))
    for axes, (work, size, inside, title) in zip(columns, BARS, strict=True):
        times = {name: milliseconds(results, work, size, name, inside=inside) for name in looks}
        known = sorted(((time, name) for name, time in times.items() if time), reverse=True)
        axes.barh([name for _, name in known], [time for time, _ in known], color=[looks[name][0] for _, name in known])
        for row, (time, _) in enumerate(known):
            axes.text(time, row, f" {time:,.0f}", va="center", fontsize=8)
        axes.set_xscale("log")
        axes.minorticks_off()
        axes.set_xlabel("milliseconds (logarithmic)")
        axes.set_title(title)
        axes.margins(x=0.15)
        axes.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    return _svg(figure, "What each tool takes, as a whole process")


def _growth(results: Mapping[str, Any]) -> str:
    """Draw how the times grow with the number of migrations, and with the length of a script."""
    pyplot = _pyplot()
    figure, (noop, apply, script) = pyplot.subplots(1, 3, figsize=(11, 4.6))
    _lines(noop, results, "noop", "nothing to do", "migrations installed")
    _lines(apply, results, "apply", "apply", "migrations")
    _lines(script, results, "script", "one script of INSERTs", "MB")
    handles, labels = noop.get_legend_handles_labels()
    figure.legend(handles, labels, loc="lower center", ncols=5, frameon=False)
    figure.tight_layout(rect=(0, 0.12, 1, 1))
    return _svg(figure, "How the times grow")


def _lines(axes: Any, results: Mapping[str, Any], work: str, title: str, unit: str) -> None:
    sizes = sorted({row["size"] for row in results["rows"] if row["work"] == work and not row["inside"]})
    for name, (colour, mark) in _looks(results).items():
        points = [(size, milliseconds(results, work, size, name)) for size in sizes]
        known = [(size, time) for size, time in points if time]
        axes.plot(
            [size for size, _ in known],
            [time for _, time in known],
            color=colour,
            marker=mark,
            markersize=4.5,
            linewidth=1.8 if name in COLOURS else 0.9,
            label=name,
        )
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xticks(sizes, [f"{size:,}" for size in sizes])
    axes.minorticks_off()
    axes.set_xlabel(unit)
    axes.set_ylabel("milliseconds, whole process")
    axes.set_title(title)
    axes.grid(visible=True, color=INK, alpha=0.15)
    axes.spines[["top", "right"]].set_visible(False)


if __name__ == "__main__":
    sys.exit(main())
