"""The tables of torc_migrations on PostgreSQL, from results/postgresql.json."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from benchmarks import markdown

Results = Mapping[str, Any]


def _conditions(results: Results) -> Iterator[str]:
    machine = markdown.load_sentence(results["load"], results["cores"], own=1)
    absent = markdown.absent_sentence(results["absent"])
    yield (
        f"PostgreSQL {results['postgresql']}, psycopg {results['psycopg']}, Python {results['python']}, "
        f"{results['machine'].partition(',')[0]}; {machine}. Medians of {results['rounds']} rounds.{absent}"
    )


def _tools(results: Results) -> Iterator[str]:
    """Compare the tools; each ratio is to torc_migrations in the same round."""
    cells = {(row["work"], row["tool"]): _cell(row) for row in results["rows"]}
    yield from markdown.head("tool", "version", f"apply {results['migrations']}", "nothing to do", left=2)
    for tool, version in results["tools"].items():
        yield markdown.row(tool, version, *(cells.get((work, tool), "-") for work in ("apply", "noop")))


def _script(results: Results) -> Iterator[str]:
    """Compare one long script with the driver alone; each ratio is to the driver in the same round."""
    yield from markdown.head(f"a script of {results['inserts']:,} INSERTs", "time")
    for row in results["rows"]:
        if row["work"] == "script":
            yield markdown.row(row["tool"], _cell(row))


def _cell(row: Mapping[str, Any]) -> str:
    ratio = row["ratio"]
    if ratio["low"] == ratio["high"]:
        return f"{row['wall_ms']:,.0f} ms"
    return f"{row['wall_ms']:,.0f} ms, {ratio['median']:.2f}x ({ratio['low']:.2f} to {ratio['high']:.2f})"


TABLES: Mapping[str, tuple[str, Callable[[Any], Iterable[str]]]] = {
    "postgresql_conditions": ("postgresql", _conditions),
    "postgresql_tools": ("postgresql", _tools),
    "postgresql_script": ("postgresql", _script),
}
