"""Read the files of sql-migrate: `-- +migrate Up notransaction`, `Down`, `StatementBegin`, `StatementEnd`.

The rules are those of sql-migrate 1.8: sqlparse/sqlparse.go of github.com/rubenv/sql-migrate.
"""

from __future__ import annotations

import re

from torc_migrations.sources.converting.one_file.sections import Sections
from torc_migrations.sources.converting.scripts import CannotConvert, Scripts, bare, lines_of

_PREFIX = b"-- +migrate "
_MEANT = re.compile(rb"\s*-+\s*\+\s*migrate\b", re.IGNORECASE)
# sql-migrate leaves these lines out of what it runs.
_COMMENT_LINE = re.compile(rb"^-- [^\n]*\n", re.MULTILINE)


def read_sql_migrate(sql: bytes) -> Scripts:
    """Return the scripts of a file.

    Raises:
        CannotConvert: sql-migrate could not read it, or would change a text in quotes.
    """
    sections = Sections("sql-migrate", "-- +migrate Up")
    for line in lines_of(sql):
        if line.text.startswith(_PREFIX):
            _read_mark(sections, line.number, line.text.removeprefix(_PREFIX).decode().split())
        elif _MEANT.match(line.text):
            raise CannotConvert(line.number, "sql-migrate does not read this line: its marks begin with `-- +migrate `")
        else:
            sections.add(line)
    scripts = sections.finish()
    _check_comments(scripts.up)
    _check_comments(scripts.down or b"")
    return scripts


def _read_mark(sections: Sections, number: int, words: list[str]) -> None:
    mark = words[0] if words else ""
    if mark in ("Up", "Down"):
        section = sections.begin(number, "up" if mark == "Up" else "down")
        if "notransaction" in words:
            section.transactional = False
    elif mark == "StatementBegin":
        sections.begin_block(number)
    elif mark == "StatementEnd":
        sections.end_block(number)
    else:
        raise CannotConvert(number, f"sql-migrate has no command {mark!r}")


def _check_comments(sql: bytes) -> None:
    if bare(_COMMENT_LINE.sub(b"", sql)).split() != bare(sql).split():
        raise CannotConvert(None, "sql-migrate leaves out lines that begin with `-- `, and here one is in quotes")
