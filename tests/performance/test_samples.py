"""The statistics of the benchmarks are those of the books, and the charts can be read on every page."""

from __future__ import annotations

import re
from math import comb
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def samples(monkeypatch: pytest.MonkeyPatch):
    """The module, which is not installed."""
    monkeypatch.syspath_prepend(ROOT)
    from benchmarks import samples

    return samples


@pytest.mark.parametrize("count", [*range(6, 42), 101])
def test_interval_of_a_median_has_the_confidence_that_it_promises(samples, count):
    """The interval is the narrowest between two ranks that holds in 95 % of all cases."""

    def confidence(outside: int) -> float:
        return 1 - 2 * sum(comb(count, rank) for rank in range(outside + 1)) / 2**count

    ratio = samples.ratio_of((float(value), 1.0) for value in range(count))

    outside = int(ratio.low)
    assert (ratio.high, ratio.rounds) == (count - 1 - outside, count)
    assert confidence(outside) >= 0.95 > confidence(outside + 1)


def test_interval_of_few_ratios_is_their_range(samples):
    """Five ratios are too few for a confidence of 95 %."""
    assert samples.ratio_of([(2, 1), (9, 3), (8, 2), (5, 1), (12, 2)]) == (4, 2, 6, 5)


def test_percentile_of_few_values_is_the_greatest(samples):
    """The nearest rank is taken: no value is made up."""
    assert samples.percentile(range(1, 51), 0.99) == 50
    assert samples.percentile(range(1, 201), 0.99) == 198
    assert samples.percentile([], 0.99) == 0


def test_a_long_wait_counts_for_as_long_as_it_lasts(samples):
    """One write of half a second among 500 of one millisecond is half of the time, and not one of 501 operations."""
    durations = [1.0] * 500 + [500.0]

    assert samples.percentile(durations, 0.99) == 1
    assert samples.percentile_by_time(durations, 0.99) == 500
    assert samples.percentile_by_time([1.0] * 5000 + [4.0], 0.99) == 1
    assert samples.percentile_by_time([], 0.99) == 0


def test_spread_of_one_value_is_that_value(samples):
    """A task that ran once has quartiles too."""
    assert set(samples.spread([1.5]).values()) == {1.5}
    assert samples.spread([1, 2, 3, 4, 5])["lower_quartile"] == 2


def test_load_above_half_a_core_is_high(samples):
    """The process that is measured does not count."""
    assert not samples.is_high(1.0, 2)
    assert samples.is_high(1.1, 2)
    assert not samples.is_high(1.9, 2, own=1)


def luminance(colour: str) -> float:
    """Return the relative luminance of a colour, as WCAG 2 defines it."""
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("chart", sorted((ROOT / "docs").rglob("*.svg")), ids=lambda path: path.name)
def test_every_colour_of_a_chart_is_readable_on_white_and_on_black(chart):
    """Each has a contrast of at least 3 on both, which WCAG 2 asks of graphics, and the background is transparent."""
    text = chart.read_text()
    colours = set(re.findall(r"#[0-9a-fA-F]{6}\b", text))

    assert colours
    for colour in colours:
        contrasts = 1.05 / (luminance(colour) + 0.05), (luminance(colour) + 0.05) / 0.05
        assert min(contrasts) >= 3, (colour, contrasts)
    assert not re.search(r'<g id="patch_1">\s*<path[^>]*fill: (?!none)', text)
