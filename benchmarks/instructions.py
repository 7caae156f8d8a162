"""Count the instructions of the processor that one migration takes, ours beside the floor; no neighbour changes them.

    python benchmarks/instructions.py && python benchmarks/peer_tables.py

Each figure is the difference between two processes, one with more migrations than the other, so that what it takes to
start and to load is in neither. What the system does for a process is not counted. Needs `valgrind`.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from peer_tables import INSTRUCTIONS, instructions_table
from peer_tools import FLOOR, LEDGERS, OURS, write_yoyo
from peers import bare_python, trivial_pairs

FEW, MANY = 200, 400
WORKS = ("noop", "apply", "at_once")
TOOLS = (FLOOR, LEDGERS, OURS)
CODE = """
import sys, peer_inside
tool, work, database, folder = sys.argv[1:]
peer_inside.RUNNERS[tool](work)(database, folder)
"""


class Count(NamedTuple):
    """How many instructions one migration takes."""

    work: str
    tool: str
    instructions: int


def main() -> int:
    """Count, write the results, print them as a table with ratios, and return the exit code."""
    if not shutil.which("valgrind"):
        print("there is no valgrind here, which counts instructions", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(2) as pool:
        place = Path(folder)
        python = bare_python(place / "environment")
        for size in (FEW, MANY):
            (place / f"source{size}").mkdir()
            write_yoyo(place / f"source{size}", trivial_pairs(size))
        jobs = [(work, tool) for work in WORKS for tool in TOOLS]
        counts = list(pool.map(lambda job: _count(place, python, *job), jobs))
    facts = [count._asdict() for count in counts]
    INSTRUCTIONS.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    print("\n".join(instructions_table({"instructions": facts})))
    return 0


def _count(place: Path, python: str, work: str, tool: str) -> Count:
    few, many = (_instructions(place, python, work, tool, size) for size in (FEW, MANY))
    return Count(work, tool, (many - few) // (MANY - FEW))


def _instructions(place: Path, python: str, work: str, tool: str, size: int) -> int:
    home = place / f"{work} {tool} {size}"
    home.mkdir()
    command = [python, "-I", "-c", CODE, tool, work, str(home / "one.db"), str(place / f"source{size}")]
    if work == "noop":
        subprocess.run(command, check=True)  # which installs what there is
    valgrind = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null"]
    done = subprocess.run([*valgrind, *command], capture_output=True, text=True, check=True)
    found = re.search(r"Collected : (\d+)", done.stderr)
    assert found
    return int(found[1])


if __name__ == "__main__":
    sys.exit(main())
