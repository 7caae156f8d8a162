"""Read the files of dbmate: `-- migrate:up transaction:false`, `-- migrate:down`.

The rules are those of dbmate 2.29: pkg/dbmate/migration.go of github.com/amacneil/dbmate.
"""

from __future__ import annotations

import re

from torc_migrations.sources.converting.one_file.sections import Sections
from torc_migrations.sources.converting.scripts import CannotConvert, Line, Scripts, lines_of

_MARK = re.compile(rb"--\s*migrate:(up|down)(\s*|\s+\S.*)\Z", re.DOTALL)
_MEANT = re.compile(rb"\s*-+\s*migrate\s*:\s*(?:up|down)\b", re.IGNORECASE)


def read_dbmate(sql: bytes) -> Scripts:
    """Return the scripts of a file.

    Raises:
        CannotConvert: dbmate could not read it.
    """
    sections = Sections("dbmate", "-- migrate:up")
    for line in lines_of(sql):
        if found := _MARK.match(line.text):
            _read_mark(sections, line, found)
        elif _MEANT.match(line.text):
            raise CannotConvert(line.number, "dbmate does not read this line: it begins with `-- migrate:`")
        else:
            sections.add(line)
    return sections.finish()


def _read_mark(sections: Sections, line: Line, found: re.Match[bytes]) -> None:
    if found[1] == b"up":
        if sections.up.is_there or sections.down.is_there:
            raise CannotConvert(line.number, "there is a second `-- migrate:up`, or one below `-- migrate:down`")
        section = sections.begin(line.number, "up")
    else:
        if sections.down.is_there or not sections.up.is_there:
            raise CannotConvert(line.number, "there is a second `-- migrate:down`, or no `-- migrate:up` above it")
        section = sections.begin(line.number, "down")
    section.transactional = b"transaction:false" not in found[2].split()
