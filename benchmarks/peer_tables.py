"""Write the results of peers.py into docs/performance.md, as Markdown tables between marks."""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from peer_tools import FLOOR, LEDGERS, OURS

HERE = Path(__file__).parent
PAGE = HERE.parent / "docs" / "performance.md"
RESULTS = HERE / "results" / "peers.json"
INSTRUCTIONS = HERE / "results" / "instructions.json"
WORKS = {
    ("noop", False): "nothing to do, whole process",
    ("api", False): "nothing to do, `python -c`",
    ("noop", True): "nothing to do, in process",
    ("apply", False): "apply, whole process",
    ("apply", True): "apply, in process",
    ("at_once", True): "apply in one transaction for all, in process",
}

Results = Mapping[str, Any]


class Goal(NamedTuple):
    """What we want of one figure: at most `most` of a unit.

    `processor` is the same figure of the processor's time, `least` that of the floor with ledgers.
    """

    what: str
    figure: Callable[[Results], float | None]
    most: float
    unit: str
    processor: Callable[[Results], float | None] = lambda _: None
    least: Callable[[Results], float | None] = lambda _: None


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; the exit code is 1 where `--check` finds tables that are not those of the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="only tell whether the tables are those of the results")
    options = parser.parse_args(arguments)
    before = PAGE.read_text(encoding="utf-8")
    results = json.loads(RESULTS.read_text(encoding="utf-8"))
    counts = json.loads(INSTRUCTIONS.read_text(encoding="utf-8"))
    after = filled_in(before, {**results, "instructions": counts})
    if options.check:
        return int(before != after)
    PAGE.write_text(after, encoding="utf-8")
    return 0


def filled_in(text: str, results: Results) -> str:
    """Return a text with the table of each pair of marks, `<!-- NAME -->` and `<!-- end -->`, made anew."""

    def table(mark: re.Match[str]) -> str:
        lines = "\n".join(TABLES[mark[1]](results))
        return f"<!-- {mark[1]} -->\n{lines}\n<!-- end -->"

    return re.sub(r"<!-- (\w+) -->\n.*?<!-- end -->", table, text, flags=re.DOTALL)


def row(results: Results, work: str, size: int, tool: str, *, inside: bool = False) -> Mapping[str, Any] | None:
    """Return what was measured of one task, or None where it was not."""
    for each in results["rows"]:
        if (each["work"], each["size"], each["tool"], each["inside"]) == (work, size, tool, inside) and each["runs"]:
            found: Mapping[str, Any] = each
            return found
    return None


def milliseconds(results: Results, work: str, size: int, tool: str, *, inside: bool = False) -> float | None:
    """Return the median time of one task, or None where it was not measured."""
    found = row(results, work, size, tool, inside=inside)
    return float(found["wall_ms"]) if found else None


def _ratio(column: str, work: str, size: int, *, inside: bool, tool: str = OURS) -> Callable[[Results], float | None]:
    def ratio(results: Results) -> float | None:
        found, floor = (row(results, work, size, each, inside=inside) for each in (tool, FLOOR))
        return float(found[column] / floor[column]) if found and floor else None

    return ratio


def _beside_floor(what: str, most: float, work: str, size: int, *, inside: bool = False, floor: str = "floor") -> Goal:
    wall, processor = (_ratio(column, work, size, inside=inside) for column in ("wall_ms", "best_cpu_ms"))
    least = _ratio("wall_ms", work, size, inside=inside, tool=LEDGERS)
    return Goal(what, wall, most, f"x {floor}", processor, least)


def _import_ms(column: str, tool: str = OURS) -> Callable[[Results], float | None]:
    def over_bare(results: Results) -> float | None:
        found, bare = row(results, "import", 0, tool), row(results, "start", 0, FLOOR)
        return float(found[column] - bare[column]) if found and bare else None

    return over_bare


def _beside_sqlite3(column: str) -> Callable[[Results], float | None]:
    ours, sqlite3 = _import_ms(column), _import_ms(column, FLOOR)

    def ratio(results: Results) -> float | None:
        mine, its = ours(results), sqlite3(results)
        return mine / its if mine and its else None

    return ratio


def _seconds(results: Results) -> float | None:
    found = milliseconds(results, "script", 10, OURS, inside=True)
    return found / 1e3 if found else None


def _peak(work: str, size: int, per: float = 1) -> Callable[[Results], float | None]:
    def peak(results: Results) -> float | None:
        found = row(results, work, size, OURS)
        return float(found["peak_mb"]) / per if found else None

    return peak


GOALS = (
    _beside_floor("nothing to do, 200 installed, whole process", 1.5, "noop", 200),
    _beside_floor("the same through `python -c '…upgrade(url, source)'`", 1.3, "api", 200),
    _beside_floor("nothing to do, 200 installed, in process", 1.1, "noop", 200, inside=True),
    _beside_floor("nothing to do, 1000 installed, in process", 1.1, "noop", 1000, inside=True),
    _beside_floor("apply 200, whole process", 1.4, "apply", 200),
    _beside_floor("apply 1000, in process", 1.25, "apply", 1000, inside=True),
    _beside_floor("apply 1000 in one transaction for all, in process", 1.2, "at_once", 1000, inside=True),
    Goal("flushes of the disk for each migration", lambda results: results["fsyncs"].get(OURS), 4.3, ""),
    _beside_floor(
        "a script of 100,000 INSERTs, 10 MB, in process", 1.8, "script", 10, inside=True, floor="executescript"
    ),
    Goal("the same", _seconds, 0.45, "s"),
    Goal(
        "`from torc_migrations import upgrade` over a bare Python",
        _import_ms("wall_ms"),
        15,
        "ms",
        _import_ms("best_cpu_ms"),
    ),
    Goal("the same beside `import sqlite3`", _beside_sqlite3("wall_ms"), 3.1, "x", _beside_sqlite3("best_cpu_ms")),
    Goal("peak memory, nothing to do, 200 installed", _peak("noop", 200), 20, "MB"),
    Goal("peak memory, a script of 100 MB", _peak("script", 100, per=100), 2.5, "x its size"),
)


