"""The rows of both ledgers and of yoyo's log, as values."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

# The comment of a line of ours in yoyo's log: `torc_migrations apply; sqlx: 3 2026-01-01 00:00:00 1500`. It ends with
# the identity of the row that sqlx's ledger had when the line was written. On a server, where rows have no order of
# their own, it also says how many lines were in the log before it: `torc_migrations apply; after 17; sqlx: none`.
_BY_US = "torc_migrations"
_SQLX_ROW = "; sqlx: "
_AFTER = "; after "
# It names sqlx's ledger, if that has not its usual name.
_TABLE = "; in "
# Where a script mixes line endings, its checksum does not show what else they may be. So a line of ours has a digest of
# its text with LF, and the beginning of its checksum, to which that belongs.
_TEXT = re.compile(r"; text ([0-9a-f]{32}) of ([0-9a-f]{16})")
_LINES_BEFORE = re.compile(rf"{_BY_US} .*{_AFTER}(\d{{1,18}})(?:{_SQLX_ROW}[^;]*)?", re.DOTALL)
_IN_TABLE = re.compile(rf"{_TABLE}([^;]*)(?:{_AFTER}\d{{1,18}})?\Z")
NO_ROW = "none"
# While a script runs outside a transaction, a line of ours says how far it is:
# `torc_migrations begin apply; done 3; line 7; by 4711-90210-1f2e3d4c-0; sqlx: none`.
BEGIN = "begin"
_BEGUN = re.compile(rf"{_BY_US} {BEGIN} (\w+); done (\d{{1,18}});( running;)? line (\d{{1,18}}); by ([^;]*)(?:;.*)?")
LINE_ENDINGS = "line endings"
_MOVED = re.compile(rf"{_BY_US} erase \(is ([^;)]+)\).*", re.DOTALL)
_ACCEPTS_LINE_ENDINGS = f"{_BY_US} repair ({LINE_ENDINGS})"


class SqlxRecord(NamedTuple):
    """A row of sqlx's ledger; `installed_on` in UTC, `execution_time` in nanoseconds (-1: unknown).

    `rowid` is None where rows have no number; `installed_on` is then known to the microsecond. `description` is that
    of the file at the time when it was installed.
    """

    version: int
    checksum: bytes
    success: bool
    installed_on: str
    execution_time: int
    rowid: int | None
    description: str = ""

    @property
    def identity(self) -> str:
        """What distinguishes this row from a later one of the same version, and from itself while it is dirty."""
        identity = row_identity(self.rowid, self.installed_on, self.execution_time)
        return identity if self.success else f"{identity} dirty"


def row_identity(rowid: int | None, installed_on: str, execution_time: int) -> str:
    """Return the `identity` of a row."""
    number = "" if rowid is None else f"{rowid} "
    return f"{number}{installed_on} {execution_time}"


class YoyoRecord(NamedTuple):
    """A row of yoyo's ledger; `applied_at` in UTC, written with a `T` or a blank; `hash` is its key."""

    id: str
    applied_at: str | None
    hash: str = ""


class Begun(NamedTuple):
    """A script that has begun outside a transaction.

    `done` statements of it are done, the next one is at `line`; `owner` names the process. `is_running` says that the
    next one was begun, and that nothing is known of its end.
    """

    operation: str
    done: int
    line: int
    owner: str
    is_running: bool = False

    @property
    def rolls_back(self) -> bool:
        """Whether it is a down script."""
        return self.operation == "rollback"


