"""sqlx's checksum of a script, and of its twins that differ in line endings or a byte order mark only."""

from __future__ import annotations

from codecs import BOM_UTF8 as BOM
from hashlib import sha384


def checksum(sql: bytes, ignored: str = "") -> bytes:
    """Return the SHA-384 of a script's bytes, without the characters that sqlx.toml's `ignored-chars` lists."""
    if ignored:
        sql = sql.decode().translate(dict.fromkeys(map(ord, ignored))).encode()
    return sha384(sql).digest()


def is_twin(sql: bytes, recorded: bytes, ignored: str = "") -> bool:
    """Tell whether a recorded checksum is that of the same text with other line endings, or with or without a BOM."""
    bare = sql.removeprefix(BOM)
    unix = bare.replace(b"\r\n", b"\n")
    texts = (bare, unix, unix.replace(b"\n", b"\r\n"))
    return any(checksum(mark + text, ignored) == recorded for text in texts for mark in (b"", BOM))
