"""What both ledgers know a migration by: yoyo's hash of its id, and sqlx's checksum of its script, and of its twins."""

from __future__ import annotations

from codecs import BOM_UTF8 as BOM

__all__ = ["checksum", "is_twin", "yoyo_hash"]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hashlib import sha256, sha384
else:
    # Python's own SHA-2, as its `random` takes it: to load OpenSSL takes longer than to hash 1000 scripts.
    try:
        from _sha2 import sha256, sha384
    except ImportError:
        try:
            from _sha256 import sha256  # Python 3.11
            from _sha512 import sha384
        except ImportError:
            from hashlib import sha256, sha384  # a Python that is built without its own


_LARGE = 4 << 20  # from where on OpenSSL has made up for the time that it takes to load


def checksum(sql: bytes, ignored: str = "") -> bytes:
    """Return the SHA-384 of a script's bytes, without the characters that sqlx.toml's `ignored-chars` lists."""
    if ignored:
        sql = sql.decode().translate(dict.fromkeys(map(ord, ignored))).encode()
    if len(sql) > _LARGE:
        from hashlib import sha384 as openssls

        return openssls(sql).digest()
    return sha384(sql).digest()


def yoyo_hash(name: str) -> str:
    """Return the SHA-256 of a migration's id in hexadecimal, its key in yoyo's ledger."""
    return sha256(name.encode("utf-8", "surrogateescape")).hexdigest()


def is_twin(sql: bytes, recorded: bytes, ignored: str = "") -> bool:
    """Tell whether a recorded checksum is that of the same text with other line endings, or with or without a BOM."""
    bare = sql.removeprefix(BOM)
    unix = bare.replace(b"\r\n", b"\n")
    texts = (bare, unix, unix.replace(b"\n", b"\r\n"))
    return any(checksum(mark + text, ignored) == recorded for text in texts for mark in (b"", BOM))
