"""Decide from two ledgers and a log whether a migration is installed."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum

from torc_migrations.history.records import NO_ROW, LogEntry, SqlxRecord, YoyoRecord

_INSTALLS = {"apply": True, "mark": True, "rollback": False, "unmark": False}


class Verdict(Enum):
    """Whether a migration is installed; OUT_OF_STEP where the ledgers contradict each other and nothing decides."""

    INSTALLED = "installed"
    PENDING = "pending"
    OUT_OF_STEP = "out of step"


def verdict_of(installed: bool) -> Verdict:
    """Return the verdict where it is known whether a migration is installed."""
    return Verdict.INSTALLED if installed else Verdict.PENDING


def decide(
    sqlx: SqlxRecord | None, yoyo: YoyoRecord | None, log: Sequence[LogEntry], *, has_sqlx_table: bool = True
) -> Verdict:
    """Decide whether a migration is installed, from its rows in two ledgers and its lines in yoyo's log.

    sqlx never drops its ledger. One that is gone after a line of ours says nothing about what is installed.

    The rule is that of docs/architecture.md, *Two ledgers, one truth*.
    """
    marked = yoyo is not None
    if not log:
        return verdict_of(marked or sqlx is not None)
    last = log[-1]
    if _INSTALLS.get(last.operation, marked) is not marked:
        return Verdict.OUT_OF_STEP  # a stock yoyo was killed between its log and its ledger
    if marked is (sqlx is not None):
        return verdict_of(marked)
    ours, since = _split_after_ours(log)
    if ours is None:
        return Verdict.INSTALLED if sqlx is None else _later(sqlx, last)
    if ours.sqlx_row == (NO_ROW if sqlx is None else sqlx.identity):
        return verdict_of(marked)  # sqlx has not written since, so that yoyo's ledger is right
    if not has_sqlx_table:
        return Verdict.OUT_OF_STEP
    if not since:
        return verdict_of(sqlx is not None)  # yoyo has not written since, so that sqlx's ledger is right
    return _row_is_gone(since) if sqlx is None else _later(sqlx, last)


def _split_after_ours(log: Sequence[LogEntry]) -> tuple[LogEntry | None, Sequence[LogEntry]]:
    """Return the last line of ours, or None, and the lines after it."""
    for position in reversed(range(len(log))):
        if log[position].sqlx_row is not None:
            return log[position], log[position + 1 :]
    return None, log


def _row_is_gone(since: Sequence[LogEntry]) -> Verdict:
    """Decide where yoyo has written since our last line, and sqlx's row was removed at an unknown time.

    A down script runs only on a database that has the migration: if sqlx had rolled back first, yoyo's rollback would
    have failed. After a mark, which runs nothing, this cannot be known.
    """
    was_marked = any(entry.operation in ("mark", "unmark") for entry in since)
    return Verdict.OUT_OF_STEP if was_marked else Verdict.PENDING


def _later(sqlx: SqlxRecord, last: LogEntry) -> Verdict:
    """Decide where sqlx has a row and yoyo has none: the ledger that was written last is right."""
    if last.created_at is None:
        return Verdict.OUT_OF_STEP
    installed, removed = _second(sqlx.installed_on), _second(last.created_at)
    return Verdict.OUT_OF_STEP if installed == removed else verdict_of(installed > removed)


def _second(timestamp: str) -> str:
    """Return a timestamp to the second; stock yoyo writes some with a `T` and some with a blank."""
    return timestamp[:19].replace("T", " ")
