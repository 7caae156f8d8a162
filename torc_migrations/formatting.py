"""Write times, sizes, durations, tables and URLs as text."""

from __future__ import annotations

import re
from collections.abc import Container, Sequence

# Characters that move a terminal's cursor, start an escape sequence, or change the order of what follows: C0 but for
# the tab, DEL, C1, line and paragraph separators, and the bidirectional controls (https://unicode.org/reports/tr9/).
# A byte from 0x80 to 0x9f in a file name that is not UTF-8 is C1 for a terminal that reads bytes.
CONTROL = "[\0-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\udc80-\udc9f]"
_SHORT = {"\n": r"\n", "\r": r"\r"}

# Up to the last `@`: a password may have any character, and to hide too much is better than too little. What is masked
# already is left, so that a sentence with the name of a database keeps what comes after it, such as 'user'@'host'.
_IS_MASKED = r"\*\*\*@[^@\s]*(?:\s|\Z)"
_BEFORE_AT = (
    r"(?si)(://[^/?#@:]*|\A(?!(?:torc\+)?sqlite:)[^/?#@:]{2,}(?=:(?!//))|\A[^/?#@:](?=:(?![/\\]))):"
    rf"(?!{_IS_MASKED}).*@"
)
_AFTER_SQLITE = r"(?si)(?<!\w)((?:torc\+)?sqlite:/{0,3}[^/?#@:]*):[^/]*@"
_NAMES = r"(?:pass(?!ive)|pwd|secret|token|credential|api_?-?key|access_?-?key|private_?-?key|auth(?!or))"
_VALUE = r"(?:'[^']*'?|\"[^\"]*\"?|[^&;#\s]*)"
# `password=...` in the query of a URL, in a connection string, or among the variables of an environment.
_PARAMETER = r"(?i)([?&;][^?&;=#]*(?:pass|pwd|secret|token|key)[^?&;=#]*=)(?!\*\*\*(?:\W|$))[^&;#]*"
_SAID = r"\*\*\*(?:\W|$)|(?:YES|NO)\)"  # what is masked, and MariaDB's `(using password: YES)`
_ASSIGNED = rf"(?i)((?<![\w-])(?:[\w.-]*(?:{_NAMES}[\w.-]*|_key)|key)(?:\s*=\s*|:\s+))(?!{_SAID}){_VALUE}"
_OPTION = rf"(?i)((?<![\w-])--?[\w-]*{_NAMES}[\w-]*\s+)(?!-|\*\*\*(?:\W|$)){_VALUE}"
_LOWER = {ord(letter): letter.lower() for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"}


def lowered(name: str) -> str:
    """Return the name of a table or a column with `A` to `Z` in lower case; to a database `é` and `É` are two names."""
    return name.lower() if name.isascii() else name.translate(_LOWER)


def masked(text: str) -> str:
    """Return a text with every password in it replaced by `***`: in a URL, a connection string, a command line."""
    if "@" in text:
        text = re.sub(_AFTER_SQLITE, r"\1:***@", re.sub(_BEFORE_AT, r"\1:***@", text))
    if "=" in text or ": " in text:
        text = re.sub(_ASSIGNED, r"\1***", re.sub(_PARAMETER, r"\1***", text))
    return re.sub(_OPTION, r"\1***", text) if "-" in text else text


def escaped(text: str, *, keep: str = "") -> str:
    r"""Replace each control character by what Python would write for it, as `\x1b`; leave tabs, and those in `keep`."""
    if text.isprintable():
        return text  # as most are, for which the pattern need not be compiled
    return re.sub(CONTROL, lambda found: found[0] if found[0] in keep else _escape(found[0]), text)


def one_line(text: str) -> str:
    r"""Write line breaks, which a name may have, as `\n` and `\r`, so that a name makes no second line."""
    return text.replace("\n", r"\n").replace("\r", r"\r")


def reason_of(error: OSError | ValueError) -> str:
    """Return why a file cannot be opened; Python raises a `ValueError` for a name that no file can have."""
    return str(getattr(error, "strerror", None) or error)


def _escape(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDC9F:
        code -= 0xDC00
    return _SHORT.get(character) or (f"\\x{code:02x}" if code <= 0xFF else f"\\u{code:04x}")


def columns(letter: str) -> int:
    """Return how many columns of a terminal a character takes: two for one of Chinese, none for an accent alone."""
    from unicodedata import combining, east_asian_width  # here, because most texts are ASCII

    return 0 if combining(letter) else 2 if east_asian_width(letter) in ("W", "F") else 1


def time_text(time: str | None) -> str | None:
    """Return a time in UTC as ISO 8601 has it, with a `Z`: `2025-11-05T03:01:41Z`; any other text as it is."""
    found = re.fullmatch(r"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d(?:\.\d+)?)(?:Z|[+-]00:?00)?", time or "")
    return f"{found[1]}T{found[2]}Z" if found else time


def size_text(size: int | None) -> str:
    """Return a number of bytes as text: `12 KiB`, `34 MiB`."""
    if size is None:
        return "-"
    return f"{size / 1024:.0f} KiB" if size < 10 * 1024**2 else f"{size / 1024**2:.0f} MiB"


def duration_text(nanoseconds: int) -> str:
    """Write a duration as Rust's `Duration` does: `1.234567ms`, `12µs`, `0ns`.

    https://doc.rust-lang.org/std/time/struct.Duration.html#impl-Debug-for-Duration
    """
    for unit, size, digits in (("s", 1_000_000_000, 9), ("ms", 1_000_000, 6), ("µs", 1_000, 3)):
        if nanoseconds >= size:
            whole, rest = divmod(nanoseconds, size)
            fraction = f"{rest:0{digits}}".rstrip("0")
            return f"{whole}.{fraction}{unit}" if fraction else f"{whole}{unit}"
    return f"{nanoseconds}ns"


def counted(number: int, singular: str, plural: str | None = None) -> str:
    """Return a number with its noun: `1 index`, `2 indexes`; without `plural` the noun takes an `s`."""
    return f"{number} {singular if number == 1 else plural or f'{singular}s'}"


def portion(some: int, number: int, singular: str) -> str:
    """Return how many of a number something is said of, with its noun: `1 of 1 migration`, `0 of 2 migrations`."""
    return f"{some} of {counted(number, singular)}"


def table_text(rows: Sequence[Sequence[str]], *, right: Container[int] = ()) -> str:
    """Return rows as aligned lines, two spaces between the columns; the columns in `right` are aligned to the right."""
    rows = [[one_line(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "".join(f"{_line(row, widths, right)}\n" for row in rows)


def _line(row: Sequence[str], widths: Sequence[int], right: Container[int]) -> str:
    cells = zip(row, widths, strict=True)
    aligned = (f"{cell:{'>' if n in right else '<'}{width}}" for n, (cell, width) in enumerate(cells))
    return "  ".join(aligned).rstrip()