def _goals(results: Results) -> Iterator[str]:
    yield from _head("work", "goal", "measured", "met", "best, in processor time", "floor with ledgers")
    for goal in GOALS:
        found = goal.figure(results)
        met = "-" if found is None else "yes" if found <= goal.most else "**no**"
        goal_text = f"≤ {goal.most:g} {goal.unit}".strip()
        figures = (_amount(each(results), goal.unit) for each in (goal.processor, goal.least))
        yield _line(goal.what, goal_text, _amount(found, goal.unit), met, *figures)


def _amount(value: float | None, unit: str) -> str:
    if value is None:
        return "-"
    return f"{value:.2f} {unit}".strip() if value < 10 else f"{value:.1f} {unit}".strip()


def _peers(results: Results) -> Iterator[str]:
    """Compare the tools at every size, each time with its ratio to the floor's."""
    tools = _tools(results)
    yield from _head("work", *tools)
    for (work, inside), title in WORKS.items():
        for size in _sizes(results, work):
            cells = [_cell(results, work, size, tool, inside=inside) for tool in tools]
            if set(cells) != {"-"}:
                yield _line(f"{title}, {size:,}", *cells)


def _scripts(results: Results) -> Iterator[str]:
    tools = [
        tool for tool in _tools(results) if any(r["tool"] == tool and r["work"] == "script" for r in results["rows"])
    ]
    yield from _head("one script", *tools)
    for inside, title in ((False, "whole process"), (True, "in process")):
        for size in _sizes(results, "script"):
            cells = [_cell(results, "script", size, tool, inside=inside) for tool in tools]
            yield _line(f"{size} MB, {title}", *cells)


def _cell(results: Results, work: str, size: int, tool: str, *, inside: bool) -> str:
    time, floor = (milliseconds(results, work, size, each, inside=inside) for each in (tool, FLOOR))
    if time is None:
        return "-"
    runs = int((row(results, work, size, tool, inside=inside) or {})["runs"])
    marks = "*" if runs < results["runs"] else ""
    return f"{_time(time)}{marks}" if tool == FLOOR or not floor else f"{_time(time)}{marks} ({time / floor:.2f}x)"


def _time(milliseconds: float) -> str:
    if milliseconds >= 10_000:
        return f"{milliseconds / 1e3:.1f} s"
    return f"{milliseconds:.0f} ms" if milliseconds >= 100 else f"{milliseconds:.1f} ms"


def _imports(results: Results) -> Iterator[str]:
    """Compare what else there is: loading, memory and flushes."""
    bare = milliseconds(results, "start", 0, FLOOR) or 0.0
    size = min(200, max(_sizes(results, "noop")))
    yield from _head(
        "tool", "version", "import, ms over a bare Python", f"peak MB, nothing to do, {size}", "flushes a migration"
    )
    for tool in _tools(results):
        loaded, peak = milliseconds(results, "import", 0, tool), row(results, "noop", size, tool)
        yield _line(
            tool,
            results["tools"][tool],
            f"{loaded - bare:.1f}" if loaded else "-",
            f"{peak['peak_mb']:.1f}" if peak else "-",
            f"{results['fsyncs'][tool]:.1f}" if tool in results["fsyncs"] else "-",
        )


def _conditions(results: Results) -> Iterator[str]:
    absent = f"; not found: {', '.join(results['absent'])}" if results["absent"] else ""
    yield (
        f"Python {results['python']}, SQLite {results['sqlite']}, {results['machine']}, "
        f"load {results['load']} at the end; "
        f"medians of at least {results['runs']} runs whose order was drawn by lot (seed {results['seed']}), "
        f"fewer where a `*` stands{absent}."
    )


def _tools(results: Results) -> list[str]:
    return [FLOOR, OURS, *(tool for tool in results["tools"] if tool not in (FLOOR, OURS))]


def _sizes(results: Results, work: str) -> list[int]:
    return sorted({each["size"] for each in results["rows"] if each["work"] == work})


def _line(*cells: object) -> str:
    return f"| {' | '.join(map(str, cells))} |"


def _head(*cells: str) -> Iterator[str]:
    yield _line(*cells)
    yield _line("---", *("---:" for _ in cells[1:]))


def instructions_table(results: Results) -> list[str]:
    """Return how many instructions a migration takes, in thousands, with the ratio to the floor."""
    counts = {(count["work"], count["tool"]): count["instructions"] for count in results["instructions"]}
    works = list(dict.fromkeys(work for work, _ in counts))
    tools = list(dict.fromkeys(tool for _, tool in counts))
    lines = [f"| one more migration | {' | '.join(tools)} |", f"| --- |{' ---: |' * len(tools)}"]
    for work in works:
        floor = counts[work, FLOOR]
        cells = [f"{counts[work, tool] / 1e3:,.0f} ({counts[work, tool] / floor:.2f}x)" for tool in tools]
        lines.append(f"| {WORKS[work, True]} | {' | '.join(cells)} |")
    return lines


TABLES = {
    "goals": _goals,
    "conditions": _conditions,
    "peers": _peers,
    "scripts": _scripts,
    "imports": _imports,
    "instructions": instructions_table,
}


if __name__ == "__main__":
    sys.exit(main())
