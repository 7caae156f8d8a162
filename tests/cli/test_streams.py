"""The command's streams: terminals and colours, questions, pipes that break, streams that are closed."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from shell import (
    COMMAND,
    CTRL_C,
    CTRL_D,
    NEWEST,
    Result,
    Torc,
    environment,
    everything_in,
    query,
    run,
    run_on_terminal,
    tables,
)


@pytest.mark.usefixtures("migrations")
def test_colours_are_for_terminals_only(torc: Torc, here: Path) -> None:
    """A terminal gets sqlx's colours, a pipe none."""
    piped = torc("-d", "app.db", "status")
    shown = run_on_terminal([COMMAND, "-d", "app.db", "status"], here)

    assert "\033" not in piped.out
    assert shown.out.splitlines()[0] == "\033[36m1\033[0m/\033[33mpending\033[0m create book"


@pytest.mark.parametrize("env", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
@pytest.mark.usefixtures("migrations")
def test_colours_can_be_switched_off(here: Path, env: dict[str, str | None]) -> None:
    """NO_COLOR, or a dumb terminal, means the same text without colours; an empty NO_COLOR means nothing."""
    plain = run_on_terminal([COMMAND, "-d", "app.db", "status"], here, env)
    error = run_on_terminal([COMMAND, "-d", "app.db", "-s", "gone", "status"], here, env)
    coloured = run_on_terminal([COMMAND, "-d", "app.db", "status"], here, {"NO_COLOR": ""})

    assert plain.out.splitlines()[0] == "1/pending create book"
    assert error.out.startswith("error: there is no directory")
    assert "\033[36m" in coloured.out


@pytest.mark.parametrize("verb", ["status", "upgrade", "--help", "status --json"])
def test_a_reader_who_leaves_ends_the_command_quietly(here: Path, verb: str) -> None:
    """A broken pipe is no error to tell: no traceback, and the exit status of SIGPIPE."""
    reading, writing = os.pipe()
    os.close(reading)

    done = subprocess.run(
        [COMMAND, "-d", "app.db", "--torc", *verb.split()],
        cwd=here,
        env=environment(here),
        stdout=writing,
        stderr=subprocess.PIPE,
        check=False,
    )
    os.close(writing)

    assert (done.returncode, done.stderr) == (141, b"")


def test_an_upgrade_stops_between_migrations_when_its_reader_leaves(here: Path) -> None:
    """What was applied before the pipe broke is kept whole, and the next upgrade goes on from there."""
    piped = run(["sh", "-c", f"{COMMAND} -d app.db --torc upgrade | head -1"], here)
    again = run([COMMAND, "-d", "app.db", "upgrade"], here)

    assert piped.lines == "Applied 20251020140215/migrate create workflows (TIME)\n"
    assert piped.err == ""
    assert again.status == 0
    assert query(here / "app.db", "SELECT max(version) FROM _sqlx_migrations") == [(NEWEST,)]


@pytest.mark.usefixtures("migrations")
def test_nobody_reading_the_notes_stops_nothing(here: Path) -> None:
    """With a broken standard error the work is done all the same."""
    reading, writing = os.pipe()
    os.close(reading)

    done = subprocess.run(
        [COMMAND, "-v", "-d", "app.db", "upgrade"],
        cwd=here,
        env=environment(here),
        stdout=subprocess.PIPE,
        stderr=writing,
        check=False,
    )
    os.close(writing)

    assert (done.returncode, done.stdout.count(b"Applied ")) == (0, 3)


@pytest.mark.parametrize(
    ("closed", "words"),
    [
        ("<&-", "rollback --target 0 --yes"),
        (">&-", "status"),
        (">&-", "upgrade --target 77"),
        ("2>&-", "-v upgrade"),
        ("2>&-", "upgrade --target 77"),
        ("<&- >&- 2>&-", "-v rollback"),
        ("<&- >&- 2>&-", "upgrade --target 77"),
    ],
)
def test_closed_streams_harm_nothing(here: Path, closed: str, words: str) -> None:
    """Whichever of its streams is closed, the command does its work, and no file gets its output instead."""
    run([COMMAND, "-d", "app.db", "--torc", "upgrade"], here)

    result = run(["sh", "-c", f"{COMMAND} -d app.db {words} {closed}"], here)

    assert result.status == (4 if "77" in words else 0)
    assert "Traceback" not in result.out + result.err
    assert query(here / "app.db", "PRAGMA integrity_check") == [("ok",)]
    assert list(everything_in(here)) == ["app.db"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this system")
@pytest.mark.parametrize("words", ["status", "status --json", "upgrade --target 77 --json"])
def test_a_full_disk_behind_the_output_is_told(here: Path, words: str) -> None:
    """Output that cannot be written is an error, in a sentence."""
    result = run(["sh", "-c", f"{COMMAND} -d app.db --torc {words} > /dev/full"], here)

    assert result.status == 2
    assert "error: cannot write to standard output: No space left on device\n" in result.err
    assert "Traceback" not in result.err


@pytest.mark.parametrize(("answer", "goes"), [("y\n", True), ("yes\n", True), ("n\n", False), ("\n", False)])
@pytest.mark.usefixtures("migrations")
def test_rolling_back_everything_asks_on_a_terminal(here: Path, torc: Torc, answer: str, goes: bool) -> None:
    """Somebody who sits there is told what will go and asked; anything but yes leaves it."""
    torc("-d", "app.db", "upgrade")

    result = run_on_terminal([COMMAND, "-d", "app.db", "rollback", "--target", "0"], here, answers=[answer])

    assert result.status == 0
    assert "0002_add_author will be rolled back" in result.out
    assert "[y/N]" in result.out
    assert tables(here / "app.db") == (set() if goes else {"book", "author"})
    assert ("nothing was rolled back" in result.out) is not goes


@pytest.mark.usefixtures("migrations")
def test_end_of_input_or_ctrl_c_at_the_question_is_no(here: Path, torc: Torc) -> None:
    """Ctrl-D says no; Ctrl-C ends the command with 130. What is said of it has a line of its own."""
    torc("-d", "app.db", "upgrade")

    left = run_on_terminal([COMMAND, "-d", "app.db", "rollback", "--target", "0"], here, answers=[CTRL_D])
    stopped = run_on_terminal([COMMAND, "-d", "app.db", "rollback", "--target", "0"], here, answers=[CTRL_C])

    assert (left.status, stopped.status) == (0, 130)
    for result, said in ((left, "nothing was rolled back"), (stopped, "interrupted")):
        (line,) = (line for line in result.out.splitlines() if said in line)
        assert "[y/N]" not in line
    assert tables(here / "app.db") == {"book", "author"}


@pytest.mark.parametrize("yes", ["--yes", "-y"])
@pytest.mark.usefixtures("migrations")
def test_yes_answers_the_question_beforehand(here: Path, torc: Torc, yes: str) -> None:
    """With `--yes` nothing is asked, at a terminal or away from one."""
    torc("-d", "one.db", "upgrade")
    torc("-d", "two.db", "upgrade")

    shown = run_on_terminal([COMMAND, "-d", "one.db", "rollback", "--target", "0", yes], here)
    piped = torc("-d", "two.db", "rollback", "--target", "0", yes)

    assert "[y/N]" not in shown.out + piped.err
    assert (tables(here / "one.db"), tables(here / "two.db")) == (set(), set())


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        ("rollback --target 0", "--target 0"),
        ("revert --target-version 0 --json", "--target 0"),
        ("rollback -n 3", "-n 3"),
    ],
)
@pytest.mark.usefixtures("migrations")
def test_rolling_back_everything_needs_yes_without_a_terminal(here: Path, torc: Torc, words: str, shown: str) -> None:
    """Where nobody can be asked, nothing is deleted unless `--yes` says so; with nothing installed nothing is wrong."""
    empty = torc("-d", "none.db", "rollback", "--target", "0")
    torc("-d", "app.db", "upgrade")
    before = everything_in(here)

    refused = torc("-d", "app.db", *words.split())

    assert (empty.status, empty.err) == (0, "note: there is no database 'none.db' yet\n")
    assert refused.status == 2
    assert refused.err == (
        f"error: rollback {shown} deletes everything that 3 migrations have created\nhint: pass --yes to confirm it\n"
    )
    assert everything_in(here) == before


