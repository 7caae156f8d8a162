"""Write the results of the benchmarks into the pages of docs/, as Markdown tables between marks.

    python -m benchmarks.tables           fill the tables
    python -m benchmarks.tables --check   report tables that do not show the stored results

A table stands between `<!-- NAME -->` and `<!-- end -->`, in any page; NAME is one of those in the modules `tables` of
benchmarks/peers, benchmarks/indexes and benchmarks/services.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.indexes import tables as indexes
from benchmarks.peers import tables as peers
from benchmarks.services import tables as services

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
# By the name of a table: the file of its results, and the function that returns its lines.
TABLES: Mapping[str, tuple[str, Callable[[Any], Iterable[str]]]] = {**peers.TABLES, **indexes.TABLES, **services.TABLES}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; the exit code is 1 for an unknown table, and for `--check` where a table is outdated."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing, report pages whose tables are outdated")
    parser.add_argument("--docs", type=Path, default=ROOT / "docs", help="the directory of pages (default: docs)")
    parser.add_argument("--results", type=Path, default=RESULTS, help="the directory of results (default: %(default)s)")
    options = parser.parse_args(arguments)
    faults = 0
    for page in sorted(options.docs.rglob("*.md")):
        name, before = page.relative_to(options.docs), page.read_text(encoding="utf-8")
        try:
            after = filled_in(before, options.results)
        except LookupError as error:
            print(f"error: {name}: {error.args[0]}", file=sys.stderr)
            faults += 1
            continue
        if before != after and options.check:
            print(f"error: {name} does not show the stored results; run python -m benchmarks.tables", file=sys.stderr)
            faults += 1
        elif before != after:
            page.write_text(after, encoding="utf-8")
            print(f"filled {name}")
    return int(faults > 0)


def filled_in(text: str, directory: Path) -> str:
    """Return a page with every table between marks made from the results in a directory.

    Raises:
        LookupError: no benchmark makes the table of a mark.
    """

    def table(mark: re.Match[str]) -> str:
        if mark[1] not in TABLES:
            raise LookupError(f"no benchmark makes the table {mark[1]!r}")
        results, make = TABLES[mark[1]]
        lines = "\n".join(make(json.loads((directory / f"{results}.json").read_text(encoding="utf-8"))))
        return f"<!-- {mark[1]} -->\n{lines}\n<!-- end -->"

    return re.sub(r"<!-- (\w+) -->\n.*?<!-- end -->", table, text, flags=re.DOTALL)


if __name__ == "__main__":
    sys.exit(main())
