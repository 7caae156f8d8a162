"""Read the files of tern: `---- create above / drop below ----`, `---- tern: disable-tx ----`.

The rules are those of tern 2.3: migrate/migrate.go of github.com/jackc/tern.
"""

from __future__ import annotations

import re

from torc_migrations.sources.converting.one_file.sections import Sections
from torc_migrations.sources.converting.scripts import CannotConvert, Scripts, lines_of

_MARK = b"---- create above / drop below ----"
_MEANT = re.compile(rb"\s*-+\s*create\s+above\s*/\s*drop\s+below", re.IGNORECASE)
_NO_TRANSACTION = b"---- tern: disable-tx ----"


def read_tern(sql: bytes) -> Scripts:
    """Return the scripts of a file; one without the mark has no down script.

    Raises:
        CannotConvert: a template is in it, or tern does not read a line that looks like its mark.
    """
    sections = Sections("tern", "the first line")
    section = sections.begin(0, "up")
    for line in lines_of(sql):
        text = line.text.rstrip(b"\r\n")
        if b"{{" in text:
            raise CannotConvert(line.number, "tern replaces what is in {{ }} when it runs")
        if text == _MARK and not sections.down.is_there:
            section = sections.begin(line.number, "down")
        elif _MARK in text or _MEANT.match(text):
            raise CannotConvert(line.number, f"tern needs `{_MARK.decode()}` alone in its line, once")
        elif text == _NO_TRANSACTION:
            section.transactional = False
        else:
            sections.add(line)
    return sections.finish()
