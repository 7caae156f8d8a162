"""The tables about the indexes of the torc schema, from results/index_effect.json and results/watch_overhead.json."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from benchmarks import markdown
from benchmarks.indexes.statements import CLAIMS, TIMES_FASTER, Claim
from benchmarks.markdown import number

WITHOUT, WITH, ANALYZED = "without", "with", "analyzed"
INDEX_BYTES = (500_000, 1_000_000)
WRITE_COST = (0.10, 0.15)
STOP_MS = 100

Results = Mapping[str, Any]


def _medians(query: Mapping[str, Any]) -> tuple[float, float, float]:
    """Return the milliseconds without the indexes, with them, and with them after ANALYZE."""
    times = query["ms"]
    return times[WITHOUT]["median"], times[WITH]["median"], times[ANALYZED]["median"]


def times_faster(query: Mapping[str, Any]) -> float:
    """Return the median of the ratios of each run, or the ratio of the medians in results without those."""
    without, with_indexes, _ = _medians(query)
    return float(query["times_faster"]["median"]) if "times_faster" in query else without / with_indexes


def _verdict(times: float) -> str:
    low, high = TIMES_FASTER
    return "not held" if times < low else "held" if times <= high else "exceeded"


def _machine(results: Results) -> Iterator[str]:
    facts = results["facts"]
    loads = [facts["load_average"]] if "load_average" in facts else [size["load_before"] for size in results["sizes"]]
    machine = markdown.load_sentence(max(loads), facts["processors"])
    yield (
        f"Measured on {facts['date']} with SQLite {facts['sqlite']} and Python {facts['python']} on "
        f"{facts['system']}; {machine}. Medians of {facts['repeats']} runs of each query, and "
        f"of {facts['rounds']} of each write."
    )


def _claims(results: Results) -> Iterator[str]:
    sizes = results["sizes"]
    yield from markdown.head(
        "the document", "it says", "query", *(f"{_workflows(size)}: ms, times faster" for size in sizes), left=3
    )
    for name, claim in CLAIMS.items():
        yield markdown.row(_family(claim), _said(claim), name, *(_claimed(_query(size, name)) for size in sizes))


def _workflows(size: Mapping[str, Any]) -> str:
    return f"{size['workflows']} workflow{'s' if size['workflows'] > 1 else ''}"


def _query(size: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found: Mapping[str, Any] = next(query for query in size["queries"] if query["name"] == name)
    return found


def _family(claim: Claim) -> str:
    return claim.family


def _said(claim: Claim) -> str:
    (low, high), (fast, slow) = claim.before, claim.after
    return f"{low:.0f} to {high:.0f} ms, then {fast:.0f} to {slow:.0f} ms"


def _claimed(query: Mapping[str, Any]) -> str:
    without, with_indexes, _ = _medians(query)
    times = times_faster(query)
    return f"{number(without)} → {number(with_indexes)}, {number(times)} times, **{_verdict(times)}**"


def _queries(results: Results) -> Iterator[str]:
    sizes = results["sizes"]
    yield from markdown.head(
        "query", "rows", *(f"{_workflows(size)}: without → with → after ANALYZE, ms" for size in sizes)
    )
    for query in sizes[-1]["queries"]:
        cells = [" → ".join(map(number, _medians(_query(size, query["name"])))) for size in sizes]
        yield markdown.row(query["name"], f"{_query(_middle(sizes), query['name'])['rows']:,.0f}", *cells)


def _middle(sizes: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    return sizes[len(sizes) // 2]


def _indexes(results: Results) -> Iterator[str]:
    sizes = results["sizes"]
    middle = _middle(sizes)
    yield from markdown.head("index", "on", f"its queries, and how much faster with {_workflows(middle)}", "", left=4)
    for index in middle["indexes"]:
        on = f"{index['table']}({', '.join(index['columns'])})"
        served = [f"{name} ({number(times_faster(_query(middle, name)))} times)" for name in index["used_by"]]
        remark = f"redundant: `{index['redundant_to']}`" if index["redundant_to"] else "" if served else "unused"
        yield markdown.row(f"`{index['name']}`", f"`{on}`", ", ".join(served) or "none", remark)


def _bytes(results: Results) -> Iterator[str]:
    sizes = results["sizes"]
    yield from markdown.head("index", *(f"{_workflows(size)}, KiB" for size in sizes))
    for index in sizes[0]["indexes"]:
        yield markdown.row(
            f"`{index['name']}`", *(f"{_index_bytes(size, index['name']) / 1024:,.0f}" for size in sizes)
        )
    yield markdown.row("**all 17**", *(f"**{_all_bytes(size) / 1024:,.0f}**" for size in sizes))
    yield markdown.row("share of the file", *(f"{_all_bytes(size) / size['bytes'][WITH]:.1%}" for size in sizes))


def _index_bytes(size: Mapping[str, Any], name: str) -> int:
    return int(next(index["bytes"] for index in size["indexes"] if index["name"] == name))


def _all_bytes(size: Mapping[str, Any]) -> int:
    return sum(int(index["bytes"]) for index in size["indexes"])


def _other_claims(results: Results) -> Iterator[str]:
    sizes = results["sizes"]
    yield from markdown.head("the document", "measured", "", left=3)
    yield markdown.row("17 indexes take 500 KB to 1 MB for 10,000 jobs", *_storage(sizes[0]))
    yield markdown.row("inserts, updates and deletes take 10 to 15 % longer", *_slower_writes(sizes))
    yield markdown.row("the migration takes less than a second", *_own_time(sizes))
    yield markdown.row("clients do not have to stop in WAL mode: readers", *_waits(sizes, "read by key"))
    yield markdown.row("clients do not have to stop in WAL mode: writers", *_waits(sizes, "write"))


def _storage(size: Mapping[str, Any]) -> tuple[str, str]:
    total = _all_bytes(size)
    low, high = INDEX_BYTES
    return f"{total / 1e6:.2f} MB with {_workflows(size)}", _held(low <= total <= high)


def _slower_writes(sizes: Sequence[Mapping[str, Any]]) -> tuple[str, str]:
    """Return the range over all sizes, without deletes by cascade, which become faster."""
    costs = [write_cost(write) for size in sizes for write in size["writes"] if write_cost(write) > 0]
    _, high = WRITE_COST
    return f"{min(costs):.0%} to {max(costs):.0%}; a delete that cascades is faster", _held(max(costs) <= high)


def _own_time(sizes: Sequence[Mapping[str, Any]]) -> tuple[str, str]:
    times = [f"{number(size['migration_ms'])} ms with {_workflows(size)}" for size in sizes]
    verdicts = [_held(size["migration_ms"] < 1000) for size in sizes]
    return ", ".join(times), verdicts[0] if len(set(verdicts)) == 1 else ", ".join(verdicts)


def _waits(sizes: Sequence[Mapping[str, Any]], operation: str) -> tuple[str, str]:
    """Compare the time of an operation before and during the migration; 0.1 s does not count as a stop."""
    live = [(size, size["live"]["wal"]) for size in sizes if size["live"]]
    figure = f"{_measure(sizes)} {operation}"
    waits = [
        f"{number(found[f'{figure}, before'])} → {number(found[f'{figure}, during'])} ms with {_workflows(size)}"
        for size, found in live
    ]
    held = bool(live) and all(found[f"{figure}, during"] < STOP_MS for _, found in live)
    return f"{figure}, before → during: {', '.join(waits)}", _held(held)


def _measure(sizes: Sequence[Mapping[str, Any]]) -> str:
    """Return what was measured of the clients: the 99th percentile, or the longest time in older results."""
    names = {name for size in sizes for found in size["live"].values() for name in found}
    return "p99" if any(name.startswith("p99 ") for name in names) else "longest"


def _held(is_held: bool) -> str:
    return "**held**" if is_held else "**not held**"


def _writes(results: Results) -> Iterator[str]:
    sizes = [size for size in results["sizes"] if size["writes"]]
    yield from markdown.head("write", *(f"{_workflows(size)}: without → with, ms" for size in sizes))
    for number_of, write in enumerate(sizes[0]["writes"]):
        yield markdown.row(write["name"], *(_write_cell(size["writes"][number_of]) for size in sizes))


def _write_cell(write: Mapping[str, Any]) -> str:
    without, with_indexes = write["ms"][WITHOUT]["median"], write["ms"][WITH]["median"]
    return f"{number(without)} → {number(with_indexes)}, {write_cost(write):+.0%}"


def write_cost(write: Mapping[str, Any]) -> float:
    """Return how much longer a write takes with the indexes, as a part of its time without them."""
    if "times_slower" in write:
        return float(write["times_slower"]["median"]) - 1
    return float(write["ms"][WITH]["median"] / write["ms"][WITHOUT]["median"] - 1)


def _migration(results: Results) -> Iterator[str]:
    sizes = results["sizes"]
    yield from markdown.head("", *(_workflows(size) for size in sizes))
    yield markdown.row("database before, MB", *(f"{size['bytes'][WITHOUT] / 1e6:,.1f}" for size in sizes))
    yield markdown.row("the migration alone, ms", *(number(size["migration_ms"]) for size in sizes))
    yield markdown.row("ANALYZE, ms", *(number(size["analyze_ms"]) for size in sizes))
    measure = _measure(sizes)
    figures = {
        "upgrade: the migration's own time": "beside a reader and a writer",
        **{
            f"{measure} {operation}, {phase}": f"{measure} {operation}, {phase} the migration"
            for operation in ("read by key", "write")
            for phase in ("before", "during")
        },
    }
    for journal, label in (("wal", "WAL"), ("delete", "rollback journal")):
        for figure, words in figures.items():
            yield markdown.row(f"{words}, {label}, ms", *(_live(size, journal, figure) for size in sizes))


def _live(size: Mapping[str, Any], journal: str, figure: str) -> str:
    return number(size["live"][journal][figure]) if journal in size["live"] else "-"


def _failing(results: Results) -> Iterator[str]:
    for size in results["sizes"]:
        names = size["failing_when_analyzed"]
        yield f"- {_workflows(size)}: {len(names)} of {len(size['queries'])}" + (
            f": {', '.join(names)}" if names else ""
        )


def _watch(results: Results) -> Iterator[str]:
    yield from markdown.head("query", "rows taken by", "plain, ms", "watched, ms", "costs", "under 5 %", left=2)
    held = {True: "held", False: "**not held**", None: "shorter than 1 ms"}
    for row in results["queries"]:
        times = number(row["plain_ms"]), number(row["watched_ms"])
        yield markdown.row(row["query"], f"`{row['way']}`", *times, f"{row['overhead']:+.1%}", held[row["held"]])


TABLES: Mapping[str, tuple[str, Callable[[Any], Iterable[str]]]] = {
    "machine": ("index_effect", _machine),
    "claims": ("index_effect", _claims),
    "queries": ("index_effect", _queries),
    "indexes": ("index_effect", _indexes),
    "bytes": ("index_effect", _bytes),
    "other_claims": ("index_effect", _other_claims),
    "writes": ("index_effect", _writes),
    "migration": ("index_effect", _migration),
    "failing": ("index_effect", _failing),
    "watch": ("watch_overhead", _watch),
}
