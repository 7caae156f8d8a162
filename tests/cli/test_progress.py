"""What `--progress` shows while a run goes on: one line on a terminal, notes in a log, lines of JSON, or nothing."""

from __future__ import annotations

import json
import re
import threading
from pathlib import Path

import pytest
from shell import COMMAND, Torc, installed, run_on_terminal, tables, write_files

from torc_migrations import upgrade
from torc_migrations.cli import main
from torc_migrations.cli.progress import ProgressNotes
from torc_migrations.cli.terminal import Terminal

COUNT = "WITH RECURSIVE n (i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < {}) SELECT count(*) FROM n;\n"
FILES = {
    "1_make_book.sql": "CREATE TABLE book (x);\n",
    "2_fill.sql": f"CREATE TABLE shelf (x);\n{COUNT.format(8_000_000)}CREATE TABLE author (x);\n",
}


@pytest.fixture
def long(here: Path) -> Path:
    """A migration that is done at once, and one with a statement that takes longer than the line needs to appear."""
    return write_files(here / "migrations", FILES)


@pytest.mark.usefixtures("long")
def test_line_is_drawn_again_and_removed(here: Path) -> None:
    """A terminal shows how far a long run is in one line, which is gone before what is done is printed."""
    result = run_on_terminal([COMMAND, "-d", "app.db", "upgrade", "--group=0"], here, {"NO_COLOR": "1"}, keep_line=True)

    drawn = re.findall(r"\r([^\r\n\x1b]+)\x1b\[K", result.out)
    assert drawn, result.out
    assert all(re.fullmatch(r"\d+ s: 2 of 2, 2_fill, statement 2 of 3", line) for line in drawn)
    assert re.fullmatch(
        r"Applied 1/migrate make book \(.*\)\n(\r[^\r\n]+\x1b\[K)+\r\x1b\[KApplied 2/migrate fill \(.*\)\n", result.out
    )


@pytest.mark.usefixtures("long")
def test_line_is_cut_to_the_terminal(here: Path) -> None:
    """A line that does not fit is cut, because one that is broken in two could not be removed."""
    write_files(here / "migrations", {f"3_{'é漢' * 30}.sql": COUNT.format(8_000_000)})

    changes = {"NO_COLOR": "1", "COLUMNS": "30", "LINES": "20"}
    result = run_on_terminal([COMMAND, "-d", "app.db", "upgrade", "--group=0"], here, changes, keep_line=True)

    drawn = re.findall(r"\r([^\r\n\x1b]+)\x1b\[K", result.out)
    assert max(len(line) for line in drawn) == 29
    assert all(len(line) + line.count("漢") <= 29 for line in drawn)
    assert any("漢" in line for line in drawn)


@pytest.mark.usefixtures("long")
@pytest.mark.parametrize("how", [["--progress=off"], []])
def test_nothing_is_shown_where_it_is_not_wanted(torc: Torc, here: Path, how: list[str]) -> None:
    """With `off` a terminal shows what is done, and no line; nor does a dumb terminal show one."""
    changes = {"NO_COLOR": "1"} if how else {"TERM": "dumb"}
    result = run_on_terminal([COMMAND, "-d", "app.db", "upgrade", *how], here, changes, keep_line=True)

    assert re.fullmatch(r"Applied 1/migrate make book \(.*\)\nApplied 2/migrate fill \(.*\)\n", result.out)


@pytest.mark.usefixtures("long")
def test_pipe_gets_no_line_for_a_run_of_seconds(torc: Torc) -> None:
    """Where standard error is no terminal, the first note comes after 30 seconds only."""
    result = torc("-d", "app.db", "upgrade")

    assert (result.status, result.err) == (0, "")


def test_notes_say_how_far_a_run_is(here: Path, long: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The note for a log says the same as the line, and no second one follows before its time."""
    notes = ProgressNotes(Terminal(), every=1000)

    upgrade(here / "app.db", long, on_event=notes)

    assert re.fullmatch(r"note: 0 s: 1 of 2, 1_make_book, statement 1 of 1\n", capsys.readouterr().err)


@pytest.mark.usefixtures("long")
def test_json_lines_go_to_standard_error(torc: Torc) -> None:
    """Each event is a line of JSON on standard error; standard output is as without them."""
    result = torc("-d", "app.db", "upgrade", "--progress=json", "--group=10")

    events = [json.loads(line) for line in result.err.splitlines()]
    order = [event["event"] for event in events if event["event"] not in ("progress", "statement-started")]
    assert result.lines == "Applied 1/migrate make book (TIME)\nApplied 2/migrate fill (TIME)\n"
    assert order == ["run-started", *["migration-started"] * 2, *["installed"] * 2, "run-ended"]
    assert (events[-1]["ok"], events[-1]["applied"]) == (True, [1, 2])


def test_json_beside_json_can_be_parsed(torc: Torc, here: Path) -> None:
    """With `--json` standard output is one document, also where the run fails; the events are beside it."""
    write_files(here / "migrations", {"1_bad.sql": "SELECT nothing;"})

    result = torc("-d", "app.db", "upgrade", "--progress=json", "--json")

    assert json.loads(result.out)["error"]["code"] == "execution-failed"
    events = [json.loads(line) for line in result.err.splitlines() if line.startswith("{")]
    assert [event["event"] for event in events][-2:] == ["failed", "run-ended"]
    assert events[-2]["error"]["code"] == "execution-failed"


def test_json_of_nothing_to_do(torc: Torc, here: Path) -> None:
    """A run with nothing to do is reported too."""
    write_files(here / "migrations", {"1_a.sql": "CREATE TABLE a (x);"})
    torc("-d", "app.db", "upgrade")

    result = torc("-d", "app.db", "upgrade", "--progress=json")

    lines = [line for line in result.err.splitlines() if line.startswith("{")]
    assert [json.loads(line)["event"] for line in lines] == ["run-started", "run-ended"]


@pytest.mark.usefixtures("long")
def test_statement_timeout_names_the_statement(torc: Torc, here: Path) -> None:
    """The option stops a statement; the error shows it, and what to do."""
    result = torc("-d", "app.db", "upgrade", "--statement-timeout", "0.2")

    assert (result.status, result.lines) == (6, "Applied 1/migrate make book (TIME)\n")
    assert result.err.splitlines() == [
        "error: while executing migration 2: the statement ran longer than 0.2 s, and was stopped",
        "  --> migrations/2_fill.sql:2:1",
        f"   2 | {COUNT.format(8_000_000).strip()}",
        "     | ^",
        "hint: nothing of 2 was kept; --statement-timeout allows more time",
        "note: done before it, and kept: 1",
    ]
    assert tables(here / "app.db") == {"book"}


@pytest.mark.parametrize("words", [["--statement-timeout", "0"], ["--statement-timeout", "x"], ["--progress", "bar"]])
def test_wrong_values_are_refused(torc: Torc, words: list[str]) -> None:
    """A limit of nothing, and a word that is no choice, are errors of the command line."""
    assert torc("-d", "app.db", "upgrade", *words).status == 2


def test_command_runs_in_a_thread(here: Path, long: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """`main()` works outside of the main thread, with a limit and with events."""
    statuses: list[int] = []
    words = ["-d", str(here / "app.db"), "-s", str(long), "upgrade", "--progress=json", "--statement-timeout=100"]
    thread = threading.Thread(target=lambda: statuses.append(main(words)))

    thread.start()
    thread.join()

    assert (statuses, installed(here)) == ([0], ["1_make_book", "2_fill"])
    assert '"run-ended"' in capfd.readouterr().err
