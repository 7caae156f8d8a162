"""Find the place in a script that an error of the server is about."""

from __future__ import annotations

import re

from torc_migrations.databases.mysql.connection import SYNTAX_ERROR
from torc_migrations.databases.mysql.scripts.statements import Statement

_NEAR = re.compile(r"near '(.*)' at line (\d+)\Z", re.DOTALL)
_NAMED = re.compile(r"'([^']+)'")


def fault_offset(sql: bytes, statement: Statement, code: int, reason: str) -> int:
    """Return where a failed statement is wrong, in bytes: where the server's parser gave up, or at the name it names.

    The parser's message has the text from there on, shortened, and the line in the statement.
    """
    text = sql[statement.begin : statement.end]
    if code == SYNTAX_ERROR and (near := _NEAR.search(reason)):
        return statement.begin + _near_offset(text, near[1].encode(), int(near[2]))
    for name in _NAMED.findall(reason):
        last = name.rpartition(".")[2].encode()
        hits = [hit.start() for hit in re.compile(rb"(?<![\w$])" + re.escape(last) + rb"(?![\w$])").finditer(text)]
        if len(hits) == 1:
            return statement.begin + hits[0]
    return statement.begin


def _near_offset(text: bytes, near: bytes, line: int) -> int:
    """Return where the text that the server names stands in a statement, in this line of it."""
    if not near:
        return max(len(text) - 1, 0)
    begin = 0
    for _ in range(line - 1):
        begin = text.find(b"\n", begin) + 1
    end = text.find(b"\n", begin)
    end = len(text) if end < 0 else end
    # The line is that of the word where the parser gave up; in a text of several lines `near` may begin before it.
    at = text.find(near, begin)
    if begin <= at <= end:
        return at
    return at if (at := text.rfind(near)) >= 0 else begin
