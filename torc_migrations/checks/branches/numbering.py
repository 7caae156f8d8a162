"""The name of the next migration of a directory: its number, and its words as the directory writes them."""

from __future__ import annotations

from collections.abc import Sequence
from secrets import choice
from string import ascii_letters, digits
from time import gmtime, strftime
from typing import NamedTuple

from torc_migrations.errors import SourceError
from torc_migrations.sources.names import Layout
from torc_migrations.sources.yoyo_names import read_generated, read_wild

_MOST_A_DAY = 99  # `yoyo new` writes two digits


class Known(NamedTuple):
    """A migration of the directory: its version, and its id."""

    version: int
    id: str


def next_stem(
    source: str,
    layout: Layout,
    known: Sequence[Known],
    words: str,
    *,
    sequential: bool | None = None,
    prefix: str | None = None,
) -> str:
    """Return the name, without its end, of a migration that comes after those that are known, oldest first.

    The version is the time in UTC, or the next number where the last two versions differ by one; `sequential` says
    otherwise. Where the newest migration has a name that `yoyo new` writes, or there is none and there is a `prefix`,
    the new one has such a name too.

    Raises:
        SourceError: yoyo's names have no number left for today.
    """
    name = _yoyo_stem(source, known, words, prefix) if sequential is None else None
    return name or f"{_next_version(layout, known, sequential)}_{words}"


def _yoyo_stem(source: str, known: Sequence[Known], words: str, prefix: str | None) -> str | None:
    """Return a name as `yoyo new` writes it, if the newest migration has such a name; else None."""
    newest = read_generated(known[-1].id) if known else None
    if newest is None and (known or not prefix):
        return None
    today, count = strftime("%Y%m%d", gmtime()), 1
    if newest is not None and newest.date >= today:  # a clock may be behind
        today, count = newest.date, int(newest.number) + 1
    if count > _MOST_A_DAY:
        raise SourceError(source, f"there are {_MOST_A_DAY} migrations of {today}", hint="pass --timestamp")
    if newest is not None and not newest.letters:
        return f"{today}_{count:02d}_{words}"
    letters = "".join(choice(ascii_letters + digits) for _ in range(5))
    return f"{newest.prefix if newest else prefix}{today}_{count:02d}_{letters}-{words.replace('_', '-')}"


def _next_version(layout: Layout, known: Sequence[Known], sequential: bool | None) -> str:
    newest = known[-1].version if known else 0
    if _are_sequential(known) if sequential is None else sequential:
        return f"{newest + 1:0{_width(layout, known)}d}"
    # A second migration within the same second, or a clock that is behind, must not come first.
    return str(max(int(strftime("%Y%m%d%H%M%S", gmtime())), newest + 1))


def _width(layout: Layout, known: Sequence[Known]) -> int:
    """Return how many digits a number has: four, or as many as the newest in a directory that yoyo may read.

    yoyo runs migrations in the order of their names, and would run `0003_c` before `1_a`.
    """
    newest = known[-1].id if known else ""
    number = newest[: len(newest) - len(newest.lstrip("0123456789"))]
    return len(number) if read_wild(newest) or (layout is Layout.YOYO and number) else 4


def _are_sequential(known: Sequence[Known]) -> bool:
    if len(known) == 1:
        return known[0].version in (0, 1)
    return len(known) > 1 and known[-1].version - known[-2].version == 1
