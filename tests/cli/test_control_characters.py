"""Control characters in names, SQL and errors are printed escaped; JSON escapes them by its own rules."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from shell import COMMAND, HOLD, Torc, outcome_of, run_on_terminal, write_files

from torc_migrations.cli.listing import escaped_json, status_lines
from torc_migrations.formatting import escaped
from torc_migrations.migrator import Migrator

# Sets the title of a terminal, and turns the text red; a lone 0x9b does the same in one byte.
TITLE = "\x1b]0;title\x07\x1b[31m"
CONTROL = ("\x00", "\x07", "\x08", "\r", "\x1b", "\x7f", "\x85", "\x9b", "\u2028", "\u202e", "\u2066", "\udc9b")


@pytest.mark.parametrize("character", CONTROL)
def test_each_control_character_is_escaped(character: str) -> None:
    """What is printed is what Python writes for the character, and nothing that a terminal obeys."""
    written = r"\x9b" if character == "\udc9b" else ascii(character)[1:-1]

    assert escaped(f"a{character}b") == f"a{written}b"


@pytest.mark.parametrize("character", ["\t", "é", "日", "\xa0", "\N{GRINNING FACE}", "\udce9", "\\"])
def test_other_characters_are_left_as_they_are(character: str) -> None:
    """Letters of every script, and bytes that are not UTF-8, are printed as they are."""
    assert escaped(character) == character


@pytest.mark.parametrize("character", [*CONTROL, "\n", '"', "\\"])
def test_escaped_json_is_the_same_document(character: str) -> None:
    """A program reads the same text as before; a terminal sees no control character."""
    document = json.dumps({"key": f"a{character}b"}, ensure_ascii=False, indent=2)

    shown = escaped_json(document)

    assert json.loads(shown) == {"key": f"a{character}b"}
    assert escaped(shown, keep="\n") == shown


@pytest.fixture
def hostile(here: Path) -> Path:
    """Migrations whose names and SQL try to control the terminal."""
    files = {
        f"migrations/1_a{TITLE}.sql": f"CREATE TABLE a (x); -- {TITLE}\n",
        "migrations/2_b\n3_pending c.sql": "CREATE TABLE b (x);\n",
        "migrations/4_d.sql": f'CREATE TABLE "t{TITLE}" (x);\nSELECT "{TITLE}" FROM gone{TITLE};\n',
    }
    return write_files(here, files)


@pytest.mark.parametrize("words", ["status", "upgrade -v", "rehearse", "doctor", "status --json", "rehearse --json"])
@pytest.mark.usefixtures("hostile")
def test_nothing_that_a_terminal_obeys_is_printed(torc: Torc, words: str) -> None:
    """Listing, notes, errors with their SQL, reports: all of them show the characters, and print none."""
    result = torc("-d", "app.db", *words.split())

    assert "title" in result.out + result.err
    assert not set(result.out + result.err) & {"\x1b", "\x07", "\x9b"}


@pytest.mark.usefixtures("hostile")
def test_a_line_break_in_a_name_makes_no_second_line(torc: Torc) -> None:
    """The listing has a line for each migration, whatever is in their names."""
    listed = torc("-d", "app.db", "status")
    planned = torc("-d", "app.db", "upgrade", "--dry-run")

    assert listed.out.splitlines() == [
        r"1/pending a\x1b]0;title\x07\x1b[31m",
        r"2/pending b\n3 pending c",
        "4/pending d",
    ]
    assert len(planned.out.splitlines()) == 3


@pytest.mark.usefixtures("hostile")
def test_only_our_colours_reach_a_terminal(here: Path) -> None:
    """On a terminal the colours are ours, and the name is escaped."""
    shown = run_on_terminal([COMMAND, "-d", "app.db", "status"], here)

    assert shown.out.splitlines()[0] == "\x1b[36m1\x1b[0m/\x1b[33mpending\x1b[0m a" + r"\x1b]0;title\x07\x1b[31m"


@pytest.mark.usefixtures("hostile")
def test_json_has_the_names_as_they_are(torc: Torc) -> None:
    """A program gets the name with its control characters."""
    migrations = outcome_of(torc("-d", "app.db", "status", "--json"))["migrations"]

    assert isinstance(migrations, list)
    assert [each["description"] for each in migrations] == [f"a{TITLE}", "b\n3 pending c", "d"]


@pytest.mark.usefixtures("hostile")
def test_an_unknown_word_is_shown_escaped(torc: Torc) -> None:
    """What was typed is quoted in the error, and escaped."""
    for words in ([f"sta{TITLE}tus"], ["-d", f"{TITLE}.db", "-s", f"gone{TITLE}", "status"], ["status", f"--x{TITLE}"]):
        result = torc(*words)

        assert (result.status, "title" in result.err, "\x1b" in result.err) == (2, True, False)


def test_the_command_lists_what_the_library_lists(torc: Torc, here: Path, migrations: Path) -> None:
    """Without control characters the lines are those of `Status.as_text()`, changed checksums included."""
    torc("-d", "app.db", "upgrade", "--target", "2")
    (migrations / "0002_add_author.sql").write_text("CREATE TABLE author (id, born);\n")
    status = Migrator(here / "app.db", migrations).status()

    assert "".join(line.as_text() for line in status_lines(status)) == status.as_text()
    assert torc("-d", "app.db", "status").out == status.as_text()


def test_the_command_line_of_a_holder_is_shown_escaped(torc: Torc, here: Path, migrations: Path) -> None:
    """The process that holds the database is named with its script, which may have any name."""
    torc("-d", "app.db", "-s", str(migrations), "upgrade")
    (here / f"hold{TITLE}.py").write_text(f"{HOLD}; sys.stdin.read()")
    words = [sys.executable, f"hold{TITLE}.py"]
    with subprocess.Popen(words, cwd=here, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        result = torc("-d", "app.db", "rollback", "--lock-timeout", "0.2")
        holder.communicate()

    assert result.status == 5
    assert f"process {holder.pid}" in result.err
    assert "title" in result.err
    assert "\x1b" not in result.err


BREAK = "a\nError: b"
BREAKING = {
    f"migrations/1_{BREAK}.sql": f'CREATE TABLE "{BREAK}" (x);\nINSERT INTO "{BREAK}" VALUES (NULL);\n',
    f"migrations/1_{BREAK}.rollback.sql": f'DELETE FROM "{BREAK}";\n',
}


@pytest.mark.parametrize(
    "words",
    ["rehearse", "rehearse --round-trip --fresh", "upgrade --dry-run", "upgrade -v", "doctor", "indexes", "status"],
)
def test_a_line_break_in_a_name_makes_no_line_in_a_report(torc: Torc, here: Path, words: str) -> None:
    """Names of files and of tables with a line break are on one line, whatever prints them."""
    write_files(here, BREAKING)
    if words in ("doctor", "indexes"):
        torc("-d", "app.db", "upgrade")
        (here / "migrations" / f"1_{BREAK}.sql").write_text("SELECT 1;\n")

    result = torc("-d", "app.db", *words.split())

    assert not [line for line in (result.out + result.err).splitlines() if line.startswith("Error: b")]


def test_a_name_in_a_line_of_the_log_is_escaped(here: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A host that writes the log to a file has one line for each record, and no control character."""
    write_files(here, {f"migrations/1_a{TITLE}\nb.sql": "SELECT 1;\n"})
    with caplog.at_level("INFO", logger="torc_migrations"):
        Migrator(here / "app.db", here / "migrations").upgrade()

    lines = [record.getMessage() for record in caplog.records]
    assert any("title" in line for line in lines)
    assert not set("".join(lines)) & {"\x1b", "\x07", "\n"}
