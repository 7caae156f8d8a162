"""Write to standard output and standard error: bytes for machines, colours for people."""

from __future__ import annotations

import os
import sys

from torc_migrations.errors import MigrationError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from re import Match
    from typing import TextIO

_COLOURS = {"cyan": "36", "green": "32", "yellow": "33", "red": "31", "dim": "2"}
_LABELS = {"error": "red", "hint": "cyan", "note": "yellow"}
_STATES = {
    "installed (different checksum)": "red",
    "installed": "green",
    "pending": "yellow",
    "migrate": "green",
    "revert": "green",
}


class OutputFailed(MigrationError):
    """Standard output cannot be written, as on a full disk."""

    exit_code = 2


class Terminal:
    """The command's two streams, either of which may be a terminal, a pipe, a file, or closed."""

    def __init__(self) -> None:
        self._colour_out = _has_colours(sys.stdout)
        self._colour_err = _has_colours(sys.stderr)

    def is_interactive(self) -> bool:
        """Tell whether somebody sits there: both ends are a terminal."""
        return _is_terminal(sys.stdin) and _is_terminal(sys.stderr)

    def write_listing(self, text: str) -> None:
        """Write lines in the words of sqlx to standard output, in UTF-8 whatever the locale."""
        self._write(_in_colours(text) if self._colour_out else text)

    def write_json(self, value: object) -> None:
        """Write one JSON document to standard output."""
        import json

        self._write(json.dumps(value, ensure_ascii=False, indent=2) + "\n")

    def _write(self, text: str) -> None:
        if sys.stdout is None:
            return
        try:
            sys.stdout.buffer.write(text.encode("utf-8", "surrogateescape"))
            sys.stdout.buffer.flush()
        except BrokenPipeError:
            raise
        except OSError as error:
            self.abandon()
            raise OutputFailed(f"cannot write to standard output: {error.strerror}") from error

    def say(self, label: str, sentence: str) -> None:
        """Tell a person something on standard error, behind `error:`, `hint:` or `note:`."""
        self.tell(f"{paint(label, _LABELS[label]) if self._colour_err else label}: {sentence}")

    def tell(self, text: str) -> None:
        """Write lines to standard error; where nobody reads it, the work goes on all the same."""
        if sys.stderr is None:
            return
        try:
            print(text, file=sys.stderr, flush=True)
        except OSError:
            _abandon(sys.stderr)

    def ask(self, question: str) -> bool:
        """Ask a person; anything but yes is no."""
        print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
        return sys.stdin.readline().strip().lower() in ("y", "yes")

    def abandon(self) -> None:
        """Give up standard output."""
        _abandon(sys.stdout)


def _abandon(stream: TextIO) -> None:
    """Give up a stream that nobody can read, so that Python's last flush does not complain."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _is_terminal(stream: TextIO | None) -> bool:
    return stream is not None and not stream.closed and stream.isatty()


def _has_colours(stream: TextIO | None) -> bool:
    """Follow https://no-color.org: any value but the empty one switches colours off."""
    return _is_terminal(stream) and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def paint(text: str, colour: str) -> str:
    """Colour a text for a terminal."""
    return f"\033[{_COLOURS[colour]}m{text}\033[0m"


def _in_colours(listing: str) -> str:
    import re

    line = (
        r"(?P<word>(?:Applied |Skipped |Can apply )?)(?P<version>[+-]?\d+)/"
        rf"(?P<state>{'|'.join(map(re.escape, _STATES))}) (?P<text>.*?)(?P<time> \([0-9.]+(?:s|ms|µs|ns)\))?\n"
    )
    return re.sub(line, _coloured, listing)


def _coloured(line: Match[str]) -> str:
    state = paint(line["state"], _STATES[line["state"]])
    time = " " + paint(line["time"].strip(), "dim") if line["time"] else ""
    return f"{line['word']}{paint(line['version'], 'cyan')}/{state} {line['text']}{time}\n"
