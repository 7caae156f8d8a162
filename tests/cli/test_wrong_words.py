"""What a new user types wrong: the hint says what to type, and that works."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from shell import PAIRS, Torc, write_files


def _commands(text: str) -> list[list[str]]:
    """Return the words of each command that a text names, after the program."""
    return [shlex.split(found)[1:] for found in re.findall(r"`(torc-migrations [^`]*)`", text)]


def test_the_command_in_a_hint_can_be_typed_as_it_is(torc: Torc, here: Path) -> None:
    """It names the database and the source that were named before, quoted where the shell needs it."""
    write_files(here / "the files", PAIRS)

    refused = torc("-d", "my app.db", "-s", "the files", "upgrade", "--target", "7")
    (advised,) = _commands(refused.err)
    listed = torc(*advised)

    assert advised == ["-d", "my app.db", "-s", "the files", "status"]
    assert (listed.status, listed.out.count("pending")) == (0, 3)
