"""Read the names of Flyway: `V1.2__words.sql`, `U1.2__words.sql`, and files that have no equivalent.

https://documentation.red-gate.com/flyway: a version is numbers between dots or underscores; 1.0 is 1.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from torc_migrations.sources.converting.scripts import CannotConvert, Scripts, lines_of

_NAME = re.compile(r"(?P<kind>[VUB])(?P<version>\d+(?:[._]\d+)*)__(?P<words>.+)\.sql", re.DOTALL)
_OTHERS = {
    re.compile(r"R__.+\.sql", re.DOTALL): "a repeatable migration runs again whenever its text changes; yoyo's "
    "post-apply.sql, which runs after every upgrade, is the nearest to it",
    re.compile(
        r"(?:before|after|create)[A-Z]\w*(?:__.+)?\.sql", re.DOTALL
    ): "a callback of Flyway; post-apply.sql runs after every upgrade",
    re.compile(r"[VURB]\d.*__.*\.(?:java|kt|py|sh|bash|ps1|bat|cmd)", re.DOTALL): "a migration that is no SQL",
    re.compile(r".+\.sql\.conf", re.DOTALL): "",
}
_PLACEHOLDER = re.compile(rb"\$\{[^}\n]+\}")
_SETTING = re.compile(rb"\s*(?:flyway\.)?executeInTransaction\s*=\s*(true|false)\s*", re.IGNORECASE)
_NEWEST = 2**63 - 1


class FlywayName(NamedTuple):
    """A file's kind, `V` or `U`, its version as numbers, and its words."""

    kind: str
    version: tuple[int, ...]
    words: str


def is_flyway(name: str) -> bool:
    """Return whether a file is named as Flyway names a migration."""
    return _NAME.fullmatch(name) is not None or re.match(r"R__.+\.sql\Z", name) is not None


def read_flyway_name(name: str) -> FlywayName | None:
    """Return what a name says, or None where the file is none of Flyway's.

    Raises:
        CannotConvert: it is a file of Flyway's that has no equivalent.
    """
    if found := _NAME.fullmatch(name):
        if found["kind"] == "B":
            raise CannotConvert(None, "a baseline script is run instead of older migrations; `baseline` records them")
        numbers = [int(each) for each in re.split("[._]", found["version"])]
        while len(numbers) > 1 and numbers[-1] == 0:
            numbers.pop()
        return FlywayName(found["kind"], tuple(numbers), found["words"])
    for pattern, reason in _OTHERS.items():
        if reason and pattern.fullmatch(name):
            raise CannotConvert(None, reason)
    return None


def integers_of(versions: set[tuple[int, ...]]) -> dict[tuple[int, ...], int]:
    """Return one number for each version, in the same order: 1.2 is 102 where another version is 1.10.

    Each number behind the first one has as many digits as the longest at its place. Where no version has a dot, a
    version is its number.
    """
    places = max(map(len, versions), default=1)
    widths = [max(len(str(each[place])) if place < len(each) else 1 for each in versions) for place in range(1, places)]
    return {each: _integer(each, widths) for each in versions}


def _integer(version: tuple[int, ...], widths: list[int]) -> int:
    others = (*version[1:], *[0] * (len(widths) + 1 - len(version)))
    return int(str(version[0]) + "".join(str(part).zfill(width) for part, width in zip(others, widths, strict=True)))


def check_integer(version: int) -> None:
    """Check that a version fits into sqlx's ledger, whose versions have 64 bits.

    Raises:
        CannotConvert: it does not.
    """
    if version > _NEWEST:
        raise CannotConvert(None, "its version has too many digits: sqlx's ledger has versions of 64 bits")


def read_flyway(up: bytes, down: bytes | None, up_settings: bytes, down_settings: bytes) -> Scripts:
    """Return the scripts of a version; the settings are the text of its `.sql.conf` files.

    Raises:
        CannotConvert: Flyway would change the text, or a setting has no equivalent.
    """
    for sql in (up, down or b""):
        for line in lines_of(sql):
            if _PLACEHOLDER.search(line.text):
                raise CannotConvert(line.number, "Flyway replaces what is in ${ } when it runs")
    return Scripts(up, down, _is_transactional(up_settings), _is_transactional(down_settings))


def _is_transactional(settings: bytes) -> bool:
    transactional = True
    for line in lines_of(settings):
        text = line.text.strip()
        if not text or text.startswith((b"#", b"!")):
            continue
        found = _SETTING.fullmatch(text)
        if found is None:
            raise CannotConvert(
                None, f"its .sql.conf has a setting without equivalent: {text.decode(errors='replace')}"
            )
        transactional = found[1].lower() == b"true"
    return transactional
