"""Read a page as a reader does: files to write, commands to type, programs to run, in the order of the page."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = (ROOT / "README.md", *sorted(DOCS.rglob("*.md")))
COMMANDS = Path(sysconfig.get_path("scripts"))

_FENCE = re.compile(
    r"^(?P<indent> *)(?P<ticks>```+)(?:\{code-block\} )?(?P<language>[\w-]*)\n"
    r"(?::caption: (?P<name>[^\n]+)\n\n?)?(?P<text>.*?)^(?P=indent)(?P=ticks)$",
    re.MULTILINE | re.DOTALL,
)
# What has to be there before a page's next command, in a comment that no reader sees.
_PREPARATION = re.compile(r"^<!-- prepare\n(?P<text>.*?)^-->$", re.MULTILINE | re.DOTALL)
_PROMPT = re.compile(r"^\$ (.*)\n", re.MULTILINE)
# What differs from run to run: durations, times, checksums, and the reader's directory.
_MASKS = (
    (re.compile(r"\b\d+(?:\.\d+)?(?:ns|µs|ms|s)\b"), "DURATION"),
    (re.compile(r'"elapsed_ns": \d+'), '"elapsed_ns": DURATION'),
    (re.compile(r" +\d+\.\d+ ms\b"), " DURATION"),
    (re.compile(r"\d{8}T\d{6}\.\d{3}Z"), "STAMP"),
    (re.compile(r"\b\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(?: UTC|Z)?"), "TIME"),
    (re.compile(r"\b[0-9a-f]{96}\b"), "CHECKSUM"),
    (re.compile(r"(?<![^\s(])/(?:[^\s/]+/)+"), "DIRECTORY/"),
)


class Block(NamedTuple):
    """A fenced block: its page, its first line, its language, the file that it is to be saved as, and its text."""

    page: Path
    line: int
    language: str
    name: str
    text: str

    @property
    def place(self) -> str:
        """Where the block is, for a report."""
        return f"{self.page.relative_to(ROOT)}:{self.line}"


class Act(NamedTuple):
    """One thing that the reader does: a command for the shell, and what the page shows as its output."""

    place: str
    command: str
    answer: str

    @property
    def is_block(self) -> bool:
        """Whether it saves a block of the page, and perhaps runs it."""
        return self.command.startswith("mkdir -p ")

    @property
    def may_fail(self) -> bool:
        """Whether the page shows an error."""
        return re.search(r"^error: ", self.answer, re.MULTILINE) is not None


class Result(NamedTuple):
    """How a command ended, and what it printed on both streams."""

    status: int
    output: str


def blocks(page: Path) -> Iterator[Block]:
    """Find the fenced blocks of a page, those in a quotation included."""
    text = re.sub(r"^> ?", "", page.read_text(), flags=re.MULTILINE)
    for found in _FENCE.finditer(text):
        line = text.count("\n", 0, found.start()) + 1
        yield Block(page, line, found["language"], found["name"] or "", dedent(found["text"]))
    for found in _PREPARATION.finditer(text):
        line = text.count("\n", 0, found.start()) + 1
        yield Block(page, line, "prepare", "", found["text"])


def acts(page: Path) -> Iterator[Act]:
    """Return what a reader does who follows a page: save files, run programs, and type what stands behind a `$`."""
    for block in sorted(blocks(page), key=lambda block: block.line):
        if block.language == "prepare":
            yield Act(block.place, f"mkdir -p .\n{block.text}", "")
        elif block.name:
            yield Act(block.place, _saving(block.name, block.text), "")
        elif block.language == "python":
            yield Act(block.place, _running(block), "")
        else:
            parts = _PROMPT.split(block.text)
            yield from (Act(block.place, *pair) for pair in zip(parts[1::2], parts[2::2], strict=True))


def _running(block: Block) -> str:
    """Return the commands that save a program and run it; one that imports pytest is a test."""
    if "import pytest" in block.text:
        name = f"test_line_{block.line}.py"
        return f"{_saving(name, block.text)}\npython -m pytest -q -p no:cacheprovider {name}"
    name = f"line_{block.line}.py"
    return f"{_saving(name, block.text)}\npython {name}"


def _saving(name: str, text: str) -> str:
    directory = shlex.quote(str(Path(name).parent))
    return f"mkdir -p {directory}\ncat > {shlex.quote(name)} <<'END OF FILE'\n{text}END OF FILE"


def perform(todo: list[Act], here: Path) -> list[Result]:
    """Do all of it in one shell, which starts in an empty directory with a clean environment."""
    record, temporary = here.parent / "record", here.parent / "temporary"
    record.mkdir()
    temporary.mkdir()  # pytest refuses a directory of its own in the machine's that another user of this name has left
    script = ["(exit 0)"]
    for number, act in enumerate(todo):
        script += [f"{{ (exit $?)\n{act.command}\n}} > {record}/{number}.out 2>&1"]
        script += [f"status=$?; echo $status > {record}/{number}.status; (exit $status)"]
    path = f"{COMMANDS}:/usr/local/bin:/usr/bin:/bin"
    environment = {"PATH": path, "HOME": str(here.parent), "LC_ALL": "C.UTF-8", "COLUMNS": "80"}
    environment["TMPDIR"] = str(temporary)
    environment |= {name: os.environ[name] for name in ("LD_LIBRARY_PATH",) if name in os.environ}  # of Python itself
    subprocess.run(["sh"], input="\n".join(script), text=True, cwd=here, env=environment, check=False, timeout=300)
    return [
        Result(int((record / f"{number}.status").read_text()), (record / f"{number}.out").read_text())
        for number in range(len(todo))
    ]


def problems(page: Path, here: Path) -> list[str]:
    """Follow a page from top to bottom in a directory, and return what does not happen as it is shown."""
    todo = list(acts(page))
    done = zip(todo, [*todo[1:], None], perform(todo, here), strict=True)
    return [
        f"{act.place}: {act.command}\nended with {result.status} and printed\n{result.output}"
        for act, after, result in done
        if not _happened(act, after, result)
    ]


def _happened(act: Act, after: Act | None, result: Result) -> bool:
    """Tell whether a command ended as it is shown, where the next one may show its exit status."""
    status_is_shown = after is not None and after.command == "echo $?"
    ended = status_is_shown or act.may_fail is (result.status != 0)
    # The output of a program of the page is not shown.
    return ended and (act.is_block or re.fullmatch(pattern(act.answer), masked(result.output)) is not None)


def pattern(answer: str) -> str:
    """Return the pattern of an output: what differs from run to run is masked, three dots stand for any lines."""
    return re.escape(masked(answer)).replace(re.escape("...\n"), "(?:.*\n)*")


def masked(text: str) -> str:
    """Replace what differs from run to run."""
    for mask, word in _MASKS:
        text = mask.sub(word, text)
    return text
