"""Find the marks of tools that keep the up and the down script in one file, which would be run one after the other."""

from __future__ import annotations

import re
from collections.abc import Iterator

from torc_migrations.errors import BadScript
from torc_migrations.sources.text import bad_script, comment_lines

# The tools whose files `converting` reads.
CONVERTIBLE = ("goose", "sql-migrate", "dbmate", "tern")

_SPLIT = (
    "split it into an up and a down file without these comments: VERSION_DESCRIPTION.up.sql and "
    "VERSION_DESCRIPTION.down.sql"
)
_END = rb"[ \t]*[-=:*#]*[ \t]*\Z"
# The mark of each tool, after the dashes of its comment. A mark is a line of its own: words behind it make it prose.
_MARKS = {
    "goose": rb"\+[ \t]*goose[ \t]+(?:up|down|statement[ _]?begin|statement[ _]?end|no[ _]transaction|envsub\b.*)"
    + _END,
    "sql-migrate": rb"\+[ \t]*migrate[ \t]+(?:up|down|statement[ _]?begin|statement[ _]?end)(?:[ \t]+notransaction)?"
    + _END,
    "micrate": rb"\+[ \t]*micrate[ \t]+(?:up|down|statement[ _]?begin|statement[ _]?end)" + _END,
    "dbmate": rb"migrate[ \t]*:[ \t]*(?:up|down)(?:[ \t]+[a-z_]+[ \t]*:[ \t]*[a-z]+)*" + _END,
    "tern": rb"create[ \t]+above[ \t]*/[ \t]*drop[ \t]+below" + _END,
    "rambler": rb"rambler[ \t]+(?:up|down)" + _END,
    "MyBatis Migrations": rb"(?://)?[ \t]*@undo" + _END,
    "Play": rb"!(?:ups|downs)" + _END,
    "Liquibase": rb"liquibase[ \t]+formatted[ \t]+sql\b.*|changeset[ \t]+[^\s:]+:[^\s:]+(?:[ \t].*)?\Z",
    "a tool that keeps both scripts in one file": rb"[+@!][ \t]*(?:up|down)" + _END,
}
_NAMES = tuple(_MARKS)
_MARK = re.compile(
    rb"-+[ \t]*(?:" + b"|".join(b"(%b)" % mark for mark in _MARKS.values()) + rb")", re.IGNORECASE | re.DOTALL
)
# `-- Up` and `-- Down` (node-sqlite), `-- Up Migration` and `-- Down Migration` (node-pg-migrate), `-- ==== UP ====`
# and `-- ==== DOWN ====` (shmig) are words of prose too: they count where both are there, in this order.
_BARE = re.compile(rb"-+[ \t=:*#]*(up|down)(?:[ \t]+migration)?" + _END, re.IGNORECASE)
# A line that has something in it which is not a comment.
_STATEMENT = re.compile(rb"^[ \t\r\v\f]*+(?!--)\S", re.MULTILINE)


def refuse_one_file_format(path: str, sql: bytes) -> None:
    """Refuse a script that has the up and the down script of another tool in it.

    Raises:
        BadScript: a comment is the mark of such a tool; a text in quotes or in a block comment is not.
    """
    if mark := find_mark(sql):
        raise _refusal(path, sql, mark[1], mark[0])


def find_mark(sql: bytes) -> tuple[str, int] | None:
    """Return the tool whose mark is in a script, and the offset of the mark; None where there is none."""
    bare = ""
    has_statement = True  # after the last marks
    for offset, line in comment_lines(sql, _any_mark):
        if found := _MARK.match(line):
            return _NAMES[(found.lastindex or 1) - 1], offset
        if found := _BARE.match(line):
            before, bare = bare, found[1].decode().lower()
            if (before, bare) != ("up", "down"):
                continue
            has_statement = has_statement and _STATEMENT.search(sql, offset) is not None
            if has_statement:
                return _NAMES[-1], offset
    return None


def one_file_note(path: str, sql: bytes) -> Iterator[str]:
    """Yield a sentence for a script that `refuse_one_file_format` refuses."""
    try:
        refuse_one_file_format(path, sql)
    except BadScript as error:
        yield str(error)


def _any_mark(line: bytes) -> object:
    return _MARK.match(line) or _BARE.match(line)


def _refusal(path: str, sql: bytes, offset: int, tool: str) -> BadScript:
    hint, command_hint = _SPLIT, _SPLIT
    if tool in CONVERTIBLE:
        hint = "convert(directory, output) writes an up and a down file of each"
        command_hint = "`torc-migrations convert DIR --output NEW` writes an up and a down file of each"
    return bad_script(
        path,
        sql,
        offset,
        f"{path} is written for {tool}: its up and its down script are in one file, and would both be run",
        hint=hint,
        command_hint=command_hint,
    )
