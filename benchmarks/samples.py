"""Summarise repeated measurements: quartiles, ratios within a round with their interval, the load of the machine."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from math import ceil, comb
from statistics import median, quantiles
from typing import NamedTuple, TypeVar

Target = TypeVar("Target")

# A load average above this, for each core, means that measured times include waiting for other processes.
HIGH_LOAD = 0.5
CONFIDENCE = 0.95
# Conditions of a shared machine change over the day, so times that are compared are at most this far apart.
SECONDS_OF_A_SERIES = 3600.0


class Ratio(NamedTuple):
    """The median of ratios, the interval that it lies in with a confidence of 95 %, and the number of ratios.

    With fewer than six ratios there is no such interval: `low` and `high` are the least and the greatest.
    """

    median: float
    low: float
    high: float
    rounds: int


def spread(values: Sequence[float]) -> dict[str, float]:
    """Return the least value, both quartiles, the median and the 99th percentile, in the unit of the values."""
    lower, middle, upper = quantiles(values, n=4, method="inclusive") if len(values) > 1 else [values[0]] * 3
    return {
        "least": round(min(values), 4),
        "lower_quartile": round(lower, 4),
        "median": round(middle, 4),
        "upper_quartile": round(upper, 4),
        "p99": round(percentile(values, 0.99), 4),
    }


def percentile(values: Iterable[float], part: float) -> float:
    """Return the value that this part of all values does not exceed (nearest rank); 0 where there are none."""
    ordered = sorted(values)
    return ordered[ceil(part * len(ordered)) - 1] if ordered else 0.0


def percentile_by_time(durations: Iterable[float], part: float) -> float:
    """Return the duration that is not exceeded in this part of the total time; 0 where there are none.

    A client that waits runs no other operations meanwhile. Counted as one of many operations a long wait would not be
    seen; here it counts for as long as it lasts.
    """
    ordered = sorted(durations)
    limit, passed = part * sum(ordered), 0.0
    for duration in ordered:
        passed += duration
        if passed >= limit:
            return duration
    return ordered[-1] if ordered else 0.0


def ratio_of(pairs: Iterable[tuple[float, float]]) -> Ratio:
    """Return the median ratio of pairs that were measured in the same round, the first divided by the second."""
    ratios = [first / second for first, second in pairs]
    low, high = _interval_of_median(ratios)
    return Ratio(round(median(ratios), 4), round(low, 4), round(high, 4), len(ratios))


def _interval_of_median(values: Sequence[float]) -> tuple[float, float]:
    """Return the interval between two ranks, which holds for every distribution (Conover, 1999, section 3.2)."""
    ordered, count = sorted(values), len(values)
    outside = 0  # how many values at each end lie outside of the interval
    while 2 * sum(comb(count, rank) for rank in range(outside + 2)) <= (1 - CONFIDENCE) * 2**count:
        outside += 1
    return ordered[outside], ordered[count - 1 - outside]


def load() -> float:
    """Return the number of processes that ran or waited for a processor in the last minute, on average."""
    return round(os.getloadavg()[0], 2)


def is_high(load_average: float, cores: int, *, own: float = 0.0) -> bool:
    """Return whether the load is more than 0.5 a core, without `own`, the part of the measured process."""
    return (load_average - own) / cores > HIGH_LOAD


def warn_of_load() -> float:
    """Return the load, and print a warning on standard error if it is high."""
    found, cores = load(), os.cpu_count() or 1
    if is_high(found, cores):
        print(f"warning: the load is {found} on {cores} cores; times measured now are unreliable", file=sys.stderr)
    return found


def in_turn(targets: Mapping[str, Target], number: int) -> list[tuple[str, Target]]:
    """Return the targets of one round, beginning with another one in each round."""
    items = list(targets.items())
    start = number % len(items)
    return [*items[start:], *items[:start]]
