"""Read the files of goose: `-- +goose Up`, `Down`, `StatementBegin`, `StatementEnd`, `NO TRANSACTION`.

The rules are those of goose 3.30: internal/sqlparser/parser.go of github.com/pressly/goose.
"""

from __future__ import annotations

import re

from torc_migrations.sources.converting.one_file.sections import Sections
from torc_migrations.sources.converting.scripts import CannotConvert, Line, Scripts, lines_of

_MEANT = re.compile(rb"\s*-+\s*\+\s*goose\b", re.IGNORECASE)


def read_goose(sql: bytes) -> Scripts:
    """Return the scripts of a file.

    Raises:
        CannotConvert: goose could not read it, or it needs the environment.
    """
    sections = Sections("goose", "-- +goose Up")
    for line in lines_of(sql):
        if line.text.strip().startswith(b"--") and b"+goose" in line.text:
            _read_mark(sections, line.number, _annotation(line))
        elif _MEANT.match(line.text):
            raise CannotConvert(line.number, "goose does not read this line: its annotations begin with `-- +goose`")
        else:
            sections.add(line)
    return sections.finish()


def _annotation(line: Line) -> str:
    """Return the words of an annotation in lower case."""
    if line.text.startswith((b" ", b"\t")):
        raise CannotConvert(line.number, "an annotation of goose stands at the beginning of its line")
    return line.text.replace(b"--", b"").replace(b"+goose", b"", 1).strip().decode().lower()


def _read_mark(sections: Sections, number: int, mark: str) -> None:
    if mark == "up":
        if sections.up.is_there or sections.down.is_there:
            raise CannotConvert(number, "goose refuses a second Up section, and one below Down")
        sections.begin(number, "up")
    elif mark == "down":
        if sections.down.is_there or not sections.up.is_there:
            raise CannotConvert(number, "goose refuses a second Down section, and one without an Up section above it")
        sections.begin(number, "down")
    elif mark == "statementbegin":
        sections.begin_block(number)
    elif mark == "statementend":
        sections.end_block(number)
    elif mark == "no transaction":
        sections.up.transactional = sections.down.transactional = False
    elif mark == "envsub on":
        raise CannotConvert(number, "goose puts variables of the environment into the SQL from here on")
    elif mark != "envsub off":
        raise CannotConvert(number, f"goose has no annotation {mark!r}")