@pytest.mark.usefixtures("migrations")
def test_a_number_of_rollbacks_is_confirmed_like_a_target(here: Path, torc: Torc) -> None:
    """`-n` asks where nothing stays installed; not where something stays, and not for the one newest migration."""
    torc("-d", "app.db", "upgrade")

    two = torc("-d", "app.db", "rollback", "-n", "2")
    last = torc("-d", "app.db", "rollback", "-n", "1")
    torc("-d", "app.db", "upgrade")
    asked = run_on_terminal([COMMAND, "-d", "app.db", "rollback", "-n", "3"], here, answers=["y\n"])

    assert (two.status, last.status) == (0, 0)
    assert "[y/N]" in asked.out
    assert tables(here / "app.db") == set()


@pytest.mark.usefixtures("migrations")
def test_an_upgrade_with_nothing_to_do_says_so(here: Path, torc: Torc) -> None:
    """A note is on standard error, at a terminal or not; standard output is empty, as that of sqlx."""
    torc("-d", "app.db", "upgrade")

    shown = run_on_terminal([COMMAND, "-d", "app.db", "upgrade"], here, {"NO_COLOR": "1"})
    piped = torc("-d", "app.db", "upgrade")
    chosen = torc("-d", "app.db", "apply", "2")

    assert shown.out == "note: nothing to do\n"
    assert (piped, chosen) == (Result(0, "", "note: nothing to do\n"),) * 2
