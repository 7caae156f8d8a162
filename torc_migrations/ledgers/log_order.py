"""The order of the lines of yoyo's log, on a server, where rows have no order of their own."""

from __future__ import annotations

from collections.abc import Sequence

from torc_migrations.history.records import BEGIN, LogEntry


def in_order(lines: Sequence[LogEntry]) -> list[LogEntry]:
    """Return the lines of a log, the oldest first, with their positions.

    A line of ours says how many lines were before it, and so has its place whatever the clocks say, and after the
    database was dumped and restored. The lines of other programs fill the places between, in the order of their times.
    Where lines are missing, because somebody has deleted old ones, ours are in the order of their numbers, and the
    others are put between them by their times.
    """
    begun = [line for line in lines if line.operation == BEGIN and line.lines_before is not None]
    others = [line for line in lines if line.operation != BEGIN or line.lines_before is None]
    numbered = sorted((line for line in others if line.lines_before is not None), key=_number)
    free = sorted((line for line in others if line.lines_before is None), key=_time)
    numbers = [_number(line) for line in numbered]
    if len(set(numbers)) < len(numbers) or (numbers and numbers[-1] >= len(others)):
        ordered = _merged(numbered, free)
    else:
        ordered = _filled(numbered, free)
    for line in sorted(begun, key=_number, reverse=True):
        ordered.insert(_number(line), line)
    return [line._replace(position=position) for position, line in enumerate(ordered)]


def _number(line: LogEntry) -> int:
    return line.lines_before or 0


def _time(line: LogEntry) -> str:
    """Return the time of a line; stock yoyo writes some with a `T` and some with a blank."""
    return (line.created_at or "").replace("T", " ")


def _filled(numbered: list[LogEntry], free: list[LogEntry]) -> list[LogEntry]:
    """Put each numbered line at its place, and the others into the places that are left."""
    ordered: list[LogEntry] = []
    rest = iter(free)
    for line in numbered:
        ordered += (next(rest) for _ in range(_number(line) - len(ordered)))
        ordered.append(line)
    return [*ordered, *rest]


def _merged(numbered: list[LogEntry], free: list[LogEntry]) -> list[LogEntry]:
    """Merge two lists that are in order, by the times in them."""
    ordered: list[LogEntry] = []
    rest = list(reversed(free))
    for line in numbered:
        while rest and _time(rest[-1]) < _time(line):
            ordered.append(rest.pop())
        ordered.append(line)
    return [*ordered, *reversed(rest)]
