"""What the ledgers know a migration by: yoyo's hash of its id, and sqlx's checksum of its up script."""

from __future__ import annotations

from codecs import BOM_UTF8 as BOM
from hashlib import sha256, sha384


def checksum(sql: bytes, ignored: str = "") -> bytes:
    """Return the SHA-384 of a script's bytes, without the characters that sqlx.toml's `ignored-chars` lists."""
    if ignored:
        sql = sql.decode().translate(dict.fromkeys(map(ord, ignored))).encode()
    return sha384(sql).digest()


def text_digest(sql: bytes, ignored: str = "") -> str:
    """Return a digest that a text has with any line endings, with a BOM and without one."""
    return checksum(sql.removeprefix(BOM).replace(b"\r\n", b"\n"), ignored).hex()[:32]


def mixes_line_endings(sql: bytes) -> bool:
    """Return whether some lines end with CR and LF, and others with LF alone."""
    return 0 < sql.count(b"\r\n") < sql.count(b"\n")


def yoyo_hash(name: str) -> str:
    """Return the SHA-256 of a migration's id in hexadecimal, its key in yoyo's ledger."""
    return sha256(name.encode("utf-8", "surrogateescape")).hexdigest()


def same_but_for_line_endings(sql: bytes, recorded: bytes, ignored: str = "") -> bool:
    """Return whether a recorded checksum is that of the same text with other line endings, or with or without a BOM."""
    bare = sql.removeprefix(BOM)
    unix = bare.replace(b"\r\n", b"\n")
    texts = (bare, unix, unix.replace(b"\n", b"\r\n"))
    return any(checksum(mark + text, ignored) == recorded for text in texts for mark in (b"", BOM))
