"""Lines of Markdown tables, and numbers as text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from benchmarks.samples import is_high


def row(*cells: object) -> str:
    """Return one line of a table."""
    return f"| {' | '.join(map(str, cells))} |"


def head(*cells: str, left: int = 1) -> Iterator[str]:
    """Yield the first two lines of a table, whose columns are aligned right from number `left` on."""
    yield row(*cells)
    yield row(*("---" if number < left else "---:" for number in range(len(cells))))


def number(value: float) -> str:
    """Return a number with three significant digits."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.{1 if value >= 10 else 2 if value >= 1 else 3}f}"


def load_sentence(load: float, cores: int, *, own: float = 0.0) -> str:
    """Return the load of the machine during a measurement, with a remark if it was high; `own` is what it caused."""
    is_waiting = is_high(load, cores, own=own)
    remark = ", more than 0.5 a core, so that times include waiting for other processes" if is_waiting else ""
    return f"load {load} on {cores} cores{remark}"


def absent_sentence(tools: Sequence[str]) -> str:
    """Return the sentence about tools that are not installed, after a blank; an empty text where all are."""
    return f" Not installed: {', '.join(tools)}." if tools else ""
