"""What a script names itself: the tables that it deletes from or drops, and what is not for its database alone."""

from __future__ import annotations

import re
from collections.abc import Iterator

_NAME = r'(?:"(?:[^"]|"")*"|[\w$]+)(?:\s*\.\s*(?:"(?:[^"]|"")*"|[\w$]+))*'
_LIST = rf"({_NAME}\s*\*?(?:\s*,\s*(?:only\s+)?{_NAME}\s*\*?)*)"
_COMMENTS = re.compile(r"--[^\n]*|/\*.*?\*/", re.DOTALL)
_DELETES = re.compile(
    rf"\b(?:delete\s+from\s+(?:only\s+)?|truncate\s+(?:table\s+)?(?:only\s+)?|merge\s+into\s+(?:only\s+)?){_LIST}",
    re.IGNORECASE,
)
_DROPS = re.compile(
    rf"\bdrop\s+(?:foreign\s+table|materialized\s+view|table)\s+(?:if\s+exists\s+)?{_LIST}", re.IGNORECASE
)
_SCHEMAS = re.compile(rf"\bdrop\s+schema\s+(?:if\s+exists\s+)?{_LIST}", re.IGNORECASE)
_PART = re.compile(r'"((?:[^"]|"")*)"|([\w$]+)')
# What a copy of a database does not keep from having an effect elsewhere; also in the body of a function or a DO.
_SERVER_WIDE = re.compile(
    r"\b(?:(?:create|alter|drop)\s+(?:role|user(?!\s+mapping)|group|database|tablespace|subscription)|alter\s+system"
    r"|reassign\s+owned|comment\s+on\s+(?:role|database|tablespace)|(?:grant|revoke)\s+(?:(?!\bon\b|;).)*?\b(?:to|from))\b",
    re.IGNORECASE | re.DOTALL,
)
_OUTSIDE = re.compile(
    r"\bdblink\w*\s*\(|\blo_(?:export|import)\s*\(|\bcopy\s+(?:(?!;).)*?\b(?:to|from)\s+program\b"
    r"|\bcopy\s+(?:(?!;).)*?\bto\s+'",
    re.IGNORECASE | re.DOTALL,
)


def names_in(sql: bytes, schema: str) -> tuple[set[str], set[str]]:
    """Return the tables that a script names in a DELETE, TRUNCATE or MERGE, and those in a DROP TABLE.

    Names in `schema` have no schema before them. A schema that is dropped is named as in `app.*`.
    """
    text = _COMMENTS.sub(" ", sql.decode(errors="replace"))
    deletes = {name for found in _DELETES.finditer(text) for name in _names(found[1], schema)}
    drops = {name for found in _DROPS.finditer(text) for name in _names(found[1], schema)}
    drops |= {f"{name}.*" for found in _SCHEMAS.finditer(text) for name in _names(found[1], "")}
    return deletes, drops


def _names(listed: str, schema: str) -> Iterator[str]:
    for each in listed.split(","):
        parts = [(quoted.replace('""', '"') or plain.lower()) for quoted, plain in _PART.findall(each)]
        parts = [part for part in parts if part != "only"]
        if parts:
            yield parts[-1] if len(parts) < 2 or parts[-2] == schema else ".".join(parts[-2:])


def server_wide(sql: bytes, *, is_undone: bool) -> tuple[int, str] | None:
    """Return where a script would change more than its database, and with which words; None where it does not.

    With `is_undone` the transaction is rolled back, and with it roles and the like, which the server keeps in tables.
    """
    text = sql.decode(errors="replace")
    plain = _COMMENTS.sub(lambda found: " " * len(found[0]), text)
    patterns = (_OUTSIDE,) if is_undone else (_SERVER_WIDE, _OUTSIDE)
    for pattern in patterns:
        if found := pattern.search(plain):
            words = " ".join(found[0].split()[:3]).rstrip("('")
            return len(text[: found.start()].encode()), words.upper()
    return None
