"""On a server the order of yoyo's log does not depend on clocks, as far as lines of ours go."""

from __future__ import annotations

from itertools import count
from random import Random

import pytest

from torc_migrations.history.records import BEGIN, Begun, LogEntry, begun_comment, our_comment
from torc_migrations.ledgers.log_order import in_order


def stamp(second: float) -> str:
    """Return a time as yoyo writes it."""
    return f"2026-01-01 00:{int(second) // 60:02}:{second % 60:09.6f}"


def ours(after: int, at: float = 0, name: str = "a") -> LogEntry:
    """Return a line of ours that was written after some lines."""
    return LogEntry("apply", stamp(at), our_comment("apply", "none", after), hash=name)


def stock(at: float, name: str = "a") -> LogEntry:
    """Return a line of a stock yoyo."""
    return LogEntry("apply", stamp(at), None, hash=name)


def test_a_comment_says_how_many_lines_were_before_it():
    """It is read back from every kind of line of ours, whatever words are in it."""
    begun = begun_comment(Begun("apply", 3, 7, "1-2-3-0"), "none", 5)

    assert LogEntry("apply", None, our_comment("repair (x; after 9)", "none", 17)).lines_before == 17
    assert LogEntry("apply", None, our_comment("hook", None, 17)).lines_before == 17
    assert LogEntry(BEGIN, None, begun).lines_before == 5
    assert LogEntry(BEGIN, None, begun).begun == Begun("apply", 3, 7, "1-2-3-0")
    assert LogEntry("apply", None, our_comment("apply (x; after 9)", "none")).lines_before is None
    assert LogEntry("apply", None, "; after 3").lines_before is None
    assert LogEntry("apply", None, None).lines_before is None


@pytest.mark.parametrize("seed", range(300))
def test_lines_are_in_the_order_in_which_they_were_written(seed):
    """Whatever our clocks say: those of a stock yoyo, which are one clock, fill the places between."""
    random = Random(seed)
    written, times = [], count(1)
    begun_after: list[LogEntry] = []
    for position in range(random.randrange(1, 12)):
        if random.random() < 0.5:
            written.append(ours(position, random.randrange(100), str(position)))
        else:
            written.append(stock(next(times), str(position)))
    if random.random() < 0.3:
        after = len(written)
        comment = begun_comment(Begun("apply", 0, 1, "1"), "none", after)
        begun_after.append(LogEntry(BEGIN, stamp(0), comment, hash="begun"))
    shuffled = [*written, *begun_after]
    random.shuffle(shuffled)

    found = in_order(shuffled)

    assert [line.hash for line in found] == [line.hash for line in (*written, *begun_after)]
    assert [line.position for line in found] == list(range(len(found)))


def test_a_script_that_has_begun_is_in_the_middle_where_others_have_written_since():
    """Its line is behind those that were before it, and is not counted."""
    comment = begun_comment(Begun("apply", 0, 1, "1"), "none", 1)
    begun = LogEntry(BEGIN, stamp(50), comment, hash="begun")

    found = in_order([stock(9, "second"), begun, ours(2, 0, "third"), stock(1, "first")])

    assert [line.hash for line in found] == ["first", "begun", "second", "third"]


def test_a_log_of_which_lines_were_deleted_is_in_the_order_of_its_times():
    """Lines of ours keep the order of their numbers."""
    lines = [ours(7, 5, "b"), ours(3, 5, "a"), stock(9, "d"), stock(1, "0"), stock(4, "1")]

    assert [line.hash for line in in_order(lines)] == ["0", "1", "a", "b", "d"]


def test_lines_with_the_same_number_are_merged_by_their_times():
    """Somebody has copied lines, so that the numbers are no places any more."""
    lines = [ours(0, 1, "first"), stock(2, "second"), ours(0, 3, "third")]

    assert [line.hash for line in in_order(lines)] == ["first", "second", "third"]