class LogEntry(NamedTuple):
    """A line of yoyo's log, about the migration of this id and hash; `position` is its place among the lines.

    Another program may have written any comment.
    """

    operation: str
    created_at: str | None
    comment: object = None
    position: int = 0
    hash: str = ""
    id: str = ""

    @property
    def sqlx_row(self) -> str | None:
        """In a line of ours the identity of sqlx's row at that time, or `NO_ROW`; None in any other line."""
        comment = self.comment
        if not isinstance(comment, str) or not comment.startswith(_BY_US):
            return None
        _, found, identity = comment.rpartition(_SQLX_ROW)
        return identity if found else None

    @property
    def sqlx_table(self) -> str:
        """In a line of ours the name of sqlx's ledger, or empty for its usual name."""
        comment = self.comment
        found = _IN_TABLE.search(comment.rpartition(_SQLX_ROW)[0]) if isinstance(comment, str) else None
        return found[1] if found else ""

    @property
    def lines_before(self) -> int | None:
        """In a line of ours that was written on a server, how many lines were before it; None in any other.

        Lines about scripts that have begun are not counted, because they are deleted again.
        """
        found = _LINES_BEFORE.fullmatch(self.comment) if isinstance(self.comment, str) else None
        return int(found[1]) if found else None

    @property
    def is_ours(self) -> bool:
        """Whether the line is ours."""
        return isinstance(self.comment, str) and self.comment.startswith(_BY_US)

    @property
    def adopts(self) -> bool:
        """Whether it is a line of ours about rows that were written without a script, or by another program."""
        return isinstance(self.comment, str) and self.comment.startswith(f"{_BY_US} record")

    @property
    def begun(self) -> Begun | None:
        """In a line of ours about a script that has begun outside a transaction, that script; None in any other."""
        if self.operation != BEGIN or not isinstance(self.comment, str):
            return None
        found = _BEGUN.fullmatch(self.comment)
        return Begun(found[1], int(found[2]), int(found[4]), found[5], bool(found[3])) if found else None

    def text_of(self, checksum: bytes) -> str | None:
        """In a line of ours about a script that mixes line endings, a digest of its text, if it has this checksum."""
        comment = self.comment if isinstance(self.comment, str) and self.is_ours else ""
        found = _TEXT.search(comment)
        return found[1] if found and checksum.hex().startswith(found[2]) else None

    @property
    def moved_to(self) -> str | None:
        """In a line of ours about a name that a file no longer has, the name that it has got; None in any other."""
        found = _MOVED.fullmatch(self.comment) if isinstance(self.comment, str) else None
        return found[1] if found else None

    @property
    def accepts_line_endings(self) -> bool:
        """Whether it is a line of ours that says: a file is accepted with other line endings."""
        return isinstance(self.comment, str) and self.comment.startswith(_ACCEPTS_LINE_ENDINGS)


def our_comment(action: str, sqlx_row: str | None, lines_before: int | None = None, table: str = "") -> str:
    """Return the comment of a line of ours: what was done, and the identity of sqlx's row, or `NO_ROW`.

    A hook has no row in any ledger, and None here. `lines_before` is None where the lines of a log have an order, and
    `table` empty where sqlx's ledger has its usual name.
    """
    after = f"{_TABLE}{table}" if table else ""
    after += "" if lines_before is None else f"{_AFTER}{lines_before}"
    return f"{_BY_US} {action}{after}" if sqlx_row is None else f"{_BY_US} {action}{after}{_SQLX_ROW}{sqlx_row}"


def text_words(digest: str, checksum: bytes) -> str:
    """Return what stands behind the action in a comment of ours about a script that mixes line endings."""
    return f"; text {digest} of {checksum.hex()[:16]}"


def begun_comment(begun: Begun, sqlx_row: str, lines_before: int | None = None, table: str = "") -> str:
    """Return the comment of a line about a script that has begun outside a transaction."""
    running = " running;" if begun.is_running else ""
    words = f"{BEGIN} {begun.operation}; done {begun.done};{running} line {begun.line}; by {begun.owner}"
    return our_comment(words, sqlx_row, lines_before, table)


class Recorded(NamedTuple):
    """Everything that the ledgers say.

    `sqlx` is by version, `yoyo` and `log` are by the hash of a migration's id; the lines of a log are in order, the
    oldest first. `yoyo_running` is True while a stock yoyo runs and holds its lock: its ledger and its log may then be
    written only in part. `running` are the hashes whose script a living process runs outside a transaction, with a
    description of that process; `runner` is one while a row of sqlx's ledger is not successful yet. `notes` are
    sentences about rows that were understood though they are not as they should be. `has_sqlx_table` is False where
    sqlx's ledger does not exist; `sqlx_table` is its name, or empty for the usual one.
    """

    sqlx: Mapping[int, SqlxRecord] = {}
    yoyo: Mapping[str, YoyoRecord] = {}
    log: Mapping[str, Sequence[LogEntry]] = {}
    yoyo_running: bool = False
    running: Mapping[str, str] = {}
    runner: str | None = None
    notes: tuple[str, ...] = ()
    has_sqlx_table: bool = True
    sqlx_table: str = ""

    @property
    def used_by_yoyo(self) -> bool:
        """Whether stock yoyo has written: a line of its log is not ours, or a row of its ledger has no line."""
        lines = (entry for entries in self.log.values() for entry in entries)
        return any(not entry.is_ours for entry in lines) or any(key not in self.log for key in self.yoyo)

    @property
    def used_by_sqlx(self) -> bool:
        """Whether sqlx has written: a row with a time that no run of ours has measured."""
        lines = (entry for entries in self.log.values() for entry in entries)
        ours = {entry.sqlx_row for entry in lines if entry.is_ours and not entry.adopts}
        return any(row.execution_time >= 0 and row.identity not in ours for row in self.sqlx.values())
