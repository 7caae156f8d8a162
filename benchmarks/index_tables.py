"""Write the results of the index benchmarks into docs/DATABASE_INDEXES.md, as Markdown tables between marks."""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from index_queries import CLAIMS, TIMES_FASTER, Claim

HERE = Path(__file__).parent
DOCS = HERE.parent / "docs" / "DATABASE_INDEXES.md"
RESULTS = HERE / "results"
WITHOUT, WITH, ANALYZED = "without", "with", "analyzed"
INDEX_BYTES = (500_000, 1_000_000)
WRITE_COST = (0.10, 0.15)
STOP_MS = 100

Results = Mapping[str, Any]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; the exit code is 1 where `--check` finds tables that are not those of the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="only tell whether the tables are those of the results")
    options = parser.parse_args(arguments)
    before = DOCS.read_text(encoding="utf-8")
    after = filled_in(before, {name: _load(name) for name in ("index_effect", "index_futures", "watch_overhead")})
    if options.check:
        return int(before != after)
    DOCS.write_text(after, encoding="utf-8")
    return 0


def _load(name: str) -> Results:
    return dict(json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8")))


def filled_in(text: str, results: Mapping[str, Results]) -> str:
    """Return a text with the table of each pair of marks, `<!-- NAME -->` and `<!-- end -->`, made anew."""

    def table(mark: re.Match[str]) -> str:
        benchmark, make = TABLES[mark[1]]
        lines = "\n".join(make(results[benchmark]))
        return f"<!-- {mark[1]} -->\n{lines}\n<!-- end -->"

    return re.sub(r"<!-- (\w+) -->\n.*?<!-- end -->", table, text, flags=re.DOTALL)


def _row(*cells: object) -> str:
    return f"| {' | '.join(map(str, cells))} |"


def _head(*cells: str, left: int = 1) -> Iterator[str]:
    yield _row(*cells)
    yield _row(*("---" if number < left else "---:" for number in range(len(cells))))


def number(value: float) -> str:
    """Return a number with three digits that count."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.{1 if value >= 10 else 2 if value >= 1 else 3}f}"


def _medians(query: Mapping[str, Any]) -> tuple[float, float, float]:
    """Return the milliseconds without the indexes, with them, and with them after ANALYZE."""
    times = query["ms"]
    return times[WITHOUT]["median"], times[WITH]["median"], times[ANALYZED]["median"]


def _times_faster(query: Mapping[str, Any]) -> float:
    without, with_indexes, _ = _medians(query)
    return without / with_indexes


def _verdict(times: float) -> str:
    low, high = TIMES_FASTER
    return "not held" if times < low else "held" if times <= high else "exceeded"


def _machine(results: Results) -> Iterator[str]:
    facts = results["facts"]
    yield (
        f"Measured on {facts['date']} with SQLite {facts['sqlite']} and Python {facts['python']} on "
        f"{facts['system']}, {facts['processors']} processors; medians of {facts['repeats']} runs of each query, and "
        f"of {facts['rounds']} of each write."
    )


def _claims(results: Results) -> Iterator[str]:
    sizes = results["sizes"]
    yield from _head(
        "the document", "it says", "query", *(f"{_workflows(size)}: ms, times faster" for size in sizes), left=3
    )
    for name, claim in CLAIMS.items():
        yield _row(_family(claim), _said(claim), name, *(_claimed(_query(size, name)) for size in sizes))


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
    times = _times_faster(query)
    return f"{number(without)} → {number(with_indexes)}, {number(times)} times, **{_verdict(times)}**"


def _queries(results: Results) -> Iterator[str]:
    sizes = results["sizes"]
    yield from _head("query", "rows", *(f"{_workflows(size)}: without → with → after ANALYZE, ms" for size in sizes))
    for query in sizes[-1]["queries"]:
        cells = [" → ".join(map(number, _medians(_query(size, query["name"])))) for size in sizes]
        yield _row(query["name"], f"{_query(_middle(sizes), query['name'])['rows']:,.0f}", *cells)


def _middle(sizes: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    return sizes[len(sizes) // 2]


def _indexes(results: Results) -> Iterator[str]:
    sizes = results["sizes"]
    middle = _middle(sizes)
    yield from _head("index", "on", f"its queries, and how much faster with {_workflows(middle)}", "", left=4)
    for index in middle["indexes"]:
        on = f"{index['table']}({', '.join(index['columns'])})"
        served = [f"{name} ({number(_times_faster(_query(middle, name)))} times)" for name in index["used_by"]]
        remark = f"redundant: `{index['redundant_to']}`" if index["redundant_to"] else "" if served else "unused"
        yield _row(f"`{index['name']}`", f"`{on}`", ", ".join(served) or "none", remark)


def _bytes(results: Results) -> Iterator[str]:
    sizes = results["sizes"]
    yield from _head("index", *(f"{_workflows(size)}, KiB" for size in sizes))
    for index in sizes[0]["indexes"]:
        yield _row(f"`{index['name']}`", *(f"{_index_bytes(size, index['name']) / 1024:,.0f}" for size in sizes))
    yield _row("**all 17**", *(f"**{_all_bytes(size) / 1024:,.0f}**" for size in sizes))
    yield _row("share of the file", *(f"{_all_bytes(size) / size['bytes'][WITH]:.1%}" for size in sizes))


def _index_bytes(size: Mapping[str, Any], name: str) -> int:
    return int(next(index["bytes"] for index in size["indexes"] if index["name"] == name))


def _all_bytes(size: Mapping[str, Any]) -> int:
    return sum(int(index["bytes"]) for index in size["indexes"])


def _other_claims(results: Results) -> Iterator[str]:
    sizes = results["sizes"]
    yield from _head("the document", "measured", "", left=3)
    yield _row("17 indexes take 500 KB to 1 MB for 10,000 jobs", *_storage(sizes[0]))
    yield _row("inserts, updates and deletes take 10 to 15 % longer", *_slower_writes(sizes))
    yield _row("the migration takes less than a second", *_own_time(sizes))
    yield _row("nobody has to stop for it in WAL mode: readers", *_stall(sizes, "longest read by key"))
    yield _row("nobody has to stop for it in WAL mode: writers", *_stall(sizes, "longest write"))


def _storage(size: Mapping[str, Any]) -> tuple[str, str]:
    total = _all_bytes(size)
    low, high = INDEX_BYTES
    return f"{total / 1e6:.2f} MB with {_workflows(size)}", _held(low <= total <= high)


def _slower_writes(sizes: Sequence[Mapping[str, Any]]) -> tuple[str, str]:
    """Return the range over all sizes; deletes by cascade are not in it, they get faster."""
    costs = [_cost(write) for size in sizes for write in size["writes"] if _cost(write) > 0]
    _, high = WRITE_COST
    return f"{min(costs):.0%} to {max(costs):.0%}; a delete that cascades is faster", _held(max(costs) <= high)


def _own_time(sizes: Sequence[Mapping[str, Any]]) -> tuple[str, str]:
    times = [f"{number(size['migration_ms'])} ms with {_workflows(size)}" for size in sizes]
    verdicts = [_held(size["migration_ms"] < 1000) for size in sizes]
    return ", ".join(times), verdicts[0] if len(set(verdicts)) == 1 else ", ".join(verdicts)


def _stall(sizes: Sequence[Mapping[str, Any]], figure: str) -> tuple[str, str]:
    """Tell the longest wait before and during the migration; a tenth of a second is no stop."""
    live = [(size, size["live"]["wal"]) for size in sizes if size["live"]]
    waits = [
        f"{number(found[f'{figure}, before'])} → {number(found[f'{figure}, during'])} ms with {_workflows(size)}"
        for size, found in live
    ]
    held = bool(live) and all(found[f"{figure}, during"] < STOP_MS for _, found in live)
    return f"the longest wait, before → during: {', '.join(waits)}", _held(held)


def _held(is_held: bool) -> str:
    return "**held**" if is_held else "**not held**"


def _writes(results: Results) -> Iterator[str]:
    sizes = [size for size in results["sizes"] if size["writes"]]
    yield from _head("write", *(f"{_workflows(size)}: without → with, ms" for size in sizes))
    for number_of, write in enumerate(sizes[0]["writes"]):
        yield _row(write["name"], *(_write_cost(size["writes"][number_of]) for size in sizes))


def _write_cost(write: Mapping[str, Any]) -> str:
    without, with_indexes = write["ms"][WITHOUT]["median"], write["ms"][WITH]["median"]
    return f"{number(without)} → {number(with_indexes)}, {_cost(write):+.0%}"


def _cost(write: Mapping[str, Any]) -> float:
    return float(write["ms"][WITH]["median"] / write["ms"][WITHOUT]["median"] - 1)


def _migration(results: Results) -> Iterator[str]:
    sizes = results["sizes"]
    yield from _head("", *(_workflows(size) for size in sizes))
    yield _row("database before, MB", *(f"{size['bytes'][WITHOUT] / 1e6:,.1f}" for size in sizes))
    yield _row("the migration alone, ms", *(number(size["migration_ms"]) for size in sizes))
    yield _row("ANALYZE, ms", *(number(size["analyze_ms"]) for size in sizes))
    for journal, label in (("wal", "WAL"), ("delete", "rollback journal")):
        for figure, words in _LIVE.items():
            yield _row(f"{words}, {label}, ms", *(_live(size, journal, figure) for size in sizes))


_LIVE = {
    "upgrade: the migration's own time": "beside a reader and a writer",
    "longest read by key, before": "longest read before it",
    "longest read by key, during": "longest read during it",
    "longest write, before": "longest write before it",
    "longest write, during": "longest write during it",
}


def _live(size: Mapping[str, Any], journal: str, figure: str) -> str:
    return number(size["live"][journal][figure]) if journal in size["live"] else "-"


def _failing(results: Results) -> Iterator[str]:
    for size in results["sizes"]:
        names = size["failing_when_analyzed"]
        yield f"- {_workflows(size)}: {len(names)} of {len(size['queries'])}" + (
            f": {', '.join(names)}" if names else ""
        )


def _batches(results: Results) -> Iterator[str]:
    rows = results["batches"]
    kinds = list(dict.fromkeys((row["journal"], row["synchronous"]) for row in rows))
    yield from _head("rows in a transaction", *(f"{journal}, synchronous {how}: ms a row" for journal, how in kinds))
    for size in dict.fromkeys(row["rows"] for row in rows):
        cells = [row["ms_per_row"] for row in rows if row["rows"] == size]
        yield _row(f"{size:,}", *(f"{cell:.4f}" for cell in cells))


def _caches(results: Results) -> Iterator[str]:
    rows = results["caches"]
    yield from _head("query", *(f"{name}, ms" for name in rows[0]["ms"]))
    for row in rows:
        if max(row["ms"].values()) >= 0.2:
            yield _row(row["name"], *map(number, row["ms"].values()))


def _archive(results: Results) -> Iterator[str]:
    found, sizes = results["archive"], results["archive"]["bytes"]
    workflows = results["facts"]["workflows"]
    yield (
        f"Moving {found['workflows_moved']} of {workflows} workflows took {found['move_ms'] / 1e3:.1f} s, "
        f"the VACUUM after it {found['vacuum_ms'] / 1e3:.1f} s; the file went from {sizes['before'] / 1e6:.0f} MB to "
        f"{sizes['after'] / 1e6:.0f} MB, the archive has {sizes['archive'] / 1e6:.0f} MB."
    )
    yield ""
    yield from _head("query", "before, ms", "after, ms")
    for query in found["queries"]:
        if query["before_ms"] >= 0.2:
            yield _row(query["name"], number(query["before_ms"]), number(query["after_ms"]))


def _cascade(results: Results) -> Iterator[str]:
    found = results["cascade"]
    yield from _head(f"delete one of {found['workflows']} workflows of {found['jobs']:,} jobs", "ms")
    yield _row("with the 17 indexes", number(found["shipped_ms"]))
    yield _row("with an index for each of the 16 other foreign keys too", number(found["every_key_indexed_ms"]))


def _optimize(results: Results) -> Iterator[str]:
    yield from _head("after", "rows of statistics", "ms")
    for row in results["optimize"]:
        yield _row(row["after"], row["statistics"], number(row["ms"]))


def _watch(results: Results) -> Iterator[str]:
    yield from _head("query", "rows taken by", "plain, ms", "watched, ms", "costs", "under 5 %", left=2)
    held = {True: "held", False: "**not held**", None: "shorter than 1 ms"}
    for row in results["queries"]:
        times = number(row["plain_ms"]), number(row["watched_ms"])
        yield _row(row["query"], f"`{row['way']}`", *times, f"{row['overhead']:+.1%}", held[row["held"]])


TABLES: Mapping[str, tuple[str, Callable[[Results], Iterator[str]]]] = {
    "machine": ("index_effect", _machine),
    "claims": ("index_effect", _claims),
    "queries": ("index_effect", _queries),
    "indexes": ("index_effect", _indexes),
    "bytes": ("index_effect", _bytes),
    "other_claims": ("index_effect", _other_claims),
    "writes": ("index_effect", _writes),
    "migration": ("index_effect", _migration),
    "failing": ("index_effect", _failing),
    "batches": ("index_futures", _batches),
    "caches": ("index_futures", _caches),
    "archive": ("index_futures", _archive),
    "cascade": ("index_futures", _cascade),
    "optimize": ("index_futures", _optimize),
    "watch": ("watch_overhead", _watch),
}


if __name__ == "__main__":
    sys.exit(main())
