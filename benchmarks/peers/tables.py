"""The tables of the comparison with other tools, from results/peers.json and results/instructions.json."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from benchmarks import markdown
from benchmarks.peers.tools import BEFORE, EACH, FLOOR, LEDGERS, OURS

WORKS = {
    ("noop", False): "nothing to do, whole process",
    ("api", False): "nothing to do, `python -c`",
    ("noop", True): "nothing to do, in process",
    ("apply", False): "apply, whole process",
    ("apply", True): "apply, in process",
    ("at_once", True): "apply in one transaction for all, in process",
    ("torc", True): "apply the torc schema to a new file, in process",
}

Results = Mapping[str, Any]


class Figure(NamedTuple):
    """A measured value, and the interval in which it lies with a confidence of 95 %, where that is known."""

    value: float
    interval: tuple[float, float] | None = None


class Goal(NamedTuple):
    """The most that one figure should be, in a unit.

    `processor` is the same figure for the processor time of the best run, `least` for the floor with ledgers.
    """

    description: str
    figure: Callable[[Results], Figure | None]
    most: float
    unit: str
    processor: Callable[[Results], Figure | None] = lambda _: None
    least: Callable[[Results], Figure | None] = lambda _: None


def row(results: Results, work: str, size: int, tool: str, *, inside: bool = False) -> Mapping[str, Any] | None:
    """Return what was measured of one task, or None if it was not measured."""
    for each in results["rows"]:
        if (each["work"], each["size"], each["tool"], each["inside"]) == (work, size, tool, inside) and each["runs"]:
            found: Mapping[str, Any] = each
            return found
    return None


def milliseconds(results: Results, work: str, size: int, tool: str, *, inside: bool = False) -> float | None:
    """Return the median time of one task, or None if it was not measured."""
    found = row(results, work, size, tool, inside=inside)
    return float(found["wall_ms"]) if found else None


def ratio(results: Results, work: str, size: int, tool: str, *, inside: bool) -> Figure | None:
    """Return the median of the ratios to the floor in the same rounds; of the medians in results without rounds."""
    found, floor = (row(results, work, size, each, inside=inside) for each in (tool, FLOOR))
    if found and "ratio" in found:
        return Figure(found["ratio"]["median"], (found["ratio"]["low"], found["ratio"]["high"]))
    return Figure(found["wall_ms"] / floor["wall_ms"]) if found and floor else None


def _beside_floor(what: str, most: float, work: str, size: int, *, inside: bool = False, floor: str = "floor") -> Goal:
    def best_cpu(results: Results) -> Figure | None:
        ours, least = (row(results, work, size, tool, inside=inside) for tool in (OURS, FLOOR))
        return Figure(ours["best_cpu_ms"] / least["best_cpu_ms"]) if ours and least else None

    return Goal(
        what,
        lambda results: ratio(results, work, size, OURS, inside=inside),
        most,
        f"x {floor}",
        best_cpu,
        lambda results: ratio(results, work, size, LEDGERS, inside=inside),
    )


def _later_than_before(column: str, work: str, size: int) -> Callable[[Results], Figure | None]:
    """Return by how many milliseconds a process takes longer than the older version."""

    def difference(results: Results) -> Figure | None:
        now, before = (row(results, work, size, tool) for tool in (OURS, BEFORE))
        return Figure(now[column] - before[column]) if now and before else None

    return difference


def _peak(work: str, size: int, per: float = 1) -> Callable[[Results], Figure | None]:
    def peak(results: Results) -> Figure | None:
        found = row(results, work, size, OURS)
        return Figure(found["peak_mb"] / per) if found else None

    return peak


def _fsyncs(results: Results) -> Figure | None:
    return Figure(results["fsyncs"][OURS]) if OURS in results["fsyncs"] else None


def _beside_peers(size: int, *, inside: bool) -> Callable[[Results], Figure | None]:
    """Return the time beside that of the fastest tool that has one transaction for each migration."""

    def times_as_long(results: Results) -> Figure | None:
        ours = milliseconds(results, "apply", size, OURS, inside=inside)
        peers = [tool for tool in results["tools"] if tool.split()[0] in ("dbmate", "goose", "sqlx")]
        times = [time for tool in peers if (time := milliseconds(results, "apply", size, tool))]
        return Figure(ours / min(times)) if ours and times else None

    return times_as_long


def _beside_before(column: str, work: str, size: int, tool: str, *, inside: bool) -> Callable[[Results], Figure | None]:
    def times_as_long(results: Results) -> Figure | None:
        now, before = (row(results, work, size, each, inside=inside) for each in (tool, BEFORE))
        return Figure(now[column] / before[column]) if now and before else None

    return times_as_long


def _not_slower(what: str, work: str, size: int, tool: str, *, inside: bool) -> Goal:
    wall, cpu = (_beside_before(column, work, size, tool, inside=inside) for column in ("wall_ms", "best_cpu_ms"))
    return Goal(what, wall, 1.0, "x before", cpu)


GOALS = (
    _beside_floor("nothing to do, 200 installed, in process", 1.3, "noop", 200, inside=True),
    _beside_floor("nothing to do, 1000 installed, in process", 1.3, "noop", 1000, inside=True),
    Goal(
        "nothing to do, 200 installed, whole process",
        _later_than_before("wall_ms", "noop", 200),
        25,
        "ms more than before",
        _later_than_before("best_cpu_ms", "noop", 200),
    ),
    _beside_floor("apply 200, in process", 0.2, "apply", 200, inside=True),
    _beside_floor("apply 1000, in process", 0.2, "apply", 1000, inside=True),
    _beside_floor("apply 1000, whole process", 0.35, "apply", 1000),
    Goal("apply 200, in process", _beside_peers(200, inside=True), 0.2, "x fastest of dbmate, goose, sqlx"),
    Goal("apply 1000, in process", _beside_peers(1000, inside=True), 0.2, "x fastest of dbmate, goose, sqlx"),
    _not_slower("apply 200 with group=0, in process", "apply", 200, EACH, inside=True),
    _not_slower("apply 1000 with group=0, in process", "apply", 1000, EACH, inside=True),
    _not_slower("apply 1000 with group=0, whole process", "apply", 1000, EACH, inside=False),
    _not_slower("the torc schema on a new file, with group=0, in process", "torc", 8, EACH, inside=True),
    _not_slower("a script of 10,000 INSERTs, 1 MB, in process", "script", 1, OURS, inside=True),
    _beside_floor(
        "a script of 100,000 INSERTs, 10 MB, in process", 1.8, "script", 10, inside=True, floor="executescript"
    ),
    Goal("flushes of the disk for each migration", _fsyncs, 4.3, ""),
    Goal("peak memory, nothing to do, 200 installed", _peak("noop", 200), 20, "MB"),
    Goal("peak memory, a script of 100 MB", _peak("script", 100, per=100), 2.5, "x its size"),
)


def _goals(results: Results) -> Iterator[str]:
    yield from markdown.head("work", "goal", "measured", "met", "processor time, best run", "floor with ledgers")
    for goal in GOALS:
        found = goal.figure(results)
        met = "-" if found is None else "yes" if found.value <= goal.most else "**no**"
        goal_text = f"≤ {goal.most:g} {goal.unit}".strip()
        figures = (_amount(each(results), goal.unit) for each in (goal.processor, goal.least))
        yield markdown.row(goal.description, goal_text, _amount(found, goal.unit), met, *figures)


def _amount(figure: Figure | None, unit: str) -> str:
    if figure is None:
        return "-"
    digits = 2 if figure.value < 10 else 1
    interval = f" ({figure.interval[0]:.{digits}f} to {figure.interval[1]:.{digits}f})" if figure.interval else ""
    return f"{figure.value:.{digits}f} {unit}".strip() + interval


def _peers(results: Results) -> Iterator[str]:
    """Compare the tools at every size; each time stands with its ratio to that of the floor."""
    tools = _tools(results)
    yield from markdown.head("work", *tools)
    for (work, inside), title in WORKS.items():
        for size in _sizes(results, work):
            cells = [_cell(results, work, size, tool, inside=inside) for tool in tools]
            if set(cells) != {"-"}:
                yield markdown.row(f"{title}, {size:,}", *cells)


def _scripts(results: Results) -> Iterator[str]:
    tools = [
        tool for tool in _tools(results) if any(r["tool"] == tool and r["work"] == "script" for r in results["rows"])
    ]
    yield from markdown.head("one script", *tools)
    for inside, title in ((False, "whole process"), (True, "in process")):
        for size in _sizes(results, "script"):
            cells = [_cell(results, "script", size, tool, inside=inside) for tool in tools]
            yield markdown.row(f"{size} MB, {title}", *cells)


def _cell(results: Results, work: str, size: int, tool: str, *, inside: bool) -> str:
    found = row(results, work, size, tool, inside=inside)
    if found is None:
        return "-"
    mark = "*" if found["runs"] < results["runs"] else ""
    beside = None if tool == FLOOR else ratio(results, work, size, tool, inside=inside)
    return f"{_time(found['wall_ms'])}{mark}" + (f" ({beside.value:.2f}x)" if beside else "")


def _time(milliseconds: float) -> str:
    if milliseconds >= 10_000:
        return f"{milliseconds / 1e3:.1f} s"
    return f"{milliseconds:.0f} ms" if milliseconds >= 100 else f"{milliseconds:.1f} ms"


def _imports(results: Results) -> Iterator[str]:
    """Compare the versions, the time of the import, the memory and the flushes."""
    bare = milliseconds(results, "start", 0, FLOOR) or 0.0
    size = min(200, max(_sizes(results, "noop")))
    yield from markdown.head(
        "tool",
        "version",
        "import, ms after the start of Python",
        f"peak MB, nothing to do, {size}",
        "flushes a migration",
    )
    for tool in _tools(results):
        loaded, peak = milliseconds(results, "import", 0, tool), row(results, "noop", size, tool)
        yield markdown.row(
            tool,
            results["tools"][tool],
            f"{loaded - bare:.1f}" if loaded else "-",
            f"{peak['peak_mb']:.1f}" if peak else "-",
            f"{results['fsyncs'][tool]:.1f}" if tool in results["fsyncs"] else "-",
        )


def _conditions(results: Results) -> Iterator[str]:
    machine = markdown.load_sentence(results["load"], results["cores"], own=1)
    absent = markdown.absent_sentence(results["absent"])
    yield (
        f"Python {results['python']}, SQLite {results['sqlite']}, {results['machine'].partition(',')[0]}; {machine}. "
        f"Medians of at least {results['runs']} runs in rounds of random order (seed {results['seed']}), "
        f"of fewer runs where there is a `*`.{absent}"
    )


def _tools(results: Results) -> list[str]:
    return [FLOOR, OURS, *(tool for tool in results["tools"] if tool not in (FLOOR, OURS))]


def _sizes(results: Results, work: str) -> list[int]:
    return sorted({each["size"] for each in results["rows"] if each["work"] == work})


def instructions_table(counts: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yield how many instructions a migration takes, in thousands, with the ratio to the floor."""
    by_task = {(count["work"], count["tool"]): count["instructions"] for count in counts}
    works = list(dict.fromkeys(work for work, _ in by_task))
    tools = list(dict.fromkeys(tool for _, tool in by_task))
    yield from markdown.head("one more migration", *tools)
    for work in works:
        floor = by_task[work, FLOOR]
        counted = (by_task.get((work, tool)) for tool in tools)
        cells = (f"{count / 1e3:,.0f} ({count / floor:.2f}x)" if count else "-" for count in counted)
        yield markdown.row(WORKS[work, True], *cells)


TABLES: Mapping[str, tuple[str, Callable[[Any], Iterable[str]]]] = {
    "goals": ("peers", _goals),
    "conditions": ("peers", _conditions),
    "peers": ("peers", _peers),
    "scripts": ("peers", _scripts),
    "imports": ("peers", _imports),
    "instructions": ("instructions", instructions_table),
}
