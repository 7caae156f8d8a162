"""Write to standard output and standard error: bytes for programs, escaped and coloured text for people."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Protocol

from torc_migrations.advice import completed
from torc_migrations.errors import BadArguments, OutputFailed
from torc_migrations.formatting import columns, escaped

if TYPE_CHECKING:
    from argparse import Namespace
    from typing import TextIO

    from torc_migrations.cli.listing import Checksum, Line
    from torc_migrations.errors import MigrationError

_LABELS = {"error": "red", "hint": "cyan", "note": "yellow"}


class Result(Protocol):
    """What a verb prints: a report with its two forms."""

    def as_text(self) -> str:
        """Return lines for a person."""

    def as_dict(self) -> dict[str, object]:
        """Return values that `json` takes."""


class Terminal:
    """The command's two streams, each of which may be a terminal, a pipe, a file, or closed.

    Attributes:
        options: what was typed, once it is read; the commands in notes and hints repeat its database and source.
    """

    options: Namespace | None = None

    def __init__(self) -> None:
        self._colour_out = _has_colours(sys.stdout)
        self._colour_err = _has_colours(sys.stderr)
        self._has_line = False

    def can_redraw(self) -> bool:
        """Return whether standard error is a terminal on which a line can be replaced by another."""
        return _is_terminal(sys.stderr) and os.environ.get("TERM") != "dumb"

    def is_interactive(self) -> bool:
        """Return whether a person can be asked: standard input and standard error are a terminal."""
        return _is_terminal(sys.stdin) and _is_terminal(sys.stderr)

    def print_lines(self, lines: Iterable[Line | Checksum]) -> None:
        """Write lines of sqlx to standard output, in UTF-8 whatever the locale."""
        self._write("".join(line.as_text(colours=self._colour_out) for line in lines))

    def print_text(self, text: str) -> None:
        """Write lines of text to standard output, in UTF-8 whatever the locale."""
        self._write(escaped(text, keep="\n"))

    def print_exact(self, text: str) -> None:
        """Write a text for a program to standard output, byte for byte; a person at a terminal gets it escaped."""
        self._write(escaped(text, keep="\n") if _is_terminal(sys.stdout) else text)

    def print_json(self, value: object) -> None:
        """Write one JSON document to standard output."""
        import json

        from torc_migrations.cli.listing import escaped_json

        self._write(escaped_json(json.dumps(value, ensure_ascii=False, indent=2)) + "\n")

    def print_report(self, report: Result, *, as_json: bool) -> None:
        """Write a result to standard output, as JSON or as lines for a person."""
        if as_json:
            self.print_json(report.as_dict())
        else:
            self.print_text(report.as_text())

    def _write(self, text: str) -> None:
        if sys.stdout is None:
            return
        self.clear_line()
        try:
            _write_utf_8(sys.stdout, text)
        except BrokenPipeError:
            raise
        except OSError as error:
            self.abandon()
            raise OutputFailed(f"cannot write to standard output: {error.strerror}") from error

    def print_note(self, sentence: str) -> None:
        """Write a `note:` to standard error."""
        self._print_labelled("note", self.completed(sentence))

    def print_error(self, error: MigrationError) -> None:
        """Write an error to standard error: its sentence, the SQL that it is about, and its hint."""
        self._print_labelled("error", str(error))
        if error.frame:
            _print(escaped(error.frame, keep="\n"))
        if error.command_hint:
            self._print_labelled("hint", self.completed(error.command_hint))

    def completed(self, sentence: str) -> str:
        """Return a sentence whose commands can be typed as they are: with the database and source of this one."""
        return completed(sentence, self.options) if self.options else sentence

    def show_line(self, sentence: str) -> None:
        """Show one line at the bottom of a terminal, in the place of the one that was shown before."""
        from shutil import get_terminal_size

        self._has_line = True
        shown = _cut(escaped(sentence).replace("\t", " "), get_terminal_size().columns - 1)
        _print(f"\r{shown}\x1b[K", end="")

    def clear_line(self) -> None:
        """Remove that line, before anything else is written or at the end of the run."""
        if self._has_line:
            self._has_line = False
            _print("\r\x1b[K", end="")

    def print_event(self, event: dict[str, object]) -> None:
        """Write a line of JSON to standard error."""
        import json

        from torc_migrations.cli.listing import escaped_json

        _print(escaped_json(json.dumps(event, ensure_ascii=False)))

    def _print_labelled(self, label: str, sentence: str) -> None:
        self.clear_line()
        if self._colour_err:
            from torc_migrations.cli.listing import paint

            label = paint(label, _LABELS[label])
        _print(f"{label}: {escaped(sentence)}")

    def confirm(self, question: str, *, refusal: str) -> bool:
        """Ask a person whether to go on; anything but yes is no.

        Raises:
            BadArguments: there is no terminal to ask at; `refusal` is its sentence.
        """
        if not self.is_interactive():
            raise BadArguments(refusal, hint="pass --yes to confirm it")
        answer = ""
        try:
            print(f"{escaped(question)} [y/N] ", end="", file=sys.stderr, flush=True)
            answer = sys.stdin.readline()
        finally:
            if not answer.endswith("\n"):  # after Ctrl-C and Ctrl-D
                print(file=sys.stderr, flush=True)
        return answer.strip().lower() in ("y", "yes")

    def abandon(self) -> None:
        """Close standard output for good."""
        _abandon(sys.stdout)


def _cut(text: str, width: int) -> str:
    """Return as much of a text as fits into this many columns of a terminal."""
    used = 0
    for position, letter in enumerate(text):
        used += columns(letter)
        if used > width:
            return text[:position]
    return text


def _print(text: str, end: str = "\n") -> None:
    """Write lines to standard error; if nobody can read them, the work goes on."""
    if sys.stderr is None:
        return
    try:
        print(text, file=sys.stderr, end=end, flush=True)
    except OSError:
        _abandon(sys.stderr)


def _write_utf_8(stream: TextIO, text: str) -> None:
    """Write a text in UTF-8; a stream of text alone, such as a `StringIO` or that of a notebook, gets it as it is."""
    binary = getattr(stream, "buffer", None)
    if binary is None:
        stream.write(text)
    else:
        binary.write(text.encode("utf-8", "surrogateescape"))
    (binary or stream).flush()


def _abandon(stream: TextIO) -> None:
    """Send to the null device what is left in a stream, so that flushing it at the end raises nothing."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _is_terminal(stream: TextIO | None) -> bool:
    return stream is not None and not stream.closed and stream.isatty()


def _has_colours(stream: TextIO | None) -> bool:
    """Follow https://no-color.org: any value but the empty one switches colours off."""
    return _is_terminal(stream) and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
