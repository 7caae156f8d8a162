"""The SQL between the marks of a tool that keeps both directions in one file."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Literal, TypeAlias

from torc_migrations.sources.converting.scripts import CannotConvert, Line, Scripts, ends_inside, terminated

DirectionName: TypeAlias = Literal["up", "down"]

_BLANK_OR_COMMENT = re.compile(rb"\s*(?:--.*)?\s*", re.DOTALL)


class Section:
    """The SQL of one direction; `is_there` once its mark was found."""

    def __init__(self) -> None:
        self.is_there = False
        self.transactional = True
        self.done: list[bytes] = []
        self.piece: list[bytes] = []


class Sections:
    """Both directions of a file, which is read line by line.

    Args:
        tool: whose file it is. first: the mark that a file begins with.
    """

    def __init__(self, tool: str, first: str) -> None:
        self.up, self.down = Section(), Section()
        self._tool = tool
        self._first = first
        self._head: list[bytes] = []
        self._section: Section | None = None
        self._block: int | None = None  # the line of the StatementBegin that is open

    def add(self, line: Line) -> None:
        """Add a line that is no mark.

        Raises:
            CannotConvert: there is SQL above the first mark.
        """
        if self._section is not None:
            self._section.piece.append(line.text)
        elif _BLANK_OR_COMMENT.fullmatch(line.text):
            self._head.append(line.text)
        else:
            raise CannotConvert(line.number, f"there is SQL above `{self._first}`")

    def begin(self, number: int, direction: DirectionName) -> Section:
        """Begin a section at the line of its mark, and return it; a second one of the same direction is joined."""
        self._check_block()
        self._end_piece(number, terminated)
        self._section = self.up if direction == "up" else self.down
        self._section.is_there = True
        return self._section

    def begin_block(self, number: int) -> None:
        """Begin a statement whose semicolons do not end it."""
        if self._section is None or self._block is not None:
            raise CannotConvert(number, "StatementBegin stands in a section, and not in another StatementBegin")
        self._end_piece(number)
        self._block = number

    def end_block(self, number: int) -> None:
        """End such a statement; it may have no semicolon at its end."""
        if self._block is None:
            raise CannotConvert(number, "this StatementEnd has no StatementBegin")
        self._end_piece(number, terminated)
        self._block = None

    def finish(self) -> Scripts:
        """Return the scripts.

        Raises:
            CannotConvert: there is no up section, or a statement does not end.
        """
        self._check_block()
        if not self.up.is_there:
            raise CannotConvert(None, f"there is no `{self._first}`")
        self._end_piece(None, terminated)
        up, down = (b"".join(section.done) for section in (self.up, self.down))
        head = b"".join(self._head)
        return Scripts(head + up, down if self.down.is_there else None, self.up.transactional, self.down.transactional)

    def _check_block(self) -> None:
        if self._block is not None:
            raise CannotConvert(self._block, "this StatementBegin has no StatementEnd")

    def _end_piece(self, number: int | None, change: Callable[[bytes], bytes] = bytes) -> None:
        """End what was read since the last mark.

        Raises:
            CannotConvert: the mark, or the end of the file, is inside of quotes or a block comment, where it is text
                for the database, and a mark for the tool.
        """
        if self._section is None:
            return
        sql = b"".join(self._section.piece)
        if ends_inside(sql):
            where = "this line is" if number else "the end of the file is"
            raise CannotConvert(number, f"{where} inside of quotes or a comment, where {self._tool} ends the statement")
        self._section.done.append(change(sql))
        self._section.piece = []
