"""The comparison with other tools runs, goes on where it was stopped, and the page says what it measured."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import time
from importlib import import_module
from pathlib import Path

import pytest
from process_counts import ROOT

KNOWN = {"wall_ms": 12345.0, "cpu_ms": 1.0, "peak_mb": 1.0}
PAGE = ROOT / "docs" / "performance.md"


def peers(tmp_path: Path, *words: str) -> dict[str, list[dict[str, object]]]:
    """Run the comparison in small, and return its results."""
    results = tmp_path / "peers.json"
    command = [
        sys.executable,
        "-m",
        "benchmarks.peers.compare",
        "--work",
        tmp_path / "work",
        "--results",
        results,
        *words,
    ]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    return json.loads(results.read_text())


SMALL = ("--runs", "1", "--migrations", "2", "--megabytes", "1", "--tools", "floor", "torc_migrations", "yoyo")
TINY = ("--runs", "1", "--migrations", "2", "--megabytes", "--tools", "floor")


def test_a_small_comparison_runs(tmp_path: Path):
    """Each tool does each work once, and none fails."""
    results = peers(tmp_path, *SMALL)

    assert [row for row in results["rows"] if row["runs"] != 1] == []
    works = {(row["work"], row["inside"]) for row in results["rows"] if row["tool"] == "torc_migrations"}
    assert works == {
        *((work, False) for work in ("import", "noop", "api", "apply", "script")),
        *((work, True) for work in ("noop", "apply", "at_once", "torc", "script")),
    }
    if shutil.which("strace"):
        assert results["fsyncs"]["torc_migrations"] <= 4.3


def test_an_older_version_and_no_groups_are_compared(tmp_path: Path):
    """Another version of the package is measured in the same rounds, and applying with one transaction each."""
    tools = ("torc_migrations before", "torc_migrations, group=0")

    results = peers(tmp_path, *TINY, *tools, "--before", str(ROOT))

    assert [row for row in results["rows"] if row["runs"] != 1] == []
    works = {(row["tool"], row["work"], row["inside"]) for row in results["rows"] if row["tool"] in tools}
    assert works == {
        *((tool, "apply", inside) for tool in tools for inside in (False, True)),
        *((tool, "torc", True) for tool in tools),
        *(("torc_migrations before", "noop", inside) for inside in (False, True)),
    }


def test_a_comparison_goes_on_where_it_was_stopped(tmp_path: Path):
    """What was measured is not measured again."""
    first = peers(tmp_path, *TINY, "--minutes", "0")
    samples = tmp_path / "work" / "samples.jsonl"
    known = {"task": "noop 2 process floor", "time": time.time(), "round": 0, "load": 0.5, **KNOWN}
    samples.write_text(json.dumps(known) + "\n")

    second = peers(tmp_path, *TINY)

    assert first["rows"] == []
    (row,) = [
        row
        for row in second["rows"]
        if (row["work"], row["size"], row["tool"]) == ("noop", 2, "floor") and not row["inside"]
    ]
    assert (row["runs"], row["wall_ms"]) == (1, 12345.0)


def test_the_tables_are_those_of_the_results():
    """No number of a table is written by hand."""
    command = [sys.executable, "-m", "benchmarks.tables", "--check"]

    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr or "run python -m benchmarks.tables"


@pytest.mark.parametrize("name", ["peers.svg", "peers_growth.svg"])
def test_the_pictures_adapt_to_the_page(name):
    """Their text has the colour of the page's, light or dark, and their background is the page's own."""
    picture = (ROOT / "docs" / name).read_text()

    assert "prefers-color-scheme: dark" in picture
    assert "currentColor" in picture
    assert f"]({name})" in PAGE.read_text()


def test_no_two_tools_look_alike(monkeypatch: pytest.MonkeyPatch):
    """Each has a colour and a mark of its own in the pictures."""
    monkeypatch.syspath_prepend(ROOT)
    charts = import_module("benchmarks.charts")

    looks = charts.looks(json.loads((charts.RESULTS / "peers.json").read_text()))

    assert len(looks) == 11
    for kind in zip(*looks.values(), strict=True):
        assert len(set(kind)) == 11


def test_every_goal_has_its_row():
    """The page shows every goal, whether met or not."""
    (goals,) = re.findall(r"<!-- goals -->\n(.*?)<!-- end -->", PAGE.read_text(), re.DOTALL)

    assert len(goals.splitlines()) == 2 + 17
