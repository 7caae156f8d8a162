"""Read the names that only yoyo's users have, and compare the order of versions with the order in which yoyo runs."""

# Without `from __future__ import annotations`: typing would compile each annotation of a NamedTuple, at every start.

import re
from collections.abc import Iterable
from typing import NamedTuple

# Python compiles these when they are used first.
# `yoyo new` writes PREFIX, the date, a count, five random letters, and words: app_20230101_01_AbCdE-some-words.
_GENERATED = (
    r"(?s)(?P<prefix>(?:[^0-9].*?)?)(?P<date>(?:19|20|21)[0-9]{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12][0-9]|3[01]))"
    r"_(?P<count>[0-9]{2})[_.-](?P<rest>.+)"
)
_LETTERS = r"[A-Za-z0-9]{5}(?:-|\Z)"
_WORD = r"[a-z]{5}\Z"  # `users` may be five random letters, but hardly ever is
_TIME = r"(?:19|20|21)[0-9]{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12][0-9]|3[01])[0-9]{4,10}(?![0-9])"
_DATE, _COUNT = 8, 2
# After the date of a time there is an hour, which is less.
_AFTER_EVERY_HOUR = "99"


class Generated(NamedTuple):
    """The parts of a name that `yoyo new` writes; `letters` are empty where a user left the random ones out."""

    prefix: str
    date: str
    number: str
    letters: str
    words: str


def read_generated(stem: str) -> Generated | None:
    """Read a name that begins with a date and a count, as those of `yoyo new` do; None for any other."""
    if (found := re.fullmatch(_GENERATED, stem)) is None:
        return None
    prefix, date, count, rest = found["prefix"], found["date"], found["count"], found["rest"]
    if re.match(_LETTERS, rest) and not re.match(_WORD, rest):
        return Generated(prefix, date, count, rest[:5], rest[6:])
    return None if prefix else Generated(prefix, date, count, "", rest)


def read_wild(stem: str) -> tuple[str, str] | None:
    """Read `0001.create-foo` or `001-create`, which are also found in directories for yoyo: a number, and words."""
    rest = stem.lstrip("0123456789")
    words = rest.lstrip(".-")
    return (stem.removesuffix(rest), words) if rest != stem and rest != words and words else None


class NameRule:
    """How the versions of one directory are made of its names.

    The version of `20230101_01_AbCdE` is 2023010101. In a directory that begins with versions that are times, as
    20230101120000, it has as many digits as those, and comes after every time of that day, as in yoyo's order:
    20230101990001. The first name decides, so that a file that is added behind it changes no version.
    """

    def __init__(self, width: int = 0) -> None:
        self._width = width

    def read(self, stem: str) -> tuple[str, str] | None:
        """Return the version and the words of a name that only yoyo's users have; None for any other."""
        if (generated := read_generated(stem)) is None:
            return read_wild(stem)
        number = generated.date + generated.number
        if self._width:
            number = generated.date + _AFTER_EVERY_HOUR + generated.number.zfill(self._width - _DATE - _COUNT)
        return number, generated.words


def rule_for(names: Iterable[str]) -> NameRule:
    """Return the rule for a directory with up scripts of these names."""
    time = re.match(_TIME, min(names, default=""))
    return NameRule(len(time[0])) if time else NameRule()


def first_difference(names: list[str]) -> tuple[str, str] | None:
    """Return the first file that yoyo would run at another place, and the one whose place it is.

    Args:
        names: the names of up files, by ascending version. yoyo runs them in the order of their characters; what
            `-- depends:` changes of that is refused elsewhere, because it is against the order of the versions.
    """
    return next(((theirs, ours) for theirs, ours in zip(sorted(names), names, strict=True) if theirs != ours), None)
