"""Find a place or a comment in a text, and show it with a caret."""

from __future__ import annotations

import re
from codecs import BOM_UTF8 as BOM
from typing import TYPE_CHECKING, NamedTuple

from torc_migrations.errors import BadScript
from torc_migrations.formatting import columns

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# The characters that a terminal would obey instead of showing them.
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f]")
# What hides a comment: a text in quotes, or another comment.
_HIDING = re.compile(
    rb"""'[^']*(?:'|\Z) | "[^"]*(?:"|\Z) | `[^`]*(?:`|\Z) | \[[^\]]*(?:\]|\Z) | /\*.*?(?:\*/|\Z) | --[^\n]* """,
    re.VERBOSE | re.DOTALL,
)


class Place(NamedTuple):
    """A place in a text: line and column counted from 1, the column in characters, and the line itself."""

    line: int
    column: int
    text: str


def place(sql: bytes, offset: int) -> Place:
    """Return the line and column of a byte of a text; CR ends its lines where it has no LF."""
    ending = b"\n" if b"\n" in sql else b"\r"
    begin = sql.rfind(ending, 0, offset) + 1
    end = sql.find(ending, offset)
    line = sql[begin : end if end >= 0 else len(sql)].removesuffix(b"\r")
    if begin == 0 and line.startswith(BOM):
        begin, line = len(BOM), line[len(BOM) :]
    column = len(sql[begin:offset].decode(errors="replace")) + 1
    return Place(sql.count(ending, 0, offset) + 1, column, line.decode(errors="replace"))


def frame(path: str, where: Place) -> str:
    """Draw a place in a file: its name, the line, and a caret below the column."""
    number = str(where.line)
    width = max(4, len(number) + 3)
    shown, before = _window(_CONTROL.sub("\N{REPLACEMENT CHARACTER}", where.text), where.column - 1)
    # Tabs are kept in the line of the caret, so that it is below its letter whatever their width.
    blank = "".join(letter if letter == "\t" else " " * columns(letter) for letter in before)
    return f"  --> {path}:{where.line}:{where.column}\n{number:>{width}} | {shown}\n{'':{width}} | {blank}^"


def bad_script(
    path: str, sql: bytes, offset: int, sentence: str, *, hint: str | None = None, command_hint: str | None = None
) -> BadScript:
    """Return the error for a byte of a script: with its line, its column and a frame."""
    where = place(sql, offset)
    shown = frame(path, where)
    return BadScript(
        path, sentence, line=where.line, column=where.column, frame=shown, hint=hint, command_hint=command_hint
    )


def _window(line: str, at: int, width: int = 120) -> tuple[str, str]:
    """Return the part of a line that is shown, and its text before `at`; long lines are cut."""
    if len(line) <= width:
        return line, line[:at]
    begin = max(0, at - width // 2)
    return line[begin : begin + width], line[begin:at]


def comment_lines(sql: bytes, wanted: Callable[[bytes], object]) -> Iterator[tuple[int, bytes]]:
    """Yield each wanted `--` comment that begins its line: the offset of its dashes, and its text.

    Dashes in quotes or in a block comment are no comment. Quotes are only looked for where a comment is wanted, so
    that a large script costs little more than a search for dashes.
    """
    read = 0  # up to here quotes and block comments are known
    at = sql.find(b"--")
    while at >= 0:
        end = sql.find(b"\n", at)
        end = len(sql) if end < 0 else end
        if _begins_line(sql, at) and wanted(line := sql[at:end].rstrip()):
            read = _visible_from(sql, read, at)
            if read == at:
                yield at, line
                read = end
            end = max(end, read)
        at = sql.find(b"--", end)


def _begins_line(sql: bytes, at: int) -> bool:
    """Return whether only blanks stand before an offset in its line."""
    begin = sql.rfind(b"\n", 0, at) + 1
    before = sql[begin:at]
    return not (before.removeprefix(BOM) if begin == 0 else before).strip()


def _visible_from(sql: bytes, read: int, at: int) -> int:
    """Skip what hides comments, from `read` on; return `at`, or the end of what it stands in."""
    for hidden in _HIDING.finditer(sql, read):
        if hidden.start() >= at:
            break
        if hidden.end() > at:
            return hidden.end()
    return at
