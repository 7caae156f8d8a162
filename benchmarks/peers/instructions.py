"""Count the processor instructions of one migration, for torc_migrations and for the floor.

    python -m benchmarks.peers.instructions

Unlike times, the counts do not depend on what else the machine does. Each count is the difference between two
processes with different numbers of migrations, so that starting and importing are not in it. The work of the operating
system is not counted. Needs `valgrind`.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from benchmarks.peers.tables import instructions_table
from benchmarks.peers.tools import EACH, FLOOR, LEDGERS, OURS, write_yoyo
from benchmarks.peers.workbench import bare_python, trivial_pairs

RESULTS = Path(__file__).parents[1] / "results" / "instructions.json"
FEW, MANY = 200, 400  # migrations
# By what is counted: ours beside the floors. A group would hold a migration or two, because valgrind makes 50 ms short.
WORKS = {"noop": OURS, "apply": EACH, "at_once": OURS}
CODE = """
import sys
import benchmarks.peers.inside as inside
tool, work, database, directory = sys.argv[1:]
inside.RUNNERS[tool](work)(database, directory)
"""


class Count(NamedTuple):
    """The number of instructions of one migration."""

    work: str
    tool: str
    instructions: int


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    options = _parse(arguments)
    if not shutil.which("valgrind"):
        print("error: valgrind is not installed", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory() as directory, ThreadPoolExecutor(2) as pool:
        place = Path(directory)
        python = bare_python(place / "environment")
        for size in options.migrations:
            (place / f"source{size}").mkdir()
            write_yoyo(place / f"source{size}", trivial_pairs(size))
        jobs = [(work, tool) for work, ours in WORKS.items() for tool in (FLOOR, LEDGERS, ours)]
        counts = list(pool.map(lambda job: _count(place, python, options.migrations, *job), jobs))
    facts = [count._asdict() for count in counts]
    options.json.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    print("\n".join(instructions_table(facts)))
    return 0


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--migrations",
        type=int,
        nargs=2,
        default=[FEW, MANY],
        metavar=("FEW", "MANY"),
        help=f"of the two processes (default: {FEW} {MANY})",
    )
    parser.add_argument("--json", type=Path, default=RESULTS, metavar="FILE", help="(default: %(default)s)")
    return parser.parse_args(arguments)


def _count(place: Path, python: str, sizes: Sequence[int], work: str, tool: str) -> Count:
    few, many = (_instructions(place, python, work, tool, size) for size in sizes)
    return Count(work, tool, (many - few) // (sizes[1] - sizes[0]))


def _instructions(place: Path, python: str, work: str, tool: str, size: int) -> int:
    run = place / f"{work} {tool} {size}"
    run.mkdir()
    command = [python, "-I", "-c", CODE, tool, work, str(run / "one.db"), str(place / f"source{size}")]
    if work == "noop":
        subprocess.run(command, check=True)  # installs the migrations
    valgrind = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null"]
    done = subprocess.run([*valgrind, *command], capture_output=True, text=True, check=True)
    found = re.search(r"Collected : (\d+)", done.stderr)
    assert found
    return int(found[1])


if __name__ == "__main__":
    sys.exit(main())
